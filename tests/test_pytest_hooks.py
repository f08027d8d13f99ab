"""What belongs to one test is forgotten with it: no far end of an earlier test stays in memory."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import gc
import weakref

import pytest
import websocket

import farend
from farend import Script, TcpServer

known = []

"""
AFTERWARDS = """

def test_afterwards():
    gc.collect()
    assert [one() for one in known] == [None]
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            """
def test_started_and_closed():
    server = TcpServer().start()
    known.append(weakref.ref(server))
    server.close()
""",
            id="started",
        ),
        pytest.param(
            """
def test_with_a_fixture(tcp_far_end):
    known.append(weakref.ref(tcp_far_end))
""",
            id="fixture",
        ),
        pytest.param(
            """
def test_with_a_fixture_that_is_asked_for_in_the_body(request):
    known.append(weakref.ref(request.getfixturevalue("tcp_far_end")))
""",
            id="late fixture",
        ),
        pytest.param(
            """
@pytest.mark.malformed("plain-text")
@pytest.mark.xfail
def test_with_a_malformed_frame(malformed_frame):
    known.append(weakref.ref(malformed_frame))
""",
            id="malformed",
        ),
        pytest.param(
            """
def test_with_mocks(request):
    session = farend.sync_websocket_mock.new_session().expect("connect", returns=None)
    known.append(weakref.ref(session))
    with farend:
        websocket.create_connection("ws://far-end.invalid/")
    farend.sync_websocket_mock.assert_connect(uri="ws://far-end.invalid/")
""",
            id="mocks",
        ),
    ],
)
def test_nothing_of_a_test_is_kept(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(HEAD + code + AFTERWARDS)
    result = pytester.runpytest_subprocess("-p", "farend.pytest_plugin", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes.pop("xfailed", 0) + outcomes.pop("passed") == 2, result.stdout.str()
    assert not outcomes
