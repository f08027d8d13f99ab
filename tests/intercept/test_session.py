"""A scripted connection: what can be written, and how it is used."""

from __future__ import annotations

import re
import threading

import pytest
import websocket
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close
from websockets.sync.client import connect

from farend import InvalidArguments, ScriptError, UnmockedInteractionError, WebSocketServer, WrongType
from farend.core.steps import title

URI = "ws://far-end.invalid/"

# -- writing it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"method": "conect", "returns": None}, InvalidArguments, "did you mean 'connect'"),
        ({"method": "receive", "returns": None}, InvalidArguments, "write 'connect', 'send', 'recv' or 'close'"),
        ({"method": 5, "returns": None}, InvalidArguments, "5 is no step"),
        ({"method": ["send"], "returns": None}, InvalidArguments, "is no step"),
        ({"method": "send"}, WrongType, r"write \.expect\('send', returns=None\)"),
        ({"method": "recv"}, WrongType, "needs returns=, the text or the bytes"),
        ({"method": "recv", "raises": OSError()}, WrongType, "needs returns="),
        ({"method": "recv", "returns": 5}, WrongType, "recv gives text or bytes, not 5; for JSON"),
        ({"method": "recv", "returns": {"a": 1}}, WrongType, r"for JSON, write returns=json.dumps"),
        ({"method": "recv", "returns": None}, WrongType, "recv gives text or bytes, not None"),
        ({"method": "recv", "returns": object()}, WrongType, "recv gives text or bytes"),
        ({"method": "send", "returns": "x"}, WrongType, r"send\(\) gives nothing back: write returns=None, not 'x'"),
        ({"method": "send", "returns": None, "raises": OSError}, WrongType, r"write raises=OSError\(…\)"),
        ({"method": "send", "returns": None, "raises": "no"}, WrongType, "raises= takes an exception, not 'no'"),
        ({"method": "send", "returns": None, "required": "yes"}, WrongType, "required= takes True or False"),
    ],
)
def test_what_cannot_be_meant(hand, arguments, error, text):
    """Each raises at the line that writes it, and nothing is added."""
    session = hand.sync.new_session()
    with pytest.raises(error, match=text) as caught:
        session.expect(**arguments)
    shown = [entry for entry in caught.traceback if not entry.ishidden(None)]
    assert shown[-1].path.name == "test_session.py"
    assert session.steps == ()


def test_what_it_prints(hand):
    session = hand.script(hand.sync, "<hello")
    session.expect("close", returns=None, raises=OSError("no"), required=False)
    assert str(session).splitlines() == [
        "session of 3 steps",
        "  1. .expect('connect', returns=None)",
        "  2. .expect('recv', returns='hello')",
        "  3. .expect('close', returns=None, raises=OSError('no'), required=False)",
    ]
    assert repr(session) == "<Session, connecting: 0 of 3 steps used>"
    assert session.steps[0].where.startswith("conftest.py:")


def test_values_are_kept_as_they_were(hand):
    class Text(str):
        __slots__ = ()

    buffer = bytearray(b"before")
    session = hand.sync.new_session()
    for value in (buffer, memoryview(buffer), Text("text"), type("B", (bytes,), {})(b"bytes")):
        session.expect("recv", returns=value)
    buffer[:] = b"after."
    assert [step.returns for step in session.steps] == [b"before", b"before", "text", b"bytes"]
    assert {type(step.returns) for step in session.steps} == {str, bytes}


# -- as a script ------------------------------------------------------------------------------------


def test_a_session_is_a_script_too(hand):
    """What was scripted for the mock plays as a real server, too."""
    session = hand.script(hand.sync, ">", "<there", "x")
    assert [title(step) for step in session.script] == [
        "expect handshake",
        "expect anything",
        "send 'there'",
        "expect close",
    ]

    def client(uri):
        ws = websocket.create_connection(uri)
        ws.send("hello")
        answer = ws.recv()
        ws.close()
        return answer

    with hand.sandbox():
        assert client(URI) == "there"
    with WebSocketServer(session.script) as server:
        assert client(server.url) == "there"
    assert server.transcripts[0].received == session.transcript.received
    assert server.transcripts[0].sent == session.transcript.sent


def test_what_a_script_can_say_of_it(hand):
    session = hand.sync.new_session().expect("connect", returns=None)
    session.expect("recv", returns=None, raises=ConnectionClosedError(Close(1011, "boom"), None))
    assert [title(step) for step in session.script] == ["expect handshake", "close 1011 'boom'"]
    lost = hand.sync.new_session().expect("connect", returns=None)
    lost.expect("recv", returns=None, raises=ConnectionResetError())
    assert [title(step) for step in lost.script] == ["expect handshake", "abort"]
    for method in ("send", "close"):
        maybe = hand.sync.new_session().expect("connect", returns=None).expect(method, returns=None, required=False)
        assert [title(step) for step in maybe.script] == ["expect handshake", "optional"]
    maybe.expect("recv", returns="x")
    with pytest.raises(ScriptError, match="nothing tells when 'optional' is over"):
        maybe.script  # noqa: B018


def test_what_no_script_can_do(hand):
    session = hand.sync.new_session().expect("connect", returns=None, raises=OSError("no"))
    with pytest.raises(InvalidArguments, match="raises OSError: no in the client's own call"):
        session.script  # noqa: B018


# -- using it ---------------------------------------------------------------------------------------


def test_steps_that_are_not_required_are_passed_over(hand):
    session = hand.sync.new_session().expect("connect", returns=None)
    session.expect("recv", returns="maybe", required=False).expect("send", returns=None, required=False)
    session.expect("recv", returns="surely").expect("close", returns=None)
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("hi")
        assert ws.recv() == "surely"
        ws.close()
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_send(message="hi")
    hand.sync.assert_recv(message="surely")
    hand.sync.assert_close()
    hand.verifier.verify_all()


def test_a_call_too_many_tells_the_next_step(hand):
    hand.script(hand.sync, ">", "<answer")
    with pytest.raises(UnmockedInteractionError) as caught, hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("one")
        ws.send("two")
    text = str(caught.value)
    assert "send('two') was not scripted: the next step is .expect('recv', returns='answer') (conftest.py:" in text
    assert re.search(r"^  \d\.\d{3} s  → 'one'$", text, re.MULTILINE)


def test_many_threads_use_each_step_once(hand):
    session = hand.script(hand.sync, *["<x"] * 400)
    heard = []
    with hand.sandbox():
        ws = websocket.create_connection(URI, enable_multithread=False)

        def listen():
            heard.extend(session.hear() for _ in range(100))

        threads = [threading.Thread(target=listen) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ws.connected
    assert len(heard) == 400
    assert session._at == 401


def test_the_transcript_has_times_and_all_that_was_said(hand):
    session = hand.script(hand.sync, ">", "<there", "x")
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("hello")
        ws.ping("p")
        ws.recv()
        ws.close()
    transcript = session.transcript
    assert [entry.kind.name for entry in transcript] == ["CONNECTED", "RECEIVED", "RECEIVED", "SENT", "SENT", "ENDED"]
    assert transcript.handshake.path == "/"
    assert transcript.number == 1
    times = [entry.time for entry in transcript]
    assert times == sorted(times)


def test_an_exception_that_ends_the_connection_is_on_the_transcript(hand):
    error = ConnectionClosedOK(Close(1001, "bye"), Close(1001, "bye"), True)
    session = hand.script(hand.asynchronous).expect("recv", returns=None, raises=error)
    with hand.sandbox():
        with connect(URI) as ws, pytest.raises(ConnectionClosedOK):
            ws.recv()
    assert str(session.transcript[-1].payload.code) == "1001"
