"""Plain consumers of Channels."""

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from django.contrib.auth import get_user_model


class WhoConsumer(AsyncJsonWebsocketConsumer):
    """For users who have logged in; says who they are, as the database has it."""

    async def connect(self):
        if not self.scope["user"].is_authenticated:
            await self.close(4403)
            return
        await self.accept("json" if "json" in self.scope["subprotocols"] else None)

    async def receive_json(self, content):
        user = await database_sync_to_async(get_user_model().objects.get)(pk=self.scope["user"].pk)
        await self.send_json({"username": user.get_username(), "asked": content})


class AnonymousConsumer(AsyncJsonWebsocketConsumer):
    """For everybody, those too who have not logged in."""

    async def receive_json(self, content):
        await self.send_json({"anonymous": self.scope["user"].is_anonymous})


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """A chat room: what one member says, all members of the room hear."""

    async def connect(self):
        self.group = f"room_{self.scope['url_route']['kwargs']['name']}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content):
        by = self.scope["user"].get_username()
        await self.channel_layer.group_send(self.group, {"type": "room.said", "text": content["text"], "by": by})

    async def room_said(self, event):
        await self.send_json({"text": event["text"], "by": event["by"]})


class GroupsConsumer(AsyncJsonWebsocketConsumer):
    """Is in a group because its class says so."""

    groups = ["all"]


class QuietConsumer(AsyncJsonWebsocketConsumer):
    """Answers what it knows and may be asked, and nothing else, to nobody."""

    async def receive_json(self, content):
        if content.get("action") == "protected" and self.scope["user"].is_authenticated:
            await self.send_json({"action": "granted"})


class SyncConsumer(JsonWebsocketConsumer):
    """Handles its messages in a thread."""

    def receive_json(self, content):
        self.send_json({"users": get_user_model().objects.count()})


class BrokenConsumer(AsyncJsonWebsocketConsumer):
    """Raises: at a message, or at the end of the connection."""

    async def receive_json(self, content):
        raise ZeroDivisionError("at a message")

    async def disconnect(self, code):
        raise ZeroDivisionError("at the end")
