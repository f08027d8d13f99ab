"""Life-cycle: start a server, connect, one exchange of 64 B, close, stop.

farend's script is written within the cycle, and leaving the `with` verifies that it was played.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Group
from benchmarks.work import LOOPBACK, MESSAGE, ask, on_a_loop, timed

if TYPE_CHECKING:
    from picows import WSListener

    from farend import Script

IDLE = 0.02
"""Seconds that a test may spend between its last exchange and the server's stop."""
STREAMS = "asyncio streams"
KEPT = "asyncio streams on a kept background loop"

tcp = Group("TCP, on the running loop", "µs", "cycle", STREAMS, settings={"cycles": 200})
websocket = Group("WebSocket, on the running loop", "µs", "cycle", STREAMS, settings={"cycles": 100})
blocking = Group("TCP, from a plain test", "µs", "cycle", KEPT, settings={"cycles": 100})
idle = Group(
    "TCP, from a plain test, the client idle for 20 ms before the stop",
    "µs",
    "cycle, the idle time subtracted",
    KEPT,
    settings={"cycles": 20, "idle": IDLE},
)
GROUPS = [tcp, websocket, blocking, idle]


def script() -> Script:
    from farend import Script

    return Script().expect(MESSAGE).send(MESSAGE)


# -- TCP on the running loop ----------------------------------------------------------------------


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(len(MESSAGE)))
    await writer.drain()
    writer.close()


async def exchange(port: int) -> None:
    """What the client does in all cycles of this group."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(MESSAGE)
    assert await reader.readexactly(len(MESSAGE)) == MESSAGE
    writer.close()
    await writer.wait_closed()


async def streams_cycle() -> None:
    server = await asyncio.start_server(answer_once, LOOPBACK, 0)
    await exchange(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()


@websocket.contender(STREAMS)
@tcp.contender(STREAMS)
def asyncio_streams(cycles: int) -> float:
    return on_a_loop(timed(streams_cycle, cycles))


class AnswerOnce(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


@tcp.contender("asyncio Protocol")
def asyncio_protocol(cycles: int) -> float:
    async def cycle() -> None:
        server = await asyncio.get_running_loop().create_server(AnswerOnce, LOOPBACK, 0)
        await exchange(server.sockets[0].getsockname()[1])
        server.close()
        await server.wait_closed()

    return on_a_loop(timed(cycle, cycles))


@tcp.contender("farend", "farend")
def farend_tcp(cycles: int) -> float:
    from farend import TcpServer

    async def cycle() -> None:
        async with TcpServer(script()) as server:
            await exchange(server.port)

    return on_a_loop(timed(cycle, cycles))


tcp.target("farend", 1.25)


# -- WebSocket on the running loop ----------------------------------------------------------------


@functools.cache
def picows_asker() -> type[WSListener]:
    from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

    class Ask(WSListener):
        answer = b""

        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send(WSMsgType.BINARY, MESSAGE)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.BINARY:
                self.answer = frame.get_payload_as_bytes()
                transport.send_close(WSCloseCode.OK)
                transport.disconnect()

    return Ask


async def ask_with_picows(url: str) -> None:
    """What the client does in the cycles that name no other."""
    from picows import ws_connect

    transport, asker = await ws_connect(picows_asker(), url)
    await transport.wait_disconnected()
    assert asker.answer == MESSAGE


@websocket.contender("picows", "picows")
def picows(cycles: int) -> float:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Answer(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.BINARY:
                transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())

    async def cycle() -> None:
        server = await ws_create_server(lambda _request: Answer(), LOOPBACK, 0)
        await ask_with_picows(f"ws://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/")
        server.close()
        await server.wait_closed()

    return on_a_loop(timed(cycle, cycles))


SANS_IO = "websockets' sans-I/O half in a bare Protocol"


@websocket.contender(SANS_IO, "picows", "websockets.server")
def sans_io(cycles: int) -> float:
    """The least that a server on the `websockets` library can cost: no script, no checks, no records."""
    from websockets.frames import Frame, Opcode
    from websockets.server import ServerProtocol

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.protocol = ServerProtocol(max_size=1 << 20)

        def data_received(self, data: bytes) -> None:
            protocol = self.protocol
            protocol.receive_data(data)
            for event in protocol.events_received():
                if not isinstance(event, Frame):
                    protocol.send_response(protocol.accept(event))
                elif event.opcode is Opcode.BINARY:
                    protocol.send_binary(event.data)
            for raw in protocol.data_to_send():
                if raw:
                    self.transport.write(raw)
                else:
                    self.transport.close()

    async def cycle() -> None:
        server = await asyncio.get_running_loop().create_server(Answer, LOOPBACK, 0)
        await ask_with_picows(f"ws://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/")
        server.close()
        await server.wait_closed()

    return on_a_loop(timed(cycle, cycles))


@websocket.contender("websockets (picows client)", "websockets.asyncio", "picows")
def websockets_server(cycles: int) -> float:
    from websockets.asyncio.server import ServerConnection, serve

    async def cycle() -> None:
        async with serve(echo, LOOPBACK, 0, compression=None) as server:
            await ask_with_picows(f"ws://{LOOPBACK}:{next(iter(server.sockets)).getsockname()[1]}/")

    async def echo(connection: ServerConnection) -> None:
        await connection.send(await connection.recv())
        await connection.wait_closed()

    return on_a_loop(timed(cycle, cycles))


@websocket.contender("farend (picows client)", "farend", "picows")
def farend_websocket(cycles: int) -> float:
    from farend import WebSocketServer

    async def cycle() -> None:
        async with WebSocketServer(script()) as server:
            await ask_with_picows(f"{server.url}/")

    return on_a_loop(timed(cycle, cycles))


async def ask_with_websockets(url: str) -> None:
    from websockets.asyncio.client import connect

    async with connect(url, compression=None) as client:
        await client.send(MESSAGE)
        assert await client.recv() == MESSAGE


@websocket.contender("websockets (its own client)", "websockets.asyncio")
def websockets_both_ends(cycles: int) -> float:
    from websockets.asyncio.server import ServerConnection, serve

    async def cycle() -> None:
        async with serve(echo, LOOPBACK, 0, compression=None) as server:
            await ask_with_websockets(f"ws://{LOOPBACK}:{next(iter(server.sockets)).getsockname()[1]}/")

    async def echo(connection: ServerConnection) -> None:
        await connection.send(await connection.recv())
        await connection.wait_closed()

    return on_a_loop(timed(cycle, cycles))


@websocket.contender("farend (websockets client)", "farend", "websockets.asyncio")
def farend_websockets_client(cycles: int) -> float:
    from farend import WebSocketServer

    async def cycle() -> None:
        async with WebSocketServer(script()) as server:
            await ask_with_websockets(f"{server.url}/")

    return on_a_loop(timed(cycle, cycles))


@websocket.contender("fakewsserver (websockets client)", "fakewsserver")
def fakewsserver(cycles: int) -> float:
    import socket

    import websockets
    from fakewsserver import assert_communication

    async def cycle() -> None:
        with socket.create_server((LOOPBACK, 0)) as probe:
            port = probe.getsockname()[1]
        async with (
            assert_communication(port, [(MESSAGE, MESSAGE)]),
            websockets.connect(f"ws://{LOOPBACK}:{port}") as client,
        ):
            await client.send(MESSAGE)
            await client.recv()

    return on_a_loop(timed(cycle, cycles))


websocket.target("farend (picows client)", 2.0)


# -- from a plain test ----------------------------------------------------------------------------


def cycled(cycle: Callable[[float], None], cycles: int, idle: float) -> float:
    """Seconds that a cycle takes, without the time in which the client idles."""
    cycle(0.0)
    begin = time.perf_counter()
    for _ in range(cycles):
        cycle(idle)
    return (time.perf_counter() - begin) / cycles - idle


@contextlib.contextmanager
def background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@idle.contender(KEPT)
@blocking.contender(KEPT)
def kept_loop(cycles: int, idle: float = 0.0) -> float:
    async def start() -> asyncio.Server:
        return await asyncio.start_server(answer_once, LOOPBACK, 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()

    with background_loop() as loop:

        def cycle(idle: float) -> None:
            server = asyncio.run_coroutine_threadsafe(start(), loop).result()
            ask(server.sockets[0].getsockname()[1])
            if idle:
                time.sleep(idle)
            asyncio.run_coroutine_threadsafe(stop(server), loop).result()

        return cycled(cycle, cycles, idle)


@idle.contender("farend", "farend")
@blocking.contender("farend", "farend")
def farend_blocking(cycles: int, idle: float = 0.0) -> float:
    from farend import TcpServer

    def cycle(idle: float) -> None:
        with TcpServer(script()) as server:
            ask(server.port)
            if idle:
                time.sleep(idle)

    return cycled(cycle, cycles, idle)


@blocking.contender("farend's OneShotServer", "farend")
def farend_one_shot(cycles: int) -> float:
    from farend import OneShotServer

    def cycle(idle: float) -> None:
        server = OneShotServer([len(MESSAGE), MESSAGE], verbose=False)
        ask(server.port)
        server.stop()

    return cycled(cycle, cycles, 0.0)


@idle.contender("pytest-httpserver", "pytest_httpserver", most=3)
@blocking.contender("pytest-httpserver", "pytest_httpserver", most=3)
def httpserver(cycles: int, most: int, idle: float = 0.0) -> float:
    """A few cycles only, for its server stops with a poll."""
    from pytest_httpserver import HTTPServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    def cycle(idle: float) -> None:
        with HTTPServer(host=LOOPBACK, port=0) as server:
            server.expect_request("/").respond_with_data(MESSAGE)
            client = http.client.HTTPConnection(server.host, server.port)
            client.request("POST", "/", MESSAGE)
            assert client.getresponse().read() == MESSAGE
            client.close()
            if idle:
                time.sleep(idle)

    return cycled(cycle, min(cycles, most), idle)


@idle.contender("embeddedserver's OneShotServer", "embeddedserver", most=3)
@blocking.contender("embeddedserver's OneShotServer", "embeddedserver", most=3)
def embeddedserver(cycles: int, most: int, idle: float = 0.0) -> float:
    """A few cycles only, until its thread is gone, for the next server waits for that."""
    from embeddedserver import OneShotServer

    def cycle(idle: float) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            server = OneShotServer([len(MESSAGE), MESSAGE], port=0, verbose=False)
            ask(server.port)
            if idle:
                time.sleep(idle)
            server.stop()
        while any(thread.name == server.GROUP for thread in threading.enumerate()):
            time.sleep(0.0005)

    return cycled(cycle, min(cycles, most), idle)


blocking.target("farend", 1.3)
idle.target("farend", 1.3)
