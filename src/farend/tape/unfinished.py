"""What has come of a message that is not whole yet: it stands beside the tape until the message is on it.

A tape has whole messages, for who reads it and for who compares it with another. But whoever kills the recorder in the
middle of a long message is to find what had come of it. So that is kept in a file of its own, for each side of a
connection, `feed.jsonl.1-client.part`: lines of the kind `raw`, which a reader takes for the last ones of the tape.
"""

from __future__ import annotations

import contextlib
import glob
import re
from pathlib import Path
from typing import Final

from farend.tape.files import Appended
from farend.tape.format import Side

_NAME: Final = re.compile(r"\.(\d+)-(client|server)\.part\Z")


class Unfinished:
    """The file for what one side of a connection has said of a message."""

    def __init__(self, tape: Path, connection: int, sender: Side) -> None:
        self._path = tape.with_name(f"{tape.name}.{connection}-{sender}.part")
        self._file: Appended | None = None
        self._failed = False

    def write(self, *line: bytes) -> None:
        """More of the message has come. Where it cannot be written, the tape will tell, or will have room."""
        if self._failed:
            return
        try:
            if self._file is None:
                self._file = Appended(self._path)
            self._file.append(*line)
        except OSError:
            self.close()
            self._failed = True

    def clear(self) -> None:
        """The message is on the tape."""
        if self._file is not None and self._file.size:
            try:
                self._file.clear()
            except OSError:
                self.close()
                self._failed = True

    def close(self) -> None:
        """There will be no more."""
        if self._file is not None:
            self._file.close()
            self._file = None
            with contextlib.suppress(OSError):
                self._path.unlink()


def parts_of(tape: Path) -> list[Path]:
    """The files that a killed recorder has left beside the tape, by connection."""
    found = tape.parent.glob(glob.escape(tape.name) + ".*.part")
    named = [(path, match) for path in found if (match := _NAME.search(path.name))]
    return [path for path, match in sorted(named, key=lambda one: (int(one[1][1]), one[1][2]))]
