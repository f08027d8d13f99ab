"""Connections that are served one after the other.

Everybody can connect at once. Who comes while another is served waits unread: what they say stays with
the kernel, and their script and its deadlines begin with their turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from farend.stage.driver import Driver
from farend.stage.listening import TURNS_TO_COME


class Turns:
    """The queue of a server that serves one connection at a time.

    `admit` gives the driver for the next connection. `guest` is what the server's listening socket gives
    its connections to; `over` must be called when a driver's turn is over.
    """

    def __init__(self, admit: Callable[[], Driver]) -> None:
        self._admit = admit
        self._coming: set[_Guest] = set()
        self._guests: deque[_Guest] = deque()
        self._served: Driver | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def awaits_guests(self) -> bool:
        """Whether a connection was handed over, and is not made yet."""
        return bool(self._coming)

    def guest(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection, until its turn has come."""
        guest = _Guest(self)
        self._coming.add(guest)
        return guest

    def over(self, driver: Driver) -> None:
        """`driver`, if it is the one that is served, need not be waited for any longer."""
        if driver is self._served:
            self._served = None
            # In a turn of the loop of its own, so that a queue, however long, is no recursion.
            asyncio.get_running_loop().call_soon(self._next)

    async def close(self) -> None:
        """Cut the connections that wait, and wait until they are gone."""
        self._closed = True
        for guest in self._guests:
            guest.transport.abort()
        # A guest that is on its way is soon there; one that asyncio has lost never comes.
        for _ in range(TURNS_TO_COME):
            if not self._coming:
                break
            await asyncio.sleep(0)
        while self._guests:  # noqa: ASYNC110 (a turn of the loop or two)
            await asyncio.sleep(0)

    def _next(self) -> None:
        if self._guests and self._served is None and not self._closed:
            guest = self._guests.popleft()
            self._served = self._admit()
            guest.let_in(self._served)


class _Guest(asyncio.Protocol):
    """A connection that waits for its turn."""

    transport: Any

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._paused = False
        self._came: list[Callable[[Driver], object]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._turns._coming.discard(self)
        self._turns._guests.append(self)
        if self._turns._closed:  # it was taken from the socket in the turn of the loop before the end
            self.transport.abort()
            return
        self._turns._next()
        if self in self._turns._guests:
            # Not at once: uvloop never reads again on a transport that was paused before it began to read.
            asyncio.get_running_loop().call_soon(self._pause)

    def data_received(self, data: bytes) -> None:
        self._came.append(lambda driver: driver.data_received(data))

    def eof_received(self) -> bool:
        self._came.append(lambda driver: driver.eof_received())
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._turns._guests.remove(self)

    def let_in(self, driver: Driver) -> None:
        """Give the connection, and what came of it, to the driver."""
        self.transport.set_protocol(driver)
        driver.connection_made(self.transport)
        for tell in self._came:
            tell(driver)
        if self._paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _pause(self) -> None:
        if self in self._turns._guests and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()
