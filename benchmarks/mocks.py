"""Mocks: what a step costs that is scripted, played and asserted in process, with no wire.

A script of N steps is N/2 messages sent and N/2 received. Each sample writes it, plays it and asserts every
step, in a process of its own; no turn of an event loop is waited for, because none of these coroutines suspends. A cost
per step that grows with N is a mock that costs more than linear time: the last group has how much it grows.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

from benchmarks.harness import Group
from benchmarks.work import MESSAGE

URI = "ws://far-end.invalid/socket"
SENT = MESSAGE.decode()
RECEIVED = SENT[::-1]
Sample = Callable[[int], None]


class HandWritten:
    """The least that still checks order and content."""

    def __init__(self, script: list[tuple[str, str | None]]) -> None:
        self.script = deque(script)
        self.log: list[tuple[str, str | None]] = []

    def send(self, message: str) -> None:
        kind, _ = self.script.popleft()
        if kind != "send":
            raise AssertionError(f"expected {kind}, got send")
        self.log.append(("send", message))

    def recv(self) -> str | None:
        kind, message = self.script.popleft()
        if kind != "recv":
            raise AssertionError(f"expected {kind}, got recv")
        self.log.append(("recv", message))
        return message


class AsyncHandWritten(HandWritten):
    """The same, to be awaited."""

    async def send(self, message: str) -> None:  # type: ignore[override]
        HandWritten.send(self, message)

    async def recv(self) -> str | None:  # type: ignore[override]
        return HandWritten.recv(self)


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the coroutine suspended")


def converse(connection: Any, steps: int) -> None:
    for _ in range(steps // 2):
        connection.send(SENT)
        connection.recv()


async def converse_async(connection: Any, steps: int) -> None:
    for _ in range(steps // 2):
        await connection.send(SENT)
        await connection.recv()


def _script(steps: int) -> list[tuple[str, str | None]]:
    script: list[tuple[str, str | None]] = []
    for _ in range(steps // 2):
        script.append(("send", None))
        script.append(("recv", RECEIVED))
    return script


def _asserted(fake: HandWritten, steps: int) -> None:
    log = iter(fake.log)
    for _ in range(steps // 2):
        assert next(log) == ("send", SENT)
        assert next(log) == ("recv", RECEIVED)


def by_hand(steps: int) -> None:
    fake = HandWritten(_script(steps))
    converse(fake, steps)
    _asserted(fake, steps)


def by_hand_async(steps: int) -> None:
    fake = AsyncHandWritten(_script(steps))
    drive(converse_async(fake, steps))
    _asserted(fake, steps)


def with_unittest(steps: int) -> None:
    fake = mock.Mock()
    fake.recv.side_effect = [RECEIVED] * (steps // 2)
    converse(fake, steps)
    assert fake.mock_calls == [mock.call.send(SENT), mock.call.recv()] * (steps // 2)


def with_unittest_async(steps: int) -> None:
    fake = mock.AsyncMock()
    fake.recv.side_effect = [RECEIVED] * (steps // 2)
    drive(converse_async(fake, steps))
    assert fake.mock_calls == [mock.call.send(SENT), mock.call.recv()] * (steps // 2)


def _written(peer: Any, steps: int) -> None:
    session = peer.new_session().expect("connect", returns=None)
    for _ in range(steps // 2):
        session.expect("send", returns=None)
        session.expect("recv", returns=RECEIVED)
    session.expect("close", returns=None)


def _asserted_on(peer: Any, steps: int) -> None:
    peer.assert_connect(uri=URI)
    for _ in range(steps // 2):
        peer.assert_send(message=SENT)
        peer.assert_recv(message=RECEIVED)
    peer.assert_close()


def with_farend(steps: int) -> None:
    import websocket

    import farend

    peer = farend.sync_websocket_mock
    _written(peer, steps)
    with farend:  # type: ignore[attr-defined]
        connection = websocket.create_connection(URI)
        converse(connection, steps)
        connection.close()
    _asserted_on(peer, steps)
    farend.verify_mocks()


def with_farend_async(steps: int) -> None:
    import websockets

    import farend

    async def client() -> None:
        async with websockets.connect(URI) as connection:
            await converse_async(connection, steps)

    peer = farend.async_websocket_mock
    _written(peer, steps)
    with farend:  # type: ignore[attr-defined]
        on_the_loop(client())
    _asserted_on(peer, steps)
    farend.verify_mocks()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop()


def on_the_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Drive it where a loop is running, as the library asks for, though no turn of that is waited for."""
    asyncio.events._set_running_loop(_loop())
    try:
        drive(coroutine)
    finally:
        asyncio.events._set_running_loop(None)


CONTENDERS: list[tuple[str, Sample, tuple[str, ...]]] = [
    ("written by hand", by_hand, ()),
    ("written by hand, async", by_hand_async, ()),
    ("unittest.mock.Mock", with_unittest, ()),
    ("unittest.mock.AsyncMock", with_unittest_async, ()),
    ("farend.sync_websocket_mock", with_farend, ("farend", "websocket")),
    ("farend.async_websocket_mock", with_farend_async, ("farend", "websockets")),
]
LIMIT = "written by hand, async"


def per_step(sample: Sample, steps: int) -> float:
    """Seconds of processor time for each step, of as many runs as take long enough to be measured."""
    runs = max(1, 20_000 // steps)
    sample(steps)  # what is imported and compiled once
    gc.collect()
    begin = time.process_time()
    for _ in range(runs):
        sample(steps)
    return (time.process_time() - begin) / runs / steps


GROUPS: list[Group] = []
for count in (100, 1_000, 10_000):
    group = Group(f"A step of {count:,}: written, played, asserted", "µs", "step", LIMIT)
    for name, sample, needs in CONTENDERS:
        group.contender(name, *needs, alone=True, sample=sample, steps=count)(per_step)
    if count > 100:
        for name in ("farend.sync_websocket_mock", "farend.async_websocket_mock"):
            group.target(name, 6)
    GROUPS.append(group)


def growth(sample: Sample) -> float:
    """A step among 10,000, in steps among 1,000."""
    few = min(per_step(sample, 1_000) for _ in range(5))
    return min(per_step(sample, 10_000) for _ in range(5)) / few


growing = Group("A step of 10,000, in steps of 1,000", "×", "step of 1,000", LIMIT)
for name, sample, needs in CONTENDERS:
    growing.contender(name, *needs, alone=True, sample=sample)(growth)
for name in ("farend.sync_websocket_mock", "farend.async_websocket_mock"):
    growing.target(name, 1.1, over="")
GROUPS.append(growing)
