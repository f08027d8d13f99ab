"""The example of docs/django.md: a chat for members, with rooms as groups, and a view that announces."""

# [consumer]
from channels.generic.websocket import AsyncJsonWebsocketConsumer


class MembersChat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        if not self.scope["user"].is_authenticated:
            await self.close(4403)
            return
        self.room = f"room_{self.scope['url_route']['kwargs']['name']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        if hasattr(self, "room"):
            await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content):
        by = self.scope["user"].get_username()
        await self.channel_layer.group_send(self.room, {"type": "said", "by": by, "text": content["text"]})

    async def said(self, event):
        await self.send_json({"by": event["by"], "text": event["text"]})


# [/consumer]

# [view]
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.http import HttpResponse


def announce(request, name):
    announcement = {"type": "said", "by": "the house", "text": request.POST["text"]}
    async_to_sync(get_channel_layer().group_send)(f"room_{name}", announcement)
    return HttpResponse(status=204)


# [/view]
