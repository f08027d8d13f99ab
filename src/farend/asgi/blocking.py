"""Communicators in plain tests: the loop turns while the test waits in one of their methods, and only then.

All that are open in one thread share one loop, so that their applications can talk to each other. A
method's coroutine is taken step by step, without a task: whatever it awaits is a future of ours.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from farend.errors import WrongState
from farend.settling.settler import LIMIT

if TYPE_CHECKING:
    from farend.asgi.connection import Connection

T = TypeVar("T")


class _Homes(threading.local):
    runner: asyncio.Runner | None = None
    leases = 0


_homes = _Homes()


def lease() -> asyncio.AbstractEventLoop:
    """This thread's loop; to be released."""
    if _homes.runner is None:
        _homes.runner = asyncio.Runner()
    _homes.leases += 1
    return _homes.runner.get_loop()


def release() -> None:
    """After the last lease, end what is left on the loop, and close it."""
    _homes.leases -= 1
    if not _homes.leases and _homes.runner is not None:
        runner, _homes.runner = _homes.runner, None
        runner.close()


def run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Turn the loop until the coroutine is through."""
    __tracebackhide__ = True
    if asyncio._get_running_loop() is not None:
        coroutine.close()
        raise WrongState("an event loop runs here: a communicator of `with` is for plain tests; write `async with`")
    try:
        while True:
            future = coroutine.send(None)
            future._asyncio_future_blocking = False
            if not future.done():
                future.add_done_callback(lambda _: loop.stop())
                try:
                    loop.run_forever()
                except BaseException:  # Ctrl-C
                    coroutine.close()
                    raise
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class BlockingCommunicator:
    """`WebsocketCommunicator` for plain tests: the same methods, without `await`. `with` makes it."""

    def __init__(self, comm: Connection, home: asyncio.AbstractEventLoop) -> None:
        self._comm = comm
        self._home = home
        self.clock = BlockingClock(comm, home)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._comm, name)
        if not asyncio.iscoroutinefunction(value):
            return value
        home = self._home

        def call(*args: Any, **options: Any) -> Any:
            __tracebackhide__ = True
            return run(home, value(*args, **options))

        call.__name__, call.__doc__ = name, value.__doc__
        if not name.startswith("_"):
            setattr(self, name, call)  # found at once the next time
        return call


class BlockingClock:
    """`Clock` for plain tests."""

    def __init__(self, comm: Connection, home: asyncio.AbstractEventLoop) -> None:
        self._clock = comm.clock
        self._home = home

    def time(self) -> float:
        """The loop's time, in seconds."""
        return self._clock.time()

    def advance(self, seconds: float, limit: float = LIMIT) -> None:
        """Let so much time pass; see `Clock.advance`."""
        __tracebackhide__ = True
        run(self._home, self._clock.advance(seconds, limit))
