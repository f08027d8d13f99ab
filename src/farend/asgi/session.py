"""One WebSocket between an application and a test, without a wire: the events of ASGI, both ways.

The application runs as a task of the test's loop, in a copy of the test's context. What it is told and
what it says are kept here, in order, and written down; who waits for what, and for how long, is the
communicator's matter.

    CONNECTING ── websocket.accept ──> OPEN ── websocket.close, or disconnect() ──> CLOSED
        └── websocket.close, websocket.http.response.* ──> CLOSED (rejected)
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from farend.core.commands import Close
from farend.core.events import Ended, How
from farend.core.messages import Handshake, printed
from farend.core.transcript import Kind, Transcript
from farend.errors import AsgiViolation, ClientDisconnected
from farend.settling.causes import CAUSE, Cause
from farend.settling.settler import Waiter

Event = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[Any]]
RECEIVED, SENT = int(Kind.RECEIVED), int(Kind.SENT)


class State(enum.Enum):
    """Where a session is in its life."""

    CONNECTING = "neither accepted nor rejected"
    OPEN = "open"
    CLOSED = "closed"


CONNECTING, OPEN, CLOSED = State  # looking a member up takes time


class Frame(NamedTuple):
    """One message that the application said. `cause` is what it was working for; None where nobody can say."""

    payload: str | bytes
    cause: Cause | None


class Session:
    """The two directions of one WebSocket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, scope: MutableMapping[str, Any], target: str) -> None:
        self.loop = loop
        self.scope = scope
        self.state = State.CONNECTING
        self._log: list[tuple[float, int, Any, Cause | None]] = []
        self.outbox: deque[str | bytes] = deque()
        """What the application has said, and nobody has taken yet."""
        self.waiter: Waiter | None = None
        """Who waits for the application to say something, or to end."""
        self.accepted: Event | None = None
        self.close_code: int | None = None
        self.close_reason = ""
        self.response: Event | None = None
        self.body = b""
        self.response_is_whole = False
        self.said = 0
        self.disconnected = False
        self.long_gone = False
        """Whether the application has had the time to notice that the test has left."""
        self.task: asyncio.Task[Any] | None = None
        self._inbox: deque[tuple[Event | str | bytes, Cause | int]] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._no_cause = contextvars.Context()
        self._create_future: Callable[[], asyncio.Future[None]] = functools.partial(asyncio.Future, loop=loop)
        self._time = loop.time
        # Read when somebody looks at them.
        fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        self._write(Kind.CONNECTED, Handshake(target, fields))

    # -- what was said ----------------------------------------------------------------------------

    def _write(self, kind: Kind, payload: object) -> None:
        self._log.append((self._time(), kind, payload, None))

    @property
    def transcript(self) -> Transcript:
        """All that was said and done, by either side."""
        transcript = Transcript()
        for when, kind, payload, _ in self._log:
            transcript.add(when, kind, payload)
        return transcript

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All that the application has said."""
        return tuple(Frame(payload, cause) for _, kind, payload, cause in self._log if kind == RECEIVED)

    # -- the application's life -------------------------------------------------------------------

    def start(self, app: App) -> None:
        """Run the application, and tell it of the connect."""
        cause = Cause(0, what="the connect")
        self._tell({"type": "websocket.connect"}, cause)
        context = contextvars.copy_context()
        context.run(CAUSE.set, cause)
        self.task = self.loop.create_task(_run(app, self), name=f"farend: {self.scope['path']}", context=context)

    def ended(self) -> None:
        """The application is about to return, or to raise: its task is done when the test goes on."""
        if self.state is State.OPEN:
            self._write(Kind.ENDED, Ended(How.LOST, 1006))
        self.state = State.CLOSED
        self.notify()

    @property
    def has_ended(self) -> bool:
        """Whether the application has returned, or raised."""
        return self.task is not None and self.task.done()

    @property
    def is_answered(self) -> bool:
        """Whether it is known what became of the connect."""
        if self.response is not None and not self.has_ended:
            return self.response_is_whole
        return self.state is not State.CONNECTING

    def notify(self) -> None:
        """Something happened: whoever waits looks again."""
        waiter = self.waiter
        if waiter is not None and not waiter.future.done():
            # The test goes on for its own reasons, and not for the application's.
            self._no_cause.run(waiter.future.set_result, True)

    # -- what the test says -----------------------------------------------------------------------

    def say(self, payload: str | bytes) -> None:
        """A message to the application."""
        self.said = number = self.said + 1
        self._log.append((self._time(), SENT, payload, None))
        self._inbox.append((payload, number))
        if self._receivers:
            self._wake_receiver()

    def disconnect(self, code: int, reason: str) -> None:
        """The end of the connection, from the test's side."""
        if self.disconnected:
            return
        if self.state is not State.CLOSED:
            self._write(Kind.CLOSED, Close(code, reason))
        self._disconnect(code, reason)

    def _disconnect(self, code: int, reason: str) -> None:
        self.disconnected = True
        self.state = State.CLOSED
        self._tell({"type": "websocket.disconnect", "code": code, "reason": reason}, Cause(self.said, what="the end"))

    def _tell(self, event: Event, cause: Cause) -> None:
        self._inbox.append((event, cause))
        if self._receivers:
            self._wake_receiver()

    def _wake_receiver(self) -> None:
        while self._receivers:
            receiver = self._receivers.popleft()
            if not receiver.done():
                receiver.set_result(None)
                return

    # -- called by the application ----------------------------------------------------------------

    async def receive(self) -> Event:
        """The application's `receive`."""
        while not self._inbox:
            receiver = self._create_future()
            self._receivers.append(receiver)
            try:
                await receiver
            except BaseException:
                if receiver.done() and not receiver.cancelled() and self._inbox:
                    self._wake_receiver()  # what was meant for it is another one's now
                raise
        event, cause = self._inbox.popleft()
        if type(cause) is int:
            CAUSE.set(Cause(cause, event))
            return {"type": "websocket.receive", "text" if type(event) is str else "bytes": event}
        CAUSE.set(cause)  # type: ignore[arg-type]
        return event  # type: ignore[return-value]

    async def send(self, event: Event) -> None:
        """The application's `send`."""
        __tracebackhide__ = True
        try:
            kind = event["type"]
        except (TypeError, KeyError):
            raise self._violation(f"an event is a dict with a 'type', not {printed(event)}") from None
        if kind == "websocket.send" and self.state is OPEN:
            payload = event.get("text")
            if type(payload) is not str or "bytes" in event:
                payload = self._payload(event)
            self._log.append((self._time(), RECEIVED, payload, CAUSE.get()))
            self.outbox.append(payload)
            if self.waiter is not None:
                self.notify()
            return
        if self.disconnected and self.close_code is None:
            if not self.long_gone:
                return  # the two have crossed, as on any wire
            # ASGI 2.4, "Send": this is how an application that never receives learns of it
            raise ClientDisconnected("the client of this WebSocket has disconnected")
        handler = _SENDS.get((self.state, kind))
        if handler is None:
            raise self._violation(_refusal(self.state, kind))
        handler(self, event)
        self.notify()

    def _payload(self, event: Event) -> str | bytes:
        __tracebackhide__ = True
        text: Any
        data: Any
        text, data = event.get("text"), event.get("bytes")
        if (text is None) == (data is None):
            raise self._violation("websocket.send takes 'text' or 'bytes', and one of them only")
        if text is not None and not isinstance(text, str):
            raise self._violation(f"'text' of websocket.send is a str, not {printed(text)}")
        if data is not None and not isinstance(data, bytes | bytearray | memoryview):
            raise self._violation(f"'bytes' of websocket.send is a byte string, not {printed(data)}")
        return str(text) if data is None else bytes(data)

    def _accept(self, event: Event) -> None:
        __tracebackhide__ = True
        offered = self.scope["subprotocols"]
        chosen = event.get("subprotocol")
        if chosen is not None and chosen not in offered:
            raise self._violation(f"it accepted with the subprotocol {chosen!r}, and was offered {offered}")
        self.accepted = event
        self.state = State.OPEN

    def _close(self, event: Event) -> None:
        code = event.get("code")
        self.close_code = 1000 if code is None else code
        self.close_reason = event.get("reason") or ""
        self._write(Kind.ENDED, Ended(How.CLOSE, self.close_code, self.close_reason))
        self._disconnect(self.close_code, self.close_reason)

    def _reject(self, event: Event) -> None:
        self.close_code = event.get("code") or 1000
        self.close_reason = event.get("reason") or ""
        self._write(Kind.ENDED, Ended(How.CLOSE, self.close_code, self.close_reason))
        self._disconnect(1006, "")

    def _response_start(self, event: Event) -> None:
        __tracebackhide__ = True
        if self.response is not None:
            raise self._violation("it began its HTTP response twice")
        if not isinstance(event.get("status"), int):
            raise self._violation(f"the status of its HTTP response is a number, not {printed(event.get('status'))}")
        self.response = event

    def _response_body(self, event: Event) -> None:
        __tracebackhide__ = True
        if self.response is None:
            raise self._violation("it sent the body of an HTTP response before its start")
        self.body += event.get("body", b"")
        if not event.get("more_body", False):
            self.response_is_whole = True
            self.close_code = 1006
            ended = Ended(How.CLOSE, 1006, f"rejected with HTTP {self.response['status']}")
            self._write(Kind.ENDED, ended)
            self._disconnect(1006, "")

    def _violation(self, what: str) -> AsgiViolation:
        return AsgiViolation(f"The application broke the ASGI protocol: {what}.")


_SENDS: dict[tuple[State, str], Callable[[Session, Event], None]] = {
    (State.CONNECTING, "websocket.accept"): Session._accept,
    (State.CONNECTING, "websocket.close"): Session._reject,
    (State.CONNECTING, "websocket.http.response.start"): Session._response_start,
    (State.CONNECTING, "websocket.http.response.body"): Session._response_body,
    (State.OPEN, "websocket.close"): Session._close,
}


def _refusal(state: State, kind: object) -> str:
    known = sorted({name for _, name in _SENDS} | {"websocket.send"})
    if kind not in known:
        return f"it sent {kind!r}, and a WebSocket takes {', '.join(known)}"
    if state is State.CONNECTING:
        return f"it sent {kind!r} before it had accepted the WebSocket"
    if kind == "websocket.accept":
        return "it accepted the WebSocket twice" if state is State.OPEN else "it accepted a WebSocket that was closed"
    return f"it sent {kind!r} after it had closed the WebSocket" if state is State.CLOSED else f"it sent {kind!r} late"


async def _run(app: App, session: Session) -> Any:
    # An application may be any callable that gives an awaitable; a task takes a coroutine only.
    __tracebackhide__ = True
    try:
        return await app(session.scope, session.receive, session.send)
    finally:
        session.ended()


def scope_of(
    path: str,
    headers: Iterable[tuple[bytes, bytes]],
    subprotocols: list[str],
    more: dict[str, Any],
) -> dict[str, Any]:
    """The scope of a WebSocket, as a server makes it (ASGI, "WebSocket connection scope")."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        **_place_of(path),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "subprotocols": subprotocols,
        "state": {},
        "extensions": {"websocket.http.response": {}},
        **more,
    }


@functools.lru_cache(256)
def _place_of(path: str) -> dict[str, Any]:
    """What a path, or a URL, is in a scope."""
    scheme, server = "ws", ("testserver", 80)
    if path.startswith("/"):
        target, _, query = path.partition("?")
    else:
        parts = urlsplit(path)
        target, query, scheme = parts.path or "/", parts.query, parts.scheme
        server = (parts.hostname or "testserver", parts.port or (443 if scheme == "wss" else 80))
    return {
        "scheme": scheme,
        "path": unquote(target) if "%" in target else target,
        "raw_path": quote(target, safe="/%:@!$&'()*+,;=~").encode(),
        "query_string": query.encode(),
        "server": server,
    }
