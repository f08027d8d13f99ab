"""`WebsocketTestCase`: run as unittest runs it, so that failures can be looked at."""

import unittest

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.test import TestCase

from farend import MissingAttribute, NotConfigured, WrongType
from farend.django import WebsocketTestCase, WebsocketTests, create_user

pytestmark = pytest.mark.django_db(transaction=True)


def case(*bases, **members):
    """A class of test cases with one test, `test`; pytest would collect it where it stands at the top."""
    return type("Case", bases or (WebsocketTestCase,), {"__qualname__": "Case", "ws_path": "/ws/who/", **members})


def run(made):
    """The result of a case's test, which has run as Django's runner has it run."""
    result = unittest.TestResult()
    made("test")(result)
    return result


def passed(made):
    result = run(made)
    assert result.wasSuccessful(), [text for _, text in result.errors + result.failures]
    assert result.testsRun == 1
    return True


def problem(made):
    """The text of the one thing that went wrong."""
    result = run(made)
    ((_, text),) = result.errors + result.failures
    return text


def test_the_default_is_a_user_who_has_logged_in():
    async def test(self):
        await self.auth_communicator.connect()
        await self.auth_communicator.assert_authenticated_status_ok()
        answer = await self.auth_communicator.exchange({"n": 1})
        assert answer == [{"username": self.user.get_username(), "asked": {"n": 1}}]
        assert self.auth_communicator is self.auth_communicator
        assert self.communicator is self.communicator is not self.auth_communicator
        assert await self.communicator.connect() == (False, 4403)

    assert passed(case(test=test))


def test_groups_and_several_users():
    async def test(self):
        second, headers = await self.acreate_user_and_ws_headers()
        other = self.create_communicator(headers=headers)
        for comm in (self.auth_communicator, other):
            await comm.connect()
        said = {"text": "hello", "by": second.get_username()}
        assert await other.exchange({"text": "hello"}) == [said]
        assert await self.auth_communicator.receive_all_json() == [said]
        elsewhere = self.create_communicator(ws_path="/ws/room/two/")
        await elsewhere.connect()
        await self.auth_communicator.exchange({"text": "in one"})
        await elsewhere.receive_nothing()

    assert passed(case(test=test, ws_path="/ws/room/one/"))
    assert get_channel_layer().groups == {}


def test_a_synchronous_consumer():
    async def test(self):
        await self.communicator.connect()
        assert await self.communicator.exchange({}) == [{"users": 1}]

    assert passed(case(test=test, ws_path="/ws/sync/"))
    assert get_user_model().objects.count() == 0  # what the test wrote is gone


def test_in_a_transaction():
    async def test(self):
        await self.auth_communicator.connect()
        assert (await self.auth_communicator.exchange([7]))[0]["username"] == self.user.get_username()

    assert passed(case(WebsocketTests, TestCase, test=test, ws_path="/ws/who/"))


def test_a_plain_test_has_the_blocking_communicator():
    def test(self):
        with self.create_communicator() as comm:
            assert comm.exchange({"n": 1})[0]["username"] == self.user.get_username()

    assert passed(case(test=test))


def test_debug_cleans_up_too():
    kept = []

    async def test(self):
        await self.auth_communicator.connect()
        kept.append(self.auth_communicator)

    case(test=test)("test").debug()
    assert not kept[0].is_open


def test_a_skipped_test_is_skipped():
    @unittest.skip("not now")
    async def test(self):
        raise AssertionError

    result = run(case(test=test))
    assert [reason for _, reason in result.skipped] == ["not now"]


# -- the end --------------------------------------------------------------------------------------


def test_what_the_application_raises_at_the_end_fails_the_test():
    async def test(self):
        await self.communicator.connect()

    text = problem(case(test=test, ws_path="/ws/broken/"))
    assert "ZeroDivisionError: at the end" in text
    assert "consumers.py" in text


def test_of_several_the_first_is_raised_and_the_others_are_told():
    async def test(self):
        for comm in (self.communicator, self.create_communicator()):
            await comm.connect()

    text = problem(case(test=test, ws_path="/ws/broken/"))
    assert text.count("Traceback") == 1
    assert "At the end, the application: ZeroDivisionError: at the end" in text


def test_the_tests_own_failure_stays_and_the_end_is_told_beside_it():
    async def test(self):
        await self.communicator.connect()
        raise AssertionError("of the test")

    text = problem(case(test=test, ws_path="/ws/broken/"))
    assert "AssertionError: of the test" in text
    assert "At the end, the application: ZeroDivisionError: at the end" in text


def test_what_was_raised_in_the_test_is_not_raised_again():
    async def test(self):
        await self.communicator.connect()
        await self.communicator.send_json({})
        with pytest.raises(ZeroDivisionError, match="at a message"):
            await self.communicator.settle()

    assert passed(case(test=test, ws_path="/ws/broken/"))


def test_others_are_closed_when_one_fails():
    kept = []

    async def test(self):
        for path in ("/ws/broken/", "/ws/anonymous/"):
            comm = self.create_communicator(ws_path=path)
            await comm.connect()
            kept.append(comm)

    assert "ZeroDivisionError" in problem(case(test=test))
    assert not any(comm.is_open for comm in kept)


# -- what is missing, or wrong --------------------------------------------------------------------


def test_no_path():
    async def test(self):
        with pytest.raises(MissingAttribute, match=r"^ws_path is not set in Case; write ws_path = '/ws/…/'"):
            self.auth_communicator  # noqa: B018
        await self.create_communicator(ws_path="/ws/who/").connect()

    assert passed(case(test=test, ws_path=""))


def test_a_path_that_no_route_serves():
    async def test(self):
        await self.communicator.connect()

    text = problem(case(test=test, ws_path="/ws/nowhere/"))
    assert "No route found for path 'ws/nowhere/'" in text
    assert "The application raised this before it had accepted /ws/nowhere/." in text
    assert "The routes are ws/members/<str:name>/, ws/who/, ws/anonymous/, " in text


def test_a_path_that_a_router_of_ones_own_does_not_serve():
    async def router(scope, receive, send):
        raise ValueError("No route found, says the application itself")

    async def test(self):
        with pytest.raises(ValueError, match="itself") as raised:
            await self.communicator.connect()
        assert "The routes are" not in str(raised.value.__notes__)

    assert passed(case(test=test, router=staticmethod(router)))


def test_a_set_up_that_does_not_call_the_one_above():
    def set_up(self): ...

    async def test(self):
        await self.communicator.connect()

    text = problem(case(test=test, setUp=set_up))
    assert "setUp() of Case does not call super().setUp()" in text


def test_headers_that_are_none():
    async def test(self): ...

    async def later(self):
        return []

    text = problem(case(test=test, get_ws_headers=later))
    assert "WrongType: get_ws_headers() of Case is async, and setUp() cannot await it" in text.replace("farend.", "")
    for wrong in (None, 7, "cookie"):
        text = problem(case(test=test, get_ws_headers=lambda self, wrong=wrong: wrong))
        assert f"get_ws_headers() of Case gives {wrong!r}; it returns the headers, as pairs" in text


def test_headers_as_a_dict():
    async def test(self):
        await self.auth_communicator.connect()
        assert (b"x-one", b"1") in self.auth_communicator.scope["headers"]

    assert passed(case(test=test, ws_path="/ws/anonymous/", get_ws_headers=lambda self: {"X-One": "1"}))


def test_a_consumer_class_that_is_none():
    async def test(self):
        for wrong in (int, "ChatConsumer"):
            with pytest.raises(WrongType, match="consumer= takes a consumer class"):
                self.create_communicator(consumer=wrong)

    assert passed(case(test=test))


@pytest.mark.parametrize("path", ["/ws/room/one/", "/ws/groups/"])
def test_no_channel_layer(path, settings):
    settings.CHANNEL_LAYERS = {}

    async def test(self):
        with pytest.raises(NotConfigured, match="uses a channel layer, and the project has none; .*CHANNEL_LAYERS = "):
            await self.communicator.connect()
        await self.create_communicator(ws_path="/ws/anonymous/").connect()  # which needs none

    assert passed(case(test=test, ws_path=path))


def test_an_error_of_the_applications_own_is_not_taken_for_a_missing_layer(settings):
    settings.CHANNEL_LAYERS = {}

    async def router(scope, receive, send):
        None.upper()

    async def test(self):
        with pytest.raises(AttributeError, match="upper"):
            await self.communicator.connect()

    assert passed(case(test=test, router=staticmethod(router)))


def test_who_needs_no_user_is_not_told_that_none_could_be_made():
    def create(self):
        return create_user(username=create_user().username)

    async def anybody(self):
        await self.communicator.connect()
        assert await self.communicator.exchange({}) == [{"anonymous": True}]

    async def somebody(self):
        await self.auth_communicator.connect()

    assert passed(case(test=anybody, ws_path="/ws/anonymous/", create_user=create))
    assert "NotConfigured: no User could be made" in problem(case(test=somebody, create_user=create)).replace(
        "farend.", ""
    )
