"""Recording: what the recording proxy costs who is recorded.

Client, proxy and server share one loop. The bare recording pipe is an asyncio `Protocol` on each side that
writes each read to a file, as it came, and sends it on: it parses, redacts and tells apart nothing. farend
writes a tape: JSON Lines, redacted, each line on its way to the disk before its bytes are sent on.

One way, as fast as the loop can, what it does beside the pipe is to look through all for secrets, with the processor's
vector instructions (`farend[fast]`), to take the frames of a WebSocket apart, and to write a line that says where the
payload stands. What that is as JSON, text or base64 is spelled when the tape is closed, which is measured by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Group
from benchmarks.pingpong import ask_picows, ask_tcp, echo_server, picows_server
from benchmarks.work import LOOPBACK, MIB, on_a_loop, payload

PIPE, NOTHING = "bare recording pipe", "no proxy"

per = ("µs", "round trip")
tcp = Group("A proxy, TCP ping-pong, 64 B", *per, PIPE)
websocket = Group("A proxy, WebSocket ping-pong, 64 B", *per, PIPE)
json_feed = Group("A proxy, WebSocket ping-pong, JSON of 100 B", *per, PIPE)
binary_bulk = Group("A proxy, TCP one way, bytes", "ms", "MiB", PIPE)
text_bulk = Group("A proxy, TCP one way, text", "ms", "MiB", PIPE)
websocket_bulk = Group("A proxy, WebSocket one way, 64 KiB of bytes", "ms", "MiB", PIPE)
closing = Group("A tape with much on it is closed", "ms", "MiB", "bytes")
start = Group("A proxy starts, and has sent on a first byte", "ms", "start", PIPE)
long_tape = Group("A tape of 1,000,000 messages", "µs", "message", "recorded, 100,000 messages", rounds=0.3)
long_peak = Group(
    "What the peak of memory grows by from 100,000 messages to 1,000,000", "B", "message", "recorded", rounds=0.3
)
GROUPS = [tcp, websocket, json_feed, binary_bulk, text_bulk, websocket_bulk, closing, start, long_tape, long_peak]

Proxied = Callable[[str], contextlib.AbstractAsyncContextManager[int]]
TURNS, BULK = 3_000, 64 * MIB
JSON = b'{"event":"trade","pair":"BTC-EUR","price":"42000.5","size":"0.25","time":1700000000.25,"side":"buy"}'


class Half(asyncio.Protocol):
    """One side of the bare pipe."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.other: Half
        self.transport: Any = None
        self.pending: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        for data in self.pending:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        os.write(self.file, data)
        if self.other.transport is None:
            self.other.pending.append(data)
        else:
            self.other.transport.write(data)

    def eof_received(self) -> None:
        if self.other.transport is not None:
            self.other.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()


@contextlib.asynccontextmanager
async def bare(url: str) -> AsyncIterator[int]:
    """The port of a bare recording pipe to the server at `url`."""
    loop = asyncio.get_running_loop()
    host, port = url.partition("://")[2].split(":")
    dialling: set[asyncio.Task[Any]] = set()
    with tempfile.TemporaryDirectory() as folder:
        file = os.open(Path(folder, "bytes"), os.O_WRONLY | os.O_CREAT)

        def connected() -> Half:
            near, far = Half(file), Half(file)
            near.other, far.other = far, near
            task = loop.create_task(loop.create_connection(lambda: far, host, int(port)))
            dialling.add(task)
            return near

        server = await loop.create_server(connected, LOOPBACK, 0)
        try:
            async with server:
                yield server.sockets[0].getsockname()[1]
        finally:
            os.close(file)


@contextlib.asynccontextmanager
async def recorded(url: str) -> AsyncIterator[int]:
    """The port of farend's recording proxy."""
    from farend import record

    with tempfile.TemporaryDirectory() as folder:
        async with record(url, Path(folder, "tape.jsonl")) as proxy:
            yield proxy.port


@contextlib.asynccontextmanager
async def nothing(url: str) -> AsyncIterator[int]:
    """The server's own port."""
    yield int(url.rpartition(":")[2])


# -- ping-pong ------------------------------------------------------------------------------------


def tcp_turns(proxied: Proxied) -> float:
    async def main() -> float:
        message = payload(64)
        async with echo_server(message) as port, proxied(f"tcp://{LOOPBACK}:{port}") as own:
            return await ask_tcp(own, message, TURNS) / TURNS

    return on_a_loop(main())


def websocket_turns(proxied: Proxied, message: bytes) -> float:
    async def main() -> float:
        async with picows_server() as port, proxied(f"ws://{LOOPBACK}:{port}") as own:
            return await ask_picows(own, message, TURNS) / TURNS

    return on_a_loop(main())


# -- one way --------------------------------------------------------------------------------------


class Sink(asyncio.Protocol):
    """Counts what comes; `full` is done when all of it has."""

    def __init__(self, size: int, full: asyncio.Future[None]) -> None:
        self.full = full
        self.missing = size

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing <= 0 and not self.full.done():
            self.full.set_result(None)


def tcp_bulk(proxied: Proxied, block: bytes) -> float:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        full: asyncio.Future[None] = loop.create_future()
        blocks = BULK // len(block)
        server = await loop.create_server(lambda: Sink(blocks * len(block), full), LOOPBACK, 0)
        async with server, proxied(f"tcp://{LOOPBACK}:{server.sockets[0].getsockname()[1]}") as own:
            _, writer = await asyncio.open_connection(LOOPBACK, own)
            begin = time.perf_counter()
            for _ in range(blocks):
                writer.write(block)
                await writer.drain()
            await full
            seconds = time.perf_counter() - begin
            writer.close()
            await writer.wait_closed()
        return seconds / (blocks * len(block) / MIB)

    return on_a_loop(main())


def websocket_one_way(proxied: Proxied) -> float:
    import websockets

    block, count = os.urandom(1 << 16), 320

    async def main() -> float:
        full = asyncio.get_running_loop().create_future()

        async def take(connection: Any) -> None:
            for _ in range(count):
                await connection.recv()
            full.set_result(None)
            await connection.wait_closed()

        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(websockets.serve(take, LOOPBACK, 0, compression=None))
            own = await stack.enter_async_context(proxied(f"ws://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"))
            client = await stack.enter_async_context(websockets.connect(f"ws://{LOOPBACK}:{own}", compression=None))
            begin = time.perf_counter()
            for _ in range(count):
                await client.send(block)
            await full
            return (time.perf_counter() - begin) / (count * len(block) / MIB)

    return on_a_loop(main())


@closing.contender("bytes", "farend", block=os.urandom(1 << 18))
@closing.contender("text", "farend", block=(JSON + b"\n") * 2_600)
def closed(block: bytes) -> float:
    """What it takes to have all on the tape that stands beside it."""
    from farend.tape.recorder import Recorder

    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder, "tape.jsonl"), "tcp", now=0.0)
        connection = recorder.connection(0.0)
        for _ in range(BULK // len(block)):
            connection.data(0.0, "client", block)
        begin = time.perf_counter()
        recorder.close()
        seconds = time.perf_counter() - begin
    return seconds / (BULK // len(block) * len(block) / MIB)


# -- start ----------------------------------------------------------------------------------------


def first_byte(proxied: Proxied) -> float:
    async def main() -> float:
        async with echo_server(b"x") as port:
            begin = time.perf_counter()
            async with proxied(f"tcp://{LOOPBACK}:{port}") as own:
                reader, writer = await asyncio.open_connection(LOOPBACK, own)
                writer.write(b"x")
                await reader.readexactly(1)
                seconds = time.perf_counter() - begin
                writer.close()
                await writer.wait_closed()
        return seconds

    return on_a_loop(main())


SAMPLES: list[tuple[Group, Callable[..., float], dict[str, Any], tuple[str, ...]]] = [
    (tcp, tcp_turns, {}, ()),
    (websocket, websocket_turns, {"message": payload(64)}, ("picows",)),
    (json_feed, websocket_turns, {"message": JSON}, ("picows",)),
    (binary_bulk, tcp_bulk, {"block": os.urandom(1 << 18)}, ()),
    (text_bulk, tcp_bulk, {"block": (JSON + b"\n") * 2_000}, ()),
    (websocket_bulk, websocket_one_way, {}, ("websockets",)),
    (start, first_byte, {}, ()),
]
for group, sample, settings, needs in SAMPLES:
    group.contender(NOTHING, *needs, proxied=nothing, **settings)(sample)
    group.contender(PIPE, *needs, proxied=bare, **settings)(sample)
    group.contender("farend", "farend", *needs, proxied=recorded, **settings)(sample)
tcp.target("farend", 1.3)
websocket.target("farend", 1.5)
json_feed.target("farend", 1.5)
binary_bulk.target("farend", 1.3)
text_bulk.target("farend", 1.3)
websocket_bulk.target("farend", 1.3)
start.target("farend", 2, over="")


# -- a long tape ----------------------------------------------------------------------------------

FEW, MANY = 100_000, 1_000_000
AT_ONCE = 500
"""Messages that a client writes before it lets the others have a turn."""


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def frame(number: int) -> bytes:
    """A text message in a frame of a client's, under a mask of zeros."""
    text = b'{"id":%d,"event":"trade","pair":"BTC-EUR","price":"42000.5","size":"0.25","side":"buy"}' % number
    return b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text


async def say_feed(port: int, count: int) -> None:
    """A WebSocket client that says so many messages, and closes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")
    for begin in range(0, count, AT_ONCE):
        writer.write(b"".join(map(frame, range(begin, begin + AT_ONCE))))
        await writer.drain()
    writer.write(CLOSE)
    await reader.read()
    writer.close()
    await writer.wait_closed()


class Listener(asyncio.Protocol):
    """The least of a WebSocket server: it lets the client in, and leaves when that closes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(ANSWER)

    def data_received(self, data: bytes) -> None:
        if data.endswith(CLOSE):
            self.transport.close()


def record_feed(path: Path, count: int) -> None:
    """A client says so many messages, one way, through the recording proxy."""

    async def main() -> None:
        from farend import record

        server = await asyncio.get_running_loop().create_server(Listener, LOOPBACK, 0)
        async with server, record(f"ws://{LOOPBACK}:{server.sockets[0].getsockname()[1]}", path) as proxy:
            await say_feed(proxy.port, count)

    asyncio.run(main())


def load_feed(path: Path, count: int) -> None:
    """The tape is read, line by line."""
    from farend import TapeReader

    with TapeReader(path) as tape:
        assert sum(line.kind == "message" for line in tape) == count


def replay_feed(path: Path, count: int) -> None:
    """The client says it all again, to a replay that compares each message."""

    async def main() -> None:
        from farend import replay

        async with replay(path) as server:
            await say_feed(server.port, count)
            assert len(server.connections) == 1

    asyncio.run(main())


def of_length(count: int, what: Callable[[Path, int], None]) -> tuple[float, int]:
    """How long it takes for a tape of so many messages, and the peak of memory thereafter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tape.jsonl")
        if what is not record_feed:
            subprocess.run([sys.executable, "-m", "benchmarks.recording", path, str(count)], cwd=ROOT, check=True)
        begin = time.perf_counter()
        what(path, count)
        return time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def seconds_each(count: int, what: Callable[[Path, int], None]) -> float:
    of_length(1_000, what)  # what is imported once
    return of_length(count, what)[0] / count


def bytes_each(what: Callable[[Path, int], None]) -> float:
    for _ in range(3):  # until the allocator has what it wants
        _, before = of_length(FEW, what)
    return (of_length(MANY, what)[1] - before) / (MANY - FEW)


for name, what in (("recorded", record_feed), ("read", load_feed), ("replayed", replay_feed)):
    options: dict[str, Any] = {"alone": True, "deadline": 900.0, "what": what}
    for count in (FEW, MANY):
        long_tape.contender(f"{name}, {count:,} messages", "farend", count=count, **options)(seconds_each)
    long_peak.contender(name, "farend", **options)(bytes_each)
    long_peak.target(name, 2, over="")


if __name__ == "__main__":
    record_feed(Path(sys.argv[1]), int(sys.argv[2]))
