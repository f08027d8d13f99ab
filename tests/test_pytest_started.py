"""A far end that was started by hand and not closed: the plugin notices when the test is over."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import socket
import unittest

import pytest

from farend import Script, TcpServer


def say(server, word):
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(word)
        client.recv(10)


def started(name="the device"):
    return TcpServer(Script().expect(b"PING").send(b"PONG"), name=name).start()

"""
HINT = "*the device was started with start(), and nobody has closed it: write close(check=True), or use `with`*"


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(HEAD + code)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = default")
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", *options)


def test_what_it_has_found_fails_the_teardown(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_mismatch():
    say(started(), b"PONG")

def test_nobody():
    started()

@pytest.fixture
def server():
    return started()

def test_from_a_fixture(server):
    say(server, b"PONG")
""",
    )
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "*Failure: Expected b'PING', got b'PONG' (the device, connection 1, step 1 of 2).",
            "*Nobody had connected*",
            HINT,
        ]
    )


def test_where_it_has_found_nothing_it_is_a_warning(pytester: pytest.Pytester) -> None:
    code = """
def test_played():
    say(started(), b"PING")
"""
    result = run(pytester, code)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines([f"*PytestWarning: {HINT[1:]}"])
    result = run(pytester, code, "-W", "error")
    result.assert_outcomes(passed=1, errors=1)


def test_the_test_s_own_failure_stays_the_first(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_fails():
    say(started(), b"PONG")
    assert "the body" == "fails"

def test_fails_with_nothing_found():
    say(started(), b"PING")
    assert "the body" == "fails"
""",
        "-W",
        "error",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*AssertionError: assert 'the body' == 'fails'", "*farend: Expected b'PING', got b'PONG' (the device, *"]
    )


def test_what_is_closed_or_belongs_to_more_than_one_test_is_left_alone(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_closed_in_the_body():
    server = started()
    say(server, b"PING")
    assert server.close() == []

def test_closed_by_a_finalizer(request):
    server = started()
    request.addfinalizer(server.close)
    say(server, b"PONG")
    assert [type(one).__name__ for one in server.findings] == ["Mismatch"]

@pytest.fixture(scope="module")
def server():
    server = started()
    yield server
    server.close()

def test_of_a_module(server):
    pass

def test_of_a_module_again(server):
    say(server, b"PING")

class TestCase(unittest.TestCase):
    def setUp(self):
        self.server = started()
        self.addCleanup(self.server.close, check=True)

    def test_cleaned_up(self):
        say(self.server, b"PING")
""",
        "-W",
        "error",
    )
    result.assert_outcomes(passed=5)


def test_on_the_loop_of_an_async_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import asyncio

async def exchange(server, word):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(word)
    await reader.read(10)
    writer.close()

@pytest.mark.asyncio
async def test_mismatch():
    await exchange(started(), b"PONG")

@pytest.mark.asyncio
async def test_half_played():
    await exchange(TcpServer(Script().expect(b"PING").send(b"PONG").expect(b"more")).start(), b"PING")

@pytest.mark.asyncio
async def test_closed():
    server = started()
    await exchange(server, b"PING")
    assert await server.aclose() == []
""",
        "-p",
        "asyncio",
    )
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes["errors"]) == (3, 2)
    result.stdout.fnmatch_lines_random(["*Expected b'PING', got b'PONG'*", "*expect b'more'*"])


def test_without_a_test_nobody_is_asked() -> None:
    from farend import TcpServer
    from farend.pytest_started import watch

    server = TcpServer().start()  # in this very test, which closes it
    server.close()
    watch(server)  # a second time does no harm
