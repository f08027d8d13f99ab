"""A user's file, as `mypy --strict` has to accept it. It is checked, and never run."""

import re
import ssl

import farend
from farend import (
    AsyncWebSocketPlugin,
    BlockingPeer,
    ExpectationsServer,
    Finding,
    Handshake,
    Peer,
    Ping,
    Plan,
    Redaction,
    Script,
    StrictVerifier,
    SyncWebSocketPlugin,
    TapeReader,
    TcpServer,
    Transcript,
    WebSocketServer,
    assert_communication,
    lines,
    record,
    then_abort,
    then_close,
    write_tape,
)
from farend.asgi import capture_broadcast_events, capture_group_sends
from farend.intercept.session import Session

script: Script = (
    Script(framing=lines(), name="typed")
    .expect("hello")
    .expect(b"hello", within=1.0)
    .expect(bytearray(b"hello"))
    .expect(json={"op": "subscribe"})
    .expect(re.compile(r"\d+"))
    .expect(str)
    .expect(lambda message: len(message) > 3)
    .expect(farend.regex("a+") & ~farend.where(bool) | farend.anything())
    .expect(Ping(b"x"))
    .send("text")
    .send(memoryview(b"bytes"))
    .send(json=[1, {"a": None}])
    .reply(lambda message: message)
)


async def in_async_code(context: ssl.SSLContext) -> None:
    async with WebSocketServer(
        {"/feed": script}, host="::1", port=0, tls=context, name="feed", deadline=None, max_size=100, compression=True
    ) as server:
        peer: Peer = await server.connection(within=1)
        handshake: Handshake = peer.handshake
        depth: str = handshake.query["depth"]
        await peer.send(depth)
        await peer.expect(json={"a": 1})
        transcript: Transcript = peer.transcript
        path: str = transcript.handshake.path
        server.broadcast(path)
    findings: tuple[Finding, ...] = server.findings
    print(findings)


def with_mocks() -> None:
    session: Session = farend.sync_websocket_mock.new_session(uri=farend.regex("wss://.*"), headers={"X": "y"})
    session.expect("connect", returns=None).expect("recv", returns=b"x", raises=None, required=False)
    played = farend.async_websocket_mock.play(script, subprotocol="chat")
    with farend.sandbox(allow=["localhost"]):
        print(played.transcript.received, session.transcript.sent)
    with farend.in_any_order():
        farend.sync_websocket_mock.assert_connect(uri="wss://far-end/", raises=OSError)
        farend.sync_websocket_mock.assert_close()
    verifier = StrictVerifier()
    with verifier.sandbox() as same:
        other: StrictVerifier = same
    AsyncWebSocketPlugin(other, name="mock").assert_recv(message=str)
    SyncWebSocketPlugin(verifier).assert_send(message="x")
    verifier.verify_all()


def captured(consumer: type, layer: object) -> None:
    with capture_broadcast_events(consumer, suppress=False) as events, capture_group_sends(layer) as sends:
        print(events[0].event, events[0]["groups"], events[0].consumer.__name__)
    group: str = sends[0].group
    print(group, sends[0].message)


def in_plain_code() -> None:
    with TcpServer([script, script], unix_path="/tmp/socket") as server:
        peer: BlockingPeer = server.accept()
        number: int = peer.number
        is_open: bool = peer.is_open
        origin: str | None = peer.handshake.origin
        print(number, is_open, origin)
    with assert_communication(port=0, communication=[("hello", "there")], name="pairs", deadline=1.0) as pairs:
        print(pairs.url)
    print(ExpectationsServer(host="::1", port=1, tls=True, deadline=None))


def rerouted() -> None:
    with TcpServer() as server:
        targets = {"wss://api.exchange.com": server, ("db.internal", 5432): server, "c": server}
        with farend.reroute(targets, strict=True) as block:
            environment: dict[str, str] = block.environment()
            print(environment)
        with farend.reroute({"wss://api.exchange.com": server, ("cache", 6379): ("127.0.0.1", 16379)}):
            pass

        @farend.reroute({"cache": "tcp://127.0.0.1:1"})
        def decorated(number: int) -> str:
            return str(number)

        text: str = decorated(1)
        print(text)


async def rerouted_in_async_code(server: WebSocketServer) -> None:
    async with farend.reroute({"wss://api.exchange.com": server}) as block:
        print(block.environment())


async def with_tapes(context: ssl.SSLContext) -> None:
    rules = Redaction(names=["account"], patterns=[r"AUTH (\S+)"], keep=("page_token",))
    async with record("wss://x/feed", "feed.jsonl", redact=rules, tls=context, times=None) as proxy:
        url: str = proxy.url
        problems: tuple[Exception, ...] = proxy.problems
        print(url, problems, proxy.port, proxy.lines)
    with TapeReader("feed.jsonl", max_line=1000) as tape:
        for line in tape:
            payload: str | bytes | None = line.payload
            print(payload, line.connection, line.sender)
    write_tape(TcpServer(script), "tcp.jsonl")
    write_tape([Transcript()], "tcp.jsonl", wire="tcp", side="client")


def with_plans() -> None:
    plan: Plan = (
        Plan()
        .refuse(2)
        .reject(503, {"Retry-After": "2"}, "later", times=2)
        .stall("request")
        .tls("expired")
        .slow_handshake(1, script)
        .play(script, then_abort(after=3))
        .play(script, then_close(1012, sent=1))
        .play(script, times=farend.forever)
    )
    with WebSocketServer(plan) as server, WebSocketServer({"/feed": plan, "/other": script}):
        server.play(plan)
        journal: farend.Journal = server.journal
        attempt: farend.Attempt = journal[0]
        outcomes: list[str] = journal.outcomes
        gaps: list[float] = journal.gaps
        print(attempt.outcome, attempt.attempted, attempt.ended, attempt.path, outcomes, gaps)


def with_faults() -> None:
    late = farend.Latency(0.05, jitter=0.01, seed=3, to="both")
    broken = (
        Script().expect("a").fault(late, farend.ByteAtATime()).send("b").fault(None).fault(farend.CutAfter(3, "end"))
    )
    plan = Plan().play(script, faults=[farend.Reorder(2)])
    with WebSocketServer(plan, faults=late) as server, TcpServer(broken, faults=[farend.Silence(to="far")]):
        server.accept().fault(farend.NoCloseFrame())
    with farend.proxy("ws://x/feed", faults=[late], plan=Plan().reject(503).play()) as between:
        between.faults.add(farend.SlowReader(100))
        with between.faults.during(farend.Corrupt(at=[1, 2])):
            between.sever("end")
        active: list[farend.Fault] = list(between.faults)
        lines: int | None = between.lines
        print(active, lines, between.journal.outcomes)
