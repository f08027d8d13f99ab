"""The three guarantees, by hand."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
import websocket
import websockets

from farend import (
    Failure,
    Script,
    StrictVerifier,
    SyncWebSocketPlugin,
    UnassertedInteractionsError,
    UnmockedInteractionError,
    UnusedMocksError,
    VerificationError,
    WrongState,
    WrongType,
)

URI = "ws://far-end.invalid/"


def test_nothing_used_nothing_to_tell(hand):
    with hand.sandbox():
        pass
    hand.verifier.verify_all()


def test_what_the_code_swallowed_is_raised_at_the_end_of_the_block(hand):
    with pytest.raises(UnmockedInteractionError, match="no session is left"), hand.sandbox():
        with contextlib.suppress(Exception):
            websocket.create_connection(URI)
    hand.verifier.verify_all()  # told once


def test_several_swallowed(hand):
    with pytest.raises(UnmockedInteractionError, match="ws://one") as caught, hand.sandbox():
        for uri in ("ws://one.invalid", "ws://two.invalid"):
            with pytest.raises(UnmockedInteractionError):
                websocket.create_connection(uri)
    assert "connect('ws://two.invalid') was not scripted" in "".join(caught.value.__notes__)


def test_what_was_swallowed_is_beside_the_tests_own_exception(hand):
    with pytest.raises(KeyError) as caught, hand.sandbox():
        with pytest.raises(UnmockedInteractionError):
            websocket.create_connection(URI)
        raise KeyError("mine")
    assert "was not scripted" in "".join(caught.value.__notes__)


@pytest.mark.asyncio
async def test_in_a_group_it_is_told_already(hand):
    with pytest.raises(ExceptionGroup) as caught, hand.sandbox():
        async with asyncio.TaskGroup() as group:
            group.create_task(_connect())
    assert caught.group_contains(UnmockedInteractionError)
    assert not hasattr(caught.value, "__notes__")
    hand.verifier.verify_all()


async def _connect():
    await websockets.connect(URI)


def test_as_a_cause_it_is_told_already(hand):
    with pytest.raises(RuntimeError) as caught, hand.sandbox():
        try:
            websocket.create_connection(URI)
        except UnmockedInteractionError as error:
            raise RuntimeError("wrapped") from error
    assert not hasattr(caught.value, "__notes__")


def test_a_thread_that_outlives_the_block(hand):
    """What it does then is told by verify_all."""
    hand.script(hand.sync)
    go = threading.Event()
    with hand.sandbox():
        ws = websocket.create_connection(URI)

        def late():
            go.wait(30)
            with pytest.raises(UnmockedInteractionError):
                ws.send("late")

        thread = threading.Thread(target=late)
        thread.start()
    go.set()
    thread.join()
    hand.sync.assert_connect(uri=URI)
    with pytest.raises(UnmockedInteractionError, match=r"send\('late'\)"):
        hand.verifier.verify_all()


def test_each_fault_has_its_exception(hand):
    hand.script(hand.sync, ">")
    with pytest.raises(UnusedMocksError):
        hand.verifier.verify_all()
    with hand.sandbox():
        ws = websocket.create_connection(URI)
    with pytest.raises(VerificationError) as caught:
        hand.verifier.verify_all()
    assert [type(one).__name__ for one in caught.value.findings] == ["Unused", "Unasserted"]
    with hand.sandbox():
        ws.send("x")
    with pytest.raises(UnassertedInteractionsError):
        hand.verifier.verify_all()
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_send(message="x")
    hand.verifier.verify_all()


def test_a_failure_of_a_script_and_of_a_session_together(hand):
    hand.script(hand.sync, ">")
    hand.asynchronous.play(Script().expect("x"))
    with pytest.raises(VerificationError) as caught:
        hand.verifier.verify_all()
    assert [type(one).__name__ for one in caught.value.findings] == ["NobodyConnected", "Unused"]


def test_what_was_swallowed_and_what_a_script_found_are_told_together(hand):
    hand.sync.play(Script().expect("general"))
    with pytest.raises(UnmockedInteractionError, match="ws://nobody") as caught, hand.sandbox():
        websocket.create_connection(URI).send("admiral")
        with pytest.raises(UnmockedInteractionError):
            websocket.create_connection("ws://nobody.invalid/")
    assert "Expected 'general', got 'admiral'" in "".join(caught.value.__notes__)
    hand.verifier.verify_all()


def test_what_is_swallowed_behind_the_block_comes_first(hand):
    hand.script(hand.sync)
    with hand.sandbox():
        ws = websocket.create_connection(URI)
    hand.asynchronous.play(Script().expect("x"))
    for _ in range(2):
        with pytest.raises(UnmockedInteractionError):
            ws.send("late")
    with pytest.raises(UnmockedInteractionError) as caught:
        hand.verifier.verify_all()
    assert "Nobody had connected" in "".join(caught.value.__notes__)


def test_inside_the_block(hand):
    with hand.sandbox(), pytest.raises(WrongState, match="write it behind the block"):
        hand.verifier.verify_all()


def test_what_a_test_is_told_that_failed_already(hand):
    """Only what its code swallowed, and what a script found: nothing of what was not asserted or used."""
    hand.script(hand.sync, ">")
    error = KeyError("mine")
    assert hand.verifier.failure(error) is None
    assert not hasattr(error, "__notes__")
    hand.asynchronous.play(Script().expect("x"))
    assert hand.verifier.failure(error) is None
    assert "Nobody had connected" in "".join(error.__notes__)


def test_a_mismatch_in_a_script_is_raised_by_the_block(hand):
    hand.sync.play(Script().expect("general"))
    with pytest.raises(Failure, match="Expected 'general', got 'admiral'"), hand.sandbox():
        websocket.create_connection(URI).send("admiral")
    hand.verifier.verify_all()


@pytest.mark.parametrize("wrong", [None, "verifier", StrictVerifier])
def test_a_plugin_takes_a_verifier(wrong):
    with pytest.raises(WrongType, match=r"SyncWebSocketPlugin\(\) takes a StrictVerifier"):
        SyncWebSocketPlugin(wrong)


def test_reset_forgets(hand):
    hand.script(hand.sync, ">")
    hand.verifier.reset()
    assert hand.sync.waiting == []
    hand.verifier.verify_all()
