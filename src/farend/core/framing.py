"""How a byte stream is cut into messages, and how a message is packed into bytes.

A framing looks at the bytes that have come and are not yet taken, from the first one, and says where
the first message ends: `cut(data, quiet)` gives a `Cut`, or None while more is needed. It must be a
function of the bytes alone, so that it never matters in how many segments they came.

One framing needs more than the bytes: `at_least(n)` takes everything that has come by the time the
near end pauses. It cuts only when told that all that had arrived is there (`quiet`), so that the
segments of one burst do not matter to it either.
"""

from __future__ import annotations

import codecs
import operator
import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from farend.core.messages import printed
from farend.errors import ScriptError, WrongType

Buffer: TypeAlias = bytes | bytearray


class Cut(NamedTuple):
    """The first `end` bytes are taken, and `message` is what they say."""

    end: int
    message: bytes


class FramingError(Exception):
    """The bytes cannot be a message of this framing. Becomes a finding; never leaves the core."""


class Framing:
    """The base of all framings: override `cut`, and `pack` where sending needs it."""

    __slots__: tuple[str, ...] = ()
    greedy = False
    """True where `cut` answers only when `quiet`."""

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        """Where the first message of `data` ends; None while more bytes are needed."""
        raise NotImplementedError

    def last(self, data: Buffer) -> Cut | None:
        """What the end of the stream makes of `data`, of which no message could be cut; None for nothing."""
        return None

    def pack(self, message: bytes) -> bytes:
        """The bytes that say `message`."""
        return message

    def heard(self, message: bytes) -> bytes:
        """`message` as the other side cuts it out again."""
        return message

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def _key(self) -> tuple[object, ...]:
        # A class of the test's own may have no slots, and keep what it has in its dictionary.
        return (*(getattr(self, name) for name in self.__slots__), *getattr(self, "__dict__", {}).items())


class Exactly(Framing):
    """Messages of exactly `size` bytes."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        if len(data) < self.size:
            return None
        return Cut(self.size, bytes(memoryview(data)[: self.size]))

    def __repr__(self) -> str:
        return f"exactly({self.size})"


class AtLeast(Framing):
    """All that has come once the near end pauses, but no fewer than `size` bytes."""

    __slots__ = ("size",)
    greedy = True

    def __init__(self, size: int) -> None:
        self.size = size

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        if not quiet or len(data) < self.size:
            return None
        return Cut(len(data), bytes(data))

    def __repr__(self) -> str:
        return f"at_least({self.size})"


class Until(Framing):
    """Messages that end with `delimiter`, which is no part of the message unless `keep`."""

    __slots__ = ("delimiter", "keep")

    def __init__(self, delimiter: bytes, keep: bool = False) -> None:
        self.delimiter = delimiter
        self.keep = keep

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        found = data.find(self.delimiter)
        if found < 0:
            return None
        end = found + len(self.delimiter)
        return Cut(end, bytes(memoryview(data)[: end if self.keep else found]))

    def pack(self, message: bytes) -> bytes:
        return message if self.keep and message.endswith(self.delimiter) else message + self.delimiter

    def heard(self, message: bytes) -> bytes:
        return self.pack(message) if self.keep else message

    def __repr__(self) -> str:
        return f"until({self.delimiter!r}{', keep=True' if self.keep else ''})"


class Lines(Until):
    """Lines that end with LF or CRLF; the message has neither. Sent lines end with `ending`."""

    __slots__ = ("ending",)

    def __init__(self, ending: bytes = b"\n") -> None:
        super().__init__(b"\n")
        self.ending = ending

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        found = super().cut(data, quiet)
        if found is None or not found.message.endswith(b"\r"):
            return found
        return Cut(found.end, found.message[:-1])

    def pack(self, message: bytes) -> bytes:
        return message + self.ending

    def _key(self) -> tuple[object, ...]:
        return (self.ending,)

    def __repr__(self) -> str:
        return "lines()" if self.ending == b"\n" else f"lines({self.ending!r})"


class LengthPrefixed(Framing):
    """A length in front of each message, laid out as the `struct` format says."""

    __slots__ = ("format", "limit")

    def __init__(self, format: str, limit: int) -> None:
        self.format = format
        self.limit = limit

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        head = struct.calcsize(self.format)
        if len(data) < head:
            return None
        (size,) = struct.unpack_from(self.format, data)
        if not 0 <= size <= self.limit:
            prefix = bytes(memoryview(data)[:head])
            raise FramingError(f"the length prefix {prefix!r} announces {size:,} bytes; the limit is {self.limit:,}")
        end = head + size
        return None if len(data) < end else Cut(end, bytes(memoryview(data)[head:end]))

    def pack(self, message: bytes) -> bytes:
        try:
            return struct.pack(self.format, len(message)) + message
        except struct.error as error:
            raise FramingError(f"{len(message):,} bytes are too many for a {self.format!r} length: {error}") from None

    def __repr__(self) -> str:
        return f"length_prefixed({self.format!r})"


class UntilPattern(Framing):
    """The shortest beginning of the stream in which the regular expression is found.

    The shortest, because only then does the message not depend on what else has come already. A
    pattern of text sees the bytes as UTF-8, and ends between characters.
    """

    __slots__ = ("pattern",)
    # What can look past the end of a match, so that more bytes can unmake it.
    _LOOKS_AHEAD = re.compile(r"\$|\\[bBZ]|\(\?[=!<>]|[*+?}]\+")

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self.pattern = pattern

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        if isinstance(self.pattern.pattern, bytes):
            end = self._end(data, self.pattern.pattern.decode("latin-1"))
        else:
            # Bytes that are no UTF-8 become one character each; a character that is not complete waits.
            text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)
            end = self._end(text, self.pattern.pattern)
            end = None if end is None else len(text[:end].encode(errors="surrogateescape"))
        return None if end is None else Cut(end, bytes(memoryview(data)[:end]))

    def _end(self, data: Buffer | str, source: str) -> int | None:
        if not data:
            return None
        search = self.pattern.search
        if self._LOOKS_AHEAD.search(source):
            return next((end for end in range(1, len(data) + 1) if search(data, 0, end)), None)
        found = search(data)
        if found is None:
            return None
        low, high = found.start() + 1, max(found.end(), found.start() + 1)
        while low < high:
            middle = (low + high) // 2
            if search(data, 0, middle):
                high = middle
            else:
                low = middle + 1
        return high

    def __repr__(self) -> str:
        return f"pattern({self.pattern.pattern!r})"


class ByFunction(Framing):
    """Cut by a function of the user's."""

    __slots__ = ("function", "packer")

    def __init__(
        self,
        function: Callable[[bytes], int | tuple[int, bytes] | None],
        packer: Callable[[bytes], bytes] | None,
    ) -> None:
        self.function = function
        self.packer = packer

    def cut(self, data: Buffer, quiet: bool) -> Cut | None:
        answer: Any = self.function(bytes(data))
        if answer is None:
            return None
        pair = answer if isinstance(answer, tuple) and len(answer) == 2 else None
        end = pair[0] if pair else answer
        if not _is_end(end, len(data)):
            raise ValueError(
                f"it answered {printed(answer)} for {len(data)} bytes; it must answer None, an end from 1 to the number"
                f" of bytes, or (end, message){_turned_round(answer)}"
            )
        end = operator.index(end)
        message = pair[1] if pair else bytes(data[:end])
        if not isinstance(message, bytes):
            raise TypeError(f"it answered {printed(answer)}; a message on a stream is bytes")
        return Cut(end, message)

    def pack(self, message: bytes) -> bytes:
        return self.packer(message) if self.packer else message

    def __repr__(self) -> str:
        return f"framed_by({getattr(self.function, '__name__', self.function)!s})"


def _is_end(end: object, size: int) -> bool:
    """Whether a message can end there in so many bytes; True and False are no places."""
    return hasattr(end, "__index__") and not isinstance(end, bool) and 0 < operator.index(end) <= size


def _turned_round(answer: object) -> str:
    """What to write for a pair that is the wrong way round."""
    match answer:
        case (bytes() | bytearray(), int(end)):
            return f"; the end comes first: write ({end}, message)"
    return ""


# -- the words that users write -------------------------------------------------------------------


def exactly(size: int) -> Framing:
    """Messages of exactly `size` bytes (one or more).

    >>> exactly(4).cut(b"abcdef", quiet=False)
    Cut(end=4, message=b'abcd')
    """
    __tracebackhide__ = True
    return Exactly(_size(size, "exactly"))


def at_least(size: int) -> Framing:
    """Everything that has come once the near end pauses, but no fewer than `size` bytes (seed 001).

    >>> at_least(4).cut(b"abcdef", quiet=True)
    Cut(end=6, message=b'abcdef')
    """
    __tracebackhide__ = True
    return AtLeast(_size(size, "at_least"))


def until(delimiter: bytes | str, *, keep: bool = False) -> Framing:
    r"""Messages that end with `delimiter`; it is cut off, unless `keep`, and added when sending.

    >>> until(b"\r\n").cut(b"EHLO me\r\nMAIL", quiet=False)
    Cut(end=9, message=b'EHLO me')
    """
    __tracebackhide__ = True
    raw = delimiter.encode() if isinstance(delimiter, str) else delimiter
    if not isinstance(raw, bytes):
        raise WrongType(f"until() takes the delimiter as bytes or str, not {delimiter!r}")
    if not raw:
        raise ScriptError("until() needs a delimiter of at least one byte")
    return Until(raw, keep)


def lines(ending: bytes = b"\n") -> Framing:
    r"""Lines, which the near end may end with LF or CRLF; lines are sent with `ending`.

    >>> lines().cut(b"hello\r\nyou\n", quiet=False)
    Cut(end=7, message=b'hello')
    """
    __tracebackhide__ = True
    if ending not in (b"\n", b"\r\n"):
        raise ScriptError(rf"lines() ends lines with b'\n' or b'\r\n', not {ending!r}; see until()")
    return Lines(ending)


def json_lines() -> Framing:
    r"""One JSON value a line: the framing is `lines()`, and `json=` reads and writes the values."""
    return Lines()


def length_prefixed(format: str = ">I", *, limit: int = 16 << 20) -> Framing:
    r"""A length in front of each message, as the `struct` format lays it out (`">I"`: 4 bytes, big-endian).

    A length past `limit` (bytes; 16 MiB unless said otherwise) is a finding.

    >>> length_prefixed(">H").pack(b"hello")
    b'\x00\x05hello'
    """
    __tracebackhide__ = True
    try:
        (value,) = struct.unpack(format, bytes(struct.calcsize(format)))
    except (struct.error, ValueError, TypeError) as error:
        raise ScriptError(
            f"length_prefixed({format!r}): a struct format of one integer is needed, such as '>I' ({error})"
        ) from None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ScriptError(f"length_prefixed({format!r}): the format must be that of an integer, such as '>I'")
    return LengthPrefixed(format, _size(limit, "length_prefixed", "limit="))


def pattern(expression: bytes | str | re.Pattern[Any]) -> Framing:
    r"""Up to where the regular expression is found first; write the end of the message into it.

    An expression of text, such as `"[äöü];"`, sees the bytes as UTF-8.

    >>> pattern(rb"\d+;").cut(b"12;34;", quiet=False)
    Cut(end=3, message=b'12;')
    """
    __tracebackhide__ = True
    if not isinstance(expression, bytes | str | re.Pattern):
        raise WrongType(f"pattern() takes a regular expression, not {expression!r}")
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise ScriptError(f"pattern({expression!r}) is no regular expression: {error}") from None
    nothing: Any = compiled.pattern[:0]
    if compiled.search(nothing):
        raise ScriptError(f"pattern({expression!r}) is found where nothing is: a message has at least one byte")
    return UntilPattern(compiled)


def framed_by(
    function: Callable[[bytes], int | tuple[int, bytes] | None],
    pack: Callable[[bytes], bytes] | None = None,
) -> Framing:
    """Cut by your own function, called with all bytes not yet taken.

    It answers None while more is needed, the end of the first message (how many bytes are taken), or
    `(end, message)` where the message is not just these bytes. `pack`, where given, makes a message's
    bytes for sending.

    >>> framed_by(lambda data: 3 if len(data) >= 3 else None).cut(b"abcd", quiet=False)
    Cut(end=3, message=b'abc')
    """
    __tracebackhide__ = True
    if not callable(function):
        raise WrongType(f"framed_by() takes a function of the bytes that came, not {function!r}")
    return ByFunction(function, pack)


def _size(size: int, name: str, argument: str = "") -> int:
    __tracebackhide__ = True
    if not isinstance(size, int) or isinstance(size, bool):
        raise WrongType(f"{name}({argument}) takes a number of bytes, not {size!r}")
    if size < 1:
        raise ScriptError(f"{name}({argument}{size}): a message has at least one byte")
    return size
