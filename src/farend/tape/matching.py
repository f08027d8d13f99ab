"""What comes, compared with what is on the tape: JSON by value, all else as it stands, ids by correlation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from farend.core.framing import Framing
from farend.core.matchers import Change, Difference, Matcher, difference_between, matcher
from farend.core.messages import printed
from farend.errors import WrongType
from farend.tape.ids import Bindings, Ids, as_text, has_token, is_redacted
from farend.tape.paths import JsonPath, json_path, member

Pattern: TypeAlias = str | re.Pattern[str] | Callable[[Any], object]
"""Which messages are meant: text with `*` and `?`, a regular expression to search for, or a function."""
Noted: TypeAlias = Callable[[Sequence[Change]], None]

HANDSHAKE: Final = ("path", "query", "subprotocols")
"""What of a handshake is compared where nobody says otherwise."""
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Rules:
    """How strict a replay is; see `farend.replay` for what each of them means."""

    ignore: tuple[JsonPath, ...] = ()
    matchers: tuple[tuple[JsonPath, Matcher], ...] = ()
    correlate: bool = True
    strict: bool = False
    allow_unplayed: tuple[Pattern, ...] = ()
    handshake: tuple[str, ...] = HANDSHAKE
    framing: Framing | None = None

    def allows_unplayed(self, message: object) -> bool:
        """Whether the message (or the path of a connection) may be left out."""
        return any(_is_meant(pattern, message) for pattern in self.allow_unplayed)


def rules(
    *,
    ignore: str | Iterable[str] = (),
    matchers: Mapping[str, object] | None = None,
    correlate: bool = True,
    strict: bool = False,
    allow_unplayed: Pattern | Iterable[Pattern] = (),
    handshake: str | Iterable[str] = HANDSHAKE,
    framing: Framing | None = None,
) -> Rules:
    """The rules as users write them, checked. Raises `InvalidArguments` or `WrongType`."""
    __tracebackhide__ = True
    if matchers is not None and not isinstance(matchers, Mapping):
        raise WrongType(
            f"matchers= takes a mapping of JSON paths, such as {{'$.price': float}}, not {printed(matchers)}"
        )
    if framing is not None and not isinstance(framing, Framing):
        raise WrongType(f"framing= takes a framing such as farend.lines(), not {printed(framing)}")
    return Rules(
        ignore=tuple(json_path(_text(path, "ignore")) for path in _several(ignore, "ignore")),
        matchers=tuple(
            (json_path(_text(path, "matchers")), _value_matcher(what)) for path, what in (matchers or {}).items()
        ),
        correlate=bool(correlate),
        strict=bool(strict),
        allow_unplayed=tuple(_pattern(one) for one in _several(allow_unplayed, "allow_unplayed")),
        handshake=tuple(_text(part, "handshake").lower() for part in _several(handshake, "handshake")),
        framing=framing,
    )


def _several(value: Any, name: str) -> Iterable[Any]:
    __tracebackhide__ = True
    if isinstance(value, str | re.Pattern) or callable(value):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise WrongType(f"{name}= takes a list of text, not {printed(value)}")
    return value


def _text(value: object, name: str) -> str:
    __tracebackhide__ = True
    if not isinstance(value, str):
        raise WrongType(f"{name}= takes text, not {printed(value)}")
    return value


def _pattern(value: object) -> Pattern:
    __tracebackhide__ = True
    if isinstance(value, str) or callable(value):
        return value
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        return value
    raise WrongType(
        f"allow_unplayed= takes text with * in it, a regular expression for text, or a function, not {printed(value)}"
    )


def _value_matcher(what: object) -> Matcher:
    return matcher(what)


def _is_meant(pattern: Pattern, message: object) -> bool:
    if not isinstance(pattern, str | re.Pattern):
        return bool(pattern(message))
    if not isinstance(message, str | bytes):
        return False
    text = as_text(message)
    return fnmatchcase(text, pattern) if isinstance(pattern, str) else pattern.search(text) is not None


# -- matchers -------------------------------------------------------------------------------------


def expected(taped: str | bytes, rules: Rules, ids: Ids, noted: Noted | None = None) -> str | bytes | Matcher:
    """What is expected where the tape has this message. Where something else comes, `noted` is told, and no failure."""
    value = as_json(taped)
    if value is not _MISSING:
        return TapedJson(taped, value, rules, ids, noted)
    if has_token(as_text(taped)) or noted is not None:
        return TapedText(taped, ids, noted)
    return taped


def as_json(payload: str | bytes) -> Any:
    """The object or the array that the payload is; `_MISSING` where it is none."""
    if payload[:1] not in ("{", "[", b"{", b"["):
        return _MISSING
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return _MISSING


class Taped(Matcher):
    """The message of a tape.

    A replay's script is a line of steps: one at a time can take a message, so what matches is taken, and its ids
    are known from then on.
    """

    __slots__ = ("ids", "noted", "taped")

    def __init__(self, taped: str | bytes, ids: Ids, noted: Noted | None) -> None:
        self.taped = taped
        self.ids = ids
        self.noted = noted

    def difference(self, got: object) -> Difference | None:
        if got == self.taped and type(got) is type(self.taped) and not self.ids.renamed:
            return None
        difference = self._difference(got)
        if difference is None or self.noted is None:
            return difference
        self.noted(difference.changes or [Change("$", "changed", self.taped, got)])
        return None

    def _difference(self, got: object) -> Difference | None:
        raise NotImplementedError


class TapedText(Taped):
    """A message that is no JSON: equal, but for ids of a random shape."""

    __slots__ = ()

    def _difference(self, got: object) -> Difference | None:
        taped = self.taped
        if type(got) is not type(taped):
            return Difference(
                "value", taped, got, detail=f"{type(taped).__name__} was expected, {type(got).__name__} came"
            )
        now = self.ids.same(as_text(taped), as_text(got))
        if now is None:
            return Difference("text" if isinstance(taped, str) else "bytes", taped, got)
        self.ids.bind(now)
        return None

    def describe(self) -> str:
        return printed(self.taped)


class TapedJson(Taped):
    """A message that is JSON: of the same value, member by member, but for what the rules let differ."""

    __slots__ = ("rules", "value")

    def __init__(self, taped: str | bytes, value: object, rules: Rules, ids: Ids, noted: Noted | None) -> None:
        super().__init__(taped, ids, noted)
        self.value = value
        self.rules = rules

    def _difference(self, got: object) -> Difference | None:
        if type(got) is not type(self.taped):
            kinds = f"the tape has it in a {_kind(self.taped)} message, and this is a {_kind(got)} one"
            return Difference("not json", self.value, got, detail=kinds)
        try:
            came = json.loads(got)
        except (ValueError, RecursionError) as error:
            return Difference("not json", self.value, got, detail=str(error) or "nested too deep to read")
        comparison = _Comparison(self.rules, self.ids)
        changes = tuple(comparison.compare(self.value, came, "$"))
        if changes and self.noted is None:
            return Difference("json", self.value, came, changes)
        comparison.bind()
        return Difference("json", self.value, came, changes) if changes else None

    def describe(self) -> str:
        return f"json {printed(self.value)}"


def _kind(message: object) -> str:
    return "text" if isinstance(message, str) else "binary" if isinstance(message, bytes) else type(message).__name__


class _Comparison:
    """One message against the tape's, and the ids that are others then."""

    def __init__(self, rules: Rules, ids: Ids) -> None:
        self._rules = rules
        self._ids = ids
        self._now: Bindings = {}
        self._at: list[tuple[str, object, object]] = []

    def bind(self) -> None:
        self._ids.bind(self._now)
        for path, taped, got in self._at:
            self._ids.bind_at(path, taped, got)

    def compare(self, taped: object, got: object, path: str) -> Iterator[Change]:
        rules = self._rules
        if rules.ignore and any(one.matches(path) for one in rules.ignore):
            self._at.append((path, taped, got))
            return
        own = next((what for one, what in rules.matchers if one.matches(path)), None) if rules.matchers else None
        if own is not None:
            if got is _MISSING:
                yield Change(path, "missing", own)
            elif difference_between(own, got) is not None:
                yield Change(path, "changed", own, got)
        elif taped is _MISSING:
            yield Change(path, "unexpected", got=got)
        elif got is _MISSING:
            yield Change(path, "missing", taped)
        elif isinstance(taped, dict) and isinstance(got, dict):
            for key, value in taped.items():
                yield from self.compare(value, got.get(key, _MISSING), member(path, key))
            for key in [key for key in got if key not in taped]:
                yield from self.compare(_MISSING, got[key], member(path, key))
        elif isinstance(taped, list) and isinstance(got, list):
            for index in range(max(len(taped), len(got))):
                yield from self.compare(_element(taped, index), _element(got, index), f"{path}[{index}]")
        else:
            yield from self._leaves(taped, got, path)

    def _leaves(self, taped: object, got: object, path: str) -> Iterator[Change]:
        now = self._ids.now(path, taped)
        if is_redacted(taped) and not isinstance(got, str | dict | list):
            return  # a secret that is a number has a placeholder that is text
        if now is taped and isinstance(taped, str) and isinstance(got, str):
            bindings = self._ids.same(taped, got)
            if bindings is None:
                yield Change(path, "changed", taped, got)
            else:
                self._now |= bindings
        elif now != got or isinstance(now, bool) is not isinstance(got, bool):  # in JSON, true is not 1
            yield Change(path, "changed", now, got)


def _element(values: Sequence[object], index: int) -> object:
    return values[index] if index < len(values) else _MISSING
