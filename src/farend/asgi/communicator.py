"""`WebsocketCommunicator`: what a test says to a WebSocket application in process, and hears from it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from farend.asgi.arguments import (
    checked_app,
    checked_code,
    checked_consumer,
    checked_headers,
    checked_mode,
    checked_path,
    checked_scope,
    checked_seconds,
    checked_subprotocols,
    checked_type,
)
from farend.asgi.broadcasts import CONFIGURE_LAYER, without_layer
from farend.asgi.completion import COMPLETE_ACTIONS, MESSAGE_ACTION_COMPLETE, emits_completions
from farend.asgi.connection import Connection, Headers
from farend.asgi.messages import Codec, to_json
from farend.asgi.session import CLOSED, OPEN, App, Session
from farend.asgi.waiting import TIMEOUT
from farend.core.messages import printed
from farend.errors import Failure, InvalidArguments, WrongType
from farend.stage.settings import settings

_UNSET: Final[Any] = type("Unset", (), {"__repr__": lambda self: "unset"})()


class WebsocketCommunicator(Connection):
    """Talks to the application at `path`, as a WebSocket client would, without a server and a wire.

    `app` is an ASGI application, `path` a path with its query. `headers` is a dict or a list of pairs, of
    text or bytes; `subprotocols` is what the client offers; `cookies` a dict. `user` is put into the
    scope, for applications that look there for who is logged in; `scope` has further keys for it.
    `consumer` is the consumer class behind the path: it says which message objects there are, and whether
    completion messages are sent (chanx). `deadline` is how long, in seconds, a thread or another program
    that the application waits for may really take, where a call does not give it longer.

    Use it with `async with`, which connects and disconnects, or call `connect()` and `disconnect()`; in a
    plain test, with `with`, which gives the same methods without `await`.

    An exception of the application's is raised in the test. Raises `WrongType` for what cannot be an
    application, a path or a consumer.

    >>> from farend.asgi import WebsocketCommunicator
    >>> async def app(scope, receive, send):
    ...     await receive()
    ...     await send({"type": "websocket.accept"})
    ...     while (event := await receive())["type"] == "websocket.receive":
    ...         await send({"type": "websocket.send", "text": event["text"].upper()})
    >>> with WebsocketCommunicator(app, "/ws") as comm:
    ...     comm.exchange("hello")
    ['HELLO']
    """

    def __init__(
        self,
        app: App,
        path: str,
        headers: Headers | None = None,
        subprotocols: Iterable[str] | None = None,
        spec_version: str | None = None,
        *,
        consumer: Any = None,
        user: Any = None,
        cookies: Mapping[str, str] | None = None,
        scope: Mapping[str, Any] | None = None,
        deadline: float | Literal["default"] | None = "default",
    ) -> None:
        __tracebackhide__ = True
        self._app = checked_app(app)
        super().__init__(checked_path(path), settings.effective(deadline) or float("inf"))
        self._headers = checked_headers(headers, cookies)
        self._subprotocols = checked_subprotocols(subprotocols)
        self._consumer = checked_consumer(consumer)
        self._codec = Codec(consumer)
        self._more_scope = checked_scope(scope, user, spec_version)

    # -- sending ----------------------------------------------------------------------------------

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        __tracebackhide__ = True
        session = self._session
        if type(text) is not str:
            text = str(checked_type(text, str, "send_text", "send_bytes"))
        if session is None or session.state is not OPEN:
            session = self._speaking()
        session.say(text)

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        __tracebackhide__ = True
        if type(data) is not bytes:
            data = bytes(checked_type(data, bytes | bytearray | memoryview, "send_bytes", "send_text"))
        self._speaking().say(data)

    async def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        """Send anything that JSON has a word for, as text, or as bytes with `mode="binary"`."""
        __tracebackhide__ = True
        text = to_json(data, "what send_json() was given")
        self._speaking().say(text if checked_mode(mode) == "text" else text.encode())

    async def send_message(self, message: Any, *, topic: str | None = None, ref: str | None = None) -> None:
        """Send a message object: a pydantic model, a dataclass, a msgspec struct, an attrs class or a dict.

        `topic` addresses it to one of the consumer's topics, and `ref` asks for it in the answer (chanx).
        """
        __tracebackhide__ = True
        value = self._codec.encode(message)
        if topic is not None or ref is not None:
            assert isinstance(value, dict)
            value |= {"version": 1, "topic": topic} if topic is not None else {}
            value |= {"ref": ref} if ref is not None else {}
        self._speaking().say(to_json(value, printed(message)))

    # -- receiving one ----------------------------------------------------------------------------

    async def receive(self, timeout: float = TIMEOUT, *, outside: bool = False) -> str | bytes:
        """The next message, text or bytes.

        `timeout` is in seconds of the application's clock: timers that are due until then are not waited
        for, the clock is put forward. Raises `DeadlineExceeded` as soon as nothing can come any more, with
        what the application waits for; the application goes on. `outside=True` really waits, for what comes
        from another process. Raises `ApplicationClosed` after the application's end.
        """
        __tracebackhide__ = True
        session = self._session or self._connected()
        if not session.outbox:
            await self._until_said(timeout, outside)
        return session.outbox.popleft()

    async def receive_text(self, timeout: float = TIMEOUT, *, outside: bool = False) -> str:
        """The next message, which has to be text; see `receive`."""
        __tracebackhide__ = True
        session = self._session or self._connected()
        if not session.outbox:
            await self._until_said(timeout, outside)
        payload = session.outbox.popleft()
        if type(payload) is not str:
            raise Failure(self._story(f"Expected text, got bytes: {printed(payload)}"))
        return payload

    async def receive_bytes(self, timeout: float = TIMEOUT, *, outside: bool = False) -> bytes:
        """The next message, which has to be binary; see `receive`."""
        __tracebackhide__ = True
        payload = await self.receive(timeout, outside=outside)
        if not isinstance(payload, bytes):
            raise Failure(self._story(f"Expected bytes, got text: {printed(payload)}"))
        return payload

    async def receive_json(
        self, timeout: float = TIMEOUT, mode: Literal["text", "binary"] = "text", *, outside: bool = False
    ) -> Any:
        """The next message, which has to be JSON; see `receive`."""
        __tracebackhide__ = True
        receive: Any = self.receive_text if checked_mode(mode) == "text" else self.receive_bytes
        return self._parsed(await receive(timeout, outside=outside))

    async def receive_message(self, timeout: float = TIMEOUT, *, outside: bool = False) -> Any:
        """The next message that is not a completion, as the object that the consumer declares; see `receive`.

        Raises `UndeclaredMessage` for one that it does not declare.
        """
        __tracebackhide__ = True
        checked_seconds("timeout", timeout)
        time = self._loop().time
        until = time() + timeout
        while True:
            raw = await self.receive_json(max(0.0, until - time()), outside=outside)
            if self._action(raw) not in COMPLETE_ACTIONS:
                return self._codec.decode(raw)

    # -- receiving all ----------------------------------------------------------------------------

    async def receive_all(self, timeout: float = TIMEOUT) -> list[str | bytes]:
        """All that comes until the application has finished reacting, its timers until `timeout` included."""
        __tracebackhide__ = True
        await self._settle(timeout)
        return self._take_all()

    async def receive_all_json(self, timeout: float = TIMEOUT) -> list[Any]:
        """All that comes until the application has finished reacting, as JSON; see `receive_all`."""
        __tracebackhide__ = True
        await self._settle(timeout)
        return self._each(self._connected(), self._parsed_text)

    async def receive_all_messages(self, stop_action: str | None = _UNSET, timeout: float = TIMEOUT) -> list[Any]:
        """All messages until `stop_action`, as the objects that the consumer declares, without completions.

        `stop_action` is an action: `"complete"`, `"group_complete"` or `"event_complete"` for applications
        that send completions, or any other, whose message is then the last of the list. Raises `Failure`,
        with what came instead, if it does not come. For an application that sends no completions, to stop
        at one is to stop when it has finished reacting. With None, that is so for every application; with
        nothing given, it stops at `"complete"` if that comes, and when it has finished reacting otherwise.

        Raises `UndeclaredMessage` for a message that the consumer does not declare; all the others can
        still be received.
        """
        __tracebackhide__ = True
        checked_seconds("timeout", timeout)
        session = self._connected()
        if stop_action is not None and stop_action is not _UNSET and not isinstance(stop_action, str):
            raise WrongType(f"stop_action= takes an action, such as 'complete', not {printed(stop_action)}")
        stop = MESSAGE_ACTION_COMPLETE if stop_action is _UNSET else stop_action
        taken: list[str | bytes] = []
        stopped = False
        until = session.loop.time() + timeout
        try:
            while not stopped:
                if not session.outbox:
                    if stop is None:
                        await self._settle(timeout)
                    elif session.state is not CLOSED:
                        await self._more(max(0.0, until - session.loop.time()))
                    if not session.outbox:
                        break
                taken.append(session.outbox.popleft())
                stopped = stop is not None and self._action(self._parsed_text(taken[-1])) == stop
        except BaseException:
            session.outbox.extendleft(reversed(taken))
            raise
        if not stopped:
            if stop_action is not _UNSET and stop_action is not None:
                self._check_stop(stop_action, taken)
            if session.has_ended:
                try:
                    self._raise_error()
                except BaseException:
                    session.outbox.extendleft(reversed(taken))
                    raise
        return self._decoded(taken)

    def _check_stop(self, stop_action: str, taken: list[str | bytes]) -> None:
        """The stop action did not come. Is that as it should be?"""
        __tracebackhide__ = True
        completes = stop_action in COMPLETE_ACTIONS
        if completes and self._consumer is not None and not self._completes(taken):
            return
        came = "".join(f"\n  {printed(payload, 200)}" for payload in taken) or " nothing"
        hint = ""
        if completes and self._consumer is None and not self._completes(taken):
            hint = (
                "\nNo consumer= was given, so farend cannot know whether this application sends completions: "
                "write WebsocketCommunicator(app, path, consumer=TheConsumer), or leave stop_action out."
            )
        raise Failure(
            self._story(f"No message with the action {stop_action!r} came, and none can come. What came:{came}{hint}")
        )

    def _completes(self, taken: Iterable[str | bytes]) -> bool:
        """Whether the application is one that sends completions."""
        if self._consumer is not None and emits_completions(self._consumer):
            return True
        said = [*taken, *(frame.payload for frame in self._connected().frames)]
        return any(self._action(_quietly_parsed(payload)) in COMPLETE_ACTIONS for payload in said)

    def _decoded(self, taken: list[str | bytes]) -> list[Any]:
        __tracebackhide__ = True
        messages = []
        for index, payload in enumerate(taken):
            try:
                raw = self._parsed_text(payload)
                if self._action(raw) not in COMPLETE_ACTIONS:
                    messages.append(self._codec.decode(raw))
            except Failure:
                self._connected().outbox.extendleft(reversed(taken[:index] + taken[index + 1 :]))
                raise
        return messages

    async def receive_nothing(self, timeout: float = 0.1) -> bool:
        """Nothing comes within `timeout` seconds of the application's clock; proven, and so in no time.

        Raises `Failure` if something does come; it can still be received.
        """
        __tracebackhide__ = True
        session = self._connected()
        await self._settle(timeout, fully=True)
        if session.outbox:
            said = "".join(f"\n  {printed(payload, 200)}" for payload in session.outbox)
            raise Failure(self._story(f"Expected nothing, and the application said:{said}"))
        return True

    async def exchange(self, message: Any, within: float = 0.0) -> list[Any]:
        """Send a message, let the application finish reacting, and get all that came.

        Text and bytes are answered with what came as it is, dicts and lists with JSON values, and message
        objects with message objects. `within` is as in `settle`.
        """
        __tracebackhide__ = True
        if isinstance(message, str):
            await self.send_text(message)
        elif isinstance(message, bytes | bytearray | memoryview):
            await self.send_bytes(bytes(message))
        elif isinstance(message, dict | list):
            await self.send_json(message)
        else:
            await self.send_message(message)
        await self._settle(within)
        if isinstance(message, str | bytes | bytearray | memoryview):
            return self._take_all()
        if isinstance(message, dict | list):
            return self._each(self._connected(), self._parsed_text)
        return self._decoded(self._take_all())

    async def assert_closed(self, code: int | None = None, timeout: float = TIMEOUT) -> None:
        """The application closes its WebSocket, with `code` where one is given, and says nothing before."""
        __tracebackhide__ = True
        if code is not None:
            checked_code(code)
        session = self._connected()
        while session.state is not CLOSED and not session.outbox:
            if not await self._more(timeout):
                raise Failure(self._story("Expected the application to close its WebSocket, and it does not."))
        if session.outbox:
            raise Failure(self._story(f"Expected a close, and the application said {printed(session.outbox[0])}"))
        self._raise_error()
        if session.close_code is None:
            raise Failure(self._story("The application has not closed the WebSocket; it has ended without a close."))
        if code is not None and session.close_code != code:
            raise Failure(
                self._story(f"Expected a close with {code}, and the application closed with {session.close_code}.")
            )

    # -- topics (chanx) ---------------------------------------------------------------------------

    async def subscribe(self, topic: str, ref: str = "1") -> Any:
        """Subscribe to one of the consumer's topics, and get the JSON value of the answer."""
        await self.send_json({"version": 1, "topic": topic, "ref": ref, "action": "subscribe"})
        return await self.receive_json()

    async def unsubscribe(self, topic: str, ref: str = "1") -> Any:
        """Leave a topic, and get the JSON value of the answer."""
        await self.send_json({"version": 1, "topic": topic, "ref": ref, "action": "unsubscribe"})
        return await self.receive_json()

    async def receive_topic_message(self, topic_class: Any, timeout: float = TIMEOUT) -> Any:
        """The next message, as the object that the topic declares."""
        __tracebackhide__ = True
        raw = await self.receive_json(timeout)
        return self._codec.decode_by(topic_class.outgoing_message_adapter, raw)

    # -- inside -----------------------------------------------------------------------------------

    def _story(self, text: str) -> str:
        missing = None
        with contextlib.suppress(Exception):  # of a project that is set up wrongly in other ways
            missing = without_layer(self._consumer)
        # chanx goes on without: it joins no group, and answers with an error where it should broadcast.
        note = f"\nNote: {missing}; {CONFIGURE_LAYER}." if missing else ""
        return super()._story(text + note)

    def _take_all(self) -> list[str | bytes]:
        outbox = self._connected().outbox
        taken = list(outbox)
        outbox.clear()
        return taken

    def _each(self, session: Session, make: Callable[[str | bytes], Any]) -> list[Any]:
        """Make something of all that came; what makes trouble is taken, and the others stay."""
        __tracebackhide__ = True
        taken = self._take_all()
        made = []
        for index, payload in enumerate(taken):
            try:
                made.append(make(payload))
            except Failure:
                session.outbox.extendleft(reversed(taken[:index] + taken[index + 1 :]))
                raise
        return made

    def _parsed_text(self, payload: str | bytes) -> Any:
        __tracebackhide__ = True
        if isinstance(payload, bytes):
            raise Failure(self._story(f"Expected JSON in a text message, got bytes: {printed(payload)}"))
        return self._parsed(payload)

    def _parsed(self, payload: str | bytes) -> Any:
        __tracebackhide__ = True
        try:
            return json.loads(payload)
        except ValueError as error:
            raise Failure(self._story(f"Expected JSON, got {printed(payload)} ({error})")) from None

    def _action(self, raw: object) -> object:
        return raw.get(self._codec.action_key) if isinstance(raw, dict) else None

    # -- the names of Channels' communicator ------------------------------------------------------

    async def send_to(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`send_text` or `send_bytes`, by their name in Channels."""
        if (text_data is None) == (bytes_data is None):
            raise InvalidArguments("send_to() takes text_data= or bytes_data=, and one of them only")
        await (self.send_text(text_data) if text_data is not None else self.send_bytes(bytes_data or b""))

    async def send_json_to(self, data: Any) -> None:
        """`send_json`, by its name in Channels."""
        await self.send_json(data)

    async def receive_from(self, timeout: float = TIMEOUT) -> str | bytes:
        """`receive`, by its name in Channels."""
        __tracebackhide__ = True
        return await self.receive(timeout)

    async def receive_json_from(self, timeout: float = TIMEOUT) -> Any:
        """`receive_json`, by its name in Channels."""
        __tracebackhide__ = True
        return await self.receive_json(timeout)


def _quietly_parsed(payload: str | bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return None
