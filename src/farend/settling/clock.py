"""The loop's clock. It stands still while the test waits in one of farend's calls, and can be put forward.

While it stands still, only time in which the loop really had nothing to do counts. So whether a timer is
due within half a second never depends on how busy the machine is.
"""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """Stands in for `loop.time`; `real` is the loop's own."""

    __slots__ = ("_ahead", "_real", "frozen")

    def __init__(self, real: Callable[[], float]) -> None:
        self.begin(real)

    def begin(self, real: Callable[[], float]) -> None:
        """Stand in for `real` from now on."""
        self._real = real
        self._ahead = 0.0
        self.frozen: float | None = None
        """The time at which it stands; None while it goes."""

    def time(self) -> float:
        """The time for all on the loop, in seconds."""
        return self._real() + self._ahead if self.frozen is None else self.frozen

    @property
    def ahead(self) -> float:
        """How far it is before the loop's own clock, in seconds."""
        return self.time() - self._real()

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self.frozen is not None

    def freeze(self) -> float:
        """Stand still, and say what time it is."""
        if self.frozen is None:
            self.frozen = self._real() + self._ahead
        return self.frozen

    def thaw(self) -> None:
        """Go on from where it stood."""
        if self.frozen is not None:
            self._ahead = self.frozen - self._real()
            self.frozen = None

    def let_pass(self, seconds: float) -> None:
        """The loop had nothing to do for so long."""
        if self.frozen is not None:
            self.frozen += seconds

    def put_forward(self, to: float) -> None:
        """Make it this time; never goes back."""
        self.frozen = max(self.freeze(), to)
