"""A script played against its mirror, in memory: no socket, no loop, and a clock that never waits.

This is the smallest stage, and the one that proves the core: bytes go from one conversation to the
other, cut as one likes, and where nothing is under way the clock jumps to the next thing that is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from farend.core.commands import Abort, Accept, Close, Command, Continue, Send, TellWhenQuiet, Wake
from farend.core.conversation import Conversation, State
from farend.core.events import Connected, Ended, Event, How, Quiet, Received, TimePassed, WritingResumed
from farend.core.faults import NO_WIRE
from farend.core.findings import Finding
from farend.core.messages import Fragments, OnWire, printed
from farend.core.script import Script
from farend.core.steps import Repeat, forever, walk
from farend.core.stream import StreamWire
from farend.core.transcript import Transcript
from farend.errors import InvalidArguments, ScriptError, WrongType
from farend.stage.settings import checked_deadline

LIMIT: Final = 1_000_000
"""Events after which a rehearsal is given up."""
ENOUGH: Final = 100
"""Events after which what may go on for ever, and may end, is ended."""


@dataclass(frozen=True)
class Rehearsal:
    """How it went: the transcript of each side, and what went wrong on either."""

    far_end: Transcript
    near_end: Transcript
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not self.findings

    def __str__(self) -> str:
        return "\n".join([*(finding.sentence for finding in self.findings), str(self.far_end)])


def rehearse(
    script: Script,
    other: Script | None = None,
    *,
    stream: bool = False,
    cut: int | Iterator[int] | None = None,
    deadline: float | None = 5.0,
) -> Rehearsal:
    """Play `script` against its mirror (or against `other`) in memory, and say how it went.

    Messages go whole, as on a WebSocket, or as a byte stream with `stream`; `cut` is the size of its
    segments in bytes (a number, or an iterator of numbers; what is left when it ends goes whole).
    `deadline` is how long each wait may last, in seconds of a clock that jumps. Raises `ScriptError` for
    a script that cannot be mirrored, cannot be played on a stream, or never comes to an end.

    >>> from farend import Script
    >>> rehearse(Script().expect("hello").send("there").close()).clean
    True
    """
    for given in (script,) if other is None else (script, other):
        if not isinstance(given, Script):
            raise WrongType(f"rehearse() takes scripts, not {printed(given)}")
        given.check_faults(NO_WIRE, "a rehearsal")
        if not stream:
            given.check_without_wire("in memory, where messages go whole")
    near = script.mirrored() if other is None else other
    if stream:
        script.check_for_stream()
        near.check_for_stream()
    elif cut is not None:
        raise InvalidArguments("cut= says how a byte stream is segmented: write stream=True with it")
    return _Stage(script, near, stream, _sizes(cut), checked_deadline(deadline)).play()


def _sizes(cut: int | Iterator[int] | None) -> Iterator[int]:
    if cut is None:
        return iter(())
    if isinstance(cut, int) and not isinstance(cut, bool):
        return repeat(cut)
    if not isinstance(cut, Iterator):
        raise WrongType(f"cut= takes a number of bytes, or an iterator of numbers, not {printed(cut)}")
    return cut


class _Stage:
    """Two sides, and a clock."""

    def __init__(self, far: Script, near: Script, stream: bool, sizes: Iterator[int], deadline: float | None) -> None:
        self.now = 0.0
        self.events = 0
        self.endless = any(isinstance(step, Repeat) and step.times == forever for step in walk([*far, *near]))
        self.far = _Side(self, Conversation(far, stream=stream, deadline=deadline), sizes)
        self.near = _Side(self, Conversation(near, stream=stream, deadline=deadline), sizes)
        self.far.peer, self.near.peer = self.near, self.far

    def play(self) -> Rehearsal:
        sides = (self.far, self.near)
        for side in sides:
            side.feed(Connected())
        spare = 0
        while not self._at_rest(sides):
            heard = [side.hear() for side in sides]
            if not any(heard):
                for side in sides:
                    side.tell_quiet()
            if self.endless and all(side.conversation.done for side in sides):
                spare += 1
                if spare >= ENOUGH:
                    break
        for side in sides:
            side.conversation.finish(self.now)
        return Rehearsal(
            self.far.conversation.transcript,
            self.near.conversation.transcript,
            (*self.far.conversation.findings, *self.near.conversation.findings),
        )

    def _at_rest(self, sides: tuple[_Side, _Side]) -> bool:
        """Whether nothing more will happen; lets time pass where nothing is under way."""
        while not any(side.busy for side in sides):
            if all(side.conversation.done for side in sides):
                return True
            due = [when for side in sides if (when := side.conversation.wake_at) is not None]
            if not due:
                return True
            self.now = max(self.now, min(due))
            for side in sides:
                side.feed(TimePassed())
        return False

    def count(self) -> None:
        self.events += 1
        if self.events > LIMIT:
            raise ScriptError(f"the rehearsal has no end: after {LIMIT:,} events the scripts still go on")


class _Side:
    """One conversation, and what is under way to it: events, and bytes that are still to be cut."""

    peer: _Side

    def __init__(self, stage: _Stage, conversation: Conversation, sizes: Iterator[int]) -> None:
        self.conversation = conversation
        self._stage = stage
        self._sizes = sizes
        self._bytes = bytearray()
        self._events: deque[Event] = deque()
        self._wants_quiet = False
        self._wants_room = False
        self._has_left = False
        self._wire = StreamWire()
        self._wire.framing = conversation.script.framing

    @property
    def busy(self) -> bool:
        """Whether anything is under way to this side."""
        return bool(self._bytes or self._events or self._wants_quiet or self._wants_room)

    def feed(self, event: Event) -> None:
        self._stage.count()
        self._execute(self.conversation.feed(event, self._stage.now))

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            _EXECUTE[type(command)](self, command)
        if self.conversation.state is State.OVER and self.conversation.stream:
            self._close(Close())  # a stage closes what is over

    def hear(self) -> bool:
        """Take the next thing that is under way; False where there is none."""
        if self._wants_room:
            self._wants_room = False
            self.feed(WritingResumed())
        elif self._bytes:
            size = next(self._sizes, len(self._bytes))
            if not isinstance(size, int) or size < 1:
                raise InvalidArguments(f"cut= gave {size!r}: a segment has at least one byte")
            segment = bytes(self._bytes[:size])
            del self._bytes[:size]
            self.feed(Received(segment))
        elif self._events:
            event = self._events.popleft()
            if isinstance(event, Ended) and event.how is How.CLOSE:
                self._say_end(event)  # RFC 6455, 5.5.1: a close frame is answered with the same
            self.feed(event)
        else:
            return False
        return True

    def tell_quiet(self) -> None:
        """Both sides wait, so all that was said has come."""
        if self._wants_quiet:
            self._wants_quiet = False
            self.feed(Quiet())

    # -- commands ---------------------------------------------------------------------------------

    def _send(self, command: Send) -> None:
        if self._has_left:
            return
        if not self.conversation.stream:
            said = command.payload
            if isinstance(said, OnWire):
                raise ScriptError(f"{said!r} cannot be said in memory, where messages go whole")
            self.peer._events.append(Received(said.joined() if isinstance(said, Fragments) else said))
            return
        try:
            self.peer._bytes += self._wire.say(command)
        except Exception as error:  # a packing function of the test's may raise anything
            self._execute(self.conversation.not_packed([command], error, self._stage.now))

    def _close(self, command: Close) -> None:
        if self.conversation.stream:
            self._say_end(Ended(How.EOF))
        else:
            self._say_end(Ended(How.CLOSE, command.code or 1000, command.reason))

    def _say_end(self, ended: Ended) -> None:
        if not self._has_left:
            self._has_left = True
            self.peer._events.append(ended)

    def _abort(self, command: Abort) -> None:
        # What is under way is lost on both sides.
        for side, ended in ((self, Ended(How.LOST, 1006)), (self.peer, Ended(How.RESET, 1006))):
            side._has_left = True
            side._bytes.clear()
            side._events.clear()
            side._events.append(ended)

    def _tell_when_quiet(self, command: TellWhenQuiet) -> None:
        self._wants_quiet = True

    def _continue(self, command: Continue) -> None:
        self._wants_room = True

    def _nothing(self, command: Command) -> None:
        """There is no door to open here, and no timer to set."""


_EXECUTE: Final[dict[type, Callable[[_Side, Any], None]]] = {
    Send: _Side._send,
    Close: _Side._close,
    Abort: _Side._abort,
    Accept: _Side._nothing,
    TellWhenQuiet: _Side._tell_when_quiet,
    Continue: _Side._continue,
    Wake: _Side._nothing,
}
