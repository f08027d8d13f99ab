"""Where one is in a script: a position in a list of steps, and in the groups one is inside of.

A `Line` walks along one list of steps. Inside a group it has a `child`, which has lines of its own.
Two things can be asked: which steps could take the next message (`heads`), and whether all that is
left may be left out (`skippable`). Two things can be done: take a head, and advance over the steps
that the far end plays by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from farend.core.commands import Abort, Close, Impair, Send
from farend.core.steps import (
    AnyOrder,
    Expect,
    ExpectReply,
    Optional,
    Pause,
    Receiving,
    Repeat,
    Reply,
    Step,
    acts_first,
    branch_name,
    forever,
    walk,
)

ActingStep: TypeAlias = Send | Close | Abort | Impair | Reply | Pause
Play: TypeAlias = Callable[["ActingStep", "Line"], bool]
"""Plays a step; False when the line has to wait before it."""
Owed: TypeAlias = Callable[[ExpectReply], "tuple[Step, ...]"]
"""The steps that stand for an `ExpectReply`, now that the last message is known."""

_ACTS = frozenset({Send, Close, Abort, Impair, Reply, Pause})


class Head(NamedTuple):
    """A step that could take the next message, and how to get there: each line, its place, its child."""

    step: Receiving
    route: Route

    def take(self) -> None:
        """Go there, and one step on."""
        for line, at, child in self.route:
            line.at, line.child, line.touched = at, child, True
        line.at += 1


class Left(NamedTuple):
    """What is left of a list of steps inside of a group: those from `at` on; `inside` has more of the first of them.

    `label` tells which branch it is, or which round; it may be empty.
    """

    label: str
    steps: Sequence[Step]
    at: int
    inside: tuple[Left, ...]


class Line:
    """A position in a list of steps, which may grow at its end."""

    __slots__ = ("at", "child", "resume_at", "steps", "touched")

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.at = 0
        self.child: Group | None = None
        self.touched = False
        self.resume_at: float | None = None

    @property
    def finished(self) -> bool:
        return self.child is None and self.at >= len(self.steps)

    def heads(self, route: Route = ()) -> Iterator[Head]:
        """The steps that could take the next message, the nearest first."""
        at = self.at
        if self.child is not None:
            yield from self.child.heads((*route, (self, at, self.child)))
            if not self.child.skippable:
                return
            at += 1
        while at < len(self.steps):
            step = self.steps[at]
            group = _entered(step)
            if group is None:
                if type(step) not in _ACTS and not isinstance(step, ExpectReply):
                    yield Head(step, (*route, (self, at, None)))  # type: ignore[arg-type]
                return
            yield from group.heads((*route, (self, at, group)))
            if not group.skippable:
                return
            at += 1

    @property
    def skippable(self) -> bool:
        """Whether all that is left may be left out."""
        at = self.at
        if self.child is not None:
            if not self.child.skippable:
                return False
            at += 1
        while at < len(self.steps):
            group = _entered(self.steps[at])
            if group is None or not group.skippable:
                return False
            at += 1
        return True

    @property
    def stuck(self) -> bool:
        """Whether it stands before something that is the far end's to do: it pauses, or cannot send."""
        if self.child is not None:
            return self.child.stuck
        return self.at < len(self.steps) and type(self.steps[self.at]) in _ACTS

    @property
    def opens_later(self) -> bool:
        """Whether the far end, going on by itself, comes to a step that could take a message."""
        if self.child is None:
            return self.stuck and _hears(self.steps[self.at :])
        return self.child.opens_later or (self.child.stuck and _hears(self.steps[self.at + 1 :]))

    def advance(self, play: Play, owed: Owed) -> None:
        """Play what the far end does by itself, up to where something has to come."""
        while True:
            if self.child is None:
                if self.at >= len(self.steps):
                    return
                step = self.steps[self.at]
                kind = type(step)
                if kind is Expect:
                    return
                if kind in _ACTS:
                    if not play(step, self):  # type: ignore[arg-type]
                        return
                    self.at += 1
                    self.touched = True
                    continue
                self.child = Once(Line(owed(step))) if isinstance(step, ExpectReply) else _entered(step)
                if self.child is None:
                    return
            self.child.advance(play, owed)
            if not self.child.finished:
                return
            self.child = None
            self.at += 1
            self.touched = True

    def path(self) -> str:
        """The way to the current step through groups, such as `2, branch b, 1`; empty at the top."""
        if self.child is None:
            return str(self.at + 1)
        return f"{self.at + 1}{self.child.path()}"

    def inside(self) -> tuple[Left, ...]:
        """What is left of the group that is played; empty where none is."""
        return () if self.child is None else self.child.left()

    def left(self, label: str = "") -> Left:
        """What is left of a line inside of a group, as it is now."""
        return Left(label, self.steps, self.at, self.inside())


class Branches:
    """An `AnyOrder` being played."""

    __slots__ = ("lines",)

    def __init__(self, step: AnyOrder) -> None:
        self.lines = [Line(branch) for branch in step.branches]

    @property
    def finished(self) -> bool:
        return all(line.finished for line in self.lines)

    @property
    def skippable(self) -> bool:
        return all(line.skippable for line in self.lines)

    @property
    def stuck(self) -> bool:
        return any(line.stuck for line in self.lines)

    @property
    def opens_later(self) -> bool:
        return any(line.opens_later for line in self.lines)

    def heads(self, route: Route) -> Iterator[Head]:
        for line in self.lines:
            yield from line.heads(route)

    def advance(self, play: Play, owed: Owed) -> None:
        for line in self.lines:
            line.advance(play, owed)

    def path(self) -> str:
        index, line = next(((i, x) for i, x in enumerate(self.lines) if not x.finished), (0, self.lines[0]))
        return f", {branch_name(index)}, step {line.path()}"

    def left(self) -> tuple[Left, ...]:
        return tuple(line.left(branch_name(index)) for index, line in enumerate(self.lines) if not line.finished)


class Rounds:
    """A `Repeat` being played."""

    __slots__ = ("done", "line", "step")

    def __init__(self, step: Repeat, done: int = 0) -> None:
        self.step = step
        self.done = done
        self.line = Line(step.steps)

    @property
    def finished(self) -> bool:
        return self.done >= self.step.times

    @property
    def skippable(self) -> bool:
        if self.step.times == forever and (not self.line.touched or acts_first(self.step)):
            return True  # nobody can be asked to wait for the end of what has none
        return self.line.skippable and (self._is_last or Line(self.step.steps).skippable)

    @property
    def _is_last(self) -> bool:
        return self.done + 1 >= self.step.times

    @property
    def stuck(self) -> bool:
        # What has no end, and goes on by itself, leads to nothing behind it; what awaits its next round does.
        return self.line.stuck and not (self.step.times == forever and acts_first(self.step))

    @property
    def opens_later(self) -> bool:
        return self.line.opens_later or (self.line.stuck and not self._is_last and _hears(self.step.steps))

    def heads(self, route: Route) -> Iterator[Head]:
        yield from self.line.heads(route)
        if self.line.touched and self.line.skippable and not self._is_last:
            # The rest of this round may be left out, so the next round may begin.
            *above, (parent, at, _) = route
            following = Rounds(self.step, self.done + 1)
            yield from following.line.heads((*above, (parent, at, following)))

    def advance(self, play: Play, owed: Owed) -> None:
        while not self.finished:
            self.line.advance(play, owed)
            if not self.line.finished:
                return
            self.done += 1
            self.line = Line(self.step.steps)

    def path(self) -> str:
        return f", round {self.done + 1}, step {self.line.path()}"

    def left(self) -> tuple[Left, ...]:
        if not self.done and not self.line.touched:
            return (self.line.left(),)
        of = "" if self.step.times == forever else f" of {self.step.times:,}"
        return (self.line.left(f"round {self.done + 1:,}{of}"),)


class Once:
    """An `Optional` being played, or the steps that stand for an `ExpectReply`."""

    __slots__ = ("line", "may_be_left_out")

    def __init__(self, line: Line, may_be_left_out: bool = False) -> None:
        self.line = line
        self.may_be_left_out = may_be_left_out

    @property
    def finished(self) -> bool:
        return self.line.finished

    @property
    def skippable(self) -> bool:
        return (self.may_be_left_out and not self.line.touched) or self.line.skippable

    @property
    def stuck(self) -> bool:
        return self.line.stuck

    @property
    def opens_later(self) -> bool:
        return self.line.opens_later

    def heads(self, route: Route) -> Iterator[Head]:
        yield from self.line.heads(route)

    def advance(self, play: Play, owed: Owed) -> None:
        self.line.advance(play, owed)

    def path(self) -> str:
        return f", step {self.line.path()}"

    def left(self) -> tuple[Left, ...]:
        return (self.line.left(),)


Group: TypeAlias = Branches | Rounds | Once
Route: TypeAlias = tuple[tuple[Line, int, Group | None], ...]


def _hears(steps: Iterable[Step]) -> bool:
    return any(isinstance(step, Expect | ExpectReply) for step in walk(steps))


def _entered(step: Step) -> Group | None:
    """What plays a group; None for any other step."""
    enter = _ENTER.get(type(step))
    return None if enter is None else enter(step)


_ENTER: Final[dict[type, Callable[[Any], Group]]] = {
    AnyOrder: Branches,
    Repeat: Rounds,
    Optional: lambda step: Once(Line(step.steps), may_be_left_out=True),
}
"""How a group is entered."""
