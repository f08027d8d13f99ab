"""The steps that were not played, as lines: without what was played of a group, and with a sign at what is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from farend.core.findings import Place
from farend.core.place import Left
from farend.core.steps import Step, listing, title
from farend.report.line import Line, fitted

STEPS: Final = 8
"""Lines of the steps left."""


def left_title(place: Place) -> str:
    """How many steps of the script are left."""
    return f"Steps left ({len(place.left):,} of {place.total:,}):"


def steps_left(place: Place, room: int) -> list[Line]:
    """The first of the steps that were not played, in at most `room` columns."""
    lines: list[Line] = []
    told = 0
    # The step in question may have been played since, where the conversation went on.
    first = max(place.total - len(place.left), 0) + 1
    for number, step in enumerate(place.left, first):
        if len(lines) >= STEPS:
            break
        due = place.step is not None and number == place.number
        lines += _step(_due(step, number, place.inside, "  ") if due else listing([step], number), room)
        told += 1
    if told < len(place.left):
        lines.append(Line(f"… and {len(place.left) - told:,} more", "quiet"))
    return lines


def _step(told: Iterator[str], room: int) -> Iterator[Line]:
    # Groups can be as long as scripts.
    lines = list(islice(told, STEPS + 1))
    yield from (Line(fitted(line, room)) for line in lines[:STEPS])
    if len(lines) > STEPS:
        yield Line("     …", "quiet")


def _due(step: Step, number: int, inside: Sequence[Left], indent: str) -> Iterator[str]:
    """A step that is due, with a sign, and what is left inside of it."""
    yield f"{indent[:-2]}> {number}. {title(step)}"
    if inside:
        yield from _inside(inside, indent)
    else:
        yield from islice(listing([step], number, indent), 1, None)


def _inside(parts: Sequence[Left], indent: str) -> Iterator[str]:
    for part in parts:
        if part.label:
            yield f"{indent}   {part.label}"
        inner = indent + ("     " if part.label else "   ")
        for at in range(part.at, len(part.steps)):
            step = part.steps[at]
            yield from _due(step, at + 1, part.inside, inner) if at == part.at else listing([step], at + 1, inner)
