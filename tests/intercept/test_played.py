"""A whole script behind a mocked library; what each library makes of it stands in the tests of its double."""

from __future__ import annotations

import pytest
import websocket

import farend
from farend import Script, UnmockedInteractionError

URI = "ws://far-end.invalid/"


def test_a_script_is_told_like_any_other(hand):
    played = hand.sync.play(Script(name="feed").expect("hello").send("there"))
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("hello")
        assert ws.recv() == "there"
        ws.close()
    hand.verifier.verify_all()
    assert played.transcript.received == ["hello"]
    assert played.findings == ()
    assert repr(played) == "<Played <Script 'feed': 2 steps>, closed>"


def test_a_script_that_is_not_played_to_its_end(hand):
    hand.sync.play(Script().expect("hello").send("there").expect("more"))
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("hello")
    with pytest.raises(farend.Failure, match="1 step was not played"):
        hand.verifier.verify_all()
    hand.verifier.verify_all()  # which was told once


def test_a_script_that_nobody_asked_for(hand):
    hand.sync.play(Script().expect("hello"))
    with pytest.raises(farend.Failure, match="Nobody had connected when the far end was closed"):
        hand.verifier.verify_all()


def test_a_script_that_grows(hand):
    script = Script(open_ended=True)
    hand.sync.play(script)
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        script.expect("hello").send("there")
        ws.send("hello")
        assert ws.recv() == "there"
    hand.verifier.verify_all()
    hand.verifier.reset()
    assert script._listeners == []


def test_a_script_without_an_end_and_a_client_that_listens(hand, monkeypatch):
    monkeypatch.setattr(farend.stage.settings.settings, "deadline", 0.01)
    hand.sync.play(Script().expect("hello"))
    with pytest.raises(UnmockedInteractionError, match="the script says nothing"), hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("hello")
        ws.recv()


def test_a_script_that_waits_for_a_client_that_waits(hand, monkeypatch):
    monkeypatch.setattr(farend.stage.settings.settings, "deadline", 0.01)
    hand.sync.play(Script().expect("hello").send("there"))
    with pytest.raises(farend.Failure, match="Waited 0.01 s for the near end to say 'hello'"), hand.sandbox():
        websocket.create_connection(URI).recv()


def test_many_messages_at_once(hand):
    """More than the far end sends in one go."""
    hand.sync.play(Script().repeat(1_000, Script().send("tick")))
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        assert [ws.recv() for _ in range(1_000)] == ["tick"] * 1_000
    hand.verifier.verify_all()
