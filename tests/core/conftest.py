"""A near end for the tests of the core: it feeds events, answers what a conversation asks for, and moves the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from farend.core.commands import Abort, Close, Command, Continue, Send, TellWhenQuiet
from farend.core.conversation import Conversation, State
from farend.core.events import Connected, Ended, Event, Quiet, Received, TimePassed, WritingResumed
from farend.core.script import Script
from farend.core.transcript import Kind


class NearEnd:
    """Plays the part of a stage and of a near end."""

    def __init__(self, script: Script, *, stream: bool = False, **options: Any) -> None:
        self.conversation = Conversation(script, stream=stream, **options)
        self.now = 0.0
        self.commands: list[Command] = []
        self._wants_quiet = False
        self.feed(Connected())

    def feed(self, event: Event) -> list[Command]:
        """Feed an event; gives the commands that do something on the wire."""
        commands = self.conversation.feed(event, self.now)
        self._wants_quiet = self._wants_quiet or TellWhenQuiet() in commands
        done = [command for command in commands if isinstance(command, Send | Close | Abort)]
        self.commands += done
        if Continue() in commands:
            done += self.feed(WritingResumed())
        return done

    def say(self, *messages: Any) -> list[Command]:
        return [command for message in messages for command in self.feed(Received(message))]

    def quiet(self) -> list[Command]:
        done: list[Command] = []
        while self._wants_quiet:
            self._wants_quiet = False
            done += self.feed(Quiet())
        return done

    def burst(self, segments: Iterable[bytes]) -> list[Command]:
        """Segments that come one right behind the other, and then nothing."""
        return [*self.say(*segments), *self.quiet()]

    def at(self, now: float) -> list[Command]:
        """Let the time be `now`."""
        self.now = now
        return self.feed(TimePassed())

    def wait(self) -> None:
        """Let the time pass until nothing waits for it."""
        for _ in range(1000):
            wake_at = self.conversation.wake_at
            if wake_at is None:
                return
            self.now = max(self.now, wake_at)
            self.feed(TimePassed())
            self.quiet()
        raise AssertionError("it waits for ever")

    def end(self, ended: Ended | None = None) -> list[Command]:
        return self.feed(ended or Ended())

    @property
    def findings(self) -> list[Any]:
        return self.conversation.findings

    @property
    def finding(self) -> Any:
        [finding] = self.conversation.findings
        return finding

    @property
    def state(self) -> State:
        return self.conversation.state

    @property
    def sent(self) -> list[object]:
        return self.conversation.transcript.sent

    @property
    def received(self) -> list[object]:
        return self.conversation.transcript.received

    def told(self) -> tuple[Any, ...]:
        """All that must not depend on how the bytes were cut.

        Once the conversation is over, what comes is written down as it comes; there only the bytes count.
        """
        messages, behind, over = [], b"", False
        for entry in self.conversation.transcript:
            over = over or entry.kind in (Kind.FOUND, Kind.CLOSED, Kind.ABORTED)
            if entry.kind is Kind.RECEIVED:
                if over:
                    behind += entry.payload  # type: ignore[operator]
                else:
                    messages.append(entry.payload)
        findings = [(type(finding), getattr(finding, "got", None)) for finding in self.findings]
        return self.commands, self.conversation.next_step, findings, messages, behind


@pytest.fixture(scope="session")
def near_end() -> Callable[..., NearEnd]:
    """Makes a near end that has connected: `near_end(script, stream=True)`."""
    return NearEnd
