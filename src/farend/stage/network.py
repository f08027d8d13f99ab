"""A network in memory on one event loop, and its time: who is at which address, and what becomes of those who wait.

Time is virtual there: it goes from timer to timer, and only while the loop is settled. So a far end's deadline
cannot be in that time, or an idle client of ten minutes would be late at once; nor can there be none, or tests
would hang. It is two things instead:

    nothing can happen any more ──> whoever waits has waited for ever, and is told so at once (`Stalled`)
    time goes on, and on ─────────> the deadline, in real seconds, as on a socket

What a test gives a number to (`within=`) is in virtual time. Where nothing can happen, and no far end waits, it is
the test that hangs: its task is cancelled, and leaving the network raises what it waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from farend.core.events import Stalled
from farend.core.findings import standstill
from farend.errors import Standstill, Unsettled, WrongState
from farend.settling import settler
from farend.settling.settler import Pilot
from farend.stage import cable
from farend.stage.cable import CableTransport
from farend.stage.driver import Driver
from farend.stage.far_end import NETWORK

if TYPE_CHECKING:
    from farend.stage.far_end import FarEnd

Mark: TypeAlias = tuple[float, int, float, int]
LOOK: Final = 0.25
"""Seconds of real time between two looks at the deadlines."""
FIRST_PORT: Final = 49152
"""The first port that is given to a client (RFC 6335, 6)."""
CANCELLATIONS: Final = 100
"""How often a task that catches its own cancellation is cancelled again, before the loop itself is stopped."""


class Network(Pilot):
    """The connections on one loop, and its clock; `limit` is how long that may really be held up, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float | None) -> None:
        super().__init__(limit, inside=set())
        self.loop = loop
        self.far_ends: list[FarEnd] = []
        self.owner = asyncio.current_task(loop)
        self.stopped: Standstill | Unsettled | None = None
        """Why the test was stopped, if it was."""
        self.gave_up = Stalled()
        """What was last told to those who waited."""
        self._calls: list[Wait] = []
        self._since: dict[object, tuple[Mark, float]] = {}
        self._looks_at = 0.0
        self._transports: set[CableTransport] = set()
        self._cancelled = 0

    def open(self) -> None:
        """Begin: the loop's time is 0, and goes on by itself. Raises `WrongState` where there is one already."""
        __tracebackhide__ = True
        kept = vars(self.loop) if hasattr(self.loop, "__dict__") else {}
        if NETWORK in kept:
            raise WrongState("this loop has a virtual network already: list all the far ends in one virtual_network()")
        self.settler = settler.lease(self.loop)
        self.settler.board(self)
        kept[NETWORK] = self

    def close(self) -> None:
        """End: the loop has its own time again. Connections that are left are cut."""
        for transport in tuple(self._transports):
            transport.fail(ConnectionAbortedError("the virtual network has ended"))
        self.settler.disembark()
        self.settler.release()
        del vars(self.loop)[NETWORK]

    # -- who is there -----------------------------------------------------------------------------

    def take_in(self, far_end: FarEnd) -> None:
        """A far end lives here from now on; its deadline is kept by the network."""
        far_end.network = self
        far_end.patience, far_end.deadline = far_end.deadline, None
        self.far_ends.append(far_end)

    def let_go(self, far_end: FarEnd) -> None:
        """It has left."""
        self.far_ends.remove(far_end)
        far_end.network = None
        far_end.deadline = far_end.patience

    def connect(self, own: Any, to: Any) -> tuple[CableTransport, CableTransport]:
        """Both ends of a new connection between these addresses: the dialler's, and the other's."""
        both = cable.connect(self.loop, own, to)
        for transport in both:
            self._transports.add(transport)
            self.inside.add(transport.get_extra_info("peername")[:2])  # type: ignore[attr-defined]
            transport.when_gone = self._transports.discard
            transport.when_moved = self.moved
        return both

    def in_a_thread(self, name: str) -> WrongState:
        """What is raised where somebody beside the loop asks for something that is in virtual time."""
        return WrongState(
            f"{name} is in a virtual network, and this is another thread, or another event loop: there is no virtual "
            "time there. Use the network from the test that has entered it, or real sockets: `with server`"
        )

    # -- who waits --------------------------------------------------------------------------------

    def wait(self, far_end: FarEnd, *, last: bool = False) -> Wait:
        """A wait of the test's, which is over when the network gives it up; `last`, behind all others."""
        return Wait(self._calls, far_end, last)

    def stands_still(self) -> None:
        event = Stalled(waiting=tuple(self.settler.chains(everyone=True)))
        calls = [wait for wait in self._calls if not wait.last]
        drivers = [driver for far_end in self.far_ends for driver in far_end.patient_drivers]
        for waits in (calls, drivers, self._calls):
            if waits:
                self._tell(event, waits)
                return
        self._stop(Standstill(standstill(event.waiting, lines=True), event.waiting))

    def look(self) -> float:
        now = time.monotonic()
        if now >= self._looks_at:
            late = now - self._looks_at  # the loop stood still, or the machine did: nobody has waited for so long
            self._looks_at = now + LOOK
            before, self._since = self._since, {}
            for key, patience in self._patient():
                mark, since = before.get(key) or (self._mark(key), now - late)
                since += late
                if self._went_on(key, mark):
                    mark, since = self._mark(key), now
                if now - since >= patience:
                    self._tell(Stalled(patience), [key])
                else:
                    self._since[key] = (mark, since)
        return self._looks_at

    def _mark(self, key: Any) -> Mark:
        """What changes when something comes of a wait: since when it waits, its step, and what is said at that time."""
        if not isinstance(key, Driver) or not key.begun:
            return 0.0, 0, self.loop.time(), 0
        conversation = key.conversation
        return conversation.waits_since, conversation.next_step, self.loop.time(), len(conversation.transcript)

    def _went_on(self, key: Any, before: Mark) -> bool:
        # Pings are said as well, and are no progress; but while time stands, nothing tells them from it.
        since, step, at, said = self._mark(key)
        return (since, step) != before[:2] or (at == before[2] and said != before[3])

    def _patient(self) -> Iterator[tuple[Any, float]]:
        """Who waits, and how long that may last in real seconds."""
        for wait in tuple(self._calls):
            if wait.far_end.patience is not None:
                yield wait, wait.far_end.patience
        for far_end in self.far_ends:
            if far_end.patience is not None:
                for driver in far_end.patient_drivers:
                    yield driver, far_end.patience

    def _tell(self, event: Stalled, waits: list[Any]) -> None:
        self.gave_up = event
        for wait in tuple(waits):
            wait.stalled(event)

    def fail(self, unsettled: Unsettled) -> None:
        self.moved()
        told = "".join(f"\n  {one}" for one in unsettled.under_way)
        text = f"Virtual time stands still, because something real has been under way for {self.patience:g} s:{told}"
        self._stop(Unsettled(text, unsettled.under_way))

    def _stop(self, error: Standstill | Unsettled) -> None:
        """Stop the test: its task, or where that has only set up the network, the one that the loop runs now."""
        self.stopped = self.stopped or error
        self._cancelled += 1
        owner = self.owner if self.owner is not None and not self.owner.done() else _main_task(self.loop)
        if owner is None or self._cancelled > CANCELLATIONS:
            raise self.stopped
        owner.cancel(str(error))

    def take_back(self) -> int:
        """How often its owner was cancelled, and not told so yet."""
        times, self._cancelled = self._cancelled, 0
        return times


def _main_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any] | None:
    """The task that `run_until_complete` runs."""
    for task in asyncio.all_tasks(loop):
        for callback, _ in getattr(task, "_callbacks", None) or ():
            if getattr(callback, "__name__", "").lstrip("_") in ("run_until_complete_cb", "done_cb"):
                return task
    return None


class Wait:
    """A wait of the test's that has no number of seconds: `async with` raises `TimeoutError` when it is given up."""

    def __init__(self, calls: list[Wait], far_end: FarEnd, last: bool) -> None:
        self._calls = calls
        self.far_end = far_end
        self.last = last
        self._timeout = asyncio.timeout(None)

    def stalled(self, event: Stalled) -> None:
        """It has lasted long enough."""
        self._timeout.reschedule(0.0)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._calls.append(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.remove(self)
        await self._timeout.__aexit__(kind, error, traceback)
