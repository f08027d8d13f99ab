"""What the tests connect to."""

from django.urls import path

from project import chanx_consumers, consumers
from project.chat import MembersChat

routes = [
    path("ws/members/<str:name>/", MembersChat.as_asgi()),
    path("ws/who/", consumers.WhoConsumer.as_asgi()),
    path("ws/anonymous/", consumers.AnonymousConsumer.as_asgi()),
    path("ws/room/<str:name>/", consumers.RoomConsumer.as_asgi()),
    path("ws/groups/", consumers.GroupsConsumer.as_asgi()),
    path("ws/quiet/", consumers.QuietConsumer.as_asgi()),
    path("ws/sync/", consumers.SyncConsumer.as_asgi()),
    path("ws/broken/", consumers.BrokenConsumer.as_asgi()),
    path("ws/chat/", chanx_consumers.ChatConsumer.as_asgi()),
    path("ws/open/", chanx_consumers.OpenConsumer.as_asgi()),
    path("ws/token/", chanx_consumers.TokenConsumer.as_asgi()),
    path("ws/assistant/", chanx_consumers.AssistantConsumer.as_asgi()),
]
