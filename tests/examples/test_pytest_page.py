"""The examples of docs/pytest.md. What stands between `# [name]` and `# [/name]` is shown there."""

import asyncio
import socket
import unittest

import pytest

from farend import Script, TcpServer


# [def]
def test_a_blocking_client(tcp_far_end):
    tcp_far_end.play(Script().expect(b"PING\n").send(b"PONG\n"))
    with socket.create_connection((tcp_far_end.host, tcp_far_end.port)) as client:
        client.sendall(b"PING\n")
        assert client.recv(5) == b"PONG\n"


# [/def]


# [async]
@pytest.mark.asyncio
async def test_an_async_client(websocket_far_end):
    import websockets

    websocket_far_end.play(Script().expect("hello").send("there"))
    async with websockets.connect(websocket_far_end.url) as client:
        await client.send("hello")
        assert await client.recv() == "there"


# [/async]


# [control]
@pytest.mark.asyncio
async def test_in_control(tcp_far_end):
    reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
    peer = await tcp_far_end.connection()
    writer.write(b"PING\n")
    await peer.expect(b"PING\n")
    await peer.send(b"PONG\n")
    assert await reader.readexactly(5) == b"PONG\n"
    writer.close()
    await writer.wait_closed()


# [/control]


# [unittest]
class ATestCase(unittest.TestCase):
    def test_a_blocking_client(self):
        server = self.enterContext(TcpServer(Script().expect(b"PING\n").send(b"PONG\n")))
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"PING\n")
            assert client.recv(5) == b"PONG\n"


class AnAsyncTestCase(unittest.IsolatedAsyncioTestCase):
    async def test_an_async_client(self):
        server = await self.enterAsyncContext(TcpServer(Script().expect(b"PING\n").send(b"PONG\n")))
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"PING\n")
        assert await reader.readexactly(5) == b"PONG\n"
        writer.close()
        await writer.wait_closed()


# [/unittest]
