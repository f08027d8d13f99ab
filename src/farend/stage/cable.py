"""A connection in memory: two transports of asyncio's, and between them a cable that keeps the order.

What one end writes is handed to the protocol at the other end in the next turn of the loop, as it would be if it
had come through the kernel: what was written by then arrives together, an end of the stream behind it. A cable
takes in `WINDOW` bytes that are not read, as a kernel does; what is written beyond that stays in the
transport's own buffer, whose limits pause and resume the writer. No descriptor is used, and no time passes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from farend.stage.transports import READ_SIZE

WINDOW: Final = READ_SIZE
"""Bytes that wait to be read, at most; then the writer has to wait."""
HIGH_WATER: Final = 64 << 10
"""Bytes in a transport's buffer above which its writer is paused, where nobody says otherwise (as in asyncio)."""


def reset_by_peer() -> ConnectionResetError:
    """What a connection ends with that the other end has cut."""
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class CableTransport(asyncio.Transport):
    """One end of a connection in memory. Made in pairs: `connect`.

    Beside what asyncio's transports promise: `abort` is seen as a reset at the other end, and so is writing to an
    end that is gone.
    """

    _start_tls_compatible = True

    def __init__(self, loop: asyncio.AbstractEventLoop, sockname: Any, peername: Any) -> None:
        super().__init__()
        self._loop = loop
        self._names = {"sockname": sockname, "peername": peername}
        self._protocol: Any = None
        self._other: CableTransport
        self._coming: deque[bytes] = deque()
        self._coming_size = 0
        self._unsent: deque[bytes] = deque()
        self._unsent_size = 0
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._writer_paused = False
        self._began = False
        self._reads = True
        self._handing_on = False
        self._end_comes = self._end_heard = False
        self._end_said = False
        self._closing = self._losing = self._gone = False
        self._error: Exception | None = None
        self._cuts = self._cut = False
        self._left: Callable[[bool], None] | None = None
        self.when_gone: Callable[[CableTransport], object] | None = None
        self.when_moved: Callable[[], object] | None = None

    def begin(self, protocol: Any, begun: asyncio.Future[None] | None = None) -> None:
        """Show the connection to its protocol, in the turns that follow; `begun` is told then."""
        self._protocol = protocol
        self._loop.call_soon(protocol.connection_made, self)
        self._loop.call_soon(self._begin)
        if begun is not None:
            self._loop.call_soon(_told, begun)

    def _begin(self) -> None:
        self._began = True
        self._hand_on_soon()

    # -- asyncio.BaseTransport --------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return CableSocket(self)
        return self._names.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._unsent_size:
                self._lose_soon()

    # -- asyncio.ReadTransport --------------------------------------------------------------------

    def is_reading(self) -> bool:
        return self._reads and not self._closing

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        self._hand_on_soon()

    def _hand_on_soon(self) -> None:
        if not self._handing_on and self._began and self._reads and (self._coming or self._end_comes or self._cut):
            self._handing_on = True
            self._loop.call_soon(self._hand_on)

    def _hand_on(self) -> None:
        """Give the protocol what has come."""
        self._handing_on = False
        if self._closing or not self._reads:
            return
        try:
            if self._coming:
                self._hand_over(self._protocol)
            elif self._cut:
                self._force_close(reset_by_peer())
            elif self._end_comes and not self._end_heard:
                self._end_heard = True
                if not self._protocol.eof_received():
                    self.close()
        except Exception as error:  # the protocol's, as asyncio treats it
            context = {"message": "Fatal error: a protocol failed at what came.", "exception": error}
            self._loop.call_exception_handler({**context, "transport": self, "protocol": self._protocol})
            self._force_close(error)
        if self._coming or ((self._end_comes or self._cut) and not self._end_heard):
            self._hand_on_soon()

    def _hand_over(self, protocol: Any) -> None:
        data = self._coming.popleft() if len(self._coming) == 1 else b"".join(self._coming)
        self._coming.clear()
        if isinstance(protocol, asyncio.BufferedProtocol):
            buffer = memoryview(protocol.get_buffer(-1)).cast("B")
            size = min(len(buffer), len(data))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
            buffer[:size] = data[:size]
            if size < len(data):
                self._coming.append(data[size:])
            self._taken(size)
            protocol.buffer_updated(size)
        else:
            self._taken(len(data))
            protocol.data_received(data)

    def _taken(self, size: int) -> None:
        self._coming_size -= size
        if self.when_moved is not None:
            self.when_moved()
        self._other._there_is_room()

    # -- asyncio.WriteTransport -------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._end_said:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        if self._other._gone:
            self._force_close(reset_by_peer())
            return
        self._unsent.append(bytes(data))
        self._unsent_size += len(self._unsent[-1])
        self._send()
        if self._unsent_size > self._high and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    def _send(self) -> None:
        """Put into the cable what goes in."""
        other = self._other
        while self._unsent and (room := WINDOW - other._coming_size) > 0:
            chunk = self._unsent.popleft()
            if len(chunk) > room:
                self._unsent.appendleft(chunk[room:])
                chunk = chunk[:room]
            self._unsent_size -= len(chunk)
            other._coming.append(chunk)
            other._coming_size += len(chunk)
        other._hand_on_soon()

    def _there_is_room(self) -> None:
        """The other end has read."""
        if not self._unsent_size:
            return
        self._send()
        if self._writer_paused and self._unsent_size <= self._low:
            self._writer_paused = False
            self._protocol.resume_writing()
        if not self._unsent_size:
            if self._closing:
                self._lose_soon()
            elif self._end_said:
                self._other._hear_the_end()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing or self._end_said:
            return
        self._end_said = True
        if not self._unsent_size:
            self._other._hear_the_end()

    def _hear_the_end(self) -> None:
        self._end_comes = True
        if self._left is not None:
            self._left(False)
        self._hand_on_soon()

    def abort(self) -> None:
        self._force_close(None)

    def get_write_buffer_size(self) -> int:
        return self._unsent_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        if self._unsent_size > high and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    # -- the end ----------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """End it from outside, with this for the protocol; the other end is reset."""
        self._force_close(error)

    def _force_close(self, error: Exception | None) -> None:
        """Cut the connection: what is not sent is lost. Known by this name to the TLS of asyncio."""
        if self._gone:
            return
        self._unsent.clear()
        self._unsent_size = 0
        self._closing = True
        self._cuts = True
        if not self._losing:
            self._error = error
        self._lose_soon()

    def _lose_soon(self) -> None:
        if not self._losing:
            self._losing = True
            self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        self._gone = True
        self._coming.clear()
        protocol, self._protocol = self._protocol, None
        try:
            if protocol is not None:  # else nobody has taken the connection up yet
                protocol.connection_lost(self._error)
        finally:
            if self.when_gone is not None:
                self.when_gone(self)
            other = self._other
            if not other._gone:
                if self._cuts or other._unsent_size:
                    other._hear_of_the_cut()
                else:
                    other._hear_the_end()

    def _hear_of_the_cut(self) -> None:
        """The other end is gone for good. What has come before that can still be read, where somebody reads."""
        self._cut = True
        if self._reads and self._began and not self._unsent_size:
            self._hand_on_soon()
        else:
            self._force_close(reset_by_peer())

    def __repr__(self) -> str:
        state = "gone" if self._gone else "closing" if self._closing else "open"
        return f"<CableTransport {self._names['sockname']} to {self._names['peername']}: {state}>"


def _told(begun: asyncio.Future[None]) -> None:
    if not begun.done():
        begun.set_result(None)


def connect(loop: asyncio.AbstractEventLoop, one: Any, other: Any) -> tuple[CableTransport, CableTransport]:
    """Both ends of a connection from the address `one` to the address `other`; each is to be begun."""
    near, far = CableTransport(loop, one, other), CableTransport(loop, other, one)
    near._other, far._other = far, near
    return near, far


class CableSocket:
    """What `get_extra_info("socket")` gives: it has the addresses, and takes options without effect.

    Libraries ask for it to set TCP_NODELAY, and the like. What a real one has to be asked of the system
    (`leaving.py`, `unread.py`), it knows.
    """

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, transport: CableTransport) -> None:
        self._transport = transport
        self._sockname, self._peername = transport._names["sockname"], transport._names["peername"]
        self.family = socket.AF_INET6 if len(self._sockname) == 4 else socket.AF_INET

    def watch_leaving(self, told: Callable[[bool], None]) -> Callable[[], None]:
        """Call `told` with False once the other end has ended its side; the answer ends that."""
        self._transport._left = told
        return self._watch_no_more

    def _watch_no_more(self) -> None:
        self._transport._left = None

    def nothing(self) -> bool:
        """Whether nothing is unread at the other end, or that is gone."""
        other = self._transport._other
        return other._gone or not (other._coming_size or self._transport._unsent_size)

    def getsockname(self) -> Any:
        return self._sockname

    def getpeername(self) -> Any:
        return self._peername

    def fileno(self) -> int:
        """There is none."""
        return -1

    def setsockopt(self, *options: Any) -> None:
        """Take an option, which changes nothing."""

    def getsockopt(self, level: int, option: int, length: int = 0) -> int | bytes:
        """No option is set."""
        return bytes(length) if length else 0

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        if flag:
            raise ValueError("a connection in memory cannot block")

    def __repr__(self) -> str:
        return f"<CableSocket {self._sockname} to {self._peername}>"
