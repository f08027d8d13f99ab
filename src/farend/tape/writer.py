"""Writes tapes, one line at a time: when `write` returns, the system has the line, and a recorder may be killed.

Nothing is kept in memory. A line that does not fit on the disk is taken back, so that the tape ends with a whole one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from farend.errors import TapeUnavailable, WrongState, WrongType
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
        self._size = 0
        try:
            self._file: int | None = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _CLOEXEC, 0o644)
        except OSError as error:
            raise TapeUnavailable(error.errno, f"the tape {self.path} cannot be written: {error.strerror}") from None
        for left in beside(self.path):  # by who was killed while he wrote the tape that this one replaces
            left.unlink(missing_ok=True)
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
        """Close the file. To do it twice does no harm."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

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

    def write_bytes(self, *parts: bytes) -> None:
        """Write whole lines that are spelled already, in one or several parts."""
        if self.error is not None:
            raise self.error
        if self._file is None:
            raise WrongState(f"the tape {self.path} is closed")
        try:
            if len(parts) == 1:
                data = parts[0]
                size, written = len(data), os.write(self._file, data)
            else:
                size, written = sum(map(len, parts)), _gathered(self._file, parts)
            while written < size:
                written += os.write(self._file, b"".join(parts)[written:])
        except OSError as error:
            self._take_back()
            self.error = TapeUnavailable(
                error.errno,
                f"the tape {self.path} cannot be written any more: {error.strerror}; "
                f"it holds the {self.lines:,} lines that were said before",
            )
            raise self.error from None
        self._size += written
        self.lines += 1

    def _take_back(self) -> None:
        assert self._file is not None
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)


_gathered: Callable[[int, Sequence[bytes]], int] = getattr(
    os, "writev", lambda file, parts: os.write(file, b"".join(parts))
)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


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
