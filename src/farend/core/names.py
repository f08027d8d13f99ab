"""Names that are mistyped, or known from elsewhere: what was probably meant.

Nothing of this runs until a name is not found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar

from farend.errors import WrongType

P = ParamSpec("P")
T = TypeVar("T")

KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "timeout": ("deadline", "within"),
    "deadline": ("within",),
    "within": ("deadline",),
    "seconds": ("within", "deadline"),
    "ssl": ("tls",),
    "ssl_context": ("tls",),
    "secure": ("tls",),
    "address": ("host",),
    "path": ("unix_path",),
    "limit": ("max_size",),
    "max_length": ("max_size",),
    "max_message_size": ("max_size",),
    "frame": ("framing",),
    "delimiter": ("framing",),
    "separator": ("framing",),
    "message": ("what", "payload"),
    "data": ("payload", "what"),
    "text": ("payload", "what"),
    "extra_headers": ("headers",),
    "additional_headers": ("headers",),
    "protocols": ("subprotocols",),
    "steps": ("script",),
    "scripts": ("script",),
}
"""What other libraries call an argument, and what farend calls it: the first that the function takes."""


def nearest(name: str, names: Iterable[str], known: Mapping[str, str] | None = None) -> str | None:
    """The one of `names` that `name` was probably meant to be: what it is elsewhere, or what is spelt nearly so."""
    from difflib import get_close_matches

    if known is not None and name in known:
        return known[name]
    return next(iter(get_close_matches(name, list(names), 1)), None)


def hint(name: str, names: Iterable[str], known: Mapping[str, str] | None = None) -> str:
    """The same, as the end of a sentence: `; did you mean 'expect'?`, or nothing.

    >>> hint("exepct", ["expect", "send"])
    "; did you mean 'expect'?"
    """
    near = nearest(name, names, known)
    return f"; did you mean {near!r}?" if near else ""


def hinted(function: Callable[P, T]) -> Callable[P, T]:
    """Have `function` answer a keyword that it does not take with the one that was probably meant.

    >>> hinted(lambda *, deadline: None)(timeout=3)
    Traceback (most recent call last):
    farend.WrongType: <lambda>() takes no timeout=; did you mean deadline=?
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except TypeError:
            told = _unknown(function, args, kwargs)
            if told is None:
                raise
        raise WrongType(told)

    return call


def _unknown(function: Callable[..., object], args: tuple[object, ...], keywords: Iterable[str]) -> str | None:
    """What to say of the first of the keywords that the function does not take; None where it takes all of them."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    taken = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.POSITIONAL_ONLY)]
    unknown = next((name for name in keywords if name not in taken), None)
    if unknown is None or any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    known = next((name for name in KEYWORDS.get(unknown, ()) if name in taken), None)
    near = known or nearest(unknown, taken)
    name = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
    return f"{name}() takes no {unknown}=" + (f"; did you mean {near}=?" if near else "")


class Hinting:
    """What says of an attribute that it does not have, which one was probably meant."""

    __slots__ = ()
    _synonyms: ClassVar[Mapping[str, str]] = {}
    """What other libraries call a method, and what it is called here."""

    if not TYPE_CHECKING:  # a type checker would take every misspelt name for something of type Any

        def __getattr__(self, name: str) -> object:
            own = type(self)
            told = "" if name.startswith("_") else hint(name, [one for one in dir(own) if one[0] != "_"], own._synonyms)
            article = "an" if own.__name__[0] in "AEIOU" else "a"
            raise AttributeError(f"{article} {own.__name__} has no {name!r}{told}", name=name, obj=None)
