"""Findings for the tests of this room, made by playing real conversations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farend.core.conversation import Conversation
from farend.core.events import Connected, Event
from farend.core.script import Script

Play = Callable[..., Conversation]


@pytest.fixture
def play() -> Play:
    """Plays a script; the near end connects at 10 s, and each event comes a quarter of a second later."""

    def play(
        script: Script,
        *events: Event,
        stream: bool = False,
        finish: bool = False,
        opening: Connected | None = None,
        far_end: str = "feed",
        **options: Any,
    ) -> Conversation:
        conversation = Conversation(script, stream=stream, far_end=far_end, **options)
        now = 10.0
        for event in (opening or Connected(), *events):
            conversation.feed(event, now)
            now += 0.25
        if finish:
            conversation.finish(now)
        return conversation

    return play
