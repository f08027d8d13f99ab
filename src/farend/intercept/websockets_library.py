"""What the doubles of `websockets`' two kinds of connection share: the opening, the end, and what they refuse.

A double is a subclass of the library's own class, so that `isinstance` holds and what needs no wire is the
library's own code. Its `ClientProtocol` is a real one: it writes the request, judges the answer, and makes the
exceptions of a connection that is over. Only no byte is ever made.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.extensions.permessage_deflate import enable_client_permessage_deflate
from websockets.frames import Close
from websockets.headers import validate_subprotocols
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key

from farend.core.messages import Handshake, Ping, Pong, printed
from farend.core.names import nearest
from farend.errors import Failure, InvalidArguments, InvalidStateError, WrongState, WrongType
from farend.intercept.line import TRANSITIONS, Hangup, Line

PLAIN: Final = (str, bytes)
PINGS: Final = (Ping, Pong)
_VALID: Final = {
    call: ", ".join(repr(state.value) for state, valid in TRANSITIONS.items() if call in valid)
    for call in ("send", "recv")
}

_RENAMED: Final = {
    "create_protocol": "create_connection",
    "extra_headers": "additional_headers",
    "ssl_context": "ssl",
    "timeout": "open_timeout",
}
"""What the library called an argument of `connect` before, and what it calls it now."""


class _AfterTheEnd(InvalidStateError):
    call = "send"

    def __str__(self) -> str:
        told = super().__str__()
        return f"{self.call!r} called in state 'closed'; valid from: {_VALID[self.call]} ({told})"


class ClosedOK(ConnectionClosedOK, _AfterTheEnd):
    """The library's exception for a connection that was closed in order, after the near end closed it."""

    __str__ = _AfterTheEnd.__str__


class ClosedError(ConnectionClosedError, _AfterTheEnd):
    """The library's exception for a connection that was not closed in order, after the near end closed it."""

    __str__ = _AfterTheEnd.__str__


# -- the opening ----------------------------------------------------------------------------------


parsed: Final = functools.lru_cache(256)(parse_uri)
"""The library's own reading of a URI: each connection needs it several times, and a test dials few."""


def check(uri: str, arguments: Mapping[str, Any]) -> None:
    """Raise what the library raises for arguments that contradict each other."""
    if not parsed(uri).secure and (arguments.get("ssl") or arguments.get("kwargs", {}).get("ssl")) is not None:
        raise ValueError("ssl argument is incompatible with a ws:// URI")
    if arguments["subprotocols"] is not None:
        validate_subprotocols(arguments["subprotocols"])
    if arguments["compression"] not in ("deflate", None):
        raise ValueError(f"unsupported compression: {arguments['compression']}")


def taken(*functions: Callable[..., Any]) -> frozenset[str]:
    """The names of the arguments that any of these functions takes."""
    parameters = [one for function in functions for one in inspect.signature(function).parameters.values()]
    return frozenset(one.name for one in parameters if one.kind is not one.VAR_KEYWORD)


def check_names(given: Iterable[str], takes: Collection[str]) -> None:
    """Raise for an argument that the library hands on unseen, and that is refused where it arrives."""
    __tracebackhide__ = True
    for name in given:
        if name.removeprefix("proxy_") not in takes:
            near = nearest(name, takes, _RENAMED)
            raise WrongType(f"connect() takes no {name}={f'; did you mean {near}=?' if near else ''}")


def protocol_for(uri: str, arguments: Mapping[str, Any]) -> ClientProtocol:
    """The library's protocol, as it would be made of the arguments of `connect`."""
    extensions = arguments["extensions"]
    if arguments["compression"] == "deflate":
        extensions = enable_client_permessage_deflate(extensions)
    return ClientProtocol(
        parsed(uri),
        origin=arguments["origin"],
        extensions=extensions,
        subprotocols=arguments["subprotocols"],
        max_size=arguments["max_size"],
        logger=arguments["logger"],
    )


def shake_hands(connection: Any, line: Line, arguments: Mapping[str, Any]) -> None:
    """The opening handshake (RFC 6455, 4): the library's request, and the answer that the session gives."""
    protocol: ClientProtocol = connection.protocol
    request = connection.request = protocol.connect()
    if arguments["additional_headers"] is not None:
        request.headers.update(arguments["additional_headers"])
    if arguments["user_agent_header"] is not None:
        request.headers.setdefault("User-Agent", arguments["user_agent_header"])
    rejection = line.enter(Handshake(request.path, list(request.headers.raw_items())))
    if rejection:
        response = Response(400, "Bad Request", Headers(), rejection.encode())
        protocol.state = State.CLOSED
        raise InvalidStatus(response)
    headers = Headers(
        Upgrade="websocket",
        Connection="Upgrade",
        **{"Sec-WebSocket-Accept": accept_key(request.headers["Sec-WebSocket-Key"])},
    )
    if line.subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = line.subprotocol
    headers.update(line.headers)
    response = Response(101, "Switching Protocols", headers)
    protocol.process_response(response)
    connection.response = response
    protocol.state = State.OPEN


@functools.cache
def double_of(kind: Any, double: Any) -> type[Any]:
    """A class that is `kind`, a user's subclass of the library's, with the double's methods below its own."""
    return type(kind.__name__, (kind, double), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def chosen_double(arguments: Mapping[str, Any], library: type[Any], double: Any) -> Any:
    """The class of the connection: the double, or one for the class that `create_connection=` names."""
    kind: Any = arguments["create_connection"]
    if kind is None or kind is library:
        return double
    if isinstance(kind, type) and issubclass(kind, library):
        return double_of(kind, double)
    raise InvalidArguments(
        f"create_connection={printed(kind)} cannot be mocked: give a subclass of "
        f"{library.__module__}.{library.__name__}"
    )


def give_up_where_told(connecting: Any, error: Exception) -> None:
    """What ended a connection of those that are made again and again: raise it where the library would."""
    __tracebackhide__ = True
    if isinstance(error, Failure):
        raise error
    judged = connecting.process_exception(error)
    if judged is error:
        raise error
    if judged is not None:
        raise judged from error


# -- messages -------------------------------------------------------------------------------------


def whole(message: Any, text: bool | None) -> str | bytes | None:
    """A message as it is recorded: fragments joined, buffers copied; None where there is nothing to send."""
    if isinstance(message, str):
        return message.encode() if text is False else str.__str__(message)
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message).decode() if text else bytes(message)
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if isinstance(message, Iterable):
        return joined(list(message), text)
    raise TypeError("data must be str, bytes, iterable, or async iterable")


def joined(fragments: list[Any], text: bool | None) -> str | bytes | None:
    """The message that was sent in fragments (RFC 6455, 5.4)."""
    if not fragments:
        return None
    if not all(isinstance(one, str) for one in fragments) and not all(
        isinstance(one, bytes | bytearray | memoryview) for one in fragments
    ):
        kinds = "uniform types" if isinstance(fragments[0], str | bytes | bytearray | memoryview) else "bytes or str"
        raise TypeError(f"iterable must contain {kinds}")
    empty = "" if isinstance(fragments[0], str) else b""
    return whole(empty.join(fragments), text)


def decoded(message: str | bytes, decode: bool | None) -> str | bytes:
    """A message as `recv(decode=…)` gives it."""
    if decode is None:
        return message
    if decode:
        return message if isinstance(message, str) else message.decode()
    return message if isinstance(message, bytes) else message.encode()


def control(data: Any) -> bytes:
    """The payload of a ping or pong."""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError("data must be str or bytes-like")


# -- the end --------------------------------------------------------------------------------------


class Ending:
    """How a double's connection came to its end, and what is raised from then on. Mixed into both doubles."""

    protocol: Any
    _line: Line
    _remote: tuple[str, int]
    _open: bool
    _listening: bool
    _left = False

    @property
    def local_address(self) -> Any:
        return ("127.0.0.1", 0)

    @property
    def remote_address(self) -> Any:
        return self._remote

    def _plug_in(self, line: Line) -> None:
        """Have `line` play the far end."""
        self._line = line
        self._open, self._listening = True, False
        self._say, self._hear = line.say, line.hear

    def _say_control(self, message: Ping | Pong) -> None:
        if not self._open:
            raise self._gone("send")
        if isinstance(message, Ping):
            self._line.ping(message)
        else:
            self._line.pong(message)

    @property
    def _has_nothing_more(self) -> bool:
        """Whether a `recv` comes too late; what the far end said before it hung up can still be heard."""
        return not self._open and (self._left or self._line.hangup is None)

    def _is_over(self) -> None:
        """Called once, when the connection has ended."""

    def _end(self, sent: Close | None, rcvd: Close | None, *, rcvd_first: bool) -> None:
        if self._open:
            self._open = False
            protocol = self.protocol
            protocol.close_sent, protocol.close_rcvd = sent, rcvd
            protocol.close_rcvd_then_sent = rcvd_first if sent is not None and rcvd is not None else None
            protocol.state = State.CLOSED
            self._is_over()

    def _end_with(self, error: ConnectionClosed) -> None:
        """A step raised that the connection is closed: so it is."""
        rcvd = error.rcvd
        self._end(error.sent, rcvd, rcvd_first=bool(error.rcvd_then_sent))
        self._line.end(1006 if rcvd is None else rcvd.code, "" if rcvd is None else rcvd.reason)

    def _hung_up(self, hangup: Hangup) -> ConnectionClosed:
        """The far end closed; gives what to raise."""
        close = None if hangup.lost else Close(hangup.code, hangup.reason)
        self._end(close, close, rcvd_first=True)
        closed: ConnectionClosed = self.protocol.close_exc
        return closed

    def _gone(self, call: str) -> ConnectionClosed:
        """What to raise for a call that comes too late."""
        plain: ConnectionClosed = self.protocol.close_exc
        if not self._left:
            return plain
        kind = ClosedOK if isinstance(plain, ConnectionClosedOK) else ClosedError
        error = kind(plain.rcvd, plain.sent, plain.rcvd_then_sent)
        error.call = call
        return error

    def _close(self, code: int, reason: str) -> None:
        """The near end closes. Nothing more happens where it has already."""
        __tracebackhide__ = True
        if self._left:
            return
        close = Close(code, reason)
        close.check()
        self._left = self._open
        try:
            # In an `__exit__`, what is handled is the exception with which the block was left.
            self._line.hang_up(code, reason, sys.exc_info()[1])
        finally:
            self._left = True
            self._end(close, close, rcvd_first=False)


# -- what a double refuses ------------------------------------------------------------------------


_ABOUT_BYTES: Final = (
    "abort_pings",
    "acknowledge_pending_pings",
    "acknowledge_pings",
    "close_socket",
    "connection_lost",
    "connection_made",
    "data_received",
    "drain",
    "eof_received",
    "handshake",
    "keepalive",
    "pause_writing",
    "process_event",
    "recv_events",
    "resume_writing",
    "send_context",
    "send_data",
    "set_connection_exc",
    "set_recv_exc",
    "start_keepalive",
    "terminate_pending_pings",
)
"""What the library's connections, of both kinds, do with bytes, of which there are none here."""


def refuse(double: type, library: type) -> None:
    """Have the double say of what is about bytes that it cannot be called; it keeps the library's signatures."""
    for name in _ABOUT_BYTES:
        if hasattr(library, name):
            setattr(double, name, _refusal(library, name))


def _refusal(library: type, name: str) -> Callable[..., Any]:
    @functools.wraps(inspect.getattr_static(library, name))
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise WrongState(
            f"{library.__name__}.{name}() moves bytes, and a mocked connection has none; send(), recv(), ping(), "
            "pong() and close() are what is mocked. For what needs bytes, use a farend.WebSocketServer"
        )

    return refuse
