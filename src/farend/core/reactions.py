"""How a client reacted to a case of `malformed`, and whether that is what RFC 6455 asks for.

The client is asked for one thing: to send back each message that it gets. So a message that was handed on shows on
the wire, and a client that goes on as if nothing had been wrong sends back the message behind the malformed frame.
What is judged is a transcript, and nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from farend.core.commands import Close
from farend.core.events import Ended, How
from farend.core.findings import Finding, ProtocolViolation, TooLarge
from farend.core.malformed import Case, Reaction
from farend.core.messages import CONTROL, Pong, printed
from farend.core.script import Script
from farend.core.transcript import Kind, Transcript

PROBE: Final = "are you still there?"
"""Said behind each case: whoever sends this back has gone on."""
ROOM: Final = 64 << 20
"""The largest message that a checked client may send back, in bytes."""


class Verdict(enum.Enum):
    """What became of a case. The words are those of Autobahn's test suite."""

    OK = "ok"
    """The client did as the RFC asks."""
    NON_STRICT = "non-strict"
    """It did what it MUST, and not what it SHOULD."""
    FAILED = "failed"
    """It did not what it MUST."""
    NOT_ASKED = "not asked"
    """It did not offer what the case is about (compression)."""
    ABSENT = "absent"
    """It opened no WebSocket, so nothing is known."""


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one case: `seen` says in words what the client did, `code` is that of its close frame."""

    case: Case
    verdict: Verdict
    seen: str
    code: int | None = None
    transcript: Transcript | None = field(default=None, repr=False, compare=False)

    @property
    def broken(self) -> bool:
        """Whether the client did not what it MUST, or did nothing at all."""
        return self.verdict in (Verdict.FAILED, Verdict.ABSENT)

    def __str__(self) -> str:
        return f"{self.verdict.value}: {self.case.name} ({self.case.source}): {self.seen}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClauseBroken(Finding):
    """A client under test did not react as the RFC asks; `raised` is what it raised then, in words."""

    result: Result
    raised: str = ""

    @property
    def sentence(self) -> str:
        case = self.result.case
        return f"The client {self.result.seen}, where {case.what} ({case.source})."

    @property
    def advice(self) -> str:
        case = self.result.case
        told = f" It raised {self.raised}." if self.raised else ""
        if self.result.verdict is Verdict.ABSENT:
            return f"A client under test connects to the URL, and sends back each message that it gets.{told}"
        return f"{case.source}: {case.rule}. So it {case.asked}.{told}"


# -- the script -------------------------------------------------------------------------------------


def script_of(case: Case) -> Script:
    """What a far end plays to see how a client reacts to the case.

    >>> from farend import malformed
    >>> print(script_of(malformed.RSV2))
    Script 'rsv2' of 3 steps
      1. malformed rsv2 (RFC 6455, 5.2): a text frame has RSV2 set
      2. send 'are you still there?'
      3. expect close
    """
    script = Script(name=case.name).malformed(case)
    if not case.closes:
        script.send(PROBE)
    if case.reaction is not Reaction.TAKE:
        for message in case.before:
            script.optional(Script().expect(message))
        return script.expect_close()
    messages = Script().add([("expect", message) for message in (*case.messages, PROBE)])
    pongs = [("expect", Pong(pong)) for pong in case.pongs]
    return (script.any_order(messages, pongs) if pongs else script.add(messages)).close().expect_close()


# -- what was seen ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    """What the client did, until the far end had seen enough."""

    messages: list[Any] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    ended: Ended | None = None
    finding: Finding | None = None
    offers_compression: bool = False
    connected: bool = False

    @classmethod
    def of(cls, transcript: Transcript) -> _Seen:
        seen = cls()
        closed = False
        for entry in transcript:
            payload: Any = entry.payload
            match entry.kind:
                case Kind.CONNECTED:
                    seen.connected = payload is not None
                    extensions = payload.headers.get("sec-websocket-extensions", "") if payload is not None else ""
                    seen.offers_compression = "permessage-deflate" in extensions
                case Kind.RECEIVED if isinstance(payload, CONTROL):
                    seen.pongs += [payload.data] if isinstance(payload, Pong) else []
                case Kind.RECEIVED:
                    seen.messages.append(payload)
                case Kind.ENDED if not closed and seen.ended is None:
                    seen.ended = payload
                case Kind.CLOSED:
                    closed = isinstance(payload, Close)
                case Kind.FOUND:
                    seen.finding = payload
                    break
        return seen

    @property
    def code(self) -> int | None:
        """The code of the client's close frame; 1005 where it had none."""
        return self.ended.code if self.ended is not None and self.ended.how is How.CLOSE else None

    @property
    def end(self) -> str:
        """How it ended, in words."""
        if self.ended is None:
            return "neither said anything nor left"
        if self.code is None:
            return "dropped the connection" + (" with a reset" if self.ended.how is How.RESET else "")
        return "closed without a code" if self.code == 1005 else f"closed with {self.code}"

    @property
    def invalid(self) -> str | None:
        """What it said that no endpoint may say; None where there was no such thing."""
        return self.finding.problem if isinstance(self.finding, ProtocolViolation) else None


def judge(case: Case, transcript: Transcript | None) -> Result:
    """The verdict on what stands in the transcript; None where nobody came."""
    seen = _Seen() if transcript is None else _Seen.of(transcript)
    if not seen.connected:
        what = "opened no WebSocket" if transcript is not None else "did not connect"
        return Result(case, Verdict.ABSENT, what, None, transcript)
    if case.compressed and not seen.offers_compression:
        return Result(case, Verdict.NOT_ASKED, "offered no compression", None, transcript)
    verdict, words = _JUDGES[case.reaction](case, seen)
    if verdict is Verdict.FAILED and case.level == "SHOULD":
        verdict = Verdict.NON_STRICT
    return Result(case, verdict, words, seen.code, transcript)


def _failed(case: Case, seen: _Seen) -> tuple[Verdict, str]:
    """The connection is to be failed (RFC 6455, 7.1.7): MUST be closed, SHOULD be with a close frame that says why."""
    if wrong := _went_on(case, seen):
        return Verdict.FAILED, wrong
    if seen.ended is None:
        return Verdict.FAILED, seen.end
    if seen.code is None:
        return Verdict.NON_STRICT, f"{seen.end}, without a close frame"
    if not case.codes or seen.code in case.codes:
        return Verdict.OK, seen.end
    if case.closes and seen.code in _in_order(case):
        # On the wire, to take it for a close in order differs from failing the connection by the code alone.
        return Verdict.NON_STRICT, f"{seen.end}, as after a close in order"
    return Verdict.NON_STRICT, f"{seen.end}, not {' or '.join(map(str, case.codes))}"


def _in_order(case: Case) -> set[int]:
    """The codes with which a client answers a close that it takes for one in order: its own, none, or the usual."""
    payload = next(frame.payload for frame in case.frames if frame.closes)  # type: ignore[attr-defined]
    return {int.from_bytes(payload[:2]), 1000, 1005}


def _refused(case: Case, seen: _Seen) -> tuple[Verdict, str]:
    """No WebSocket is to be opened (4.1), so nothing is to be said on one either."""
    if wrong := _went_on(case, seen):
        return Verdict.FAILED, wrong
    if seen.ended is None:
        return Verdict.FAILED, f"{seen.end}, as if it were open"
    if seen.code is not None:
        return Verdict.NON_STRICT, f"{seen.end}, though nothing was open that could be closed"
    return Verdict.OK, seen.end


def _took(case: Case, seen: _Seen) -> tuple[Verdict, str]:
    """The messages are to come back, the pings are to be answered, and nothing is to end."""
    for expected, got in zip((*case.messages, PROBE), seen.messages, strict=False):
        if type(expected) is not type(got) or expected != got:
            return Verdict.FAILED, f"gave back {printed(got, 40)}, not {printed(expected, 40)}"
    missing = (*case.messages, PROBE)[len(seen.messages) :]
    if seen.invalid is not None:
        return Verdict.FAILED, f"sent what may not be sent: {seen.invalid}"
    if isinstance(seen.finding, TooLarge):
        return Verdict.FAILED, "sent back far more than it had got"
    if missing:
        end = "" if seen.ended is None else f" and {seen.end}"
        return Verdict.FAILED, f"did not give back {printed(missing[0], 40)}{end}"
    if pongs := [pong for pong in case.pongs if pong not in seen.pongs]:
        others = [pong for pong in seen.pongs if pong not in case.pongs]
        other = f", but one with {printed(others[0], 40)}" if others else ""
        return Verdict.FAILED, f"gave no pong {printed(pongs[0], 40)}{other}"
    pong = "" if not case.pongs else " and the pong" if len(case.pongs) == 1 else " and the pongs"
    return Verdict.OK, f"gave everything back{pong}" if case.messages or pong else "went on"


def _closed(case: Case, seen: _Seen) -> tuple[Verdict, str]:
    """A close is to be answered with one (5.5.1)."""
    if wrong := _went_on(case, seen):
        return Verdict.FAILED, wrong
    if seen.ended is None:
        return Verdict.FAILED, "did not answer the close"
    if seen.code is None:
        return Verdict.FAILED, f"{seen.end}, and did not answer the close"
    if seen.code in (1002, 1007):
        return Verdict.NON_STRICT, f"{seen.end}, as if something had been wrong"
    return Verdict.OK, seen.end


def _went_on(case: Case, seen: _Seen) -> str | None:
    """What the client said that shows that it has not noticed; None where it did notice."""
    more = (
        seen.messages[len(case.before) :] if seen.messages[: len(case.before)] == list(case.before) else seen.messages
    )
    if seen.invalid is not None:
        return f"answered with what may not be sent: {seen.invalid}"
    if isinstance(seen.finding, TooLarge):
        return "handed it to the application, all of it"
    if not more:
        return None
    if more[0] == PROBE:
        return "went on as if nothing had been wrong"
    return f"handed {printed(more[0], 40)} to the application"


_JUDGES: Final[dict[Reaction, Callable[[Case, _Seen], tuple[Verdict, str]]]] = {
    Reaction.FAIL: _failed,
    Reaction.REFUSE: _refused,
    Reaction.TAKE: _took,
    Reaction.CLOSE: _closed,
}


def counts(results: list[Result]) -> Iterator[tuple[Verdict, int]]:
    """How often each verdict was given, of those that were."""
    for verdict in Verdict:
        number = sum(result.verdict is verdict for result in results)
        if number:
            yield verdict, number
