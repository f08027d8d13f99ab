"""One shared background loop, so that every far end also works in a plain `def test`.

Far ends lease it. The thread starts with the first lease, and ends `LINGER` seconds after the last one
is given back, or at once with `close()`; so tests that follow each other share one thread. It is a
daemon: a far end that nobody stopped does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from farend.errors import FarendError, WrongState

LINGER: Final = 0.5
"""Seconds that the thread waits for another lease."""
T = TypeVar("T")


class LoopThread:
    """A thread with an event loop that is there while somebody holds a lease.

    All methods may be called from any thread but the loop's own; `give_back` from there, too.
    """

    def __init__(self, linger: float = LINGER) -> None:
        self._linger = linger
        self._lock = threading.Lock()
        self._leases: dict[int, tuple[object, Callable[[], object]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._left_at = 0.0

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop; None where there is none."""
        return self._loop

    @property
    def holders(self) -> list[str]:
        """The names of those who hold a lease: what keeps the loop from closing."""
        return [str(holder) for holder, _ in tuple(self._leases.values())]

    def lease(self, holder: object, abandon: Callable[[], object] = lambda: None) -> asyncio.AbstractEventLoop:
        """Hold the loop for `holder`, whose text is its name, and start it where there is none.

        `abandon` is called where the process ends before the lease.
        """
        with self._lock:
            self._leases[id(holder)] = holder, abandon
            # A process that was forked has no such thread, whatever it remembers.
            if self._thread is None or not self._thread.is_alive():
                self._start()
            assert self._loop is not None
            return self._loop

    def give_back(self, holder: object) -> None:
        """End `holder`'s lease."""
        # Without the lock, whose holder may be waiting for the loop: whether to end, `_end_unless_leased` decides.
        # Where its timer runs already, it sees by itself who has just left: no lease wakes the loop for that.
        self._left_at = time.monotonic()
        self._leases.pop(id(holder), None)
        loop = self._loop
        if not self._leases and self._closing is None and loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(self._linger_on, loop, self._linger)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and wait for it here. Ctrl-C cancels it."""
        __tracebackhide__ = True
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            coroutine.close()
            raise WrongState(
                "farend's background loop is not running"
                if loop is None
                else "a blocking call from farend's own loop would never return; call it from the test's thread"
            )
        return block(coroutine, loop)

    def close(self) -> None:
        """End the thread now, and wait for it. Raises `WrongState` while leases are held, naming them."""
        with self._lock:
            if self._leases:
                raise WrongState(f"farend's background loop is still used by {', '.join(self.holders)}")
            self._stop()

    def _start(self) -> None:
        self._closing = None  # a process that was forked has none, either
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="farend-loop", daemon=True)
        self._thread.start()

    def _linger_on(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._closing = loop.call_later(seconds, self._end_unless_leased)

    def _end_unless_leased(self) -> None:
        loop = asyncio.get_running_loop()
        self._closing = None  # before the leases are looked at: who leaves behind that look sees that no timer runs
        # On the loop: whoever holds the lock may be waiting for the loop, so it is only tried.
        if not self._lock.acquire(blocking=False):
            self._linger_on(loop, self._linger)
            return
        try:
            if self._leases or self._loop is not loop:
                return
            left = self._left_at + self._linger - time.monotonic()
            if left > 0:
                self._linger_on(loop, left)
            else:
                loop.stop()
                self._loop = self._thread = None
        finally:
            self._lock.release()

    def _stop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = self._closing = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def block(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run a coroutine on a loop of another thread, and wait for it here. Ctrl-C cancels it."""
    __tracebackhide__ = True
    future = submit(coroutine, loop)
    try:
        error = future.exception()
    except BaseException:
        future.cancel()
        raise
    if error is None:
        return future.result()
    try:
        raise here(error)
    finally:
        del error, future  # which would hold this frame, and it them


def here(error: BaseException) -> BaseException:
    """An exception from another thread, to be raised in this one: farend's own need not say how they came."""
    return error.with_traceback(None) if isinstance(error, FarendError) else error


def submit(
    coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, unheard: Callable[[T], object] | None = None
) -> concurrent.futures.Future[T]:
    """Run a coroutine on a loop of another thread; cancelling the answer cancels it.

    A coroutine that was done in that very moment has its result handed to `unheard`, on its loop.
    """
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()

    async def run() -> None:
        task = asyncio.current_task()
        answer.add_done_callback(lambda _: answer.cancelled() and loop.call_soon_threadsafe(task.cancel))  # type: ignore[union-attr]
        try:
            result = await coroutine
        except BaseException as error:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
        else:
            if answer.set_running_or_notify_cancel():
                answer.set_result(result)
            elif unheard is not None:
                unheard(result)

    def start() -> None:
        if answer.cancelled():
            coroutine.close()
        else:
            task = loop.create_task(run())
            _running.add(task)
            task.add_done_callback(_running.discard)

    loop.call_soon_threadsafe(start)
    return answer


_running: Final[set[asyncio.Task[None]]] = set()
"""Held, because loops hold their tasks weakly."""


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


shared: Final = LoopThread()
"""The one that all far ends use."""


def _at_exit() -> None:
    leases = tuple(shared._leases.values())
    shared._leases.clear()
    shared.close()
    for _, abandon in leases:
        abandon()


atexit.register(_at_exit)
