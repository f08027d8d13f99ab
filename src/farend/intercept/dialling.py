"""How asyncio's clients dial, answered in memory: the methods of one loop that resolve names and connect.

A client comes here by one of two ways: `create_connection(host=…)`, or, where it resolves and races addresses
itself, `getaddrinfo`, `sock_connect` on a socket of its own, and then `create_connection(sock=…)`. A name is given a
stand-in, as in `reroute`, and what is not listed is refused: nothing leaves the loop.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import weakref
from asyncio import sslproto
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.request import getproxies

from farend.errors import AddressError, WrongState
from farend.intercept import routes, seams
from farend.intercept.addresses import is_ip, plain_host, where
from farend.settling.patches import Patches
from farend.stage.cable import CableTransport
from farend.stage.doorway import Terms
from farend.stage.network import FIRST_PORT, Network
from farend.stage.servers import Server

OWN: Final = "127.0.0.1"
"""The address of clients."""


class Place(NamedTuple):
    """Who is at an address: a server, how connections to a name begin there, and whether the certificate is ours."""

    server: Server
    terms: Callable[[str], Terms] | None
    ours: bool


class Dialling:
    """The clients of one network; `places` tells who is where."""

    def __init__(self, network: Network, places: Mapping[tuple[str, int | None], Place]) -> None:
        self._network = network
        self._loop: Any = network.loop
        self._places = places
        self._patches = Patches()
        self._ports = itertools.count(FIRST_PORT)
        self._connected: weakref.WeakKeyDictionary[socket.socket, _Dialled] = weakref.WeakKeyDictionary()
        self.refused: list[AddressError] = []

    def install(self) -> None:
        """Answer from now on."""
        for name in ("getaddrinfo", "sock_connect", "create_connection", "start_tls", "create_datagram_endpoint"):
            setattr(self, f"_real_{name}", getattr(self._loop, name))
            self._patches.put(self._loop, name, getattr(self, name))

    def remove(self) -> None:
        """Leave the loop as it was."""
        self._patches.restore()

    # -- who is there -----------------------------------------------------------------------------

    def _dial(self, host: str, port: Any, family: int, own: Any = None) -> _Dialled:
        """Connect, as the system would. Raises what a client of an address is told that nobody is at."""
        __tracebackhide__ = True
        name = routes.named(host)
        place = self._places.get((name, port)) or self._places.get((name, None))
        if place is None:
            raise self._refuse(name, port)
        if not place.server.is_listening or place.server.knock():
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {(host, port)}")
        is_v6 = family == socket.AF_INET6
        address = _address(routes.stand_in(name) if not is_ip(name) else name, port, is_v6)
        near, far = self._network.connect(own or _address(OWN, next(self._ports), is_v6), address)
        place.server.meet(far, place.terms and place.terms(name))
        return _Dialled(near)

    def _refuse(self, host: str, port: Any) -> AddressError:
        listed = ", ".join(f"every port of {name}" if one is None else where(name, one) for name, one in self._places)
        hint = ""
        if any(where(host, port) in proxy for proxy in getproxies().values()):
            hint = " It is the proxy that the environment names: have the client use none (proxy=None)."
        error = AddressError(
            errno.ECONNREFUSED,
            f"{where(host, port)} is not in this virtual network, and nothing leaves it: write ({host!r}, {port}): "
            f"far_end into virtual_network({{…}}). In it: {listed}.{hint}",
        )
        self.refused.append(error)
        return error

    # -- the loop's methods -----------------------------------------------------------------------

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """Stands in for the loop's method: a name has a stand-in, and nobody is asked."""
        if not host or flags & socket.AI_PASSIVE or type not in (0, socket.SOCK_STREAM):
            return await self._real_getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)  # type: ignore[attr-defined]
        name, number = plain_host(seams.as_text(host)), seams.port_number(port) or 0
        address = name if is_ip(name) else routes.stand_in(name)
        is_v6 = family == socket.AF_INET6 or ":" in address
        return [
            (
                socket.AF_INET6 if is_v6 else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                name if flags & socket.AI_CANONNAME else "",
                _address(address, number, is_v6),
            )
        ]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Stands in for the loop's method: the socket stays as it is, and is known to be connected."""
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            await self._real_sock_connect(sock, address)  # type: ignore[attr-defined]
            return
        await asyncio.sleep(0)  # as long as it takes with a socket
        dialled = self._dial(seams.as_text(address[0]), address[1], sock.family)
        self._connected[sock] = dialled
        weakref.finalize(sock, dialled.drop)

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        sock: socket.socket | None = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        **_: Any,
    ) -> tuple[Any, Any]:
        """Stands in for the loop's method."""
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            dialled = self._connected.pop(sock, None)
            if dialled is None:
                raise WrongState(
                    f"{sock!r} was not connected in this virtual network: let the client connect it with the loop's "
                    "sock_connect(), or give it a host and a port"
                )
            sock.close()
        elif host is None or port is None:
            raise ValueError("host and port was not specified and no sock specified")
        else:
            await asyncio.sleep(0)
            dialled = self._dial(seams.as_text(host), seams.port_number(port), family, local_addr)
        if ssl and server_hostname is None:
            if sock is not None:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        protocol = protocol_factory()
        begun = self._loop.create_future()
        transport: Any = dialled.transport
        dialled.taken_up = True
        if ssl:
            inner = self._tls(
                protocol, ssl, begun, server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout,
            )  # fmt: skip
            transport.begin(inner)
            transport = inner._app_transport
        else:
            transport.begin(protocol, begun)
        try:
            await begun
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        **options: Any,
    ) -> Any:
        """Stands in for the loop's method, for connections of this network."""
        if not isinstance(transport, CableTransport):
            return await self._real_start_tls(  # type: ignore[attr-defined]
                transport, protocol, sslcontext, server_side=server_side, server_hostname=server_hostname, **options
            )
        begun = self._loop.create_future()
        inner = self._tls(
            protocol, sslcontext, begun, server_hostname,
            server_side=server_side, call_connection_made=False, **options,
        )  # fmt: skip
        transport.pause_reading()
        transport.set_protocol(inner)
        self._loop.call_soon(inner.connection_made, transport)
        self._loop.call_soon(transport.resume_reading)
        try:
            await begun
        except BaseException:
            transport.close()
            raise
        return inner._app_transport

    def _tls(self, protocol: Any, context: Any, begun: Any, name: str | None, **options: Any) -> Any:
        """The TLS of asyncio, which is the same on every loop."""
        make: Any = sslproto.SSLProtocol
        return make(self._loop, protocol, None if context is True else context, begun, server_hostname=name, **options)

    async def create_datagram_endpoint(self, *arguments: Any, **options: Any) -> Any:
        """Stands in for the loop's method: there are no datagrams here."""
        remote = options.get("remote_addr") or (arguments[2] if len(arguments) > 2 else None)
        if remote:
            raise self._refuse(plain_host(seams.as_text(remote[0])), remote[1])
        raise AddressError(errno.ENETUNREACH, "a virtual network has connections alone, and nothing leaves it: no UDP")


class _Dialled:
    """A connection that was dialled, and may not have been taken up by a protocol yet."""

    def __init__(self, transport: CableTransport) -> None:
        self.transport = transport
        self.taken_up = False

    def drop(self) -> None:
        """The client's socket is gone."""
        if not self.taken_up and not self.transport.is_closing():
            self.transport.close()


def _address(host: str, port: Any, is_v6: bool) -> tuple[Any, ...]:
    if not is_v6:
        return host, port
    return (host if ":" in host else f"::ffff:{host}", port, 0, 0)
