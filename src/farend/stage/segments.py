"""The bytes of a far end, sent in segments that the near end reads one at a time.

Between a driver and its transport comes a layer, which is a transport to the driver: it cuts what is written,
and hands on a segment when the near end has read the one before (`unread`). So no system call of the near end
gives the bytes of two, however fast or slow it is.

Which way to cut is the process's, because far ends that a test makes may live on another thread's loop: a `Run` is
current while a test is played with one split, and takes in each connection that begins then.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from farend.core.splits import Split, Stream
from farend.errors import WrongState
from farend.stage.loop_thread import shared
from farend.stage.settings import DEADLINE, settings
from farend.stage.unread import unread

ROOM: Final = 64 << 10
"""Bytes that are taken in before the driver is told to wait: what the kernel would have room for."""
TURNS: Final = 3
"""Turns of the loop in which the near end, if it is on the same one, goes through what it has read."""
BUSY_LOOKS: Final = 50
"""Looks for what is unread, one in each turn of the loop, before they become rarer."""
NAP: Final = 0.0001
"""Seconds that the background loop gives the other threads between two looks."""
LONGEST_PAUSE: Final = 0.01
"""Seconds between two looks, at most."""
BLIND_PAUSE: Final = 0.005
"""Seconds between two segments where nobody knows what is unread."""
SHARE: Final = 0.5
"""The part of the far end's deadline after which a near end that does not read gets all that is held in one."""
GRACE: Final = 0.1
"""Seconds without a segment read after which a far end that is left waits no longer for it to be read."""


class Run:
    """One playing of a test: how streams are cut, and what was said on each."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.streams: list[Stream] = []
        self.far_ends: dict[Any, list[Any]] = {}
        self.hurried = 0
        self._addresses: set[tuple[Any, Any]] = set()

    @contextlib.contextmanager
    def being_played(self) -> Iterator[None]:
        """The connections that begin now are this run's."""
        global current
        with _taking:
            if current is not None:
                raise WrongState(
                    "every_split is at work already in this process: split the tests one after the other, and none "
                    "from inside of another"
                )
            current = self
        try:
            yield
        finally:
            current = None

    def take_in(self, driver: Any, far_end: Any, transport: Any, opening: bool) -> Segmented:
        """The layer for a new connection of a far end."""
        self.far_ends.setdefault(far_end, []).append(driver)
        self._addresses.add((transport.get_extra_info("peername"), transport.get_extra_info("sockname")))
        name = f"{getattr(far_end, 'name', type(far_end).__name__)}, connection {driver.number}"
        patience = (far_end.deadline or DEADLINE * settings.scale) * SHARE
        return Segmented(self, self.begin(Stream(name, opening=opening)), driver, transport, patience)

    def begin(self, stream: Stream) -> int:
        """The number of a new stream."""
        self.streams.append(stream)
        return len(self.streams) - 1

    def has(self, near: Any, far: Any) -> bool:
        """Whether a connection between these addresses, the near end's first, is cut already."""
        return (near, far) in self._addresses

    def receiving(self, name: str) -> Receiving:
        """The bytes that a socket receives by itself, to be cut where it receives them."""
        return Receiving(self, self.begin(Stream(name, "piece", joinable=False)))


class Receiving:
    """What a socket of the test's has received in a run: no call of its `recv` gives more than one piece."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self._number = number
        self._stream = run.streams[number]

    def room(self, size: int) -> int:
        """How many bytes to receive, where there is room for `size`."""
        return self.run.split.room(self._number, len(self._stream.data), size)

    def take(self, data: bytes | memoryview) -> None:
        """This was received."""
        if data:
            self._stream.add(data)


current: Run | None = None
_taking: Final = threading.Lock()


class Segmented:
    """A transport that hands on what is written in segments, one when the one before was read."""

    def __init__(self, run: Run, number: int, driver: Any, transport: Any, patience: float) -> None:
        self._run = run
        self._number = number
        self._stream = run.streams[number]
        self._driver = driver
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._unread = unread(transport)
        self._held: deque[bytes] = deque()
        self._size = 0
        self._under_way = False
        self._more_may_come = False
        self._handle: asyncio.Handle | None = None
        self._ending: str | None = None
        self._paused = self._let_go = False
        self._looks = 0
        self._since = 0.0
        self._patience = patience

    # -- what the driver asks of its transport ----------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.is_closing() or not data:
            return
        begin = len(self._stream.data)
        self._stream.add(data)
        pieces = self._run.split.pieces(self._number, begin, data)
        if self._more_may_come and self._held:
            self._held[-1] += pieces.pop(0)
        self._held += pieces
        self._size += len(data)
        self._more_may_come = self._run.split.joined(self._number, begin + len(data))
        self._go_on(self._more_may_come)
        if self._size > ROOM and not self._paused:
            self._paused = True
            self._driver.pause_writing()

    def write_eof(self) -> None:
        self._end("write_eof")

    def close(self) -> None:
        self._end("close")

    def abort(self) -> None:
        self._end("abort")

    def is_closing(self) -> bool:
        return self._ending in ("close", "abort") or bool(self._transport.is_closing())

    def get_write_buffer_size(self) -> int:
        return max(self._size - ROOM, 0) + int(self._transport.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        low, high = self._transport.get_write_buffer_limits()
        return low, high

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    # -- what far ends ask ------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Whether something that was said is still here."""
        return bool(self._held)

    async def until_read(self) -> None:
        """Until all was handed on: at last, without waiting for the near end to read."""
        size, since, turns = self._size, time.monotonic(), 0
        while self._held:
            turns += 1
            await asyncio.sleep(0 if turns < BUSY_LOOKS else LONGEST_PAUSE / 2)
            if self._size < size:
                size, since, turns = self._size, time.monotonic(), 0
            elif turns > BUSY_LOOKS and time.monotonic() - since > GRACE * settings.scale:
                self.release()

    def release(self) -> None:
        """Hand on all that is here, as it is, and cut no more on this connection."""
        if self._held:
            self._run.hurried += 1
        self._let_go = True
        self._go_on()

    def lost(self) -> None:
        """The connection is gone."""
        self._held.clear()
        self._size = 0
        self._stop()

    # -- inside -----------------------------------------------------------------------------------

    def _end(self, how: str) -> None:
        if self._ending in (None, "write_eof"):
            self._ending = how
        self._more_may_come = False
        self._go_on()

    def _go_on(self, gently: bool = False) -> None:
        """Hand on what can be; `gently` where more may come together with it, in this turn of the loop or the next."""
        if self._let_go:
            while self._held:
                self._hand_on()
        if not self._held:
            self._finish()
        elif self._handle is None:
            if self._under_way or gently:
                self._looks = 0
                self._since = time.monotonic()
                self._look_later()
            else:
                self._hand_on()
                self._go_on()

    def _hand_on(self) -> None:
        piece = self._held.popleft()
        self._size -= len(piece)
        self._more_may_come = self._more_may_come and bool(self._held)
        self._under_way = True
        self._transport.write(piece)
        if self._paused and self._size <= ROOM // 2:
            self._paused = False
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._driver.resume_writing()

    def _finish(self) -> None:
        how = self._ending
        if how is not None and not self._transport.is_closing():
            self._stop()
            if how == "write_eof":
                self._ending = "ended"
            if how != "ended":
                getattr(self._transport, how)()

    # -- looking whether the near end has read ----------------------------------------------------

    def _look_later(self) -> None:
        if self._unread is None and self._under_way:
            self._handle = self._loop.call_later(BLIND_PAUSE, self._turn, TURNS)
        elif self._looks < BUSY_LOOKS:
            if self._looks > TURNS and self._loop is shared.loop:
                # The near end is on another thread, which a loop that only turns would keep from running.
                time.sleep(NAP)
            self._handle = self._loop.call_soon(self._look)
        else:
            pause = min(0.0005 * 2 ** min(self._looks - BUSY_LOOKS, 10), LONGEST_PAUSE)
            self._handle = self._loop.call_later(pause, self._look)

    def _look(self) -> None:
        if not self._held:
            self._handle = None
            return
        self._looks += 1
        unsent = self._transport.get_write_buffer_size()
        if self._under_way and (unsent or (self._unread is not None and not self._unread.nothing())):
            if self._looks > BUSY_LOOKS and time.monotonic() - self._since > self._patience:
                self._handle = None
                self.release()
            else:
                self._look_later()
        else:
            self._turn(0)

    def _turn(self, turns: int) -> None:
        """The near end has read: it may go through it, before it reads the next."""
        if turns < TURNS:
            self._handle = self._loop.call_soon(self._turn, turns + 1)
            return
        self._handle = None
        if self._held:
            self._hand_on()
            self._go_on()

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
