"""How the mocks come to belong to the test that uses them, and fail it when it is over.

No hook is there before a test uses a mock. Whoever runs that test is on the stack then, with the item as a local
variable; for the rest of this one test, a hook stands between its phases and their reports. What is wrong
when the test's body is over fails the test itself, and what its fixtures' teardown brings, the teardown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from farend.pytest_body import running_item
from farend.pytest_hooks import register
from farend.stage.raising import raise_in

if TYPE_CHECKING:
    from farend.errors import Failure
    from farend.intercept.verifier import StrictVerifier


def claim(verifier: StrictVerifier) -> bool:
    """Have `verifier` verified and reset with the test that runs; False where none does."""
    item = running_item()
    if item is None:
        return False
    register(item.config.pluginmanager, _ReportHook(item, verifier))
    return True


class _ReportHook:
    """Judges the mocks of one test between each phase of it and the report of that."""

    def __init__(self, item: pytest.Item, verifier: StrictVerifier) -> None:
        self.item = item
        self._verifier = verifier

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if item is not self.item or (call.when == "setup" and call.excinfo is None):
            return
        error = call.excinfo.value if call.excinfo else _unittest_error(item)
        failure = None if isinstance(error, pytest.skip.Exception) else self._verifier.failure(error)
        if failure is not None:
            call.excinfo = _raised(getattr(item, "obj", None) if call.when == "call" else None, failure)
        if call.when == "teardown":
            self.end()
        else:
            self._verifier.settle()

    def end(self) -> None:
        """The test is over."""
        self._verifier.reset()
        self.item.config.pluginmanager.unregister(self)


def _raised(function: Callable[..., Any] | None, failure: Failure) -> pytest.ExceptionInfo[BaseException]:
    """The failure, as if the last line of the test's function had raised it."""
    __tracebackhide__ = True
    try:
        if function is not None:
            raise_in(function, failure)
        raise failure
    except BaseException as raised:
        return pytest.ExceptionInfo.from_exception(raised)


def _unittest_error(item: pytest.Item) -> BaseException | None:
    """What a `TestCase` raised, which pytest keeps beside the call."""
    kept = getattr(item, "_excinfo", None)
    return kept[0].value if kept else None
