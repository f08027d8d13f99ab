"""A byte stream as a wire: what is said is what is sent, and every chunk is an event."""

from __future__ import annotations

from farend.core.commands import Accept, Close, Reject, Send
from farend.core.events import Connected, Ended, Event, How, Received
from farend.core.framing import Framing
from farend.core.messages import Handshake, OnWire

_CONNECTED = (Connected(),)
_ENDED = {how: (Ended(how),) for how in How}


class StreamWire:
    """TCP, as `driver.Driver` sees it. See `websocket.WebSocketWire` for what a wire with a protocol does."""

    stream = True
    closes_itself = False

    opening = b""

    def __init__(self) -> None:
        self.framing: Framing | None = None
        self.outgoing: list[bytes] = []

    def drain(self) -> list[bytes]:
        """Nothing: a stream has nothing to say by itself."""
        return []

    def connect(self) -> tuple[Event, ...]:
        """What to feed when the transport is there."""
        return _CONNECTED

    def receive(self, data: bytes) -> tuple[Event, ...]:
        """What the bytes say."""
        return (Received(data),)

    def receive_end(self, how: How) -> tuple[Event, ...]:
        """What the end of the transport says."""
        return _ENDED[how]

    def say(self, command: Send) -> bytes:
        """The bytes that say it."""
        payload = command.payload
        if isinstance(payload, OnWire):
            return payload.wire_bytes(masked=False)
        raw = payload if type(payload) is bytes else payload.encode()  # type: ignore[union-attr]
        framing = command.framing or self.framing
        return raw if framing is None else framing.pack(raw)

    def accept(self, command: Accept) -> bytes:
        return b""

    def reject(self, command: Reject) -> bytes:
        return b""

    def close(self, command: Close) -> bytes:
        return b""

    @property
    def handshake(self) -> Handshake | None:
        return None
