"""The pytest plugin, seen from sessions of its own: fixtures, settings, and what it does to other tests."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import asyncio
import socket
import unittest
import pytest
from farend import Failure, Script, TcpServer, WebSocketServer

PINGPONG = Script().expect(b"PING").send(b"PONG")

def ping(server):
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        client.sendall(b"PING")
        return client.recv(4)

async def aping(server):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"PING")
    answer = await reader.read(4)
    writer.close()
    await writer.wait_closed()
    return answer
"""
INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file in a session of its own, which has only the plugins it needs."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(body, *options, mode="strict", plugins=("pytest_asyncio.plugin",), **files):
        pytester.makeini(INI.format(mode=mode) if "pytest_asyncio.plugin" in plugins else "[pytest]\n")
        pytester.makepyfile(test_it=HEAD + textwrap.dedent(body), **files)
        loaded = [part for plugin in ("farend.pytest_plugin", *plugins) for part in ("-p", plugin)]
        return pytester.runpytest(*loaded, "-p", "no:cacheprovider", *options)

    return run


# -- far ends in tests of every kind ----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_fixtures_in_tests_of_every_kind(run, mode):
    """def and async def, functions and methods, TCP and WebSocket; under pytest-asyncio, strict and auto."""
    mark = "@pytest.mark.asyncio\n" if mode == "strict" else ""
    result = run(
        f"""
        from websockets.asyncio.client import connect as aconnect
        from websockets.sync.client import connect

        def test_plain(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            assert ping(tcp_far_end) == b"PONG"

        {mark}
        async def test_async(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            assert await aping(tcp_far_end) == b"PONG"
            assert tcp_far_end._home is asyncio.get_running_loop()

        def test_plain_websocket(websocket_far_end):
            websocket_far_end.play(Script().expect("hello").send("there"))
            with connect(websocket_far_end.url) as client:
                client.send("hello")
                assert client.recv() == "there"

        {mark}
        async def test_async_websocket(websocket_far_end):
            websocket_far_end.play({{"/feed": Script().expect("hello").send("there")}})
            async with aconnect(websocket_far_end.url + "/feed") as client:
                await client.send("hello")
                assert await client.recv() == "there"

        def test_plain_in_control(tcp_far_end):
            with socket.create_connection((tcp_far_end.host, tcp_far_end.port)) as client:
                peer = tcp_far_end.accept()
                client.sendall(b"PING")
                peer.expect(b"PING")
                peer.send(b"PONG")
                assert client.recv(4) == b"PONG"

        {mark}
        async def test_async_in_control(tcp_far_end):
            reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
            peer = await tcp_far_end.connection()
            writer.write(b"PING")
            await peer.expect(b"PING")
            await peer.send(b"PONG")
            assert await reader.readexactly(4) == b"PONG"
            writer.close()
            await writer.wait_closed()

        class TestMethods:
            def test_plain(self, tcp_far_end):
                tcp_far_end.play(PINGPONG)
                assert ping(tcp_far_end) == b"PONG"

            {mark}
            async def test_async(self, tcp_far_end):
                tcp_far_end.play(PINGPONG)
                assert await aping(tcp_far_end) == b"PONG"

            @staticmethod
            def test_static(tcp_far_end):
                tcp_far_end.play(PINGPONG)
                assert ping(tcp_far_end) == b"PONG"

        @pytest.mark.parametrize("number", [1, 2])
        def test_parametrised(number, tcp_far_end, websocket_far_end):
            assert tcp_far_end.port != websocket_far_end.port

        def test_expectations(tcpserver):
            tcpserver.expect_connect()
            tcpserver.expect_bytes(b"PING")
            tcpserver.send_bytes(b"PONG")
            tcpserver.expect_disconnect()
            assert ping(tcpserver) == b"PONG"
            tcpserver.join()

        def test_asyncio_run(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            assert asyncio.run(aping(tcp_far_end)) == b"PONG"
        """,
        mode=mode,
    )
    result.assert_outcomes(passed=13)


def test_a_loop_of_a_wider_scope(run):
    result = run(
        """
        pytestmark = pytest.mark.asyncio(loop_scope="module")
        loops = set()

        @pytest.mark.parametrize("number", [1, 2])
        async def test_it(tcp_far_end, number):
            loops.add(asyncio.get_running_loop())
            assert len(loops) == 1
            tcp_far_end.play(PINGPONG)
            assert await aping(tcp_far_end) == b"PONG"
            assert tcp_far_end._home in loops
        """
    )
    result.assert_outcomes(passed=2)


def test_anyio_on_asyncio_and_trio(run):
    """On trio, the background loop serves, and awaiting farend's calls works there, too."""
    result = run(
        """
        import anyio

        pytestmark = pytest.mark.anyio

        async def ping_on_anyio(server):
            async with await anyio.connect_tcp(server.host, server.port) as client:
                await client.send(b"PING")
                return await client.receive(4)

        async def test_script(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            assert await ping_on_anyio(tcp_far_end) == b"PONG"

        async def test_in_control(tcp_far_end):
            async with await anyio.connect_tcp(tcp_far_end.host, tcp_far_end.port) as client:
                peer = await tcp_far_end.connection()
                await peer.send(b"PONG")
                assert await client.receive(4) == b"PONG"

        async def test_expectations(tcpserver_factory):
            server = await tcpserver_factory()
            server.expect_connect()
            server.expect_bytes(b"PING")
            server.send_bytes(b"PONG")
            server.expect_disconnect()
            assert await ping_on_anyio(server) == b"PONG"
            await server.join()

        async def test_that_fails(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PONG"))
            await ping_on_anyio(tcp_far_end)

        async def test_that_ends_badly(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PING").send(b"PONG").expect(b"more", within=0.1))
            assert await ping_on_anyio(tcp_far_end) == b"PONG"
        """,
        "--tb=short",
        plugins=("anyio",),
    )
    result.assert_outcomes(passed=6, failed=4)


def test_unittest(run):
    """TestCase and IsolatedAsyncioTestCase cannot take fixtures as arguments; they use them."""
    result = run(
        """
        class Uses:
            @pytest.fixture(autouse=True)
            def _far_end(self, tcp_far_end):
                self.far_end = tcp_far_end

        class Plain(Uses, unittest.TestCase):
            def test_passes(self):
                self.far_end.play(PINGPONG)
                self.assertEqual(ping(self.far_end), b"PONG")

            def test_fails(self):
                self.far_end.play(Script().expect(b"PING").send(b"PONG").expect(b"more"))
                ping(self.far_end)

        class Async(Uses, unittest.IsolatedAsyncioTestCase):
            async def test_passes(self):
                self.far_end.play(PINGPONG)
                self.assertEqual(await aping(self.far_end), b"PONG")
                self.assertIs(self.far_end._home, asyncio.get_running_loop())

            async def test_fails(self):
                self.far_end.play(Script().expect(b"PING").send(b"PONG").expect(b"more"))
                await aping(self.far_end)
        """,
        plugins=(),
    )
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["FAILED test_it.py::Plain::test_fails - *Failure: *"])


def test_hypothesis(run):
    """All examples of one test meet the same far end."""
    result = run(
        """
        from hypothesis import HealthCheck, given, settings, strategies as st

        @settings(suppress_health_check=list(HealthCheck), max_examples=5)
        @given(st.integers())
        def test_plain(tcp_far_end, number):
            tcp_far_end.play(PINGPONG)
            assert ping(tcp_far_end) == b"PONG"

        @pytest.mark.asyncio
        @settings(suppress_health_check=list(HealthCheck), max_examples=5)
        @given(st.integers())
        async def test_async(tcp_far_end, number):
            tcp_far_end.play(PINGPONG)
            assert await aping(tcp_far_end) == b"PONG"
        """
    )
    result.assert_outcomes(passed=2)


def test_a_decorated_test(run):
    result = run(
        """
        from unittest.mock import patch

        @pytest.mark.asyncio
        @patch("socket.timeout", None)
        async def test_it(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PING").send(b"PONG").expect(b"more"))
            await aping(tcp_far_end)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">       await aping(tcp_far_end)"])


# -- far ends in fixtures -----------------------------------------------------------------------------


def test_a_client_in_a_fixture_is_served_before_the_body(run):
    """Whoever asks for the address has a client that may be waiting: nothing hangs."""
    result = run(
        """
        import pytest_asyncio

        @pytest.fixture
        def plain_client(tcp_far_end):
            tcp_far_end.play(Script().expect(b"LOGIN").send(b"OK").expect(b"PING").send(b"PONG"))
            with socket.create_connection((tcp_far_end.host, tcp_far_end.port), timeout=10) as client:
                client.sendall(b"LOGIN")
                assert client.recv(2) == b"OK"
                yield client

        def test_plain(plain_client):
            plain_client.sendall(b"PING")
            assert plain_client.recv(4) == b"PONG"

        @pytest_asyncio.fixture(loop_scope="module")
        async def streams(tcp_far_end):
            tcp_far_end.play(Script().expect(b"LOGIN").send(b"OK"))
            reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
            writer.write(b"LOGIN")
            assert await reader.readexactly(2) == b"OK"
            yield reader, writer
            writer.close()
            await writer.wait_closed()

        @pytest.mark.asyncio
        async def test_async_from_a_loop_of_another_scope(streams, tcp_far_end):
            assert len(tcp_far_end.connections) == 1

        @pytest_asyncio.fixture
        async def opened(tcp_far_end):
            peering = asyncio.create_task(tcp_far_end.connection())
            reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
            yield await peering, reader
            writer.close()
            await writer.wait_closed()

        @pytest.mark.asyncio
        async def test_in_control_of_it(opened):
            peer, reader = opened
            await peer.send(b"hello")
            assert await reader.readexactly(5) == b"hello"
        """
    )
    result.assert_outcomes(passed=3)


def test_a_fixture_that_only_hands_it_on(run):
    """It is not touched, so that it lives on the loop of the test all the same."""
    result = run(
        """
        @pytest.fixture
        def device(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            return tcp_far_end

        @pytest.mark.asyncio
        async def test_it(device):
            assert await aping(device) == b"PONG"
            assert device._home is asyncio.get_running_loop()
        """
    )
    result.assert_outcomes(passed=1)


def test_servers_of_ones_own(run, tmp_path):
    """`start_far_end` and `tcpserver_factory`: in fixtures, and in bodies of both kinds."""
    result = run(
        f"""
        @pytest.fixture
        def device(start_far_end):
            return start_far_end(TcpServer(PINGPONG, name="device"))

        def test_plain(start_far_end, device):
            other = start_far_end(TcpServer(PINGPONG, tls=True))
            assert device.name == "device"
            assert ping(device) == b"PONG"
            with other.client_ssl_context.wrap_socket(
                socket.create_connection((other.host, other.port)), server_hostname="localhost"
            ) as client:
                client.sendall(b"PING")
                assert client.recv(4) == b"PONG"

        @pytest.mark.asyncio
        async def test_async(start_far_end, device):
            other = start_far_end(WebSocketServer())
            assert device._home is other._home is asyncio.get_running_loop()
            assert await aping(device) == b"PONG"

        @pytest.fixture
        def on_a_path(start_far_end):
            return start_far_end(TcpServer(PINGPONG, unix_path={str(tmp_path / "socket")!r}))

        @pytest.mark.asyncio
        async def test_on_a_path(on_a_path):
            reader, writer = await asyncio.open_unix_connection(on_a_path.unix_path)
            writer.write(b"PING")
            assert await reader.readexactly(4) == b"PONG"
            writer.close()
            await writer.wait_closed()

        def test_expectations(tcpserver_factory):
            server = tcpserver_factory(name="first")
            server.expect_connect()
            socket.create_connection((server.host, server.port)).close()

        @pytest.mark.asyncio
        async def test_from_a_thread(tcpserver_factory):
            server = await asyncio.to_thread(tcpserver_factory)
            server.expect_connect()
            _, writer = await asyncio.open_connection(server.host, server.port)
            writer.close()
            await writer.wait_closed()
            await server.join()
        """
    )
    result.assert_outcomes(passed=5)
    assert not (tmp_path / "socket").exists()


def test_play_after_the_client_connected(run):
    """It would never be played: told at the line, not after a deadline."""
    result = run(
        """
        @pytest.mark.asyncio
        async def test_it(tcp_far_end):
            reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
            while not tcp_far_end.connections:
                await asyncio.sleep(0)
            try:
                tcp_far_end.play(PINGPONG)
            finally:
                writer.close()
                await writer.wait_closed()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*WrongState: a client connected to TcpServer * before play()*write play() above*"])


# -- the verdict --------------------------------------------------------------------------------------


def test_in_the_call_phase_once(run):
    """Unplayed steps, unexpected messages, nobody there: the test fails, at its last line, and has no error."""
    result = run(
        """
        def test_unplayed(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PING").send(b"PONG").expect(b"more"))
            assert ping(tcp_far_end) == b"PONG"
            assert True, "the last line"

        @pytest.mark.asyncio
        async def test_unexpected(tcp_far_end):
            reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
            writer.write(b"nobody expects this")
            writer.close()
            await writer.wait_closed()

        def test_nobody(tcp_far_end):
            tcp_far_end.play(PINGPONG)

        def test_untouched(tcp_far_end):
            pass
        """,
        "--farend-deadline=0.1",
        "-rf",
    )
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            '>       assert True, "the last line"',
            "E       *Failure: *step 3 of 3*",
            "test_it.py:*: Failure",
            ">       await writer.wait_closed()",
            "E       *Failure: *nobody expects this*",
            "test_it.py:*: Failure",
            ">       tcp_far_end.play(PINGPONG)",
            "E       *Failure: Nobody connected*",
            "test_it.py:*: Failure",
            "FAILED test_it.py::test_unplayed - *Failure: The *",
        ]
    )
    for own in ("pytest_body", "far_end", "verdict"):
        result.stdout.no_fnmatch_line(f"*{own}.py*")
    result.stdout.no_fnmatch_line("*All traceback entries are hidden*")


@pytest.mark.parametrize("style", ["long", "short", "native", "line", "no"])
def test_every_style_of_traceback(run, style):
    result = run(
        """
        class TestIt:
            def test_it(self, tcp_far_end):
                tcp_far_end.play(PINGPONG)
        """,
        f"--tb={style}",
        "-l",
        "--farend-deadline=0.05",
    )
    result.assert_outcomes(failed=1)
    if style != "no":
        result.stdout.fnmatch_lines(["*Nobody connected*"])


def test_a_failed_body_keeps_its_own_exception(run):
    """What the far end knows stands beside it, and no time is spent on waiting."""
    result = run(
        """
        def test_it(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PING").send(b"PONG").expect(b"more"))
            assert ping(tcp_far_end) == b"PUNG"

        @pytest.mark.asyncio
        async def test_async(tcp_far_end, websocket_far_end):
            tcp_far_end.play(PINGPONG)
            websocket_far_end.play(PINGPONG)
            raise ValueError("mine")
        """,
        "--farend-deadline=60",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: assert b'PONG' == b'PUNG'",
            "E       farend: *step 3 of 3*",
            "test_it.py:*: AssertionError",
            "E       ValueError: mine",
        ]
    )


def test_a_consequence_gives_way_to_its_cause(run):
    """The far end ended the connection; that the client says so is not the story."""
    result = run(
        """
        @pytest.mark.asyncio
        async def test_it(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PONG").send(b"PING"))
            reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
            writer.write(b"PING")
            try:
                await reader.readexactly(4)
            finally:
                writer.close()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">           await reader.readexactly(4)",
            "E*Failure: Expected b'PONG', got b'PING'*",
            "E*IncompleteReadError*",
            "test_it.py:*: Failure",
        ]
    )


def test_several_far_ends_fail_once(run):
    result = run(
        """
        def test_it(tcp_far_end, start_far_end):
            first = start_far_end(TcpServer(Script().expect(b"more"), name="first"))
            second = start_far_end(TcpServer(Script().expect(b"more"), name="second"))
            ping(first)
            ping(second)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*Failure: *(first, connection 1*", "E*farend: *(second, connection 1*"])


def test_what_was_told_is_not_told_again(run):
    result = run(
        """
        @pytest.mark.asyncio
        async def test_it(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PONG"))
            assert await aping(tcp_far_end) == b""
            with pytest.raises(Failure):
                await tcp_far_end.played()

        @pytest.mark.asyncio
        async def test_nobody(tcp_far_end):
            tcp_far_end.play(Script().expect(b"PONG"))
            with pytest.raises(Failure, match="Nobody connected"):
                await tcp_far_end.played()

        @pytest.mark.asyncio
        async def test_closed_by_hand(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            assert await aping(tcp_far_end) == b"PONG"
            assert await tcp_far_end.aclose() == []

        def test_closed_by_hand_blocking(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            assert ping(tcp_far_end) == b"PONG"
            assert tcp_far_end.close() == []
        """,
        "--farend-deadline=0.1",
    )
    result.assert_outcomes(passed=4)


def test_skip_xfail_and_friends(run):
    result = run(
        """
        @pytest.mark.skip
        def test_skipped(tcp_far_end):
            pass

        def test_skips(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            pytest.skip("not today")

        @pytest.mark.xfail(strict=True, raises=Failure)
        def test_expected_to_fail(tcp_far_end):
            tcp_far_end.play(PINGPONG)

        def test_xfails(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            pytest.xfail("not today")

        @pytest.mark.asyncio
        async def test_fails(tcpserver):
            tcpserver.expect_connect()
            pytest.fail("mine")

        @pytest.fixture
        def broken(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            raise ValueError("in a fixture")

        def test_never_begun(broken):
            pass

        def test_never_begun_2(tcpserver, broken):
            pass
        """,
        "--farend-deadline=0.1",
    )
    result.assert_outcomes(skipped=2, xfailed=2, failed=1, errors=2)
    result.stdout.no_fnmatch_line("*Nobody connected*")
    result.stdout.no_fnmatch_line("*Client is not connected*")


def test_requested_when_the_body_runs(run):
    """Too late for a wrapper; judged all the same, in the call phase, and quiet where the body failed."""
    result = run(
        """
        def test_passes(request):
            server = request.getfixturevalue("tcp_far_end")
            server.play(PINGPONG)
            assert ping(server) == b"PONG"

        @pytest.mark.asyncio
        async def test_async_passes(request):
            server = request.getfixturevalue("tcpserver")
            server.expect_connect()
            server.expect_bytes(b"PING")
            server.send_bytes(b"PONG")
            assert await aping(server) == b"PONG"
            await server.join()

        def test_fails(request):
            server = request.getfixturevalue("tcp_far_end")
            server.play(Script().expect(b"more"))
            ping(server)

        def test_fails_by_itself(request):
            server = request.getfixturevalue("tcpserver")
            server.expect_connect()
            pytest.fail("mine")

        def test_skips(request):
            server = request.getfixturevalue("tcpserver")
            pytest.skip("not today")
        """,
        "-rf",
        "--setup-show",
    )
    result.assert_outcomes(passed=2, failed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "FAILED test_it.py::test_fails - *Failure: *",
            "FAILED *test_fails_by_itself - Failed: mine",
        ]
    )


def test_in_a_doctest(run, pytester):
    pytester.maketxtfile(
        test_doc="""
        >>> server = getfixture("tcp_far_end")
        >>> import socket
        >>> socket.create_connection((server.host, server.port)).close()
        """
    )
    run("", "--doctest-glob=*.txt", plugins=()).assert_outcomes(passed=1)


def test_run_again(run, pytester):
    """As the plugins do that run failed tests again: the function of the test is its own again."""
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            before = item.obj
            for _ in range(3):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
                assert item.obj is before
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    result = run(
        """
        times = []

        @pytest.mark.asyncio
        async def test_async(tcp_far_end):
            times.append(tcp_far_end)
            tcp_far_end.play(PINGPONG)
            assert await aping(tcp_far_end) == b"PONG"
            assert len(times) > 2

        def test_plain(tcpserver):
            tcpserver.expect_connect(timeout=0.01)
        """
    )
    result.assert_outcomes(passed=1, failed=1)


def test_nothing_leaks(run):
    """No socket, no task, no thread that was not there, whatever way a test ends."""
    result = run(
        """
        import gc, os, threading
        from farend.stage.loop_thread import shared

        @pytest.fixture(scope="module", autouse=True)
        def nothing_leaks():
            shared.close()
            before = len(os.listdir("/proc/self/fd"))
            yield
            shared.close()
            gc.collect()
            assert len(os.listdir("/proc/self/fd")) == before
            assert not [one for one in threading.enumerate() if one.name == "farend-loop"]

        def test_untouched(tcp_far_end, websocket_far_end, tcpserver_factory):
            pass

        def test_plain(tcp_far_end):
            tcp_far_end.play(PINGPONG)
            ping(tcp_far_end)

        @pytest.mark.asyncio
        async def test_async(tcp_far_end):
            tasks = asyncio.all_tasks()
            tcp_far_end.play(PINGPONG)
            await aping(tcp_far_end)
            await tcp_far_end.aclose()
            assert asyncio.all_tasks() <= tasks

        @pytest.mark.xfail
        @pytest.mark.parametrize("end", [ValueError, pytest.skip, KeyError, asyncio.CancelledError])
        def test_bad_end(tcp_far_end, websocket_far_end, end):
            tcp_far_end.play(PINGPONG)
            raise end("bad")

        @pytest.fixture
        def broken(tcp_far_end, websocket_far_end):
            tcp_far_end.port
            raise ValueError

        @pytest.mark.xfail
        def test_never_begun(broken):
            pass
        """
    )
    outcomes = result.parseoutcomes()
    assert "failed" not in outcomes
    assert "errors" not in outcomes
    assert outcomes["passed"] == 3


# -- settings -----------------------------------------------------------------------------------------

SETTINGS = """
def test_it():
    from farend.stage.settings import settings
    print(settings)
    assert (settings.deadline, settings.scale, settings.max_size, settings.tail) == {}
"""


def test_settings_from_the_command_line(run):
    options = ("--farend-deadline=2.5", "--farend-scale=3", "--farend-max-size=1000", "--farend-tail=20")
    run(SETTINGS.format((2.5, 3.0, 1000, 20)), *options).assert_outcomes(passed=1)


def test_settings_from_the_ini_file(run):
    options = [
        part
        for setting in ("deadline=none", "scale=0.5", "max_size=1000", "tail=20")
        for part in ("-o", f"farend_{setting}")
    ]
    run(SETTINGS.format((None, 0.5, 1000, 20)), *options).assert_outcomes(passed=1)


def test_settings_from_the_environment(pytester, monkeypatch):
    for name, value in {"DEADLINE": "2", "SCALE": "3", "MAX_SIZE": "1000", "TAIL": "20"}.items():
        monkeypatch.setenv(f"FAREND_{name}", value)
    pytester.makepyfile(SETTINGS.format((2.0, 3.0, 1000, 20)))
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=1)


def test_the_command_line_wins_over_the_ini_file_and_that_over_the_environment(pytester, monkeypatch):
    monkeypatch.setenv("FAREND_DEADLINE", "1")
    monkeypatch.setenv("FAREND_SCALE", "1.5")
    pytester.makeini("[pytest]\nfarend_deadline = 2\nfarend_scale = 2\n")
    pytester.makepyfile(SETTINGS.format((3.0, 2.0, 16 << 20, 12)))
    pytester.runpytest_subprocess("-p", "no:randomly", "--farend-deadline=3").assert_outcomes(passed=1)


def test_settings_end_with_the_session(run):
    from farend.stage.settings import settings

    before = dict(vars(settings))
    run("def test_it(): pass", "--farend-deadline=2.5").assert_outcomes(passed=1)
    assert vars(settings) == before


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--farend-deadline=soon", "--farend-deadline takes a number of seconds above 0, or 'none', not 'soon'"),
        ("--farend-deadline=", "--farend-deadline takes a number of seconds above 0, or 'none', not ''"),
        ("--farend-scale=", "--farend-scale takes a factor above 0, such as 3, not ''"),
        ("--farend-deadline=0", "--farend-deadline takes a number of seconds above 0, or 'none', not '0'"),
        ("--farend-scale=-1", "--farend-scale takes a factor above 0, such as 3, not '-1'"),
        ("--farend-max-size=1.5", "--farend-max-size takes a whole number above 0, not '1.5'"),
        ("--farend-tail=0", "--farend-tail takes a whole number above 0, not '0'"),
        ("-ofarend_tail=x", "farend_tail in tox.ini takes a whole number above 0, not 'x'"),
    ],
)
def test_bad_settings(run, option, problem):
    result = run("def test_it(): pass", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {problem}"])


def test_bad_settings_in_the_environment(pytester, monkeypatch):
    monkeypatch.setenv("FAREND_SCALE", "fast")
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: FAREND_SCALE takes a factor above 0, such as 3, not 'fast'"])


def test_settings_reach_far_ends(run):
    """The deadline and the scale, the size, and the tail of the transcript."""
    result = run(
        """
        def test_deadline(tcp_far_end):
            assert tcp_far_end.deadline == 0.5
            assert tcp_far_end.max_size == 1000

        def test_tail(tcp_far_end):
            script = Script()
            for number in range(50):
                script.expect(b"%03d" % number)
            tcp_far_end.play(script)
            with socket.create_connection((tcp_far_end.host, tcp_far_end.port)) as client:
                client.sendall(b"".join(b"%03d" % number for number in range(49)) + b"XXX")

        def test_size(tcp_far_end):
            tcp_far_end.play(Script().expect(str))
            with socket.create_connection((tcp_far_end.host, tcp_far_end.port)) as client:
                client.sendall(b"x" * 2000)
        """,
        "--farend-deadline=0.25",
        "--farend-scale=2",
        "--farend-max-size=1000",
        "--farend-tail=40",
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["E*b'020'*", "E*b'048'*", "E*b'XXX'*"])


def test_help(run):
    result = run("", "--help")
    result.stdout.fnmatch_lines(["farend, the other end of the wire:", "*--farend-deadline=SECONDS*", "*farend_scale*"])


def test_fixtures_say_what_they_are(run):
    result = run("", "--fixtures")
    result.stdout.fnmatch_lines_random(
        [
            "tcp_far_end -- *",
            "websocket_far_end -- *",
            "start_far_end -- *",
            "tcpserver -- *",
            "tcpserver_factory -- *",
        ]
    )


def test_under_xdist(run):
    if importlib.util.find_spec("xdist") is None:
        pytest.skip("xdist is not here")
    result = run(
        """
        @pytest.mark.parametrize("number", range(8))
        def test_it(tcp_far_end, number):
            assert tcp_far_end.deadline == 7
            tcp_far_end.play(PINGPONG)
            assert ping(tcp_far_end) == b"PONG"
        """,
        "-n2",
        "--farend-deadline=7",
        plugins=("xdist",),
    )
    result.assert_outcomes(passed=8)


# -- what it costs others -----------------------------------------------------------------------------


def test_other_tests_import_nothing(pytester, monkeypatch):
    """The plugin, its settings included, imports neither asyncio nor websockets nor rich, nor farend's own rooms."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "farend.pytest_plugin" in sys.modules
            unwanted = {"asyncio", "websockets", "rich", "ssl", "jinja2", "click", "farend.core", "farend.pytest_body"}
            assert not unwanted & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "farend.pytest_plugin")
    result.assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", "farend.pytest_plugin", "--farend-scale=2").assert_outcomes(passed=1)


def test_importing_the_plugin_takes_no_time():
    """It imports pytest, which is there already, and names. How long that takes is told in docs/benchmarks.md."""
    program = """
import pytest, sys
before = set(sys.modules)
import farend.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [
        "farend",
        "farend.intercept",
        "farend.intercept.lifetime",
        "farend.pytest_plugin",
        "farend.stage",
        "farend.stage.forgotten",
        "farend.version",
    ]


def test_no_hook_that_every_test_passes_through(request):
    plugin = request.config.pluginmanager.get_plugin("farend") or sys.modules["farend.pytest_plugin"]
    hooks = {name for name in vars(plugin) if name.startswith("pytest_")}
    once_a_session = {"pytest_addoption", "pytest_configure", "pytest_unconfigure"}
    once_a_session |= {"pytest_collection_modifyitems", "pytest_sessionfinish", "pytest_terminal_summary"}
    each_worker, each_function = {"pytest_testnodedown"}, {"pytest_generate_tests"}  # xdist's; when it is collected
    assert hooks == once_a_session | each_worker | each_function


def test_a_fixtures_server_is_not_entered_again(tcp_far_end) -> None:
    with pytest.raises(RuntimeError, match="the fixture runs already: drop the `with`"), tcp_far_end:
        pass


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("TcpServer", r"make one: start_far_end(TcpServer(script))"),
        ("Script()", "give it to a server: start_far_end(TcpServer(script))"),
        ("TcpClient(None, port=1)", "a far end that dials is entered with `with`"),
        ("5", "start_far_end takes a server, not 5"),
        ("started", "was started already: give start_far_end a new one"),
    ],
)
def test_start_far_end_takes_servers_that_are_not_started(run, given, sentence):
    result = run(
        f"""
        from farend import TcpClient

        def test_it(start_far_end):
            with TcpServer() as started:
                start_far_end({given})
        """
    )
    result.assert_outcomes(failed=1)
    assert sentence in result.stdout.str()


# -- every split ------------------------------------------------------------------------------------

SPLIT = """
    from farend import every_split

    def read(server):
        with socket.create_connection((server.host, server.port)) as client:
            return client.recv(1) + client.recv(1) + client.recv(1)

    @every_split(max_runs=2)
    def test_some(tcp_far_end):
        tcp_far_end.play([Script().send(b"abc").expect_close()])
        assert read(tcp_far_end) == b"abc"

    @every_split
    def test_all_of_them():
        with TcpServer(Script().send(b"abc").expect_close()) as server:
            assert read(server) == b"abc"
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_splits_that_were_not_played_are_told_at_the_end(run, workers):
    if workers and importlib.util.find_spec("xdist") is None:
        pytest.skip("xdist is not here")
    result = run(SPLIT, *(("-n", str(workers)) if workers else ()), plugins=("xdist",) if workers else ())
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*= splits that were not played =*",
            "test_it.py::test_some: played 2 of 3 splits of 3 bytes on 1 connection (max_runs=2)",
        ]
    )
    assert "test_all_of_them:" not in result.stdout.str()


def test_a_fixtures_far_end_is_judged_in_the_run_in_which_something_went_wrong(run):
    result = run(
        """
        from farend import every_split

        @every_split
        def test_it(tcp_far_end):
            tcp_far_end.play(Script().send(b"12").expect(b"12"))
            with socket.create_connection((tcp_far_end.host, tcp_far_end.port)) as client:
                client.sendall(client.recv(2))
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *SplitFailure: test_it fails when message 1 of 1 is cut behind byte 1 of 2."])
    result.stdout.fnmatch_lines(["E *The near end ended the connection*having begun to say b'1'*"])
