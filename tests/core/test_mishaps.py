"""Each outcome of a plan as a conversation: what it does, when, and what it makes a finding of."""

from __future__ import annotations

from typing import Any

import pytest

from farend.core.answers import WRONG_ACCEPT
from farend.core.commands import Abort, Accept, Close, Command, Drop, Reject, Send, Stall
from farend.core.conversation import Conversation, State
from farend.core.events import Connected, Ended, Event, Extended, How, Received, TimePassed, Violated
from farend.core.findings import EndedEarly, Mismatch, NotPlayed, ProtocolViolation, WentOn
from farend.core.messages import Handshake
from farend.core.mishaps import Interrupted, conversation_of
from farend.core.outcomes import BadTls, Ending, LetDown, Outcome, Played, Point, Refused, Rejected, WrongAccept
from farend.core.plan import then_abort, then_close, then_drop, then_stall
from farend.core.script import Script
from farend.core.steps import forever
from farend.core.transcript import Kind

CAME = Connected(Handshake("/"))
DOES = (Send, Close, Abort, Drop, Stall, Accept, Reject)


class Fed:
    """A conversation that is fed, and what it did on the wire."""

    def __init__(self, outcome: Outcome, *, stream: bool = False, deadline: float | None = 5.0) -> None:
        self.conversation: Any = conversation_of(outcome, stream=stream, deadline=deadline)
        self.now = 100.0

    def feed(self, *events: Event, after: float = 0.0) -> list[Command]:
        self.now += after
        commands = [command for event in events for command in self.conversation.feed(event, self.now)]
        return [command for command in commands if isinstance(command, DOES)]

    def say(self, *messages: Any) -> list[Command]:
        return self.feed(*(Received(message) for message in messages))

    @property
    def findings(self) -> list[Any]:
        return list(self.conversation.findings)

    @property
    def kinds(self) -> list[Kind]:
        return [entry.kind for entry in self.conversation.transcript]


def play(outcome: Outcome, **options: Any) -> Fed:
    return Fed(outcome, **options)


# -- before a word was said -------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["connect", "request", "handshake"])
@pytest.mark.parametrize(
    ("command", "kind", "state"),
    [
        (Stall(), Kind.STALLED, State.CLOSING),
        (Abort(), Kind.ABORTED, State.OVER),
        (Drop(), Kind.CLOSED, State.CLOSING),
    ],
)
def test_a_near_end_is_let_down(command: Any, kind: Kind, state: State, after: Point) -> None:
    played = play(LetDown(command, after))
    accept: list[Command] = [Accept()] if after == "handshake" else []
    assert played.feed(CAME) == [*accept, command]
    assert played.conversation.state is state
    assert played.conversation.done
    assert played.kinds == [Kind.CONNECTED, kind]
    assert played.feed(Ended(How.LOST, 1006)) == []
    played.conversation.finish(played.now)
    assert played.findings == []


def test_who_is_let_down_without_a_word_has_a_deadline_to_leave_but_silence_has_none() -> None:
    dropped, stalled = play(LetDown(Drop())), play(LetDown(Stall()))
    dropped.feed(Connected())
    stalled.feed(Connected())
    assert dropped.conversation.wake_at == 105.0
    assert stalled.conversation.wake_at is None
    assert dropped.feed(TimePassed(), after=5) == [Abort()]
    assert stalled.feed(TimePassed(), after=5) == []


def test_an_upgrade_is_answered_with_http() -> None:
    played = play(Rejected(503, (("Retry-After", "2"),), b"later"))
    assert played.feed(CAME) == [Reject(503, b"later", (("Retry-After", "2"),))]
    assert str(played.conversation.transcript[-1]) == "× far end answered HTTP 503"
    assert played.feed(Ended(How.EOF)) == []
    assert played.findings == []


def test_what_could_not_be_refused_is_reset() -> None:
    assert play(Refused()).feed(Connected()) == [Abort()]


def test_a_near_end_that_breaks_the_handshake_before_it_is_let_down_is_told() -> None:
    played = play(LetDown(Stall(), "request"))
    played.feed(Violated("it sent no WebSocket request", b"?", "handshake"))
    (finding,) = played.findings
    assert isinstance(finding, ProtocolViolation)


def test_a_wrong_accept_is_to_be_noticed() -> None:
    played = play(WrongAccept())
    assert played.feed(CAME) == [Accept(WRONG_ACCEPT)]
    assert not played.conversation.done
    assert played.feed(Ended(How.LOST, 1006)) == []
    assert played.conversation.done
    played.conversation.finish(played.now)
    assert played.findings == []


@pytest.mark.parametrize(
    ("deed", "did"), [(lambda one: one.say("hello"), "spoke"), (lambda one: one.feed(TimePassed(), after=5), "stayed")]
)
def test_who_goes_on_with_a_wrong_accept_is_found(deed: Any, did: str) -> None:
    played = play(WrongAccept())
    played.feed(CAME)
    assert played.feed(TimePassed(), after=0.0) == []
    assert deed(played) == [Abort()]
    (finding,) = played.findings
    assert isinstance(finding, WentOn)
    assert finding.sentence == (
        f"The near end {did}, although the answer to its key was another's (Sec-WebSocket-Accept; RFC 6455, 4.1)."
    )
    assert "give up such a connection" in finding.advice


def test_the_wait_for_who_noticed_has_no_end_without_a_deadline_and_the_tests_own_end_ends_it() -> None:
    played = play(WrongAccept(), deadline=None)
    played.feed(CAME)
    assert played.conversation.wake_at is None
    played.conversation.finish(played.now)
    assert played.findings == []


@pytest.mark.parametrize(("fault", "kind"), [("expired", Kind.ENDED), ("untrusted", Kind.ENDED), ("cut", Kind.ABORTED)])
def test_who_refuses_bad_tls_is_right(fault: Any, kind: Kind) -> None:
    played = play(BadTls(fault))
    assert played.feed(Violated("the client refused the certificate", about="tls")) == []
    assert played.kinds == [Kind.CONNECTED, kind]
    assert played.conversation.state is State.OVER
    assert played.findings == []


def test_who_takes_bad_tls_is_found() -> None:
    played = play(BadTls("expired"))
    assert played.feed(CAME) == [Abort()]
    (finding,) = played.findings
    assert finding.sentence == "The near end connected, although the certificate has expired."


# -- in the middle of it ----------------------------------------------------------------------------

CHAT = Script().expect("a").send("b").expect("c").send("d").send("e")
COMMANDS = [then_abort, then_drop, then_stall]


def test_a_plain_script_is_a_plain_conversation() -> None:
    assert type(conversation_of(Played(CHAT), stream=False)) is Conversation
    assert conversation_of(Played(), stream=False).script.open_ended


@pytest.mark.parametrize("then", COMMANDS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"after": 1}, ["a"]),
        ({"after": 2}, ["a", "b"]),
        ({"after": 3}, ["a", "b", "c"]),
        ({"after": 4}, ["a", "b", "c", "d"]),
        ({"sent": 1}, ["a", "b"]),
        ({"sent": 2}, ["a", "b", "c", "d"]),
        ({"received": 1}, ["a"]),
        ({"received": 2}, ["a", "b", "c"]),
        ({}, ["a", "b", "c", "d", "e"]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_script_ends_after_so_many_messages(then: Any, options: Any, said: list[str], stream: bool) -> None:
    steps = CHAT if not stream else Script().expect(b"a").send(b"b").expect(b"c").send(b"d").send(b"e")
    ending = then(**options)
    played = play(Played(steps, ending), stream=stream)
    did = played.feed(CAME)
    for message in ("a", "c"):
        did += played.say(message.encode() if stream else message)
    transcript = played.conversation.transcript
    told = [
        entry.payload if isinstance(entry.payload, str) else entry.payload.decode()
        for entry in transcript
        if entry.kind in (Kind.RECEIVED, Kind.SENT)
    ]
    assert told[: len(said)] == said
    assert [message for message in told if message in "bde"] == [message for message in said if message in "bde"]
    assert did[-1] == ending.command
    assert played.conversation.interrupted
    assert played.conversation.done
    played.feed(Ended(How.LOST))
    played.conversation.finish(played.now)
    assert played.findings == []


def test_an_end_in_order_is_a_close_frame() -> None:
    played = play(Played(CHAT, then_close(1012, "restart", after=1)))
    played.feed(CAME)
    assert played.say("a") == [Close(1012, "restart")]
    assert played.feed(Ended(How.CLOSE, 1012, "restart")) == []
    assert played.conversation.state is State.OVER


def test_messages_that_come_in_one_segment_are_counted_one_by_one() -> None:
    script = Script().expect(b"a").expect(b"b").expect(b"c").send(b"d")
    played = play(Played(script, then_abort(received=2)), stream=True)
    played.feed(Connected())
    assert played.say(b"abc") == [Abort()]
    assert played.conversation.transcript.received == [b"a", b"b", b"c"]
    played.conversation.finish(played.now)
    assert played.findings == []


def test_messages_that_a_group_takes_are_counted() -> None:
    script = Script().any_order(Script().expect("a").send("A"), Script().expect("b").send("B"))
    played = play(Played(script, then_abort(sent=1)))
    played.feed(CAME)
    assert played.say("b") == [Send("B"), Abort()]


def test_a_reply_of_several_messages_is_cut_short() -> None:
    script = Script().expect("a").reply(lambda message: ["1", "2", "3"])
    played = play(Played(script, then_abort(sent=2)))
    played.feed(CAME)
    assert played.say("a") == [Send("1"), Send("2"), Abort()]


def test_a_script_that_ends_before_the_count_is_cut_at_its_end() -> None:
    script = Script().optional(Script().expect("more").send("1").send("2")).expect("bye")
    played = play(Played(script, then_drop(after=4)))
    played.feed(CAME)
    assert played.say("bye") == [Drop()]


def test_an_empty_script_is_cut_at_once_behind_the_handshake() -> None:
    assert play(Played(Script(), then_abort())).feed(CAME) == [Accept(), Abort()]


def test_what_the_test_says_in_hand_is_counted() -> None:
    played = play(Played(None, then_abort(sent=2)))
    played.feed(CAME)
    assert played.conversation.say(Send("1"), 100.0) == [Send("1")]
    assert played.conversation.say(Send("2"), 100.0)[:2] == [Send("2"), Abort()]
    assert played.conversation.say(Send("3"), 100.0) == []


def test_a_near_end_that_leaves_before_the_count_is_judged_by_the_script() -> None:
    played = play(Played(CHAT, then_abort(after=4)))
    played.feed(CAME)
    played.say("a")
    played.feed(Ended(How.CLOSE, 1000))
    (finding,) = played.findings
    assert isinstance(finding, EndedEarly)
    assert not played.conversation.interrupted


def test_a_mismatch_before_the_count_is_a_finding_and_no_interruption() -> None:
    played = play(Played(CHAT, then_stall(after=1)))
    played.feed(CAME)
    played.say("x")
    assert isinstance(played.findings[0], Mismatch)
    assert not played.conversation.interrupted


def test_what_the_count_never_reached_was_not_played() -> None:
    played = play(Played(CHAT, then_abort(after=4)))
    played.feed(CAME)
    played.conversation.finish(played.now)
    assert isinstance(played.findings[0], NotPlayed)


def test_a_script_that_repeats_for_ever_ends_by_its_count() -> None:
    script = Script().repeat(forever, Script().expect("tick").send("tock"))
    played = play(Played(script, then_drop(sent=100)))
    played.feed(CAME)
    for _ in range(99):
        assert played.say("tick") == [Send("tock")]
    assert played.say("tick") == [Send("tock"), Drop()]


# -- the handshake, held back -----------------------------------------------------------------------


def test_a_handshake_is_answered_after_so_many_seconds() -> None:
    played = play(Played(Script().send("hello"), None, 2.0))
    assert played.feed(CAME) == []
    assert played.conversation.wake_at == 102.0
    assert not played.conversation.done
    assert played.feed(TimePassed(), after=1) == []
    assert played.feed(Extended()) == []
    assert played.conversation.say(Send("early"), 101.0) == []
    assert played.feed(TimePassed(), after=1) == [Accept(), Send("hello")]
    assert played.kinds == [Kind.CONNECTED, Kind.SENT]
    assert played.feed(TimePassed(), after=1) == []
    assert played.conversation.done


def test_a_slow_handshake_that_nobody_waits_for_is_judged_by_its_script() -> None:
    patient, hasty = play(Played(None, None, 2.0)), play(Played(CHAT, None, 2.0))
    for played in (patient, hasty):
        played.feed(CAME)
        played.feed(Ended(How.LOST, 1006), after=1)
        assert played.feed(TimePassed(), after=1) == []
        played.conversation.finish(played.now)
    assert patient.findings == []
    assert isinstance(hasty.findings[0], EndedEarly)


def test_a_slow_handshake_may_be_let_down_as_well() -> None:
    played = Interrupted(Script().send("1").send("2"), Ending(Abort(), 1, "far end"), 2.0, stream=False)
    played.feed(CAME, 0.0)
    commands = played.feed(TimePassed(), 2.0)
    assert [command for command in commands if isinstance(command, DOES)] == [Accept(), Send("1"), Abort()]
