"""Tells which bytes are worth a closer look for secrets: this is asked of everything that is said, and so it is fast.

A name is followed by a colon or by `=`. Where there is neither, there is no named secret. All else is looked through
for all names at once, where there is a library for that (`at_once.py`). Without it, a short message is looked through
for the rarest letter of each name; and what is long at the speed of memory, a byte at a time: for the separators, where
they are rare, as in bytes that are no text, or for names whose rarest letter is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from farend.tape.at_once import AtOnce, Expression, exactly

_COLON, _EQUALS, _J, _SPACE = b":=J "
_FEW: Final = 256
"""Bytes in which a byte that is nowhere is found to be so before any search has begun."""
SHORT: Final = 1024
"""Bytes in which one expression finds out more quickly than many searches do."""
_SAMPLE: Final = 4096
_RARE: Final = 32
"""Where one byte in so many is a separator, to look at each takes as long as to look for the names."""
_LONGEST_NAME: Final = 64
_BLANKS: Final = b" \t\r\n\v\f"
_JOINT: Final = rb"""[ \t\r\n"'\\]"""
"""What may stand between a name and its colon."""
_SEPARATOR: Final = rb"""(?:\\*["']\s*:|[ \t]*:|=)"""
_TOKENS: Final = [
    Expression(rb"eyJ[\w-]{6,}\.[\w-]{6}|eyJ[\w.-]*\z"),
    Expression(rb"""://[^/\s:@"']*:[^/\s@"']+(?:@|\z)"""),
]
"""What looks like a secret by itself, or like the beginning of one: a JSON Web Token, a password in a URL."""
_FREQUENT: Final = "qjxzkvwybfgphmculdrnsoiate"
"""Letters, the rare ones first; what is none is rarer."""


class _Needle(NamedTuple):
    """What is searched for in much text: a byte that has to be there, the needle, and what follows a secret's name."""

    rarest: int
    needle: bytes
    rest: re.Pattern[bytes]


class Hints:
    r"""What has to be in a message for a secret to be in it.

    `names` are of fields, headers and parameters; with `usual`, tokens, `bearer` and URLs are hints as well.

    >>> hints = Hints(["api_key"], usual=True)
    >>> hints.are_in(b'{"apiKey": "s3cr3t"}'), hints.are_in(b'{"key": "value"}'), hints.are_in(b"Bearer s3cr3t")
    (True, False, True)
    """

    def __init__(self, names: Iterable[str], *, usual: bool) -> None:
        names = [*names]
        split = [words(name) for name in names]
        self._usual = usual
        self._in_short = any_of([*sorted(map(_around_its_rarest, split)), *([rb"/(?<=:/)/"] if usual else [])])
        self._needles = _needles(split, usual=usual)
        self._token_needles = [_needle(token, re.compile(b"")) for token in (b"eyj", b"://")] if usual else []
        self._at_once = AtOnce(_expressions(split, usual=usual))
        # Backwards, so that it says at once whether a name stands in front of a separator.
        backwards = [_backwards(name) for name in names]
        self._named = any_of([rb"""[:=]\s*(?:["']\\*)?(?:""" + b"|".join(backwards) + rb")"] if backwards else [])
        self._colons, self._equals = _separators({parts[-1][-3:] for parts in split}, usual=usual)
        # Each begins with one byte, which is found at the speed of memory.
        self._tokens = [
            (_J, re.compile(rb"J(?<=eyJ)")),
            (_SPACE, re.compile(rb" (?<=[rR] )(?<=[bB][eE][aA][rR][eE][rR] )")),
        ][: 2 if usual else 0]

    def are_in(self, data: bytes) -> bool:
        """Whether a closer look at it is worth the time."""
        if len(data) <= _FEW and not (_COLON in data or _EQUALS in data or b"eyJ" in data or _SPACE in data):
            return False
        found = self._at_once.are_in(data)
        return self._seem_to_be_in(data) if found is None else found

    def _seem_to_be_in(self, data: bytes) -> bool:
        """The same, without the library, and with a closer look at more."""
        is_short = len(data) <= SHORT
        if not is_short and (data.count(b":", 0, _SAMPLE) + data.count(b"=", 0, _SAMPLE)) * _RARE > _SAMPLE:
            return self._are_named(data.lower())
        for byte, token in self._tokens:
            if byte in data and token.search(data):
                return True
        if _COLON not in data and _EQUALS not in data:
            return False
        if is_short and data.isascii() and self._in_short.search(data.lower()) is None:
            return False
        return self._are_separated(data)

    def ends(self, low: bytes) -> list[int]:
        """Where in much text, in lower case, a name and what separates it from its value may end, in order."""
        found = self._at_once.ends(low, 0)
        return sorted({*_ends(low, self._needles)}) if found is None else found

    def _are_named(self, low: bytes) -> bool:
        """Whether a name is there, and a separator behind it, or what is a hint by itself."""
        return next(_ends(low, [*self._needles, *self._token_needles]), None) is not None

    def _are_separated(self, data: bytes) -> bool:
        """Whether a separator is there, and a name in front of it."""
        for separators in (self._colons, self._equals):
            for match in separators.finditer(data):
                at = match.start()
                begin = max(0, before_blanks(data, at) - _LONGEST_NAME)
                if self._named.match(data[begin : at + 1].lower()[::-1]):
                    return True
                if self._usual and data.startswith(b"://", at):
                    return True
        return False


def _needles(names: list[list[str]], *, usual: bool) -> list[_Needle]:
    """Words with which every name can be found, as few as can be: `key` does for all kinds of keys."""
    rests: dict[str, list[bytes]] = {}
    for parts in sorted(names, key=lambda parts: len("".join(parts))):
        known = ((n, needle) for n, word in enumerate(parts) for needle in rests if word.startswith(needle))
        number, needle = next(known, (0, ""))
        if not needle:
            number, needle = max(enumerate(parts), key=lambda one: (len(one[1]), one[0]))
        rest = [parts[number][len(needle) :], *parts[number + 1 :]]
        rests.setdefault(needle, []).append(b"[-_]?".join(re.escape(word.encode()) for word in rest))
    found = {
        needle.encode(): re.compile(b"(?:" + b"|".join(after) + b")" + _SEPARATOR) for needle, after in rests.items()
    }
    if usual:
        found[b"bearer"] = re.compile(b" ")
    return [_needle(needle, rest) for needle, rest in found.items()]


def _needle(needle: bytes, rest: re.Pattern[bytes]) -> _Needle:
    return _Needle(min(needle, key=_frequency), needle, rest)


def _ends(low: bytes, needles: Iterable[_Needle]) -> Iterator[int]:
    """Where what follows a needle ends, needle by needle."""
    for rarest, needle, rest in needles:
        if rarest in low:
            at = low.find(needle)
            while at >= 0:
                if match := rest.match(low, at + len(needle)):
                    yield match.end()
                at = low.find(needle, at + 1)


def _expressions(names: list[list[str]], *, usual: bool) -> list[Expression]:
    """What is looked for at once: names with a separator behind them come first."""
    joint = rb"[-_]?"
    spelled = [joint.join(exactly(word.encode()) for word in parts) for parts in names]
    named = [rb"(?:%s)%s" % (b"|".join(spelled), _SEPARATOR)] if spelled else []
    if usual:
        named.append(b"bearer ")
    return [Expression(b"|".join(named), any_case=True), *(_TOKENS if usual else [])] if named else []


def _separators(ends: Iterable[str], *, usual: bool) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Expressions for colons, and for `=`, behind what names end with; the byte in front of it tells nearly always."""
    by_size: dict[int, list[bytes]] = {}
    for end in sorted(ends):
        by_size.setdefault(len(end.encode()), []).append(_in_any_case(end))
    any_end = [b"(?:" + b"|".join(same) + b")" for same in by_size.values()]  # what is behind has to be of one size
    last = b"".join(sorted({re.escape((end[-1:].lower() + end[-1:].upper()).encode()) for end in ends}))
    if not any_end:
        return any_of([rb":(?=//)"] if usual else []), any_of([])
    behind = [rb"(?<=%s:)" % end for end in any_end] + [rb"(?<=%s%s:)" % (end, _JOINT) for end in any_end]
    named = rb"""(?<=[ \t\r\n"'\\%s]:)(?:%s|(?<=%s%s:))""" % (last, b"|".join(behind), _JOINT, _JOINT)
    colons = rb":(?:%s%s)" % (named, rb"|(?=//)" if usual else b"")
    equals = rb"=(?<=[%s]=)(?:%s)" % (last, b"|".join(rb"(?<=%s=)" % end for end in any_end))
    return re.compile(colons), re.compile(equals)


def _around_its_rarest(parts: list[str]) -> bytes:
    """An expression for the name that begins to look where its rarest letter is, and looks at one word of it."""
    _, number, at = min(
        (_FREQUENT.find(letter), n, at) for n, word in enumerate(parts) for at, letter in enumerate(word)
    )
    word, before = parts[number], parts[number - 1][-1:] if number else ""
    begins = re.escape(word[: at + 1].encode())
    joints = [re.escape(before.encode()) + joint for joint in ((b"", rb"[-_]") if before else (b"",))]
    behind = b"|".join(b"(?<=%s%s)" % (joint, begins) for joint in joints)
    return re.escape(word[at].encode()) + b"(?:" + behind + b")" + re.escape(word[at + 1 :].encode())


def before_blanks(data: bytes, at: int) -> int:
    """Where the blanks begin that end there: between a name and its separator there may be any number."""
    while at > 0 and data[at - 1] in _BLANKS:
        at -= 1
    return at


# -- names ----------------------------------------------------------------------------------------


def words(name: str) -> list[str]:
    """The words of a name, in lower case: `accountId` has the same as `account_id`."""
    return re.findall(r"[^-_. ]+", re.sub(r"(?<=[a-z\d])(?=[A-Z])", "_", name).lower())


def any_of(patterns: Iterable[bytes]) -> re.Pattern[bytes]:
    """One expression for all of them; for none of them, one that is nowhere."""
    return re.compile(b"|".join(patterns) or rb"(?!)")


def _backwards(name: str) -> bytes:
    """An expression for the name, read from its end."""
    return b"[-_]?".join(re.escape(word.encode()[::-1]) for word in reversed(words(name)))


def _in_any_case(text: str) -> bytes:
    """An expression for the text, with its ASCII letters in any case, as `bytes.lower` has them."""
    return b"".join(
        b"[%c%c]" % (byte, byte - 32) if 97 <= byte <= 122 else re.escape(bytes([byte])) for byte in text.encode()
    )


def _frequency(byte: int) -> int:
    return _FREQUENT.find(chr(byte))
