"""The mocks of the test that runs, and what ends them where there is no pytest."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import websocket

import farend
from farend import UnassertedInteractionsError, UnusedMocksError, WrongState

URI = "ws://far-end.invalid/"


def test_they_are_there_without_a_fixture():
    farend.sync_websocket_mock.new_session().expect("connect", returns=None)
    with farend:
        websocket.create_connection(URI)
    with farend.in_any_order():
        farend.sync_websocket_mock.assert_connect(uri=URI)


def test_verifying_by_hand():
    farend.sync_websocket_mock.new_session().expect("connect", returns=None)
    with pytest.raises(UnusedMocksError):
        farend.verify_mocks()
    farend.verify_mocks()  # all is forgotten
    farend.sync_websocket_mock.new_session().expect("connect", returns=None)
    with farend:
        websocket.create_connection(URI)
        with pytest.raises(WrongState):
            farend.verify_mocks()
    with pytest.raises(UnassertedInteractionsError):
        farend.verify_mocks()


def run(code):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_with_unittest():
    done = run(
        """
        import unittest, farend, websocket

        class ATest(unittest.TestCase):
            def setUp(self):
                self.addCleanup(farend.verify_mocks)

            def test_unused(self):
                farend.sync_websocket_mock.new_session().expect("connect", returns=None)

            def test_good(self):
                farend.sync_websocket_mock.new_session().expect("connect", returns=None)
                with farend:
                    websocket.create_connection("ws://localhost/")
                farend.sync_websocket_mock.assert_connect(uri="ws://localhost/")

        unittest.main(argv=["x"])
        """
    )
    assert "FAILED (failures=1)" in done.stderr
    assert "UnusedMocksError: 1 required step was not used" in done.stderr
    assert "never verified" not in done.stderr


def test_what_nobody_verified_is_told_at_the_end():
    done = run(
        """
        import farend
        farend.sync_websocket_mock.new_session().expect("connect", returns=None)
        """
    )
    assert "farend: the mocks were never verified (call farend.verify_mocks())" in done.stderr
    assert "1 required step was not used" in done.stderr
    quiet = run("import farend; farend.sync_websocket_mock.new_session; print('done')")
    assert (quiet.stdout, quiet.stderr) == ("done\n", "")
