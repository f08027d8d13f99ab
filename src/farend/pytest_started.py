"""How a far end that a test has started by hand, and not closed, is noticed when the test is over.

`start()` has no block whose end would judge the far end, so a forgotten `close()` would hide what it has found. A
far end that was started in a test's body, or in a fixture for one test, belongs to that test: what it has found by
the end of a body that fails is told beside that, and if it is open still when the test's teardown is over, it is
closed and judged then. What a fixture of a wider scope has started is that fixture's.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from farend.pytest_body import outwards, running_item
from farend.pytest_phases import look_between_phases
from farend.stage import verdict
from farend.stage.servers import Server


def watch(server: Server) -> None:
    """Look after a server that was just started."""
    item = running_item()
    if item is not None and _is_for_one_test():
        look_between_phases(item, _Started(server).look)


def _is_for_one_test() -> bool:
    """Whether no fixture of a wider scope is being set up."""
    for frame in outwards():
        if frame.f_code.co_name == "pytest_fixture_setup":
            fixture: Any = frame.f_locals.get("fixturedef")
            return getattr(fixture, "scope", "function") == "function"
    return True


class _Started:
    """One server, and whether its test has failed while it was open."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._failed = False

    def look(self, call: pytest.CallInfo[None]) -> None:
        """One phase of the test is over."""
        if call.excinfo is not None and not self._server.is_over:
            self._failed = True
            untold = self._server.untold(self._server.findings)
            if untold:
                verdict.attach(call.excinfo.value, untold)
        if call.when == "teardown" and not self._server.is_over:
            self._close(call)

    def _close(self, call: pytest.CallInfo[None]) -> None:
        server = self._server
        findings = server.forsake()
        if self._failed:  # why the test failed is told already
            return
        hint = (
            f"{server.name} was started with start(), and nobody has closed it: write close(check=True), or use `with`"
        )
        try:
            if findings:
                failure = verdict.failure(findings)
                failure.add_note(f"\n{hint}.")
                raise failure
            warnings.warn(pytest.PytestWarning(hint), stacklevel=1)  # a ResourceWarning is shown to nobody
        except Exception as error:  # a warning may be an error
            call.excinfo = pytest.ExceptionInfo.from_exception(error)
