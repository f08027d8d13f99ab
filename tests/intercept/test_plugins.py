"""The two mocks: sessions made, sessions taken."""

from __future__ import annotations

import pytest
import websocket

import farend
from farend import InvalidArguments, MissingExtra, UnmockedInteractionError, WrongState, WrongType
from farend.intercept import plugins


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"uri": "http://far-end/"}, InvalidArguments, r"new_session\(uri='http://far-end/'\) is no WebSocket URI"),
        ({"uri": "far-end"}, InvalidArguments, "write ws://host/path or wss://host/path"),
        ({"uri": ""}, InvalidArguments, "is no WebSocket URI"),
        ({"uri": "ws://"}, InvalidArguments, "is no WebSocket URI"),
        ({"uri": 5}, WrongType, "takes a WebSocket URI or a matcher for it, not 5"),
        ({"uri": b"ws://far-end/"}, WrongType, "takes a WebSocket URI or a matcher"),
        ({"subprotocol": ["chat"]}, WrongType, "subprotocol= takes the name of one"),
        ({"headers": "X: y"}, WrongType, "headers= takes a mapping"),
    ],
)
def test_what_cannot_be_meant(hand, options, error, text):
    with pytest.raises(error, match=text) as caught:
        hand.sync.new_session(**options)
    shown = [entry for entry in caught.traceback if not entry.ishidden(None)]
    assert shown[-1].path.name == "test_plugins.py"
    assert hand.sync.waiting == []


def test_play_takes_a_script(hand):
    with pytest.raises(
        WrongType, match=r"play\(\) takes a Script, not 'x'; to script single calls, write new_session\(\)"
    ):
        hand.sync.play("x")


def test_a_library_that_is_not_installed(hand, monkeypatch):
    monkeypatch.setattr(plugins, "installed", lambda library: False)
    for call in (hand.sync.new_session, lambda: hand.sync.play(farend.Script())):
        with pytest.raises(MissingExtra, match=r"not installed: pip install 'farend\[websocket-client\]'"):
            call()


def test_sessions_by_uri(hand):
    """A session for the URI is preferred to an earlier one for any."""
    anyone = hand.sync.new_session()
    exact = hand.sync.new_session(uri="ws://a.invalid/feed")
    pattern = hand.sync.new_session(uri=farend.regex(r"wss?://b\..*"))
    for session in (anyone, exact, pattern):
        session.expect("connect", returns=None)
    with hand.sandbox():
        for uri in ("wss://b.invalid/", "ws://a.invalid/feed", "ws://c.invalid/"):
            websocket.create_connection(uri)
    assert (anyone.dialled, exact.dialled, pattern.dialled) == (
        "ws://c.invalid/",
        "ws://a.invalid/feed",
        "wss://b.invalid/",
    )
    assert (pattern.number, exact.number, anyone.number) == (1, 2, 3)


def test_sessions_that_are_for_others(hand):
    hand.sync.new_session(uri="ws://a.invalid/")
    with pytest.raises(UnmockedInteractionError, match="the sessions that are left are for 'ws://a.invalid/'"):
        with hand.sandbox():
            websocket.create_connection("ws://b.invalid/")


def test_a_mock_is_no_block(hand):
    with pytest.raises(WrongState, match="is written `with farend:`"):
        with hand.sync:
            pass
    assert repr(hand.sync) == "<SyncWebSocketPlugin sync: 0 sessions waiting>"
