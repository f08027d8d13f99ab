"""What every far end starts from: the deadline of waits, the factor for slow machines, two limits.

Set by the environment (`FAREND_DEADLINE`, `FAREND_SCALE`, …), then by pytest's options, then by
`deadline=` of a far end, then by `within=` of a step; what comes later wins. The scale multiplies all
deadlines.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from farend.errors import InvalidArguments, WrongType

DEADLINE: Final = 5.0
"""Seconds that a wait may last where nobody says otherwise."""
MAX_SIZE: Final = 16 << 20
"""The size of the largest message, in bytes, where nobody says otherwise."""
TAIL: Final = 12
"""Lines of a transcript that lead up to a failure, where nobody says otherwise."""


@dataclass
class Settings:
    """`deadline` in seconds, None for no end; `scale` is a factor; `max_size` is in bytes, `tail` in lines.

    `asked` tells whether somebody has set the deadline: a dialect's own default gives way then.
    """

    deadline: float | None = DEADLINE
    scale: float = 1.0
    max_size: int = MAX_SIZE
    tail: int = TAIL
    asked: bool = False

    def take(self, name: str, text: str, source: str) -> None:
        """Set one of them as text says, which came from `source`. Raises `InvalidArguments`."""
        setattr(self, name, PARSERS[name](text, source))
        self.asked = self.asked or name == "deadline"

    def effective(self, deadline: float | str | None = "default") -> float | None:
        """The deadline to use where a far end was given this one, in seconds."""
        own = self.deadline if deadline == "default" else checked_deadline(deadline)
        return None if own is None else own * self.scale


def checked_deadline(value: float | str | None) -> float | None:
    """`value`, or an exception that says what a deadline can be."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"deadline= takes a number of seconds, or None for no end, not {value!r}")
    if not 0 < value < float("inf"):
        raise InvalidArguments(f"deadline={value!r}: a deadline is a number of seconds above 0, or None for no end")
    return float(value)


def parsed_deadline(text: str, source: str) -> float | None:
    """A deadline from the command line, an ini file or the environment: seconds, or `none`."""
    if text.strip().lower() == "none":
        return None
    try:
        return checked_deadline(float(text))
    except ValueError:
        raise InvalidArguments(f"{source} takes a number of seconds above 0, or 'none', not {text!r}") from None


def parsed_scale(text: str, source: str) -> float:
    """A factor above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InvalidArguments(f"{source} takes a factor above 0, such as 3, not {text!r}")
    return value


def checked_size(value: int) -> int:
    """`value`, or an exception that says what a size can be."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WrongType(f"max_size= takes a number of bytes, not {value!r}")
    return value


def parsed_number(text: str, source: str) -> int:
    """A whole number above 0."""
    value = int(text) if text.strip().isdecimal() else 0
    if value < 1:
        raise InvalidArguments(f"{source} takes a whole number above 0, not {text!r}")
    return value


PARSERS: Final[dict[str, Callable[[str, str], Any]]] = {
    "deadline": parsed_deadline,
    "scale": parsed_scale,
    "max_size": parsed_number,
    "tail": parsed_number,
}


def from_environment() -> Settings:
    """The settings that the environment asks for."""
    settings = Settings()
    for name in PARSERS:
        source = f"FAREND_{name.upper()}"
        if text := os.environ.get(source):
            settings.take(name, text, source)
    return settings


settings: Final = from_environment()
