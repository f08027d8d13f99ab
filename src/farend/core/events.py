"""What happened on the wire, in the past tense. Stages make them, conversations are fed with them."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TypeAlias

from farend.core.commands import Abort, Close, Reject
from farend.core.messages import Handshake, Message


class How(enum.Enum):
    """The ways in which a near end can end its side of a connection."""

    EOF = "end of stream"
    CLOSE = "close frame"
    RESET = "reset"
    LOST = "connection lost"
    """A WebSocket that ended without a close frame (1006)."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The near end is there. On a WebSocket, `handshake` says what it asked for."""

    handshake: Handshake | None = None


class Received:
    """Bytes came (on a stream, cut anywhere), or one whole message (on a WebSocket).

    The one event that is made for every message, and so the one with a hand-written initialiser.
    """

    __slots__ = ("data",)
    __match_args__ = ("data",)

    def __init__(self, data: Message) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Received({self.data!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Received) and self.data == other.data

    def __hash__(self) -> int:
        return hash((Received, self.data))


@dataclass(frozen=True, slots=True)
class Quiet:
    """Everything that had arrived has been fed: the near end pauses. Answers `TellWhenQuiet`."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The time is at or past `Conversation.wake_at`."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """The near end will do no more: whoever waits for it has waited long enough.

    `seconds` is for how long; infinite where nothing can happen any more, however long one waits. `waiting` are
    those who wait then, and for what, in words.
    """

    seconds: float = math.inf
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extended:
    """The script has more steps than before."""


@dataclass(frozen=True, slots=True)
class WritingPaused:
    """The near end does not read, and what was sent piles up."""


@dataclass(frozen=True, slots=True)
class WritingGoesOn:
    """What was sent still piles up, but the near end has read some of it: it is slow, and not stuck."""


@dataclass(frozen=True, slots=True)
class WritingResumed:
    """There is room to send again. Also answers `Continue`."""


@dataclass(frozen=True, slots=True)
class Violated:
    """The near end broke the protocol; `problem` says how and `data` holds the bytes, if known.

    `about` is a word for machines: "utf-8", "too big", "handshake", "tls" or "protocol". `code` is the
    close code with which the wire has answered. `answer` is how the far end has ended a connection on which there
    was no conversation yet; None where the near end did.
    """

    problem: str
    data: bytes = b""
    about: str = "protocol"
    code: int = 1002
    answer: Reject | Close | Abort | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The near end will say no more."""

    how: How = How.EOF
    code: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.how is How.CLOSE:
            return f"close frame {self.code}" + (f" {self.reason!r}" if self.reason else "")
        return str(self.how.value)


Event: TypeAlias = (
    Connected
    | Received
    | Quiet
    | TimePassed
    | Stalled
    | Extended
    | WritingPaused
    | WritingGoesOn
    | WritingResumed
    | Violated
    | Ended
)
