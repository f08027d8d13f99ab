"""Remarks on two payloads that are nearly the same: what sort of difference it is, in a sentence."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator

from farend.core.messages import counted
from farend.report.compare import Raw, first_difference
from farend.report.line import shown

LIMIT = 1 << 16
"""Longer payloads are not searched for what they have in common: a report is made at once."""


def remarks(expected: Raw, got: Raw) -> Iterator[str]:
    """What is worth saying of the difference beside where it is."""
    short = len(expected) <= LIMIT and len(got) <= LIMIT
    kind = next((sentence for same, sentence in _SAME if short and same(expected, got)), None)
    if kind is not None:
        yield kind
    elif expected and got[: len(expected)] == expected:
        rest = got[len(expected) :]
        yield f"What came begins as expected, and goes on with {shown(rest, 60)}: {_extent(rest)} too many."
    elif got and expected[: len(got)] == got:
        rest = expected[len(got) :]
        yield f"What came is the beginning of what was expected; {shown(rest, 60)} is missing: {_extent(rest)}."
    if isinstance(expected, str) and isinstance(got, str):
        yield from _characters(expected, got)


def kinds(expected: object, got: object) -> str:
    """The sentence for text where bytes were expected, or the reverse; empty for all else."""
    if isinstance(expected, str) and isinstance(got, bytes):
        same = len(expected) <= LIMIT and expected.encode(errors="replace") == got
        advice = "Expect bytes if binary is meant, or let the near end send text."
        return f"Text was expected, binary came{' (with the same content)' if same else ''}. {advice}"
    if isinstance(expected, bytes) and isinstance(got, str):
        same = len(got) <= LIMIT and got.encode(errors="replace") == expected
        advice = "Expect str if text is meant, or let the near end send binary."
        return f"Binary was expected, text came{' (with the same content)' if same else ''}. {advice}"
    return ""


def _characters(expected: str, got: str) -> Iterator[str]:
    """The code points, where the first characters that differ may look the same to the eye."""
    at = first_difference(expected, got)
    left, right = expected[at : at + 1], got[at : at + 1]
    if left and right and not (left + right).isascii():
        yield f"At character {at:,}, {_code_point(left)} was expected, and {_code_point(right)} came."


def _code_point(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"{character!r} (U+{ord(character):04X}{' ' + name if name else ''})"


def _extent(rest: Raw) -> str:
    return counted(len(rest), "character" if isinstance(rest, str) else "byte")


def _text(value: Raw) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _ending(expected: Raw, got: Raw) -> bool:
    return _text(expected).rstrip("\r\n") == _text(got).rstrip("\r\n")


def _endings(expected: Raw, got: Raw) -> bool:
    return _text(expected).replace("\r\n", "\n") == _text(got).replace("\r\n", "\n")


def _spaces(expected: Raw, got: Raw) -> bool:
    return "".join(_text(expected).split()) == "".join(_text(got).split())


def _case(expected: Raw, got: Raw) -> bool:
    return _text(expected).casefold() == _text(got).casefold()


def _composed(expected: Raw, got: Raw) -> bool:
    if isinstance(expected, bytes) or isinstance(got, bytes):
        return False
    return unicodedata.normalize("NFC", expected) == unicodedata.normalize("NFC", got)


def _json(expected: Raw, got: Raw) -> bool:
    if not _text(expected).lstrip().startswith(("{", "[")):
        return False
    try:
        return bool(json.loads(expected) == json.loads(got))
    except (ValueError, RecursionError):
        return False


_SAME: tuple[tuple[Callable[[Raw, Raw], bool], str], ...] = (
    (_ending, "Only the line ending at the end differs."),
    (_endings, r"Only the line endings differ: \r\n on one side, \n on the other."),
    (_json, "Both are the same JSON, written otherwise: expect(json=…) compares values instead of text."),
    (_spaces, "Only white space differs."),
    (_case, "Only upper and lower case differ."),
    (_composed, "They look the same, and are composed of other Unicode characters (NFC and NFD)."),
)
