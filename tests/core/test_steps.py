from __future__ import annotations

import sys
from typing import Any

import pytest

from farend.core.commands import Abort, Close, Send
from farend.core.messages import Fragments
from farend.core.script import Script
from farend.core.steps import (
    UNSET,
    AnyOrder,
    Expect,
    ExpectClose,
    ExpectHandshake,
    ExpectReply,
    Optional,
    Pause,
    Repeat,
    Reply,
    acts_first,
    counted,
    ending,
    forever,
    lingers,
    speaks,
    title,
    waits,
    walk,
)

A, B = Expect("a"), Send("b")
OPTIONAL = Optional((A,))


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (A, "expect 'a'"),
        (Expect("a", within=2.5), "expect 'a' within 2.5 s"),
        (B, "send 'b'"),
        (Send(Fragments(("a", "b"))), "send 'ab' in 2 fragments"),
        (Send("x" * 100), f"send {'x' * 40!r}… (str, 100 characters)"),
        (ExpectHandshake(), "expect handshake"),
        (ExpectHandshake("/a", origin="b"), "expect handshake path='/a' origin='b'"),
        (ExpectClose(), "expect close"),
        (ExpectClose(1000, "bye"), "expect close 1000 'bye'"),
        (ExpectClose(reset=True), "expect reset"),
        (Close(), "close"),
        (Close(1001, "bye"), "close 1001 'bye'"),
        (Abort(), "abort"),
        (Pause(0.5), "pause 0.5 s"),
        (Reply(str.upper), "reply upper(last message)"),
        (ExpectReply(str.upper), "expect what upper makes of the last message"),
        (AnyOrder(((A,),)), "any order of 1 branch"),
        (AnyOrder(((A,), (A,))), "any order of 2 branches"),
        (Repeat(1, (A,)), "repeat 1 time"),
        (Repeat(3, (A,)), "repeat 3 times"),
        (Repeat(forever, (A,)), "repeat forever"),
        (OPTIONAL, "optional"),
    ],
)
def test_a_step_on_one_line(step: Any, text: str) -> None:
    assert title(step) == text


@pytest.mark.parametrize(
    ("step", "acts", "linger", "wait", "speak"),
    [
        (A, False, False, True, False),
        (B, True, False, False, True),
        (Close(), True, False, False, True),
        (Pause(1), True, False, True, False),
        (Pause(0), True, False, False, False),
        (Reply(str), True, False, False, True),
        (ExpectReply(str), True, False, True, False),
        (ExpectClose(), False, False, True, False),
        (OPTIONAL, False, True, True, False),
        (Repeat(2, (A, B)), False, False, True, True),
        (Repeat(2, (B, A)), True, False, True, True),
        (Repeat(2, (B,)), True, False, False, True),
        (Repeat(forever, (A,)), False, True, True, False),
        (Repeat(2, (A, OPTIONAL)), False, True, True, False),
        (AnyOrder(((A,), (B,))), True, False, True, True),
        (AnyOrder(((B,), (B,))), True, False, False, True),
        (AnyOrder(((A,), (A, OPTIONAL))), False, True, True, False),
    ],
)
def test_what_can_be_known_of_a_step(step: Any, acts: bool, linger: bool, wait: bool, speak: bool) -> None:
    assert (acts_first(step), lingers(step), waits(step), speaks(step)) == (acts, linger, wait, speak)


def test_what_ends_the_connection_is_found_inside_of_groups() -> None:
    assert ending(A, B) is None
    assert ending(A, Optional((A, AnyOrder(((Close(1000),),))))) == Close(1000)
    assert ending(Abort()) == Abort()


def test_all_steps_can_be_walked_through() -> None:
    steps = Script().any_order(Script().expect("a"), Script().send("b")).repeat(2, Script().expect("c")).steps
    assert [type(step).__name__ for step in walk(steps)] == ["AnyOrder", "Expect", "Send", "Repeat", "Expect"]


@pytest.mark.parametrize(
    ("number", "noun", "text"), [(1, "step", "1 step"), (2000, "step", "2,000 steps"), (2, "branch", "2 branches")]
)
def test_counting(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


@pytest.mark.parametrize("step", [A, B, Close(), Pause(1), Reply(str), OPTIONAL, Repeat(2, (A,)), AnyOrder(((A,),))])
def test_a_step_is_small(step: Any) -> None:
    assert not hasattr(step, "__dict__")
    assert sys.getsizeof(step) <= 72


def test_what_was_not_given_says_so() -> None:
    assert repr(UNSET) == "not given"


def test_a_step_that_waits_without_end_says_nothing_of_it() -> None:
    assert title(Expect("bar", within=forever)) == "expect 'bar'"
    assert title(Expect("bar", within=2)) == "expect 'bar' within 2 s"
