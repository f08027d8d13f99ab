"""Every way to run a test (item 4): unittest, anyio's plugin, pytest-asyncio's fixtures, trio, and no framework."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import unittest
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import pytest_asyncio

from farend import Failure, Script, TcpServer, WebSocketServer

PING_PONG = Script().expect("ping").send("pong")


def talk(server: TcpServer, dial: Any, said: bytes = b"ping") -> bytes:
    client = dial(server)
    client.sendall(said)
    answer: bytes = client.read(4)
    return answer


async def talk_async(server: TcpServer, said: bytes = b"ping") -> bytes:
    async with await anyio.connect_tcp(server.host, server.port) as stream:
        await stream.send(said)
        try:
            return await stream.receive()
        except anyio.EndOfStream:
            return b""


# -- unittest ----------------------------------------------------------------------------------------


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    return unittest.TextTestRunner(stream=io.StringIO()).run(suite)


def test_a_unittest_case(dial: Any) -> None:
    class DeviceTest(unittest.TestCase):
        def setUp(self) -> None:
            self.server = self.enterContext(TcpServer(PING_PONG))

        def test_good(self) -> None:
            assert talk(self.server, dial) == b"pong"

        def test_bad(self) -> None:
            talk(self.server, dial, b"pang")

        def test_by_hand(self) -> None:
            with TcpServer() as other:
                client = dial(other)
                peer = other.accept()
                peer.send("hello")
                assert client.read(5) == b"hello"
            talk(self.server, dial)

    result = run(DeviceTest)
    assert (result.testsRun, len(result.failures), result.errors) == (3, 1, [])
    [(failed, story)] = result.failures
    assert failed.id().endswith("test_bad")
    assert "The near end did not say what was expected" in story


def test_an_isolated_asyncio_case() -> None:
    class DeviceTest(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self) -> None:
            self.server = await self.enterAsyncContext(TcpServer(PING_PONG))

        async def test_good(self) -> None:
            assert await talk_async(self.server) == b"pong"

        async def test_bad(self) -> None:
            await talk_async(self.server, b"pang")

        async def test_by_hand(self) -> None:
            await talk_async(self.server)
            async with WebSocketServer() as other, asyncio.timeout(5):
                await other.played()

    result = run(DeviceTest)
    assert (result.testsRun, len(result.failures), result.errors) == (3, 1, [])
    assert "The near end did not say what was expected" in result.failures[0][1]


def test_an_isolated_case_with_start_and_cleanup() -> None:
    class DeviceTest(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self) -> None:
            self.server = TcpServer(PING_PONG).start()
            self.addAsyncCleanup(self.server.aclose)

        async def test_good(self) -> None:
            assert await talk_async(self.server) == b"pong"

    assert run(DeviceTest).wasSuccessful()


# -- pytest-asyncio ----------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def device() -> AsyncIterator[TcpServer]:
    async with TcpServer(PING_PONG) as server:
        yield server


@pytest.mark.asyncio
async def test_in_a_fixture_of_pytest_asyncio(device: TcpServer) -> None:
    assert await talk_async(device) == b"pong"


@pytest.fixture
def background_device() -> Any:
    with TcpServer(PING_PONG) as server:
        yield server


@pytest.mark.asyncio
async def test_a_plain_fixture_for_an_async_test(background_device: TcpServer) -> None:
    assert await talk_async(background_device) == b"pong"
    await background_device.played()


def test_a_plain_fixture_for_a_plain_test(background_device: TcpServer, dial: Any) -> None:
    assert talk(background_device, dial) == b"pong"
    background_device.join()


# -- anyio -------------------------------------------------------------------------------------------


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip("trio" if request.param[0] == "trio" else "asyncio")
    return request.param


@pytest.mark.anyio
async def test_anyios_plugin_with_the_background_loop() -> None:
    with TcpServer(PING_PONG) as server:
        assert await talk_async(server) == b"pong"


@pytest.mark.anyio
async def test_anyios_plugin_awaits_the_background_loop(anyio_backend_name: str) -> None:
    with TcpServer() as server:
        async with await anyio.connect_tcp(server.host, server.port) as stream:
            peer = await server.connection()
            await stream.send(b"ping")
            assert await peer.expect(b"ping") == b"ping"
            await peer.send("pong")
            assert await stream.receive() == b"pong"
            with anyio.move_on_after(0.02) as scope:
                await peer.receive()
            assert scope.cancelled_caught
            await stream.send(b"not lost")
            assert await peer.receive() == b"not lost"


@pytest.mark.anyio
async def test_anyios_plugin_with_the_loop_of_the_test(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        with pytest.raises(Exception, match=r"asyncio|no running event loop"):
            async with TcpServer(PING_PONG):
                pass
        return
    async with TcpServer(PING_PONG) as server:
        assert await talk_async(server) == b"pong"


@pytest.mark.anyio
async def test_a_failure_in_a_task_group_of_anyio() -> None:
    with pytest.raises(Failure, match="did not say what was expected"):
        with TcpServer(PING_PONG) as server:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(talk_async, server, b"pang")


# -- no framework ------------------------------------------------------------------------------------

NO_FRAMEWORK = """
import asyncio, socket
from farend import Failure, Script, TcpServer

PING_PONG = Script().expect("ping").send("pong")

def blocking(said):
    with TcpServer(PING_PONG) as server, socket.create_connection((server.host, server.port), timeout=10) as client:
        client.sendall(said)
        return client.recv(10)

async def on_a_loop(said):
    async with TcpServer(PING_PONG) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(said)
        answer = await reader.read(10)
        writer.close()
        await writer.wait_closed()
        return answer

assert blocking(b"ping") == b"pong"
assert asyncio.run(on_a_loop(b"ping")) == b"pong"
for call in (lambda: blocking(b"pang"), lambda: asyncio.run(on_a_loop(b"pang"))):
    try:
        call()
    except Failure as failure:
        print(type(failure.findings[0]).__name__)
assert asyncio.run(on_a_loop(b"ping")) == blocking(b"ping")
"""


def test_no_framework_at_all() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", NO_FRAMEWORK], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("Mismatch\nMismatch\n", "")


def test_uvloop_run() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def case() -> None:
        async with TcpServer(PING_PONG) as server:
            assert await talk_async(server) == b"pong"

    with contextlib.closing(uvloop.new_event_loop()) as loop:
        loop.run_until_complete(case())
