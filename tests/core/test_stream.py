from __future__ import annotations

import pytest

from farend.core.commands import Accept, Close, Reject, Send
from farend.core.events import Connected, Ended, How, Received
from farend.core.framing import Framing, lines, until
from farend.core.messages import Raw
from farend.core.stream import StreamWire


@pytest.mark.parametrize(
    ("framing", "command", "raw"),
    [
        (None, Send("é"), "é".encode()),
        (None, Send(b"a"), b"a"),
        (None, Send("a", lines()), b"a\n"),
        (lines(), Send("a"), b"a\n"),
        (lines(), Send("a", until(";")), b"a;"),
        (lines(), Send(Raw(b"a")), b"a"),
    ],
)
def test_what_is_said_is_packed_by_the_nearest_framing(framing: Framing | None, command: Send, raw: bytes) -> None:
    wire = StreamWire()
    wire.framing = framing
    assert wire.say(command) == raw


def test_every_chunk_is_an_event_and_the_wire_says_nothing_by_itself() -> None:
    wire = StreamWire()
    assert wire.connect() == (Connected(),)
    assert wire.receive(b"a") == (Received(b"a"),)
    assert wire.receive_end(How.RESET) == (Ended(How.RESET),)
    assert wire.accept(Accept()) == wire.reject(Reject(400, "")) == wire.close(Close()) == b""
    assert wire.drain() == wire.outgoing == []
    assert wire.handshake is None
    assert (wire.stream, wire.closes_itself) == (True, False)
