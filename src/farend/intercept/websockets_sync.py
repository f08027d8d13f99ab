"""`websockets.sync.client.connect`, answered in process: what is patched, and the double of `ClientConnection`.

Since websockets 17.1 the function `connect` is a thin one over the class `reconnect`, whose methods are patched.
Before, it does all by itself: then its code is replaced, for those who have imported it by name already.
"""

from __future__ import annotations

import functools
import inspect
import logging
import socket
import threading
import types
from collections.abc import Iterator
from typing import Any, Final

import websockets.sync.client as library
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.sync.client import ClientConnection

from farend.core.messages import Ping, Pong
from farend.intercept.line import WAIT, Hangup, Line
from farend.intercept.sandbox import dial
from farend.intercept.waiting import heard_later
from farend.intercept.websockets_library import (
    PLAIN,
    Ending,
    check,
    check_names,
    chosen_double,
    control,
    decoded,
    give_up_where_told,
    protocol_for,
    refuse,
    shake_hands,
    taken,
    whole,
)

KINDS: Final = ("websocket", "websockets")
"""The mock for blocking clients goes first, and then that for this library."""
_TAKES: Final = taken(library.connect, getattr(library, "reconnect", library.connect), socket.create_connection) | {
    "unix",
    "path",
    "ssl_context",
}


class MockedConnection(Ending, ClientConnection):
    """A `websockets.sync.client.ClientConnection` whose far end is a session."""

    def __init__(
        self,
        sock: Any,
        protocol: Any,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: Any = 16,
        **options: Any,
    ) -> None:
        # The library's own initialiser starts a thread that reads the socket.
        self.socket = sock
        self.protocol = protocol
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.close_timeout = close_timeout
        self.protocol.logger = logging.LoggerAdapter(self.protocol.logger, {"websocket": self})
        self.id = protocol.id
        self.logger = protocol.logger
        self.debug = protocol.debug
        self.request = self.response = None
        self.latency = 0.0
        self.pending_legacy_warning = hasattr(ClientConnection, "maybe_raise_legacy_warning")
        self._over = threading.Event()

    def send(self, message: Any, *, text: bool | None = None) -> None:
        __tracebackhide__ = True
        if self.pending_legacy_warning:
            self.maybe_raise_legacy_warning()
        if type(message) not in PLAIN or text is not None:
            message = whole(message, text)
            if message is None:
                return
        if not self._open:
            raise self._gone("send")
        lock = self._line.lock
        lock.acquire()
        try:
            hangup = self._say(message)
        except ConnectionClosed as error:
            self._end_with(error)
            raise
        finally:
            lock.release()
        if hangup is not None:
            raise self._hung_up(hangup)

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Any:
        __tracebackhide__ = True
        if self.pending_legacy_warning:
            self.maybe_raise_legacy_warning()
        return self._recv(timeout, decode)

    def _recv(self, timeout: float | None, decode: bool | None) -> Any:
        __tracebackhide__ = True
        if self._listening:
            raise ConcurrencyError("cannot call recv while another thread is already running recv or recv_streaming")
        while True:
            if not self._open and self._has_nothing_more:
                raise self._gone("recv")
            try:
                lock = self._line.lock
                lock.acquire()
                try:
                    message = self._hear()
                finally:
                    lock.release()
                if message is WAIT:
                    message = self._heard_later(timeout)
            except ConnectionClosed as error:
                self._end_with(error)
                raise
            if type(message) in PLAIN:
                return message if decode is None else decoded(message, decode)
            if type(message) is Hangup:
                raise self._hung_up(message)

    def recv_streaming(self, decode: bool | None = None) -> Iterator[Any]:
        if self.pending_legacy_warning:
            self.maybe_raise_legacy_warning()
        yield self._recv(None, decode)

    def close(self, code: int = 1000, reason: str = "") -> None:
        __tracebackhide__ = True
        if self.pending_legacy_warning:
            self.maybe_raise_legacy_warning()
        self._close(code, reason)

    def wait_closed(self, timeout: float | None = None) -> bool:
        return self._over.wait(timeout)

    def ping(self, data: Any = None, *, ack_on_close: bool = False) -> threading.Event:
        self._say_control(Ping(b"" if data is None else control(data)))
        answered = threading.Event()
        answered.set()
        return answered

    def pong(self, data: Any = b"") -> None:
        self._say_control(Pong(control(data)))

    def _say_control(self, message: Ping | Pong) -> None:
        if self.pending_legacy_warning:
            self.maybe_raise_legacy_warning()
        super()._say_control(message)

    def _is_over(self) -> None:
        self._over.set()

    def _heard_later(self, timeout: float | None) -> Any:
        __tracebackhide__ = True
        self._listening = True
        try:
            message = heard_later(self._line, timeout, lambda: self._has_nothing_more)
        finally:
            self._listening = False
        if message is WAIT and self._has_nothing_more:
            raise self._gone("recv")
        if message is WAIT:
            raise TimeoutError(f"timed out in {timeout:.1f}s")
        return message


refuse(MockedConnection, ClientConnection)


# -- connect --------------------------------------------------------------------------------------


def _opened(line: Line, uri: str, arguments: dict[str, Any]) -> Any:
    __tracebackhide__ = True
    check_names(arguments.get("kwargs", ()), _TAKES)
    protocol = protocol_for(uri, arguments)
    kind = chosen_double(arguments, ClientConnection, MockedConnection)
    names = ("ping_interval", "ping_timeout", "close_timeout", "max_queue")
    connection = kind(arguments["sock"], protocol, **{name: arguments[name] for name in names if name in arguments})
    connection._plug_in(line)
    connection._remote = (protocol.uri.host, protocol.uri.port)
    shake_hands(connection, line, arguments)
    return connection


def _by_methods(reconnect: Any) -> list[tuple[Any, str, Any]]:
    """The patches for a library that connects in methods of a class."""
    real = {name: vars(reconnect)[name] for name in ("connect", "__iter__")}

    @functools.wraps(real["connect"])
    def connect(self: Any) -> Any:
        __tracebackhide__ = True
        line = dial(KINDS, self.uri)
        if line is None:
            return real["connect"](self)
        kept = {
            "additional_headers": self.additional_headers,
            "user_agent_header": self.user_agent_header,
            "create_connection": self.create_connection,
            "sock": self.sock,
            "compression": None,  # it is among the extensions already
            "kwargs": self.open_socket_kwargs,
        }
        return _opened(line, self.uri, self.protocol_kwargs | self.connection_kwargs | kept)

    @functools.wraps(real["__iter__"])
    def iterate(self: Any) -> Iterator[Any]:
        """Connect again and again, as the library does, without the time that it lets pass in between."""
        while True:
            try:
                with self as connection:
                    yield connection
            except Exception as error:
                give_up_where_told(self, error)

    return [(reconnect, "connect", connect), (reconnect, "__iter__", iterate)]


def _by_code(connect: Any) -> list[tuple[Any, str, Any]]:
    """The patches for a library that connects in one function, which others may have imported by its name."""
    global _connect_for_code
    real = types.FunctionType(connect.__code__, connect.__globals__, connect.__name__, connect.__defaults__)
    real.__kwdefaults__ = connect.__kwdefaults__
    signature = inspect.signature(connect)

    def answered(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        uri = bound.arguments["uri"]
        check(uri, bound.arguments)
        line = dial(KINDS, uri)
        return real(*args, **kwargs) if line is None else _opened(line, uri, bound.arguments)

    _connect_for_code = answered
    return [(connect, "__code__", _instead.__code__), (connect, "__signature__", signature)]


def _instead(*args: Any, **kwargs: Any) -> Any:
    # It runs among the names of the library's module, and so has to find its way back.
    from farend.intercept import websockets_sync

    return websockets_sync._connect_for_code(*args, **kwargs)


_connect_for_code: Any = None


@functools.cache
def patches() -> list[tuple[Any, str, Any]]:
    """What is to be replaced, and by what."""
    reconnect = getattr(library, "reconnect", None)
    return _by_code(library.connect) if reconnect is None else _by_methods(reconnect)
