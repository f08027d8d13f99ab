"""Far ends that dial: the client role, against servers of others and against farend's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from farend import (
    Failure,
    InvalidArguments,
    Script,
    TcpClient,
    TcpServer,
    WebSocketClient,
    WebSocketServer,
    WrongState,
    WrongType,
)
from farend.core.findings import EndedEarly, Mismatch, NotConnected, TimedOut
from farend.stage import tls
from farend.stage.peer import SYNONYMS as PEER_SYNONYMS

PING_PONG = Script().expect("ping").send("pong")
CALL = Script().send("ping").expect("pong")
SHORT = 0.05


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1000):
            writer.write(data)
    writer.close()


# -- servers of others -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_tcp_server_under_test() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with TcpClient(Script().send("abc").expect("abc").close().expect_close(), port=port) as client:
        assert client.name == f"TcpClient 127.0.0.1:{port}"
    assert client.transcripts[0].received == [b"abc"]
    server.close()


@pytest.mark.asyncio
async def test_a_websocket_server_under_test() -> None:
    async def handle(connection: Any) -> None:
        assert connection.request.headers["Authorization"] == "Bearer token"
        async for message in connection:
            await connection.send(message.upper())

    async with serve(handle, "127.0.0.1", 0, subprotocols=["v1"], origins=["https://example.com"]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        script = Script().send("hello").expect("HELLO").send_fragments("a", "b").expect("AB").close(4000, "bye")
        async with WebSocketClient(
            script,
            f"ws://127.0.0.1:{port}/feed?x=1",
            headers={"Authorization": "Bearer token"},
            origin="https://example.com",
            subprotocols=["v1"],
            compression=True,
        ) as client:
            pass
    handshake: Any = client.transcripts[0].handshake
    assert (handshake.path, handshake.query, handshake.origin) == ("/feed", {"x": "1"}, "https://example.com")


def test_in_a_plain_test_and_by_hand() -> None:
    with TcpServer(PING_PONG) as server, TcpClient(port=server.port) as client:
        peer = client.blocking_peer
        peer.send("ping")
        assert peer.expect("pong") == b"pong"
        for wrong, right in PEER_SYNONYMS.items():
            assert not hasattr(peer, wrong)
            assert hasattr(type(peer), right)
            assert hasattr(type(client.peer), right)
        with pytest.raises(AttributeError, match="a BlockingPeer has no 'recv'; did you mean 'receive'"):
            peer.recv()  # type: ignore[attr-defined]
        with pytest.raises(WrongType, match=r"receive\(\) takes no timeout=; did you mean within="):
            peer.receive(timeout=3)  # type: ignore[call-arg]


def test_all_connections_in_a_plain_test() -> None:
    with TcpServer() as server, TcpClient(port=server.port) as one, TcpClient(port=server.port) as other:
        server.accept()
        server.accept()
        first, second = server.blocking_connections
        one.blocking_peer.send("a")
        other.blocking_peer.send("b")
        assert (first.receive(), second.receive()) == (b"a", b"b")
        second.send("c")
        assert other.blocking_peer.receive() == b"c"


@pytest.mark.asyncio
async def test_by_hand() -> None:
    async with WebSocketServer(PING_PONG) as server, WebSocketClient(None, server.url) as client:
        await client.peer.send("ping")
        assert await client.peer.receive() == "pong"


def test_over_tls_and_unix_and_ipv6(folder: Path) -> None:
    with TcpServer(PING_PONG, tls=True) as server, TcpClient(CALL, port=server.port, tls=True):
        pass
    with WebSocketServer(PING_PONG, tls=True) as other, WebSocketClient(CALL, other.url, tls=True):
        pass
    with WebSocketServer(PING_PONG, tls=True) as third, WebSocketClient(CALL, third.url, tls=tls.client_context()):
        pass
    with TcpServer(PING_PONG, unix_path=folder / "s"), TcpClient(CALL, unix_path=folder / "s") as client:
        assert client.name == f"TcpClient {folder}/s"
    with TcpServer(PING_PONG, host="::1") as v6, TcpClient(CALL, "::1", v6.port):
        pass


# -- what goes wrong ---------------------------------------------------------------------------------


def nobody_there() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_nobody_listens(only: Any, scheme: str) -> None:
    port = nobody_there()
    client = TcpClient(CALL, port=port) if scheme == "tcp" else WebSocketClient(CALL, f"ws://127.0.0.1:{port}")
    with pytest.raises(Failure, match="nobody listens on .*: is the server under test started, and is this its port"):
        with client:
            pass
    assert client.transcripts == ()


@pytest.mark.asyncio
async def test_nobody_listens_in_an_async_test(only: Any) -> None:
    with pytest.raises(Failure, match="nobody listens on 127.0.0.1") as caught:
        async with TcpClient(CALL, port=nobody_there()):
            pass
    assert isinstance(only(caught), NotConnected)


def test_no_unix_socket_is_there(folder: Path) -> None:
    with pytest.raises(Failure, match="there is no Unix socket .*/s"), TcpClient(CALL, unix_path=folder / "s"):
        pass


def test_a_server_that_says_another_thing(only: Any) -> None:
    with pytest.raises(Failure) as caught, TcpServer() as server, TcpClient(CALL, port=server.port):
        peer = server.accept()
        peer.expect("ping")
        peer.send("pang")
        peer.closed()
    finding = only(caught)
    assert isinstance(finding, Mismatch)
    assert finding.got == b"pang"


def test_a_server_that_leaves(only: Any) -> None:
    with pytest.raises(Failure) as caught:
        with TcpServer(Script().expect("ping").close()) as server, TcpClient(CALL, port=server.port):
            pass
    assert isinstance(only(caught), EndedEarly)


def test_a_server_that_does_not_answer(only: Any) -> None:
    with TcpServer() as server:
        with pytest.raises(Failure) as caught, TcpClient(CALL, port=server.port, deadline=SHORT):
            server.accept().receive()
    assert isinstance(only(caught), TimedOut)


@pytest.mark.asyncio
async def test_a_server_that_answers_no_handshake(only: Any) -> None:
    async with TcpServer() as server:
        with pytest.raises(Failure, match=r"ws://.* did not answer within 0\.05 s") as caught:
            async with WebSocketClient(CALL, f"ws://127.0.0.1:{server.port}", deadline=SHORT):
                pass
        assert isinstance(only(caught), NotConnected)
        peer = await server.connection()
        await peer.drain_until(b"\r\n\r\n")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Script().expect(lambda head: True).close(), "the server ended the connection without answering"),
        (Script().expect(lambda head: True).abort(), "the server ended the connection without answering"),
        (
            Script().expect(lambda head: True).send("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!").close(),
            r"the server answered HTTP 403 \(no!\)",
        ),
        (Script().expect(lambda head: True).send("SSH-2.0\r\n\r\n").close(), "the server did not accept the WebSocket"),
    ],
)
async def test_a_server_that_is_no_websocket_server(answer: Script, text: str) -> None:
    async with TcpServer(answer) as server:
        with pytest.raises(Failure, match=text):
            async with WebSocketClient(CALL, f"ws://127.0.0.1:{server.port}"):
                pass


@pytest.mark.asyncio
async def test_a_certificate_that_the_client_refuses() -> None:
    with pytest.raises(Failure, match="refused the certificate"):
        async with WebSocketServer(tls=True) as server:
            with pytest.raises(Failure, match="CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
                async with WebSocketClient(CALL, server.url):
                    pass
            assert ssl.create_default_context() is not tls.client_context()
            await server.played()


@pytest.mark.asyncio
async def test_tls_to_a_plain_port(only: Any) -> None:
    with pytest.raises(Failure):
        async with TcpServer(Script().expect("x")) as server:
            with pytest.raises(Failure) as caught:
                async with TcpClient(CALL, port=server.port, tls=True):
                    pass
            assert isinstance(only(caught), NotConnected)


# -- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: TcpClient(CALL), InvalidArguments, "TcpClient needs the port of the server under test"),
        (lambda: TcpClient([CALL], port=1), WrongType, "a client plays one Script, not "),  # type: ignore[arg-type]
        (lambda: TcpClient(CALL, port=1, tls="yes"), WrongType, "tls= takes True"),  # type: ignore[arg-type]
        (lambda: WebSocketClient(CALL, "http://x"), InvalidArguments, "a URL such as 'ws://127.0.0.1:8000/feed'"),
        (lambda: WebSocketClient(CALL, 8000), InvalidArguments, "not 8000"),  # type: ignore[arg-type]
        (lambda: WebSocketClient("x", "ws://x"), WrongType, "a client plays one Script, not 'x'"),  # type: ignore[arg-type]
        (lambda: TcpClient(Script().close(1000), port=1), ValueError, "it has no close codes"),
    ],
)
def test_what_cannot_be_meant(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_client_is_used_once() -> None:
    with TcpServer() as server:
        client = TcpClient(port=server.port)
        with client:
            pass
        with pytest.raises(WrongState, match="was started already"), client:
            pass


# -- a server that does not speak TLS -----------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "ended in the TLS handshake; if it does not speak TLS, {}"),
        (b"hello, this is plain text\n", r"does not speak TLS \(.+\): {}"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", r"does not speak TLS \(.+\): {}"),
    ],
    ids=["nothing", "text", "http"],
)
@pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "websocket"])
async def test_a_server_without_tls_is_told_by_what_it_answers(
    answer: bytes, problem: str, websocket: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = (
            WebSocketClient(CALL, f"wss://127.0.0.1:{port}")
            if websocket
            else TcpClient(Script().send(b"x"), port=port, tls=True)
        )
        with pytest.raises(Failure, match=problem.format("dial ws://" if websocket else "leave tls= out")):
            await client.__aenter__()
    assert not caplog.records  # where event loops tell of what a protocol raises
