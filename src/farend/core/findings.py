"""What can go wrong in a conversation, as data. Exceptions and reports are made from findings.

A finding says what happened in `sentence`; where it happened is in `place`, which the conversation
fills in. Each class is one kind of thing that goes wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farend.core.commands import Send
from farend.core.matchers import Difference
from farend.core.messages import printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farend.core.events import Ended
    from farend.core.journal import Journal
    from farend.core.place import Left
    from farend.core.script import Script
    from farend.core.steps import Step
    from farend.core.transcript import Transcript


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < float("inf") else "ever"


def standstill(waiting: Sequence[str], lines: bool = False) -> str:
    """Who waits, and for what, when nothing can happen any more; on a line each, or in one."""
    told = list(waiting[:MOST_TOLD])
    if len(waiting) > MOST_TOLD:
        told.append(f"and {len(waiting) - MOST_TOLD:,} more")
    listed = "".join(f"\n  {one}" for one in told) if lines else f" {'; '.join(told)}"
    return f"Nothing can happen any more: no timer is set, and all wait for each other:{listed}"


MOST_TOLD = 8
"""Who wait, that a text lists."""
REPR = 200
"""Characters of the sentence in a finding's `repr`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a conversation something happened.

    `number` is the step's, from 1, and `total` how many the script has (top level); `path` tells the
    way into groups. `left` holds the steps that were not played, the one in question first, where that did not go on
    all the same; `inside` has what is left of that one, where it is a group. `journal` has the attempts to connect,
    where a plan says what they meet.
    """

    connection: int = 0
    number: int = 0
    total: int = 0
    path: str = ""
    step: Step | None = None
    left: Sequence[Step] = ()
    inside: tuple[Left, ...] = ()
    script: Script | None = None
    transcript: Transcript | None = None
    far_end: str = ""
    journal: Journal | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Finding:
    """The base of all findings. Two findings are the same only if they are one."""

    place: Place

    @property
    def sentence(self) -> str:
        """What went wrong, in a sentence."""
        raise NotImplementedError

    @property
    def advice(self) -> str:
        """What to look at or to write next; empty where the sentence says it all."""
        return ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines of code to paste into the test, told as they are; mostly none."""
        return ()

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        """Short: the whole of the place would be the whole of the script."""
        place = self.place
        where = [f"connection {place.connection}"] if place.connection else []
        if place.number and place.total:
            where.append(f"step {place.number} of {place.total}")
        told = self.sentence.removesuffix(".")
        told = told if len(told) <= REPR else told[: REPR - 1] + "…"
        return f"<{type(self).__name__}: {told}" + (f" ({', '.join(where)})>" if where else ">")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One of the steps that could have been next, and why the message was not its."""

    step: Step
    difference: Difference


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mismatch(Finding):
    """A message came that no possible step expects. `candidates` has the nearest first.

    `elsewhere` is the number of a step that would have matched: skipped to, or repeated.
    """

    got: object
    candidates: tuple[Candidate, ...]
    elsewhere: int | None = None
    partial: bool = False

    @property
    def nearest(self) -> Candidate:
        """The step that came closest."""
        return self.candidates[0]

    @property
    def sentence(self) -> str:
        return "The near end did not say what was expected."

    @property
    def advice(self) -> str:
        if self.elsewhere is None:
            return ""
        if self.elsewhere > self.place.number:
            return f"Step {self.elsewhere} expects this message: was a message left out, or the order another?"
        return f"Step {self.elsewhere} expected this message already: was it sent twice?"


_WITHOUT_A_SCRIPT = (
    "Give the far end its script (a server takes one by .play(script) as well); or take the connection in hand: "
    "peer = server.accept(), or client.blocking_peer; in an async test peer = await server.connection(), or "
    "client.peer, whose methods are awaited."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Unexpected(Finding):
    """Messages came, and the script has no step for them.

    `unheard` tells that there was no script, and that nobody took the connection in hand either.
    """

    messages: list[Any]
    unheard: bool = False

    @property
    def got(self) -> Any:
        """The first of the messages."""
        return self.messages[0]

    @property
    def sentence(self) -> str:
        more = f" and {len(self.messages) - 1:,} more" if len(self.messages) > 1 else ""
        if self.unheard:
            return f"The near end said {printed(self.got)}{more}; no script was given, and nobody took the connection."
        if self.place.step is not None:
            where = " where it was expected to close"
        elif self.place.total:
            where = " after the script's last step"
        else:
            where = ", and no step of a script is for it, nor has the test received it"
        return f"The near end said {printed(self.got)}{more}{where}."

    @property
    def advice(self) -> str:
        return _WITHOUT_A_SCRIPT if self.unheard else ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SaidEarly(Finding):
    """The near end said `got` before the far end had said `before`, and had to wait for it."""

    got: Any
    before: Send

    @property
    def sentence(self) -> str:
        return f"The near end said {printed(self.got)} without waiting for {printed(self.before.payload)}."

    @property
    def advice(self) -> str:
        return "On the tape it waited. Where the order of the two directions does not matter, leave strict=True out."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TimedOut(Finding):
    """Nothing, or not enough, came before the deadline; `got` is what had come by then.

    `others` is how many messages came that were not waited for, and `last` is the last of them. Where nothing could
    happen any more, `seconds` are infinite, and `waiting` says who waited then, and for what. `scale` is the factor by
    which the deadline had been stretched.
    """

    what: str
    seconds: float
    got: object = b""
    others: int = 0
    last: object = None
    waiting: tuple[str, ...] = ()
    scale: float = 1.0

    @property
    def sentence(self) -> str:
        came = f" Of it, {printed(self.got)} had come." if self.got else ""
        if self.others:
            messages = "1 other message" if self.others == 1 else f"{self.others:,} other messages, the last"
            came = f" Meanwhile came {messages} {printed(self.last)}.{came}"
        waited = "in vain" if self.seconds == float("inf") else f"{self.seconds:g} s"
        if self.scale != 1 and self.seconds < float("inf"):
            waited += f" ({self.seconds / self.scale:g} s, with a scale of {self.scale:g})"
        return f"Waited {waited} for the near end to {self.what}.{came}"

    @property
    def advice(self) -> str:
        if self.waiting:
            return standstill(self.waiting)
        slow = "If the near end is only slow, raise the deadline (deadline=, within=, --farend-deadline)."
        says = next((step for step in self.place.left if isinstance(step, Send)), None)
        if says is None:
            return slow
        return f"Perhaps the near end waits too: {printed(says.payload)} comes only after its message. {slow}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Lingered(Finding):
    """The script was over, and the near end stayed, and was silent: perhaps it waits for more.

    `unheard` tells that there was no script at all, and that nobody took the connection in hand. `silent` is the name
    of the function that was to reply last, where it gave nothing to say.
    """

    seconds: float
    unheard: bool = False
    waiting: tuple[str, ...] = ()
    silent: str = ""

    @property
    def sentence(self) -> str:
        if self.unheard:
            return (
                f"The near end stayed for {_duration(self.seconds)} and heard nothing; no script was given, and nobody "
                "took the connection."
            )
        return (
            f"The script was over, and for {_duration(self.seconds)} the near end neither said anything nor left: "
            "does it wait for more?"
        )

    @property
    def advice(self) -> str:
        if self.unheard:
            return _WITHOUT_A_SCRIPT
        if self.silent:
            return f"{self.silent} gave None, or an empty list, so nothing was said: does it lack a `return`?"
        if self.waiting:
            return f"If it is to hear more, the script lacks a step. {standstill(self.waiting)}"
        return (
            "If it is to hear more, the script lacks a step; to be hung up on, write .close(); if it may stay, "
            "raise the deadline (deadline=, --farend-deadline; None for no end)."
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EndedEarly(Finding):
    """The near end ended the connection while steps were left; `got` is what it had begun to say.

    `unsaid` is what the test wanted to send then, where it was the test that sent. `cut` is whether a fault had
    ended the connection before.
    """

    ended: Ended
    got: object = b""
    unsaid: Send | None = None
    cut: bool = False

    @property
    def sentence(self) -> str:
        if self.unsaid is not None:
            return f"Cannot send {printed(self.unsaid.payload)}: the connection has ended ({self.ended})."
        said = f", having begun to say {printed(self.got)}" if self.got else ""
        first = (
            "A fault ended the connection, and the near end left" if self.cut else "The near end ended the connection"
        )
        return f"{first} ({self.ended}) before the script's end{said}."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WrongEnd(Finding):
    """The near end ended the connection otherwise than expected."""

    ended: Ended

    @property
    def sentence(self) -> str:
        return f"The near end ended the connection with {self.ended}, which is not what was expected."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NotPlayed(Finding):
    """The test was over, and steps were left. `said` is how many messages had come."""

    said: int

    @property
    def sentence(self) -> str:
        left = len(self.place.left)
        steps = "1 step was" if left == 1 else f"{left:,} steps were"
        return f"The test was over, and {steps} not played."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WentOn(Finding):
    """The near end went on where it has to leave: it `did` something, although `problem`."""

    did: str
    problem: str

    @property
    def sentence(self) -> str:
        return f"The near end {self.did}, although {self.problem}."

    @property
    def advice(self) -> str:
        return "It has to give up such a connection: somebody else may be at the other end."


_ORDINALS = dict(enumerate(("first", "second", "third", "fourth", "fifth", "sixth"), 1))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NobodyConnected(Finding):
    """A near end was waited for, and none came. `route` is the path, where there are several.

    `waited` is in seconds. Of so many `scripts`, `number` is the one in question, from 1, and `came` how
    many connections there were.
    """

    waited: float
    route: str | None = None
    came: int = 0
    scripts: int = 1
    number: int = 1
    waiting: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        where = f" to {self.route}" if self.route else ""
        if self.came:
            came = "1 connection" if self.came == 1 else f"{self.came:,} connections"
            which = _ORDINALS.get(self.number, f"one with the number {self.number}")
            return f"{came} came{where}, and there are scripts for {self.scripts:,}: the {which} was not played."
        so = ", so no step was played" if self.scripts else ""
        if not self.waited:
            return f"Nobody had connected{where} when the far end was closed{so}."
        waited = "and nobody ever will" if self.waited == float("inf") else f"{self.waited:g} s waited"
        return f"Nobody connected{where} ({waited}){so}."

    @property
    def advice(self) -> str:
        return standstill(self.waiting) if self.waiting else ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AttemptsMissing(Finding):
    """A plan provides for more attempts than were made. `outcome` is what the next one would have met.

    `came` is how many attempts there were, of so many `planned` ones, within `waited` seconds; `route` is the
    path, where there are several.
    """

    waited: float
    outcome: str
    came: int
    planned: int
    route: str | None = None

    @property
    def sentence(self) -> str:
        where = f" to {self.route}" if self.route else ""
        came = "Nobody tried to connect" if not self.came else f"{_attempts(self.came)} came"
        time = f" ({self.waited:g} s waited)" if 0 < self.waited < float("inf") else ""
        plan = f"the plan is for {self.planned:,}" if self.planned > self.came + 1 else "the plan is for one more"
        return f"{came}{where}, and {plan}{time}: the next would have met '{self.outcome}'."

    @property
    def advice(self) -> str:
        return "Did the program under test give up, or did the test end before it had tried again?"


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number:,} attempts"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UnexpectedConnection(Finding):
    """One connection more than there are scripts, or one to a path that has none."""

    why: str

    @property
    def sentence(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HandshakeMismatch(Finding):
    """A WebSocket was opened otherwise than expected; `differences` are by part of the handshake."""

    differences: tuple[tuple[str, Difference], ...]

    @property
    def sentence(self) -> str:
        parts = ", ".join(part for part, _ in self.differences)
        return f"The near end opened its WebSocket otherwise than expected: see its {parts}."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ProtocolViolation(Finding):
    """The near end broke the protocol of the wire: `problem` says how, `data` holds its bytes."""

    problem: str
    data: bytes = b""
    about: str = "protocol"

    @property
    def sentence(self) -> str:
        return f"The near end broke the protocol: {self.problem}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TooLarge(Finding):
    """A message grew past the limit. `size` is what had come or was announced, in bytes."""

    limit: int
    problem: str

    @property
    def sentence(self) -> str:
        return f"A message is larger than the limit of {self.limit:,} bytes: {self.problem}"

    @property
    def advice(self) -> str:
        return "The limit is max_size=, in bytes."


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FunctionFailed(Finding):
    """A function of the test's (in reply(), or of a framing) raised, or gave what cannot be said.

    `given` is what it was given; None where that was what came last.
    """

    function: str
    problem: str
    given: object = None

    @property
    def sentence(self) -> str:
        return f"{self.function} failed: {self.problem}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NotReading(Finding):
    """The near end did not read what was sent, for longer than the deadline."""

    seconds: float

    @property
    def sentence(self) -> str:
        return (
            f"The near end has read nothing for {_duration(float(f'{self.seconds:.3g}'))}, and what was sent piles up."
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoopBlocked(Finding):
    """The event loop that the far end lives on, the test's, did not turn for longer than the deadline."""

    seconds: float

    @property
    def sentence(self) -> str:
        return (
            f"The test's event loop stood still for {self.seconds:.3g} s, so the far end, which lives on it, "
            "could say nothing."
        )

    @property
    def advice(self) -> str:
        return (
            "A blocking call in `async def` does that: use `with` instead of `async with` (the far end then has "
            "a loop of its own), or await the client, or call it with asyncio.to_thread. "
            "If the loop is only slow, raise the deadline (deadline=, --farend-deadline)."
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoopEnded(Finding):
    """The event loop that the far end lives on has ended, and somebody still waits for it."""

    @property
    def sentence(self) -> str:
        return "The event loop that the far end lives on has ended, so it could say nothing any more."

    @property
    def advice(self) -> str:
        return (
            "asyncio.run() ends its loop when it returns: let the client talk within it, or start the far end outside "
            "of it (`with`, or start() in a plain function), where it has a loop of its own."
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NotConnected(Finding):
    """The far end, as a client, could not connect to the server under test."""

    problem: str

    @property
    def sentence(self) -> str:
        return f"farend could not connect: {self.problem}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InternalError(Finding):
    """A fault in farend itself; the exception is chained."""

    problem: str

    @property
    def sentence(self) -> str:
        return f"farend itself failed: {self.problem}"

    @property
    def advice(self) -> str:
        return "Please report this, with the traceback above."
