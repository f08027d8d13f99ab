"""Where a test comes from: an origin that the project's own validator lets pass, as a browser on its pages would.

Django allows `testserver` in tests, and Channels' `AllowedHostsOriginValidator` takes the allowed hosts when
the application is imported, which may have been before. So the validator itself is asked.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

MOST_LAYERS: Final = 50
"""How far into an application is looked: there are objects, such as mocks, whose every attribute is one more."""


def origin_for(application: Any) -> str:
    """An origin that `application` allows, such as `http://testserver`."""
    from django.conf import settings

    validator = _validator(application)
    allowed = settings.ALLOWED_HOSTS if validator is None else validator.allowed_origins
    pattern = next((one for one in allowed if one != "*"), "testserver")
    scheme, _, host = pattern.rpartition("://")
    return f"{scheme or 'http'}://{host.removeprefix('.')}"  # `.example.com` is that host, and all below it


def host_of(origin: str) -> str:
    """The host and port of an origin."""
    return urlsplit(origin).netloc


def refusal(application: Any, origin: str) -> str | None:
    """That the validator of `application` does not allow this origin; None if it does, or if there is none."""
    validator = _validator(application)
    if validator is None or validator.valid_origin(urlsplit(origin)):
        return None
    return f"its origin, {origin}, is not among those that the application allows: {list(validator.allowed_origins)}"


def _validator(application: Any) -> Any:
    """Channels' `OriginValidator`, if the application has one around its routes."""
    from channels.security.websocket import OriginValidator

    layer = getattr(application, "application_mapping", {}).get("websocket", application)
    for _ in range(MOST_LAYERS):
        if layer is None or isinstance(layer, OriginValidator):
            return layer
        layer = getattr(layer, "inner", None) or getattr(layer, "application", None)
    return None
