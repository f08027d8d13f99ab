from __future__ import annotations

import inspect

import pytest

from farend import errors
from farend.core.findings import NotPlayed, Place
from farend.errors import Failure, FarendError

EVERY = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, Exception)]


@pytest.mark.parametrize("error", EVERY)
def test_every_exception_is_farends_and_is_drawn_in_the_tree(error: type[Exception]) -> None:
    assert issubclass(error, FarendError)
    assert error.__name__ in (errors.__doc__ or "")
    assert error.__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.Failure, AssertionError),
        (errors.ScriptError, ValueError),
        (errors.WrongType, TypeError),
        (errors.InvalidArguments, ValueError),
        (errors.WrongState, RuntimeError),
        (errors.MissingExtra, ImportError),
        (errors.AddressError, OSError),
        (errors.DeadlineExceeded, TimeoutError),
    ],
)
def test_an_exception_can_be_caught_as_the_builtin_that_it_is_like(error: type, builtin: type) -> None:
    with pytest.raises(builtin, match="because"):
        raise error("because")


def test_a_failure_has_its_findings_as_data() -> None:
    findings = [NotPlayed(Place(), 0)]
    failure = Failure("the screen", findings)
    assert str(failure) == "the screen"
    assert failure.findings == tuple(findings)
    assert Failure("nothing known").findings == ()
