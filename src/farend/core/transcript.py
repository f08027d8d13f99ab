"""The time-stamped record of one conversation: everything that was said, by whom, and when.

Held in columns (a time, a kind, a payload), so that a message costs its payload and seventeen bytes;
an `Entry` is made only when one looks.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from farend.core.commands import Drop, Reject
from farend.core.messages import Handshake, printed
from farend.errors import WrongState

if TYPE_CHECKING:
    from farend.core.framing import Framing


class Kind(enum.IntEnum):
    """What an entry records. The near end is the program under test."""

    CONNECTED = 0
    """The near end connected; the payload is its handshake, or None on TCP."""
    RECEIVED = 1
    """The near end said the payload."""
    SENT = 2
    """The far end said the payload."""
    CLOSED = 3
    """The far end closed; the payload is the `Close`, or the `Drop` or the `Reject` in place of it."""
    ABORTED = 4
    """The far end cut the connection."""
    ENDED = 5
    """The near end ended its side; the payload is the `Ended`."""
    FOUND = 6
    """Something went wrong; the payload is the `Finding`."""
    FAULT = 7
    """A fault began or ended, or was done, on purpose; the payload says which."""
    STALLED = 8
    """The far end keeps the connection, and reads and says nothing any more."""


_ARROWS = {
    Kind.CONNECTED: "connected",
    Kind.RECEIVED: "→",
    Kind.SENT: "←",
    Kind.CLOSED: "× far end closed",
    Kind.ABORTED: "× far end cut the connection",
    Kind.ENDED: "× near end ended:",
    Kind.FOUND: "!",
    Kind.FAULT: "~",
    Kind.STALLED: "× far end reads and says nothing any more",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript. `time` is in seconds on the clock of the stage, whose zero is arbitrary.

    `framing` is the one that the message's own step has, on TCP; None where it is the script's, or there is none.
    """

    time: float
    kind: Kind
    payload: object
    framing: Framing | None = None

    def __str__(self) -> str:
        match self.kind:
            case Kind.CONNECTED:
                shown = "" if self.payload is None else f" {getattr(self.payload, 'target', self.payload)}"
            case Kind.ABORTED | Kind.STALLED:
                shown = ""
            case Kind.CLOSED if isinstance(self.payload, Drop):
                shown = " without a word"
            case Kind.CLOSED if isinstance(self.payload, Reject):
                return f"× far end answered HTTP {self.payload.status}"
            case Kind.CLOSED:
                shown = "".join(
                    f" {part}"
                    for part in (getattr(self.payload, "code", None), getattr(self.payload, "reason", ""))
                    if part
                )
            case Kind.ENDED | Kind.FOUND | Kind.FAULT:
                shown = f" {self.payload}"
            case _:
                shown = f" {printed(self.payload)}"
        return f"{_ARROWS[self.kind]}{shown}"


class Transcript(Sequence[Entry]):
    """A sequence of entries, in the order in which things happened.

    `number` is the connection's, from 1. `began` is the time of the first entry.

    >>> transcript = Transcript(number=1)
    >>> transcript.add(10.0, Kind.RECEIVED, "hello")
    >>> transcript[0].kind.name, transcript.received
    ('RECEIVED', ['hello'])
    """

    __slots__ = ("_framings", "_kinds", "_payloads", "_times", "number")

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self._times = array("d")
        self._kinds = bytearray()
        self._payloads: list[object] = []
        self._framings: dict[int, Framing] = {}

    def add(self, time: float, kind: int, payload: object = None) -> None:
        """Write one entry behind the last."""
        self._times.append(time)
        self._kinds.append(kind)
        self._payloads.append(payload)

    def framed(self, framing: Framing) -> None:
        """The last entry's message has a framing of its own."""
        self._framings[len(self._payloads) - 1] = framing

    def forget(self, kind: Kind, payload: object) -> None:
        """Take back the last entry of this kind that has this very payload: it will be written again."""
        for index in range(len(self._payloads) - 1, -1, -1):
            if self._payloads[index] is payload and self._kinds[index] == kind:
                self._drop(index, index + 1)
                return

    def _drop(self, start: int, stop: int) -> None:
        del self._times[start:stop], self._kinds[start:stop], self._payloads[start:stop]
        if self._framings:
            less = stop - start
            kept = {at: one for at, one in self._framings.items() if not start <= at < stop}
            self._framings = {at if at < start else at - less: one for at, one in kept.items()}

    @property
    def began(self) -> float:
        """The time of the first entry; 0 where there is none."""
        return self._times[0] if self._times else 0.0

    @property
    def received(self) -> list[object]:
        """All that the near end said, in order."""
        return self._of(Kind.RECEIVED)

    @property
    def sent(self) -> list[object]:
        """All that the far end said, in order."""
        return self._of(Kind.SENT)

    @property
    def handshake(self) -> Handshake:
        """What the near end asked for when it opened its WebSocket. Raises `WrongState` where it did not, as on TCP."""
        handshake = self.opening
        if handshake is None:
            raise WrongState("there was no handshake on this connection: TCP has none, and a WebSocket begins with it")
        return handshake

    @property
    def opening(self) -> Handshake | None:
        """`handshake`, or None where there was none."""
        first = next(iter(self._of(Kind.CONNECTED)), None)
        return first if isinstance(first, Handshake) else None

    def _of(self, kind: Kind) -> list[object]:
        return [payload for payload, one in zip(self._payloads, self._kinds, strict=False) if one == kind]

    def __len__(self) -> int:
        return len(self._payloads)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return Entry(self._times[at], Kind(self._kinds[at]), self._payloads[at], self._framings.get(at))

    def __iter__(self) -> Iterator[Entry]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<Transcript of connection {self.number}: {len(self)} entries>"

    def __str__(self) -> str:
        return "\n".join(f"{entry.time - self.began:9.3f} s  {entry}" for entry in self)


class RollingTranscript(Transcript):
    """A transcript that keeps its first entry and at least the last `keeps`: the rest is let go, and counted.

    For conversations that are longer than memory. `dropped` is how many entries were let go.

    >>> transcript = RollingTranscript(keeps=2)
    >>> for number in range(10):
    ...     transcript.add(float(number), Kind.RECEIVED, number)
    >>> transcript.received, transcript.dropped, transcript.began
    ([0, 7, 8, 9], 6, 0.0)
    """

    __slots__ = ("dropped", "keeps")

    def __init__(self, number: int = 1, keeps: int = 10_000) -> None:
        super().__init__(number)
        self.keeps = keeps
        self.dropped = 0

    def add(self, time: float, kind: int, payload: object = None) -> None:
        """Write one entry behind the last; as many as are kept go at once, so that a message costs what it did."""
        super().add(time, kind, payload)
        if len(self) > 2 * self.keeps + 1:
            end = len(self) - self.keeps
            self._drop(1, end)
            self.dropped += end - 1


class CountingTranscript(Transcript):
    """A transcript that knows how many messages were said, and by whom.

    >>> transcript = CountingTranscript()
    >>> transcript.add(10.0, Kind.RECEIVED, "hello")
    >>> transcript.said
    {'near end': 1, 'far end': 0, 'either': 1}
    """

    __slots__ = ("said",)

    def __init__(self, number: int = 1) -> None:
        super().__init__(number)
        self.said = {"near end": 0, "far end": 0, "either": 0}

    def add(self, time: float, kind: int, payload: object = None) -> None:
        super().add(time, kind, payload)
        if kind in (Kind.RECEIVED, Kind.SENT):
            self.said["near end" if kind == Kind.RECEIVED else "far end"] += 1
            self.said["either"] += 1

    def forget(self, kind: Kind, payload: object) -> None:
        before = len(self)
        super().forget(kind, payload)
        if len(self) < before:
            self.said["near end" if kind == Kind.RECEIVED else "far end"] -= 1
            self.said["either"] -= 1
