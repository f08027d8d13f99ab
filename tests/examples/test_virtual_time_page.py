"""The examples of docs/virtual-time.md: it shows what stands between `# [name]` and `# [/name]`."""

import asyncio

import pytest

# [client]
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def backoff():
    """How long to wait before each attempt: 1 s, 2 s, 4 s, … and never more than a minute."""
    delay = 1
    while True:
        yield delay
        delay = min(2 * delay, 60)


async def prices(heard):
    """The program under test: it connects again, for ever."""
    async for feed in connect(
        "wss://api.exchange.com/feed", ping_interval=20, ping_timeout=20, reconnect_delays=backoff
    ):
        try:
            async for price in feed:
                heard.append(price)
        except ConnectionClosed:
            continue
            # [/client]


# [first]
import farend
from farend import Script, WebSocketServer


@pytest.mark.asyncio
async def test_a_feed_that_pauses_for_ten_minutes():
    server = WebSocketServer(Script().send("64250").pause(600).send("64251"))
    async with farend.virtual_network({"wss://api.exchange.com/feed": server}) as net:
        heard = []
        client = asyncio.create_task(prices(heard))
        await net.clock.advance(599)
        assert heard == ["64250"]
        await net.clock.advance(1)
        assert heard == ["64250", "64251"]
        client.cancel()


# [/first]


# [times]
from farend.core.transcript import Kind


@pytest.mark.asyncio
async def test_the_keepalive_is_exact():
    server = WebSocketServer()
    async with farend.virtual_network({"wss://api.exchange.com/feed": server}) as net:
        client = asyncio.create_task(prices([]))
        peer = await server.connection()
        await net.clock.advance(65)
        pings = [entry.time for entry in peer.transcript if entry.kind is Kind.RECEIVED]
        assert pings == [20.0, 40.0, 60.0]
        client.cancel()


# [/times]


# [within]
@pytest.mark.asyncio
async def test_the_client_greets_within_a_minute():
    server = WebSocketServer(Script().expect("hello", within=60).send("there"))
    async with farend.virtual_network({"ws://chat.example": server}):
        async with connect("ws://chat.example") as chat:
            await asyncio.sleep(59)
            await chat.send("hello")
            assert await chat.recv() == "there"


# [/within]


# [aiohttp]
@pytest.mark.asyncio
async def test_aiohttp_gives_up_on_a_peer_that_answers_no_ping():
    import aiohttp

    device = farend.TcpServer(Script(framing=farend.until(b"\r\n\r\n")).expect(farend.anything()).pause(45).close())
    async with farend.virtual_network({("device.plant.example", 80): device}) as net:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.get("http://device.plant.example/")
        assert net.clock.time() == 30


# [/aiohttp]


# [standstill]
@pytest.mark.asyncio
async def test_nothing_hangs():
    server = WebSocketServer(Script().expect("hello").send("there"))
    with pytest.raises(farend.Failure) as failed:
        async with farend.virtual_network({"ws://chat.example": server}):
            async with connect("ws://chat.example", ping_interval=None) as chat:
                await chat.recv()  # the far end waits for "hello", and this client for an answer
    assert "Waited in vain for the near end to say 'hello'" in str(failed.value)


# [/standstill]
