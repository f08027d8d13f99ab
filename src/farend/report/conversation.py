"""A transcript as lines: when, who, and what, the long ones elided."""

from __future__ import annotations

from dataclasses import replace

from farend.core.commands import Close
from farend.core.events import Ended
from farend.core.findings import Finding
from farend.core.messages import Fragments, counted
from farend.core.transcript import Entry, Kind, Transcript
from farend.report.line import Line, Look, fitted, shown

WIDTH = 100
AFTER = 3
"""Entries that are shown behind the finding that a report is about."""
SEARCHED = 2_000
"""How far back a finding is looked for in its transcript."""
_LOOKS: dict[Kind, Look] = {Kind.FOUND: "problem", Kind.RECEIVED: "plain", Kind.SENT: "plain"}


def conversation_text(transcript: Transcript, *, tail: int | None = None, width: int = WIDTH) -> list[str]:
    """The entries of `transcript` on a line each, with the seconds since the first one.

    `→` is what the near end said, `←` what the far end said. With `tail`, only so many of the last are
    given, below a line that counts the others. No line is longer than `width`.

    >>> transcript = Transcript()
    >>> transcript.add(10.0, Kind.RECEIVED, "hello")
    >>> transcript.add(10.25, Kind.SENT, "there")
    >>> conversation_text(transcript)
    ["0.000 s  → 'hello'", "0.250 s  ← 'there'"]
    """
    first = 0 if tail is None else max(len(transcript) - tail, 0)
    return [line.text for line in stretch(transcript, first, len(transcript), width)]


def stretch(transcript: Transcript, first: int, end: int, width: int = WIDTH) -> list[Line]:
    """The entries from `first` up to `end`, with a line that counts those in front and those behind."""
    began = transcript.began
    entries = transcript[first:end]
    times = [f"{entry.time - began:,.3f} s" for entry in entries]
    column = max(map(len, times), default=0)
    lines = [_count(first, "earlier")] if first else []
    room = width - column - 2
    found = False
    closed: object = None
    websocket = bool(transcript) and transcript[0].kind is Kind.CONNECTED and transcript[0].payload is not None
    for entry, time in zip(entries, times, strict=True):
        found = found or entry.kind is Kind.FOUND
        if entry.kind is Kind.CLOSED:
            closed = entry.payload
        text = f"{time:>{column}}  {_told(entry, room, found, closed, websocket)}"
        lines.append(Line(fitted(text, width), _LOOKS.get(entry.kind, "quiet")))
    if end < len(transcript):
        lines.append(_count(len(transcript) - end, "later"))
    return lines


def around(transcript: Transcript, finding: Finding, most: int, width: int = WIDTH) -> list[Line]:
    """The `most` entries that lead up to the finding, and the few behind it."""
    end = len(transcript)
    # The near end may have gone on talking for long, so the transcript's own end can be far away.
    for index in range(end - 1, max(end - SEARCHED, 0) - 1, -1):
        entry = transcript[index]
        if entry.kind is Kind.FOUND and entry.payload is finding:
            end = min(end, index + 1 + AFTER)
            break
    return stretch(transcript, max(end - most, 0), end, width)


def _told(entry: Entry, room: int, found: bool, closed: object, websocket: bool) -> str:
    """What happened. Where a finding closed the connection, the close's reason only says the finding again.

    So does the near end's own, if it is the echo of what the far end `closed` with (RFC 6455, 5.5.1).
    """
    payload = entry.payload
    match entry.kind:
        case Kind.RECEIVED:
            return "→ " + shown(payload, room - 2)
        case Kind.SENT if isinstance(payload, Fragments):
            parts = f" in {counted(len(payload.parts), 'fragment')}"
            return f"← {shown(payload.joined(), room - 2 - len(parts))}{parts}"
        case Kind.SENT:
            return "← " + shown(payload, room - 2)
        case Kind.CLOSED if found and isinstance(payload, Close):
            return f"× far end closed {payload.code}" if websocket else "× far end closed"
        case Kind.ENDED if isinstance(closed, Close) and isinstance(payload, Ended) and payload.reason == closed.reason:
            return f"× near end ended: {replace(payload, reason='')}"
    return str(entry)


def _count(number: int, which: str) -> Line:
    return Line(f"… {counted(number, which + ' line')}", "quiet")
