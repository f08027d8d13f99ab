"""The fixtures for pytest-django: on pytest-asyncio and on anyio, with what a project overrides."""

from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from project.chanx_consumers import TokenConsumer

from farend import MissingAttribute, WrongState, pytest_django


@pytest.fixture
def ws_path():
    return "/ws/who/"


@pytest.mark.asyncio
async def test_somebody_who_has_logged_in(auth_communicator, ws_user):
    await auth_communicator.connect()
    await auth_communicator.assert_authenticated_status_ok()
    assert await auth_communicator.exchange({}) == [{"username": ws_user.get_username(), "asked": {}}]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
async def test_on_anyio(auth_communicator, ws_user):
    await auth_communicator.connect()
    await auth_communicator.assert_authenticated_status_ok()
    assert await auth_communicator.exchange({}) == [{"username": ws_user.get_username(), "asked": {}}]


@pytest.mark.asyncio
async def test_somebody_who_has_not(communicator):
    assert await communicator.connect() == (False, 4403)


@pytest.mark.asyncio
async def test_further_ones(create_communicator, acreate_user_and_ws_headers):
    users = []
    for _ in range(2):
        user, headers = await acreate_user_and_ws_headers()
        comm = create_communicator(headers=headers, ws_path="/ws/room/one/")
        await comm.connect()
        users.append((user, comm))
    said = {"text": "hi", "by": users[0][0].get_username()}
    assert await users[0][1].exchange({"text": "hi"}) == [said]
    assert await users[1][1].receive_all_json() == [said]


def test_in_a_plain_test(create_communicator, create_user_and_ws_headers):
    user, headers = create_user_and_ws_headers()
    with create_communicator(headers=headers) as comm:
        assert comm.exchange({}) == [{"username": user.get_username(), "asked": {}}]


def test_no_path_is_said(create_communicator):
    with pytest.raises(MissingAttribute, match="ws_path is not set: override the fixture ws_path"):
        create_communicator(ws_path="")


@pytest.mark.django_db
def test_nothing_is_left():
    assert get_user_model().objects.count() == 0
    assert get_channel_layer().groups == {}


class TestToken:
    """A project with tokens: it says how a user is known, and has all the rest."""

    @pytest.fixture
    def ws_path(self):
        return "/ws/token/"

    @pytest.fixture
    def ws_consumer(self):
        return TokenConsumer

    @pytest.fixture
    def ws_login(self):
        return lambda user: [(b"authorization", f"Bearer user-{user.pk}".encode())]

    @pytest.mark.asyncio
    async def test_a_token(self, auth_communicator):
        await auth_communicator.connect()
        await auth_communicator.assert_authenticated_status_ok()


class TestSubprotocols:
    @pytest.fixture
    def ws_subprotocols(self):
        return ["json"]

    @pytest.mark.asyncio
    async def test_one_is_chosen(self, auth_communicator):
        assert await auth_communicator.connect() == (True, "json")


class TestCreation:
    @pytest.fixture
    def ws_create_user(self, transactional_db):
        numbers = iter(range(10))
        return lambda: get_user_model().objects.create_user(f"ada-{next(numbers)}")

    @pytest.mark.asyncio
    async def test_users_of_ones_own(self, ws_user, acreate_user_and_ws_headers):
        second, _ = await acreate_user_and_ws_headers()
        assert (ws_user.username, second.username) == ("ada-0", "ada-1")


class TestUser:
    @pytest.fixture
    def ws_user(self, transactional_db):
        return get_user_model().objects.create_user("ada")

    @pytest.mark.asyncio
    async def test_a_user_of_ones_own(self, auth_communicator):
        await auth_communicator.connect()
        assert await auth_communicator.exchange({}) == [{"username": "ada", "asked": {}}]


_kept = []


@pytest.fixture
def judged_afterwards():
    """Set up first, and so torn down last."""
    _kept.clear()
    yield
    assert len(_kept) == 1
    assert not _kept[0].is_open


@pytest.mark.asyncio
async def test_it_is_disconnected_at_the_end(judged_afterwards, auth_communicator):
    await auth_communicator.connect()
    _kept.append(auth_communicator)


@pytest.mark.asyncio
async def test_it_is_disconnected_after_a_failure(judged_afterwards, auth_communicator, request):
    request.applymarker(pytest.mark.xfail(strict=True, raises=ZeroDivisionError))
    await auth_communicator.connect()
    _kept.append(auth_communicator)
    raise ZeroDivisionError


@pytest.mark.asyncio
async def test_what_the_application_raises_at_the_end_fails_the_test(communicator, create_communicator, request):
    request.applymarker(pytest.mark.xfail(strict=True, raises=ZeroDivisionError))
    await create_communicator(ws_path="/ws/broken/").connect()


@pytest.mark.asyncio
async def test_async_code_of_the_tests_own_shares_the_database(auth_communicator, ws_user):
    assert await sync_to_async(get_user_model().objects.get)() == ws_user


@pytest.mark.asyncio
async def test_one_that_came_too_late_to_be_disconnected_is_told(transactional_db):
    late = SimpleNamespace(node=SimpleNamespace(obj=lambda: None))
    steps = pytest_django.create_communicator.__wrapped__(late, None, "/ws/anonymous/", None, [])
    comm = next(steps)()
    await comm.connect()
    with pytest.raises(WrongState, match="a communicator is still connected, .* name it as an argument of the test"):
        next(steps)
    await comm.disconnect()
