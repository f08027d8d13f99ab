"""Patterns for places in JSON: `$.id`, `$.orders[*].ts`, `$..nonce`.

The notation is RFC 9535's, of which there is what names a place: members, indices, `*` for any of them, `..` for
any depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from farend.core.messages import printed
from farend.errors import InvalidArguments, WrongType

_PART: Final = re.compile(
    r"""(?P<deep>\.\.)?                       # at any depth
        (?: \.?(?P<name>[^\W\d][\w-]*)        # .name, ..name
          | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]   # ['a name']
          | \[(?P<index>\d+)\]
          | \.?(?P<any>\*) | \[(?P<every>\*)\] )""",
    re.VERBOSE,
)
_STEP: Final = r"(?:\.[^.\[]+|\[(?:'(?:[^'\\]|\\.)*'|\d+)\])"
"""One step in a path as differences print it."""


class JsonPath:
    """A pattern for places in JSON.

    >>> JsonPath("$.orders[*].ts").matches("$.orders[3].ts"), JsonPath("$..ts").matches("$.ts")
    (True, True)

    Raises `InvalidArguments` where `text` is no path.
    """

    __slots__ = ("_pattern", "text")

    def __init__(self, text: str) -> None:
        __tracebackhide__ = True
        if not isinstance(text, str):
            raise WrongType(f"a JSON path is text such as '$.id', not {printed(text)}")
        if not text.startswith("$"):
            raise InvalidArguments(f"{text!r} is no JSON path: write {'$.' + text.lstrip('.')!r}")
        self.text = text
        self._pattern = re.compile(r"\$" + "".join(_parts(text)))

    def matches(self, path: str) -> bool:
        """Whether the place that a difference names so is one of those meant."""
        return self._pattern.fullmatch(path) is not None

    def __repr__(self) -> str:
        return f"JsonPath({self.text!r})"


def _parts(text: str) -> Iterable[str]:
    __tracebackhide__ = True
    at = 1
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or (part["name"] and not part["deep"] and text[at] != "."):
            raise InvalidArguments(
                f"{text!r} is no JSON path (from {text[at:]!r} on): "
                "there are $.name, $['a name'], $.list[0], $.list[*], $..name"
            )
        at = part.end()
        if part["deep"]:
            yield f"{_STEP}*"
        if part["any"] or part["every"]:
            yield _STEP
        elif part["index"]:
            yield rf"\[{int(part['index'])}\]"
        else:
            yield re.escape(member("", part["name"] or part["quoted"]))


def member(path: str, key: str) -> str:
    """The place of an object's member, as differences print it."""
    return f"{path}.{key}" if str(key).isidentifier() else f"{path}[{key!r}]"


@lru_cache(maxsize=256)
def json_path(text: str) -> JsonPath:
    """The pattern that the text spells."""
    return JsonPath(text)


def name_of(path: str) -> str:
    """The name of the member that a place is: `id` for `$.orders[3].id`; the nearest around an element of a list."""
    found = re.findall(r"\.([^.\[]+)|\['((?:[^'\\]|\\.)*)'\]", path)
    return (found[-1][0] or found[-1][1]) if found else ""
