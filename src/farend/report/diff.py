"""A `Difference` as lines: JSON by path, text by line, bytes as hex, and the rest in words.

`_TELLERS` has a row for every kind of difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from farend.core.matchers import Change, Difference, Kind
from farend.core.messages import counted
from farend.report import alike
from farend.report.compare import Raw, are_lines, beside, by_line, excerpt, first_difference, mark
from farend.report.hexrows import differing
from farend.report.line import LABEL, Line, fitted, indented, labelled, row, shown, wrapped

MOST_CHANGES = 20
"""Paths of a JSON difference that are listed."""
MOST_PARTS = 6
"""Alternatives of a choice that are told."""
SHORT = 16
"""Bytes of text that say it all as text, and need no row of hexadecimal."""
IN_WORDS: tuple[Kind, ...] = ("pattern", "predicate", "type", "not", "choice", "error", "absent")
ASCII = re.compile(rb"[\t\r\n\x20-\x7e]*")
ONE_LINE = re.compile(rb"[\x20-\x7e]*\r?\n?")


def told(difference: Difference, room: int) -> list[Line]:
    """What was expected, what came, and where they differ, in at most `room` columns."""
    return list(_TELLERS.get(difference.kind, _plain)(difference, room))


def brief(difference: Difference, room: int) -> list[Line]:
    """The same in two or three lines."""
    if difference.kind == "json":
        return list(_changes(difference.changes, room, most=3))
    expected, got = difference.expected, difference.got
    if isinstance(expected, str) and isinstance(got, str) and difference.kind == "text":
        return beside(expected, got, room)
    if isinstance(expected, bytes) and isinstance(got, bytes):
        return beside(expected, got, room)
    if difference.kind == "absent":
        return list(_absent(difference, room))
    return [_expected(difference, room), _got(difference, room), *_because(difference, room)]


def expected(difference: Difference, room: int) -> str:
    """What was expected, in at most `room` characters."""
    value = difference.expected
    # The kinds in words hold the matcher's description, which is no value to be quoted.
    if difference.kind in IN_WORDS and isinstance(value, str):
        return fitted(value, room)
    prefix = "json " if difference.kind in ("json", "not json") else ""
    return prefix + shown(value, room - len(prefix))


def _expected(difference: Difference, room: int) -> Line:
    return row("expected", expected(difference, room - LABEL), "expected")


def _got(difference: Difference, room: int) -> Line:
    return row("got", shown(difference.got, room - LABEL), "got")


def _plain(difference: Difference, room: int) -> Iterator[Line]:
    yield _expected(difference, room)
    yield _got(difference, room)
    yield from _because(difference, room)


def _because(difference: Difference, room: int) -> Iterator[Line]:
    kinds = alike.kinds(difference.expected, difference.got) if difference.kind == "value" else ""
    if kinds:
        yield from wrapped(kinds, room, "advice")
    elif difference.detail:
        yield from labelled("because", difference.detail, room)
    elif difference.kind == "value" and shown(difference.expected, room) == shown(difference.got, room):
        yield from labelled("because", "they print the same, and are not equal", room)


def _text(difference: Difference, room: int) -> Iterator[Line]:
    expected, got = difference.expected, difference.got
    if not isinstance(expected, str) or not isinstance(got, str):
        yield from _plain(difference, room)
        return
    yield from by_line(expected, got, room) if are_lines(expected, got, room) else beside(expected, got, room)
    yield from _remarks(expected, got, room)


def _bytes(difference: Difference, room: int) -> Iterator[Line]:
    expected, got = difference.expected, difference.got
    if not isinstance(expected, bytes) or not isinstance(got, bytes):
        yield from _plain(difference, room)
        return
    if _is_ascii(expected) and _is_ascii(got) and are_lines(expected, got, room):
        # A protocol of lines of text reads better as text; the bytes follow all the same.
        yield from by_line(expected, got, room)
    else:
        yield from beside(expected, got, room)
    if not (len(expected) <= SHORT and len(got) <= SHORT and ONE_LINE.fullmatch(expected) and ONE_LINE.fullmatch(got)):
        yield from differing(expected, got, room)
    yield from _remarks(expected, got, room)


def _is_ascii(data: bytes) -> bool:
    return bool(data) and ASCII.fullmatch(data[:4096]) is not None


def _remarks(expected: Raw, got: Raw, room: int) -> Iterator[Line]:
    for remark in alike.remarks(expected, got):
        yield from wrapped(remark, room, "advice")


# -- JSON -----------------------------------------------------------------------------------------


def _json(difference: Difference, room: int) -> Iterator[Line]:
    yield _expected(difference, room)
    yield _got(difference, room)
    yield from _changes(difference.changes, room, MOST_CHANGES)


def _changes(changes: tuple[Change, ...], room: int, most: int) -> Iterator[Line]:
    for change in changes[:most]:
        yield from _change(change, room)
    if len(changes) > most:
        yield Line(f"… and {len(changes) - most:,} more", "quiet")


def _change(change: Change, room: int) -> Iterator[Line]:
    path = change.path if len(change.path) <= room // 2 else "…" + change.path[-room // 2 :]
    space = room - len(path)
    if change.what == "missing":
        yield Line(f"{path}: missing, expected {shown(change.expected, max(space - 20, 30))}", "expected")
    elif change.what == "unexpected":
        yield Line(f"{path}: unexpected, got {shown(change.got, max(space - 17, 30))}", "got")
    else:
        yield from _changed(path, change, max((space - 18) // 2, 24))
        if change.raised:
            yield from indented(labelled("because", change.raised, room - 2))


def _changed(path: str, change: Change, space: int) -> Iterator[Line]:
    expected, got = change.expected, change.got
    if isinstance(expected, str) and isinstance(got, str) and max(len(expected), len(got)) > space - 2:
        at = first_difference(expected, got)
        yield Line(f"{path}: (the strings part at character {at:,})", "problem")
        room = len(path) + 2 * space
        left, right = (excerpt(side, at, at + 1, room - LABEL - 2) for side in (expected, got))
        yield from indented(
            [row("expected", left.text, "expected"), row("got", right.text, "got"), mark(right.start, right.end, LABEL)]
        )
        return
    left_text, right_text = shown(expected, space), shown(got, space)
    if left_text == right_text:
        left_text, right_text = (f"{type(side).__name__} {left_text}" for side in (expected, got))
    yield Line(f"{path}: expected {left_text}, got {right_text}", "problem")


def _not_json(difference: Difference, room: int) -> Iterator[Line]:
    yield _expected(difference, room)
    place = re.search(r"\(char (\d+)\)", difference.detail)
    if place is not None and isinstance(difference.got, str):
        at = int(place[1])
        got = excerpt(difference.got, at, at + 1, room - LABEL)
        yield row("got", got.text, "got")
        yield mark(got.start, got.end, LABEL)
    else:
        yield _got(difference, room)
    yield from labelled("because", f"it cannot be read as JSON: {difference.detail}", room)


# -- in words -------------------------------------------------------------------------------------


def _absent(difference: Difference, room: int) -> Iterator[Line]:
    yield _expected(difference, room)
    yield row("got", f"nothing: {difference.detail}", "got")


def _excluded(difference: Difference, room: int) -> Iterator[Line]:
    yield from _plain(difference, room)
    yield row("because", "this is just what was excluded")


def _predicate(difference: Difference, room: int) -> Iterator[Line]:
    yield from _plain(difference, room)
    yield row("because", "the function said no to it")


def _choice(difference: Difference, room: int) -> Iterator[Line]:
    parts = list(_alternatives(difference.parts))
    yield _got(difference, room)
    yield Line(f"None of the {len(parts):,} alternatives is this:")
    for number, part in enumerate(parts[:MOST_PARTS], 1):
        first, *rest = told(part, room - 6)
        yield Line(f"  {number}. {first.text}", first.look)
        yield from indented(rest, "     ")
    if len(parts) > MOST_PARTS:
        yield Line(f"  … and {counted(len(parts) - MOST_PARTS, 'more alternative')}", "quiet")


def _alternatives(parts: Iterable[Difference]) -> Iterator[Difference]:
    """The parts, with choices within choices (`a | b | c`) laid flat."""
    waiting = list(parts)
    while waiting:
        part = waiting.pop(0)
        if part.kind == "choice":
            waiting[:0] = part.parts
        else:
            yield part


_Teller: TypeAlias = Callable[[Difference, int], Iterator[Line]]
_TELLERS: dict[Kind, _Teller] = {
    "value": _plain,
    "text": _text,
    "bytes": _bytes,
    "json": _json,
    "not json": _not_json,
    "pattern": _plain,
    "predicate": _predicate,
    "type": _plain,
    "error": _plain,
    "not": _excluded,
    "choice": _choice,
    "absent": _absent,
}
