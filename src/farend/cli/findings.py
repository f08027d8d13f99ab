"""A finding as JSON: what the screen tells of it, for programs. `docs/replay.md` says which field means what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, Final

from farend.core.commands import Send
from farend.core.events import Ended
from farend.core.findings import (
    Candidate,
    EndedEarly,
    Finding,
    Mismatch,
    ProtocolViolation,
    SaidEarly,
    TimedOut,
    Unexpected,
    WrongEnd,
)
from farend.core.matchers import Change, Difference
from farend.core.messages import printed
from farend.core.place import Left
from farend.core.steps import RECEIVING, Step, title, walk
from farend.report import diff
from farend.report.hints import hints
from farend.report.line import shown

LONGEST: Final = 10_000
"""Characters of a payload that are told; what is longer ends with its type and length, as on the screen."""
MOST: Final = 20
"""Things of a kind that are told, where a field holds many: messages that nobody expected, for example."""
_TOLD_ABOVE: Final = frozenset({"place", "got", "changes"})
_PAYLOADS: Final = frozenset({"last", "data"})
"""Fields that hold a message. Text is told as Python writes it there, so that it is not taken for bytes."""


def as_json(finding: Finding) -> dict[str, Any]:
    """The finding's facts, in a form that JSON has.

    >>> from farend.core.findings import Mismatch, Place
    >>> from farend.core.matchers import matcher
    >>> from farend.core.steps import Expect
    >>> difference = matcher("hello").difference("hallo")
    >>> told = as_json(Mismatch(Place(1, 2), "hallo", (Candidate(Expect("hello"), difference),)))
    >>> told["expected"], told["got"], told["facts"]
    ("'hello'", "'hallo'", {'candidates': ["expect 'hello'"], 'elsewhere': None, 'partial': False})
    """
    difference = finding.nearest.difference if isinstance(finding, Mismatch) else None
    changes = getattr(finding, "changes", ()) if difference is None else difference.changes
    return {
        "kind": type(finding).__name__,
        "sentence": finding.sentence,
        "advice": " ".join(dict.fromkeys(one for one in (*hints(finding), finding.advice) if one)),
        "connection": finding.place.connection,
        "step": finding.place.number,
        "expected": _next(finding) if difference is None else diff.expected(difference, LONGEST),
        "got": _got(finding),
        "because": "" if difference is None else _because(difference),
        "changes": [_told(change) for change in changes],
        "facts": {name: _fact(name, getattr(finding, name)) for name in _own_fields(finding)},
    }


def _next(finding: Finding) -> str | None:
    """What the step that was next waits for, or the first that is due inside of it; None where it waits for nothing."""
    place = finding.place
    # Where nobody came, no step was next, but all of them are left.
    due = place.left[:1] if place.step is None else _due(place.step, place.inside)
    awaited = (step for step in walk(due) if isinstance(step, RECEIVING))
    return next((title(step).removeprefix("expect ") for step in awaited), None)


def _due(step: Step, inside: Sequence[Left]) -> Iterator[Step]:
    """The step, or, where some of it was played already, what is due in each of its branches."""
    if not inside:
        yield step
    for part in inside:
        if part.at < len(part.steps):
            yield from _due(part.steps[part.at], part.inside)


def _got(finding: Finding) -> str | None:
    """What came: a message, or a part of one, or else the end of the connection."""
    match finding:
        case Mismatch() | Unexpected() | SaidEarly():
            return shown(finding.got, LONGEST)
        case TimedOut() | EndedEarly() if finding.got:
            return shown(finding.got, LONGEST)
        case TimedOut() if finding.others:
            return shown(finding.last, LONGEST)
        case EndedEarly() | WrongEnd():
            return str(finding.ended)
        case ProtocolViolation() if finding.data:
            return shown(finding.data, LONGEST)
    return None


def _own_fields(finding: Finding) -> Iterable[str]:
    return (field.name for field in fields(finding) if field.name not in _TOLD_ABOVE)


def _fact(name: str, value: Any) -> Any:
    if name == "messages":
        return [shown(message, LONGEST) for message in value[:MOST]]
    if name == "differences":
        return [{"part": part, **_told(difference)} for part, difference in value]
    return shown(value, LONGEST) if name in _PAYLOADS and value is not None else _told(value)


def _because(difference: Difference) -> str:
    return difference.detail or difference.failure


def _change(change: Change) -> dict[str, Any]:
    told = {
        "path": change.path,
        "what": change.what,
        "expected": _value(change.expected),
        "got": _value(change.got),
    }
    return {**told, "raised": change.raised} if change.raised else told


def _value(value: object) -> Any:
    """A value in JSON, as it is: what JSON has no form for is text, as reports print it."""
    try:
        return _in_json(value)
    except RecursionError:  # it is nested too deep
        return shown(value, LONGEST)


def _in_json(value: object) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case dict():
            return {key if isinstance(key, str) else printed(key): _in_json(one) for key, one in value.items()}
        case list() | tuple():
            return [_in_json(one) for one in value]
    return shown(value, LONGEST)


def _told(value: Any) -> Any:
    """Numbers and words as they are, and all else as reports print it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Change():
            return _change(value)
        case Difference():
            return {
                "expected": diff.expected(value, LONGEST),
                "got": shown(value.got, LONGEST),
                "because": _because(value),
                "changes": [_told(change) for change in value.changes],
            }
        case Candidate():
            return title(value.step)
        case Send():
            return title(value)
        case Ended():
            return str(value)
        case tuple() | list():
            return [_told(one) for one in islice(value, MOST)]
    return shown(value, LONGEST)
