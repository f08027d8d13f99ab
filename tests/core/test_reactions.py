"""What a client did, and the verdict on it: transcripts of every kind, with no client and no wire."""

from __future__ import annotations

from typing import Any

import pytest

from farend.core.commands import Close
from farend.core.events import Ended, How
from farend.core.findings import Mismatch, Place, ProtocolViolation, TimedOut, TooLarge
from farend.core.malformed import CASES, Case
from farend.core.messages import Handshake, Ping, Pong
from farend.core.reactions import PROBE, ClauseBroken, Result, Verdict, judge, script_of
from farend.core.script import Script
from farend.core.transcript import Kind, Transcript

OK, NON_STRICT, FAILED = Verdict.OK, Verdict.NON_STRICT, Verdict.FAILED
LOST = Ended(How.LOST, 1006)
STUCK = TimedOut(Place(), "close", 5.0)


def closes(code: int, reason: str = "") -> Ended:
    return Ended(How.CLOSE, code, reason)


def told(*said: Any, headers: dict[str, str] | None = None) -> Transcript:
    """What a client did: messages and pongs, an end, and what the far end found."""
    transcript = Transcript()
    transcript.add(0, Kind.CONNECTED, Handshake("/", tuple((headers or {}).items())))
    transcript.add(0, Kind.SENT, "the case")
    for one in said:
        match one:
            case Ended():
                transcript.add(1, Kind.ENDED, one)
            case Close():
                transcript.add(1, Kind.CLOSED, one)
            case str() | bytes() | Pong() | Ping():
                transcript.add(1, Kind.RECEIVED, one)
            case _:
                transcript.add(1, Kind.FOUND, one)
    return transcript


UNEXPECTED = Mismatch(Place(), "x", ())
INVALID = ProtocolViolation(Place(), "invalid status code: 1005")
HUGE = TooLarge(Place(), 1, "more")


@pytest.mark.parametrize(
    ("name", "said", "verdict", "seen"),
    [
        # to be failed
        ("masked-frame", [closes(1002)], OK, "closed with 1002"),
        ("masked-frame", [closes(1000)], NON_STRICT, "closed with 1000, not 1002"),
        ("masked-frame", [closes(1005)], NON_STRICT, "closed without a code, not 1002"),
        ("masked-frame", [LOST], NON_STRICT, "dropped the connection, without a close frame"),
        ("masked-frame", [Ended(How.RESET)], NON_STRICT, "dropped the connection with a reset, without a close frame"),
        ("masked-frame", ["masked", UNEXPECTED, Close(1008)], FAILED, "handed 'masked' to the application"),
        ("masked-frame", ["masked", UNEXPECTED, Close(1008), closes(1002)], FAILED, "handed 'masked' to"),
        ("masked-frame", [PROBE, UNEXPECTED], FAILED, "went on as if nothing had been wrong"),
        ("masked-frame", [STUCK, Close(1008), LOST], FAILED, "neither said anything nor left"),
        ("masked-frame", [INVALID], FAILED, "answered with what may not be sent: invalid status code: 1005"),
        ("masked-frame", [Pong(b"x"), Ping(), closes(1002)], OK, "closed with 1002"),
        ("length-64-top-bit", [closes(1009)], OK, "closed with 1009"),
        ("length-64-top-bit", [closes(1000)], NON_STRICT, "closed with 1000, not 1002 or 1009"),
        ("not-deflate", [closes(1011)], OK, "closed with 1011"),
        ("continuation-after-end", ["whole message", closes(1002)], OK, "closed with 1002"),
        ("continuation-after-end", [closes(1002)], OK, "closed with 1002"),
        ("continuation-after-end", ["whole message", PROBE, UNEXPECTED], FAILED, "went on as if"),
        ("continuation-after-end", ["whole message and more", UNEXPECTED], FAILED, "handed 'whole message and more'"),
        # to be failed, perhaps
        ("close-999", [closes(1002)], OK, "closed with 1002"),
        ("close-999", [closes(1000)], NON_STRICT, "closed with 1000, as after a close in order"),
        ("close-999", [closes(1001)], NON_STRICT, "closed with 1001, not 1002"),
        ("close-999", [STUCK], NON_STRICT, "neither said anything nor left"),
        ("close-1005", [INVALID], NON_STRICT, "answered with what may not be sent: invalid"),
        ("close-1-byte", [closes(1000)], NON_STRICT, "closed with 1000, as after a close in order"),
        ("length-16-not-minimal", ["short", UNEXPECTED], NON_STRICT, "handed 'short' to the application"),
        ("oversize-message", [HUGE], NON_STRICT, "handed it to the application, all of it"),
        # not to be opened
        ("wrong-accept", [LOST], OK, "dropped the connection"),
        ("wrong-accept", [Ended(How.RESET)], OK, "dropped the connection with a reset"),
        ("wrong-accept", [closes(1002)], NON_STRICT, "closed with 1002, though nothing was open that could be closed"),
        ("wrong-accept", [STUCK], FAILED, "neither said anything nor left, as if it were open"),
        ("wrong-accept", [PROBE, UNEXPECTED], FAILED, "went on as if nothing had been wrong"),
        # to be taken
        ("plain-text", ["hello", PROBE, Close(), closes(1000)], OK, "gave everything back"),
        ("plain-text", ["hello", closes(1000)], FAILED, f"did not give back {PROBE!r} and closed with 1000"),
        ("plain-text", [STUCK], FAILED, "did not give back 'hello'"),
        ("plain-text", ["Hello", UNEXPECTED], FAILED, "gave back 'Hello', not 'hello'"),
        ("plain-text", [b"hello", UNEXPECTED], FAILED, "gave back b'hello', not 'hello'"),
        ("plain-text", [INVALID], FAILED, "sent what may not be sent: invalid"),
        ("plain-text", [HUGE], FAILED, "sent back far more than it had got"),
        ("unsolicited-pong", [PROBE, Close(), closes(1000)], OK, "went on"),
        ("ping-125", [PROBE, Pong(bytes(range(125)))], OK, "gave everything back and the pong"),
        ("ping-125", [Pong(b"x"), PROBE, STUCK], FAILED, "gave no pong b'"),
        ("ping-125", [PROBE, STUCK], FAILED, "gave no pong b'"),
        # a close, to be answered
        ("close-4999", [closes(4999)], OK, "closed with 4999"),
        ("close-4999", [closes(1005)], OK, "closed without a code"),
        ("close-4999", [closes(1002)], NON_STRICT, "closed with 1002, as if something had been wrong"),
        ("close-4999", [LOST], FAILED, "dropped the connection, and did not answer the close"),
        ("close-4999", [STUCK], FAILED, "did not answer the close"),
        ("data-after-close", ["too late", UNEXPECTED], NON_STRICT, "handed 'too late' to the application"),
    ],
)
def test_the_verdict(name: str, said: list[Any], verdict: Verdict, seen: str) -> None:
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    result = judge(CASES[name], told(*said, headers=headers))
    assert (result.verdict, result.seen[: len(seen)]) == (verdict, seen)
    assert result.broken is (verdict is FAILED)


def test_nobody_came_or_opened_a_websocket() -> None:
    case = CASES["rsv1"]
    assert judge(case, None) == Result(case, Verdict.ABSENT, "did not connect")
    transcript = Transcript()
    transcript.add(0, Kind.CONNECTED, None)
    assert judge(case, transcript) == Result(case, Verdict.ABSENT, "opened no WebSocket")
    assert judge(case, None).broken


def test_who_offers_no_compression_is_not_asked_about_it() -> None:
    result = judge(CASES["compressed"], told(closes(1002)))
    assert (result.verdict, result.seen) == (Verdict.NOT_ASKED, "offered no compression")
    assert not result.broken


def test_the_code_is_told_beside_the_verdict() -> None:
    assert judge(CASES["rsv1"], told(closes(1002))).code == 1002
    assert judge(CASES["rsv1"], told(LOST)).code is None
    assert str(judge(CASES["rsv1"], told(closes(1002)))) == "ok: rsv1 (RFC 6455, 5.2): closed with 1002"


# -- the finding --------------------------------------------------------------------------------------


def test_what_was_broken_is_told_with_the_clause() -> None:
    result = judge(CASES["rsv2"], told(PROBE, UNEXPECTED))
    finding = ClauseBroken(Place(1), result, "ValueError (no)")
    assert finding.sentence == (
        "The client went on as if nothing had been wrong, where a text frame has RSV2 set (RFC 6455, 5.2)."
    )
    assert finding.advice == (
        "RFC 6455, 5.2: the receiver must fail the connection. So it MUST fail the connection (1002). "
        "It raised ValueError (no)."
    )
    absent = ClauseBroken(Place(), judge(CASES["rsv2"], None))
    assert absent.advice == "A client under test connects to the URL, and sends back each message that it gets."


# -- the script ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case_has_a_script(case: Case) -> None:
    script = script_of(case)
    assert script.name == case.name
    assert script.steps[: len(Script().malformed(case))] == Script().malformed(case).steps


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("close-999", ["expect close"]),
        ("masked-frame", [f"send {PROBE!r}", "expect close"]),
        ("continuation-after-end", [f"send {PROBE!r}", "optional", "expect close"]),
        ("plain-text", [f"send {PROBE!r}", "expect 'hello'", f"expect {PROBE!r}", "close", "expect close"]),
        ("ping-between-fragments", [f"send {PROBE!r}", "any order of 2 branches", "close", "expect close"]),
    ],
)
def test_what_is_played_behind_the_case(name: str, titles: list[str]) -> None:
    lines = [line.split(". ", 1)[1] for line in str(script_of(CASES[name])).splitlines() if line[2:3].isdigit()]
    assert lines[1:] == titles
