"""One client and one server, and the bytes between them: sent on as they are, after a tap has seen them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from farend.core.events import Event, Violated
from farend.core.faults import Direction, Fault, How
from farend.core.units import Units
from farend.stage.faults import Impaired
from farend.stage.transports import LITTLE, floods, reset
from farend.tape.format import Side

MOST_PENDING: Final = 64 << 10
"""Bytes of a client that wait for the server to be reached; more are left to the kernel."""


class Tap(Protocol):
    """Sees all that passes, before it goes on."""

    excused: bool
    """Whether faults were done, so that what goes wrong is nobody's mistake."""

    def said(self, side: Side, data: bytes) -> bytes:
        """What to send on of it."""
        ...

    def wants(self, side: Side) -> int:
        """How many bytes to read of it at once, at most, where much comes."""
        ...

    def noted(self, text: str) -> None:
        """A fault was done, on purpose."""
        ...

    def ended(self, side: Side) -> None: ...
    def aborted(self, side: Side) -> None: ...
    def refused(self, reason: str) -> None:
        """The server cannot be reached."""
        ...

    def refusal(self) -> bytes | None:
        """What to tell the client then, or None for a reset; empty while it has to speak on first."""
        ...

    def shut_out(self, problem: str) -> None:
        """The client has not got as far as to be connected: its TLS handshake failed."""
        ...

    def over(self, *, cut: bool) -> None:
        """All has been seen; `cut` is whether it was the recording that ended."""
        ...


class Pipe:
    """The two sides of a connection that is passed on; `dial` reaches the server, once the client is there."""

    def __init__(
        self,
        tap: Tap,
        dial: Callable[[Pipe], asyncio.Task[None]],
        *,
        websocket: bool = False,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.tap = tap
        self._dial = dial
        self.near = End(self, "client", Units() if websocket else None)
        self.far = End(self, "server", Units() if websocket else None)
        self.impaired: Impaired | None = None
        """What does faults to the client's side, which both directions come through; None while there are none."""
        self.first_faults = tuple(faults)
        self.near.other, self.far.other = self.far, self.near
        self.dialling: asyncio.Task[None] | None = None
        self.is_refused = False
        self.is_closing = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def interrupted(self) -> bool:
        """Whether the ending has come that a plan has for it."""
        return bool(getattr(self.tap, "interrupted", False))

    @property
    def activity(self) -> int:
        """A number that grows while something goes on."""
        return self.near.activity + self.far.activity

    def reach(self) -> None:
        """The client is there: reach the server."""
        if self.dialling is None:
            self.dialling = self._dial(self)

    # -- faults -----------------------------------------------------------------------------------

    def impair(self, faults: Iterable[Fault]) -> None:
        """From now on, do these faults to the connection as well."""
        faults = tuple(faults)
        near = self.near
        if self.dialling is None:  # the client is not there yet, or still shakes hands
            self.first_faults += faults
        elif faults and not near.is_lost:
            if self.impaired is None:
                self.impaired = Impaired(near.transport, near, self)
                near.transport = self.impaired
                if near.units is not None and self.far.units is not None:
                    self.impaired.units = {"near": self.far.units, "far": near.units}
                    near.units = self.far.units = None
            self.tap.excused = self.tap.excused or not all(fault.harmless for fault in faults)
            self.tap.noted(f"fault: {' and '.join(map(str, faults))}")
            self.impaired.begin(faults)

    def repair(self, faults: Iterable[Fault]) -> None:
        """Do these faults no more."""
        faults = tuple(faults)
        self.first_faults = tuple(one for one in self.first_faults if one not in faults)
        if self.impaired is not None and faults:
            self.tap.noted(f"no fault: {' and '.join(map(str, faults))}")
            self.impaired.end(faults)

    def noted(self, text: str) -> None:
        """A fault has done something."""
        self.tap.noted(text)

    def comes(self, message: Any) -> None:
        """Nothing: messages are bytes here."""

    def idle(self) -> None:
        """No fault is active any more: bytes go straight again."""
        if self.impaired is not None and not self.near.is_lost:
            impaired, self.impaired = self.impaired, None
            self.near.transport = impaired.detach()
            if impaired.units:
                self.far.units, self.near.units = impaired.units["near"], impaired.units["far"]

    def cut(self, direction: Direction, how: How) -> None:
        """A fault ends the connection, or one direction of it."""
        self.near.activity += 1
        if how == "reset":
            self.sever()
        elif direction == "far":
            self.near._has_ended()
            self.far.end()
        elif self.impaired is not None and not self.near.is_lost:
            raw = self.impaired.raw
            if raw.can_write_eof() and not self.near.has_ended:
                with contextlib.suppress(OSError, RuntimeError):  # it has gone in this very moment
                    raw.write_eof()
            else:
                self.near.transport.close()

    def sever(self, how: How = "reset") -> None:
        """End both sides, with resets, or with ends of the stream; what is under way is lost."""
        if self.dialling is not None:
            self.dialling.cancel()
        for end in (self.far, self.near):
            if not end.has_ended:
                end.has_ended = True
                if end is self.far:
                    self.tap.excused = True
                    self.tap.noted("the connection was severed")
                    (self.tap.aborted if how == "reset" else self.tap.ended)(end.side)
            self._dismiss(end, reset if how == "reset" else _abort)
        self.over_if_lost()

    def give_up(self) -> None:
        """The proxy ends: what faults hold back goes on, and what they keep silent is cut."""
        if self.impaired is not None and not self.impaired.give_up():
            self.near.transport.abort()

    # -- the end ----------------------------------------------------------------------------------

    def refuse(self, reason: str) -> None:
        """The server cannot be reached: the client is told as well as can be."""
        self.is_refused = True
        self.far.is_lost = True
        self.tap.refused(reason)
        self.turn_away()

    def turn_away(self) -> None:
        """Tell the client that there is no server, as soon as it can be told."""
        answer = self.tap.refusal()
        if self.near.is_lost or answer == b"":
            self.over_if_lost()
        elif answer is None:
            reset(self.near.transport)
        else:
            self.near.transport.write(answer)
            self.near.transport.close()

    def close(self) -> None:
        """End both sides, with all that has come sent on."""
        self.is_closing = True
        if self.dialling is not None:
            self.dialling.cancel()
        for end in (self.near, self.far):
            self._dismiss(end, _close)
        self.over_if_lost()

    def _dismiss(self, end: End, farewell: Callable[[Any], None]) -> None:
        """End one side now, or as soon as it has a transport: a client may be counted before it has one."""
        if end.transport is None:
            end.is_lost = True
            end.farewell = farewell
        elif not end.is_lost:
            farewell(end.transport)

    def abort(self) -> None:
        """End both sides now."""
        for end in (self.near, self.far):
            if end.transport is not None:
                end.transport.abort()

    @property
    def is_leaving(self) -> bool:
        """Whether one side has ended: the other is sure to follow."""
        return self.near.has_ended or self.far.has_ended or self.near.is_lost

    def over_if_lost(self) -> None:
        """Once both sides are gone, it is over."""
        if self.near.is_lost and self.far.is_lost and not self.done.done():
            self.tap.over(cut=self.is_closing)
            self.done.set_result(None)


class End(asyncio.Protocol):
    """One side of a pipe, as a transport sees it."""

    other: End

    def __init__(self, pipe: Pipe, side: Side, units: Units | None) -> None:
        self.pipe = pipe
        self.units = units
        """Keeps track of what is whole, where faults may one day ask for it."""
        self.side: Side = side
        self.transport: Any = None
        self.activity = 0
        self.is_lost = False
        self.farewell: Callable[[Any], None] = _abort
        """What is done to a transport that is made when this side has been ended already."""
        self.has_ended = False
        self._is_tls = False
        self._pending: list[bytes] = []
        self._floods = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.is_lost:
            self.farewell(transport)
            return
        floods(transport, 0)
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        pending, self._pending = self._pending, []
        for data in pending:
            transport.write(data)
        if self.side == "client":
            self.pipe.reach()
            faults, self.pipe.first_faults = self.pipe.first_faults, ()
            self.pipe.impair(faults)
        else:
            if not self.other.is_lost:
                self.other.transport.resume_reading()
            if self.other.has_ended or self.other.is_lost:
                self.end()

    def data_received(self, data: bytes) -> None:
        """What has come; a tunnel of TLS calls this itself."""
        pipe = self.pipe
        self.activity += 1
        if self.units is not None:
            self.units.pass_by(data)
        size = len(data)
        data = pipe.tap.said(self.side, data)
        if self._floods or size >= LITTLE:
            self._floods = floods(self.transport, size, pipe.tap.wants(self.side))
        other = self.other
        if other.transport is not None:
            if not other.is_lost and data:
                other.transport.write(data)
        elif pipe.is_refused:
            pipe.turn_away()
        elif data:
            other._pending.append(data)
            if sum(map(len, other._pending)) > MOST_PENDING:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._has_ended()
        self.other.end()
        return not self._is_tls and not self.other.is_lost  # TLS knows no half-closed connection

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self.activity += 1
        is_cut = isinstance(error, ConnectionError) and not isinstance(error, ssl.SSLError)
        if is_cut and not self.pipe.is_closing:
            if not self.has_ended:
                self.has_ended = True
                self.pipe.tap.aborted(self.side)
            if not self.other.is_lost and self.other.transport is not None:
                self.other._reset()
        elif not self.pipe.is_closing:
            if not self.other.has_ended and not self.pipe.is_refused:
                self._has_ended()
            if self.other.transport is not None and not self.other.is_lost:
                self.other.transport.close()
        if self.side == "client" and self.other.transport is None:
            if self.pipe.dialling is not None:
                self.pipe.dialling.cancel()
            self.other.is_lost = True
        self.pipe.over_if_lost()

    def pause_writing(self) -> None:
        if not self.other.is_lost:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.is_lost:
            self.other.transport.resume_reading()

    def _reset(self) -> None:
        if self.pipe.impaired is not None and self.side == "client":
            self.pipe.impaired.reset_behind()
        else:
            reset(self.transport)

    # -- what else a tunnel asks ------------------------------------------------------------------

    def at_work(self) -> bool:
        """Whether the other side may still say something."""
        return not (self.other.has_ended or self.other.is_lost)

    def refused(self, transport: Any, violation: Violated) -> None:
        """The TLS handshake failed."""
        self.transport = transport
        self.pipe.tap.shut_out(violation.problem)
        transport.close()

    def poke(self, event: Event) -> None:
        """Its TLS broke, and the tunnel cuts it off."""

    def shut(self) -> None:
        """Only who dials through a tunnel is shut, and this side listens."""

    def _has_ended(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self.activity += 1
            self.pipe.tap.ended(self.side)

    def end(self) -> None:
        """End this side, towards its peer, as the other side has ended."""
        if self.transport is None or self.is_lost:
            return
        if self.transport.can_write_eof() and not self.has_ended:
            with contextlib.suppress(OSError, RuntimeError):  # it has gone in this very moment
                self.transport.write_eof()
        else:
            self.transport.close()


def _abort(transport: Any) -> None:
    transport.abort()


def _close(transport: Any) -> None:
    transport.close()
