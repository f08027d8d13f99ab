"""Finds the application that serves a project's WebSockets, and says what is missing where there is none."""

from __future__ import annotations

from typing import Any, Final

from django.core.handlers.asgi import ASGIHandler
from django.utils.module_loading import import_string

from farend.errors import NotConfigured

_WRITE: Final = (
    "write application = ProtocolTypeRouter({'http': get_asgi_application(), 'websocket': AuthMiddlewareStack("
    "URLRouter([…]))})"
)


def websocket_application() -> Any:
    """The project's ASGI application, which the setting `ASGI_APPLICATION` names: whole, with all its middleware.

    Raises `NotConfigured` if the setting is missing, if what it names cannot be imported, or if that serves
    no WebSockets.
    """
    __tracebackhide__ = True
    from django.conf import settings  # at the top, doctest's look at a module's names would ask it for settings

    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        raise NotConfigured(
            "ASGI_APPLICATION is not set, so that no application can be found to test; in the settings, write "
            "ASGI_APPLICATION = 'project.asgi.application', or give the application itself (router=…)"
        )
    try:
        application = import_string(name)
    except ImportError as error:
        raise NotConfigured(f"ASGI_APPLICATION = {name!r} cannot be imported: {error}") from error
    if isinstance(application, ASGIHandler):
        raise NotConfigured(f"{name} is Django's own application, which serves no WebSockets; in its place, {_WRITE}")
    served = getattr(application, "application_mapping", None)  # of Channels' ProtocolTypeRouter
    if served is not None and "websocket" not in served:
        raise NotConfigured(f"{name} serves {', '.join(served) or 'nothing'}, and no 'websocket'; {_WRITE}")
    if not callable(application):
        raise NotConfigured(f"{name} is no ASGI application, but {application!r}; {_WRITE}")
    return application
