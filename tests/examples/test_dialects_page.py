"""The examples of docs/dialects.md. What stands between `# [name]` and `# [/name]` is shown there."""

import asyncio
import errno
import io
import json
import socket

import pytest
import websockets

from farend import Failure


@pytest.mark.asyncio
async def test_pairs():
    # [pairs]
    from farend import assert_communication

    pairs = [
        ("hello", "there"),  # the client says "hello", and is answered "there"
        ("list", ["one", "two"]),  # answered with two messages
        ("quit", None),  # not answered
        (None, "bye"),  # the far end speaks unprompted
    ]
    async with assert_communication(port=0, communication=pairs) as server:
        async with websockets.connect(server.url) as client:
            await client.send("hello")
            assert await client.recv() == "there"
            await client.send("list")
            assert [await client.recv(), await client.recv()] == ["one", "two"]
            await client.send("quit")
            assert await client.recv() == "bye"
    # [/pairs]


@pytest.mark.asyncio
async def test_the_text_of_a_mismatch():
    # [mismatch]
    from farend import assert_communication

    with pytest.raises(Failure) as caught:
        async with assert_communication(port=0, communication=[("hello", "there"), ("general", "Kenobi")]) as server:
            async with websockets.connect(server.url) as client:
                await client.send("hello")
                await client.recv()
                await client.send("admiral")
                await client.recv()
    assert str(caught.value) == 'Failed 2nd step:\nExpected: "general"\nGot: "admiral"'
    # [/mismatch]


@pytest.mark.asyncio
async def test_writing_a_communication_down():
    # [write]
    from farend import respond_with, write_communication

    file = io.StringIO()
    async with respond_with(port=0, responses=["General", "Kenobi"]) as server:
        async with websockets.connect(server.url) as client:
            await write_communication(to_send="Hello there", client=client, file=file, timeout=None, num_responses=2)
    assert json.loads(file.getvalue()) == [
        {"type": "send", "data": "Hello there"},
        {"type": "receive", "data": "General"},
        {"type": "receive", "data": "Kenobi"},
    ]
    # [/write]


def test_commands():
    # [commands]
    from farend import RECEIVE, CommandServer

    server = CommandServer([RECEIVE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"], verbose=False)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"OK")  # the end of the script hangs up
    assert b"GET" in b"".join(server.received)
    server.stop()
    # [/commands]


def test_testing_socket():
    listener = socket.create_server(("127.0.0.1", 0))
    # [socket]
    from farend import TestingSocket

    sock = TestingSocket(socket.AF_INET, socket.SOCK_STREAM)
    sock.breakOn("byte-me", OSError(errno.EPIPE, "gotcha"))
    sock.connect(listener.getsockname())
    sock.sendall(b"hello")
    with pytest.raises(OSError, match="gotcha"):
        sock.sendall(b"byte-me")
    assert sock._data["sendall_calls"] == 2
    # [/socket]
    sock.close()
    listener.close()


# [expectations]
@pytest.mark.asyncio
async def test_expectations(tcpserver):
    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"Hello, world")
    tcpserver.send_bytes(b"Hello, client")
    tcpserver.expect_disconnect()

    reader, writer = await asyncio.open_connection(None, tcpserver.service_port)
    writer.write(b"Hello, world")
    assert await reader.readexactly(13) == b"Hello, client"
    writer.close()
    await writer.wait_closed()

    await tcpserver.join()


# [/expectations]
