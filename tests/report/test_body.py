from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from farend.core import findings
from farend.core.conversation import Conversation
from farend.core.events import Connected, Ended, How, Received, TimePassed, Violated, WritingPaused
from farend.core.findings import (
    Finding,
    FunctionFailed,
    InternalError,
    NobodyConnected,
    NotConnected,
    NotReading,
    Place,
    TooLarge,
    UnexpectedConnection,
)
from farend.core.framing import at_least, lines
from farend.core.matchers import regex
from farend.core.messages import Handshake
from farend.core.script import Script
from farend.report import body as body_module
from farend.report.body import body, brief

Play = Callable[..., Conversation]


def told(conversation: Conversation) -> str:
    (finding,) = conversation.findings
    return "\n".join(line.text for line in body(finding, 98))


def test_every_kind_of_finding_has_a_body() -> None:
    kinds = {kind for kind in vars(findings).values() if isinstance(kind, type) and issubclass(kind, Finding)}
    assert kinds - {Finding} == set(body_module._BODIES)


def test_a_kind_of_its_own_is_told_as_its_base() -> None:
    @dataclass(frozen=True, slots=True, eq=False)
    class Novel(Finding):
        pass

    @dataclass(frozen=True, slots=True, eq=False)
    class NovelSize(TooLarge):
        pass

    assert body(Novel(Place()), 98) == []
    assert body(NovelSize(Place(), 1, "x"), 98) == []


# -- what came ------------------------------------------------------------------------------------


def test_a_mismatch_tells_the_nearest_miss_and_what_else_was_possible(play: Play) -> None:
    script = Script().any_order(*(Script().expect(word) for word in ("hallo", "adieu", "moin", "servus", "hey")))
    assert (
        told(play(script, Received("hello")))
        == """\
expected  'hallo'
got       'hello'
            ^

That was the nearest. Also possible here:
  expect 'hey'
  expect 'adieu'
  expect 'moin'
  … and 1 more"""
    )


def test_a_mismatch_with_one_step_beside_the_nearest(play: Play) -> None:
    screen = told(play(Script().any_order(Script().expect("hallo"), Script().expect("moin")), Received("hello")))
    assert screen.endswith("That was the nearest. Also possible here:\n  expect 'moin'")


def test_a_mismatch_on_bytes_that_were_still_coming(play: Play) -> None:
    conversation = play(Script().expect(b"hello"), Received(b"x"), stream=True)
    conversation.feed(Ended(), 11)
    assert "That is all that had come, and nothing more could have made it match." in told(conversation)


def test_unexpected_messages_are_listed(play: Play) -> None:
    script = Script(open_ended=True).expect("a")
    conversation = play(script, *[Received(word) for word in "abcdefgh"], finish=True)
    assert (
        told(conversation)
        == """\
got       'b'
          'c'
          'd'
          'e'
          'f'
          … and 2 more"""
    )


def test_an_unexpected_message_where_a_close_was_expected(play: Play) -> None:
    assert told(play(Script().expect_close(), Received("a"))) == "expected  close\ngot       'a'"


def overdue(play: Play, script: Script, *said: bytes) -> str:
    conversation = play(script, *(Received(one) for one in said), stream=True)
    conversation.feed(TimePassed(), 100.0)
    return told(conversation)


def test_a_wait_that_ended_tells_what_had_come(play: Play) -> None:
    assert overdue(play, Script().expect(b"hello")) == "got       nothing at all since it connected"
    assert overdue(play, Script().expect(b"a").expect(b"b"), b"a") == "got       nothing"
    assert overdue(play, Script().expect(b"hello\n"), b"hel") == "got       b'hel'\nmissing   b'lo\\n': 3 bytes"
    assert (
        overdue(play, Script(framing=lines()).expect(b"hello"), b"hel")
        == "got       b'hel'\nbecause   messages are cut by lines(), and no whole one has come"
    )
    assert (
        overdue(play, Script().expect(b"hello", framing=at_least(9)), b"hello")
        == "got       b'hello'\nbecause   messages are cut by at_least(9), and no whole one has come"
    )
    assert overdue(play, Script().expect(regex(b"[a-z]+;")), b"hel") == "got       b'hel'"
    assert overdue(play, Script().repeat(2, Script().expect(b"hello")), b"hel") == "got       b'hel'"


def test_a_wait_without_a_place() -> None:
    assert [line.text for line in body(findings.TimedOut(Place(), "say 'x'", 5), 98)] == ["got       nothing"]
    partial = findings.TimedOut(Place(step=Script().expect(b"abc").steps[0]), "say b'abc'", 5, b"ab")
    assert [line.text for line in body(partial, 98)] == ["got       b'ab'", "missing   b'c': 1 byte"]


def test_an_early_end_tells_what_was_next(play: Play) -> None:
    assert told(play(Script().expect("a"), Ended(How.LOST))) == "expected  'a'\ngot       connection lost"
    script = Script().expect("x").send("a").expect("b")
    assert told(play(script, Ended(How.RESET), Received("x"))) == "expected  'x'\ngot       reset"
    script = Script().pause(1).send("a").expect("b")
    assert told(play(script, Ended(How.RESET), stream=True)) == "next      send 'a'\ngot       reset"
    script = Script().expect(b"hello")
    assert (
        told(play(script, Received(b"he"), Ended(), stream=True))
        == "expected  b'hello'\ngot       b'he'\nmissing   b'llo': 3 bytes"
    )


def test_another_end_than_expected(play: Play) -> None:
    assert (
        told(play(Script().expect_close(1000), Ended(How.CLOSE, 1001, "away")))
        == "expected  close 1000\ngot       close frame 1001 'away'"
    )


def test_a_handshake_is_told_part_by_part(play: Play) -> None:
    script = Script().expect_handshake("/feed", headers={"Authorization": "Bearer x"})
    conversation = play(script, opening=Connected(Handshake("/fed", [("Host", "localhost")])))
    assert (
        told(conversation)
        == """\
path:
  expected  '/feed'
  got       '/fed'
                ^
header 'Authorization':
  expected  'Bearer x'
  got       nothing: the handshake has none"""
    )
    assert len(brief(conversation.findings[0], 98)) == 7


def test_a_violation_shows_its_bytes(play: Play) -> None:
    assert (
        told(play(Script().expect("a"), Violated("reserved bits must be 0", b"\xff\x01a")))
        == r"""
got       b'\xff\x01a'
00000000  ff 01 61                                         |..a|""".strip()
    )
    assert told(play(Script().expect("a"), Violated("it is unknown"))) == ""


# -- what did not come, and what could not be done ------------------------------------------------


def test_what_was_not_played(play: Play) -> None:
    script = Script().expect("a").expect("b")
    assert told(play(script, finish=True)) == "The near end had said no message by then."
    assert told(play(script, Received("a"), finish=True)) == "The near end had said 1 message by then."


def test_nobody_connected() -> None:
    script = Script().expect("a")
    finding = NobodyConnected(Place(left=tuple(script.steps), script=script, total=1), 5.0)
    assert "Did the program under test get this far end's address" in body(finding, 98)[0].text
    assert [line.text for line in brief(finding, 98)] == ["expected  'a'"]


def test_an_unexpected_connection_tells_where_it_wanted_to_go(play: Play) -> None:
    conversation = Conversation(Script(), stream=False)
    finding = UnexpectedConnection(conversation.place, "A connection came.")
    conversation.refuse(finding, 404, 1.0, Handshake("/nowhere?x=1"))
    assert told(conversation) == "got       a WebSocket handshake for /nowhere?x=1"
    assert body(UnexpectedConnection(Place(), "A connection came."), 98) == []


def test_a_failed_function_tells_what_it_was_given(play: Play) -> None:
    script = Script().expect("a").reply(lambda message: 1 / 0)
    assert told(play(script, Received("a"))) == "given     'a'"
    assert body(FunctionFailed(Place(), "reply(f)", "it is broken"), 98) == []


def test_a_near_end_that_does_not_read(play: Play) -> None:
    conversation = play(Script().send("b" * 9).expect("a"), WritingPaused())
    conversation.feed(TimePassed(), 100.0)
    assert told(conversation) == "last sent 'bbbbbbbbb'"
    assert body(NotReading(Place(), 5), 98) == []


@pytest.mark.parametrize(
    "finding", [TooLarge(Place(), 1, "x"), NotConnected(Place(), "refused"), InternalError(Place(), "KeyError")]
)
def test_some_say_all_in_their_sentence(finding: Finding) -> None:
    assert body(finding, 98) == brief(finding, 98) == []


def test_brief_ones_have_a_few_lines(play: Play) -> None:
    mismatch = play(Script().expect("a"), Received("b")).findings[0]
    assert [line.text for line in brief(mismatch, 98)] == ["expected  'a'", "got       'b'", "           ^"]
    violation = play(Script().expect("a"), Violated("odd", b"x" * 500)).findings[0]
    assert len(brief(violation, 98)) == 4
