"""WebSockets of a Django project, tested in process: a test case, and the same as fixtures for pytest-django.

    from farend.django import WebsocketTestCase

    class TestChat(WebsocketTestCase):
        ws_path = "/ws/chat/"

        async def test_hello(self):
            await self.auth_communicator.connect()
            assert await self.auth_communicator.exchange({"text": "hello"}) == [{"text": "hello"}]

Needs Django and Channels: `pip install 'farend[django]'`.
"""

from __future__ import annotations

from farend.errors import MissingExtra

try:
    import channels  # noqa: F401
    import django  # noqa: F401
except ImportError as error:
    raise MissingExtra(f"farend.django needs Django and Channels ({error}): pip install 'farend[django]'") from None

from farend.django.application import websocket_application
from farend.django.authentication import Authentication
from farend.django.case import WebsocketTestCase, WebsocketTests
from farend.django.communicator import DjangoCommunicator
from farend.django.users import create_user, session_headers

__all__ = [
    "Authentication",
    "DjangoCommunicator",
    "WebsocketTestCase",
    "WebsocketTests",
    "create_user",
    "session_headers",
    "websocket_application",
]
