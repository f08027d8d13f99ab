"""Bytes in rows: an offset, the bytes in hexadecimal, and the same as ASCII."""

from __future__ import annotations

from collections.abc import Iterator

from farend.core.messages import counted
from farend.report.compare import first_difference
from farend.report.line import Line, Look

ABOVE = 1
"""Rows shown in front of the one with the first difference."""
BELOW = 3
"""Rows shown behind it."""
_WHO = 9


def per_row(room: int) -> int:
    """How many bytes a row holds: 16, or 8 where the screen is narrow."""
    return 16 if room >= len(_row("expected", 0, b"\0" * 16, 16)) else 8


def differing(expected: bytes, got: bytes, room: int) -> list[Line]:
    """The rows around the first difference: what was expected above what came, with marks below."""
    step = per_row(room)
    at = first_difference(expected, got)
    begin = max(at // step - ABOVE, 0) * step
    end = (at // step + BELOW + 1) * step
    lines = [Line(f"{_lengths(expected, got)} the first difference is at offset {at:,} ({at:#x})", "quiet")]
    if begin:
        lines.append(Line(f"… {counted(begin, 'equal byte')}", "quiet"))
    for offset in range(begin, min(end, max(len(expected), len(got))), step):
        lines += _pair(expected[offset : offset + step], got[offset : offset + step], offset, step)
    left, right = max(len(expected) - end, 0), max(len(got) - end, 0)
    if left or right:
        more = counted(left, "more byte")
        lines.append(Line(f"… {more}" if left == right else f"… {more} expected, {right:,} came", "quiet"))
    return lines


def dump(data: bytes, room: int, rows: int = 4) -> list[Line]:
    """The first rows of `data`."""
    step = per_row(room)
    lines = [
        Line(_row("", offset, data[offset : offset + step], step).lstrip(), "got")
        for offset in range(0, min(len(data), rows * step), step)
    ]
    if len(data) > rows * step:
        lines.append(Line(f"… {counted(len(data) - rows * step, 'more byte')}", "quiet"))
    return lines


def row(data: bytes, offset: int) -> str:
    """One row: at most 16 bytes, and where they are."""
    return _row("", offset, data, 16).lstrip()


def _pair(left: bytes, right: bytes, offset: int, step: int) -> Iterator[Line]:
    if left == right:
        yield Line(_row("", offset, left, step), "quiet")
        return
    sides: tuple[tuple[str, bytes, Look], ...] = (("expected", left, "expected"), ("got", right, "got"))
    for who, data, look in sides:
        yield Line(_row(who, offset, data, step) if data else f"{who:<{_WHO}}{offset:08x}  (ended)", look)
    yield Line(_marks(left, right, step), "mark")


def _row(who: str, offset: int, data: bytes, step: int) -> str:
    columns = " ".join(f"{byte:02x}" for byte in data)
    return f"{who:<{_WHO}}{offset:08x}  {columns:<{step * 3 - 1}}  |{_ascii(data)}|"


def _marks(left: bytes, right: bytes, step: int) -> str:
    other = [left[index : index + 1] != right[index : index + 1] for index in range(max(len(left), len(right)))]
    columns = " ".join("^^" if one else "  " for one in other)
    below = "".join("^" if one else " " for one in other)
    return f"{'':<{_WHO + 10}}{columns:<{step * 3 - 1}}   {below}".rstrip()


def _ascii(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def _lengths(expected: bytes, got: bytes) -> str:
    if len(expected) == len(got):
        return f"{counted(len(got), 'byte')} each;"
    return f"{counted(len(expected), 'byte')} expected, {len(got):,} came;"
