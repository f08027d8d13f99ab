"""The mocks under pytest: whose they are, and in which phase they fail a test."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import farend

pytest_plugins = ["pytester"]

with farend.sandbox():
    """pytester forgets the modules that its sessions import: these are here before."""

HEAD = """
import asyncio
import threading
import unittest
import pytest
import websocket
import websockets
import farend
from farend import async_websocket_mock, sync_websocket_mock

URI = "ws://far-end.invalid/"

def script(mock, *steps):
    session = mock.new_session().expect("connect", returns=None)
    for step in steps:
        session.expect(step, returns="x" if step == "recv" else None)
    return session

def talk():
    with farend:
        ws = websocket.create_connection(URI)
        ws.send("hello")

def assert_all():
    sync_websocket_mock.assert_connect(uri=URI)
    sync_websocket_mock.assert_send(message="hello")
"""
INI = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file in a session of its own, which has only the plugins it needs."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(body, *options, plugins=("pytest_asyncio.plugin",), **files):
        pytester.makeini(INI if "pytest_asyncio.plugin" in plugins else "[pytest]\n")
        pytester.makepyfile(test_it=HEAD + textwrap.dedent(body), **files)
        loaded = [part for plugin in ("farend.pytest_plugin", *plugins) for part in ("-p", plugin)]
        return pytester.runpytest(*loaded, "-p", "no:cacheprovider", *options)

    return run


GOOD = """
        def test_good():
            script(sync_websocket_mock, "send")
            talk()
            assert_all()
"""


def test_a_test_that_forgets_something_fails_itself(run):
    """In its own phase, at its last line, once; and the next test knows nothing of it."""
    result = run(
        """
        def test_unused():
            script(sync_websocket_mock, "send")

        def test_unasserted():
            script(sync_websocket_mock, "send")
            talk()
            last = "line"

        def test_both():
            script(sync_websocket_mock, "send", "close")
            talk()

        def test_unscripted():
            talk()

        def test_swallowed():
            try:
                talk()
            except Exception:
                pass
"""
        + GOOD
    )
    result.assert_outcomes(failed=4, passed=2)
    result.stdout.fnmatch_lines(
        [
            "*farend.UnusedMocksError: 2 required steps were not used: nobody connected to the session*",
            '>       last = "line"',
            "*farend.UnassertedInteractionsError: 2 interactions were not asserted.",
            "*  farend.sync_websocket_mock.assert_connect(uri='ws://far-end.invalid/')",
            "*  farend.sync_websocket_mock.assert_send(message='hello')",
            "*test_it.py:*: UnassertedInteractionsError",
            "*farend.VerificationError: 1 required step was not used*",
            "*farend.UnmockedInteractionError: connect('ws://far-end.invalid/') was not scripted*",
        ]
    )


def test_a_swallowed_error_fails_the_test(run):
    result = run(
        """
        def test_swallowed_in_the_block():
            with farend:
                try:
                    websocket.create_connection(URI)
                except Exception:
                    pass

        def test_swallowed_in_a_thread_after_the_block():
            script(sync_websocket_mock)
            with farend:
                ws = websocket.create_connection(URI)
            sync_websocket_mock.assert_connect(uri=URI)
            def late():
                try:
                    ws.send("late")
                except Exception:
                    pass
            thread = threading.Thread(target=late)
            thread.start()
            thread.join()
"""
        + GOOD
    )
    result.assert_outcomes(failed=2, passed=1)


def test_the_tests_own_exception_stays(run):
    result = run(
        """
        def test_own():
            script(sync_websocket_mock, "send")
            assert 1 == 2, "mine"

        def test_own_in_the_block():
            script(sync_websocket_mock, "send", "close")
            with farend:
                ws = websocket.create_connection(URI)
                raise KeyError("mine, too")

        def test_own_and_swallowed():
            with farend:
                try:
                    websocket.create_connection(URI)
                except Exception:
                    pass
                raise ValueError("and mine")
"""
        + GOOD
    )
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: mine",
            "*KeyError: 'mine, too'",
            "*ValueError: and mine",
            "*farend: connect('ws://*was not scripted*",
        ]
    )
    result.stdout.no_fnmatch_line("*UnusedMocksError*")
    result.stdout.no_fnmatch_line("*not asserted*")


def test_skipped_and_expected_to_fail(run):
    result = run(
        """
        def test_skipped():
            script(sync_websocket_mock, "send")
            pytest.skip("later")

        @pytest.mark.xfail(strict=True)
        def test_expected():
            script(sync_websocket_mock, "send")
"""
        + GOOD
    )
    result.assert_outcomes(skipped=1, xfailed=1, passed=1)


def test_async_tests(run):
    result = run(
        """
        @pytest.mark.asyncio
        async def test_unasserted():
            script(async_websocket_mock, "close")
            with farend:
                async with websockets.connect(URI):
                    pass

        @pytest.mark.asyncio
        async def test_first_used_in_a_task():
            async def use():
                script(async_websocket_mock)
            await asyncio.create_task(use())

        @pytest.mark.asyncio
        async def test_first_used_in_a_thread():
            await asyncio.to_thread(script, async_websocket_mock)
"""
        + GOOD
    )
    result.assert_outcomes(failed=3, passed=1)


def test_under_anyio(run):
    result = run(
        """
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_unused():
            script(async_websocket_mock)
"""
        + GOOD,
        plugins=("anyio",),
    )
    result.assert_outcomes(failed=1, passed=1)


def test_unittest_under_pytest(run):
    result = run(
        """
        class ATest(unittest.TestCase):
            def test_unused(self):
                script(sync_websocket_mock, "send")

            def test_own(self):
                script(sync_websocket_mock, "send")
                self.fail("mine")

            def test_good(self):
                script(sync_websocket_mock, "send")
                talk()
                assert_all()

        class AnAsyncTest(unittest.IsolatedAsyncioTestCase):
            async def test_unused(self):
                script(async_websocket_mock)
"""
    )
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines_random(["*AssertionError: mine", "*UnusedMocksError*"])


def test_in_fixtures(run):
    """What a fixture scripts before the test is the test's; what it does behind it fails the teardown."""
    result = run(
        """
        @pytest.fixture
        def scripted():
            script(sync_websocket_mock, "send")

        @pytest.fixture
        def asserting():
            script(sync_websocket_mock, "send")
            yield

        @pytest.fixture
        def late():
            yield
            script(sync_websocket_mock, "send")

        @pytest.fixture
        def broken():
            script(sync_websocket_mock, "send")
            raise OSError("no")

        def test_good_with_a_fixture(scripted):
            talk()
            assert_all()

        def test_unused(scripted):
            pass

        def test_late(late):
            pass

        def test_broken(broken):
            pass
"""
        + GOOD
    )
    result.assert_outcomes(passed=3, failed=1, errors=2)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_late*", "*UnusedMocksError*"])


def test_a_block_that_is_never_left_is_not_the_next_tests(run):
    """Left by hand in a fixture, after the body of the test was judged."""
    result = run(
        """
        @pytest.fixture
        def block():
            block = farend.sandbox()
            block.__enter__()
            yield
            block.__exit__(None, None, None)

        def test_in_it(block):
            script(sync_websocket_mock)
            websocket.create_connection(URI)

        def test_asserts_in_it(block):
            script(sync_websocket_mock)
            websocket.create_connection(URI)
            sync_websocket_mock.assert_connect(uri=URI)
"""
        + GOOD
    )
    result.assert_outcomes(failed=1, errors=1, passed=2)
    result.stdout.fnmatch_lines_random(["*AssertionInsideSandboxError*", "*ERROR at teardown of test_in_it*"])


def test_a_fixture_that_holds_the_block_asserts_behind_it(run):
    """The test's body cannot: so nothing is asked before the teardown."""
    result = run(
        """
        def opened():
            script(sync_websocket_mock, "close")
            with farend:
                yield websocket.create_connection(URI)
            sync_websocket_mock.assert_connect(uri=URI)

        @pytest.fixture
        def connection():
            yield from opened()
            sync_websocket_mock.assert_close()

        @pytest.fixture
        def forgetful():
            yield from opened()

        def test_good_in_it(connection):
            connection.close()

        def test_unused(forgetful):
            pass

        def test_unasserted(forgetful):
            forgetful.close()
"""
        + GOOD
    )
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["*UnusedMocksError*", "*UnassertedInteractionsError*", "*assert_close()*"])


def test_a_test_that_uses_none_registers_nothing(run):
    """What is not used is not there, and what was used is one hook for all tests."""
    result = run(
        """
        def hooks(request):
            plugins = request.config.pluginmanager.get_plugins()
            return [one for one in plugins if type(one).__module__.startswith("farend.")]

        def test_none(request):
            assert hooks(request) == []

        def test_some(request):
            script(sync_websocket_mock, "send")
            assert len(hooks(request)) == 1
            talk()
            assert_all()

        test_some_again = test_some
"""
    )
    result.assert_outcomes(passed=3)


def test_the_plugin_imports_nothing_of_it():
    code = (
        "import farend.pytest_plugin, sys;"
        "print([name for name in sys.modules if name.startswith(('farend.intercept.', 'farend.stage.', 'websockets'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['farend.intercept.lifetime', 'farend.stage.forgotten']"
