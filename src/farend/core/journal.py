"""The attempts to connect to one server, in order: what each met, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, overload

from farend.core.conversation import Conversation, State
from farend.core.mishaps import Interrupted

if TYPE_CHECKING:
    from farend.core.outcomes import Outcome


class Passed(Protocol):
    """A connection that is passed on."""

    @property
    def interrupted(self) -> bool:
        """Whether the ending has come that a plan has for it."""
        ...


class Attempt:
    """One attempt to connect.

    `number` is its place in the journal, from 1. `attempted` and `ended` are times in seconds, on the clock of
    the far end's event loop (of `time.monotonic()`); `ended` is None while it goes on. `planned` is what
    a plan had for it, None where there is no plan.
    """

    __slots__ = ("attempted", "by_reset", "conversation", "ended", "number", "passed", "planned", "turned_away")

    def __init__(self, number: int, attempted: float, planned: Outcome | None = None) -> None:
        self.number = number
        self.attempted = attempted
        self.ended: float | None = None
        self.planned = planned
        self.conversation: Conversation | None = None
        self.turned_away = False
        self.passed: Passed | None = None
        """What passed on the connection, at a proxy; None where it was not passed on."""
        self.by_reset = False
        """Whether the connection was let in and reset, because it could not be refused."""

    @property
    def outcome(self) -> str:
        """What it met, in a word or two.

        "refused", "rejected 503", "stalled", "reset", "dropped", "wrong accept", "tls expired" and so on are mishaps
        of a plan. A script was "played", or a finding ended it ("failed"), or a plan did: "aborted", "dropped",
        "stalled", "closed". Until then it is "playing". "turned away" nothing was left for it, and "no handshake"
        it opened no WebSocket, or no TLS.
        """
        conversation = self.conversation
        if self.turned_away:
            return "turned away"
        if self.passed is not None:
            if self.planned is not None and self.passed.interrupted:
                return self.planned.told
            return "playing" if self.ended is None else "played"
        if conversation is None:
            if self.planned is None or self.planned.told == "played":
                return "waiting" if self.ended is None else "no handshake"
            return self.planned.told
        if conversation.findings:
            return "failed"
        if isinstance(conversation, Interrupted):
            if conversation.interrupted and self.planned is not None:
                return self.planned.told
        elif self.planned is not None and self.planned.told != "played":
            return self.planned.told
        return "played" if conversation.state is State.OVER or self.ended is not None else "playing"

    @property
    def connection(self) -> int | None:
        """The number of its connection, as transcripts and reports have it; None where there is none."""
        return None if self.conversation is None else self.conversation.number

    @property
    def path(self) -> str | None:
        """The path that its WebSocket was opened with; None where it did not come to that."""
        opening = None if self.conversation is None else self.conversation.transcript.opening
        return None if opening is None else opening.path

    @property
    def lasted(self) -> float | None:
        """How long it went on, in seconds; None while it does."""
        return None if self.ended is None else self.ended - self.attempted

    def __repr__(self) -> str:
        lasted = "goes on" if self.lasted is None else f"{self.lasted:.3f} s"
        return f"<Attempt {self.number}: {self.outcome}, {lasted}>"


class Journal(Sequence[Attempt]):
    """A sequence of attempts, in the order in which they were made.

    >>> journal = Journal()
    >>> for attempted, ended in ((10.0, 10.0), (11.0, 11.5), (13.5, 14.0)):
    ...     journal.add(attempted).ended = ended
    >>> journal.gaps
    [1.0, 2.0]
    """

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []

    def add(self, now: float, planned: Outcome | None = None) -> Attempt:
        """One more attempt, made now."""
        attempt = Attempt(len(self._attempts) + 1, now, planned)
        self._attempts.append(attempt)
        return attempt

    @property
    def outcomes(self) -> list[str]:
        """What each attempt met: `["refused", "rejected 503", "played"]`."""
        return [attempt.outcome for attempt in self]

    @property
    def gaps(self) -> list[float]:
        """The seconds from the end of each attempt to the next one: how long the client waited before it tried again.

        0 where the next one came before the end.
        """
        attempts = tuple(self._attempts)
        return [
            0.0 if before.ended is None else max(behind.attempted - before.ended, 0.0)
            for before, behind in pairwise(attempts)
        ]

    @overload
    def __getitem__(self, index: int) -> Attempt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Attempt]: ...
    def __getitem__(self, index: int | slice) -> Attempt | list[Attempt]:
        return self._attempts[index]

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(tuple(self._attempts))

    def lines(self) -> Iterator[str]:
        """A line for each attempt: when, since the first; what it met; how long it went on."""
        began = self._attempts[0].attempted if self._attempts else 0.0
        for attempt in self:
            lasted = "goes on" if attempt.lasted is None else f"for {attempt.lasted:.3f} s"
            which = f", connection {attempt.connection}" if attempt.connection else ""
            path = f" at {attempt.path}" if attempt.path not in (None, "/") else ""
            yield f"{attempt.attempted - began:.3f} s  {attempt.outcome}{path} ({lasted}{which})"

    def __repr__(self) -> str:
        return f"<Journal: {', '.join(self.outcomes) or 'no attempt'}>"

    def __str__(self) -> str:
        return "\n".join(f"{number}. {line}" for number, line in enumerate(self.lines(), 1))
