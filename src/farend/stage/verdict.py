"""How findings reach the test: as its failure, or beside the failure that it has already.

A test whose body failed keeps its own exception. There is one case in which the far end speaks first:
it ended the connection because of a finding, and what the body raised is what a client raises when its
connection is gone. Then the finding is the cause, and all that the user is shown: the client's exception
is told in a line below it, and kept as `Failure.near_end_error`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from farend.core.findings import EndedEarly, Finding, NobodyConnected, NotPlayed, WrongEnd
from farend.errors import Failure, FarendError
from farend.stage.settings import settings

GONE: Final = {
    "builtins": ("OSError", "EOFError"),
    "asyncio": ("IncompleteReadError",),
    "websockets": ("WebSocketException",),
    "websocket": ("WebSocketException",),
    "aiohttp": ("ClientError",),
    "anyio": ("EndOfStream", "BrokenResourceError", "ClosedResourceError", "IncompleteRead"),
    "httpx": ("TransportError",),
    "requests": ("RequestException",),
    "picows": ("WSError",),
    "urllib3": ("HTTPError",),
    "http": ("HTTPException",),
}
"""What clients raise when their connection is gone: class names, by the package that has them."""

_SOUNDS_GONE: Final = re.compile(
    r"Connection|ConnectError|Disconnect|NetworkError|StreamClosed|EndOfStream|^TimeoutError$"
)
"""In the names of what other clients raise then (redis.exceptions.ConnectionError, and the like)."""

_NO_CAUSES = (NotPlayed, NobodyConnected, EndedEarly, WrongEnd)
"""Findings that no client's exception comes of: the near end was not there, or ended the connection itself."""

_NOT_GONE = (
    FarendError,
    BlockingIOError,
    ChildProcessError,
    FileExistsError,
    FileNotFoundError,
    InterruptedError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ProcessLookupError,
)
"""An `OSError` may mean that a connection is gone; these never do."""

OWN: Final = (*_NOT_GONE, AssertionError, NameError, AttributeError, TypeError, LookupError)
"""What the test, or its code, means for itself, even while it handles that a connection is gone."""


def failure(findings: Sequence[Finding]) -> Failure:
    """The exception that tells the findings on the failure screen."""
    return Failure(story(findings), findings)


def story(findings: Sequence[Finding]) -> str:
    """The failure screen, with as much of the transcript as the settings say."""
    from farend.report.text import screen

    return screen(findings, tail=settings.tail)


def pronounce(
    findings: Sequence[Finding], error: BaseException | None, make: Callable[[Sequence[Finding]], Failure]
) -> None:
    """Raise the findings, unless `error`, which the test's body raised, is not their consequence."""
    __tracebackhide__ = True
    if not findings:
        return
    if error is None:
        raise make(findings)
    causes = [finding for finding in findings if not isinstance(finding, _NO_CAUSES)]
    if causes and says_gone(error):
        raise _with_consequence(make(causes), error) from None
    attach(error, findings)


def _with_consequence(failure: Failure, error: BaseException) -> Failure:
    """The failure, with what the program under test raised because of it."""
    from farend.report.raised import raised

    failure.near_end_error = error
    failure.add_note(f"\nThe client then failed with {raised(error)}.")
    return failure


def attach(error: BaseException, findings: Sequence[Finding]) -> None:
    """Put the findings beside the exception that the test raised itself."""
    from farend.report.text import note

    error.add_note(note(findings))


def says_gone(error: BaseException) -> bool:
    """Whether a client raises this when its connection is gone (or, in a group, nothing else).

    Also what is raised from such an exception, or while one is handled, unless it is an assertion of the test's.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(says_gone(one) for one in error.exceptions)
    seen: set[int] = set()
    one: BaseException | None = error
    while isinstance(one, Exception) and id(one) not in seen and not isinstance(one, OWN):
        if any(_listed(kind) for kind in type(one).__mro__):
            return True
        seen.add(id(one))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return False


def _listed(kind: type) -> bool:
    package = kind.__module__.partition(".")[0]
    if kind.__name__ in GONE.get(package, ()):
        return True
    return package != "builtins" and issubclass(kind, Exception) and _SOUNDS_GONE.search(kind.__name__) is not None
