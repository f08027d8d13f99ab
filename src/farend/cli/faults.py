"""Faults, as the command line writes them: `latency:0.05`, `cut-after:100,how=end,to=far`."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields
from typing import Any, Final

import click

from farend.core.faults import FAULTS, Fault
from farend.errors import UsageError


def _name(fault: type[Fault]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", fault.__name__).lower()


NAMES: Final = {_name(fault): fault for fault in FAULTS}


def parsed(text: str) -> Fault:
    """The fault that a text writes.

    >>> parsed("latency:0.05,jitter=0.01,to=both")
    Latency(seconds=0.05, jitter=0.01, seed=0, to='both')
    >>> parsed("segments:1+2")
    Segments(sizes=(1, 2), gap=0.0, to='near')

    Raises `click.BadParameter` for what is none; the text says what there is.
    """
    name, colon, rest = text.partition(":")
    kind = NAMES.get(name.strip())
    if kind is None:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
        raise click.BadParameter(f"there is no fault called {name!r}; {hint}")
    arguments: list[Any] = []
    options: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if equals:
            options[key.strip()] = _value(key.strip(), value.strip())
        else:
            arguments.append(_value(_at(kind, len(arguments)), part.strip()))
    try:
        return kind(*arguments, **options)
    except TypeError as error:
        if not isinstance(error, UsageError):
            raise click.BadParameter(f"{text!r}: {name} takes {_takes(kind)}") from None
        raise click.BadParameter(str(error)) from None
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def _at(kind: type[Fault], index: int) -> str:
    return kind.__match_args__[index] if index < len(kind.__match_args__) else ""


def _takes(kind: type[Fault]) -> str:
    """The arguments of a fault: those that may be written without their names, and the others."""
    names = [one.name for one in fields(kind) if one.name != "_"]  # type: ignore[arg-type]
    return ", ".join(name if name in kind.__match_args__ else f"{name}=" for name in names)


def _value(name: str, text: str) -> Any:
    if name == "data":
        return text.encode()
    if "+" in text.strip("+"):
        return tuple(_value("", part) for part in text.split("+"))
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


class FaultParameter(click.ParamType):  # type: ignore[type-arg]
    """A fault, as an option takes it."""

    name = "fault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fault:
        """The fault."""
        return value if isinstance(value, Fault) else parsed(value)


def help_text() -> str:
    """The faults, with what each takes, as `--help` lists them."""
    width = max(map(len, NAMES))
    return "\n".join(f"  {name:<{width}}  {_takes(kind)}" for name, kind in NAMES.items())
