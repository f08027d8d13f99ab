"""`websocket.create_connection`, `WebSocket` and `WebSocketApp`, answered in process.

All of them connect with the method `WebSocket.connect`, which is what is patched. Where a session answers, the
object becomes a double: its class is exchanged for a subclass of its own that has the methods below. So an
object made before the block, and one of a user's subclass, are mocked like any other.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import socket
import struct
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final

from websocket import (
    ABNF,
    STATUS_NORMAL,
    WebSocket,
    WebSocketApp,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketTimeoutException,
)
from websocket._handshake import _get_handshake_headers, _validate, handshake_response
from websocket._url import parse_url

from farend.core.messages import Handshake, Ping, Pong
from farend.errors import Failure, InvalidStateError, WrongState
from farend.intercept.line import WAIT, Hangup, Line
from farend.intercept.sandbox import dial
from farend.intercept.waiting import heard_later

KINDS: Final = ("websocket",)
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_LOST: Final = "Connection to remote host was lost."
_TEXT: Final = ABNF.OPCODE_TEXT
_OPCODES: Final = {str: _TEXT, bytes: ABNF.OPCODE_BINARY, Ping: ABNF.OPCODE_PING, Pong: ABNF.OPCODE_PONG}
_REAL_CONNECT: Final = WebSocket.connect
_REAL_RUN_FOREVER: Final = WebSocketApp.run_forever
_here: Final = threading.local()


class ClosedError(WebSocketConnectionClosedException, InvalidStateError):
    """The library's exception for a connection that is gone, after the near end closed it."""


class MockedWebSocket(WebSocket):
    """A `websocket.WebSocket` whose far end is a session."""

    _line: Line
    _was: Any
    _secure = False
    _left = False
    _pipe: Pipe | None = None
    _fragments: list[bytes]
    _closing: Any = None

    # -- opening ----------------------------------------------------------------------------------

    def connect(self, url: str, **options: Any) -> None:
        self._drop_pipe()
        self.__class__ = self._was  # it is a new connection, and may be a real one
        self.connect(url, **options)

    def _begin(self, line: Line, url: str, options: dict[str, Any]) -> None:
        self._line = line
        self._left = False
        self._closing = self.close_frame = None
        self._fragments = []
        host, port, resource, self._secure = parse_url(url)
        timeout = self.sock_opt.timeout = options.get("timeout", self.sock_opt.timeout)
        if timeout is not None and timeout < 0:
            raise ValueError("Timeout value out of range")
        lines, key = _get_handshake_headers(resource, url, host, port, options)
        fields = [(name.strip(), value.strip()) for name, _, value in (one.partition(":") for one in lines[1:] if one)]
        rejection = line.enter(Handshake(resource, fields))
        if rejection:
            raise WebSocketBadStatusException(
                f"Handshake status 400 Bad Request -+-+- {rejection}", 400, "Bad Request", {}, rejection.encode()
            )
        self.handshake_response = handshake_response(101, *self._answer(line, key, options.get("subprotocols")))
        self.connected = True

    def _answer(self, line: Line, key: str, offered: Any) -> tuple[dict[str, str], str | None]:
        """The far end's half of the opening handshake, judged by the library."""
        accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
        headers = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": accept}
        # This library refuses an answer without one of the subprotocols that it has offered.
        subprotocol = line.subprotocol or (offered[0] if offered else None)
        if subprotocol is not None:
            headers["sec-websocket-protocol"] = subprotocol
        headers |= {name.lower(): value for name, value in line.headers.items()}
        fine, chosen = _validate(headers, key, offered)
        if not fine:
            raise WebSocketException("Invalid WebSocket Header")
        return headers, chosen

    # -- saying -----------------------------------------------------------------------------------

    def send(self, payload: bytes | str, opcode: int = ABNF.OPCODE_TEXT) -> int:
        __tracebackhide__ = True
        # Bytes that are sent as text stay bytes for a session, whose assertions speak of what the client gave.
        if opcode != _TEXT or type(payload) is not str:
            return self.send_frame(ABNF.create_frame(payload, opcode))
        self._say(payload)
        size = len(payload) if payload.isascii() else len(payload.encode())
        return size + 6 if size < 126 else _length(size)

    def send_frame(self, frame: ABNF) -> int:
        __tracebackhide__ = True
        data = bytes(frame.data.encode() if isinstance(frame.data, str) else frame.data)
        if frame.opcode == ABNF.OPCODE_CLOSE:
            code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
            self._leave(code, data[2:].decode(errors="replace"))
            return _length(len(data))
        if not self.connected:
            raise self._gone("send")
        if frame.opcode == ABNF.OPCODE_PING:
            self._line.ping(Ping(data))
        elif frame.opcode == ABNF.OPCODE_PONG:
            self._line.pong(Pong(data))
        else:
            self._say_fragment(frame, data)
        return _length(len(data))

    def _say_fragment(self, frame: ABNF, data: bytes) -> None:
        if frame.opcode != ABNF.OPCODE_CONT:
            self._fragments = []
            self._opcode = frame.opcode
        self._fragments.append(data)
        if frame.fin:
            message = b"".join(self._fragments)
            is_text = self._opcode == ABNF.OPCODE_TEXT
            self._say(message.decode() if is_text and not self._line.verbatim else message)

    def _say(self, message: str | bytes) -> None:
        __tracebackhide__ = True
        if not self.connected:
            raise self._gone("send")
        line = self._line
        line.lock.acquire()
        try:
            hangup = line.say(message)
        except WebSocketConnectionClosedException:
            self._lost()
            raise
        finally:
            line.lock.release()
        if hangup is not None and hangup.lost:
            self._lost()
            raise WebSocketConnectionClosedException(_LOST)

    # -- hearing ----------------------------------------------------------------------------------

    def recv(self) -> str | bytes:
        __tracebackhide__ = True
        message = self._hear()
        if type(message) is str:
            return message
        while type(message) in (Ping, Pong):
            message = self._hear()
        if type(message) is Hangup:
            return ""
        return message  # type: ignore[no-any-return]

    def recv_data_frame(self, control_frame: bool = False) -> tuple[int, ABNF]:
        while True:
            frame = self.recv_frame()
            if control_frame or frame.opcode not in (ABNF.OPCODE_PING, ABNF.OPCODE_PONG):
                return frame.opcode, frame

    def recv_frame(self) -> ABNF:
        message = self._hear()
        if type(message) is Hangup:
            return self.close_frame  # type: ignore[return-value]
        data = message if isinstance(message, str | bytes) else message.data
        return ABNF(1, 0, 0, 0, _OPCODES[type(message)], 0, data.encode() if isinstance(data, str) else data)

    def _hear(self) -> Any:
        __tracebackhide__ = True
        if not self.connected:
            if self._closing is not None:  # what answers the close frame that was sent
                answer, self._closing = self._closing, None
                return answer
            raise self._gone("recv")
        line = self._line
        try:
            line.lock.acquire()
            try:
                message = line.hear()
            finally:
                line.lock.release()
            if message is WAIT:
                message = self._heard_later()
        except WebSocketConnectionClosedException:
            self._lost()
            raise
        if type(message) is Hangup:
            self.connected = False
            if message.lost:
                self._lost()
                raise WebSocketConnectionClosedException(_LOST)
            self.close_frame = _close_frame(message.code, message.reason)
        return message

    def _heard_later(self) -> Any:
        __tracebackhide__ = True
        if self._pipe is not None and self._pipe.overdue:
            raise self._line.overdue("recv()", self._line.patience or 0)
        timeout = self.gettimeout()
        message = heard_later(self._line, timeout, lambda: not self.connected)
        if message is WAIT:
            if not self.connected:
                raise self._gone("recv")
            raise WebSocketTimeoutException("Connection timed out")
        return message

    # -- the end ----------------------------------------------------------------------------------

    def close(self, status: int = STATUS_NORMAL, reason: str | bytes = b"", timeout: float | None = 3) -> None:
        __tracebackhide__ = True
        if not self.connected:
            self._leave(status, "")
            return
        if status < 0 or status >= ABNF.LENGTH_16:
            raise ValueError("code is invalid range")
        text = reason if isinstance(reason, str) else bytes(reason or b"").decode(errors="replace")
        self.close_frame = _close_frame(status, text)  # the far end answers with the same (RFC 6455, 5.5.1)
        self._leave(status, text)
        self._closing = None

    def send_close(self, status: int = STATUS_NORMAL, reason: str | bytes = b"") -> None:
        if status < 0 or status >= ABNF.LENGTH_16:
            raise ValueError("code is invalid range")
        text = reason if isinstance(reason, str) else bytes(reason or b"").decode(errors="replace")
        self._leave(status, text)

    def shutdown(self) -> None:
        self._leave(1006, "")
        self._closing = None

    def abort(self) -> None:
        self._leave(1006, "")
        self._closing = None

    def _leave(self, code: int, reason: str) -> None:
        """The near end closes. Nothing more happens where it has already."""
        __tracebackhide__ = True
        if self._left:
            return
        was_connected, self.connected, self._left = self.connected, False, True
        if was_connected and code != 1006:
            self._closing = Hangup(code, reason)
            self.close_frame = self.close_frame or _close_frame(code, reason)
        try:
            self._line.hang_up(code, reason, sys.exc_info()[1])
        finally:
            self._wake()

    def _lost(self) -> None:
        """The far end is gone, and said no farewell."""
        self.connected = False
        self._line.end(1006, "")
        self._wake()

    def _gone(self, call: str) -> Exception:
        text = "socket is already closed." if call == "send" else "Connection is closed"
        if not self._left:
            return WebSocketConnectionClosedException(text)
        return ClosedError(f"{text} ({call!r} called in state 'closed'; valid from: 'open')")

    # -- what a socket would be asked for ---------------------------------------------------------

    @property
    def sock(self) -> socket.socket | None:  # type: ignore[override]
        """A socket that is readable when there is something to receive: for select, and no more."""
        if not self.connected and self.close_frame is None:
            return None
        if self._pipe is None:
            self._pipe = Pipe(self._line)
            self._finalizer = weakref.finalize(self, self._pipe.let_go)
        return self._pipe.near

    def fileno(self) -> int:
        if self.sock is None:
            raise WebSocketException("Connection not established")
        return self.sock.fileno()

    def is_ssl(self) -> bool:
        return self._secure

    def gettimeout(self) -> float | None:
        return self.sock_opt.timeout

    def settimeout(self, timeout: float | None) -> None:
        self.sock_opt.timeout = timeout

    timeout = property(gettimeout, settimeout)

    def _wake(self) -> None:
        if self._pipe is not None:
            self._pipe.end()

    def _drop_pipe(self) -> None:
        if self._pipe is not None:
            self._finalizer()
            self._pipe = None

    def _send(self, data: Any) -> int:
        raise WrongState("a mocked WebSocket has no socket to write bytes to: use send(), send_bytes() or send_frame()")

    def _recv(self, bufsize: int) -> bytes:
        raise WrongState("a mocked WebSocket has no socket to read bytes from: use recv() or recv_data()")


class _Socket(socket.socket):
    """A socket that has what `WebSocketApp` asks of one with TLS."""

    def pending(self) -> int:
        """Bytes that are decrypted already: none."""
        return 0


class Pipe:
    """A pair of sockets of which `near` is readable when there is something to receive.

    Most changes tell by themselves. What comes with time, such as a pause of a script, and the deadline, is seen to
    by a thread of its own, which is there only where somebody has asked for the socket.
    """

    def __init__(self, line: Line) -> None:
        near, self._far = socket.socketpair()
        self.near = _Socket(fileno=near.detach())
        self.overdue = False
        self._line = line
        self._told = False
        self._ended = False
        self._lock = line.lock  # one for both: each calls the other
        self._changed = threading.Event()
        self._unwatch = line.watch(self._look)
        line.releases.append(self.close)
        self._look()
        self._thread = threading.Thread(target=self._see_to_time, name="farend-mock", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The connection is over: whoever waits for the socket is woken."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._far.shutdown(socket.SHUT_RDWR)
        self._changed.set()

    def close(self) -> None:
        """Let go of everything, and wait until it is gone."""
        __tracebackhide__ = True
        self.let_go()
        self._thread.join()

    def let_go(self) -> None:
        """Let go of everything; wherever the garbage is collected, nothing can be waited for."""
        self.end()
        with contextlib.suppress(ValueError):
            self._unwatch()
        self.near.close()
        self._far.close()

    def _look(self) -> None:
        self._changed.set()
        self._show()

    def _show(self) -> None:
        with self._lock:
            if self._ended:
                return
            wanted = self._line.ready or self.overdue
            if wanted and not self._told:
                self._far.send(b"!")
            elif self._told and not wanted:
                self.near.recv(1)
            self._told = wanted

    def _see_to_time(self) -> None:
        patience = self._line.patience
        while not self._ended:
            self._changed.clear()
            if self._ended:
                return
            due = self._line.due
            limits = [] if patience is None else [patience]
            limits += [] if due is None else [max(due - time.monotonic(), 0)]
            if self._changed.wait(min(limits) if limits else None):
                continue
            self.overdue = due is None or time.monotonic() < due
            self._show()
            if self.overdue:
                return


def _length(payload: int) -> int:
    """Bytes of a masked frame with so many bytes in it (RFC 6455, 5.2)."""
    return payload + (6 if payload < 126 else 8 if payload < 1 << 16 else 14)


def _close_frame(code: int, reason: str) -> ABNF:
    return ABNF(1, 0, 0, 0, ABNF.OPCODE_CLOSE, 0, struct.pack("!H", code) + reason.encode())


@functools.cache
def _double_of(kind: type[WebSocket]) -> type[WebSocket]:
    """A class that is `kind` with the double's methods: above the library's, and below a user's own."""
    bases = (MockedWebSocket,) if kind is WebSocket else (kind, MockedWebSocket)
    return type(kind.__name__, bases, {"__module__": kind.__module__, "__doc__": kind.__doc__})


@functools.wraps(_REAL_CONNECT)
def _connect(self: Any, url: str, **options: Any) -> None:
    __tracebackhide__ = True
    parse_url(url)  # which refuses what is no WebSocket's
    try:
        line = dial(KINDS, url)
    except Failure:
        for app in _running_apps():
            app.keep_running = False  # it would swallow this, and dial again for ever
        raise
    if line is None:
        _REAL_CONNECT(self, url, **options)  # type: ignore[no-untyped-call]
        return
    kind: Any = type(self)
    self.__class__ = _double_of(kind)
    self._was = kind
    self._begin(line, url, options)


@functools.wraps(_REAL_RUN_FOREVER)
def _run_forever(self: Any, *arguments: Any, **options: Any) -> Any:
    __tracebackhide__ = True
    running = _running_apps()
    running.append(self)
    try:
        return _REAL_RUN_FOREVER(self, *arguments, **options)
    finally:
        running.remove(self)


def _running_apps() -> list[Any]:
    """The `WebSocketApp`s that run on this thread."""
    apps: list[Any] = _here.__dict__.setdefault("apps", [])
    return apps


def patches() -> Iterator[tuple[Any, str, Any]]:
    """What is to be replaced, and by what."""
    yield WebSocket, "connect", _connect
    yield WebSocketApp, "run_forever", _run_forever
