"""Segments stay segments: what a near end receives with one call, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from farend import Failure, Script, TcpClient, TcpServer, WebSocketServer, WrongState
from farend.core.splits import ALL_TOGETHER, BYTE_BY_BYTE, MESSAGE_BY_MESSAGE, Split
from farend.stage import segments
from farend.stage.segments import Run

SPLITS = {
    MESSAGE_BY_MESSAGE: [b"hello", b"wonderful", b"world"],
    ALL_TOGETHER: [b"hellowonderfulworld"],
    BYTE_BY_BYTE: [bytes([one]) for one in b"hellowonderfulworld"],
    Split(cuts=frozenset([(0, 2), (0, 7)])): [b"he", b"llo", b"wo", b"nderful", b"world"],
    Split(joins=frozenset([(0, 5)])): [b"hellowonderful", b"world"],
    Split(frozenset([(0, 6)]), None): [b"hellow", b"onderfulworld"],
}
SCRIPT = Script().send(b"hello").send(b"wonderful").send(b"world").expect(b"bye")


def received(client: socket.socket, size: int) -> list[bytes]:
    came: list[bytes] = []
    while sum(map(len, came)) < size and (data := client.recv(1000)):
        came.append(data)
    return came


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_a_blocking_client_receives_one_segment_at_a_time(dial, split):
    run = Run(split)
    with run.being_played(), TcpServer(SCRIPT) as server:
        client = dial(server)
        assert received(client, 19) == SPLITS[split]
        client.sendall(b"bye")
    [stream] = run.streams
    assert (bytes(stream.data), stream.ends, run.hurried) == (b"hellowonderfulworld", [5, 14, 19], 0)
    assert stream.name == f"TcpServer 127.0.0.1:{server.port}, connection 1"


@pytest.mark.asyncio
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("split", SPLITS, ids=str)
async def test_an_async_client_receives_one_segment_at_a_time(split, tls):
    with Run(split).being_played():
        async with TcpServer(SCRIPT, tls=tls) as server:
            context = server.client_ssl_context if tls else None
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
            came: list[bytes] = []
            while sum(map(len, came)) < 19:
                came.append(await reader.read(1000))
            assert came == SPLITS[split]
            writer.write(b"bye")
            writer.close()
            await writer.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("split", SPLITS, ids=str)
async def test_a_unix_socket_is_no_different(split, tmp_path):
    with Run(split).being_played():
        async with TcpServer(SCRIPT, unix_path=tmp_path / "s") as server:
            reader, writer = await asyncio.open_unix_connection(server.unix_path)
            came = [await reader.read(1000) for _ in SPLITS[split]]
            assert came == SPLITS[split]
            writer.write(b"bye")
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_a_far_end_that_dials_is_cut_too(split):
    came: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            came.extend(received(connection, 19))
            connection.sendall(b"bye")

    with socket.create_server(("127.0.0.1", 0)) as listener, Run(split).being_played():
        server = threading.Thread(target=serve, args=[listener])
        server.start()
        with TcpClient(SCRIPT, *listener.getsockname()):
            pass
        server.join()
    assert came == SPLITS[split]


def test_a_websockets_handshake_is_the_beginning_of_its_stream():
    from websockets.sync.client import connect

    run = Run(BYTE_BY_BYTE)
    with run.being_played(), WebSocketServer(Script().send("hello").expect("bye")) as server:
        with connect(server.url) as client:
            assert client.recv() == "hello"
            client.send("bye")
    [stream] = run.streams
    assert stream.opening
    assert bytes(stream.data[: stream.ends[0]]).startswith(b"HTTP/1.1 101")
    assert bytes(stream.data[stream.ends[0] : stream.ends[1]]) == b"\x81\x05hello"


def test_each_connection_has_a_stream_and_cuts_of_its_own(dial):
    with Run(Split(cuts=frozenset([(1, 3)]))).being_played(), TcpServer(SCRIPT) as server:
        first, second = dial(server), None
        assert received(first, 19) == [b"hello", b"wonderful", b"world"]
        second = dial(server)
        assert received(second, 19) == [b"hel", b"lo", b"wonderful", b"world"]
        first.sendall(b"bye")
        second.sendall(b"bye")


def test_a_connection_that_began_before_the_run_is_left_as_it_is(dial):
    run = Run(BYTE_BY_BYTE)
    with TcpServer() as server:
        client = dial(server)
        peer = server.accept()
        with run.being_played():
            peer.send(b"hello")
            assert client.recv(10) == b"hello"
    assert run.streams == []


def test_one_run_is_played_at_a_time():
    with Run(BYTE_BY_BYTE).being_played():
        with pytest.raises(WrongState, match="at work already in this process"):
            with Run(BYTE_BY_BYTE).being_played():
                pass
        assert segments.current is not None
    assert segments.current is None


# -- near ends that do not read ---------------------------------------------------------------------


def test_a_near_end_that_reads_after_it_has_spoken_is_waited_for(dial):
    script = Script().send(b"hello").send(b"world").expect(b"ready").send(b"!")
    with Run(BYTE_BY_BYTE).being_played(), TcpServer(script) as server:
        client = dial(server)
        client.sendall(b"ready")
        assert received(client, 11) == [bytes([one]) for one in b"helloworld!"]


def test_what_nobody_reads_is_sent_at_once_when_the_far_end_is_left(dial):
    run = Run(BYTE_BY_BYTE)
    with run.being_played():
        with TcpServer(Script().send(b"hello").send(b"world")) as server:
            client = dial(server)
            assert client.recv(10) == b"h"
        assert client.read_all() == b"elloworld"
    assert run.hurried == 1


@pytest.mark.asyncio
async def test_who_reads_while_the_far_end_is_left_gets_every_segment():
    with Run(BYTE_BY_BYTE).being_played():
        async with TcpServer(Script().send(b"hello")) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            came: list[bytes] = []

            async def read() -> None:
                while data := await reader.read(10):
                    came.append(data)

            reading = asyncio.create_task(read())
        await reading
        assert came == [b"h", b"e", b"l", b"l", b"o"]
        writer.close()


def test_a_near_end_that_looks_without_reading_gets_the_rest_in_the_end(dial, monkeypatch):
    monkeypatch.setattr(segments, "SHARE", 0.001)
    run = Run(BYTE_BY_BYTE)
    with run.being_played(), TcpServer(Script().send(b"hello").expect(b"bye")) as server:
        client = dial(server)
        while client.recv(5, socket.MSG_PEEK) != b"hello":
            pass
        client.sendall(b"bye")
    assert run.hurried == 1


def test_a_near_end_that_is_gone_is_told_nothing(dial):
    with Run(BYTE_BY_BYTE).being_played():
        with TcpServer(Script().send(b"hello").expect_close()) as server:
            client = dial(server)
            client.shutdown(socket.SHUT_WR)  # for to close while a byte is unread is a reset
            client.recv(1)
            client.close()


def test_a_test_that_fails_waits_for_nobody_to_read(dial):
    with pytest.raises(ZeroDivisionError), Run(BYTE_BY_BYTE).being_played():
        with TcpServer(Script().send(b"hello")) as server:
            client = dial(server)
            client.recv(1)
            1 / 0  # noqa: B018
    assert client.read_all() == b"ello"


def test_what_piles_up_makes_the_script_wait(dial):
    size, count = 1 << 14, 2000
    script = Script().repeat(count, Script().send(bytes(size))).send(b"!").expect(b"bye")
    with Run(MESSAGE_BY_MESSAGE).being_played(), TcpServer(script) as server:
        client = dial(server)
        peer = server.accept()
        assert client.recv(1) == b"\0"
        [driver] = server._drivers
        assert driver.transport._size < size * count / 2
        assert peer.is_open
        left = size * count - 1
        while left > 0:
            left -= len(client.recv(1 << 20))
        client.sendall(b"bye")


# -- the end of a connection ------------------------------------------------------------------------


def test_a_close_comes_behind_the_last_segment(dial):
    with Run(BYTE_BY_BYTE).being_played(), TcpServer(Script().send(b"hello").close()) as server:
        with dial(server) as client:
            assert received(client, 100) == [b"h", b"e", b"l", b"l", b"o"]


def test_a_reset_comes_behind_the_last_segment(dial):
    with Run(BYTE_BY_BYTE).being_played(), TcpServer(Script().send(b"hello").abort()) as server:
        client = dial(server)
        assert received(client, 5) == [b"h", b"e", b"l", b"l", b"o"]
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.asyncio
async def test_a_near_end_that_ends_its_side_still_gets_the_rest(tls):
    with Run(BYTE_BY_BYTE).being_played():
        async with TcpServer(Script().expect(b"hi").send(b"hello").expect_close(), tls=tls) as server:
            context = server.client_ssl_context if tls else None
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
            writer.write(b"hi")
            if not tls:  # TLS has no half-closed connections there
                writer.write_eof()
            assert await reader.readexactly(5) == b"hello"
            writer.close()


# -- where nobody knows what was read ---------------------------------------------------------------


def test_segments_are_sent_with_pauses_where_nobody_knows(dial, monkeypatch):
    monkeypatch.setattr(segments, "unread", lambda transport: None)
    with Run(BYTE_BY_BYTE).being_played(), TcpServer(SCRIPT) as server:
        client = dial(server)
        assert b"".join(received(client, 19)) == b"hellowonderfulworld"
        client.sendall(b"bye")


def test_a_connection_that_is_refused_is_no_trouble(dial):
    with Run(BYTE_BY_BYTE).being_played(), pytest.raises(Failure, match="A connection came"):
        with TcpServer([Script().send(b"hello").close()]) as server:
            with dial(server) as client:
                assert received(client, 9)
            with dial(server) as client:
                assert client.read_all() == b""
