"""The origin that a test comes from."""

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator

from farend.django.origins import host_of, origin_for, refusal

routes = URLRouter([])


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        (["chat.example"], "http://chat.example"),
        ([".chat.example"], "http://chat.example"),
        (["https://.chat.example:8443"], "https://chat.example:8443"),
        (["*"], "http://testserver"),
        (["*", "chat.example"], "http://chat.example"),
        (["[::1]"], "http://[::1]"),
    ],
)
def test_the_validator_is_asked(allowed, origin):
    application = ProtocolTypeRouter({"websocket": AuthMiddlewareStack(OriginValidator(routes, allowed))})
    assert origin_for(application) == origin
    assert refusal(application, origin) is None


def test_a_validator_that_allows_none():
    application = OriginValidator(routes, [])
    assert origin_for(application) == "http://testserver"
    assert refusal(application, "http://testserver").endswith("is not among those that the application allows: []")


def test_one_that_was_made_before_django_allowed_its_test_server(settings):
    settings.ALLOWED_HOSTS, settings.DEBUG = [], True
    application = AllowedHostsOriginValidator(AuthMiddlewareStack(routes))
    settings.ALLOWED_HOSTS, settings.DEBUG = ["testserver"], False
    assert origin_for(application) == "http://localhost"
    assert origin_for(AllowedHostsOriginValidator(routes)) == "http://testserver"


@pytest.mark.parametrize(("hosts", "origin"), [([], "http://testserver"), (["a.b"], "http://a.b")])
def test_without_a_validator_the_settings_are_asked(settings, hosts, origin):
    settings.ALLOWED_HOSTS = hosts
    for application in (routes, AuthMiddlewareStack(routes), ProtocolTypeRouter({"websocket": routes})):
        assert origin_for(application) == origin
        assert refusal(application, "http://elsewhere.example") is None


def test_an_application_without_an_end():
    class Endless:
        @property
        def inner(self):
            return self

    assert refusal(Endless(), "http://elsewhere.example") is None


def test_the_host_of_an_origin():
    assert host_of("https://chat.example:8443") == "chat.example:8443"
