"""What comes in floods comes whole, in order, and to who is there to hear it; what is little then comes as before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct

import pytest

from farend import Latency, Script, TcpServer, proxy
from farend.stage import driver, pipe, transports
from farend.stage.transports import READ_SIZE, Flood

MUCH = os.urandom(READ_SIZE * 6 + 100)
FULL = 64
"""Bytes that are a flood here."""


@pytest.fixture
def small(monkeypatch):
    for module in (transports, pipe, driver):
        monkeypatch.setattr(module, "READ_SIZE", FULL)


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


def is_flooded(transport):
    """Whether somebody stands in, where the transport minds who reads: uvloop's does not."""
    return isinstance(transport.get_protocol(), Flood) or not isinstance(transport, asyncio.Transport)


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["in order", "reset"])
async def test_who_stands_in_for_a_flood_goes_with_it(small, end):
    async with proxied() as (sock, reader, _, between, pipe):
        raw = pipe.near.transport
        await passed(sock, reader, b"a little")
        assert raw.get_protocol() is pipe.near
        await passed(sock, reader, bytes(FULL))
        assert is_flooded(raw)
        await passed(sock, reader, bytes(FULL // 4))
        assert is_flooded(raw)
        await passed(sock, reader, b"little")
        assert raw.get_protocol() is pipe.near
        await passed(sock, reader, bytes(FULL))
        between.faults.add(latency := Latency(0.001))
        await passed(sock, reader, b"late")
        assert raw.get_protocol() is pipe.impaired
        between.faults.remove(latency)
        await passed(sock, reader, b"early")
        await passed(sock, reader, bytes(FULL))
        assert is_flooded(raw)
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
        raw, hear = pipe.near.transport, pipe.near.data_received

        def heard(data):
            between.faults.add(Latency(0.001))
            hear(data)

        pipe.near.data_received = heard
        await passed(sock, reader, bytes(FULL))
        assert raw.get_protocol() is pipe.impaired


@pytest.mark.asyncio
async def test_who_reads_nothing_holds_a_flood_up(small):
    async with proxied() as (sock, reader, writer, _, pipe):
        await passed(sock, reader, bytes(FULL))
        assert is_flooded(pipe.near.transport)
        much = MUCH * 10
        writer.write(much)
        heard = b""
        while len(heard) < len(much):
            heard += await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
        assert heard == much


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [READ_SIZE, FULL])
def test_a_far_end_hears_a_flood_and_what_follows_it(monkeypatch, loop, size):
    monkeypatch.setattr(transports, "READ_SIZE", size)

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
