"""Ping-pong: a message and its answer, over and over, on one connection.

farend plays a script with a step for every message and a step for every answer, and verifies it; the
bare contenders echo. Timed is the client, from the first question to the last answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Group
from benchmarks.work import LOOPBACK, MIB, on_a_loop, payload

if TYPE_CHECKING:
    from farend import Script

PROTOCOL, PICOWS = "asyncio Protocol", "picows"

per = ("µs", "round trip")
tcp_small = Group("TCP, 64 B", *per, PROTOCOL, settings={"size": 64, "count": 5_000})
tcp_large = Group("TCP, 1 MiB", *per, PROTOCOL, settings={"size": MIB, "count": 40})
websocket_small = Group("WebSocket, 64 B", *per, PICOWS, settings={"size": 64, "count": 5_000})
websocket_large = Group("WebSocket, 1 MiB", *per, PICOWS, settings={"size": MIB, "count": 40})
long_tcp = Group("TCP, 64 B, a long script beside short ones", *per, PROTOCOL)
long_websocket = Group("WebSocket, 64 B, a long script beside short ones", *per, PICOWS)
TCP, WEBSOCKET = (tcp_small, tcp_large), (websocket_small, websocket_large)
GROUPS = [tcp_small, tcp_large, websocket_small, websocket_large, long_tcp, long_websocket]

SHORT, LONG = 500, 16_000
"""Steps of a script; a round trip is two."""


def script(message: bytes, count: int) -> Script:
    from farend import Script

    script = Script()
    for _ in range(count):
        script.expect(message).send(message)
    return script


# -- TCP ------------------------------------------------------------------------------------------


class Asker(asyncio.Protocol):
    """Asks `count` times over, each time when the answer to the time before is whole."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.missing = self.left = 0
        self.answered: asyncio.Future[None]

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, count: int) -> asyncio.Future[None]:
        self.left, self.missing = count, len(self.message)
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(self.message)
        return self.answered

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing:
            return
        self.left -= 1
        if self.left:
            self.missing = len(self.message)
            self.transport.write(self.message)
        else:
            self.answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self.left and not self.answered.done():
            self.answered.set_exception(error or ConnectionError("the server closed"))


class Echo(asyncio.Protocol):
    """Answers each whole message; knows how long they are, and looks at nothing."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.missing = len(message)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if not self.missing:
            self.missing = len(self.message)
            self.transport.write(self.message)


async def ask_tcp(port: int, message: bytes, count: int) -> float:
    """Seconds from the first question to the last answer."""
    transport, asker = await asyncio.get_running_loop().create_connection(lambda: Asker(message), LOOPBACK, port)
    begin = time.perf_counter()
    await asker.ask(count)
    seconds = time.perf_counter() - begin
    transport.close()
    return seconds


@contextlib.asynccontextmanager
async def echo_server(message: bytes) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(lambda: Echo(message), LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _protocol(size: int, count: int) -> float:
    async def main() -> float:
        message = payload(size)
        async with echo_server(message) as port:
            return await ask_tcp(port, message, count) / count

    return on_a_loop(main())


def _farend_tcp(size: int, count: int) -> float:
    async def main() -> float:
        from farend import TcpServer

        message = payload(size)
        async with TcpServer(script(message, count)) as server:
            return await ask_tcp(server.port, message, count) / count

    return on_a_loop(main())


def _streams(size: int, count: int) -> float:
    message = payload(size)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(count):
            await reader.readexactly(size)
            writer.write(message)
            await writer.drain()
        writer.close()

    async def main() -> float:
        server = await asyncio.start_server(answer, LOOPBACK, 0)
        async with server:
            return await ask_tcp(server.sockets[0].getsockname()[1], message, count) / count

    return on_a_loop(main())


def _tcpclient(size: int, count: int) -> float:
    """Its fixture, in a test of its own: a script of as many steps, its time in a session with nothing else."""
    from benchmarks.whole_tests import TCPCLIENT, session

    count = min(count, 500)
    return float(session("case_tcpclient_pingpong.py", *TCPCLIENT, size=size, count=count)["seconds"]) / count


for group in TCP:
    group.contender(PROTOCOL)(_protocol)
    group.contender("asyncio streams")(_streams)
    group.contender("farend", "farend")(_farend_tcp)
    group.contender("pytest-tcpclient", "pytest_tcpclient", alone=True)(_tcpclient)
tcp_small.target("farend", 1.25)
tcp_large.target("farend", 1.2)


# -- WebSocket ------------------------------------------------------------------------------------


class PicowsAsker:
    """`Asker`, on a picows connection."""

    def __init__(self, message: bytes) -> None:
        self.message = message

    async def connect(self, port: int) -> PicowsAsker:
        from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

        asker, message, binary = self, self.message, WSMsgType.BINARY

        class Listener(WSListener):
            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                if frame.msg_type != binary:
                    return
                frame.get_payload_as_bytes()
                asker.left -= 1
                if asker.left:
                    transport.send(binary, message)
                else:
                    asker.answered.set_result(None)

            def on_ws_disconnected(self, transport: WSTransport) -> None:
                if not asker.answered.done():
                    asker.answered.set_exception(ConnectionError("the server ended the connection"))

        self.transport, _ = await ws_connect(Listener, f"ws://{LOOPBACK}:{port}/")
        self.binary = binary
        return self

    def ask(self, count: int) -> asyncio.Future[None]:
        self.left = count
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.send(self.binary, self.message)
        return self.answered

    async def close(self) -> None:
        from picows import WSCloseCode

        self.transport.send_close(WSCloseCode.OK)  # the default, 0, is not valid on the wire
        self.transport.disconnect()
        await self.transport.wait_disconnected()


async def ask_picows(port: int, message: bytes, count: int) -> float:
    """Seconds from the first question to the last answer."""
    asker = await PicowsAsker(message).connect(port)
    begin = time.perf_counter()
    await asker.ask(count)
    seconds = time.perf_counter() - begin
    await asker.close()
    return seconds


@contextlib.asynccontextmanager
async def picows_server() -> AsyncIterator[int]:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Answer(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.BINARY:
                transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()

    server = await ws_create_server(lambda _request: Answer(), LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _picows(size: int, count: int) -> float:
    async def main() -> float:
        async with picows_server() as port:
            return await ask_picows(port, payload(size), count) / count

    return on_a_loop(main())


def _sans_io(size: int, count: int) -> float:
    from websockets.frames import Frame, Opcode
    from websockets.server import ServerProtocol

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.protocol = ServerProtocol(max_size=None)

        def data_received(self, data: bytes) -> None:
            protocol = self.protocol
            protocol.receive_data(data)
            for event in protocol.events_received():
                if not isinstance(event, Frame):
                    protocol.send_response(protocol.accept(event))
                elif event.opcode is Opcode.BINARY:
                    protocol.send_binary(event.data)
            if raw := b"".join(protocol.data_to_send()):
                self.transport.write(raw)

    async def main() -> float:
        server = await asyncio.get_running_loop().create_server(Answer, LOOPBACK, 0)
        async with server:
            return await ask_picows(server.sockets[0].getsockname()[1], payload(size), count) / count

    return on_a_loop(main())


def _websockets(size: int, count: int) -> float:
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> float:
        async with serve(echo, LOOPBACK, 0, max_size=None, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await ask_picows(port, payload(size), count) / count

    return on_a_loop(main())


def _farend_websocket(size: int, count: int) -> float:
    async def main() -> float:
        from farend import WebSocketServer

        message = payload(size)
        async with WebSocketServer(script(message, count)) as server:
            return await ask_picows(server.port, message, count) / count

    return on_a_loop(main())


def _fakewsserver(size: int, count: int) -> float:
    import socket

    from fakewsserver import assert_communication

    async def main() -> float:
        message = payload(size)
        with socket.create_server((LOOPBACK, 0)) as probe:
            port = probe.getsockname()[1]
        async with assert_communication(port, [(message, message)] * count):
            return await ask_picows(port, message, count) / count

    return on_a_loop(main())


for group in WEBSOCKET:
    group.contender(PICOWS, "picows")(_picows)
    group.contender("websockets' sans-I/O half in a bare Protocol", "websockets.server", "picows")(_sans_io)
    group.contender("websockets' server", "websockets.asyncio", "picows")(_websockets)
    group.contender("farend", "farend", "picows")(_farend_websocket)
    group.contender("fakewsserver", "fakewsserver", "picows")(_fakewsserver)
websocket_small.target("farend", 1.6)
websocket_large.target("farend", 1.5)


# -- long scripts ---------------------------------------------------------------------------------

SHORT_ONES = f"farend, {LONG // SHORT} scripts of {SHORT} steps"
LONG_ONE = f"farend, one script of {LONG:,} steps"


async def conversations(port: int, connect: Callable[[int], Any], number: int) -> float:
    """Seconds for a round trip, where as many of them as there are in a long script are held on `number` connections.

    The first one of each connection is not timed: what a connection costs once is no matter here.
    """
    seconds, count = 0.0, LONG // 2 // number
    for _ in range(number):
        asker = await connect(port)
        await asker.ask(1)
        begin = time.perf_counter()
        await asker.ask(count - 1)
        seconds += time.perf_counter() - begin
        await asker.close()
    return seconds / (LONG // 2 - number)


async def tcp_asker(port: int) -> Any:
    transport, asker = await asyncio.get_running_loop().create_connection(lambda: Asker(payload(64)), LOOPBACK, port)

    async def close() -> None:
        transport.close()
        await asyncio.sleep(0)

    asker.close = close  # type: ignore[attr-defined]
    return asker


async def picows_asker(port: int) -> PicowsAsker:
    return await PicowsAsker(payload(64)).connect(port)


def _bare(number: int, server: Callable[[], Any], connect: Callable[[int], Any]) -> float:
    async def main() -> float:
        async with server() as port:
            return await conversations(port, connect, number)

    return on_a_loop(main())


def _played(number: int, kind: str, connect: Callable[[int], Any]) -> float:
    import farend

    async def main() -> float:
        message = payload(64)
        async with getattr(farend, kind)(script(message, LONG // 2 // number)) as server:
            return await conversations(server.port, connect, number)

    return on_a_loop(main())


def _echo() -> Any:
    return echo_server(payload(64))


for group, limit, server, kind, connect, needs in (
    (long_tcp, PROTOCOL, _echo, "TcpServer", tcp_asker, ()),
    (long_websocket, PICOWS, picows_server, "WebSocketServer", picows_asker, ("picows",)),
):
    group.contender(limit, *needs, number=1, server=server, connect=connect)(_bare)
    group.contender(
        f"{limit}, {LONG // SHORT} connections", *needs, number=LONG // SHORT, server=server, connect=connect
    )(_bare)
    group.contender(SHORT_ONES, "farend", *needs, number=LONG // SHORT, kind=kind, connect=connect)(_played)
    group.contender(LONG_ONE, "farend", *needs, number=1, kind=kind, connect=connect)(_played)
    group.target(LONG_ONE, 1.05, over=SHORT_ONES)
