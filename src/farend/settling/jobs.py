"""Work that threads do for a loop: `run_in_executor` and what is made of it, and anyio's worker threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from farend.errors import WrongState
from farend.settling.places import place_of_function


class Job:
    """One call in a thread. It is over when its result has reached the loop, or can never reach it."""

    __slots__ = ("_future", "_source", "function")

    def __init__(self, function: Callable[..., Any], future: asyncio.Future[Any]) -> None:
        self.function = function
        self._future = future
        self._source = _source_of(future)

    @property
    def is_over(self) -> bool:
        future = self._future
        if future.done() and not future.cancelled():
            return True
        # Whoever awaited it was cancelled: the thread may still be at it, and what it does still counts.
        return future.cancelled() and (self._source is None or self._source.done())

    def when_abandoned(self, call: Callable[[], object]) -> None:
        """Call this, in the thread, when the work is done and nobody awaits it any more."""
        if self._source is not None:
            self._source.add_done_callback(lambda _: call() if self._future.cancelled() else None)


class Jobs:
    """The calls in threads that a loop has made since it is watched."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: list[Job] = []

    def begin(self) -> None:
        """The loop is watched from now on."""
        self._submit = self._loop.run_in_executor

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Stands in for the loop's method."""
        future = self._submit(executor, function, *args)
        if isinstance(future, asyncio.Future):
            job = Job(function, future)
            if len(self._jobs) >= 64:
                self._forget()
            self._jobs.append(job)
            job.when_abandoned(self.wake)
        return future

    def wake(self) -> None:
        """Have the loop look again, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(_nothing)

    def _forget(self) -> None:
        self._jobs = [job for job in self._jobs if not job.is_over]

    @property
    def under_way(self) -> bool:
        """Whether a thread works for the loop."""
        if self._jobs:
            self._forget()
        return bool(self._jobs) or _busy_workers(self._loop) > 0

    def reasons(self) -> Iterator[str]:
        """What the threads do."""
        self._forget()
        for job in self._jobs:
            yield f"a thread runs {place_of_function(job.function)}"
        if busy := _busy_workers(self._loop):
            yield f"{busy} of anyio's worker threads {'is' if busy == 1 else 'are'} busy"


def _nothing() -> None:
    pass


def _source_of(future: asyncio.Future[Any]) -> concurrent.futures.Future[Any] | None:
    """The future that the executor gave, which asyncio keeps in the closure of the chain between the two."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for cell in getattr(callback, "__closure__", None) or ():
            if isinstance(cell.cell_contents, concurrent.futures.Future):
                return cell.cell_contents
    return None


def _busy_workers(loop: asyncio.AbstractEventLoop) -> int:
    backend: Any = sys.modules.get("anyio._backends._asyncio")
    if backend is None:
        return 0
    try:
        kept = sys.modules["anyio.lowlevel"]._run_vars.get(loop)
        if not kept:
            return 0
        workers, idle = kept.get(backend._threadpool_workers, ()), kept.get(backend._threadpool_idle_workers, ())
    except (AttributeError, KeyError, TypeError) as error:
        raise WrongState(
            f"farend cannot see the worker threads of this version of anyio ({error}); please report it with its number"
        ) from error
    return len(workers) - len(idle)
