"""Reads tapes, one line at a time, so that a tape may be larger than memory.

A tape is data from anybody: it is parsed as JSON and nothing else, and no line may be longer than the limit.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

from farend.errors import InvalidArguments, TapeDamaged, TapeTooLarge, TapeTorn, TapeUnavailable, WrongType
from farend.tape.bulk import BulkReader, lines_of
from farend.tape.files import opened
from farend.tape.format import MAX_LINE, Header, Line, parsed_header, parsed_line
from farend.tape.unfinished import parts_of

_STEP: Final = 1 << 20
"""Bytes of a line that are read at once where nobody wants to know what it says."""


def warn_if_torn(path: str | os.PathLike[str], number: int | None, *, stacklevel: int = 2) -> None:
    """Warn that the last line of a tape is cut off, where `torn` of a reader or an index is its number."""
    if number is not None:
        warnings.warn(TapeTorn(f"{path}, line {number}: it is cut off, and was left away"), stacklevel=stacklevel + 1)


def checked_max_line(value: object) -> int:
    """The length of the longest line that is read, as users write it. Raises `InvalidArguments`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidArguments(f"max_line= takes a number of bytes, not {value!r}")
    return value


class Position(NamedTuple):
    """Where in a tape a line begins: its offset in bytes, and the number of the line before it.

    `apart` is how many lines more those before it are once the tape is put together.
    """

    offset: int
    number: int
    apart: int = 0


class TapeReader(Iterator[Line]):
    r"""The lines of a tape, in order; its header is there at once.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "feed.jsonl")
    >>> said = '{"connection":1,"kind":"message","from":"client","text":"PING"}'
    >>> _ = path.write_text('{"tape":1,"wire":"tcp"}\n' + said + '\n{"conn')
    >>> with TapeReader(path) as tape:
    ...     print([line.payload for line in tape], tape.header.wire, tape.torn)
    [b'PING'] tcp 3

    `path` is the file; `max_line` is the length of the longest line that is read, in bytes. A last line
    that is cut off is not given: `torn` is its number then, once all is read, and None otherwise. With
    `unfinished`, what had come of messages that were not whole when a recorder was killed follows, as lines of the
    kind `raw`.

    Raises `TapeUnavailable` where the file cannot be read, `NotATape` where it is something else,
    `TapeTooNew` where a newer farend wrote it; and while it is read, `TapeDamaged` or `TapeTooLarge`, which
    name the line.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_line: int = MAX_LINE, unfinished: bool = True) -> None:
        if not isinstance(path, str | os.PathLike):
            raise WrongType(f"a tape is named by its path, not by {path!r}")
        self._max_line = checked_max_line(max_line)
        self.path = Path(path)
        self.torn: int | None = None
        self.number = 0
        """The number of the line that was read last; the header is line 1."""
        self._apart = 0
        self._parts = parts_of(self.path) if unfinished else []
        self._bulk = BulkReader(Path(os.path.realpath(self.path)))  # first, for it goes when the tape is closed
        try:
            self._file: IO[bytes] = open(self.path, "rb")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            self._bulk.close()
            raise TapeUnavailable(error.errno, f"the tape {path} cannot be read: {error.strerror}") from None
        try:
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. To do it twice does no harm."""
        self._file.close()
        self._bulk.close()

    @property
    def position(self) -> Position:
        """Where the next line begins; `go_to` goes there, in another reader of the same tape as well."""
        return Position(self._file.tell(), self.number, self._apart)

    def is_recorded_anew(self, position: Position) -> bool:
        """Whether there is another tape at the path by now, for who has read up to there."""
        try:
            found, own = os.stat(self.path), os.fstat(self._file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return False
            with open(self.path, "rb") as file:
                begun = file.readline(len(self._first) + 1)
        except OSError:
            return False
        if not begun.endswith(b"\n") and len(begun) <= len(self._first):
            return False  # not yet: it has just been emptied
        return begun != self._first or (os.path.samestat(found, own) and found.st_size < position.offset)

    def go_to(self, position: Position) -> None:
        """Read on from there; not once the end has been read, which may be in another file."""
        self._file.seek(position.offset)
        self._bulk.look()
        self._bulk.again()
        self.number, self._apart = position.number, position.apart

    def go_to_whole(self, position: Position) -> bool:
        """Read on from there in the tape that was put together meanwhile; False where there is none at the path.

        Not once the end has been read, as with `go_to`.
        """
        with contextlib.ExitStack() as left:
            try:
                whole = left.enter_context(opened(Path(os.path.realpath(self.path))))
                if os.path.sameopenfile(whole.fileno(), self._file.fileno()):
                    return False
                if whole.readline(len(self._first)) != self._first:
                    return False
                if not _is_past(whole, position.number - 1 + position.apart):
                    return False
            except OSError:
                return False
            left.pop_all()
        self._file.close()
        self._file = whole
        self.number, self._apart = position.number + position.apart, 0
        return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Line:
        while True:
            raw = self._read()
            if not raw:
                raise StopIteration
            if not raw.isspace():
                break
        try:
            return parsed_line(self._text(raw), self.header.wire, self.number, str(self.path), self._payload_of_bulk)
        except TapeDamaged:
            if raw.endswith(b"\n"):
                raise
            self.torn = self.number
            raise StopIteration from None

    def _read_header(self) -> Header:
        self._first = b""
        try:
            self._first = self._read()
            text = self._first.decode()
        except (UnicodeDecodeError, TapeTooLarge):
            text = ""
        return parsed_header(text, str(self.path))

    def _read(self) -> bytes:
        try:
            raw = self._file.readline(self._max_line + 1)
            while not raw and self._parts:
                self._file.close()
                self._file = opened(self._parts.pop(0))
                raw = self._file.readline(self._max_line + 1)
        except OSError as error:
            raise TapeUnavailable(error.errno, f"the tape {self.path} cannot be read: {error.strerror}") from None
        self.number += 1
        self._check_size(len(raw))
        return raw

    def _payload_of_bulk(self, offset: int, size: int) -> bytes:
        """The payload that stands beside the tape there."""
        self._check_size(size)
        payload = self._bulk.read(offset, size)
        self._apart += lines_of(payload, self.header.wire) - 1
        return payload

    def _check_size(self, size: int) -> None:
        if size > self._max_line:
            raise TapeTooLarge(
                f"{self.path}, line {self.number}: it is longer than {self._max_line:,} bytes; if it is meant to be, "
                "read it with a larger max_line= (on the command line: --max-line)",
                line=self.number,
            )

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            if not raw.endswith(b"\n"):
                return ""  # cut off in the middle of a character
            raise TapeDamaged(
                f"{self.path}, line {self.number}: it is not UTF-8 ({error.reason})", line=self.number
            ) from None


def _is_past(file: IO[bytes], lines: int) -> bool:
    """Whether there are so many whole lines in the file, which are behind it then. They may be of any length."""
    while lines and (part := file.readline(_STEP)):
        lines -= part.endswith(b"\n")
    return not lines
