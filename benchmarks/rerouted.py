"""Rerouted: connect, one exchange of 64 B, close; to one far end, by its own address and by a name of production.

A direct client dials 127.0.0.1, and so resolves nothing. A rerouted one dials a name that does not exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness import Group
from benchmarks.work import LOOPBACK, MESSAGE, on_a_loop, read_exactly, timed

HOST, PORT = "feed.example.com", 5025
DIRECT, REROUTED, MOCK = "direct", "rerouted", "unittest.mock.patch, 14 times"

sockets = Group("Plain sockets", "µs", "connection", DIRECT, settings={"connections": 300})
streams = Group("asyncio streams", "µs", "connection", DIRECT, settings={"connections": 300})
secure = Group("websockets on wss, blocking", "µs", "connection", DIRECT, settings={"connections": 60})
blocks = Group("Entering and leaving a block", "µs", "block", MOCK, settings={"blocks": 300})
GROUPS = [sockets, streams, secure, blocks]
PATCHES = 14
"""How many attributes a block replaces, where uvloop and aiodns are installed."""
ADDED = "rerouted, TLS added on demand"


@contextlib.contextmanager
def far_end(rerouted: bool, key: Any = (HOST, PORT), *, kind: str = "TcpServer", tls: bool = False) -> Iterator[Any]:
    """A far end on the background loop, and how to dial it."""
    import farend

    server = getattr(farend, kind)(farend.Script().expect(MESSAGE).send(MESSAGE), tls=tls)
    with server, farend.reroute({key: server}) if rerouted else contextlib.nullcontext():
        yield server


# -- plain sockets ----------------------------------------------------------------------------------


def ask(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(MESSAGE)
        read_exactly(client, len(MESSAGE))


def each(connection: Callable[[], None], connections: int) -> float:
    connection()
    begin = time.perf_counter()
    for _ in range(connections):
        connection()
    return (time.perf_counter() - begin) / connections


@sockets.contender(DIRECT, "farend")
def direct_socket(connections: int) -> float:
    with far_end(False) as server:
        return each(lambda: ask((LOOPBACK, server.port)), connections)


@sockets.contender(REROUTED, "farend")
def rerouted_socket(connections: int) -> float:
    with far_end(True):
        return each(lambda: ask((HOST, PORT)), connections)


sockets.target(REROUTED, 1.2)


# -- asyncio streams --------------------------------------------------------------------------------


async def ask_by_streams(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(MESSAGE)
    assert await reader.readexactly(len(MESSAGE)) == MESSAGE
    writer.close()
    await writer.wait_closed()


@streams.contender(DIRECT, "farend")
def direct_streams(connections: int) -> float:
    with far_end(False) as server:
        return on_a_loop(timed(lambda: ask_by_streams(LOOPBACK, server.port), connections))


@streams.contender(REROUTED, "farend")
def rerouted_streams(connections: int) -> float:
    with far_end(True):
        return on_a_loop(timed(lambda: ask_by_streams(HOST, PORT), connections))


streams.target(REROUTED, 1.2)


# -- TLS --------------------------------------------------------------------------------------------


def ask_by_websockets(url: str, context: Any) -> None:
    from websockets.sync.client import connect

    with connect(url, ssl=context, compression=None) as client:
        client.send(MESSAGE)
        assert client.recv(10) == MESSAGE


@secure.contender(DIRECT, "farend", "websockets")
def direct_websocket(connections: int) -> float:
    with far_end(False, kind="WebSocketServer", tls=True) as server:
        context = server.client_ssl_context
        return each(lambda: ask_by_websockets(server.url, context), connections)


@secure.contender(ADDED, "farend", "websockets", tls=False)
@secure.contender(REROUTED, "farend", "websockets", tls=True)
def rerouted_websocket(connections: int, tls: bool) -> float:
    """With a context of the client's own, made beforehand: what a library makes for each connection is its own cost."""
    import ssl

    url, context = f"wss://{HOST}/feed", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with far_end(True, url, kind="WebSocketServer", tls=tls):
        return each(lambda: ask_by_websockets(url, context), connections)


secure.target(REROUTED, 1.2)
secure.target(ADDED, 1.2)


# -- blocks -----------------------------------------------------------------------------------------


@blocks.contender(MOCK)
def mock_patch(blocks: int) -> float:
    from unittest.mock import patch

    names = [f"name_{number}" for number in range(PATCHES)]
    target = type("Target", (), dict.fromkeys(names))

    def block() -> None:
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(patch.object(target, name, 1))

    return each(block, blocks)


@blocks.contender("reroute", "farend")
def reroute_block(blocks: int) -> float:
    from farend import reroute

    def block() -> None:
        with reroute({(HOST, PORT): (LOOPBACK, 9)}):
            pass

    return each(block, blocks)
