from __future__ import annotations

import sys

import pytest

from farend.core.commands import Close
from farend.core.events import Ended, How
from farend.core.findings import NotPlayed, Place
from farend.core.framing import lines
from farend.core.messages import Handshake
from farend.core.transcript import Entry, Kind, RollingTranscript, Transcript
from farend.errors import WrongState


def written() -> Transcript:
    transcript = Transcript(number=3)
    transcript.add(10.0, Kind.CONNECTED, Handshake("/feed?a=1"))
    transcript.add(10.5, Kind.RECEIVED, "hello")
    transcript.add(11.0, Kind.SENT, b"x" * 100)
    transcript.add(11.0, Kind.FOUND, NotPlayed(Place(left=(Close(),)), 1))
    transcript.add(12.0, Kind.CLOSED, Close(1001, "bye"))
    transcript.add(12.0, Kind.ABORTED)
    transcript.add(12.25, Kind.ENDED, Ended(How.CLOSE, 1001))
    return transcript


def test_it_prints_as_a_dialogue() -> None:
    assert str(written()).splitlines() == [
        "    0.000 s  connected /feed?a=1",
        "    0.500 s  → 'hello'",
        f"    1.000 s  ← {b'x' * 40!r}… (bytes, 100 bytes)",
        "    1.000 s  ! The test was over, and 1 step was not played.",
        "    2.000 s  × far end closed 1001 bye",
        "    2.000 s  × far end cut the connection",
        "    2.250 s  × near end ended: close frame 1001",
    ]
    assert repr(written()) == "<Transcript of connection 3: 7 entries>"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(0.0, Kind.CONNECTED, None), "connected"),
        (Entry(0.0, Kind.CLOSED, Close()), "× far end closed"),
        (Entry(0.0, Kind.CLOSED, Close(1000)), "× far end closed 1000"),
        (Entry(0.0, Kind.ENDED, Ended()), "× near end ended: end of stream"),
    ],
)
def test_an_entry_is_one_line(entry: Entry, text: str) -> None:
    assert str(entry) == text


def test_it_is_a_sequence_of_entries() -> None:
    transcript = written()
    assert len(transcript) == len(list(transcript)) == 7
    assert transcript[1] == Entry(10.5, Kind.RECEIVED, "hello")
    assert transcript[-1].kind is Kind.ENDED
    assert [entry.kind for entry in transcript[1:3]] == [Kind.RECEIVED, Kind.SENT]
    with pytest.raises(IndexError):
        transcript[7]


def test_what_was_said_can_be_asked_for() -> None:
    transcript = written()
    assert transcript.received == ["hello"]
    assert transcript.sent == [b"x" * 100]
    assert transcript.handshake == Handshake("/feed?a=1")
    assert transcript.began == 10.0


def test_an_empty_one_has_nothing() -> None:
    transcript = Transcript()
    assert (transcript.began, transcript.opening, transcript.received, str(transcript)) == (0.0, None, [], "")


def test_a_message_costs_seventeen_bytes_beside_its_payload() -> None:
    transcript, number = Transcript(), 10_000
    for _ in range(number):
        transcript.add(1.0, 1, "the same")
    columns = (getattr(transcript, name) for name in ("_times", "_kinds", "_payloads"))
    assert sum(map(sys.getsizeof, columns)) / number < 17 * 1.2  # lists grow ahead of their need
    assert not hasattr(transcript, "__dict__")


def test_what_went_wrong_has_one_blank_behind_its_mark() -> None:
    entry = Entry(0.0, Kind.FOUND, NotPlayed(Place(), 0))
    assert str(entry) == "! The test was over, and 0 steps were not played."


def test_where_there_was_no_handshake_asking_for_it_says_so() -> None:
    with pytest.raises(WrongState, match="TCP has none"):
        Transcript().handshake  # noqa: B018


def test_a_framing_belongs_to_its_entry_whatever_goes_before_it():
    transcript = RollingTranscript(keeps=4)
    own = lines()
    for number in range(20):
        transcript.add(float(number), Kind.RECEIVED, number)
        if number % 3 == 0:
            transcript.framed(own)
    assert [entry.payload for entry in transcript if entry.framing is own] == [
        entry.payload for entry in transcript if entry.payload % 3 == 0
    ]
    assert transcript[-2].framing is own
    transcript.forget(Kind.RECEIVED, transcript[-3].payload)
    assert [entry.framing is own for entry in transcript][-2:] == [True, False]
