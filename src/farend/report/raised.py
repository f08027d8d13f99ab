"""What the program under test raised, in a line: which exception, and where."""

from __future__ import annotations

import os
import sysconfig
from functools import cache
from types import TracebackType

from farend.report.line import fitted, visible

TEXT = 120
"""Characters of an exception's own text."""


def raised(error: BaseException) -> str:
    """The exception, with its text, and the line of the program's own code that it came from."""
    first, more = _first(error)
    kind = type(first)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    text = " ".join(str(first).split())
    where = _where(first.__traceback__) or _where(error.__traceback__)
    return "".join(
        (visible(name), f" ({fitted(text, TEXT)})" if text else "", where, f" (and {more:,} more)" if more else "")
    )


def _first(error: BaseException) -> tuple[BaseException, int]:
    """The first exception of a group, and how many others there are; any other exception is itself."""
    more = 0
    while isinstance(error, BaseExceptionGroup):
        more += len(error.exceptions) - 1
        error = error.exceptions[0]
    return error, more


def _where(traceback: TracebackType | None) -> str:
    """The innermost line that is neither a library's nor Python's own nor farend's."""
    where = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if _is_own(code.co_filename):
            where = f" at {_short(code.co_filename)}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
    return where


def _is_own(file: str) -> bool:
    parts = file.replace("\\", "/").split("/")
    foreign = file.startswith("<") or "site-packages" in parts or "dist-packages" in parts
    return not foreign and not os.path.abspath(file).startswith(_libraries())


@cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    standard = {paths["stdlib"], paths["platstdlib"], os.path.dirname(os.__file__)}
    farend = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return tuple(path + os.sep for path in (*standard, farend))


def _short(file: str) -> str:
    here = os.getcwd() + os.sep
    return file.removeprefix(here) if file.startswith(here) else os.path.basename(file)
