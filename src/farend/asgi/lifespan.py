"""The start and the end of an application around a test, as a server does it (ASGI, "Lifespan Protocol")."""

from __future__ import annotations

import asyncio
import contextvars
from types import TracebackType
from typing import Any, Final

from farend.asgi.session import App
from farend.core.messages import printed
from farend.errors import AsgiViolation, Failure, Unsettled, WrongState, WrongType
from farend.settling.causes import CAUSE, Cause
from farend.settling.settler import LIMIT, Settler, lease
from farend.stage.settings import settings

_ANSWERS: Final = {
    "lifespan.startup.complete": ("startup", True),
    "lifespan.startup.failed": ("startup", False),
    "lifespan.shutdown.complete": ("shutdown", True),
    "lifespan.shutdown.failed": ("shutdown", False),
}


class lifespan:  # noqa: N801 (used like a function, as `contextlib.closing` is)
    """Starts the application on entering, and shuts it down on leaving; gives the application.

    What it gives is called like the application itself, by communicators and by `httpx.ASGITransport`
    alike, and hands the state over that the startup has made (`scope["state"]`). An application that knows
    no lifespan is left as it is. Raises what the startup raised, or `Failure` where it said that it failed,
    and `Unsettled` where it does not come to an end.

    >>> import asyncio
    >>> from farend.asgi import WebsocketCommunicator, lifespan
    >>> async def app(scope, receive, send):
    ...     if scope["type"] == "lifespan":
    ...         await receive()
    ...         scope["state"]["greeting"] = "hello"
    ...         await send({"type": "lifespan.startup.complete"})
    ...         await receive()
    ...         await send({"type": "lifespan.shutdown.complete"})
    ...         return
    ...     await receive()
    ...     await send({"type": "websocket.accept"})
    ...     await send({"type": "websocket.send", "text": scope["state"]["greeting"]})
    ...     await receive()
    >>> async def test():
    ...     async with lifespan(app) as running, WebsocketCommunicator(running, "/") as comm:
    ...         return await comm.receive_text()
    >>> asyncio.run(test())
    'hello'
    """

    def __init__(self, app: App, *, limit: float = LIMIT) -> None:
        if not callable(app) or isinstance(app, type):
            raise WrongType(f"lifespan() takes an ASGI application, not {printed(app)}")
        self._app = app
        self._limit = limit * settings.scale
        self.state: dict[str, Any] = {}
        """What the startup has put there; each connection gets a copy."""
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: dict[str, tuple[bool, str]] = {}
        self._task: asyncio.Task[Any] | None = None
        self._settler: Settler | None = None
        self._supported = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """The application, with the state."""
        if scope["type"] != "lifespan":
            scope["state"] = {**self.state, **scope.get("state", {})}
        return await self._app(scope, receive, send)

    async def __aenter__(self) -> lifespan:
        __tracebackhide__ = True
        if self._task is not None:
            raise WrongState("this lifespan was started already; make a new one")
        loop = asyncio.get_running_loop()
        self._settler = lease(loop)
        try:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
            context = contextvars.copy_context()
            context.run(CAUSE.set, Cause(0, what="the startup"))
            self._events.put_nowait({"type": "lifespan.startup"})
            self._task = loop.create_task(self._run(scope), name="farend: lifespan", context=context)
            await self._until("startup")
        except BaseException:
            await self._leave()
            raise
        return self

    async def _run(self, scope: dict[str, Any]) -> None:
        await self._app(scope, self._events.get, self._send)

    async def _send(self, event: Any) -> None:
        kind = event.get("type") if isinstance(event, dict) else None
        if kind not in _ANSWERS:
            raise AsgiViolation(f"The application broke the ASGI protocol: it sent {printed(event)} in its lifespan.")
        phase, well = _ANSWERS[kind]
        self._answers[phase] = (well, event.get("message", ""))

    async def _until(self, phase: str) -> None:
        """Wait until the application has said how it went."""
        __tracebackhide__ = True
        task, settler = self._task, self._settler
        assert task is not None
        assert settler is not None
        within = self._limit
        await settler.settle(within if not task.done() and phase not in self._answers else 0.0, self._limit)
        if phase in self._answers:
            well, message = self._answers[phase]
            if not well:
                raise Failure(f"The application's {phase} failed" + (f": {message}" if message else "."))
        elif not task.done():
            chains = settler.chains()
            waits = "".join(f"\n  {chain}" for chain in chains)
            raise Unsettled(f"The application's {phase} does not come to an end. It waits for:{waits}", chains)
        else:
            error = task.exception()
            if error is not None and not (phase == "startup" and _knows_no_lifespan(error)):
                raise error
            self._supported = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        assert self._task is not None
        try:
            if self._supported:
                if not self._task.done():
                    self._events.put_nowait({"type": "lifespan.shutdown"})
                await self._until("shutdown")
                if self._task.done() and (failed := self._task.exception()) is not None:
                    raise failed
        except Exception as problem:
            if error is None:
                raise
            error.add_note(f"At its shutdown, the application: {type(problem).__name__}: {problem}")
        finally:
            await self._leave()

    async def _leave(self) -> None:
        settler, self._settler = self._settler, None
        task = self._task
        try:
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=self._limit)
        finally:
            if settler is not None:
                settler.release()


def _knows_no_lifespan(error: BaseException) -> bool:
    """Whether this is how an application says that it does not know the scope's type."""
    return isinstance(error, Exception) and ("lifespan" in str(error) or isinstance(error, AssertionError | KeyError))
