"""What is done to transports alike wherever bytes are moved: one place for all bytes to land in, and the reset."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any, Final

READ_SIZE: Final = 256 << 10
"""Bytes that are read at once, at most."""
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class _Landing(threading.local):
    """Where the bytes of all connections on a thread land, one after the other."""

    def __init__(self) -> None:
        self.space = memoryview(bytearray(READ_SIZE))


landing: Final = _Landing()


def reset(transport: Any) -> None:
    """Cut a connection, so that its peer sees a reset and not an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
        # Closing a socket that lingers for no time at all sends a reset.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
