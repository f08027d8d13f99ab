"""What a WebSocket server can say wrong, and what it can say that is right and rare, by clause of RFC 6455.

Each `Case` is a step of a script, and holds what the RFC asks of whoever receives it. The pack is one table: the cases
stand in the order in which they are checked. Cases to be failed come in two levels. MUST is for what the RFC tells
the receiver to fail, and for what it forbids the sender so plainly that taking it means to have checked nothing
("incoming data MUST always be validated", 10.7). SHOULD is for what the RFC leaves to the receiver.
"""

from __future__ import annotations

import difflib
import enum
import fnmatch
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from farend.core.answers import WRONG_ACCEPT as ANOTHER_ACCEPT
from farend.core.answers import Answer
from farend.core.by_hand import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame
from farend.core.messages import OnWire, printed
from farend.errors import InvalidArguments, WrongType

Level: TypeAlias = Literal["MUST", "SHOULD"]
PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009
"""Close codes (RFC 6455, 7.4.1)."""


class Reaction(enum.Enum):
    """What the RFC asks of who receives it."""

    FAIL = "fail the connection"
    """Close it, with a close frame that says why, and hand nothing on (7.1.7)."""
    REFUSE = "open no WebSocket"
    """Close the connection, and say nothing on it (4.1)."""
    TAKE = "take it"
    """Hand the messages on, answer the pings, and go on."""
    CLOSE = "answer the close"
    """Send a close frame as well, and be done (5.5.1)."""


@dataclass(frozen=True, slots=True, repr=False)
class Case(OnWire):
    """One thing that a far end says, as a step of a script, and the reaction that RFC 6455 asks for.

    >>> from farend import Script, malformed
    >>> print(Script().malformed("masked-frame").expect_close(1002))
    Script of 2 steps
      1. malformed masked-frame (RFC 6455, 5.1): a text frame is masked, as only a client's may be
      2. expect close 1002
    >>> malformed.MASKED_FRAME.asked
    'MUST fail the connection (1002)'

    `what` says what the far end does, `rule` what the RFC says of it. `codes` are the close codes that the reaction
    may have, the likely one first; any may be where there is none. `before` are messages that may be handed on, and
    `messages` and `pongs` those that have to be. A client's far end says the same frames masked, and a masked one
    unmasked.
    """

    name: str
    clause: str
    what: str
    rule: str
    level: Level = "MUST"
    reaction: Reaction = Reaction.FAIL
    codes: tuple[int, ...] = ()
    frames: tuple[OnWire, ...] = ()
    answer: Answer | None = None
    before: tuple[str | bytes, ...] = ()
    messages: tuple[str | bytes, ...] = ()
    pongs: tuple[bytes, ...] = ()
    compressed: bool = False
    """Whether it makes sense only where permessage-deflate was agreed on (RFC 7692)."""

    @property
    def closes(self) -> bool:
        return any(one.closes for one in self.frames)

    def wire_bytes(self, masked: bool) -> bytes:
        return b"".join([one.wire_bytes(masked) for one in self.frames])

    @property
    def asked(self) -> str:
        """The reaction, in words."""
        code = f" ({' or '.join(map(str, self.codes))})" if self.codes else ""
        takes = [printed(message, 30) for message in self.messages]
        takes += ["a pong" if not pong else f"a pong {printed(pong, 30)}" for pong in self.pongs]
        if self.reaction is Reaction.TAKE:
            return f"{self.level} {' and '.join([self.reaction.value, *(f'give {one}' for one in takes)])}"
        return f"{self.level} {self.reaction.value}{code}"

    @property
    def title(self) -> str:
        """The case on one line."""
        return f"malformed {self.name} ({self.source}): {self.what}"

    @property
    def source(self) -> str:
        """The document and the clause."""
        return self.clause if self.clause.startswith("RFC") else f"RFC 6455, {self.clause}"

    def __repr__(self) -> str:
        return f"<malformed {self.name}>"


CASES: Final[dict[str, Case]] = {}
"""All there are, by name."""


def _case(name: str, clause: str, what: str, rule: str, *frames: OnWire, **more: object) -> Case:
    case = Case(name, clause, what, rule, frames=frames, **more)  # type: ignore[arg-type]
    CASES[name] = case
    return case


def case_of(which: str | Case) -> Case:
    """The case of this name; a case is itself. Raises `InvalidArguments` for one that there is not."""
    __tracebackhide__ = True
    if isinstance(which, Case):
        return which
    if not isinstance(which, str):
        raise WrongType(f"a malformed frame has a name, such as 'masked-frame', not {printed(which)}")
    if which not in CASES:
        raise InvalidArguments(f"there is no malformed frame {which!r}; {_nearest(which)}")
    return CASES[which]


def cases(*patterns: str) -> tuple[Case, ...]:
    """The cases whose name is like a pattern (`"utf8-*"`), or whose clause is one (`"5.5"` has `5.5.1` in it).

    With no pattern, all there are.

    >>> [case.name for case in cases("rsv?", "5.1")]
    ['masked-frame', 'masked-ping', 'rsv1', 'rsv2', 'rsv3']

    Raises `InvalidArguments` where there is none for a pattern.
    """
    __tracebackhide__ = True
    chosen: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise WrongType(f"a pattern of names is text, such as 'utf8-*', not {printed(pattern)}")
        found = {name for name, case in CASES.items() if fnmatch.fnmatchcase(name, pattern) or _in(case, pattern)}
        if not found:
            raise InvalidArguments(f"no malformed frame is called {pattern!r}; {_nearest(pattern)}")
        chosen |= found
    return tuple(case for name, case in CASES.items() if not patterns or name in chosen)


def _in(case: Case, clause: str) -> bool:
    if case.clause.startswith("RFC"):
        return case.clause.startswith(clause) and clause.startswith("RFC")
    return any(f"{one.strip()}.".startswith(f"{clause}.") for one in case.clause.split(","))


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.lower().replace("_", "-").replace(" ", "-"), CASES, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else "`farend check-client --list` lists them"


def _close(code: int, reason: bytes = b"") -> Frame:
    return Frame(CLOSE, code.to_bytes(2) + reason)


def _halves(opcode: int, *parts: bytes) -> Iterable[Frame]:
    """A message, in these fragments."""
    for index, part in enumerate(parts):
        yield Frame(CONT if index else opcode, part, fin=index == len(parts) - 1)


def _failing(*codes: int) -> dict[str, object]:
    return {"codes": codes}


_TAKE: Final[dict[str, object]] = {"reaction": Reaction.TAKE}
_REFUSE: Final[dict[str, object]] = {"reaction": Reaction.REFUSE}
_FAIL: Final = _failing(PROTOCOL_ERROR)
_PERHAPS: Final[dict[str, object]] = {"codes": (PROTOCOL_ERROR,), "level": "SHOULD"}
_NOT_UTF8: Final = _failing(INVALID_DATA)
_MIB: Final = bytes(1 << 20)

# -- plain messages: whoever does not give these back cannot be checked -----------------------------

PLAIN_TEXT = _case(
    "plain-text",
    "5.6",
    "a text message",
    "a text message is handed on",
    Frame(TEXT, b"hello"),
    messages=("hello",),
    **_TAKE,
)
PLAIN_BINARY = _case(
    "plain-binary",
    "5.6",
    "a binary message",
    "a binary message is handed on",
    Frame(BINARY, b"\x00\xff"),
    messages=(b"\x00\xff",),
    **_TAKE,
)

# -- the opening handshake --------------------------------------------------------------------------

WRONG_STATUS = _case(
    "wrong-status",
    "4.1",
    "the handshake is answered with 200 in place of 101, and all else as it should be",
    "a status other than 101 is HTTP's, and opens no WebSocket",
    answer=Answer("200 OK", (("Content-Length", "0"),)),
    **_REFUSE,
)
MISSING_UPGRADE = _case(
    "missing-upgrade",
    "4.1",
    "the answer to the handshake has no Upgrade",
    "the client must fail the connection without it",
    answer=Answer(without=("Upgrade",)),
    **_REFUSE,
)
WRONG_UPGRADE = _case(
    "wrong-upgrade",
    "4.1",
    "the answer to the handshake upgrades to something else (h2c)",
    "the client must fail the connection unless it is 'websocket'",
    answer=Answer(fields=(("Upgrade", "h2c"),)),
    **_REFUSE,
)
MISSING_CONNECTION = _case(
    "missing-connection",
    "4.1",
    "the answer to the handshake has no Connection",
    "the client must fail the connection without it",
    answer=Answer(without=("Connection",)),
    **_REFUSE,
)
WRONG_CONNECTION = _case(
    "wrong-connection",
    "4.1",
    "the answer to the handshake says Connection: keep-alive",
    "the client must fail the connection unless 'Upgrade' is in it",
    answer=Answer(fields=(("Connection", "keep-alive"),)),
    **_REFUSE,
)
MISSING_ACCEPT = _case(
    "missing-accept",
    "4.1",
    "the answer to the handshake has no Sec-WebSocket-Accept",
    "the client must fail the connection without it",
    answer=Answer(without=("Sec-WebSocket-Accept",)),
    **_REFUSE,
)
WRONG_ACCEPT = _case(
    "wrong-accept",
    "4.1",
    "the answer to the handshake has another key's Sec-WebSocket-Accept",
    "the client must fail the connection unless it is made of its own key",
    answer=ANOTHER_ACCEPT,
    **_REFUSE,
)
UNASKED_SUBPROTOCOL = _case(
    "unasked-subprotocol",
    "4.1",
    "the answer to the handshake has a subprotocol that was not offered",
    "the client must fail the connection",
    answer=Answer(fields=(("Sec-WebSocket-Protocol", "not-offered"),)),
    **_REFUSE,
)
UNASKED_EXTENSION = _case(
    "unasked-extension",
    "4.1, 9.1",
    "the answer to the handshake has an extension that was not offered",
    "the client must fail the connection",
    answer=Answer(fields=(("Sec-WebSocket-Extensions", "x-not-offered"),)),
    **_REFUSE,
)
HANDSHAKE_SMALL_LETTERS = _case(
    "handshake-small-letters",
    "4.1",
    "the answer to the handshake has its names in small letters, and Upgrade: WebSocket",
    "names, and these values, are the same in any case",
    Frame(TEXT, b"hello"),
    answer=Answer(fields=(("Upgrade", "WebSocket"), ("Connection", "upgrade")), lower=True),
    messages=("hello",),
    **_TAKE,
)
HANDSHAKE_CONNECTION_LIST = _case(
    "handshake-connection-list",
    "4.1",
    "the answer to the handshake says Connection: keep-alive, Upgrade, and has headers that nobody knows",
    "'Upgrade' is one of the values of a list",
    Frame(TEXT, b"hello"),
    answer=Answer(fields=(("Connection", "keep-alive, Upgrade"), ("X-Unknown", "a, b"))),
    messages=("hello",),
    **_TAKE,
)

# -- masks and the first two bytes ------------------------------------------------------------------

MASKED_FRAME = _case(
    "masked-frame",
    "5.1",
    "a text frame is masked, as only a client's may be",
    "a client must close the connection if it sees a masked frame (and a server if it sees one that is not)",
    Frame(TEXT, b"masked", masked="otherwise"),
    **_FAIL,
)
MASKED_PING = _case(
    "masked-ping",
    "5.1",
    "a ping is masked, as only a client's may be",
    "a client must close the connection if it sees a masked frame (and a server if it sees one that is not)",
    Frame(PING, b"masked", masked="otherwise"),
    **_FAIL,
)
RSV1 = _case(
    "rsv1",
    "5.2",
    "a text frame has RSV1 set, and no extension was agreed on",
    "the receiver must fail the connection",
    Frame(TEXT, b"rsv1", rsv=4),
    **_FAIL,
)
RSV2 = _case(
    "rsv2",
    "5.2",
    "a text frame has RSV2 set",
    "the receiver must fail the connection",
    Frame(TEXT, b"rsv2", rsv=2),
    **_FAIL,
)
RSV3 = _case(
    "rsv3",
    "5.2",
    "a binary frame has RSV3 set",
    "the receiver must fail the connection",
    Frame(BINARY, b"rsv3", rsv=1),
    **_FAIL,
)
RSV1_PING = _case(
    "rsv1-ping",
    "5.2",
    "a ping has RSV1 set",
    "the receiver must fail the connection",
    Frame(PING, b"rsv1", rsv=4),
    **_FAIL,
)
_OPCODE: Final = "the receiver of an unknown opcode must fail the connection"
OPCODE_3 = _case("opcode-3", "5.2", "a frame has the reserved opcode 3", _OPCODE, Frame(0x3, b"3"), **_FAIL)
OPCODE_7 = _case("opcode-7", "5.2", "an empty frame has the reserved opcode 7", _OPCODE, Frame(0x7), **_FAIL)
OPCODE_B = _case("opcode-b", "5.2", "a frame has the reserved control opcode 0xB", _OPCODE, Frame(0xB, b"b"), **_FAIL)
OPCODE_F = _case("opcode-f", "5.2", "an empty frame has the reserved control opcode 0xF", _OPCODE, Frame(0xF), **_FAIL)

# -- lengths ----------------------------------------------------------------------------------------

_MINIMAL: Final = "a length is written in as few bytes as can be; what a receiver does is left to it (10.7)"
LENGTH_16_NOT_MINIMAL = _case(
    "length-16-not-minimal",
    "5.2, 10.7",
    "a length of 5 is written in 16 bits",
    _MINIMAL,
    Frame(TEXT, b"short", width=2),
    **_PERHAPS,
)
LENGTH_64_NOT_MINIMAL = _case(
    "length-64-not-minimal",
    "5.2, 10.7",
    "a length of 5 is written in 64 bits",
    _MINIMAL,
    Frame(BINARY, b"short", width=8),
    **_PERHAPS,
)
LENGTH_64_TOP_BIT = _case(
    "length-64-top-bit",
    "5.2, 10.7",
    "a length in 64 bits has its most significant bit set",
    "that bit must be 0",
    Frame(BINARY, b"short", length=1 << 63 | 5),
    **_failing(PROTOCOL_ERROR, TOO_BIG),
)
LENGTH_16 = _case(
    "length-16",
    "5.2",
    "a text of 65,535 bytes, whose length takes 16 bits",
    "that is how lengths from 126 to 65,535 are written",
    Frame(TEXT, b"x" * 65_535),
    messages=("x" * 65_535,),
    **_TAKE,
)
LENGTH_64 = _case(
    "length-64",
    "5.2",
    "a binary message of 65,536 bytes, whose length takes 64 bits",
    "that is how lengths from 65,536 on are written",
    Frame(BINARY, b"x" * 65_536),
    messages=(b"x" * 65_536,),
    **_TAKE,
)

# -- control frames ---------------------------------------------------------------------------------

_SHORT: Final = "a control frame has a payload of at most 125 bytes"
_WHOLE: Final = "a control frame must not be fragmented"
PING_TOO_LONG = _case(
    "ping-too-long", "5.5, 10.7", "a ping has a payload of 126 bytes", _SHORT, Frame(PING, b"p" * 126), **_FAIL
)
PONG_TOO_LONG = _case(
    "pong-too-long", "5.5, 10.7", "a pong has a payload of 126 bytes", _SHORT, Frame(PONG, b"p" * 126), **_FAIL
)
CLOSE_TOO_LONG = _case(
    "close-too-long",
    "5.5, 10.7",
    "a close frame has a payload of 126 bytes",
    _SHORT,
    _close(1000, b"r" * 124),
    **_FAIL,
)
FRAGMENTED_PING = _case(
    "fragmented-ping", "5.5, 10.7", "a ping comes in two fragments", _WHOLE, *_halves(PING, b"pi", b"ng"), **_FAIL
)
FRAGMENTED_PONG = _case(
    "fragmented-pong", "5.5, 10.7", "a pong comes in two fragments", _WHOLE, *_halves(PONG, b"po", b"ng"), **_FAIL
)
FRAGMENTED_CLOSE = _case(
    "fragmented-close",
    "5.5, 10.7",
    "a close frame comes in two fragments",
    _WHOLE,
    *_halves(CLOSE, b"\x03\xe8", b"end"),
    **_FAIL,
)
PING_WITHOUT_PAYLOAD = _case(
    "ping-without-payload",
    "5.5.2",
    "a ping has no payload",
    "a ping must be answered with a pong",
    Frame(PING),
    pongs=(b"",),
    **_TAKE,
)
PING_125 = _case(
    "ping-125",
    "5.5.2, 5.5.3",
    "a ping has a payload of 125 bytes",
    "its pong must have the same payload",
    Frame(PING, bytes(range(125))),
    pongs=(bytes(range(125)),),
    **_TAKE,
)
UNSOLICITED_PONG = _case(
    "unsolicited-pong",
    "5.5.3",
    "a pong comes that no ping has asked for",
    "it may be sent, and a response to it is not expected",
    Frame(PONG, b"by the way"),
    **_TAKE,
)

# -- fragments --------------------------------------------------------------------------------------

_IN_ORDER: Final = "the fragments of one message must not be interleaved with those of another"
_BEGUN: Final = "a continuation continues a message that has begun"
CONTINUATION_WITHOUT_START = _case(
    "continuation-without-start",
    "5.4, 10.7",
    "a continuation comes, and no message has begun",
    _BEGUN,
    Frame(CONT, b"what?"),
    **_FAIL,
)
CONTINUATION_NOT_FINAL = _case(
    "continuation-not-final",
    "5.4, 10.7",
    "a continuation that is not the last comes, and no message has begun",
    _BEGUN,
    Frame(CONT, b"what?", fin=False),
    **_FAIL,
)
CONTINUATION_AFTER_END = _case(
    "continuation-after-end",
    "5.4, 10.7",
    "a continuation comes behind a message's last fragment",
    _BEGUN,
    *_halves(TEXT, b"whole", b" message"),
    Frame(CONT, b" and more"),
    before=("whole message",),
    **_FAIL,
)
TEXT_INSIDE_FRAGMENTS = _case(
    "text-inside-fragments",
    "5.4, 10.7",
    "a text message comes inside of a fragmented one",
    _IN_ORDER,
    Frame(TEXT, b"begun", fin=False),
    Frame(TEXT, b"another"),
    **_FAIL,
)
BINARY_INSIDE_FRAGMENTS = _case(
    "binary-inside-fragments",
    "5.4, 10.7",
    "a fragmented binary message begins inside of a fragmented text",
    _IN_ORDER,
    Frame(TEXT, b"begun", fin=False),
    Frame(BINARY, b"another", fin=False),
    Frame(CONT, b" end"),
    **_FAIL,
)
FRAGMENTED_TEXT = _case(
    "fragmented-text",
    "5.4",
    "a text comes in three fragments",
    "fragments are put together",
    *_halves(TEXT, b"one ", b"two ", b"three"),
    messages=("one two three",),
    **_TAKE,
)
EMPTY_FRAGMENTS = _case(
    "empty-fragments",
    "5.4",
    "the first, a middle and the last fragment are empty",
    "a fragment may be empty",
    *_halves(BINARY, b"", b"be", b"", b"tween", b""),
    messages=(b"between",),
    **_TAKE,
)
EMPTY_MESSAGE = _case(
    "empty-message",
    "5.2",
    "a text message is empty",
    "a payload may have no bytes",
    Frame(TEXT),
    messages=("",),
    **_TAKE,
)
NOTHING_BUT_EMPTY_FRAGMENTS = _case(
    "nothing-but-empty-fragments",
    "5.4",
    "an empty text comes in three fragments",
    "a fragment may be empty",
    *_halves(TEXT, b"", b"", b""),
    messages=("",),
    **_TAKE,
)
PING_BETWEEN_FRAGMENTS = _case(
    "ping-between-fragments",
    "5.4, 5.5.2",
    "a ping comes between the fragments of a text",
    "control frames may be injected in the middle of a fragmented message, and must be handled there",
    Frame(TEXT, b"in two", fin=False),
    Frame(PING, b"between"),
    Frame(CONT, b" parts"),
    messages=("in two parts",),
    pongs=(b"between",),
    **_TAKE,
)
PONG_BETWEEN_FRAGMENTS = _case(
    "pong-between-fragments",
    "5.4, 5.5.3",
    "a pong that nobody has asked for comes between the fragments of a binary message",
    "control frames may be injected in the middle of a fragmented message",
    Frame(BINARY, b"in two", fin=False),
    Frame(PONG, b"between"),
    Frame(CONT, b" parts"),
    messages=(b"in two parts",),
    **_TAKE,
)

# -- UTF-8 ------------------------------------------------------------------------------------------

_UTF8: Final = "text that is not UTF-8 must fail the connection"
UTF8_STRAY_BYTE = _case(
    "utf8-stray-byte", "8.1", "a text has a lone continuation byte", _UTF8, Frame(TEXT, b"a\x80z"), **_NOT_UTF8
)
UTF8_OVERLONG = _case(
    "utf8-overlong", "8.1", "a text has a slash in two bytes (overlong)", _UTF8, Frame(TEXT, b"a\xc0\xafz"), **_NOT_UTF8
)
UTF8_SURROGATE = _case(
    "utf8-surrogate", "8.1", "a text has a surrogate (U+D800)", _UTF8, Frame(TEXT, b"a\xed\xa0\x80z"), **_NOT_UTF8
)
UTF8_PAST_THE_END = _case(
    "utf8-past-the-end",
    "8.1",
    "a text has a code point past U+10FFFF",
    _UTF8,
    Frame(TEXT, b"a\xf4\x90\x80\x80z"),
    **_NOT_UTF8,
)
UTF8_CUT_OFF = _case(
    "utf8-cut-off", "8.1", "a text ends in the middle of a code point", _UTF8, Frame(TEXT, b"a\xe2\x82"), **_NOT_UTF8
)
UTF8_IN_SECOND_FRAGMENT = _case(
    "utf8-in-second-fragment",
    "8.1",
    "the second fragment of a text is not UTF-8",
    _UTF8,
    *_halves(TEXT, b"good ", b"\xff bad"),
    **_NOT_UTF8,
)
UTF8_ACROSS_FRAGMENTS = _case(
    "utf8-across-fragments",
    "8.1",
    "a code point that is split between two fragments is none in the end",
    _UTF8,
    *_halves(TEXT, b"a\xe2\x82", b"\x28z"),
    **_NOT_UTF8,
)
UTF8_SPLIT_IN_CODE_POINT = _case(
    "utf8-split-in-code-point",
    "5.6, 8.1",
    "a code point is split between two fragments, and is whole in the end",
    "a fragment of a text need not be UTF-8 by itself; the whole message must",
    *_halves(TEXT, b"\xe2\x82", b"\xac and \xf0\x9f", b"\x98\x80"),
    messages=("€ and \U0001f600",),
    **_TAKE,
)
UTF8_EVERY_LENGTH = _case(
    "utf8-every-length",
    "8.1",
    "a text has code points of 1 to 4 bytes, U+0000 and noncharacters",
    "all that is UTF-8 is text",
    Frame(TEXT, "\0aé€\U0001f600\uffff\U0010ffff".encode()),
    messages=("\0aé€\U0001f600\uffff\U0010ffff",),
    **_TAKE,
)

# -- close frames -----------------------------------------------------------------------------------

CLOSE_1_BYTE = _case(
    "close-1-byte",
    "5.5.1, 10.7",
    "a close frame has a payload of one byte",
    "the payload, if there is one, begins with a code of two bytes",
    Frame(CLOSE, b"\x03"),
    **_FAIL,
)
CLOSE_REASON_NOT_UTF8 = _case(
    "close-reason-not-utf8",
    "5.5.1, 8.1",
    "the reason in a close frame is not UTF-8",
    "what is to be read as UTF-8, and is none, must fail the connection",
    _close(1000, b"\xff\xfe"),
    **_NOT_UTF8,
)
_UNUSED: Final = "these codes are not used; what a receiver does is left to it (10.7)"
_NEVER_SENT: Final = "a code for how a connection has ended, which must not be sent"
CLOSE_0 = _case("close-0", "7.4.2", "a close frame has the code 0", _UNUSED, _close(0), **_PERHAPS)
CLOSE_999 = _case("close-999", "7.4.2", "a close frame has the code 999", _UNUSED, _close(999), **_PERHAPS)
CLOSE_1004 = _case(
    "close-1004",
    "7.4.1",
    "a close frame has the code 1004",
    "a reserved code; what a receiver does is left to it (10.7)",
    _close(1004),
    **_PERHAPS,
)
CLOSE_1005 = _case("close-1005", "7.4.1", "a close frame has the code 1005", _NEVER_SENT, _close(1005), **_PERHAPS)
CLOSE_1006 = _case("close-1006", "7.4.1", "a close frame has the code 1006", _NEVER_SENT, _close(1006), **_PERHAPS)
CLOSE_1015 = _case("close-1015", "7.4.1", "a close frame has the code 1015", _NEVER_SENT, _close(1015), **_PERHAPS)
CLOSE_5000 = _case("close-5000", "7.4.2", "a close frame has the code 5000", _UNUSED, _close(5000), **_PERHAPS)
CLOSE_65535 = _case("close-65535", "7.4.2", "a close frame has the code 65535", _UNUSED, _close(65535), **_PERHAPS)
_ANSWER: Final = "a close frame must be answered with one"
CLOSE_WITHOUT_CODE = _case(
    "close-without-code",
    "5.5.1",
    "a close frame has no payload",
    _ANSWER,
    Frame(CLOSE),
    reaction=Reaction.CLOSE,
)
CLOSE_LONGEST_REASON = _case(
    "close-longest-reason",
    "5.5.1",
    "a close frame has a reason of 123 bytes",
    _ANSWER,
    _close(1001, "é".encode() * 61 + b"!"),
    reaction=Reaction.CLOSE,
)
CLOSE_4999 = _case(
    "close-4999",
    "7.4.2",
    "a close frame has the code 4999, which is for private use",
    _ANSWER,
    _close(4999, b"private"),
    reaction=Reaction.CLOSE,
)
CLOSE_BETWEEN_FRAGMENTS = _case(
    "close-between-fragments",
    "5.4, 5.5.1",
    "a close frame comes inside of a fragmented message, which is never finished",
    _ANSWER,
    Frame(TEXT, b"begun", fin=False),
    _close(1000),
    reaction=Reaction.CLOSE,
)
DATA_AFTER_CLOSE = _case(
    "data-after-close",
    "5.5.1, 1.4",
    "a text message comes behind a close frame",
    "no data may be sent behind a close frame, and what comes is discarded",
    _close(1000),
    Frame(TEXT, b"too late"),
    reaction=Reaction.CLOSE,
    level="SHOULD",
)

# -- sizes ------------------------------------------------------------------------------------------

OVERSIZE_FRAME = _case(
    "oversize-frame",
    "10.4, 7.4.1",
    "a frame announces a payload of one tebibyte",
    "who has a limit protects itself, and says 1009",
    Frame(BINARY, b"and so on", length=1 << 40),
    level="SHOULD",
    codes=(TOO_BIG,),
)
OVERSIZE_MESSAGE = _case(
    "oversize-message",
    "10.4, 7.4.1",
    "a message of 20 MiB comes in fragments of 1 MiB",
    "who has a limit for a message holds to it for one in fragments as well, and says 1009",
    *_halves(BINARY, *[_MIB] * 20),
    level="SHOULD",
    codes=(TOO_BIG,),
)

# -- compression ------------------------------------------------------------------------------------


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]  # RFC 7692, 7.2.1


COMPRESSED = _case(
    "compressed",
    "RFC 7692, 7.2.2",
    "a compressed text, where that was agreed on",
    "a message with RSV1 set is decompressed",
    Frame(TEXT, _deflated(b"compressed " * 20), rsv=4),
    messages=("compressed " * 20,),
    compressed=True,
    **_TAKE,
)
COMPRESSED_FRAGMENTS = _case(
    "compressed-fragments",
    "RFC 7692, 7.2.2",
    "a compressed text in two fragments, where that was agreed on",
    "RSV1 is set on the first fragment alone",
    Frame(TEXT, _deflated(b"compressed " * 20)[:5], rsv=4, fin=False),
    Frame(CONT, _deflated(b"compressed " * 20)[5:]),
    messages=("compressed " * 20,),
    compressed=True,
    **_TAKE,
)
NOT_COMPRESSED = _case(
    "not-compressed",
    "RFC 7692, 6",
    "a text that is not compressed, where that was agreed on",
    "a message without RSV1 is not compressed",
    Frame(TEXT, b"as it is"),
    messages=("as it is",),
    compressed=True,
    **_TAKE,
)
RSV1_CONTINUATION = _case(
    "rsv1-continuation",
    "RFC 7692, 6.1",
    "RSV1 is set on the second fragment of a compressed text",
    "it is set on the first alone, and who receives it elsewhere must fail the connection",
    Frame(TEXT, _deflated(b"compressed " * 20)[:5], rsv=4, fin=False),
    Frame(CONT, _deflated(b"compressed " * 20)[5:], rsv=4),
    compressed=True,
    **_FAIL,
)
NOT_DEFLATE = _case(
    "not-deflate",
    "RFC 7692, 7.2.2",
    "a compressed text is not DEFLATE",
    "what cannot be decompressed fails the connection; with which code is left open",
    Frame(TEXT, b"\xff\xff\xff\xff", rsv=4),
    compressed=True,
)
