"""What may come: a matcher answers with a difference, and a match is no difference.

`matcher(value)` is the one door: plain values, types, regular expressions, functions and anything
with an `==` of its own (dirty-equals) become matchers there. They combine with `&`, `|` and `~`.
"""

from __future__ import annotations

import copy
import inspect
import json as json_module
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from farend.core.messages import Message, Ping, Pong, printed
from farend.errors import ScriptError, WrongType

Kind = Literal[
    "value", "text", "bytes", "json", "not json", "pattern", "predicate", "type", "error", "not", "choice", "absent"
]


@dataclass(frozen=True, slots=True)
class Change:
    """One place where two JSON values differ. `path` is like `$.orders[0].id`.

    `raised` tells what the comparison itself raised; mostly it is empty.
    """

    path: str
    what: Literal["changed", "missing", "unexpected"]
    expected: object = None
    got: object = None
    raised: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Why a message does not match. Reports are made from it."""

    kind: Kind
    expected: object
    got: object
    changes: tuple[Change, ...] = ()
    detail: str = ""
    parts: tuple[Difference, ...] = ()

    @property
    def raised(self) -> bool:
        """Whether the comparison itself failed: a predicate or an `==` of the test's raised."""
        return bool(self.failure)

    @property
    def failure(self) -> str:
        """What was raised where the comparison itself failed; empty where it did not."""
        if self.kind == "error":
            return self.detail or "comparing failed"
        inside = [*(part.failure for part in self.parts), *(change.raised for change in self.changes)]
        return next(filter(None, inside), "")

    @property
    def weight(self) -> float:
        """How far away the message is: 0 is near, 1 is another thing altogether."""
        if self.parts:
            return min(part.weight for part in self.parts)
        if self.kind == "json":
            return min(1.0, len(self.changes) / (1 + _leaves(self.expected)))
        if self.kind in ("text", "bytes"):
            return 1 - _likeness(self.expected, self.got)
        return 1.0


class Matcher:
    """The base of all matchers: override `difference` and `describe`."""

    __slots__: tuple[str, ...] = ()

    def difference(self, got: object) -> Difference | None:
        """None where `got` matches, and why it does not otherwise."""
        raise NotImplementedError

    def describe(self) -> str:
        """What this expects, on one line."""
        raise NotImplementedError

    def matches(self, got: object) -> bool:
        """Whether `got` is what this expects."""
        return self.difference(got) is None

    def __and__(self, other: object) -> Matcher:
        return Both(self, matcher(other))

    def __or__(self, other: object) -> Matcher:
        return Either(self, matcher(other))

    def __invert__(self) -> Matcher:
        return Not(self)

    def __bool__(self) -> bool:
        raise WrongType("combine matchers with & | ~, not with and/or/not")

    def __repr__(self) -> str:
        return self.describe()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(type(self))

    def _key(self) -> tuple[object, ...]:
        # A class of the test's own may have no slots, and keep what it has in its dictionary.
        return (*(getattr(self, name) for name in self.__slots__), *getattr(self, "__dict__", {}).items())


class HasEquals(Protocol):
    """What compares itself with messages, as dirty-equals' instances do."""

    def equals(self, other: Any, /) -> bool:
        """Whether `other` is what is expected."""
        ...


Expected: TypeAlias = (
    Message
    | bytearray
    | memoryview
    | Matcher
    | re.Pattern[str]
    | re.Pattern[bytes]
    | type
    | Callable[[Any], object]
    | HasEquals
)
"""What can be expected. At run time it may be anything with an `==` of its own that a message can be equal to."""


class Anything(Matcher):
    """Any message at all."""

    __slots__ = ()

    def difference(self, got: object) -> Difference | None:
        return None

    def describe(self) -> str:
        return "anything"


class Equal(Matcher):
    """A message equal to `value`. Text never equals bytes."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def difference(self, got: object) -> Difference | None:
        value = self.value
        asked = value if type(value) in _UNCHANGING else _fresh(value)
        # Compared only within one kind, so that `python -bb` has nothing to warn of.
        if not (isinstance(value, str) and isinstance(got, bytes)) and not (
            isinstance(value, bytes) and isinstance(got, str)
        ):
            try:
                if asked == got:
                    return None
            except Exception as error:  # a user's __eq__ may raise anything
                return Difference("error", value, got, detail=f"comparing raised {described(error)}")
        if isinstance(value, str) and isinstance(got, str):
            return Difference("text", value, got)
        if isinstance(value, bytes) and isinstance(got, bytes):
            return Difference("bytes", value, got)
        return Difference("value", value, got, detail=_kinds(value, got))

    def describe(self) -> str:
        return printed(self.value)


class Json(Matcher):
    """A message that is JSON and holds `value`.

    An object may have more members than expected, at any depth, unless `partial` is False; a list
    has exactly the elements expected. What is in them is matched as messages are, so types, regular
    expressions, functions and dirty-equals work at any depth.
    """

    __slots__ = ("partial", "value")

    def __init__(self, value: object, *, partial: bool = True) -> None:
        self.value = value
        self.partial = partial

    def difference(self, got: object) -> Difference | None:
        if not isinstance(got, str | bytes | bytearray):
            return Difference("not json", self.value, got, detail=f"{type(got).__name__} is no JSON text")
        try:
            parsed = json_module.loads(got)
        except ValueError as error:
            return Difference("not json", self.value, got, detail=str(error))
        except RecursionError:
            return Difference("not json", self.value, got, detail="nested too deep to read")
        changes = tuple(_compare(self.value, parsed, "$", self.partial))
        return Difference("json", self.value, parsed, changes) if changes else None

    def describe(self) -> str:
        return f"json {printed(self.value)}" + ("" if self.partial else " exactly")


class Regex(Matcher):
    """A message that the regular expression matches from its first character to its last."""

    __slots__ = ("pattern",)

    def __init__(self, pattern: str | bytes | re.Pattern[str] | re.Pattern[bytes]) -> None:
        self.pattern: re.Pattern[Any] = re.compile(pattern)

    def difference(self, got: object) -> Difference | None:
        subject: object = got
        if isinstance(self.pattern.pattern, str) and isinstance(got, bytes):
            subject = got.decode(errors="replace")
        elif isinstance(self.pattern.pattern, bytes) and isinstance(got, str):
            subject = got.encode()
        if isinstance(subject, str | bytes) and self.pattern.fullmatch(subject):
            return None
        return Difference("pattern", self.describe(), got)

    def describe(self) -> str:
        return f"regex {_raw(self.pattern.pattern)}"


class Where(Matcher):
    """A message for which `predicate(message)` is true. An exception in it is a mismatch, and is told."""

    __slots__ = ("name", "predicate")

    def __init__(self, predicate: Callable[[Any], object], name: str | None = None) -> None:
        self.predicate = predicate
        self.name = name or getattr(predicate, "__name__", None) or printed(predicate)

    def difference(self, got: object) -> Difference | None:
        try:
            if self.predicate(got):
                return None
        except Exception as error:  # the user's code may raise anything
            return Difference("error", self.describe(), got, detail=f"it raised {described(error)}")
        return Difference("predicate", self.describe(), got)

    def describe(self) -> str:
        return f"where {self.name}"


class OfType(Matcher):
    """A message of a type: `str` for text, `bytes` for binary, `Ping`, `Pong`."""

    __slots__ = ("type",)

    def __init__(self, type: type) -> None:
        self.type = type

    def difference(self, got: object) -> Difference | None:
        if isinstance(got, self.type):
            return None
        return Difference("type", self.describe(), got, detail=f"this is {type(got).__name__}")

    def describe(self) -> str:
        return f"any {self.type.__name__}"


class Both(Matcher):
    """What both matchers expect."""

    __slots__ = ("left", "right")

    def __init__(self, left: Matcher, right: Matcher) -> None:
        self.left = left
        self.right = right

    def difference(self, got: object) -> Difference | None:
        return self.left.difference(got) or self.right.difference(got)

    def describe(self) -> str:
        return f"({self.left.describe()} & {self.right.describe()})"


class Either(Matcher):
    """What at least one of the matchers expects."""

    __slots__ = ("left", "right")

    def __init__(self, left: Matcher, right: Matcher) -> None:
        self.left = left
        self.right = right

    def difference(self, got: object) -> Difference | None:
        left = self.left.difference(got)
        if left is None:
            return None
        right = self.right.difference(got)
        return None if right is None else Difference("choice", self.describe(), got, parts=(left, right))

    def describe(self) -> str:
        return f"({self.left.describe()} | {self.right.describe()})"


class Not(Matcher):
    """What the matcher does not expect."""

    __slots__ = ("matcher",)

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher

    def difference(self, got: object) -> Difference | None:
        difference = self.matcher.difference(got)
        if difference is None:
            return Difference("not", self.describe(), got)
        # What could not be compared is no match, however it is asked for.
        return difference if difference.raised else None

    def describe(self) -> str:
        return f"~{self.matcher.describe()}"


def matcher(value: object) -> Matcher:
    """`value` as a matcher: the one door through which everything that is expected comes.

    A matcher stays as it is; a type expects messages of that type, a compiled regular expression one
    that it matches in full, a function one for which it is true. Everything else is compared with
    `==`, which is how dirty-equals comes to work (`IsJson`, `IsStr(regex=…)`, also as bare classes).

    >>> matcher("hello").matches("hello"), matcher(str).matches(b"hello")
    (True, False)
    """
    __tracebackhide__ = True
    if isinstance(value, Matcher):
        return value
    if isinstance(value, re.Pattern):
        return Regex(value)
    if isinstance(value, type):
        # A class that compares by its metaclass, as dirty-equals' do, is a value.
        return OfType(value) if type(value).__eq__ is type.__eq__ else Equal(value)
    if inspect.isroutine(value) or (callable(value) and type(value).__eq__ is object.__eq__):
        return where(value)
    return Equal(value)


def difference_between(expected: Matcher, got: object) -> Difference | None:
    """`expected.difference(got)`, also where a matcher of the test's own raises."""
    try:
        return expected.difference(got)
    except Exception as error:  # the user's code may raise anything
        return Difference("error", type(expected).__name__, got, detail=f"it raised {described(error)}")


def anything() -> Matcher:
    """Any message at all."""
    return Anything()


def regex(pattern: str | bytes | re.Pattern[str] | re.Pattern[bytes]) -> Matcher:
    """A message that the regular expression matches from its first character to its last.

    Raises `WrongType` for what is no text, and `ScriptError` for what is no regular expression.
    """
    __tracebackhide__ = True
    if not isinstance(pattern, str | bytes | re.Pattern):
        raise WrongType(f"regex() takes a regular expression, not {printed(pattern)}")
    try:
        return Regex(pattern)
    except re.error as error:
        raise ScriptError(f"regex({pattern!r}) is no regular expression: {error}") from None


def json(value: object, *, partial: bool = True) -> Matcher:
    """A message that is JSON and holds `value`; see `Json`."""
    __tracebackhide__ = True
    return Json(value, partial=partial)


def where(predicate: Callable[[Any], object], name: str | None = None) -> Matcher:
    """A message for which `predicate(message)` is true; `name` is what a failure calls it."""
    __tracebackhide__ = True
    if not callable(predicate):
        raise WrongType(f"where() takes a function of the message, not {printed(predicate)}")
    if inspect.iscoroutinefunction(predicate):
        raise WrongType("a predicate is a plain function: what an async one gives is always true")
    return Where(predicate, name)


def described(error: BaseException) -> str:
    """An exception on one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _raw(pattern: str | bytes) -> str:
    """A pattern as one writes it, with `r'…'` where backslashes would be doubled."""
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    if "\\" not in text or "'" in text or not (text.isascii() and text.isprintable()) or text.endswith("\\"):
        return repr(pattern)
    return f"r'{text}'" if isinstance(pattern, str) else f"rb'{text}'"


def _compare(expected: object, got: object, path: str, partial: bool) -> Iterator[Change]:
    if type(expected) is dict and isinstance(got, dict):
        yield from _compare_objects(expected, got, path, partial)
    elif type(expected) in (list, tuple) and isinstance(got, list):
        yield from _compare_lists(list(expected), got, path, partial)  # type: ignore[call-overload]
    else:
        yield from _compare_values(expected, got, path)


def _compare_objects(
    expected: Mapping[str, object], got: Mapping[str, object], path: str, partial: bool
) -> Iterator[Change]:
    for key, value in expected.items():
        if key in got:
            yield from _compare(value, got[key], _member(path, key), partial)
        else:
            yield Change(_member(path, key), "missing", expected=value)
    if not partial:
        for key in [key for key in got if key not in expected]:  # in their order: a set has none
            yield Change(_member(path, key), "unexpected", got=got[key])


def _compare_lists(expected: list[object], got: list[object], path: str, partial: bool) -> Iterator[Change]:
    for index, (left, right) in enumerate(zip(expected, got, strict=False)):
        yield from _compare(left, right, f"{path}[{index}]", partial)
    for index in range(len(got), len(expected)):
        yield Change(f"{path}[{index}]", "missing", expected=expected[index])
    for index in range(len(expected), len(got)):
        yield Change(f"{path}[{index}]", "unexpected", got=got[index])


def _compare_values(expected: object, got: object, path: str) -> Iterator[Change]:
    # In JSON, true is not 1 (Python would say that it is).
    if isinstance(expected, bool) is not isinstance(got, bool) and isinstance(expected, bool | int | float):
        yield Change(path, "changed", expected, got)
        return
    difference = difference_between(matcher(expected), got)
    if difference is not None:
        yield Change(path, "changed", expected, got, difference.failure)


def _member(path: str, key: str) -> str:
    return f"{path}.{key}" if str(key).isidentifier() else f"{path}[{key!r}]"


def _leaves(value: object) -> int:
    if isinstance(value, Mapping):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_leaves, value))
    return 1


def _likeness(left: Any, right: Any) -> float:
    """The share of the longer that both have in common at their two ends; cheap at any size."""
    longest = max(len(left), len(right))
    shortest = min(len(left), len(right))
    head = _common(left, right, shortest)
    tail = _common(left[head:][::-1], right[head:][::-1], shortest - head)
    return (head + tail) / longest if longest else 1.0


def _common(left: Any, right: Any, limit: int) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


_UNCHANGING = frozenset({str, bytes, int, float, bool, type(None), Ping, Pong})


def _fresh(value: object) -> object:
    """What to compare in place of `value`, which a report may have to print afterwards.

    dirty-equals' objects keep what they were equal to last, and print that from then on.
    """
    if not any(kind.__module__.partition(".")[0] == "dirty_equals" for kind in type(value).__mro__):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied is compared itself
        return value


def _kinds(expected: object, got: object) -> str:
    """That they are of two types, where that says why: what has an `==` of its own decides by more than its type."""
    if type(expected) not in _UNCHANGING:
        return ""
    left, right = type(expected).__name__, type(got).__name__
    return f"{left} was expected, {right} came" if left != right else ""
