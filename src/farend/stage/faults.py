"""How faults are done to a connection: a layer between its transport and its protocol.

To the protocol it is a transport, and to the transport a protocol. What passes goes through a `Passage` in each
direction (`core/impairment.py`), on the clock of the connection's event loop, with one timer for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from farend.core.faults import DIRECTIONS, Direction, Duplicate, Fault, How, NoCloseFrame, Reorder
from farend.core.impairment import Arrangement, Out, Passage
from farend.core.units import Kind, Units
from farend.stage.transports import READ_SIZE

try:
    import fcntl
except ImportError:  # where the kernel does not tell
    fcntl = None  # type: ignore[assignment]

TURNS: Final = 2
"""Turns of the loop between two segments: in the one between, who reads on the same loop reads."""
LOOK_AGAIN: Final = 0.005
"""Seconds after which it is looked again whether what is to arrive before a cut has left."""
_NOT_SENT: Final = 0x894B
"""Linux' SIOCOUTQNSD: how many bytes have not been sent."""
_OF_MESSAGES: Final = (Duplicate, Reorder, NoCloseFrame)


class Owner(Protocol):
    """Whose connection it is."""

    def noted(self, text: str) -> None:
        """Something was done to what passes."""
        ...

    def cut(self, direction: Direction, how: How) -> None:
        """A fault ends the connection, and all that was to pass before has left."""
        ...

    def comes(self, message: Any) -> None:
        """A message that was held back is there now."""
        ...

    def idle(self) -> None:
        """No fault is active any more, and nothing waits."""
        ...


class _Landing(threading.local):
    """Where the bytes of all connections on a thread land, one after the other."""

    def __init__(self) -> None:
        self.space = memoryview(bytearray(READ_SIZE))


_landing: Final = _Landing()


class Impaired(asyncio.BufferedProtocol):
    """A connection to which faults are done.

    Whoever makes one puts it in the place of the transport; from then on it has the transport to itself.
    """

    def __init__(self, transport: Any, protocol: Any, owner: Owner) -> None:
        self.raw = transport
        self.protocol = protocol
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._passages: dict[Direction, Passage] = {direction: Passage(direction) for direction in DIRECTIONS}
        self._near, self._far = self._passages["near"], self._passages["far"]
        self._said: Arrangement[bytes] = Arrangement()
        """What is done to the messages that the protocol says."""
        self._heard: Arrangement[Any] = Arrangement()
        """The same for those that it hears."""
        self.units: dict[Direction, Units] = {}
        """What cuts the bytes into messages, where nobody else does."""
        self.faults: list[Fault] = []
        """Those that are active."""
        self._high: int | None = None
        self._raw_paused = self._told_paused = False
        self._reader_paused = self._reads_not = False
        self._is_closing = self._gave_up = self._is_lost = False
        self._lost: tuple[Exception | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turns: dict[Direction, asyncio.Handle] = {}
        self._pumping = self._again = False
        transport.set_protocol(self)

    # -- faults -----------------------------------------------------------------------------------

    def begin(self, faults: Iterable[Fault]) -> None:
        """These faults begin, each in place of one that does the same in its direction."""
        now = self._loop.time()
        for fault in faults:
            self.faults = [one for one in self.faults if not _takes_the_place_of(fault, one)]
            self.faults.append(fault)
            for direction in fault.directions:
                if isinstance(fault, _OF_MESSAGES):
                    self._go_on(direction, self._arrangement(direction).begin(fault, now))
                else:
                    self._passages[direction].begin(fault, now)
        self._pump()

    def end(self, faults: Iterable[Fault] | None = None) -> None:
        """These faults end, or all of them. What they held back goes on."""
        now = self._loop.time()
        if faults is None:
            self.faults = []
            for direction, passage in self._passages.items():
                self._go_on(direction, self._arrangement(direction).end())
                self._let_parts_go(direction)
                passage.end(now)
        else:
            for fault in faults:
                self.faults = [one for one in self.faults if one != fault]
                for direction in fault.directions:
                    self._go_on(direction, self._arrangement(direction).end(kind=type(fault)))
                    self._let_parts_go(direction)
                    self._passages[direction].end(now, kind=type(fault))
        self._pump()

    @property
    def rearranges(self) -> bool:
        """Whether what is heard comes in another order, or more often."""
        return self._heard.active

    @property
    def active(self) -> bool:
        """Whether anything is done, or anything waits to go on."""
        return bool(
            self._near.active
            or self._far.active
            or self._said.active
            or self._heard.active
            or self._turns
            or self._lost
            or self._is_closing
        )

    @property
    def holds(self) -> bool:
        """Whether something that was said, and is not to be withheld, has not left yet."""
        return self._near.pending and not self._near.is_silent

    def drops_close(self, direction: Direction) -> bool:
        """Whether a close frame is not to be sent on in this direction."""
        return self._arrangement(direction).drops_close

    def _let_parts_go(self, direction: Direction) -> None:
        """Where messages are left as they are again, their beginnings go on."""
        if direction in self.units and not self._arrangement(direction).active:
            self._release(direction)

    def _arrangement(self, direction: Direction) -> Arrangement[Any]:
        return self._said if direction == "near" else self._heard

    def _go_on(self, direction: Direction, messages: Iterable[Any]) -> None:
        for message in messages:
            if direction in self.units or direction == "near":
                self._passages[direction].feed(message, self._loop.time())
            else:
                self._owner.comes(message)

    # -- what the protocol asks of its transport --------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._is_closing or self._is_lost:
            return
        if "near" in self.units:
            self._feed_units("near", data)
        elif self._near.active:
            self._near.feed(data, self._loop.time())
        else:
            self.raw.write(data)
            return
        self._pump()

    def say(self, message: bytes) -> None:
        """Write one whole message."""
        if not self._said.active:
            self.write(message)
        elif not (self._is_closing or self._is_lost):
            self._go_on("near", self._said.feed(message, self._loop.time()))
            self._pump()

    def say_no_more(self) -> None:
        """The protocol's last message has been said: what is held back with others goes on."""
        self._release("near")
        self._pump()

    def hear(self, events: Iterable[Any], kind: Callable[[Any], Kind]) -> Iterator[Any]:
        """What is heard of these events now: the messages among them in another order, or twice."""
        for event in events:
            match kind(event):
                case "message":
                    yield from self._heard.feed(event, self._loop.time())
                case "control":
                    yield event
                case _:
                    yield from self._heard.release()
                    yield event
        self._after()

    def write_eof(self) -> None:
        if self._near.active or self._said.active:
            self._release("near")
            self._near.feed_end(self._loop.time())
            self._pump()
        else:
            self.raw.write_eof()

    def close(self) -> None:
        self._is_closing = True
        self._release("near")
        self._pump()

    def abort(self) -> None:
        self._gave_up = True
        self._stop()
        self.raw.abort()

    def give_up(self) -> bool:
        """The test is over: let what was held go at once. False where the connection is silent, and cannot end well."""
        if self._near.is_silent or self._far.is_silent:
            self._near.drop()
            self._far.drop()
            return False
        for passage in self._passages.values():
            passage.hurry()
        self.end()
        return True

    def reset_behind(self) -> None:
        """Have the near end see a reset, behind what is under way to it."""
        self._near.cut(self._loop.time(), "reset")
        self._pump()

    def detach(self) -> Any:
        """Give the transport back: nothing is done any more. Gives the transport."""
        self._stop()
        self.raw.set_protocol(self.protocol)
        return self.raw

    def is_closing(self) -> bool:
        return self._is_closing or bool(self.raw.is_closing())

    def can_write_eof(self) -> bool:
        return bool(self.raw.can_write_eof())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        held = 0 if self._near.is_silent else self._near.size
        return held + int(self.raw.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        low, high = self.raw.get_write_buffer_limits()
        return low + self._room // 2, high + self._room

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high
        self.raw.set_write_buffer_limits(high, low)
        self._tell_pressure()

    def pause_reading(self) -> None:
        self._reader_paused = True
        self._read_or_not()

    def resume_reading(self) -> None:
        self._reader_paused = False
        self._pump()

    # -- what the transport tells -----------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """It was made before there was a fault."""

    def get_buffer(self, sizehint: int) -> memoryview:
        appetite = self._far.appetite
        return _landing.space[:appetite] if appetite else _landing.space

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_landing.space[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if "far" in self.units:
            self._feed_units("far", data)
        elif self._far.active:
            self._far.feed(data, self._loop.time())
        else:
            self.protocol.data_received(data)
            return
        self._pump()

    def eof_received(self) -> bool:
        if self._far.is_over:
            return bool(self.raw.can_write_eof())
        if not (self._far.active or self._heard.active):
            return bool(self.protocol.eof_received())
        if "far" in self.units:
            self._release("far")
        self._far.feed_end(self._loop.time())
        self._pump()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        self._near.drop()
        if self._far.pending and not (self._gave_up or self._is_closing or self._far.is_silent):
            self._lost = (error,)  # what was said before is still under way
            self._pump()
        else:
            self._tell_lost(error)

    def pause_writing(self) -> None:
        self._raw_paused = True
        self._tell_pressure()

    def resume_writing(self) -> None:
        self._raw_paused = False
        self._near.resume(self._loop.time())
        self._tell_pressure()
        self._pump()

    # -- inside -----------------------------------------------------------------------------------

    def _feed_units(self, direction: Direction, data: bytes) -> None:
        passage, arrangement = self._passages[direction], self._arrangement(direction)
        now = self._loop.time()
        if not arrangement.active:
            self.units[direction].pass_by(data)
            passage.feed(data, now)
            return
        for unit in self.units[direction].feed(data):
            if unit.kind == "close" and arrangement.drops_close:
                self._owner.noted("a close frame was not sent on")
                passage.cut(now)
            elif unit.kind == "message":
                self._go_on(direction, arrangement.feed(unit.data, now))
            else:
                if unit.kind == "close":
                    self._go_on(direction, arrangement.release())
                passage.feed(unit.data, now)

    def _release(self, direction: Direction) -> None:
        """Nothing more comes to go on with what is held back as a message, or as part of one."""
        self._go_on(direction, self._arrangement(direction).release())
        if direction in self.units and (part := self.units[direction].release()):
            self._passages[direction].feed(part, self._loop.time())

    def _pump(self) -> None:
        """Let go of all that is due, in both directions."""
        if self._pumping:
            self._again = True
            return
        self._pumping = True
        try:
            self._again = True
            while self._again:
                self._again = False
                now = self._loop.time()
                for direction in DIRECTIONS:
                    self._go_on(direction, self._arrangement(direction).due(now))
                while self._may_take("near") and (out := self._near.take(now)):
                    self._send(out)
                while self._may_take("far") and (out := self._far.take(now)):
                    self._deliver(out)
        finally:
            self._pumping = False
        self._after()

    def _may_take(self, direction: Direction) -> bool:
        if direction in self._turns or self._gave_up:
            return False
        if direction == "near":
            return not self._raw_paused and not self._is_lost
        return not self._reader_paused and not self._is_closing

    def _send(self, out: Out) -> None:
        if out.data:
            self.raw.write(out.data)
        if out.apart:
            self._take_turns("near")
        if out.last == "said":
            if not self._is_closing and self.raw.can_write_eof():
                with contextlib.suppress(OSError, RuntimeError):  # it has gone in this very moment
                    self.raw.write_eof()
        elif out.last:
            self._cut("near", out.last)

    def _deliver(self, out: Out) -> None:
        if out.data:
            self.protocol.data_received(out.data)
        if out.apart:
            self._take_turns("far")
        if out.last == "said":
            if not self.protocol.eof_received() and not self._is_lost:
                self.close()
        elif out.last:
            self._cut("far", out.last)

    def _take_turns(self, direction: Direction, turns: int = TURNS) -> None:
        if turns:
            self._turns[direction] = self._loop.call_soon(self._take_turns, direction, turns - 1)
        else:
            del self._turns[direction]
            self._pump()

    def _cut(self, direction: Direction, how: How) -> None:
        """End the connection, once all that was to arrive has left."""
        if self._gave_up or self._is_lost:
            return
        if self.raw.get_write_buffer_size() or _not_sent(self.raw):
            self._turns[direction] = self._loop.call_later(LOOK_AGAIN, self._look_again, direction, how)
        else:
            self._tell_done()
            self._owner.cut(direction, how)

    def _look_again(self, direction: Direction, how: How) -> None:
        del self._turns[direction]
        self._cut(direction, how)

    def _after(self) -> None:
        """Tell what was done, who has to wait, and when to look again."""
        self._tell_done()
        if self._lost is not None and not self._far.pending:
            self._tell_lost(*self._lost)
            return
        self._tell_pressure()
        self._read_or_not()
        if self._is_closing and not self._near.pending and not self._is_lost:
            self.raw.close()
        self._arm()
        if not self.faults and not self.active:
            self._owner.idle()

    def _tell_done(self) -> None:
        for done in (self._near.done, self._far.done, self._said.done, self._heard.done):
            for text in done:
                self._owner.noted(text)
            done.clear()

    def _tell_lost(self, error: Exception | None) -> None:
        self._lost = None
        self._stop()
        self._far.drop()
        self.protocol.connection_lost(error)

    @property
    def _room(self) -> int:
        return self._near.room if self._high is None or self._near.is_silent else self._high

    def _tell_pressure(self) -> None:
        """Have the protocol wait, or go on."""
        room = self._room // 2 if self._told_paused else self._room
        waits = self._raw_paused or self._near.size > room
        if waits != self._told_paused and not self._is_lost:
            self._told_paused = waits
            if waits:
                self.protocol.pause_writing()
            else:
                self.protocol.resume_writing()

    def _read_or_not(self) -> None:
        reads_not = self._reader_paused or self._far.appetite == 0
        if reads_not != self._reads_not and not (self._is_lost or self._is_closing or self.raw.is_closing()):
            self._reads_not = reads_not
            if reads_not:
                self.raw.pause_reading()
            else:
                self.raw.resume_reading()

    def _arm(self) -> None:
        times = [self._said.wake_at, self._heard.wake_at]
        times += [self._passages[direction].wake_at for direction in DIRECTIONS if self._may_take(direction)]
        due = min((time for time in times if time is not None), default=None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and not self._gave_up:
            self._timer = self._loop.call_at(due, self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        self._pump()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for handle in self._turns.values():
            handle.cancel()
        self._turns.clear()


def _takes_the_place_of(fault: Fault, other: Fault) -> bool:
    return bool(fault.slot) and fault.slot == other.slot and bool(set(fault.directions) & set(other.directions))


def _not_sent(transport: Any) -> int:
    """How many bytes the kernel has not sent, because the other end has no room for them."""
    sock = transport.get_extra_info("socket")
    if fcntl is None or sock is None:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), _NOT_SENT, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # it is gone, or this is another kernel
        return 0
