"""What is much stands beside a tape as it came, until the tape is closed: to spell it would hold up who is recorded.

A line whose payload is in the file beside it, `feed.jsonl.bulk`, has the field `bulk`, the offset and the size in
bytes: `"bulk":[0,65536]`. When the tape is closed, it is put together, and there is one file. Who reads a tape that
is still recorded, or whose recorder was killed, is given the payloads from both.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final

from farend.tape.format import Wire
from farend.tape.spelling import separated, spelled

MUCH: Final = 32 << 10
"""Bytes, or characters, from which on a payload is much."""
_BINARY: Final = b'"binary":true,'
_BULK: Final = re.compile(rb'"bulk":\[(\d+),(\d+)\]\}\n\Z')
_STEP: Final = 1 << 20


def bulk_of(tape: Path) -> Path:
    """The file beside the tape."""
    return tape.with_name(tape.name + ".bulk")


def rest_of(tape: Path) -> list[Path]:
    """What may be left of a tape whose recorder was killed, and is of no use without the tape."""
    return [bulk_of(tape), _whole_of(tape)]


def _whole_of(tape: Path) -> Path:
    return tape.with_name(tape.name + ".whole")


def bulk_field(begin: int, size: int, *, binary: bool = False) -> bytes:
    """The last field of a line whose payload stands there, and the line's end; a message that is `binary` says so."""
    return b'%s"bulk":[%d,%d]}\n' % (_BINARY if binary else b"", begin, size)


# -- putting together -----------------------------------------------------------------------------


def put_together(tape: Path, wire: Wire) -> Generator[float, None, int]:
    """Have all that was said on the tape itself, a megabyte or so at each step; gives the number of its lines.

    Each step tells how much of it is done, from 0 to 1.

    Raises `OSError` where that cannot be done; the tape and what is beside it are as they were then.
    """
    whole, bulk = _whole_of(tape), bulk_of(tape)
    lines, since = -1, 0  # for the header is none
    try:
        with open(tape, "rb") as old, open(bulk, "rb") as much, open(whole, "wb", _STEP) as new:
            shutil.copymode(tape, whole)
            size, read = sum(os.fstat(file.fileno()).st_size for file in (old, much)), 0
            for line in old:
                parts, count = _spelled(line, much, wire)
                for part in parts:
                    new.write(part)
                    since += len(part)
                lines += count
                read += len(line)
                if since > _STEP:
                    since = 0
                    yield (read + much.tell()) / size
        os.replace(whole, tape)
    except BaseException:
        with contextlib.suppress(OSError):
            whole.unlink(missing_ok=True)
        raise
    bulk.unlink(missing_ok=True)
    return lines


def _spelled(line: bytes, much: IO[bytes], wire: Wire) -> tuple[tuple[bytes, ...], int]:
    """What stands on the tape for this line in the end, and how many lines that is."""
    found = _BULK.search(line)
    if found is None:
        return (line,), 1
    begun = line[: found.start()]
    much.seek(int(found[1]))
    payload = much.read(int(found[2]))
    if wire == "tcp":
        payloads = separated(payload)
        return spelled(begun.decode(), payloads, bytes_are_usual=True), len(payloads)
    if begun.endswith(_BINARY):
        return spelled(begun.removesuffix(_BINARY).decode(), [payload], bytes_are_usual=False), 1
    return spelled(begun.decode(), [payload.decode("utf-8", "surrogatepass")], bytes_are_usual=False), 1


# -- reading --------------------------------------------------------------------------------------


class BulkReader:
    """The file beside a tape, for who reads. It is opened when it is needed, and then kept."""

    def __init__(self, tape: Path) -> None:
        self._path = bulk_of(tape)
        self._file: IO[bytes] | None = None

    def read(self, offset: int, size: int) -> bytes:
        """A payload. Raises `ValueError` where it is not there, which says why."""
        try:
            if self._file is None:
                self._file = open(self._path, "rb")  # noqa: SIM115 (closed by `close`)
            self._file.seek(offset)
            payload = self._file.read(size)
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

    def close(self) -> None:
        """Close the file. To do it twice does no harm."""
        if self._file is not None:
            self._file.close()
