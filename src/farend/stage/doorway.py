"""A connection that was announced: whether it is TLS, and with whose certificate, was settled beforehand.

A client that was rerouted from `wss://api.exchange.com` speaks TLS, although the far end that it reaches
may have none. Whoever dials tells the server so, by the client's own address, before it connects.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final, NamedTuple, TypeAlias

from farend.core.outcomes import TlsProblem
from farend.stage.tunnel import Inside, Tunnel, bad_tunnel

Peer: TypeAlias = tuple[str, int]
_HANDSHAKE: Final = 0x16
"""The first byte of a TLS connection (RFC 8446, 5.1); no HTTP request begins with it."""


class Terms(NamedTuple):
    """How a connection begins: in TLS with this context, or without any where it is None.

    Where it is not `certain`, the client speaks first, and its first byte tells whether it is TLS.
    """

    context: ssl.SSLContext | None
    certain: bool = True


class Announcements:
    """The connections that will come, by the client's address. Announcing may be done from any thread."""

    def __init__(self) -> None:
        self._terms: dict[Peer, Terms] = {}

    def announce(self, peer: Any, terms: Terms) -> None:
        """The connection from `peer`, a socket's own address, comes on these terms."""
        self._terms[_key(peer)] = terms

    def take(self, peer: Any, otherwise: ssl.SSLContext | None) -> Terms:
        """The terms of a connection that has come; where it was not announced, the server's own."""
        return self._terms.pop(_key(peer), Terms(otherwise))


class Doorway(asyncio.Protocol):
    """Shows a connection to its driver: in a tunnel if it is TLS, with a `fault` perhaps, unless it stays `bare`."""

    def __init__(
        self,
        driver: Inside,
        announced: Announcements,
        otherwise: ssl.SSLContext | None,
        patience: float | None,
        fault: TlsProblem | None = None,
        *,
        bare: bool = False,
    ) -> None:
        self._driver = driver
        self._announced = announced
        self._otherwise = otherwise
        self._patience = patience
        self._fault = fault
        self._bare = bare

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        context, certain = self._announced.take(transport.get_extra_info("peername"), self._otherwise)
        if self._fault is not None:
            self._enter(bad_tunnel(self._driver, self._fault, self._patience))
        elif context is None or self._bare:
            self._enter(self._driver)
        elif certain:
            self._enter(Tunnel(self._driver, context, self._patience))
        else:
            self._context = context
            self._driver.connection_made(transport)

    # -- until the first byte has come ------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if data[0] == _HANDSHAKE:
            tunnel = Tunnel(self._driver, self._context, self._patience)
            self._enter(tunnel)
            tunnel.data_received(data)
        else:
            self._transport.set_protocol(self._driver)
            self._driver.data_received(data)

    def eof_received(self) -> bool:
        return self._driver.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._driver.connection_lost(error)

    def _enter(self, protocol: Any) -> None:
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)


def _key(peer: Any) -> Peer:
    """An address as both ends see it: a client on an IPv6 socket may be an IPv4 one to the server."""
    host, port = peer[:2]
    return host.removeprefix("::ffff:"), port
