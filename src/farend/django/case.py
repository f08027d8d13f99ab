"""Django's test case for WebSockets.

An async test of Django's runs on an event loop of its own, which ends with it. So the communicators are
closed there: not in `tearDown`, which comes when the loop, and all that ran on it, has gone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.test import TransactionTestCase

from farend.django.application import websocket_application
from farend.django.cleaning import Communicators, connections_closed
from farend.django.communicator import DjangoCommunicator
from farend.django.layers import layers_watched
from farend.django.users import Headers, create_user, session_headers
from farend.errors import MissingAttribute, NotConfigured, WrongState, WrongType


class WebsocketTests:
    """What `WebsocketTestCase` adds to a test case of Django's; put it before the one that you have.

    `class TestChat(WebsocketTests, TestCase)` runs each test in a transaction, which is faster; it serves
    where all that the application does with the database happens in Django's thread for it, as by
    `database_sync_to_async` and the async methods of models.
    """

    ws_path: str = ""
    """Where the communicators connect to, such as `/ws/chat/`; set by the class, or by its `setUp`."""
    consumer: Any = None
    """The consumer class behind it, for those that declare their messages, as chanx's do."""
    router: Any = None
    """The application under test; the one that `ASGI_APPLICATION` names, where it is None."""
    user: Any = None
    """Who `auth_communicator` is logged in as."""
    ws_headers: Headers
    """What `get_ws_headers()` gave; for `auth_communicator`, and others that are given no headers."""
    subprotocols: list[str]
    """What `get_subprotocols()` gave."""

    # -- to be overridden -------------------------------------------------------------------------

    def get_ws_headers(self) -> Headers:
        """The headers of `auth_communicator`, called in `setUp`: here, those of a new user, who becomes `self.user`."""
        self.user, headers = self.create_user_and_ws_headers()
        return headers

    def get_subprotocols(self) -> list[str]:
        """The subprotocols that the communicators offer, called in `setUp`: none."""
        return []

    def create_user(self) -> Any:
        """A new user in the database; override it where a user of your project needs more than a name."""
        __tracebackhide__ = True
        return create_user()

    def login_headers(self, user: Any) -> Headers:
        """The headers by which `user` is known: the cookie of a new session.

        Override it for another way, such as `[(b"authorization", f"Bearer {token_for(user)}".encode())]`.
        """
        return session_headers(user)

    # -- to be used -------------------------------------------------------------------------------

    def create_user_and_ws_headers(self) -> tuple[Any, Headers]:
        """A new user, and the headers by which it is known. Async tests call `acreate_user_and_ws_headers`."""
        __tracebackhide__ = True
        user = self.create_user()
        return user, self.login_headers(user)

    async def acreate_user_and_ws_headers(self) -> tuple[Any, Headers]:
        """`create_user_and_ws_headers`, for async tests."""
        return await sync_to_async(self.create_user_and_ws_headers)()

    @functools.cached_property
    def auth_communicator(self) -> DjangoCommunicator:
        """The communicator of `self.user`: not yet connected, and the same one all through a test."""
        __tracebackhide__ = True
        if self._no_user is not None:
            raise self._no_user
        return self.create_communicator()

    @functools.cached_property
    def communicator(self) -> DjangoCommunicator:
        """A communicator of somebody who has not logged in: not yet connected, the same one all through a test."""
        __tracebackhide__ = True
        return self.create_communicator(headers=[])

    def create_communicator(
        self,
        *,
        router: Any = None,
        ws_path: str | None = None,
        headers: Any = None,
        subprotocols: list[str] | None = None,
        consumer: Any = None,
    ) -> DjangoCommunicator:
        """One more communicator, which is disconnected when the test is over.

        What is not given is taken from the test case: `router`, `ws_path`, `ws_headers`, `subprotocols`,
        `consumer`. `headers` are `(name, value)` pairs of bytes; `[]` is somebody who has not logged in.

        Raises `MissingAttribute`, an `AttributeError`, where there is no path, and `NotConfigured` where the
        project has no application for WebSockets.
        """
        __tracebackhide__ = True
        path = self.ws_path if ws_path is None else ws_path
        if not path:
            raise MissingAttribute(
                f"ws_path is not set in {type(self).__name__}; write ws_path = '/ws/…/' in the class, "
                "or set self.ws_path in setUp()"
            )
        if not hasattr(self, "ws_headers"):
            raise WrongState(f"setUp() of {type(self).__name__} does not call super().setUp(), which makes the headers")
        return self._communicators.create(
            router or self.router or websocket_application(),
            path,
            headers=self.ws_headers if headers is None else headers,
            subprotocols=self.subprotocols if subprotocols is None else subprotocols,
            consumer=consumer or self.consumer,
        )

    # -- in Django's test case --------------------------------------------------------------------

    _no_user: NotConfigured | None = None

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        try:
            self.ws_headers = _checked(self.get_ws_headers(), self)
        except NotConfigured as error:
            # A test of what anybody may do needs no user, so that only who asks for one is told.
            self.ws_headers, self._no_user = [], error
        self.subprotocols = self.get_subprotocols()

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._close_at_the_end()
        return super().__call__(*args, **options)  # type: ignore[misc]

    def debug(self) -> None:
        self._close_at_the_end()
        super().debug()  # type: ignore[misc]

    def _close_at_the_end(self) -> None:
        """Have the test's method close what it has opened: async, on the loop that Django runs it on."""
        self._communicators = Communicators()
        name: str = self._testMethodName  # type: ignore[attr-defined]
        method: Callable[[], Any] = getattr(self, name)

        @functools.wraps(method)
        async def async_test() -> None:
            __tracebackhide__ = True
            with layers_watched():
                async with self._communicators:
                    await method()

        @functools.wraps(method)
        def test() -> None:
            __tracebackhide__ = True
            with connections_closed(), layers_watched():  # for applications that a `with` runs
                method()

        setattr(self, name, async_test if inspect.iscoroutinefunction(method) else test)


class WebsocketTestCase(WebsocketTests, TransactionTestCase):  # type: ignore[misc]
    """A test case of Django's with communicators for the project's WebSockets.

        class TestChat(WebsocketTestCase):
            ws_path = "/ws/chat/"

            async def test_hello(self):
                await self.auth_communicator.connect()
                await self.auth_communicator.send_json({"text": "hello"})
                assert await self.auth_communicator.receive_all_json() == [{"text": "hello"}]

    It finds the ASGI application by the setting `ASGI_APPLICATION`. `auth_communicator` has logged in as
    `self.user`, a user of the database, by a session; `communicator` has not; `create_communicator(…)` makes
    further ones. All of them are disconnected at the end of each test, on its event loop; what the application
    raises then fails the test. Channels' in-memory layers are emptied, too.

    A `TransactionTestCase`, because an application may use the database from any thread; `WebsocketTests`
    is for those who want another one. The names are those of seed 003; to come from chanx, change the import.
    """


def _checked(headers: Any, case: object) -> Headers:
    if inspect.iscoroutine(headers):
        headers.close()
        raise WrongType(
            f"get_ws_headers() of {type(case).__name__} is async, and setUp() cannot await it; write it as a plain "
            "def, with create_user_and_ws_headers()"
        )
    if not isinstance(headers, Iterable) or isinstance(headers, str | bytes):
        raise WrongType(
            f"get_ws_headers() of {type(case).__name__} gives {headers!r}; it returns the headers, as pairs of name "
            "and value, or []"
        )
    return list(headers.items() if isinstance(headers, Mapping) else headers)
