"""A proxy for subprocesses: what they dial through it is dialled here, and so goes where this process would go."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from farend.core.matchers import described
from farend.errors import AddressError
from farend.intercept import environment
from farend.stage.loop_thread import shared
from farend.stage.settings import settings

LIMIT: Final = 64 << 10
"""Bytes that the head of a request may have."""
HOST: Final = "127.0.0.1"


class Gateway:
    """An HTTP proxy on loopback, of one block: `CONNECT host:port` (RFC 9110, 9.3.6), and plain requests."""

    def __init__(self) -> None:
        self._connections: set[asyncio.Task[None]] = set()
        self._bundle: Path | None = environment.write_bundle()
        shared.lease(self)
        try:
            shared.run(self._start())
        except BaseException:
            self.close()
            raise

    def __str__(self) -> str:
        return "the gateway of a reroute"

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=LIMIT)
        port = self._server.sockets[0].getsockname()[1]
        self.variables = environment.for_subprocesses(
            f"http://{HOST}:{port}", None if self._bundle is None else str(self._bundle)
        )

    def close(self) -> None:
        """End it, and every connection through it."""
        try:
            if hasattr(self, "_server"):
                shared.run(self._stop())
        finally:
            shared.give_back(self)
            if self._bundle is not None:
                self._bundle.unlink(missing_ok=True)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                await _forward(reader, writer)
            finally:
                writer.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(settings.effective()):
            host, port, answer, said = await _asked(reader)
            upstream, onward = await asyncio.open_connection(host, port, limit=LIMIT)
    except (asyncio.IncompleteReadError, TimeoutError):
        return
    except (ValueError, asyncio.LimitOverrunError):
        writer.write(_refusal(400, "this is the proxy of farend.reroute, and that was no request to a proxy"))
        return
    except OSError as error:
        writer.write(
            _refusal(403, error.strerror) if isinstance(error, AddressError) else _refusal(502, described(error))
        )
        return
    try:
        writer.write(answer)
        onward.write(said)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, onward))
            both.create_task(_pump(upstream, writer))
    except* OSError:
        pass  # one of the two was cut off, and so is the other
    finally:
        onward.close()


async def _asked(reader: asyncio.StreamReader) -> tuple[str, int, bytes, bytes]:
    """Host and port, what to answer at once, and what to say to the server first. Raises `ValueError`."""
    head = await reader.readuntil(b"\r\n\r\n")
    request, _, fields = head.decode("latin-1").partition("\r\n")
    method, target, version = request.split(" ")
    if method == "CONNECT":
        parts = urlsplit(f"//{target}")
        answer, said = f"{version} 200 Connection established\r\n\r\n", ""
    else:
        parts = urlsplit(target)
        answer, said = "", f"{method} {parts._replace(scheme='', netloc='').geturl() or '/'} {version}\r\n{fields}"
    if not parts.hostname:
        raise ValueError(target)
    return parts.hostname, parts.port or 80, answer.encode(), said.encode("latin-1")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(LIMIT):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _refusal(status: int, why: str | None) -> bytes:
    body = f"{why}\n".encode()
    head = f"HTTP/1.1 {status} farend\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
