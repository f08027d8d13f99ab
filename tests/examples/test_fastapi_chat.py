"""docs/chat.md: a FastAPI chat with rooms, and its tests."""

# [app]
from collections import defaultdict

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[str, dict[str, WebSocket]] = defaultdict(dict)


@app.get("/rooms/{room}")
async def members(room: str):
    return sorted(rooms[room])


@app.websocket("/rooms/{room}/{name}")
async def join(websocket: WebSocket, room: str, name: str):
    if name in rooms[room]:
        await websocket.close(4409, "the name is taken")
        return
    await websocket.accept()
    rooms[room][name] = websocket
    try:
        await tell(room, {"joined": name})
        while True:
            said = await websocket.receive_json()
            await tell(room, {"by": name, "text": said["text"]})
    except WebSocketDisconnect:
        del rooms[room][name]
        await tell(room, {"left": name})


async def tell(room: str, message: dict):
    for member in list(rooms[room].values()):
        await member.send_json(message)


# [/app]

# [two]
import pytest

from farend.asgi import WebsocketCommunicator


@pytest.mark.asyncio
async def test_what_one_says_the_others_hear():
    async with (
        WebsocketCommunicator(app, "/rooms/tea/ada") as ada,
        WebsocketCommunicator(app, "/rooms/tea/bob") as bob,
        WebsocketCommunicator(app, "/rooms/garage/eve") as eve,
    ):
        assert await ada.receive_all_json() == [{"joined": "ada"}, {"joined": "bob"}]
        assert await bob.receive_all_json() == [{"joined": "bob"}]
        await eve.receive_all_json()

        assert await ada.exchange({"text": "hello"}) == [{"by": "ada", "text": "hello"}]

        assert await bob.receive_json() == {"by": "ada", "text": "hello"}
        await eve.receive_nothing()  # another room: proven, in about a millisecond


# [/two]


# [leaving]
@pytest.mark.asyncio
async def test_who_leaves_is_missed():
    async with WebsocketCommunicator(app, "/rooms/tea/ada") as ada:
        async with WebsocketCommunicator(app, "/rooms/tea/bob"):
            pass
        assert await ada.receive_all_json() == [{"joined": "ada"}, {"joined": "bob"}, {"left": "bob"}]


# [/leaving]


# [rejected]
@pytest.mark.asyncio
async def test_a_name_is_taken_once():
    async with WebsocketCommunicator(app, "/rooms/tea/ada"):
        assert await WebsocketCommunicator(app, "/rooms/tea/ada").connect() == (False, 4409)


# [/rejected]


# [http]
import httpx


@pytest.mark.asyncio
async def test_who_is_there_by_http():
    transport = httpx.ASGITransport(app)
    async with (
        WebsocketCommunicator(app, "/rooms/tea/ada"),
        WebsocketCommunicator(app, "/rooms/tea/bob"),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        assert (await client.get("/rooms/tea")).json() == ["ada", "bob"]
    assert rooms["tea"] == {}


# [/http]


# [plain]
def test_in_a_plain_test():
    with WebsocketCommunicator(app, "/rooms/tea/ada") as ada:
        assert ada.receive_json() == {"joined": "ada"}
        assert ada.exchange({"text": "hello"}) == [{"by": "ada", "text": "hello"}]


# [/plain]
