"""Consumers of chanx, as seed 003 tests them."""

import asyncio
from typing import Literal

from chanx.channels.authenticator import DjangoAuthenticator
from chanx.channels.websocket import AsyncJsonWebsocketConsumer
from chanx.core.authenticator import BaseAuthenticator
from chanx.core.decorators import channel, event_handler, ws_handler
from chanx.messages.base import BaseMessage
from chanx.messages.incoming import PingMessage
from chanx.messages.outgoing import AuthenticationMessage, AuthenticationPayload, PongMessage
from pydantic import BaseModel
from rest_framework.permissions import IsAuthenticated


class Text(BaseModel):
    message: str


class ChatMessage(BaseMessage):
    action: Literal["chat"] = "chat"
    payload: Text


class ChatReply(BaseMessage):
    action: Literal["chat_reply"] = "chat_reply"
    payload: Text


class RoomMessage(BaseMessage):
    action: Literal["room"] = "room"
    payload: Text


class RoomNotice(BaseMessage):
    action: Literal["room_notice"] = "room_notice"
    payload: Text


class ProtectedMessage(BaseMessage):
    action: Literal["protected"] = "protected"
    payload: None = None


class NotificationEvent(BaseMessage):
    action: Literal["notification"] = "notification"
    payload: Text


class NotificationMessage(BaseMessage):
    action: Literal["notified"] = "notified"
    payload: Text


class StreamingMessage(BaseMessage):
    action: Literal["streaming"] = "streaming"
    payload: Text


class GenerateStoryMessage(BaseMessage):
    action: Literal["story"] = "story"
    payload: dict


class StoryEvent(BaseMessage):
    action: Literal["tell"] = "tell"
    payload: Text


class SessionAuthenticator(DjangoAuthenticator):
    permission_classes = [IsAuthenticated]


@channel(name="chat")
class ChatConsumer(AsyncJsonWebsocketConsumer[NotificationEvent]):
    """For users who have logged in; each is in a group of their own, and all are in `users`."""

    authenticator_class = SessionAuthenticator
    channel_layer_alias = "default"
    groups = ["users"]

    async def post_authentication(self):
        await self.join_group(f"user_{self.authenticator.user.pk}")

    @ws_handler
    async def ping(self, message: PingMessage) -> PongMessage:
        return PongMessage()

    @ws_handler
    async def chat(self, message: ChatMessage) -> ChatReply:
        return ChatReply(payload=message.payload)

    @ws_handler(output_type=RoomNotice)
    async def room(self, message: RoomMessage) -> None:
        await self.broadcast_message(RoomNotice(payload=message.payload), groups=["users"])

    @event_handler
    async def notify(self, event: NotificationEvent) -> NotificationMessage:
        return NotificationMessage(payload=event.payload)


@channel(name="open")
class OpenConsumer(AsyncJsonWebsocketConsumer):
    """For everybody: it has no authenticator."""

    channel_layer_alias = "default"

    @ws_handler
    async def ping(self, message: PingMessage) -> PongMessage:
        return PongMessage()


class TokenAuthenticator(BaseAuthenticator):
    """Takes a bearer token, `user-<primary key>`, as a project with JWT would."""

    async def authenticate(self, scope):
        token = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        known = token.startswith("user-")
        self.status_code = 200 if known else 401
        status = AuthenticationPayload(status_code=self.status_code, status_text="OK" if known else "Unauthorized")
        await self.send_message(AuthenticationMessage(payload=status))
        return known


@channel(name="token")
class TokenConsumer(AsyncJsonWebsocketConsumer):
    authenticator_class = TokenAuthenticator
    channel_layer_alias = "default"

    @ws_handler
    async def ping(self, message: PingMessage) -> PongMessage:
        return PongMessage()


@channel(name="assistant")
class AssistantConsumer(AsyncJsonWebsocketConsumer[StoryEvent]):
    """Tells a story in pieces, from a task of its own, by an event."""

    channel_layer_alias = "default"

    @ws_handler(output_type=StreamingMessage)
    async def story(self, message: GenerateStoryMessage) -> None:
        asyncio.ensure_future(self.send_event(StoryEvent(payload={"message": "once"}), self.channel_name))  # noqa: RUF006

    @event_handler(output_type=StreamingMessage)
    async def tell(self, event: StoryEvent) -> None:
        for piece in ("Once", "upon", "a time"):
            await asyncio.sleep(0.001)
            await self.send_message(StreamingMessage(payload={"message": piece}))
