"""The two mocks: where sessions are made, and where what happened is asserted."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Never, TypeVar, cast

from farend.core.matchers import Equal, Matcher, matcher
from farend.core.messages import printed
from farend.core.names import refusing
from farend.core.script import Script
from farend.core.steps import UNSET
from farend.errors import InvalidArguments, MissingExtra, WrongState, WrongType
from farend.intercept.line import Line
from farend.intercept.misuse import Misspelt, block, check_call
from farend.intercept.played import Played
from farend.intercept.sandbox import installed
from farend.intercept.session import Session
from farend.intercept.timeline import FIELDS
from farend.intercept.verifier import StrictVerifier

F = TypeVar("F", bound=Callable[..., Any])
_ANSWER: Final = ("uri", "subprotocol", "headers")
"""What a session, and a script, may be told of the connections that they are for."""
_URI: Final = re.compile(r"wss?://[^/?#\s]+", re.IGNORECASE)


def _quickly(slow: F) -> F:
    """Have an assertion on a plain message, which is right, cost a comparison: a mock's speed depends on it."""
    method = slow.__name__.removeprefix("assert_")

    @functools.wraps(slow)
    def quick(self: WebSocketPlugin, unnamed: Any = UNSET, /, *, message: object = UNSET, **fields: Any) -> None:
        __tracebackhide__ = True
        timeline = self.verifier.timeline
        if not fields and unnamed is UNSET and timeline.strict and timeline.cursor < len(timeline.entries):
            whose, step, value, _ = timeline.entries[timeline.cursor]
            if (
                type(message) is type(value)
                and message == value
                and step[0] == method
                and step[2] is None
                and whose[0] is self
            ):
                timeline.cursor += 1
                return
        slow(self, unnamed, message=message, **fields)

    return cast(F, quick)


class WebSocketPlugin:
    """One library's mock; see the two below. `name` is what errors call it where they print lines to paste."""

    library: ClassVar[str]
    module: ClassVar[str]
    extra: ClassVar[str]

    def __init__(self, verifier: StrictVerifier, *, name: str = "mock") -> None:
        __tracebackhide__ = True
        if not isinstance(verifier, StrictVerifier):
            raise WrongType(f"{type(self).__name__}() takes a StrictVerifier, not {printed(verifier)}")
        self.verifier = verifier
        self.spelling = name
        self._queue: list[Line] = []
        verifier.plugins.append(self)

    # -- before -----------------------------------------------------------------------------------

    @refusing
    def new_session(
        self,
        *positional: Never,
        uri: object = None,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        **unknown: Never,
    ) -> Session:
        """A session for one connection, to be scripted with `.expect(…)`.

        Connections take sessions in the order in which these were made. A session with `uri` (a WebSocket URI, or a
        matcher for it) is only for connections to that, which prefer it. `subprotocol` and `headers` are what the
        far end answers the opening handshake with. Raises `MissingExtra` where the library is not installed.
        """
        __tracebackhide__ = True
        if positional or unknown:
            check_call("new_session", positional, unknown, _ANSWER)
        session = Session(self, **self._answer("new_session", uri, subprotocol, headers))
        self.verifier.sessions.append(session)
        self._queue.append(session)
        return session

    @refusing
    def play(
        self,
        script: Script,
        *,
        uri: object = None,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        **unknown: Never,
    ) -> Played:
        """Have `script` played on one connection, as a server would; the rest is as with `new_session`.

        The script says what the near end may say, so nothing is left to be asserted; what it did is on `.transcript`
        of the session that this gives. What was not played, and what was not expected, fails the test.
        """
        __tracebackhide__ = True
        if unknown:
            check_call("play", (), unknown, _ANSWER)
        if not isinstance(script, Script):
            raise WrongType(
                f"play() takes a Script, not {printed(script)}; to script single calls, write new_session()"
            )
        script.check_without_wire("by a mock, which answers in process")
        played = Played(self, script, **self._answer("play", uri, subprotocol, headers))
        self.verifier.played.append(played)
        self._queue.append(played)
        return played

    def _answer(self, call: str, uri: object, subprotocol: object, headers: Mapping[str, str] | None) -> dict[str, Any]:
        __tracebackhide__ = True
        if not installed(self.module):
            raise MissingExtra(
                f"{call}() mocks the library {self.library}, which is not installed: pip install 'farend[{self.extra}]'"
            )
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise WrongType(f"subprotocol= takes the name of one, not {printed(subprotocol)}")
        if headers is not None and not isinstance(headers, Mapping):
            raise WrongType(f"headers= takes a mapping of names to values, not {printed(headers)}")
        self.verifier.in_use()
        return {"uri": _uri_matcher(uri, call), "subprotocol": subprotocol, "headers": headers}

    # -- during -----------------------------------------------------------------------------------

    def take(self, uri: str) -> Line | None:
        """The session for a connection to `uri`, which is nobody else's from now on."""
        fitting = [one for one in self._queue if one.takes(uri)]
        if not fitting:
            return None
        chosen = next((one for one in fitting if one.uri is not None), fitting[0])
        self._queue.remove(chosen)
        return chosen

    @property
    def waiting(self) -> list[Line]:
        """The sessions that no connection has taken."""
        return list(self._queue)

    def forget(self) -> None:
        """Drop the sessions that are left."""
        self._queue.clear()

    # -- afterwards -------------------------------------------------------------------------------

    def assert_connect(self, unnamed: Never = UNSET, /, *, uri: object = UNSET, **fields: Any) -> None:
        """The next interaction was a connection to `uri`; with `raises=`, it raised that exception.

        Values may be matchers. Raises `InteractionMismatchError` where it was another, and
        `MissingAssertionFieldsError` for a field left out.
        """
        __tracebackhide__ = True
        self._assert("connect", unnamed, {"uri": uri, **fields} if uri is not UNSET else fields)

    @_quickly
    def assert_send(self, unnamed: Never = UNSET, /, *, message: object = UNSET, **fields: Any) -> None:
        """The next interaction was that the near end sent `message`; as `assert_connect`."""
        __tracebackhide__ = True
        self._assert("send", unnamed, {"message": message, **fields} if message is not UNSET else fields)

    @_quickly
    def assert_recv(self, unnamed: Never = UNSET, /, *, message: object = UNSET, **fields: Any) -> None:
        """The next interaction was that the near end received `message`; as `assert_connect`."""
        __tracebackhide__ = True
        self._assert("recv", unnamed, {"message": message, **fields} if message is not UNSET else fields)

    def assert_close(self, unnamed: Never = UNSET, /, **fields: Any) -> None:
        """The next interaction was that the near end closed; it takes no field but `raises=`."""
        __tracebackhide__ = True
        self._assert("close", unnamed, fields)

    def _assert(self, method: str, unnamed: object, fields: dict[str, Any]) -> None:
        __tracebackhide__ = True
        if unnamed is not UNSET:
            check_call(f"assert_{method}", (unnamed,), {}, FIELDS[method])
        self.verifier.timeline.check(self, method, fields)

    @block
    def in_any_order(self) -> Any:
        """`StrictVerifier.in_any_order`."""
        return self.verifier.in_any_order()

    def __enter__(self) -> object:
        raise WrongState("the block that intercepts is written `with farend:`, or `with verifier.sandbox():`")

    def __exit__(self, *exc: object) -> None:
        """Never reached: `__enter__` raises."""

    async def __aenter__(self) -> object:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        """Never reached: `__aenter__` raises."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spelling}: {len(self._queue)} sessions waiting>"


_MEANT: Final = {
    "assert_connected": "assert_connect",
    "assert_connection": "assert_connect",
    "assert_sent": "assert_send",
    "assert_message": "assert_send",
    "assert_receive": "assert_recv",
    "assert_received": "assert_recv",
    "assert_recieve": "assert_recv",
    "assert_recieved": "assert_recv",
    "assert_recevied": "assert_recv",
    "assert_closed": "assert_close",
    "assert_disconnect": "assert_close",
    "session": "new_session",
    "new_sesion": "new_session",
    "expect": 'new_session().expect("connect", returns=None)',
    "expect_connect": 'new_session().expect("connect", returns=None)',
}
"""Names that are often written, and what is meant. (A `__getattr__` would know all, and slow down every name.)"""
for _name, _meant in _MEANT.items():
    setattr(WebSocketPlugin, _name, Misspelt(_name, _meant))


class AsyncWebSocketPlugin(WebSocketPlugin):
    """Mocks `websockets`: `websockets.connect`, `websockets.asyncio.client`, and `websockets.sync.client`.

    `farend.async_websocket_mock` is one for the test that runs; by hand, it is made with a verifier of yours:
    see `StrictVerifier`. From the notation of the strict mocks for this library.
    """

    library = module = extra = "websockets"


class SyncWebSocketPlugin(WebSocketPlugin):
    """Mocks websocket-client: `websocket.create_connection`, `WebSocket`, `WebSocketApp`.

    It answers for `websockets.sync.client.connect` as well, where it has a session. `farend.sync_websocket_mock` is
    one for the test that runs; by hand, it is made with a verifier of yours: see `StrictVerifier`.
    """

    library = extra = "websocket-client"
    module = "websocket"


def _uri_matcher(uri: object, call: str) -> Matcher | None:
    __tracebackhide__ = True
    if uri is None:
        return None
    if isinstance(uri, str):
        if not _URI.match(uri):
            raise InvalidArguments(
                f"{call}(uri={uri!r}) is no WebSocket URI: write ws://host/path or wss://host/path, or a matcher such "
                "as farend.regex('wss://.*')"
            )
        return Equal(uri)
    if isinstance(uri, bytes | int | float | list | tuple | dict):
        raise WrongType(f"{call}(uri=…) takes a WebSocket URI or a matcher for it, not {printed(uri)}")
    return matcher(uri)
