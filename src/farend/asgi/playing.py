"""A script, played against an application: the far end is the client, and no socket is opened.

The conversation is the same machine that plays on sockets. Pauses and deadlines are on the application's
clock, which is put forward when the application has nothing more to say: so neither takes time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from farend.asgi.communicator import WebsocketCommunicator
from farend.asgi.session import App, Session, State
from farend.core.commands import Abort, Accept, Close, Command, Continue, Reject, Send, TellWhenQuiet, Wake
from farend.core.conversation import Conversation
from farend.core.conversation import State as Stage
from farend.core.events import Connected, Ended, Event, How, Quiet, Received, TimePassed, WritingResumed
from farend.core.faults import NO_WIRE
from farend.core.messages import Fragments, OnWire, Ping, Pong, printed
from farend.core.script import Script
from farend.core.transcript import Transcript
from farend.errors import ScriptError, WrongType
from farend.settling.settler import LIMIT
from farend.stage import verdict
from farend.stage.settings import settings


async def play(script: Script, app: App, path: str, **options: Any) -> Transcript:
    """Play the script as a client of the application at `path`, and give the transcript.

    `options` are those of `WebsocketCommunicator`. Raises `Failure` with what went wrong, as a
    `WebSocketClient` on a socket would; what the application raised; and `Rejected` where it did not
    accept.

    >>> import asyncio
    >>> from farend import Script
    >>> from farend.asgi import play
    >>> async def app(scope, receive, send):
    ...     await receive()
    ...     await send({"type": "websocket.accept"})
    ...     while (event := await receive())["type"] == "websocket.receive":
    ...         await send({"type": "websocket.send", "text": event["text"].upper()})
    >>> script = Script().send("hello").expect("HELLO").pause(3600).send("still there?").expect("STILL THERE?")
    >>> asyncio.run(play(script, app, "/ws")).received
    ['HELLO', 'STILL THERE?']
    """
    __tracebackhide__ = True
    if not isinstance(script, Script):
        raise WrongType(f"play() takes a Script, not {printed(script)}")
    script.check_faults(NO_WIRE, "play() against an application")
    script.check_without_wire("to an application in process")
    async with WebsocketCommunicator(app, path, **options) as comm:
        player = _Player(script, comm)
        await player.play()
        if player.conversation.findings:
            raise verdict.failure(player.conversation.findings)
    return player.conversation.transcript


class _Player:
    """Feeds a conversation with what the application says, and does what it wants done."""

    def __init__(self, script: Script, comm: WebsocketCommunicator) -> None:
        self.comm = comm
        self.session: Session = comm._connected()
        self.conversation = Conversation(
            script,
            stream=False,
            deadline=settings.effective(),
            scale=settings.scale,
            far_end=script.name or f"play {comm._path}",
        )
        self._wants: list[Event] = []
        self._heard_the_end = False
        self._has_left = False

    async def play(self) -> None:
        time = asyncio.get_running_loop().time
        self._feed(Connected(self.session.transcript.handshake))
        while self.conversation.state is not Stage.OVER:
            if self.session.outbox:
                self._feed(Received(self.session.outbox.popleft()))
            elif self.session.state is State.CLOSED and not self._heard_the_end:
                self._heard_the_end = True
                self.comm._raise_error()
                self._feed(self._ended())
            elif self._wants:
                await self.comm._settle(0.0)
                if not self.session.outbox:
                    self._feed(self._wants.pop(0))
            elif not await self._something(time):
                break
        self.conversation.finish(time())

    async def _something(self, time: Callable[[], float]) -> bool:
        """Wait for the application, or for the conversation's time; False where neither comes."""
        wake_at = self.conversation.wake_at
        if self.conversation.done and self.conversation.state is Stage.PLAYING:
            await self.comm._settle(0.0)
            return bool(self.session.outbox) or (self.session.state is State.CLOSED and not self._heard_the_end)
        within = LIMIT if wake_at is None else max(0.0, wake_at - time())
        if self.session.state is not State.CLOSED and await self.comm._more(within):
            return True
        if wake_at is None:
            return False
        if time() < wake_at:
            await self.comm._settle(wake_at - time(), fully=True)
        self._feed(TimePassed())
        return True

    def _ended(self) -> Ended:
        if self.session.close_code is not None:
            return Ended(How.CLOSE, self.session.close_code, self.session.close_reason)
        return Ended(How.CLOSE, 1000) if self._has_left else Ended(How.LOST, 1006)

    def _feed(self, event: Event) -> None:
        now = self.session.loop.time()
        for command in self.conversation.feed(event, now):
            _EXECUTE[type(command)](self, command)

    def _send(self, command: Send) -> None:
        payload = command.payload
        if isinstance(payload, OnWire):
            raise ScriptError(f"{payload!r} cannot be said to an application in process: no bytes go over a wire there")
        if isinstance(payload, Ping | Pong):
            raise ScriptError(f"an ASGI application never sees {payload!r}: its server answers it")
        if self.session.state is State.OPEN:
            self.session.say(payload.joined() if isinstance(payload, Fragments) else payload)

    def _close(self, command: Close) -> None:
        self._has_left = True
        self.session.disconnect(command.code or 1000, command.reason)

    def _abort(self, command: Abort) -> None:
        self._has_left = True
        self.session.disconnect(1006, "")

    def _quiet(self, command: TellWhenQuiet) -> None:
        self._wants.append(Quiet())

    def _continue(self, command: Continue) -> None:
        self._wants.append(WritingResumed())

    def _nothing(self, command: Command) -> None:
        """There is no door to open here, and no timer to set."""


_EXECUTE: Final[dict[type, Callable[[_Player, Any], None]]] = {
    Send: _Player._send,
    Close: _Player._close,
    Abort: _Player._abort,
    Accept: _Player._nothing,
    Reject: _Player._close,
    TellWhenQuiet: _Player._quiet,
    Continue: _Player._continue,
    Wake: _Player._nothing,
}
