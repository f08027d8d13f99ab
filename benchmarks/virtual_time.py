"""Virtual time: how long minutes take, and what a message costs in memory.

An hour is that of a client whose far end falls silent, on `websockets`: it pings every 20 s, gives a ping 20 s and a
close 10 s, and backs off from 1 to 60 s while its attempts are refused. There is no limit to compare it with but the
hour itself. A round trip is 64 B and back over a script; the limit is the same far end on a real socket, in the
same loop, with the loop's own time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from benchmarks.harness import Group

SOCKET, MEMORY = "a socket", "in memory"
PING, PONG = b"x" * 64, b"y" * 64
HOUR = 3600

hour = Group("An hour of keep-alive and backoff against a silent far end", "ms", "hour", "websockets")
beats = Group("A timer that is skipped to", "µs", "beat", "asyncio.sleep", settings={"count": 5_000})
trip = Group("A 64 B round trip between a client and a far end on one loop", "µs", "round trip", SOCKET)
GROUPS = [hour, beats, trip]
hour.target("websockets", 500, over="")
hour.target("aiohttp", 500, over="")
beats.target("asyncio.sleep", 100, over="")
trip.target(MEMORY, 1)
trip.settings["count"] = 2_000


def _backoff() -> Iterator[float]:
    delay = 1.0
    while True:
        yield delay
        delay = min(2 * delay, 60)


def _silent() -> Any:
    from farend import Plan, Script, Silence, WebSocketServer, forever

    # Seven attempts are refused each time, which takes the backoff to a minute; then one is let in, and hears nothing.
    plan = Plan()
    for _ in range(HOUR // 60):
        plan = plan.refuse(7).play(Script(open_ended=True).fault(Silence()))
    return WebSocketServer(plan.refuse(times=forever), deadline=None)


async def _listen() -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    options: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 20, "close_timeout": 10}
    async for client in connect("ws://feed.example/", reconnect_delays=_backoff, **options):
        with contextlib.suppress(ConnectionClosed):
            await client.recv()


async def _listen_by_hand() -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        delays = _backoff()
        while True:
            try:
                client = await session.ws_connect("ws://feed.example/", heartbeat=20)
            except aiohttp.ClientError:
                await asyncio.sleep(next(delays))
                continue
            delays = _backoff()
            await client.receive()
            await client.close()


async def _an_hour(listening: Any) -> float:
    from farend import virtual_network

    begin = time.perf_counter()
    far_end = _silent()
    async with virtual_network({"ws://feed.example/": far_end}) as net:
        client = asyncio.create_task(listening)
        await net.clock.advance(HOUR)
        client.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await client
        await far_end.aclose()
    return time.perf_counter() - begin


@hour.contender("websockets", "websockets")
def websockets_hour() -> float:
    return asyncio.run(_an_hour(_listen()))


@hour.contender("aiohttp", "aiohttp")
def aiohttp_hour() -> float:
    return asyncio.run(_an_hour(_listen_by_hand()))


@beats.contender("asyncio.sleep")
def skipped(count: int) -> float:
    from farend import TcpServer, virtual_network

    async def main() -> float:
        async with virtual_network({("a", 1): TcpServer()}):
            begin = time.perf_counter()
            for _ in range(count):
                await asyncio.sleep(5)
            return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@contextlib.asynccontextmanager
async def _far_end(in_memory: bool) -> AsyncIterator[tuple[str, int]]:
    from farend import Script, TcpServer, forever, virtual_network

    server = TcpServer(Script().repeat(forever, Script().expect(PING).send(PONG)))
    if in_memory:
        async with virtual_network({("feed.example", 80): server}):
            yield "feed.example", 80
    else:
        async with server:
            yield server.host, server.port


async def _trips(in_memory: bool, count: int) -> float:
    async with _far_end(in_memory) as address:
        reader, writer = await asyncio.open_connection(*address)
        begin = time.perf_counter()
        for _ in range(count):
            writer.write(PING)
            await reader.readexactly(len(PONG))
        seconds = time.perf_counter() - begin
        writer.close()
        await writer.wait_closed()
        return seconds / count


@trip.contender(SOCKET)
def on_a_socket(count: int) -> float:
    return asyncio.run(_trips(False, count))


@trip.contender(MEMORY)
def in_memory(count: int) -> float:
    return asyncio.run(_trips(True, count))
