"""What a far end's transcripts tell is on the tape, as a proxy would have recorded it."""

from __future__ import annotations

import socket

import pytest
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from farend import (
    Failure,
    Fragments,
    InvalidArguments,
    Ping,
    Raw,
    Script,
    TapeReader,
    TapeUnavailable,
    TcpClient,
    TcpServer,
    Transcript,
    WebSocketClient,
    WebSocketServer,
    WrongType,
    length_prefixed,
    lines,
    rehearse,
    write_tape,
)
from farend.asgi import play
from farend.core.events import Ended, How
from farend.core.messages import Handshake, Pong
from farend.core.transcript import Kind as Told


@pytest.fixture
def tape(tmp_path):
    return tmp_path / "tape.jsonl"


def told(path):
    with TapeReader(path) as tape:
        return [
            (line.connection, line.sender[0], str(line.kind), line.code if line.payload is None else line.payload)
            for line in tape
        ]


def test_a_websocket_server(tape):
    script = Script().expect("hello").send(Ping(b"?")).send(Fragments(("a", "b"))).send(b"\0").close(4000, "bye")
    with WebSocketServer(script) as server:
        with connect(f"{server.url}/feed?token=s3cr3t") as client:
            client.send("hello")
            assert client.recv() == "ab"
            assert client.recv() == b"\0"
            with pytest.raises(Exception, match="4000"):
                client.recv()
    write_tape(server, tape)
    assert told(tape)[:7] == [
        (1, "c", "connect", None),
        (1, "s", "answer", None),
        (1, "c", "message", "hello"),
        (1, "s", "ping", b"?"),
        (1, "s", "message", "ab"),
        (1, "s", "message", b"\0"),
        (1, "s", "close", 4000),
    ]
    assert (1, "c", "pong", b"?") in told(tape)
    assert (1, "c", "close", 4000) in told(tape)
    assert "s3cr3t" not in tape.read_text()
    assert '"fragments":[1,1],"text":"ab"' in tape.read_text()
    with TapeReader(tape) as reader:
        assert next(reader).target == "/feed?token=<secret:token:1>"


def test_a_tcp_server_with_a_framing_and_several_connections(tape):
    scripts = [Script(framing=lines()).expect("one").send("ok").close(), Script(framing=lines()).expect("two").abort()]
    with TcpServer(scripts) as server:
        for said in (b"one\n", b"two\n"):
            with socket.create_connection((server.host, server.port), 10) as client:
                client.sendall(said)
                try:
                    while client.recv(10):
                        pass
                except ConnectionResetError:
                    pass
    write_tape(server, tape, times=None)
    assert told(tape)[:8] == [
        (1, "c", "connect", None),
        (1, "c", "message", b"one\n"),
        (1, "s", "message", b"ok\n"),
        (1, "s", "end", None),
        (1, "c", "end", None),
        (2, "c", "connect", None),
        (2, "c", "message", b"two\n"),
        (2, "s", "abort", None),
    ]


def test_a_framing_of_a_step_s_own(tape):
    prefixed = length_prefixed(">H")
    script = (
        Script(framing=lines()).expect("one").expect(b"two", framing=prefixed).send("ok").send(b"yes", framing=prefixed)
    )
    script.reply(lambda said: said.upper(), framing=prefixed)
    said = b"one\n\0\3two"
    with TcpServer(script) as server, socket.create_connection((server.host, server.port), 10) as client:
        client.sendall(said)
        answer = client.makefile("rb").read(len(b"ok\n\0\3yes\0\3TWO"))
        assert answer == b"ok\n\0\3yes\0\3TWO"
    write_tape(server, tape)
    messages = [(side, payload) for _, side, kind, payload in told(tape) if kind == "message"]
    assert b"".join(payload for side, payload in messages if side == "c") == said
    assert b"".join(payload for side, payload in messages if side == "s") == answer


def test_a_client_is_the_other_side(tape):
    with TcpServer(Script().expect(b"x").send(b"y").close()) as server:
        with TcpClient(Script().send(b"x").expect(b"y").close(), host=server.host, port=server.port) as client:
            pass
    write_tape(client, tape)
    assert told(tape)[1:3] == [(1, "c", "message", b"x"), (1, "s", "message", b"y")]
    with WebSocketServer(Script().expect("x").send("y").expect_close()) as server:
        with WebSocketClient(Script().send("x").expect("y").close(), url=server.url) as client:
            pass
    write_tape(client, tape)
    assert (1, "c", "message", "x") in told(tape)
    assert (1, "s", "message", "y") in told(tape)
    assert (1, "c", "close", 1000) in told(tape)


def test_what_went_wrong_is_a_note(tape):
    with pytest.raises(Failure):
        with TcpServer(Script().expect(b"a")) as server:
            with socket.create_connection((server.host, server.port), 10) as client:
                client.sendall(b"token=s3cr3t")
                client.recv(1)
    write_tape(server, tape)
    with TapeReader(tape) as reader:
        notes = [line.reason for line in reader if line.kind == "note"]
    assert len(notes) == 1
    assert "expected" in notes[0]
    assert "s3cr3t" not in tape.read_text()


@pytest.mark.parametrize("first", [0x83, 0x81], ids=["no opcode", "too large"])
def test_a_frame_that_is_none_is_on_no_tape(tape, first):
    """A mask could hide a secret, and a piece of a message the end of one."""
    frame = bytes([first]) + Frame(Opcode.TEXT, b'{"token":"s3cr3t-0123456789"}').serialize(mask=True)[1:]
    with pytest.raises(Failure):
        with WebSocketServer(Script().expect("a"), max_size=20) as server, connect(server.url) as client:
            client.socket.sendall(frame[:-8])
            client.socket.sendall(frame[-8:])
            client.recv(10)
    assert server.transcripts[0].received
    write_tape(server, tape)
    assert [kind for _, _, kind, _ in told(tape)] == ["connect", "answer", "note", "close", "end"]


def test_what_went_past_the_protocol_is_raw(tape):
    script = Script().malformed("handshake-small-letters").send(Raw(b"\x83\x00")).expect_close()
    with WebSocketServer(script) as server, connect(server.url) as client:
        assert client.recv() == "hello"
        with pytest.raises(Exception, match="1002"):
            client.recv()
    write_tape(server, tape)
    with TapeReader(tape) as reader:
        lines = [(str(line.kind), line.payload, line.reason) for line in reader][2:]
    assert lines[:4] == [
        ("note", None, "<malformed handshake-small-letters>"),
        ("raw", b"\x81\x05hello", ""),
        ("note", None, "<frame: text, b'hello'>"),
        ("raw", b"\x83\x00", ""),
    ]


def test_raw_bytes_on_tcp_are_bytes(tape):
    with TcpServer(Script(framing=lines()).send("a").send(Raw(b"b"))) as server:
        with socket.create_connection((server.host, server.port), 10) as client:
            assert client.makefile("rb").read(3) == b"a\nb"
    write_tape(server, tape)
    assert [line[3] for line in told(tape) if line[2] == "message"] in ([b"a\nb"], [b"a\n", b"b"])


@pytest.mark.asyncio
async def test_the_transcripts_of_stages_that_move_no_bytes(tape):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": message["text"].upper()})

    said = [
        (1, "c", "connect", None),
        (1, "s", "answer", None),
        (1, "c", "message", "hello"),
        (1, "s", "message", "HELLO"),
    ]
    asks = Script().send("hello").expect("HELLO")
    rehearsal = rehearse(asks.mirrored())
    for transcript, side in (
        (await play(asks, app, "/"), "client"),
        (rehearsal.far_end, "server"),
        (rehearsal.near_end, "client"),
    ):
        write_tape(transcript, tape, wire="websocket", side=side)
        assert told(tape)[:4] == said


def test_bare_transcripts(tape):
    transcript = Transcript(3)
    transcript.add(5.0, Told.CONNECTED, Handshake("/", [("Cookie", "a=s3cr3t")]))
    transcript.add(5.5, Told.RECEIVED, Pong(b"!"))
    transcript.add(6.0, Told.ENDED, Ended(How.LOST, 1006))
    other = Transcript(4)
    other.add(5.25, Told.CONNECTED, None)
    other.add(5.75, Told.ENDED, Ended(How.RESET))
    write_tape([transcript, other], tape, side="server")
    assert [line[:3] for line in told(tape)] == [
        (3, "c", "connect"),
        (3, "s", "answer"),
        (4, "c", "connect"),
        (4, "s", "answer"),
        (3, "c", "pong"),
        (4, "c", "abort"),
        (3, "c", "end"),
    ]
    with TapeReader(tape) as reader:
        assert [line.at for line in reader] == [0.0, 0.0, 0.25, 0.0, 0.5, 0.5, 1.0]
    assert "s3cr3t" not in tape.read_text()


def test_the_wire_is_told_where_it_leaves_no_doubt(tape):
    transcript = Transcript()
    transcript.add(0, Told.SENT, Ping(b""))
    write_tape(transcript, tape)
    assert '"wire":"websocket"' in tape.read_text()
    transcript = Transcript()
    transcript.add(0, Told.SENT, b"x")
    write_tape([transcript], tape, side="client")
    assert '"wire":"tcp"' in tape.read_text()
    assert told(tape) == [(1, "c", "message", b"x")]
    for one in ([], [Transcript()]):
        with pytest.raises(InvalidArguments, match="write wire='tcp'"):
            write_tape(one, tape)
        write_tape(one, tape, wire="tcp")
        assert told(tape) == []


def test_text_on_tcp_is_bytes(tape):
    transcript = Transcript()
    transcript.add(0, Told.SENT, "é")
    transcript.add(0, Told.RECEIVED, bytearray(b"x"))
    write_tape(transcript, tape, wire="tcp")
    assert told(tape) == [(1, "s", "message", "é".encode()), (1, "c", "message", b"x")]


def test_arguments_are_checked(tape):
    for wrong in (7, "x", b"x", [1], None):
        with pytest.raises(WrongType, match="takes a far end, or transcripts"):
            write_tape(wrong, tape)
    with pytest.raises(InvalidArguments, match="wire= takes"):
        write_tape(Transcript(), tape, wire="udp")
    with pytest.raises(InvalidArguments, match="side= 'server'"):
        write_tape(Transcript(), tape, wire="tcp", side="me")
    with pytest.raises(TapeUnavailable):
        write_tape(Transcript(), tape / "x", wire="tcp")


def test_a_rule_that_fails_is_raised(tape):
    transcript = Transcript()
    transcript.add(0, Told.SENT, b"x")
    with pytest.raises(ZeroDivisionError):
        write_tape(transcript, tape, redact=lambda payload: 1 / 0)
    transcript = Transcript()
    transcript.add(0, Told.SENT, b"token=s3cr3t")
    write_tape(transcript, tape)
    assert told(tape) == [(1, "s", "message", b"token="), (1, "s", "message", b"<secret:token:1>")]
