"""Faults: what a proxy costs while it does none, and how close latency and bandwidth come to what was asked for.

Client, proxy and server share one loop. The plain proxy has never had a fault; the other one had one that held up both
directions of this very connection, and does it no more. A latency is the whole round trip less what was asked for, so
what the round trip costs anyway is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.harness import Group
from benchmarks.pingpong import echo_server
from benchmarks.recording import Proxied, bare, nothing, recorded, tcp_turns, websocket_turns
from benchmarks.work import LOOPBACK, on_a_loop, payload

PLAIN, SWITCHED = "farend, plain proxy", "farend, faults switched on and off again"

per = ("µs", "round trip")
tcp = Group("A proxy with no fault active, TCP ping-pong, 64 B", *per, PLAIN)
websocket = Group("A proxy with no fault active, WebSocket ping-pong, 64 B", *per, PLAIN)
latency = Group("How far a latency is from what was asked for", "ms", "round trip", "asked: 20 ms")
bandwidth = Group("How far a bandwidth is from what was asked for", "×", "of the bandwidth", "asked: 100 kB/s")
GROUPS = [tcp, websocket, latency, bandwidth]


@contextlib.asynccontextmanager
async def plain(url: str) -> AsyncIterator[int]:
    """The port of farend's proxy."""
    from farend import proxy

    async with proxy(url) as between:
        yield between.port


@contextlib.asynccontextmanager
async def switched(url: str) -> AsyncIterator[int]:
    """The port of one whose first connection begins with faults, which end when it is there."""
    from farend import ByteAtATime, Latency, proxy

    async with proxy(url, faults=[Latency(0.001, to="both"), ByteAtATime(to="both")]) as between:

        async def clear() -> None:
            while not between.open_connections:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            between.faults.clear()

        clearing = asyncio.create_task(clear())
        yield between.port
        await clearing


CONTENDERS: dict[str, Proxied] = {
    "no proxy": nothing,
    "bare recording pipe": bare,
    "farend, recording proxy": recorded,
    PLAIN: plain,
    SWITCHED: switched,
}
for name, proxied in CONTENDERS.items():
    needs = ("farend",) if "farend" in name else ()
    tcp.contender(name, *needs, proxied=proxied)(tcp_turns)
    websocket.contender(name, "picows", *needs, proxied=proxied, message=payload(64))(websocket_turns)
for group in (tcp, websocket):
    group.target(PLAIN, 1.05, over="farend, recording proxy")
    group.target(SWITCHED, 1.05)


# -- what was asked for ---------------------------------------------------------------------------


def off_by(seconds: float, turns: int = 20) -> float:
    """How many seconds a round trip is from the latency that was asked for; the median of so many."""
    from farend import Latency, proxy

    async def main() -> float:
        async with echo_server(b"x") as port, proxy(f"tcp://{LOOPBACK}:{port}", faults=[Latency(seconds)]) as between:
            reader, writer = await asyncio.open_connection(LOOPBACK, between.port)
            errors = []
            for _ in range(turns):
                begin = time.perf_counter()
                writer.write(b"x")
                await reader.readexactly(1)
                errors.append(abs(time.perf_counter() - begin - seconds))
            writer.close()
            await writer.wait_closed()
        return statistics.median(errors)

    return on_a_loop(main())


def astray(rate: float, seconds: float = 0.5) -> float:
    """By which part of it a bandwidth is more or less than was asked for."""
    from farend import Bandwidth, proxy

    size = int(rate * seconds)

    async def main() -> float:
        async def say(reader: Any, writer: Any) -> None:
            await reader.read(1)
            writer.write(bytes(size))
            await writer.drain()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(say, LOOPBACK, 0)
        url = f"tcp://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        async with server, proxy(url, faults=[Bandwidth(rate)]) as between:
            reader, writer = await asyncio.open_connection(LOOPBACK, between.port)
            begin = time.perf_counter()
            writer.write(b"x")
            await reader.readexactly(size)
            passed = time.perf_counter() - begin
            writer.close()
            await writer.wait_closed()
        return abs(size / passed / rate - 1)

    return on_a_loop(main())


for asked in (0.02, 0.1):
    name = f"asked: {asked * 1e3:g} ms"
    latency.contender(name, "farend", seconds=asked)(off_by)
    latency.target(name, 2, over="")
for asked, name in ((1e5, "asked: 100 kB/s"), (1e7, "asked: 10 MB/s")):
    bandwidth.contender(name, "farend", rate=asked)(astray)
    bandwidth.target(name, 0.05, over="")
