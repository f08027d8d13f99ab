"""The table of a mocked connection's states."""

from __future__ import annotations

import pytest

from farend.intercept.line import METHODS, TRANSITIONS, Line, State, waited


def test_every_call_is_valid_in_one_state():
    assert sorted(METHODS) == ["close", "connect", "recv", "send"]
    assert set(TRANSITIONS) == set(State)


def test_what_a_line_has_to_do(hand):
    line = Line(hand.sync)
    for call in (
        lambda: line.enter(None),
        lambda: line.say("x"),
        line.hear,
        lambda: line.hang_up(1000, ""),
        lambda: line.overdue("recv()", 1),
        lambda: line.ping(None),
        lambda: line.pong(None),
        lambda: line.ready,
        lambda: line.transcript,
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert line.due is None
    assert line.takes("ws://anything.invalid/")


def test_how_long_it_listened():
    assert waited(1.5) == "it waited 1.5 s, and "
    assert waited(0) == "no other thread is there to go on, and "
