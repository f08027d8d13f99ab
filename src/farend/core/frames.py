"""The frames that nearly every message to a WebSocket server comes in, and goes out in: read and written in one go.

The `websockets` library reads any frame, piece by piece, and says what is wrong with it. That alone would
be a third of what a short message costs, so the ordinary one is recognised here. Whatever is out of the
ordinary is the library's to read and to judge. What it rejects it also drops; so it is kept here as it came.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from websockets.exceptions import ProtocolError
from websockets.frames import Close, apply_mask  # type: ignore[attr-defined]

from farend.core.units import is_short_frame

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88
"""First bytes of a frame: a whole message, with no extension (RFC 6455, 5.2)."""
_ORDINARY: Final = frozenset((TEXT, BINARY, CLOSE))
MASKED: Final = 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127
KEPT: Final = 64 << 10
"""Bytes of a frame under way that are kept as they came."""


class Head(NamedTuple):
    """Of a frame, where its payload begins, how long that is, and its mask, if any (RFC 6455, 5.2)."""

    size: int
    length: int
    mask: bytes


def head_of(data: bytes, start: int) -> Head | None:
    r"""The head of the frame that begins at `start`; None while not all of it is there.

    >>> head_of(b"\x81\x82\x01\x02\x03\x04hi", 0)
    Head(size=6, length=2, mask=b'\x01\x02\x03\x04')
    """
    if len(data) < start + 2:
        return None
    length, end = data[start + 1] & ~MASKED, start + 2
    if length >= _TWO_BYTES:
        begin, end = end, end + (2 if length == _TWO_BYTES else 8)
        length = int.from_bytes(data[begin:end])
    mask = end
    if data[start + 1] & MASKED:
        end += 4
    return Head(end - start, length, data[mask:end]) if end <= len(data) else None


def is_close(data: bytes) -> bool:
    """Whether it is a close frame, and nothing else."""
    head = head_of(data, 0)
    return head is not None and data[0] == CLOSE and head.size + head.length == len(data)


class UnderWay:
    r"""The frame that is not whole, as it came, and its beginning alone where it is long.

    >>> frame = UnderWay()
    >>> frame.take(b"\x81\x02hi\x81\x05hel")
    >>> frame.data, frame.behind(1, b"lo\x83")
    (b'\x81\x05hel', b'\x83')
    """

    def __init__(self) -> None:
        self._kept = bytearray()
        self._left = 0
        """Bytes of it that are still to come, where its head is there."""
        self._is_cut = False
        """Whether more has come of it than was kept."""

    @property
    def data(self) -> bytes:
        """What has come of it, or the beginning of that."""
        return bytes(self._kept)

    def take(self, data: bytes) -> None:
        """These bytes have come."""
        if not self._kept and is_short_frame(data):
            return
        if len(data) < self._left:
            room = KEPT - len(self._kept)
            self._kept += data[:room]
            self._is_cut = self._is_cut or len(data) > room
            self._left -= len(data)
            return
        start = self._left
        if not start and self._kept:
            data = self.data + data
        head = head_of(data, start)
        while head is not None and start + head.size + head.length <= len(data):
            start += head.size + head.length
            head = head_of(data, start)
        self._kept = bytearray(data[start : start + KEPT])
        self._is_cut = len(data) > start + KEPT
        self._left = 0 if head is None else start + head.size + head.length - len(data)

    def behind(self, frames: int, data: bytes) -> bytes:
        """What is behind so many whole frames, the one under way and those in the data."""
        start = 0
        if frames and self._left:
            start, frames = self._left, frames - 1
        else:
            data = self.data + (data[self._left :] if self._is_cut else data)
        for _ in range(frames):
            head = head_of(data, start)
            assert head is not None
            start += head.size + head.length
        return data[start:]

    def said(self, rest: bytes) -> bytes:
        """What has come of its payload, without its mask, where nobody has read the rest; its head where that is all.

        `rest` is what the library holds of it.
        """
        data = self.data
        head = head_of(data, 0)
        return data if head is None else _unmasked(rest, head.mask)


class Payload:
    r"""What a frame says, however it comes: neither its head nor its mask. What comes behind it stays as it is.

    >>> payload = Payload()
    >>> payload.take(b"\x81\x83\1\1\1\1ii"), payload.take(b"i"), payload.take(b"\x83")
    (b'hh', b'h', b'\x83')
    """

    def __init__(self) -> None:
        self._begun = b""
        self._mask = b""
        self._left: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it has come."""
        return self._left == 0

    def take(self, data: bytes) -> bytes:
        """What more of it says."""
        if self._left is None:
            self._begun += data
            head = head_of(self._begun, 0)
            if head is None:
                return b""
            data, self._mask, self._left = self._begun[head.size :], head.mask, head.length
        inside, behind = data[: self._left], data[self._left :]
        self._left -= len(inside)
        said, turn = _unmasked(inside, self._mask), len(inside) % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        return said + behind


def _unmasked(data: bytes, mask: bytes) -> bytes:
    return apply_mask(data, mask) if mask else data


def whole_message(data: bytes, max_size: int | None = None) -> str | bytes | None:
    r"""The message, where the data is one frame that is all of it, as it nearly always is; None where it is not.

    >>> whole_message(b"\x81\x82\x00\x00\x00\x00hi"), whole_message(b"\x82\x02hi"), whole_message(b"\x81\x03hi")
    ('hi', b'hi', None)
    """
    size = len(data)
    if size < 2:
        return None
    first, length, head = data[0], data[1] & ~MASKED, 2
    if length >= _TWO_BYTES:
        if length == _EIGHT_BYTES:  # so long that it hardly comes in one piece
            return None
        length, head = int.from_bytes(data[2:4]), 4
    mask = head
    if data[1] & MASKED:
        head += 4
    if head + length != size or (max_size is not None and length > max_size):
        return None
    payload = _unmasked(data[head:], data[mask:head])
    if first == BINARY:
        return payload
    try:
        return payload.decode() if first == TEXT else None
    except UnicodeDecodeError:
        return None


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
    length, mask = data[start + 1] - MASKED, start + 2
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
