"""The fixture `malformed_frame`: a test for each case of `farend.malformed`, or for those that its mark names."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from farend.core.malformed import Case, cases
from farend.core.messages import printed
from farend.errors import UsageError, WrongState, WrongType
from farend.pytest_hooks import register
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
    body = _Body(request.node, check)
    unregister = register(request.config.pluginmanager, body)
    try:
        yield check
    finally:
        unregister()


class _Body:
    """The body of one test, which fails if it has used no check."""

    def __init__(self, item: pytest.Item, check: ClientCheck) -> None:
        self._item = item
        self._check = check

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        yield
        if item is self._item and not self._check.entered:
            pytest.fail(
                f"the test has checked nothing: write `with {FIXTURE} as url:`, and connect the client to url",
                pytrace=False,
            )
