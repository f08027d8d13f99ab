"""Names that are mistyped, or known from elsewhere: what was probably meant.

Nothing of this runs until a name is not found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Never, ParamSpec, TypeVar

from farend.errors import WrongType

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

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
    "return_value": ("returns",),
    "returning": ("returns",),
    "side_effect": ("raises",),
    "error": ("raises",),
    "optional": ("required",),
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

    It puts a call in between; what is called for every step of a script is `refusing` instead, and says
    `raise misnamed(…)` of what it does not know.

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
            taken, takes_all = _taken(function)
            if takes_all or all(name in taken for name in kwargs):
                raise
        name = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
        raise misnamed(name, kwargs, taken)

    return call


def misnamed(
    call: str, keywords: Iterable[str], taken: Callable[..., object] | Collection[str], *, tell: bool = False
) -> WrongType:
    """The exception for the first of the keywords that is not `taken`: by these names, or by this function.

    With `tell`, it lists what is taken where nothing is near.

    >>> str(misnamed("new_session", ["url"], ["uri", "headers"]))
    'new_session() takes no url=; did you mean uri=?'
    """
    names = _taken(taken)[0] if callable(taken) else list(taken)
    wrong = next(name for name in keywords if name not in names)
    known = next((name for name in KEYWORDS.get(wrong, ()) if name in names), None)
    near = known or nearest(wrong, names)
    hint = f"; did you mean {near}=?" if near else ""
    if tell and not near:
        hint = f"; it takes {', '.join(f'{name}=…' for name in names) or 'nothing'}"
    return WrongType(f"{call}() takes no {wrong}={hint}")


def refusing(function: F) -> F:
    """Have a function that takes something only to refuse it (`**unknown: Never`) not offer that in its signature.

    >>> import inspect
    >>> @refusing
    ... def pause(seconds: float, **unknown: Never) -> None: ...
    >>> print(inspect.signature(pause))
    (seconds: 'float') -> 'None'
    """
    import inspect

    signature = inspect.signature(function)
    offered = [one for one in signature.parameters.values() if one.annotation not in (Never, "Never")]
    function.__signature__ = signature.replace(parameters=offered)  # type: ignore[attr-defined]
    return function


def _taken(function: Callable[..., object]) -> tuple[list[str], bool]:
    """The keywords that a function takes, and whether it takes all others, too."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    unnamed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return (
        [one.name for one in parameters if one.kind not in unnamed and one.name != "self"],
        any(one.kind is one.VAR_KEYWORD for one in parameters),
    )


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
