"""Nine applications of eight frameworks, unmodified: exact frames, and no task left (acceptance 3)."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from farend.asgi import Rejected, WebsocketCommunicator

FEW = 5


def starlette_app():
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text.upper())

    return Starlette(routes=[WebSocketRoute("/ws", echo)])


def fastapi_app():
    pytest.importorskip("fastapi")
    from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()

    async def shout():
        yield str.upper

    # The annotations of a function in a function are looked up by name, so they are given as they are.
    async def echo(websocket, made=Depends(shout)):  # noqa: B008
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(made(await websocket.receive_text()))
        except WebSocketDisconnect:
            pass

    echo.__annotations__ = {"websocket": WebSocket}
    app.websocket("/ws")(echo)
    return app


def litestar_app():
    pytest.importorskip("litestar")
    from litestar import Litestar, WebSocket, websocket

    async def echo(socket):
        await socket.accept()
        async for text in socket.iter_data():
            await socket.send_text(text.upper())

    echo.__annotations__ = {"socket": WebSocket, "return": None}
    return Litestar([websocket("/ws")(echo)])


def litestar_listener_in_a_thread():
    pytest.importorskip("litestar")
    from litestar import Litestar
    from litestar.handlers import websocket_listener

    def echo(data):
        return data.upper()

    echo.__annotations__ = {"data": str, "return": str}
    return Litestar([websocket_listener("/ws", sync_to_thread=True)(echo)])


def quart_app():
    quart = pytest.importorskip("quart")
    app = quart.Quart("shop")

    @app.websocket("/ws")
    async def echo():
        while True:
            await quart.websocket.send((await quart.websocket.receive()).upper())

    return app


def configured():
    pytest.importorskip("channels")
    from django.conf import settings

    if not settings.configured:
        settings.configure(CHANNEL_LAYERS={})


def channels_async():
    configured()
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import URLRouter
    from django.urls import path

    class Echo(AsyncWebsocketConsumer):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data=text_data.upper())

    return URLRouter([path("ws", Echo.as_asgi())])


def channels_sync():
    configured()
    from channels.generic.websocket import WebsocketConsumer
    from channels.routing import URLRouter
    from django.urls import path

    class Echo(WebsocketConsumer):
        def receive(self, text_data=None, bytes_data=None):
            self.send(text_data=text_data.upper())

    return URLRouter([path("ws", Echo.as_asgi())])


def fast_channels_app():
    pytest.importorskip("fast_channels")
    from fast_channels.consumer.websocket import AsyncWebsocketConsumer

    class Echo(AsyncWebsocketConsumer):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data=text_data.upper())

    return Echo.as_asgi()


def chanx_app():
    pytest.importorskip("chanx")
    from chanx.core.decorators import ws_handler
    from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
    from chanx.messages.base import BaseMessage

    class Shout(BaseMessage):
        action: Literal["shout"] = "shout"
        payload: str

    class Shouted(BaseMessage):
        action: Literal["shouted"] = "shouted"
        payload: str

    class Echo(AsyncJsonWebsocketConsumer):
        async def shout(self, message):
            return Shouted(payload=message.payload.upper())

        shout.__annotations__ = {"message": Shout, "return": Shouted}
        shout = ws_handler(shout)

    return Echo.as_asgi()


APPS = [
    starlette_app,
    fastapi_app,
    litestar_app,
    litestar_listener_in_a_thread,
    quart_app,
    channels_async,
    channels_sync,
    fast_channels_app,
    chanx_app,
]


@pytest.fixture(params=APPS, ids=lambda make: make.__name__)
def make(request):
    return request.param


async def exchanges(make, times):
    async with WebsocketCommunicator(make(), "/ws") as comm:
        for number in range(times):
            said, heard = f"message {number}", f"MESSAGE {number}"
            if make is chanx_app:
                said, heard = ({"action": "shout", "payload": said}, {"action": "shouted", "payload": heard})
            assert await comm.exchange(said) == [heard]
        assert await comm.receive_nothing(5)
        assert [frame.cause.number for frame in comm.frames] == list(range(1, times + 1))


def test_a_few_exchanges(run, make):
    run(exchanges(make, FEW))


@pytest.mark.settle
def test_a_thousand_exchanges(run, make, repetitions):
    run(exchanges(make, repetitions))


@pytest.mark.settle
def test_a_thousand_exchanges_on_busy_cores(run, make, repetitions, busy_cores):
    run(exchanges(make, repetitions))


def test_no_route(run, make):
    """A path that nobody serves: a framework rejects it, or raises; both is told with the path."""
    app = make()
    if make in (fast_channels_app, chanx_app):
        pytest.skip("it has no routes")

    async def test():
        async with WebsocketCommunicator(app, "/nowhere"):
            raise AssertionError("it was accepted")

    with pytest.raises(Exception) as caught:
        run(test())
    if isinstance(caught.value, Rejected):
        assert "rejected /nowhere" in str(caught.value)
    else:
        assert "before it had accepted /nowhere" in "".join(caught.value.__notes__)


def test_http_and_lifespan_beside_it(run):
    """Requests by httpx, the startup's state, and two WebSockets, of one FastAPI application in one test."""
    fastapi = pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    import contextlib

    from farend.asgi import lifespan

    over = []

    @contextlib.asynccontextmanager
    async def life(app):
        yield {"queues": []}
        over.append("shut down")

    app = fastapi.FastAPI(lifespan=life)

    async def listen(websocket):
        await websocket.accept()
        queue = asyncio.Queue()
        websocket.state.queues.append(queue)
        while True:
            await websocket.send_json(await queue.get())

    async def publish(request):
        for queue in request.state.queues:
            queue.put_nowait({"news": request.query_params["title"]})
        return {"sent": len(request.state.queues)}

    listen.__annotations__ = {"websocket": fastapi.WebSocket}
    publish.__annotations__ = {"request": fastapi.Request}
    app.websocket("/feed")(listen)
    app.post("/news")(publish)

    async def test():
        async with (
            lifespan(app) as running,
            httpx.AsyncClient(transport=httpx.ASGITransport(running), base_url="http://testserver") as http,
            WebsocketCommunicator(running, "/feed") as one,
            WebsocketCommunicator(running, "/feed") as two,
        ):
            answer = await http.post("/news", params={"title": "rain"})
            assert answer.json() == {"sent": 2}
            assert await one.receive_json() == await two.receive_json() == {"news": "rain"}
            # Nobody reads in this handler, so it does not hear of the end: that is told, and is an error.
            for comm in (one, two):
                with pytest.raises(TimeoutError, match=r"an item on a queue, test_frameworks\.py"):
                    await comm.disconnect()
        assert over == ["shut down"]

    run(test())
