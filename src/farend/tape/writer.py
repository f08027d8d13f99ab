"""Writes tapes, one line at a time: when `write` returns, the system has the line, and a recorder may be killed.

Nothing is kept in memory. A line that does not fit on the disk is taken back, so that the tape ends with a whole one.
What is much stands beside the tape until it is closed (`bulk.py`).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from farend.errors import TapeUnavailable, WrongState, WrongType
from farend.tape.bulk import bulk_of, put_together, rest_of
from farend.tape.files import Appended
from farend.tape.format import Header, Line, Wire, header_text, line_text
from farend.tape.unfinished import beside
from farend.version import __version__

STEP = 0.001
"""Seconds to which times are rounded where nobody says otherwise."""


class TapeWriter:
    r"""A tape that is being written, line by line.

    >>> import pathlib, tempfile
    >>> from farend.tape.format import Kind, Line
    >>> path = pathlib.Path(tempfile.mkdtemp(), "feed.jsonl")
    >>> with TapeWriter(path, "tcp", times=None) as tape:
    ...     tape.write(Line(1, Kind.MESSAGE, "client", 0.1, b"PING"))
    >>> print(path.read_text().splitlines()[1])
    {"connection":1,"kind":"message","from":"client","text":"PING"}

    `path` is the file, which is replaced where there is one; `wire` is `"tcp"` or `"websocket"`; `target`
    the URL of the server. `times` are the seconds to which times are rounded; None leaves all times out,
    the header's too, so that a tape that is recorded again has changed only where the conversation has.

    Raises `TapeUnavailable` where the file cannot be made, or a line cannot be written; then every later
    `write` raises the same, the tape ends with the last line that was whole, and `error` holds what was raised.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        wire: Wire,
        *,
        target: str | None = None,
        times: float | None = STEP,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise WrongType(f"a tape is named by its path, not by {path!r}")
        self.path = Path(path)
        self.wire: Wire = wire
        self.step = _checked_step(times)
        self.lines = 0
        """How many lines were written, the header not counted."""
        self.error: TapeUnavailable | None = None
        self._held_lines: int | None = None
        real = Path(os.path.realpath(self.path))  # where a link leads: that file is replaced by the whole tape
        try:
            self._file = Appended(self.path)
        except OSError as error:
            raise TapeUnavailable(error.errno, f"the tape {self.path} cannot be written: {error.strerror}") from None
        self._real = real if self._file.is_regular else None
        self._bulk: Appended | None = None
        for left in [*beside(self.path), *rest_of(real)] if self._real else []:
            left.unlink(missing_ok=True)  # by who was killed while he wrote the tape that this one replaces
        when = None if times is None else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self.write_bytes(_bytes(header_text(Header(wire, when, target, __version__))))
        except BaseException:
            self.close()
            raise
        self.lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, once all is on it. To do it twice does no harm."""
        deque(self.closing(), maxlen=0)

    def closing(self) -> Iterator[float]:
        """Close the file, step by step where much stands beside it, so that others can have a turn.

        Each step tells how much of that is on the tape, from 0 to 1.

        Where all of it cannot be had on the tape, it is left as it is, and can be read; `error` says so.
        """
        if self._file.is_closed:
            return
        self._file.close()
        if self._bulk is not None:
            self._bulk.close()
            yield from self._put_together()

    def _put_together(self) -> Iterator[float]:
        assert self._real is not None
        try:
            self.lines = yield from put_together(self._real, self.wire)
        except OSError as error:
            self.error = self.error or TapeUnavailable(
                error.errno,
                f"the tape {self.path} cannot be put together: {error.strerror}; "
                f"it is read together with {bulk_of(self._real).name} beside it, so keep both",
            )

    def at(self, seconds: float) -> float | None:
        """A time as the tape has it: rounded, or left out."""
        return None if self.step is None else round(round(seconds / self.step) * self.step, 6)

    def write(self, line: Line) -> None:
        """Write one line; it is on its way to the disk when this returns."""
        if line.at is not None:
            at = self.at(line.at)
            if at != line.at:
                line = replace(line, at=at)
        self.write_bytes(_bytes(line_text(line, self.wire)))

    def write_bytes(self, *parts: bytes, lines: int = 1) -> None:
        """Write whole lines that are spelled already, so many, in one or several parts."""
        self._check()
        try:
            self._file.append(*parts)
        except OSError as error:
            self._fail(error)
        if self._held_lines is None:
            self.lines += lines
        else:
            self._held_lines += lines

    def put_beside(self, payload: bytes) -> int | None:
        """Write a payload, or more of one, beside the tape; gives where it begins. None where nothing can stand there.

        `bulk_field` of it ends a line on the tape.
        """
        self._check()
        if self._bulk is None:
            if self._real is None:
                return None
            try:
                self._bulk = Appended(bulk_of(self._real))
            except OSError:
                self._real = None
                return None
            if self._held_lines is not None:
                self._bulk.hold()
        try:
            return self._bulk.append(payload)
        except OSError as error:
            self._fail(error)

    def hold(self) -> None:
        """Keep what is written from now on, until `let_go`: the system has it then, after two calls."""
        self._held_lines = 0
        for file in self._files():
            file.hold()

    def let_go(self) -> None:
        """Write what was kept."""
        lines, self._held_lines = self._held_lines, None
        if lines is not None and self.error is None:
            try:
                for file in self._files():
                    file.let_go()
            except OSError as error:
                self._fail(error)
            self.lines += lines

    def _files(self) -> list[Appended]:
        """The files, the one first that lines on the other one speak of."""
        return [self._file] if self._bulk is None else [self._bulk, self._file]

    def _check(self) -> None:
        if self.error is not None:
            raise self.error
        if self._file.is_closed:
            raise WrongState(f"the tape {self.path} is closed")

    def _fail(self, error: OSError) -> NoReturn:
        self.error = TapeUnavailable(
            error.errno,
            f"the tape {self.path} cannot be written any more: {error.strerror}; "
            f"it holds the {self.lines:,} lines that were said before",
        )
        raise self.error from None


def _bytes(text: str) -> bytes:
    return (text + "\n").encode("utf-8", "backslashreplace")


def _checked_step(times: float | None) -> float | None:
    if times is not None and (
        isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times < float("inf")
    ):
        raise WrongType(
            f"times= takes the seconds to which times are rounded, such as 0.001, or None for no times, not {times!r}"
        )
    return times
