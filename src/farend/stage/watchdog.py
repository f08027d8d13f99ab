"""Whether the event loops that far ends live on still turn: a test whose loop is blocked must not hang.

A blocking client in `async def` waits for a far end that lives on the very loop it blocks. One thread, shared
by all far ends on loops of the test's, knocks at these loops. Where one does not answer for a far end's
deadline, the far end's connections are ended from outside (`FarEnd.cut_off`), so that the client goes on. So are
those of a far end that was not closed before its loop ended.

The thread starts with the first far end, and ends `LINGER` seconds after the last has left, or at once with
`close()`. It is a daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import socket
import stat
import struct
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

LINGER: Final = 0.5
"""Seconds that the thread waits for another far end."""
LOOKS: Final = 4
"""How often it looks at a loop within a deadline."""
LEAST: Final = 0.5
"""Seconds that a loop may stand still in any case: on a busy machine, one that is only slow can take as long."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_DEBUGGERS: Final = ("bdb", "pdb", "pydevd", "_pydevd_bundle")
_OPEN_FILES: Final = "/dev/fd"


class Standing(enum.Enum):
    """How a loop stands still."""

    BLOCKED = enum.auto()
    """Something that it runs does not come to an end."""
    STOPPED = enum.auto()
    """It does not run just now, so that only who has said something waits for sure."""
    ENDED = enum.auto()
    """It is closed, and will never run again."""

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Standing:
        if loop.is_closed():
            return cls.ENDED
        return cls.BLOCKED if loop.is_running() else cls.STOPPED


class Watched(Protocol):
    """A far end that lives on a loop of the test's."""

    deadline: float | None

    def cut_off(self, seconds: float, how: Standing) -> None:
        """End what waits for it, from another thread: its loop has stood still for so long."""
        ...


class _Watch:
    __slots__ = ("_far_end", "_name", "loop", "since", "thread")

    def __init__(self, far_end: Watched, loop: asyncio.AbstractEventLoop) -> None:
        self._far_end: Watched | None = far_end
        self._name = weakref.ref(far_end)
        self.loop = loop
        self.thread = threading.get_ident()
        self.since: float | None = None

    @property
    def far_end(self) -> Watched | None:
        """Whom it is for; None where its loop has ended, and nobody has it any more."""
        return self._name()

    def let_go(self) -> None:
        """Hold it no longer: its loop, which did, has ended."""
        self._far_end = None


class _Pulse:
    """One loop: when it was asked for a sign of life that it has not given yet; None where it has."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked: float | None = None

    def turned(self) -> None:
        self.asked = None


class Watchdog:
    """The thread, and whom it watches for. `watch` is called on the far end's loop, the rest from anywhere."""

    def __init__(self, linger: float = LINGER, least: float = LEAST) -> None:
        self._linger = linger
        self._least = least
        self._watches: dict[int, _Watch] = {}
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._bell = threading.Event()
        self._interval = linger
        self._left_at = 0.0
        self._closing = False

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def watch(self, far_end: Watched, loop: asyncio.AbstractEventLoop) -> None:
        """Watch `loop`, which runs in this thread, for the far end; not where that has no deadline."""
        patience = self._patience(far_end)
        if patience is None:
            return
        self._watches[id(far_end)] = _Watch(far_end, loop)
        # Without a lock: the thread looks at the watches once more after it has said that it ends.
        # A process that was forked has no such thread, whatever it remembers.
        if self._thread is None or not self._thread.is_alive():
            self._start()
        elif patience < self._interval * LOOKS:
            self._bell.set()

    def forget(self, far_end: Watched) -> None:
        """Watch no more for the far end."""
        if self._watches.pop(id(far_end), None) is not None:
            self._left_at = time.monotonic()

    def close(self) -> None:
        """End the thread now, and wait for it. Who is still watched for is forgotten."""
        with self._starting:
            thread = self._thread
            self._watches.clear()
            self._closing = True
            self._bell.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._closing = False

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._bell = threading.Event()
                self._interval = self._shortest()
                self._thread = threading.Thread(target=self._run, name="farend-watchdog", daemon=True)
                self._thread.start()

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        pulses: dict[asyncio.AbstractEventLoop, _Pulse] = {}
        now, woke = 0.0, time.monotonic()
        while True:
            self._look(now, pulses)
            self._interval = self._shortest()
            self._bell.wait(self._interval)
            self._bell.clear()
            before, woke = woke, time.monotonic()
            # Where this thread stood still as well, the whole process did: that is nobody's blocking call.
            now += min(woke - before, 2 * self._interval)
            if not self._watches and (self._closing or woke - self._left_at >= self._linger) and self._ends():
                return

    def _shortest(self) -> float:
        patiences = [self._patience(watch.far_end) for watch in self._watches.copy().values()]
        return min([self._linger, *(patience / LOOKS for patience in patiences if patience is not None)])

    def _patience(self, far_end: Watched | None) -> float | None:
        """How long its loop may stand still, in seconds; None for no end."""
        return None if far_end is None or far_end.deadline is None else max(far_end.deadline, self._least)

    def _ends(self) -> bool:
        self._thread = None
        if not self._watches:
            return True
        with self._starting:  # somebody came in this very moment, and may or may not have seen that
            if self._thread is None:
                self._thread = threading.current_thread()
            return self._thread is not threading.current_thread()

    def _look(self, now: float, pulses: dict[asyncio.AbstractEventLoop, _Pulse]) -> None:
        watches = self._watches.copy()
        for gone in pulses.keys() - {watch.loop for watch in watches.values()}:
            del pulses[gone]
        for key, watch in watches.items():
            far_end = watch.far_end
            if far_end is None:
                if self._watches.get(key) is watch:  # and not a later one's, whose number is the same
                    del self._watches[key]
                continue
            if watch.loop.is_closed():
                watch.let_go()
            if watch.since is None:
                watch.since = now
            pulse = pulses.setdefault(watch.loop, _Pulse())
            asked = pulse.asked
            if asked is None:
                pulse.asked = now
                with contextlib.suppress(RuntimeError):  # it is closed, and gives no sign any more
                    watch.loop.call_soon_threadsafe(pulse.turned)
                continue
            patience = self._patience(far_end)
            if patience is None or now - max(asked, watch.since) < patience or key not in self._watches:
                continue
            if _in_debugger(watch.thread):
                pulse.asked = now  # the clock stands still there
            elif pulse.asked is not None:
                far_end.cut_off(patience, Standing.of(watch.loop))


dog: Final = Watchdog()
"""The one that all far ends use."""


def _in_debugger(thread: int) -> bool:
    """Whether a debugger has stopped that thread. Not `sys.gettrace`: coverage has one, too."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False


# -- sockets, from outside ------------------------------------------------------------------------


def accepted(listening: socket.socket, transports: Iterable[Any]) -> list[socket.socket]:
    """Duplicates of all sockets that `listening` gave, those included that no transport has yet.

    `transports` are those known; they are what is asked where the system does not list open files.
    """
    address = listening.getsockname()
    anywhere = isinstance(address, tuple) and address[0] in ("0.0.0.0", "::")
    try:
        numbers = [int(name) for name in os.listdir(_OPEN_FILES)]
    except OSError:
        return connected(transports)
    found = []
    for sock in _duplicates(numbers):
        with contextlib.suppress(OSError):
            own = sock.getsockname()
            sock.getpeername()  # else it listens itself
            if sock.family == listening.family and (own[1] == address[1] if anywhere else own == address):
                found.append(sock)
                continue
        sock.close()
    return found


def connected(transports: Iterable[Any]) -> list[socket.socket]:
    """Duplicates of the sockets of these transports, as far as they are open."""
    found = []
    for transport in transports:
        sock = transport.get_extra_info("socket")
        for copy in _duplicates([sock.fileno()] if sock is not None else []):
            # Its loop may have closed it in this moment, and the number may be another's.
            with contextlib.suppress(OSError):
                if copy.getpeername() == transport.get_extra_info("peername"):
                    found.append(copy)
                    continue
            copy.close()
    return found


def _duplicates(numbers: Iterable[int]) -> Iterator[socket.socket]:
    for number in numbers:
        try:
            # Sockets only: to close a duplicate of a file would give up its locks.
            if os.name == "posix" and not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            copy = socket.socket(fileno=socket.dup(number))
        except OSError:  # it was closed meanwhile
            continue
        yield copy


def has_unread(sock: socket.socket) -> bool:
    """Whether something came that was not read."""
    with contextlib.suppress(OSError):
        return bool(sock.recv(1, socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0)))
    return False


def cut_all(connections: Iterable[socket.socket], listening: socket.socket | None) -> None:
    """End these connections, and reset who waits at `listening`, which goes on listening; their sockets are closed.

    Who waits is taken before anybody is cut: who is cut goes on in that moment, and may connect anew.
    """
    with contextlib.ExitStack() as stack:
        ended = [stack.enter_context(sock) for sock in connections]
        for sock in _waiting(listening) if listening is not None else ():
            stack.enter_context(sock)
            with contextlib.suppress(OSError):
                if sock.family != getattr(socket, "AF_UNIX", None):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        for sock in ended:
            with contextlib.suppress(OSError):  # the near end has ended it
                sock.shutdown(socket.SHUT_RDWR)


def _waiting(listening: socket.socket) -> list[socket.socket]:
    """Who has connected, and was not taken yet; taken now."""
    found = []
    with contextlib.suppress(OSError):  # nobody is left
        while True:
            found.append(socket.socket.accept(listening)[0])  # a `Listener` counts those its loop takes
    return found
