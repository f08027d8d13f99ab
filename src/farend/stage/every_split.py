"""A test, played again with the far end's bytes cut at every boundary, one at a time, and all together.

Which split is next, `core.splits` knows; how bytes come to the near end in segments, `segments`. Here is
what plays the test: the decorator for plain tests and for `async` ones, and what becomes of far ends that were
there before the test.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import sys
import time
import unittest
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol, TypeVar, overload

from farend.core.messages import printed
from farend.core.splits import MESSAGE_BY_MESSAGE, Found, Outcome, Search, Split, search
from farend.errors import Failure, InvalidArguments, SplitFailure, WrongState, WrongType
from farend.stage.raising import raise_in
from farend.stage.segments import Run
from farend.stage.servers import Place, Server

F = TypeVar("F", bound=Callable[..., Any])

MAX_RUNS: Final = 300
"""Splits that are played, at most, where nobody says otherwise."""
PATIENCE: Final = 30.0
"""Seconds after which the smallest split is small enough."""
log: Final = logging.getLogger("farend.splits")


@dataclass(frozen=True)
class Splits:
    """What came of playing a test with every split: how many were `played`, and how many are `possible`.

    `connections` is how many the far ends had in the test, and `said` how many bytes they said there. `hurried` is on
    how many connections, of all runs together, the near end did not read, so that it got the rest in one.
    """

    played: int
    possible: int
    connections: int
    said: int
    hurried: int
    text: str

    def __str__(self) -> str:
        return self.text


@overload
def every_split(test: F, *, max_runs: int = MAX_RUNS) -> F: ...
@overload
def every_split(test: None = None, *, max_runs: int = MAX_RUNS) -> Callable[[F], F]: ...
def every_split(test: Any = None, *, max_runs: int = MAX_RUNS) -> Any:
    r"""Play a test again with the far end's bytes cut at every boundary, one byte at a time, and all together.

    >>> import socket
    >>> from farend import Script, TcpServer, every_split
    >>> @every_split
    ... def test_the_temperature():
    ...     with TcpServer(Script().send(b"21.5\n").expect_close()) as server:
    ...         with socket.create_connection((server.host, server.port)) as client:
    ...             assert client.makefile("rb").readline() == b"21.5\n"
    >>> test_the_temperature()

    It decorates plain tests and `async` ones, functions and methods, with any runner; arguments and fixtures go
    to every run as they are. `max_runs` is how many splits are played at most; with more, those near the ends of
    messages come first, and how many were left out is logged, and told by pytest at its end.

    The test is played as it is first, each message of the far end alone. If it fails then, its exception says so
    in a note. If it fails with a split, `SplitFailure` is raised, from the test's own exception, and shows the
    smallest split with which it fails. What a `TestingSocket` receives is cut in the same way.

    Raises `WrongType` or `InvalidArguments` for what is no test, or no number of runs; and, when it is played,
    `WrongState` for a test in which no far end says anything.
    """
    __tracebackhide__ = True
    bound = _checked(max_runs)
    if test is None:
        return functools.partial(every_split, max_runs=bound)
    _check_test(test)
    if _is_async(test):

        @functools.wraps(test)
        async def play_async(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            await _play_async(test, args, kwargs, bound)

        return play_async

    @functools.wraps(test)
    def play(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        _play(test, args, kwargs, bound)

    return play


def play_every_split(test: Callable[[], Any], *, max_runs: int = MAX_RUNS) -> Any:
    r"""Play a function as `every_split` does, now, and say how many splits were played.

    >>> import socket
    >>> from farend import Script, TcpServer, play_every_split
    >>> def read():
    ...     with TcpServer(Script().send(b"21.5\n").expect_close()) as server:
    ...         with socket.create_connection((server.host, server.port)) as client:
    ...             assert client.makefile("rb").readline() == b"21.5\n"
    >>> print(play_every_split(read))
    played all 5 splits of 5 bytes on 1 connection

    Gives `Splits`. An `async` function has to be awaited: `await play_every_split(read)`. For one with arguments, give
    a lambda. Raises what `every_split` raises.
    """
    __tracebackhide__ = True
    bound = _checked(max_runs)
    _check_test(test)
    return _play_async(test, (), {}, bound) if _is_async(test) else _play(test, (), {}, bound)


# -- arguments ------------------------------------------------------------------------------------


def _checked(max_runs: object) -> int:
    __tracebackhide__ = True
    if not isinstance(max_runs, int) or isinstance(max_runs, bool):
        raise WrongType(f"max_runs= takes how many splits to play at most, such as {MAX_RUNS}, not {printed(max_runs)}")
    if max_runs < 1:
        raise InvalidArguments(f"max_runs={max_runs}: at least one split has to be played")
    return max_runs


def _check_test(test: object) -> None:
    __tracebackhide__ = True
    if isinstance(test, type):
        raise WrongType(f"every_split plays a test function, not the class {test.__name__}: decorate its test methods")
    if isinstance(test, staticmethod | classmethod):
        raise WrongType(f"write @{type(test).__name__} above @every_split, which takes the function itself")
    if inspect.iscoroutine(test):
        test.close()
        raise WrongType("every_split plays a test many times: give it the `async` function, and do not call it")
    if not callable(test):
        hint = "; the number of runs is max_runs=" if isinstance(test, int) else ""
        raise WrongType(f"every_split plays a test function, not {printed(test)}{hint}")
    if inspect.isgeneratorfunction(test) or inspect.isasyncgenfunction(test):
        raise WrongType(
            f"every_split plays a test function, and {_name(test)} is a generator function, which has a `yield`: "
            "decorate the tests that use the fixture"
        )


def _is_async(test: Any) -> bool:
    return inspect.iscoroutinefunction(test) or inspect.iscoroutinefunction(getattr(test, "__call__", None))  # noqa: B004


def _name(test: Any) -> str:
    return str(getattr(test, "__name__", None) or getattr(getattr(test, "func", None), "__name__", None) or test)


# -- playing --------------------------------------------------------------------------------------


def _play(test: Callable[..., Any], args: Any, kwargs: Any, bound: int) -> Splits:
    __tracebackhide__ = True
    playing = _Playing(test, bound)
    with playing:
        while (split := playing.split) is not None:
            run = Run(split)
            error: BaseException | None = None
            with run.being_played():
                playing.begin_again()
                try:
                    result = test(*args, **kwargs)
                except BaseException as raised:
                    error = raised
                else:
                    _check_result(result, playing.name)
                for server in playing.to_leave(run):
                    try:
                        server.__exit__(None if error is None else type(error), error, None)
                    except Failure as failure:
                        error = failure
            playing.heard(run, error)
            del error
    return playing.verdict()


async def _play_async(test: Callable[..., Awaitable[Any]], args: Any, kwargs: Any, bound: int) -> Splits:
    __tracebackhide__ = True
    playing = _Playing(test, bound)
    with playing:
        while (split := playing.split) is not None:
            run = Run(split)
            error: BaseException | None = None
            with run.being_played():
                playing.begin_again()
                try:
                    await test(*args, **kwargs)
                except BaseException as raised:
                    error = raised
                for server in playing.to_leave(run):
                    try:
                        await server.__aexit__(None if error is None else type(error), error, None)
                    except Failure as failure:
                        error = failure
            playing.heard(run, error)
            del error
    return playing.verdict()


def _check_result(result: object, name: str) -> None:
    __tracebackhide__ = True
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise WrongType(
            f"every_split: {name} gave something to await, and was not declared with `async def`: put @every_split "
            "next to the `async def`, below what wraps it"
        )


class Keeper(Protocol):
    """Who keeps far ends for a test that it has not made itself: a fixture's."""

    def servers(self) -> Iterable[Server]: ...
    def forget(self, server: Server) -> None: ...


keepers: Final[list[Keeper]] = []


class _Playing:
    """A test that is being played with one split after the other."""

    def __init__(self, test: Callable[..., Any], bound: int) -> None:
        self.name = _name(test)
        self._test = test
        self.split: Split | None = MESSAGE_BY_MESSAGE
        self._give_up: float | None = None
        self._search: Search = search(bound, self._may_go_on)
        self._found = Found()
        self._hurried = 0
        self._left: list[tuple[Server, Place]] = []
        next(self._search)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        for _, place in self._left:
            place.give_up()

    # -- far ends that were there before the test -------------------------------------------------

    def to_leave(self, run: Run) -> Iterator[Server]:
        """The far ends that the run is over for, and that will begin again with the next one."""
        kept = [(server, keeper) for keeper in keepers for server in keeper.servers()]
        for server, keeper in kept:
            if server.was_made_in(run):
                yield server
                keeper.forget(server)
            else:
                yield from self._leaving(server, run)
        for far_end in tuple(run.far_ends):
            if isinstance(far_end, Server) and not far_end.was_made_in(run):
                yield from self._leaving(far_end, run)

    def _leaving(self, server: Server, run: Run) -> Iterator[Server]:
        if not server.is_over and server.began_all_in(run) and (place := server.place()) is not None:
            self._left.append((server, place))
            yield server

    def begin_again(self) -> None:
        """Before the next run, what was left begins again."""
        left, self._left = self._left, []
        for server, place in left:
            server.begin_again(place)

    # -- what came of it --------------------------------------------------------------------------

    def heard(self, run: Run, error: BaseException | None) -> None:
        """A run is over: choose the next split, or have the verdict."""
        __tracebackhide__ = True
        if error is not None and not _is_failure(error):
            self._raise(error)
        self._hurried += run.hurried
        if self._give_up is None and error is not None:
            self._give_up = time.monotonic() + PATIENCE
        try:
            self.split = self._search.send(Outcome(tuple(run.streams), error))
        except StopIteration as stop:
            self.split = None
            self._found = stop.value

    def verdict(self) -> Splits:
        """What came of all runs, or what the test fails with."""
        __tracebackhide__ = True
        from farend.report import splits as told

        found = self._found
        if found.again is not None:
            found.again.add_note(told.again(self.name))
            self._raise(found.again)
        if found.error is not None and found.split is None:
            found.error.add_note(told.unsplit(self.name))
            self._raise(found.error)
        if found.error is not None:
            findings = found.error.findings if isinstance(found.error, Failure) else ()
            failure = SplitFailure(told.failure(self.name, found), findings, found.played, found.possible)
            failure.__cause__ = found.error
            self._raise_in(failure, found.error)
        if not found.said:
            self._raise_in(WrongState(told.nothing_said(self.name)))
        text = told.how_many(found) + told.hurried(self._hurried)
        if found.played < found.possible:
            note_left_out(f"{self.name}: {text} (max_runs={found.played})")
        return Splits(found.played, found.possible, len(found.streams), found.said, self._hurried, text)

    def _raise(self, error: BaseException) -> NoReturn:
        __tracebackhide__ = True
        self._found = Found()  # which holds exceptions, and they all frames of the test
        self._search.close()
        try:
            raise error
        finally:
            del error

    def _raise_in(self, failure: BaseException, error: BaseException | None = None) -> NoReturn:
        __tracebackhide__ = True
        self._found = Found()
        try:
            raise_in(self._test, failure, error)
        finally:
            del failure, error

    def _may_go_on(self) -> bool:
        return self._give_up is None or time.monotonic() < self._give_up


def _is_failure(error: BaseException) -> bool:
    """Whether the test failed; else it was skipped, or stopped."""
    if isinstance(error, Exception):
        return not isinstance(error, unittest.SkipTest)
    failed = getattr(sys.modules.get("_pytest.outcomes"), "Failed", None)
    return failed is not None and type(error) is failed


# -- splits that were left out --------------------------------------------------------------------

left_out: Final[list[str]] = []
"""What pytest tells at its end."""


def note_left_out(text: str) -> None:
    """Not all splits were played: tell it where it is seen."""
    log.warning("every_split: %s", text)
    where = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if where:
        left_out.append(f"{where}: {text.partition(': ')[2]}")


@contextlib.contextmanager
def kept_by(keeper: Keeper) -> Iterator[None]:
    """For the time of a test, the keeper's far ends begin again with each run."""
    keepers.append(keeper)
    try:
        yield
    finally:
        keepers.remove(keeper)
