"""What came and is not yet taken, and which of the possible steps takes it.

Two kinds, for the two kinds of wire: messages that arrive whole, and a stream of bytes that must be
cut first. Both answer `offer(heads, quiet, final)` with a `Taken`, a `Refused`, `WAIT` or `WAIT_FOR_QUIET`.

On a stream, of all steps that could take what came, the one that is complete with the fewest bytes
does. So what is taken never depends on how much else has arrived. For the same reason nothing is
refused while one step still waits for more, and what is known to be wrong before it is complete is
refused only when the near end pauses: then all of it can be told.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple, TypeAlias

from farend.core.findings import Candidate
from farend.core.framing import AtLeast, Cut, Framing, FramingError, Lines, UntilPattern
from farend.core.matchers import Both, Either, Equal, Json, Matcher, OfType, Regex, difference_between, matcher
from farend.core.messages import CONTROL, Message
from farend.core.place import Head
from farend.core.steps import Expect


class Taken(NamedTuple):
    """The head takes this message."""

    head: Head
    message: Message


class Refused(NamedTuple):
    """No head takes this message."""

    got: Message
    candidates: tuple[Candidate, ...]
    partial: bool = False


class Wait(enum.Enum):
    """The answers of an inbox that needs more: bytes, or to know that no more have come yet."""

    MORE = enum.auto()
    QUIET = enum.auto()


WAIT: Final = Wait.MORE
WAIT_FOR_QUIET: Final = Wait.QUIET
Verdict: TypeAlias = Taken | Refused | Literal[Wait.MORE, Wait.QUIET]


class Doom(enum.Enum):
    """A type for `DOOMED`."""

    WRONG = enum.auto()


DOOMED: Final = Doom.WRONG
"""Too few bytes for the value, and others already: more cannot mend it."""


class TooLargeError(Exception):
    """What came is larger than the limit, with no message to cut from it."""


class FunctionError(Exception):
    """A function of the test's raised; the name and the cause are its arguments."""


class MessageInbox:
    """Messages that arrive whole: a WebSocket's."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def follow(self, message: Message, expected: Message) -> bool | None:
        """Whether `message` is next, and just what is expected; it was not added then."""
        return not self.waiting and message == expected

    def add(self, message: Message) -> None:
        self.waiting.append(message)

    def rest(self) -> list[Message]:
        """All that was not taken, and take it."""
        left, self.waiting = list(self.waiting), deque()
        return left

    def partial(self) -> Message:
        return b""

    def put_back(self, step: Expect, message: Message) -> None:
        self.waiting.appendleft(message)

    def matcher_of(self, step: Expect) -> Matcher:
        """What the step expects, as a matcher."""
        return matcher(step.what)

    def offer(self, heads: Iterable[Head], quiet: bool, final: bool = True) -> Verdict:
        steps = [(head, head.step) for head in heads if isinstance(head.step, Expect)]
        while self.waiting:
            message = self.waiting.popleft()
            is_control = isinstance(message, CONTROL)
            refusals = []
            for head, step in steps:
                if is_control and not _expects_control(step.what):
                    continue
                difference = difference_between(matcher(step.what), message)
                if difference is None:
                    return Taken(head, message)
                refusals.append(Candidate(step, difference))
            # Pings and pongs belong to nobody's script unless it asks for them: they are on the transcript.
            if not is_control and not final:
                self.waiting.appendleft(message)
                return WAIT
            if not is_control:
                return Refused(message, tuple(refusals))
        return WAIT


class StreamInbox:
    """Bytes that must be cut: TCP's.

    While exactly one plain value is expected, what comes is compared with it in place and not kept:
    `_expected[:_matched]` is what has come. `add` makes bytes of that when anything else is needed.
    """

    __slots__ = ("_data", "_expected", "_framing", "_limit", "_matched")

    def __init__(self, framing: Framing | None, limit: int) -> None:
        self._framing = framing
        self._limit = limit
        self._data = bytearray()
        self._expected = b""
        self._matched = 0

    def __bool__(self) -> bool:
        return bool(self._data) or bool(self._matched)

    def follow(self, data: bytes, expected: bytes) -> bool | None:
        """Compare the next bytes of `expected` with `data`, in place.

        True: `expected` is complete, and taken. None: it goes on. False: not so; `data` was not added.
        """
        if self._data or not expected.startswith(data, self._matched):
            return False
        self._matched += len(data)
        if self._matched == len(expected):
            self._matched = 0
            return True
        self._expected = expected
        return None

    def add(self, data: bytes) -> None:
        self._gather()
        self._data += data

    def _gather(self) -> None:
        if self._matched:
            self._data[:0] = self._expected[: self._matched]
            self._matched = 0

    def rest(self) -> list[bytes]:
        """All that was not taken, and take it."""
        self._gather()
        left = [bytes(self._data)] if self._data else []
        self._data.clear()
        return left

    def partial(self) -> bytes:
        """What has come of a message that is not complete."""
        self._gather()
        return bytes(self._data)

    def put_back(self, step: Expect, message: bytes) -> None:
        """A message that `step` took is there again, in front of all that came since."""
        self._gather()
        framing = self._framing_of(step)
        self._data[:0] = message if framing is None else framing.pack(message)

    def matcher_of(self, step: Expect) -> Matcher:
        """What the step expects, as a matcher: text is the bytes that it is sent as."""
        value = plain_bytes(step)
        if value is None:
            return matcher(step.what)
        framing = step.framing or self._framing
        return Equal(value if framing is None else framing.heard(value))

    def offer(self, heads: Iterable[Head], quiet: bool, final: bool = True) -> Verdict:
        self._gather()
        steps = [(head, head.step) for head in heads if isinstance(head.step, Expect)]
        if not steps:
            return self._nobody_expects(quiet)
        best: tuple[int, Taken] | None = None
        refusals: list[tuple[int, bytes, Candidate]] = []
        doomed: list[Expect] = []
        waits = wants_quiet = False
        broken: Exception | None = None
        for head, step in steps:
            framing = self._framing_of(step)
            try:
                cut = self._plain_cut(step) if framing is None else self._framed_cut(framing, quiet)
            except (FramingError, FunctionError, TooLargeError) as error:
                broken = broken or error
                continue
            if cut is None:
                waits = True
                wants_quiet = wants_quiet or (framing is not None and framing.greedy and not quiet)
            elif cut is DOOMED:
                doomed.append(step)
            elif best is None or cut.end < best[0]:
                difference = difference_between(self.matcher_of(step), cut.message)
                if difference is None:
                    best = cut.end, Taken(head, cut.message)
                else:
                    refusals.append((cut.end, cut.message, Candidate(step, difference)))
        if best is not None:
            del self._data[: best[0]]
            return best[1]
        if wants_quiet or (doomed and not waits and not quiet):
            return WAIT_FOR_QUIET
        if waits and self._is_client_hello() and (strangers := self._surprised([step for _, step in steps])):
            return self._refuse(refusals, strangers) if quiet else WAIT_FOR_QUIET
        if waits or not final:
            return WAIT
        if broken is not None and not refusals and not doomed:
            raise broken
        return self._refuse(refusals, doomed)

    def offer_last(self, heads: Iterable[Head]) -> Taken | None:
        """What the end of the stream makes a message of, for the first step that takes it."""
        self._gather()
        for head in heads:
            step = head.step
            if not isinstance(step, Expect):
                continue
            framing = self._framing_of(step)
            cut = None if framing is None else _called(framing, framing.last, self._data)
            if cut is not None and difference_between(self.matcher_of(step), cut.message) is None:
                del self._data[: cut.end]
                return Taken(head, cut.message)
        return None

    def _nobody_expects(self, quiet: bool) -> Verdict:
        if len(self._data) > self._limit:
            raise TooLargeError("nothing was expected, and the near end goes on")
        return Refused(self.rest()[0], ()) if quiet else WAIT_FOR_QUIET

    def _is_client_hello(self) -> bool:
        """Whether what came is a TLS ClientHello, whole (RFC 8446, 4 and 5.1): behind it, its client waits for ours."""
        data = self._data
        if len(data) < 9 or data[0] != 0x16 or data[1] != 3 or data[5] != 1:
            return False
        size = int.from_bytes(data[3:5], "big")
        return len(data) == 5 + size and int.from_bytes(data[6:9], "big") == size - 4

    def _surprised(self, steps: list[Expect]) -> list[Expect]:
        """The steps that expect something else than what came, unless one of them expects bytes like these."""
        came = bytes(self._data)
        if any((plain_bytes(step) or _pattern(step)).lstrip(b"(?:").startswith((b"\x16", b"\\x16")) for step in steps):
            return []
        return [step for step in steps if difference_between(self.matcher_of(step), came) is not None]

    def _refuse(self, refusals: list[tuple[int, bytes, Candidate]], doomed: list[Expect]) -> Refused:
        """No step can take what came. Told is the shortest message that was cut, or all that came."""
        everything = bytes(self._data)
        for step in doomed:
            difference = difference_between(self.matcher_of(step), everything)
            assert difference is not None  # a beginning that is not the value's is not the value
            refusals.append((len(everything), everything, Candidate(step, difference)))
        refusals.sort(key=lambda refusal: refusal[0])
        end, message, nearest = refusals[0]
        del self._data[:end]
        return Refused(message, tuple(candidate for _, _, candidate in refusals), partial=nearest.step in doomed)

    def _framing_of(self, step: Expect) -> Framing | None:
        """What cuts the message of a step; None where its value says how long it is."""
        framing = step.framing or self._framing
        if framing is None and plain_bytes(step) is None:
            return _natural_framing(step)
        return framing

    def _plain_cut(self, step: Expect) -> Cut | Literal[Doom.WRONG] | None:
        """As many bytes as the value has; `DOOMED` where fewer came, and they are others already."""
        value = plain_bytes(step)
        if not value:
            return None  # nothing cannot be seen to arrive
        if len(self._data) >= len(value):
            return Cut(len(value), bytes(memoryview(self._data)[: len(value)]))
        return None if value.startswith(self._data) else DOOMED

    def _framed_cut(self, framing: Framing, quiet: bool) -> Cut | None:
        """The first message; None while it is incomplete."""
        size = len(self._data)
        cut = _called(framing, framing.cut, self._data, quiet)
        if cut is not None and not 0 < cut.end <= size:
            error = ValueError(f"it cut a message of {cut.end} bytes from {size}")
            raise FunctionError(f"the framing {framing!r}", error)
        if (size if cut is None else cut.end) > self._limit:
            raise TooLargeError("no message ends within as many bytes")
        return cut


def _called(framing: Framing, method: Callable[..., Cut | None], *arguments: object) -> Cut | None:
    try:
        return method(*arguments)
    except FramingError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise FunctionError(f"the framing {framing!r}", error) from error


def _natural_framing(step: Expect) -> Framing:
    """What cuts the stream where neither step nor script says it, and the step expects no plain value."""
    what = matcher(step.what)
    if isinstance(what, Regex):
        return UntilPattern(what.pattern)
    if isinstance(what, Json):
        return _LINES
    return _SOME


_LINES = Lines()
_SOME = AtLeast(1)


def plain_bytes(step: Expect) -> bytes | None:
    """The bytes that a step expects on a stream, where it expects just these; text is UTF-8."""
    what = step.what
    if isinstance(what, Equal):
        what = what.value
    if type(what) is bytes:
        return what
    return what.encode(errors="surrogatepass") if type(what) is str else None


def _pattern(step: Expect) -> bytes:
    """The regular expression that a step expects; empty where it expects something else."""
    what = matcher(step.what)
    pattern = what.pattern.pattern if isinstance(what, Regex) else b""
    return pattern if isinstance(pattern, bytes) else pattern.encode(errors="replace")


def _expects_control(what: object) -> bool:
    """Whether pings or pongs are named in what is expected."""
    match what:
        case Both() | Either():
            return _expects_control(what.left) or _expects_control(what.right)
        case Equal():
            return isinstance(what.value, CONTROL)
        case OfType():
            return issubclass(what.type, CONTROL)
    return isinstance(what, CONTROL)
