"""Idle moments of a loop that shows nothing of itself (uvloop): turns in which nobody asks for another one.

A mark is put at the end of the queue of what is ready. It comes up after one turn of the loop, with
everything that was ready having run and the poll having been made in between. If nothing was scheduled in
`QUIET_TURNS` turns on end, then nothing goes on. What is scheduled is counted by wrapping the loop's own
methods, and timers are kept in a heap beside it, so that the clock can be put forward.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from farend.errors import WrongState
from farend.settling.causes import passing_on
from farend.settling.patches import Patches

if TYPE_CHECKING:
    from farend.settling.settler import Settler

LONGEST: Final = 3600.0
"""Seconds that it sleeps at most."""
QUIET_TURNS: Final = 3


class Timer(asyncio.TimerHandle):
    """A timer that is the loop's own and ours: whichever comes first runs it."""

    real: asyncio.TimerHandle | None = None
    is_over = False
    is_older = False

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self.is_over = True
            if self.real is not None:
                self.real.cancel()


class TurnsHook:
    """Wraps what schedules on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settler: Settler) -> None:
        if not hasattr(loop, "__dict__"):
            raise WrongState(f"farend cannot watch {type(loop).__name__}: its instances take no attributes")
        self._loop = loop
        self._settler = settler
        self._timers: list[Timer] = []
        self._scheduled = 0
        self._from_threads: deque[None] = deque()
        self._seen = -1
        self._quiet = 0
        self._mark = 0
        self._turning = False
        self._asleep: asyncio.TimerHandle | None = None
        self._slept_at = 0.0
        self._recent: Any = None

    def install(self, patches: Patches) -> None:
        self._soon = self._loop.call_soon
        self._later = self._loop.call_later
        self._threadsafe = self._loop.call_soon_threadsafe
        patches.put(self._loop, "call_soon", self._counting(passing_on(self._soon)))
        patches.put(self._loop, "call_soon_threadsafe", self._counting_from_threads(self._threadsafe))
        patches.put(self._loop, "call_later", self.call_later)
        patches.put(self._loop, "call_at", self.call_at)

    def remove(self) -> None:
        if self._asleep is not None:
            self._asleep.cancel()
            self._asleep = None
        self._turning = False
        self._thaw()
        for timer in self._timers:  # what is left of each is in real time from now on
            timer.is_older = True
        self._timers.clear()

    def is_quiet(self) -> bool:
        return not self._from_threads

    def next_timer(self) -> float | None:
        while self._timers and self._timers[0].is_over:
            heapq.heappop(self._timers)
        return self._timers[0].when() if self._timers else None

    def timers(self) -> Iterator[Timer]:
        return (timer for timer in self._timers if not timer.is_over)

    has_older = False  # those are the loop's own alone
    may_hear = False  # who knows; what is known to listen is found among the tasks

    def is_older(self, timer: Any) -> bool:
        return False

    def postpone(self, timers: list[Any], by: float) -> None:
        for timer in timers:
            timer._when += by
        heapq.heapify(self._timers)

    def ready(self) -> Iterator[Any]:
        if self._recent is not None:
            yield self._recent

    def descriptors(self) -> int:
        return 2  # who knows

    # -- what is scheduled ------------------------------------------------------------------------

    def _counting(self, call_soon: Callable[..., Any]) -> Callable[..., Any]:
        def counting(callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
            self._scheduled += 1
            if self._asleep is not None:
                self._wake()
            if not self._settler.waiters:
                return call_soon(callback, *args, context=context)
            self._recent = _Recent(callback)
            return call_soon(callback, *args, context=context)

        return counting

    def _counting_from_threads(self, call_soon_threadsafe: Callable[..., Any]) -> Callable[..., Any]:
        def counting(callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
            self._from_threads.append(None)  # first, so that no thread is done before it shows
            handle = call_soon_threadsafe(callback, *args, context=context)
            call_soon_threadsafe(self._noticed)
            return handle

        return counting

    def _noticed(self) -> None:
        self._scheduled += 1
        if self._asleep is not None:
            self._wake()

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        """Stands in for the loop's method."""
        return self._timer(self._settler.clock.time() + delay, delay, callback, args, context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        """Stands in for the loop's method."""
        return self._timer(when, when - self._settler.clock.time(), callback, args, context)

    def _timer(
        self, when: float, delay: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
    ) -> Timer:
        self._noticed()
        timer = Timer(when, callback, args, self._loop, context)
        timer.real = self._later(max(0.0, delay), self._due, timer)
        heapq.heappush(self._timers, timer)
        if len(self._timers) > 1000 and sum(one.is_over for one in self._timers) > 500:
            self._timers = [one for one in self._timers if not one.is_over]
            heapq.heapify(self._timers)
        return timer

    def _due(self, timer: Timer) -> None:
        """The loop's own timer has come. While the clock stands still, it may not be time yet."""
        timer.real = None
        if timer.is_older or not self._settler.clock.is_frozen:
            self._run(timer)
        elif self._asleep is not None:
            self._wake()

    def _run(self, timer: Timer) -> None:
        if not timer.is_over:
            timer.is_over = True
            self._noticed()
            timer._run()

    def _run_what_is_due(self) -> bool:
        now = self._settler.clock.time()
        ran = False
        while (when := self.next_timer()) is not None and when <= now:
            timer = heapq.heappop(self._timers)
            if timer.real is not None:
                timer.real.cancel()
            self._run(timer)
            ran = True
        return ran

    def _thaw(self) -> None:
        clock = self._settler.clock
        clock.thaw()
        now = clock.time()
        for timer in self.timers():
            if timer.real is not None:
                timer.real.cancel()
            timer.real = self._later(max(0.0, timer.when() - now), self._due, timer)

    # -- turns ------------------------------------------------------------------------------------

    def begin(self) -> None:
        if self._asleep is not None:
            self._wake()
        elif not self._turning:
            self._turn_on()

    def _turn_on(self) -> None:
        self._turning = True
        self._mark += 1
        self._seen = self._scheduled
        self._quiet = 0
        self._soon(self._turn, self._mark)

    def _wake(self) -> None:
        assert self._asleep is not None
        self._asleep.cancel()
        self._asleep = None
        self._settler.slept(time.monotonic() - self._slept_at)
        self._turn_on()

    def _turn(self, mark: int) -> None:
        settler = self._settler
        if not self._turning or mark != self._mark:  # one of an earlier wait: two would go round twice as fast
            return
        if not settler.waiters:
            self._turning = False
            self._thaw()
            return
        if self._scheduled != self._seen or self._from_threads or self._run_what_is_due():
            self._from_threads.clear()
            self._seen = self._scheduled
            self._quiet = 0
            settler.busy_for_long()
        else:
            self._quiet += 1
        if self._quiet >= QUIET_TURNS:
            self._quiet = 0
            wait = settler.idle()
            if wait is not None:
                self._sleep(wait)
                return
        self._soon(self._turn, mark)

    def _sleep(self, seconds: float) -> None:
        """Turn no more until something is scheduled, or a timer comes."""
        timer = self.next_timer() if self._settler.pilot is None else None  # with one, no timer comes by itself
        if timer is not None:
            seconds = min(seconds, max(0.0, timer - self._settler.clock.time()))
        self._turning = False
        self._slept_at = time.monotonic()
        self._asleep = self._later(min(seconds, LONGEST), self._slept_enough)

    def _slept_enough(self) -> None:
        if self._asleep is not None:
            self._wake()


class _Recent:
    """What was scheduled last, as a handle tells it."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self._callback = callback
