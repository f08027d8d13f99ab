"""Who was let in, and who not: `wait_for_auth` with Channels' own middleware, with chanx, and with neither."""

import re
import sys
from types import SimpleNamespace

import pytest
from channels.auth import AuthMiddlewareStack
from chanx.messages.outgoing import AuthenticationMessage
from project.asgi import application
from project.chanx_consumers import ChatConsumer
from project.consumers import AnonymousConsumer

from farend import Failure, Rejected, WrongState
from farend.django import Authentication, DjangoCommunicator, create_user, session_headers
from farend.django.authentication import AuthenticationPayload, authentication_said
from farend.django.cleaning import connections_closed
from farend.errors import UndeclaredMessage

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """As the fixture `create_communicator` has it, which these tests do without."""
    with connections_closed():
        yield


@pytest.fixture
def headers(transactional_db):
    return session_headers(create_user())


def communicator(path, headers=(), **options):
    return DjangoCommunicator(application, path, headers, **options)


async def test_channels_own_session(headers):
    async with communicator("/ws/who/", headers) as comm:
        auth = await comm.wait_for_auth()
        assert auth == Authentication(AuthenticationPayload(200, "OK"))
        assert auth.action == "authentication"
        assert await comm.wait_for_auth() is auth
        await comm.assert_authenticated_status_ok()


async def test_nobody_is_refused_before_the_accept():
    comm = communicator("/ws/who/")
    assert await comm.connect() == (False, 4403)
    assert (await comm.wait_for_auth()).payload == AuthenticationPayload(403, "Forbidden")
    with pytest.raises(Failure, match="The connection was not authenticated: 403 Forbidden"):
        await comm.assert_authenticated_status_ok()


async def test_nobody_is_accepted_by_a_consumer_for_all_and_yet_not_authenticated(headers):
    async with communicator("/ws/anonymous/") as comm:
        assert (await comm.wait_for_auth()).payload.status_code == 403
        assert await comm.exchange({}) == [{"anonymous": True}]
    async with communicator("/ws/anonymous/", headers) as comm:
        await comm.assert_authenticated_status_ok()


async def test_a_session_that_is_none():
    async with communicator("/ws/anonymous/", [(b"cookie", b"sessionid=of-nobody")]) as comm:
        assert (await comm.wait_for_auth()).payload.status_code == 403


async def test_chanxs_message_that_nobody_has_taken_is_explained(headers):
    async with communicator("/ws/chat/", headers, consumer=ChatConsumer) as comm:
        with pytest.raises(UndeclaredMessage, match=r"take it first, by `await comm\.wait_for_auth\(\)`"):
            await comm.receive_all_messages()


async def test_chanx_says_it_in_a_message(headers):
    async with communicator("/ws/chat/", headers, consumer=ChatConsumer) as comm:
        auth = await comm.wait_for_auth()
        assert isinstance(auth, AuthenticationMessage)
        assert auth.payload.status_code == 200
        await comm.receive_nothing()


async def test_the_message_may_be_left_where_it_is(headers):
    async with communicator("/ws/chat/", headers, consumer=ChatConsumer) as comm:
        auth = await comm.wait_for_auth(send_authentication_message=False)
        assert auth == Authentication(AuthenticationPayload(200, "OK"))
        assert (await comm.receive_json())["action"] == "authentication"


async def test_the_message_may_be_insisted_on(headers):
    async with communicator("/ws/who/", headers) as comm:
        with pytest.raises(Failure, match="No authentication message came, and none can come"):
            await comm.wait_for_auth(send_authentication_message=True)
        await comm.assert_authenticated_status_ok()


def application_that(*events):
    async def one(scope, receive, send):
        await receive()
        for event in events:
            await send(event)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return one


ACCEPT = {"type": "websocket.accept"}


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([ACCEPT, {"type": "websocket.close", "code": 4401}], 401),
        ([ACCEPT, {"type": "websocket.close", "code": 4599}], 599),
        ([ACCEPT, {"type": "websocket.close", "code": 1008}], 403),
        ([{"type": "websocket.close", "code": 4000}], 403),
        (
            [
                {"type": "websocket.http.response.start", "status": 418, "headers": []},
                {"type": "websocket.http.response.body", "body": b""},
            ],
            418,
        ),
    ],
)
async def test_a_refusal_has_its_status(events, status):
    comm = DjangoCommunicator(application_that(*events), "/")
    await comm.connect()
    assert (await comm.wait_for_auth()).payload.status_code == status
    await comm.disconnect()


async def test_what_is_no_authentication_message_is_left_for_the_test():
    said = {"type": "websocket.send", "text": '{"action": "welcome"}'}
    user = SimpleNamespace(is_authenticated=True)
    async with DjangoCommunicator(application_that(ACCEPT, said), "/", user=user) as comm:
        await comm.assert_authenticated_status_ok()
        assert await comm.receive_json() == {"action": "welcome"}


async def test_where_nothing_authenticates_it_cannot_be_said():
    async with DjangoCommunicator(application_that(ACCEPT), "/") as comm:
        with pytest.raises(WrongState, match=r"nothing authenticates this connection: .*AuthMiddlewareStack"):
            await comm.wait_for_auth()


async def test_before_the_connect_and_after_the_disconnect_it_cannot_be_said():
    comm = DjangoCommunicator(AuthMiddlewareStack(AnonymousConsumer.as_asgi()), "/")
    with pytest.raises(WrongState, match="not connected"):
        await comm.wait_for_auth()
    await comm.connect()
    await comm.disconnect()
    with pytest.raises(WrongState, match="has disconnected; ask for the authentication before that"):
        await comm.wait_for_auth()


@pytest.mark.parametrize(
    "said",
    ["", "[]", "7", "{}", '{"action": "authentication"}', '{"action": "authentication", "payload": {"a": 1}}', b"\xff"],
)
async def test_odd_messages_are_noauthentication_said(said):
    assert authentication_said(said) is None


@pytest.mark.parametrize("name", ["status_code", "statusCode"])
@pytest.mark.parametrize("chanx", [True, False])
async def test_a_message_in_snake_case_or_camel_case(name, chanx, monkeypatch):
    if not chanx:
        monkeypatch.delitem(sys.modules, "chanx.messages.outgoing")
    text = f'{{"action": "authentication", "payload": {{"{name}": 200, "status_text": "OK", "data": 1}}}}'
    payload = authentication_said(text).payload
    assert (payload.status_code, payload.status_text, payload.data) == (200, "OK", 1)


async def test_the_origin_is_one_that_the_project_allows():
    async with communicator("/ws/anonymous/") as comm:
        sent = dict(comm.scope["headers"])
        assert (sent[b"host"], sent[b"origin"]) == (b"chat.example", b"http://chat.example")
    async with communicator("/ws/anonymous/", {"Origin": "https://www.chat.example"}) as comm:
        sent = dict(comm.scope["headers"])
        assert (sent[b"host"], sent[b"origin"]) == (b"www.chat.example", b"https://www.chat.example")
    async with communicator("/ws/anonymous/", {"Host": "chat.example:8000"}) as comm:
        sent = dict(comm.scope["headers"])
        assert (sent[b"host"], sent[b"origin"]) == (b"chat.example:8000", b"http://chat.example:8000")


@pytest.mark.parametrize("headers", [{"origin": "http://elsewhere.example"}, {"host": "elsewhere.example"}])
async def test_an_origin_that_is_not_allowed_is_named(headers):
    why = r"its origin, http://elsewhere.example, is not among those that the application allows: \['.chat.example"
    with pytest.raises(Rejected) as raised:
        async with communicator("/ws/anonymous/", headers):
            pass
    assert re.search(f"It may be that {why}", "".join(raised.value.__notes__))
    comm = communicator("/ws/anonymous/", headers)
    assert (await comm.connect()).accepted is False
    with pytest.raises(Failure, match=rf"403 Forbidden \({why}"):
        await comm.assert_authenticated_status_ok()


async def test_a_rejection_for_another_reason_has_no_note_on_the_origin():
    with pytest.raises(Rejected) as raised:
        async with communicator("/ws/who/"):
            pass
    assert not hasattr(raised.value, "__notes__")
