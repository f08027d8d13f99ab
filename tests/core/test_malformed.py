"""The pack of cases: each is what it says it is, by the verdict of the `websockets` library's own reader."""

from __future__ import annotations

import re
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame as Theirs
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from farend.core import malformed
from farend.core.commands import Accept, Send
from farend.core.events import Connected
from farend.core.malformed import CASES, Case, Reaction, case_of, cases
from farend.core.script import Script
from farend.core.steps import AnswerHandshake, title
from farend.core.websocket import ServerWire
from farend.errors import InvalidArguments, ScriptError, WrongState, WrongType

ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
TOLERATED = {"length-16-not-minimal", "length-64-not-minimal"}
"""What the library takes, though it need not."""


class Heard:
    """What a client of the `websockets` library makes of a case."""

    def __init__(self, case: Case) -> None:
        compression = [ClientPerMessageDeflateFactory()] if case.compressed else None
        self.protocol = ClientProtocol(parse_uri("ws://localhost/"), extensions=compression, max_size=1 << 20)
        self.protocol.send_request(self.protocol.connect())
        wire = ServerWire(max_size=None, subprotocols=None, compression=case.compressed)
        events = [event for data in self.protocol.data_to_send() for event in wire.receive(data)]
        assert isinstance(events[0], Connected)
        self.protocol.receive_data(wire.accept(Accept(case.answer)))
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self._parts = b""
        if case.frames:
            self.protocol.receive_data(wire.say(Send(case)))
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                continue
            assert isinstance(event, Theirs)
            self._heard(event)
        self.code = self.protocol.close_sent.code if self.protocol.close_sent else None

    def _heard(self, frame: Theirs) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._parts += bytes(frame.data)
            if frame.fin:
                whole, self._parts = self._parts, b""
                try:
                    self.messages.append(whole.decode() if self._is_text else whole)
                except UnicodeDecodeError:
                    self.protocol.fail(1007)
        elif frame.opcode is Opcode.PING:
            self.pongs.append(bytes(frame.data))


@ALL
def test_the_library_does_with_a_case_what_is_asked(case: Case) -> None:
    heard = Heard(case)
    if case.reaction is Reaction.REFUSE:
        assert heard.protocol.state is State.CONNECTING
        assert heard.protocol.handshake_exc is not None
        return
    assert heard.protocol.handshake_exc is None
    if case.name in TOLERATED:
        assert heard.code is None
        return
    if case.reaction is Reaction.FAIL:
        assert heard.messages == list(case.before)
        assert heard.code is not None
        assert not case.codes or heard.code in case.codes
    elif case.reaction is Reaction.CLOSE:
        assert heard.protocol.close_rcvd is not None
        assert not heard.messages
    else:
        assert heard.code is None
        assert heard.messages == list(case.messages)
        assert heard.pongs == list(case.pongs)


@ALL
def test_a_case_is_a_step_that_prints_itself(case: Case) -> None:
    script = Script().malformed(case.name)
    assert script == Script().malformed(case) == Script([("malformed", case.name)])
    assert title(script.steps[0]) == f"malformed {case.name} ({case.source}): {case.what}"
    assert repr(case) == f"<malformed {case.name}>"
    assert case.what[0].islower() or case.what.startswith("RSV1")
    assert not case.what.endswith(".")
    assert not case.rule.endswith(".")


@ALL
def test_a_case_has_a_constant_of_its_name(case: Case) -> None:
    assert getattr(malformed, case.name.replace("-", "_").upper()) is case


@ALL
def test_a_case_says_what_is_asked(case: Case) -> None:
    assert re.fullmatch(r"(RFC 7692, )?\d+(\.\d+)*(, \d+(\.\d+)*)*", case.clause)
    assert case.asked.startswith(("MUST ", "SHOULD "))
    assert (case.answer is not None) or case.frames
    assert bool(case.messages or case.pongs) <= (case.reaction is Reaction.TAKE)


@pytest.mark.parametrize(
    ("case", "asked"),
    [
        (malformed.MASKED_FRAME, "MUST fail the connection (1002)"),
        (malformed.LENGTH_64_TOP_BIT, "MUST fail the connection (1002 or 1009)"),
        (malformed.CLOSE_999, "SHOULD fail the connection (1002)"),
        (malformed.WRONG_ACCEPT, "MUST open no WebSocket"),
        (malformed.CLOSE_WITHOUT_CODE, "MUST answer the close"),
        (malformed.NOT_DEFLATE, "MUST fail the connection"),
        (malformed.UNSOLICITED_PONG, "MUST take it"),
        (malformed.PING_WITHOUT_PAYLOAD, "MUST take it and give a pong"),
        (malformed.PING_BETWEEN_FRAGMENTS, "MUST take it and give 'in two parts' and give a pong b'between'"),
    ],
)
def test_what_is_asked_in_words(case: Case, asked: str) -> None:
    assert case.asked == asked


# -- finding a case -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("wrong-accept",), ["wrong-accept"]),
        (("rsv[12]",), ["rsv1", "rsv2"]),
        (("close-1-byte", "rsv3"), ["rsv3", "close-1-byte"]),
        (("5.1",), ["masked-frame", "masked-ping"]),
        (("RFC 7692, 6",), ["not-compressed", "rsv1-continuation"]),
    ],
)
def test_cases_are_found_by_name_and_by_clause(patterns: tuple[str, ...], names: list[str]) -> None:
    assert [case.name for case in cases(*patterns)] == names


def test_a_clause_has_what_is_below_it() -> None:
    found = {case.name for case in cases("5.5")}
    assert {"ping-too-long", "ping-125", "close-1-byte"} <= found
    assert "plain-text" not in found, "5.6"
    assert cases() == tuple(CASES.values())


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ("masked-fram", InvalidArguments, r"no malformed frame 'masked-fram'; did you mean 'masked-frame'\?"),
        ("nope", InvalidArguments, "`farend check-client --list` lists them"),
        ("MASKED_FRAME", InvalidArguments, r"did you mean 'masked-frame'\?"),
        ("", InvalidArguments, r"`farend check-client --list` lists them"),
        (7, WrongType, r"a malformed frame has a name, such as 'masked-frame', not 7"),
        (b"rsv1", WrongType, r"not b'rsv1'"),
    ],
)
def test_a_case_that_there_is_not_is_told_at_once(wrong: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        case_of(wrong)
    with pytest.raises(error, match=text):
        Script().malformed(wrong)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ("utf9-*", InvalidArguments, r"no malformed frame is called 'utf9-\*'"),
        ("9.9", InvalidArguments, r"called '9.9'"),
        (5.5, WrongType, r"a pattern of names is text, such as 'utf8-\*', not 5.5"),
    ],
)
def test_a_pattern_that_finds_nothing_is_told(wrong: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        cases("rsv1", wrong)


# -- where a case can be a step -------------------------------------------------------------------------


def test_a_spoilt_answer_opens_the_connection_and_nothing_else() -> None:
    script = Script().expect_handshake("/feed").malformed("handshake-small-letters").expect("hello")
    assert [type(step) for step in script.steps[1:3]] == [AnswerHandshake, Send]
    with pytest.raises(ScriptError, match=r"can only be a script's first step, or right behind expect_handshake"):
        Script().expect("a").malformed("wrong-accept")
    with pytest.raises(ScriptError, match=r"can only be a script's first step"):
        Script().repeat(2, Script().malformed("wrong-accept"))
    playing = Script()
    playing.subscribe(lambda: None)
    with pytest.raises(WrongState, match=r"comes too late: the script is being played"):
        playing.malformed("wrong-accept")
    playing.malformed("masked-frame")


@pytest.mark.parametrize("name", ["masked-frame", "wrong-accept"])
def test_no_frames_on_a_byte_stream(name: str) -> None:
    with pytest.raises(ScriptError, match=rf"'malformed {name} .* cannot be played on a byte stream: it has no"):
        Script().malformed(name).check_for_stream()


@pytest.mark.parametrize("name", ["masked-frame", "wrong-accept"])
def test_no_mirror_says_it(name: str) -> None:
    with pytest.raises(ScriptError, match=rf"'malformed {name} .* cannot be mirrored: no program says it"):
        Script().malformed(name).mirrored()


def test_only_a_wire_carries_it() -> None:
    with pytest.raises(ScriptError, match=r"cannot be played by a mock: no bytes go over a wire there"):
        Script().repeat(2, Script().malformed("masked-frame").expect("a")).check_without_wire("by a mock")
    Script().send("a").check_without_wire("by a mock")


def test_a_client_answers_no_handshake() -> None:
    with pytest.raises(ScriptError, match=r"cannot be played by a client: it is the server that answers"):
        Script().malformed("wrong-status").check_for_client()
    Script().malformed("masked-frame").check_for_client()
