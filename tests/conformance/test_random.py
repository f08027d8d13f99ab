"""STYLE 2, 11: any script against its mirror ends clean over real sockets, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farend import Script
from farend.core.steps import AnyOrder, Optional, Pause, Repeat, Step

FEW = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def hurried(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps, with pauses of a few milliseconds: this clock does not jump."""
    for step in steps:
        match step:
            case Pause():
                yield Pause(step.seconds / 1000)
            case AnyOrder():
                yield AnyOrder(tuple(tuple(hurried(branch)) for branch in step.branches))
            case Repeat():
                yield Repeat(step.times, tuple(hurried(step.steps)))
            case Optional():
                yield Optional(tuple(hurried(step.steps)))
            case _:
                yield step


@pytest.mark.on("sockets", "plain")
@FEW
@given(data=st.data())
def test_a_script_against_its_mirror_ends_clean(stage: Any, scripts: Any, data: st.DataObject) -> None:
    drawn = data.draw(scripts(stream=stage.stream))
    script = Script(hurried(drawn), framing=drawn.framing)
    played = stage.play(script)
    assert (played.found, played.near_found) == ([], []), f"{script}\n--\n{script.mirrored()}"
