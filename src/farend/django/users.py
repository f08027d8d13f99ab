"""Real users, and the headers by which a browser that has logged in is known."""

from __future__ import annotations

import itertools
from typing import Any, Final

from django.core.exceptions import SynchronousOnlyOperation
from django.db import models, transaction

from farend.errors import NotConfigured, WrongState

Headers = list[tuple[bytes, bytes]]

_numbers: Final = itertools.count(1)


def create_user(**fields: Any) -> Any:
    """A new user in the database, of the project's user model; `fields` are its fields, where they matter.

    The name is `ws-user-1`, `ws-user-2` and so on (an e-mail address, where the model has that in its place),
    and the password cannot be used, which saves the time of hashing one. Fields that the model lists as
    `REQUIRED_FIELDS` are filled in where they are text.

    Raises `NotConfigured` if the project has no users, or if its model needs more than this, and `WrongState` on an
    event loop, where Django does not let the database be used like this.
    """
    __tracebackhide__ = True
    if not _installed("django.contrib.auth"):
        raise NotConfigured("the project has no users: django.contrib.auth is not in INSTALLED_APPS")
    from django.contrib.auth import get_user_model

    model = get_user_model()
    number = next(_numbers)
    made_up = {
        name: _made_up(model._meta.get_field(name), f"ws-user-{number}")
        for name in (model.USERNAME_FIELD, *model.REQUIRED_FIELDS)
    }
    fields = {name: value for name, value in made_up.items() if value is not None} | fields
    manager = model._default_manager
    create = getattr(manager, "create_user", manager.create)
    try:
        with transaction.atomic():  # what fails must not spoil a test that runs in a transaction
            return create(**fields)
    except SynchronousOnlyOperation:
        raise WrongState(
            "a user is made in the database, which an async test reaches by `await` alone: write "
            "`await acreate_user_and_ws_headers()`, or `await sync_to_async(create_user)()`"
        ) from None
    except Exception as error:
        raise NotConfigured(
            f"no {model.__name__} could be made of {fields} ({type(error).__name__}: {error}); "
            "make one that fits your project: override create_user(), or in pytest the fixture ws_create_user"
        ) from error


def session_headers(user: Any) -> Headers:
    """The headers of a browser in which `user` has logged in: the cookie of a real session, as `list[tuple]`.

    Raises `NotConfigured` if the project has no sessions.
    """
    from django.conf import settings
    from django.test import Client

    if settings.SESSION_ENGINE.endswith((".db", ".cached_db")) and not _installed("django.contrib.sessions"):
        raise NotConfigured(
            "nobody can log in by a session: django.contrib.sessions is not in INSTALLED_APPS; "
            "for another way, override login_headers(user), or in pytest the fixture ws_login"
        )
    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    return [(b"cookie", cookie.encode("latin-1"))]


def _installed(app: str) -> bool:
    from django.apps import apps

    return bool(apps.is_installed(app))


def _made_up(field: Any, name: str) -> Any:
    """A value for a field that every user has to have; None where nothing can be made up."""
    if isinstance(field, models.EmailField) or field.name == "email":
        return f"{name}@example.com"
    return name if isinstance(field, models.CharField | models.TextField) else None
