r"""Two texts, or two strings of bytes, side by side: where they part, and what stands there.

All is shown as Python writes it, so that white space has quotes around it, line endings read `\r\n`,
and what is printed can be pasted into a script. The work is bounded: whatever the size of the two,
only what stands around the first difference is cut into lines and compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from farend.core.messages import counted
from farend.report.line import LABEL, Line, cells, row, size

Raw: TypeAlias = str | bytes

CONTEXT = 2
"""Equal lines that are shown in front of the first that differs."""
WINDOW = 40
"""Lines of each side that are compared, from the first shown."""
MOST_LINES = 24
"""Lines that a diff prints."""
REACH = 8_000
"""Characters of each side that are cut into lines."""


def first_difference(left: Raw, right: Raw) -> int:
    """The offset at which the two part; the shorter's length where it begins the longer.

    By halving, because slices are compared at memory speed and characters are not.
    """
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_tail(left: Raw, right: Raw, at: int) -> int:
    """How many characters both have in common at their ends, looking no further back than `at`."""
    low, high = 0, min(len(left), len(right)) - at
    while low < high:
        middle = (low + high + 1) // 2
        if left[len(left) - middle : len(left) - low] == right[len(right) - middle : len(right) - low]:
            low = middle
        else:
            high = middle - 1
    return low


class Excerpt(NamedTuple):
    """What stands around an offset, as Python writes it, and where in `text` the marked part begins and ends."""

    text: str
    start: int
    end: int


def excerpt(value: Raw, start: int, end: int, room: int) -> Excerpt:
    """`value` in at most `room` columns, with the part from `start` to `end` in it, or its beginning."""
    whole = repr(value) if len(value) <= room else ""
    if whole and len(whole) <= room:
        return Excerpt(whole, *_marked(value, 0, start, end, whole))
    space = max(room - len(size(value)) - 3, 12)
    begin = max(0, start - space // 3)
    if len(value) - begin < space // 2:
        begin = max(0, min(begin, len(value) - space // 2))
    keep = space
    piece = value[begin : begin + keep]
    text = repr(piece)
    while len(text) > space and keep > 1:
        keep = max(1, min(keep - 1, keep * space // len(text)))
        begin = min(max(begin, start - keep // 3), max(start, 0))
        piece = value[begin : begin + keep]
        text = repr(piece)
    marked = _marked(piece, 0, start - begin, min(end - begin, len(piece)), text)
    front, back = "…" if begin else "", "…" if begin + len(piece) < len(value) else ""
    return Excerpt(f"{front}{text}{back} {size(value)}", marked[0] + len(front), marked[1] + len(front))


def _marked(piece: Raw, offset: int, start: int, end: int, text: str) -> tuple[int, int]:
    """Where `piece[start:end]` stands in `text`, its repr, in columns; one character at least."""
    quote = text[-1]
    opening = 1 if isinstance(piece, str) else 2

    def columns(part: Raw) -> int:
        # The quote of a part alone can differ from that of the whole, and with it what is escaped.
        inner = repr(part)
        body = inner[opening:-1]
        if inner[-1] != quote:
            body = body.replace(quote, "\\" + quote) if "\\" + quote in text else body
        return cells(body)

    first = opening + columns(piece[:start])
    return first, max(first + columns(piece[start : max(end, start + 1)]), first + 1)


def mark(start: int, end: int, indent: int = 0) -> Line:
    """The line of `^` below the columns from `start` to `end`, one at least."""
    return Line(" " * (indent + start) + "^" * (end - start), "mark")


def beside(expected: Raw, got: Raw, room: int) -> list[Line]:
    """The two on a line each, with a mark below where they differ."""
    left, right = _excerpts(expected, got, room - LABEL)
    return [
        row("expected", left.text, "expected"),
        row("got", right.text, "got"),
        mark(right.start, right.end, LABEL),
    ]


def _excerpts(one: Raw, other: Raw, room: int) -> tuple[Excerpt, Excerpt]:
    at = first_difference(one, other)
    tail = common_tail(one, other, at)
    return excerpt(one, at, len(one) - tail, room), excerpt(other, at, len(other) - tail, room)


# -- by line --------------------------------------------------------------------------------------


def are_lines(expected: Raw, got: Raw, room: int) -> bool:
    """Whether the two are better compared line by line than as a whole."""
    lines = [_last_break(side, max(len(side) - 1, 0)) > 0 for side in (expected, got)]
    return all(lines) or (any(lines) and max(len(expected), len(got)) > room)


def by_line(expected: Raw, got: Raw, room: int) -> list[Line]:
    """What differs, line by line: `-` was expected, `+` came."""
    at = first_difference(expected, got)
    begin = _line_start(expected, at)
    first = _last_break(expected, at)
    left, right = _lines(expected, begin), _lines(got, begin)
    goes_on = _goes_on(expected, begin, left), _goes_on(got, begin, right)
    head = f"- expected, + got; they part at line {_breaks(expected, at) + 1:,}, column {at - first + 1:,}"
    # The lines in front of the first that differs are equal, whatever a matcher could make of them.
    equal = _breaks(expected[begin:first], first - begin)
    told = [_same(line, room) for line in left[:equal]]
    told += _told(left[equal:], right[equal:], room, all(goes_on))
    lines = [Line(head, "quiet"), *told[:MOST_LINES]]
    if len(told) > MOST_LINES or any(goes_on):
        lines.append(Line(f"… ({_extent(expected)} expected, {_extent(got)} came)", "quiet"))
    return lines


def _told(left: list[Raw], right: list[Raw], room: int, cut: bool) -> Iterator[Line]:
    """What differs in two windows of lines; `cut` where both are followed by more."""
    opcodes = difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    if cut and len(opcodes) > 1 and opcodes[-1][0] in ("delete", "insert"):
        # One window reaches further than the other, and that is all that this says.
        opcodes.pop()
    for kind, a, b, c, d in opcodes:
        if kind == "equal":
            yield from _equal(left[a:b], room, last=(kind, a, b, c, d) == opcodes[-1])
            continue
        pairs = min(b - a, d - c)
        for one, other in zip(left[a : a + pairs], right[c : c + pairs], strict=True):
            yield from _changed(one, other, room)
        for one in left[a + pairs : b]:
            yield Line("- " + excerpt(one, 0, 0, room - 2).text, "expected")
        for other in right[c + pairs : d]:
            yield Line("+ " + excerpt(other, 0, 0, room - 2).text, "got")


def _equal(lines: list[Raw], room: int, last: bool) -> Iterator[Line]:
    """Equal lines between two that differ, or behind the last that does."""
    head, tail = (lines[:CONTEXT], []) if last else (lines[:CONTEXT], lines[CONTEXT:][-CONTEXT:])
    left_out = len(lines) - len(head) - len(tail)
    yield from (_same(line, room) for line in head)
    if left_out:
        yield Line(f"  … {counted(left_out, 'equal line')}", "quiet")
    yield from (_same(line, room) for line in tail)


def _same(line: Raw, room: int) -> Line:
    return Line("  " + excerpt(line, 0, 0, room - 2).text, "quiet")


def _changed(one: Raw, other: Raw, room: int) -> Iterator[Line]:
    left, right = _excerpts(one, other, room - 2)
    yield Line("- " + left.text, "expected")
    yield Line("+ " + right.text, "got")
    yield mark(right.start, right.end, 2)


def _line_start(value: Raw, at: int) -> int:
    """Where the line begins that stands `CONTEXT` lines above the one with `at` in it, within reach."""
    start = _last_break(value, at)
    for _ in range(CONTEXT):
        if start:
            start = _last_break(value, start - 1)
    return start if at - start < REACH // 2 else max(at - REACH // 8, 0)


def _last_break(value: Raw, at: int) -> int:
    found = value.rfind("\n", 0, at) if isinstance(value, str) else value.rfind(b"\n", 0, at)
    return found + 1


def _breaks(value: Raw, end: int) -> int:
    return value.count("\n", 0, end) if isinstance(value, str) else value.count(b"\n", 0, end)


def _lines(value: Raw, begin: int) -> list[Raw]:
    """Up to `WINDOW` lines from `begin`, each with its ending."""
    piece = value[begin : begin + REACH]
    # Not splitlines(): a lone \r, or a form feed, ends no line of a protocol.
    lines: list[Raw] = []
    if isinstance(piece, str):
        lines += piece.split("\n", WINDOW)
        ending: Raw = "\n"
    else:
        lines += piece.split(b"\n", WINDOW)
        ending = b"\n"
    whole = [line + ending for line in lines[:-1]]  # type: ignore[operator]
    return whole[:WINDOW] if len(lines) > WINDOW else whole + [line for line in lines[-1:] if line]


def _goes_on(value: Raw, begin: int, lines: list[Raw]) -> bool:
    return begin + sum(map(len, lines)) < len(value)


def _extent(value: Raw) -> str:
    ends = value.endswith("\n") if isinstance(value, str) else value.endswith(b"\n")
    return counted(_breaks(value, len(value)) + (not ends and bool(value)), "line")
