"""One connection: bytes from the transport become events, commands become bytes. One for all stages."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import dropwhile
from typing import Any, Protocol

from farend.core.commands import (
    Abort,
    Accept,
    Close,
    Command,
    Continue,
    Drop,
    Impair,
    Reject,
    Send,
    Stall,
    TellWhenQuiet,
    Wake,
)
from farend.core.conversation import Conversation, State
from farend.core.events import (
    Connected,
    Ended,
    Event,
    Extended,
    How,
    Quiet,
    Received,
    Stalled,
    TimePassed,
    Violated,
    WritingGoesOn,
    WritingPaused,
    WritingResumed,
)
from farend.core.faults import TCP_FAR_END, WEBSOCKET_FAR_END, Ability, Direction, Fault, check_able
from farend.core.faults import How as Cut
from farend.core.findings import Finding, FunctionFailed, InternalError, NotReading
from farend.core.framing import Framing
from farend.core.journal import Attempt
from farend.core.matchers import described
from farend.core.messages import CONTROL, Handshake, OnWire
from farend.core.outcomes import Outcome
from farend.core.routes import TurnedAway
from farend.core.transcript import Kind
from farend.core.units import Kind as UnitKind
from farend.errors import FaultError
from farend.stage import leaving, segments
from farend.stage.faults import Impaired
from farend.stage.transports import LITTLE, floods, reset

try:
    import fcntl
    import termios
except ImportError:  # where the kernel does not tell
    fcntl = None  # type: ignore[assignment]

_BEGINNINGS = (Connected, Violated)
_CLOSE_FRAME = b"\x88"
"""The first byte of a close frame (RFC 6455, 5.2 and 5.5.1)."""
_AT_ONCE = (Connected(),)
_PLAIN = (bytes, str)
_NO_MESSAGES = (*CONTROL, OnWire)


class Wire(Protocol):
    """What stands between bytes and events: `stream.StreamWire`, `websocket.WebSocketWire`."""

    stream: bool
    closes_itself: bool
    framing: Framing | None

    @property
    def handshake(self) -> Handshake | None: ...
    @property
    def opening(self) -> bytes: ...
    @property
    def outgoing(self) -> list[bytes]: ...
    def drain(self) -> list[bytes]: ...
    def connect(self) -> Iterable[Event]: ...
    def receive(self, data: bytes) -> Iterable[Event]: ...
    def receive_end(self, how: How) -> Iterable[Event]: ...
    def say(self, command: Send) -> bytes: ...
    def accept(self, command: Accept) -> bytes: ...
    def reject(self, command: Reject) -> bytes: ...
    def close(self, command: Close) -> bytes: ...


class Stage(Protocol):
    """Whoever has connections: a server, or a client."""

    watched: bool
    """Whether `changed` is to be called after each event."""
    deadline: float | None
    faults: tuple[Fault, ...]
    """Those that are done to every connection."""

    def begin(self, driver: Driver, event: Connected | Violated) -> list[Command]:
        """Give the driver its conversation, and feed it the event."""
        ...

    def changed(self, driver: Driver) -> None: ...
    def lost(self, driver: Driver) -> None: ...


class _PackError(Exception):
    """A framing could not make bytes of what a command says; with that command, and with what it raised."""


class _Nobody:
    """The stage of a connection that is gone."""

    watched: bool = False
    deadline: float | None = None
    faults: tuple[Fault, ...] = ()

    def begin(self, driver: Driver, event: Connected | Violated) -> list[Command]:
        return []

    def changed(self, driver: Driver) -> None: ...
    def lost(self, driver: Driver) -> None: ...


_NOBODY = _Nobody()


class Driver(asyncio.Protocol):
    """Plays one conversation over one transport."""

    conversation: Conversation

    attempt: Attempt | None = None
    """The attempt that this connection is, at a server."""
    outcome: Outcome | TurnedAway | None = None
    """What it meets, where that was settled when it came."""
    at_once = False
    """Whether it meets that before it has said anything."""
    _floods = False

    def __init__(self, stage: Stage, wire: Wire, number: int) -> None:
        self.number = number
        self.transport: Any = None
        self.activity = 0
        self.is_lost = False
        self._heard_the_end = False
        self._unwanted = False
        self._hurries = False
        self._stage = stage
        self._wire = wire
        self.begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_at = -1
        self._unread = 0
        self._unsubscribe: Callable[[], None] | None = None
        self._impaired: Impaired | None = None
        self._notes: list[object] = []
        """What faults have done before there was a conversation."""
        self._mute = False
        self._unwatch: Callable[[], None] | None = None
        self.segments: segments.Segmented | None = None

    # -- called by the transport ------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._take(transport)
        if self._unwanted:
            transport.abort()
            return
        if self._stage.faults:
            self._impair(Impair(self._stage.faults))
        self._feed_all(_AT_ONCE if self.at_once else self._wire.connect())
        self._flush()
        if not self.begun and self._timer is None and self._stage.deadline is not None:
            self._timer = self._loop.call_at(self._loop.time() + self._stage.deadline, self._time_passed)

    def data_received(self, data: bytes) -> None:
        self.activity += 1
        if self._floods or len(data) >= LITTLE:
            self._floods = floods(self.transport, len(data))
        try:
            events = self._wire.receive(data)
        except Exception as error:
            self._broke(error)
            self._after()
        else:
            if self._impaired is not None and self._impaired.rearranges:
                events = self._impaired.hear(events, _kind)
            self._feed_all(events)

    def eof_received(self) -> bool:
        self.activity += 1
        self._heard_the_end = True
        self._feed_all(self._wire.receive_end(How.EOF))
        if self.segments is not None and self.segments.holds and not self._is_open:
            self.segments.close()  # when all was said; the transport would do it at once
            return True
        # Half open, so that the far end can still say what the script has left to say.
        return self._is_open and not self._wire.closes_itself and self._half_closes

    def connection_lost(self, error: Exception | None) -> None:
        self.activity += 1
        self.is_lost = True
        if self.segments is not None:
            self.segments.lost()
        if self.conversation.state is not State.OVER if self.begun else not self._unwanted:
            how = How.RESET if isinstance(error, ConnectionError) else How.EOF
            self._feed_all(self._wire.receive_end(how))
        self._stop_timer()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._watch_no_more()
        self._stage.lost(self)
        # A far end holds its drivers. That they no longer hold it spares the garbage collector both of them.
        self._stage = _NOBODY

    def pause_writing(self) -> None:
        self._unread = self._outstanding()
        self._feed(WritingPaused())

    def resume_writing(self) -> None:
        self._feed(WritingResumed())

    def refused(self, transport: Any, violation: Violated) -> None:
        """The near end has connected, and there will be no conversation: `violation` says why."""
        self._take(transport)
        self._feed(violation)

    def _take(self, transport: Any) -> None:
        floods(transport, 0)
        if segments.current is not None:
            opening = not self._wire.stream
            transport = self.segments = segments.current.take_in(self, self._stage, transport, opening)
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        self._connected_at: float = getattr(transport, "connected_at", 0.0) or self._loop.time()
        self._write = self._say = transport.write

    # -- called by the stage ----------------------------------------------------------------------

    def play(self, conversation: Conversation, event: Event) -> list[Command]:
        """Take up the conversation, whose first event this is."""
        self.conversation = conversation
        self.begun = True
        self._wire.framing = conversation.script.framing
        self._unsubscribe = conversation.script.subscribe(self._script_extended)
        now = self._loop.time()
        conversation.connected_at = self._connected_at
        conversation.faults_before, self._notes = self._notes, []
        if conversation.deadline is not None and self._timer is None:
            # Early or right, never late: what may be earlier still, the conversation tells (`Wake`).
            self._timer = self._loop.call_at(now + conversation.deadline, self._time_passed)
        return conversation.feed(event, now)

    def turn_away(
        self, conversation: Conversation, finding: Finding, status: int, handshake: Handshake | None
    ) -> list[Command]:
        """Refuse the connection before a word was said."""
        self.conversation = conversation
        self.begun = True
        conversation.connected_at = self._connected_at
        commands = conversation.refuse(finding, status, self._loop.time(), handshake)
        self._arm()
        return commands

    def say(self, command: Send | Close | Abort) -> bool:
        """Do this at once, whatever the script is at; False where the connection is over."""
        commands = self.conversation.say(command, self._loop.time())
        try:
            self.execute(commands)
        except Exception as error:
            self._broke(error, commands)
        self._after()
        return bool(commands)

    def execute(self, commands: Iterable[Command]) -> None:
        """Do what a conversation wants done."""
        for command in commands:
            _EXECUTE[type(command)](self, command)

    def poke(self, event: Event) -> None:
        """Feed an event that does not come from the transport, and look at the time again."""
        if self.begun:
            self._feed(event)
            self._arm()

    @property
    def is_patient(self) -> bool:
        """Whether it waits for its near end, with no deadline but the stage's own, which may be none."""
        if self.is_lost or self.transport is None:
            return False
        if not self.begun or self.conversation.is_patient:
            return True
        return self.conversation.state is State.OVER and self.transport.get_write_buffer_size() > 0

    def stalled(self, event: Stalled) -> None:
        """The near end will do no more."""
        if self.begun:
            if self.conversation.state is State.OVER:
                self._gave_up_on_words(event.seconds)
            self._feed(event)
        else:
            unopened = "finished no TLS handshake" if self._wire.stream else "opened no WebSocket"
            self._feed(Violated(f"it connected, and {unopened}", self._wire.opening, "handshake", answer=Abort()))
            self.transport.abort()

    def shut(self) -> None:
        """The test is over: end the connection without waiting for the near end."""
        if self.is_lost:
            return
        self._unwanted = True
        if self.transport is None:
            return
        if self._impaired is not None and not self._impaired.give_up():
            self.transport.abort()
            return
        if self.segments is not None:
            self.segments.release()
        if not self.begun and self._wire.opening:
            problem = "the test was over before it had opened its WebSocket"
            self._feed(Violated(problem, self._wire.opening, "handshake", answer=Close()))
        if self.begun and not self._wire.stream and not self._mute and not self.transport.is_closing():
            self._say_goodbye()
        if not self.begun or self._mute or self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def at_work(self) -> bool:
        """Whether something is still to come: a step to be played, or words that have not left yet."""
        if self.is_lost:
            return False
        return not self.begun or not self.conversation.done or self._still_sends()

    def _still_sends(self) -> bool:
        unsent = int(self.transport.get_write_buffer_size())
        if unsent and not self._hurries:
            self._hurries = True
            self._unread = self._outstanding()
            self.transport.set_write_buffer_limits(0)  # so that we are told when all has left
            if self._timer is None and self._stage.deadline is not None:
                self._timer = self._loop.call_at(self._loop.time() + self._stage.deadline, self._time_passed)
        return bool(unsent)

    def _say_goodbye(self) -> None:
        goodbye = Close(1001, "the test is over")
        if raw := self._wire.close(goodbye):
            self._write(raw)
            self.conversation.transcript.add(self._loop.time(), Kind.CLOSED, goodbye)

    @property
    def hears(self) -> bool:
        """Whether more can come from the near end."""
        return not self.is_lost and not self._heard_the_end

    @property
    def handshake(self) -> Handshake | None:
        """What the near end asked for, on a WebSocket."""
        return self._wire.handshake

    @property
    def ended(self) -> Ended | None:
        """How the near end ended its side; None while it has not."""
        return self.conversation.ended

    @property
    def peername(self) -> Any:
        """The near end's address."""
        return self.transport.get_extra_info("peername")

    # -- events -----------------------------------------------------------------------------------

    def _feed_all(self, events: Iterable[Event]) -> None:
        commands: list[Command] = []
        try:
            for event in events:
                if self.begun:
                    commands = self.conversation.feed(event, self._loop.time())
                elif isinstance(event, _BEGINNINGS):
                    commands = self._stage.begin(self, event)
                else:
                    continue
                for command in commands:
                    _EXECUTE[type(command)](self, command)
        except Exception as error:  # ours to tell: a fault in farend, or in a packing function of the test's
            self._broke(error, commands)
        self._after()

    def _feed(self, event: Event) -> None:
        self._feed_all((event,))

    def _after(self) -> None:
        if self._wire.outgoing:
            self._flush()
        if self.begun and self.conversation.state is State.OVER and not self.is_lost:
            self._hang_up()
        if self._stage.watched:
            self._stage.changed(self)

    def _broke(self, error: Exception, commands: Sequence[Command] = ()) -> None:
        """Something was raised, perhaps while these commands were executed."""
        if not self.begun:
            self.transport.abort()
            raise error
        place, now = self.conversation.place, self._loop.time()
        if isinstance(error, _PackError):
            command, problem = error.args
            unsaid = [*dropwhile(lambda one: one is not command, commands)]
            self.conversation.not_packed(unsaid or [command], problem, now)
        elif isinstance(error, FaultError):
            self.conversation.fail(FunctionFailed(place, "fault()", str(error)), now)
        else:
            self.conversation.fail(InternalError(place, described(error)), now)
        self._abort(Abort())

    def _script_extended(self) -> None:
        """The script grew: perhaps on another thread, and perhaps while it is being played."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.poke, Extended())

    # -- commands ---------------------------------------------------------------------------------

    def _send(self, command: Send) -> None:
        try:
            raw = self._wire.say(command)
        except Exception as error:  # a packing function of the test's may raise anything
            raise _PackError(command, error) from error
        # Only what is a message of its own may come twice, or later than others.
        payload = command.payload
        is_message = type(payload) in _PLAIN or not isinstance(payload, _NO_MESSAGES)
        (self._say if is_message else self._write)(raw)

    def _accept(self, command: Accept) -> None:
        if raw := self._wire.accept(command):
            self._write(raw)

    def _reject(self, command: Reject) -> None:
        self._flush()
        if raw := self._wire.reject(command):
            self._write(raw)
        self._end_of_stream()

    def _close(self, command: Close) -> None:
        self._flush()  # a wire that has failed the connection has closed it already, and ended the stream
        raw = self._wire.close(command)
        if self._impaired is not None:
            self._impaired.say_no_more()
        if self._drops_close:
            self._drop_close()
        elif raw:
            self._write(raw)
        if self._wire.stream:
            self._end_of_stream()

    def _abort(self, command: Abort) -> None:
        reset(self.transport)

    def _drop(self, command: Drop) -> None:
        self._flush()
        self._mute = True
        self._end_of_stream()

    def _stall(self, command: Stall) -> None:
        self._flush()
        self._mute = True
        self.transport.pause_reading()
        self._unwatch = leaving.watch(self.transport, self._near_end_left)

    def _near_end_left(self, for_good: bool) -> None:
        """Nothing is read any more, so the system is asked whether the near end is still there."""
        if self.attempt is not None and self.attempt.ended is None:
            self.attempt.ended = self._loop.time()
        if for_good:
            self._watch_no_more()
            self.transport.abort()

    def _watch_no_more(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _tell_when_quiet(self, command: TellWhenQuiet) -> None:
        if self._quiet_at < 0:
            self._quiet_at = self.activity
            self._loop.call_soon(self._one_turn_later)

    def _one_turn_later(self) -> None:
        # What had arrived when quiet was asked for is read in this turn of the loop, behind us.
        self._loop.call_soon(self._look_whether_quiet)

    def _look_whether_quiet(self) -> None:
        if self.activity != self._quiet_at:
            self._quiet_at = self.activity
            self._loop.call_soon(self._one_turn_later)
            return
        self._quiet_at = -1
        self._feed(Quiet())

    def _continue(self, command: Continue) -> None:
        self._loop.call_soon(self._resume_unless_full)

    def _resume_unless_full(self) -> None:
        # A transport whose buffer is full resumes us itself.
        if not self.is_lost and self.transport.get_write_buffer_size() <= self.transport.get_write_buffer_limits()[1]:
            self._feed(WritingResumed())

    def _wake(self, command: Wake) -> None:
        self._arm()

    def _flush(self) -> None:
        """Write what the wire itself has to say; an empty one means that it ends the stream."""
        if not self._wire.outgoing:
            return
        parts = self._wire.drain()
        if self._mute:
            return
        if self._impaired is not None and any(part[:1] == _CLOSE_FRAME for part in parts):
            self._impaired.say_no_more()
            if self._drops_close:
                parts = [part for part in parts if part and part[:1] != _CLOSE_FRAME]
                self._drop_close()
        if raw := b"".join(parts):
            self._write(raw)
        if b"" in parts:
            self._end_of_stream()

    def _end_of_stream(self) -> None:
        """Say no more. The transport goes when the near end has ended its side, or the deadline has come."""
        if self._half_closes and not self._heard_the_end and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        else:
            self.transport.close()

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    @property
    def _half_closes(self) -> bool:
        return bool(self.transport.can_write_eof())

    @property
    def _is_open(self) -> bool:
        return self.begun and self.conversation.state in (State.PLAYING, State.CLOSING)

    # -- faults -----------------------------------------------------------------------------------

    def impair(self, faults: tuple[Fault, ...]) -> None:
        """From now on do these faults to the connection, or none any more, whatever the script is at.

        Raises `FaultError` for one that cannot be done to it.
        """
        __tracebackhide__ = True
        check_able(self.ability, faults)
        self.execute(self.conversation.impaired(Impair(faults), self._loop.time()))

    @property
    def ability(self) -> Ability:
        """Which faults can be done to the connection."""
        return TCP_FAR_END if self._wire.stream else WEBSOCKET_FAR_END

    def _impair(self, command: Impair) -> None:
        check_able(self.ability, command.faults)
        if not self.begun:
            self._notes.append(command)
        if self._impaired is None:
            if not command.faults:
                return
            self._impaired = Impaired(self.transport, self, self)
            self.transport = self._impaired
            self._write, self._say = self._impaired.write, self._impaired.say
        if command.faults:
            self._impaired.begin(command.faults)
        else:
            self._impaired.end()

    @property
    def _drops_close(self) -> bool:
        return self._impaired is not None and self._impaired.drops_close("near")

    def _drop_close(self) -> None:
        self.noted("the close frame was not sent")
        self._end_of_stream()

    def noted(self, text: str) -> None:
        """A fault has done something."""
        if self.begun:
            self.conversation.transcript.add(self._loop.time(), Kind.FAULT, text)
        else:
            self._notes.append(text)

    def comes(self, message: Event) -> None:
        """A message that a fault has held back has come."""
        self._feed(message)

    def idle(self) -> None:
        """No fault is active any more. The next may come, so the layer stays where it is."""

    def cut(self, direction: Direction, how: Cut) -> None:
        """A fault ends the connection."""
        if how == "reset":
            reset(self.transport)
        elif not self.transport.is_closing():
            raw = self._impaired.raw if self._impaired is not None else self.transport
            if self._half_closes and not self._heard_the_end:
                with contextlib.suppress(OSError, RuntimeError):
                    raw.write_eof()
            else:
                self.transport.close()
        if self.begun:
            self.execute(self.conversation.cut(self._loop.time()))
            self._after()

    # -- time -------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have one timer that is never late. One that is early looks again, which spares a timer a message."""
        wake_at = self.conversation.wake_at
        if wake_at is None or self.is_lost:
            return
        if self._stage.deadline is not None:
            # The wait behind this one may be shorter, and nobody will say when it begins.
            wake_at = min(wake_at, self._loop.time() + self._stage.deadline)
        if self._timer is not None:
            due = getattr(self._timer, "when", None)  # uvloop does not say it of a timer that is due at once
            if due is None or due() <= wake_at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(wake_at, self._time_passed)

    def set_timer_anew(self) -> None:
        """Its loop is watched from now on, and its clock is put forward for what is set from now on."""
        if self._timer is not None and self.begun:
            self._stop_timer()
            self._arm()

    def _time_passed(self) -> None:
        self._timer = None
        if self.begun:
            stuck = self._unread > 0 and not self._has_read_some()
            self._feed(TimePassed())
            if stuck and self.conversation.state is State.OVER:
                self._gave_up_on_words()
            self._arm()
        else:
            problem = f"it connected, and opened no WebSocket within {self._stage.deadline:g} s"
            self._feed(Violated(problem, self._wire.opening, "handshake", answer=Abort()))
            self.transport.abort()

    def _outstanding(self) -> int:
        """How many bytes the near end has yet to take: those that wait here, and those in the kernel."""
        waiting = int(self.transport.get_write_buffer_size())
        sock = self.transport.get_extra_info("socket")
        if fcntl is not None and sock is not None:
            # Where much is sent, the kernel asks for more only once a third of what it has was taken.
            with contextlib.suppress(OSError, ValueError):
                waiting += int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return waiting

    def _has_read_some(self) -> bool:
        """Whether the near end has taken some of what piled up, since this was asked last."""
        before, self._unread = self._unread, self._outstanding()
        held = self._impaired is not None and self._impaired.holds
        if self._unread >= before and not held:
            return False
        self._feed(WritingGoesOn())
        if self._unread and self.conversation.state is State.OVER and self._stage.deadline is not None:
            self._timer = self._loop.call_at(self._loop.time() + self._stage.deadline, self._time_passed)
        return True

    def _gave_up_on_words(self, seconds: float | None = None) -> None:
        """While it plays, the conversation says this itself; later, what was said last is lost as well."""
        if not self.conversation.findings:
            finding = NotReading(self.conversation.place, seconds or self._stage.deadline or 0.0)
            self.conversation.findings.append(finding)
            self.conversation.transcript.add(self._loop.time(), Kind.FOUND, finding)
        self._abort(Abort())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _kind(event: Event) -> UnitKind:
    """What an event is of a WebSocket: a message, a control frame, or the end of both."""
    if type(event) is not Received:
        return "close"
    return "control" if isinstance(event.data, CONTROL) else "message"


_EXECUTE: dict[type, Callable[[Driver, Any], None]] = {
    Send: Driver._send,
    Close: Driver._close,
    Abort: Driver._abort,
    Impair: Driver._impair,
    Drop: Driver._drop,
    Stall: Driver._stall,
    Accept: Driver._accept,
    Reject: Driver._reject,
    TellWhenQuiet: Driver._tell_when_quiet,
    Continue: Driver._continue,
    Wake: Driver._wake,
}
