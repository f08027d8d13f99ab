"""A plan at a proxy: what never reaches the server, what is passed on, and what ends after so many messages."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from farend import (
    Failure,
    Latency,
    Plan,
    PlanError,
    Script,
    TcpServer,
    WebSocketServer,
    WrongType,
    forever,
    proxy,
    reroute,
    then_abort,
    then_close,
    then_drop,
    then_stall,
)
from farend.core.answers import OTHER_ACCEPT
from farend.core.commands import Drop
from farend.core.outcomes import LetDown
from farend.stage.proxied import EndingTap, WrongAcceptTap


def meets(url: str, *, limit: float = 30, opening: float | None = None, **options: Any) -> list[str]:
    """What a client hears that says hello, and how it ends. `opening` and every message may take as long as `limit`."""
    heard: list[str] = []
    try:
        with connect(url, open_timeout=opening or limit, close_timeout=1, **options) as client:
            with contextlib.suppress(ConnectionClosed):  # what was said before that is heard all the same
                client.send("hello")
            while True:
                heard.append(str(client.recv(timeout=limit)))
    except InvalidStatus as error:
        heard.append(str(error.response.status_code))
    except ConnectionClosed as error:
        heard.append(str(error.rcvd.code if error.rcvd else 1006))
    except (OSError, WebSocketException, EOFError) as error:
        heard.append(type(error).__name__)
    return heard


@pytest.fixture
def server() -> Iterator[WebSocketServer]:
    """A real server, which may be left in any way."""
    server = WebSocketServer(Script(open_ended=True).send("welcome").send("1").send("2").send("3")).start()
    try:
        yield server
    finally:
        server.close()


def test_what_is_let_down_never_reaches_the_server() -> None:
    plan = Plan().refuse(2).reject(503).stall().stall("request").reset().reset("request").drop().drop("request").play()
    with WebSocketServer(Script().expect("hello").send("there").close()) as server, proxy(server.url, plan=plan) as one:
        limits = [30, 30, 30, 0.3, 1, 30, 30, 30, 30, 30]
        heard = [meets(one.url, limit=limit) for limit in limits]
    assert heard[:5] == [["ConnectionRefusedError"]] * 2 + [["503"]] + [["TimeoutError"]] * 2
    assert heard[-1] == ["there", "1000"]
    assert all(len(one) == 1 for one in heard[5:9])
    assert one.journal.outcomes == (
        ["refused"] * 2 + ["rejected 503"] + ["stalled"] * 2 + ["reset"] * 2 + ["dropped"] * 2 + ["played"]
    )
    assert len(server.journal) == 1
    assert all(attempt.ended is not None for attempt in one.journal)


@pytest.mark.parametrize(
    ("ending", "heard", "outcome"),
    [
        (then_drop(sent=2), ["welcome", "1", "1006"], "dropped"),
        (then_drop(received=1), None, "dropped"),
        (then_drop(after=4), None, "dropped"),
        (then_abort(sent=3), None, "aborted"),
    ],
)
def test_a_connection_ends_after_so_many_messages(
    server: WebSocketServer, ending: Any, heard: list[str] | None, outcome: str
) -> None:
    with proxy(server.url, plan=Plan().play(ending=ending).play()) as between:
        first = meets(between.url)
        assert first[-1] in ("1006", "ConnectionResetError", "InvalidMessage")
        assert heard is None or first == heard
        assert meets(between.url, limit=5)[:4] == ["welcome", "1", "2", "3"]
    assert between.journal.outcomes == [outcome, "played"]


def test_a_connection_falls_silent_after_so_many_messages(server: WebSocketServer) -> None:
    with proxy(server.url, plan=Plan().play(ending=then_stall(sent=2))) as between:
        assert meets(between.url, limit=3, opening=30) == ["welcome", "1", "TimeoutError"]
    assert between.journal.outcomes == ["stalled"]


def test_a_connection_ends_when_the_handshake_has_passed(server: WebSocketServer) -> None:
    plan = Plan().reset("handshake").drop("handshake").stall("handshake")
    with proxy(server.url, plan=plan) as between:
        for _ in range(2):
            (heard,) = meets(between.url)
            assert heard != "welcome"  # how it is told is the client's: a reset may be there before the answer is read
        assert meets(between.url, limit=1, opening=30) == ["TimeoutError"]
    assert between.journal.outcomes == ["reset", "dropped", "stalled"]
    assert len(server.journal) == 3


def test_the_servers_answer_is_spoilt() -> None:
    plan = Plan().wrong_accept(times=2)
    answers = Plan().play(Script(open_ended=True)).reject(404)
    with WebSocketServer(answers) as server, proxy(server.url, plan=plan) as between:
        with pytest.raises(InvalidHandshake, match="Sec-WebSocket-Accept"):
            connect(between.url, open_timeout=30)
        assert meets(between.url) == ["404"]  # no WebSocket, and so nothing to spoil
    assert between.journal.outcomes == ["wrong accept", "played"]


def test_tls_goes_wrong_at_a_proxy(server: WebSocketServer) -> None:
    plan = Plan().tls("expired").tls("cut").stall().play()
    with proxy(server.url, plan=plan, listen_tls=True) as between:
        context = between.client_ssl_context
        heard = [meets(between.url, limit=5, opening=opening, ssl=context) for opening in (30, 30, 0.3, 30)]
    assert [one[0] for one in heard] == ["SSLCertVerificationError", "ConnectionResetError", "TimeoutError", "welcome"]
    assert between.journal.outcomes == ["tls expired", "tls cut", "stalled", "played"]


def test_a_rerouted_client_meets_the_plan_of_the_proxy(server: WebSocketServer) -> None:
    plan = Plan().refuse().tls("untrusted").play()
    with proxy(server.url, plan=plan, listen_tls=True) as between, reroute({"wss://api.exchange.com": between}):
        heard = [meets("wss://api.exchange.com", limit=limit, opening=30) for limit in (30, 30, 5)]
    assert [one[0] for one in heard] == ["ConnectionRefusedError", "SSLCertVerificationError", "welcome"]


def test_a_byte_stream_meets_what_it_can() -> None:
    plan = Plan().refuse().reset().play()
    with TcpServer(Script().send(b"hello").close()) as server, proxy(server.url, plan=plan) as between:
        heard = []
        for _ in range(3):
            try:
                with socket.create_connection((between.host, between.port), timeout=30) as client:
                    heard.append(client.recv(100))
            except OSError as error:
                heard.append(type(error).__name__.encode())
    assert heard == [b"ConnectionRefusedError", b"ConnectionResetError", b"hello"]


def test_faults_are_done_to_the_attempt_that_has_them(server: WebSocketServer) -> None:
    plan = Plan().play(faults=[Latency(0.3)]).play()
    with proxy(server.url, plan=plan) as between:
        for _ in range(2):
            assert meets(between.url, limit=5, opening=30)[:1] == ["welcome"]
    first, second = between.journal
    assert [first.outcome, second.outcome] == ["played", "played"]


def test_an_attempt_too_many_and_one_too_few_are_failures(server: WebSocketServer) -> None:
    with pytest.raises(Failure, match="it is for 1 attempt") as caught:
        with proxy(server.url, plan=Plan().reject(503)) as between:
            assert [meets(between.url), meets(between.url)] == [["503"], ["503"]]
    assert "Attempts to connect:" in str(caught.value)
    assert between.journal.outcomes == ["rejected 503", "turned away"]
    with pytest.raises(Failure, match="Nobody tried to connect, and the plan is for 2"):
        with proxy(server.url, plan=Plan().reject(503, times=2)):
            pass


def test_who_stays_is_let_go_at_the_end(server: WebSocketServer) -> None:
    with contextlib.ExitStack() as stack:
        between = stack.enter_context(proxy(server.url, plan=Plan().stall(times=forever)))
        client = stack.enter_context(socket.create_connection((between.host, between.port), timeout=30))
        client.sendall(b"GET / HTTP/1.1\r\n")
        while not len(between.journal):
            pass
    assert between.journal[0].ended is not None


@pytest.mark.parametrize(
    ("url", "plan", "error", "text"),
    [
        ("ws://a", "refuse", WrongType, "plan= takes a Plan"),
        ("ws://a", Plan().play(Script()), PlanError, "it passes on what the server says"),
        ("ws://a", {"/feed": Plan().reject(503)}, PlanError, "a WebSocketServer has plans by path"),
        ("ws://a", Plan().slow_handshake(1), PlanError, "the handshake is the server's"),
        ("ws://a", Plan().play(ending=then_abort()), PlanError, "write after=, sent= or received="),
        ("ws://a", Plan().play(ending=then_close(after=1)), PlanError, "it says nothing of its own"),
        (
            "tcp://a:1",
            Plan().play(ending=then_abort(after=1)),
            PlanError,
            "it does not know there where a message ends",
        ),
        ("tcp://a:1", Plan().reject(503), PlanError, "a byte stream has no opening handshake"),
        ("tcp://a:1", Plan().wrong_accept(), PlanError, "a byte stream has no opening handshake"),
        ("tcp://a:1", Plan().stall("handshake"), PlanError, "a byte stream has no opening handshake"),
        ("ws://a", Plan().tls("cut"), PlanError, "it has no TLS"),
    ],
)
def test_what_a_proxy_cannot_do_is_told(url: str, plan: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        proxy(url, plan=plan)


class Silent:
    """A tap that lets all pass."""

    excused = False

    def __init__(self) -> None:
        self.notes: list[str] = []

    def said(self, side: str, data: bytes) -> bytes:
        return data

    def noted(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_messages_are_counted_however_their_bytes_are_cut(size: int) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    fragments = b"\x01\x01a" + b"\x89\x00" + b"\x80\x01b"  # a ping between two fragments
    stream = head + b"\x81\x02hi" + b"\x89\x01!" + fragments + b"\x81\x03end"
    up_to_the_second = stream[: -len(b"\x81\x03end")]
    inner: Any = Silent()
    tap = EndingTap(inner, then_drop(sent=2))
    ended: list[bool] = []
    tap.pipe = SimpleNamespace(near=SimpleNamespace(end=lambda: ended.append(True)))  # type: ignore[assignment]
    sent = b"".join(tap.said("server", stream[at : at + size]) for at in range(0, len(stream), size))
    assert sent == up_to_the_second
    assert tap.interrupted
    assert tap.excused
    assert inner.notes == ["then_drop after 2 messages of the far end's"]
    await asyncio.sleep(0)
    assert ended == [True]


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_handshake_passes_whole_and_nothing_behind_it(size: int) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    stream = head + b"\x81\x02hi"
    inner: Any = Silent()
    tap = EndingTap(inner, LetDown(Drop(), "handshake"))
    ended: list[bool] = []
    tap.pipe = SimpleNamespace(near=SimpleNamespace(end=lambda: ended.append(True)))  # type: ignore[assignment]
    request = b"GET / HTTP/1.1\r\n\r\n"
    assert tap.said("client", request) == request
    assert not tap.interrupted
    assert b"".join(tap.said("server", stream[at : at + size]) for at in range(0, len(stream), size)) == head
    assert (tap.interrupted, tap.excused, inner.notes) == (True, True, ["drop after the handshake"])
    await asyncio.sleep(0)
    assert ended == [True]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_is_spoilt_however_its_bytes_are_cut(size: int) -> None:
    head = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {}\r\nUpgrade: websocket\r\n\r\n"
    behind = b"\x81\x02hi"
    stream = head.format("right").encode() + behind
    inner: Any = Silent()
    tap = WrongAcceptTap(inner)
    assert tap.said("client", b"GET / HTTP/1.1\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"
    passed = [tap.said("server", stream[at : at + size]) for at in range(0, len(stream), size)]
    assert b"".join(passed) == head.format(OTHER_ACCEPT).encode() + behind
    assert (tap.interrupted, tap.excused, inner.notes) == (True, True, ["wrong accept"])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\n\r\nno", b"no HTTP at all\r\n\r\n", b"x" * 70_000])
def test_another_answer_passes_as_it_is(answer: bytes) -> None:
    inner: Any = Silent()
    tap = WrongAcceptTap(inner)
    assert tap.said("server", answer) == answer
    assert tap.said("server", b"more") == b"more"
    assert (tap.interrupted, tap.excused, inner.notes) == (False, False, [])
