"""What was said, as the lines of a tape: what comes before a payload is given, the payload is spelled behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farend.tape.format import base64_of, payload_text, text_of

SHORT: Final = 4096
"""Bytes, or characters, of a payload of which a copy more or less is all the same."""
_NEWLINE: Final = ord("\n")
OPENS: Final = b"{["
"""Bytes with which JSON that is worth a look begins."""


def separated(data: bytes) -> Sequence[bytes]:
    """JSON lines each by itself, for lines that come together today may come one by one tomorrow; else all of it."""
    if not (data and data[-1] == _NEWLINE and data[0] in OPENS):
        return (data,)
    return data.splitlines(keepends=True) if b"\r" not in data else [line + b"\n" for line in data[:-1].split(b"\n")]


def spelled_line(begun: str, payload: str | bytes, *, bytes_are_usual: bool) -> bytes:
    """A line for the payload, which begins with `begun`."""
    return f"{begun}{payload_text(payload, bytes_are_usual=bytes_are_usual)}}}\n".encode("utf-8", "backslashreplace")


def spelled(
    begun: str, payloads: Sequence[str | bytes], *, bytes_are_usual: bool, readable: bool = True
) -> tuple[bytes, ...]:
    """A line for each payload, which begins with `begun`, in parts that are written one behind the other.

    What need not be `readable` is spelled the quickest way.
    """
    first = payloads[0]
    if len(payloads) == 1 and isinstance(first, bytes) and len(first) > SHORT and not (readable and text_of(first)):
        # As it is, for each copy of much takes long.
        return begun.encode(), b'"base64":"', base64_of(first), b'"}\n'
    return (b"".join([spelled_line(begun, payload, bytes_are_usual=bytes_are_usual) for payload in payloads]),)
