"""What caused what: which message of the test's an application's task works for.

A context variable is set where a task takes a message, and every task that is made from there inherits
it. Where one task wakes another (an event, a queue, a lock), the cause goes with the wake-up, because
`call_soon` is told the context in which the other goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, Final

from farend.core.messages import printed


class Cause:
    """Something that the test did to an application: `number` counts the messages of a connection, from 1.

    Number 0 is the connect itself. `said` is what was sent.
    """

    __slots__ = ("_what", "number", "said")

    def __init__(self, number: int, said: object = None, what: str = "") -> None:
        self.number = number
        self.said = said
        self._what = what

    @property
    def what(self) -> str:
        """It, in words."""
        return self._what or f"message {self.number}"

    def __str__(self) -> str:
        return self.what

    def __repr__(self) -> str:
        return f"<Cause: {self.what}{f', {printed(self.said)}' if self.said is not None else ''}>"


CAUSE: Final[ContextVar[Cause | None]] = ContextVar("farend_cause", default=None)
"""What the running task works for; None where it is none of the application's."""


def pass_on(context: Context) -> None:
    """Something is scheduled that will run in `context`: it works for what the running task works for."""
    cause = CAUSE.get()
    if cause is not None and context.get(CAUSE) is not cause:
        # Where somebody runs in it just now, he knows his own cause.
        with contextlib.suppress(RuntimeError):
            context.run(CAUSE.set, cause)


def passing_on(call_soon: Callable[..., Any]) -> Callable[..., Any]:
    """A loop's `call_soon`, which hands the caller's cause over to the context of what it schedules."""

    def passes_on(callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        if context is not None:
            pass_on(context)
        return call_soon(callback, *args, context=context)

    return passes_on
