"""A client whose conversation goes on a tape: whatever it is, as long as it can `send` and `recv`."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from types import TracebackType
from typing import Any, Self

from farend.core.messages import printed
from farend.errors import WrongType
from farend.tape.format import Kind, Side
from farend.tape.recorder import Recorder
from farend.tape.writer import STEP


class TapedClient:
    """A client that is used just as before, and whose messages go on a tape.

    >>> import pathlib, tempfile
    >>> from farend import Script, TapedClient, WebSocketServer
    >>> from websockets.sync.client import connect
    >>> path = pathlib.Path(tempfile.mkdtemp(), "hello.jsonl")
    >>> with WebSocketServer(Script().expect("hello").send("there")) as server, connect(server.url) as client:
    ...     with TapedClient(client, path) as taped:
    ...         taped.send("hello")
    ...         taped.recv()
    'there'

    `client` has `send` and `recv`, coroutines or not, as the clients of `websockets` and `websocket-client`
    have. All else that it has is there as well; what is iterated is recorded, too. `tape`, `redact` and
    `times` are as in `record`. Leaving the `with` (or `async with`) completes the tape, and leaves the
    client open. A line is on its way to the disk before a message is sent, and before one that came is given.

    Raises `WrongType` for a client without these methods, and `TapeUnavailable` where the tape cannot be
    written; later than that, leaving the `with` raises it, and the client is not disturbed.
    """

    def __init__(
        self, client: Any, tape: str | os.PathLike[str], *, redact: object = True, times: float | None = STEP
    ) -> None:
        missing = [name for name in ("send", "recv") if not callable(getattr(client, name, None))]
        if missing:
            raise WrongType(f"client= needs a method {' and a method '.join(missing)}, and {printed(client)} has none")
        self._client = client
        now = time.monotonic()
        self._recorder = Recorder(tape, "websocket", now=now, redact=redact, times=times)
        self._connection = self._recorder.connection(now)
        self._connection.connect(now)

    def send(self, message: Any, *arguments: Any, **options: Any) -> Any:
        """Write the message down, and send it."""
        self._said("client", message)
        return self._client.send(message, *arguments, **options)

    def recv(self, *arguments: Any, **options: Any) -> Any:
        """Receive a message, and write it down."""
        answer = self._client.recv(*arguments, **options)
        return self._awaited(answer) if inspect.isawaitable(answer) else self._said("server", answer)

    def __iter__(self) -> Iterator[Any]:
        return (self._said("server", message) for message in self._client)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for message in self._client:
            yield self._said("server", message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.complete(quietly=error is not None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.complete(quietly=error is not None)

    def complete(self, *, quietly: bool = False) -> None:
        """Complete the tape. Raises what has ended the recording, unless `quietly`."""
        self._recorder.close()
        if self._recorder.error is not None and not quietly:
            raise self._recorder.error

    async def _awaited(self, answer: Awaitable[Any]) -> Any:
        return self._said("server", await answer)

    def _said(self, side: Side, message: Any) -> Any:
        now = time.monotonic()
        match message:
            case str() | bytes():
                self._connection.message(now, side, message)
            case bytearray() | memoryview():
                self._connection.message(now, side, bytes(message))
            case _:
                remark = f"said something of type {type(message).__name__}, which is not text or bytes"
                self._connection.happened(now, Kind.NOTE, side, reason=remark)
        return message
