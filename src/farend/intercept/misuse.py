"""What is easily written wrong around the mocks, and the sentence that puts it right."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from farend.core.messages import printed
from farend.core.names import misnamed
from farend.errors import MissingAttribute, WrongType

F = TypeVar("F", bound=Callable[..., Any])


def check_call(call: str, positional: Sequence[object], unknown: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise for arguments that have to be named, and for names that are none."""
    __tracebackhide__ = True
    names = list(known)
    if positional:
        first = f"{names[0]}={printed(positional[0])}" if names else ""
        raise WrongType(
            f"{call}() takes what it takes by name: write {call}({first})"
            if names
            else f"{call}() takes nothing, and was given {printed(positional[0])}"
        )
    if unknown:
        raise misnamed(call, unknown, names, tell=True)


def block(function: F) -> F:
    """For a function that gives a block: without its parentheses, it says that they are missing."""
    return _Uncalled(function)  # type: ignore[return-value]


class _Uncalled:
    """The function, which is no block before it is called."""

    def __init__(self, function: Callable[..., Any], spelling: str = "") -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._spelling = spelling or f"farend.{function.__name__}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return _Uncalled(self._function.__get__(instance, owner), f"….{self._function.__name__}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return self._function(*args, **kwargs)

    def __enter__(self) -> NoReturn:
        __tracebackhide__ = True
        raise WrongType(f"{self._spelling} is a function, and gives the block: write `with {self._spelling}():`")

    def __exit__(self, *error: object) -> None:
        """Never reached: `__enter__` raises."""

    async def __aenter__(self) -> NoReturn:
        __tracebackhide__ = True
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        """Never reached: `__aenter__` raises."""


class Misspelt:
    """An attribute that is not there, and is often written: it says what is meant."""

    def __init__(self, name: str, meant: str) -> None:
        self._text = f"has no {name!r}: write {{}}.{meant}"

    def __get__(self, instance: Any, owner: type | None = None) -> NoReturn:
        __tracebackhide__ = True
        spelling = getattr(instance, "spelling", "mock")
        raise MissingAttribute(f"{spelling} {self._text.format(spelling)}")


def no_async_block(spelling: str) -> NoReturn:
    """For `async with` where a plain `with` is meant."""
    __tracebackhide__ = True
    raise WrongType(f"the block is a plain `with`, in async tests as well: write `with {spelling}:`")
