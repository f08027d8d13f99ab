"""How the mocks come to belong to the test that uses them, and fail it when it is over.

Whoever runs a test is on the stack when that uses a mock for the first time, with the item as a local variable; for
the rest of this one test, the mocks are looked at between its phases and their reports. What is wrong when the
test's body is over fails the test itself, and what its fixtures' teardown brings, the teardown; all of it where a
fixture holds the block that intercepts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from farend.pytest_body import running_item
from farend.pytest_phases import look_between_phases, raised

if TYPE_CHECKING:
    from farend.intercept.verifier import StrictVerifier


def claim(verifier: StrictVerifier) -> bool:
    """Have `verifier` verified and reset with the test that runs; False where none does."""
    item = running_item()
    if item is None:
        return False
    look_between_phases(item, functools.partial(_judge, item, verifier))
    return True


def _judge(item: pytest.Item, verifier: StrictVerifier, call: pytest.CallInfo[None]) -> None:
    """One phase of the test is over: see what is wrong by now."""
    if call.when == "setup" and call.excinfo is None:
        return
    error = call.excinfo.value if call.excinfo else _unittest_error(item)
    if call.when == "call" and error is None and verifier.timeline.open:
        return  # a fixture holds the block, and only behind it can be asserted
    failure = None if isinstance(error, pytest.skip.Exception) else verifier.failure(error)
    if failure is not None:
        call.excinfo = raised(failure, getattr(item, "obj", None) if call.when == "call" else None)
    if call.when == "teardown":
        verifier.reset()
    else:
        verifier.settle()


def _unittest_error(item: pytest.Item) -> BaseException | None:
    """What a `TestCase` raised, which pytest keeps beside the call."""
    kept = getattr(item, "_excinfo", None)
    return kept[0].value if kept else None
