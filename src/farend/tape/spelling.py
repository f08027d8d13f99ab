"""What was said, as the lines of a tape: what comes before a payload is given, the payload is spelled behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farend.tape.format import base64_of, payload_text, text_of

_LARGE: Final = 4096
_NEWLINE: Final = ord("\n")
_OPENS: Final = b"{["


def separated(data: bytes) -> Sequence[bytes]:
    """JSON lines each by itself, for lines that come together today may come one by one tomorrow; else all of it."""
    if not (data and data[-1] == _NEWLINE and data[0] in _OPENS):
        return (data,)
    return data.splitlines(keepends=True) if b"\r" not in data else [line + b"\n" for line in data[:-1].split(b"\n")]


def spelled(
    begun: str, payloads: Sequence[str | bytes], *, bytes_are_usual: bool, readable: bool = True
) -> tuple[bytes, ...]:
    """A line for each payload, which begins with `begun`, in parts that are written one behind the other.

    What need not be `readable` is spelled the quickest way.
    """
    first = payloads[0]
    if len(payloads) == 1 and isinstance(first, bytes) and len(first) > _LARGE and not (readable and text_of(first)):
        # As it is, for each copy of much takes long.
        return begun.encode(), b'"base64":"', base64_of(first), b'"}\n'
    lines = f"{begun}{payload_text(first, bytes_are_usual=bytes_are_usual)}}}\n"
    for payload in payloads[1:]:
        lines += f"{begun}{payload_text(payload, bytes_are_usual=bytes_are_usual)}}}\n"
    return (lines.encode("utf-8", "backslashreplace"),)
