"""S0-9: a blocking client on the far end's own loop does not hang the test."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from farend import Failure, Script, TcpClient, TcpServer, WebSocketServer
from farend.core.findings import LoopBlocked, LoopEnded
from farend.stage import watchdog
from farend.stage.watchdog import Standing, Watchdog, dog

SHORT = 0.1
GREETING = Script().expect(b"hi").send(b"x")


@pytest.fixture
def own() -> Iterator[Watchdog]:
    one = Watchdog(linger=0.01, least=0)
    yield one
    one.close()


class FarEnd:
    """What a watchdog needs of one."""

    def __init__(self, deadline: float | None = SHORT) -> None:
        self.deadline = deadline
        self.cut = threading.Event()
        self.how: Standing | None = None

    def cut_off(self, seconds: float, how: Standing) -> None:
        assert seconds == self.deadline
        self.how = how
        self.cut.set()


def first(caught: Any) -> LoopBlocked:
    finding = caught.value.findings[0]
    assert isinstance(finding, LoopBlocked)
    return finding


# -- with real clients ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_client_that_nobody_accepted_is_cut(dial: Callable[[Any], Any]) -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer(GREETING, deadline=SHORT) as server:
            client = dial(server)
            client.sendall(b"hi")
            client.recv(1)
    assert str(first(caught)) == (
        "The test's event loop stood still for 0.5 s, so the far end, which lives on it, could say nothing."
    )
    assert "use `with` instead of `async with`" in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", [1, 2, 3, 4, 10])
async def test_a_client_in_any_state_of_acceptance_is_cut(turns: int, dial: Callable[[Any], Any]) -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer(GREETING, deadline=SHORT) as server:
            client = dial(server)
            for _ in range(turns):
                await asyncio.sleep(0)
            client.sendall(b"hi")
            assert client.recv(1) == b""
    first(caught)


@pytest.mark.asyncio
async def test_over_tls_as_well(dial: Callable[[Any], Any]) -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer(GREETING, deadline=SHORT, tls=True) as server:
            server.client_ssl_context.wrap_socket(dial(server), server_hostname="localhost")
    first(caught)


@pytest.mark.asyncio
async def test_on_a_unix_socket_as_well(folder: Path, dial: Callable[[Any], Any]) -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer(GREETING, deadline=SHORT, unix_path=folder / "s") as server:
            client = dial(server)
            for _ in range(10):
                await asyncio.sleep(0)
            client.sendall(b"hi")
            assert client.recv(1) == b""
    first(caught)


@pytest.mark.asyncio
async def test_a_blocking_websocket_client_is_cut() -> None:
    with pytest.raises(Failure) as caught:
        async with WebSocketServer(Script().expect("hi"), deadline=SHORT) as server:
            connect(server.url, open_timeout=10)
    first(caught)


@pytest.mark.asyncio
async def test_two_far_ends_on_one_loop_are_both_cut(dial: Callable[[Any], Any]) -> None:
    servers = [TcpServer(GREETING, deadline=SHORT).start() for _ in range(2)]
    clients = [dial(server) for server in servers]
    for client in clients:
        client.sendall(b"hi")
    for client in clients:
        with pytest.raises(ConnectionError):
            client.recv(1)
    for server in servers:
        [finding] = await server.aclose()
        assert isinstance(finding, LoopBlocked)


@pytest.mark.asyncio
async def test_who_connects_later_in_the_same_standstill_is_cut_as_well(dial: Callable[[Any], Any]) -> None:
    server = TcpServer(GREETING, deadline=SHORT).start()
    for _ in range(3):
        with pytest.raises(ConnectionError):
            dial(server).recv(1)
    [finding] = await server.aclose()
    assert isinstance(finding, LoopBlocked)


@pytest.mark.asyncio
async def test_the_server_goes_on_once_the_loop_turns_again(dial: Callable[[Any], Any]) -> None:
    server = TcpServer(GREETING, deadline=SHORT).start()
    with pytest.raises(ConnectionError):
        dial(server).recv(1)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"hi")
    assert await reader.readexactly(1) == b"x"
    writer.close()
    await writer.wait_closed()
    assert [type(finding) for finding in await server.aclose()] == [LoopBlocked]


@pytest.mark.asyncio
async def test_a_far_end_that_dials_is_cut_as_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with pytest.raises(Failure) as caught:
            async with TcpClient(Script().expect(b"hi"), *listening.getsockname(), deadline=SHORT):
                near, _ = listening.accept()
                with near:
                    near.settimeout(10)
                    assert near.recv(1) == b""
        first(caught)


@pytest.mark.asyncio
async def test_sockets_of_others_are_left_alone(dial: Callable[[Any], Any]) -> None:
    with TcpServer(GREETING) as other, socket.create_server(("127.0.0.1", 0)) as plain:
        bystander = dial(other)
        with socket.create_connection(plain.getsockname()) as near, plain.accept()[0] as far:
            server = TcpServer(GREETING, deadline=SHORT).start()
            with pytest.raises(ConnectionError):
                dial(server).recv(1)
            await server.aclose()
            far.sendall(b"still here")
            assert near.recv(10) == b"still here"
        bystander.sendall(b"hi")
        assert bystander.recv(1) == b"x"


@pytest.mark.asyncio
async def test_the_test_s_own_error_keeps_its_place(dial: Callable[[Any], Any]) -> None:
    with pytest.raises(AssertionError) as caught:
        async with TcpServer(GREETING, deadline=SHORT) as server:
            client = dial(server)
            for _ in range(10):
                await asyncio.sleep(0)
            client.sendall(b"hi")
            came = client.recv(1)
            assert came == b"x"
    assert not isinstance(caught.value, Failure)
    assert "stood still" in caught.value.__notes__[0]


# -- who is not cut -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_loop_that_is_merely_slow_is_not_touched() -> None:
    async with TcpServer(Script().expect(b"hi", within=10).send(b"x"), deadline=0.4) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for _ in range(5):
            end = time.monotonic() + 0.15
            while time.monotonic() < end:
                pass
            await asyncio.sleep(0)
        writer.write(b"hi")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_nobody_is_cut_where_nobody_waits() -> None:
    async with TcpServer(deadline=0.05):
        assert not threading.Event().wait(0.3)


@pytest.mark.asyncio
async def test_without_a_deadline_nobody_watches() -> None:
    async with TcpServer(deadline=None) as server:
        assert id(server) not in dog._watches


def test_a_far_end_on_its_own_loop_is_not_watched() -> None:
    with TcpServer() as server:
        assert id(server) not in dog._watches


@pytest.mark.asyncio
async def test_a_far_end_is_forgotten_when_it_is_left() -> None:
    async with TcpServer() as server:
        assert id(server) in dog._watches
    assert id(server) not in dog._watches


# -- the watchdog itself --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_one_thread_for_all(own: Watchdog) -> None:
    one, other = FarEnd(5), FarEnd(5)
    own.watch(one, asyncio.get_running_loop())
    thread = own._thread
    assert thread is not None
    own.watch(other, asyncio.get_running_loop())
    assert own._thread is thread
    own.forget(one)
    own.forget(other)
    thread.join(10)
    assert not thread.is_alive()
    assert not own.running


@pytest.mark.asyncio
async def test_tests_that_follow_each_other_share_a_thread() -> None:
    one = Watchdog(linger=10, least=0)
    try:
        loop = asyncio.get_running_loop()
        threads = set()
        for _ in range(20):
            far_end = FarEnd()
            one.watch(far_end, loop)
            threads.add(one._thread)
            one.forget(far_end)
        assert len(threads) == 1
    finally:
        one.close()
    assert not one.running


@pytest.mark.asyncio
async def test_it_starts_anew_after_its_end(own: Watchdog) -> None:
    for _ in range(3):
        far_end = FarEnd()
        own.watch(far_end, asyncio.get_running_loop())
        thread = own._thread
        assert thread is not None
        own.close()
        assert not thread.is_alive()


@pytest.mark.asyncio
async def test_who_comes_while_it_ends_is_watched(own: Watchdog) -> None:
    for _ in range(200):
        far_end = FarEnd()
        own.watch(far_end, asyncio.get_running_loop())
        own.forget(far_end)
        own._left_at = 0.0  # long ago, so that it ends as soon as it looks
        own._bell.set()
        far_end = FarEnd(0.02)
        own.watch(far_end, asyncio.get_running_loop())
        assert own._thread is not None
        own.forget(far_end)
    own.watch(far_end, asyncio.get_running_loop())
    assert far_end.cut.wait(10)


@pytest.mark.asyncio
async def test_a_shorter_deadline_wakes_it() -> None:
    one = Watchdog(linger=60, least=0)
    try:
        one.watch(FarEnd(600), asyncio.get_running_loop())
        short = FarEnd(0.02)
        one.watch(short, asyncio.get_running_loop())
        assert short.cut.wait(10)
        assert short.how is Standing.BLOCKED
    finally:
        one.close()


def test_a_loop_that_does_not_run_is_told_apart(own: Watchdog) -> None:
    loop = asyncio.new_event_loop()
    far_end = FarEnd(0.02)
    own.watch(far_end, loop)
    assert far_end.cut.wait(10)
    assert far_end.how is Standing.STOPPED
    loop.close()


def test_a_loop_that_has_ended_is_told_apart(own: Watchdog) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    far_end = FarEnd(0.02)
    own.watch(far_end, loop)
    assert far_end.cut.wait(10)
    assert far_end.how is Standing.ENDED


async def started() -> TcpServer:
    return TcpServer(Script().expect(b"hi").send(b"x"), deadline=SHORT).start()


@pytest.mark.parametrize("says", [True, False])
def test_a_client_of_a_far_end_whose_loop_has_ended_does_not_hang(dial: Callable[[Any], Any], says: bool) -> None:
    server = asyncio.run(started())
    for _ in range(2):
        client = dial(server)
        if says:
            client.sendall(b"hi")
        with pytest.raises(ConnectionError):
            client.recv(1)
    assert [type(finding) for finding in server.forsake()] == [LoopEnded]


def test_a_client_that_was_let_in_before_the_loop_ended_does_not_hang(dial: Callable[[Any], Any]) -> None:
    async def main() -> tuple[TcpServer, Any]:
        server = await started()
        client = dial(server)
        await server.connection()
        return server, client

    server, client = asyncio.run(main())
    assert client.recv(1) == b""
    assert LoopEnded in [type(finding) for finding in server.forsake()]
    [transport] = [driver.transport for driver in server._drivers]
    transport._sock.close()  # nobody else can: its loop has ended
    transport._sock = None


def test_a_far_end_that_nobody_has_any_more_is_not_kept_for_its_loop_s_sake() -> None:
    """Who ends a loop and forgets the far end gets what he would without us: its socket goes with it."""
    server = TcpServer(GREETING, deadline=SHORT)
    asyncio.run(server.__aenter__())  # by hand: pytest looks after those that were started with start()
    address, number, thread = (server.host, server.port), id(server), dog._thread
    gone = threading.Event()
    weakref.finalize(server, gone.set)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the socket that nobody has closed
        del server
        end = time.monotonic() + 10
        while not gone.wait(0.01) and time.monotonic() < end:
            gc.collect()
    assert gone.is_set()
    assert thread is not None
    thread.join(10)  # it has nobody to watch for any more
    assert number not in dog._watches
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 10)


def test_a_far_end_whose_loop_has_stopped_is_cut_only_where_somebody_said_something(
    dial: Callable[[Any], Any],
) -> None:
    loop = asyncio.new_event_loop()

    async def started() -> TcpServer:
        return await TcpServer(GREETING, deadline=SHORT).__aenter__()

    server = loop.run_until_complete(started())
    client = dial(server)
    loop.run_until_complete(server.connection())
    server.cut_off(SHORT, Standing.STOPPED)
    assert not server.findings
    client.sendall(b"hi")
    assert client.recv(1) == b""
    assert isinstance(server.findings[0], LoopBlocked)
    loop.run_until_complete(server.aclose())
    loop.close()


@pytest.mark.asyncio
async def test_a_debugger_stops_the_clock(own: Watchdog, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    stopped = [True]

    def in_debugger(thread: int) -> bool:
        assert thread == threading.get_ident() or threading.current_thread().name == "farend-watchdog"
        asked.set()
        return stopped[0]

    monkeypatch.setattr(watchdog, "_in_debugger", in_debugger)
    far_end = FarEnd(0.02)
    own.watch(far_end, asyncio.get_running_loop())
    for _ in range(3):
        asked.clear()
        assert asked.wait(10)
    assert not far_end.cut.is_set()
    stopped[0] = False
    assert far_end.cut.wait(10)


def test_a_debugger_is_seen_on_the_stack() -> None:
    seen = []
    code = "seen.append(look(thread))"
    for name in ("pdb", "bdb", "pydevd", "a_test"):
        exec(code, {"__name__": name, "seen": seen, "look": watchdog._in_debugger, "thread": threading.get_ident()})
    assert seen == [True, True, True, False]


@pytest.mark.skipif(os.name != "posix", reason="sockets are looked up by number there")
def test_where_open_files_are_not_listed_the_transports_are_asked(
    monkeypatch: pytest.MonkeyPatch, dial: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(watchdog, "_OPEN_FILES", "/nowhere")
    with TcpServer(GREETING) as server:
        client = dial(server)
        server.accept()
        [sock] = server._sockets()
        with sock:
            assert sock.getpeername() == client.getsockname()
        client.sendall(b"hi")
        assert client.recv(1) == b"x"


@pytest.mark.parametrize("how", ["shutdown", "setsockopt", "close"])
def test_who_connects_anew_because_it_was_cut_is_let_be(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A client goes on in the very moment in which it is cut, on a loop that turns again."""
    anew: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = listening.getsockname()
        waiting = socket.create_connection(address)

        class Cut(socket.socket):
            """A connection whose client connects anew when this is done to its other end."""

        def done(self: socket.socket, *args: Any) -> Any:
            if not anew:
                anew.append(socket.create_connection(address))
            return getattr(socket.socket, how)(self, *args)

        setattr(Cut, how, done)
        near, far = socket.socketpair()
        ended = Cut(far.family, far.type, far.proto, far.detach())
        real = watchdog._waiting
        monkeypatch.setattr(
            watchdog, "_waiting", lambda door: [Cut(one.family, one.type, 0, one.detach()) for one in real(door)]
        )
        watchdog.cut_all([ended], listening)
        with near, waiting:
            assert near.recv(1) == b""
            with pytest.raises(ConnectionResetError):
                waiting.recv(1)
        [client] = anew
        taken, _ = listening.accept()
        with client, taken:
            taken.sendall(b"x")
            assert client.recv(1) == b"x"


def test_no_thread_keeps_the_process() -> None:
    code = (
        "import asyncio\nfrom farend import TcpServer\n"
        "async def main():\n    async with TcpServer():\n        pass\nasyncio.run(main())"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], timeout=30, capture_output=True, check=True)
    assert not run.stderr
