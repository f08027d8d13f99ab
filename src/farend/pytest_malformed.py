"""The fixture `malformed_frame`: a test for each case of `farend.malformed`, or for those that its mark names."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from farend.core.malformed import Case, cases
from farend.core.messages import printed
from farend.errors import UsageError, WrongState, WrongType
from farend.pytest_phases import look_between_phases, raised
from farend.stage.checking import ClientCheck

FIXTURE = "malformed_frame"


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give the test one run for each case; a mark that names none that there is fails the collection."""
    patterns: list[object] = []
    for mark in metafunc.definition.iter_markers("malformed"):
        patterns += mark.args
    chosen: tuple[Case, ...] = ()
    problem = ""
    try:
        chosen = cases(*patterns)  # type: ignore[arg-type]
    except UsageError as error:
        problem = str(error)
    if problem:
        pytest.fail(f"@pytest.mark.malformed of {metafunc.function.__name__}: {problem}", pytrace=False)
    metafunc.parametrize(FIXTURE, chosen, ids=[case.name for case in chosen], indirect=True)


def check_of(request: pytest.FixtureRequest) -> Iterator[ClientCheck]:
    """The check for this run of the test. That the test forgot to enter it is told in its body."""
    case = getattr(request, "param", None)
    if not isinstance(case, Case):
        raise WrongState(f"{FIXTURE} is a fixture of tests: name it as an argument of the test, or make a ClientCheck")
    strict = False
    for mark in request.node.iter_markers("malformed"):
        unknown = set(mark.kwargs) - {"strict"}
        if unknown or not isinstance(mark.kwargs.get("strict", False), bool):
            raise WrongType(f"@pytest.mark.malformed takes strict=True or False, not {printed(mark.kwargs)}")
        strict = strict or mark.kwargs.get("strict", False)
    check = ClientCheck(case, strict=strict)
    look_between_phases(request.node, functools.partial(_see_that_it_was_used, check))
    yield check


def _see_that_it_was_used(check: ClientCheck, call: pytest.CallInfo[None]) -> None:
    if call.when == "call" and call.excinfo is None and not check.entered:
        text = f"the test has checked nothing: write `with {FIXTURE} as url:`, and connect the client to url"
        call.excinfo = raised(pytest.fail.Exception(text, pytrace=False))
