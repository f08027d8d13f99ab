"""Refusing connections, really: who dials a server that refuses is led to a port that nobody listens on.

The system tells nobody whom it has refused. So attempts are counted where they are made: the `connect` of Python's
sockets asks here first. That sees every client in this process that connects through `socket`, which is all but a
few in C; uvloop's transports are made to.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from farend.stage.patches import Patch, Patches

Original: TypeAlias = Callable[..., Any]
_ANYWHERE: Final = ("0.0.0.0", "::", "")
_LOOPBACK: Final = {"localhost": ("127.0.0.1", "::1"), "": ("127.0.0.1", "::1")}


class Refusing(Protocol):
    """A server that refuses some of those who knock."""

    def knock(self) -> bool:
        """Whether the one who is about to connect is refused."""
        ...


class ClosedDoor:
    """A server's address, watched, and a port beside it that is ours and that nobody listens on.

    Raises `OSError` where there can be none.
    """

    def __init__(self, server: Refusing, address: Any, family: int) -> None:
        self.host, self.port = str(address[0]), int(address[1])
        self._server = weakref.ref(server)
        self._family = family
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        except OSError:
            self._sock.close()
            raise
        self._closed: tuple[Any, ...] = self._sock.getsockname()
        with _lock:
            _doors.setdefault(self.port, []).append(self)
        _patches().hold()

    def close(self) -> None:
        """Watch no more, and give the port back."""
        with _lock:
            doors = _doors.get(self.port, [])
            if self not in doors:
                return
            doors.remove(self)
            if not doors:
                del _doors[self.port]
        _patches().release()
        self._sock.close()

    def is_meant(self, host: str) -> bool:
        """Whether who dials `host`, at this port, dials the server."""
        hosts = _LOOPBACK.get(host, (host.removeprefix("::ffff:"),))
        return self.host in hosts or (self.host in _ANYWHERE and bool(hosts))

    def led(self, sock: socket.socket, address: Any) -> Any:
        """Where an attempt goes: to the closed port if it is refused."""
        server = self._server()
        if server is None or not server.knock():
            return address
        if sock.family == socket.AF_INET6 and self._family == socket.AF_INET:
            return (f"::ffff:{self._closed[0]}", self._closed[1], 0, 0)
        return self._closed


_doors: Final[dict[int, list[ClosedDoor]]] = {}
_lock: Final = threading.Lock()
_let_through: Final[weakref.WeakSet[socket.socket]] = weakref.WeakSet()
"""Who calls `connect_ex` until it is done has knocked once."""


def led(sock: socket.socket, address: Any) -> Any:
    """The address to connect to in place of `address`: another one where the attempt is refused."""
    door = _door(address)
    if door is None or sock.type != socket.SOCK_STREAM or sock in _let_through:
        return address
    target = door.led(sock, address)
    if target is address:
        _let_through.add(sock)
    return target


def _door(address: Any) -> ClosedDoor | None:
    if not _doors or not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
        return None
    doors = _doors.get(address[1], ()) if isinstance(address[1], int) else ()
    return next((door for door in tuple(doors) if door.is_meant(address[0])), None)


# -- the seams --------------------------------------------------------------------------------------


def _connect(original: Original) -> Original:
    @functools.wraps(original)
    def connect(self: socket.socket, address: Any, /) -> Any:
        return original(self, led(self, address))

    return connect


def connecting_by_socket(original: Original, concerns: Callable[[Any, Any], bool]) -> Original:
    """`create_connection` of a loop that connects below Python: it is given a socket that is connected.

    So it is for the hosts and ports that `concerns` names.
    """

    @functools.wraps(original)
    async def create_connection(
        self: asyncio.AbstractEventLoop,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        sock: socket.socket | None = None,
        ssl: Any = None,
        family: int = 0,
        flags: int = 0,
        local_addr: Any = None,
        server_hostname: str | None = None,
        **others: Any,
    ) -> Any:
        if sock is not None or not isinstance(host, str | bytes | bytearray) or not concerns(host, port):
            return await original(
                self, protocol_factory, host, port, sock=sock, ssl=ssl, family=family, flags=flags,
                local_addr=local_addr, server_hostname=server_hostname, **others,
            )  # fmt: skip
        if ssl and server_hostname is None:
            server_hostname = host  # type: ignore[assignment]
        sock = await _connected(self, host, port, family, flags, local_addr)
        try:
            return await original(self, protocol_factory, sock=sock, ssl=ssl, server_hostname=server_hostname, **others)
        except BaseException:
            sock.close()
            raise

    return create_connection


async def _connected(
    loop: asyncio.AbstractEventLoop, host: Any, port: Any, family: int, flags: int, local_addr: Any
) -> socket.socket:
    """A socket that is connected to the first address of a host that answers."""
    errors: list[OSError] = []
    for kind, _, proto, _, address in await loop.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=flags
    ):
        sock = socket.socket(kind, socket.SOCK_STREAM, proto)
        try:
            sock.setblocking(False)
            if local_addr is not None:
                sock.bind(local_addr)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            errors.append(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise errors[0]


def _create_connection(original: Original) -> Original:
    return connecting_by_socket(original, lambda host, port: port in _doors)


@functools.cache
def _patches() -> Patches:
    found = [Patch(socket.socket, "connect", _connect), Patch(socket.socket, "connect_ex", _connect)]
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        found.append(Patch(uvloop.Loop, "create_connection", _create_connection))
    return Patches(*found)
