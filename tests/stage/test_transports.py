"""What comes in floods comes whole, in order, and to who is there to hear it; what is little then comes as before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct

import pytest

from farend import Latency, Script, TcpServer, proxy
from farend.stage import driver, transports
from farend.stage import pipe as pipes
from farend.stage.transports import LITTLE, READ_SIZE

MUCH = os.urandom(READ_SIZE * 6 + 100)
FULL = 64
"""Bytes that are a flood here."""


@pytest.fixture
def small(monkeypatch):
    for module in (transports, pipes, driver):
        monkeypatch.setattr(module, "LITTLE", FULL)


@contextlib.asynccontextmanager
async def proxied():
    """A client's socket, the server's streams, and the proxy between them, with its pipe."""
    accepted: asyncio.Queue = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: accepted.put(streams), "127.0.0.1", 0)
    async with server, proxy(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}") as between, asyncio.timeout(30):
        with socket.create_connection(("127.0.0.1", between.port), 30) as sock:
            sock.setblocking(False)
            reader, writer = await accepted.get()
            [pipe] = between._pipes
            try:
                yield sock, reader, writer, between, pipe
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()


async def passed(sock, reader, data):
    await asyncio.get_running_loop().sock_sendall(sock, data)
    assert await reader.readexactly(len(data)) == data


def asks_for(transport):
    """How many bytes it asks for at once; a transport of uvloop's has a buffer of its own."""
    return getattr(transport, "max_size", None)


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["in order", "reset"])
async def test_much_is_asked_for_while_much_comes(small, end):
    async with proxied() as (sock, reader, _, between, pipe):
        raw = pipe.near.transport
        little, much = (FULL, READ_SIZE) if isinstance(raw, asyncio.Transport) else (None, None)
        await passed(sock, reader, b"a little")
        assert asks_for(raw) == little
        await passed(sock, reader, bytes(FULL))
        assert asks_for(raw) == much
        await passed(sock, reader, b"little")
        assert asks_for(raw) == little
        await passed(sock, reader, bytes(FULL))
        between.faults.add(latency := Latency(0.001))
        await passed(sock, reader, b"late")
        assert raw.get_protocol() is pipe.impaired
        between.faults.remove(latency)
        await passed(sock, reader, b"early")
        assert asks_for(raw) == little
        await passed(sock, reader, bytes(FULL))
        assert asks_for(raw) == much
        if end == "in order":
            sock.shutdown(socket.SHUT_WR)
            assert await reader.read() == b""
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            with pytest.raises(ConnectionResetError):
                await reader.read()


@pytest.mark.asyncio
async def test_a_fault_that_begins_while_a_flood_is_heard_has_the_transport(small):
    async with proxied() as (sock, reader, _, between, pipe):
        raw = pipe.near.transport

        def heard(side, data):
            between.faults.add(Latency(0.001))
            return data

        pipe.tap.said = heard
        await passed(sock, reader, bytes(FULL))
        assert raw.get_protocol() is pipe.impaired


@pytest.mark.asyncio
async def test_who_reads_nothing_holds_a_flood_up(small):
    async with proxied() as (sock, reader, writer, _, _):
        await passed(sock, reader, bytes(FULL))
        much = MUCH * 10
        writer.write(much)
        heard = b""
        while len(heard) < len(much):
            heard += await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
        assert heard == much


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [LITTLE, FULL])
def test_a_far_end_hears_a_flood_and_what_follows_it(monkeypatch, loop, size):
    for module in (transports, driver):
        monkeypatch.setattr(module, "LITTLE", size)

    async def main():
        script = Script().expect(MUCH).send(b"more").expect(b"little").send(MUCH).expect(MUCH).send(b"done")
        async with TcpServer(script) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for said, heard in ((MUCH, b"more"), (b"little", MUCH), (MUCH, b"done")):
                writer.write(said)
                assert await reader.readexactly(len(heard)) == heard
            writer.close()
            await writer.wait_closed()

    if loop == "asyncio":
        asyncio.run(main())
    else:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
