"""Seed 003, testing WebSocket consumers: what needs no Django. S3-32 to S3-45 are in `test_003_django.py`.

The consumers are chanx's, from the registry and unmodified; the examples are the seed's, with farend's import.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from farend.asgi import (
    EVENT_ACTION_COMPLETE,
    GROUP_ACTION_COMPLETE,
    MESSAGE_ACTION_COMPLETE,
    UndeclaredMessage,
    WebsocketCommunicator,
)
from farend.errors import Failure, WrongType

pytest.importorskip("chanx")
pytest.importorskip("fast_channels")

from chanx.core.decorators import event_handler, ws_handler
from chanx.core.topic import Topic
from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
from chanx.messages.base import BaseMessage
from chanx.messages.incoming import PingMessage
from chanx.messages.outgoing import PongMessage
from fast_channels.layers import InMemoryChannelLayer, register_channel_layer
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute


class Text(BaseModel):
    message: str


class ChatMessage(BaseMessage):
    action: Literal["chat"] = "chat"
    payload: Text


class ChatNotification(BaseMessage):
    action: Literal["chat_notification"] = "chat_notification"
    payload: Text


class StreamMessage(BaseMessage):
    action: Literal["stream"] = "stream"
    payload: Text


class StreamingMessage(BaseMessage):
    action: Literal["streaming"] = "streaming"
    payload: Text


class NotificationEvent(BaseMessage):
    action: Literal["notification"] = "notification"
    payload: Text


class StartProcessMessage(BaseMessage):
    action: Literal["start_process"] = "start_process"
    payload: None = None


class ProcessComplete(BaseMessage):
    action: Literal["process_complete"] = "process_complete"
    payload: int


class Undeclared(BaseMessage):
    action: Literal["surprise"] = "surprise"
    payload: int


class TestBaseConsumer(AsyncJsonWebsocketConsumer):
    """S3-2."""

    __test__ = False
    channel_layer_alias = "default"
    send_completion = True
    log_websocket_message = False


class ChatConsumer(TestBaseConsumer):
    __test__ = False
    groups = ["users"]

    @ws_handler
    async def ping(self, message: PingMessage) -> PongMessage:
        return PongMessage()

    @ws_handler(output_type=ChatNotification)
    async def chat(self, message: ChatMessage) -> None:
        await self.broadcast_message(ChatNotification(payload=message.payload))

    @ws_handler(output_type=StreamingMessage)
    async def stream(self, message: StreamMessage) -> None:
        for word in message.payload.message.split():
            await self.send_message(StreamingMessage(payload=Text(message=word)))
            await asyncio.sleep(0.1)
        await self.send_event(NotificationEvent(payload=Text(message="over")), self.channel_name)

    @ws_handler(output_type=ProcessComplete)
    async def start_process(self, message: StartProcessMessage) -> None:
        await self.send_message(ProcessComplete(payload=1))
        await self.send_message(PongMessage())

    @event_handler
    async def notify(self, event: NotificationEvent) -> NotificationEvent:
        return event


class QuietConsumer(ChatConsumer):
    """An application that emits no completions: its switch for tests is off."""

    __test__ = False
    send_completion = False


class SurprisingConsumer(ChatConsumer):
    __test__ = False

    @ws_handler
    async def ping(self, message: PingMessage) -> PongMessage:
        await self.send_message(PongMessage())
        await self.send_message(Undeclared(payload=1))
        return PongMessage()


class Fields(BaseModel):
    full_name: str


class Person(BaseMessage):
    action: Literal["person"] = "person"
    payload: Fields


class Camel(TestBaseConsumer):
    __test__ = False
    camelize = True

    @ws_handler
    async def person(self, message: Person) -> Person:
        return message


class Price(BaseMessage):
    action: Literal["price"] = "price"
    payload: int


class Prices(Topic):
    pattern = "prices.{symbol}"

    @ws_handler
    async def ask(self, message: PingMessage) -> Price:
        return Price(payload=7)


class Market(TestBaseConsumer):
    __test__ = False
    topics = [Prices]


def routed(consumer: Any) -> Any:
    async def endpoint(websocket: Any) -> None:
        await consumer.as_asgi()(websocket.scope, websocket.receive, websocket.send)

    return Starlette(routes=[WebSocketRoute("/ws/chat", endpoint), WebSocketRoute("/ws/room/test", endpoint)])


@pytest.fixture(autouse=True)
def layer():
    register_channel_layer("default", InMemoryChannelLayer())


@pytest.fixture
def app():
    return routed(ChatConsumer)


def test_s3_3_the_names_are_importable():
    from chanx import constants

    import farend.asgi

    assert farend.asgi.WebsocketCommunicator is WebsocketCommunicator
    # S3-13
    assert MESSAGE_ACTION_COMPLETE == constants.MESSAGE_ACTION_COMPLETE == "complete"
    assert GROUP_ACTION_COMPLETE == constants.GROUP_ACTION_COMPLETE == "group_complete"
    assert EVENT_ACTION_COMPLETE == constants.EVENT_ACTION_COMPLETE == "event_complete"


@pytest.mark.asyncio
async def test_ping_pong(app):
    """S3-1, S3-2, S3-4, S3-5, S3-8, S3-9, S3-10, S3-11, S3-14."""
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_message(PingMessage())
        messages = await comm.receive_all_messages()
        assert len(messages) == 1
        assert isinstance(messages[0], PongMessage)


@pytest.mark.asyncio
async def test_chat_broadcasting(app):
    """S3-6, S3-12, S3-14, S3-16."""
    async with (
        WebsocketCommunicator(app, "/ws/room/test", consumer=ChatConsumer) as first_comm,
        WebsocketCommunicator(app, "/ws/room/test", consumer=ChatConsumer) as second_comm,
    ):
        await first_comm.send_message(ChatMessage(payload={"message": "Hello"}))  # S3-9: the payload as a dict
        first_replies = await first_comm.receive_all_messages(stop_action=GROUP_ACTION_COMPLETE)
        second_replies = await second_comm.receive_all_messages(stop_action=GROUP_ACTION_COMPLETE)
        assert len(first_replies) == 1
        assert len(second_replies) == 1
        assert first_replies == second_replies == [ChatNotification(payload=Text(message="Hello"))]


@pytest.mark.asyncio
async def test_manual_use(app):
    """S3-7, S3-46: what connect() gives, and the arguments of disconnect()."""
    comm = WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer)
    assert await comm.connect() == (True, None)
    await comm.disconnect(code=1000)


@pytest.mark.asyncio
async def test_s3_5_it_disconnects_on_exceptions_too(app):
    with pytest.raises(KeyError):
        async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
            raise KeyError
    assert comm.transcript[-1].kind.name == "CLOSED"


@pytest.mark.parametrize("action", ["complete", "group_complete", "event_complete", "process_complete"])
@pytest.mark.asyncio
async def test_s3_12_stop_actions(app, action):
    """S3-12, S3-15: a custom stop message is part of the result, completions are not."""
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        if action == "process_complete":
            await comm.send_message(StartProcessMessage())
            messages = await comm.receive_all_messages(stop_action=action)
            assert messages == [ProcessComplete(payload=1)]
            assert await comm.receive_all_messages() == [PongMessage()]
            return
        if action == "event_complete":
            await ChatConsumer.broadcast_event(NotificationEvent(payload=Text(message="x")), groups=["users"])
        else:
            await comm.send_message(ChatMessage(payload=Text(message="x")) if "group" in action else PingMessage())
        assert len(await comm.receive_all_messages(stop_action=action, timeout=1.0)) == 1


@pytest.mark.asyncio
async def test_raw_json(app):
    """S3-17, S3-20, S3-24."""
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_json({"action": "ping"})
        assert await comm.receive_json(timeout=1.0) == {"action": "pong", "payload": None}
        assert await comm.receive_json() == {"action": "complete", "payload": None}
        await comm.send_json({"action": "ping"})
        assert [one["action"] for one in await comm.receive_all_json(timeout=2.0)] == ["pong", "complete"]


@pytest.mark.asyncio
async def test_s3_18_one_message(app):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_message(PingMessage())
        assert isinstance(await comm.receive_message(timeout=1.0), PongMessage)


@pytest.mark.asyncio
async def test_s3_19_nothing_fails_by_itself(app):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.receive_nothing(timeout=0.5)
        await comm.send_message(PingMessage())
        with pytest.raises(AssertionError, match="Expected nothing"):
            await comm.receive_nothing(timeout=0.5)


@pytest.mark.asyncio
async def test_s3_21_no_consumer(app):
    """It works without where completions come; where one can never come, the error says what to write."""
    async with WebsocketCommunicator(app, "/ws/chat") as comm:
        await comm.send_message(PingMessage())
        [pong] = await comm.receive_all_messages(stop_action="complete")
        assert pong.action == "pong"
    async with WebsocketCommunicator(routed(QuietConsumer), "/ws/chat") as comm:
        await comm.send_message(PingMessage())
        with pytest.raises(Failure, match=r"No consumer= was given(.|\n)*consumer=TheConsumer"):
            await comm.receive_all_messages(stop_action=GROUP_ACTION_COMPLETE)


@pytest.mark.asyncio
async def test_s3_2_an_application_that_emits_no_completions():
    """The stop action's job is done by settling."""
    async with WebsocketCommunicator(routed(QuietConsumer), "/ws/chat", consumer=QuietConsumer) as comm:
        for stop in ({}, {"stop_action": "complete"}, {"stop_action": GROUP_ACTION_COMPLETE}, {"stop_action": None}):
            await comm.send_message(ChatMessage(payload={"message": "Hello"}))
            assert await comm.receive_all_messages(**stop) == [ChatNotification(payload=Text(message="Hello"))]


@pytest.mark.asyncio
async def test_streaming_response(app):
    """S3-22, S3-23."""
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_message(StreamMessage(payload={"message": "one two three"}))
        messages = await comm.receive_all_messages(stop_action=EVENT_ACTION_COMPLETE, timeout=5.0)
        streaming = [message for message in messages if message.action == "streaming"]
        assert [message.payload.message for message in streaming] == ["one", "two", "three"]
        assert messages[-1].action == "notification"


@pytest.mark.parametrize("timeout", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.asyncio
async def test_s3_24_timeouts_are_seconds(app, timeout):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        assert await comm.receive_all_json(timeout=timeout) == []
        assert await comm.receive_nothing(timeout=timeout)


@pytest.mark.asyncio
async def test_s3_43_an_event_from_outside(app):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await ChatConsumer.broadcast_event(NotificationEvent(payload=Text(message="news")), groups=["users"])
        messages = await comm.receive_all_messages(stop_action=EVENT_ACTION_COMPLETE)
        assert len(messages) == 1


@pytest.mark.asyncio
async def test_s3_45_the_server_decides_what_an_invalid_message_is_answered_with(app):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_json({"invalid": "format"})
        assert [one["action"] for one in await comm.receive_all_json()] == ["error", "complete"]


@pytest.mark.asyncio
async def test_s3_46_defaults(app):
    import inspect

    def default(method, name):
        return inspect.signature(getattr(WebsocketCommunicator, method)).parameters[name].default

    for method in (
        "connect",
        "disconnect",
        "receive_json",
        "receive_all_json",
        "receive_all_messages",
        "receive_message",
    ):
        assert default(method, "timeout") == 1
    assert default("receive_nothing", "timeout") == 0.1
    assert default("disconnect", "code") == 1000
    comm = WebsocketCommunicator(
        app, "/ws/chat", [(b"origin", b"http://testserver")], ["v1"], "2.3", consumer=ChatConsumer
    )
    assert (await comm.connect())[0] is True
    await comm.disconnect()


@pytest.mark.asyncio
async def test_s3_47_assert_closed():
    class Closing(ChatConsumer):
        @ws_handler
        async def ping(self, message: PingMessage) -> None:
            await self.close(4001)

    async with WebsocketCommunicator(routed(Closing), "/ws/chat", consumer=Closing) as comm:
        await comm.send_message(PingMessage())
        await comm.assert_closed(4001)


@pytest.mark.asyncio
async def test_s3_47_camel_case_on_the_wire():
    async with WebsocketCommunicator(routed(Camel), "/ws/chat", consumer=Camel) as comm:
        await comm.send_message(Person(payload={"full_name": "Ada"}))
        assert comm.transcript.sent == ['{"action": "person", "payload": {"fullName": "Ada"}}']
        assert await comm.receive_all_messages() == [Person(payload={"full_name": "Ada"})]


@pytest.mark.asyncio
async def test_s3_48_a_stop_action_that_does_not_come_in_time(app):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        await comm.send_message(PingMessage())
        with pytest.raises(Failure, match=r"action 'group_complete' came(.|\n)*\"action\": \"pong\""):
            await comm.receive_all_messages(stop_action=GROUP_ACTION_COMPLETE, timeout=0.5)


@pytest.mark.asyncio
async def test_an_undeclared_action_shows_the_raw_message_and_loses_none_of_the_others():
    async with WebsocketCommunicator(routed(SurprisingConsumer), "/ws/chat", consumer=SurprisingConsumer) as comm:
        await comm.send_message(PingMessage())
        with pytest.raises(
            UndeclaredMessage, match=r"SurprisingConsumer does not declare: action 'surprise'"
        ) as caught:
            await comm.receive_all_messages()
        assert caught.value.raw == {"action": "surprise", "payload": 1}
        assert await comm.receive_all_messages() == [PongMessage(), PongMessage()]


@pytest.mark.asyncio
async def test_an_object_that_cannot_be_said(app):
    async with WebsocketCommunicator(app, "/ws/chat", consumer=ChatConsumer) as comm:
        with pytest.raises(WrongType, match="takes a message object"):
            await comm.send_message(object())


@pytest.mark.asyncio
async def test_topics():
    """Subscriptions, as chanx's own communicator has them."""
    async with WebsocketCommunicator(routed(Market), "/ws/chat", consumer=Market) as comm:
        answer = await comm.subscribe("prices.abc")
        assert answer["action"] == "subscribed"
        await comm.receive_all_json(0)
        await comm.send_message(PingMessage(), topic="prices.abc", ref="2")
        assert await comm.receive_topic_message(Prices) == Price(payload=7)
        await comm.receive_all_json(0)
        answer = await comm.unsubscribe("prices.abc", ref="3")
        assert answer["action"] == "unsubscribed"
