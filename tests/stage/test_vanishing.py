"""Clients that are gone, or only just there, when a server stops."""

import asyncio
import gc
import socket
import threading

import pytest

from farend import CommandServer, OneShotServer, Script, TcpServer


def knock(server):
    socket.create_connection((server.host, server.port), timeout=5).close()


@pytest.mark.parametrize(
    "make",
    [lambda: TcpServer(Script().expect("x")), lambda: CommandServer("x", verbose=False)],
    ids=["tcp", "commands"],
)
def test_a_client_that_vanishes_at_once(make):
    """Leaks: asyncio loses a connection that it has accepted, and not handed over when its server is closed."""
    for _ in range(50):
        server = make()
        if type(server) is TcpServer:
            server.start()
        knock(server)
        server.close()
    gc.collect()  # with -W error, an unclosed socket fails the test


@pytest.mark.parametrize("make", [CommandServer, OneShotServer])
def test_clients_that_come_while_it_stops(make):
    """Leaks: the same, with clients that know nothing of the stop."""

    def keep_knocking(server):
        try:
            while True:
                knock(server)
        except OSError:
            pass

    for _ in range(8):
        server = make("x", verbose=False)
        knocking = threading.Thread(target=keep_knocking, args=(server,))
        knocking.start()
        knock(server) if make is CommandServer else None
        server.stop()
        knocking.join(60)
        assert not knocking.is_alive()
    gc.collect()


def test_a_loop_that_ends_with_the_server():
    """Leaks: nothing is left to a turn of the loop that never comes."""

    async def live():
        for _ in range(10):
            server = TcpServer(Script().expect("x")).start()
            knock(server)
            await server.aclose()

    asyncio.run(live())
    gc.collect()
