from __future__ import annotations

import io
import re
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console

from farend.core.conversation import Conversation
from farend.core.events import Connected, Ended, How, Received, TimePassed
from farend.core.findings import (
    AttemptsMissing,
    Candidate,
    Finding,
    FunctionFailed,
    InternalError,
    Mismatch,
    NobodyConnected,
    NotConnected,
    Place,
    ProtocolViolation,
    TimedOut,
    Unexpected,
    WentOn,
)
from farend.core.journal import Journal
from farend.core.matchers import json, matcher, regex
from farend.core.outcomes import Refused
from farend.core.script import Script
from farend.report import conversation_text, note, print_screen, screen
from farend.report import text as text_module

Play = Callable[..., Conversation]


def seconds(conversation: Conversation) -> float:
    """The processor's time for a screen, and the best of some: a busy machine is no slow report."""
    return min(timeit.repeat(lambda: screen(conversation.findings), timer=time.process_time, number=1, repeat=5))


# -- golden screens -------------------------------------------------------------------------------


def test_a_text_mismatch(play: Play) -> None:
    script = Script(name="obi-wan").expect("hello").send("there").expect("general").send("Kenobi")
    conversation = play(script, Received("hello"), Received("admiral"), far_end="WebSocketServer 127.0.0.1:4000")
    assert screen(conversation.findings) == (
        """\
Expected 'general', got 'admiral' \
(WebSocketServer 127.0.0.1:4000, script 'obi-wan', connection 1, step 3 of 4).

  expected  'general'
  got       'admiral'
             ^^^^

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → 'hello'
  0.250 s  ← 'there'
  0.500 s  → 'admiral'
  0.500 s  ! The near end did not say what was expected.
  0.500 s  × far end closed

Steps left (2 of 4):
  > 3. expect 'general'
    4. send 'Kenobi'"""
    )


def test_a_json_mismatch(play: Play) -> None:
    script = Script().expect(json={"op": "subscribe", "args": {"depth": 5, "symbols": ["BTC", "ETH"]}}).send("ok")
    conversation = play(script, Received('{"op": "subscribe", "args": {"depth": "5", "symbols": ["BTC"]}, "id": 7}'))
    assert (
        screen(conversation.findings)
        == """\
The near end did not say what was expected (feed, connection 1, step 1 of 2).

  expected  json {'op': 'subscribe', 'args': {'depth': 5, 'symbols': ['BTC', 'ETH']}}
  got       {'op': 'subscribe', 'args': {'depth': '5', 'symbols': ['BTC']}, 'id': 7}
  $.args.depth: expected 5, got '5'
  $.args.symbols[1]: missing, expected 'ETH'

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → '{"op": "subscribe", "args": {"depth": "5", "symbols… (str, 72 characters)
  0.250 s  ! The near end did not say what was expected.
  0.250 s  × far end closed

Steps left (2 of 2):
  > 1. expect json {'op': 'subscribe', 'args': {'depth': 5, 'symbols': ['BTC', 'ETH']}}
    2. send 'ok'""".replace(
            """'{"op": "subscribe", "args": {"depth": "5", "symbols… (str, 72 characters)""",
            """'{"op": "subscribe", "args": {"depth": "5", "symbols": ["BTC"]}, "id": 7}'""",
        )
    )


def test_a_bytes_mismatch_on_a_stream(play: Play) -> None:
    script = Script().expect(b"\x01\x00\x00\x05hello").send(b"\x02").expect_close()
    conversation = play(script, Received(b"\x01\x00\x00"), Received(b"\x06hello!"), stream=True)
    assert (
        screen(conversation.findings)
        == r"""
Expected b'\x01\x00\x00\x05hello', got b'\x01\x00\x00\x06hello' (feed, connection 1, step 1 of 3).

  expected  b'\x01\x00\x00\x05hello'
  got       b'\x01\x00\x00\x06hello'
                          ^^^^
  9 bytes each; the first difference is at offset 3 (0x3)
  expected 00000000  01 00 00 05 68 65 6c 6c 6f                       |....hello|
  got      00000000  01 00 00 06 68 65 6c 6c 6f                       |....hello|
                              ^^                                          ^

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.500 s  → b'\x01\x00\x00\x06hello'
  0.500 s  ! The near end did not say what was expected.
  0.500 s  → b'!'
  0.500 s  × far end closed

Steps left (3 of 3):
  > 1. expect b'\x01\x00\x00\x05hello'
    2. send b'\x02'
    3. expect close""".strip()
    )


def test_a_deadline_that_passed(play: Play) -> None:
    conversation = play(Script().expect(b"PING\r\n").send(b"PONG\r\n"), Received(b"PING"), stream=True)
    conversation.feed(TimePassed(), 15.0)
    assert (
        screen(conversation.findings)
        == r"""
Waited 5 s for the near end to say b'PING\r\n'. Of it, b'PING' had come (feed, connection 1, step 1 of 2).

  got       b'PING'
  missing   b'\r\n': 2 bytes
  Perhaps the near end waits too: b'PONG\r\n' comes only after its message. If the near end is only
  slow, raise the deadline (deadline=, within=, --farend-deadline).

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  5.000 s  ! Waited 5 s for the near end to say b'PING\r\n'. Of it, b'PING' had come.
  5.000 s  → b'PING'
  5.000 s  × far end closed

Steps left (2 of 2):
  > 1. expect b'PING\r\n'
    2. send b'PONG\r\n'""".strip()
    )


def test_steps_that_were_not_played(play: Play) -> None:
    script = Script().expect("a").repeat(3, Script().expect("tick").send("tock")).close()
    conversation = play(script, Received("a"), Received("tick"), finish=True)
    assert (
        screen(conversation.findings)
        == """\
The test was over, and 2 steps were not played (feed, connection 1, step 2 of 3, round 2, step 1).

  The near end had said 2 messages by then.

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → 'a'
  0.500 s  → 'tick'
  0.500 s  ← 'tock'
  0.750 s  ! The test was over, and 2 steps were not played.

Steps left (2 of 3):
  > 2. repeat 3 times
       round 2 of 3
       > 1. expect 'tick'
         2. send 'tock'
    3. close"""
    )


def test_a_message_that_nobody_expected(play: Play) -> None:
    conversation = play(Script().expect("a"), Received("a"), Received("and another thing"))
    assert (
        screen(conversation.findings)
        == """\
The near end said 'and another thing' after the script's last step (feed, connection 1, after step 1 of 1).

  got       'and another thing'

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → 'a'
  0.500 s  → 'and another thing'
  0.500 s  ! The near end said 'and another thing' after the script's last step.
  0.500 s  × far end closed"""
    )


def test_a_near_end_that_left_early(play: Play) -> None:
    conversation = play(Script().expect("a").send("b").expect("c"), Received("a"), Ended(How.CLOSE, 1001, "away"))
    assert (
        screen(conversation.findings)
        == """\
The near end ended the connection (close frame 1001 'away') before the script's end (feed, connection 1, step 3 of 3).

  expected  'c'
  got       close frame 1001 'away'

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → 'a'
  0.250 s  ← 'b'
  0.500 s  × near end ended: close frame 1001 'away'
  0.500 s  ! The near end ended the connection (close frame 1001 'away') before the script's end.

Steps left (1 of 3):
  > 3. expect 'c'"""
    )


def several(play: Play) -> list[Finding]:
    script = Script().expect("a").expect("b")
    mismatch = play(script, Received("b"))
    unplayed = play(script, Received("a"), number=2, finish=True)
    again = Unexpected(mismatch.place, ["b"])
    return [*mismatch.findings, *unplayed.findings, again]


def test_several_findings(play: Play) -> None:
    assert (
        screen(several(play))
        == """\
Expected 'a', got 'b' (feed, connection 1, step 1 of 2).

  expected  'a'
  got       'b'
             ^
  Step 2 expects this message: was a message left out, or the order another?

Connection 1 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → 'b'
  0.250 s  ! The near end did not say what was expected.
  0.250 s  × far end closed

Steps left (2 of 2):
  > 1. expect 'a'
    2. expect 'b'

2 more findings:

2. The test was over, and 1 step was not played (feed, connection 2, step 2 of 2).
  expected  'b'

Connection 2 (→ said by the near end, ← by the far end):
  0.000 s  connected
  0.250 s  → 'a'
  0.500 s  ! The test was over, and 1 step was not played.

3. The near end said 'b' where it was expected to close (feed, connection 1, step 1 of 2).
  expected  'a'
  got       'b'"""
    )


# -- what a screen says, and what it does not ------------------------------------------------------


def test_nothing_went_wrong() -> None:
    assert screen([]) == "Nothing went wrong."
    assert note([]) == ""


def test_a_finding_without_a_place_is_told_all_the_same() -> None:
    assert screen([NotConnected(Place(), "refused")]) == "farend could not connect: refused"
    finding = NobodyConnected(Place(far_end="feed", script=Script().expect("a"), left=(), total=1), 5.0, "/feed")
    assert screen([finding]).splitlines()[0] == (
        "Nobody connected to /feed (5 s waited), so no step was played (feed)."
    )


def test_nobody_connected_shows_the_script() -> None:
    script = Script().expect("a").send("b")
    finding = NobodyConnected(Place(far_end="feed", script=script, left=tuple(script.steps), total=2), 5.0)
    assert screen([finding]).endswith(
        """\
Steps left (2 of 2):
    1. expect 'a'
    2. send 'b'"""
    )


def test_an_internal_error_asks_to_be_reported() -> None:
    assert "Please report this" in screen([InternalError(Place(), "KeyError: 1")])


def test_hints_stand_below_the_difference(play: Play) -> None:
    conversation = play(Script().expect(b"PING"), Received(b"\x16\x03\x01" + bytes(100)), stream=True)
    assert "These bytes are a TLS ClientHello" in screen(conversation.findings)


def test_the_same_advice_is_given_once(play: Play) -> None:
    findings = [TimedOut(Place(connection=number), "say 'x'", 5) for number in (1, 2, 3)]
    assert screen(findings).count("If the near end is only slow") == 1


def test_many_findings_are_counted(play: Play) -> None:
    findings = [NotConnected(Place(), str(number)) for number in range(1000)]
    lines = screen(findings).splitlines()
    assert lines[-1] == "… and 994 more findings"
    assert "6. farend could not connect: 5" in lines
    assert len(lines) < 20


def test_huge_scripts_and_transcripts_are_told_by_their_middle(play: Play) -> None:
    script = Script()
    for number in range(100_000):
        script.expect(f"message {number}")
    said = [Received(f"message {number}") for number in range(10_000)]
    conversation = play(script, *said, Received("boom"), *[Received("late")] * 100)
    assert seconds(conversation) < 0.05
    lines = screen(conversation.findings).splitlines()
    assert "(feed, connection 1, step 10,001 of 100,000)" in lines[0]
    assert "  … 9,994 earlier lines" in lines
    assert "  … 98 later lines" in lines
    assert "  > 10001. expect 'message 10000'" in lines
    assert lines[-1] == "  … and 89,992 more"
    assert len(lines) < 40


def test_a_group_as_long_as_a_script_is_cut(play: Play) -> None:
    branches = [Script().expect(str(number)) for number in range(1000)]
    conversation = play(Script().any_order(*branches).send("end"), finish=True)
    lines = screen(conversation.findings).splitlines()
    assert lines[-2:] == ["       …", "  … and 1 more"]
    assert len(lines) < 20


@pytest.mark.parametrize("kind", [str, bytes])
@pytest.mark.parametrize("piece", ["x", "line\n", "\n", "\0", "€"])
def test_a_mebibyte_fits_on_one_screen_at_once(play: Play, kind: type, piece: str) -> None:
    half = piece * ((1 << 19) // len(piece))
    sides = (half + half, half + "#" + half)
    expected, got = sides if kind is str else (side.encode() for side in sides)
    conversation = play(Script().expect(expected), Received(got))
    assert seconds(conversation) < 0.05
    told = screen(conversation.findings)
    assert len(told) < 4000
    assert "#" in told


@pytest.mark.parametrize("width", [0, 60, 72, 100, 200])
def test_no_line_but_the_first_is_wider_than_asked_for(play: Play, width: int) -> None:
    script = Script(name="n" * 50).expect(json={"a": "x" * 500, "b" * 100: list(range(100))}).send("y" * 500)
    findings = [
        *play(script, Received('{"a": "' + "x" * 400 + '"}')).findings,
        *play(Script().expect(b"\0" * 500), Received(b"\0" * 499 + b"\1"), stream=True).findings,
        *play(Script().expect(regex("a" * 300)), Received("b" * 300)).findings,
        FunctionFailed(Place(), "reply(f)", "word " * 500),
        ProtocolViolation(Place(), "x" * 1000, b"y" * 1000),
    ]
    for finding in findings:
        first, *rest = screen([finding], width=width).splitlines()
        assert len(first) <= 400
        assert max(map(len, rest)) <= max(width, 60)


def test_a_long_sentence_is_cut_in_the_first_line_and_told_below() -> None:
    lines = screen([FunctionFailed(Place(), "reply(f)", "it said:\n" + "word " * 100)]).splitlines()
    assert lines[0].startswith("reply(f) failed: it said: word word")
    assert lines[0].endswith("…")
    assert lines[2].startswith("  reply(f) failed: it said: word word")


def test_what_the_near_end_says_cannot_write_on_the_terminal(play: Play) -> None:
    evil = "\x1b[2J\x1b[31m\r\n\x07\u202e"
    findings = [
        *play(Script(name=evil).expect(evil + "a"), Received(evil + "b"), far_end=evil).findings,
        ProtocolViolation(Place(), evil, evil.encode()),
        *play(Script().expect(regex(re.escape(evil))), Received(evil + "b")).findings,
    ]
    for told in (screen(findings), note(findings)):
        assert all(line.isprintable() for line in told.split("\n"))


words = st.text(st.sampled_from("ab \n\r\t'\"\\\0é世\u200b{}[]1:,"), max_size=120)


@given(words, words, st.sampled_from(["text", "bytes", "json", "not", "choice", "regex"]), st.sampled_from([60, 100]))
def test_whatever_comes_it_is_told_within_the_width(expected: str, got: str, kind: str, width: int) -> None:
    what = {
        "text": expected,
        "bytes": expected.encode(),
        "json": json({expected: [got, expected]}),
        "not": ~matcher(got),
        "choice": matcher(expected) | json([expected]),
        "regex": regex(re.escape(expected)),
    }[kind]
    difference = matcher(what).difference(got.encode() if kind == "bytes" else got)
    assume(difference is not None)
    assert difference is not None
    step = Script().expect(what).steps[0]
    finding = Mismatch(Place(connection=1, left=(step,)), got, (Candidate(step, difference),))
    for told in (screen([finding], width=width), note([finding], width=width)):
        rest = told.split("\n")[1:]
        assert all(line.isprintable() and len(line) <= width for line in rest)


def test_a_screen_has_no_colours_no_trailing_blanks_and_no_last_line_break(play: Play) -> None:
    told = screen(several(play))
    assert "\x1b" not in told
    assert not told.endswith("\n")
    assert all(line == line.rstrip() for line in told.split("\n"))
    assert told == screen(several(play))


def test_plain_text_does_without_rich() -> None:
    program = (
        "import sys\n"
        "from farend.report import screen, note\n"
        "from farend.core.findings import NotConnected, Place\n"
        "screen([NotConnected(Place(), 'x')]); note([NotConnected(Place(), 'x')])\n"
        "sys.exit('rich' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- notes ----------------------------------------------------------------------------------------


def test_a_note_tells_the_findings_in_some_lines(play: Play) -> None:
    assert (
        note(several(play)[:2])
        == """\
farend: Expected 'a', got 'b' (feed, connection 1, step 1 of 2).
  expected  'a'
  got       'b'
             ^
  Step 2 expects this message: was a message left out, or the order another?
  Connection 1 (→ said by the near end, ← by the far end):
    0.000 s  connected
    0.250 s  → 'b'
    0.250 s  ! The near end did not say what was expected.
    0.250 s  × far end closed
farend: The test was over, and 1 step was not played (feed, connection 2, step 2 of 2).
  expected  'b'
  Connection 2 (→ said by the near end, ← by the far end):
    0.000 s  connected
    0.250 s  → 'a'
    0.500 s  ! The test was over, and 1 step was not played."""
    )


def test_a_note_tells_once_what_is_the_same_on_other_connections(play: Play) -> None:
    findings = [play(Script().expect("a"), Received("b"), number=number).findings[0] for number in range(1, 12)]
    told = note(findings)
    assert told.count("farend: ") == 1
    assert "\n  … and 10 more like it: the same on connections 2 to 11.\n" in told
    assert "connections 2, 5 and 7." in note([findings[index] for index in (0, 1, 4, 6)])
    assert "connection 3." in note([findings[0], findings[2]])


def test_a_note_counts_what_it_does_not_tell(play: Play) -> None:
    assert note(several(play) * 2).splitlines()[-1] == "farend: … and 3 more findings"
    assert len(note(several(play) * 1000).splitlines()) < 25


# -- on a terminal --------------------------------------------------------------------------------


def printed(findings: Sequence[Finding], encoding: str = "utf-8", **options: object) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding, newline="")
    print_screen(findings, console=Console(file=file, **options))  # type: ignore[arg-type]
    file.flush()
    return raw.getvalue().decode(encoding)


def test_a_terminal_has_colours(play: Play) -> None:
    told = printed(several(play), force_terminal=True, color_system="standard", width=120, no_color=False)
    assert "\x1b[32m  expected  'a'\x1b[0m\n" in told
    assert "\x1b[31m  got       'b'\x1b[0m\n" in told
    assert "\x1b[1;33m             ^\x1b[0m\n" in told
    assert "\x1b[1mExpected 'a', got 'b'" in told


def test_a_terminal_gets_the_same_words(play: Play) -> None:
    findings = several(play)
    assert printed(findings, force_terminal=True, color_system=None, width=101) == screen(findings) + "\n"


def test_what_is_no_terminal_gets_just_the_screen(play: Play) -> None:
    findings = several(play)
    assert printed(findings, width=40) == screen(findings) + "\n"


def test_markup_in_a_message_is_not_obeyed(play: Play) -> None:
    findings = play(Script().expect("[bold]a[/bold]"), Received("[red]:smile:")).findings
    for terminal in (True, False):
        told = printed(findings, force_terminal=terminal, color_system=None, width=120)
        assert "'[bold]a[/bold]'" in told
        assert "'[red]:smile:'" in told


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_without_arrows_gets_escapes(play: Play, terminal: bool) -> None:
    told = printed(several(play), encoding="ascii", force_terminal=terminal, color_system=None, width=120)
    assert r"\u2192 'b'" in told


def test_standard_output_is_where_it_goes_unless_told(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    findings = several(play)
    print_screen(findings)
    assert capsys.readouterr().out == screen(findings) + "\n"


def test_the_transcript_is_public_here_too(play: Play) -> None:
    conversation = play(Script(), Ended(), opening=Connected(), stream=True)
    assert text_module.conversation_text is conversation_text
    assert conversation_text(conversation.transcript)[0] == "0.000 s  connected"


def test_a_screen_tells_once_what_was_found_more_than_once(play: Play) -> None:
    findings = [play(Script().expect("a"), Received("b"), number=number).findings[0] for number in range(1, 12)]
    told = screen(findings)
    assert "\n  … and 10 more like it: the same on connections 2 to 11.\n" in told
    assert "more finding" not in told
    other = play(Script().expect("c"), Received("d")).findings[0]
    told = screen([other, *findings])
    assert "\n11 more findings:\n" in told
    assert "\n  … and 10 more like it: the same on connections 2 to 11.\n" in told


def test_findings_without_a_connection_are_told_once_as_well() -> None:
    findings = [NobodyConnected(Place(), 1.0) for _ in range(3)]
    assert "… and 2 more like it." in screen(findings)


# -- attempts to connect --------------------------------------------------------------------------


def test_the_attempts_of_a_plan_are_told_the_last_of_them() -> None:
    journal = Journal()
    for number in range(12):
        journal.add(100.0 + number, Refused()).ended = 100.5 + number
    told = screen([NotConnected(Place(far_end="feed", journal=journal), "nobody came")]).splitlines()
    start = told.index("Attempts to connect:")
    assert told[start + 1 :] == [
        "  … 4 earlier attempts",
        *(f"  {number}. {number - 1:.3f} s  refused (for 0.500 s)" for number in range(5, 13)),
    ]


def test_without_a_plan_there_are_none_to_tell() -> None:
    assert "Attempts" not in screen([NotConnected(Place(far_end="feed"), "nobody came")])
    assert "Attempts" not in screen([NotConnected(Place(far_end="feed", journal=Journal()), "nobody came")])


def test_missing_attempts_and_who_went_on() -> None:
    missing = AttemptsMissing(Place(far_end="feed"), 5.0, "reject 503", 0, 3, "/prices")
    assert screen([missing]).splitlines() == [
        "Nobody tried to connect to /prices, and the plan is for 3 (5 s waited): the next would have met 'reject 503' "
        "(feed).",
        "",
        "  Did the program under test give up, or did the test end before it had tried again?",
    ]
    assert AttemptsMissing(Place(), 0.0, "refuse", 2, 3).sentence == (
        "2 attempts came, and the plan is for one more: the next would have met 'refuse'."
    )
    assert "although it is odd" in screen([WentOn(Place(far_end="feed"), "spoke", "it is odd")])
