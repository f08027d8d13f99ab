"""Places, without a conversation: `take` and `advance` are asked directly."""

from __future__ import annotations

import pytest

from farend.core.place import ActingStep, Line
from farend.core.script import Script
from farend.core.steps import Expect, ExpectReply, Step, forever

S = Script


def never(step: ActingStep, line: Line) -> bool:
    return False


def at_once(step: ActingStep, line: Line) -> bool:
    return True


def owed(step: ExpectReply) -> tuple[Step, ...]:
    return (Expect("owed"),)


def heads(line: Line) -> list[object]:
    return [getattr(head.step, "what", head.step) for head in line.heads()]


def take(line: Line, what: str) -> None:
    next(head for head in line.heads() if getattr(head.step, "what", None) == what).take()
    line.advance(at_once, owed)


@pytest.mark.parametrize(
    ("script", "possible", "skippable"),
    [
        (S(), [], True),
        (S().expect("a").expect("b"), ["a"], False),
        (S().optional(S().expect("a")).optional(S().expect("b")).expect("c"), ["a", "b", "c"], False),
        (S().optional(S().expect("a")), ["a"], True),
        (S().any_order(S().expect("a").expect("x"), S().expect("b")), ["a", "b"], False),
        (S().any_order(S().optional(S().expect("a")), S().optional(S().expect("b"))), ["a", "b"], True),
        (S().repeat(2, S().expect("a")).expect("b"), ["a"], False),
        (S().repeat(forever, S().expect("a")).expect("b"), ["a", "b"], False),
        (S().repeat(forever, S().expect("a")), ["a"], True),
        (S().repeat(2, S().optional(S().expect("a"))).expect("b"), ["a", "b"], False),
        (S().add(ExpectReply(str)), ["owed"], False),
        (S().send("s").expect("a"), ["a"], False),
    ],
)
def test_which_steps_could_be_next_and_whether_the_rest_may_be_left_out(
    script: Script, possible: list[str], skippable: bool
) -> None:
    line = Line(script.steps)
    line.advance(at_once, owed)
    assert heads(line) == possible
    assert line.skippable is skippable
    assert line.finished is (len(script) == 0)


def test_before_a_step_of_the_far_ends_own_nothing_can_be_next() -> None:
    line = Line(S().send("s").expect("a").steps)
    line.advance(never, owed)
    assert heads(line) == []
    assert not line.skippable
    assert line.at == 0


def test_taking_a_head_leaves_out_what_stood_before_it() -> None:
    line = Line(S().optional(S().expect("a").expect("b")).expect("c").steps)
    take(line, "c")
    assert line.finished
    begun = Line(S().optional(S().expect("a").expect("b")).expect("c").steps)
    take(begun, "a")
    assert heads(begun) == ["b"]


def test_looking_changes_nothing() -> None:
    line = Line(S().any_order(S().expect("a"), S().repeat(2, S().expect("b"))).steps)
    assert heads(line) == heads(line) == ["a", "b"]
    assert (line.at, line.child) == (0, None)


def test_rounds_are_counted() -> None:
    line = Line(S().repeat(3, S().expect("a").optional(S().expect("b"))).steps)
    line.advance(at_once, owed)
    take(line, "a")
    assert heads(line) == ["b", "a"]
    take(line, "a")
    assert line.path() == "1, round 2, step 2, step 1"
    take(line, "b")
    assert line.path() == "1, round 3, step 1"
    take(line, "a")
    assert line.skippable
    assert heads(line) == ["b"]
    take(line, "b")
    assert line.finished


def test_what_goes_on_for_ever_must_end_its_round() -> None:
    line = Line(S().repeat(forever, S().expect("a").expect("b")).expect("c").steps)
    line.advance(at_once, owed)
    take(line, "a")
    assert heads(line) == ["b"]
    take(line, "b")
    assert heads(line) == ["a", "c"]
    take(line, "c")
    assert line.finished


def test_branches_go_at_their_own_pace() -> None:
    line = Line(S().any_order(S().expect("a").expect("b"), S().expect("x").expect("y")).expect("end").steps)
    line.advance(at_once, owed)
    take(line, "x")
    assert heads(line) == ["a", "y"]
    take(line, "y")
    take(line, "a")
    assert line.path() == "1, branch a, step 2"
    take(line, "b")
    assert heads(line) == ["end"]


def test_what_is_left_of_a_group_leaves_out_what_was_played() -> None:
    line = Line(S().any_order(S().expect("a").send("1"), S().expect("b").repeat(2, S().expect("c"))).steps)
    assert line.inside() == ()
    line.advance(at_once, owed)
    assert [(part.label, part.at) for part in line.inside()] == [("branch a", 0), ("branch b", 0)]
    take(line, "a")
    assert [part.label for part in line.inside()] == ["branch b"]
    take(line, "b")
    take(line, "c")
    [branch] = line.inside()
    assert branch.at == 1
    assert [(part.label, part.at) for part in branch.inside] == [("round 2 of 2", 0)]
    take(line, "c")
    assert line.inside() == ()


def test_a_line_may_grow_at_its_end() -> None:
    steps: list[Step] = [Expect("a")]
    line = Line(steps)
    take(line, "a")
    assert line.finished
    steps.append(Expect("b"))
    assert heads(line) == ["b"]
    assert line.path() == "2"


def test_asking_costs_the_same_in_a_long_script() -> None:
    class Counting(list[Step]):
        asked = 0

        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            self.asked += 1
            assert not isinstance(index, slice)
            return super().__getitem__(index)

    steps = Counting([Expect("a")] * 10_000)
    line = Line(steps)
    assert not line.skippable
    assert len(heads(line)) == 1
    assert steps.asked <= 3
