"""The examples of docs/splits.md. What stands between `# [name]` and `# [/name]` is shown there."""

import asyncio
import socket

import pytest

from farend import Script, SplitFailure, TcpServer, TestingSocket, WebSocketServer, play_every_split
from farend.stage import every_split as module


@pytest.fixture(autouse=True)
def _pytest_tells_nothing(monkeypatch):
    monkeypatch.setattr(module, "left_out", [])


def hasty(server):
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(b"READ TEMP\n")
        return float(client.recv(1024).removeprefix(b"TEMP ").removesuffix(b"\n"))


def careful(server):
    with socket.create_connection((server.host, server.port)) as client, client.makefile("rb") as lines:
        client.sendall(b"READ TEMP\n")
        return float(lines.readline().removeprefix(b"TEMP ").removesuffix(b"\n"))


read_temperature = careful


# [first]
from farend import every_split


@every_split
def test_the_temperature():
    with TcpServer(Script().expect(b"READ TEMP\n").send(b"TEMP 21.5\n")) as server:
        assert read_temperature(server) == 21.5


# [/first]


def test_a_hasty_client_fails_as_the_page_shows(monkeypatch):
    monkeypatch.setitem(globals(), "read_temperature", hasty)
    with pytest.raises(SplitFailure) as caught:
        test_the_temperature()
    text = str(caught.value).splitlines()
    assert text[0] == "test_the_temperature fails when message 1 of 1 is cut behind byte 1 of 10."
    assert text[4:7] == [
        "  00000000  54                                               |T|",
        "  -- cut -------------------------------------------------------",
        "  00000001  45 4d 50 20 32 31 2e 35 0a                       |EMP 21.5.|",
    ]
    assert isinstance(caught.value.__cause__, ValueError)


# [async]
@pytest.mark.asyncio
@every_split(max_runs=50)
async def test_a_greeting(websocket_far_end):
    from websockets.asyncio.client import connect

    websocket_far_end.play(Script().expect("hello").send("there").send("General Kenobi"))
    async with connect(websocket_far_end.url) as client:
        await client.send("hello")
        assert [await client.recv(), await client.recv()] == ["there", "General Kenobi"]


# [/async]


# [function]
def test_how_many_there_are():
    def read():
        with TcpServer(Script().expect(b"READ TEMP\n").send(b"TEMP 21.5\n")) as server:
            assert read_temperature(server) == 21.5

    splits = play_every_split(read)
    assert splits.played == splits.possible == 10
    assert str(splits) == "played all 10 splits of 10 bytes on 1 connection"


# [/function]


# [socket]
def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        line += sock.recv(1)
    return line


@every_split
def test_a_parser_without_a_server():
    near, far = socket.socketpair()
    with far, TestingSocket(sock=near) as sock:
        far.sendall(b"TEMP 21.5\nTEMP 21.6\n")
        assert [read_line(sock), read_line(sock)] == [b"TEMP 21.5\n", b"TEMP 21.6\n"]


# [/socket]


async def opened_by_hand(server):
    """A client that takes what it has read for the head of the handshake, as many hand-written ones do."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    try:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await reader.read(4096)
        return head.splitlines()[-1]
    finally:
        writer.close()


@pytest.mark.asyncio
async def test_the_frame_behind_a_handshake_is_part_of_the_splits():
    async def greeted():
        async with WebSocketServer(Script().send("hi")) as server:
            assert await opened_by_hand(server) == b""

    with pytest.raises(SplitFailure, match="the far end's handshake comes together with the one behind it"):
        await play_every_split(greeted)
