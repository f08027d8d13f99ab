"""What is done to transports alike wherever bytes are moved: where the bytes land, few or many, and the reset."""

from __future__ import annotations

import asyncio
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


class Flood(asyncio.Protocol):
    """Stands in for a buffered protocol while much comes: what the transport makes of it itself is copied once less.

    For what is little that would be dear, for a transport asks the system for 256 KiB each time, and gives most back.
    """

    def __init__(self, transport: Any, protocol: Any) -> None:
        self._transport = transport
        self._protocol = protocol

    @classmethod
    def has_come(cls, transport: Any, protocol: Any) -> None:
        """All the room was taken: stand in, where the transport is one that minds who reads (asyncio's own)."""
        is_minded = type(transport).__module__ == "asyncio.selector_events"
        if is_minded and transport.get_protocol() is protocol:
            transport.set_protocol(cls(transport, protocol))

    def data_received(self, data: bytes) -> None:
        if len(data) < READ_SIZE // 4 and self._transport.get_protocol() is self:
            self._transport.set_protocol(self._protocol)
        self._protocol.data_received(data)

    def eof_received(self) -> bool:
        return bool(self._protocol.eof_received())

    def connection_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def reset(transport: Any) -> None:
    """Cut a connection, so that its peer sees a reset and not an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
        # Closing a socket that lingers for no time at all sends a reset.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
