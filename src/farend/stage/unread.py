"""How much of what was sent has not been read at the other end: asked of the kernel, where it tells.

The kernel's own send queue does not say it: on TCP it is empty when the bytes have *arrived*. What the
other end has read is known only at its own socket: on Linux to whoever asks for it (`sock_diag(7)`), elsewhere to
the process that has the socket. A Unix socket's sender is charged for all that is unread.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from typing import Any, Final, Protocol

from farend.stage.cable import CableSocket

try:
    import fcntl
    import termios
except ImportError:  # where the kernel does not tell
    fcntl = None  # type: ignore[assignment]


class Unread(Protocol):
    """What knows whether all that was sent on a connection was read."""

    def nothing(self) -> bool:
        """Whether nothing is unread, or the other end is gone."""
        ...


def unread(transport: Any) -> Unread | None:
    """What knows it of this connection; None where nobody does."""
    sock = transport.get_extra_info("socket")
    if isinstance(sock, CableSocket):
        return sock
    if sock is None:
        return None
    here, there = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    for kind in (_OnUnixSocket, _AtTheKernel, _InThisProcess):
        with contextlib.suppress(OSError, ValueError, AttributeError, NotImplementedError):
            return kind(sock, here, there)
    return None


class _OnUnixSocket:
    """What a Unix socket has sent is in its own send queue until it is read."""

    def __init__(self, sock: Any, here: Any, there: Any) -> None:
        if sock.family != socket.AF_UNIX or fcntl is None:
            raise NotImplementedError
        self._sock = sock
        self._queued()

    def nothing(self) -> bool:
        try:
            return not self._queued()
        except (OSError, ValueError):  # it is gone
            return True

    def _queued(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


# -- the other end's socket, by its address -------------------------------------------------------

_SOCK_DIAG_BY_FAMILY: Final = 20
_INET_DIAG_INFO: Final = 2
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_AT_RECEIVE_QUEUE: Final = 4 + 48 + 4
"""In an answer, behind its header: the state, the addresses, the timer's end."""
_ANSWER: Final = 4 + 48 + 20
_ATTRIBUTE: Final = struct.Struct("=HH")
_QUAD: Final = struct.Struct("=Q")
_BYTES_RECEIVED, _NOT_SENT, _BYTES_SENT, _BYTES_RESENT = 128, 144, 200, 208
"""Places in `struct tcp_info`."""
_ENOENT: Final = 2


class _AtTheKernel:
    """Linux tells of any TCP socket of this machine how much of what it has received is unread."""

    def __init__(self, sock: Any, here: Any, there: Any) -> None:
        if not hasattr(socket, "AF_NETLINK"):
            raise NotImplementedError
        self._sock = sock
        self._family, self._query = _query(there, here)
        self._sent()
        if self._received() is None:
            raise NotImplementedError  # it is on another machine, or in a container with a network of its own

    def nothing(self) -> bool:
        try:
            sent, received = self._sent(), self._received()
        except OSError:  # the connection is gone
            return True
        # While somebody reads, what arrives is neither counted as unread nor as received.
        return received is None or (sent is not None and received[0] >= sent and not received[1])

    def _sent(self) -> int | None:
        """How many bytes were sent; None while some wait until there is room."""
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RESENT + _QUAD.size)
        if len(info) < _BYTES_RESENT + _QUAD.size:
            raise NotImplementedError  # before Linux 4.19
        if any(info[_NOT_SENT : _NOT_SENT + 4]):
            return None
        return int(_QUAD.unpack_from(info, _BYTES_SENT)[0] - _QUAD.unpack_from(info, _BYTES_RESENT)[0])

    def _received(self) -> tuple[int, int] | None:
        """What the other end has received, and how much of that is unread, in bytes; None where it is gone."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 4) as kernel:
            kernel.settimeout(1.0)
            kernel.send(self._query)
            answer = kernel.recv(8192)
        length, kind, *_ = _HEADER.unpack_from(answer)
        if kind == _NLMSG_ERROR:
            problem = -int.from_bytes(answer[16:20], sys.byteorder, signed=True)
            if problem == _ENOENT:
                return None
            raise OSError(problem, os.strerror(problem))
        queued = int.from_bytes(answer[16 + _AT_RECEIVE_QUEUE :][:4], sys.byteorder)
        at = 16 + _ANSWER
        while at + _ATTRIBUTE.size <= length:
            size, attribute = _ATTRIBUTE.unpack_from(answer, at)
            if attribute == _INET_DIAG_INFO:
                return int(_QUAD.unpack_from(answer, at + 4 + _BYTES_RECEIVED)[0]), queued
            at += (size + 3) & ~3
        raise NotImplementedError


def _query(near: Any, far: Any) -> tuple[int, bytes]:
    """The family of the socket whose own address is `near`, and what to ask the kernel of it."""
    family = socket.AF_INET6 if ":" in near[0] and not near[0].startswith("::ffff:") else socket.AF_INET
    addresses = [socket.inet_pton(family, _plain(one[0])).ljust(16, b"\0") for one in (near, far)]
    which = struct.pack("!HH", near[1], far[1]) + b"".join(addresses) + bytes(4) + b"\xff" * 8
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, 0xFFFFFFFF) + which
    return family, _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + body


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:").partition("%")[0]


class _InThisProcess:
    """The process that has a socket can ask how much of it is unread.

    Nobody holds it for that, since the near end has to be able to close it. So each time, its number is asked for
    its addresses again.
    """

    def __init__(self, sock: Any, here: Any, there: Any) -> None:
        if fcntl is None or not isinstance(here, tuple) or not isinstance(there, tuple):
            raise NotImplementedError
        self._ends = there[:2], here[:2]
        number = next((int(name) for name in os.listdir("/dev/fd") if _ends(int(name)) == self._ends), None)
        if number is None:
            raise NotImplementedError  # another process has it
        self._number = number

    def nothing(self) -> bool:
        if _ends(self._number) != self._ends:
            return True
        try:
            return not any(fcntl.ioctl(self._number, termios.FIONREAD, bytes(4)))
        except OSError:  # it was closed at this very moment
            return True


def _ends(number: int) -> tuple[Any, Any] | None:
    """The addresses of a socket, its own first; None for what is no connected socket."""
    try:
        sock = socket.socket(fileno=number)
    except OSError:
        return None
    try:
        here, there = sock.getsockname(), sock.getpeername()
        return (here[:2], there[:2]) if isinstance(here, tuple) and isinstance(there, tuple) else None
    except OSError:
        return None
    finally:
        sock.detach()
