"""The end of a test: its communicators disconnected, and nothing left for the next one to find."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from farend.django.communicator import DjangoCommunicator
from farend.django.layers import empty_memory_layers


class Communicators:
    """The communicators of one test: leaving disconnects them all, and tells what the applications raised."""

    def __init__(self) -> None:
        self._all: list[DjangoCommunicator] = []

    def create(self, *args: Any, **options: Any) -> DjangoCommunicator:
        """A communicator, one of these; the arguments are those of the class."""
        __tracebackhide__ = True
        communicator = DjangoCommunicator(*args, **options)
        self._all.append(communicator)
        return communicator

    @property
    def are_open(self) -> bool:
        """Whether one of them is connected."""
        return any(one.is_open for one in self._all)

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        raised: BaseException | None = None
        for communicator in self._all:
            first = error or raised
            try:
                await communicator.__aexit__(type(first) if first else None, first, None)
            except Exception as problem:
                raised = problem
        await empty_memory_layers()
        if raised is not None:
            raise raised


@contextlib.contextmanager
def connections_closed() -> Iterator[None]:
    """Afterwards, close the connections of the thread in which async code uses the database, if not the test's.

    The thread is asgiref's, lives as long as the process, and would leave them open.
    """
    from asgiref.sync import SyncToAsync

    executor = SyncToAsync.single_thread_executor
    try:
        yield
    finally:
        if executor._threads:  # there is none before its first job
            executor.submit(_close_connections).result()


def _close_connections() -> None:
    from django.db import connections
    from django.db.backends.base.base import BaseDatabaseWrapper

    for connection in connections.all(initialized_only=True):
        # An in-memory database ignores its own close, since it ends with its last connection; the test has another.
        BaseDatabaseWrapper.close(connection)
