"""Files to which whole things are appended: what does not fit on the disk is taken back.

And how a file is read that anybody may have put there.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

_gathered: Final[Callable[[int, Sequence[bytes]], int]] = getattr(
    os, "writev", lambda file, parts: os.write(file, b"".join(parts))
)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | _BINARY
_UNFOLLOWED: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY
_MOST_PARTS: Final = 512
"""Parts that a system writes with one call, at the least (POSIX: 16; all that there are: 1024)."""
_ZEROS: Final = bytes(1 << 16)
_LEAST_AHEAD, _MOST_AHEAD = 1 << 20, 8 << 20
"""Bytes that are reserved ahead."""
_SHARE: Final = 16
"""The part of what is free on a disk that may be reserved."""
_KEEP_SIZE: Final = 1
"""`FALLOC_FL_KEEP_SIZE`: the file gets no longer by it."""


class Appended:
    r"""A file that is written from its beginning, and replaces what was there.

    >>> import pathlib, tempfile
    >>> file = Appended(pathlib.Path(tempfile.mkdtemp(), "file"))
    >>> file.append(b"one\n"), file.append(b"tw", b"o\n"), file.size
    (0, 4, 8)
    >>> file.close()

    `beside` is a file whose mode it is to have. With `ahead`, room on the disk is reserved in large pieces before it is
    needed, where the system can do that, which spares it a third of what it has to do for a write.

    Raises `OSError` where the file cannot be made or written; it ends with the last thing that was whole then.
    `BlockingIOError` says that somebody writes it just now.
    """

    def __init__(self, path: Path, *, beside: Appended | None = None, ahead: bool = False) -> None:
        self.size = 0
        """Bytes of all that was appended."""
        self._kept: list[bytes] | None = None
        self._kept_from = 0
        """Where what is kept begins."""
        self._ahead = ahead
        self._end = 0
        """Where what is reserved ends."""
        self._file: int | None = os.open(path, _FLAGS, 0o644)
        try:
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                _lock(self._file)
            if beside is not None and beside._file is not None and hasattr(os, "fchmod"):
                os.fchmod(self._file, stat.S_IMODE(os.fstat(beside._file).st_mode))
            with contextlib.suppress(OSError):  # which no device can be
                os.ftruncate(self._file, 0)
        except BaseException:
            self.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._file is None

    def is_alone_at(self, path: Path) -> bool:
        """Whether it is what stands at the path, a regular file, and nowhere else."""
        assert self._file is not None
        try:
            own, there = os.fstat(self._file), os.stat(path)
        except OSError:
            return False
        return stat.S_ISREG(own.st_mode) and os.path.samestat(own, there) and own.st_nlink == 1

    def append(self, *parts: bytes) -> int:
        """Write something in one or several parts; gives where it begins. The system has it when this returns."""
        assert self._file is not None
        begin, is_one = self.size, len(parts) == 1
        size = len(parts[0]) if is_one else sum(map(len, parts))
        if self._kept is not None:
            self._kept += parts
        else:
            if self._ahead and begin + size > self._end:
                self._reserve(begin + size)
            try:
                written = os.write(self._file, parts[0]) if is_one else _gathered(self._file, parts)
                while written < size:
                    written += os.write(self._file, b"".join(parts)[written:])
            except OSError:
                with contextlib.suppress(OSError):
                    self._cut(begin)
                raise
        self.size = begin + size
        return begin

    def keep(self) -> None:
        """Keep what is appended from now on, to write it with one call."""
        self._kept, self._kept_from = [], self.size

    def write_kept(self) -> None:
        """Write what was kept: all of it, or nothing."""
        kept, self._kept = self._kept, None
        if kept:
            self.size = self._kept_from
            self.append(*(kept if len(kept) <= _MOST_PARTS else [b"".join(kept)]))

    def erase(self, begin: int, size: int) -> None:
        """Overwrite what was written there, or take it back where it is the last."""
        assert self._file is not None
        if begin + size == self.size and not self._kept:
            self._cut(begin)
            return
        os.lseek(self._file, begin, os.SEEK_SET)
        while size > 0:
            size -= os.write(self._file, _ZEROS[:size])
        os.lseek(self._file, self._kept_from if self._kept else self.size, os.SEEK_SET)

    def clear(self) -> None:
        """Begin again with an empty file."""
        self._cut(0)

    def close(self) -> None:
        """Close the file. To do it twice does no harm."""
        file, self._file = self._file, None
        if file is not None:
            if self._end > self.size:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, os.fstat(file).st_size)  # to give back what was reserved behind it
            os.close(file)

    def _reserve(self, end: int) -> None:
        """Have room up to there, and as much again as there is already, if that is little of what is free."""
        assert self._file is not None
        more = min(max(end, _LEAST_AHEAD), _MOST_AHEAD)
        reserve = _fallocate()
        if (
            reserve is None
            or _free(self._file) < more * _SHARE
            or reserve(self._file, _KEEP_SIZE, self.size, end - self.size + more)
        ):
            self._ahead = False
        self._end = end + more

    def _cut(self, size: int) -> None:
        assert self._file is not None
        self.size = self._kept_from = self._end = size
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """`fallocate(2)`, which gives 0 if it has reserved so much; None where there is none.

    `os.posix_fallocate` makes a file longer, and writes into each block where the file system can reserve nothing.
    """
    try:
        import ctypes

        function = ctypes.CDLL(None).fallocate
    except (ImportError, OSError, TypeError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function if sys.maxsize > 1 << 32 else None  # else it may take shorter numbers


def _free(file: int) -> int:
    """Bytes that are free on the disk that the file is on; 0 where nobody knows."""
    try:
        disk = os.fstatvfs(file)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize


def _lock(file: int) -> None:
    """Nobody else is to write it until it is closed. Where that cannot be had, it is done without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


def opened(path: Path) -> IO[bytes]:
    """A regular file, to be read: no link is followed, and nothing is waited for. Raises `OSError`."""
    file = os.open(path, _UNFOLLOWED)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is no regular file")
    return open(file, "rb")
