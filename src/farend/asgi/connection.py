"""The life of one connection between a test and an application: opened, rejected, closed, left.

It can be led by hand (`connect`, `disconnect`), by `async with`, and by `with` in a plain test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from farend.asgi import blocking
from farend.asgi.arguments import (
    checked_code,
    checked_seconds,
)
from farend.asgi.blocking import BlockingCommunicator
from farend.asgi.opening import Opening
from farend.asgi.session import App, Session, scope_of
from farend.asgi.waiting import TIMEOUT, Waiting
from farend.core.messages import printed
from farend.errors import ApplicationClosed, DeadlineExceeded, Rejected, Unsettled, WrongState
from farend.settling.settler import LIMIT, lease

END: Final = 60.0
"""Seconds, on the application's clock, that it may take to end a block: a heartbeat may be as slow as that."""
Headers: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]]


class Connection(Waiting):
    """What a `WebsocketCommunicator` is before anything is said; its arguments are told there."""

    _app: App
    _headers: list[tuple[bytes, bytes]]
    _subprotocols: list[str]
    _more_scope: dict[str, Any]
    _home: asyncio.AbstractEventLoop | None = None
    _opening: Opening | None = None

    # -- life -------------------------------------------------------------------------------------

    async def connect(self, timeout: float = TIMEOUT) -> Opening:
        """Open the WebSocket: `(True, subprotocol)`, or `(False, code)` if the application rejects it.

        Raises `DeadlineExceeded` for an application that does neither.
        """
        __tracebackhide__ = True
        checked_seconds("timeout", timeout)
        if self._session is not None:
            raise WrongState(
                "the communicator was connected already; make a new one for another connection"
                if self._opening is None or self._opening.accepted
                else "the application has rejected this connection; make a new communicator to try again"
            )
        loop = self._home or _running_loop()
        self._settler = lease(loop)
        try:
            scope = scope_of(self._path, self._all_headers(), list(self._subprotocols), self._more_scope)
            session = self._session = Session(loop, scope, self._path)
            session.start(self._app)
            while not session.is_answered:
                if not await self._more(timeout):
                    raise DeadlineExceeded(self._story("The application has neither accepted nor rejected it."))
            if session.accepted is None:
                await self._rejection()
        except BaseException:
            await self._leave()
            raise
        self._opening = Opening(session)
        if not self._opening.accepted:
            await self._leave()
        return self._opening

    async def _rejection(self) -> None:
        """It was not accepted. The application may have failed, or gone without a word."""
        __tracebackhide__ = True
        session = self._connected()
        if not session.has_ended:
            await self._settle(0.0)
        error = self._error()
        if error is not None:
            error.add_note(f"The application raised this before it had accepted {self._path}.{_no_route(error)}")
            raise error
        if session.close_code is None:
            raise ApplicationClosed(self._story(f"The application returned, and has not answered {self._path}."))

    async def disconnect(self, code: int = 1000, timeout: float = TIMEOUT, reason: str = "") -> None:
        """Close the WebSocket, and wait until the application has ended. A second time does nothing.

        The application gets `websocket.disconnect`; if it speaks on later, its `send()` raises
        `ClientDisconnected`, as servers have it (ASGI 2.4), which is an end like any other. `timeout` is in
        seconds of its clock, which is put forward only if it does not end at once.

        Raises what the application raised, if that was not raised in the test yet, and `Unsettled` for an
        application that does not end within `timeout`: it says what it waits for, and cancels it.
        """
        __tracebackhide__ = True
        checked_seconds("timeout", timeout)
        checked_code(code)
        session = self._session
        if session is None or self._settler is None:
            return
        session.disconnect(code, reason)
        try:
            if session.waiter is not None:  # another task's, which is told first that nothing can come any more
                session.notify()
                await asyncio.sleep(0)
            while not session.has_ended:
                if not session.long_gone:
                    session.long_gone = not await self._more(0.0)
                elif not await self._more(timeout):
                    chains = self._chains()
                    raise Unsettled(self._story("The application does not end after its websocket.disconnect."), chains)
        finally:
            await self._leave()
        self._raise_error()

    async def _leave(self) -> None:
        """End what is left of the application, and watch the loop no more."""
        settler, self._settler = self._settler, None
        if settler is None:
            return
        task = self._session.task if self._session is not None else None
        try:
            if task is not None and not task.done():
                task.cancel()
                one = settler.waiter(0.0, LIMIT)
                self._connected().waiter = one
                try:
                    while not task.done() and not one.future.done():
                        await one.future
                finally:
                    self._connected().waiter = None
                    settler.waiters.remove(one)
        finally:
            settler.release()

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        self._raise_unless_accepted(await self.connect())
        return self

    def _raise_unless_accepted(self, opening: Opening) -> None:
        __tracebackhide__ = True
        if opening.accepted:
            return
        session = self._connected()
        if session.response is not None:
            said = f"with HTTP {opening.status}"
            said += f": {printed(opening.body.decode('utf-8', 'replace'), 200)}" if opening.body else ""
        else:
            said = f"with close code {opening.code}" + (f" {session.close_reason!r}" if session.close_reason else "")
            said += "; a server would answer HTTP 403."
            said += " Is there a route for this path?" if opening.code == 1000 and not session.close_reason else ""
        text = f"The application rejected {self._path} {said}"
        raise Rejected(text, opening.status, opening.headers, opening.body, opening.code or 1006)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        if error is None:
            await self.disconnect(timeout=END)
            return
        try:
            await self.disconnect(timeout=END)
        except Exception as problem:
            if problem is not error:
                error.add_note(f"At the end, the application: {type(problem).__name__}: {problem}")

    def __enter__(self) -> BlockingCommunicator:
        __tracebackhide__ = True
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise WrongState("an event loop runs in this thread: write `async with` instead of `with`")
        self._home = blocking.lease()
        try:
            self._raise_unless_accepted(blocking.run(self._home, self.connect()))
        except BaseException:
            self._home = None
            blocking.release()
            raise
        return BlockingCommunicator(self, self._home)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        assert self._home is not None
        try:
            blocking.run(self._home, self.__aexit__(kind, error, traceback))
        finally:
            blocking.release()

    # -- what is known ----------------------------------------------------------------------------

    @property
    def opening(self) -> Opening:
        """How the connect was answered."""
        if self._opening is None:
            raise WrongState("the communicator is not connected yet: `async with`, or connect()")
        return self._opening

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the application chose."""
        return self.opening.subprotocol

    @property
    def scope(self) -> Mapping[str, Any]:
        """The scope that the application was called with, and what it has put there."""
        return self._connected().scope

    def _all_headers(self) -> list[tuple[bytes, bytes]]:
        headers = list(self._headers)
        if not any(name == b"host" for name, _ in headers):
            headers.insert(0, (b"host", b"testserver"))
        if self._subprotocols and not any(name == b"sec-websocket-protocol" for name, _ in headers):
            headers.append((b"sec-websocket-protocol", ", ".join(self._subprotocols).encode("latin-1")))
        return headers


def _running_loop() -> asyncio.AbstractEventLoop:
    __tracebackhide__ = True
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongState(
            "no asyncio event loop runs here: write `with` in a plain test (trio is not supported)"
        ) from None


def _no_route(error: BaseException) -> str:
    return " Is there a route for it?" if "route" in str(error).lower() else ""
