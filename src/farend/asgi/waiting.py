"""What a test waits for on one connection: that the application says something, ends, or has settled.

All that waits goes through here, and so does what is told when nothing comes: what the application waits
for, and what was said before. `timeout` is time of the application's own clock, which is put forward
where only a timer is waited for; so no wait sleeps.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from typing import Final, NoReturn

from farend.asgi.arguments import checked_seconds
from farend.asgi.session import CLOSED, CONNECTING, OPEN, Frame, Session
from farend.core.transcript import Transcript
from farend.errors import ApplicationClosed, ClientDisconnected, DeadlineExceeded, WrongState
from farend.settling.settler import LIMIT, Settler, Waiter, lease
from farend.settling.waits import duration
from farend.stage.settings import settings

TIMEOUT: Final = 1.0
"""Seconds, on the application's clock, that a receive waits where nobody says otherwise."""


class Waiting:
    """One session, and the settler of its loop for as long as it is connected.

    `path` is told in failures; `deadline` is how long a thread or another program may really take, in
    seconds.
    """

    _settler: Settler | None = None

    def __init__(self, path: str, deadline: float) -> None:
        self._path = path
        self._deadline = deadline
        self._session: Session | None = None
        self._waiter = Waiter()
        self._told: BaseException | None = None

    def __del__(self) -> None:
        if self._settler is not None:
            text = f"the communicator of {self._path} was connected, and never disconnected"
            warnings.warn(f"{text}: write `async with`, or `await comm.disconnect()`", ResourceWarning, 2, self)

    # -- what is known ----------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The application's clock."""
        return Clock(self)

    @property
    def transcript(self) -> Transcript:
        """All that was said, with times; the application is its near end."""
        return self._connected().transcript

    @property
    def frames(self) -> Sequence[Frame]:
        """All that the application has said so far, each with the `cause` that it was said for."""
        return self._connected().frames

    def waiting_for(self) -> list[str]:
        """What each of the application's tasks waits for, and where; after its end, those that it has left behind."""
        session = self._connected()
        if self._settler is not None or session.loop.is_closed():
            return self._chains()
        settler = lease(session.loop)
        try:
            return settler.chains()
        finally:
            settler.release()

    # -- settling ---------------------------------------------------------------------------------

    async def settle(self, within: float = 0.0, limit: float = LIMIT) -> None:
        """Return the moment the application has finished reacting to all that it was sent.

        Timers that are due `within` so many seconds count as under way, and are not waited for: the clock
        is put forward. With 0, time stands still. Raises `Unsettled`, which names what is still under way
        and where, after `limit` seconds of real time; and what the application raised.
        """
        __tracebackhide__ = True
        checked_seconds("limit", limit)
        await self._settle(within, limit=limit)

    async def _settle(self, within: float, *, limit: float | None = None, fully: bool = False) -> None:
        __tracebackhide__ = True
        checked_seconds("timeout" if fully else "within", within)
        session = self._connected()
        patience = self._deadline if limit is None else limit * settings.scale
        if self._settler is None:
            settler = lease(self._loop())
            try:
                await settler.settle(within, patience, fully=fully)
            finally:
                settler.release()
        else:
            await self._settler.settle(within, patience, fully=fully)
        if session.has_ended and not session.outbox:
            self._raise_error()

    # -- the next thing ---------------------------------------------------------------------------

    async def _until_said(self, timeout: float, outside: bool) -> None:
        """Wait until the application has said something; raise if it cannot any more."""
        __tracebackhide__ = True
        if type(timeout) is not float or not 0.0 <= timeout <= self._deadline:
            checked_seconds("timeout", timeout)
        session, settler = self._session or self._connected(), self._settler
        if session.state is not CLOSED:
            if outside or settler is None:
                await self._outside(timeout)
            else:
                # `_more`, without another coroutine: this is done for every message.
                waiter = session.waiter = self._patient(timeout)
                try:
                    await settler.wait_again(waiter, timeout)
                finally:
                    session.waiter = None
                    settler.waiters.remove(waiter)
        if not session.outbox:
            await self._said_nothing(timeout, outside)

    def _patient(self, within: float) -> Waiter:
        """The communicator's own waiter, which really waits for as long as that, at least."""
        __tracebackhide__ = True
        if self._connected().waiter is not None:
            raise WrongState("another task waits on this communicator already")
        self._waiter.patience = self._deadline if within < self._deadline else within * settings.scale
        return self._waiter

    async def _more(self, within: float) -> bool:
        """Wait for the next thing that the application does; False when it is settled first."""
        settler, session = self._settler, self._connected()
        if settler is None:
            raise WrongState("the communicator has disconnected")
        waiter = session.waiter = self._patient(within)
        try:
            return await settler.wait_again(waiter, within)
        finally:
            session.waiter = None
            settler.waiters.remove(waiter)

    async def _outside(self, timeout: float) -> None:
        """Really wait."""
        session, loop = self._connected(), self._loop()
        waiter = session.waiter = self._patient(timeout)
        waiter.future = loop.create_future()
        timer = loop.call_later(timeout * settings.scale, session.notify)
        try:
            await waiter.future
        finally:
            timer.cancel()
            session.waiter = None

    async def _said_nothing(self, timeout: float, outside: bool) -> NoReturn:
        """Say why nothing came, and raise."""
        __tracebackhide__ = True
        session = self._connected()
        if session.state is CLOSED:
            if not session.has_ended and self._settler is not None:
                await self._settle(0.0)  # it may yet fail
            self._raise_error()
            if session.disconnected and session.close_code is None:
                raise WrongState("nothing can come: the communicator has disconnected")
            if session.close_code is not None:
                raise self._closed("The application has closed the WebSocket")
            raise self._closed("The application has ended, and nothing more can come")
        if outside or self._settler is None:
            raise DeadlineExceeded(self._story(f"Nothing came in {timeout:g} s."))
        due = self._settler.next_due()
        more = ", and nothing can." if due is None else f"; a timer is due in {duration(due)}: timeout= may be longer."
        raise DeadlineExceeded(self._story(f"Nothing came within {timeout:g} s of its clock{more}"))

    # -- the session ------------------------------------------------------------------------------

    def _connected(self) -> Session:
        __tracebackhide__ = True
        session = self._session
        if session is None:
            raise WrongState("the communicator is not connected: write `async with`, or `await comm.connect()`, first")
        return session

    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._connected().loop

    def _speaking(self) -> Session:
        """The session, if one can still send on it."""
        __tracebackhide__ = True
        session = self._connected()
        if session.state is OPEN:
            return session
        self._raise_error()
        if session.state is CONNECTING:
            raise WrongState("the application has not accepted the WebSocket yet")
        if session.close_code is not None:
            raise self._closed("Cannot send: the application has closed the WebSocket")
        if session.disconnected:
            raise WrongState("cannot send: the communicator has disconnected")
        raise self._closed("Cannot send: the application has ended")

    # -- in words ---------------------------------------------------------------------------------

    def _error(self) -> BaseException | None:
        """What the application raised, if the test was not told yet."""
        session = self._session
        if session is None or session.task is None or not session.task.done() or session.task.cancelled():
            return None
        error = session.task.exception()
        if error is None or error is self._told or _tells_of_the_end(error):
            return None
        self._told = error
        if session.disconnected and session.close_code is None and type(error).__name__ == "WebSocketDisconnect":
            error.add_note(
                "The application let this through when the test disconnected; a server would log it as an error. "
                "Around the loop in which it receives or sends, `except WebSocketDisconnect` is where it ends."
            )
        return error

    def _raise_error(self) -> None:
        __tracebackhide__ = True
        error = self._error()
        if error is not None:
            raise error

    def _closed(self, text: str) -> ApplicationClosed:
        session = self._connected()
        if session.close_code is not None:
            text += f" with {session.close_code}" + (f" {session.close_reason!r}" if session.close_reason else "")
        return ApplicationClosed(self._story(text + "."), session.close_code, session.close_reason)

    def _chains(self) -> list[str]:
        return self._settler.chains() if self._settler is not None else []

    def _story(self, text: str) -> str:
        """What went wrong, what the application waits for, and what was said before."""
        parts = [text]
        if chains := self._chains():
            parts.append("The application waits for:\n" + "\n".join(f"  {chain}" for chain in chains))
        if self._session is not None:
            lines = str(self._session.transcript).splitlines()
            shown = lines[-settings.tail :]
            left = f"  … {len(lines) - len(shown):,} lines before\n" if len(lines) > len(shown) else ""
            parts.append(
                f"{self._path} (→ said by the application, the near end; ← by the test):\n"
                + left
                + "\n".join(f"  {one}" for one in shown)
            )
        return "\n\n".join(parts)


def _tells_of_the_end(error: BaseException) -> bool:
    """Whether it is, or is a group of nothing but, what `send()` raises when the test has left."""
    if isinstance(error, BaseExceptionGroup):
        return all(_tells_of_the_end(one) for one in error.exceptions)
    return isinstance(error, ClientDisconnected)


class Clock:
    """The application's clock: the loop's time, which can be put forward."""

    def __init__(self, comm: Waiting) -> None:
        self._comm = comm

    def time(self) -> float:
        """The loop's time, in seconds."""
        return self._comm._loop().time()

    async def advance(self, seconds: float, limit: float = LIMIT) -> None:
        """Let so much time pass: each timer that is due until then comes, and is reacted to, in its turn.

        `time.time()` and `time.monotonic()` stay what they are. Raises `Unsettled` after `limit` seconds
        of real time.
        """
        __tracebackhide__ = True
        checked_seconds("seconds", seconds)
        await self._comm._settle(seconds, limit=limit, fully=True)
