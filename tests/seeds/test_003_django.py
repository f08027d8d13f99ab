"""Seed 003, the part on Django and chanx: S3-1 to S3-3 and S3-25 to S3-47, its examples with only the imports changed.

Needs Django configured, and so runs in a process of its own: see tests/test_django.py.
"""

import unittest

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from chanx.messages.incoming import PingMessage
from chanx.messages.outgoing import AuthenticationMessage, ErrorMessage, PongMessage
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import override_settings
from project.chanx_consumers import (
    AssistantConsumer,
    ChatConsumer,
    ChatMessage,
    ChatReply,
    GenerateStoryMessage,
    NotificationEvent,
    NotificationMessage,
    OpenConsumer,
    ProtectedMessage,
    RoomMessage,
    TokenConsumer,
)

from farend import Failure
from farend.asgi import EVENT_ACTION_COMPLETE, GROUP_ACTION_COMPLETE, capture_broadcast_events
from farend.django import WebsocketTestCase


class TestChatConsumer(WebsocketTestCase):
    """S3-32, S3-33, S3-34: the set-up of the seed's examples."""

    consumer = ChatConsumer

    def setUp(self):
        super().setUp()
        self.ws_path = "/ws/chat/"

    def get_ws_headers(self):
        self.user, headers = self.create_user_and_ws_headers()
        return headers

    # -- the examples -----------------------------------------------------------------------------

    async def test_authenticated_chat(self):
        """S3-3, S3-35, S3-38, S3-40, S3-42."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()

        await self.auth_communicator.send_message(ChatMessage(payload={"message": "Hello"}))

        messages = await self.auth_communicator.receive_all_messages()
        assert len(messages) >= 1

        # beyond the seed: exactly what it is
        assert messages == [ChatReply(payload={"message": "Hello"})]

    async def test_multi_user_chat(self):
        """S3-34, S3-37."""
        # First user
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()

        # Second user
        second_user, second_headers = await self.acreate_user_and_ws_headers()
        second_comm = self.create_communicator(headers=second_headers)
        await second_comm.connect()
        await second_comm.assert_authenticated_status_ok()

        # Test interaction between users
        assert second_user != self.user
        await self.auth_communicator.send_message(RoomMessage(payload={"message": "all"}))
        for one in (self.auth_communicator, second_comm):
            notices = await one.receive_all_messages(stop_action=GROUP_ACTION_COMPLETE)
            assert [notice.payload.message for notice in notices] == ["all"]

    async def test_connection_lifecycle(self):
        """S3-41; that it is cleaned up, TestCleanUp shows."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()

        # Use connection
        await self.auth_communicator.send_message(PingMessage())
        messages = await self.auth_communicator.receive_all_messages()

        # Cleanup handled automatically
        assert len(messages) == 1
        assert isinstance(messages[0], PongMessage)

    async def test_event_broadcasting(self):
        """S3-43."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()

        # Send event from outside WebSocket (HTTP view, task, etc.)
        await ChatConsumer.broadcast_event(
            NotificationEvent(payload={"message": "System notification"}), groups=[f"user_{self.user.id}"]
        )

        messages = await self.auth_communicator.receive_all_messages(stop_action=EVENT_ACTION_COMPLETE)
        assert len(messages) == 1
        assert messages == [NotificationMessage(payload={"message": "System notification"})]

    async def test_an_event_from_synchronous_code(self):
        """S3-43: a view, a signal or a task is often no coroutine."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        event = NotificationEvent(payload={"message": "from a thread"})
        await sync_to_async(ChatConsumer.broadcast_event_sync)(event, groups=f"user_{self.user.id}")
        messages = await self.auth_communicator.receive_all_messages(stop_action=EVENT_ACTION_COMPLETE)
        assert messages == [NotificationMessage(payload={"message": "from a thread"})]

    async def test_notification_broadcast(self):
        """S3-3, S3-25, S3-26, S3-27, S3-28."""
        # Capture broadcast events (default: suppress=True, no actual broadcast)
        with capture_broadcast_events(ChatConsumer) as captured:
            await ChatConsumer.broadcast_event(
                NotificationEvent(payload={"message": "Test notification"}), groups=["users"]
            )

        # Assert on captured events
        assert len(captured) == 1
        assert captured[0]["event"].action == "notification"
        assert captured[0]["event"].payload.message == "Test notification"
        assert captured[0]["groups"] == ["users"]
        assert captured[0].event == NotificationEvent(payload={"message": "Test notification"})
        assert captured[0].groups == ["users"]

    async def test_multiple_broadcasts(self):
        """S3-29, S3-30, S3-31."""
        with capture_broadcast_events(ChatConsumer) as captured:
            # Send multiple events
            await ChatConsumer.broadcast_event(
                NotificationEvent(payload={"message": "First"}), groups=["group1", "group2"]
            )
            await ChatConsumer.broadcast_event(NotificationEvent(payload={"message": "Second"}), groups="single_group")

        # Filter and assert on specific events
        assert len(captured) == 2
        assert captured[0]["groups"] == ["group1", "group2"]
        assert captured[1]["groups"] == "single_group"

        # Filter events by action
        notifications = [e for e in captured if e["event"].action == "notification"]
        assert len(notifications) == 2

        await ChatConsumer.broadcast_event(NotificationEvent(payload={"message": "after"}), groups="single_group")
        assert len(captured) == 2

    async def test_capture_without_suppressing(self):
        """S3-26."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        # Set suppress=False to capture AND actually broadcast events
        with capture_broadcast_events(ChatConsumer, suppress=False) as captured:
            await ChatConsumer.broadcast_event(
                NotificationEvent(payload={"message": "Broadcast and capture"}), groups=["users"]
            )
            # Events are both captured and sent to channel layer

        assert len(captured) == 1
        messages = await self.auth_communicator.receive_all_messages(stop_action=EVENT_ACTION_COMPLETE)
        assert [message.payload.message for message in messages] == ["Broadcast and capture"]

    async def test_a_suppressed_broadcast_reaches_nobody(self):
        """S3-26."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        with capture_broadcast_events(ChatConsumer):
            await ChatConsumer.broadcast_event(NotificationEvent(payload={"message": "no"}), groups=["users"])
        await self.auth_communicator.receive_nothing()

    async def test_failed_authentication(self):
        """S3-36, S3-39."""
        await self.communicator.connect()

        # Test failed authentication
        auth_msg = await self.communicator.wait_for_auth()
        assert auth_msg.payload.status_code == 403

        assert isinstance(auth_msg, AuthenticationMessage)
        await self.communicator.assert_closed(4403)
        with pytest.raises(Failure, match="The connection was not authenticated: 403 Forbidden"):
            await self.communicator.assert_authenticated_status_ok()

    async def test_a_message_that_is_no_message_is_answered_as_the_server_answers_it(self):
        """S3-45: chanx answers `error` and `complete`; farend does not hide that."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        await self.auth_communicator.send_json({"invalid": "format"})
        with pytest.raises(Failure, match="(?s)Expected nothing, and the application said:.*error.*complete"):
            await self.auth_communicator.receive_nothing(timeout=0.5)
        (message,) = await self.auth_communicator.receive_all_messages()
        assert isinstance(message, ErrorMessage)


class TestQuietConsumer(WebsocketTestCase):
    """The seed's negative examples, with a server that does what they say: it answers nothing."""

    def setUp(self):
        super().setUp()
        self.ws_path = "/ws/quiet/"

    async def test_no_unauthorized_messages(self):
        """S3-36, S3-44."""
        # Connect without authentication
        await self.communicator.connect()

        # Send a message that should be rejected
        await self.communicator.send_message(ProtectedMessage())

        # Verify no response is sent (should timeout)
        await self.communicator.receive_nothing(timeout=0.5)

    async def test_invalid_message_ignored(self):
        """S3-45."""
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()

        # Send invalid JSON
        await self.auth_communicator.send_json({"invalid": "format"})

        # Should receive no messages back
        await self.auth_communicator.receive_nothing(timeout=0.5)

    async def test_the_negative_examples_would_fail_if_something_came(self):
        """S3-19, S3-44."""
        await self.auth_communicator.connect()
        await self.auth_communicator.send_message(ProtectedMessage())
        with pytest.raises(Failure, match="granted"):
            await self.auth_communicator.receive_nothing(timeout=0.5)


class TestAssistant(WebsocketTestCase):
    consumer = AssistantConsumer
    ws_path = "/ws/assistant/"

    async def test_streaming_response(self):
        """S3-22, S3-23."""
        await self.communicator.connect()
        await self.communicator.send_message(GenerateStoryMessage(payload={"prompt": "Tell me a story"}))

        messages = await self.communicator.receive_all_messages(
            stop_action=EVENT_ACTION_COMPLETE,
            timeout=5.0,  # Longer timeout for AI responses
        )

        streaming_messages = [m for m in messages if m.action == "streaming"]
        assert len(streaming_messages) >= 1
        assert [m.payload.message for m in streaming_messages] == ["Once", "upon", "a time"]


class TestSettings(WebsocketTestCase):
    """S3-1: completions are a setting, which a test may change; farend knows without them."""

    consumer = OpenConsumer
    ws_path = "/ws/open/"

    async def test_the_settings_are_those_of_the_seed(self):
        assert settings.CHANX == {
            "SEND_COMPLETION": True,
            "LOG_WEBSOCKET_MESSAGE": False,
            "LOG_IGNORED_ACTIONS": [],
        }
        await self.communicator.connect()
        await self.communicator.send_message(PingMessage())
        assert await self.communicator.receive_all_json() == [
            {"action": "pong", "payload": None},
            {"action": "complete", "payload": None},
        ]

    @override_settings(CHANX={"SEND_COMPLETION": False})
    async def test_without_completions_all_messages_are_received_as_well(self):
        await self.communicator.connect()
        await self.communicator.send_message(PingMessage())
        assert await self.communicator.receive_all_messages() == [PongMessage()]
        await self.communicator.receive_nothing()

    async def test_a_base_consumer_has_the_settings_as_attributes(self):
        """S3-2: an attribute of the class wins over the setting."""

        class TestBaseConsumer(OpenConsumer):
            send_completion = False
            log_websocket_message = False

        comm = self.create_communicator(router=TestBaseConsumer.as_asgi(), consumer=TestBaseConsumer)
        await comm.connect()
        await comm.send_message(PingMessage())
        assert await comm.receive_all_json() == [{"action": "pong", "payload": None}]

    @override_settings(CHANX={})
    async def test_where_chanx_is_not_configured_a_test_does_not_need_it(self):
        await self.communicator.connect()
        await self.communicator.send_message(PingMessage())
        assert await self.communicator.receive_all_messages() == [PongMessage()]

    @override_settings(CHANX={"SEND_COMPLETION": True, "CAMELIZE": True})
    async def test_camel_case_on_the_wire(self):
        """S3-47."""
        await self.communicator.connect()
        await self.communicator.send_message(PingMessage())
        assert await self.communicator.receive_all_messages() == [PongMessage()]


@override_settings(CHANX={"CAMELIZE": True})
class TestCamelCase(WebsocketTestCase):
    """S3-47: the authentication message, too, is in camelCase then."""

    consumer = ChatConsumer
    ws_path = "/ws/chat/"

    async def test_authentication(self):
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        assert await self.communicator.connect() == (True, None)
        assert (await self.communicator.wait_for_auth()).payload.status_text == "Forbidden"


class TestToken(WebsocketTestCase):
    """S3-34: another way to be known, in the place of the session."""

    consumer = TokenConsumer
    ws_path = "/ws/token/"

    def login_headers(self, user):
        return [(b"authorization", f"Bearer user-{user.pk}".encode())]

    async def test_a_token(self):
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        assert await sync_to_async(Session.objects.count)() == 0
        await self.auth_communicator.send_message(PingMessage())
        assert await self.auth_communicator.receive_all_messages() == [PongMessage()]

    async def test_no_token(self):
        await self.communicator.connect()
        assert (await self.communicator.wait_for_auth()).payload.status_code == 401


class TestOverriddenCreation(WebsocketTestCase):
    """S3-34: `create_user_and_ws_headers` itself may be overridden, as suites that come from chanx do."""

    consumer = TokenConsumer
    ws_path = "/ws/token/"

    def create_user_and_ws_headers(self):
        user = self.create_user()
        return user, [(b"authorization", f"Bearer user-{user.pk}".encode())]

    def get_ws_headers(self):
        self.user, headers = self.create_user_and_ws_headers()
        return headers

    async def test_it_is_used_by_its_async_twin(self):
        second, headers = await self.acreate_user_and_ws_headers()
        assert headers == [(b"authorization", f"Bearer user-{second.pk}".encode())]
        for comm in (self.auth_communicator, self.create_communicator(headers=headers)):
            await comm.connect()
            await comm.assert_authenticated_status_ok()


class TestDefaults(WebsocketTestCase):
    """S3-46, S3-47."""

    ws_path = "/ws/who/"

    def get_subprotocols(self):
        return ["json"]

    async def test_a_connect_gives_what_was_answered(self):
        assert await self.auth_communicator.connect() == (True, "json")
        assert await self.communicator.connect() == (False, 4403)
        await self.auth_communicator.disconnect(code=1001)

    async def test_a_communicator_of_its_own(self):
        comm = self.create_communicator(ws_path="/ws/anonymous/", headers=[], subprotocols=[])
        assert await comm.connect() == (True, None)

    async def test_all_is_by_keyword(self):
        with pytest.raises(TypeError):
            self.create_communicator("/ws/anonymous/")

    async def test_a_router_in_the_place_of_the_application(self):
        async def router(scope, receive, send):
            await send({"type": "websocket.accept"})
            await receive()
            await send({"type": "websocket.close", "code": 4000})

        comm = self.create_communicator(router=router, subprotocols=[])
        await comm.connect()
        await comm.assert_closed(4000)


class TestNoPath(WebsocketTestCase):
    async def test_an_unset_path_is_an_attribute_error_that_says_so(self):
        """S3-47."""
        with pytest.raises(AttributeError, match="^ws_path is not set in TestNoPath; write ws_path = "):
            self.communicator  # noqa: B018
        with pytest.raises(AttributeError, match="ws_path is not set in TestNoPath"):
            self.create_communicator()
        assert self.create_communicator(ws_path="/ws/chat/") is not None


class ConnectsAndLeaves(WebsocketTestCase):
    """Not collected: `test_every_communicator_is_cleaned_up` runs it."""

    consumer = ChatConsumer
    ws_path = "/ws/chat/"
    __test__ = False

    async def connects(self):
        comms = [self.auth_communicator, self.create_communicator(), self.communicator, self.create_communicator()]
        for comm in comms[:3]:  # one of them never connects
            await comm.connect()
        ConnectsAndLeaves.kept = comms
        ConnectsAndLeaves.members = len(get_channel_layer().groups["users"])


@pytest.mark.django_db(transaction=True)
def test_every_communicator_is_cleaned_up():
    """S3-41: after each test, none of its connections is left, and nobody is in a group."""
    result = unittest.TestResult()
    ConnectsAndLeaves("connects")(result)
    assert result.wasSuccessful(), result
    assert ConnectsAndLeaves.members == 2  # the third was not let in
    for comm in ConnectsAndLeaves.kept[:3]:
        assert comm._session.has_ended
    assert get_channel_layer().groups == {}
