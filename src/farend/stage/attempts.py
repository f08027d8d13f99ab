"""Who comes to a server, and what each attempt to connect meets: the plan, carried on from attempt to attempt."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from farend.core.journal import Attempt, Journal
from farend.core.outcomes import Outcome, Refused
from farend.core.routes import Routes, TurnedAway


class Arrival(NamedTuple):
    """An attempt, and what it meets; None where its path has to be known first."""

    attempt: Attempt
    outcome: Outcome | TurnedAway | None


class Attempts:
    """The attempts at one server. `knock` may be called from any thread."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._lock = threading.Lock()
        self._expected: deque[Arrival] = deque()

    def knock(self, routes: Routes, now: float) -> bool:
        """Somebody is about to connect; gives whether he is refused. If not, he will be the next to `enter`."""
        with self._lock:
            if not routes.refuses:
                return False
            arrival = self._next(routes, now)
            if isinstance(arrival.outcome, Refused):
                arrival.attempt.ended = now
                return True
            self._expected.append(arrival)
            return False

    def enter(self, routes: Routes, now: float) -> Arrival:
        """Somebody has connected."""
        with self._lock:
            if self._expected:
                return self._expected.popleft()
            if routes.decides_at_the_door:
                return self._next(routes, now)
            return Arrival(self.journal.add(now), None)

    def _next(self, routes: Routes, now: float) -> Arrival:
        outcome = routes.next_at_the_door()
        if isinstance(outcome, TurnedAway):
            return Arrival(self.journal.add(now), outcome)
        return Arrival(self.journal.add(now, outcome), outcome)
