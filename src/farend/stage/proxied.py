"""A plan at a proxy: attempts that never reach the server, and connections that pass, and end or begin otherwise."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, TypeGuard

from farend.core.answers import OTHER_ACCEPT
from farend.core.commands import Abort, Close, Command, Stall
from farend.core.events import Connected, Violated
from farend.core.faults import Fault, Silence
from farend.core.findings import AttemptsMissing, Finding, Place, UnexpectedConnection
from farend.core.mishaps import conversation_of
from farend.core.outcomes import BadTls, Ending, Grounds, LetDown, Outcome, Played, Refused, WrongAccept
from farend.core.plan import Plan
from farend.core.routes import Routes, TurnedAway
from farend.core.script import Script
from farend.core.stream import StreamWire
from farend.core.units import Kind, Units
from farend.errors import PlanError, WrongType
from farend.stage import heads
from farend.stage.attempts import Arrival, Attempts
from farend.stage.driver import Driver, Wire
from farend.stage.pipe import Pipe, Tap
from farend.stage.tunnel import Tunnel, bad_tunnel
from farend.tape.format import Side

Passing: TypeAlias = Played | LetDown | WrongAccept
"""What an attempt can meet of which the server hears."""


class Planned:
    """The plan of a proxy, and the connections that it lets down itself: the stage of their drivers."""

    watched = False
    faults: tuple[Fault, ...] = ()

    def __init__(self, plan: Plan | None, grounds: Grounds, name: str, deadline: float | None) -> None:
        __tracebackhide__ = True
        if isinstance(plan, Mapping):
            raise PlanError(
                "a proxy has one plan for all paths, since it says what an attempt meets before that has named one; a "
                "WebSocketServer has plans by path, and so have several proxies, one for each"
            )
        if plan is not None and not isinstance(plan, Plan):
            raise WrongType(f"plan= takes a Plan, not {plan!r}; what is played is what the server says: Plan().play()")
        self.attempts = Attempts()
        self.deadline = deadline
        self.findings: list[Finding] = []
        self.name = name
        self.routes = Routes(plan)
        self._stream = grounds.stream
        self._drivers: dict[Driver, None] = {}
        if plan is not None:
            self.routes.check(grounds, "a proxy")
            for outcome, _ in plan:
                if problem := _cannot(outcome, grounds.stream):
                    raise PlanError(f"'{outcome.title}' cannot be done by a proxy: {problem}")

    @property
    def drivers(self) -> tuple[Driver, ...]:
        """The connections that are let down, and that are still there."""
        return tuple(self._drivers)

    def knock(self) -> bool:
        """Somebody is about to connect: whether he is to be refused. It may be called from any thread."""
        return self.attempts.knock(self.routes, time.monotonic())

    def enter(self) -> Arrival:
        """Somebody has connected."""
        return self.attempts.enter(self.routes, time.monotonic())

    def let_down(
        self, arrival: Arrival, wire: Callable[[], Wire], tls: ssl.SSLContext | None
    ) -> tuple[Driver, asyncio.BaseProtocol]:
        """The driver of a connection that the server never hears of, and what the transport talks to."""
        attempt, outcome = arrival
        at_once = isinstance(outcome, Refused) or (isinstance(outcome, LetDown) and outcome.after == "connect")
        driver = Driver(self, StreamWire() if at_once else wire(), attempt.number)
        driver.attempt, driver.outcome, driver.at_once = attempt, outcome, at_once
        attempt.by_reset = isinstance(outcome, Refused)
        self._drivers[driver] = None
        if isinstance(outcome, BadTls):
            return driver, bad_tunnel(driver, outcome.fault, self.deadline)
        return driver, driver if tls is None or at_once else Tunnel(driver, tls, self.deadline)

    def missing(self) -> Iterator[Finding]:
        """What the plan provides for, and nobody came for."""
        for route, outcome, came, planned in self.routes.missing():
            yield AttemptsMissing(self._place(), 0.0, outcome.title, came, planned, route)

    def _place(self) -> Place:
        return Place(far_end=self.name, journal=self.attempts.journal)

    # -- the stage of the drivers -----------------------------------------------------------------

    def begin(self, driver: Driver, event: Connected | Violated) -> list[Command]:
        """Play what the attempt meets."""
        outcome = driver.outcome
        handshake = event.handshake if isinstance(event, Connected) else None
        met = Played(Script()) if outcome is None or isinstance(outcome, TurnedAway) else outcome
        conversation = conversation_of(
            met, stream=self._stream, number=driver.number, deadline=self.deadline, far_end=self.name
        )
        conversation.journal = self.attempts.journal
        if driver.attempt is not None:
            driver.attempt.conversation = conversation
            driver.attempt.turned_away = isinstance(outcome, TurnedAway)
        if isinstance(outcome, TurnedAway) and isinstance(event, Connected):
            finding = UnexpectedConnection(conversation.place, outcome.why)
            return driver.turn_away(conversation, finding, outcome.status, handshake)
        return driver.play(conversation, event)

    def changed(self, driver: Driver) -> None:
        """Nobody waits for anything."""

    def lost(self, driver: Driver) -> None:
        """A connection is gone."""
        self._drivers.pop(driver, None)
        if driver.attempt is not None and driver.attempt.ended is None:
            driver.attempt.ended = time.monotonic()
        if driver.begun:
            self.findings += driver.conversation.findings


def _cannot(outcome: Outcome, stream: bool) -> str | None:
    """Why a proxy cannot do it; None where it can."""
    match outcome:
        case Played(script=Script()):
            return "it passes on what the server says: write .play() there, with an ending or with faults"
        case Played(delay=delay) if delay:
            return "the handshake is the server's; a WebSocketServer can, and a fault does: play(faults=[Latency(…)])"
        case Played(ending=Ending(command=Close())):
            return "it says nothing of its own; a WebSocketServer can; then_drop and then_abort are possible here"
        case Played(ending=Ending(count=None)):
            return "it does not know when all was said: write after=, sent= or received="
        case Played(ending=Ending()) if stream:
            return "it does not know there where a message ends; a far end can, and CutAfter(bytes) is possible here"
    return None


def passes(outcome: Outcome | TurnedAway | None) -> TypeGuard[Passing | None]:
    """Whether the server hears of an attempt that meets this."""
    if isinstance(outcome, LetDown):
        return outcome.after == "handshake"
    return outcome is None or isinstance(outcome, Played | WrongAccept)


def met(outcome: Passing, tap: Tap) -> Tap:
    """The tap for a connection that the server hears of, and that meets this."""
    if isinstance(outcome, WrongAccept):
        return WrongAcceptTap(tap)
    ending = outcome.ending if isinstance(outcome, Played) else outcome
    return tap if ending is None else EndingTap(tap, ending)


# -- an end when so much has passed -----------------------------------------------------------------


class EndingTap:
    """A tap behind which a WebSocket ends when the handshake, or so many messages, have passed."""

    pipe: Pipe

    def __init__(self, tap: Tap, ending: Ending | LetDown) -> None:
        self._tap = tap
        self._ending = ending
        self._counted: dict[Literal["far end", "near end", "either"], int] = {"far end": 0, "near end": 0, "either": 0}
        self._sides = {"client": _Counted(), "server": _Counted()}
        self.interrupted = False
        """Whether the ending has come."""

    def said(self, side: Side, data: bytes) -> bytes:
        """What to send on of it: all up to the last message, and nothing behind."""
        if self.interrupted:
            return b""
        data = self._tap.said(side, data)
        for kind, end in self._sides[side].ends(data):
            if self._is_last(side, kind):
                self.interrupted = True
                self._tap.excused = True
                self._tap.noted(self._ending.title)
                asyncio.get_running_loop().call_soon(self._end)  # once this was sent on
                return data[:end]
        return data

    def _is_last(self, side: Side, kind: Kind) -> bool:
        """Whether this is what the connection ends behind, of what was said now."""
        if isinstance(self._ending, LetDown):
            return side == "server" and kind == "head"
        if kind == "message":
            self._counted["near end" if side == "client" else "far end"] += 1
            self._counted["either"] += 1
            return self._counted[self._ending.by] == self._ending.count
        return False

    def _end(self) -> None:
        command = self._ending.command
        if isinstance(command, Stall):
            self.pipe.impair((Silence(),))
        elif isinstance(command, Abort):
            self.pipe.sever()
        else:
            self.pipe.near.end()  # the client leaves then, and so does the server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tap, name)


# -- an answer to the handshake that is another key's -----------------------------------------------


class WrongAcceptTap:
    """A tap behind which the server's answer to the handshake has the `Sec-WebSocket-Accept` of another key."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._held = b""
        self._is_answered = self.interrupted = False

    def said(self, side: Side, data: bytes) -> bytes:
        """What to send on of it: the answer once it is whole."""
        data = self._tap.said(side, data)
        if side == "client" or self._is_answered:
            return data
        self._held += data
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end and len(head) <= heads.MOST:
            return b""
        self._is_answered = True
        answer = heads.parsed(head + end, request=False) if end else None
        if answer is None or answer.status != 101:
            return self._held
        self.interrupted = self._tap.excused = True
        self._tap.noted("wrong accept")
        return bytes(answer.with_field("Sec-WebSocket-Accept", OTHER_ACCEPT)) + rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tap, name)


class _Counted:
    """One side's bytes, and where in them the handshake ends, and each message."""

    def __init__(self) -> None:
        self._units = Units()
        self._fed = self._whole = 0

    def ends(self, data: bytes) -> Iterator[tuple[Kind, int]]:
        """What ends in `data`, and the place behind its last byte there."""
        before, self._fed = self._fed, self._fed + len(data)
        for unit in self._units.feed(data):
            self._whole += len(unit.data)
            if unit.kind == "message" or (unit.kind == "head" and not self._units.in_head):
                yield unit.kind, self._whole - before
