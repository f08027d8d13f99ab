"""Idle moments of asyncio's own loop: the poll that it makes when nothing is ready.

The loop asks its selector with a timeout of 0 while something is ready, and with how long it may sleep
otherwise. The second is where a program that awaits would block, and so where it has nothing left to do.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import platform
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any

from farend.errors import WrongState
from farend.settling.causes import CAUSE, pass_on, passing_on
from farend.settling.patches import Patches

if TYPE_CHECKING:
    from farend.settling.settler import Settler

LONGEST = 3600.0
"""Seconds that a poll lasts at most."""
PATIENT_TURNS = 64
"""Turns of a busy loop between two looks at the time."""


class SelectorHook:
    """Shadows `select` on the selector of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settler: Settler) -> None:
        self._loop: Any = loop
        self._settler = settler
        self._before: dict[int, Any] = {}
        for name in ("_selector", "_ready", "_scheduled", "_stopping"):
            if not hasattr(loop, name):
                raise WrongState(
                    f"farend knows when asyncio's loop is idle by its attribute {name}, which it has not in "
                    f"{platform.python_implementation()} {platform.python_version()}; please report that"
                )
        # Made once: a loop is watched anew for each connection of a test.
        self._watching_select = functools.lru_cache(1)(self._select)
        self._watching_call_soon = functools.lru_cache(1)(self._call_soon)

    def install(self, patches: Patches) -> None:
        patches.put(self._loop._selector, "select", self._watching_select(self._loop._selector.select))
        patches.put(self._loop, "call_soon", self._watching_call_soon(self._loop.call_soon))
        self._before = {id(handle): handle for handle in self._loop._scheduled}

    def remove(self) -> None:
        """What is left of each timer stays the same when the loop has its own clock again."""
        ahead = self._settler.clock.ahead
        for handle in self._loop._scheduled:
            handle._when -= ahead

    def begin(self) -> None:
        """The loop comes to its next poll by itself."""

    def is_quiet(self) -> bool:
        return not self._loop._ready

    def next_timer(self) -> float | None:
        scheduled = self._loop._scheduled
        while scheduled and scheduled[0]._cancelled:  # as the loop does it before it polls
            self._loop._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False
        return scheduled[0]._when if scheduled else None

    def timers(self) -> Iterator[Any]:
        return (handle for handle in self._loop._scheduled if not handle._cancelled)

    def is_older(self, timer: Any) -> bool:
        return id(timer) in self._before

    @property
    def has_older(self) -> bool:
        return bool(self._before)

    @property
    def may_hear(self) -> bool:
        return self.descriptors() > 1

    def postpone(self, timers: list[Any], by: float) -> None:
        for timer in timers:
            timer._when += by
        if timers:
            heapq.heapify(self._loop._scheduled)

    def ready(self) -> Iterator[Any]:
        return (handle for handle in self._loop._ready if not handle._cancelled)

    def descriptors(self) -> int:
        return len(self._loop._selector.get_map())

    def _call_soon(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`call_soon`, which passes causes on, and costs no more than the loop's own."""
        loop = self._loop
        if getattr(real, "__func__", None) is not asyncio.BaseEventLoop.call_soon:
            return passing_on(real)
        append, current, handle_of = loop._ready.append, CAUSE.get, asyncio.Handle

        def call_soon(callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
            if context is not None and current() is not None:
                pass_on(context)
            if loop._debug or loop._closed:  # then the loop looks closely at what it is given
                return real(callback, *args, context=context)
            handle = handle_of(callback, args, loop, context)
            append(handle)
            return handle

        return call_soon

    def _select(self, real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        loop, settler = self._loop, self._settler
        clock, waiters, ready = settler.clock, settler.waiters, loop._ready
        descriptors = loop._selector.get_map()
        turns = 0

        def select(timeout: float | None = None) -> list[Any]:
            nonlocal turns
            if not waiters:
                clock.thaw()
                return real(timeout)
            if ready or loop._stopping:
                turns += 1
                if not turns % PATIENT_TURNS:
                    settler.busy_for_long()
                elif len(descriptors) == 1:
                    return []  # the loop's own, by which it is woken, and it is awake
                return real(0)
            events = real(0)
            if events:
                return events
            wait = settler.idle()
            if wait is None:
                return []
            if timeout is not None and settler.pilot is None:  # with a pilot, no timer comes by itself
                wait = min(wait, timeout)
            began = time.monotonic()
            events = real(min(wait, LONGEST))
            settler.slept(time.monotonic() - began)
            return events

        return select
