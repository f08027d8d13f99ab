from __future__ import annotations

from collections.abc import Callable

from farend.core.conversation import Conversation
from farend.core.events import Ended, How, Received
from farend.core.messages import Ping
from farend.core.script import Script
from farend.core.transcript import Kind, Transcript
from farend.report.conversation import around, conversation_text

Play = Callable[..., Conversation]


def test_the_times_count_from_the_first_entry_and_stand_in_a_column(play: Play) -> None:
    script = Script().expect("hello").send("there").send_fragments("gen", "eral").expect("bye").close(1000, "done")
    conversation = play(script, Received("hello"), Received(Ping(b"?")), *[Received("bye")])
    conversation.feed(Ended(How.CLOSE, 1000, "done"), 1255.5)
    assert conversation_text(conversation.transcript) == [
        "    0.000 s  connected",
        "    0.250 s  → 'hello'",
        "    0.250 s  ← 'there'",
        "    0.250 s  ← 'general' in 2 fragments",
        "    0.500 s  → Ping(data=b'?')",
        "    0.750 s  → 'bye'",
        "    0.750 s  × far end closed 1000 done",
        "1,245.500 s  × near end ended: close frame 1000",
    ]


def test_the_tail_and_how_much_stands_in_front_of_it(play: Play) -> None:
    script = Script()
    for number in range(5000):
        script.expect(str(number))
    transcript = play(script, *(Received(str(number)) for number in range(5000))).transcript
    assert conversation_text(transcript, tail=2) == [
        "… 4,999 earlier lines",
        "1,249.750 s  → '4998'",
        "1,250.000 s  → '4999'",
    ]
    assert conversation_text(transcript, tail=5000)[0] == "… 1 earlier line"
    assert len(conversation_text(transcript, tail=9000)) == 5001


def test_long_messages_are_elided_with_their_type_and_length() -> None:
    transcript = Transcript()
    transcript.add(0, Kind.RECEIVED, b"x" * (1 << 20))
    (line,) = conversation_text(transcript, width=60)
    assert len(line) == 60
    assert line.endswith("… (bytes, 1,048,576 bytes)")


def test_nothing_was_said() -> None:
    assert conversation_text(Transcript()) == []


def test_a_close_that_a_finding_made_does_not_say_it_again(play: Play) -> None:
    conversation = play(Script().expect("a"), Received("b"))
    assert conversation_text(conversation.transcript)[-2:] == [
        "0.250 s  ! The near end did not say what was expected.",
        "0.250 s  × far end closed",
    ]


def test_a_finding_is_shown_though_the_near_end_talks_on(play: Play) -> None:
    conversation = play(Script().expect("a"), Received("b"), *[Received("late")] * 50)
    lines = [line.text for line in around(conversation.transcript, conversation.findings[0], 5)]
    assert lines == [
        "… 1 earlier line",
        "0.250 s  → 'b'",
        "0.250 s  ! The near end did not say what was expected.",
        "0.250 s  × far end closed",
        "0.500 s  → 'late'",
        "0.750 s  → 'late'",
        "… 48 later lines",
    ]


def test_a_finding_that_is_far_back_or_elsewhere_leaves_the_tail(play: Play) -> None:
    conversation = play(Script().expect("a"), Received("b"), *[Received("late")] * 3000)
    lines = around(conversation.transcript, conversation.findings[0], 5)
    assert lines[0].text == "… 2,999 earlier lines"
    assert len(lines) == 6
