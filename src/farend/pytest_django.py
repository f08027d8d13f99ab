"""What `farend.django.WebsocketTestCase` gives, as fixtures for those who use pytest-django.

farend's plugin brings them in where pytest-django has found a project's settings; elsewhere, write
`pytest_plugins = ["farend.pytest_django"]` in a `conftest.py`. A project overrides `ws_path`, and what else
it has its own of:

    @pytest.fixture
    def ws_path():
        return "/ws/chat/"

    @pytest.mark.asyncio
    async def test_hello(auth_communicator):
        await auth_communicator.connect()
        assert await auth_communicator.exchange({"text": "hello"}) == [{"text": "hello"}]

The communicators are closed around the body of the test, on its event loop: so it does not matter which
plugin runs the loop. Nothing of Django is imported before a fixture is used.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from farend.django.cleaning import Communicators
    from farend.django.communicator import DjangoCommunicator
    from farend.django.users import Headers

# -- to be overridden -----------------------------------------------------------------------------


@pytest.fixture
def ws_path() -> str:
    """Where the communicators connect to, such as `/ws/chat/`. Override it, or give `ws_path=` to each."""
    return ""


@pytest.fixture
def ws_consumer() -> Any:
    """The consumer class behind `ws_path`, for those that declare their messages, as chanx's do."""
    return None


@pytest.fixture
def ws_subprotocols() -> list[str]:
    """The subprotocols that the communicators offer: none."""
    return []


@pytest.fixture
def ws_create_user(transactional_db: None) -> Callable[[], Any]:
    """A function that makes a user; override it where a user of your project needs more than a name."""
    from farend.django import create_user

    return create_user


@pytest.fixture
def ws_login() -> Callable[[Any], Headers]:
    """A function that gives the headers by which a user is known: here, the cookie of a new session."""
    from farend.django import session_headers

    return session_headers


# -- to be used -----------------------------------------------------------------------------------


@pytest.fixture
def ws_user(ws_create_user: Callable[[], Any]) -> Any:
    """Who `auth_communicator` is logged in as: a new user of the database."""
    return ws_create_user()


@pytest.fixture
def create_user_and_ws_headers(
    ws_create_user: Callable[[], Any], ws_login: Callable[[Any], Headers]
) -> Callable[[], tuple[Any, Headers]]:
    """A function that makes a user, and gives it with the headers by which it is known; for plain tests."""

    def create_user_and_ws_headers() -> tuple[Any, Headers]:
        user = ws_create_user()
        return user, ws_login(user)

    return create_user_and_ws_headers


@pytest.fixture
def acreate_user_and_ws_headers(
    create_user_and_ws_headers: Callable[[], tuple[Any, Headers]],
) -> Callable[[], Awaitable[tuple[Any, Headers]]]:
    """`create_user_and_ws_headers`, for async tests."""
    from asgiref.sync import sync_to_async

    return sync_to_async(create_user_and_ws_headers)


@pytest.fixture
def create_communicator(
    request: pytest.FixtureRequest,
    transactional_db: None,
    ws_path: str,
    ws_consumer: Any,
    ws_subprotocols: list[str],
) -> Iterator[Callable[..., DjangoCommunicator]]:
    """A function that makes a communicator, which is disconnected when the test is over.

    It takes `router`, `ws_path`, `headers`, `subprotocols` and `consumer`, each by its name; with no `headers`
    it is somebody who has not logged in.
    """
    from farend.django import websocket_application
    from farend.django.cleaning import Communicators, connections_closed
    from farend.django.layers import layers_watched
    from farend.errors import MissingAttribute, WrongState

    communicators = Communicators()

    def create_communicator(
        *,
        router: Any = None,
        ws_path: str = ws_path,
        headers: Any = (),
        subprotocols: list[str] = ws_subprotocols,
        consumer: Any = ws_consumer,
    ) -> DjangoCommunicator:
        if not ws_path:
            raise MissingAttribute(
                "ws_path is not set: override the fixture ws_path, or give it: create_communicator(ws_path='/ws/…/')"
            )
        return communicators.create(
            router or websocket_application(), ws_path, headers=headers, subprotocols=subprotocols, consumer=consumer
        )

    item: Any = request.node
    function = item.obj
    if inspect.iscoroutinefunction(function):
        item.obj = _closing(function, communicators)
    with connections_closed(), layers_watched():
        yield create_communicator
    item.obj = function
    if communicators.are_open:
        raise WrongState(
            "a communicator is still connected, because create_communicator was not known when the test began: "
            "name it as an argument of the test, or disconnect what it makes"
        )


@pytest.fixture
def auth_communicator(
    create_communicator: Callable[..., DjangoCommunicator], ws_user: Any, ws_login: Callable[[Any], Headers]
) -> DjangoCommunicator:
    """The communicator of `ws_user`, not yet connected."""
    return create_communicator(headers=ws_login(ws_user))


@pytest.fixture
def communicator(create_communicator: Callable[..., DjangoCommunicator]) -> DjangoCommunicator:
    """A communicator of somebody who has not logged in, not yet connected."""
    return create_communicator()


def _closing(function: Callable[..., Awaitable[Any]], communicators: Communicators) -> Callable[..., Awaitable[Any]]:
    """The test's function, which closes the communicators."""

    @functools.wraps(function)
    async def test(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        async with communicators:
            return await function(*args, **options)

    return test
