"""Users, and the headers by which they are known."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import models
from django.test import modify_settings, override_settings

from farend import NotConfigured, WrongState
from farend.django import create_user, session_headers

pytestmark = pytest.mark.django_db


def test_a_user_is_in_the_database():
    one, other = create_user(), create_user(first_name="Ada")
    assert get_user_model().objects.get(pk=one.pk) == one
    assert one.get_username().startswith("ws-user-")
    assert one.get_username() != other.get_username()
    assert other.first_name == "Ada"
    assert not one.has_usable_password()
    assert create_user(username="ada", password="secret").check_password("secret")


@pytest.mark.asyncio
async def test_in_an_async_test_a_user_is_made_by_await():
    with pytest.raises(WrongState, match=r"write `await acreate_user_and_ws_headers\(\)`"):
        create_user()


def test_a_session_is_a_real_one():
    user = create_user()
    ((name, value),) = session_headers(user)
    assert name == b"cookie"
    key = value.decode().removeprefix("sessionid=")
    assert Session.objects.get(pk=key).get_decoded()["_auth_user_id"] == str(user.pk)


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies", SESSION_COOKIE_NAME="s")
def test_another_kind_of_session():
    ((_, value),) = session_headers(create_user())
    assert value.startswith(b"s=")
    assert Session.objects.count() == 0


@modify_settings(INSTALLED_APPS={"remove": "django.contrib.sessions"})
def test_no_sessions():
    with pytest.raises(
        NotConfigured, match=r"django.contrib.sessions is not in INSTALLED_APPS; .*login_headers\(user\)"
    ):
        session_headers(create_user())


@modify_settings(INSTALLED_APPS={"remove": "django.contrib.auth"})
def test_no_users():
    with pytest.raises(NotConfigured, match="django.contrib.auth is not in INSTALLED_APPS"):
        create_user()


@pytest.fixture
def model(monkeypatch, request):
    """A user model of the project's own."""

    def install(made):
        monkeypatch.setattr("django.contrib.auth.get_user_model", lambda: made)
        return made

    return install


def test_a_user_that_needs_more_says_so_and_leaves_the_transaction_as_it_was(model):
    with pytest.raises(NotConfigured, match=r"no User could be made of .*IntegrityError.*override create_user\(\)"):
        model(get_user_model())
        create_user(username=create_user().username)
    assert get_user_model().objects.count() == 1


def test_fields_that_are_required_are_made_up(model):
    class Field:
        def __init__(self, kind, name):
            self.kind, self.name = kind, name

    class Manager:
        def create(self, **fields):
            return fields

    fields = {
        "email": models.EmailField(name="email"),
        "nick": models.CharField(name="nick"),
        "born": models.DateField(name="born"),
    }

    class Member:
        USERNAME_FIELD = "email"
        REQUIRED_FIELDS = ("nick", "born")
        _default_manager = Manager()

        class _meta:  # noqa: N801
            get_field = fields.get

    model(Member)
    made = create_user()
    assert made["email"].endswith("@example.com")
    assert made["nick"].startswith("ws-user-")
    assert "born" not in made
    assert create_user(born=1)["born"] == 1
