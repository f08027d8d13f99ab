"""Patch once, restore on the last exit: in any order, from any thread, with others' patches in between."""

from __future__ import annotations

import inspect
import threading
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend.stage import patches as module
from farend.stage.patches import Patch, Patches


class Base:
    def inherited(self) -> str:
        return "inherited"


class Owner(Base):
    def own(self) -> str:
        return "own"

    @staticmethod
    def static() -> str:
        return "static"


NAMES = ("own", "inherited", "static")


def wrapped(word: str) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def replacement(*arguments: Any) -> str:
            plain = original.__func__ if isinstance(original, staticmethod) else original
            return f"{word}({plain(*arguments)})"

        return staticmethod(replacement) if isinstance(original, staticmethod) else replacement

    return make


def state() -> tuple[Any, ...]:
    return tuple(vars(Owner).get(name, "not there") for name in NAMES)


BEFORE = state()


@pytest.fixture(autouse=True)
def _untouched() -> Any:
    yield
    assert state() == BEFORE
    assert all(one is other for one, other in zip(state(), BEFORE, strict=True))
    assert module._places == {}


def everything(word: str) -> Patches:
    return Patches(*(Patch(Owner, name, wrapped(word)) for name in NAMES))


def said() -> tuple[str, ...]:
    return Owner().own(), Owner().inherited(), Owner.static()


def test_patched_while_held_and_the_very_object_afterwards() -> None:
    with everything("a") as held:
        assert said() == ("a(own)", "a(inherited)", "a(static)")
        assert held.held
    assert said() == ("own", "inherited", "static")
    assert not held.held
    assert "inherited" not in vars(Owner)


def test_a_set_is_patched_once_and_restored_by_the_last() -> None:
    both = everything("a")
    both.hold()
    both.hold()
    assert said()[0] == "a(own)"
    both.release()
    assert said()[0] == "a(own)"
    both.release()
    assert said()[0] == "own"


@pytest.mark.parametrize("first", [0, 1])
def test_two_sets_leave_in_any_order(first: int) -> None:
    sets = [everything("a"), everything("b")]
    for one in sets:
        one.hold()
    assert said()[0] == "b(a(own))"
    sets[first].release()
    assert said() == tuple(f"{'ba'[first]}({word})" for word in ("own", "inherited", "static"))
    sets[1 - first].release()


def test_modules_and_instances_are_patched_alike() -> None:
    room = types.ModuleType("room")
    vars(room)["door"] = door = object()
    with Patches(Patch(room, "door", lambda original: [original])):
        assert vars(room)["door"] == [door]
    assert vars(room)["door"] is door


def test_releasing_what_is_not_held_is_told() -> None:
    with pytest.raises(RuntimeError, match="not held"):
        everything("a").release()


def test_a_name_that_is_not_there_leaves_nothing_patched() -> None:
    broken = Patches(Patch(Owner, "own", wrapped("a")), Patch(Owner, "nowhere", wrapped("a")))
    with pytest.raises(AttributeError, match="nowhere"):
        broken.hold()
    assert not broken.held


def test_a_replacement_that_cannot_be_made_leaves_nothing_patched() -> None:
    def fail(original: Any) -> Any:
        raise LookupError("no replacement")

    broken = Patches(Patch(Owner, "own", wrapped("a")), Patch(Owner, "inherited", fail))
    with everything("under"), pytest.raises(LookupError):
        broken.hold()


def test_somebody_elses_patch_within_ours() -> None:
    with everything("a"), mock.patch.object(Owner, "own", return_value="theirs"):
        assert said()[0] == "theirs"


def test_ours_over_somebody_elses_over_ours() -> None:
    below, above = everything("a"), everything("b")
    below.hold()
    with mock.patch.object(Owner, "own", return_value="theirs"):
        above.hold()
        assert said()[0] == "b(theirs)"
        below.release()
        assert said()[0] == "b(theirs)"
        above.release()
        assert said()[0] == "theirs"
    # Their undoing has put ours back, which was under it; the next who comes by takes it away.
    assert said() == ("a(own)", "inherited", "static")
    with everything("c"):
        assert said()[0] == "c(own)"


def test_threads_hold_and_release_at_once() -> None:
    sets = [everything(word) for word in "abc"]
    begin = threading.Barrier(6)

    def work(number: int) -> None:
        begin.wait(10)
        for turn in range(200):
            with sets[(number + turn) % 3]:
                said()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=40))
def test_any_order_leaves_the_original_objects(moves: list[tuple[bool, int]]) -> None:
    sets = [
        Patches(*(Patch(Owner, name, wrapped(word)) for name in NAMES[index % 3 :]))
        for index, word in enumerate("abcd")
    ]
    held: list[int] = []
    for entering, index in moves:
        if entering:
            sets[index].hold()
            held.append(index)
        elif held:
            sets[held.pop(index % len(held))].release()
        for name, now in zip(NAMES, said(), strict=True):
            words = {"abcd"[index] for index in held if name in NAMES[index % 3 :]}
            assert sorted(now.replace(name, "").replace("(", "").replace(")", "")) == sorted(words)
    for index in held:
        sets[index].release()
    assert state() == BEFORE


def test_what_a_function_is_made_of_is_replaced_and_restored() -> None:
    def real(one: int = 1) -> str:
        return f"real {one}"

    def other(one: int) -> str:
        return f"other {one}"

    code, signature = real.__code__, inspect.signature(other)
    patches = Patches(
        Patch(real, "__code__", lambda original: other.__code__),
        Patch(real, "__signature__", lambda original: signature if original is None else original),
    )
    with patches:
        assert real() == "other 1"
        assert inspect.signature(real) == signature
    assert real() == "real 1"
    assert real.__code__ is code
    assert not hasattr(real, "__signature__")
