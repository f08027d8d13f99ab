"""A client whose conversation goes on a tape is the same client."""

from __future__ import annotations

import errno
import io
import os

import pytest
import websocket
import websockets
from websockets.sync.client import connect

from farend import (
    InvalidArguments,
    Script,
    TapedClient,
    TapeReader,
    TapeUnavailable,
    WebSocketServer,
    WrongType,
    write_communication,
)

SCRIPT = Script().expect('{"token": "s3cr3t"}').send("one").send(b"two").send("s3cr3t")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tape.jsonl"


def told(path):
    with TapeReader(path) as tape:
        return [(line.sender, line.payload) for line in tape if line.kind == "message"]


SAID = [
    ("client", '{"token": "<secret:token:1>"}'),
    ("server", "one"),
    ("server", b"two"),
    ("server", "<secret:token:1>"),
]


def test_a_blocking_client(path):
    with WebSocketServer(SCRIPT) as server, connect(server.url) as client:
        with TapedClient(client, path) as taped:
            taped.send('{"token": "s3cr3t"}')
            assert [taped.recv(), taped.recv(timeout=5), taped.recv()] == ["one", b"two", "s3cr3t"]
            assert taped.remote_address == client.remote_address
    assert told(path) == SAID


def test_websocket_client(path):
    with WebSocketServer(SCRIPT) as server:
        client = websocket.create_connection(server.url, timeout=10)
        with TapedClient(client, path) as taped:
            taped.send('{"token": "s3cr3t"}')
            assert [taped.recv(), taped.recv(), taped.recv()] == ["one", b"two", "s3cr3t"]
        client.close()
    assert told(path) == SAID


def test_what_is_iterated_is_recorded(path):
    with WebSocketServer(Script().send("a").send("b").close()) as server, connect(server.url) as client:
        with TapedClient(client, path) as taped:
            assert [*taped] == ["a", "b"]
    assert told(path) == [("server", "a"), ("server", "b")]


@pytest.mark.asyncio
async def test_an_async_client(path):
    async with WebSocketServer(SCRIPT) as server, websockets.connect(server.url) as client:
        async with TapedClient(client, path) as taped:
            await taped.send('{"token": "s3cr3t"}')
            assert [await taped.recv(), await taped.recv(), await taped.recv()] == ["one", b"two", "s3cr3t"]
    assert told(path) == SAID
    async with WebSocketServer(Script().send("a").close()) as server, websockets.connect(server.url) as client:
        async with TapedClient(client, path) as taped:
            assert [message async for message in taped] == ["a"]
    assert told(path) == [("server", "a")]


@pytest.mark.asyncio
async def test_write_communication_writes_a_tape_as_well(path):
    async with WebSocketServer(SCRIPT) as server, websockets.connect(server.url) as client:
        file = io.StringIO()
        await write_communication(to_send='{"token": "s3cr3t"}', client=client, file=file, tape=path, num_responses=3)
    assert told(path) == SAID
    assert file.getvalue().count("s3cr3t") == 2  # the seed's own format is as it was
    async with WebSocketServer(Script().expect("a").send("b")) as server, websockets.connect(server.url) as client:
        await write_communication(to_send="a", client=client, tape=path, num_responses=1)
    assert told(path) == [("client", "a"), ("server", "b")]
    with pytest.raises(InvalidArguments, match="nothing to write to"):
        await write_communication(to_send="a", client=client, num_responses=1)


class Odd:
    def __init__(self, *answers):
        self.answers = [*answers]

    def send(self, message):
        pass

    def recv(self):
        return self.answers.pop(0)


def test_buffers_are_bytes_and_other_things_a_note(path):
    with TapedClient(Odd(bytearray(b"x"), memoryview(b"y"), 7), path, times=None) as taped:
        assert [taped.recv(), bytes(taped.recv()), taped.recv()] == [b"x", b"y", 7]
    assert told(path) == [("server", b"x"), ("server", b"y")]
    assert "said something of type int" in path.read_text()


def test_a_full_disk_disturbs_no_client(path, monkeypatch):
    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TapeUnavailable, match="cannot be written any more"):
        with TapedClient(Odd("a"), path) as taped:
            monkeypatch.setattr(os, "write", full)
            assert taped.recv() == "a"
            monkeypatch.undo()
    with pytest.raises(KeyError):
        with TapedClient(Odd("a"), path) as taped:
            monkeypatch.setattr(os, "write", full)
            taped.recv()
            monkeypatch.undo()
            raise KeyError


def test_a_client_that_is_none(path):
    with pytest.raises(WrongType, match="a method send and a method recv"):
        TapedClient(object(), path)
