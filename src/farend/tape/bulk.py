"""What is much stands beside a tape as it came, until the tape is closed: to spell it would hold up who is recorded.

A line whose payload is in the file beside it, `feed.jsonl.bulk`, has the field `bulk`, the offset and the size in
bytes: `"bulk":[0,65536]`. When the tape is closed, it is put together, and there is one file. Who reads a tape that
is still recorded, or whose recorder was killed, is given the payloads from both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final

from farend.tape.files import opened
from farend.tape.format import Wire
from farend.tape.spelling import separated, spelled

MUCH: Final = 32 << 10
"""Bytes, or characters, from which on a payload is much."""
_BINARY: Final = b'"binary":true,'
_BULK: Final = re.compile(rb'"bulk":\[(\d+),(\d+)\]\}\n\Z')
_STEP: Final = 1 << 20
_GENEROUS: Final = 4
"""How often a reader is given what stands beside a tape: once, if its lines are true; a stranger's may not be."""


def bulk_of(tape: Path) -> Path:
    """The file beside the tape."""
    return tape.parent / f"{tape.name}.bulk"


def leftovers_of(tape: Path) -> list[Path]:
    """What may be left of a tape whose recorder was killed, and is of no use without the tape."""
    return [bulk_of(tape), _whole_of(tape)]


def _whole_of(tape: Path) -> Path:
    return tape.parent / f"{tape.name}.whole"


def bulk_field(begin: int, size: int, *, binary: bool = False) -> bytes:
    """The last field of a line whose payload stands there, and the line's end; a message that is `binary` says so."""
    return b'%s"bulk":[%d,%d]}\n' % (_BINARY if binary else b"", begin, size)


# -- putting together -----------------------------------------------------------------------------


def put_together(tape: Path, wire: Wire, payloads: int) -> Generator[float, None, int]:
    """Have all that was said on the tape itself, so many payloads of the bulk's; gives the number of the tape's lines.

    A megabyte or so is done at each step, which tells how much of all that is, from 0 to 1. Raises `OSError` or
    `ValueError` where it cannot be done; the tape and the bulk are as they were then.
    """
    whole, bulk = _whole_of(tape), bulk_of(tape)
    lines, since = -1, 0  # for the header is none
    try:
        with open(tape, "rb") as old, open(bulk, "rb") as much, open(whole, "wb", _STEP) as new:
            shutil.copymode(tape, whole)
            size, read = sum(os.fstat(file.fileno()).st_size for file in (old, much)), 0
            for line in old:
                parts, count, is_bulk = _spelled(line, much, wire)
                payloads -= is_bulk
                for part in parts:
                    new.write(part)
                    since += len(part)
                lines += count
                read += len(line)
                if since > _STEP:
                    since = 0
                    yield (read + much.tell()) / size
        if payloads:
            raise OSError(errno.EIO, "somebody else has written on it")
        os.replace(whole, tape)
    except BaseException:
        with contextlib.suppress(OSError):
            whole.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # where somebody reads it, and the system minds
        bulk.unlink(missing_ok=True)
    return lines


def _spelled(line: bytes, much: IO[bytes], wire: Wire) -> tuple[tuple[bytes, ...], int, bool]:
    """What stands on the tape for this line in the end, how many lines that is, and whether it was in the bulk."""
    found = _BULK.search(line)
    if found is None:
        return (line,), 1, False
    begun = line[: found.start()]
    much.seek(int(found[1]))
    payload = much.read(int(found[2]))
    if len(payload) < int(found[2]):
        raise OSError(errno.EIO, "something is missing in the file beside it")
    if wire == "tcp":
        payloads = separated(payload)
        return spelled(begun.decode(), payloads, bytes_are_usual=True), len(payloads), True
    if begun.endswith(_BINARY):
        return spelled(begun.removesuffix(_BINARY).decode(), [payload], bytes_are_usual=False), 1, True
    return spelled(begun.decode(), [payload.decode("utf-8", "surrogatepass")], bytes_are_usual=False), 1, True


def lines_of(payload: bytes, wire: Wire) -> int:
    """How many lines this payload of the bulk will be on the tape."""
    return len(separated(payload)) if wire == "tcp" else 1


# -- reading --------------------------------------------------------------------------------------


class BulkReader:
    """The file beside a tape, for who reads. It is opened as soon as it is there, and then kept."""

    def __init__(self, tape: Path) -> None:
        self._path = bulk_of(tape)
        self._file: IO[bytes] | None = None
        self._given = 0
        self.look()

    def look(self) -> None:
        """Open it where it is there: it goes when the tape is closed."""
        if self._file is None:
            with contextlib.suppress(OSError):
                self._file = opened(self._path)

    def read(self, offset: int, size: int) -> bytes:
        """A payload. Raises `ValueError` where it is not there, which says why."""
        try:
            file = self._file = self._file or opened(self._path)
            self._given += size
            if self._given > _GENEROUS * os.fstat(file.fileno()).st_size:
                raise ValueError("there is less than its lines speak of")
            file.seek(offset)
            payload = file.read(size)
        except FileNotFoundError:
            raise ValueError(
                f"what was said stands beside the tape, in {self._path.name}, which is not there; the two belong "
                "together until the tape is closed (if that was just now, read it again)"
            ) from None
        except (OSError, OverflowError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"what was said, in {self._path.name}, cannot be read: {reason}") from None
        if len(payload) < size:
            raise ValueError(f"what was said, in {self._path.name}, is cut off")
        return payload

    def again(self) -> None:
        """All of it may be asked for once more."""
        self._given = 0

    def close(self) -> None:
        """Close the file. To do it twice does no harm."""
        if self._file is not None:
            self._file.close()
