"""`websockets.connect`, answered in process: what is patched, and the double of `ClientConnection`.

Patched are methods of the class `connect` itself, so that it does not matter who imported it, when, and by
which of its names.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Generator
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConcurrencyError, ConnectionClosed

from farend.core.messages import Ping, Pong
from farend.intercept.line import WAIT, Hangup, Line
from farend.intercept.sandbox import dial
from farend.intercept.websockets_library import (
    PINGS,
    PLAIN,
    Ending,
    check,
    check_names,
    chosen_double,
    control,
    decoded,
    give_up_where_told,
    joined,
    parsed,
    protocol_for,
    refuse,
    shake_hands,
    taken,
    whole,
)

KINDS: Final = ("websockets",)
_REAL: Final = {name: vars(connect)[name] for name in ("__init__", "__await__", "__aiter__")}
_DEFAULTS: Final = {
    name: one.default for name, one in inspect.signature(connect).parameters.items() if one.default is not one.empty
}
_TAKES: Final = taken(
    connect, asyncio.BaseEventLoop.create_connection, asyncio.AbstractEventLoop.create_unix_connection
) | {"unix"}
_BEFORE_17: Final = hasattr(connect, "__await_impl__")  # where `__await__` has to say what `__aexit__` closes


class MockedConnection(Ending, ClientConnection):
    """A `websockets.asyncio.client.ClientConnection` whose far end is a session."""

    __slots__ = ("_hear", "_listening", "_open", "_say")  # what each message reads, and finds sooner than in a dict

    @property
    def transport(self) -> Any:  # type: ignore[override]
        """Not there; an `AttributeError` says so."""
        raise AttributeError("a mocked connection has no transport: no byte is moved")

    async def send(self, message: Any, *, text: bool | None = None) -> None:
        __tracebackhide__ = True
        if type(message) not in PLAIN or text is not None:
            if isinstance(message, AsyncIterable):
                message = joined([fragment async for fragment in message], text)
            else:
                message = whole(message, text)
            if message is None:
                return
        if not self._open:
            raise self._gone("send")
        try:
            say = self._say
            hangup = say(message)
        except ConnectionClosed as error:
            self._end_with(error)
            raise
        if hangup is not None:
            raise self._hung_up(hangup)

    async def recv(self, decode: bool | None = None) -> Any:
        __tracebackhide__ = True
        if self._listening:
            raise ConcurrencyError("cannot call recv while another coroutine is already running recv or recv_streaming")
        while True:
            if not self._open and self._has_nothing_more:
                raise self._gone("recv")
            try:
                hear = self._hear
                message = hear()
                if message is WAIT:
                    message = await self._heard_later()
            except ConnectionClosed as error:
                self._end_with(error)
                raise
            if type(message) in PLAIN:
                return message if decode is None else decoded(message, decode)
            if type(message) is Hangup:
                raise self._hung_up(message)

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Any]:
        yield await self.recv(decode)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        __tracebackhide__ = True
        self._close(code, reason)

    async def ping(self, data: Any = None) -> Awaitable[float]:
        __tracebackhide__ = True
        self._say_control(Ping(b"" if data is None else control(data)))
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        answered.set_result(0.0)
        return answered

    async def pong(self, data: Any = b"") -> None:
        __tracebackhide__ = True
        self._say_control(Pong(control(data)))

    def _is_over(self) -> None:
        if not self.connection_lost_waiter.done():
            self.connection_lost_waiter.set_result(None)

    async def _heard_later(self) -> Any:
        """The next message, once there is one. Cancelled, it has taken nothing."""
        __tracebackhide__ = True
        loop = asyncio.get_running_loop()
        patience = self._line.patience
        until = None if patience is None else time.monotonic() + patience
        changed = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(changed.set)

        unwatch = self._line.watch(tell)
        self._listening = True
        try:
            while True:
                changed.clear()
                message = self._line.hear()
                if message is not WAIT and type(message) not in PINGS:
                    return message
                if self._has_nothing_more:
                    raise self._gone("recv")
                now = time.monotonic()
                if until is not None and patience is not None and now >= until:
                    raise self._line.overdue("recv()", patience)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _earlier(until, self._line.due, now))
        finally:
            self._listening = False
            unwatch()


refuse(MockedConnection, ClientConnection)


def _earlier(until: float | None, due: float | None, now: float) -> float | None:
    """Seconds up to the earlier of two times."""
    times = [when for when in (until, due) if when is not None]
    return max(min(times) - now, 0.0) if times else None


# -- connect --------------------------------------------------------------------------------------


@functools.wraps(_REAL["__init__"])
def _init(self: Any, uri: str, **kwargs: Any) -> None:
    __tracebackhide__ = True
    _REAL["__init__"](self, uri, **kwargs)  # which refuses what cannot be meant
    arguments = _DEFAULTS | kwargs
    if _BEFORE_17:  # which refused it only when the connection was awaited
        check(uri, arguments)
    self._farend = {"arguments": arguments, "line": dial(KINDS, uri)}


@functools.wraps(_REAL["__await__"])
def _await(self: Any) -> Generator[Any, None, Any]:
    dialled: dict[str, Any] | None = vars(self).get("_farend")
    if dialled is None:  # it was made before the block began
        dialled = self._farend = {"arguments": _remembered(self)}
    if "line" not in dialled:  # connecting again
        dialled["line"] = dial(KINDS, self.uri)
    line = dialled.pop("line")
    if line is None:
        real: Generator[Any, None, Any] = _REAL["__await__"](self)
        return real
    return _opened(self, line, dialled["arguments"]).__await__()


def _remembered(connecting: Any) -> dict[str, Any]:
    """The arguments with which a `connect` was made, as far as it has kept them."""
    return _DEFAULTS | {name: getattr(connecting, name) for name in ("additional_headers", "user_agent_header")}


async def _opened(connecting: Any, line: Line, arguments: dict[str, Any]) -> Any:
    __tracebackhide__ = True
    check_names(arguments, _TAKES)
    if parsed(connecting.uri).secure and arguments.get("ssl", True) is None:
        raise ValueError("ssl=None is incompatible with a wss:// URI")
    protocol = protocol_for(connecting.uri, arguments)
    kind = chosen_double(arguments, ClientConnection, MockedConnection)
    names = ("ping_interval", "ping_timeout", "close_timeout", "max_queue", "write_limit")
    connection = kind(protocol, **{name: arguments[name] for name in names})
    connection._plug_in(line)
    connection._remote = (protocol.uri.host, protocol.uri.port)
    shake_hands(connection, line, arguments)
    if _BEFORE_17:
        connecting.connection = connection
    return connection


@functools.wraps(_REAL["__aiter__"])
async def _aiter(self: Any) -> AsyncIterator[Any]:
    """Connect again and again, as the library does, without the time that it lets pass in between."""
    if vars(self).get("_farend", {}).get("line", "again") is None:
        async for connection in _REAL["__aiter__"](self):
            yield connection
        return
    while True:
        try:
            async with self as connection:
                yield connection
        except Exception as error:
            give_up_where_told(self, error)
            await asyncio.sleep(0)


def patches() -> list[tuple[Any, str, Any]]:
    """What is to be replaced, and by what."""
    return [(connect, "__init__", _init), (connect, "__await__", _await), (connect, "__aiter__", _aiter)]
