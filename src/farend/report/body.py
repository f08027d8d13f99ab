"""What each kind of finding has to tell beyond its sentence.

`_BODIES` has a row for every class of `core/findings.py`; a class without one is told as its base is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

from farend.core.findings import (
    AttemptsMissing,
    EndedEarly,
    Finding,
    FunctionFailed,
    HandshakeMismatch,
    InternalError,
    Lingered,
    LoopBlocked,
    LoopEnded,
    Mismatch,
    NobodyConnected,
    NotConnected,
    NotPlayed,
    NotReading,
    ProtocolViolation,
    SaidEarly,
    TimedOut,
    TooLarge,
    Unexpected,
    UnexpectedConnection,
    WentOn,
    WrongEnd,
)
from farend.core.inbox import plain_bytes
from farend.core.messages import Fragments, Handshake, counted
from farend.core.steps import Expect, Step, title
from farend.core.transcript import Kind, Transcript
from farend.report import diff
from farend.report.hexrows import dump
from farend.report.line import LABEL, Line, fitted, indented, row, shown

MOST_CANDIDATES = 3
"""Steps beside the nearest that are told."""
MOST_MESSAGES = 5
"""Messages of an `Unexpected` that are listed."""
SEARCHED = 1_000
"""Entries of a transcript that are searched for one of a kind."""


def body(finding: Finding, room: int) -> list[Line]:
    """The finding's facts, in at most `room` columns."""
    for kind in type(finding).__mro__:
        if kind in _BODIES:
            return list(_BODIES[kind](finding, room))
    return []


def brief(finding: Finding, room: int) -> list[Line]:
    """The finding's facts in a few lines."""
    match finding:
        case Mismatch():
            return diff.brief(finding.nearest.difference, room)
        case HandshakeMismatch():
            return list(_handshake(finding, room, diff.brief))[:8]
        case NotPlayed() | NobodyConnected():
            return list(_next(finding, room))
    return body(finding, room)[:4]


# -- what came ------------------------------------------------------------------------------------


def _mismatch(finding: Mismatch, room: int) -> Iterator[Line]:
    yield from diff.told(finding.nearest.difference, room)
    if finding.partial:
        yield Line("That is all that had come, and nothing more could have made it match.", "quiet")
    others = finding.candidates[1:]
    if others:
        yield Line("")
        yield Line("That was the nearest. Also possible here:")
        for other in others[:MOST_CANDIDATES]:
            yield Line("  " + fitted(title(other.step), room - 2), "expected")
        if len(others) > MOST_CANDIDATES:
            yield Line(f"  … and {len(others) - MOST_CANDIDATES:,} more", "quiet")


def _unexpected(finding: Unexpected, room: int) -> Iterator[Line]:
    yield from _next(finding, room)
    for index, message in enumerate(finding.messages[:MOST_MESSAGES]):
        yield row("" if index else "got", shown(message, room - LABEL), "got")
    if len(finding.messages) > MOST_MESSAGES:
        yield row("", f"… and {len(finding.messages) - MOST_MESSAGES:,} more", "quiet")


def _said_early(finding: SaidEarly, room: int) -> Iterator[Line]:
    payload = finding.before.payload
    said = payload.joined() if isinstance(payload, Fragments) else payload
    yield row("got", shown(finding.got, room - LABEL), "got")
    yield row("before", shown(said, room - LABEL), "expected")


def _timed_out(finding: TimedOut, room: int) -> Iterator[Line]:
    if finding.got:
        yield from _begun(finding.place.step, finding.got, finding, room)
    elif finding.others:
        yield row("got", f"{counted(finding.others, 'other message')}, the last:", "got")
        yield row("", shown(finding.last, room - LABEL), "got")
    elif finding.place.transcript is not None and _last(finding.place.transcript, Kind.RECEIVED) is None:
        yield row("got", "nothing at all since it connected", "got")
    else:
        yield row("got", "nothing", "got")


def _ended_early(finding: EndedEarly, room: int) -> Iterator[Line]:
    yield from _next(finding, room)
    if finding.got:
        yield from _begun(finding.place.step, finding.got, finding, room)
    else:
        yield row("got", fitted(str(finding.ended), room - LABEL), "got")


def _next(finding: Finding, room: int) -> Iterator[Line]:
    """The step that was next, though it may have been played since."""
    place = finding.place
    for step in place.left[:1] if place.step is None else (place.step,):
        said = title(step)
        label, look = ("expected", "expected") if said.startswith("expect ") else ("next", "plain")
        yield row(label, fitted(said.removeprefix("expect "), room - LABEL), look)  # type: ignore[arg-type]


def _begun(step: Step | None, got: object, finding: Finding, room: int) -> Iterator[Line]:
    """What had come of a message, and what was missing of it."""
    yield row("got", shown(got, room - LABEL), "got")
    if not isinstance(step, Expect) or not isinstance(got, bytes):
        return
    framing = step.framing or (finding.place.script.framing if finding.place.script is not None else None)
    whole = plain_bytes(step)
    if framing is not None:
        yield row("because", fitted(f"messages are cut by {framing!r}, and no whole one has come", room - LABEL))
    elif whole is not None and whole[: len(got)] == got:
        rest = whole[len(got) :]
        yield row("missing", f"{shown(rest, room - LABEL - 22)}: {counted(len(rest), 'byte')}", "expected")


def _wrong_end(finding: WrongEnd, room: int) -> Iterator[Line]:
    yield from _next(finding, room)
    yield row("got", fitted(str(finding.ended), room - LABEL), "got")


def _handshake(
    finding: HandshakeMismatch, room: int, tell: Callable[[Any, int], list[Line]] = diff.told
) -> Iterator[Line]:
    for part, difference in finding.differences:
        yield Line(f"{part}:")
        yield from indented(tell(difference, room - 2))


def _violation(finding: ProtocolViolation, room: int) -> Iterator[Line]:
    if finding.data:
        yield row("got", shown(finding.data, room - LABEL), "got")
        yield from dump(finding.data, room)


# -- what did not come ----------------------------------------------------------------------------


def _not_played(finding: NotPlayed, room: int) -> Iterator[Line]:
    said = counted(finding.said, "message") if finding.said else "no message"
    yield Line(f"The near end had said {said} by then.")


def _nobody(finding: NobodyConnected, room: int) -> Iterator[Line]:
    yield Line("Did the program under test get this far end's address, and did the test let it run?", "advice")


def _connection(finding: UnexpectedConnection, room: int) -> Iterator[Line]:
    handshake = finding.place.transcript.opening if finding.place.transcript is not None else None
    if isinstance(handshake, Handshake):
        yield row("got", fitted(f"a WebSocket handshake for {handshake.target}", room - LABEL), "got")


# -- what the two sides could not do --------------------------------------------------------------


def _function(finding: FunctionFailed, room: int) -> Iterator[Line]:
    given = _last(finding.place.transcript, Kind.RECEIVED) if finding.given is None else finding.given
    if given is not None:
        yield row("given", shown(given, room - LABEL))


def _last_sent(finding: Finding, room: int) -> Iterator[Line]:
    last = _last(finding.place.transcript, Kind.SENT)
    if last is not None:
        yield row("last sent", shown(last, room - LABEL))


def _nothing(finding: Finding, room: int) -> Iterable[Line]:
    return ()


def _last(transcript: Transcript | None, kind: Kind) -> object:
    """The payload of the last entry of a kind, as far back as it is worth to look."""
    if transcript is None:
        return None
    newest = (transcript[index] for index in range(len(transcript) - 1, -1, -1))
    return next((entry.payload for entry in islice(newest, SEARCHED) if entry.kind is kind), None)


_Body: TypeAlias = Callable[[Any, int], Iterable[Line]]
_BODIES: dict[type, _Body] = {
    Mismatch: _mismatch,
    Unexpected: _unexpected,
    SaidEarly: _said_early,
    TimedOut: _timed_out,
    EndedEarly: _ended_early,
    WrongEnd: _wrong_end,
    NotPlayed: _not_played,
    NobodyConnected: _nobody,
    AttemptsMissing: _nothing,
    WentOn: _nothing,
    UnexpectedConnection: _connection,
    HandshakeMismatch: _handshake,
    ProtocolViolation: _violation,
    TooLarge: _nothing,
    FunctionFailed: _function,
    NotReading: _last_sent,
    Lingered: _last_sent,
    LoopBlocked: _nothing,
    LoopEnded: _nothing,
    NotConnected: _nothing,
    InternalError: _nothing,
}
