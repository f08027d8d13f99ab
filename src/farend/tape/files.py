"""Files to which whole things are appended: what does not fit on the disk is taken back."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_gathered: Final[Callable[[int, Sequence[bytes]], int]] = getattr(
    os, "writev", lambda file, parts: os.write(file, b"".join(parts))
)
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
_MOST_PARTS: Final = 512
"""Parts that a system writes with one call, at the least (POSIX: 16; all that there are: 1024)."""


class Appended:
    r"""A file that is written from its beginning, and replaces what was there.

    >>> import pathlib, tempfile
    >>> file = Appended(pathlib.Path(tempfile.mkdtemp(), "file"))
    >>> file.append(b"one\n"), file.append(b"tw", b"o\n"), file.size
    (0, 4, 8)
    >>> file.close()

    Raises `OSError` where the file cannot be made or written; it ends with the last thing that was whole then.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = os.open(path, _FLAGS, 0o644)
        self.is_regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        self.size = self._written = 0
        self._held: list[bytes] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._file is None

    def append(self, *parts: bytes) -> int:
        """Write something in one or several parts; gives where it begins. The system has it when this returns."""
        begin = self.size
        if self._held is None:
            self._write(parts)
        else:
            self._held += parts
            self.size += sum(map(len, parts))
        return begin

    def hold(self) -> None:
        """Keep what is appended from now on, to write it with one call."""
        self._held = []

    def let_go(self) -> None:
        """Write what was kept: all of it, or nothing."""
        held, self._held = self._held, None
        if held:
            self._write(held if len(held) <= _MOST_PARTS else [b"".join(held)])

    def clear(self) -> None:
        """Begin again with an empty file."""
        assert self._file is not None
        os.ftruncate(self._file, 0)
        self.size = self._written = 0

    def close(self) -> None:
        """Close the file. To do it twice does no harm."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _write(self, parts: Sequence[bytes]) -> None:
        assert self._file is not None
        size = sum(map(len, parts))
        try:
            written = os.write(self._file, parts[0]) if len(parts) == 1 else _gathered(self._file, parts)
            while written < size:
                written += os.write(self._file, b"".join(parts)[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._written)
            self.size = self._written
            raise
        self._written += size
        self.size = self._written
