"""Lines of a report, and how a value is shown on one.

A report is a list of lines, each with a look. Plain text is the lines without their looks, and a
terminal gives each look its colour: so that there is one report, and not two that drift apart.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from farend.core.messages import printed

Look = Literal["plain", "head", "expected", "got", "mark", "advice", "quiet", "problem", "code"]
LABEL = 10
"""How wide the labels `expected` and `got` are, with the gap behind them."""

_WHOLE = 1 << 40


class Line(NamedTuple):
    """One line of a report, and what kind of line it is."""

    text: str
    look: Look = "plain"


def visible(text: str) -> str:
    r"""`text` with its line breaks, control and invisible characters as escapes (`\r`, `\x1b`, `\u200b`)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def fitted(text: str, width: int) -> str:
    """`text` on one visible line of at most `width` characters."""
    clean = visible(text[: width + 1])
    return clean if len(clean) <= width else clean[: max(width - 1, 0)].rstrip() + "…"


def shown(value: object, room: int) -> str:
    """`value` as Python writes it, in at most `room` characters: what is longer ends with its type and length."""
    if not isinstance(value, str | bytes | bytearray):
        return _elided(visible(printed(value, limit=_WHOLE)), type(value).__name__, room)
    text = repr(value[: room + 1])
    if len(text) <= room:
        return text
    suffix = "… " + size(value)
    keep, space = len(value[: room + 1]), max(room - len(suffix), 4)
    while keep > 1 and len(text) > space:
        keep = min(keep - 1, keep * space // len(text))
        text = repr(value[:keep])
    return text + suffix


def _elided(text: str, kind: str, room: int) -> str:
    if len(text) <= room:
        return text
    suffix = f"… ({kind}, {len(text):,} characters)"
    return text[: max(room - len(suffix), 4)] + suffix


def size(value: str | bytes | bytearray) -> str:
    """The type and the length of a payload, as in `(bytes, 1,024 bytes)`."""
    kind, unit = ("str", "characters") if isinstance(value, str) else ("bytes", "bytes")
    return f"({kind}, {len(value):,} {unit})"


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def row(label: str, text: str, look: Look = "plain") -> Line:
    """A line with a label in front."""
    return Line(f"{label:<{LABEL}}{text}", look)


def wrapped(text: str, width: int, look: Look = "plain", most: int = 12) -> list[Line]:
    """A sentence over as many lines as it needs, up to `most`."""
    clean = " ".join(visible(part) for part in text[: width * (most + 1)].split())
    lines = textwrap.wrap(clean, width, max_lines=most, placeholder=" …", break_on_hyphens=False)
    return [Line(line, look) for line in lines]


def labelled(label: str, text: str, width: int, look: Look = "plain") -> list[Line]:
    """A sentence behind a label, over as many lines as it needs."""
    first, *rest = wrapped(text, width - LABEL, look) or [Line("", look)]
    return [row(label, first.text, look), *indented(rest, " " * LABEL)]


def indented(lines: Iterable[Line], by: str = "  ") -> Iterator[Line]:
    """The lines, moved to the right."""
    return (Line(by + line.text if line.text else "", line.look) for line in lines)
