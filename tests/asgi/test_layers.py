"""Broadcasts to fifty members through each kind of channel layer (acceptance 4 and 5 of the settling)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import tempfile
import threading

import pytest

from farend.asgi import Unsettled, WebsocketCommunicator, watch
from farend.errors import WrongState, WrongType
from farend.settling import layers, waits

MEMBERS = 50
KINDS = [
    "channels-memory",
    "channels-redis",
    "channels-pubsub",
    "fast_channels-memory",
    "fast_channels-redis",
    "fast_channels-pubsub",
]


def make_layer(kind, path):
    """The layer, unmodified."""
    if kind == "channels-memory":
        from channels.layers import InMemoryChannelLayer as Layer

        return Layer()
    if kind == "fast_channels-memory":
        from fast_channels.layers import InMemoryChannelLayer as Layer

        return Layer()
    package, transport = kind.split("-")
    package = {"channels": "channels_redis", "fast_channels": "fast_channels.layers.redis"}[package]
    name = {"redis": "core:RedisChannelLayer", "pubsub": "pubsub:RedisPubSubChannelLayer"}[transport]
    module, _, attribute = name.partition(":")
    host = {"address": f"unix://{path}", "socket_timeout": None}  # redis-py 8 would end what waits for 5 s
    return getattr(__import__(f"{package}.{module}", fromlist=[attribute]), attribute)(hosts=[host])


def make_app(kind, layer):
    """A consumer that broadcasts what it is told to its group, itself included."""
    if kind.startswith("channels"):
        from channels.generic.websocket import AsyncWebsocketConsumer
        from channels.layers import channel_layers
        from django.conf import settings

        if not settings.configured:
            settings.configure(CHANNEL_LAYERS={})
        channel_layers.backends["default"] = layer
    else:
        from fast_channels.consumer.websocket import AsyncWebsocketConsumer
        from fast_channels.layers import register_channel_layer

        register_channel_layer("default", layer)

    class Room(AsyncWebsocketConsumer):
        channel_layer_alias = "default"

        async def connect(self):
            await self.channel_layer.group_add("room", self.channel_name)
            await self.accept()

        async def disconnect(self, code):
            await self.channel_layer.group_discard("room", self.channel_name)

        async def receive(self, text_data=None, bytes_data=None):
            await self.channel_layer.group_send("room", {"type": "room.message", "text": text_data})

        async def room_message(self, event):
            if event["text"] == "stuck":
                await asyncio.Event().wait()
            await self.send(text_data=event["text"])

    return Room.as_asgi()


@pytest.fixture(autouse=True)
def layers_of_others():
    """The registries of layers are one for the process: no test of another module finds a layer of ours there."""
    yield
    with contextlib.suppress(ImportError):
        from channels.layers import channel_layers

        channel_layers.backends.pop("default", None)
    with contextlib.suppress(ImportError):
        from fast_channels.layers import unregister_channel_layer

        unregister_channel_layer("default")


@pytest.fixture(params=KINDS)
def kind(request):
    pytest.importorskip("channels_redis" if request.param.startswith("channels") else "fast_channels")
    return request.param


@pytest.fixture
def path(kind, request):
    return None if kind.endswith("memory") else request.getfixturevalue("redis_flushed")


@contextlib.asynccontextmanager
async def members_of(kind, path, number, watched=True):
    layer = make_layer(kind, path)
    app = make_app(kind, layer)
    async with contextlib.AsyncExitStack() as stack:
        if watched:
            stack.enter_context(watch(layer))
        members = [await stack.enter_async_context(WebsocketCommunicator(app, "/room")) for _ in range(number)]
        await members[0].settle()
        yield layer, members
    for close in ("flush", "close_pools"):
        if hasattr(layer, close):
            await getattr(layer, close)()


async def broadcasts(kind, path, times, number=MEMBERS):
    """How many of the broadcasts were not there at every member when the loop was settled."""
    early = 0
    async with members_of(kind, path, number) as (_, members):
        for turn in range(times):
            await members[turn % number].send_text(str(turn))
            await members[0].settle()
            got = [await member.receive_all(0) for member in members]
            if got != [[str(turn)]] * number:
                early += 1
                await asyncio.sleep(0.05)
                for member in members:
                    await member.receive_all(0)
    return early


def test_a_few_broadcasts(run, kind, path):
    assert run(broadcasts(kind, path, 5, 10)) == 0


@pytest.mark.settle
def test_a_thousand_broadcasts(run, kind, path, repetitions):
    assert run(broadcasts(kind, path, repetitions)) == 0


@pytest.mark.settle
def test_a_thousand_broadcasts_on_busy_cores(run, kind, path, repetitions, busy_cores):
    assert run(broadcasts(kind, path, repetitions)) == 0


# -- the control: without the accounting, settling is early ---------------------------------------------


class ThroughAThread:
    """A layer whose messages go through something that the loop knows nothing of, as they do with Redis."""

    def __init__(self):
        from channels.layers import InMemoryChannelLayer

        self.inner = InMemoryChannelLayer()
        self.new_channel, self.receive = self.inner.new_channel, self.inner.receive
        self.group_add, self.group_discard = self.inner.group_add, self.inner.group_discard
        self.hold = threading.Event()

    async def send(self, channel, message):
        raise NotImplementedError

    async def group_send(self, group, message):
        loop = asyncio.get_running_loop()

        def deliver():
            self.hold.wait()
            asyncio.run_coroutine_threadsafe(self.inner.group_send(group, message), loop)

        threading.Thread(target=deliver).start()


@pytest.mark.parametrize("watched", [True, False])
def test_without_the_accounting_it_is_always_early(run, watched):
    pytest.importorskip("channels")

    async def test():
        layer = ThroughAThread()
        app = make_app("channels", layer)
        with watch(layer) if watched else contextlib.nullcontext():
            async with WebsocketCommunicator(app, "/") as one, WebsocketCommunicator(app, "/") as two:
                await one.send_text("hello")
                if watched:
                    asyncio.get_running_loop().call_soon_threadsafe(layer.hold.set)
                await two.settle()
                got = await two.receive_all(0)
                layer.hold.set()
                if not watched:
                    assert await two.receive_text(timeout=20, outside=True) == "hello"
                    await one.receive_text(timeout=20, outside=True)
        return got

    assert run(test()) == (["hello"] if watched else [])


@contextlib.contextmanager
def held_back(path):
    """A way to Redis on which a broadcast is held back, on its way to a member, until `go` is set.

    `joined` is set once Redis has answered that it publishes to the group: what is said of it on another connection
    would overtake a subscription that is still on its way.
    """
    joined, go = threading.Event(), threading.Event()

    def forward(source, target, holding):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if holding and b"subscribe" in data and b"__group__" in data:
                    joined.set()
                if holding and b"room.message" in data:
                    go.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    class Way(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.socket(socket.AF_UNIX) as redis:
                redis.connect(path)
                there = threading.Thread(target=forward, args=(self.request, redis, False))
                there.start()
                forward(redis, self.request, True)
                there.join()

    class Ways(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        pass

    with tempfile.TemporaryDirectory() as folder, Ways(f"{folder}/redis", Way) as ways:
        serving = threading.Thread(target=ways.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield ways.server_address, joined, go
        finally:
            go.set()
            ways.shutdown()
            serving.join()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("memory")])
@pytest.mark.parametrize("watched", [True, False])
def test_without_the_accounting_it_is_always_early_through_redis(run, kind, path, watched, monkeypatch):
    monkeypatch.setattr("farend.settling.settler.UNWATCHED", set())
    monkeypatch.setattr(waits, "UNWATCHED", set())

    async def test(way, joined, go):
        async with members_of(kind, way, 2, watched) as (_, [one, two]):
            if kind.endswith("pubsub"):
                assert await asyncio.to_thread(joined.wait, 60)
            await one.send_text("hello")
            if watched:
                threading.Timer(0.05, go.set).start()
            await two.settle()
            got = await two.receive_all(0)
            go.set()
            if not watched:
                assert await two.receive_text(timeout=20, outside=True) == "hello"
                assert await one.receive_text(timeout=20, outside=True) == "hello"
        return got

    with held_back(path) as (way, joined, go):
        assert run(test(way, joined, go)) == (["hello"] if watched else [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_through_redis_that_is_not_watched_is_named(kind, path, run):
    async def test():
        async with members_of(kind, path, 1, watched=False) as (_, [member]):
            await member.send_text("hello")
            return await member.receive_all()

    if kind.endswith("memory"):
        assert run(test()) == ["hello"]
    else:
        with pytest.raises(Unsettled, match=r"write farend\.asgi\.watch"):
            run(test())


def test_dead_and_stuck_members_hold_up_nobody(run, kind, path):
    async def test():
        async with members_of(kind, path, 3) as (layer, [one, two, three]):
            await layer.group_add("room", await layer.new_channel())  # of nobody
            await layer.group_send("room", {"type": "room.message", "text": "stuck"})
            await one.settle()  # `Unsettled`, if somebody held it up
            await layer.group_send("room", {"type": "room.message", "text": "lost"})
            await one.settle()
            for member in (one, two, three):
                assert await member.receive_nothing()
            for member in (one, two, three):
                with pytest.raises(Unsettled, match="an event, test_layers.py"):
                    await member.disconnect()

    run(test())


def test_a_dropped_broadcast_is_named(kind, path, run):
    """A layer drops what its channels cannot hold, or what is published while it reconnects, and says nothing."""

    async def dropped(group, message): ...

    async def test():
        async with members_of(kind, path, 2) as (layer, [one, two]):
            if kind.endswith("-redis"):
                layer.capacity = 0
            else:
                layers._watches[id(layer)]._installed["group_send"] = dropped
            await layer.group_send("room", {"type": "room.message", "text": "hello"})
            with pytest.raises(Unsettled) as caught:
                await one.settle(limit=0.02)
            assert "message 'room.message' of group room to channel " in str(caught.value)
            assert f" of {type(layer).__name__} has not arrived" in str(caught.value)
            await one.settle()  # told once, it holds up nobody any more
            await two.receive_nothing()

    run(test())


def test_no_application_sees_a_token_after_the_watch(run):
    """What is on its way when the watch ends still comes as it was sent."""
    pytest.importorskip("channels")
    from channels.layers import InMemoryChannelLayer

    async def test():
        layer = InMemoryChannelLayer()
        before = type(layer)
        await layer.group_add("room", "specific.gone")
        with watch(layer) as one:
            channel = await layer.new_channel()
            await layer.group_add("room", channel)
            await layer.group_send("room", {"type": "first"})
            assert await layer.receive(channel) == {"type": "first"}
            for number in range(3):
                await layer.group_send("room", {"type": "later", "number": number})
        assert layer.send.__self__ is layer
        got = [await layer.receive(channel) for _ in range(2)]
        with watch(layer):  # another one, over what is left of the first
            got.append(await layer.receive(channel))
        assert got == [{"type": "later", "number": number} for number in range(3)]
        assert type(layer) is before
        one.close()

    run(test())


def test_a_receiver_that_leaves_meets_no_token(run):
    pytest.importorskip("channels")
    from channels.layers import InMemoryChannelLayer

    async def test():
        layer = InMemoryChannelLayer()
        before = type(layer)
        with watch(layer):
            await layer.send("mine", {"type": "one"})
            assert await layer.receive("mine") == {"type": "one"}
            await layer.send("mine", {"type": "two"})
        assert type(layer) is not before
        assert await layer.receive("mine") == {"type": "two"}
        assert type(layer) is before
        with watch(layer):
            await layer.send("mine", {"type": "three"})
            await layer.receive("mine")
            waiting = asyncio.create_task(layer.receive("mine"))
            await asyncio.sleep(0)
            await layer.send("mine", {"type": "four"})
            waiting.cancel()
            await asyncio.wait([waiting])
        assert type(layer) is before

    run(test())


def test_a_layer_is_as_before_afterwards(kind, path):
    layer = make_layer(kind, path)
    before = type(layer)
    with watch(layer) as one:
        assert "Watch on" in repr(one)
        assert type(layer) is not before
        assert isinstance(layer, before)
        with pytest.raises(WrongState, match="watched already"):
            watch(layer)
    assert type(layer) is before
    one.close()


def test_a_layer_that_cannot_be_wrapped_raises():
    class Odd:
        async def send(self, channel, message): ...
        async def receive(self, channel): ...

        def __setattr__(self, name, value):
            raise AttributeError("never")

        def __getattribute__(self, name):
            return object.__getattribute__(self, name)

    with pytest.raises(WrongType, match="its methods cannot be wrapped"):
        watch(Odd())


@pytest.mark.parametrize("what", [None, "default", object()])
def test_what_is_no_layer(what):
    with pytest.raises(WrongType, match=r"watch\(\) takes a channel layer"):
        watch(what)
