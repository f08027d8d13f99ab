"""A whole `Script` played behind a mocked library: the conversation of every other stage, with no wire.

What the near end says is fed to the conversation, and what that sends lies ready for the near end's next `recv`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from farend.core.commands import Abort, Accept, Close, Command, Continue, Impair, Reject, Send, TellWhenQuiet, Wake
from farend.core.conversation import Conversation
from farend.core.conversation import State as Playing
from farend.core.events import Connected, Ended, Event, Extended, How, Received, TimePassed, WritingResumed
from farend.core.faults import NO_WIRE, check_able
from farend.core.findings import Finding, NobodyConnected, Place
from farend.core.messages import Fragments, Handshake, OnWire, Ping, Pong
from farend.core.script import Script
from farend.core.transcript import Transcript
from farend.errors import ScriptError
from farend.intercept.findings import Unmocked
from farend.intercept.line import WAIT, Hangup, Line, State, waited
from farend.stage.settings import settings

if TYPE_CHECKING:
    from farend.intercept.plugins import WebSocketPlugin


class Played(Line):
    """A script that is played on one mocked connection; `play` makes it."""

    verbatim = False

    def __init__(self, plugin: WebSocketPlugin, script: Script, **answer: Any) -> None:
        __tracebackhide__ = True
        super().__init__(plugin, **answer)
        script.check_faults(NO_WIRE, "a mock")
        self.script = script
        self._conversation = Conversation(
            script,
            stream=False,
            deadline=settings.effective(),
            scale=settings.scale,
            limit=settings.max_size,
            far_end=plugin.spelling,
        )
        self._inbox: deque[Any] = deque()
        self._events: deque[Event] = deque()
        self._rejection = ""
        self._known = 0
        # A script may be played elsewhere, and longer than this.
        self.releases.append(script.subscribe(lambda: self._feed(Extended())))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What went wrong so far."""
        return tuple(self._conversation.findings)

    @property
    def transcript(self) -> Transcript:
        return self._conversation.transcript

    def dial(self, uri: str, number: int) -> None:
        super().dial(uri, number)
        self._conversation.number = self.transcript.number = number

    # -- what the near end does -------------------------------------------------------------------

    def enter(self, handshake: Handshake) -> str:
        self._feed(Connected(handshake))
        self.state = State.CLOSED if self._rejection else State.OPEN
        return self._rejection

    def say(self, message: Any) -> Hangup | None:
        if self.hangup is None:
            self._feed(Received(message))
            return None
        return self.hangup

    def hear(self) -> Any:
        with self.lock:
            if not self._inbox:
                self._pass_time()
            if not self._inbox:
                return WAIT
            if type(self._inbox[0]) is Hangup:
                self.state = State.CLOSED
                return self._inbox[0]  # from now on, whenever one asks
            return self._inbox.popleft()

    def hang_up(self, code: int, reason: str, under_way: BaseException | None = None) -> None:
        if self.state is State.OPEN:
            self.state = State.CLOSED
            self._feed(Ended(How.LOST, code) if code == 1006 else Ended(How.CLOSE, code, reason))

    def ping(self, ping: Ping) -> None:
        self._feed(Received(ping))

    def pong(self, pong: Pong) -> None:
        self._feed(Received(pong))

    def overdue(self, call: str, seconds: float) -> BaseException:
        why = f"{waited(seconds)}the script says nothing"
        return self.plugin.verifier.violated(Unmocked(self._conversation.place, call, why))

    @property
    def ready(self) -> bool:
        with self.lock:
            self._pass_time()
            return bool(self._inbox)

    @property
    def due(self) -> float | None:
        return self._conversation.wake_at

    def _pass_time(self) -> None:
        due = self._conversation.wake_at
        if due is not None and time.monotonic() >= due:
            self._feed(TimePassed())

    # -- the conversation -------------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        with self.lock:
            self._events.append(event)
            while self._events:  # what is done may be answered at once, behind all that is done now
                for command in self._conversation.feed(self._events.popleft(), time.monotonic()):
                    _OBEY[type(command)](self, command)
        self._tell()

    def _send(self, command: Send) -> None:
        match command.payload:
            case Ping(data):  # every library answers by itself (RFC 6455, 5.5.2)
                self._inbox.append(command.payload)
                self._events.append(Received(Pong(data)))
            case Fragments():
                self._inbox.append(command.payload.joined())
            case OnWire() as said:
                raise ScriptError(f"{said!r} cannot be said by a mock: no bytes go over a wire there")
            case said:
                self._inbox.append(said)

    def _close(self, command: Close) -> None:
        code = command.code or 1000
        self._leave(Hangup(code, command.reason))
        self._events.append(Ended(How.CLOSE, code, command.reason))  # and a close frame with the same (5.5.1)

    def _abort(self, command: Abort) -> None:
        self._leave(Hangup(1006, lost=True))
        self._events.append(Ended(How.LOST, 1006))

    def _leave(self, hangup: Hangup) -> None:
        self.hangup = hangup
        self._inbox.append(hangup)

    def _impair(self, command: Impair) -> None:
        check_able(NO_WIRE, command.faults, "a mock")  # which was added to the script while it is played

    def _reject(self, command: Reject) -> None:
        self._rejection = str(command.body)

    def _continue(self, command: Continue) -> None:
        self._events.append(WritingResumed())

    def _nothing(self, command: Command) -> None:
        """There is no door to open, and whoever waits looks at `due`."""

    # -- the end ----------------------------------------------------------------------------------

    def new_findings(self) -> list[Finding]:
        """What has been found since this was asked last."""
        findings = self._conversation.findings[self._known :]
        self._known += len(findings)
        return findings

    def finish(self) -> list[Finding]:
        """What there is to tell when the test is over."""
        with self.lock:
            if self.dialled is None and not self._known:
                self._known += 1
                return [NobodyConnected(Place(far_end=self.plugin.spelling, script=self.script), 0.0)]
            if self._conversation.state is not Playing.IDLE:
                self._conversation.finish(time.monotonic())
        return self.new_findings()

    def __repr__(self) -> str:
        return f"<Played {self.script!r}, {self.state.value}>"


_OBEY: Final[dict[type, Callable[[Played, Any], None]]] = {
    Send: Played._send,
    Close: Played._close,
    Abort: Played._abort,
    Impair: Played._impair,
    Reject: Played._reject,
    Continue: Played._continue,
    Accept: Played._nothing,
    TellWhenQuiet: Played._nothing,
    Wake: Played._nothing,
}
