"""The recording proxy: nobody notices it, and all that is said is on the tape."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import websocket
import websockets
from websockets.asyncio.server import serve
from websockets.frames import apply_mask
from websockets.sync.client import connect

from farend import (
    AddressError,
    Failure,
    InvalidArguments,
    NoWebSocket,
    Redaction,
    Script,
    TapeReader,
    TapeUnavailable,
    TcpServer,
    WebSocketServer,
    WrongState,
    WrongType,
    anything,
    record,
    reroute,
    until,
)
from farend.tape.format import Kind
from farend.tape.recorder import Recorder

SENDS_A_RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def tape(tmp_path):
    return tmp_path / "tape.jsonl"


def read(path):
    with TapeReader(path) as tape:
        lines = [*tape]
        assert tape.torn is None
    return lines


def told(path):
    """Each line in short: who, what, and the payload or the code."""
    short = []
    for line in read(path):
        what = line.code if line.payload is None else line.payload
        short.append((line.sender[0], str(line.kind), *([] if what is None else [what])))
    return short


@contextlib.asynccontextmanager
async def tcp_server(answer):
    """A server on asyncio's streams."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def echo_lines(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()


@contextlib.asynccontextmanager
async def websocket_server(handler=None, **options):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with serve(handler or echo, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# -- TCP ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_tcp_is_passed_on_and_recorded(tape):
    async with tcp_server(echo_lines) as url, record(url, tape) as proxy:
        assert proxy.url == f"tcp://127.0.0.1:{proxy.port}"
        assert proxy.host == "127.0.0.1"
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        for word in (b"one\n", b"two\n"):
            writer.write(word)
            assert await reader.readline() == word.upper()
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert told(tape) == [
        ("c", "connect"),
        ("c", "message", b"one\n"),
        ("s", "message", b"ONE\n"),
        ("c", "message", b"two\n"),
        ("s", "message", b"TWO\n"),
        ("c", "end"),
        ("s", "end"),
    ]
    with TapeReader(tape) as reader:
        assert (reader.header.wire, reader.header.target) == ("tcp", url)


@pytest.mark.asyncio
async def test_a_half_closed_connection_goes_on(tape):
    async def answer_at_the_end(reader, writer):
        writer.write(b"got " + await reader.read())
        writer.close()

    async with tcp_server(answer_at_the_end) as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(b"all of it")
        writer.write_eof()
        assert await reader.read() == b"got all of it"
        writer.close()
        await writer.wait_closed()
    assert told(tape)[1:] == [
        ("c", "message", b"all of it"),
        ("c", "end"),
        ("s", "message", b"got all of it"),
        ("s", "end"),
    ]


@pytest.mark.asyncio
async def test_the_server_speaks_first_and_ends(tape):
    async def greet(reader, writer):
        writer.write(b"220 hello\r\n")
        writer.close()

    async with tcp_server(greet) as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert await reader.read() == b"220 hello\r\n"
        writer.close()
        await writer.wait_closed()
    assert told(tape)[:3] == [("c", "connect"), ("s", "message", b"220 hello\r\n"), ("s", "end")]


@pytest.mark.asyncio
async def test_a_reset_of_the_client_is_one_for_the_server(tape):
    seen = asyncio.get_running_loop().create_future()

    async def wait(reader, writer):
        try:
            seen.set_result(await reader.read())
        except OSError as error:
            seen.set_result(error)
        writer.close()

    async with tcp_server(wait) as url, record(url, tape) as proxy:
        _, writer = await asyncio.open_connection(proxy.host, proxy.port)
        while not proxy._pipes or next(iter(proxy._pipes)).far.transport is None:
            await asyncio.sleep(0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SENDS_A_RESET)
        writer.transport.abort()
        assert isinstance(await seen, ConnectionResetError)
    assert told(tape) == [("c", "connect"), ("c", "abort"), ("s", "end")] or told(tape) == [
        ("c", "connect"),
        ("c", "abort"),
    ]


@pytest.mark.asyncio
async def test_a_reset_of_the_server_is_one_for_the_client(tape):
    async with TcpServer(Script().expect(b"x").abort()) as server:
        async with record(server.url, tape) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
    assert told(tape) == [("c", "connect"), ("c", "message", b"x"), ("s", "abort")]


@pytest.mark.asyncio
async def test_much_at_once_passes_with_a_slow_reader(tape):
    size = 8 << 20

    async def pour(reader, writer):
        writer.write(bytes(size))
        await writer.drain()
        writer.close()

    async with tcp_server(pour) as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port, limit=1024)
        got = 0
        while data := await reader.read(65536):
            got += len(data)
        assert got == size
        writer.close()
        await writer.wait_closed()
    assert sum(len(line.payload) for line in read(tape) if line.kind is Kind.MESSAGE) == size


@pytest.mark.asyncio
async def test_a_fast_client_waits_for_the_server_to_be_reached(tape):
    received = bytearray()

    async def take(reader, writer):
        while data := await reader.read(65536):
            received.extend(data)
        writer.write(b"%d" % len(received))
        writer.close()

    async with tcp_server(take) as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(bytes(3 << 20))
        writer.write_eof()
        assert await reader.read() == b"%d" % (3 << 20)
        writer.close()
        await writer.wait_closed()


def test_lines_of_json_are_lines_of_the_tape(tape):
    with (
        TcpServer(Script().expect(b'{"a":1}\n{"b": 2}\n').send(b"ok\nok\n")) as server,
        record(server.url, tape) as proxy,
    ):
        with socket.create_connection((proxy.host, proxy.port), 10) as client:
            client.sendall(b'{"a":1}\n{"b": 2}\n')
            assert client.recv(6, socket.MSG_WAITALL) == b"ok\nok\n"
    assert told(tape)[1:4] == [
        ("c", "message", b'{"a":1}\n'),
        ("c", "message", b'{"b": 2}\n'),
        ("s", "message", b"ok\nok\n"),
    ]


@pytest.mark.asyncio
async def test_several_connections_at_once(tape):
    async with tcp_server(echo_lines) as url, record(url, tape) as proxy:
        clients = [await asyncio.open_connection(proxy.host, proxy.port) for _ in range(3)]
        for number, (_, writer) in enumerate(clients):
            writer.write(b"line %d\n" % number)
        for number, (reader, writer) in enumerate(clients):
            assert await reader.readline() == b"LINE %d\n" % number
            writer.close()
            await writer.wait_closed()
        assert proxy.connections == 3
    said = {}
    for line in read(tape):
        if line.payload:
            said.setdefault(line.connection, set()).add(line.payload.lower())
    assert sorted(said) == [1, 2, 3]
    assert all(len(payloads) == 1 for payloads in said.values())


def test_tls_towards_the_server(tape):
    with TcpServer(Script().expect(b"hello").send(b"there"), tls=True) as server:
        with record(server.url, tape, tls=server.client_ssl_context) as proxy:
            with socket.create_connection((proxy.host, proxy.port), 10) as client:
                client.sendall(b"hello")
                assert client.recv(5, socket.MSG_WAITALL) == b"there"
    assert told(tape)[1:3] == [("c", "message", b"hello"), ("s", "message", b"there")]


# -- TLS towards the client -----------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("loop", ["shared", "asyncio", "uvloop"])
def test_a_websocket_client_that_speaks_tls(tape, secure, loop):
    script = Script().expect("hello").send("there")

    async def talk(server):
        tls = server.client_ssl_context if secure else True
        async with record(server.url + "/feed", tape, tls=tls, listen_tls=True) as proxy:
            assert proxy.url == f"wss://127.0.0.1:{proxy.port}/feed"
            async with websockets.connect(proxy.url, ssl=proxy.client_ssl_context) as client:
                await client.send("hello")
                assert await client.recv() == "there"

    with WebSocketServer(script, tls=secure) as server:
        if loop == "shared":
            tls = server.client_ssl_context if secure else True
            with record(server.url + "/feed", tape, tls=tls, listen_tls=True) as proxy:
                with connect(proxy.url, ssl=proxy.client_ssl_context) as client:
                    client.send("hello")
                    assert client.recv() == "there"
        else:
            make = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else asyncio.new_event_loop
            with asyncio.Runner(loop_factory=make) as runner:
                runner.run(talk(server))
    assert ("c", "message", "hello") in told(tape)
    assert ("s", "message", "there") in told(tape)
    assert told(tape)[-2:] == [("c", "close", 1000), ("s", "close", 1000)]


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_tls_client_whose_server_speaks_first_and_waits_for_its_end(tape, secure):
    script = Script().send(b"welcome\n").expect(b"hello\n").expect_close()
    with TcpServer(script, tls=secure) as server:
        tls = server.client_ssl_context if secure else True
        with record(server.url, tape, tls=tls, listen_tls=True) as proxy:
            assert proxy.url == f"tls://127.0.0.1:{proxy.port}"
            with socket.create_connection((proxy.host, proxy.port), 10) as raw:
                with proxy.client_ssl_context.wrap_socket(raw, server_hostname="localhost") as client:
                    assert client.recv(8) == b"welcome\n"
                    client.sendall(b"hello\n")
                    client.unwrap()
    said = told(tape)
    assert ("s", "message", b"welcome\n") in said
    assert ("c", "message", b"hello\n") in said
    assert ("c", "end") in said


@pytest.mark.parametrize("kind", ["ws", "tcp"])
def test_a_client_that_does_not_trust_the_proxy(tape, kind):
    with socket.create_server(("127.0.0.1", 0)) as server:  # it is never called
        url = f"{kind}://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Failure, match=r"A client was not let in: the client refused the certificate.*context"):
            with record(url, tape, listen_tls=True) as proxy:
                with socket.create_connection((proxy.host, proxy.port), 10) as raw:
                    with pytest.raises(ssl.SSLCertVerificationError):
                        ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")
    assert ("s", "refuse") in told(tape)


@pytest.mark.parametrize("kind", ["ws", "tcp"])
def test_a_client_that_speaks_no_tls_to_a_proxy_that_does(tape, kind):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{kind}://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Failure, match=r"A client was not let in: the client"):
            with record(url, tape, listen_tls=True) as proxy:
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    with contextlib.suppress(ConnectionResetError):
                        while client.recv(100):
                            pass
    assert b"GET" not in tape.read_bytes()


def test_a_tls_client_that_breaks_its_connection(tape):
    with TcpServer(Script().expect_close()) as server:
        with record(server.url, tape, listen_tls=True) as proxy:
            with socket.create_connection((proxy.host, proxy.port), 10) as raw:
                client = proxy.client_ssl_context.wrap_socket(raw, server_hostname="localhost")
                os.write(client.fileno(), b"this is no TLS")
                with contextlib.suppress(OSError):
                    client.recv(1)
                client.close()
    assert ("c", "message", b"this is no TLS") not in told(tape)


def test_the_proxys_tls_is_asked_for(tape):
    with pytest.raises(WrongType, match=r"listen_tls= takes True, or an ssl\.SSLContext of your own, not 'yes'"):
        record("ws://127.0.0.1:1", tape, listen_tls="yes")
    with record("ws://127.0.0.1:1", tape) as proxy, pytest.raises(WrongState, match="listen_tls=True"):
        print(proxy.client_ssl_context)


# -- with no change to the client -----------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("listen_tls", [False, True])
@pytest.mark.parametrize("make", [asyncio.new_event_loop, "uvloop"])
def test_a_rerouted_client_is_recorded_and_the_proxy_reaches_the_real_server(tape, strict, listen_tls, make):
    """The client's address is the server's very own, and so is the proxy's."""
    make = pytest.importorskip("uvloop").new_event_loop if make == "uvloop" else make

    async def main():
        script = Script().expect("hello").send("there")
        with WebSocketServer(script, tls=True) as server:
            url = f"wss://localhost:{server.port}/feed"
            async with record(url, tape, tls=server.client_ssl_context, listen_tls=listen_tls) as proxy:
                async with reroute({url: proxy}, strict=strict), websockets.connect(url) as client:
                    await client.send("hello")
                    assert await client.recv() == "there"
                assert proxy.connections == 1

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    assert ("s", "message", "there") in told(tape)


def test_a_rerouted_client_of_tcp_is_recorded(tape):
    with TcpServer(Script().send(b"welcome\n").expect(b"bye\n")) as server:
        with record(server.url, tape) as proxy, reroute({"tls://db.example:5432": proxy}):
            context = ssl.create_default_context()
            with socket.create_connection(("db.example", 5432), 10) as raw:
                with context.wrap_socket(raw, server_hostname="db.example") as client:
                    assert client.recv(8) == b"welcome\n"
                    client.sendall(b"bye\n")
    assert ("c", "message", b"bye\n") in told(tape)


def test_a_plain_client_may_be_rerouted_to_a_proxy_of_a_websocket(tape):
    """Whether it speaks TLS, its first byte tells."""
    with WebSocketServer(Script().expect("hello").send("there")) as server:
        with record(server.url, tape) as proxy, reroute({("feed.example", 80): proxy}):
            with connect("ws://feed.example/") as client:
                client.send("hello")
                assert client.recv() == "there"


def test_a_proxy_that_is_over_or_not_started_is_no_target(tape):
    proxy = record("ws://127.0.0.1:1", tape)
    with pytest.raises(WrongState, match="a RecordingProxy that is not started"):
        reroute({"ws://feed.example": proxy}).__enter__()
    with proxy:
        pass
    with pytest.raises(WrongState, match="the recording proxy to ws://127.0.0.1:1 is closed already"):
        reroute({"ws://feed.example": proxy}).__enter__()


# -- WebSocket ------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_websocket_messages_are_recorded(tape, compression):
    async with websocket_server(compression=compression) as url, record(url, tape) as proxy:
        async with websockets.connect(proxy.url + "/feed?depth=5", compression=compression) as client:
            for said in ("hello", b"\x00\xff", '{"id": 1}', "x" * 100_000, "", b"", "é" * 1000):
                await client.send(said)
                assert await client.recv() == said
            assert bool(client.protocol.extensions) is (compression is not None)
    said = [line.payload for line in read(tape) if line.kind is Kind.MESSAGE]
    assert said[::2] == said[1::2] == ["hello", b"\x00\xff", '{"id": 1}', "x" * 100_000, "", b"", "é" * 1000]
    lines = read(tape)
    assert (lines[0].kind, lines[0].target) == (Kind.CONNECT, "/feed?depth=5")
    assert (lines[1].kind, lines[1].status) == (Kind.ANSWER, 101)
    assert dict(lines[0].headers)["Host"] == url.removeprefix("ws://")
    assert not {name.lower() for name, _ in (*lines[0].headers, *lines[1].headers)} & {"sec-websocket-key", "date"}
    assert told(tape)[-2:] == [("c", "close", 1000), ("s", "close", 1000)]


@pytest.mark.asyncio
async def test_fragments_subprotocols_pings_and_close_codes_pass(tape):
    async def handler(connection):
        assert connection.subprotocol == "v2"
        assert await connection.recv() == "one two"
        await (await connection.ping(b"there?"))
        await connection.send(["a", "b", "c"])
        await connection.close(4001, "that is all")

    async with websocket_server(handler, subprotocols=["v2"], compression=None) as url, record(url, tape) as proxy:
        async with websockets.connect(proxy.url, subprotocols=["v1", "v2"], compression=None) as client:
            assert client.subprotocol == "v2"
            await client.send(["one", " two"])
            assert await client.recv() == "abc"
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "that is all")
    lines = {line.kind: line for line in read(tape)}
    messages = [line for line in read(tape) if line.kind is Kind.MESSAGE]
    assert [(line.payload, line.fragments[:2]) for line in messages] == [("one two", (3, 4)), ("abc", (1, 1))]
    assert lines[Kind.PING].payload == lines[Kind.PONG].payload == b"there?"
    assert (lines[Kind.CLOSE].code, lines[Kind.CLOSE].reason) == (4001, "that is all")
    assert Kind.END not in lines


@pytest.mark.asyncio
async def test_the_handshake_is_made_the_servers(tape):
    seen = {}

    async def handler(connection):
        seen.update(connection.request.headers.raw_items())
        seen["path"] = connection.request.path

    async with websocket_server(handler) as url:
        async with record(url + "/feed?x=1", tape) as proxy:
            assert proxy.url == f"ws://127.0.0.1:{proxy.port}/feed"
            for own in (proxy.url, f"ws://127.0.0.1:{proxy.port}"):
                async with websockets.connect(own, origin=f"http://localhost:{proxy.port}"):
                    pass
                assert seen.pop("path") == "/feed?x=1"
        assert seen["Host"] == url.removeprefix("ws://")
        assert seen["Origin"] == url.replace("ws", "http")
        other = url.replace("ws://", "ws://me:p%40ss@")
        async with record(other, tape) as proxy:
            async with websockets.connect(f"ws://127.0.0.1:{proxy.port}/mine", origin="https://example.com"):
                pass
        assert seen["path"] == "/mine"
        assert seen["Origin"] == "https://example.com"
        assert seen["Authorization"] == "Basic bWU6cEBzcw=="
    assert "p%40ss" not in tape.read_text()
    assert "bWU6cEBzcw" not in tape.read_text()


def test_a_blocking_client_and_tls_towards_the_server(tape):
    with WebSocketServer(Script().expect("hello").send("there"), tls=True) as server:
        with record(server.url, tape, tls=server.client_ssl_context) as proxy:
            client = websocket.create_connection(proxy.url, timeout=10)
            client.send("hello")
            assert client.recv() == "there"
            client.close()
    assert ("c", "message", "hello") in told(tape)
    assert ("s", "message", "there") in told(tape)


@pytest.mark.asyncio
async def test_a_server_that_turns_the_client_away_does_so_itself(tape):
    async def reject(connection, request):
        return connection.respond(401, "who are you?\n")

    async with websocket_server(process_request=reject) as url, record(url, tape) as proxy:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with websockets.connect(proxy.url):
                pass
    assert caught.value.response.status_code == 401
    [answer] = [line for line in read(tape) if line.kind is Kind.ANSWER]
    assert (answer.status, answer.payload) == (401, "who are you?\n")


@pytest.mark.asyncio
async def test_what_breaks_the_protocol_passes_and_is_recorded(tape):
    server = WebSocketServer(Script().expect("hello").send("there"))
    server.start()
    try:
        async with record(server.url, tape) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x81\x85\0\0\0\0hello\x83\x00rest")
            await reader.read()
            writer.close()
    finally:
        await server.aclose()
    assert ("c", "message", "hello") in told(tape)
    assert ("c", "raw", b"\x83\x00rest") in told(tape)


@pytest.mark.asyncio
async def test_half_a_message_is_recorded_when_its_sender_leaves(tape):
    async with websocket_server() as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x01\x83\0\0\0\0one\x80\x85\1\1\1\1" + bytes(byte ^ 1 for byte in b"half"))
        writer.write_eof()
        await reader.read()
        writer.close()
    assert [line for line in told(tape) if line[1] == "raw"] == [("c", "raw", b"one"), ("c", "raw", b"half")]
    assert ("c", "end") in told(tape)


@pytest.mark.asyncio
async def test_what_the_client_says_before_the_answer_is_recorded_behind_it(tape):
    async with websocket_server() as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        for byte in (
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x81\x82\0\0\0\0hi"
        ):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"\x81\x02hi"
        writer.close()
    assert [line[:2] for line in told(tape)][:4] == [
        ("c", "connect"),
        ("s", "answer"),
        ("c", "message"),
        ("s", "message"),
    ]


# -- servers that are none ------------------------------------------------------------------------


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_a_websocket_target_that_refuses(tape):
    url = f"ws://127.0.0.1:{closed_port()}/feed"
    with pytest.raises(AddressError, match=rf"the server at {url} was not reached: nobody listens at 127"):
        with record(url, tape) as proxy:
            with pytest.raises(websockets.InvalidStatus) as caught:
                connect(proxy.url)
            assert caught.value.response.status_code == 502
            assert b"nobody listens" in caught.value.response.body
            assert len(proxy.problems) == 1
    assert [line[:2] for line in told(tape)] == [("c", "connect"), ("s", "refuse")]


def test_a_failure_tells_no_secret(tape):
    with pytest.raises(AddressError) as caught:
        with record(f"ws://me:s3cr3t@127.0.0.1:{closed_port()}/?token=s3cr3t", tape) as proxy:
            with pytest.raises(websockets.InvalidStatus):
                connect(proxy.url)
            assert "s3cr3t" not in repr(proxy)
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in tape.read_text()


def test_a_tcp_target_that_refuses(tape):
    with pytest.raises(AddressError, match="nobody listens"):
        with record(f"tcp://127.0.0.1:{closed_port()}", tape) as proxy:
            with pytest.raises(ConnectionResetError):
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    client.recv(1)
    assert [line[:2] for line in told(tape)][:2] == [("c", "connect"), ("s", "refuse")]


def test_the_tests_own_exception_comes_first(tape):
    with pytest.raises(ZeroDivisionError) as caught:
        with record(f"tcp://127.0.0.1:{closed_port()}", tape) as proxy:
            with pytest.raises(ConnectionResetError):
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    client.recv(1)
            1 / 0  # noqa: B018
    assert "nobody listens" in caught.value.__notes__[0]


def test_a_host_that_there_is_none_of(tape):
    with pytest.raises(AddressError, match="there is no host nobody.invalid"):
        with record("ws://nobody.invalid/", tape) as proxy:
            with pytest.raises(websockets.InvalidStatus):
                connect(proxy.url)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"220 mail.example.com ESMTP\r\n", "speaks no WebSocket: it answered the handshake with b'220 mail"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "opened no WebSocket at /feed: it answered 200 OK"),
        (b"HTTP/1.1 301 Moved\r\nLocation: wss://b/\r\n\r\n", "301 Moved, and points to wss://b/; record that address"),
        (b"HTTP/1.1 101\r\nbad header\r\n\r\n", "speaks no WebSocket"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS, and was called without: record wss://127.0.0.1"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nThis is an HTTPS port", "speaks TLS, and was called without"),
        (b"HTTP/1.1", "ended the connection without an answer"),
        (b"", "ended the connection without an answer to the handshake; if it speaks TLS, record wss://"),
    ],
)
def test_a_target_that_opens_no_websocket(tape, said, problem):
    script = Script().expect(anything(), framing=until(b"\r\n\r\n"))
    (script.send(said) if said else script).close()
    with TcpServer(script) as server:
        url = f"ws://127.0.0.1:{server.port}/feed"
        with pytest.raises((NoWebSocket, AddressError), match=problem):
            with record(url, tape) as proxy:
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    client.sendall(b"GET /feed HTTP/1.1\r\nHost: x\r\n\r\n")
                    got = b"".join(iter(lambda: client.recv(65536), b""))
                assert got == said  # it passes
    assert said == b"" or any(line.payload or line.status for line in read(tape) if line.sender == "server")


def test_a_tcp_target_that_needs_tls(tape):
    with TcpServer(Script().expect(b"hello").send(b"\x15\x03\x01\x00\x02\x02\x46").close()) as server:
        with pytest.raises(AddressError, match="speaks TLS, and was called without: record tls://127"):
            with record(server.url, tape) as proxy:
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    client.sendall(b"hello")
                    assert client.recv(7, socket.MSG_WAITALL)[:2] == b"\x15\x03"


@pytest.mark.asyncio
async def test_a_target_that_speaks_no_tls(tape):
    async def greet(reader, writer):
        writer.write(b"220 hello\r\n")
        await reader.read()
        writer.close()

    async with tcp_server(greet) as url:
        with pytest.raises(AddressError, match=r"TLS handshake.*if it speaks no TLS, record tcp://"):
            async with record(url.replace("tcp", "tls"), tape, tls=False) as proxy:
                with pytest.raises(ConnectionResetError):
                    reader, _ = await asyncio.open_connection(proxy.host, proxy.port)
                    await reader.read()


def test_a_certificate_that_nobody_trusts(tape):
    server = WebSocketServer(tls=True).start()
    try:
        with pytest.raises(AddressError, match=r"certificate is not trusted .*tls=False \(farend record --insec"):
            with record(server.url, tape) as proxy:
                with pytest.raises(websockets.InvalidStatus):
                    connect(proxy.url)
    finally:
        server.close()


def test_a_certificate_that_nobody_checks(tape):
    with WebSocketServer(Script().expect("hello").send("there"), tls=True) as server:
        with record(server.url, tape, tls=False) as proxy, connect(proxy.url) as client:
            client.send("hello")
            assert client.recv() == "there"


def test_a_target_that_does_not_answer(tape):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says no TLS
        with pytest.raises(AddressError, match="no answer from 127|TLS handshake"):
            with record(f"tls://127.0.0.1:{silent.getsockname()[1]}", tape, deadline=0.2) as proxy:
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    with pytest.raises(ConnectionResetError):
                        client.recv(1)


# -- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_no_secret_reaches_the_tape(tape, compression):
    script = (
        Script()
        .expect('{"op": "login", "password": "s3cr3t-pw"}')
        .send('{"session_token": "s3cr3t-st", "you sent": "s3cr3t-header"}')
        .expect('{"resume": "s3cr3t-st"}')
        .send(b"s3cr3t-pw")
    )
    headers = {"Authorization": "Bearer s3cr3t-header", "Cookie": "sid=s3cr3t-cookie"}
    with WebSocketServer(script, compression=True) as server, record(server.url, tape) as proxy:
        with connect(f"{proxy.url}/?token=s3cr3t-query", additional_headers=headers, compression=compression) as client:
            client.send('{"op": "login", "password": "s3cr3t-pw"}')
            assert "s3cr3t-st" in client.recv()
            client.send('{"resume": "s3cr3t-st"}')
            assert client.recv() == b"s3cr3t-pw"
        assert server.transcripts[0].handshake.headers["authorization"] == "Bearer s3cr3t-header"
    written = tape.read_text()
    assert "s3cr3t" not in written
    assert '"json":{"op": "login", "password": "<secret:password:1>"}' in written
    assert '"you sent": "<secret:authorization:1>"' in written
    assert '"json":{"resume": "<secret:session_token:1>"}' in written
    assert '"target":"/?token=<secret:token:1>"' in written
    assert [line.payload for line in read(tape) if line.kind is Kind.MESSAGE][-1] == b"<secret:password:1>"


@pytest.mark.asyncio
async def test_no_secret_reaches_the_tape_on_tcp_however_it_is_cut(tape):
    async with tcp_server(echo_lines) as url, record(url, tape) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        for byte in b'{"token": "S3CR3T-1"}\n{"again": "S3CR3T-1"}\n':
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        assert await reader.readline() == b'{"TOKEN": "S3CR3T-1"}\n'
        assert await reader.readline() == b'{"AGAIN": "S3CR3T-1"}\n'
        writer.close()
        await writer.wait_closed()
    assert "S3CR3T" not in "".join(
        line.payload.decode() for line in read(tape) if line.sender == "server" and line.payload
    )
    assert "3T-1" not in tape.read_text()


def test_what_was_held_back_is_written_when_the_other_side_speaks(tape):
    with (
        TcpServer(Script().expect(b"token=abcdefgh").send(b"ok").expect(b"bye")) as server,
        record(server.url, tape) as proxy,
    ):
        with socket.create_connection((proxy.host, proxy.port), 10) as client:
            client.sendall(b"token=abcdefgh")
            assert client.recv(2, socket.MSG_WAITALL) == b"ok"
            client.sendall(b"bye")
    assert told(tape)[1:5] == [
        ("c", "message", b"token="),
        ("c", "message", b"<secret:token:1>"),
        ("s", "message", b"ok"),
        ("c", "message", b"<secret:token:2>"),  # it might have been the rest of it
    ]


def test_nothing_is_redacted_on_demand(tape):
    with (
        TcpServer(Script().expect(b"token=x\n").send(b"ok")) as server,
        record(server.url, tape, redact=False) as proxy,
    ):
        with socket.create_connection((proxy.host, proxy.port), 10) as client:
            client.sendall(b"token=x\n")
            assert client.recv(2, socket.MSG_WAITALL) == b"ok"
    assert ("c", "message", b"token=x\n") in told(tape)


def test_a_rule_that_fails_disturbs_no_traffic_and_writes_nothing(tape):
    def find(payload):
        return {"hello": 1 / 0} if payload == "hello" else ()

    with WebSocketServer(Script().expect("hello").send("there")) as server:
        with pytest.raises(ZeroDivisionError):
            with record(server.url, tape, redact=Redaction(find=find)) as proxy, connect(proxy.url) as client:
                client.send("hello")
                assert client.recv() == "there"
    assert "hello" not in tape.read_text()


# -- the tape's own troubles ----------------------------------------------------------------------


RECORDER = (
    "import os, signal, socket, sys\n"
    "from farend import record\n"
    "proxy = record(sys.argv[1], sys.argv[2]).__enter__()\n"
    "print(proxy.port, flush=True)\n"
    "sys.stdin.read()\n"
)


@contextlib.contextmanager
def recorder(url, tape):
    """A process that records, and the port of its proxy."""
    with subprocess.Popen(
        [sys.executable, "-c", RECORDER, url, tape], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, int(process.stdout.readline())


def test_a_killed_recorder_has_lost_nothing_that_was_said(tape):
    with TcpServer() as server:
        with recorder(server.url, tape) as (process, port), socket.create_connection(("127.0.0.1", port), 10) as client:
            peer = server.accept()
            for number in range(200):
                client.sendall(b"%03d\n" % number)
                peer.expect(b"%03d\n" % number)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        server.close()
    assert [line.payload for line in read(tape) if line.kind is Kind.MESSAGE] == [
        b"%03d\n" % number for number in range(200)
    ]


def test_a_killed_recorder_has_all_of_much_that_was_said(tape):
    said = os.urandom(300_000)
    with TcpServer() as server:
        with recorder(server.url, tape) as (process, port), socket.create_connection(("127.0.0.1", port), 10) as client:
            peer = server.accept()
            client.sendall(said)
            peer.expect(said)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        server.close()
    assert b"".join([line.payload for line in read(tape) if line.kind is Kind.MESSAGE]) == said


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, "the connection ended"
        data += more
    return data


def read_head(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(sock, 1)
    return head


@pytest.mark.parametrize("first", [b'{"token": "s3cr3t-1", "list": [', b'{"list": ['], ids=["secret", "no secret"])
def test_a_killed_recorder_has_what_had_come_of_messages(tape, first):
    mask = b"abcd"
    said = first + b"123456, " * 50_000
    begun = b"\x81\xff" + (1 << 20).to_bytes(8) + mask + apply_mask(said, mask)
    answered = b"\x01\x03hel\x80\x02l"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with (
            recorder(url, tape) as (process, port),
            socket.create_connection(("127.0.0.1", port), 30) as client,
        ):
            client.sendall(REQUEST)
            server, _ = listener.accept()
            with server:
                server.settimeout(30)
                read_head(server)
                server.sendall(ANSWER)
                read_head(client)
                client.sendall(begun)
                assert read_exactly(server, len(begun)) == begun  # and so it was written before
                server.sendall(answered)
                assert read_exactly(client, len(answered)) == answered
                process.send_signal(signal.SIGKILL)
                process.wait(30)
    assert [line.kind for line in read(tape)[:2]] == [Kind.CONNECT, Kind.ANSWER]
    parts = read(tape)[2:]
    assert {line.kind for line in parts} == {Kind.RAW}
    came = {side: b"".join([line.payload for line in parts if line.sender == side]) for side in ("client", "server")}
    assert came == {"client": said.replace(b"s3cr3t-1", b"<secret:token:1>"), "server": b"hell"}
    assert not any(b"s3cr3t" in file.read_bytes() for file in tape.parent.iterdir())


def test_a_killed_recorder_has_what_had_come_of_a_handshake(tape):
    begun = ANSWER[:50] + b"\r\nSet-Cookie: a=s3cr3t-1\r\nX-More: "
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with recorder(url, tape) as (process, port), socket.create_connection(("127.0.0.1", port), 30) as client:
            client.sendall(REQUEST)
            server, _ = listener.accept()
            with server:
                server.settimeout(30)
                read_head(server)
                server.sendall(begun)
                assert read_exactly(client, len(begun)) == begun
                process.send_signal(signal.SIGKILL)
                process.wait(30)
    lines = read(tape)
    assert [line.kind for line in lines[:2]] == [Kind.CONNECT, Kind.RAW]
    came = b"".join([line.payload for line in lines[1:]])
    assert came == begun.replace(b"s3cr3t-1", b"<secret:set-cookie:1>")


def test_nothing_is_left_beside_a_tape_whose_messages_came_in_pieces(tape):
    parts = ["hel", "lo", "!" * 1_000_000]
    with WebSocketServer(Script().expect("".join(parts)).send("x" * 1_000_000)) as server:
        with record(server.url, tape) as proxy, connect(proxy.url, compression=None, max_size=None) as client:
            client.send(parts)
            assert client.recv() == "x" * 1_000_000
    assert [line.payload for line in read(tape) if line.kind is Kind.MESSAGE] == ["".join(parts), "x" * 1_000_000]
    assert [*tape.parent.iterdir()] == [tape]


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.name != "posix"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("a small tmpfs cannot be mounted here (it takes root)")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_disturbs_no_traffic(small_disk):
    tape = small_disk / "tape.jsonl"
    count, said = 30, os.urandom(4096)
    script = Script()
    for _ in range(count):
        script.expect(said).send(b"ok")
    with WebSocketServer(script) as server:
        with pytest.raises(TapeUnavailable, match=r"cannot be written any more: No space left on device; it holds the"):
            with record(server.url, tape) as proxy, connect(proxy.url) as client:
                for _ in range(count):
                    client.send(said)
                    assert client.recv() == b"ok"
    lines = read(tape)  # to the last one that was whole
    assert 5 < len(lines) < 2 * count
    assert all(line.payload in (said, b"ok") for line in lines[2:])


def test_a_disk_that_is_full_when_the_tape_is_closed_keeps_what_was_said(small_disk):
    tape = small_disk / "tape.jsonl"
    said = b"x" * 36_000
    recorder = Recorder(tape, "tcp", now=0.0)
    recorder.connection(0.0).data(0.0, "client", said)
    recorder.close()
    assert re.search(r"cannot be put together: No space left .* tape.jsonl.bulk beside it", str(recorder.error))
    assert [line.payload for line in read(tape)] == [said]


def test_a_read_only_folder_is_an_error_at_once(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(TapeUnavailable, match=r"tape.jsonl cannot be written: Read-only file system"):
        with record("tcp://127.0.0.1:1", small_disk / "tape.jsonl"):
            pass


@pytest.mark.asyncio
async def test_a_folder_that_is_not_there(tape):
    with pytest.raises(TapeUnavailable, match="No such file"):
        async with record("tcp://127.0.0.1:1", tape / "x"):
            pass


# -- life -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_it_may_end_before_its_clients(tape):
    async with tcp_server(echo_lines) as url:
        async with record(url, tape) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(b"said\n")
            assert await reader.readline() == b"SAID\n"
            assert proxy.open_connections == 1
            writer.write(b"late\n")
        assert await reader.read() in (b"", b"LATE\n")
        writer.close()
    lines = read(tape)
    assert lines[-1].kind is Kind.NOTE
    assert "ended before" in lines[-1].reason
    assert ("c", "message", b"late\n") in told(tape)


@pytest.mark.asyncio
async def test_a_client_that_leaves_before_the_server_is_reached(tape):
    async with websocket_server() as url, record(url, tape) as proxy:
        for _ in range(3):
            _, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.transport.abort()
    assert {line.kind for line in read(tape)} <= {Kind.CONNECT, Kind.END, Kind.ABORT, Kind.NOTE}


@pytest.mark.asyncio
async def test_a_client_that_blocks_the_proxys_loop_does_not_hang(tape):
    async with tcp_server(echo_lines) as url:
        with pytest.raises(WrongState, match=r"stood still for .* use `with record\(\.\.\.\)`"):
            async with record(url, tape, deadline=0.2) as proxy:
                with socket.create_connection((proxy.host, proxy.port), 10) as client:
                    client.sendall(b"hello\n")
                    with contextlib.suppress(ConnectionError):
                        assert client.recv(1) == b""


def test_it_is_started_once_and_used_while_it_runs(tape):
    proxy = record("ws://127.0.0.1:1", tape)
    assert "not started" in repr(proxy)
    for ask in (lambda: proxy.port, lambda: proxy.url, lambda: proxy.lines):
        with pytest.raises(WrongState):
            ask()
    with proxy:
        assert repr(proxy) == f"<RecordingProxy to ws://127.0.0.1:1: ws://127.0.0.1:{proxy.port}>"
        assert proxy.lines == proxy.connections == 0
        assert proxy.tape == tape
    with pytest.raises(WrongState, match="started already"):
        proxy.__enter__()


def test_times_are_left_out_on_demand(tape):
    with TcpServer(Script().expect(b"x").send(b"y")) as server, record(server.url, tape, times=None) as proxy:
        with socket.create_connection((proxy.host, proxy.port), 10) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"y"
    assert '"at"' not in tape.read_text()


def test_what_is_recorded_again_is_the_same_but_for_the_address(tape, tmp_path):
    texts = []
    for turn in range(2):
        path = tmp_path / f"{turn}.jsonl"
        with (
            WebSocketServer(Script().expect("hello").send("there")) as server,
            record(server.url, path, times=None) as proxy,
        ):
            with connect(proxy.url) as client:
                client.send("hello")
                assert client.recv() == "there"
        texts.append(path.read_text().replace(str(server.port), "PORT"))
    assert texts[0] == texts[1]
    assert [json.loads(line) for line in texts[0].splitlines()]


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        (7, WrongType, "URL as text"),
        ("http://x/feed", InvalidArguments, "write ws://x/feed"),
        ("redis://x:6379", InvalidArguments, "write tcp://x:6379"),
        ("x:80", InvalidArguments, "write ws://, wss://, tcp:// or tls://"),
        ("ws://", InvalidArguments, "names no host"),
        ("tcp://x", InvalidArguments, "names no port: write tcp://x:6379"),
        ("ws://x:port", InvalidArguments, "is no URL"),
    ],
)
def test_urls_that_cannot_be_recorded(tape, url, error, text):
    with pytest.raises(error, match=text):
        record(url, tape)


def test_arguments_are_checked(tape):
    with pytest.raises(WrongType, match="tls= takes"):
        record("wss://x", tape, tls="yes")
    for options, text in (({"redact": "x"}, "redact="), ({"times": "x"}, "times=")):
        with pytest.raises(WrongType, match=text):
            record("tcp://x:1", tape, **options).__enter__()
    with pytest.raises(WrongType, match="port="):
        record("tcp://x:1", tape, port="80").__enter__()


def test_no_context_is_made_for_what_is_not_tls(tape, monkeypatch):
    monkeypatch.setattr(ssl, "create_default_context", lambda: pytest.fail("it takes milliseconds"))
    record("ws://x", tape)
    assert not Path(tape).exists()
