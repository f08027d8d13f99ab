"""What the user says is under way, where farend cannot know it: `with busy("the price feed"): ...`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol
from weakref import WeakSet

from farend.core.messages import printed
from farend.errors import WrongType

_under_way: Final[dict[int, str]] = {}


class Sleeper(Protocol):
    """What may sleep until something is over."""

    def wake(self) -> None: ...


sleepers: Final[WeakSet[Sleeper]] = WeakSet()
"""The loops that have ever been watched: to wake one for nothing does no harm."""


class Busy:
    """Something that is under way until `done()`, or until the end of a `with`. Any thread may end it."""

    def __init__(self, what: str) -> None:
        self._what = what
        _under_way[id(self)] = what

    def done(self) -> None:
        """It is over. A second time does nothing."""
        if _under_way.pop(id(self), None) is not None:
            for sleeper in tuple(sleepers):
                sleeper.wake()

    def __enter__(self) -> Busy:
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def __repr__(self) -> str:
        return f"<Busy: {self._what}>"


def busy(what: str) -> Busy:
    """Declare that `what` is under way, so that nothing is settled until it is `done()`.

    For what farend cannot see: a thread made with `threading.Thread`, a reply of another process. What it
    sets off on the loop has to be scheduled before it is done. Raises `WrongType`.

    >>> with busy("the import of prices"):
    ...     pass
    """
    if not isinstance(what, str) or not what:
        raise WrongType(f"busy() takes a few words that say what is under way, not {printed(what)}")
    return Busy(what)


def under_way() -> bool:
    """Whether anything is."""
    return bool(_under_way)


def reasons() -> Iterator[str]:
    """What is."""
    for what in tuple(_under_way.values()):
        yield f"declared busy: {what}"
