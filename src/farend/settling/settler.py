"""The one place that decides whether a loop is settled, and what then happens to those who wait for it.

    ready, or the poll brings something ─────> go on
    a thread, a call outside, a layer at work ─> wait really, until a waiter's patience is over: `Unsettled`
    a timer within a waiter's horizon ────────> put the clock forward to it
    none of these ───────────────────────────> the waiter is settled

Where a `Pilot` is on board, the clock stands still for good, and goes from timer to timer whenever the loop is
settled; where there is no timer left either, the pilot is told that all has come to a standstill.

The hooks (`selector_hook.py`, `turns_hook.py`) ask `idle()` at each moment at which nothing is ready.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, Protocol

from farend.errors import Unsettled
from farend.settling import busy, layers
from farend.settling.clock import Clock
from farend.settling.jobs import Jobs
from farend.settling.patches import Patches
from farend.settling.selector_hook import SelectorHook
from farend.settling.turns_hook import TurnsHook
from farend.settling.waits import UNWATCHED, Walk, anybody_outside, cause_of, described, duration, name_of

LIMIT: Final = 5.0
"""Seconds of real time after which an application that goes on is `Unsettled`, where nobody says otherwise."""
SLOWEST: Final = 10
"""How many times as long a loop may take for what it does on a machine that is busy with other things."""
THE_SAME: Final = 1e-6
"""Seconds by which two times may differ that are one: floats lose that in sums, as of a thousand beats."""
MOST_TOLD: Final = 8
"""Reasons that a text lists."""


class Waiter:
    """Somebody who waits until the loop is settled.

    `until` is how far the clock may be put forward for it, `patience` how long it really waits, in seconds
    from the first time that it has to. With `fully`, it wants the clock to be at `until` then. `inside` are
    addresses on this loop; with `everyone`, all tasks count, and not only an application's. Its future is
    True when what it waits for has come, and False when the loop was settled first.
    """

    __slots__ = ("_give_up", "_worked", "began", "everyone", "fully", "future", "inside", "patience", "until")

    future: asyncio.Future[bool]
    began: float
    """What time it was on the clock."""

    def __init__(
        self,
        until: float = 0.0,
        patience: float = LIMIT,
        fully: bool = False,
        everyone: bool = False,
        inside: Collection[object] = (),
    ) -> None:
        self.until = until
        self.patience = patience
        self._give_up: float | None = None
        self.fully = fully
        self.everyone = everyone
        self.inside = inside

    @property
    def give_up(self) -> float:
        """When its patience is over, on `time.monotonic`."""
        if self._give_up is None:
            self._give_up = time.monotonic() + self.patience
            self._worked = time.thread_time()
        return self._give_up

    def is_worn_out(self, now: float) -> bool:
        """Whether a loop that never pauses has gone on for too long.

        That is so when it has worked for as long as the patience lasts. On a machine that gives the loop its turn
        only now and then, time passes without any work being done; and a loop whose callbacks sleep never works.
        """
        over = now - self.give_up
        return over >= 0 and (
            time.thread_time() - self._worked >= self.patience or over >= (SLOWEST - 1) * self.patience
        )

    def fail(self, unsettled: Unsettled) -> None:
        """Its patience is over."""
        self.future.set_exception(unsettled)


class Pilot(Waiter):
    """Who lets time pass by itself: the clock goes to the next timer whenever the loop is settled.

    All tasks of the loop count. While something real is under way, such as a thread, the clock stands; `fail` is
    called when it has stood for `limit` seconds of real time, and then again after as long.
    """

    def __init__(self, limit: float | None, inside: Collection[object]) -> None:
        super().__init__(math.inf, math.inf if limit is None else limit, everyone=True, inside=inside)

    def moved(self) -> None:
        """Something happened that shows that nothing is stuck."""
        self._give_up = None

    def look(self) -> float:
        """Look at what is in real time, at each moment at which nothing is ready; when to look again."""
        return math.inf

    def stands_still(self) -> None:
        """Nothing can happen any more: there is no timer, and nothing is under way."""
        raise NotImplementedError


class Hook(Protocol):
    """What tells a settler that its loop is idle."""

    def install(self, patches: Patches) -> None: ...
    def remove(self) -> None: ...
    def begin(self) -> None:
        """Somebody begins to wait."""
        ...

    def is_quiet(self) -> bool:
        """Whether nothing was scheduled since the last poll, by threads."""
        ...

    def next_timer(self) -> float | None: ...
    def timers(self) -> Iterator[Any]: ...
    def postpone(self, timers: list[Any], by: float) -> None: ...
    def is_older(self, timer: Any) -> bool:
        """Whether a timer was there before the loop was watched."""
        ...

    @property
    def has_older(self) -> bool: ...
    @property
    def may_hear(self) -> bool:
        """Whether a descriptor is polled that is not the loop's own, so that something may come from outside."""
        ...

    def ready(self) -> Iterator[Any]: ...
    def descriptors(self) -> int: ...


class Settler:
    """Watches one loop, for as long as somebody holds a lease."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.clock = Clock(loop.time)
        self.jobs = Jobs(loop)
        busy.sleepers.add(self.jobs)
        self.waiters: list[Waiter] = []
        self.pilot: Pilot | None = None
        self.leases = 0
        self._walk = Walk(loop)
        self._patches = Patches()
        self._hook = hook_for(loop, self)
        self._begin = self._hook.begin if isinstance(self._hook, TurnsHook) else None
        self._create_future: Callable[[], asyncio.Future[bool]] = functools.partial(asyncio.Future, loop=loop)

    # -- life -------------------------------------------------------------------------------------

    def install(self) -> None:
        """Watch the loop."""
        self.clock.begin(self.loop.time)
        self.jobs.begin()
        self._patches.put(self.loop, "time", self.clock.time)
        self._patches.put(self.loop, "run_in_executor", self.jobs.run_in_executor)
        self._hook.install(self._patches)

    def release(self) -> None:
        """One lease less; after the last, the loop is as it was before, and nobody waits any more."""
        self.leases -= 1
        if not self.leases:
            for one in self.waiters:
                if not one.future.done():
                    one.future.set_result(False)
            self.clock.thaw()
            self._hook.remove()
            self._patches.restore()
            self._walk.forget()

    def board(self, pilot: Pilot, at: float = 0.0) -> None:
        """Let `pilot` move the clock from now on; it is `at` then. What is left of each timer stays the same."""
        by = at - self.clock.freeze()
        self._hook.postpone([*self._hook.timers()], by)
        self.clock.frozen = at
        self._looked = time.monotonic()
        self.pilot = pilot
        pilot.future = self._create_future()
        self.waiters.append(pilot)
        self._hook.begin()

    def disembark(self) -> None:
        """Nobody moves the clock any more, but those who wait."""
        assert self.pilot is not None
        self.waiters.remove(self.pilot)
        self.pilot = None

    # -- waiting ----------------------------------------------------------------------------------

    def waiter(
        self,
        within: float,
        limit: float,
        *,
        fully: bool = False,
        everyone: bool = False,
        inside: Collection[object] = (),
    ) -> Waiter:
        """Somebody waits from now on; `within` seconds of the loop's time, `limit` seconds of real time."""
        now = self.clock.freeze()
        one = Waiter(now + within, limit, fully, everyone, inside)
        one.began = now
        one.future = self._create_future()
        self.waiters.append(one)
        self._hook.begin()
        return one

    def wait_again(self, one: Waiter, within: float) -> asyncio.Future[bool]:
        """`one` waits again, from now on; for what is done with every message."""
        frozen = self.clock.frozen
        one.began = now = self.clock.freeze() if frozen is None else frozen
        one.until = now + within
        one._give_up = None
        one.future = future = self._create_future()
        self.waiters.append(one)
        if self._begin is not None:
            self._begin()
        return future

    async def settle(
        self,
        within: float = 0.0,
        limit: float = LIMIT,
        *,
        fully: bool = False,
        everyone: bool = False,
        inside: Collection[object] = (),
    ) -> None:
        """Return when the loop is settled; raises `Unsettled`, which names what is under way, after `limit`."""
        __tracebackhide__ = True
        one = self.waiter(within, limit, fully=fully, everyone=everyone, inside=inside)
        try:
            await one.future
        finally:
            self.waiters.remove(one)

    # -- deciding ---------------------------------------------------------------------------------

    def idle(self) -> float | None:
        """Nothing is ready, and the poll brings nothing. How long to wait really; None to go on at once."""
        waiting = [one for one in self.waiters if not one.future.done()]
        if not waiting:
            return None
        if self.pilot is not None:
            self._real_time_passes()
            if not self._hook.is_quiet():
                return None  # the pilot has done something
        if self.under_way(waiting):
            return self._patience(waiting)
        if not self._hook.is_quiet():
            return None  # a thread has finished meanwhile, and has left something to do
        timer = self._next_timer()
        settled = [one for one in waiting if timer is None or timer > one.until + THE_SAME]
        if self.pilot is not None and settled == [self.pilot]:
            return self._stand_still(self.pilot)
        for one in settled:
            if one is self.pilot:
                continue
            if one.fully:
                self._put_forward(one.until)
            one.future.set_result(False)
        if not settled and timer is not None:
            self._put_forward(timer)
        return None

    def _stand_still(self, pilot: Pilot) -> float | None:
        """There is no timer, and nobody waits for anything else."""
        # Where somebody listens to the outside, or may, that cannot be known before it was waited for.
        if self._walk.listening or self._hook.may_hear:
            now = time.monotonic()
            if pilot.give_up > now:
                return self._until_a_look(pilot.give_up - now)
            pilot.moved()
        pilot.stands_still()
        return None

    def _next_timer(self) -> float | None:
        """When the next timer is due for which the clock may be put forward."""
        if not self._some_are_real:
            return self._hook.next_timer()
        return min((timer.when() for timer in self._hook.timers() if not self._is_real(timer)), default=None)

    def next_due(self) -> float | None:
        """In how many seconds the next timer is due for which the clock may be put forward; None for never."""
        timer = self._next_timer()
        return None if timer is None else max(0.0, timer - self.clock.time())

    def _put_forward(self, to: float) -> None:
        by = to - self.clock.time()
        if by > 0 and self._some_are_real:
            self._hook.postpone([timer for timer in self._hook.timers() if self._is_real(timer)], by)
        self.clock.put_forward(to)
        if self.pilot is not None:
            self.pilot.moved()

    def _real_time_passes(self) -> None:
        """With a pilot the clock stands while real time passes, so timers in real time come nearer."""
        assert self.pilot is not None
        before, self._looked = self._looked, time.monotonic()
        if self._some_are_real:
            real = [timer for timer in self._hook.timers() if self._is_real(timer)]
            self._hook.postpone(real, before - self._looked)
        self._look_again = self.pilot.look()

    def _until_a_look(self, seconds: float) -> float:
        """How long may be waited really, with a pilot: until it looks again, or a timer in real time comes."""
        now = self.clock.time()
        if self._some_are_real:
            due = [timer.when() - now for timer in self._hook.timers() if self._is_real(timer)]
            seconds = min([seconds, *due])
        return max(0.0, min(seconds, self._look_again - time.monotonic()))

    @property
    def _some_are_real(self) -> bool:
        return bool(self._walk.listening) or self._hook.has_older

    def _is_real(self, timer: Any) -> bool:
        """Whether a timer is in real time: set before the loop was watched, or the limit of a listener's wait."""
        return self._hook.is_older(timer) or self._walk.is_of_a_listener(timer)

    def busy_for_long(self) -> None:
        """The loop is never idle: see whose patience is over."""
        now = time.monotonic()
        if self.pilot is not None:
            self._real_time_passes()
        self._give_up([one for one in self.waiters if one.is_worn_out(now) and not one.future.done()], is_busy=True)

    def _give_up(self, over: list[Waiter], is_busy: bool = False) -> None:
        """The patience of these is over: say what is under way."""
        never_pausing = [*self._never_pausing()] if over and is_busy else []
        for one in over:
            one.fail(self._unsettled(one, self._progress(one) + never_pausing))
        if over:
            layers.give_up(self.loop)

    def slept(self, seconds: float) -> None:
        """The loop had to wait really. How long a thread takes says nothing about how long a timer may be."""
        if self.pilot is not None:
            return
        self.clock.let_pass(seconds)
        for one in self.waiters:
            one.until += seconds

    def _patience(self, waiting: list[Waiter]) -> float | None:
        now = time.monotonic()
        over = [one for one in waiting if one.give_up <= now or self._is_blind(one)]
        self._give_up(over)
        if over:
            return None
        seconds = min(one.give_up for one in waiting) - now
        return seconds if self.pilot is None else self._until_a_look(seconds)

    def under_way(self, waiting: Collection[Waiter]) -> bool:
        """Whether something is under way that will wake the loop."""
        if self.jobs.under_way or layers.under_way(self.loop) or busy.under_way():
            return True
        if not anybody_outside(self._hook.descriptors()):
            self._walk.forget()
            return False
        if self.pilot is not None:  # all tasks count for it, so one look is enough
            waiting = [self.pilot]
        return any(any(True for _ in self._outside(one)) for one in waiting)

    def _outside(self, waiter: Waiter) -> Iterator[tuple[asyncio.Task[Any], Any]]:
        inside = waiter.inside if self.pilot is None else self.pilot.inside
        return self._walk.outside(waiter.everyone, inside)

    def _is_blind(self, waiter: Waiter) -> bool:
        """Whether something goes on that will never be known to have ended, so that waiting is no use."""
        return any(name_of(call) in UNWATCHED for _, call in self._outside(waiter))

    # -- in words ---------------------------------------------------------------------------------

    def _unsettled(self, waiter: Waiter, never_pausing: list[str]) -> Unsettled:
        reasons = [*self.reasons(waiter), *never_pausing]
        told = "".join(f"\n  {reason}" for reason in reasons[:MOST_TOLD])
        told += f"\n  and {len(reasons) - MOST_TOLD:,} more" if len(reasons) > MOST_TOLD else ""
        return Unsettled(f"The application has not finished reacting; still under way:{told}", reasons)

    def reasons(self, waiter: Waiter) -> Iterator[str]:
        """What is under way."""
        yield from self.jobs.reasons()
        yield from layers.reasons(self.loop)
        yield from busy.reasons()
        for task, call in self._outside(waiter):
            yield f"{described(task)}: awaits something from outside ({_call(call)})"
            if name_of(call) in UNWATCHED:
                yield "  its messages go through Redis, and farend cannot see them: write farend.asgi.watch(the_layer)"

    def _progress(self, waiter: Waiter) -> list[str]:
        """How far the clock has come, if it has: where timer follows timer, it may just be too far to go."""
        if waiter is self.pilot:  # it goes nowhere in particular
            return []
        gone, to_go = self.clock.time() - waiter.began, waiter.until - waiter.began
        if gone <= 0 or not to_go:
            return []
        return [f"the clock has come {duration(gone)} of {duration(to_go)}, from timer to timer"]

    def _never_pausing(self) -> Iterator[str]:
        for handle in self._hook.ready():
            yield f"never pauses: {_handle(handle)}"

    def chains(self, everyone: bool = False) -> list[str]:
        """What each of the application's tasks waits for."""
        now = self.clock.time()
        due = {id(handle._args[0]): handle.when() - now for handle in self._hook.timers() if handle._args}
        tasks = [task for task in asyncio.all_tasks(self.loop) if everyone or cause_of(task) is not None]
        return sorted(described(task, due) for task in tasks if task._fut_waiter is not None)  # type: ignore[attr-defined]


def _call(call: Any) -> str:
    return str(getattr(call, "__qualname__", "") or getattr(call, "__name__", "a call"))


def _handle(handle: Any) -> str:
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return running(task)
    from farend.settling.places import place_of_function

    return place_of_function(callback) if callback is not None else "a callback"


def running(task: asyncio.Task[Any]) -> str:
    """Where a task is that does not wait."""
    said = described(task)
    return said.removeprefix("something unknown, ")


# -- one for each loop --------------------------------------------------------------------------------

_KEPT_AS: Final = "_farend_settler"
"""A loop keeps its settler, so that it is made once for all the connections of a test."""


def lease(loop: asyncio.AbstractEventLoop) -> Settler:
    """The loop's settler, watching from now on; to be released."""
    kept = vars(loop) if hasattr(loop, "__dict__") else {}
    settler: Settler | None = kept.get(_KEPT_AS)
    if settler is None:
        settler = kept[_KEPT_AS] = Settler(loop)
    if not settler.leases:
        settler.install()
    settler.leases += 1
    return settler


def current(loop: asyncio.AbstractEventLoop) -> Settler | None:
    """The settler that watches a loop now."""
    settler: Settler | None = vars(loop).get(_KEPT_AS)
    return settler if settler is not None and settler.leases and not loop.is_closed() else None


def hook_for(loop: asyncio.AbstractEventLoop, settler: Settler) -> Hook:
    """The hook that fits a loop."""
    return SelectorHook(loop, settler) if isinstance(loop, asyncio.SelectorEventLoop) else TurnsHook(loop, settler)
