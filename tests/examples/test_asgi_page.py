"""The examples of docs/asgi.md. What stands between `# [name]` and `# [/name]` is shown there."""

import asyncio

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")


# [app]
import contextlib

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

listeners = set()


async def feed(websocket):
    """Greets, answers in the background, and hears of news."""
    await websocket.accept()
    listeners.add(websocket)
    async with asyncio.TaskGroup() as tasks:
        async for message in websocket.iter_json():
            tasks.create_task(answer(websocket, message))
    listeners.discard(websocket)


async def answer(websocket, message):
    await asyncio.sleep(message.get("after", 0))
    await websocket.send_json({"answer": await asyncio.to_thread(str.upper, message["ask"])})


async def news(request):
    for listener in listeners:
        await listener.send_json({"news": request.query_params["title"]})
    return JSONResponse({"told": len(listeners)})


app = Starlette(routes=[WebSocketRoute("/feed", feed), Route("/news", news, methods=["POST"])])
# [/app]


# [first]
from farend.asgi import WebsocketCommunicator


@pytest.mark.asyncio
async def test_an_answer():
    async with WebsocketCommunicator(app, "/feed") as comm:
        await comm.send_json({"ask": "hello"})
        assert await comm.receive_json() == {"answer": "HELLO"}
        await comm.receive_nothing()  # proven, not waited for
        # [/first]


@pytest.mark.asyncio
async def test_settling():
    # [settle]
    async with WebsocketCommunicator(app, "/feed") as comm:
        await comm.send_json({"ask": "one"})
        await comm.send_json({"ask": "two"})
        await comm.settle()
        assert await comm.receive_all_json() == [{"answer": "ONE"}, {"answer": "TWO"}]

        # the same for one message: send it, let the application finish, get all that came
        assert await comm.exchange({"ask": "three"}) == [{"answer": "THREE"}]
    # [/settle]


@pytest.mark.asyncio
async def test_the_clock():
    # [clock]
    async with WebsocketCommunicator(app, "/feed") as comm:
        assert await comm.exchange({"ask": "later", "after": 3600}) == []  # an hour has not passed
        await comm.clock.advance(3599)
        await comm.receive_nothing(timeout=0.5)
        assert await comm.receive_json(timeout=1) == {"answer": "LATER"}
    # [/clock]


@pytest.mark.asyncio
async def test_causes():
    # [causes]
    async with WebsocketCommunicator(app, "/feed") as comm:
        await comm.send_json({"ask": "slow", "after": 2})
        await comm.send_json({"ask": "fast"})
        await comm.settle(within=3)
        assert [(frame.payload, frame.cause.number) for frame in comm.frames] == [
            ('{"answer":"FAST"}', 2),
            ('{"answer":"SLOW"}', 1),
        ]
    # [/causes]


@pytest.mark.asyncio
async def test_http_beside_it():
    # [http]
    import httpx

    from farend.asgi import lifespan

    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(lifespan(app))
        one = await stack.enter_async_context(WebsocketCommunicator(running, "/feed"))
        two = await stack.enter_async_context(WebsocketCommunicator(running, "/feed"))
        transport = httpx.ASGITransport(running)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://testserver"))

        assert (await http.post("/news", params={"title": "rain"})).json() == {"told": 2}
        assert await one.receive_json() == await two.receive_json() == {"news": "rain"}
    # [/http]


# [plain]
def test_a_plain_test():
    with WebsocketCommunicator(app, "/feed") as comm:
        comm.send_json({"ask": "hello"})
        assert comm.receive_json() == {"answer": "HELLO"}
        # [/plain]


@pytest.mark.asyncio
async def test_rejected():
    # [rejected]
    opening = await WebsocketCommunicator(app, "/nowhere").connect()
    assert not opening.accepted
    assert (opening.status, opening.code) == (403, 1000)
    # [/rejected]


@pytest.mark.asyncio
async def test_nothing_is_left():
    # [left]
    async with WebsocketCommunicator(app, "/feed") as comm:
        await comm.send_json({"ask": "hello"})
    assert comm.waiting_for() == []  # no task goes on
    # [/left]


@pytest.mark.asyncio
async def test_play():
    # [play]
    from farend import Script
    from farend.asgi import play

    script = (
        Script()
        .send(json={"ask": "hello"})
        .expect(json={"answer": "HELLO"})
        .send(json={"ask": "tomorrow", "after": 86_400})
        .expect(json={"answer": "TOMORROW"}, within=86_401)
    )
    await play(script, app, "/feed")
    # [/play]


@pytest.mark.asyncio
async def test_unsettled(monkeypatch):
    # [declare]
    import farend.asgi

    farend.asgi.listening("shop.prices:Feed.run")  # reads an external socket for ever: nobody waits for it
    farend.asgi.external("shop.driver:Query.fetch")  # awaits a bare future that another program completes
    with farend.asgi.busy("the import of prices"):  # whatever nobody can see: until the end of the block
        ...
    # [/declare]
    from farend.settling import waits

    waits.LISTENERS.discard("shop.prices:Feed.run")
    waits.EXTERNAL.discard("shop.driver:Query.fetch")


@pytest.mark.asyncio
async def test_layers():
    pytest.importorskip("fast_channels")
    from fast_channels.layers import InMemoryChannelLayer

    channel_layer = InMemoryChannelLayer()
    # [watch]
    with farend.asgi.watch(channel_layer):
        ...  # connect, broadcast, settle
    # [/watch]


import farend.asgi


@pytest.mark.asyncio
async def test_one_loop():
    # [server]
    from farend import Script, TcpServer

    async with TcpServer(Script().expect(b"PING\n").send(b"PONG\n")) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        heard = asyncio.create_task(reader.readline())
        writer.write(b"PING\n")
        await server.settle()
        assert heard.done()
        # [/server]
        writer.close()
