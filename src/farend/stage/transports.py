"""What is done to transports alike wherever bytes are moved: how much they read at once, and the reset."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any, Final

READ_SIZE: Final = 256 << 10
"""Bytes that are read at once, at most."""
LITTLE: Final = 64 << 10
"""Bytes that are asked for at once where little comes: most are given back, and more would come from far away.

(The C library has the system map 128 KiB and more each time: `M_MMAP_THRESHOLD` in mallopt(3).)
"""
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def floods(transport: Any, size: int, most: int = READ_SIZE) -> bool:
    """Whether much comes at once, of which so many bytes have just now: then `most` is asked for, and else little.

    Only asyncio's own transports can be told; others have a buffer that is always there. What stands in the place of
    one has it as `raw`.
    """
    much = size >= LITTLE
    raw = getattr(transport, "raw", transport)
    if type(raw).__module__ == "asyncio.selector_events":
        raw.max_size = most if much else LITTLE
    return much


def reset(transport: Any) -> None:
    """Cut a connection, so that its peer sees a reset and not an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
        # Closing a socket that lingers for no time at all sends a reset.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
