"""Nothing leaks: no thread, task, socket or file descriptor more than at the start, however near ends behave."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farend import Failure, Script, TcpServer, WebSocketServer
from farend.stage.loop_thread import shared

LIVES = 2000
PING_PONG = Script().expect("ping").send("pong")
RESET = struct.pack("ii", 1, 0)
FDS = Path("/proc/self/fd")
hear = asyncio.to_thread


def held() -> tuple[int, set[int]]:
    """How many file descriptors there are, and which threads."""
    gc.collect()
    return len(list(FDS.iterdir())) if FDS.exists() else 0, {thread.ident for thread in threading.enumerate()}  # type: ignore[misc]


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    shared.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = held()
        yield
        shared.close()
        fds, threads = held()
    assert fds <= before[0]
    assert threads <= before[1]
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


def good(server: TcpServer) -> None:
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        client.sendall(b"ping")
        assert client.recv(4) == b"pong"


def stays(server: TcpServer) -> None:
    """It is still there when the server goes."""
    client = socket.create_connection((server.host, server.port), timeout=10)
    client.sendall(b"ping")
    assert client.recv(4) == b"pong"
    KEPT.append(client)


def vanishes(server: TcpServer) -> None:
    socket.create_connection((server.host, server.port), timeout=10).close()


def resets(server: TcpServer) -> None:
    client = socket.create_connection((server.host, server.port), timeout=10)
    client.sendall(b"pi")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def never_comes(server: TcpServer) -> None:
    """And the test does not wait for it."""


KEPT: list[socket.socket] = []
NEAR_ENDS = [good, vanishes, good, resets, good, never_comes, stays, vanishes]


@pytest.fixture(autouse=True)
def _kept_are_closed() -> Iterator[None]:
    yield
    for client in KEPT:
        client.close()
    KEPT.clear()


def near_ends(count: int) -> Iterator[Any]:
    for number in range(count):
        yield NEAR_ENDS[number % len(NEAR_ENDS)]


def test_many_lives_in_plain_tests(nothing_is_left: None) -> None:
    """2,000 server life-cycles; half with a client that vanishes, resets, or never comes."""
    for near_end in near_ends(LIVES):
        server = TcpServer(PING_PONG, deadline=0.5).start()
        near_end(server)
        findings = server.close()
        assert (findings == []) is (near_end in (good, stays)), near_end
        for client in KEPT:
            client.close()
        KEPT.clear()


@pytest.mark.parametrize("make", [TcpServer, WebSocketServer])
@pytest.mark.parametrize("tls", [False, True])
def test_many_lives_with_near_ends_that_go(make: Any, tls: bool, nothing_is_left: None) -> None:
    for near_end in near_ends(LIVES // 20):
        server = make(PING_PONG, deadline=0.5, tls=tls).start()
        (near_end if near_end in (vanishes, resets, never_comes) else vanishes)(server)
        assert server.close()


@pytest.mark.asyncio
async def test_many_lives_on_a_loop() -> None:
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks()
    await hear(int)  # the thread that near ends run in
    before = held()
    for near_end in near_ends(LIVES):
        server = TcpServer(PING_PONG, deadline=0.5)
        try:
            async with server:
                await hear(near_end, server)
                if near_end is never_comes:
                    raise ZeroDivisionError
        except (Failure, ZeroDivisionError):
            assert near_end not in (good, stays)
        for client in KEPT:
            client.close()
        KEPT.clear()
        assert all(driver.is_lost for driver in server._drivers)
    assert asyncio.all_tasks() == tasks
    fds, _ = held()
    assert fds <= before[0] + 1  # a loop may keep one for its own
    assert loop.is_running()


@pytest.mark.asyncio
async def test_lives_that_are_cancelled(dial: Any) -> None:
    tasks = asyncio.all_tasks()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002), TcpServer(PING_PONG) as server:
                dial(server)
                await asyncio.get_running_loop().create_future()
    assert asyncio.all_tasks() == tasks


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [TcpServer, WebSocketServer])
async def test_five_hundred_at_once_each_at_its_own_place(make: Any) -> None:
    """500 connections at once on one server, each with its own place in the script, all verified."""
    number, steps = 500, 5
    script = Script()
    for step in range(steps):
        script.expect(f"ask {step}").send(f"answer {step}")
    places: list[int] = [0] * number
    everybody_is_here = asyncio.Barrier(number)

    async def talk_tcp(index: int, server: TcpServer) -> None:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        await everybody_is_here.wait()
        for step in range(steps):
            writer.write(f"ask {step}".encode())
            assert await reader.readexactly(len(f"answer {step}")) == f"answer {step}".encode()
            places[index] = step + 1
            for _ in range(index % 7):  # everybody at a pace of their own
                await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()

    async def talk_websocket(index: int, server: WebSocketServer) -> None:
        from websockets.asyncio.client import connect

        async with connect(server.url, compression=None, ping_interval=None) as client:
            await everybody_is_here.wait()
            for step in range(steps):
                await client.send(f"ask {step}")
                assert await client.recv() == f"answer {step}"
                places[index] = step + 1
                for _ in range(index % 7):
                    await asyncio.sleep(0)

    talk: Any = talk_tcp if make is TcpServer else talk_websocket
    async with make(script, deadline=30) as server:
        await asyncio.gather(*(talk(index, server) for index in range(number)))
    assert places == [steps] * number
    assert sorted(transcript.number for transcript in server.transcripts) == list(range(1, number + 1))
    assert all(len(transcript.received) == len(transcript.sent) == steps for transcript in server.transcripts)


@pytest.mark.asyncio
async def test_five_hundred_that_stay_are_ended_with_the_test() -> None:
    server = TcpServer().start()
    streams = [await asyncio.open_connection(server.host, server.port) for _ in range(500)]
    for _ in streams:
        await server.connection()
    assert server.broadcast(b"news") == 500
    await server.aclose()
    for reader, writer in streams:
        assert await reader.read() == b"news"
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in streams))


def test_a_process_that_ends_in_the_middle_says_nothing() -> None:
    """No "task was destroyed", no unclosed socket, whoever has forgotten to stop."""
    code = """if True:
        import socket
        from farend import Script, TcpServer, WebSocketServer
        servers = [TcpServer(Script().expect("x")).start(), WebSocketServer(tls=True).start()]
        clients = [socket.create_connection((server.host, server.port)) for server in servers]
        servers[0].accept()
        [client.close() for client in clients]
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
