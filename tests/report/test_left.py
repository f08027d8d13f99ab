from __future__ import annotations

from collections.abc import Callable

import pytest

from farend.core.conversation import Conversation
from farend.core.events import Received
from farend.core.findings import Place
from farend.core.script import Script
from farend.core.steps import Expect, forever
from farend.report.left import left_title, steps_left

Play = Callable[..., Conversation]
S = Script


def left(place: Place) -> list[str]:
    return [line.text for line in steps_left(place, 98)]


@pytest.mark.parametrize(
    ("script", "said", "told"),
    [
        (
            S().any_order(S().expect("a").send("1"), S().expect("b").send("2")).close(),
            ["a", "?"],
            [
                "> 1. any order of 2 branches",
                "     branch b",
                "     > 1. expect 'b'",
                "       2. send '2'",
                "  2. close",
            ],
        ),
        (
            S().any_order(S().expect("a").send("1").expect("c"), S().expect("b")),
            ["a", "?"],
            [
                "> 1. any order of 2 branches",
                "     branch a",
                "     > 3. expect 'c'",
                "     branch b",
                "     > 1. expect 'b'",
            ],
        ),
        (
            S().repeat(3, S().expect("a").any_order(S().expect("x"), S().expect("y").expect("z"))),
            ["a", "x", "y", "z", "a", "x", "y", "?"],
            [
                "> 1. repeat 3 times",
                "     round 2 of 3",
                "     > 2. any order of 2 branches",
                "          branch b",
                "          > 2. expect 'z'",
            ],
        ),
        (
            S().repeat(forever, S().expect("a").send("1").expect("b")).expect("c"),
            ["a", "?"],
            ["> 1. repeat forever", "     round 1", "     > 3. expect 'b'", "  2. expect 'c'"],
        ),
        (
            S().optional(S().expect("a").expect("b")).expect("c"),
            ["a", "?"],
            ["> 1. optional", "   > 2. expect 'b'", "  2. expect 'c'"],
        ),
        (
            S().expect("a").repeat(2, S().expect("b")),
            ["?"],
            ["> 1. expect 'a'", "  2. repeat 2 times", "     1. expect 'b'"],
        ),
        (S().repeat(2, S().expect("b")), ["?"], ["> 1. repeat 2 times", "   > 1. expect 'b'"]),
    ],
)
def test_what_was_played_of_a_group_is_left_out_and_what_is_due_is_marked(
    play: Play, script: Script, said: list[str], told: list[str]
) -> None:
    [finding] = play(script, *map(Received, said)).findings
    assert left(finding.place) == told


def test_a_step_that_was_passed_over_is_none_of_those_left() -> None:
    script = S().expect("a").send("b").expect("c")
    steps = script.steps
    place = Place(number=1, total=3, step=steps[0], left=tuple(steps[2:]), script=script)
    assert left(place) == ["  3. expect 'c'"]
    assert left_title(place) == "Steps left (1 of 3):"


def test_a_group_as_long_as_a_script_is_told_in_part(play: Play) -> None:
    script = S().repeat(2, *[Expect("a")] * 10_000)
    [finding] = play(script, Received("?")).findings
    told = left(finding.place)
    assert len(told) == 9
    assert told[-1] == "     …"
