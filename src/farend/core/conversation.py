"""One script being played on one connection: events in, commands out, nothing else.

A conversation is in one of four states, and `TRANSITIONS` says for each state what every event does:

    IDLE ── Connected ──> PLAYING ── script over and closed, or a finding ──> CLOSING ── Ended ──> OVER

PLAYING walks through the script. What the near end says goes to the inbox; the inbox offers it to the
steps that could be next; the step that takes it lets the far end play on to the next one that waits.
A message that no step takes is a finding, and the first finding ends the conversation at once, so that
the near end does not wait for an answer that never comes. CLOSING only listens, so that nothing said
is lost. An event that a state has no row for changes nothing.

The time is an argument of `feed`. `wake_at` says when `TimePassed` wants to be fed, at the latest.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from farend.core import arguments
from farend.core.commands import Abort, Accept, Close, Command, Continue, Impair, Reject, Send, TellWhenQuiet, Wake
from farend.core.events import (
    Connected,
    Ended,
    Event,
    Extended,
    How,
    Quiet,
    Received,
    Stalled,
    TimePassed,
    Violated,
    WritingGoesOn,
    WritingPaused,
    WritingResumed,
)
from farend.core.faults import Fault, Silence
from farend.core.findings import (
    EndedEarly,
    Finding,
    FunctionFailed,
    HandshakeMismatch,
    Lingered,
    Mismatch,
    NotPlayed,
    NotReading,
    Place,
    ProtocolViolation,
    SaidEarly,
    TimedOut,
    TooLarge,
    Unexpected,
    WrongEnd,
)
from farend.core.framing import FramingError
from farend.core.inbox import (
    WAIT_FOR_QUIET,
    FunctionError,
    MessageInbox,
    Refused,
    StreamInbox,
    Taken,
    TooLargeError,
    Verdict,
)
from farend.core.matchers import Anything, Difference, Matcher, OfType, described, difference_between, matcher
from farend.core.messages import CONTROL, Fragments, Handshake, Message, Payload, printed
from farend.core.place import ActingStep, Line
from farend.core.script import Script
from farend.core.steps import (
    AnswerHandshake,
    Expect,
    ExpectClose,
    ExpectHandshake,
    ExpectReply,
    Pause,
    Reply,
    Step,
    forever,
    title,
)
from farend.core.transcript import Kind, RollingTranscript, Transcript
from farend.errors import WrongState, WrongType

if TYPE_CHECKING:
    from farend.core.journal import Journal

RECEIVED, SENT = int(Kind.RECEIVED), int(Kind.SENT)
ACCEPT, WAKE = Accept(), Wake()
BURST = 100
"""How many steps the far end plays by itself before it looks whether the near end still reads."""
MISMATCH_CODE = 1008
"""The close code of a conversation that a finding ended: policy violation (RFC 6455, 7.4.1)."""
LATE = 1 << 20
"""How many bytes are heard, at least, from a near end that does not stop when the far end has closed."""
NEARBY = 100
"""How many steps around the current one are searched for one that a stray message belongs to."""


class State(enum.Enum):
    """Where a conversation is in its life."""

    IDLE = "nobody connected yet"
    PLAYING = "playing"
    CLOSING = "closing"
    OVER = "over"


Transitions: TypeAlias = dict[State, dict[type, Callable[[Any, Any], None]]]


class Outcome(NamedTuple):
    """What became of a step that somebody waits for: `message` where it was played, else `finding`."""

    message: Any = None
    finding: Finding | None = None


class Conversation:
    """Plays `script` with one near end.

    `stream` tells whether bytes come (TCP) or whole messages (WebSocket). `deadline` is how long each
    wait may last, in seconds; None is for ever. `scale` stretches the deadlines that steps have of their
    own. `limit` is the size of the largest message, in bytes.
    """

    _transitions: ClassVar[Transitions]

    def __init__(
        self,
        script: Script,
        *,
        stream: bool,
        number: int = 1,
        deadline: float | None = 5.0,
        scale: float = 1.0,
        limit: int = 16 << 20,
        far_end: str = "",
    ) -> None:
        self.script = script
        self.stream = stream
        self.number = number
        self.deadline = deadline
        self.scale = scale
        self.limit = limit
        self.far_end = far_end
        self.journal: Journal | None = None
        """The attempts of which this connection is one, where a plan says what they meet."""
        self.in_hand = False
        """Whether the test holds the connection: what no step awaits is then kept for it."""
        self.unscripted = False
        """Whether there was no script to be played, so that all is up to the test."""
        self.ends_silence = False
        """Whether a near end that stays, and is silent, when nothing more is to come has a deadline as well."""
        self.state = State.IDLE
        keeps = script.keeps
        self.transcript = Transcript(number) if keeps is None else RollingTranscript(number, keeps)
        self.findings: list[Finding] = []
        # With no framing, and plain bytes expected, nothing has to be cut: see `_received`.
        self._framing = script.framing if stream else None
        self._steps: list[Step] = script.steps
        self._known = 0
        self._top = Line(self._steps)
        self._inbox: StreamInbox | MessageInbox = StreamInbox(self._framing, limit) if stream else MessageInbox()
        self._now = self._since = 0.0
        self._out: list[Command] = []
        self._budget = BURST
        self._play_one = self._play_in_turn if script.in_turn else self._play
        self._settled_at = -1
        self._blocked_since: float | None = None
        self._resume_at: float | None = None
        self._ended: Ended | None = None
        self._end_taken = False
        self._close_sent = False
        self._can_speak = True
        self._silent_reply: tuple[str, Send | None] = "", None
        """The name of a function that gave nothing to reply, and what had been said last."""
        self._unsayable: Reply | None = None
        """A reply that there was to give, when nothing could be said any more."""
        self.faults: tuple[Fault, ...] = ()
        """What is done to the connection from the moment at which it is the conversation's."""
        self.connected_at: float | None = None
        """When the near end connected, where the conversation begins later."""
        self.faults_before: Sequence[object] = ()
        """What faults have begun, or done, before the conversation did."""
        self._cut = False
        """Whether a fault has ended the connection."""
        self._silent = False
        """Whether a fault has the far end neither read nor answer."""
        self._late = 0
        self._last_received: Any = None
        self._last_sent: Send | None = None
        self._watchers: dict[int, Callable[[Outcome], None]] = {}

    # -- the door ---------------------------------------------------------------------------------

    def feed(self, event: Event, now: float) -> list[Command]:
        """Say what happened, and when; get what is to be done, in order."""
        transition = self._transitions[self.state].get(type(event))
        if transition is None:
            return []
        self._now = now
        self._budget = BURST
        self._out = []
        transition(self, event)
        return self._out

    @property
    def wake_at(self) -> float | None:
        """When `TimePassed` must be fed, at the latest; None if time changes nothing."""
        if self.state is State.CLOSING:
            return _later(self._since, self.deadline)
        if self.state is not State.PLAYING:
            return None
        if self._blocked_since is not None:
            return _later(self._blocked_since, self.deadline)
        overdue = _later(self._since, self._patience())
        if self._resume_at is None or overdue is None:
            return overdue if self._resume_at is None else self._resume_at
        return min(overdue, self._resume_at)

    @property
    def is_patient(self) -> bool:
        """Whether it waits for the near end, and only `Stalled` ends that, since the step has no time of its own."""
        if self.state is not State.PLAYING:
            return self.state is State.CLOSING
        if self._blocked_since is not None or self._lingers:
            return True
        if self._top.skippable:
            return False
        heads = list(self._top.heads())
        return all(getattr(head.step, "within", None) is None for head in heads) if heads else self._close_sent

    @property
    def done(self) -> bool:
        """Whether nothing more is awaited: the script was played, or a finding ended it."""
        if self.state is State.PLAYING:
            return self._top.skippable
        return self.state is not State.IDLE

    @property
    def _may_go_on(self) -> bool:
        """Whether there may be more steps than the script has now."""
        return self.script.open_ended or self.in_hand

    @property
    def _lingers(self) -> bool:
        """Whether nothing more is to come, and the near end is still there."""
        if not self.ends_silence or self._silent or self.in_hand or self._close_sent or self._ended is not None:
            return False
        return self._top.finished and (self.unscripted or not self.script.open_ended)

    @property
    def ended(self) -> Ended | None:
        """How the near end ended its side; None while it has not."""
        return self._ended

    @property
    def close_sent(self) -> bool:
        """Whether the far end has ended the connection."""
        return self._close_sent

    @property
    def end_taken(self) -> bool:
        """Whether a step was there for the near end's end."""
        return self._end_taken

    @property
    def place(self) -> Place:
        """Where the conversation is now."""
        return self._place()

    @property
    def waits_since(self) -> float:
        """When the last thing came that it waited for, or the far end went on by itself."""
        return self._since

    @property
    def next_step(self) -> int:
        """The number of the step that is next, from 1; one more than there are at the script's end."""
        return self._top.at + 1

    def finish(self, now: float, *, untaken: bool = False) -> None:
        """The test is over: what was not played, and what was not awaited, are findings.

        `untaken` says that nobody took the connection in hand.
        """
        self._begin(now)
        if self.state is State.PLAYING:
            if not self._top.skippable:
                self._find(NotPlayed(self._place(), len(self.transcript.received)))
            elif rest := self._rest():
                self._find(Unexpected(self._place(), rest, untaken and not self._steps))
        self._tell_watchers()
        self.state = State.OVER

    def _begin(self, now: float) -> None:
        self._now = now
        self._out = []
        self._budget = BURST

    # -- the test in control ----------------------------------------------------------------------

    def extend(self, steps: Sequence[Step], watch: Step, told: Callable[[Outcome], None]) -> None:
        """Put steps behind the script, for this conversation alone; `told` learns what became of `watch`.

        Feed `Extended` afterwards.
        """
        if not isinstance(self._steps, list):
            raise WrongState("a tape is replayed on this connection, and the test cannot take it in hand")
        if self._steps is self.script.steps:
            self._steps = list(self._steps)
            self._top.steps = self._steps
            self._known = len(self._steps)
        self._steps.extend(steps)
        self._watchers[id(watch)] = told

    def withdraw(self, steps: Sequence[Step]) -> Message:
        """Take steps back that were not played, and say what has come for them so far."""
        mine = {id(step) for step in steps}
        at = self._top.at
        kept = [step for step in self._steps[at:] if id(step) not in mine]
        if at < len(self._steps) and id(self._steps[at]) in mine:
            self._top.child = None
        self._steps[at:] = kept
        for key in mine:
            self._watchers.pop(key, None)
        return self._inbox.partial()

    def matcher_of(self, step: Expect) -> Matcher:
        """What `step` expects of a message of this wire: on a stream, text is the bytes that it is sent as."""
        return self._inbox.matcher_of(step)

    def put_back(self, step: Expect, message: Any) -> None:
        """`step` took the message, and who waited for it is gone: it is there again for the next step."""
        if self.stream:
            self.transcript.forget(Kind.RECEIVED, message)
        self._inbox.put_back(step, message)

    def say(self, command: Send | Close | Abort, now: float) -> list[Command]:
        """Send, close or abort at once, whatever the script is at; nothing where the connection is over."""
        self._begin(now)
        if self.state is State.PLAYING and self._can_speak:
            self._record(command)
            self._wind_up()
        return self._out

    def impaired(self, command: Impair, now: float) -> list[Command]:
        """Do these faults from now on, whatever the script is at."""
        self._begin(now)
        if self.state is not State.OVER:
            self._record(command)
        return self._out

    def cut(self, now: float) -> list[Command]:
        """A fault has ended the connection: all that is still said is said to nobody."""
        self._begin(now)
        if self.state is State.PLAYING:
            self._cut = self._close_sent = True
            self._can_speak = False
            self._blocked_since = None
            self._advance()
            self._wind_up()
        return self._out

    # -- transitions ------------------------------------------------------------------------------

    def _connected(self, event: Connected) -> None:
        self.state = State.PLAYING
        self._since = self._now
        self._begin_transcript(event)
        if self._steps and isinstance(self._steps[0], ExpectHandshake):
            differences = tuple(_handshake_differences(self._steps[0], event.handshake))
            if differences:
                self._refuse(HandshakeMismatch(self._place(), differences), 400)
                return
            self._top.at = 1
        self._out.append(self._answer())
        self._play_on()

    def _begin_transcript(self, event: Connected) -> None:
        self.transcript.add(self._now, Kind.CONNECTED, event.handshake)
        for fault in self.faults_before:
            self._impair(fault)
        if self.faults:
            self._record(Impair(self.faults))

    def _answer(self) -> Accept:
        """What lets the near end in."""
        top = self._top
        step = self._steps[top.at] if top.at < len(self._steps) else None
        if not isinstance(step, AnswerHandshake):
            return ACCEPT
        top.at += 1
        self.transcript.add(self._now, Kind.SENT, step)
        return Accept(step.case.answer)

    def refuse(self, finding: Finding, status: int, now: float, handshake: Handshake | None = None) -> list[Command]:
        """Turn the near end away before a word was said; `finding` says why."""
        self._begin(now)
        self.transcript.add(self._connected_at(), Kind.CONNECTED, handshake)
        self._refuse(finding, status)
        return self._out

    def _connected_at(self) -> float:
        return self._now if self.connected_at is None else self.connected_at

    def fail(self, finding: Finding, now: float) -> list[Command]:
        """End the conversation with a finding that the stage made."""
        self._begin(now)
        if self.state in (State.IDLE, State.OVER):  # there is nobody to close a connection with
            self._find(finding)
            self._tell_watchers()
            self.state = State.OVER
        else:
            self._fail(finding)
        return self._out

    def not_packed(self, unsaid: Sequence[Command], error: Exception, now: float) -> list[Command]:
        """None of this was said or done: the framing could not make bytes of the first."""
        for command in reversed(unsaid):
            if isinstance(command, Send):
                self.transcript.forget(Kind.SENT, command.payload)
            elif isinstance(command, Close):
                self.transcript.forget(Kind.CLOSED, command)
                self._close_sent = False
        problem = str(error) if isinstance(error, FramingError) else described(error)
        given = unsaid[0].payload if isinstance(unsaid[0], Send) else None
        return self.fail(FunctionFailed(self.place, "the framing's pack", problem, given), now)

    def _refuse(self, finding: Finding, status: int) -> None:
        self._close_sent = True
        self._fail(finding)
        reject = Reject(status, finding.sentence + "\n")
        self.transcript.add(self._now, Kind.CLOSED, Close() if self.stream else reject)
        self._out.append(reject)

    def _received(self, event: Received) -> None:
        data = event.data
        if self.stream and not data:
            return
        top = self._top
        # The path that speed depends on: the next step expects just this, and nothing else waits.
        if top.at < len(self._steps) and top.child is None and self._framing is None:
            step = self._steps[top.at]
            if type(step) is Expect and step.framing is None:
                what = step.what
                came: bool | None = False
                if type(what) is type(data):
                    came = self._inbox.follow(data, what)  # type: ignore[arg-type]
                if came is None:
                    return
                if came:
                    self.transcript.add(self._now, RECEIVED, what)
                    self._since = self._now
                    self._last_received = what
                    if self._watchers:
                        self._tell_watcher(step, what)
                    top.at += 1
                    self._play_on()
                    return
        self._inbox.add(data)  # type: ignore[arg-type]
        if not self.stream:
            self._hear(data)
        self._take(quiet=False)
        self._wind_up()

    def _quiet(self, event: Quiet) -> None:
        self._settled_at = self._top.at
        self._take(quiet=True)
        if self.script.in_turn and self.state is State.PLAYING:
            self._play_on()
        self._wind_up()

    def _time_passed(self, event: TimePassed) -> None:
        wake_at = self.wake_at
        if wake_at is None or self._now < wake_at:
            return
        if self._blocked_since is not None:
            self._fail(NotReading(self._place(), self._now - self._blocked_since), Abort())
        elif self._resume_at is not None and self._now >= self._resume_at:
            self._go_on()
        elif self._lingers:
            self._linger(self._patience() or 0.0)
        else:
            seconds = self._patience() or 0.0
            got = self._inbox.partial()
            self._fail(TimedOut(self._place(), self._awaited(), seconds, got, scale=self.scale))

    def _linger(self, seconds: float, waiting: tuple[str, ...] = ()) -> None:
        rest, place = self._rest(), self._place()
        name, before = self._silent_reply
        silent = name if self._last_sent is before else ""
        lingered = Lingered(place, seconds, self.unscripted, waiting, silent)
        self._fail(Unexpected(place, rest, True) if rest else lingered)

    def _waited_in_vain(self, event: Stalled) -> None:
        seconds, waiting = event.seconds, event.waiting
        if not self.is_patient:
            return
        if self._blocked_since is not None:
            self._fail(NotReading(self._place(), seconds), Abort())
        elif self._lingers:
            self._linger(seconds, waiting)
        else:
            got = self._inbox.partial()
            self._fail(TimedOut(self._place(), self._awaited(), seconds, got, waiting=waiting, scale=self.scale))

    def _left_alone(self, event: Stalled) -> None:
        self._cut_off()

    def _extended(self, event: Extended) -> None:
        if self._steps is not self.script.steps:
            self._steps += self.script.steps[self._known :]
            self._known = len(self.script.steps)
        self._go_on()

    def _go_on(self) -> None:
        """Play on, though the near end said nothing: what was awaited already has been since then."""
        if not any(True for _ in self._top.heads()):
            self._since = self._now
        self._play_on()

    def _writing_paused(self, event: WritingPaused) -> None:
        if self._blocked_since is None:
            self._blocked_since = self._now
            self._out.append(WAKE)

    def _writing_goes_on(self, event: WritingGoesOn) -> None:
        if self._blocked_since is not None:
            self._blocked_since = self._now

    def _writing_resumed(self, event: WritingResumed) -> None:
        if self._blocked_since is not None:
            self._blocked_since = None
            self._go_on()

    def _violated(self, event: Violated) -> None:
        if event.data:
            self._hear(event.data)
        finding: Finding
        if event.about == "too big":
            finding = TooLarge(self._place(), self.limit, event.problem)
        else:
            finding = ProtocolViolation(self._place(), event.problem, event.data, event.about)
        if event.code == 1006:  # RFC 6455, 7.1.5: the connection is gone, and there is nothing to close
            self._close_sent = True
        self._fail(finding, Close(event.code, _short(finding)))

    def _violated_before(self, event: Violated) -> None:
        self.transcript.add(self._connected_at(), Kind.CONNECTED, None)
        self._close_sent = True  # the wire has answered already, and closes by itself
        self._violated(event)
        if isinstance(event.answer, Abort):
            self.transcript.add(self._now, Kind.ABORTED)
            self.state = State.OVER
        elif event.answer is not None:
            self.transcript.add(self._now, Kind.CLOSED, event.answer)

    def _near_end_ended(self, event: Ended) -> None:
        if self._ended is not None and event.how is How.EOF:  # the other direction is gone as well
            self._can_speak = False
            self._blocked_since = None
            self._wind_up()
            return
        self.transcript.add(self._now, Kind.ENDED, event)
        self._ended = event
        if not (self.stream and event.how is How.EOF):  # a stream may be open in one direction
            self._can_speak = False
            self._blocked_since = None
        # What nearly every conversation ends with: all was played, and the near end leaves.
        all_done = self._top.finished and not self._inbox
        if all_done and not self.script.open_ended:
            self.state = State.OVER
        elif not all_done or self._close_sent:
            self._wind_up()

    def _late_words(self, event: Received) -> None:
        """What comes after our close is heard, within reason, so that the near end is never stuck."""
        self._hear(event.data)
        self._late += len(event.data) if isinstance(event.data, str | bytes) else 0
        if self._late > max(self.limit, LATE):
            self._cut_off()

    def _late_violation(self, event: Violated) -> None:
        """Whoever has been closed on may break the protocol, but that is heard as well."""
        if event.data and event.about != "handshake":  # which it was closed on for, and that was told
            self._late_words(Received(event.data))

    def _still_reads(self, event: WritingGoesOn | WritingResumed) -> None:
        """Who reads what was said last has time to leave."""
        self._since = self._now

    def _overdue(self, event: TimePassed) -> None:
        wake_at = self.wake_at
        if wake_at is not None and self._now >= wake_at:
            self._cut_off()

    def _cut_off(self) -> None:
        self._record(Abort())
        self.state = State.OVER

    def _over(self, event: Ended) -> None:
        self.transcript.add(self._now, Kind.ENDED, event)
        self._ended = event
        self.state = State.OVER

    # -- playing ----------------------------------------------------------------------------------

    def _play_on(self) -> None:
        """Play what is the far end's to play, then take what has come already."""
        top = self._top
        self._resume_at = None
        top.advance(self._play_one, self._owed)
        if self._inbox:
            self._take(quiet=False)
        if self._close_sent or self._ended is not None:
            self._wind_up()
        elif top.child is not None or (
            top.at < len(self._steps) and getattr(self._steps[top.at], "within", None) is not None
        ):
            self._out.append(WAKE)

    def _advance(self) -> None:
        self._resume_at = None
        self._top.advance(self._play_one, self._owed)

    def _play(self, step: ActingStep, line: Line) -> bool:
        """Play one step that is the far end's; False where it has to wait."""
        if self._blocked_since is not None:
            return False
        if self._budget <= 0:
            if self._can_speak or self._ended is None:
                self._blocked_since = self._now
                self._out += (Continue(), WAKE)
            return False
        self._budget -= 1
        if not self._can_speak:
            return self._pass_over(step, line)
        kind = type(step)
        if kind is Send:
            self._last_sent = step  # type: ignore[assignment]
            self.transcript.add(self._now, SENT, step.payload)  # type: ignore[union-attr]
            if step.framing is not None:  # type: ignore[union-attr]
                self.transcript.framed(step.framing)  # type: ignore[union-attr]
            self._out.append(step)  # type: ignore[arg-type]
            return True
        if kind is Pause:
            return self._pause(step, line)  # type: ignore[arg-type]
        if kind is Reply:
            return self._reply(step)  # type: ignore[arg-type]
        self._record(step)  # type: ignore[arg-type]
        return True

    def _play_in_turn(self, step: ActingStep, line: Line) -> bool:
        """The same, where the near end has to wait for what is said: nothing more may have come from it before."""
        if type(step) is Send and self._can_speak:
            if self._inbox:
                self._fail(SaidEarly(self._place(), self._rest()[0], step))
                return False
            if self._settled_at != self._top.at and self._ended is None:
                self._out.append(TellWhenQuiet())
                return False
        played = self._play(step, line)
        if played:
            self._settled_at = self._top.at + 1
        return played

    def _pass_over(self, step: ActingStep, line: Line) -> bool:
        """Play a step though nothing can be said: pauses pass, and so does an end that is there already."""
        if self.findings:
            return False
        if isinstance(step, Pause):
            return self._pause(step, line) if self._ended is None else True
        if self._cut or isinstance(step, Impair):
            return True
        if isinstance(step, Reply):
            return self._says_nothing(step)
        return isinstance(step, Close | Abort) and (self._close_sent or self._end_taken)

    def _pause(self, step: Pause, line: Line) -> bool:
        if line.resume_at is None:
            line.resume_at = self._now + step.seconds
        if self._now >= line.resume_at:
            line.resume_at = None
            return True
        if self._resume_at is None or line.resume_at < self._resume_at:
            self._resume_at = line.resume_at
        self._out.append(WAKE)
        return False

    def _reply(self, step: Reply) -> bool:
        payloads = self._call(step.function, self._last_received)
        if payloads is None:
            return False
        for payload in payloads:
            self._record(Send(payload, step.framing))
        if not payloads:
            self._silent_reply = _named(step.function), self._last_sent
        return True

    def _says_nothing(self, step: Reply) -> bool:
        """Whether there is nothing to reply, so that it does not matter that it could not be said."""
        if self._unsayable is step:
            return False
        payloads = self._call(step.function, self._last_received)
        if payloads:
            self._unsayable = step
        return payloads == []

    def _owed(self, step: ExpectReply) -> tuple[Step, ...]:
        payloads = self._call(step.function, self._as_heard(self._last_sent)) or ()
        return tuple(
            Expect(payload.joined() if isinstance(payload, Fragments) else payload, step.framing, step.within)
            for payload in payloads
        )

    def _as_heard(self, said: Send | None) -> Any:
        """What the near end makes of what was said last."""
        payload = said and said.payload
        if isinstance(payload, Fragments):
            payload = payload.joined()
        if said is None or not self.stream:
            return payload
        raw = payload.encode() if isinstance(payload, str) else payload
        framing = said.framing or self._framing
        return raw if framing is None else framing.heard(raw)  # type: ignore[arg-type]

    def _call(self, function: Callable[[Any], Any], argument: Any) -> list[Payload] | None:
        """What a function of the test's makes of a message, as payloads; None, and a finding, if it fails."""
        try:
            answer = function(argument)
            if inspect.iscoroutine(answer):
                answer.close()
                raise WrongType("it is async, and a script waits for nothing but the near end")
            answers = answer if isinstance(answer, list | tuple) else [] if answer is None else [answer]
            return [arguments.payload(one, "a reply") for one in answers]
        except Exception as error:  # the user's code may raise anything
            self._fail(FunctionFailed(self._place(), _named(function), described(error) + _raised_at(function, error)))
            return None

    def _record(self, command: Send | Close | Abort | Impair) -> None:
        """Do it, and write it down."""
        match command:
            case Send():
                self._last_sent = command
                self.transcript.add(self._now, Kind.SENT, command.payload)
                if command.framing is not None:
                    self.transcript.framed(command.framing)
            case Close():
                self.transcript.add(self._now, Kind.CLOSED, command)
                self._close_sent, self._can_speak = True, False
            case Impair():
                self._impair(command)
            case _:
                self.transcript.add(self._now, Kind.ABORTED)
                self._close_sent, self._can_speak = True, False
        self._out.append(command)

    def _impair(self, fault: object) -> None:
        """Write down what is done to the connection on purpose."""
        self.transcript.add(self._now, Kind.FAULT, fault)
        if isinstance(fault, Impair):
            self._silent = any(isinstance(one, Silence) for one in fault.faults) or (
                self._silent and bool(fault.faults)
            )

    # -- taking -----------------------------------------------------------------------------------

    def _take(self, quiet: bool) -> None:
        """Offer what has come to the steps that could be next, as long as one takes it."""
        while self._inbox and self.state is State.PLAYING:
            heads = list(self._top.heads())
            if not heads and (self._may_go_on or not self._top.finished):
                return  # a step for it may still be added, or the far end pauses: what came waits
            if self._close_sent and self._top.skippable:
                return  # the far end has left: what still comes is heard, and nobody's mistake
            # A branch that pauses, or cannot send, may come to a step for it by itself.
            final = (self._resume_at is None and self._blocked_since is None) or not self._top.opens_later
            verdict = self._asked(self._inbox.offer, heads, quiet, final)
            if isinstance(verdict, Taken):
                self._accept(verdict)
            elif isinstance(verdict, Refused):
                self._mismatch(verdict)
            else:
                if verdict is WAIT_FOR_QUIET:
                    self._out.append(TellWhenQuiet())
                return

    def _asked(self, offer: Callable[..., Verdict | None], *arguments: object) -> Verdict | None:
        """What the inbox answers; None, and a finding, where what came cannot be cut."""
        try:
            return offer(*arguments)
        except TooLargeError as error:
            self._fail(TooLarge(self._place(), self.limit, str(error)))
        except FramingError as error:
            came = bytes(self._inbox.partial())  # type: ignore[arg-type]
            self._fail(ProtocolViolation(self._place(), str(error), came, "framing"))
        except FunctionError as error:
            self._fail(FunctionFailed(self._place(), str(error.args[0]), described(error.args[1])))
        return None

    def _accept(self, taken: Taken) -> None:
        taken.head.take()
        if self.stream:
            self._hear(taken.message)
            own = getattr(taken.head.step, "framing", None)
            if own is not None:
                self.transcript.framed(own)
        self._took(taken.head.step, taken.message)
        self._advance()
        self._out.append(WAKE)

    def _took(self, step: Step, message: Any) -> None:
        self._since = self._now
        self._last_received = message
        if self._watchers:
            self._tell_watcher(step, message)

    def _tell_watcher(self, step: Step, message: Any) -> None:
        told = self._watchers.pop(id(step), None)
        if told is not None:
            told(Outcome(message))

    def _hear(self, message: Any) -> None:
        self.transcript.add(self._now, Kind.RECEIVED, message)

    def _mismatch(self, refused: Refused) -> None:
        if self.stream:
            self._hear(refused.got)
        if not refused.candidates:
            self._fail(Unexpected(self._place(), [refused.got]))
            return
        candidates = tuple(sorted(refused.candidates, key=lambda candidate: candidate.difference.weight))
        elsewhere = self._elsewhere(refused.got)
        self._fail(Mismatch(self._place(), refused.got, candidates, elsewhere, refused.partial))

    def _elsewhere(self, message: object) -> int | None:
        """The number of the nearest other step that expects just this message."""
        at = self._top.at
        ahead = range(at + 1, min(at + NEARBY, len(self._steps)))
        behind = range(at - 1, max(at - NEARBY, -1), -1)
        for index in [*ahead, *behind]:
            step = self._steps[index]
            if isinstance(step, Expect):
                what = self._inbox.matcher_of(step)
                if not isinstance(what, Anything | OfType) and difference_between(what, message) is None:
                    return int(index) + 1
        return None

    # -- ending -----------------------------------------------------------------------------------

    def _wind_up(self) -> None:
        """Once one side has ended: what is still to come, and what never will."""
        if self.state is not State.PLAYING:
            return
        if self._ended is not None:
            self._after_the_end(self._ended)
        elif self._close_sent and self._top.skippable:
            self._rest()
            self._to_closing()

    def _after_the_end(self, ended: Ended) -> None:
        """The near end says no more, so all that is awaited must be here already."""
        if not self._can_speak or self.script.in_turn:
            self._advance()  # pauses are over then: there is nobody left to wait for
        self._take(quiet=True)
        if self.stream and ended.how is How.EOF:
            self._take_the_last()
        if self.state is State.PLAYING and not self._end_taken:
            self._take_the_end(ended)
        if self.state is not State.PLAYING:
            return
        if self._top.skippable:
            if self._may_go_on and not self._close_sent:
                return
            rest = self._rest()
            if rest and not self._close_sent:
                self._fail(Unexpected(self._place(), rest))
            self.state = State.OVER
        elif (self._resume_at is None and self._blocked_since is None) or (
            not self._inbox and any(True for _ in self._top.heads())
        ):
            self._fail(EndedEarly(self._place(), ended, self._inbox.partial(), cut=self._cut))

    def _take_the_last(self) -> None:
        """Offer what the end of the stream makes a message of: of no bytes at all, with some framings."""
        while self.state is State.PLAYING and (self._inbox or not self._top.skippable):
            last = self._asked(self._inbox.offer_last, self._top.heads())  # type: ignore[union-attr]
            if not isinstance(last, Taken):
                return
            self._accept(last)

    def _take_the_end(self, ended: Ended) -> None:
        heads = list(self._top.heads())
        for head in heads:
            if isinstance(head.step, ExpectClose) and _is_end(head.step, ended):
                self._end_taken = True
                head.take()
                self._since = self._now
                self._tell_watcher(head.step, ended)
                self._advance()
                return
        if heads and all(isinstance(head.step, ExpectClose) for head in heads):
            self._fail(WrongEnd(self._place(), ended))
        elif not heads:
            self._advance()
            if any(True for _ in self._top.heads()):  # what has come may be what is expected behind a pause
                self._after_the_end(ended)

    def _to_closing(self) -> None:
        self.state = State.CLOSING
        self._since = self._now
        self._out.append(WAKE)
        self._tell_watchers()

    def _fail(self, finding: Finding, end: Close | Abort | None = None) -> None:
        """Write down what went wrong, and end the conversation, so that the near end does not hang."""
        self._find(finding)
        if not self._close_sent and self._ended is None:
            self._record(end or Close(MISMATCH_CODE, _short(finding)))
        self._to_closing()
        if self._ended is not None or isinstance(end, Abort):
            self.state = State.OVER

    def _find(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.transcript.add(self._now, Kind.FOUND, finding)
        self._can_speak = False
        self._rest()

    def _tell_watchers(self) -> None:
        watchers, self._watchers = self._watchers, {}
        for told in watchers.values():
            told(Outcome(finding=self.findings[0] if self.findings else self._gone()))

    def _gone(self) -> Finding:
        return EndedEarly(self._place(), self._ended or Ended(), self._inbox.partial())

    def _rest(self) -> list[Message]:
        """What came and was not taken; pings and pongs belong to nobody."""
        left: list[Message] = [message for message in self._inbox.rest() if not isinstance(message, CONTROL)]
        if self.stream:
            for message in left:
                self._hear(message)
        return left

    # -- telling ----------------------------------------------------------------------------------

    def _place(self) -> Place:
        top = self._top
        at = min(top.at, max(len(self._steps) - 1, 0))
        return Place(
            connection=self.number,
            number=at + 1,
            total=len(self._steps),
            path=top.path() if top.child is not None else "",
            step=self._steps[top.at] if top.at < len(self._steps) else None,
            left=self._left(),
            inside=top.inside(),
            script=self.script,
            transcript=self.transcript,
            far_end=self.far_end,
            journal=self.journal,
        )

    def _left(self) -> Sequence[Step]:
        # A script that is read while it is played gives what is left in a form of its own.
        left = self._steps[self._top.at :]
        return tuple(left) if isinstance(left, list) else left

    def _patience(self) -> float | None:
        """How long the current wait may last: the step's own deadline, or the common one; None for no end."""
        if self._lingers:
            return self.deadline
        if self._top.skippable:
            return None
        heads = list(self._top.heads())
        if not heads:
            return self.deadline if self._close_sent else None
        own = [within for head in heads if (within := getattr(head.step, "within", None)) is not None]
        return max(own) * self.scale if own else self.deadline

    def _awaited(self) -> str:
        return " or ".join(_awaited(head.step) for head in self._top.heads()) or "close the connection"


def _later(since: float, seconds: float | None) -> float | None:
    return None if seconds is None or seconds == forever else since + seconds


def _awaited(step: Step) -> str:
    match step:
        case ExpectClose(reset=True):
            return "reset the connection"
        case ExpectClose():
            return "close the connection"
        case Expect():  # how long it was waited for is told beside it, and is what the scale has made of the step's own
            step = replace(step, within=None)
    return "say " + title(step).removeprefix("expect ")


def _is_end(step: ExpectClose, ended: Ended) -> bool:
    if step.reset:
        return ended.how is How.RESET
    if step.code == 1006:  # RFC 6455, 7.1.5: no close frame came
        return ended.how in (How.LOST, How.RESET)
    if ended.how not in (How.EOF, How.CLOSE):
        return False
    if step.code is not None and step.code != ended.code:
        return False
    return step.reason is None or difference_between(matcher(step.reason), ended.reason) is None


def _handshake_differences(step: ExpectHandshake, handshake: Handshake | None) -> Iterator[tuple[str, Difference]]:
    """What differs between the handshake expected and the one that came, part by part."""
    if handshake is None:
        return
    wanted: list[tuple[str, object, object]] = [
        ("path", step.path, handshake.path),
        ("origin", step.origin, handshake.origin),
        ("subprotocols", step.subprotocols, list(handshake.subprotocols)),
    ]
    wanted += [(f"query {name!r}", value, handshake.query.get(name)) for name, value in (step.query or {}).items()]
    wanted += [
        (f"header {name!r}", value, handshake.headers.get(name.lower())) for name, value in (step.headers or {}).items()
    ]
    for part, expected, got in wanted:
        if expected is not None:
            what = matcher(list(expected) if isinstance(expected, tuple) else expected)
            difference = difference_between(what, got)
            if difference is not None and got is None:
                difference = Difference("absent", what.describe(), None, detail="the handshake has none")
            if difference is not None:
                yield part, difference


def _short(finding: Finding) -> str:
    """A finding as a close reason: at most 123 bytes (RFC 6455, 5.5)."""
    text = finding.sentence
    if isinstance(finding, Mismatch):
        expected = title(finding.nearest.step).removeprefix("expect ")
        text = f"step {finding.place.number}: expected {expected}, got {printed(finding.got)}"
    raw = text.encode()
    return text if len(raw) <= 123 else raw[:120].decode(errors="ignore") + "…"


TRANSITIONS: Transitions = {
    State.IDLE: {
        Connected: Conversation._connected,
        Violated: Conversation._violated_before,
    },
    State.PLAYING: {
        Received: Conversation._received,
        Quiet: Conversation._quiet,
        TimePassed: Conversation._time_passed,
        Stalled: Conversation._waited_in_vain,
        Extended: Conversation._extended,
        WritingPaused: Conversation._writing_paused,
        WritingGoesOn: Conversation._writing_goes_on,
        WritingResumed: Conversation._writing_resumed,
        Violated: Conversation._violated,
        Ended: Conversation._near_end_ended,
    },
    State.CLOSING: {
        Received: Conversation._late_words,
        Violated: Conversation._late_violation,
        TimePassed: Conversation._overdue,
        Stalled: Conversation._left_alone,
        WritingGoesOn: Conversation._still_reads,
        WritingResumed: Conversation._still_reads,
        Ended: Conversation._over,
    },
    State.OVER: {},
}
Conversation._transitions = TRANSITIONS


def _named(function: object) -> str:
    """A function that replies, as findings name it."""
    return f"reply({getattr(function, '__name__', function)})"


def _raised_at(function: Callable[[Any], Any], error: Exception) -> str:
    """The file and the line of the test's function where it raised, or where it is, in brackets; empty if unknown."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return ""
    line = code.co_firstlineno
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f" ({code.co_filename}:{line})"
