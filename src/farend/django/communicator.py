"""The communicator of a Django project: it comes from an allowed origin, and knows whether it was let in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from farend.asgi import WebsocketCommunicator
from farend.asgi.opening import Opening
from farend.asgi.session import State
from farend.asgi.waiting import TIMEOUT
from farend.django.authentication import Authentication, authentication_said, of_status, status_inside
from farend.django.explained import name_the_routes, without_layer
from farend.django.layers import layers_out_of_memory
from farend.django.origins import host_of, origin_for, refusal
from farend.errors import Failure, Rejected, Unsettled, WrongState


class DjangoCommunicator(WebsocketCommunicator):
    """A `farend.asgi.WebsocketCommunicator` for Django projects; test cases and fixtures make it.

    It comes from an origin that the project allows, so that Channels' `AllowedHostsOriginValidator` lets it
    pass; headers `host` and `origin` of your own take the place of that.
    """

    _authentication: Any = None

    async def wait_for_auth(
        self,
        send_authentication_message: bool | None = None,
        max_auth_time: float = 0.5,
        after_auth_time: float = 0.1,
    ) -> Any:
        """How the authentication ended: an object whose `.payload.status_code` is 200 for success.

        It is chanx's `AuthenticationMessage`, where the consumer sends one; it is taken then, and is not among
        the messages that come. Where it sends none, it is an `Authentication`, judged by what the consumer
        sees and does: 200 if the user in its scope has logged in, or if an authenticator of chanx's has
        let it pass; the status of the HTTP response or of the close code 4400 to 4599, if it was refused;
        else 403. A second call gives the same.

        `send_authentication_message` is True to insist on the message, and False to leave it where it is.
        The times are seconds of the application's clock, and nobody sleeps through them: `max_auth_time` for
        the message to come, `after_auth_time` for what the application does after it.

        Raises `WrongState` where nothing authenticates, and `Failure` for a message that did not come.
        """
        __tracebackhide__ = True
        if self._authentication is not None:
            return self._authentication
        said = None if send_authentication_message is False else await self._said(max_auth_time)
        if said is None and send_authentication_message:
            raise Failure(self._story("No authentication message came, and none can come."))
        await self._settle(after_auth_time)
        self._authentication = self._judged() if said is None else said
        return self._authentication

    async def assert_authenticated_status_ok(self, max_auth_time: float = 0.5) -> None:
        """The connection was authenticated, with status 200; see `wait_for_auth`. Raises `Failure` if not."""
        __tracebackhide__ = True
        payload = (await self.wait_for_auth(max_auth_time=max_auth_time)).payload
        if payload.status_code != HTTPStatus.OK:
            why = f" ({payload.data})" if payload.data else ""
            text = f"The connection was not authenticated: {payload.status_code} {payload.status_text}{why}."
            raise Failure(self._story(text))

    async def disconnect(self, code: int = 1000, timeout: float = TIMEOUT, reason: str = "") -> None:
        """Close the WebSocket, and wait until the application has ended; see `WebsocketCommunicator.disconnect`.

        Where the project's layer is Redis, the application calms down first: redis-py may lose a cancellation
        that comes while it connects, and the consumer would end some seconds later.
        """
        __tracebackhide__ = True
        try:
            if self.is_open and any(layers_out_of_memory()):
                await self.settle()
        except Unsettled:
            pass  # `disconnect` says it, if the application does not end
        finally:
            await super().disconnect(code, timeout, reason)

    @property
    def is_open(self) -> bool:
        """Whether the application still runs for it."""
        return self._session is not None and not self._session.has_ended

    async def _said(self, within: float) -> Any:
        """The authentication message, taken, if it is the first that comes; None if it is not."""
        session = self._connected()
        while not session.outbox and session.state is not State.CLOSED:
            if not await self._more(within):
                return None
        if not session.outbox or (message := authentication_said(session.outbox[0])) is None:
            return None
        session.outbox.popleft()
        return message

    def _judged(self) -> Authentication:
        __tracebackhide__ = True
        session = self._connected()
        if session.state is State.OPEN:
            return of_status(status_inside(session.task))
        if session.accepted is None and (why := refusal(self._app, self._origin())):
            return of_status(HTTPStatus.FORBIDDEN, why)
        if session.response is not None:
            return of_status(session.response["status"])
        if session.close_code is None:
            raise WrongState("the communicator has disconnected; ask for the authentication before that")
        refused = session.close_code - 4000  # as chanx has it
        return of_status(refused if refused in range(400, 600) else HTTPStatus.FORBIDDEN)

    def _error(self) -> BaseException | None:
        error = super()._error()
        if error is None:
            return None
        name_the_routes(error)
        return without_layer(error) or error

    def _all_headers(self) -> list[tuple[bytes, bytes]]:
        given = dict(self._headers)
        if b"origin" not in given:
            host = given.get(b"host", b"").decode("latin-1")
            origin = f"http://{host}" if host else origin_for(self._app)
            self._headers.append((b"origin", origin.encode("latin-1")))
        if b"host" not in given:
            self._headers.insert(0, (b"host", host_of(self._origin()).encode("latin-1")))
        return super()._all_headers()

    def _origin(self) -> str:
        return dict(self._headers)[b"origin"].decode("latin-1")

    def _raise_unless_accepted(self, opening: Opening) -> None:
        __tracebackhide__ = True
        try:
            super()._raise_unless_accepted(opening)
        except Rejected as error:
            if why := refusal(self._app, self._origin()):
                error.add_note(f"It may be that {why}.")
            raise
