"""What looks at a test between its phases and their reports is gone with the test."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def run(pytester: pytest.Pytester, code: str) -> pytest.RunResult:
    pytester.makepyfile(code)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider")


def test_nothing_of_a_test_is_kept_for_the_session(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import gc
import socket
import weakref

import pytest
import websocket

import farend
from farend import Script, TcpServer, sync_websocket_mock

KEPT = []
PLUGINS = []


@pytest.fixture(autouse=True)
def count(request):
    yield
    PLUGINS.append(len(request.config.pluginmanager.get_plugins()))


def test_started():
    server = TcpServer(Script()).start()
    KEPT.append(weakref.ref(server))
    socket.create_connection((server.host, server.port)).close()
    server.close()


def test_started_again():
    test_started()


def test_asked_for_late(request):
    server = request.getfixturevalue("tcp_far_end")
    server.play(Script())
    KEPT.append(weakref.ref(server))
    socket.create_connection((server.host, server.port)).close()


def test_from_a_fixture(tcp_far_end):
    tcp_far_end.play(Script())
    KEPT.append(weakref.ref(tcp_far_end))
    socket.create_connection((tcp_far_end.host, tcp_far_end.port)).close()


def test_mocks():
    session = sync_websocket_mock.new_session()
    session.expect("connect", returns=None)
    KEPT.append(weakref.ref(session))
    with farend:
        websocket.create_connection("ws://example.com/feed")
    sync_websocket_mock.assert_connect(uri="ws://example.com/feed")


@pytest.mark.malformed("rsv1")
def test_malformed(malformed_frame):
    KEPT.append(weakref.ref(malformed_frame))
    with malformed_frame as url, pytest.raises(websocket.WebSocketException):
        client = websocket.create_connection(url)
        try:
            while True:
                client.recv()
        finally:
            client.close()


def test_all_of_it_is_gone():
    gc.collect()
    assert len(KEPT) == 6
    assert [one() for one in KEPT] == [None] * 6
    assert len(set(PLUGINS)) == 1
""",
    )
    print(result.stdout.str())
    result.assert_outcomes(passed=7)


def test_who_came_last_looks_first_and_each_phase_once(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest

from farend.pytest_phases import look_between_phases, raised

SEEN = []


@pytest.fixture
def watched(request):
    for name in "ab":
        look_between_phases(request.node, lambda call, name=name: SEEN.append(name + " " + call.when))


def test_one(watched):
    pass


def test_another(request):
    assert SEEN == ["b setup", "a setup", "b call", "a call", "b teardown", "a teardown"]
    look_between_phases(request.node, fail)


def fail(call):
    if call.when == "call":
        assert len(SEEN) == 6
        call.excinfo = raised(ValueError("judged too late"))
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*ValueError: judged too late*"])
