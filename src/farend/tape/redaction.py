"""Keeps secrets off the tape: each is replaced before its line is written, always by the same placeholder.

Secrets are found by their names, wherever these stand: `"token": "…"` in JSON, `token=…` in queries and forms,
`Authorization: …` at the beginning of a line; by their own looks (JSON Web Tokens, passwords in URLs); and, once
they are known, wherever else they turn up. All is done on the bytes as they are, so that what is no secret stays
as it was.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias, overload
from urllib.parse import quote_from_bytes

from farend.errors import InvalidArguments, WrongType
from farend.tape import escapes
from farend.tape.at_once import AtOnce, Expression, exactly
from farend.tape.format import Headers, Line
from farend.tape.hints import SHORT, Hints, any_of, before_blanks, words

NAMES: Final = (
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "api_key",
    "access_key",
    "secret_key",
    "private_key",
    "listen_key",
    "credential",
    "credentials",
    "session_id",
    "jwt",
    "signature",
    "sig",
)
"""What is secret where nobody says otherwise: every name that ends so, in any case, joined by `-`, `_` or nothing."""
PLACEHOLDER: Final = re.compile(r"<secret:([\w.-]+):(\d+)>")
"""What stands on a tape in place of a secret: its name, and a number for each secret of this name."""
_PLACEHOLDER: Final = re.compile(PLACEHOLDER.pattern.encode())

_BEFORE_VALUE: Final = rb"""(?:(?P<quote>\\*["'])\s*:\s*|(?P<colon>[ \t]*:[ \t]*)|(?P<equals>=))"""
_BEARER: Final = rb"(?<![\w-])bearer(?P<blank> +)"
"""What stands in front of a token wherever it is sent (RFC 9110, 11.4)."""
_JSON_WEB_TOKEN: Final = re.compile(rb"eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*")
_JSON_WEB_TOKEN_CUT: Final = re.compile(_JSON_WEB_TOKEN.pattern + rb"|eyJ[\w.-]*\Z")
_IN_URL: Final = re.compile(rb"://[^/\s:@\"']*:([^/\s@\"']+)@")
_IN_URL_CUT: Final = re.compile(_IN_URL.pattern + rb"|://[^/\s:@\"']*:(?!\d{1,5}\Z)([^/\s@\"']+)\Z")
_NAME_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_.-"
_LONGEST_NAME: Final = 64
_LONGEST_NAMED: Final = 128
"""Bytes of the longest name, with the quotes behind it, in much text."""
_BRACKETS: Final = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*(?:"|\Z)', re.DOTALL)
_IN_GROUP: Final = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:|"((?:[^"\\]|\\.)*)(?:"\s*|\Z)|(-?\d[\d.eE+-]*)', re.DOTALL)
_NEVER: Final = re.compile(rb"(?!)")
_SCHEME: Final = re.compile(rb"[A-Za-z][\w-]*[ \t]+(?=\S)")
_COOKIE: Final = re.compile(rb"=[ \t]*\"?([^;\"\r\n]+)")
_ENDS: Final = {
    '"': re.compile(rb'(?:[^"\\]|\\.)*?(?=")', re.DOTALL),
    "'": re.compile(rb"(?:[^'\\]|\\.)*?(?=')", re.DOTALL),
    "line": re.compile(rb"[^\r\n]*(?=[\r\n])"),
    "word": re.compile(rb"[^\s&;#,\"'<>\\]*(?=[\s&;#,\"'<>\\])"),
}
"""The rest of a value of each kind, up to what ends it."""
_ONCE: Final = (b"signature", b"sig")
"""Names whose secrets are new each time: nobody needs to look for them elsewhere."""
_FUNCTION: Final = "the function for secrets (find=, or redact= itself)"
_REMEMBERED: Final = 10_000
_LOOKED_FOR: Final = 512
_PLAIN: Final = re.compile(rb"[A-Za-z0-9]+")
_SHORTEST: Final = 6
"""Bytes of the shortest secret that is looked for wherever it may stand."""
_CERTAIN: Final = 4
"""Bytes of a known secret, at the end of what has come, that are taken for its beginning."""
_CONTEXT: Final = 48
"""Bytes of a stream that are looked at once more, for a name that was cut in two."""
_LONGEST_CUT: Final = 4096
"""Bytes of the longest secret that is known as a whole although it was written in parts."""
_LARGE: Final = 2048
"""Bytes of what is not copied to be looked at together with what came before it."""
_MOST_HELD: Final = 1 << 20
"""Bytes of a stream that are held back at most."""

Find: TypeAlias = Callable[[str | bytes], Iterable[str | bytes]]
Pattern: TypeAlias = str | bytes | re.Pattern[str] | re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class Redaction:
    r"""What is secret: rules of your own, beside the usual ones.

    >>> rules = Redaction(names=["account"], patterns=[r"AUTH (\S+)"], keep=["page_token"])
    >>> redactor = rules.start()
    >>> redactor.said("AUTH hunter22")
    'AUTH <secret:own:1>'
    >>> redactor.said('{"account": 12, "page_token": "abc"}')
    '{"account": "<secret:account:1>", "page_token": "abc"}'
    >>> redactor.said("what does hunter22 mean?")
    'what does <secret:own:1> mean?'

    `names` are of header fields, query parameters and JSON fields, any name that ends so, also where JSON or a
    URL escapes letters that are not ASCII's; `keep` are whole names that are no secrets. `patterns` are regular
    expressions: the secret is their first group, or all of the match. `find` is a function that is given each
    payload, as text or bytes, and names the secrets in it. `usual=False` leaves `NAMES`,
    JSON Web Tokens and passwords in URLs alone.
    """

    names: Iterable[str] = ()
    patterns: Iterable[Pattern] = ()
    find: Find | None = None
    keep: Iterable[str] = ()
    usual: bool = True

    def __post_init__(self) -> None:
        for name in ("names", "keep", "patterns"):
            values = getattr(self, name)
            if isinstance(values, str | bytes):
                raise WrongType(f"{name}= takes a list, such as [{values!r}], and not {values!r} alone")
            object.__setattr__(self, name, tuple(values))
        for one in (*self.names, *self.keep):
            if not isinstance(one, str) or not _plain(one):
                raise InvalidArguments(f"{one!r} is no name of a secret: names are text, such as 'account_id'")
        if self.find is not None and not callable(self.find):
            raise WrongType(f"find= takes a function that is given a payload and names its secrets, not {self.find!r}")
        object.__setattr__(self, "patterns", tuple(_compiled(pattern) for pattern in self.patterns))

    @classmethod
    def chosen(cls, redact: object) -> Redaction | None:
        """What `redact=` asks for: True is the usual, False is nothing, a list has names of your own."""
        if isinstance(redact, Redaction):
            return redact
        if isinstance(redact, bool):
            return cls() if redact else None
        if isinstance(redact, list | tuple | set | frozenset):
            return cls(names=redact)
        if callable(redact):
            return cls(find=redact)
        raise WrongType(
            f"redact= takes True, False, a list of names, a function that names secrets, or a Redaction, not {redact!r}"
        )

    def start(self) -> Redactor:
        """A redactor for one tape."""
        return Redactor(self)


class _Secret(NamedTuple):
    """Where a secret stands, what it is called, where its name begins, and the quotes that a placeholder needs."""

    start: int
    end: int
    name: bytes
    named: int
    quote: bytes = b""


class _Known(NamedTuple):
    """A secret that is known, and looked for wherever it may stand."""

    placeholder: bytes
    spellings: tuple[bytes, ...]
    """All the ways in which it is written."""
    pieces: tuple[bytes, ...]
    """One of these is there where any of them is: mostly one piece that they all have."""
    beginnings: tuple[bytes, ...]
    """What they begin with, where they may be cut."""
    longest: int

    @classmethod
    def of(cls, secret: bytes, spelled: bytes, placeholder: bytes) -> _Known:
        ways = {spelled, *escapes.ways(secret)}
        if b"+" in spelled:
            ways |= escapes.ways(escapes.meant_in_a_form(spelled))
        piece = max(_PLAIN.findall(secret), key=len, default=b"")
        in_all = len(piece) >= _CERTAIN and all(piece in way for way in ways)
        return cls(
            placeholder,
            tuple(sorted(ways)),
            (piece,) if in_all else tuple(sorted(ways)),
            tuple(sorted({way[:_CERTAIN] for way in ways})),
            max(map(len, ways)),
        )


class _Look(NamedTuple):
    """What shows that one of several known secrets may be there, or the beginning of one at the end."""

    pieces: tuple[bytes, ...]
    at_once: AtOnce
    beginnings: tuple[bytes, ...]
    longest: int

    @classmethod
    def of(cls, secrets: list[_Known]) -> _Look:
        pieces = {piece[:_LONGEST_NAME] for known in secrets for piece in known.pieces}
        return cls(
            tuple(pieces),
            AtOnce([Expression(exactly(one)) for one in sorted(pieces)]),
            tuple({beginning for known in secrets for beginning in known.beginnings}),
            max((known.longest for known in secrets), default=0),
        )


class Redactor:
    """Redacts all that goes on one tape, and so remembers its secrets, the last of them if there are many."""

    def __init__(self, rules: Redaction) -> None:
        self._usual = rules.usual
        self._patterns: tuple[re.Pattern[bytes], ...] = rules.patterns  # type: ignore[assignment]
        self._find = rules.find
        self._keep = {_plain(name) for name in rules.keep}
        self._hints, self._named, self._is_secret = _looks(tuple(rules.names), rules.usual)
        self._asks_always = bool(self._patterns) or self._find is not None
        self._placeholders: OrderedDict[bytes, bytes] = OrderedDict()
        self._numbers: dict[bytes, int] = {}
        self._looked_for: OrderedDict[bytes, _Known] = OrderedDict()
        self._changing = threading.Lock()
        """Held while these change, or `_look` is made of them: a client's threads may speak and listen at once."""
        self._look: _Look | None = None
        """What shows that one of these may be there, once it is asked for."""

    # -- what is asked of it ----------------------------------------------------------------------

    @property
    def finds_in_parts(self) -> bool:
        """Whether secrets are found in a message that is not whole; a user's own function is given whole ones."""
        return self._find is None

    @overload
    def said(self, payload: str) -> str: ...
    @overload
    def said(self, payload: bytes) -> bytes: ...
    @overload
    def said(self, payload: str | bytes) -> str | bytes: ...
    def said(self, payload: str | bytes) -> str | bytes:
        """A whole message, without its secrets."""
        data = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
        if not self.may_hold(data):
            return payload
        data = self.replaced(data, [*self.secrets(data)])
        return data if isinstance(payload, bytes) else data.decode("utf-8", "surrogatepass")

    def stream(self) -> RedactedStream:
        """For one side of a TCP connection, whose secrets may be cut in two anywhere."""
        return RedactedStream(self)

    def headers(self, headers: Headers) -> Headers:
        """Header fields, without their secrets."""
        return tuple((name, self.header(name, value)) for name, value in headers)

    def header(self, name: str, value: str) -> str:
        """The value of one header field, without its secrets."""
        key, data = name.lower().encode(), value.encode("utf-8", "surrogateescape")
        if self._is_secret.fullmatch(key) and _plain(name) not in self._keep:
            data = self.replaced(data, [*_in_header(key, data, 0, len(data), 0)])
        elif key == b"sec-websocket-protocol":
            data = b", ".join(self._subprotocols([part.strip() for part in data.split(b",")]))
        return self.said(data).decode("utf-8", "surrogateescape")

    def line(self, line: Line) -> Line:
        """A line, without its secrets."""
        return replace(
            line,
            payload=None if line.payload is None else self.said(line.payload),
            reason=self.said(line.reason) if line.reason else "",
            target=None if line.target is None else self.said(line.target),
            headers=self.headers(line.headers),
        )

    # -- finding ----------------------------------------------------------------------------------

    def may_hold(self, data: bytes) -> bool:
        """Whether it is worth a closer look: nearly every message has no secret."""
        return self._asks_always or self._hints.are_in(data) or (bool(self._looked_for) and self._may_hold_known(data))

    def _may_hold_known(self, data: bytes) -> bool:
        """Whether a secret that is known may be there, or the beginning of one at the end."""
        look = self._look
        if look is None:
            with self._changing:
                look = self._look = _Look.of([*self._looked_for.values()])
        are_there = look.at_once.are_in(data) if len(data) > SHORT else None
        if are_there is None:
            for piece in look.pieces:
                if piece in data:
                    return True
        if are_there:
            return True
        end = max(0, len(data) - look.longest)
        return any(data.find(beginning, end) >= 0 for beginning in look.beginnings)

    def secrets(self, data: bytes, *, cut: bool = False) -> Iterator[_Secret]:
        """The secrets in `data`, by rule; with `cut`, the beginning of one at its end as well."""
        for match in self._names_in(data.lower()):
            yield from self._after_name(match, data)
        if self._usual:
            if b"eyJ" in data:
                pattern = _JSON_WEB_TOKEN_CUT if cut else _JSON_WEB_TOKEN
                yield from (_Secret(*match.span(), b"jwt", match.start()) for match in pattern.finditer(data))
            if b"://" in data:
                pattern = _IN_URL_CUT if cut else _IN_URL
                for match in pattern.finditer(data):
                    yield _Secret(*match.span(match.lastindex or 0), b"password", match.start())
        for own in self._patterns:
            for match in own.finditer(data):
                yield _Secret(*match.span(1 if own.groups else 0), b"own", match.start())
        if self._find is not None:
            yield from self._found(self._find, data)

    def _names_in(self, low: bytes) -> Iterator[re.Match[bytes]]:
        """The names of secrets, with what separates them from their values."""
        if len(low) <= SHORT:
            yield from self._named.finditer(low)
            return
        done = 0
        for end in self._hints.ends(low):
            if end <= done:
                continue
            begin = before_blanks(low, end - 1) - _LONGEST_NAMED
            if name := self._named.search(low, max(done, begin), end):
                match = self._named.match(low, name.start())  # once more, for the blanks behind it
                assert match is not None
                done = match.end()
                yield match

    def _after_name(self, match: re.Match[bytes], data: bytes) -> Iterator[_Secret]:
        start, named = match.end(), match.start()
        if match.lastgroup == "blank":
            yield _Secret(start, _end(data, start, "word"), b"authorization", named)
            return
        before = data[max(0, named - _LONGEST_NAME) : named].lower()
        named -= len(before) - len(before.rstrip(_NAME_LETTERS))
        name = data[named : match.end("word")].lower()
        if _plain(name.decode("utf-8", "replace")) in self._keep:
            return
        if match.lastgroup == "equals":
            yield _Secret(start, _end(data, start, "word"), name, named)
        elif match.lastgroup == "quote":
            yield from _in_json(name, data, start, match["quote"], named)
        elif named == 0 or data[named - 1 : named] == b"\n":
            end = _end(data, start, "line")
            yield from _in_header(name, data, start, end, named)
            if end == len(data):
                yield _Secret(end, end, name, named)  # more of the line may come

    def learn(self, data: bytes, secrets: Iterable[_Secret]) -> None:
        """Know these from now on."""
        for secret in sorted(secrets):
            if secret.start < secret.end:
                self._placeholder(data[secret.start : secret.end], secret.name)

    def known_at(self, data: bytes, middle: int) -> Iterator[_Secret]:
        """The rest of each known secret that has begun before the middle."""
        if middle:
            for secret, placeholder in self._known():
                begin = data.find(secret, max(0, middle - len(secret) + 1), middle + len(secret) - 1)
                if begin >= 0:
                    yield _Secret(middle, begin + len(secret), placeholder, middle)

    def known_from(self, data: bytes) -> int:
        """Where the beginning of a known secret stands at the end of `data`; its length where there is none."""
        start = len(data)
        for secret, _ in self._known():
            begin = data.find(secret[:_CERTAIN], max(0, len(data) - len(secret) + 1))
            while begin >= 0 and not secret.startswith(data[begin:]):
                begin = data.find(secret[:_CERTAIN], begin + 1)
            if begin >= 0:
                start = min(start, begin)
        return start

    def _found(self, find: Find, data: bytes) -> Iterator[_Secret]:
        try:
            payload: str | bytes = data.decode()
        except UnicodeDecodeError:
            payload = data
        secrets = find(payload)
        if not isinstance(secrets, Iterable) or isinstance(secrets, str | bytes):
            raise WrongType(
                f"{_FUNCTION} has to give a list of secrets, empty where there is none, and gave {secrets!r}"
            )
        for secret in secrets:
            if not isinstance(secret, str | bytes):
                raise WrongType(f"{_FUNCTION} has to name secrets, as text or bytes, and named {secret!r}")
            needle = secret.encode() if isinstance(secret, str) else secret
            start = data.find(needle) if needle else -1
            while start >= 0:
                yield _Secret(start, start + len(needle), b"own", start)
                start = data.find(needle, start + len(needle))

    def _subprotocols(self, offered: list[bytes]) -> Iterator[bytes]:
        """A browser can send no header, and so its token is often the subprotocol behind one that names it."""
        named = False
        for one in offered:
            yield self._placeholder(one, b"token") if named else one
            named = bool(self._is_secret.fullmatch(one.lower()) or one.lower() in (b"bearer", b"access_token"))

    # -- replacing --------------------------------------------------------------------------------

    def replaced(self, data: bytes, secrets: list[_Secret], start: int = 0) -> bytes:
        """`data` from `start` on, with placeholders for these secrets, and for all that are known."""
        if secrets:
            parts: list[bytes] = []
            for secret in sorted(secrets):
                if start <= secret.start < secret.end:
                    placeholder = self._placeholder(data[secret.start : secret.end], secret.name)
                    parts += (data[start : secret.start], secret.quote, placeholder, secret.quote)
                    start = secret.end
            data = b"".join((*parts, data[start:]))
        elif start:
            data = data[start:]
        known = {one: mark for one, mark in self._known(data) if one in data}
        data = escapes.numbers_replaced(data, {one: known[one] for one in known if escapes.NUMBER.fullmatch(one)})
        for one in sorted(known, key=len, reverse=True):
            data = data.replace(one, known[one])
        return data

    def _known(self, data: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Each way to write each known secret, with its placeholder; of those alone that may be in `data`, if given."""
        for known in [*self._looked_for.values()]:  # for other threads may add to them
            if data is None or any(piece in data for piece in known.pieces):
                for spelling in known.spellings:
                    yield spelling, known.placeholder

    def redacted_whole(self, context: bytes, held: bytes) -> bytes:
        """What was held back, as the secret that it is the beginning of."""
        for secret in self.secrets(context + held, cut=True):
            if secret.start <= len(context) < secret.end:
                return self.replaced(context + held, [secret._replace(start=len(context))], len(context))
        return self._looked_for_by_beginning(held)

    def _looked_for_by_beginning(self, held: bytes) -> bytes:
        return next((mark for secret, mark in self._known() if secret.startswith(held)), held)

    def _placeholder(self, spelled: bytes, name: bytes) -> bytes:
        if _PLACEHOLDER.fullmatch(spelled):
            return spelled
        if _PLACEHOLDER.fullmatch(name):  # known already
            return name
        secret = escapes.meant(spelled)
        placeholder = self._placeholders.get(secret)
        if placeholder is None:
            name = re.sub(rb"[^\w.-]", b"", name)[-40:] or b"own"
            number = self._numbers[name] = self._numbers.get(name, 0) + 1
            placeholder = self._placeholders[secret] = b"<secret:%s:%d>" % (name, number)
            if len(self._placeholders) > _REMEMBERED:
                self._placeholders.popitem(last=False)
        if len(secret) >= _SHORTEST and not (name.endswith(_ONCE) or self._is_secret.fullmatch(secret.lower())):
            known = self._looked_for.get(secret)
            if known is None or spelled not in known.spellings:
                known = _Known.of(secret, spelled, placeholder)
                with self._changing:
                    self._looked_for[secret] = known
                    self._look = None
                    if len(self._looked_for) > _LOOKED_FOR:
                        self._looked_for.popitem(last=False)
        return placeholder


class RedactedStream:
    """One side of a TCP connection: bytes in, cut anywhere, and out without secrets.

    Nothing is held back but the beginning of what is a secret already, until its end has come, or until
    `flush`. Its rest is still known for one then.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._context = b""
        """What stands before the held, and was given out: names may have been cut in two."""
        self.held = b""
        """What is held back."""

    def feed(self, data: bytes) -> bytes:
        """The bytes that can be written now."""
        if not self.held:
            may_hold, is_large = self._redactor.may_hold, len(data) > _LARGE
            seen = self._context + data[:_LARGE]  # no more is copied than has to be
            if not may_hold(seen) and not (is_large and may_hold(data)):
                self._context = (data if is_large else seen)[-_CONTEXT:]
                return data
        given = len(self._context)
        data = self._context + self.held + data
        end = context = len(data)
        secrets: list[_Secret] = []
        for secret in self._redactor.secrets(data, cut=True):
            if secret.end == len(data):
                end, context = min(end, max(secret.start, given)), min(context, secret.named)
            if secret.end > given:
                if secret.end < len(data):
                    self._redactor.learn(data, [secret])  # all of it, also what was given out as a secret before
                secrets.append(secret._replace(start=max(secret.start, given)))
        secrets += self._redactor.known_at(data, given)
        end = min(end, self._redactor.known_from(data))
        self._context = data[max(0, min(context, end - _CONTEXT)) : end]
        self.held = data[end:]
        ready = self._redactor.replaced(data[:end], [secret for secret in secrets if secret.end <= end], given)
        return ready + self.flush() if len(self.held) > _MOST_HELD else ready

    def flush(self) -> bytes:
        """What is held back, as a secret of its own: the other side speaks now, or nobody does any more."""
        held, self.held = self.held, b""
        if not held:
            return b""
        ready = self._redactor.redacted_whole(self._context, held)
        if len(held) <= _LONGEST_CUT:
            self._context += held  # so that the secret is known as a whole once it has ended
        return ready


# -- where secrets stand --------------------------------------------------------------------------


def _in_header(name: bytes, data: bytes, start: int, end: int, named: int) -> Iterator[_Secret]:
    """The secrets in a header's value: of a cookie its value, of an authorization what follows its scheme."""
    if name.endswith(b"cookie"):
        for match in _COOKIE.finditer(data, start, end):
            yield _Secret(*match.span(1), name, named)
            if name.endswith(b"set-cookie"):
                return  # what follows are attributes
        return
    scheme = _SCHEME.match(data, start, end)
    yield _Secret(scheme.end() if scheme else start, end, name, named)


def _in_json(name: bytes, data: bytes, start: int, quote: bytes, named: int) -> Iterator[_Secret]:
    """The secrets in the value of a JSON field: its text, its number, or all text and numbers in it."""
    if data.startswith(quote, start):
        begin = start + len(quote)
        if name.endswith(b"authorization") and (scheme := _SCHEME.match(data, begin)):
            begin = scheme.end()
        end = _end(data, begin, quote[-1:].decode()) if len(quote) == 1 else data.find(quote, begin)
        yield _Secret(begin, len(data) if end < 0 else end, name, named)
    elif number := escapes.NUMBER.match(data, start):
        yield _Secret(*number.span(), name, named, quote)
    elif data.startswith((b"{", b"["), start) and quote == b'"':
        end = _end_of_group(data, start)
        for match in _IN_GROUP.finditer(data, start, end):
            if match[1] is not None:
                is_last = not data[match.end() : match.end() + 1]  # and may be the name of a field
                yield _Secret(match.start(1), len(data) if is_last else match.end(1), name, named)
            elif match[2] is not None:
                yield _Secret(*match.span(2), name, named, quote)
        if end == len(data):
            yield _Secret(end, end, name, named)  # more of it may come


def _end(data: bytes, start: int, kind: str) -> int:
    match = _ENDS[kind].match(data, start)
    return match.end() if match else len(data)


def _end_of_group(data: bytes, start: int) -> int:
    """Where a JSON object or array ends that begins there."""
    depth = 0
    for match in _BRACKETS.finditer(data, start):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(data)


# -- names and spellings --------------------------------------------------------------------------


def _plain(name: str) -> str:
    """A name as names are compared."""
    return re.sub(r"[-_. ]", "", name).lower() if isinstance(name, str) else ""


@functools.cache
def _looks(own: tuple[str, ...], usual: bool) -> tuple[Hints, re.Pattern[bytes], re.Pattern[bytes]]:
    """What shows that there may be a secret; expressions for its name and what follows it, and for its name alone."""
    names = [*(NAMES if usual else ()), *(written for name in own for written in _ways_to_write(name))]
    spelled = b"|".join([_spellings(name) for name in sorted(names, key=len, reverse=True)])
    named = [rb"(?P<word>" + spelled + rb")" + _BEFORE_VALUE] if names else []
    bearer = [_BEARER] if usual else []
    is_secret = [rb"[\w.-]*(?:" + spelled + rb")"] if names else []
    return Hints(names, usual=usual), any_of([*named, *bearer]), any_of(is_secret)


def _ways_to_write(name: str) -> list[str]:
    """The name itself, and where it has other letters than ASCII's as JSON and URLs may escape them."""
    if name.isascii():
        return [name]
    return [name, json.dumps(name)[1:-1], quote_from_bytes(name.encode())]


def _spellings(name: str) -> bytes:
    """An expression for the name, in lower case, however its words are joined."""
    return b"[-_]?".join(re.escape(word.encode()) for word in words(name))


def _compiled(pattern: object) -> re.Pattern[bytes]:
    source: object = pattern
    flags = 0
    if isinstance(pattern, re.Pattern):
        source, flags = pattern.pattern, pattern.flags & ~re.UNICODE
    if not isinstance(source, str | bytes):
        raise WrongType(f"patterns= takes regular expressions, not {pattern!r}")
    try:
        return re.compile(source.encode() if isinstance(source, str) else source, flags)
    except re.error as error:
        raise InvalidArguments(f"patterns= takes regular expressions, and {source!r} is none: {error}") from None
