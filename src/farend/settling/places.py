"""Where in the user's code something is, in few words: `app.py:33 (echo)`."""

from __future__ import annotations

import functools
import os
import sysconfig
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

_INSTALLED: Final = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("purelib", "platlib")})
_STANDARD: Final = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})
_OURS: Final = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep


@functools.lru_cache(1024)
def is_users(filename: str) -> bool:
    """Whether a file is the user's own: no library's, and not farend's."""
    path = os.path.realpath(filename)
    return not path.startswith((*_INSTALLED, *_STANDARD, _OURS)) and not filename.startswith("<frozen")


@functools.lru_cache(1024)
def is_a_librarys(filename: str) -> bool:
    """Whether a file is a library's that the user has installed, and not farend's."""
    path = os.path.realpath(filename)
    return path.startswith(_INSTALLED) and not path.startswith(_OURS)


@functools.lru_cache(1024)
def is_ours(filename: str) -> bool:
    """Whether a file is farend's."""
    return os.path.realpath(filename).startswith(_OURS)


def place(code: CodeType, line: int | None) -> str:
    """File, line and function."""
    return f"{os.path.basename(code.co_filename)}:{line or code.co_firstlineno} ({code.co_qualname})"


def place_of_function(function: Callable[..., Any]) -> str:
    """Where a function is written; partials and context.run(function) are looked into."""
    seen: Any = function
    while isinstance(seen, functools.partial):
        inner = [one for one in seen.args if callable(one) and not isinstance(one, type)]
        ours = getattr(getattr(seen.func, "__code__", None), "co_filename", None)
        seen = inner[-1] if inner and (ours is None or not is_users(ours)) else seen.func
    code = getattr(seen, "__code__", None)
    if isinstance(code, CodeType):
        return place(code, None)
    name, module = getattr(seen, "__qualname__", None), getattr(seen, "__module__", None)
    return repr(seen) if name is None else f"{module}.{name}" if module else name
