"""Conversations that go wrong on purpose: how each outcome of a plan is played, once somebody has connected.

All are conversations: events in, commands out, and the time is an argument. So a stage plays them as it plays a
script, whatever its bytes go through. Each has a table of transitions of its own, below it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from farend.core.answers import WRONG_ACCEPT
from farend.core.commands import Abort, Accept, Close, Command, Drop, Impair, Reject, Send, Stall
from farend.core.conversation import ACCEPT, TRANSITIONS, WAKE, Conversation, State, Transitions
from farend.core.events import Connected, Ended, Event, Received, Stalled, TimePassed, Violated
from farend.core.findings import WentOn
from farend.core.inbox import Taken
from farend.core.outcomes import BadTls, Ending, LetDown, Outcome, Played, Rejected, WrongAccept
from farend.core.place import ActingStep, Line
from farend.core.script import Script
from farend.core.transcript import CountingTranscript, Kind


def conversation_of(outcome: Outcome, **options: Any) -> Conversation:
    """The conversation that plays this outcome; `options` are those of every `Conversation`."""
    match outcome:
        case Played(script, ending, delay, faults):
            script = Script(open_ended=True) if script is None else script
            plain = ending is None and not delay
            conversation = Conversation(script, **options) if plain else Interrupted(script, ending, delay, **options)
            conversation.faults = faults
            return conversation
        case LetDown(command, after):
            return Disappointed(command, accepts=after == "handshake", **options)
        case Rejected(status, headers, body):
            return Disappointed(Reject(status, body, headers), **options)
        case WrongAccept():
            return WronglyAccepted(Script(), **options)
        case BadTls(fault):
            return Mistrusted(fault, **options)
    return Disappointed(Abort(), **options)  # refused, where the system was not asked to


class Mishap(Conversation):
    """What they have in common: an end that is none of the script's."""

    _stalled = False

    @property
    def wake_at(self) -> float | None:
        return None if self._stalled else super().wake_at

    @property
    def is_patient(self) -> bool:
        return not self._stalled and super().is_patient

    def _end(self, command: Abort | Drop | Stall | Close | Reject) -> None:
        """Do it; what is left of the script is nobody's mistake from then on."""
        match command:
            case Abort() | Close():
                self._record(command)
            case Drop() | Reject():
                self.transcript.add(self._now, Kind.CLOSED, command)
                self._out.append(command)
            case Stall():
                self.transcript.add(self._now, Kind.STALLED)
                self._out.append(command)
                self._stalled = True
        self._close_sent, self._can_speak = True, False
        self._resume_at = self._blocked_since = None
        self._rest()
        self._to_closing()
        if isinstance(command, Abort):
            self.state = State.OVER


# -- before a word was said -------------------------------------------------------------------------


class Disappointed(Mishap):
    """The near end comes, is accepted perhaps, and is let down, or turned away."""

    def __init__(self, command: Abort | Drop | Stall | Reject, *, accepts: bool = False, **options: Any) -> None:
        super().__init__(Script(), **options)
        self._command = command
        self._accepts = accepts

    def _let_down(self, event: Connected) -> None:
        self._begin_transcript(event)
        if self._accepts:
            self._out.append(ACCEPT)
        self._end(self._command)

    _transitions: ClassVar[Transitions] = {**TRANSITIONS, State.IDLE: {**TRANSITIONS[State.IDLE], Connected: _let_down}}


class WronglyAccepted(Mishap):
    """The near end's key is answered with another's: it has to leave (RFC 6455, 4.1), and that is waited for."""

    @property
    def done(self) -> bool:
        return self.state in (State.CLOSING, State.OVER)

    @property
    def wake_at(self) -> float | None:
        if self.state is not State.PLAYING:
            return super().wake_at
        return None if self.deadline is None else self._since + self.deadline

    @property
    def is_patient(self) -> bool:
        return self.state is State.PLAYING

    def finish(self, now: float, *, untaken: bool = False) -> None:
        self.state = State.OVER

    def _accepted(self, event: Connected) -> None:
        self.state, self._since = State.PLAYING, self._now
        self._begin_transcript(event)
        self._out += (Accept(WRONG_ACCEPT), WAKE)

    def _spoke(self, event: Received) -> None:
        self._hear(event.data)
        self._went_on("spoke")

    def _stayed(self, event: TimePassed) -> None:
        if self.wake_at is not None and self._now >= self.wake_at:
            self._went_on("stayed")

    def _stayed_for_good(self, event: Stalled) -> None:
        self._went_on("stayed")

    def _went_on(self, verb: str) -> None:
        problem = "the answer to its key was another's (Sec-WebSocket-Accept; RFC 6455, 4.1)"
        self._fail(WentOn(self._place(), verb, problem), Abort())

    _transitions: ClassVar[Transitions] = {
        **TRANSITIONS,
        State.IDLE: {**TRANSITIONS[State.IDLE], Connected: _accepted},
        State.PLAYING: {Received: _spoke, TimePassed: _stayed, Stalled: _stayed_for_good, Ended: Conversation._over},
    }


class Mistrusted(Mishap):
    """The near end meets TLS that it must not go on with."""

    def __init__(self, fault: str, **options: Any) -> None:
        super().__init__(Script(), **options)
        self._fault = fault

    def _trusted(self, event: Connected) -> None:
        self._begin_transcript(event)
        self.state = State.PLAYING
        self._fail(WentOn(self._place(), "connected", _BAD_TLS[self._fault]), Abort())

    def _refused(self, event: Violated) -> None:
        self.transcript.add(self._now, Kind.CONNECTED)
        if self._fault == "cut":
            self.transcript.add(self._now, Kind.ABORTED)
        else:
            self.transcript.add(self._now, Kind.ENDED, Ended())
        self.state = State.OVER

    _transitions: ClassVar[Transitions] = {**TRANSITIONS, State.IDLE: {Connected: _trusted, Violated: _refused}}


_BAD_TLS: Final = {
    "expired": "the certificate has expired",
    "wrong name": "the certificate is another name's",
    "untrusted": "nobody that it trusts has signed the certificate",
    "cut": "the TLS handshake was cut",
}


# -- in the middle of it ----------------------------------------------------------------------------


class Interrupted(Mishap):
    """Plays a script whose handshake is held back for `delay` seconds, or whose end comes before its time."""

    def __init__(self, script: Script, ending: Ending | None, delay: float, **options: Any) -> None:
        super().__init__(script, **options)
        self.interrupted = False
        """Whether the ending has come."""
        self._ending = ending
        self._delay = delay
        self._held: Connected | None = None
        self._let_in_at = 0.0
        self.transcript: CountingTranscript = CountingTranscript(self.number)

    @property
    def done(self) -> bool:
        return super().done and not (self._held and self._steps)

    @property
    def wake_at(self) -> float | None:
        return super().wake_at if self._held is None else self._let_in_at

    def feed(self, event: Event, now: float) -> list[Command]:
        commands = super().feed(event, now)
        if self._is_due or (self._ending is not None and self._is_over):
            self._interrupt()
        return commands

    def say(self, command: Send | Close | Abort, now: float) -> list[Command]:
        if self._held is not None:
            return []
        commands = super().say(command, now)
        if self._is_due:
            self._interrupt()
        return commands

    # -- the handshake ----------------------------------------------------------------------------

    def _hold(self, event: Connected) -> None:
        if not self._delay:
            self._connected(event)
            return
        self._held, self._let_in_at = event, self._now + self._delay
        self.state = State.PLAYING
        super()._begin_transcript(event)
        self._out.append(WAKE)

    def _let_in(self, event: TimePassed) -> None:
        held = self._held
        if held is None:
            self._time_passed(event)
        elif self._ended is None and self._now >= self._let_in_at:
            self._held = None
            self._connected(held)

    def _begin_transcript(self, event: Connected) -> None:
        if not self._delay:
            super()._begin_transcript(event)

    def _answer(self) -> Accept:
        said = dict(self.transcript.said)
        answer = super()._answer()
        self.transcript.said = said  # the answer to the handshake is no message
        return answer

    # -- the end ----------------------------------------------------------------------------------

    @property
    def _is_due(self) -> bool:
        """Whether so many messages were said as the ending waits for."""
        ending = self._ending
        return ending is not None and ending.count is not None and self.transcript.said[ending.by] >= ending.count

    @property
    def _is_over(self) -> bool:
        """Whether the script is: the ending comes then at the latest."""
        return self.state is State.PLAYING and self._held is None and self._top.finished and not self._may_go_on

    def _interrupt(self) -> None:
        ending, self._ending = self._ending, None
        if ending is not None and self.state is State.PLAYING and not self._close_sent:
            self.interrupted = True
            self._end(ending.command)

    def _play(self, step: ActingStep, line: Line) -> bool:
        return not self._is_due and super()._play(step, line)

    def _record(self, command: Send | Close | Abort | Impair) -> None:
        if not (self._is_due and isinstance(command, Send)):
            super()._record(command)

    def _play_on(self) -> None:
        if self._is_due:
            self._interrupt()
        elif self._held is None:
            super()._play_on()

    def _accept(self, taken: Taken) -> None:
        super()._accept(taken)
        if self._is_due:
            self._interrupt()

    _transitions: ClassVar[Transitions] = {
        **TRANSITIONS,
        State.IDLE: {**TRANSITIONS[State.IDLE], Connected: _hold},
        State.PLAYING: {**TRANSITIONS[State.PLAYING], TimePassed: _let_in},
    }
