"""How a blocking client waits."""

from __future__ import annotations

import threading
import time

import pytest

from farend import Script, UnmockedInteractionError
from farend.intercept import waiting
from farend.intercept.line import WAIT
from farend.intercept.waiting import heard_later
from farend.stage.settings import settings


def test_what_is_there_is_given(hand):
    session = hand.sync.new_session().expect("recv", returns="there")
    assert heard_later(session, None, lambda: False) == "there"
    assert session._watchers == []


def test_a_change_wakes_it(hand):
    session = hand.sync.new_session()
    watch = session.watch
    threads = []

    def watched(watcher):
        threads.append(threading.Thread(target=session.expect, args=("recv",), kwargs={"returns": "late"}))
        unwatch = watch(watcher)
        threads[0].start()
        return unwatch

    session.watch = watched
    assert heard_later(session, None, lambda: False) == "late"
    threads[0].join()


def test_a_timeout(hand):
    begun = time.monotonic()
    assert heard_later(hand.sync.new_session(), 0.01, lambda: False) is WAIT
    assert time.monotonic() - begun >= 0.01


def test_given_up(hand):
    assert heard_later(hand.sync.new_session(), None, lambda: True) is WAIT


def test_where_nobody_is_left_to_go_on_it_says_so_at_once(hand, monkeypatch):
    monkeypatch.setattr(waiting.threading, "active_count", lambda: 1)
    with pytest.raises(
        UnmockedInteractionError, match="no other thread is there to go on, and the session has no step"
    ):
        heard_later(hand.sync.new_session(), None, lambda: False)


def test_time_may_bring_something(hand, monkeypatch):
    """A pause of a script is waited for, though nobody else is there."""
    monkeypatch.setattr(waiting.threading, "active_count", lambda: 1)
    played = hand.sync.play(Script().pause(0.01).send("late"))
    played.enter(None)
    assert heard_later(played, None, lambda: False) == "late"


def test_the_deadline(hand, monkeypatch):
    monkeypatch.setattr(waiting.threading, "active_count", lambda: 2)
    monkeypatch.setattr(settings, "deadline", 0.01)
    with pytest.raises(UnmockedInteractionError, match="it waited 0.01 s, and the session has no step left"):
        heard_later(hand.sync.new_session(), 100, lambda: False)
