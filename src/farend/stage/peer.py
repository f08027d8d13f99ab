"""One connection in the test's hand: to expect, to send and to receive, step by step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from farend.core import arguments
from farend.core.commands import Abort, Close, Impair, Send
from farend.core.conversation import Outcome, State
from farend.core.events import Ended, Extended, How
from farend.core.faults import Fault, check_able
from farend.core.findings import EndedEarly, Finding, TimedOut, WrongEnd
from farend.core.framing import Framing, Lines, UntilPattern, until
from farend.core.inbox import plain_bytes
from farend.core.matchers import Anything, Difference, Expected, Json, Matcher, Not, Regex
from farend.core.messages import Handshake, Message, Sayable, printed
from farend.core.names import Hinting, hinted
from farend.core.script import Script
from farend.core.steps import UNSET, Expect, ExpectClose, Repeat, Step, forever, title
from farend.core.transcript import Transcript
from farend.errors import InvalidArguments, WrongState

if TYPE_CHECKING:
    from farend.stage.driver import Driver
    from farend.stage.far_end import FarEnd

T = TypeVar("T")
SYNONYMS: Final = {
    "recv": "receive",
    "read": "receive",
    "get": "receive",
    "wait_for": "drain_until",
    "write": "send",
    "sendall": "send",
    "say": "send",
    "disconnect": "close",
    "reset": "abort",
    "expect_close": "closed",
    "wait_closed": "closed",
    "messages": "transcript",
    "received": "transcript",
    "path": "handshake",
    "headers": "handshake",
    "request": "handshake",
    "remote_address": "address",
}
"""What other libraries call what a connection in the hand can do."""


class Peer(Hinting):
    """The near end of one connection, as the test holds it: `peer = await server.connection()`.

    What is expected here comes behind the connection's script, where it has one; what is sent here is
    sent at once. A wait that reaches its deadline raises `Failure` and leaves the connection as it is;
    a message other than the expected one raises `Failure` and ends it, as in a script.
    """

    _synonyms = SYNONYMS

    def __init__(self, far_end: FarEnd, driver: Driver) -> None:
        self._far_end = far_end
        self._driver = driver
        driver.conversation.in_hand = True

    @property
    def number(self) -> int:
        """The connection's number, from 1."""
        return self._driver.number

    @property
    def transcript(self) -> Transcript:
        """What was said so far."""
        return self._driver.conversation.transcript

    @property
    def handshake(self) -> Handshake:
        """What the near end asked for when it opened its WebSocket. Raises `WrongState` on TCP, which has none."""
        handshake = self._driver.handshake
        return self.transcript.handshake if handshake is None else handshake

    @property
    def address(self) -> Any:
        """The near end's own address."""
        return self._driver.peername

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended the connection."""
        conversation = self._driver.conversation
        return conversation.state is State.PLAYING and conversation.ended is None and self._driver.hears

    @hinted
    async def expect(
        self,
        what: Expected = UNSET,
        *,
        json: object = UNSET,
        framing: Framing | None = None,
        within: float | None = None,
    ) -> Any:
        """Wait for a message that `what` matches, and give it; see `Script.expect` for what it can be.

        `framing` cuts a byte stream; a WebSocket has messages, and there it raises `InvalidArguments`.
        """
        __tracebackhide__ = True
        self._check_framing(framing)
        [step] = Script().expect(what, json=json, framing=framing).steps
        return await self._wait_for((step,), within)

    @hinted
    async def receive(self, *, framing: Framing | None = None, within: float | None = None) -> Any:
        """Wait for a message, and give it, whatever it is.

        On a byte stream that no framing cuts, that is all that has come once the near end pauses.
        """
        __tracebackhide__ = True
        self._check_framing(framing)
        return await self._wait_for((Expect(Anything(), arguments.framing(framing)),), within)

    @hinted
    async def drain_until(
        self,
        what: Expected = UNSET,
        *,
        json: object = UNSET,
        framing: Framing | None = None,
        within: float | None = None,
    ) -> Any:
        """Wait for a message that `what` matches, whatever comes before it, and give it."""
        __tracebackhide__ = True
        self._check_framing(framing)
        [step] = Script().expect(what, json=json, framing=framing).steps
        assert isinstance(step, Expect)
        return await self._wait_for(self._skipping_to(step), within)

    @hinted
    async def send(self, payload: Sayable = UNSET, *, json: object = UNSET) -> None:
        """Say `payload` (text, bytes, `Ping`, `Pong`, `Fragments`), or a value as JSON text."""
        __tracebackhide__ = True
        [step] = Script().send(payload, json=json).steps
        await self._say(step)

    async def close(self, code: int | None = None, reason: str = "") -> None:
        """End the connection in order."""
        __tracebackhide__ = True
        [step] = Script().close(code, reason).steps
        await self._say(step)

    async def abort(self) -> None:
        """Cut the connection with a reset."""
        __tracebackhide__ = True
        await self._say(Abort())

    async def fault(self, *faults: Fault | None) -> None:
        """From now on, do these faults to the connection, each in place of one that does the same; None ends all.

        Raises `FaultError` for one that cannot be done to it, or that contradicts another.
        """
        __tracebackhide__ = True
        [step] = Script().fault(*faults).steps
        assert isinstance(step, Impair)
        check_able(self._driver.ability, step.faults)
        await self._far_end._at_home(self._impair_at_home(step))

    @hinted
    async def closed(self, *, within: float | None = None) -> Ended:
        """Wait until the near end ends the connection in order, and say how it did."""
        __tracebackhide__ = True
        ended: Ended = await self._outcome_of(self._end(self._seconds(within)), None)
        return ended

    def __repr__(self) -> str:
        return f"<connection {self.number} of {self._far_end.name}>"

    def _check_framing(self, framing: Framing | None) -> None:
        __tracebackhide__ = True
        if framing is not None and not self._driver.conversation.stream:
            raise InvalidArguments(
                f"framing={printed(framing)} is for byte streams, and a WebSocket has messages of its own: leave it out"
            )

    # -- at home ----------------------------------------------------------------------------------

    async def _say(self, step: Step) -> None:
        __tracebackhide__ = True
        assert isinstance(step, Send | Close | Abort)
        finding = await self._far_end._at_home(self._say_at_home(step))
        if finding is not None:
            self._far_end._raise([finding])
            raise self._far_end._failure([finding])

    async def _impair_at_home(self, step: Impair) -> None:
        self._driver.impair(step.faults)

    async def _say_at_home(self, command: Send | Close | Abort) -> Finding | None:
        __tracebackhide__ = True
        said = self._driver.say(command)
        if self._driver.conversation.findings or not (said or isinstance(command, Close | Abort)):
            return self._is_over(command)
        return None

    async def _wait_for(self, steps: tuple[Step, ...], within: float | None) -> Any:
        __tracebackhide__ = True
        playing = self._play(steps, self._seconds(within))
        return await self._outcome_of(playing, lambda outcome: self._put_back(steps[-1], outcome))

    async def _outcome_of(
        self, playing: Coroutine[Any, Any, Outcome], unheard: Callable[[Outcome], object] | None
    ) -> Any:
        __tracebackhide__ = True
        outcome = await self._far_end._at_home(playing, unheard)
        if outcome.finding is not None:
            self._far_end._raise([outcome.finding])
            raise self._far_end._failure([outcome.finding])
        return outcome.message

    def _seconds(self, within: float | None) -> float | None:
        __tracebackhide__ = True
        own = arguments.seconds(within, "within")
        return self._far_end.deadline if own is None else own * self._far_end.scale

    async def _play(self, steps: tuple[Step, ...], seconds: float | None) -> Outcome:
        """Put the steps behind the script, and wait until the last of them is played."""
        __tracebackhide__ = True
        conversation = self._driver.conversation
        if conversation.state is not State.PLAYING:
            return Outcome(finding=self._is_over())
        told: list[Outcome] = []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A deadline of the conversation's own would end it; here the test decides what a wait costs.
        patient = tuple(_patient(step) for step in steps)

        def tell(outcome: Outcome) -> None:
            told.append(outcome)
            if not future.done():  # else it was cancelled, in this very turn of the loop
                future.set_result(None)

        conversation.extend(patient, patient[-1], tell)
        self._driver.poke(Extended())
        try:
            async with self._far_end.limit(seconds):
                await future
        except TimeoutError:
            if not told:
                got = conversation.withdraw(patient)
                others = _skipped(steps[0])
                waited, waiting = self._far_end.waited(seconds)
                wish, scale = _wish(steps[-1]), self._far_end.scale
                timed_out = TimedOut(conversation.place, wish, waited, got, others.count, others.last, waiting, scale)
                return Outcome(finding=timed_out)
        except asyncio.CancelledError:
            if told:
                self._put_back(steps[-1], told[0])
            else:
                conversation.withdraw(patient)
            raise
        return told[0]

    async def _end(self, seconds: float | None) -> Outcome:
        """How the near end ended its side, also where the far end was first."""
        __tracebackhide__ = True
        conversation = self._driver.conversation
        if conversation.state is State.PLAYING and not conversation.end_taken:
            return await self._play((ExpectClose(),), seconds)
        with self._far_end._watching() as progress, contextlib.suppress(TimeoutError):
            async with self._far_end.limit(seconds):
                while conversation.ended is None and not self._driver.is_lost:
                    progress.clear()
                    await progress.wait()
        ended = conversation.ended
        if conversation.findings:
            return Outcome(finding=conversation.findings[0])
        if ended is None:
            waited, waiting = self._far_end.waited(seconds)
            scale = self._far_end.scale
            timed_out = TimedOut(conversation.place, "close the connection", waited, waiting=waiting, scale=scale)
            return Outcome(finding=timed_out)
        if ended.how not in (How.EOF, How.CLOSE):
            return Outcome(finding=WrongEnd(conversation.place, ended))
        return Outcome(ended)

    def _put_back(self, step: Step, outcome: Outcome) -> None:
        """Nobody has heard the outcome: the message is there for the next call."""
        if isinstance(step, Expect) and outcome.finding is None:
            self._driver.conversation.put_back(step, outcome.message)

    def _is_over(self, command: Step | None = None) -> Finding:
        __tracebackhide__ = True
        conversation = self._driver.conversation
        if conversation.findings:
            return conversation.findings[0]
        if conversation.close_sent or conversation.ended is None:
            unsaid = f"cannot send {printed(command.payload)}: " if isinstance(command, Send) else ""
            raise WrongState(
                f"{unsaid}farend has ended this connection ({self!r}) itself: nothing more can be sent or awaited "
                "on it; what the near end still says is on its .transcript"
            )
        return EndedEarly(conversation.place, conversation.ended, unsaid=command if isinstance(command, Send) else None)

    def _skipping_to(self, step: Expect) -> tuple[Step, ...]:
        conversation = self._driver.conversation
        value = plain_bytes(step)
        raw = conversation.stream and (step.framing or conversation.script.framing) is None
        if raw and value is not None:
            # A raw stream has no messages to skip: whatever comes before the bytes is skipped.
            return (Expect(Anything(), until(value, keep=True)),)
        if raw and isinstance(step.what, Regex):
            return (Expect(Anything(), UntilPattern(step.what.pattern)),)
        cut_as_json = Lines() if raw and isinstance(step.what, Json) else step.framing
        other = Expect(_Other(conversation.matcher_of(step)), cut_as_json)
        return (Repeat(forever, (other,)), step)


class BlockingPeer(Hinting):
    """`Peer` for a plain test: the same methods, which block. `peer = server.accept()`."""

    _synonyms = SYNONYMS

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    @property
    def number(self) -> int:
        """The connection's number, from 1."""
        return self._peer.number

    @property
    def transcript(self) -> Transcript:
        """What was said so far."""
        return self._peer.transcript

    @property
    def handshake(self) -> Handshake:
        """What the near end asked for when it opened its WebSocket. Raises `WrongState` on TCP, which has none."""
        return self._peer.handshake

    @property
    def address(self) -> Any:
        """The near end's own address."""
        return self._peer.address

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended the connection."""
        return self._peer.is_open

    @hinted
    def expect(
        self,
        what: Expected = UNSET,
        *,
        json: object = UNSET,
        framing: Framing | None = None,
        within: float | None = None,
    ) -> Any:
        """Wait for a message that `what` matches, and give it."""
        __tracebackhide__ = True
        return self._run(self._peer.expect(what, json=json, framing=framing, within=within))

    @hinted
    def receive(self, *, framing: Framing | None = None, within: float | None = None) -> Message:
        """Wait for a message, and give it, whatever it is."""
        __tracebackhide__ = True
        message: Message = self._run(self._peer.receive(framing=framing, within=within))
        return message

    @hinted
    def drain_until(
        self,
        what: Expected = UNSET,
        *,
        json: object = UNSET,
        framing: Framing | None = None,
        within: float | None = None,
    ) -> Any:
        """Wait for a message that `what` matches, whatever comes before it, and give it."""
        __tracebackhide__ = True
        return self._run(self._peer.drain_until(what, json=json, framing=framing, within=within))

    @hinted
    def send(self, payload: Sayable = UNSET, *, json: object = UNSET) -> None:
        """Say `payload`, or a value as JSON text."""
        __tracebackhide__ = True
        self._run(self._peer.send(payload, json=json))

    def close(self, code: int | None = None, reason: str = "") -> None:
        """End the connection in order."""
        __tracebackhide__ = True
        self._run(self._peer.close(code, reason))

    def abort(self) -> None:
        """Cut the connection with a reset."""
        __tracebackhide__ = True
        self._run(self._peer.abort())

    def fault(self, *faults: Fault | None) -> None:
        """From now on, do these faults to the connection, each in place of one that does the same; None ends all."""
        __tracebackhide__ = True
        self._run(self._peer.fault(*faults))

    @hinted
    def closed(self, *, within: float | None = None) -> Ended:
        """Wait until the near end ends the connection in order, and say how it did."""
        __tracebackhide__ = True
        return self._run(self._peer.closed(within=within))

    def __repr__(self) -> str:
        return repr(self._peer)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        __tracebackhide__ = True
        return self._peer._far_end._run(coroutine)


class _Other(Not):
    """A message that is not the one waited for; it keeps count of them."""

    __slots__ = ("count", "last")

    def __init__(self, matcher: Matcher) -> None:
        super().__init__(matcher)
        self.count = 0
        self.last: object = None

    def difference(self, got: object) -> Difference | None:
        difference = super().difference(got)
        if difference is None:
            self.count += 1
            self.last = got
        return difference


_NO_OTHERS = _Other(Anything())


def _skipped(step: Step) -> _Other:
    """What has counted the messages that a wait has skipped, where it skips any."""
    match step:
        case Repeat(steps=(Expect(what=_Other() as others),)):
            return others
    return _NO_OTHERS


def _patient(step: Step) -> Step:
    match step:
        case Expect():
            return Expect(step.what, step.framing, forever)
        case ExpectClose():
            return ExpectClose(step.code, step.reason, step.reset, forever)
        case Repeat():
            return Repeat(step.times, tuple(_patient(one) for one in step.steps))
    return step


def _wish(step: Step) -> str:
    match step:
        case ExpectClose():
            return "close the connection"
        case Expect(what=Anything()):
            return "say anything"
    return "say " + title(step).removeprefix("expect ")
