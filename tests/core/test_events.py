from __future__ import annotations

import dataclasses
import sys

import pytest

from farend.core import commands, events
from farend.core.commands import Abort, Close, Send
from farend.core.events import Ended, How, Received


@pytest.mark.parametrize(
    "value",
    [Send("a"), Close(1000), Abort(), events.Connected(), events.Violated("bad"), Ended(), commands.Reject(400, "no")],
)
def test_events_and_commands_are_frozen_and_small(value: object) -> None:
    field = next(iter(dataclasses.fields(value)), None)  # type: ignore[arg-type]
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        setattr(value, field.name if field else "more", 1)
    assert not hasattr(value, "__dict__")
    assert value == dataclasses.replace(value)  # type: ignore[type-var]


def test_received_compares_by_what_came() -> None:
    assert Received("a") == Received("a")
    assert Received("a") != Received("b")
    assert Received("a") != "a"
    assert len({Received("a"), Received("a")}) == 1
    assert repr(Received(b"a")) == "Received(b'a')"
    assert sys.getsizeof(Received("a")) <= 40


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (Ended(), "end of stream"),
        (Ended(How.RESET), "reset"),
        (Ended(How.LOST, 1006), "connection lost"),
        (Ended(How.CLOSE, 1001), "close frame 1001"),
        (Ended(How.CLOSE, 1001, "bye"), "close frame 1001 'bye'"),
    ],
)
def test_an_end_says_how(ended: Ended, text: str) -> None:
    assert str(ended) == text
