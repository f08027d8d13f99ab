"""The steps that scripts are made of. A step holds what it was given and nothing else.

`Send`, `Close`, `Abort` and `Impair` are commands and steps in one: playing such a step is handing it on. How
steps are played stands in `conversation.py`, and where in nested steps one is, in `place.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from farend.core.commands import Abort, Close, Impair, Send
from farend.core.framing import Framing
from farend.core.matchers import Matcher
from farend.core.messages import Fragments, OnWire, counted, printed
from farend.errors import ScriptError

if TYPE_CHECKING:
    from farend.core.malformed import Case

UNSET: Final[Any] = type("Unset", (), {"__repr__": lambda self: "not given"})()
forever: Final = float("inf")
"""For `repeat(forever, …)`."""


@dataclass(frozen=True, slots=True)
class Expect:
    """The near end says something that `what` matches; see `matchers.matcher` for what it can be.

    `within` is this step's own deadline in seconds, and `example` what a mirrored script sends here.
    """

    what: object
    framing: Framing | None = None
    within: float | None = None
    example: Any = UNSET


@dataclass(frozen=True, slots=True)
class ExpectHandshake:
    """The near end opened its WebSocket as said; None and empty mean that anything will do."""

    path: object = None
    query: dict[str, object] | None = None
    headers: dict[str, object] | None = None
    origin: object = None
    subprotocols: object = None


@dataclass(frozen=True, slots=True, repr=False)
class AnswerHandshake(OnWire):
    """The near end is let in with an answer that is not as it should be."""

    case: Case

    def wire_bytes(self, masked: bool) -> bytes:
        return b""  # the wire makes the answer, of the one that would be right

    def __repr__(self) -> str:
        return repr(self.case)


@dataclass(frozen=True, slots=True)
class ExpectClose:
    """The near end closes in order (an end of stream, a close frame), or resets where `reset`."""

    code: int | None = None
    reason: object = None
    reset: bool = False
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Say what `function` makes of the last message that came."""

    function: Callable[[Any], Any]
    framing: Framing | None = None


@dataclass(frozen=True, slots=True)
class ExpectReply:
    """The near end says what `function` makes of the last message sent: the mirror of `Reply`."""

    function: Callable[[Any], Any]
    framing: Framing | None = None
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Say and hear nothing for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AnyOrder:
    """Branches that each go at their own pace; a message goes to the first that expects it."""

    branches: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The steps, `times` over; `forever` until a message comes that the step behind expects."""

    times: float
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Optional:
    """The steps, if the near end begins them, and nothing otherwise."""

    steps: tuple[Step, ...]


Receiving: TypeAlias = Expect | ExpectClose | ExpectReply | ExpectHandshake
Acting: TypeAlias = Send | Close | Abort | Impair | Reply | Pause | AnswerHandshake
Group: TypeAlias = AnyOrder | Repeat | Optional
Step: TypeAlias = Receiving | Acting | Group
GROUPS = (AnyOrder, Repeat, Optional)
RECEIVING = (Expect, ExpectClose, ExpectReply, ExpectHandshake)


def acts_first(step: Step) -> bool:
    """Whether a step begins with something that the far end does, and not with something that comes."""
    match step:
        case Send() | Close() | Abort() | Impair() | Reply() | Pause() | ExpectReply() | AnswerHandshake():
            return True
        case AnyOrder():
            return any(acts_first(branch[0]) for branch in step.branches)
        case Repeat():
            return acts_first(step.steps[0])
    return False


def lingers(step: Step) -> bool:
    """Whether nothing tells when a step is over, but what comes next."""
    match step:
        case Optional():
            return True
        case Repeat():
            return step.times == forever or lingers(step.steps[-1])
        case AnyOrder():
            return any(lingers(branch[-1]) for branch in step.branches)
    return False


def waits(step: Step) -> bool:
    """Whether playing a step takes as long as the near end, or the clock, likes."""
    match step:
        case Pause():
            return step.seconds > 0
        case AnyOrder():
            return any(waits(inner) for branch in step.branches for inner in branch)
        case Repeat():
            return any(waits(inner) for inner in step.steps)
        case Send() | Close() | Abort() | Impair() | Reply() | AnswerHandshake():
            return False
    return True


def ending(*steps: Step) -> Close | Abort | None:
    """The step, among them or inside of them, with which the far end ends the connection."""
    return next((one for one in walk(steps) if isinstance(one, Close | Abort)), None)


def speaks(step: Step) -> bool:
    """Whether the far end says or ends anything in it."""
    return any(isinstance(one, Send | Reply | Close | Abort) for one in walk((step,)))


def cuts(step: Step) -> bool:
    """Whether nothing is left of the connection when a step is over."""
    match step:
        case Abort():
            return True
        case Repeat():
            return cuts(step.steps[-1])
        case AnyOrder():
            return any(cuts(branch[-1]) for branch in step.branches)
    return False


def check_successor(last: Step, step: Step) -> None:
    """Raise `ScriptError` where `step` could never be played behind `last`."""
    __tracebackhide__ = True
    if isinstance(step, ExpectHandshake):
        raise ScriptError("expect_handshake() can only be a script's first step: a connection opens once")
    if cuts(last):
        raise ScriptError(
            f"'{title(step)}' cannot follow '{title(last)}', which cuts the connection: nothing can be said or heard "
            "on it any more; to hear what still comes, end it with .close()"
        )
    if isinstance(step, AnswerHandshake) and not isinstance(last, ExpectHandshake):
        raise ScriptError(
            f"'{title(step)}' can only be a script's first step, or right behind expect_handshake(): it opens the "
            "connection"
        )
    if lingers(last) and acts_first(step):
        raise ScriptError(
            f"nothing tells when '{title(last)}' is over, so '{title(step)}' could never be played: "
            "put an expect between them"
        )


def check_end(end: Close | Abort | None, behind: Iterable[Step]) -> None:
    """Raise `ScriptError` where the far end, having ended the connection with `end`, does more than listen."""
    __tracebackhide__ = True
    for step in behind:
        if end is not None and speaks(step):
            raise ScriptError(
                f"'{title(step)}' cannot follow '{title(end)}': the far end has ended the connection by then"
            )


def check_sequence(body: Sequence[Step]) -> None:
    """The same, for the steps inside of a group."""
    if isinstance(body[0], ExpectHandshake | AnswerHandshake):
        check_successor(body[0], body[0])
    end = None
    for last, step in pairwise(body):
        check_successor(last, step)
        end = end or ending(last)
        check_end(end, (step,))


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, and those inside of them."""
    for step in steps:
        yield step
        if isinstance(step, GROUPS):
            for body in step.branches if isinstance(step, AnyOrder) else (step.steps,):
                yield from walk(body)


def title(step: Step) -> str:
    """A step on one line, as scripts and reports print it."""
    return _TITLES[type(step)](step)


def branch_name(index: int) -> str:
    """What a branch of `any_order` is called: `branch a`."""
    return f"branch {chr(ord('a') + index % 26)}"


def listing(steps: Iterable[Step], start: int = 1, indent: str = "  ") -> Iterator[str]:
    """The steps, a numbered line each, groups with their inner steps below them."""
    for number, step in enumerate(steps, start):
        yield f"{indent}{number}. {title(step)}"
        if isinstance(step, AnyOrder):
            for index, branch in enumerate(step.branches):
                yield f"{indent}   {branch_name(index)}"
                yield from listing(branch, 1, indent + "     ")
        elif isinstance(step, Repeat | Optional):
            yield from listing(step.steps, 1, indent + "   ")


def _expect_title(step: Expect) -> str:
    what = step.what.describe() if isinstance(step.what, Matcher) else printed(step.what)
    return f"expect {what}" + (f" within {step.within:g} s" if step.within not in (None, forever) else "")


def _send_title(step: Send) -> str:
    if isinstance(step.payload, Fragments):
        return f"send {printed(step.payload.joined())} in {len(step.payload.parts)} fragments"
    if isinstance(step.payload, OnWire):
        return step.payload.title
    return f"send {printed(step.payload)}"


def _handshake_title(step: ExpectHandshake) -> str:
    said = (
        f"{field.name}={getattr(step, field.name)!r}" for field in fields(step) if getattr(step, field.name) is not None
    )
    return " ".join(["expect handshake", *said])


def _close_title(step: ExpectClose) -> str:
    if step.reset:
        return "expect reset"
    parts = ["expect close"]
    if step.code is not None:
        parts.append(str(step.code))
    if step.reason is not None:
        parts.append(printed(step.reason))
    return " ".join(parts)


_TITLES: dict[type, Callable[[Any], str]] = {
    Expect: _expect_title,
    ExpectHandshake: _handshake_title,
    AnswerHandshake: lambda step: step.case.title,
    ExpectClose: _close_title,
    ExpectReply: lambda step: f"expect what {_name(step.function)} makes of the last message",
    Send: _send_title,
    Reply: lambda step: f"reply {_name(step.function)}(last message)",
    Close: lambda step: "close" + (f" {step.code}" if step.code else "") + (f" {step.reason!r}" if step.reason else ""),
    Abort: lambda step: "abort",
    Impair: str,
    Pause: lambda step: f"pause {step.seconds:g} s",
    AnyOrder: lambda step: f"any order of {counted(len(step.branches), 'branch')}",
    Repeat: lambda step: "repeat forever" if step.times == forever else f"repeat {counted(int(step.times), 'time')}",
    Optional: lambda step: "optional",
}


def _name(function: object) -> str:
    return getattr(function, "__name__", None) or repr(function)
