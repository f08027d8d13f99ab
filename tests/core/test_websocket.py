"""The WebSocket wires against websockets' own protocols, in memory: whole, byte by byte, and in two."""

from __future__ import annotations

import http
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from farend.core.answers import Answer
from farend.core.by_hand import MASK
from farend.core.by_hand import Frame as ByHand
from farend.core.commands import Accept, Close, Reject, Send
from farend.core.conversation import Conversation
from farend.core.events import Connected, Ended, Event, How, Received, Violated
from farend.core.findings import ProtocolViolation
from farend.core.messages import Fragments, Ping, Pong, Raw, Unread
from farend.core.script import Script
from farend.core.websocket import BEHIND, ClientWire, ServerWire, WebSocketWire

Cut = Callable[[bytes], Iterator[bytes]]


def whole(raw: bytes) -> Iterator[bytes]:
    yield raw


def byte_by_byte(raw: bytes) -> Iterator[bytes]:
    return (raw[index : index + 1] for index in range(len(raw)))


def in_two(raw: bytes) -> Iterator[bytes]:
    yield from (part for part in (raw[: len(raw) // 2], raw[len(raw) // 2 :]) if part)


CUTS = pytest.mark.parametrize("cut", [whole, byte_by_byte, in_two])


def server_wire(**options: Any) -> ServerWire:
    return ServerWire(**{"max_size": 1000, "subprotocols": None, "compression": False} | options)


def client_wire(uri: str = "ws://localhost/feed?a=1", **options: Any) -> ClientWire:
    defaults = {"max_size": 1000, "subprotocols": None, "compression": False, "headers": {}, "origin": None}
    return ClientWire(uri, **defaults | options)


class NearClient:
    """websockets' client, connected to a `ServerWire`."""

    def __init__(self, wire: ServerWire, cut: Cut = whole, **options: Any) -> None:
        self.wire, self.cut = wire, cut
        self.protocol = ClientProtocol(parse_uri("ws://localhost/feed?a=1"), **options)
        self.protocol.send_request(self.protocol.connect())

    def pump(self, behind: bytes = b"") -> list[Event]:
        """Bring what the client has to say to the wire, and the answers back."""
        events: list[Event] = []
        for segment in self.cut(b"".join(self.protocol.data_to_send()) + behind):
            for event in self.wire.receive(segment):
                events.append(event)
                if isinstance(event, Connected):
                    self.hear(self.wire.accept(Accept()))
        self.hear(b"".join(self.wire.drain()))
        return events

    def hear(self, raw: bytes) -> None:
        if raw:
            self.protocol.receive_data(raw)

    def opened(self) -> NearClient:
        [event] = self.pump()
        assert isinstance(event, Connected)
        assert self.protocol.state is State.OPEN
        self.protocol.events_received()
        return self

    def heard(self) -> list[Any]:
        return [(frame.opcode, bytes(frame.data), frame.fin) for frame in self.protocol.events_received()]  # type: ignore[union-attr]


def raw_frame(opcode: Opcode, data: bytes = b"", fin: bool = True, mask: bytes = b"\0\0\0\0") -> bytes:
    """A client's frame, masked with zeros, so that it is the same in every run (RFC 6455, 5.2)."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes([fin << 7 | opcode]) + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def masked(opcode: Opcode, data: bytes) -> bytes:
    """A client's frame, under a mask that hides it."""
    return raw_frame(opcode, data, mask=b"\x01\x80\x03\x7f")


def heard(events: Iterable[Event]) -> bytes:
    """What was told as it came."""
    assert all(type(event) is Received and type(event.data) is Unread for event in events)
    return b"".join(event.data for event in events)  # type: ignore[union-attr,misc]


TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT


# -- a server -------------------------------------------------------------------------------------


@CUTS
def test_a_client_opens_and_its_handshake_is_told(cut: Cut) -> None:
    near = NearClient(server_wire(subprotocols=["v1"]), cut, subprotocols=["v2", "v1"], origin="https://a")  # type: ignore[arg-type]
    [event] = near.pump()
    assert isinstance(event, Connected)
    assert event.handshake is near.wire.handshake
    assert event.handshake is not None
    assert (event.handshake.path, event.handshake.query) == ("/feed", {"a": "1"})
    assert (event.handshake.origin, event.handshake.subprotocols) == ("https://a", ("v2", "v1"))
    assert near.protocol.state is State.OPEN
    assert near.protocol.subprotocol == "v1"


@CUTS
@pytest.mark.parametrize(
    ("frames", "events"),
    [
        (raw_frame(TEXT, "é".encode()), [Received("é")]),
        (raw_frame(BINARY, b"\xff"), [Received(b"\xff")]),
        (raw_frame(TEXT) + raw_frame(BINARY), [Received(""), Received(b"")]),
        (raw_frame(TEXT, b"a", False) + raw_frame(CONT, b"b", False) + raw_frame(CONT, b"c"), [Received("abc")]),
        (raw_frame(BINARY, b"a", False) + raw_frame(CONT), [Received(b"a")]),
        (
            raw_frame(TEXT, "é".encode()[:1], False) + raw_frame(Opcode.PING, b"p") + raw_frame(CONT, "é".encode()[1:]),
            [Received(Ping(b"p")), Received("é")],
        ),
        (raw_frame(Opcode.PONG, b"p"), [Received(Pong(b"p"))]),
        (raw_frame(Opcode.CLOSE, b"\x03\xe9bye"), [Ended(How.CLOSE, 1001, "bye")]),
        (raw_frame(Opcode.CLOSE), [Ended(How.CLOSE, 1005)]),
        (raw_frame(Opcode.CLOSE, b"\x03\xe8") + raw_frame(TEXT, b"late"), [Ended(How.CLOSE, 1000)]),
    ],
)
def test_what_a_client_says(cut: Cut, frames: bytes, events: list[Event]) -> None:
    near = NearClient(server_wire(), cut).opened()
    assert near.pump(frames) == events


@CUTS
@pytest.mark.parametrize(
    ("frames", "told", "about", "code", "problem"),
    [
        (raw_frame(TEXT, b"ok\xff"), b"ok\xff", "utf-8", 1007, "not UTF-8 (byte 2"),
        (raw_frame(TEXT, b"\xc3", False) + raw_frame(CONT, b"("), b"\xc3(", "utf-8", 1007, "not UTF-8"),
        (raw_frame(CONT, b"a"), raw_frame(CONT, b"a"), "protocol", 1002, "unexpected continuation frame"),
        (
            raw_frame(TEXT, b"a", False) + raw_frame(TEXT, b"b"),
            b"a" + raw_frame(TEXT, b"b"),
            "protocol",
            1002,
            "expected a continuation frame",
        ),
        (raw_frame(TEXT, b"a") + b"\xc1\x81\0\0\0\0a", b"\xc1\x81\0\0\0\0a", "protocol", 1002, "reserved bits"),
        (b"\x83\x80\0\0\0\0", b"\x83\x80\0\0\0\0", "protocol", 1002, "invalid opcode"),
        (b"\x81\x01a", b"\x81\x01a", "protocol", 1002, "incorrect masking"),
        (masked(TEXT, b"xyz" * 334), b"xyz" * 334, "too big", 1009, "1002"),
        (
            raw_frame(TEXT, b"a" * 900, False) + masked(CONT, b"b" * 101),
            b"a" * 900 + b"b" * 101,
            "too big",
            1009,
            "900",
        ),
        (raw_frame(Opcode.CLOSE, b"\x03"), raw_frame(Opcode.CLOSE, b"\x03"), "protocol", 1002, "close"),
        (raw_frame(Opcode.CLOSE, b"\x03\xe8\xff"), raw_frame(Opcode.CLOSE, b"\x03\xe8\xff"), "utf-8", 1007, "utf-8"),
    ],
)
def test_what_a_client_may_not_say(cut: Cut, frames: bytes, told: bytes, about: str, code: int, problem: str) -> None:
    near = NearClient(server_wire(), cut).opened()
    behind = raw_frame(TEXT, b"behind it")
    event, *rest = (one for one in near.pump(frames + behind) if one != Received("a"))
    assert isinstance(event, Violated)
    assert event.data + heard(rest) == told + behind, "nothing that was received is missing"
    assert (event.about, event.code) == (about, code)
    assert problem in event.problem
    assert near.protocol.close_rcvd is not None
    assert near.protocol.close_rcvd.code == code
    assert near.wire.say(Send("a")) == b""
    assert near.wire.receive_end(How.EOF) == (Ended(How.LOST, 1006),)


@pytest.mark.parametrize(
    ("payload", "heard"),
    [
        ("é", [(TEXT, "é".encode(), True)]),
        (b"a", [(BINARY, b"a", True)]),
        (Ping(b"p"), [(Opcode.PING, b"p", True)]),
        (Pong(b"p"), [(Opcode.PONG, b"p", True)]),
        (Fragments(("é",)), [(TEXT, "é".encode(), True)]),
        (Fragments((b"a", b"b")), [(BINARY, b"a", False), (CONT, b"b", True)]),
        (Fragments(("a", "", "c")), [(TEXT, b"a", False), (CONT, b"", False), (CONT, b"c", True)]),
    ],
)
def test_what_a_server_says(payload: Any, heard: list[Any]) -> None:
    near = NearClient(server_wire()).opened()
    near.hear(near.wire.say(Send(payload)))
    assert near.heard() == heard


def test_a_ping_is_answered_by_the_wire() -> None:
    near = NearClient(server_wire()).opened()
    near.protocol.send_ping(b"p")
    assert near.pump() == [Received(Ping(b"p"))]
    assert near.heard() == [(Opcode.PONG, b"p", True)]


def test_compression_is_agreed_on_and_used() -> None:
    near = NearClient(server_wire(compression=True), extensions=[ClientPerMessageDeflateFactory()]).opened()
    raw = near.wire.say(Send("a" * 500))
    assert len(raw) < 50
    near.hear(raw)
    near.protocol.send_text(b"b" * 500)
    assert near.pump() == [Received("b" * 500)]
    assert near.heard() == [(TEXT, b"a" * 500, True)]


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [(Close(), 1000, ""), (Close(4000, "bye"), 4000, "bye"), (Close(None, "x"), 1000, "x")],
)
def test_a_server_closes_and_the_answer_is_an_end(command: Close, code: int, reason: str) -> None:
    near = NearClient(server_wire()).opened()
    near.hear(near.wire.close(command))
    assert near.protocol.close_rcvd is not None
    assert (near.protocol.close_rcvd.code, near.protocol.close_rcvd.reason) == (code, reason)
    assert near.pump() == [Ended(How.CLOSE, code, reason)]
    assert near.wire.close(Close(1001)) == b""
    assert near.wire.receive_end(How.EOF) == ()


@pytest.mark.parametrize(("how", "ended"), [(How.EOF, Ended(How.LOST, 1006)), (How.RESET, Ended(How.RESET, 1006))])
def test_an_end_without_a_close_frame_is_1006(how: How, ended: Ended) -> None:
    wire = NearClient(server_wire()).opened().wire
    assert wire.receive_end(how) == (ended,)
    assert wire.receive_end(how) == ()
    if how is How.EOF:
        assert list(wire.receive(b"more")) == []


@pytest.mark.parametrize(
    ("how", "did", "end"),
    [(How.EOF, "ended", Ended(How.LOST, 1006)), (How.RESET, "reset", Ended(How.RESET, 1006))],
)
def test_half_a_message_at_the_end_is_told(how: How, did: str, end: Ended) -> None:
    """Bad input: nothing that was received is missing."""
    wire = NearClient(server_wire()).opened().wire
    list(wire.receive(raw_frame(TEXT, b"whole") + raw_frame(TEXT, b"half")[:-2]))
    violated, ended = wire.receive_end(how)
    assert isinstance(violated, Violated)
    assert (violated.problem, violated.data) == (f"it {did} the connection in the middle of a message", b"ha")
    assert ended == end


@CUTS
@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (masked(TEXT, b"half")[:-2], b"ha"),
        (raw_frame(TEXT, b"a", False) + masked(CONT, b"b" * 300)[:-1], b"a" + b"b" * 299),
        (raw_frame(TEXT, b"whole") + b"\x81\xfe\x01", b"\x81\xfe\x01"),
    ],
)
def test_what_had_come_of_a_message_is_told_at_the_end(cut: Cut, frames: bytes, told: bytes) -> None:
    near = NearClient(server_wire(), cut).opened()
    near.pump(frames)
    violated, _ = near.wire.receive_end(How.EOF)
    assert isinstance(violated, Violated)
    assert violated.data == told


def test_the_answer_to_a_close_is_no_news_behind_a_violation() -> None:
    wire = NearClient(server_wire()).opened().wire
    [event] = wire.receive(b"\x83\x80")
    assert isinstance(event, Violated)
    assert list(wire.receive(raw_frame(Opcode.CLOSE, b"\x03\xeaoh"))) == []
    assert heard(wire.receive(raw_frame(Opcode.CLOSE) + b"?")) == raw_frame(Opcode.CLOSE) + b"?"


def test_bytes_of_a_message_that_is_too_large_are_no_close_frame() -> None:
    wire = NearClient(server_wire()).opened().wire
    frame = raw_frame(BINARY, b"\x88\x00" * 501)
    [event] = wire.receive(frame[:-4])
    assert isinstance(event, Violated)
    assert heard(wire.receive(frame[-4:-2])) + heard(wire.receive(frame[-2:])) == b"\x88\x00" * 2
    assert list(wire.receive(b"\x88\x00")) == []


def test_text_that_is_not_utf_8_ends_a_connection_that_is_being_closed() -> None:
    wire = NearClient(server_wire()).opened().wire
    assert wire.close(Close())
    [event] = wire.receive(raw_frame(TEXT, b"\xff"))
    assert isinstance(event, Violated)
    assert wire.drain()[-1] == b""
    assert list(wire.receive(raw_frame(Opcode.CLOSE, b"\x03\xe8"))) == []


def test_nothing_is_kept_behind_a_close_frame() -> None:
    near = NearServer(client_wire(subprotocols=["v1"]))
    near.answer()
    near.protocol.send_close(1000)
    assert near.pump() == [Ended(How.CLOSE, 1000)]
    assert list(near.wire.receive(b"\x82\xff" + bytes(1000))) == []
    assert near.wire._under_way.data == b""


def test_much_behind_a_violation_is_read_and_not_kept() -> None:
    wire = NearClient(server_wire()).opened().wire
    [event] = wire.receive(b"\x83\x80")
    assert isinstance(event, Violated)
    much = bytes(BEHIND // 2 + 1)
    assert [len(heard(wire.receive(much))) for _ in range(3)] == [len(much), BEHIND - len(much) - 2, 0]


def test_nothing_is_told_of_who_was_turned_away() -> None:
    near = NearClient(server_wire())
    near.pump()
    near.wire.reject(Reject(503, "busy"))
    assert list(near.wire.receive(b"behind")) == []
    assert near.wire.receive_end(How.EOF) == (Ended(How.LOST, 1006),)


@CUTS
def test_bytes_behind_the_handshake_come_after_its_answer(cut: Cut) -> None:
    near = NearClient(server_wire(), cut)
    events = near.pump(raw_frame(Opcode.PING, b"early") + raw_frame(TEXT, b"hi") + raw_frame(Opcode.CLOSE, b"\x03\xe8"))
    assert events[1:] == [Received(Ping(b"early")), Received("hi"), Ended(How.CLOSE, 1000)]
    assert near.protocol.state in (State.CLOSING, State.CLOSED)


@CUTS
def test_a_connection_that_is_turned_away_hears_why(cut: Cut) -> None:
    wire = server_wire()
    near = NearClient(wire, cut)
    raw = b"".join(near.protocol.data_to_send()) + raw_frame(TEXT, b"behind it")
    events: list[Event] = []
    for segment in cut(raw):
        for event in wire.receive(segment):
            events.append(event)
            near.hear(wire.reject(Reject(http.HTTPStatus.SERVICE_UNAVAILABLE, "nobody home\n")))
    near.protocol.receive_eof()
    assert [type(event) for event in events] == [Connected]
    assert "503" in str(near.protocol.handshake_exc)
    assert wire.reject(Reject(503, "again")) == b""


@CUTS
@pytest.mark.parametrize(
    ("raw", "problem", "answer"),
    [
        (b"hello\r\n\r\n", "it did not open a WebSocket", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n", "it speaks TLS", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it did not open a WebSocket", b"HTTP/1.1 426"),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "it did not open a WebSocket", b"HTTP/1.1 4"),
        (b"GET / HTTP/1.1\r\nno field\r\n\r\n", "it did not open a WebSocket", b"HTTP/1.1 400"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbehind",
            "it did not open a WebSocket",
            b"HTTP/1.1 400",
        ),
    ],
)
def test_what_is_no_handshake_is_a_violation(cut: Cut, raw: bytes, problem: str, answer: bytes) -> None:
    wire = server_wire()
    events = [event for segment in cut(raw) for event in wire.receive(segment)]
    assert type(events[0]) is Violated
    assert events[0].data + heard(events[1:]) == raw
    assert events[0].about == "handshake"
    if cut is whole:
        assert problem in events[0].problem
    said = wire.drain()
    assert b"".join(said).startswith(answer)
    assert said[-1] == b""
    assert wire.reject(Reject(400, "")) == wire.close(Close()) == wire.say(Send("a")) == b""


def test_what_is_no_text_is_told_even_where_the_far_end_has_closed() -> None:
    near = NearClient(server_wire()).opened()
    near.wire.close(Close())
    [event] = near.pump(raw_frame(TEXT, b"\xff"))
    assert isinstance(event, Violated)
    assert event.about == "utf-8"


def test_a_conversation_is_played_over_the_wire() -> None:
    """The two halves together: a violation on the wire is a finding of the conversation."""
    near = NearClient(server_wire()).opened()
    conversation = Conversation(Script().expect("hello").send("there"), stream=False)
    conversation.feed(Connected(near.wire.handshake), 0.0)
    near.protocol.send_text(b"hello")
    for event in near.pump():
        for command in conversation.feed(event, 1.0):
            if isinstance(command, Send):
                near.hear(near.wire.say(command))
    assert near.heard() == [(TEXT, b"there", True)]
    for event in near.pump(b"\x83\x80\0\0\0\0"):
        conversation.feed(event, 2.0)
    assert [type(finding) for finding in conversation.findings] == [ProtocolViolation]


# -- a client -------------------------------------------------------------------------------------


class NearServer:
    """websockets' server, to which a `ClientWire` connects."""

    def __init__(self, wire: ClientWire, cut: Cut = whole) -> None:
        self.wire, self.cut = wire, cut
        self.protocol = ServerProtocol(subprotocols=["v1"])  # type: ignore[list-item]
        assert wire.connect() == ()
        self.protocol.receive_data(b"".join(wire.drain()))
        [request] = self.protocol.events_received()
        assert isinstance(request, Request)
        self.request = request

    def answer(self, behind: bytes = b"", response: Response | None = None) -> list[Event]:
        self.protocol.send_response(response or self.protocol.accept(self.request))
        return self.pump(behind)

    def pump(self, behind: bytes = b"") -> list[Event]:
        raw = b"".join(self.protocol.data_to_send()) + behind
        return [event for segment in self.cut(raw) for event in self.wire.receive(segment)]


@CUTS
def test_a_client_opens_and_says_who_it_is(cut: Cut) -> None:
    wire = client_wire(headers={"X-Token": "t"}, origin="https://a", subprotocols=["v1"])
    near = NearServer(wire, cut)
    assert near.request.path == "/feed?a=1"
    assert (near.request.headers["X-Token"], near.request.headers["Origin"]) == ("t", "https://a")
    behind = Frame(TEXT, b"welcome").serialize(mask=False)
    assert near.answer(behind) == [Connected(wire.handshake), Received("welcome")]
    assert wire.accept(Accept()) == wire.reject(Reject(400, "")) == b""
    assert wire.handshake is not None
    assert wire.handshake.subprotocols == ("v1",)


def test_a_client_speaks_and_closes() -> None:
    near = NearServer(client_wire(compression=True, subprotocols=["v1"]))
    near.answer()
    near.protocol.receive_data(near.wire.say(Send("a")) + near.wire.close(Close(1001, "bye")))
    assert [bytes(frame.data) for frame in near.protocol.events_received()] == [b"a", b"\x03\xe9bye"]  # type: ignore[union-attr]
    assert near.pump() == [Ended(How.CLOSE, 1001, "bye")]


@CUTS
@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", "the server answered HTTP 503 (later)"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "the server answered HTTP 404"),
        (b"HTTP/1.1 101 OK\r\n\r\n", "the server did not accept the WebSocket"),
        (b"220 smtp ready\r\n\r\n", "the server did not accept the WebSocket"),
    ],
)
def test_a_server_that_does_not_accept_is_a_violation(cut: Cut, response: bytes, problem: str) -> None:
    wire = client_wire()
    NearServer(wire)
    events = [event for segment in cut(response) for event in wire.receive(segment)]
    assert type(events[0]) is Violated
    assert events[0].problem.startswith(problem)
    assert events[0].data + heard(events[1:]) == response


def test_the_two_kinds_share_all_but_the_handshake() -> None:
    wire = WebSocketWire()
    assert (wire.stream, wire.closes_itself, wire.connect(), wire.opening) == (False, True, (), b"")
    with pytest.raises(NotImplementedError):
        wire._opened(Request("/", {}))  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        wire.drain()


# -- beside the protocol ------------------------------------------------------------------------------


def test_raw_bytes_and_frames_are_written_as_they_are() -> None:
    wire = server_wire()
    near = NearClient(wire).opened()
    assert wire.say(Send(Raw(b"\x83\x00"))) == b"\x83\x00"
    assert wire.say(Send(ByHand(0x3, b"a"))) == b"\x83\x01a"
    near.protocol.send_ping(b"")  # from here on, the library is at work
    for data in near.protocol.data_to_send():
        list(wire.receive(data))
    assert wire.drain() == [b"\x8a\x00"]
    assert wire.say(Send(ByHand(0x3, b"a"))) == b"\x83\x01a"


def test_a_client_masks_what_is_made_by_hand() -> None:
    wire = client_wire()
    wire.connect()
    key = wire.drain()[0].split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
    fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key)}\r\n"
    answer = f"HTTP/1.1 101 OK\r\n{fields}\r\n"
    assert [type(event) for event in wire.receive(answer.encode())] == [Connected]
    assert wire.say(Send(ByHand(0x1, b"a"))) == b"\x81\x81" + MASK + bytes([ord("a") ^ MASK[0]])
    assert wire.say(Send(ByHand(0x1, b"a", masked="otherwise"))) == b"\x81\x01a"


def test_a_close_frame_by_hand_is_the_only_one() -> None:
    wire = server_wire()
    near = NearClient(wire).opened()
    assert wire.say(Send(ByHand(0x8, (1005).to_bytes(2)))) == b"\x88\x02\x03\xed"
    near.protocol.fail(1002)
    [ended] = [event for data in near.protocol.data_to_send() for event in wire.receive(data)]
    assert ended == Ended(How.CLOSE, 1002)
    assert wire.drain() == [b""], "no answer, and the end of the stream"
    assert wire.say(Send(Raw(b"too late"))) == b""


@pytest.mark.parametrize("compression", [False, True])
def test_the_answer_that_lets_a_client_in_can_be_changed(compression: bool) -> None:
    wire = server_wire(compression=compression)
    protocol = ClientProtocol(parse_uri("ws://localhost/"))
    protocol.send_request(protocol.connect())
    for data in protocol.data_to_send():
        list(wire.receive(data))
    raw = wire.accept(Accept(Answer(status="200 OK", without=("Upgrade",))))
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"upgrade: websocket" not in raw.lower()
    assert b"Sec-WebSocket-Accept: " in raw
    assert wire.say(Send("a")) == b"\x81\x01a", "for the far end, the connection is open"
