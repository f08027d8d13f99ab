"""Reads WebSocket frames that pass by, of either side, without a say in them (RFC 6455, 5.2; RFC 7692).

An endpoint ends a connection that breaks the protocol. Who only listens writes down what passed, and leaves the rest to
the endpoints.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

from websockets.frames import apply_mask  # type: ignore[attr-defined]

from farend.core.frames import whole_message
from farend.tape.format import SIDES, Headers, Kind, Side

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN: Final = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}
_FIN, _COMPRESSED, _RESERVED = 0x80, 0x40, 0x30
_WHOLE: Final = (_FIN | TEXT, _FIN | BINARY)
_LARGE: Final = 4096
"""Bytes from which on a copy less is worth a call more."""
_MOST_INFLATED: Final = 256 << 20
_END_OF_BLOCK: Final = b"\x00\x00\xff\xff"


class Passed(NamedTuple):
    """What passed: a message (text or bytes), a control frame, or bytes that are no frame (`Kind.RAW`)."""

    kind: Kind
    payload: str | bytes | None = None
    fragments: tuple[int, ...] = ()
    code: int | None = None
    reason: str = ""


class _Broken(Exception):
    """What comes is no frame."""

    begun: bytes = b""
    """What had come of it before."""


class _Frame:
    """A frame of which not all has come: what has, without its mask."""

    __slots__ = ("_head", "_mask", "_pieces", "first", "fresh", "left", "size")

    def __init__(self, head: bytes, first: int, left: int, mask: bytes) -> None:
        self._head = head
        self._mask = mask
        self._pieces: list[bytes | bytearray] = []
        self.first = first
        self.left = left
        self.size = 0
        """Bytes of its payload that have come."""
        self.fresh: list[bytes] = []
        """Those of them that nobody was told of."""

    @property
    def payload(self) -> bytes:
        """What has come of its payload."""
        return b"".join(self._pieces)

    def take(self, data: bytes, start: int) -> int:
        """Take in more of it; gives where that ends in the data."""
        end = min(start + self.left, len(data))
        if end > start:
            piece = _without(self._mask, data, start, end, self.size)
            self.left -= len(piece)
            self.size += len(piece)
            self.fresh.append(piece)
            if len(piece) >= _LARGE:
                self._pieces.append(piece)
            elif self._pieces and isinstance(self._pieces[-1], bytearray):
                self._pieces[-1] += piece
            else:
                self._pieces.append(bytearray(piece))
        return end

    def raw(self, size: int) -> bytes:
        """Its first bytes as they came: its head, and so many of its payload."""
        return self._head + _without(self._mask, self.payload, 0, size)


class Inflater:
    """Takes the compression off the messages of one side; `bits` is the size of its window."""

    def __init__(self, bits: int, *, forgets: bool) -> None:
        self._bits = bits
        self._forgets = forgets
        self._inflate = zlib.decompressobj(-bits)

    def copy(self) -> Inflater:
        """Another one, that has seen what this one has seen."""
        other = Inflater(self._bits, forgets=self._forgets)
        other._inflate = self._inflate.copy()
        return other

    def part(self, data: bytes, *, last: bool) -> bytes:
        """One frame of a message, or some of it."""
        try:
            out = self._inflate.decompress(data + _END_OF_BLOCK if last else data, _MOST_INFLATED)
        except zlib.error as error:
            raise _Broken(str(error)) from None
        if self._inflate.unconsumed_tail:
            raise _Broken("it is too large")
        if last and (self._forgets or self._inflate.eof):
            self._inflate = zlib.decompressobj(-self._bits)
        return out


def inflaters(answer: Headers) -> dict[Side, Inflater]:
    """For each side, what takes its compression off, where the server's answer has agreed to one (RFC 7692, 7.1)."""
    agreed = ", ".join(value for name, value in answer if name.lower() == "sec-websocket-extensions")
    offer = next(
        (one for one in agreed.split(",") if one.strip().partition(";")[0].strip() == "permessage-deflate"), None
    )
    if offer is None:
        return {}
    options = dict(re.findall(r";\s*([\w-]+)(?:\s*=\s*\"?(\w+))?", offer))
    return {
        side: Inflater(_bits(options.get(f"{side}_max_window_bits")), forgets=f"{side}_no_context_takeover" in options)
        for side in SIDES
    }


def _bits(value: str | None) -> int:
    # zlib reads every smaller window with the largest one.
    return int(value) if value and value.isdecimal() and 9 <= int(value) <= 15 else 15


class Frames:
    """What one side says after the handshake, bytes in, messages out."""

    def __init__(self, inflater: Inflater | None = None) -> None:
        self._inflater = inflater
        self._head = b""
        """What has come of the first bytes of a frame."""
        self._under_way: _Frame | None = None
        self._parts: list[bytes] = []
        self._sizes: list[int] = []
        self._opcode = CONTINUATION
        self._inflates = False
        self._is_broken = False
        self.is_within = False
        """Whether a frame or a message has begun that is not whole."""
        self._news: list[bytes] = []
        """What has come of a message that is not whole, and was not told."""
        self._told = 0
        """Bytes, when inflated, that were told of a frame that is not whole."""
        self._ahead: Inflater | None = None
        self._length = 0
        """Bytes, with its head, of the last frame that did not come at once; 0 where all have."""
        self.closed = False
        """Whether a close frame passed."""

    def message(self, data: bytes) -> str | bytes | None:
        """The message, where these bytes are just that, as they nearly always are. Else None, and `feed` has them."""
        return None if self.is_within or self._is_broken else whole_message(data)

    def feed(self, data: bytes) -> list[Passed]:
        """What has passed with these bytes."""
        if self._is_broken:
            return [Passed(Kind.RAW, data)]
        passed: list[Passed] = []
        if self._head:
            data, self._head = self._head + data, b""
        start, size = 0, len(data)
        try:
            while start < size:
                if self._under_way is not None:
                    start = self._go_on(data, start, passed)
                    continue
                head = start + 2
                if head > size:
                    break
                first, length = data[start], data[start + 1] & 0x7F
                if length == 126:
                    head += 2
                    length = int.from_bytes(data[start + 2 : head])
                elif length == 127:
                    head += 8
                    length = int.from_bytes(data[start + 2 : head])
                mask = head
                if data[start + 1] & 0x80:
                    head += 4
                if head > size:
                    break
                end = head + length
                if end > size:
                    self._under_way = _Frame(data[start:head], first, length, data[mask:head])
                    self._length = end - start
                    start = head
                    continue
                payload = _without(data[mask:head], data, head, end)
                if first in _WHOLE and not self._sizes:  # what nearly every message is
                    passed.append(_message(first & 0x0F, payload, ()))
                else:
                    self._check(first)
                    self._frame(first, payload, passed)
                start = end
        except _Broken as broken:
            self._is_broken = True
            self._under_way = None
            passed += self._unfinished()
            passed.append(Passed(Kind.RAW, broken.begun + data[start:]))
            self.is_within = False
            return passed
        if start < size:
            self._head = data[start:]
        self.is_within = start < size or self._under_way is not None or bool(self._sizes)
        return passed

    def part(self) -> bytes:
        """What has come of a message that is not whole, since this was asked before: without its mask, and inflated."""
        frame = self._under_way
        if frame is not None and frame.first & 0x0F < CLOSE and frame.fresh:
            payload = b"".join(frame.fresh)
            frame.fresh.clear()
            if self._is_compressed(frame.first):
                payload = self._inflated_ahead(payload)
            self._told += len(payload)
            self._news.append(payload)
        news, self._news = b"".join(self._news), []
        return news

    def wants(self, most: int) -> int:
        """How many bytes to read next, and no more than these, for them to end where a frame does.

        That can be known of the frame that is under way, and supposed of frames that are as long as it. What is read
        together with the beginning of a message has that written down twice: beside the tape, and on it.
        """
        if not self._length:
            return most
        left = -len(self._head) if self._under_way is None else self._under_way.left
        more = (most - left) // self._length * self._length
        return left + more if more > 0 else most

    def end(self) -> list[Passed]:
        """What had come of a message that was not complete, without its mask."""
        passed = self._unfinished()
        frame, self._under_way = self._under_way, None
        if frame is not None:
            passed.append(Passed(Kind.RAW, self._beginning(frame)))
        elif self._head:
            passed.append(Passed(Kind.RAW, b""))
        self._head = b""
        return passed

    def _go_on(self, data: bytes, start: int, passed: list[Passed]) -> int:
        """More of a frame has come; gives where it ends in the data."""
        frame = self._under_way
        assert frame is not None
        before = frame.size
        end = frame.take(data, start)
        if not frame.left:
            self._under_way = None
            try:
                self._check(frame.first)
                self._frame(frame.first, frame.payload, passed)
            except _Broken as broken:
                broken.begun = frame.raw(before)
                raise
        return end

    def _check(self, first: int) -> None:
        """Whether a frame may begin so here."""
        opcode = first & 0x0F
        if opcode not in _KNOWN or first & _RESERVED or (first & _COMPRESSED and self._inflater is None):
            raise _Broken
        if opcode < CLOSE and (opcode == CONTINUATION) == (not self._sizes):
            raise _Broken

    def _is_compressed(self, first: int) -> bool:
        goes_on = first & 0x0F == CONTINUATION and self._inflates
        return self._inflater is not None and bool(first & _COMPRESSED or goes_on)

    def _frame(self, first: int, payload: bytes, passed: list[Passed]) -> None:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            passed.append(self._control(opcode, payload))
            return
        last = bool(first & _FIN)
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._inflates = bool(first & _COMPRESSED)
        if self._inflates:
            assert self._inflater is not None
            payload = self._inflater.part(payload, last=last)
        told, self._told, self._ahead = self._told, 0, None
        if last and not self._sizes:
            passed.append(_message(self._opcode, payload, ()))
            return
        self._news.append(payload[told:])
        self._parts.append(payload)
        self._sizes.append(len(payload))
        if last:
            whole, sizes = b"".join(self._parts), tuple(self._sizes)
            self._parts, self._sizes, self._news = [], [], []
            passed.append(_message(self._opcode, whole, sizes))

    def _control(self, opcode: int, payload: bytes) -> Passed:
        if opcode != CLOSE:
            return Passed(Kind.PING if opcode == PING else Kind.PONG, payload)
        self.closed = True
        if not payload:
            return Passed(Kind.CLOSE)
        try:
            return Passed(Kind.CLOSE, code=int.from_bytes(payload[:2]), reason=payload[2:].decode())
        except UnicodeDecodeError:
            return Passed(Kind.CLOSE, payload[2:], code=int.from_bytes(payload[:2]))

    def _inflated_ahead(self, payload: bytes) -> bytes:
        """Inflated by another one, for the frame is inflated once more when it is whole."""
        assert self._inflater is not None
        if self._ahead is None:
            self._ahead = self._inflater.copy()
        try:
            return self._ahead.part(payload, last=False)
        except _Broken:
            return b""

    def _unfinished(self) -> list[Passed]:
        whole, self._parts, self._sizes = b"".join(self._parts), [], []
        return [Passed(Kind.RAW, whole)] if whole else []

    def _beginning(self, frame: _Frame) -> bytes:
        """The payload of a frame, as far as it came: what is masked or compressed could hide a secret."""
        payload = frame.payload
        if frame.first & 0x0F < CLOSE and self._is_compressed(frame.first):
            assert self._inflater is not None
            try:
                return self._inflater.part(payload, last=False)
            except _Broken:
                return b""
        return payload


def _without(mask: bytes, data: bytes, start: int, end: int, turned: int = 0) -> bytes:
    """Some of the data without the mask, where there is one; so many bytes were under it before."""
    if not mask:
        return data[start:end]
    if turned := turned % 4:
        mask = mask[turned:] + mask[:turned]
    return apply_mask(data[start:end] if end - start < _LARGE else memoryview(data)[start:end], mask)


def _message(opcode: int, payload: bytes, sizes: tuple[int, ...]) -> Passed:
    if opcode == BINARY:
        return Passed(Kind.MESSAGE, payload, sizes)
    try:
        return Passed(Kind.MESSAGE, payload.decode(), sizes)
    except UnicodeDecodeError:
        return Passed(Kind.RAW, payload, sizes)
