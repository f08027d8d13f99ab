"""Correlation: which id of the tape is which now.

Whoever plays the side under test makes ids up, and makes up others than when the tape was recorded. An id of a
random shape (a UUID, with or without its dashes, or a ULID) may therefore be another one, of the same shape, the
first time that it comes; from then on it stands for the tape's, in both directions. The same goes for what stands
at an ignored path. An id that the tape's other side had said before is no invention: it has to come back as it was
said.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias, TypeVar

from farend.tape.paths import name_of

K = TypeVar("K")
V = TypeVar("V")
Bindings: TypeAlias = dict[str, str]

LIMIT: Final = 10_000
"""Ids that are remembered, of each kind: the oldest are forgotten, so that a tape of any length fits."""
LONG: Final = 6
"""Characters from which on a text at an ignored path is so much an id that it is one under other names, too."""

_SHAPES: Final = {
    "placeholder": r"<secret:[\w.-]+:\d+>",
    "uuid": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "hex": r"(?:[0-9a-f]{32}|[0-9A-F]{32})",
    "ulid": r"[0-7][0-9A-HJKMNP-TV-Z]{25}",
}
_TOKEN: Final = re.compile(
    "|".join(
        f"(?P<{name}>{shape})" if name == "placeholder" else f"(?P<{name}>(?<![0-9A-Za-z]){shape}(?![0-9A-Za-z]))"
        for name, shape in _SHAPES.items()
    )
)
_SECRET: Final = re.compile(_SHAPES["placeholder"])
"""What stands on a tape in place of a secret; see `redaction.PLACEHOLDER`."""
_OF_SHAPE: Final = {name: re.compile(shape) for name, shape in _SHAPES.items() if name != "placeholder"}


class Ids:
    """The ids of one conversation.

    `free` says whether ids of a random shape may be others than on the tape; what stands at an ignored path is put
    back anyhow.

    >>> ids = Ids()
    >>> now = ids.same("join 6f9619ff8b86d011b42d00c04fc964ff", "join 0123456789abcdef0123456789abcdef")
    >>> ids.bind(now)
    >>> ids.put_back("welcome 6f9619ff8b86d011b42d00c04fc964ff")
    'welcome 0123456789abcdef0123456789abcdef'
    """

    def __init__(self, free: bool = True) -> None:
        self._free = free
        self._now: dict[str, str] = {}
        self._named: dict[tuple[str, object], object] = {}
        self._ours: dict[str, None] = {}

    @property
    def renamed(self) -> bool:
        """Whether an id of the tape is another one now."""
        return bool(self._now or self._named)

    # -- what comes -------------------------------------------------------------------------------

    def same(self, taped: str, got: str) -> Bindings | None:
        """Which ids are which, where the text that came is the tape's but for them; None where it is not."""
        now: Bindings = {}
        at = behind = 0
        for token in _TOKEN.finditer(taped):
            between = taped[behind : token.start()]
            if not got.startswith(between, at):
                return None
            at += len(between)
            behind = token.end()
            came = self._came(taped, token, got, at, now)
            if came is None:
                return None
            at += len(came)
            now[token[0]] = came
        return now if got[at:] == taped[behind:] else None

    def _came(self, taped: str, token: re.Match[str], got: str, at: int, now: Bindings) -> str | None:
        """What came in the place of the token; None where it cannot stand there."""
        known = now.get(token[0]) or self._now.get(token[0])
        if known is not None:
            return known if got.startswith(known, at) else None
        kind = str(token.lastgroup)
        if kind == "placeholder":
            # What stood here never reached the disk: it goes up to what follows on the tape.
            following = taped[token.end() : token.end() + 1]
            end = got.find(following, at) if following else len(got)
            return got[at:end] if end >= at else None
        if not self._free or token[0] in self._ours:
            return token[0] if got.startswith(token[0], at) else None
        came = _OF_SHAPE[kind].match(got, at)
        return came[0] if came else None

    def bind(self, now: Bindings) -> None:
        """From now on these ids stand for those of the tape."""
        for token, came in now.items():
            if token != came or token in self._now:
                _remember(self._now, token, came)

    def bind_at(self, path: str, taped: object, got: object) -> None:
        """What came at an ignored path stands for the tape's from now on, where both are texts or numbers."""
        if taped == got or isinstance(taped, bool) or not isinstance(taped, str | int | float):
            return
        if not isinstance(got, str | int | float) or isinstance(got, bool):
            return
        if isinstance(taped, str) and isinstance(got, str) and len(taped) >= LONG:
            _remember(self._named, ("", taped), got)
        else:  # so short a thing may be anything under another name
            _remember(self._named, (name_of(path), taped), got)

    def now(self, path: str, taped: object) -> object:
        """What a value of the tape is now."""
        if not self._named or not isinstance(taped, str | int | float) or isinstance(taped, bool):
            return taped
        return self._renamed(name_of(path), taped)

    def _renamed(self, name: str, taped: Any) -> object:
        if isinstance(taped, str) and ("", taped) in self._named:
            return self._named["", taped]
        return self._named.get((name, taped), taped)

    # -- what goes --------------------------------------------------------------------------------

    def put_back(self, payload: Any) -> Any:
        """What the tape's other side says, with the ids of now; text, or bytes."""
        if not isinstance(payload, str | bytes):
            return payload
        text = as_text(payload)
        said = _TOKEN.sub(self._said, text)
        if self._named:
            said = self._put_back_named(said)
        return said if isinstance(payload, str) else said.encode("utf-8", "surrogateescape")

    def _said(self, token: re.Match[str]) -> str:
        said = self._now.get(token[0], token[0])
        _remember(self._ours, said, None)
        return said

    def _put_back_named(self, text: str) -> str:
        if text[:1] not in ("{", "["):
            return text
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        renamed = self._walk(value, "")
        return text if renamed == value else _spelled_like(renamed, text)

    def _walk(self, value: object, name: str) -> object:
        if isinstance(value, dict):
            return {key: self._walk(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._walk(inner, name) for inner in value]
        if isinstance(value, bool) or value is None:
            return value
        return self._renamed(name, value)


def as_text(payload: str | bytes) -> str:
    """The payload as text; bytes that are none are kept as lone surrogates, which encode to themselves."""
    return payload if isinstance(payload, str) else payload.decode("utf-8", "surrogateescape")


def has_token(text: str) -> bool:
    """Whether there is something in it that may be another thing when the tape is replayed."""
    return _TOKEN.search(text) is not None


def redacted(text: str) -> re.Pattern[bytes] | None:
    """A pattern for the bytes that the text was before its secrets were replaced; None where there were none."""
    if not _SECRET.search(text):
        return None
    parts = [re.escape(part.encode("utf-8", "surrogateescape")) for part in _SECRET.split(text)]
    return re.compile(b"(?s:.+?)".join(parts))


def is_redacted(value: object) -> bool:
    """Whether all of it is a placeholder."""
    return isinstance(value, str) and _SECRET.fullmatch(value) is not None


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    memory.pop(key, None)
    if len(memory) >= LIMIT:
        del memory[next(iter(memory))]
    memory[key] = value


def _spelled_like(value: object, text: str) -> str:
    """The value as JSON, with spaces where `text` has them, and its line ending."""
    body = text.rstrip("\r\n")
    separators = (", ", ": ") if re.search(r'"\s*:\s', body) else (",", ":")
    return json.dumps(value, ensure_ascii=False, separators=separators) + text[len(body) :]
