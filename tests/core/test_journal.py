"""What a journal says of the attempts: their outcomes while they go on and after, their times, and how they print."""

from __future__ import annotations

from typing import Any

import pytest

from farend.core.commands import Stall
from farend.core.events import Connected, Ended, Received
from farend.core.journal import Attempt, Journal
from farend.core.messages import Handshake
from farend.core.mishaps import conversation_of
from farend.core.outcomes import LetDown, Outcome, Played, Refused, Rejected
from farend.core.plan import then_abort
from farend.core.script import Script

S = Script().expect("hello").send("there")


def met(outcome: Outcome | None, *events: Any, conversation: bool = True, planned: bool = True) -> Attempt:
    attempt = Journal().add(10.0, outcome if planned else None)
    if conversation and outcome is not None:
        attempt.conversation = conversation_of(outcome, stream=False, number=3)
        for event in events:
            attempt.conversation.feed(event, 10.0)
    return attempt


HELLO, CAME, LEFT = Received("hello"), Connected(Handshake("/feed")), Ended()


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        (met(Refused(), conversation=False), "refused"),
        (met(Rejected(503), CAME), "rejected 503"),
        (met(LetDown(Stall()), Connected()), "stalled"),
        (met(LetDown(Stall()), conversation=False), "stalled"),
        (met(Played(S), conversation=False), "waiting"),
        (met(None), "waiting"),
        (met(Played(S), CAME), "playing"),
        (met(Played(S), CAME, HELLO), "playing"),
        (met(Played(S), CAME, HELLO, LEFT), "played"),
        (met(Played(S), CAME, HELLO, LEFT, planned=False), "played"),
        (met(Played(S), CAME, LEFT), "failed"),
        (met(Played(S, then_abort(1)), CAME), "playing"),
        (met(Played(S, then_abort(1)), CAME, HELLO), "aborted"),
        (met(Played(Script(open_ended=True), then_abort(2)), CAME, LEFT), "playing"),
    ],
)
def test_the_outcome_in_a_word(attempt: Attempt, outcome: str) -> None:
    assert attempt.outcome == outcome


def test_what_came_and_opened_nothing_and_what_was_turned_away() -> None:
    attempt = met(None)
    attempt.ended = 11.0
    assert attempt.outcome == "no handshake"
    attempt.turned_away = True
    assert attempt.outcome == "turned away"
    gone = met(Played(Script(open_ended=True)), CAME)
    gone.ended = 12.0
    assert gone.outcome == "played"


def test_an_attempt_knows_its_connection_and_its_path() -> None:
    attempt = met(Played(S), CAME)
    assert (attempt.connection, attempt.path, attempt.lasted) == (3, "/feed", None)
    assert repr(attempt) == "<Attempt 1: playing, goes on>"
    refused = met(Refused(), conversation=False)
    refused.ended = 10.25
    assert (refused.connection, refused.path, refused.lasted) == (None, None, 0.25)
    assert repr(refused) == "<Attempt 1: refused, 0.250 s>"


def test_a_journal_is_a_sequence_with_gaps() -> None:
    journal = Journal()
    assert (list(journal), journal.gaps, str(journal), repr(journal)) == ([], [], "", "<Journal: no attempt>")
    first, second, third = (journal.add(time, Refused()) for time in (10.0, 11.0, 13.0))
    first.ended, second.ended = 10.5, 14.0
    assert journal[1] is second
    assert journal[1:] == [second, third]
    assert len(journal) == 3
    assert journal.gaps == [0.5, 0.0]
    second.ended = None
    assert journal.gaps == [0.5, 0.0]
    assert journal.outcomes == ["refused"] * 3
    assert repr(journal) == "<Journal: refused, refused, refused>"


def test_it_prints_a_line_for_each_attempt() -> None:
    journal = Journal()
    journal.add(10.0, Refused()).ended = 10.0
    attempt = journal.add(11.5, Played(S))
    attempt.conversation = met(Played(S), CAME).conversation
    assert str(journal).splitlines() == [
        "1. 0.000 s  refused (for 0.000 s)",
        "2. 1.500 s  playing at /feed (goes on, connection 3)",
    ]
