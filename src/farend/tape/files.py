"""How the files of a tape are written: in parts, which are not copied together first."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

_gathered: Final[Callable[[int, Sequence[bytes]], int]] = getattr(
    os, "writev", lambda file, parts: os.write(file, b"".join(parts))
)


def write(file: int, parts: Sequence[bytes]) -> int:
    """Write these parts, one behind the other, with one call; gives how many bytes were taken."""
    return os.write(file, parts[0]) if len(parts) == 1 else _gathered(file, parts)
