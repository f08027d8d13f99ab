"""Memory: what a script's steps and a recorded conversation add to the resident set.

Every sample is a process of its own. No two messages share their bytes, unless farend itself shares
them: what came is equal to what the script expects, and then the transcript holds the script's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.harness import Group
from benchmarks.work import LOOPBACK, Growth, on_a_loop, payload

if TYPE_CHECKING:
    from farend import Framing, Script

COUNT = 100_000
SIZE = 64
_BODY = payload(SIZE - 10)

steps = Group("A step of a script", "B", "step", "list of pairs", rounds=0.3)
record = Group("A recorded message of 64 B", "B", "message", "list of (time, direction, message)", rounds=0.3)
GROUPS = [steps, record]


def message(number: int) -> bytes:
    """A message that shares its memory with no other, and that is a line."""
    return b"%08d" % number + _BODY + b"\r\n"


def per_message(growth: Growth) -> float:
    return growth.bytes() / COUNT


# -- steps ----------------------------------------------------------------------------------------


@steps.contender("list of pairs", alone=True)
def list_of_pairs() -> float:
    """What the least script holds: the kind and the content of each step."""
    growth = Growth()
    script = [("receive" if number % 2 else "send", message(number)) for number in range(COUNT)]
    assert script
    return per_message(growth)


@steps.contender("farend", "farend", alone=True)
def script_of_values() -> float:
    from farend import Script

    script = Script().expect(b"warm").send(b"warm")
    growth = Growth()
    for number in range(COUNT // 2):
        script.expect(message(2 * number)).send(message(2 * number + 1))
    return per_message(growth)


@steps.contender("farend, JSON expected", "farend", alone=True)
def script_of_matchers() -> float:
    from farend import Script

    script = Script().expect(json="warm").send(b"warm")
    growth = Growth()
    for number in range(COUNT // 2):
        script.expect(json=message(2 * number).decode()).send(message(2 * number + 1))
    return per_message(growth)


@steps.contender("embeddedserver", "embeddedserver", alone=True)
def embeddedserver_script() -> float:
    growth = Growth()
    commands: list[object] = []
    for number in range(COUNT // 2):
        commands += [SIZE, message(number)]
    return per_message(growth)


steps.target("farend", 1.5)


# -- what was recorded ----------------------------------------------------------------------------


@record.contender("list of messages", alone=True)
def list_of_messages() -> float:
    growth = Growth()
    log = [message(number) for number in range(COUNT)]
    assert log
    return per_message(growth)


@record.contender("list of (time, direction, message)", alone=True)
def list_of_tuples() -> float:
    """What a recording of any use holds at least."""
    growth = Growth()
    log = [(time.monotonic(), "in", message(number)) for number in range(COUNT)]
    assert log
    return per_message(growth)


@record.contender("farend TCP, values", "farend", alone=True)
def tcp_values() -> float:
    return on_a_loop(_tcp_values(with_script=False))


@record.contender("farend TCP, values, and their script", "farend", alone=True)
def tcp_values_and_script() -> float:
    return on_a_loop(_tcp_values(with_script=True))


async def _tcp_values(with_script: bool) -> float:
    from farend import TcpServer

    growth = Growth()
    script = _ping_pong()
    growth = growth if with_script else Growth()
    async with TcpServer(script) as server:
        reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
        for number in range(0, COUNT, 2):
            writer.write(message(number))
            await reader.readexactly(SIZE)
        grown = per_message(growth)
        writer.close()
        await writer.wait_closed()
    assert len(server.transcripts[0].received) == len(server.transcripts[0].sent) == COUNT // 2
    return grown


@record.contender("farend TCP, nothing shared", "farend", alone=True)
def tcp_nothing_shared() -> float:
    return on_a_loop(_tcp_nothing_shared(with_script=False))


@record.contender("farend TCP, nothing shared, and its script", "farend", alone=True)
def tcp_nothing_shared_and_script() -> float:
    return on_a_loop(_tcp_nothing_shared(with_script=True))


async def _tcp_nothing_shared(with_script: bool) -> float:
    """The worst case: only the near end speaks, and what it says is in no script."""
    from farend import TcpServer, lines

    growth = Growth()
    script = _anything(framing=lines())
    growth = growth if with_script else Growth()
    async with TcpServer(script) as server:
        reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
        for number in range(COUNT):
            writer.write(message(number))
            if number % 100 == 0:
                await writer.drain()
        await reader.readexactly(len(b"done\n"))
        grown = per_message(growth)
        writer.close()
        await writer.wait_closed()
    assert len(server.transcripts[0].received) == COUNT
    return grown


def _ping_pong() -> Script:
    from farend import Script

    script = Script()
    for number in range(0, COUNT, 2):
        script.expect(message(number)).send(message(number + 1))
    return script


def _anything(framing: Framing | None = None) -> Script:
    from farend import Script, regex

    script = Script(framing=framing)
    for _ in range(COUNT):
        script.expect(regex(rb"\d+\S*\s*"))
    return script.send(b"done")


@record.contender("farend WebSocket, values", "farend", "picows", alone=True)
def websocket_values() -> float:
    return on_a_loop(_websocket(_ping_pong, sent=COUNT // 2, answered=True))


@record.contender("farend WebSocket, nothing shared", "farend", "picows", alone=True)
def websocket_nothing_shared() -> float:
    return on_a_loop(_websocket(_anything, sent=COUNT, answered=False))


async def _websocket(make: Callable[[], Script], sent: int, answered: bool) -> float:
    from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    from farend import WebSocketServer

    answers: asyncio.Queue[None] = asyncio.Queue()

    class Ask(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            answers.put_nowait(None)

    script = make()
    growth = Growth()
    async with WebSocketServer(script) as server:
        transport, _ = await ws_connect(Ask, f"{server.url}/")
        for number in range(sent):
            transport.send(WSMsgType.BINARY, message(2 * number if answered else number))
            if answered:
                await answers.get()
            elif number % 100 == 0:
                await asyncio.sleep(0)
        if not answered:
            await answers.get()
        grown = per_message(growth)
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()
        await transport.wait_disconnected()
    assert len(server.transcripts[0].received) == sent
    return grown


@record.contender("pytest-httpserver's log", "pytest_httpserver", alone=True)
def httpserver_log() -> float:
    """2,000 requests, for it takes its time."""
    import http.client
    import logging

    from pytest_httpserver import HTTPServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    count, warm = 2_000, 200
    with HTTPServer(host=LOOPBACK, port=0) as server:
        server.expect_request("/").respond_with_data(b"!")
        client = http.client.HTTPConnection(server.host, server.port)
        growth = Growth()
        for number in range(count + warm):
            if number == warm:
                growth = Growth()
            client.request("POST", "/", message(number))
            client.getresponse().read()
        grown = growth.bytes() / count
        client.close()
        assert len(server.log) == count + warm
    return grown


for one in record.contenders:
    if one.name.startswith("farend"):
        record.target(one.name, 275, over="")
