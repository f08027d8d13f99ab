"""Every split of what far ends say: which there are, in which order they are tried, and the smallest that fails.

A stream of bytes may be cut anywhere on its way, and its messages may come together; whoever reads it right does
not notice. A test is played with each message alone first. What can change then is a set of places:
`cuts` inside of messages, and `joins` at their ends, behind which no cut is. So all splits are made of the same
two sets, and to shrink one is to leave places out (delta debugging, Zeller and Hildebrandt, 2002).

The search is a generator: it gives the split to play next, and is sent what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

Spot: TypeAlias = tuple[int, int]
"""The number of a stream, and a place in it: how many bytes are in front."""
Search: TypeAlias = Generator["Split", "Outcome", "Found"]

EDGE: Final = 3
"""Bytes at the two ends of a message in which cuts are tried first, where not all can be tried."""
SHRINKING: Final = 100
"""Runs after which the smallest split is small enough."""


@dataclass(frozen=True, slots=True)
class Split:
    """Where the bytes of all streams are cut: at the end of each message, but for `joins`, and at `cuts`.

    None stands for every place there is.
    """

    cuts: frozenset[Spot] | None = frozenset()
    joins: frozenset[Spot] | None = frozenset()

    def pieces(self, stream: int, begin: int, data: bytes) -> list[bytes]:
        """`data`, which is said at the place `begin` of a stream, cut."""
        if self.cuts is None:
            return [data[at : at + 1] for at in range(len(data))]
        places = sorted(at - begin for number, at in self.cuts if number == stream and begin < at < begin + len(data))
        return [data[left:right] for left, right in zip([0, *places], [*places, len(data)], strict=True)]

    def room(self, stream: int, at: int, size: int) -> int:
        """How many of the next `size` bytes, behind the place `at`, come in one piece."""
        if self.cuts is None:
            return min(size, 1)
        return min(
            (place - at for number, place in self.cuts if number == stream and at < place < at + size), default=size
        )

    def joined(self, stream: int, end: int) -> bool:
        """Whether the message that ends there comes together with the next one."""
        return self.joins is None or (stream, end) in self.joins


MESSAGE_BY_MESSAGE: Final = Split()
ALL_TOGETHER: Final = Split(joins=None)
BYTE_BY_BYTE: Final = Split(cuts=None)


@dataclass(slots=True)
class Stream:
    """What a far end said on one connection, as it was said when nothing was cut.

    `ends` has the end of each message. `opening` tells that the first one is a WebSocket's handshake. `joinable`
    tells whether messages can be made to come together.
    """

    name: str
    unit: str = "message"
    opening: bool = False
    joinable: bool = True
    data: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """One message more."""
        self.data += data
        self.ends.append(len(self.data))

    def message_at(self, place: int) -> tuple[int, int, int]:
        """The message that this place is in, or the end of: its number, from 0, its begin and its end."""
        number = next((number for number, end in enumerate(self.ends) if place <= end), len(self.ends) - 1)
        return number, self.ends[number - 1] if number else 0, self.ends[number]


class Outcome(NamedTuple):
    """What came of a run: what was said, and what the test raised."""

    streams: Sequence[Stream]
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Found:
    """What came of all runs. `played` of `possible` splits were played, and `shrinking` runs found the smallest.

    `error` is what the test raised with the smallest split that fails, `split`; with no split, it fails without
    any. `again` is what it raised when it was played once more without any.
    """

    streams: Sequence[Stream] = ()
    played: int = 0
    possible: int = 0
    split: Split | None = None
    error: BaseException | None = None
    again: BaseException | None = None
    shrinking: int = 0
    smallest: bool = True

    @property
    def said(self) -> int:
        """How many bytes the far ends said."""
        return sum(len(stream.data) for stream in self.streams)


def search(bound: int, may_go_on: Callable[[], bool] = lambda: True) -> Search:
    """Which split to play next, until one fails, or `bound` of them, or all, were played.

    `may_go_on` is asked while the smallest split is looked for.
    """
    streams, error = yield MESSAGE_BY_MESSAGE
    if error is not None:
        return Found(streams, error=error)
    splits, possible = _chosen(streams, bound)
    found = Found(streams, possible=possible)
    for split in splits:
        _, error = yield split
        found = replace(found, played=found.played + 1)
        if error is not None:
            found = replace(found, split=split, error=error)
            _, again = yield MESSAGE_BY_MESSAGE
            return replace(found, again=again) if again is not None else (yield from _shrunk(found, may_go_on))
    return found


def _chosen(streams: Sequence[Stream], bound: int) -> tuple[list[Split], int]:
    """The splits to play, the most telling first, and how many there are."""
    splits: list[Split] = []
    cuts = [spot for number, stream in enumerate(streams) for spot in _inside(number, stream)]
    if any(_ends(number, stream) for number, stream in enumerate(streams)):
        splits.append(ALL_TOGETHER)
    if cuts:
        splits.append(BYTE_BY_BYTE)
    possible = len(splits) + len(cuts)
    room = max(bound - len(splits), 0)
    splits += [Split(cuts=frozenset([spot])) for spot in _telling(cuts, streams, room)]
    return splits[:bound], possible


def _inside(number: int, stream: Stream) -> list[Spot]:
    """Every place inside of a message."""
    ends = set(stream.ends)
    return [(number, at) for at in range(1, len(stream.data)) if at not in ends]


def _ends(number: int, stream: Stream) -> list[Spot]:
    """The end of every message but the last."""
    return [(number, end) for end in stream.ends[:-1]] if stream.joinable else []


def _telling(cuts: list[Spot], streams: Sequence[Stream], room: int) -> list[Spot]:
    """As many of the cuts as there is room for: those near the ends of messages, then some in between."""
    if len(cuts) <= room:
        return cuts
    near: list[Spot] = []
    far: list[Spot] = []
    for spot in cuts:
        number, at = spot
        _, begin, end = streams[number].message_at(at)
        (near if min(at - begin, end - at) <= EDGE else far).append(spot)
    chosen = _spread(near, room)
    return chosen + _spread(far, room - len(chosen))


def _spread(cuts: list[Spot], room: int) -> list[Spot]:
    count = min(room, len(cuts))
    return [cuts[index * len(cuts) // count] for index in range(count)]


# -- the smallest ---------------------------------------------------------------------------------


def _shrunk(found: Found, may_go_on: Callable[[], bool]) -> Search:
    """Leave out of a split that fails what it fails without."""
    split = found.split
    assert split is not None
    if split.cuts is None:
        spots, make = [spot for number, one in enumerate(found.streams) for spot in _inside(number, one)], _with_cuts
    elif split.joins is None:
        spots, make = [spot for number, one in enumerate(found.streams) for spot in _ends(number, one)], _with_joins
    else:
        return found  # a single cut
    tried: set[frozenset[Spot]] = set()

    def fails(some: Iterable[Spot]) -> Generator[Split, Outcome, bool]:
        nonlocal found, spots
        chosen = frozenset(some)
        if chosen in tried or not found.smallest:
            return False
        if len(tried) >= SHRINKING or not may_go_on():
            found = replace(found, smallest=False)
            return False
        tried.add(chosen)
        found = replace(found, shrinking=found.shrinking + 1)
        _, error = yield make(chosen)
        if error is None:
            return False
        found = replace(found, split=make(chosen), error=error)
        spots = [spot for spot in spots if spot in chosen]
        return True

    if len(spots) == 1:  # then it is the same split, written otherwise
        return replace(found, split=make(frozenset(spots)))
    if (yield from fails(spots[:1])) or not (yield from fails(spots)):
        return found
    parts = 2
    while len(spots) > 1:
        size = -(-len(spots) // parts)
        halves = [spots[at : at + size] for at in range(0, len(spots), size)]
        for part in halves:
            if (yield from fails(part)):
                parts = 2
                break
        else:
            for part in halves:
                if (yield from fails(spot for spot in spots if spot not in part)):
                    parts = max(parts - 1, 2)
                    break
            else:
                if parts >= len(spots):
                    break
                parts = min(parts * 2, len(spots))
    return found


def _with_cuts(spots: frozenset[Spot]) -> Split:
    return Split(cuts=spots)


def _with_joins(spots: frozenset[Spot]) -> Split:
    return Split(joins=spots)
