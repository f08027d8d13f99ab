"""A tape that grows: connections that are on it are replayed, new ones are recorded.

In front of the replay and of the recording proxy stands a switchboard, which looks at the handshake of each
connection and hands its bytes to one or the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Final

from farend.dialects.replay import ReplayServer
from farend.stage.loop_thread import shared
from farend.stage.proxy import RecordingProxy
from farend.tape.format import header_text, line_text
from farend.tape.index import index
from farend.tape.reader import TapeReader

_HEAD: Final = 64 << 10
"""Bytes of the longest handshake."""
_SEGMENT: Final = 64 << 10


class Switchboard:
    """Listens in front of `known`, which replays a tape, and of `new`, which records; both are started already."""

    def __init__(self, known: ReplayServer, new: RecordingProxy) -> None:
        self._known = known
        self._new = new
        self._websocket = known.tape.header.wire == "websocket"
        self._left = Counter(one.path if self._websocket else "" for one in known.tape.playable)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"{'ws' if self._websocket else 'tcp'}://{self.host}:{self.port}"

    def start(self) -> None:
        """Listen, on the shared background loop."""
        shared.lease(self, lambda: None)
        self._run(self._open())

    def close(self) -> None:
        """Listen no more, and end what is left."""
        try:
            self._run(self._close())
        finally:
            shared.give_back(self)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        shared.run(coroutine)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._connected, self.host, 0, limit=_HEAD)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)
        writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b""
        if self._websocket:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return
        target = head.split(b" ", 2)[1].decode("latin-1") if head.count(b" ") > 1 else ""
        path = target.partition("?")[0]
        there: Any = self._known if self._left[path] > 0 else self._new
        self._left[path] -= 1
        far_reader, far_writer = await asyncio.open_connection(there.host, there.port)
        far_writer.write(head)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pipe(reader, far_writer))
                both.create_task(_pipe(far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_SEGMENT):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        writer.transport.abort()  # a reset stays one
        raise
    if writer.can_write_eof():
        writer.write_eof()


def joined(tape: Path, episodes: Path) -> int:
    """Put the connections of `episodes` behind those of `tape`, which is whole at any time; gives how many."""
    known = index(tape)
    before = max((one.number for one in known.connections), default=0)
    new = index(episodes)
    if not new.connections:
        return 0
    half = tape.with_name(f".{tape.name}.{os.getpid()}")
    try:
        with open(half, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(header_text(known.header) + "\n")
            for source, shift in ((tape, 0), (episodes, before)):
                with TapeReader(source) as reader:
                    for line in reader:
                        moved = changed(line, connection=line.connection + shift)
                        file.write(line_text(moved, known.header.wire) + "\n")
        half.replace(tape)
    finally:
        half.unlink(missing_ok=True)
    return len(new.connections)
