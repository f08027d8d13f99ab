"""The application is found, or it is said what is missing."""

import pytest
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
from django.test import override_settings
from project.asgi import application

from farend import NotConfigured
from farend.django import websocket_application

plain = get_asgi_application()
http_only = ProtocolTypeRouter({"http": plain})
empty = ProtocolTypeRouter({})
broken = 7


async def bare(scope, receive, send): ...


HERE = "importable_applications"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """pytest imports this module under a name of its own."""
    import sys
    import types

    module = types.ModuleType(HERE)
    vars(module).update(plain=plain, http_only=http_only, empty=empty, broken=broken, bare=bare)
    monkeypatch.setitem(sys.modules, HERE, module)


def test_it_is_what_the_setting_names():
    assert websocket_application() is application


@override_settings(ASGI_APPLICATION=f"{HERE}.bare")
def test_it_need_not_be_one_of_channels():
    assert websocket_application() is bare


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (None, r"ASGI_APPLICATION is not set, .*ASGI_APPLICATION = 'project.asgi.application'.*router="),
        ("", "ASGI_APPLICATION is not set"),
        ("application", "'application' cannot be imported: application doesn't look like a module path"),
        ("project.asgy.application", "'project.asgy.application' cannot be imported: No module named 'project.asgy'"),
        ("project.asgi.app", 'cannot be imported: .* does not define a "app" attribute'),
        (f"{HERE}.plain", "plain is Django's own application, which serves no WebSockets.*ProtocolTypeRouter"),
        (f"{HERE}.http_only", "http_only serves http, and no 'websocket'; write application = ProtocolTypeRouter"),
        (f"{HERE}.empty", "empty serves nothing, and no 'websocket'"),
        (f"{HERE}.broken", "broken is no ASGI application, but 7"),
    ],
)
def test_what_is_missing_is_named(setting, text):
    with override_settings(ASGI_APPLICATION=setting), pytest.raises(NotConfigured, match=text):
        websocket_application()


def test_the_setting_may_be_missing_altogether(settings):
    del settings.ASGI_APPLICATION
    with pytest.raises(NotConfigured, match="ASGI_APPLICATION is not set"):
        websocket_application()
