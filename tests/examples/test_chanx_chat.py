"""docs/chat.md and docs/broadcasts.md: a consumer of chanx on FastAPI, and its tests."""

# [app]
from typing import Literal

from chanx.core.decorators import channel, event_handler, ws_handler
from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
from chanx.messages.base import BaseMessage
from chanx.messages.incoming import PingMessage
from chanx.messages.outgoing import PongMessage
from fast_channels.layers import InMemoryChannelLayer, register_channel_layer
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.routing import WebSocketRoute


class Text(BaseModel):
    message: str


class ChatMessage(BaseMessage):
    action: Literal["chat"] = "chat"
    payload: Text


class ChatNotice(BaseMessage):
    action: Literal["chat_notice"] = "chat_notice"
    payload: Text


class NotificationEvent(BaseMessage):
    action: Literal["notification"] = "notification"
    payload: Text


class Notified(BaseMessage):
    action: Literal["notified"] = "notified"
    payload: Text


@channel(name="chat")
class ChatConsumer(AsyncJsonWebsocketConsumer[NotificationEvent]):
    channel_layer_alias = "chat"
    groups = ["users"]

    @ws_handler
    async def ping(self, message: PingMessage) -> PongMessage:
        return PongMessage()

    @ws_handler(output_type=ChatNotice)
    async def chat(self, message: ChatMessage) -> None:
        await self.broadcast_message(ChatNotice(payload=message.payload))

    @event_handler
    async def notify(self, event: NotificationEvent) -> Notified:
        return Notified(payload=event.payload)


register_channel_layer("chat", InMemoryChannelLayer())

app = FastAPI(routes=[WebSocketRoute("/ws/chat", ChatConsumer.as_asgi())])


async def close_for_the_night():
    await ChatConsumer.broadcast_event(NotificationEvent(payload={"message": "good night"}), groups=["users"])


# [/app]

# [test]
import pytest

from farend.asgi import WebsocketCommunicator


@pytest.mark.asyncio
async def test_ping_pong():
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_message(PingMessage())
        assert await comm.receive_all_messages() == [PongMessage()]


@pytest.mark.asyncio
async def test_all_hear_it():
    async with (
        WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as first,
        WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as second,
    ):
        notice = ChatNotice(payload={"message": "hello"})
        assert await first.exchange(ChatMessage(payload={"message": "hello"})) == [notice]
        assert await second.receive_all_messages() == [notice]


# [/test]


# [event]
@pytest.mark.asyncio
async def test_an_event_from_outside_the_socket():
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await close_for_the_night()
        assert await comm.receive_all_messages() == [Notified(payload={"message": "good night"})]


# [/event]


# [capture]
from farend.asgi import capture_broadcast_events


@pytest.mark.asyncio
async def test_what_is_broadcast():
    with capture_broadcast_events(ChatConsumer) as captured:
        await close_for_the_night()

    assert len(captured) == 1
    assert captured[0].event.payload.message == "good night"
    assert captured[0].groups == ["users"]


# [/capture]
