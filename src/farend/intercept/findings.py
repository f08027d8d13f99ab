"""What can go wrong with a mocked library, as data."""

from __future__ import annotations

from dataclasses import dataclass

from farend.core.findings import Finding


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Unmocked(Finding):
    """A call that no session has a step for: `call` as it was written, and `why` it has none."""

    call: str
    why: str
    hint: str = ""
    paste: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.call} was not scripted: {self.why}."

    @property
    def advice(self) -> str:
        return self.hint

    @property
    def lines(self) -> tuple[str, ...]:
        return self.paste


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Unused(Finding):
    """Required steps of a session that no call used; `steps` tells each, with where it was written."""

    steps: tuple[str, ...]
    why: str

    @property
    def sentence(self) -> str:
        number = len(self.steps)
        return f"{'1 required step was' if number == 1 else f'{number:,} required steps were'} not used: {self.why}."

    @property
    def advice(self) -> str:
        return "A step that need not be used is written with required=False. Not used:"

    @property
    def lines(self) -> tuple[str, ...]:
        return shortened(self.steps)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Unasserted(Finding):
    """Interactions that no assertion spoke of; `assertions` are the lines that would have."""

    assertions: tuple[str, ...]

    @property
    def sentence(self) -> str:
        number = len(self.assertions)
        return f"{'1 interaction was' if number == 1 else f'{number:,} interactions were'} not asserted."

    @property
    def advice(self) -> str:
        return "Behind the block, in this order:"

    @property
    def lines(self) -> tuple[str, ...]:
        return shortened(self.assertions)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WrongAssertion(Finding):
    """An assertion that names another interaction than the next one. `next_line` would have been right."""

    asserted: str
    why: str
    next_line: tuple[str, ...] = ()
    hint: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.asserted} does not hold: {self.why}."

    @property
    def advice(self) -> str:
        return " ".join(filter(None, (self.hint, "What would hold here:" if self.next_line else "")))

    @property
    def lines(self) -> tuple[str, ...]:
        return self.next_line


MOST = 40
"""Lines that are told; of more, the first ones."""


def shortened(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines, or the first of them and how many more there are."""
    return lines if len(lines) <= MOST else (*lines[:MOST], f"# … and {len(lines) - MOST:,} more")
