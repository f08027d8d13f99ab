"""How the far ends of pytest's fixtures live in the body of a test.

A fixture's far end listens from the fixture's set-up on. Around the test function comes a wrapper, for
the time of the test: it has the far ends served where the body runs (on its event loop, or on the
background loop for a plain `def`), calls the function, and leaves the far ends as the end of a `with`
would. So what went wrong fails the test in its call phase, once, and on the loop of the test.

Who asks for a far end's port before the body has begun, in a fixture say, has it served on the
background loop at once, since a client may be waiting for it there already.

A fixture that is asked for when the body is running (`request.getfixturevalue`) is too late for a
wrapper. Then the far ends are served on the background loop, and left before the report is made.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import threading
import unittest
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from farend.core.messages import printed
from farend.core.script import Script
from farend.errors import Failure, WrongState, WrongType
from farend.pytest_phases import look_between_phases
from farend.stage.every_split import kept_by
from farend.stage.far_end import FarEnd, running_loop
from farend.stage.raising import raise_in
from farend.stage.servers import Server

if TYPE_CHECKING:
    import asyncio

S = TypeVar("S", bound=Server)


class Body:
    """The body of one test, and the far ends that live in it."""

    def __init__(self) -> None:
        self._servers: list[Server] = []
        self._running = False
        self._home: asyncio.AbstractEventLoop | None = None

    def take_in(self, server: S) -> S:
        """Have the server listen, and serve as soon as it is known where."""
        __tracebackhide__ = True
        _check(server)
        server.listen(until_used=True)
        server.of_fixture = True
        if self._running:
            server.serve_on(self._home if running_loop() is self._home else None)
        elif server.unix_path is not None:
            server.serve_on(None)  # its address is known without asking
        self._servers.append(server)
        return server

    def enter(self, home: asyncio.AbstractEventLoop | None) -> None:
        """The body begins: serve on its loop, or on the background loop for None."""
        self._running = True
        self._home = home
        for server in self._servers:
            if not server.has_home:
                server.serve_on(home)

    async def leave(self, error: BaseException | None) -> Failure | None:
        """The body is over, with `error` or without: leave the far ends; gives what fails the test."""
        failure = None
        for server in self._servers:
            try:
                await server.__aexit__(_kind(error), error, None)
            except Failure as one:
                # What the other far ends have to say goes beside it.
                failure = failure or one
                error = failure
        self._running = False
        return failure

    def leave_blocking(self, error: BaseException | None) -> Failure | None:
        """`leave`, from a plain test."""
        failure = None
        for server in self._servers:
            try:
                server.__exit__(_kind(error), error, None)
            except Failure as one:
                failure = failure or one
                error = failure
        self._running = False
        return failure

    def servers(self) -> Iterator[Server]:
        """The far ends that live in it."""
        return iter(tuple(self._servers))

    def forget(self, server: Server) -> None:
        """It was left already."""
        self._servers.remove(server)

    def drop(self) -> None:
        """The test is over. What was not left, because the body never ran, is not judged."""
        for server in self._servers:
            with contextlib.suppress(WrongState):  # its loop has ended, and all on it
                server.close()


def _check(server: object) -> None:
    """Raise for what is no server that can be started here."""
    __tracebackhide__ = True
    if isinstance(server, Server):
        if server.has_home:
            raise WrongState(f"{server.name} was started already: give start_far_end a new one, and drop its `with`")
        return
    hint = ""
    if isinstance(server, type) and issubclass(server, Server):
        hint = f"; make one: start_far_end({server.__name__}(script))"
    elif isinstance(server, Script):
        hint = "; give it to a server: start_far_end(TcpServer(script))"
    elif isinstance(server, FarEnd):
        hint = ", and a far end that dials is entered with `with`"
    raise WrongType(f"start_far_end takes a server, not {printed(server)}{hint}")


def _kind(error: BaseException | None) -> type[BaseException] | None:
    return None if error is None else type(error)


_BODY: Final = pytest.StashKey[Body]()


def body_of(request: pytest.FixtureRequest) -> Body:
    """The body of the test that a fixture is requested for."""
    item: pytest.Item = request.node
    body = item.stash.get(_BODY, None)
    if body is None:
        body = item.stash[_BODY] = Body()
        if isinstance(item, pytest.Function) and not os.environ.get("PYTEST_CURRENT_TEST", "").endswith("(call)"):
            request.addfinalizer(_wrap(item, body))
        else:
            _leave_for_report(item, body)
        request.addfinalizer(functools.partial(_forget, item, body))
    return body


def running_item() -> pytest.Item | None:
    """The test that is set up, called or torn down on this thread, or else on the main one."""
    for frame in outwards():
        if frame.f_code.co_name == "runtestprotocol" and isinstance(item := frame.f_locals.get("item"), pytest.Item):
            return item
    return None


def outwards() -> Iterator[FrameType]:
    """The frames that have led here, the innermost first; then those of the main thread, where this is another."""
    frames: list[FrameType | None] = [sys._getframe(1)]
    main = threading.main_thread().ident
    if main is not None and threading.get_ident() != main:
        frames.append(sys._current_frames().get(main))
    for frame in frames:
        while frame is not None:
            yield frame
            frame = frame.f_back


def _forget(item: pytest.Item, body: Body) -> None:
    del item.stash[_BODY]
    body.drop()


# -- around the test function ---------------------------------------------------------------------


def _wrap(item: pytest.Function, body: Body) -> Callable[[], object]:
    """Put the wrapper around the item's function; the answer takes it off."""
    function = item.obj
    wrapper = _async_wrapper(function, body) if inspect.iscoroutinefunction(function) else _wrapper(function, body)
    item.obj = wrapper
    if isinstance(item.instance, unittest.IsolatedAsyncioTestCase):
        setattr(item.instance, item.name, wrapper)  # which looks for its method itself
    return functools.partial(setattr, item, "obj", function)


def _wrapper(function: Callable[..., Any], body: Body) -> Callable[..., Any]:
    @functools.wraps(function)
    def in_body(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        body.enter(None)
        try:
            with kept_by(body):
                result = function(*args, **kwargs)
        except BaseException as error:
            if failure := body.leave_blocking(error):
                raise_in(function, failure, error)
            raise
        if failure := body.leave_blocking(None):
            raise_in(function, failure)
        return result

    return in_body


def _async_wrapper(function: Callable[..., Any], body: Body) -> Callable[..., Any]:
    @functools.wraps(function)
    async def in_body(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        body.enter(running_loop())
        try:
            with kept_by(body):
                result = await function(*args, **kwargs)
        except BaseException as error:
            if failure := await body.leave(error):
                raise_in(function, failure, error)
            raise
        if failure := await body.leave(None):
            raise_in(function, failure)
        return result

    return in_body


# -- before the report ----------------------------------------------------------------------------


def _leave_for_report(item: pytest.Item, body: Body) -> None:
    """Have the far ends served on the background loop, and left before the item's report."""
    body.enter(None)

    def leave(call: pytest.CallInfo[None]) -> None:
        if call.when == "call":
            failure = body.leave_blocking(call.excinfo.value if call.excinfo else None)
            if failure is not None:
                call.excinfo = pytest.ExceptionInfo.from_exception(failure)

    look_between_phases(item, leave)
