"""Servers: their addresses, which script a connection meets, and what a WebSocket handshake can ask for (item 3)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidStatus

from farend import (
    Failure,
    InvalidArguments,
    Ping,
    Pong,
    Script,
    TcpServer,
    WebSocketClient,
    WebSocketServer,
    WrongState,
    WrongType,
)
from farend.core.findings import HandshakeMismatch, Lingered, NobodyConnected, UnexpectedConnection

GREETING = Script().expect("hello").send("there")
SHORT = 0.05
hear = asyncio.to_thread


async def greet(url: str, **options: Any) -> Any:
    async with connect(url, **options) as client:
        await client.send("hello")
        assert await client.recv() == "there"
    return client


# -- addresses ---------------------------------------------------------------------------------------


def test_ipv4_is_the_default_and_nobody_else_can_reach_it() -> None:
    """Today's tools leak: binding to all interfaces."""
    with TcpServer() as server:
        assert server.host == "127.0.0.1"
        assert server.url == f"tcp://127.0.0.1:{server.port}"
        assert server._sock.getsockname() == ("127.0.0.1", server.port)


@pytest.mark.asyncio
async def test_ipv6() -> None:
    async with WebSocketServer(GREETING, host="::1") as server:
        assert server.url == f"ws://[::1]:{server.port}"
        await greet(server.url)
    assert server.transcripts[0].received == ["hello"]


@pytest.mark.asyncio
async def test_unix_sockets(folder: Path) -> None:
    async with WebSocketServer(GREETING, unix_path=folder / "s") as server:
        assert server.url == f"ws+unix://{folder}/s"
        assert str(folder) in server.name
        async with unix_connect(str(folder / "s")) as client:
            await client.send("hello")
            assert await client.recv() == "there"
        with pytest.raises(WrongState, match="a Unix socket has no port; its path is "):
            _ = server.port


def test_the_address_can_be_read_when_it_is_over() -> None:
    with TcpServer() as server:
        url = server.url
    assert server.url == url


def test_a_server_is_called_by_its_name_or_its_address() -> None:
    with TcpServer(name="the device") as named, WebSocketServer() as nameless:
        assert named.name == "the device"
        assert nameless.name == f"WebSocketServer 127.0.0.1:{nameless.port}"
        assert repr(nameless) == f"<WebSocketServer 127.0.0.1:{nameless.port}: 0 connections>"


def test_two_hundred_servers_have_two_hundred_ports() -> None:
    """Today's tools leak: ports found by probing, then bound; a second server while one runs hangs."""
    servers = [TcpServer().start() for _ in range(200)]
    assert len({server.port for server in servers}) == 200
    for server in servers:
        server.close()


# -- which script ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_list_of_scripts_plays_one_for_each_connection_in_turn(dial: Any) -> None:
    scripts = [Script().expect("x").send(str(number)) for number in range(3)]
    async with TcpServer(scripts) as server:
        for number in range(3):
            client = dial(server)
            client.sendall(b"x")
            assert await hear(client.read, 1) == str(number).encode()
    assert [transcript.sent for transcript in server.transcripts] == [["0"], ["1"], ["2"]]


@pytest.mark.asyncio
async def test_one_connection_too_many_is_turned_away(dial: Any, only: Any) -> None:
    with pytest.raises(Failure, match="there is a script for 1 connection") as caught:
        async with TcpServer([Script().expect("x")]) as server:
            dial(server).sendall(b"x")
            assert await hear(dial(server).read_all) == b""
    assert isinstance(only(caught), UnexpectedConnection)


@pytest.mark.asyncio
async def test_one_websocket_too_many_hears_503(only: Any) -> None:
    with pytest.raises(Failure, match="A connection came that the test does not provide for"):
        async with WebSocketServer([GREETING]) as server:
            await greet(server.url)
            with pytest.raises(InvalidStatus) as caught:
                await greet(server.url)
            assert caught.value.response.status_code == 503
            assert b"does not provide for" in (caught.value.response.body or b"")


@pytest.mark.asyncio
async def test_scripts_are_routed_by_path() -> None:
    feed = [Script().send("tick 1"), Script().send("tick 2")]
    async with WebSocketServer({"/feed": feed, "/orders": GREETING}) as server:
        await greet(server.url + "/orders?user=1")
        for number in (1, 2):
            async with connect(server.url + "/feed") as client:
                assert await client.recv() == f"tick {number}"
        await greet(server.url + "/orders")
    assert [transcript.handshake.path for transcript in server.transcripts] == ["/orders", "/feed", "/feed", "/orders"]  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_path_that_nobody_serves_hears_404(only: Any) -> None:
    with pytest.raises(Failure, match=r"connected to '/fed', and no script is there \(there is /feed\)") as caught:
        async with WebSocketServer({"/feed": Script()}) as server:
            with pytest.raises(InvalidStatus) as answer:
                await greet(server.url + "/fed")
            assert answer.value.response.status_code == 404
    assert isinstance(only(caught), UnexpectedConnection)


@pytest.mark.asyncio
async def test_a_path_that_nobody_came_to(only: Any) -> None:
    with pytest.raises(Failure, match=r"Nobody connected to /feed \(0\.2 s waited\)") as caught:
        async with WebSocketServer({"/feed": GREETING, "/orders": GREETING}, deadline=0.2) as server:
            await greet(server.url + "/orders")
    finding = only(caught)
    assert isinstance(finding, NobodyConnected)
    assert finding.route == "/feed"


def test_play_gives_the_script_later(dial: Any) -> None:
    with TcpServer() as server:
        server.play(Script().expect("a").send("b"))
        client = dial(server)
        client.sendall(b"a")
        assert client.read(1) == b"b"


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: TcpServer("hello"), WrongType, "a far end takes a Script, a list of them, or a mapping of paths"),
        (lambda: TcpServer([GREETING, "x"]), WrongType, "has 'x' in it; is a Script meant"),
        (lambda: WebSocketServer({}), InvalidArguments, "an empty mapping of paths: no connection could be served"),
        (lambda: WebSocketServer({"feed": GREETING}), InvalidArguments, "needs a '/' in front: write '/feed'"),
        (lambda: TcpServer(Script().send(Ping())), ValueError, "cannot be played on a byte stream"),
        (lambda: TcpServer().play([Script().expect(Pong())]), ValueError, "it has no pings and pongs"),
    ],
)
def test_what_cannot_be_played_raises_at_the_callers_line(make: Any, error: type[Exception], text: str) -> None:
    """Bad input: a wrong type in a script."""
    with pytest.raises(error, match=text):
        make()


# -- handshakes --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_handshake_is_on_the_transcript() -> None:
    async with WebSocketServer(GREETING) as server:
        await greet(
            server.url + "/feed?symbol=A&depth=5&depth=6",
            origin="https://example.com",
            additional_headers={"Authorization": "Bearer token"},
        )
    handshake: Any = server.transcripts[0].handshake
    assert handshake.target == "/feed?symbol=A&depth=5&depth=6"
    assert handshake.query == {"symbol": "A", "depth": "6"}
    assert handshake.origin == "https://example.com"
    assert handshake.headers["authorization"] == "Bearer token"


@pytest.mark.asyncio
async def test_the_handshake_can_be_expected() -> None:
    script = Script().expect_handshake(
        "/feed",
        query={"depth": "5"},
        headers={"Authorization": lambda value: value is not None and value.startswith("Bearer")},
        origin="https://example.com",
    )
    async with WebSocketServer(script.add(GREETING)) as server:
        await greet(
            server.url + "/feed?depth=5",
            origin="https://example.com",
            additional_headers={"Authorization": "Bearer token"},
        )


@pytest.mark.asyncio
async def test_another_handshake_is_refused_and_told(only: Any) -> None:
    script = Script().expect_handshake("/feed", query={"depth": "5"}).expect("hello")
    with pytest.raises(
        Failure, match="opened its WebSocket otherwise than expected: see its path, query 'depth'"
    ) as caught:
        async with WebSocketServer(script) as server:
            with pytest.raises(InvalidStatus) as answer:
                await greet(server.url + "/orders?depth=6")
            assert answer.value.response.status_code == 400
    finding = only(caught)
    assert isinstance(finding, HandshakeMismatch)
    assert [part for part, _ in finding.differences] == ["path", "query 'depth'"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("spoken", "offered", "chosen"),
    [
        (["v2", "v1"], ["v1", "v2"], "v2"),
        (["v1"], ["v0", "v1"], "v1"),
        (None, ["v1"], None),
    ],
)
async def test_subprotocols(spoken: Any, offered: Any, chosen: str | None) -> None:
    async with WebSocketServer(GREETING, subprotocols=spoken) as server:
        client = await greet(server.url, subprotocols=offered)
    assert client.subprotocol == chosen


@pytest.mark.asyncio
@pytest.mark.parametrize("offered", [None, ["v0"]])
async def test_a_subprotocol_that_is_not_spoken(offered: Any) -> None:
    with pytest.raises(Failure, match="it did not open a WebSocket: .*subprotocol"):
        async with WebSocketServer(GREETING, subprotocols=["v2"]) as server:
            with pytest.raises(InvalidStatus):
                await greet(server.url, subprotocols=offered)


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", [False, True])
async def test_compression_is_there_only_where_it_was_asked_for(asked: bool) -> None:
    async with WebSocketServer(GREETING, compression=asked) as server:
        client = await greet(server.url)
    extensions = [extension.name for extension in client.protocol.extensions]
    assert extensions == (["permessage-deflate"] if asked else [])


@pytest.mark.asyncio
async def test_compressed_messages_are_told_as_they_were_meant() -> None:
    text = "the same again, " * 10_000
    async with WebSocketServer(
        Script().expect(text).send_fragments(text, text).expect("ok"), compression=True
    ) as server:
        async with connect(server.url) as client:
            await client.send(text)
            assert await client.recv() == text + text
            await client.send("ok")
    assert server.transcripts[0].received == [text, "ok"]


@pytest.mark.asyncio
async def test_pings_and_pongs() -> None:
    """RFC 6455, 5.5.2: a ping is answered by itself; it is on the transcript, and no step is spent on it."""
    async with WebSocketServer(GREETING) as server:
        async with connect(server.url) as client:
            await asyncio.wait_for(await client.ping(b"are you there?"), 5)
            await client.send("hello")
            assert await client.recv() == "there"
    assert server.transcripts[0].received == [Ping(b"are you there?"), "hello"]


@pytest.mark.asyncio
async def test_fragments_of_the_near_end_are_one_message() -> None:
    async with WebSocketServer(Script().expect("one two").expect(b"\x00\x01")) as server:
        async with connect(server.url) as client:
            await client.send(["one", " ", "two"])
            await client.send([b"\x00", b"\x01"])
    assert server.transcripts[0].received == ["one two", b"\x00\x01"]


# -- what is held ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_port_is_free_when_it_is_over() -> None:
    """S0-2: exists only for the duration of the `async with`."""
    async with TcpServer() as server:
        pass
    with socket.create_server(("127.0.0.1", server.port)):
        pass


@pytest.mark.asyncio
async def test_clients_that_come_after_the_end_are_refused(dial: Any) -> None:
    async with TcpServer() as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        dial(server)


# -- a near end that waits for more than there is ------------------------------------------------------


@pytest.mark.parametrize("script", [Script().expect(b"a").send(b"b"), None])
def test_a_client_that_waits_for_more_than_there_is_does_not_hang(dial: Any, script: Script | None) -> None:
    with pytest.raises(Failure) as caught, TcpServer(script, deadline=0.1) as server:
        client = dial(server)
        if script is not None:
            client.sendall(b"a")
        assert client.read_all() == (b"b" if script is not None else b"")
    [finding] = caught.value.findings
    assert type(finding) is Lingered
    assert finding.unheard is (script is None)


def test_a_connection_in_the_hand_may_be_silent(dial: Any) -> None:
    with TcpServer(deadline=0.05) as server:
        client = dial(server)
        peer = server.accept()
        with pytest.raises(Failure, match="Waited 0.2 s"):
            peer.receive(within=0.2)
        assert peer.is_open
        peer.send("still there?")
        assert client.read(12) == b"still there?"


def test_a_connection_is_taken_in_hand_behind_its_script(dial: Any) -> None:
    with TcpServer(Script().expect(b"a").send(b"b")) as server:
        client = dial(server)
        peer = server.accept()
        client.sendall(b"a")
        assert client.read(1) == b"b"
        client.sendall(b"more")
        assert peer.receive() == b"more"


def test_broadcast_reaches_who_has_only_just_connected(dial: Any) -> None:
    for _ in range(20):
        with TcpServer() as server:
            client = dial(server)
            assert server.broadcast(b"news") == 1
            assert client.read(4) == b"news"
            server.accept()


def test_play_is_refused_behind_the_end() -> None:
    server = TcpServer().start()
    server.close()
    with pytest.raises(WrongState, match=r"is closed: play\(\) belongs before its end"):
        server.play(Script().expect("x"))


@pytest.mark.parametrize(
    "make", [WebSocketServer, lambda **options: WebSocketClient(None, "ws://127.0.0.1:1", **options)]
)
def test_one_subprotocol_is_a_list_as_well(make: Any) -> None:
    with pytest.raises(WrongType, match=r"write subprotocols=\['chat'\]"):
        make(subprotocols="chat")
    for wrong in ("deflate", None, 1):
        with pytest.raises(WrongType, match=r"compression= takes True, for permessage-deflate, or False, not"):
            make(compression=wrong)


def test_who_stays_when_the_test_is_over_keeps_nothing_up(dial: Any) -> None:
    """What is told is who did not come."""
    client: Any = None
    with pytest.raises(Failure) as caught, TcpServer([Script().send(b"hi"), Script().send(b"hi")], deadline=0.3) as two:
        client = dial(two)
        assert client.read(2) == b"hi"
    assert [type(finding) for finding in caught.value.findings] == [NobodyConnected]


# -- how a connection on which nothing was played is written down -------------------------------------

PLAIN_HTTP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OPENING = (
    b"GET /other HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("make", "said", "end"),
    [
        (lambda: WebSocketServer(GREETING, deadline=SHORT), b"", "× far end cut the connection"),
        (lambda: TcpServer(GREETING, deadline=SHORT, tls=True), b"", "× far end closed"),
        (lambda: WebSocketServer(GREETING, deadline=SHORT), PLAIN_HTTP, "× far end answered HTTP 426"),
        (lambda: WebSocketServer(GREETING, deadline=SHORT), b"\x16\x03\x01\r\n\r\n", "× far end closed"),
        (lambda: WebSocketServer({"/feed": GREETING}, deadline=SHORT), OPENING, "× far end answered HTTP 404"),
        (
            lambda: WebSocketServer(Script().expect_handshake("/feed"), deadline=SHORT),
            OPENING,
            "× far end answered HTTP 400",
        ),
        (lambda: TcpServer([], deadline=SHORT), b"", "× far end closed"),
    ],
    ids=["silent", "silent before TLS", "a page", "TLS", "no such path", "another handshake", "one too many"],
)
def test_the_far_end_is_said_to_have_ended_what_it_ended_and_when(
    make: Callable[[], Any], said: bytes, end: str
) -> None:
    server = make()
    with pytest.raises(Failure) as caught, server:
        with socket.create_connection((server.host, server.port), 10) as client:
            client.sendall(said)
            with contextlib.suppress(ConnectionError):
                while client.recv(1000):
                    pass
    [finding] = caught.value.findings
    [transcript] = server.transcripts
    connected, *_ = transcript
    found = next(entry for entry in transcript if entry.payload is finding)
    assert (found.time - connected.time >= SHORT) == (" within 0.05 s" in finding.sentence)
    behind = [str(entry) for entry in transcript][list(transcript).index(found) + 1 :]
    assert behind[0] == end
    assert end in str(caught.value)
