"""Projects whose channel layer is Redis: what is on its way through it counts as under way."""

import unittest

import pytest
from channels.layers import channel_layers, get_channel_layer
from django.test import override_settings

from farend import Unsettled
from farend.asgi import watch
from farend.django import WebsocketTestCase
from farend.django.layers import layers_watched

pytestmark = pytest.mark.django_db(transaction=True)
LAYERS = ["channels_redis.core.RedisChannelLayer", "channels_redis.pubsub.RedisPubSubChannelLayer"]


@pytest.fixture(params=LAYERS, ids=lambda name: name.rpartition(".")[2])
def redis_layer(request, redis_socket, settings):
    pytest.importorskip("channels_redis")
    config = {"hosts": [{"address": f"unix://{redis_socket}", "socket_timeout": None}]}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": request.param, "CONFIG": config}}


class InARoom(WebsocketTestCase):
    __test__ = False
    ws_path = "/ws/room/one/"

    async def all_hear_it(self):
        others = [self.create_communicator() for _ in range(5)]
        for comm in (self.auth_communicator, *others):
            await comm.connect()
        said = {"text": "hello", "by": self.user.get_username()}
        for _ in range(20):
            assert await self.auth_communicator.exchange({"text": "hello"}) == [said]
            for comm in others:
                assert await comm.receive_all_json() == [said]
        for comm in others:
            await comm.receive_nothing()


def test_a_test_case(redis_layer):
    result = unittest.TestResult()
    InARoom("all_hear_it")(result)
    assert result.wasSuccessful(), [text for _, text in result.errors + result.failures]


@pytest.mark.asyncio
async def test_fixtures(redis_layer, create_communicator):
    one, other = create_communicator(ws_path="/ws/room/one/"), create_communicator(ws_path="/ws/room/one/")
    await one.connect()
    await other.connect()
    for _ in range(20):
        assert await one.exchange({"text": "hello"}) == [{"text": "hello", "by": ""}]
        assert await other.receive_all_json() == [{"text": "hello", "by": ""}]


def test_in_a_plain_test(redis_layer, create_communicator):
    with create_communicator(ws_path="/ws/room/one/") as one, create_communicator(ws_path="/ws/room/one/") as other:
        assert one.exchange({"text": "hello"}) == [{"text": "hello", "by": ""}]
        assert other.receive_all_json() == [{"text": "hello", "by": ""}]


@pytest.mark.asyncio
async def test_an_application_that_does_not_settle_ends_all_the_same(redis_layer, create_communicator, monkeypatch):
    async def busy(scope, receive, send):
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    comm = create_communicator(router=busy, ws_path="/")
    await comm.connect()

    async def unsettled():
        raise Unsettled("still under way")

    monkeypatch.setattr(comm, "settle", unsettled)
    await comm.disconnect()
    assert not comm.is_open


def test_only_layers_out_of_memory_are_watched(redis_layer):
    kind = type(get_channel_layer())
    with layers_watched():
        assert type(get_channel_layer()) is not kind
    assert type(get_channel_layer()) is kind
    with watch(get_channel_layer()), layers_watched():  # by somebody already
        pass
    assert type(get_channel_layer()) is kind


def test_layers_in_memory_and_layers_that_cannot_be_made_are_left_alone():
    kind = type(get_channel_layer())
    with layers_watched():
        assert type(get_channel_layer()) is kind
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "no.such.Layer"}, "other": {}}), layers_watched():
        assert channel_layers.backends == {}
