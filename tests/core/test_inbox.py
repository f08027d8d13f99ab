from __future__ import annotations

from typing import Any

import pytest

from farend.core.conversation import Conversation
from farend.core.events import Connected, Quiet, Received
from farend.core.findings import Mismatch
from farend.core.framing import at_least, exactly, length_prefixed, lines, until
from farend.core.inbox import (
    WAIT,
    WAIT_FOR_QUIET,
    MessageInbox,
    Refused,
    StreamInbox,
    Taken,
    TooLargeError,
    plain_bytes,
)
from farend.core.matchers import Equal, anything, json, matcher, regex
from farend.core.messages import Ping, Pong
from farend.core.place import Head, Line
from farend.core.script import Script
from farend.core.steps import Expect, ExpectClose
from farend.report.hints import hints


def heads(*steps: Any) -> list[Head]:
    return list(Line([*Script().any_order(*([step] for step in steps))]).heads()) if steps else []


def taken(verdict: object) -> Any:
    assert isinstance(verdict, Taken), verdict
    return verdict.head.step, verdict.message


A, B = Expect("aa"), Expect("b")
LINE = Expect("aa", lines())
SOME = Expect(matcher(bytes))


@pytest.mark.parametrize(
    ("data", "steps", "quiet", "verdict"),
    [
        (b"aa", [A, B], False, (A, b"aa")),
        (b"b", [A, B], False, (B, b"b")),
        (b"baa", [A, B], False, (B, b"b")),
        (b"a", [A], True, WAIT),
        (b"x", [A], False, WAIT_FOR_QUIET),
        (b"x", [A, LINE], False, WAIT),
        (b"x", [A, SOME], False, WAIT_FOR_QUIET),
        (b"x", [A, SOME], True, (SOME, b"x")),
        (b"aa\n", [LINE, A], False, (A, b"aa")),
        (b"aa", [A, Expect("aa")], False, (A, b"aa")),
        (b"zz", [], False, WAIT_FOR_QUIET),
        (b"zz", [ExpectClose()], False, WAIT_FOR_QUIET),
        (b"a", [Expect("")], True, WAIT),
        (b"1", [Expect(matcher(anything()), at_least(2))], True, WAIT),
        (b"\xff\xff", [Expect("x", length_prefixed("b")), Expect("\x00\x00\x00")], False, WAIT_FOR_QUIET),
        (b"\xff", [Expect("x", length_prefixed("b")), LINE], False, WAIT),
    ],
)
def test_the_step_that_is_complete_with_the_fewest_bytes_takes_them(
    data: bytes, steps: list[Any], quiet: bool, verdict: Any
) -> None:
    inbox = StreamInbox(None, 100)
    inbox.add(data)
    answer = inbox.offer(heads(*steps), quiet)
    if isinstance(verdict, tuple):
        assert taken(answer) == verdict
        assert inbox.partial() == data[len(verdict[1]) :]
    else:
        assert answer is verdict
        assert inbox.partial() == data


@pytest.mark.parametrize(
    ("data", "steps", "got", "candidates", "partial"),
    [
        (b"xxx", [A], b"xx", 1, False),
        (b"x", [A], b"x", 1, True),
        (b"xxx", [A, B], b"x", 2, False),
        (b"x", [A, B], b"x", 2, False),
        (b"xyz", [], b"xyz", 0, False),
        (b"x\ny", [LINE], b"x", 1, False),
    ],
)
def test_what_no_step_takes_is_refused(
    data: bytes, steps: list[Any], got: bytes, candidates: int, partial: bool
) -> None:
    inbox = StreamInbox(None, 100)
    inbox.add(data)
    answer = inbox.offer(heads(*steps), quiet=True)
    assert isinstance(answer, Refused)
    assert (answer.got, len(answer.candidates), answer.partial) == (got, candidates, partial)


def test_a_plain_value_is_followed_in_place_and_made_bytes_when_needed() -> None:
    inbox = StreamInbox(None, 100)
    assert inbox.follow(b"he", b"hello") is None
    assert inbox
    assert inbox.follow(b"xx", b"hello") is False
    assert inbox.follow(b"l", b"hello") is None
    assert inbox.partial() == b"hel"
    assert inbox.follow(b"lo", b"hello") is False
    inbox.add(b"lo")
    assert inbox.rest() == [b"hello"]
    assert inbox.rest() == []
    assert inbox.follow(b"hello", b"hello") is True
    assert not inbox
    assert inbox.follow(b"hello!", b"hello") is False


@pytest.mark.parametrize("steps", [[], [LINE], [SOME]])
def test_more_than_the_limit_is_too_large(steps: list[Any]) -> None:
    inbox = StreamInbox(None, 3)
    inbox.add(b"xxx")
    inbox.offer(heads(*steps), quiet=False)
    inbox.add(b"x")
    with pytest.raises(TooLargeError):
        inbox.offer(heads(*steps), quiet=False)


def test_what_a_step_expects_on_a_stream_is_what_is_sent_for_it() -> None:
    inbox = StreamInbox(until(";", keep=True), 100)
    assert inbox.matcher_of(Expect("é")) == Equal("é;".encode())
    assert inbox.matcher_of(Expect("é", lines())) == Equal("é".encode())
    assert inbox.matcher_of(Expect(regex("a"))) == regex("a")
    assert MessageInbox().matcher_of(Expect("a")) == Equal("a")


@pytest.mark.parametrize(
    ("what", "value"),
    [("é", "é".encode()), (b"a", b"a"), (Equal("a"), b"a"), (str, None), (json(1), None), ("\ud800", b"\xed\xa0\x80")],
)
def test_what_is_plain_on_a_stream(what: Any, value: bytes | None) -> None:
    assert plain_bytes(Expect(what if isinstance(what, str | bytes) else matcher(what))) == value


def test_messages_go_to_the_first_step_that_expects_them() -> None:
    inbox = MessageInbox()
    for message in ("b", "aa", "x", Ping()):
        inbox.add(message)
    assert not inbox.follow("b", "b")
    assert taken(inbox.offer(heads(A, B), quiet=False)) == (B, "b")
    assert taken(inbox.offer(heads(A, Expect("aa")), quiet=False)) == (A, "aa")
    answer = inbox.offer(heads(A, ExpectClose()), quiet=False)
    assert isinstance(answer, Refused)
    assert answer.got == "x"
    assert inbox.offer(heads(A), quiet=False) is WAIT
    assert not inbox
    assert inbox.follow("b", "b")
    assert inbox.partial() == b""


@pytest.mark.parametrize(
    ("what", "takes"),
    [
        (Ping(), True),
        (matcher(Ping), True),
        (Equal(Ping()), True),
        (matcher(Pong) | Ping(), True),
        (matcher(Ping) & anything(), True),
        (anything(), False),
        (matcher(str), False),
        ("a", False),
    ],
)
def test_a_ping_goes_to_a_step_that_names_it(what: Any, takes: bool) -> None:
    inbox = MessageInbox()
    inbox.add(Ping())
    assert isinstance(inbox.offer(heads(Expect(what)), quiet=False), Taken) is takes
    assert not inbox


# -- a TLS client at a plain far end ----------------------------------------------------------------


def client_hello(size: int = 40) -> bytes:
    body = b"\x01" + size.to_bytes(3, "big") + bytes(size)
    return b"\x16\x03\x01" + len(body).to_bytes(2, "big") + body


def conversing(script: Script, *segments: bytes) -> list[object]:
    conversation = Conversation(script, stream=True, deadline=5.0)
    conversation.feed(Connected(), 0.0)
    for segment in segments:
        conversation.feed(Received(segment), 0.0)
    conversation.feed(Quiet(), 0.0)
    return conversation.findings


@pytest.mark.parametrize(
    "script",
    [
        Script().expect(regex("hello.*world")),
        Script().expect(json={"op": "subscribe"}),
        Script(framing=lines()).expect("hello"),
        Script(framing=length_prefixed(">H")).expect(b"x"),
        Script().optional(Script().expect(regex("a+b"))).expect(regex("hello")),
    ],
    ids=str,
)
@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_whole_client_hello_is_refused_when_the_near_end_pauses(script, cut):
    hello = client_hello()
    [finding] = conversing(script, *filter(None, (hello[:cut], hello[cut:])))
    assert isinstance(finding, Mismatch)
    assert finding.got == hello
    assert any("TLS ClientHello" in hint for hint in hints(finding))


@pytest.mark.parametrize(
    ("script", "came"),
    [
        (Script().expect(regex("hello")), client_hello()[:-1]),
        (Script().expect(regex("hello")), b"\x16\x03\x01hell"),
        (Script().expect(regex("hello")), b"\x16\x03\x01\x00\x05\x02\x00\x00\x01x"),
        (Script().expect(regex(rb"\x16\x03.*end")), client_hello()),
        (Script().expect(regex(rb"(?:\x16)\x03.*end")), client_hello()),
        (Script().expect(client_hello() + b"more"), client_hello()),
        (Script(framing=exactly(1000)).expect(anything()), client_hello()),
    ],
)
def test_what_is_no_whole_client_hello_or_is_expected_is_waited_for(script, came):
    assert conversing(script, came) == []
