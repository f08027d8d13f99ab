"""Servers in process: a WebSocket application under test, with no wire between it and the test.

The limit is a pair of `asyncio.Queue` around the same application: it has no deadline, no transcript, and
does not know when the application has finished. The tools that are compared have deadlines.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from typing import Any

from benchmarks.harness import Group

TEXT, PATH = "x" * 64, "/ws"
QUEUES, FAREND, BLOCKING = "asyncio.Queue", "farend", "farend, plain test"

echo = Group("An application's 64 B echo", "µs", "round trip", QUEUES, settings={"count": 2_000})
life = Group("Connect, one exchange, disconnect", "µs", "cycle", QUEUES, settings={"count": 300})
settled = Group("Send, and all that comes until the application has finished", "µs", "exchange", FAREND)
silence = Group("Proof that nothing comes", "ms", "proof", FAREND, settings={"count": 20})
vain = Group("A receive from which nothing can come", "ms", "failure", FAREND, settings={"count": 20})
hook = Group("An unrelated queue round trip, on a loop that is watched", "µs", "round trip", "a loop of its own")
GROUPS = [echo, life, settled, silence, vain, hook]
WATCHING = "what the watching adds"
echo.target(FAREND, 1.25)
echo.target(BLOCKING, 2)
life.target(FAREND, 2)
settled.target(FAREND, 100, over="")
silence.target(FAREND, 1, over="")
vain.target(FAREND, 5, over="")
hook.target(WATCHING, 3, over="")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application under test: accepts, echoes text, ends on disconnect."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event["text"]})


class QueueClient:
    """An application between two queues, and nothing else."""

    async def connect(self) -> None:
        self.inputs: asyncio.Queue[Any] = asyncio.Queue()
        self.outputs: asyncio.Queue[Any] = asyncio.Queue()
        scope = {"type": "websocket", "path": PATH, "query_string": b"", "headers": []}
        self.task = asyncio.create_task(app(scope, self.inputs.get, self.outputs.put))
        self.inputs.put_nowait({"type": "websocket.connect"})
        assert (await self.outputs.get())["type"] == "websocket.accept"

    def send(self, text: str) -> None:
        self.inputs.put_nowait({"type": "websocket.receive", "text": text})

    async def receive(self) -> str:
        return str((await self.outputs.get())["text"])

    async def disconnect(self) -> None:
        self.inputs.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


def communicator() -> Any:
    from farend.asgi import WebsocketCommunicator

    return WebsocketCommunicator(app, PATH)


# -- echo -----------------------------------------------------------------------------------------


@echo.contender(QUEUES)
def queues_echo(count: int) -> float:
    async def main() -> float:
        client = QueueClient()
        await client.connect()
        begin = time.perf_counter()
        for _ in range(count):
            client.send(TEXT)
            assert await client.receive() == TEXT
        seconds = time.perf_counter() - begin
        await client.disconnect()
        return seconds / count

    return asyncio.run(main())


@echo.contender("asyncio.Queue, asyncio.timeout per receive")
def queues_with_deadline(count: int) -> float:
    async def main() -> float:
        client = QueueClient()
        await client.connect()
        begin = time.perf_counter()
        for _ in range(count):
            client.send(TEXT)
            async with asyncio.timeout(1):
                assert await client.receive() == TEXT
        seconds = time.perf_counter() - begin
        await client.disconnect()
        return seconds / count

    return asyncio.run(main())


@echo.contender(FAREND)
def farend_echo(count: int) -> float:
    async def main() -> float:
        async with communicator() as comm:
            begin = time.perf_counter()
            for _ in range(count):
                await comm.send_text(TEXT)
                assert await comm.receive_text() == TEXT
            return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@echo.contender(BLOCKING)
def farend_plain_echo(count: int) -> float:
    with communicator() as comm:
        begin = time.perf_counter()
        for _ in range(count):
            comm.send_text(TEXT)
            assert comm.receive_text() == TEXT
        return (time.perf_counter() - begin) / count


def channels_communicator(package: str) -> Any:
    import importlib

    module = "channels.testing.websocket" if package == "channels" else "fast_channels.testing"
    return importlib.import_module(module).WebsocketCommunicator(app, PATH)


async def channels_echo(package: str, count: int) -> float:
    comm = channels_communicator(package)
    await comm.connect()
    begin = time.perf_counter()
    for _ in range(count):
        await comm.send_to(text_data=TEXT)
        assert await comm.receive_from() == TEXT
    seconds = time.perf_counter() - begin
    await comm.disconnect()
    return seconds / count


@echo.contender("fast_channels", "fast_channels")
def fast_channels_echo(count: int) -> float:
    return asyncio.run(channels_echo("fast_channels", count))


def starlette_client() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient
    return TestClient(app)


@echo.contender("Starlette's TestClient", "starlette", "httpx")
def starlette_echo(count: int) -> float:
    with starlette_client().websocket_connect(PATH) as session:
        begin = time.perf_counter()
        for _ in range(count):
            session.send_text(TEXT)
            assert session.receive_text() == TEXT
        return (time.perf_counter() - begin) / count


# -- the whole life -------------------------------------------------------------------------------


@life.contender(QUEUES)
def queues_life(count: int) -> float:
    async def main() -> float:
        begin = time.perf_counter()
        for _ in range(count):
            client = QueueClient()
            await client.connect()
            client.send(TEXT)
            assert await client.receive() == TEXT
            await client.disconnect()
        return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@life.contender(FAREND)
def farend_life(count: int) -> float:
    async def main() -> float:
        begin = time.perf_counter()
        for _ in range(count):
            async with communicator() as comm:
                await comm.send_text(TEXT)
                assert await comm.receive_text() == TEXT
        return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@life.contender("fast_channels", "fast_channels")
def fast_channels_life(count: int) -> float:
    async def main() -> float:
        begin = time.perf_counter()
        for _ in range(count):
            comm = channels_communicator("fast_channels")
            await comm.connect()
            await comm.send_to(text_data=TEXT)
            assert await comm.receive_from() == TEXT
            await comm.disconnect()
        return (time.perf_counter() - begin) / count

    return asyncio.run(main())


# -- settling -------------------------------------------------------------------------------------


@settled.contender(FAREND, count=2_000)
def farend_exchange(count: int) -> float:
    async def main() -> float:
        async with communicator() as comm:
            begin = time.perf_counter()
            for _ in range(count):
                assert await comm.exchange(TEXT) == [TEXT]
            return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@settled.contender("farend, beside 50 connections and a thread", count=2_000)
def farend_exchange_beside_others(count: int) -> float:
    async def main() -> float:
        from contextlib import AsyncExitStack

        async with AsyncExitStack() as stack:
            for _ in range(50):
                await stack.enter_async_context(communicator())
            await asyncio.to_thread(time.sleep, 0)  # whose thread stays
            comm = await stack.enter_async_context(communicator())
            begin = time.perf_counter()
            for _ in range(count):
                assert await comm.exchange(TEXT) == [TEXT]
            return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@silence.contender(FAREND)
def farend_silence(count: int) -> float:
    async def main() -> float:
        async with communicator() as comm:
            begin = time.perf_counter()
            for _ in range(count):
                assert await comm.receive_nothing()
            return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@silence.contender("fast_channels", "fast_channels", count=2)
def fast_channels_silence(count: int) -> float:
    async def main() -> float:
        comm = channels_communicator("fast_channels")
        await comm.connect()
        begin = time.perf_counter()
        for _ in range(count):
            assert await comm.receive_nothing()
        seconds = (time.perf_counter() - begin) / count
        await comm.disconnect()
        return seconds

    return asyncio.run(main())


# -- a receive in vain ----------------------------------------------------------------------------


@vain.contender(FAREND)
def farend_in_vain(count: int) -> float:
    import pytest

    from farend import DeadlineExceeded

    async def main() -> float:
        async with communicator() as comm:
            begin = time.perf_counter()
            for _ in range(count):
                with pytest.raises(DeadlineExceeded, match="a message"):
                    await comm.receive_text(timeout=60)
            return (time.perf_counter() - begin) / count

    return asyncio.run(main())


@vain.contender("asyncio.Queue, asyncio.timeout of 1 s", count=1)
def queues_in_vain(count: int) -> float:
    async def main() -> float:
        client = QueueClient()
        await client.connect()
        begin = time.perf_counter()
        for _ in range(count):
            try:
                async with asyncio.timeout(1):
                    await client.receive()
            except TimeoutError:
                pass
        seconds = (time.perf_counter() - begin) / count
        await client.disconnect()
        return seconds

    return asyncio.run(main())


# -- what the watching costs ----------------------------------------------------------------------


async def ping_pong(count: int) -> float:
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def answer() -> None:
        while True:
            back.put_nowait(await there.get())

    task = asyncio.create_task(answer())
    begin = time.perf_counter()
    for number in range(count):
        there.put_nowait(number)
        await back.get()
    seconds = (time.perf_counter() - begin) / count
    task.cancel()
    return seconds


@hook.contender("a loop of its own", count=5_000)
def unwatched(count: int) -> float:
    return asyncio.run(ping_pong(count))


@hook.contender("a loop with a communicator", count=5_000)
def watched(count: int) -> float:
    async def main() -> float:
        async with communicator():
            return await ping_pong(count)

    return asyncio.run(main())


@hook.contender(WATCHING, count=5_000)
def watching(count: int) -> float:
    parts = [(unwatched(count // 5), watched(count // 5)) for _ in range(5)]
    return max(0.0, min(after for _, after in parts) - min(before for before, _ in parts))
