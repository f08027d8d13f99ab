"""Cuts the bytes of one side of a WebSocket where something whole ends, without a say in them (RFC 6455, 5.2).

What it cuts are the bytes themselves: the opening handshake, each message with all of its frames, each control frame.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["head", "message", "control", "close", "rest"]
_END_OF_HEAD: Final = b"\r\n\r\n"
_FIN, _MASKED = 0x80, 0x80
_CLOSE, _FIRST_CONTROL = 0x8, 0x8
_SIZE_OF_LENGTH: Final = {126: 2, 127: 8}


class Unit(NamedTuple):
    """Something whole, as it came; a "rest" is what is left of something whose beginning has passed already."""

    kind: Kind
    data: bytes


class Units:
    r"""What one side says, from the first byte of its handshake on.

    `feed` gives what is whole; `pass_by` only keeps track of bytes that are not held up.

    >>> units = Units()
    >>> units.pass_by(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81")
    >>> units.feed(b"\x02hi\x81\x03you\x81")
    [Unit(kind='rest', data=b'\x02hi'), Unit(kind='message', data=b'\x81\x03you')]
    """

    def __init__(self) -> None:
        self.in_head = True
        """Whether the handshake goes on."""
        self._tail = b""
        """The last bytes of a head that has not ended."""
        self._head = bytearray()
        """What has come of a frame's first bytes, which say how long it is."""
        self._left = 0
        """Bytes of the frame that are still to come behind those."""
        self._kind: Kind = "message"
        self._is_last = True
        self._in_message = False
        self._held = bytearray()
        self._held_message = bytearray()
        """A message whose frames come apart; control frames may come between (RFC 6455, 5.4)."""
        self._frame_is_rest = self._message_is_rest = False

    def pass_by(self, data: bytes) -> None:
        """These bytes pass, and are not held up; what they say is not copied."""
        if self._is_between and is_short_frame(data) and data[0] & _FIN:  # what nearly every message is
            return
        self._go_through(data, holds=False)
        self._let_go()

    @property
    def _is_between(self) -> bool:
        """Whether nothing has begun that is not whole."""
        return not (self.in_head or self._left or self._head or self._held or self._in_message)

    def feed(self, data: bytes) -> list[Unit]:
        """What is whole with these bytes."""
        return self._go_through(data, holds=True)

    def _go_through(self, data: bytes, *, holds: bool) -> list[Unit]:
        """What is whole with these bytes; where nothing is held up, what frames say is not copied for it."""
        units: list[Unit] = []
        start = self._feed_head(data, units) if self.in_head else 0
        while start < len(data):
            if not self._left:
                start = self._feed_start(data, start, units)
                continue
            end = min(start + self._left, len(data))
            if holds:
                self._held += data[start:end]
            self._left -= end - start
            start = end
            if not self._left:
                self._frame_ended(units)
        return units

    def release(self) -> bytes:
        """What has come of something that is not whole."""
        held = bytes(self._held_message + self._held)
        self._let_go()
        return held

    def _let_go(self) -> None:
        """What goes on from here is the rest of what has begun."""
        self._held.clear()
        self._held_message.clear()
        self._frame_is_rest = bool(self._left or self._head)
        self._message_is_rest = self._in_message

    def _feed_head(self, data: bytes, units: list[Unit]) -> int:
        """Where the handshake ends in the data; it goes on as it comes."""
        seen = self._tail + data
        found = seen.find(_END_OF_HEAD)
        if found < 0:
            self._tail = seen[-3:]
            units.append(Unit("head", data))
            return len(data)
        self.in_head = False
        end = found + len(_END_OF_HEAD) - len(self._tail)
        units.append(Unit("head", data[:end]))
        return end

    def _feed_start(self, data: bytes, start: int, units: list[Unit]) -> int:
        """Take in a frame's first bytes; gives where the next ones are."""
        needed = self._needed() - len(self._head)
        part = data[start : start + needed]
        self._head += part
        self._held += part
        if len(self._head) == self._needed():
            self._frame_began()
            if not self._left:
                self._frame_ended(units)
        return start + len(part)

    def _needed(self) -> int:
        if len(self._head) < 2:
            return 2
        size = 2 + _SIZE_OF_LENGTH.get(self._head[1] & 0x7F, 0)
        return size + 4 if self._head[1] & _MASKED else size

    def _frame_began(self) -> None:
        first, second = self._head[:2]
        length = second & 0x7F
        if size := _SIZE_OF_LENGTH.get(length):
            length = int.from_bytes(self._head[2 : 2 + size])
        self._head.clear()
        self._left = length
        opcode = first & 0x0F
        self._kind = "close" if opcode == _CLOSE else "control" if opcode >= _FIRST_CONTROL else "message"
        self._is_last = bool(first & _FIN)

    def _frame_ended(self, units: list[Unit]) -> None:
        frame, self._held = bytes(self._held), bytearray()
        is_rest, self._frame_is_rest = self._frame_is_rest, False
        if self._kind != "message":
            units.append(Unit("rest" if is_rest else self._kind, frame))
            return
        self._in_message = not self._is_last
        self._message_is_rest = self._message_is_rest or is_rest
        self._held_message += frame
        if self._message_is_rest:
            units.append(Unit("rest", bytes(self._held_message)))
            self._held_message.clear()
        elif self._is_last:
            units.append(Unit("message", bytes(self._held_message)))
            self._held_message.clear()
        if self._is_last:
            self._message_is_rest = False


def is_short_frame(data: bytes) -> bool:
    """Whether the bytes are just one frame, and a short one."""
    if len(data) < 2:
        return False
    length = data[1]
    return len(data) == (length - _MASKED + 6 if length & _MASKED else length + 2) and length & 0x7F < 126
