"""Whether somebody is authenticated, as the application has it.

A consumer of chanx says it, in a message. Channels' `AuthMiddleware` says nothing; it puts a user into a copy
of the scope, which the consumer gets to see. So that is where it is looked for: in the scope of the innermost
application that waits, on the stack of the coroutine that runs the application.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from http import HTTPStatus
from http.client import responses
from typing import Any, Final

from farend.errors import WrongState

AUTHENTICATION: Final = "authentication"
"""The action of the message by which chanx's authenticators say how it went."""


@dataclass(frozen=True)
class AuthenticationPayload:
    """`status_code` is 200 for whoever is authenticated, and an HTTP status from 400 on for others."""

    status_code: int
    status_text: str
    data: Any = None


@dataclass(frozen=True)
class Authentication:
    """Whether somebody was authenticated, in the shape of chanx's `AuthenticationMessage`."""

    payload: AuthenticationPayload
    action: str = AUTHENTICATION


def of_status(status: int, data: Any = None) -> Authentication:
    """The authentication that an HTTP status stands for."""
    return Authentication(AuthenticationPayload(int(status), responses.get(status, ""), data))


# -- said by the consumer ------------------------------------------------------------------------

_SNAKE: Final = {"statusCode": "status_code", "statusText": "status_text"}


def authentication_said(said: str | bytes) -> Any:
    """A message as the authentication message that it is, or None."""
    try:
        message = json.loads(said)
        if message["action"] != AUTHENTICATION:
            return None
        # chanx writes in camelCase where a project asks for it
        payload = {_SNAKE.get(name, name): value for name, value in message["payload"].items()}
        chanx = sys.modules.get("chanx.messages.outgoing")
        if chanx is not None:
            return chanx.AuthenticationMessage(payload=payload)
        return Authentication(AuthenticationPayload(**payload))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


# -- seen in the application ---------------------------------------------------------------------


def status_inside(task: asyncio.Task[Any] | None) -> int:
    """What an application thinks of the user, which has accepted the connection and runs in `task`."""
    scope, consumer = _innermost(task)
    if getattr(consumer, "authenticator", None) is not None:
        return HTTPStatus.OK
    user = scope.get("user")
    if user is None:
        raise WrongState(
            "nothing authenticates this connection: its consumer has no authenticator, and its scope no user; "
            "wrap the routes in AuthMiddlewareStack(…)"
        )
    return HTTPStatus.OK if user.is_authenticated else HTTPStatus.FORBIDDEN


def _innermost(task: asyncio.Task[Any] | None) -> tuple[dict[str, Any], Any]:
    """The scope of the innermost application that runs in a task, and the object that it was given to."""
    scope: dict[str, Any] = {}
    consumer = None
    running: Any = task.get_coro() if task is not None else None
    while running is not None:
        frame = getattr(running, "cr_frame", None)
        if frame is not None and isinstance(frame.f_locals.get("scope"), dict):
            scope, consumer = frame.f_locals["scope"], frame.f_locals.get("self")
        running = getattr(running, "cr_await", None)
    return scope, consumer
