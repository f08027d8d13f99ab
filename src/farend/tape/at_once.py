"""Looks for many things at once, with the processor's vector instructions, where Hyperscan is there (`farend[fast]`).

Hyperscan makes tables of what is looked for. That takes as long as to look through some megabytes without them, and so
it is done once so much has come.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

WORTH_IT: Final = 1 << 20
"""Bytes that are looked through without tables before they are made."""

Note = Callable[[int, int], bool]
"""Told the number of an expression and where a match of it ends; True ends the search."""


class Expression(NamedTuple):
    """What is looked for, as `re` and Hyperscan both read it; with `any_case`, in capital and small letters."""

    pattern: bytes
    any_case: bool = False


def exactly(data: bytes) -> bytes:
    r"""The pattern of just these bytes.

    >>> exactly(b"a.b")
    b'a\\x2eb'
    """
    return b"".join(b"%c" % byte if byte < 128 and chr(byte).isalnum() else rb"\x%02x" % byte for byte in data)


class AtOnce:
    r"""Looks for all expressions in one pass. It answers None where it cannot, or where that is not worth it yet.

    >>> keys = AtOnce([Expression(rb"key *=", any_case=True)], worth_it=0)
    >>> keys.are_in(b"Key = 1"), keys.are_in(b"key: 1"), keys.ends(b"key=1, KEY =2", 0)
    (True, False, [4, 12])

    `worth_it` is how many bytes are left to others first.
    """

    def __init__(self, expressions: list[Expression], *, worth_it: int = WORTH_IT) -> None:
        self._expressions = expressions
        self._left = worth_it
        self._tables: _Tables | None = None

    def are_in(self, data: bytes) -> bool | None:
        """Whether any of the expressions matches somewhere."""
        tables = self._tables or self._made(len(data))
        return None if tables is None else tables.are_in(data)

    def ends(self, data: bytes, number: int) -> list[int] | None:
        """Where the matches of the expression with this number end, in order."""
        found: set[int] = set()

        def note(which: int, end: int) -> bool:
            if which == number:
                found.add(end)
            return False

        tables = self._tables or self._made(len(data))
        return sorted(found) if tables is not None and tables.scan(data, note) else None

    def _made(self, size: int) -> _Tables | None:
        """The tables, once it is worth to make them; until then, so much more is left to others."""
        if self._left > 0:
            self._left -= size
        elif self._expressions:
            self._tables, self._expressions = _tables(self._expressions), []
        return self._tables


class _Tables:
    """What Hyperscan has made of some expressions: a database, and the room in which one search at a time can work."""

    def __init__(self, expressions: list[Expression]) -> None:
        import hyperscan  # which takes a while, and little is said on most tapes

        free = threading.Lock()
        self._take, self._give_back = free.acquire, free.release
        self._stopped = hyperscan.ScanTerminated
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=[one.pattern for one in expressions],
                ids=list(range(len(expressions))),
                elements=len(expressions),
                flags=[hyperscan.HS_FLAG_CASELESS if one.any_case else 0 for one in expressions],
            )
        except hyperscan.error as error:
            raise ValueError(f"these are too large, or too many: {error}") from error
        self._scan = database.scan

    def are_in(self, data: bytes) -> bool | None:
        """Whether anything is found. None where another thread looks just now, and nothing was done."""
        if not self._take(False):
            return None
        try:
            self._scan(data, _stop)
        except self._stopped:
            return True
        finally:
            self._give_back()
        return False

    def scan(self, data: bytes, note: Note) -> bool:
        """Look through it. False where another thread does just now, and nothing was done."""
        if not self._take(False):
            return False
        try:
            with contextlib.suppress(self._stopped):
                self._scan(data, lambda number, start, end, flags, context: note(number, end))
        finally:
            self._give_back()
        return True


def _stop(number: int, start: int, end: int, flags: int, context: object) -> bool:
    """Something is found, and that is enough."""
    return True


def _tables(expressions: list[Expression]) -> _Tables | None:
    """The tables for these; None where there can be none."""
    try:
        return _Tables(expressions)
    except (ImportError, ValueError):
        return None
