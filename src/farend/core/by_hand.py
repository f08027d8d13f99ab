"""Frames of a WebSocket made by hand: each part of one (RFC 6455, 5.2) as it should be, or as it must not be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from farend.core.messages import OnWire, printed
from farend.errors import ScriptError, WrongType

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""The opcodes that there are (RFC 6455, 11.8)."""
MASK: Final = bytes.fromhex("37fa213d")
"""The masking key of RFC 6455's own examples (5.7): a frame is the same in every run."""
_NAMES: Final = {CONT: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
_FIN, _MASKED = 0x80, 0x80
_LENGTHS: Final = {0: 125, 2: (1 << 16) - 1, 8: (1 << 64) - 1}
"""The longest payload, by the bytes that its length takes beside the second of the frame."""


@dataclass(frozen=True, slots=True, repr=False)
class Frame(OnWire):
    r"""One frame of a WebSocket, written beside the protocol.

    `opcode` is 0 to 15, `payload` bytes, and `fin` whether it is the message's last. `rsv` holds the reserved bits as
    a number from 0 to 7; RSV1 is 4. `masked` None is as the side asks (a client masks, a server does not), "otherwise"
    the contrary, and True and False are what they say. `length` is what the frame says its payload's length is, where
    that is another than it has, and `width` in how many bytes beside the second it is written: 0, 2 or 8; None for as
    few as can be.

    >>> from farend import Frame, Script
    >>> Frame(0x1, b"hi", rsv=4).wire_bytes(masked=False)
    b'\xc1\x02hi'
    >>> print(Script().send(Frame(0x3, b"hi")))
    Script of 1 step
      1. send <frame: opcode 3, b'hi'>

    Raises `WrongType` or `ScriptError` for what has no bytes.
    """

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    masked: Any = None
    length: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        __tracebackhide__ = True
        if not isinstance(self.payload, bytes | bytearray | memoryview):
            raise WrongType(f"Frame() takes its payload as bytes, not {printed(self.payload)}")
        object.__setattr__(self, "payload", bytes(self.payload))
        for name, most in (("opcode", 15), ("rsv", 7)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise WrongType(f"Frame({name}=…) is a number, not {printed(value)}")
            if not 0 <= value <= most:
                raise ScriptError(f"Frame({name}={value}): it is from 0 to {most} (RFC 6455, 5.2)")
        if self.masked not in (None, True, False, "otherwise"):
            raise WrongType(f"Frame(masked=…) is True, False, 'otherwise' or None, not {printed(self.masked)}")
        if self.width is not None and self.width not in _LENGTHS:
            raise ScriptError(f"Frame(width={printed(self.width)}): a length is written in 0, 2 or 8 bytes more")
        if self.length is not None and (not isinstance(self.length, int) or isinstance(self.length, bool)):
            raise WrongType(f"Frame(length=…) is a number of bytes, not {printed(self.length)}")
        most = _LENGTHS[8 if self.width is None else self.width]
        if not 0 <= self._length <= most:
            raise ScriptError(f"Frame(): a length of {self._length} does not fit into that width: {most} is the most")

    @property
    def closes(self) -> bool:
        return self.opcode == CLOSE

    @property
    def _length(self) -> int:
        return len(self.payload) if self.length is None else self.length

    def wire_bytes(self, masked: bool) -> bytes:
        masks = {None: masked, "otherwise": not masked}.get(self.masked, self.masked)
        width = self.width
        if width is None:
            width = next(width for width, most in _LENGTHS.items() if self._length <= most)
        seven = {0: self._length, 2: 126, 8: 127}[width]
        head = bytes((self.fin * _FIN | self.rsv << 4 | self.opcode, masks * _MASKED | seven))
        head += self._length.to_bytes(width) if width else b""
        return head + MASK + _masked(self.payload) if masks else head + self.payload

    def __repr__(self) -> str:
        parts = [_NAMES.get(self.opcode, f"opcode {self.opcode:x}")]
        parts += [] if self.fin else ["not final"]
        parts += [f"rsv {self.rsv:03b}"] if self.rsv else []
        parts += {None: [], True: ["masked"], False: ["not masked"]}.get(self.masked, ["masked otherwise"])
        parts += [] if self.length is None else [f"length {self.length:,}"]
        parts += [] if self.width is None else [f"length in {self.width or 'no'} bytes more"]
        return f"<frame: {', '.join(parts)}, {printed(self.payload)}>"


def _masked(payload: bytes) -> bytes:
    """RFC 6455, 5.3."""
    key = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))
