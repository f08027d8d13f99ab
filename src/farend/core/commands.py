"""What is to be done on the wire, in the imperative. Conversations answer with them, stages obey.

`Send`, `Close`, `Abort` and `Impair` are steps of a script as well: playing such a step is handing it on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from farend.core.answers import Answer
from farend.core.faults import Fault
from farend.core.framing import Framing
from farend.core.messages import Payload


@dataclass(frozen=True, slots=True)
class Send:
    """Say `payload`; on a byte stream, packed by `framing` where there is one."""

    payload: Payload
    framing: Framing | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in order: a close frame on a WebSocket, an end of stream on TCP."""

    code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """Cut the connection: a reset (RST), with no close frame and nothing flushed."""


@dataclass(frozen=True, slots=True)
class Impair:
    """From here on, do these faults to the connection; with none, do no fault any more."""

    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return "fault: " + " and ".join(map(str, self.faults)) if self.faults else "no fault"


@dataclass(frozen=True, slots=True)
class Drop:
    """End the stream and say nothing: on a WebSocket, no close frame (1006)."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Keep the connection, and read and say nothing any more."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the near end in: the 101 of a WebSocket, changed where `answer` says so; nothing on TCP."""

    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Turn the near end away with an HTTP answer; on TCP, just close."""

    status: int
    body: str | bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TellWhenQuiet:
    """Feed `Quiet` once all that has arrived is fed."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Feed `WritingResumed` as soon as there is room to send: more is to come."""


@dataclass(frozen=True, slots=True)
class Wake:
    """`Conversation.wake_at` may be earlier than it was: look again."""


Command: TypeAlias = Send | Close | Abort | Drop | Stall | Impair | Accept | Reject | TellWhenQuiet | Continue | Wake
