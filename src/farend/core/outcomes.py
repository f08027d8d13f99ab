"""What one connection attempt can meet, as data: a plan is made of these.

Each outcome prints itself (`title`), has the word by which a journal calls it (`told`), and says where it cannot
be had (`problem`). How each is done to a connection stands in `mishaps.py` and in the stages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from farend.core.commands import Abort, Close, Drop, Send, Stall
from farend.core.faults import TCP_FAR_END, TCP_PROXY, WEBSOCKET_FAR_END, WEBSOCKET_PROXY, Ability, Fault, unable
from farend.core.messages import counted
from farend.core.script import Script
from farend.core.steps import AnyOrder, Expect, Optional, Repeat, Reply, Step, forever

Point: TypeAlias = Literal["connect", "request", "handshake"]
"""How far a connection gets before the far end lets it down."""
TlsProblem: TypeAlias = Literal["expired", "wrong name", "untrusted", "cut"]


class Grounds(NamedTuple):
    """Where a plan is to be carried out.

    `tls` is "own" where the certificate is not farend's to make, and `by_path` tells that the path decides, so that
    nothing can be decided before the request has come. `proxy` is whether a real server is behind it.
    """

    stream: bool
    tls: Literal["no", "throw-away", "own"] = "no"
    unix: bool = False
    by_path: bool = False
    proxy: bool = False

    @property
    def ability(self) -> Ability:
        """Which faults can be done to a connection."""
        if self.proxy:
            return TCP_PROXY if self.stream else WEBSOCKET_PROXY
        return TCP_FAR_END if self.stream else WEBSOCKET_FAR_END


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody listens: the system refuses the connection (`ECONNREFUSED`)."""

    told = "refused"

    @property
    def title(self) -> str:
        return "refuse"

    def problem(self, grounds: Grounds) -> str | None:
        if grounds.unix:
            return "there is no port on a Unix socket: a server on TCP (leave unix_path= out) can refuse"
        return _too_late("refused") if grounds.by_path else None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upgrade is answered with HTTP (RFC 6455, 4.2.2): `headers` are pairs, `body` is text or bytes."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str | bytes = ""

    @property
    def told(self) -> str:
        return f"rejected {self.status}"

    @property
    def title(self) -> str:
        return f"reject {self.status}"

    def problem(self, grounds: Grounds) -> str | None:
        return _NO_HANDSHAKE if grounds.stream else None


@dataclass(frozen=True, slots=True)
class LetDown:
    """The far end stalls, resets or drops the connection when it has come so far (`after`)."""

    command: Stall | Abort | Drop
    after: Point = "connect"

    @property
    def told(self) -> str:
        return _LET_DOWN[type(self.command)][1]

    @property
    def title(self) -> str:
        after = "" if self.after == "connect" else f" after the {self.after}"
        return _LET_DOWN[type(self.command)][0] + after

    def problem(self, grounds: Grounds) -> str | None:
        if grounds.stream and self.after != "connect":
            return _NO_HANDSHAKE
        if grounds.by_path and self.after == "connect":
            return f"{_too_late('known')}; after='request' can be had by path"
        return None


@dataclass(frozen=True, slots=True)
class WrongAccept:
    """The upgrade is answered with a `Sec-WebSocket-Accept` that is not the key's (RFC 6455, 4.2.2)."""

    told = "wrong accept"

    @property
    def title(self) -> str:
        return "wrong accept"

    def problem(self, grounds: Grounds) -> str | None:
        return _NO_HANDSHAKE if grounds.stream else None


@dataclass(frozen=True, slots=True)
class BadTls:
    """The TLS handshake goes wrong: the certificate has expired, is another name's, is nobody's known, or a cut."""

    fault: TlsProblem

    @property
    def told(self) -> str:
        return f"tls {self.fault}"

    @property
    def title(self) -> str:
        return f"tls {self.fault}"

    def problem(self, grounds: Grounds) -> str | None:
        if grounds.by_path:
            return _too_late("over")
        if grounds.tls == "no":
            return "it has no TLS: a server with tls=True can do that"
        if grounds.tls == "own" and self.fault in ("expired", "wrong name"):
            return (
                "its certificate is your own, and only an authority that the client trusts can sign a worse one: a "
                "server with tls=True can do that, and this one 'untrusted' and 'cut'"
            )
        return None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a script that is played ends before its time: with `command`, once so many messages were said.

    `count` of them, by either side, or by the one that `by` names; None is the script's own end.
    """

    command: Abort | Drop | Stall | Close
    count: int | None = None
    by: Literal["either", "far end", "near end"] = "either"

    @property
    def title(self) -> str:
        verb = f"then_{_ENDINGS[type(self.command)][0]}"
        if self.count is None:
            return f"{verb} at its end"
        by = "" if self.by == "either" else f" of the {self.by}'s"
        return f"{verb} after {counted(self.count, 'message')}{by}"

    def surplus(self, script: Script) -> int | None:
        """How many messages the script can have at the most, where those are too few; else None."""
        if self.count is None or script.open_ended:
            return None
        most = _most(script.steps, self.by)
        return int(most) if most < self.count else None


@dataclass(frozen=True, slots=True)
class Played:
    """The script is played; None leaves the connection to the test.

    `delay` holds the handshake back, in seconds; `faults` are done to the connection.
    """

    script: Script | None = None
    ending: Ending | None = None
    delay: float = 0.0
    faults: tuple[Fault, ...] = ()

    @property
    def told(self) -> str:
        return "played" if self.ending is None else _ENDINGS[type(self.ending.command)][1]

    @property
    def title(self) -> str:
        if self.script is None:
            what = "play by hand"
        else:
            name = f" {self.script.name!r}" if self.script.name else ""
            what = f"play{name} ({counted(len(self.script), 'step')})"
        slow = f", handshake after {self.delay:g} s" if self.delay else ""
        faults = f", with {' and '.join(map(str, self.faults))}" if self.faults else ""
        return what + slow + faults + (f", {self.ending.title}" if self.ending is not None else "")

    def problem(self, grounds: Grounds) -> str | None:
        if self.delay and grounds.stream:
            return _NO_HANDSHAKE
        for fault in self.faults:
            if problem := unable(grounds.ability, fault):
                return problem
        if grounds.stream and self.ending is not None:
            command = self.ending.command
            if isinstance(command, Close) and (command.code or command.reason):
                return "a byte stream has no close codes: a WebSocketServer has"
        return None


Outcome: TypeAlias = Refused | Rejected | LetDown | WrongAccept | BadTls | Played

_ENDINGS: Final[dict[type, tuple[str, str]]] = {
    Stall: ("stall", "stalled"),
    Abort: ("abort", "aborted"),
    Drop: ("drop", "dropped"),
    Close: ("close", "closed"),
}
_LET_DOWN: Final = {**_ENDINGS, Abort: ("reset", "reset")}
_NO_HANDSHAKE: Final = "a byte stream has no opening handshake: a WebSocketServer can do that"


def _too_late(what: str) -> str:
    return f"when a path is known, the connection is {what} already: give the server this plan for all paths"


def _most(steps: Iterable[Step], by: str) -> float:
    """How many messages these steps can be, at the most."""
    return sum(_most_of(step, by) for step in steps)


def _most_of(step: Step, by: str) -> float:
    match step:
        case Send():
            return by != "near end"
        case Expect():
            return by != "far end"
        case Reply():
            return 0 if by == "near end" else forever
        case Repeat():
            inner = _most(step.steps, by)
            return inner and inner * step.times  # nothing, however often, is nothing
        case Optional():
            return _most(step.steps, by)
        case AnyOrder():
            return sum(_most(branch, by) for branch in step.branches)
    return 0
