"""Captures of broadcasts: inheritance, nesting, copies, and what cannot be captured. Seed 003: S3-25 to S3-31."""

import asyncio
import functools
import threading

import pytest
from channels.layers import InMemoryChannelLayer

from farend import NotConfigured, WrongType
from farend.asgi import capture_broadcast_events, capture_group_sends, watch

pytestmark = pytest.mark.asyncio


@pytest.fixture
def chat():
    """A consumer class and what it has broadcast; a class of its own for each test."""

    class Chat:
        sent = []

        @classmethod
        async def broadcast_event(cls, event, groups=None):
            cls.sent.append((cls, event, groups))
            return "sent"

    return Chat


# -- one class ------------------------------------------------------------------------------------


async def test_a_captured_event_is_not_broadcast(chat):
    with capture_broadcast_events(chat) as captured:
        assert await chat.broadcast_event("news", groups=["users"]) is None
        assert len(captured) == 1
    assert captured[0]["event"] == captured[0].event == "news"
    assert captured[0]["groups"] == captured[0].groups == ["users"]
    assert captured[0].consumer is chat
    assert captured == [{"event": "news", "groups": ["users"]}]
    assert chat.sent == []


async def test_a_capture_may_let_it_be_broadcast(chat):
    with capture_broadcast_events(chat, suppress=False) as captured:
        assert await chat.broadcast_event("news", ["users"]) == "sent"
    assert chat.sent == [(chat, "news", ["users"])]
    assert captured[0].groups == ["users"]


async def test_what_was_there_is_there_again_after_the_block_and_after_an_exception(chat):
    before = vars(chat)["broadcast_event"]
    with pytest.raises(ZeroDivisionError), capture_broadcast_events(chat):
        assert vars(chat)["broadcast_event"] is not before
        raise ZeroDivisionError
    assert vars(chat)["broadcast_event"] is before
    await chat.broadcast_event("news")
    assert chat.sent == [(chat, "news", None)]


async def test_groups_are_copied_and_stay_what_they_are(chat):
    groups, event = ["a"], {"text": "first"}
    with capture_broadcast_events(chat) as captured:
        await chat.broadcast_event(event, groups=groups)
        groups.append("b")
        event["text"] = "second"
        await chat.broadcast_event("e", groups="single")
        await chat.broadcast_event("e", groups=("a", "b"))
        await chat.broadcast_event("e", groups={"a"})
        await chat.broadcast_event("e")
    assert captured[0] == {"event": {"text": "first"}, "groups": ["a"]}
    assert [one.groups for one in captured[1:]] == ["single", ("a", "b"), {"a"}, None]


async def test_groups_that_can_be_read_once_are_read_by_the_application_too(chat):
    with capture_broadcast_events(chat, suppress=False) as captured:
        await chat.broadcast_event("e", groups=(f"user_{n}" for n in range(2)))
    assert captured[0].groups == ["user_0", "user_1"]
    assert chat.sent[0][2] == ["user_0", "user_1"]


async def test_an_event_that_cannot_be_copied_is_itself(chat):
    event = threading.Lock()
    with capture_broadcast_events(chat) as captured:
        await chat.broadcast_event(event)
    assert captured[0].event is event


async def test_a_call_that_is_wrong_is_wrong_under_a_capture_too(chat):
    with capture_broadcast_events(chat) as captured:
        with pytest.raises(TypeError, match="event"):
            await chat.broadcast_event()
        with pytest.raises(TypeError, match="grups"):
            await chat.broadcast_event("e", grups=["users"])
    assert captured == []


async def test_an_exception_of_the_broadcast_comes_through(chat):
    class Broken(chat):
        @classmethod
        async def broadcast_event(cls, event, groups=None):
            raise LookupError("gone")

    with capture_broadcast_events(Broken, suppress=False) as captured:
        with pytest.raises(LookupError, match="gone"):
            await Broken.broadcast_event("e")
    assert len(captured) == 1


async def test_calls_from_threads_are_captured(chat):
    with capture_broadcast_events(chat) as captured:
        threads = [threading.Thread(target=lambda n=n: asyncio.run(chat.broadcast_event(n))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(one.event for one in captured) == list(range(8))


# -- inheritance ----------------------------------------------------------------------------------


async def test_a_capture_on_a_subclass_does_not_blind_the_parent(chat):
    class Room(chat):
        pass

    with capture_broadcast_events(Room) as in_room:
        await chat.broadcast_event("for all")
        await Room.broadcast_event("for the room")
    assert [one.event for one in in_room] == ["for the room"]
    assert chat.sent == [(chat, "for all", None)]
    assert "broadcast_event" not in vars(Room)
    with capture_broadcast_events(chat) as captured:
        await Room.broadcast_event("later")
    assert [(one.event, one.consumer) for one in captured] == [("later", Room)]


async def test_a_capture_on_the_parent_has_what_subclasses_broadcast(chat):
    class Room(chat):
        pass

    class Loud(chat):
        @classmethod
        async def broadcast_event(cls, event, groups=None):
            await super().broadcast_event(event.upper(), groups)

    with capture_broadcast_events(chat) as captured:
        await Room.broadcast_event("room")
        await Loud.broadcast_event("loud")
    assert [(one.event, one.consumer) for one in captured] == [("room", Room), ("loud", Loud)]


async def test_a_call_by_super_is_part_of_the_call_that_was_made(chat):
    class Loud(chat):
        @classmethod
        async def broadcast_event(cls, event, groups=None):
            await super().broadcast_event(event.upper(), groups)

    with capture_broadcast_events(chat, suppress=False) as captured:
        await Loud.broadcast_event("loud")
    assert [one.event for one in captured] == ["loud"]
    assert chat.sent == [(Loud, "LOUD", None)]


async def test_a_subclass_keeps_its_own_method_and_siblings_are_left_alone(chat):
    class Left(chat):
        pass

    class Right(chat):
        pass

    with capture_broadcast_events(Left) as captured:
        await Right.broadcast_event("right")
    assert captured == []
    assert chat.sent == [(Right, "right", None)]


async def test_a_subclass_that_is_made_during_a_capture_is_captured(chat):
    with capture_broadcast_events(chat) as captured, capture_broadcast_events(chat) as again:

        class Loud(chat):
            @classmethod
            async def broadcast_event(cls, event, groups=None):
                await super().broadcast_event(event.upper(), groups)

        class Quiet(chat):
            pass

        class Louder(Loud):
            @classmethod
            async def broadcast_event(cls, event, groups=None):
                await super().broadcast_event(event + "!", groups)

        await Loud.broadcast_event("loud")
        await Quiet.broadcast_event("quiet")
        await Louder.broadcast_event("louder")
    assert [(one.event, one.consumer) for one in captured] == [("loud", Loud), ("quiet", Quiet), ("louder", Louder)]
    assert again == captured
    assert chat.sent == []
    await Louder.broadcast_event("loud")
    assert chat.sent == [(Louder, "LOUD!", None)]
    assert not any("__init_subclass__" in vars(one) for one in (chat, Loud, Quiet, Louder))


async def test_a_subclass_is_made_as_its_parents_want_it(chat):
    class Base(chat):
        made = []

        def __init_subclass__(cls, *, tag=None):
            cls.made.append((cls.__name__, tag))

        @classmethod
        async def broadcast_event(cls, event, groups=None): ...

    class Other(chat):
        @classmethod
        async def broadcast_event(cls, event, groups=None): ...

    before = vars(Base)["__init_subclass__"]
    with capture_broadcast_events(Base) as captured, capture_broadcast_events(Other):

        class Both(Base, Other, tag="new"):
            @classmethod
            async def broadcast_event(cls, event, groups=None): ...

        class Unconcerned(chat):
            @classmethod
            async def broadcast_event(cls, event, groups=None): ...

        await Both.broadcast_event("both")
        await Unconcerned.broadcast_event("not captured")
    assert [one.event for one in captured] == ["both"]
    assert Base.made == [("Both", "new")]
    assert vars(Base)["__init_subclass__"] is before


async def test_a_subclass_of_two_captured_classes_is_captured_once_by_each(chat):
    class Left(chat):
        @classmethod
        async def broadcast_event(cls, event, groups=None): ...

    class Right(chat):
        @classmethod
        async def broadcast_event(cls, event, groups=None): ...

    with capture_broadcast_events(Left) as left, capture_broadcast_events(Right) as right:

        class Both(Left, Right):
            @classmethod
            async def broadcast_event(cls, event, groups=None): ...

        await Both.broadcast_event("both")
    assert [one.event for one in left] == [one.event for one in right] == ["both"]


async def test_an_instance_may_broadcast(chat):
    with capture_broadcast_events(chat) as captured:
        await chat().broadcast_event("from inside")
    assert captured[0].consumer is chat


# -- nesting --------------------------------------------------------------------------------------


async def test_captures_nest_and_each_has_every_call(chat):
    class Room(chat):
        pass

    with capture_broadcast_events(chat) as outer, capture_broadcast_events(Room, suppress=False) as inner:
        await Room.broadcast_event("both")
        await chat.broadcast_event("outer")
    assert [one.event for one in outer] == ["both", "outer"]
    assert [one.event for one in inner] == ["both"]
    assert chat.sent == []  # one of them suppresses


async def test_captures_may_end_in_any_order(chat):
    class Room(chat):
        pass

    before = vars(chat)["broadcast_event"]
    first, second = capture_broadcast_events(chat), capture_broadcast_events(Room)
    outer, inner = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    await Room.broadcast_event("in the second")
    second.__exit__(None, None, None)
    assert outer == []
    assert [one.event for one in inner] == ["in the second"]
    assert vars(chat)["broadcast_event"] is before
    await Room.broadcast_event("afterwards")
    assert chat.sent == [(Room, "afterwards", None)]
    assert len(inner) == 1


# -- other kinds of method ------------------------------------------------------------------------


async def test_ordinary_static_synchronous_and_decorated_methods():
    def decorated(function):
        @functools.wraps(function)
        def around(*args, **options):
            return function(*args, **options)

        return around

    class Consumer:
        async def broadcast_event(self, message, groups=None):
            return "sent"

    class Static:
        @staticmethod
        async def broadcast_event(event, groups=None):
            return "sent"

    class Inherits(Static):
        pass

    class Synchronous:
        @classmethod
        def broadcast_event(cls, event, *groups):
            return "sent"

    class Decorated:
        @classmethod
        @decorated
        async def broadcast_event(cls, event, groups=None):
            return "sent"

    with capture_broadcast_events(Consumer) as captured:
        await Consumer().broadcast_event("e", groups="g")
    assert captured == [{"event": "e", "groups": "g"}]

    with capture_broadcast_events(Inherits) as captured:
        await Inherits.broadcast_event("e", groups="g")
    assert captured == [{"event": "e", "groups": "g"}]
    assert await Inherits.broadcast_event("e") == "sent"

    with capture_broadcast_events(Synchronous) as captured:
        assert Synchronous.broadcast_event("e", "a", "b") is None
    assert captured == [{"event": "e", "groups": ("a", "b")}]
    with capture_broadcast_events(Synchronous, suppress=False):
        assert Synchronous.broadcast_event("e") == "sent"

    with capture_broadcast_events(Decorated) as captured:
        assert await Decorated.broadcast_event("e") is None
    assert captured == [{"event": "e", "groups": None}]
    with capture_broadcast_events(Decorated, suppress=False):
        assert await Decorated.broadcast_event("e") == "sent"


# -- what is none ---------------------------------------------------------------------------------


async def test_what_is_no_consumer_class_is_refused_where_it_is_written(chat):
    with pytest.raises(WrongType, match=r"takes a consumer class, not .*; write capture_broadcast_events\(Chat\)"):
        with capture_broadcast_events(chat()):
            pass
    with pytest.raises(WrongType, match="takes a consumer class, not 'Chat'$"):
        with capture_broadcast_events("Chat"):
            pass
    with pytest.raises(WrongType, match=r"int has no broadcast_event\(\).* capture_group_sends\(layer\)"):
        with capture_broadcast_events(int):
            pass


async def test_the_application_of_a_consumer_names_its_class(chat):
    def application(scope, receive, send): ...

    application.consumer_class = chat
    with pytest.raises(WrongType, match=r"write capture_broadcast_events\(Chat\)"):
        with capture_broadcast_events(application):
            pass


async def test_a_broadcast_event_that_is_no_method_leaves_nothing_patched(chat):
    class Odd(chat):
        broadcast_event = 7

    before = vars(chat)["broadcast_event"]
    with pytest.raises(WrongType, match="Odd.broadcast_event is no method, but 7"):
        with capture_broadcast_events(chat):
            pass
    assert vars(chat)["broadcast_event"] is before


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"channel_layer_alias": "default"}, r"no channel layer to broadcast on: none is configured as 'default'; .*"),
        ({}, r"has no channel layer: set its class attribute channel_layer_alias; .*"),
    ],
)
async def test_without_a_channel_layer_a_broadcast_says_what_to_configure(attributes, text):
    class Consumer:
        get_channel_layer = {}.get

        @classmethod
        async def broadcast_event(cls, event, groups=None):
            assert cls.get_channel_layer(cls.channel_layer_alias)

    for name, value in attributes.items():
        setattr(Consumer, name, value)
    with capture_broadcast_events(Consumer):
        await Consumer.broadcast_event("suppressed, so that no layer is needed")
    with capture_broadcast_events(Consumer, suppress=False):
        with pytest.raises(NotConfigured, match=text + "CHANNEL_LAYERS.*register_channel_layer.*suppress=True"):
            await Consumer.broadcast_event("e")


async def test_an_assertion_of_the_application_is_its_own_where_there_is_a_layer():
    class Consumer:
        channel_layer_alias = "default"
        get_channel_layer = {"default": object()}.get

        @classmethod
        async def broadcast_event(cls, event, groups=None):
            raise AssertionError("of the application")

    with capture_broadcast_events(Consumer, suppress=False):
        with pytest.raises(AssertionError, match="of the application"):
            await Consumer.broadcast_event("e")


# -- channel layers -------------------------------------------------------------------------------


async def received(layer, channel):
    async with asyncio.timeout(5):
        return await layer.receive(channel)


async def test_a_captured_group_send_is_not_sent():
    layer = InMemoryChannelLayer()
    await layer.group_add("room", "one")
    message = {"type": "chat.message", "users": ["ada"]}
    with capture_group_sends(layer) as captured:
        await layer.group_send("room", message)
        message["users"].append("bob")
        await layer.group_send(group="room", message={"type": "second"})
        assert len(captured) == 2
    assert captured[0]["group"] == captured[0].group == "room"
    assert captured[0]["message"] == captured[0].message == {"type": "chat.message", "users": ["ada"]}
    assert captured[1] == {"group": "room", "message": {"type": "second"}}
    assert type(layer) is InMemoryChannelLayer
    await layer.group_send("room", {"type": "third"})
    assert await received(layer, "one") == {"type": "third"}


async def test_a_capture_may_let_it_be_sent():
    layer = InMemoryChannelLayer()
    await layer.group_add("room", "one")
    with capture_group_sends(layer, suppress=False) as captured:
        await layer.group_send("room", {"type": "first"})
        assert await received(layer, "one") == {"type": "first"}
    assert len(captured) == 1


async def test_captures_of_a_layer_nest_and_may_end_in_any_order():
    layer = InMemoryChannelLayer()
    first, second = capture_group_sends(layer), capture_group_sends(layer, suppress=False)
    outer, inner = first.__enter__(), second.__enter__()
    await layer.group_send("room", {"type": "both"})
    first.__exit__(None, None, None)
    await layer.group_send("room", {"type": "second"})
    second.__exit__(None, None, None)
    assert [one.message["type"] for one in outer] == ["both"]
    assert [one.message["type"] for one in inner] == ["both", "second"]
    assert type(layer) is InMemoryChannelLayer


@pytest.mark.parametrize("capture_is_left_first", [True, False])
@pytest.mark.parametrize("capture_is_entered_first", [True, False])
async def test_a_layer_may_be_watched_at_the_same_time(capture_is_entered_first, capture_is_left_first):
    layer = InMemoryChannelLayer()
    await layer.group_add("room", "one")
    capture = capture_group_sends(layer)
    if capture_is_entered_first:
        captured = capture.__enter__()
        watched = watch(layer)
    else:
        watched = watch(layer)
        captured = capture.__enter__()
    await layer.group_send("room", {"type": "both"})
    if not capture_is_left_first:
        watched.close()
        await layer.group_send("room", {"type": "captured"})
    capture.__exit__(None, None, None)
    await layer.group_send("room", {"type": "sent"})
    assert await received(layer, "one") == {"type": "sent"}
    watched.close()
    assert len(captured) == (1 if capture_is_left_first else 2)
    assert type(layer) is InMemoryChannelLayer


async def test_a_method_that_somebody_kept_captures_no_more_after_the_block():
    layer = InMemoryChannelLayer()
    await layer.group_add("room", "one")
    with capture_group_sends(layer) as captured:
        kept = layer.group_send
    await kept("room", {"type": "sent"})
    assert captured == []
    assert await received(layer, "one") == {"type": "sent"}


async def test_two_layers_are_two():
    one, other = InMemoryChannelLayer(), InMemoryChannelLayer()
    await other.group_add("room", "member")
    with capture_group_sends(one) as captured:
        await other.group_send("room", {"type": "sent"})
    assert captured == []
    assert await received(other, "member") == {"type": "sent"}


async def test_a_layer_that_answers_all_look_ups_itself_is_captured_too():
    """fast-channels' pub/sub layer, where an attribute on the instance is silently ignored."""
    pytest.importorskip("redis", reason="fast-channels' pub/sub layer needs redis")
    from fast_channels.layers.redis import RedisPubSubChannelLayer

    layer = RedisPubSubChannelLayer(hosts=["redis://127.0.0.1:1"])  # never connected to
    with capture_group_sends(layer) as captured:
        await layer.group_send("room", {"type": "first"})
    assert captured == [{"group": "room", "message": {"type": "first"}}]
    assert type(layer) is RedisPubSubChannelLayer


async def test_a_name_that_no_layer_takes_is_refused_under_a_capture_too():
    layer = InMemoryChannelLayer()
    with capture_group_sends(layer) as captured:
        with pytest.raises(TypeError, match="Group name must be"):
            await layer.group_send("a room with spaces", {"type": "first"})
    assert captured == []


async def test_what_is_no_layer_is_refused():
    with pytest.raises(NotConfigured, match=r"no channel layer, but None.* CHANNEL_LAYERS = .*register_channel_layer"):
        with capture_group_sends(None):
            pass
    with pytest.raises(WrongType, match=r"takes a channel layer, and 'default' has no group_send\(\)"):
        with capture_group_sends("default"):
            pass


async def test_a_layer_with_slots_is_captured():
    class Rigid:
        __slots__ = ()

        async def group_send(self, group, message): ...

    layer = Rigid()
    with capture_group_sends(layer) as captured:
        await layer.group_send("room", {"type": "first"})
    assert len(captured) == 1


async def test_a_layer_that_lets_nothing_be_captured_says_so():
    class Proxy:
        @property
        def __class__(self):
            return InMemoryChannelLayer

        @__class__.setter
        def __class__(self, value):
            raise TypeError("a proxy")

        async def group_send(self, group, message): ...

    with pytest.raises(WrongType, match=r"group_send\(\) of a Proxy cannot be captured"):
        with capture_group_sends(Proxy()):
            pass
