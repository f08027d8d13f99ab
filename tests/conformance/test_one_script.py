"""One script, every place: as a WebSocket server, rerouted to by each client library, and in memory.

The clients dial a `wss://` URL of production, and nothing of theirs is changed. One altered message gives
the same difference everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
import websocket
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect as connect_sync

from farend import Failure, Finding, Script, WebSocketServer, json, rehearse, reroute
from farend.core.findings import Mismatch
from farend.core.transcript import Kind, Transcript

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None

URL = "wss://api.exchange.com/feed?depth=5"

SCRIPT = (
    Script(name="exchange feed")
    .expect_handshake("/feed", query={"depth": "5"})
    .expect(json={"op": "subscribe", "channel": "trades", "depth": 5})
    .send(json={"event": "subscribed"})
    .any_order(
        Script().expect("ping").send("pong"),
        Script().expect(b"\x01\x02").send(b"\x03\x04"),
    )
    .repeat(2, Script().send("tick").expect("ack"))
    .optional(Script().expect("status").send("fine"))
    .expect(json({"op": "bye"}))
    .close(1001, "maintenance")
)


class Say(NamedTuple):
    what: str | bytes


class Hear(NamedTuple):
    what: str | bytes


CLIENT = [
    Say('{"depth": 5, "channel": "trades", "op": "subscribe"}'),
    Hear('{"event": "subscribed"}'),
    Say(b"\x01\x02"),
    Hear(b"\x03\x04"),
    Say("ping"),
    Hear("pong"),
    Hear("tick"),
    Say("ack"),
    Hear("tick"),
    Say("ack"),
    Say('{"op": "bye", "reason": "done"}'),
]
"""What the program under test does. Each library does the same, in its own words."""


# -- the libraries ----------------------------------------------------------------------------------


def by_websockets_sync(url: str, lines: list[Any]) -> None:
    with connect_sync(url) as client:
        for line in lines:
            if isinstance(line, Say):
                client.send(line.what)
            else:
                assert client.recv(10) == line.what


async def by_websockets(url: str, lines: list[Any]) -> None:
    async with connect_async(url) as client:
        for line in lines:
            if isinstance(line, Say):
                await client.send(line.what)
            else:
                assert await client.recv() == line.what


def by_websocket_client(url: str, lines: list[Any]) -> None:
    client = websocket.create_connection(url, timeout=20)
    try:
        for line in lines:
            if isinstance(line, Hear):
                heard = client.recv()
                if heard == "":
                    raise ConnectionResetError("closed")
                assert heard == line.what
            elif isinstance(line.what, bytes):
                client.send_binary(line.what)
            else:
                client.send(line.what)
    finally:
        client.shutdown()


@contextlib.asynccontextmanager
async def closed_at_the_end(client: aiohttp.ClientWebSocketResponse) -> AsyncIterator[None]:
    """aiohttp does not wait until its connection is gone; its loop would be closed before that."""
    gone = client._response.connection.protocol.closed  # type: ignore[union-attr]
    try:
        yield
    finally:
        await client.close()
        if gone is not None:
            await gone


async def by_aiohttp(url: str, lines: list[Any]) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as client, closed_at_the_end(client):
        for line in lines:
            if isinstance(line, Hear):
                message = await client.receive(10)
                if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                    raise ConnectionResetError(f"closed with {message.data}")
                assert message.data == line.what
            elif isinstance(line.what, bytes):
                await client.send_bytes(line.what)
            else:
                await client.send_str(line.what)


LIBRARIES = [by_websockets_sync, by_websockets, by_websocket_client, by_aiohttp]


# -- the places -------------------------------------------------------------------------------------


class Played(NamedTuple):
    transcript: Transcript
    findings: tuple[Finding, ...]


def in_memory(lines: list[Any]) -> Played:
    near = Script()
    for line in lines:
        near = near.send(line.what) if isinstance(line, Say) else near.expect(line.what)
    rehearsal = rehearse(SCRIPT, near.expect_close())
    return Played(rehearsal.far_end, rehearsal.findings[:1])  # the far end's; the near end's own come behind it


def on_a_server(dial: Callable[[WebSocketServer], Any]) -> Played:
    told: tuple[Finding, ...] = ()
    try:
        with WebSocketServer(SCRIPT) as server:
            dial(server)
    except Failure as failure:
        told = failure.findings
    [transcript] = server.transcripts
    return Played(transcript, told)


def run(library: Callable[..., Any], url: str, lines: list[Any], loop: Any = asyncio.new_event_loop) -> None:
    if asyncio.iscoroutinefunction(library):
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(library(url, lines))
    else:
        library(url, lines)


def rerouted(library: Callable[..., Any], loop: Any = None) -> Callable[[list[Any]], Played]:
    def play(lines: list[Any]) -> Played:
        def dial(server: WebSocketServer) -> None:
            with reroute({URL: server}, strict=True):
                run(library, URL, lines, loop)

        return on_a_server(dial)

    return play


def as_a_server(lines: list[Any]) -> Played:
    return on_a_server(lambda server: run(by_websockets_sync, f"{server.url}/feed?depth=5", lines))


PLACES: dict[str, Callable[[list[Any]], Played]] = {
    "server": as_a_server,
    "memory": in_memory,
    **{library.__name__: rerouted(library) for library in LIBRARIES},
}
if uvloop is not None:
    PLACES |= {
        f"{library.__name__} on uvloop": rerouted(library, uvloop.new_event_loop)
        for library in (by_websockets, by_aiohttp)
    }


def told(transcript: Transcript) -> list[tuple[str, Any]]:
    """What was said, who said it, and what was found."""
    words = {Kind.RECEIVED: "→", Kind.SENT: "←", Kind.FOUND: "!"}
    return [
        (words[entry.kind], type(entry.payload).__name__ if entry.kind is Kind.FOUND else _plain(entry.payload))
        for entry in transcript
        if entry.kind in words
    ]


def _plain(payload: Any) -> Any:
    return bytes(payload) if isinstance(payload, bytearray | memoryview) else payload


# -- the tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_the_script_passes(place: str) -> None:
    transcript, findings = PLACES[place](CLIENT)
    assert findings == ()
    assert told(transcript) == [("→" if isinstance(line, Say) else "←", line.what) for line in CLIENT]


ALTERED = {
    "a field of the subscription": (0, '{"depth": 6, "channel": "trades", "op": "subscribe"}'),
    "a bit of the bytes": (2, b"\x01\x03"),
    "a letter": (4, "pink"),
    "binary for text": (7, b"ack"),
    "the last word": (10, '{"op": "by"}'),
}


def difference(findings: tuple[Finding, ...]) -> Any:
    """All that the report is made from, but for the name of the far end and the clock."""
    [finding] = findings
    assert isinstance(finding, Mismatch)
    place = finding.place
    return (
        finding.sentence,
        finding.advice,
        finding.got,
        [(str(candidate.step), candidate.difference) for candidate in finding.candidates],
        (place.connection, place.number, place.total, place.path, [str(step) for step in place.left]),
        told(place.transcript),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("altered", ALTERED)
def test_an_altered_message_gives_the_same_difference(place: str, altered: str) -> None:
    at, message = ALTERED[altered]
    lines = [*CLIENT[:at], Say(message), *CLIENT[at + 1 :]]
    assert difference(PLACES[place](lines).findings) == difference(in_memory(lines).findings)
    changed = difference(in_memory(lines).findings)
    assert changed[2] == message
