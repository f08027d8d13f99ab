"""How faults are done to what is said: bytes and messages in, bytes and messages out, and when.

A `Passage` is one direction of a connection:

    fed ──> corrupted, garbage put in, cut ──> coalesced ──> queued: latency, bandwidth, segments ──> taken

An `Arrangement` comes before it where a stage knows messages: it says which go on, how often, and in which order.
Both are pure: the time is an argument, `wake_at` says when something is due next, and what is random comes from seeds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count, cycle
from random import Random
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from farend.core.faults import (
    Bandwidth,
    ByteAtATime,
    Coalesce,
    Corrupt,
    CutAfter,
    Direction,
    Duplicate,
    EndOfStream,
    Fault,
    Garbage,
    Latency,
    NoCloseFrame,
    Reorder,
    Reset,
    Segments,
    Silence,
    SlowReader,
)

T = TypeVar("T")
Last: TypeAlias = Literal["said", "end", "reset"]
"""How a direction ends: the end that was said, or one that a fault made."""
QUANTUM: Final = 0.01
"""Seconds for which a limited bandwidth lets bytes through at once."""
ROOM: Final = 64 << 10
"""Bytes that wait for bandwidth before the sender is told to wait, at least: what the kernel would have room for."""
AHEAD: Final = 0.05
"""Seconds of a bandwidth for which bytes may wait, so that it is never waited for them."""
MOST_UNDER_WAY: Final = 16 << 20
"""Bytes that are under way, at most, where nothing but latency holds them."""
SIP: Final = 0.05
"""Seconds for which a slow reader reads at once."""


class Out(NamedTuple):
    """What goes on now: bytes, or the end. Where it is `apart`, the next may not go together with it."""

    data: bytes = b""
    last: Last | None = None
    apart: bool = False


class _Said(NamedTuple):
    """What waits its turn: since when, and for how long at least."""

    data: bytes
    since: float
    latency: float
    last: Last | None = None


class Passage:
    """One direction of a connection, and what is done to the bytes in it."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.size = 0
        """Bytes that wait here."""
        self.done: list[str] = []
        """What was done to the bytes since this was looked at last, in words; whoever looks clears it."""
        self._queue: deque[_Said] = deque()
        self._faults: dict[type[Fault], Fault] = {}
        self._altering: list[_Corruption | _Insertion | _Cut] = []
        self._jitter = Random(0)
        self._sizes: Iterator[int] | None = None
        self._segment = 0
        self._gap = 0.0
        self._latency: Latency | None = None
        self._coalesce: Coalesce | None = None
        self._together = bytearray()
        self._together_since = 0.0
        self._rate = 0.0
        self._free_at = self._not_before = 0.0
        self._due = 0.0
        self._ends_at: tuple[float, Last] | None = None
        self._is_over = False

    # -- faults -----------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything is done here, or anything waits."""
        return bool(self._faults or self._altering or self._queue or self._together or self._ends_at or self._is_over)

    @property
    def pending(self) -> bool:
        """Whether anything waits to go on."""
        return bool(self._queue or self._together)

    @property
    def is_over(self) -> bool:
        """Whether a fault has ended it."""
        return self._is_over

    @property
    def is_silent(self) -> bool:
        """Whether nothing passes, for as long as the silence lasts."""
        return Silence in self._faults

    def begin(self, fault: Fault, now: float) -> None:
        """A fault begins, in place of one that does the same."""
        match fault:
            case Corrupt():
                self._altering.append(_Corruption(fault))
            case Garbage():
                self._insert(fault, now)
            case CutAfter():
                self._altering.append(_Cut(fault))
                self._alter(b"", now)
            case Reset() | EndOfStream():
                self._ends_at = (now + fault.after, fault.how)
            case _:
                self._replace(fault, now)

    def _replace(self, fault: Fault, now: float) -> None:
        for kind in [kind for kind in self._faults if kind.slot == fault.slot]:
            self._stop(kind, now)
        self._faults[type(fault)] = fault
        match fault:
            case Latency():
                self._latency = fault
                self._jitter = Random(fault.seed)
            case Segments() | ByteAtATime():
                self._sizes, self._gap = cycle(fault.cycle), fault.gap
                self._segment = next(self._sizes)
            case Coalesce():
                self._coalesce = fault
            case Bandwidth() | SlowReader():
                self._rate = fault.bytes_per_second
                self._free_at = now

    def end(self, now: float, *, kind: type[Fault] | None = None) -> None:
        """All faults end, or those of a kind; what waits goes on in its order. What has been cut stays cut."""
        if kind is None:
            self._altering.clear()
            if not self._is_over:
                self._ends_at = None
        else:
            self._altering = [one for one in self._altering if one.kind is not kind]
            if kind in (Reset, EndOfStream):
                self._ends_at = None
        for active in list(self._faults):
            if kind is None or active is kind:
                self._stop(active, now)

    def _stop(self, kind: type[Fault], now: float) -> None:
        del self._faults[kind]
        if kind is Latency:
            self._latency = None
        elif kind in (Segments, ByteAtATime):
            self._sizes, self._gap, self._not_before = None, 0.0, 0.0
        elif kind is Coalesce:
            self._flush(now)
            self._coalesce = None
        elif kind in (Bandwidth, SlowReader):
            self._rate = 0.0
        elif kind is Silence:
            self._free_at = max(self._free_at, now)

    def _insert(self, fault: Garbage, now: float) -> None:
        data = fault.data or Random(fault.seed).randbytes(fault.size or 0)
        insertion = _Insertion(fault, data)
        if fault.at:
            self._altering.append(insertion)
        else:
            self.done.append(insertion.text)
            self._pass(data, now)

    # -- in ---------------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> None:
        """Bytes were said."""
        if not self._is_over:
            self._alter(data, now)

    def feed_end(self, now: float) -> None:
        """The end was said: nothing comes behind it."""
        if not self._is_over:
            self._last("said", now)

    def cut(self, now: float, last: Last = "end") -> None:
        """It ends here, behind what was said, and not because that was said."""
        if not self._is_over:
            self._is_over = True
            self._last(last, now)

    def hurry(self) -> None:
        """All that waits is due now."""
        self._queue = deque(said._replace(latency=0.0) for said in self._queue)
        self._due = self._free_at = self._not_before = 0.0

    def drop(self) -> None:
        """Nothing of what waits is to go on."""
        self._queue.clear()
        self._together.clear()
        self._ends_at = None
        self.size = 0

    def _alter(self, data: bytes, now: float) -> None:
        last: Last | None = None
        for one in tuple(self._altering):
            data = one.alter(data)
            if one.text:
                self.done.append(one.text)
                one.text = ""
            if one.is_over:
                self._altering.remove(one)
            last = last or one.last
        if data:
            self._pass(data, now)
        if last:
            self._is_over = True
            self._last(last, now)

    def _pass(self, data: bytes, now: float) -> None:
        self.size += len(data)
        if self._coalesce is None:
            self._enqueue(data, now)
            return
        if not self._together:
            self._together_since = now
        self._together += data
        if self._coalesce.size is not None and len(self._together) >= self._coalesce.size:
            self._flush(now)

    def _last(self, last: Last, now: float) -> None:
        self._flush(now)
        self._enqueue(b"", now, last)

    def _flush(self, now: float) -> None:
        if self._together:
            self._enqueue(bytes(self._together), now)
            self._together.clear()

    def _enqueue(self, data: bytes, now: float, last: Last | None = None) -> None:
        latency = 0.0
        if self._latency is not None:
            latency, jitter = self._latency.seconds, self._latency.jitter
            if jitter:
                latency += self._jitter.uniform(-jitter, jitter)
        self._queue.append(_Said(data, now, latency, last))

    # -- out --------------------------------------------------------------------------------------

    def take(self, now: float) -> Out | None:
        """The next that goes on, where it is due."""
        if self._ends_at is not None and now >= self._ends_at[0]:
            return self._end_now(self._ends_at[1])
        if self.is_silent:
            return None
        self._put_together(now)
        if not self._queue:
            return None
        size = self._next_size()
        due, sent_at = self._when(size)
        if due > now:
            return None
        return self._let_go(size, due, sent_at, now)

    def _end_now(self, last: Last) -> Out:
        self.drop()
        self._is_over = True
        return Out(last=last)

    def _put_together(self, now: float) -> None:
        if self._together and self._coalesce is not None:
            due = self._together_since + self._coalesce.seconds
            if now >= due:
                self._flush(due)

    def _next_size(self) -> int:
        """How many bytes of the first in the queue go on together."""
        size = len(self._queue[0].data)
        if self._sizes is not None:
            size = min(size, self._segment)
        elif self._rate:
            size = min(size, max(1, int(self._rate * QUANTUM)))
        return size

    def _when(self, size: int) -> tuple[float, float]:
        """When so many bytes of it arrive, and when they are all sent, at the bandwidth there is."""
        said = self._queue[0]
        sent_at = max(said.since, self._free_at) + size / self._rate if self._rate else said.since
        return max(sent_at + said.latency, self._due, self._not_before), sent_at

    def _let_go(self, size: int, due: float, sent_at: float, now: float) -> Out:
        said = self._queue.popleft()
        self._due = due
        if self._rate:
            self._free_at = sent_at
        if size < len(said.data):
            self._queue.appendleft(said._replace(data=said.data[size:]))
        self.size -= size
        if self._sizes is None or said.last:
            return Out(said.data[:size], said.last)
        self._segment = next(self._sizes)
        self._not_before = due + self._gap if self._gap else 0.0
        return Out(said.data[:size], apart=not self._gap)

    def resume(self, now: float) -> None:
        """The receiver had to be waited for: what was not sent meanwhile is not made up for."""
        self._free_at = max(self._free_at, now)

    @property
    def wake_at(self) -> float | None:
        """When something is due next; None if nothing is."""
        times = []
        if self._ends_at is not None:
            times.append(self._ends_at[0])
        if not self.is_silent:
            if self._together and self._coalesce is not None:
                times.append(self._together_since + self._coalesce.seconds)
            if self._queue:
                times.append(self._when(self._next_size())[0])
        return min(times, default=None)

    # -- how fast the sender may be ---------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether the sender has to wait."""
        return self.size > self.room

    @property
    def room(self) -> int:
        """How many bytes may wait here before the sender has to."""
        return max(ROOM, int(self._rate * AHEAD)) if self._rate else MOST_UNDER_WAY

    @property
    def appetite(self) -> int | None:
        """How many bytes are read from the sender at once: 0 for none, None for as many as there are."""
        if Silence in self._faults:
            return 0
        if SlowReader in self._faults:
            return 0 if self.size or not self._rate else max(1, int(self._rate * SIP))
        return 0 if self.is_full else None


# -- what is done to bytes ------------------------------------------------------------------------


class _Corruption:
    """Some bytes become others."""

    kind = Corrupt
    is_over = False
    last: Last | None = None

    def __init__(self, fault: Corrupt) -> None:
        self.text = ""
        self._at = 0
        self._changes = _changes(fault)
        self._next = next(self._changes, None)

    def alter(self, data: bytes) -> bytes:
        end = self._at + len(data)
        places = []
        changed = bytearray()
        while self._next is not None and self._next[0] < end:
            place, mask = self._next
            changed = changed or bytearray(data)
            changed[place - self._at] ^= mask
            places.append(place)
            self._next = next(self._changes, None)
        self._at = end
        if places:
            self.text = f"byte {', '.join(map(str, places))} corrupted"
        return bytes(changed) or data


def _changes(fault: Corrupt) -> Iterator[tuple[int, int]]:
    """Which byte is changed, and what is turned over in it."""
    random = Random(fault.seed)
    if isinstance(fault.at, tuple):
        for place in sorted(set(fault.at)):
            yield place, random.randrange(1, 256)
    elif fault.every:
        for start in count(0, fault.every):
            yield start + random.randrange(fault.every), random.randrange(1, 256)


class _Insertion:
    """Bytes that nobody said are put between others."""

    kind = Garbage
    last: Last | None = None

    def __init__(self, fault: Garbage, data: bytes) -> None:
        self._left = fault.at
        self._data = data
        self.is_over = False
        self.text = "" if fault.at else self._done

    @property
    def _done(self) -> str:
        return f"{len(self._data)} bytes of garbage put in"

    def alter(self, data: bytes) -> bytes:
        if len(data) < self._left:
            self._left -= len(data)
            return data
        self.is_over = True
        self.text = self._done
        return data[: self._left] + self._data + data[self._left :]


class _Cut:
    """The last bytes that pass."""

    kind = CutAfter
    is_over = False
    last: Last | None = None

    def __init__(self, fault: CutAfter) -> None:
        self._fault = fault
        self._left = fault.count
        self.text = ""

    def alter(self, data: bytes) -> bytes:
        passed = data[: self._left]
        self._left -= len(passed)
        if not self._left:
            self.last = self._fault.how
            self.is_over = True
            self.text = f"{self._fault}: done"
        return passed


# -- what is done to messages ---------------------------------------------------------------------


class Arrangement(Generic[T]):
    """Which messages of one direction go on, how often, and in which order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        """What was done since this was looked at last, in words; whoever looks clears it."""
        self._duplicate: Duplicate | None = None
        self._reorder: Reorder | None = None
        self._random = Random(0)
        self._number = 0
        self._held: list[T] = []
        self._since = 0.0
        self.drops_close = False
        """Whether close frames are not to be sent on."""

    @property
    def active(self) -> bool:
        """Whether anything is done here, or anything waits."""
        return self._duplicate is not None or self._reorder is not None or self.drops_close or bool(self._held)

    @property
    def waiting(self) -> int:
        """How many messages wait here."""
        return len(self._held)

    def begin(self, fault: Fault, now: float) -> list[T]:
        """A fault begins, in place of one that does the same; what that held goes on."""
        released: list[T] = []
        match fault:
            case Duplicate():
                self._duplicate = fault
                self._number = 0
            case Reorder():
                released = self.release()
                self._reorder = fault
                self._random = Random(fault.seed)
            case NoCloseFrame():
                self.drops_close = True
        return released

    def end(self, *, kind: type[Fault] | None = None) -> list[T]:
        """All faults end, or those of a kind; what waits goes on."""
        if kind in (None, Duplicate):
            self._duplicate = None
        if kind in (None, NoCloseFrame):
            self.drops_close = False
        if kind in (None, Reorder):
            self._reorder = None
            return self.release()
        return []

    def feed(self, message: T, now: float) -> list[T]:
        """A message was said: what goes on now, in order."""
        if self._reorder is None:
            return self._repeated(message)
        if not self._held:
            self._since = now
        self._held.append(message)
        if len(self._held) < self._reorder.window:
            return []
        held, self._held = self._held, []
        order = self._shuffled(len(held))
        self.done.append(f"messages arrive in the order {', '.join(str(at + 1) for at in order)}")
        return [again for at in order for again in self._repeated(held[at])]

    def due(self, now: float) -> list[T]:
        """What has waited long enough for others."""
        wake_at = self.wake_at
        return self.release() if wake_at is not None and now >= wake_at else []

    def release(self) -> list[T]:
        """Let go of what waits, as it came."""
        held, self._held = self._held, []
        return [again for message in held for again in self._repeated(message)]

    @property
    def wake_at(self) -> float | None:
        """When it has; None if nothing waits."""
        return self._since + self._reorder.hold if self._held and self._reorder is not None else None

    def _repeated(self, message: T) -> list[T]:
        fault = self._duplicate
        if fault is None:
            return [message]
        self._number += 1
        twice = self._number in fault.at if isinstance(fault.at, tuple) else self._number % (fault.every or 1) == 0
        if not twice:
            return [message]
        self.done.append(f"message {self._number} arrives twice")
        return [message, message]

    def _shuffled(self, number: int) -> list[int]:
        """An order in which no message is where it was: Sattolo's shuffle, which makes one cycle of all."""
        order = list(range(number))
        for at in range(number - 1, 0, -1):
            other = self._random.randrange(at)
            order[at], order[other] = order[other], order[at]
        return order
