"""The frames that nearly every message to a WebSocket server comes in, and goes out in: read and written in one go.

The `websockets` library reads any frame, piece by piece, and says what is wrong with it. That alone would
be a third of what a short message costs, so the ordinary one is recognised here. Whatever is out of the
ordinary is the library's to read and to judge.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from websockets.exceptions import ProtocolError
from websockets.frames import Close, apply_mask  # type: ignore[attr-defined]

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88
"""First bytes of a frame: a whole message, with no extension (RFC 6455, 5.2)."""
_ORDINARY: Final = frozenset((TEXT, BINARY, CLOSE))
_MASKED: Final = 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127


class Ordinary(NamedTuple):
    """The first byte of a frame, its payload, and where in the data it ends."""

    first: int
    payload: bytes
    end: int


def ordinary_frame(data: bytes, start: int, max_size: int | None) -> Ordinary | None:
    r"""The frame that begins at `start`, where it is an ordinary one of a client's, and all of it is there.

    >>> ordinary_frame(b"\x81\x82\x00\x00\x00\x00hi", 0, None)
    Ordinary(first=129, payload=b'hi', end=8)
    >>> ordinary_frame(b"\x81\x82\x00\x00", 0, None) is None
    True
    """
    if len(data) < start + 6 or data[start] not in _ORDINARY:
        return None
    length, mask = data[start + 1] - _MASKED, start + 2
    if length == _TWO_BYTES:
        length, mask = int.from_bytes(data[start + 2 : start + 4]), start + 4
    elif not 0 <= length < _TWO_BYTES:  # not masked, or so long that it hardly comes in one piece
        return None
    end = mask + 4 + length
    if end > len(data) or (max_size is not None and length > max_size):
        return None
    return Ordinary(data[start], apply_mask(data[mask + 4 : end], data[mask : mask + 4]), end)


def ordinary_bytes(first: int, payload: bytes) -> bytes:
    r"""The frame of a server's, which is not masked (RFC 6455, 5.1).

    >>> ordinary_bytes(TEXT, b"hi")
    b'\x81\x02hi'
    """
    length = len(payload)
    if length < _TWO_BYTES:
        return bytes((first, length)) + payload
    if length < 1 << 16:
        return bytes((first, _TWO_BYTES)) + length.to_bytes(2) + payload
    return bytes((first, _EIGHT_BYTES)) + length.to_bytes(8) + payload


def ordinary_close(payload: bytes) -> Close | None:
    """What a close frame says, where that is what it may say (RFC 6455, 5.5.1)."""
    try:
        return Close.parse(payload) if len(payload) < _TWO_BYTES else None
    except (ProtocolError, UnicodeDecodeError):
        return None
