"""`await server.settle()`: a client and a scripted far end on one loop, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import warnings

import pytest

from farend import Failure, Script, TcpClient, TcpServer, Unsettled, WebSocketServer, WrongState, forever

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None

ECHO = Script().repeat(forever, Script().expect(b"ping\n").send(b"pong\n"))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    if request.param == "uvloop" and uvloop is None:
        pytest.skip("uvloop is not installed")
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run


class Client:
    """Counts the answers that come; nobody awaits it."""

    def __init__(self):
        self.heard = 0

    async def talk(self, reader):
        while await reader.readline():
            self.heard += 1


async def exchanges(times, **options):
    """How many exchanges were not over when the loop was settled."""
    early = 0
    async with TcpServer(ECHO, **options) as server:
        where = {"ssl": server.client_ssl_context} if options.get("tls") else {}
        if options.get("unix_path"):
            reader, writer = await asyncio.open_unix_connection(server.unix_path)
        else:
            reader, writer = await asyncio.open_connection(server.host, server.port, **where)
        client = Client()
        task = asyncio.create_task(client.talk(reader))
        for number in range(times):
            writer.write(b"ping\n")
            await server.settle()
            early += client.heard != number + 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await task
    return early


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_exchanges_are_over_when_it_is_settled(run, transport, tmp_path):
    options = {"tcp": {}, "tls": {"tls": True}, "unix": {"unix_path": tmp_path / "s"}}[transport]
    assert run(exchanges(50, **options)) == 0


@pytest.mark.settle
@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_a_thousand_exchanges(run, transport, tmp_path):
    options = {"tcp": {}, "tls": {"tls": True}, "unix": {"unix_path": tmp_path / "s"}}[transport]
    assert run(exchanges(1000, **options)) == 0


def test_a_websocket_client_on_the_same_loop(run):
    import websockets

    async def test():
        async with WebSocketServer(Script().repeat(forever, Script().expect("hi").send("there"))) as server:
            async with websockets.connect(server.url) as client:
                heard = []

                async def listen():
                    async for message in client:
                        heard.append(message)  # noqa: PERF401 (each one at once)

                task = asyncio.create_task(listen())
                for number in range(20):
                    await client.send("hi")
                    await server.settle()
                    assert len(heard) == number + 1
            await task

    run(test())


def test_a_far_end_that_dials(run):
    async def test():
        said = []

        async def serve(reader, writer):
            while line := await reader.readline():
                said.append(line)
                writer.write(b"pong\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        script = Script().send(b"ping\n").expect(b"pong\n").close()
        async with TcpClient(script, "127.0.0.1", port) as client:
            await client.settle()
            assert said == [b"ping\n"]
            assert client.transcripts[0].received == [b"pong\n"]
        server.close()

    run(test())


def test_what_was_found_is_raised(run):
    async def test():
        with pytest.raises(Failure, match="Expected b'a', got b'b'"):
            async with TcpServer(Script().expect(b"a")) as server:
                _, writer = await asyncio.open_connection(server.host, server.port)
                writer.write(b"b")
                with contextlib.closing(writer):
                    await server.settle()

    run(test())


def test_a_client_that_awaits_another_program_is_unsettled(run):
    with socket.create_server(("127.0.0.1", 0)) as silent:

        async def test():
            async with TcpServer() as server:
                reader, writer = await asyncio.open_connection(*silent.getsockname())
                task = asyncio.create_task(reader.read())
                with pytest.raises(Unsettled, match="data from a stream.*awaits something from outside"):
                    await server.settle(limit=0.05)
                task.cancel()
                writer.close()

        run(test())


def test_timers_within_are_played(run):
    async def test():
        async with TcpServer(Script().pause(3).send(b"late")) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            while not server.transcripts:
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await server.settle(within=2.9)
            assert server.transcripts[0].sent == []
            await server.settle(within=3)
            assert server.transcripts[0].sent == [b"late"]
            assert 2.9 < (there := loop.time()) - began < 6
            assert await reader.read(4) == b"late"
            assert loop.time() >= there
            writer.close()
        assert not {"time", "call_soon", "call_later"} & set(vars(loop))

    run(test())


def test_a_far_end_that_was_settled_outlives_its_loop(run):
    async def test():
        server = TcpServer().start()
        await server.settle()
        return server

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that nobody has closed it is what this is about
        server = run(test())
    server.forsake()
    assert server.is_over


def test_it_needs_the_tests_own_loop():
    async def test(server):
        with pytest.raises(WrongState, match="enter TcpServer .* with `async with`"):
            await server.settle()

    with TcpServer() as server:
        asyncio.run(test(server))
        thread = threading.Thread(target=asyncio.run, args=(test(server),))
        thread.start()
        thread.join()
