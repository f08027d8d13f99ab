"""docs/django.md: a project of Channels with login and groups; its consumer stands in tests/in_django/project/chat.py.

Needs Django configured, and so runs in a process of its own: see tests/test_django.py.
"""

# [case]
from farend.django import WebsocketTestCase


class TestMembersChat(WebsocketTestCase):
    ws_path = "/ws/members/tea/"

    async def test_a_member_hears_what_another_says(self):
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()

        friend, headers = await self.acreate_user_and_ws_headers()
        other = self.create_communicator(headers=headers)
        await other.connect()

        await other.send_json({"text": "hello"})
        said = {"by": friend.username, "text": "hello"}
        assert await self.auth_communicator.receive_all_json() == [said]
        assert await other.receive_all_json() == [said]

    async def test_who_has_not_logged_in_is_refused(self):
        assert await self.communicator.connect() == (False, 4403)

    # [/case]

    # [http]
    async def test_an_announcement_from_a_view(self):
        await self.auth_communicator.connect()
        elsewhere = self.create_communicator(ws_path="/ws/members/garage/")
        await elsewhere.connect()

        await self.async_client.post("/announce/tea/", {"text": "we close at five"})

        announced = {"by": "the house", "text": "we close at five"}
        assert await self.auth_communicator.receive_all_json() == [announced]
        await elsewhere.receive_nothing()

    # [/http]


# [token]
class TestWithTokens(WebsocketTestCase):
    ws_path = "/ws/token/"

    def login_headers(self, user):
        return [(b"authorization", f"Bearer {token_for(user)}".encode())]

    async def test_a_token_opens_the_door(self):
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()


# [/token]


def token_for(user):
    return f"user-{user.pk}"


# [fast]
from django.test import TestCase

from farend.django import WebsocketTests


class TestInATransaction(WebsocketTests, TestCase):
    ws_path = "/ws/members/tea/"

    async def test_a_member_is_let_in(self):
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()


# [/fast]

# [pytest]
import pytest


@pytest.fixture
def ws_path():
    return "/ws/members/tea/"


@pytest.mark.asyncio
async def test_a_member_hears_what_another_says(auth_communicator, create_communicator, acreate_user_and_ws_headers):
    await auth_communicator.connect()
    friend, headers = await acreate_user_and_ws_headers()
    other = create_communicator(headers=headers)
    await other.connect()

    await other.send_json({"text": "hello"})
    assert await auth_communicator.receive_all_json() == [{"by": friend.username, "text": "hello"}]


@pytest.mark.asyncio
async def test_who_has_not_logged_in_is_refused(communicator):
    assert await communicator.connect() == (False, 4403)


# [/pytest]

# [capture]
from channels.layers import get_channel_layer

from farend.asgi import capture_group_sends


def test_what_a_view_announces(client):
    with capture_group_sends(get_channel_layer()) as captured:
        client.post("/announce/tea/", {"text": "we close at five"})
    assert captured == [
        {"group": "room_tea", "message": {"type": "said", "by": "the house", "text": "we close at five"}}
    ]


# [/capture]
