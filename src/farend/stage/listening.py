"""Sockets that listen: on loopback, on a port that the system chooses, held from the first moment."""

from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path
from typing import Any, Final

from farend.errors import AddressError, InvalidArguments, WrongType

BACKLOG = 1024
TURNS_TO_COME: Final = 3
"""Turns of the loop in which a connection that it has taken comes to have its transport, if it ever gets one.

asyncio hands it over in the turn behind the one in which it was taken, and makes it in the next; uvloop is sooner, and
shows nothing of it. One more is for those who begin to count in the middle of a turn.
"""


class Listener(socket.socket):
    """A socket that listens, and counts the connections that were taken from it.

    An event loop takes a connection in one turn, and hands it over in a later one: who knows how many
    were taken knows whether one is on its way.
    """

    taken = 0

    @property
    def listens(self) -> bool:
        """Whether it has begun to, as the system has it: of a duplicate, too."""
        return self.fileno() >= 0 and bool(self.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def accept(self) -> tuple[socket.socket, Any]:
        connection = super().accept()
        self.taken += 1
        return connection


def knocked(sock: Any) -> bool:
    """Whether somebody waits at a socket that listens, as far as that can be seen."""
    if sock is None or not sock.listens or not 0 <= sock.fileno() < 1024:  # past what select can look at
        return False
    return bool(select.select([sock], [], [], 0)[0])


def listen(host: str, port: int, unix_path: str | os.PathLike[str] | None, *, closed: bool = False) -> Listener:
    """A socket that listens there, or has the port and refuses everybody where it is `closed`.

    Raises `AddressError`, with what to do, where that cannot be.
    """
    if unix_path is not None:
        return _listen_on_path(os.fspath(unix_path))
    if not isinstance(host, str):
        raise WrongType(f"host= takes an address as text, such as '127.0.0.1' or '::1', not {host!r}")
    if not isinstance(port, int) or isinstance(port, bool):
        raise WrongType(f"port= takes a number, not {port!r}; 0, the default, lets the system choose")
    if not 0 <= port <= 65535:
        raise InvalidArguments(f"port={port}: ports go from 0 to 65535; 0, the default, lets the system choose")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where it reads that this is TCP; without it, every second message in a row
    # waits 40 ms for the near end's delayed ACK.
    sock = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # A port whose last connections are in TIME_WAIT is free; one that is listened on is not.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        if not closed:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise AddressError(error.errno, _why_not(error, host, port)) from None
    return sock


def _listen_on_path(path: str) -> Listener:
    sock = Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        # Python itself refuses a path that is too long, and gives no number.
        raise AddressError(error.errno or errno.ENAMETOOLONG, _why_not_path(error, path)) from None
    return sock


def _why_not(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"host={host!r} is no address of this machine: {error.strerror}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} on {host} is taken: another program, or another far end, listens there. "
                "Leave port= out, and give your client the far end's .port"
            )
        case errno.EACCES:
            return f"port {port} on {host} may not be listened on by this user. Leave port= out, or take one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine; leave host= out to listen on 127.0.0.1"
    return f"{host}:{port} cannot be listened on: {error.strerror}"


def _why_not_path(error: OSError | str, path: str) -> str:
    if not Path(path).parent.is_dir():
        return f"the Unix socket {path} cannot be made: the folder {Path(path).parent} is not there"
    if Path(path).exists():
        return f"the Unix socket {path} cannot be made: something is there already. Remove it, or take another path"
    if len(os.fsencode(path)) > 107:
        return f"the Unix socket {path} cannot be made: its path has more than 107 bytes, which is the system's limit"
    return f"the Unix socket {path} cannot be made: {error}"
