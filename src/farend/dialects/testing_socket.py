"""A true socket that keeps what is sent through it, and breaks where it is told to (seed 001)."""

from __future__ import annotations

import socket
import ssl
from collections import UserDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from farend.core.messages import printed
from farend.errors import InvalidArguments, WrongType
from farend.stage import segments

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

Breakage: TypeAlias = BaseException | type[BaseException]


class TestingSocket(socket.socket):
    """A true socket that keeps what is sent through it, and breaks where it is told to (seed 001).

    >>> import errno, socket
    >>> from farend import TestingSocket
    >>> near, far = socket.socketpair()
    >>> sock = TestingSocket(sock=near)
    >>> sock.breakOn("byte-me", OSError(errno.EPIPE, "gotcha"))
    >>> sock.send(b"hello")
    5
    >>> sock.sendall(b"do byte-me")
    Traceback (most recent call last):
    BrokenPipeError: [Errno 32] gotcha
    >>> sock._data["data_out"], sock._data["send_calls"], sock._data["sendall_calls"]
    (b'hellodo byte-me', 1, 1)
    >>> sock.close(), far.close()
    (None, None)

    Made as `socket.socket` is, or from a socket that is there: `TestingSocket(sock=connected)` takes it
    over with its timeout, and leaves `connected` closed. It goes wherever a socket goes: `select`,
    `http.client`, asyncio (`sock_sendall`, `create_connection(sock=…)`, with `ssl=` too).

    `_data` has the bytes sent so far (`data_out`), and how often `send` (`send_calls`) and `sendall`
    (`sendall_calls`) were called. What a `send` did not take counts when it is sent again. `sendmsg` (which
    asyncio uses as well) and `sendto` count as `send`. What goes past the object is not seen: libuv's own
    writes (uvloop), `sendfile`, and the socket that `ssl.SSLContext.wrap_socket` makes of this one.

    In a test that `every_split` plays, what it receives is cut: a `recv` gives the bytes up to the next cut, and
    no more, wherever they come from.

    Raises `WrongType` or `InvalidArguments` for what cannot be taken over.
    """

    __test__ = False  # the name is the seed's; pytest would take it for a class of tests

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        sock: socket.socket | None = None,
    ) -> None:
        __tracebackhide__ = True
        self._data = _Record(data_out=b"", send_calls=0, sendall_calls=0)
        self._trigger = b""
        self._breakage: Breakage | None = None
        self._broken = False
        self._received: segments.Receiving | None = None
        if sock is None:
            super().__init__(family, type, proto, fileno)
            return
        _check_taken_over(sock, (family, type, proto, fileno) != (-1, -1, -1, None))
        super().__init__(sock.family, sock.type, sock.proto, sock.fileno())
        self.settimeout(sock.gettimeout())
        sock.detach()

    def breakOn(self, trigger: str | bytes, exception: Breakage) -> None:  # noqa: N802 (the seed's name)
        """Raise `exception` from the send in which `trigger` is complete, and from all later ones.

        The trigger is looked for in all that was sent, so it may come in parts. Text is looked for as
        UTF-8. What the raising send was given is in `data_out`, and is not sent. A second call takes
        the place of the first.

        Raises `WrongType` or `InvalidArguments` for a trigger or an exception that is none.
        """
        __tracebackhide__ = True
        if not isinstance(trigger, str | bytes | bytearray | memoryview):
            raise WrongType(f"breakOn() takes the trigger as text or bytes, not {printed(trigger)}")
        if not isinstance(exception, BaseException) and not _is_exception_class(exception):
            raise WrongType(
                "breakOn() takes an exception to raise, such as OSError(errno.EPIPE, 'gotcha'), "
                f"not {printed(exception)}"
            )
        raw = trigger.encode() if isinstance(trigger, str) else bytes(trigger)
        if not raw:
            raise InvalidArguments(
                "breakOn() takes a trigger of at least one byte: nothing at all would be found in every send"
            )
        self._trigger = raw
        self._breakage = exception
        self._broken = raw in self._data["data_out"]

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """`socket.send`, counted, kept, and broken where it was asked for."""
        self._data["send_calls"] += 1
        raw = memoryview(data).cast("B")
        self._break_if_complete(raw)
        sent = super().send(data, flags)
        self._keep(raw[:sent])
        return sent

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """`socket.sendall`, counted, kept, and broken where it was asked for."""
        self._data["sendall_calls"] += 1
        raw = memoryview(data).cast("B")
        self._break_if_complete(raw)
        self._keep(raw)
        super().sendall(data, flags)

    def sendmsg(self, buffers: Iterable[ReadableBuffer], *rest: Any) -> int:
        """`socket.sendmsg`, which counts as a `send`."""
        self._data["send_calls"] += 1
        parts = list(buffers)
        raw = memoryview(b"".join(parts))
        self._break_if_complete(raw)
        sent = super().sendmsg(parts, *rest)
        self._keep(raw[:sent])
        return sent

    def sendto(self, data: ReadableBuffer, *where: Any) -> int:
        """`socket.sendto`, which counts as a `send`."""
        self._data["send_calls"] += 1
        raw = memoryview(data).cast("B")
        self._break_if_complete(raw)
        sent = super().sendto(data, *where)
        self._keep(raw[:sent])
        return sent

    # -- receiving, in pieces where `every_split` cuts ---------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """`socket.recv`."""
        receiving = self._receiving(flags)
        data = super().recv(receiving.room(bufsize) if receiving and not flags else bufsize, flags)
        if receiving:
            receiving.take(data)
        return data

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """`socket.recvfrom`."""
        receiving = self._receiving(flags)
        data, address = super().recvfrom(receiving.room(bufsize) if receiving and not flags else bufsize, flags)
        if receiving:
            receiving.take(data)
        return data, address

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """`socket.recv_into`."""
        receiving = self._receiving(flags)
        if receiving is None:
            return super().recv_into(buffer, nbytes, flags)
        space = memoryview(buffer).cast("B")
        size = nbytes or len(space)
        count = super().recv_into(buffer, size if flags or not size else receiving.room(size), flags)
        receiving.take(space[:count])
        return count

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, Any, int, Any]:
        """`socket.recvmsg`."""
        receiving = self._receiving(flags)
        size = receiving.room(bufsize) if receiving and not flags else bufsize
        data, *rest = super().recvmsg(size, ancbufsize, flags)
        if receiving:
            receiving.take(data)
        return data, *rest

    def _receiving(self, flags: int) -> segments.Receiving | None:
        """What is received in the run that goes on; None where nothing is cut, or the far end does it.

        Who waits for a whole message (`MSG_WAITALL`) gets it, and so does who only looks (`MSG_PEEK`).
        """
        run = segments.current
        if run is None or flags & socket.MSG_PEEK:
            return None
        if self._received is None or self._received.run is not run:
            super().recv(1, socket.MSG_PEEK)  # when something came, a far end that said it is known
            if self._is_cut_already(run):
                return None
            self._received = run.receiving(f"{type(self).__name__} {self.fileno()}")
        return self._received

    def _is_cut_already(self, run: segments.Run) -> bool:
        try:
            return run.has(self.getsockname(), self.getpeername())
        except OSError:  # not connected
            return False

    def _break_if_complete(self, data: memoryview) -> None:
        __tracebackhide__ = True
        if self._breakage is None:
            return
        if not self._broken:
            # What was sent before has no trigger in it, so only its end can begin one.
            beginning = self._data.end(len(self._trigger) - 1)
            self._broken = self._trigger in b"".join((beginning, data))
        if self._broken:
            self._keep(data)
            breakage = self._breakage
            raise breakage if isinstance(breakage, type) else breakage.with_traceback(None)

    def _keep(self, data: memoryview) -> None:
        self._data.out.extend(data)


class _Record(UserDict[str, Any]):
    """The seed's `_data`. The bytes grow in place, so that many sends cost no more each than one."""

    out: bytearray

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "data_out":
            self.out = bytearray(value)
            value = None
        super().__setitem__(key, value)

    def __getitem__(self, key: str) -> Any:
        return bytes(self.out) if key == "data_out" else super().__getitem__(key)

    def __repr__(self) -> str:
        return repr(dict(self))

    def end(self, size: int) -> bytes:
        """The last bytes."""
        return bytes(self.out[-size:]) if size else b""


def _check_taken_over(sock: object, more: bool) -> None:
    __tracebackhide__ = True
    if isinstance(sock, ssl.SSLSocket):
        raise WrongType(
            "sock= takes a plain socket: an SSLSocket cannot be taken over without losing its TLS. "
            "Write context.wrap_socket(TestingSocket(sock=plain))"
        )
    if not isinstance(sock, socket.socket):
        raise WrongType(f"sock= takes a socket to take over, not {printed(sock)}")
    if sock.fileno() < 0:
        raise InvalidArguments("sock= takes an open socket, and this one is closed")
    if more:
        raise InvalidArguments("sock= has its own family, type and number: leave the other arguments out")


def _is_exception_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
