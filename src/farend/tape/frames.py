"""Reads WebSocket frames that pass by, of either side, without a say in them (RFC 6455, 5.2; RFC 7692).

An endpoint ends a connection that breaks the protocol. Who only listens writes down what passed, and leaves the rest to
the endpoints.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

from websockets.frames import apply_mask  # type: ignore[attr-defined]

from farend.tape.format import SIDES, Headers, Kind, Side

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN: Final = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}
_FIN, _COMPRESSED, _RESERVED = 0x80, 0x40, 0x30
_WHOLE: Final = (_FIN | TEXT, _FIN | BINARY)
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
        self._buffer = bytearray()
        self._needed = 2
        self._parts: list[bytes] = []
        self._sizes: list[int] = []
        self._opcode = CONTINUATION
        self._inflates = False
        self._is_broken = False
        self.is_within = False
        """Whether a frame or a message has begun that is not whole."""
        self._news: list[bytes] = []
        """What has come of a message that is not whole, and was not told."""
        self._read = self._told = 0
        """Bytes that were read of a frame that is not whole, and what they were when inflated."""
        self._ahead: Inflater | None = None
        self.closed = False
        """Whether a close frame passed."""

    def feed(self, data: bytes) -> list[Passed]:
        """What has passed with these bytes."""
        if self._is_broken:
            return [Passed(Kind.RAW, data)]
        if self._buffer:
            if len(self._buffer) + len(data) < self._needed:
                self._buffer += data
                return []
            data = b"".join((self._buffer, data))
            self._buffer.clear()
        passed: list[Passed] = []
        start, size = 0, len(data)
        try:
            while start < size:
                head = start + 2
                if head > size:
                    self._needed = head - start
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
                    self._needed = head - start
                    break
                end = head + length
                if end > size:
                    self._needed = end - start
                    break
                payload = data[head:end]
                if head != mask:
                    payload = apply_mask(payload, data[mask:head])
                if first in _WHOLE and not self._sizes and not self._read:  # what nearly every message is
                    passed.append(_message(first & 0x0F, payload, ()))
                else:
                    self._frame(first, payload, passed)
                start = end
        except _Broken:
            self._is_broken = True
            passed += self._unfinished()
            passed.append(Passed(Kind.RAW, data[start:]))
            self.is_within = False
            return passed
        if start < size:
            self._buffer += data[start:] if start else data
        self.is_within = start < size or bool(self._sizes)
        return passed

    def part(self) -> bytes:
        """What has come of a message that is not whole, since this was asked before: without its mask, and inflated."""
        data = self._buffer
        head, mask = _head(data)
        if head + self._read < len(data) and data[0] & 0x0F < CLOSE:
            payload = bytes(memoryview(data)[head + self._read :])
            if mask:
                turned = self._read % 4
                payload = apply_mask(payload, mask[turned:] + mask[:turned])
            self._read += len(payload)
            if self._inflater is not None and (data[0] & _COMPRESSED or self._inflates):
                payload = self._inflated_ahead(payload)
            self._told += len(payload)
            self._news.append(payload)
        news, self._news = b"".join(self._news), []
        return news

    def end(self) -> list[Passed]:
        """What had come of a message that was not complete, without its mask."""
        passed = self._unfinished()
        data, self._buffer = bytes(self._buffer), bytearray()
        if data:
            passed.append(Passed(Kind.RAW, self._beginning(data)))
        return passed

    def _frame(self, first: int, payload: bytes, passed: list[Passed]) -> None:
        opcode = first & 0x0F
        if opcode not in _KNOWN or first & _RESERVED or (first & _COMPRESSED and self._inflater is None):
            raise _Broken
        if opcode >= CLOSE:
            passed.append(self._control(opcode, payload))
            return
        if (opcode == CONTINUATION) == (not self._sizes):
            raise _Broken
        last = bool(first & _FIN)
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._inflates = bool(first & _COMPRESSED)
        if self._inflates:
            assert self._inflater is not None
            payload = self._inflater.part(payload, last=last)
        told, self._read, self._told, self._ahead = self._told, 0, 0, None
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

    def _beginning(self, data: bytes) -> bytes:
        """The payload of a frame, as far as it came: what is masked or compressed could hide a secret."""
        start, mask = _head(data)
        payload = data[start:]
        if mask and payload:
            payload = apply_mask(payload, mask)
        if self._inflater is not None and (data[0] & _COMPRESSED or self._inflates):
            try:
                return self._inflater.part(payload, last=False)
            except _Broken:
                return b""
        return payload


def _head(data: bytes | bytearray) -> tuple[int, bytes]:
    """Where the payload of a frame begins, and the mask that is on it, where there is one and it has come."""
    if len(data) < 2:
        return 2, b""
    end = 2 + {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    return (end + 4, bytes(data[end : end + 4])) if data[1] & 0x80 else (end, b"")


def _message(opcode: int, payload: bytes, sizes: tuple[int, ...]) -> Passed:
    if opcode == BINARY:
        return Passed(Kind.MESSAGE, payload, sizes)
    try:
        return Passed(Kind.MESSAGE, payload.decode(), sizes)
    except UnicodeDecodeError:
        return Passed(Kind.RAW, payload, sizes)
