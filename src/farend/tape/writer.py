"""Writes tapes, one line at a time: when `write` returns, the system has the line, and a recorder may be killed.

Nothing is kept in memory. A line that does not fit on the disk is taken back, so that the tape ends with a whole one.
What is much stands beside the tape until it is closed (`bulk.py`).
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from farend.errors import TapeUnavailable, WrongState, WrongType
from farend.tape.bulk import bulk_field, bulk_of, leftovers_of, put_together
from farend.tape.files import Appended
from farend.tape.format import Header, Line, Wire, header_text, line_text
from farend.tape.unfinished import parts_of
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
        """How many lines were written, or are kept to be written together; the header is none."""
        self.error: TapeUnavailable | None = None
        self._is_closed = False
        self._lines_before: tuple[int, int] | None = None
        """How many they were before those that are kept, and of the bulk; None while none are kept."""
        self._alone = threading.Lock()
        """Held while something is written: a client's threads may speak and listen at once."""
        self._bulk: Appended | None = None
        self._in_bulk = 0
        """How many lines speak of what stands in the bulk."""
        try:
            self._file = Appended(self.path)
        except BlockingIOError as error:
            raise TapeUnavailable(error.errno, f"the tape {self.path} is being recorded by somebody else") from None
        except OSError as error:
            hint = ": there is no such folder" if error.errno == errno.ENOENT else ""
            raise TapeUnavailable(
                error.errno, f"the tape {self.path} cannot be written: {error.strerror}{hint}"
            ) from None
        self._real = Path(os.path.realpath(self.path))
        """Where a link leads: that file is replaced by the whole tape."""
        self.has_room_beside = self._file.is_alone_at(self._real)
        """Whether other files can stand beside the tape: not where it is a device, or has two names."""
        for left in [*parts_of(self.path), *leftovers_of(self._real)] if self.has_room_beside else []:
            try:
                left.unlink(missing_ok=True)  # by who was killed while he wrote the tape that this one replaces
            except OSError:
                self.has_room_beside = False
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
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._in_bulk:
                yield from self._put_together()
            elif self._bulk is not None:
                bulk_of(self._real).unlink(missing_ok=True)
        finally:
            self._file.close()
            if self._bulk is not None:
                self._bulk.close()

    def _put_together(self) -> Iterator[float]:
        assert self._bulk is not None
        bulk = bulk_of(self._real)
        try:
            if not (self._file.is_alone_at(self._real) and self._bulk.is_alone_at(bulk)):
                raise OSError(errno.ESTALE, "it was moved, or recorded once more, meanwhile")
            self.lines = yield from put_together(self._real, self.wire, self._in_bulk)
        except (OSError, ValueError) as error:
            problem = (
                f"the tape {self.path} cannot be put together: {getattr(error, 'strerror', None) or error}; "
                f"it is read together with {bulk.name} beside it, so keep both"
            )
            before = "" if self.error is None else f"{self.error.strerror}; "
            self.error = TapeUnavailable(getattr(error, "errno", None) or errno.EIO, before + problem)

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
        with self._alone:
            self._check()
            try:
                self._file.append(*parts)
            except OSError as error:
                self._fail(error)
            self.lines += lines

    def write_line_of_bulk(self, begun: bytes, begin: int, size: int, *, binary: bool = False) -> None:
        """Write a line that begins so, and whose payload stands in the bulk there."""
        self.write_bytes(begun, bulk_field(begin, size, binary=binary))
        with self._alone:
            self._in_bulk += 1

    def write_beside(self, begun: bytes, payload: bytes, *, binary: bool = False) -> bool:
        """Write a payload beside the tape, and the line that begins so; False where that cannot be."""
        with self._alone:
            self._check()
            bulk = self._bulk or self._begin_bulk()
            if bulk is None:
                return False
            try:
                begin = bulk.append(payload)
                self._file.append(begun + bulk_field(begin, len(payload), binary=binary))
            except OSError as error:
                self._fail(error)
            self.lines += 1
            self._in_bulk += 1
        return True

    def write_in_bulk(self, payload: bytes) -> int | None:
        """Write more of a payload beside the tape; gives where it begins. None where that cannot be."""
        with self._alone:
            self._check()
            bulk = self._bulk or self._begin_bulk()
            if bulk is None:
                return None
            try:
                return bulk.append(payload)
            except OSError as error:
                self._fail(error)

    def _begin_bulk(self) -> Appended | None:
        """The file beside the tape, once there is something for it; None where it cannot be had."""
        if self.has_room_beside:
            try:
                self._bulk = Appended(bulk_of(self._real), beside=self._file, ahead=True)
            except OSError:
                self.has_room_beside = False
            else:
                if self._lines_before is not None:
                    self._bulk.keep()
        return self._bulk

    def erase_in_bulk(self, begin: int, size: int) -> None:
        """What stands in the bulk there, and on no line, is to stand nowhere."""
        with self._alone:
            if self._bulk is not None:
                self._bulk.erase(begin, size)

    def keep(self) -> None:
        """Keep what is written from now on, until `write_kept`."""
        with self._alone:
            self._lines_before = self.lines, self._in_bulk
            for file in self._files():
                file.keep()

    def write_kept(self) -> None:
        """Write what was kept, all at once: with two calls, whatever it is. Raises `TapeUnavailable`."""
        with self._alone:
            before, self._lines_before = self._lines_before, None
            if self.error is None:
                try:
                    for file in self._files():
                        file.write_kept()
                except OSError as error:
                    self.lines, self._in_bulk = before or (0, 0)
                    self._fail(error)

    def _files(self) -> list[Appended]:
        """The files, the one first that lines on the other one speak of."""
        return [self._file] if self._bulk is None else [self._bulk, self._file]

    def _check(self) -> None:
        if self.error is not None or self._is_closed:
            raise self.error or WrongState(f"the tape {self.path} is closed")

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
