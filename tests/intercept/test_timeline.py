"""Assertions: one interaction each, in order, and what they say where they do not hold."""

from __future__ import annotations

import pytest
import websocket
from dirty_equals import IsInstance, IsStr

from farend import (
    AssertionInsideSandboxError,
    InteractionMismatchError,
    MissingAssertionFieldsError,
    WrongType,
    anything,
)

URI = "ws://far-end.invalid/"


@pytest.fixture
def talked(hand):
    """A connection, over which was said: "one", "two", and "three" came."""
    hand.script(hand.sync, ">", ">", "<three", "x")
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("one")
        ws.send("two")
        ws.recv()
        ws.close()
    return hand


def assert_all(hand):
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_send(message="one")
    hand.sync.assert_send(message="two")
    hand.sync.assert_recv(message="three")
    hand.sync.assert_close()
    hand.verifier.verify_all()


def test_one_after_the_other(talked):
    assert_all(talked)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda mock: mock.assert_connect(), MissingAssertionFieldsError, "leaves out uri="),
        (lambda mock: mock.assert_send(), MissingAssertionFieldsError, r"write assert_send\(message=…\)"),
        (lambda mock: mock.assert_recv(), MissingAssertionFieldsError, "leaves out message="),
        (lambda mock: mock.assert_connect(uri=URI, message="x"), WrongType, r"has no field 'message'; write assert_c"),
        (lambda mock: mock.assert_send(message="x", uri=URI), WrongType, r"write assert_send\(message=…\)"),
        (lambda mock: mock.assert_close(code=1000), WrongType, r"write assert_close\(\)"),
        (lambda mock: mock.assert_connect(uri="ws://other/"), InteractionMismatchError, "the uri was 'ws://far-end"),
        (lambda mock: mock.assert_close(), InteractionMismatchError, "the next interaction is connect 'ws://far-end"),
        (lambda mock: mock.assert_connect(uri=URI, raises=OSError), InteractionMismatchError, "raised nothing"),
        (lambda mock: mock.assert_recv(raises=OSError), InteractionMismatchError, "the next interaction is connect"),
    ],
)
def test_what_does_not_hold_takes_nothing(talked, call, error, text):
    """Each raises at the line of the assertion, and the next one still finds what it speaks of."""
    with pytest.raises(error, match=text) as caught:
        call(talked.sync)
    shown = [entry for entry in caught.traceback if not entry.ishidden(None)]
    assert shown[-1].path.name == "test_timeline.py"
    assert_all(talked)


def test_a_mismatch_prints_what_would_hold(talked):
    with pytest.raises(InteractionMismatchError) as caught:
        talked.sync.assert_send(message="two")
    text = str(caught.value)
    assert text.startswith("sync.assert_send(message='two') does not hold: the next interaction is connect 'ws://")
    assert f"What would hold here:\n    sync.assert_connect(uri='{URI}')" in text
    assert "→ 'one'" in text


def test_the_mock_of_the_other_library(talked):
    with pytest.raises(InteractionMismatchError, match=r"the next interaction is connect 'ws://.*' on sync"):
        talked.asynchronous.assert_connect(uri=URI)


def test_text_is_not_bytes(talked):
    talked.sync.assert_connect(uri=URI)
    with pytest.raises(InteractionMismatchError, match="the message was 'one'"):
        talked.sync.assert_send(message=b"one")
    talked.sync.assert_send(message="one")


def test_nothing_happened(hand):
    with pytest.raises(InteractionMismatchError, match="does not hold: nothing happened"):
        hand.sync.assert_connect(uri=URI)
    with pytest.raises(InteractionMismatchError, match="nothing happened"), hand.verifier.in_any_order():
        hand.sync.assert_close()


def test_inside_the_block(talked):
    """Also inside of a second one, nested or not."""
    with talked.sandbox():
        for call in (lambda: talked.sync.assert_connect(uri=URI), lambda: talked.sync.assert_send(message="x")):
            with pytest.raises(AssertionInsideSandboxError):
                call()
    assert_all(talked)


def test_raised(hand):
    boom = ValueError("boom", 1)
    session = hand.sync.new_session().expect("connect", returns=None)
    for _ in range(4):
        session.expect("recv", returns=None, raises=boom)
    session.expect("send", returns=None, raises=boom)
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        for call in [ws.recv] * 4 + [lambda: ws.send("x")]:
            with pytest.raises(ValueError, match="boom"):
                call()
    hand.sync.assert_connect(uri=URI)
    with pytest.raises(
        MissingAssertionFieldsError, match=r"leaves out raises=: recv\(\) raised; write sync\.assert_recv\(raises=V"
    ):
        hand.sync.assert_recv(message="x")
    with pytest.raises(MissingAssertionFieldsError):
        hand.sync.assert_recv()
    for wrong in (KeyError, ValueError("other"), OSError("boom", 1), IsInstance(KeyError)):
        with pytest.raises(InteractionMismatchError, match="the recv raised ValueError"):
            hand.sync.assert_recv(raises=wrong)
    for right in (ValueError, ValueError("boom", 1), boom, IsInstance(ValueError)):
        hand.sync.assert_recv(raises=right)
    with pytest.raises(MissingAssertionFieldsError, match="leaves out message="):
        hand.sync.assert_send(raises=ValueError)
    assert list(hand.findings()[0].assertions) == ["sync.assert_send(message='x', raises=ValueError)"]
    hand.sync.assert_send(message="x", raises=ValueError)
    hand.verifier.verify_all()


def test_in_any_order(talked):
    with talked.sync.in_any_order():
        talked.sync.assert_close()
        talked.sync.assert_recv(message="three")
        talked.sync.assert_connect(uri=anything())
        with pytest.raises(InteractionMismatchError) as caught:
            talked.sync.assert_send(message="three")
        assert "sync.assert_send(message='one')\n    sync.assert_send(message='two')" in str(caught.value)
    talked.sync.assert_send(message=IsStr)
    talked.sync.assert_send(message="two")
    talked.verifier.verify_all()


def test_order_matters_again_behind_the_block(talked):
    with talked.verifier.in_any_order():
        talked.sync.assert_send(message="two")
    with pytest.raises(InteractionMismatchError):
        talked.sync.assert_send(message="one")
    talked.sync.assert_connect(uri=URI)
    talked.sync.assert_send(message="one")
    talked.sync.assert_recv(message="three")
    talked.sync.assert_close()
    talked.verifier.verify_all()


def test_long_messages_and_many_lines_are_shortened(hand):
    hand.script(hand.sync, *[">"] * 60, "x")
    with hand.sandbox():
        ws = websocket.create_connection(URI)
        ws.send("x" * 5_000)
        ws.send("y" * 1_000)
        for number in range(58):
            ws.send(str(number))
        ws.close()
    text = "\n".join(hand.findings()[0].lines)
    assert "sync.assert_send(message=farend.where(lambda message: len(message) == 5000))" in text
    assert f"sync.assert_send(message='{'y' * 1_000}')" in text
    assert "# … and 22 more" in text
    assert repr("y" * 1_000) in str(hand.verifier.failure())
