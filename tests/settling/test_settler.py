"""How long a loop may go on: what it worked counts, and not what a busy machine made it wait."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from farend.settling import settler
from farend.settling.settler import SLOWEST, Waiter


@pytest.mark.parametrize(
    ("passed", "worked", "is_over"),
    [
        (4.9, 4.9, False),
        (5, 5, True),
        (6, 0.1, False),  # it had its turn for a tenth of a second
        (SLOWEST * 5 - 0.1, 4.9, False),
        (SLOWEST * 5, 0, True),  # its callbacks sleep
    ],
)
def test_a_loop_is_worn_out_by_what_it_worked(monkeypatch, passed, worked, is_over):
    clocks = SimpleNamespace(now=100.0, cpu=7.0)
    monkeypatch.setattr(settler, "time", SimpleNamespace(monotonic=lambda: clocks.now, thread_time=lambda: clocks.cpu))
    waiter = Waiter(patience=5.0)
    assert not waiter.is_worn_out(clocks.now)
    clocks.now += passed
    clocks.cpu += worked
    assert waiter.is_worn_out(clocks.now) is is_over
