"""docs/broadcasts.md: captures, with and without a consumer class."""

# [group]
import pytest
from channels.layers import InMemoryChannelLayer

from farend.asgi import capture_group_sends

layer = InMemoryChannelLayer()  # in a project: channels.layers.get_channel_layer()


async def price_changed(product: str, price: float):
    await layer.group_send(f"product_{product}", {"type": "price.changed", "price": price})


@pytest.mark.asyncio
async def test_who_is_told_of_a_price():
    with capture_group_sends(layer) as captured:
        await price_changed("tea", 2.5)

    assert captured[0].group == "product_tea"
    assert captured[0].message == {"type": "price.changed", "price": 2.5}


# [/group]

# [inheritance]
from farend.asgi import capture_broadcast_events


class Consumer:
    @classmethod
    async def broadcast_event(cls, event, groups=None): ...


class Chat(Consumer): ...


class Orders(Consumer): ...


@pytest.mark.asyncio
async def test_captures_nest():
    with capture_broadcast_events(Consumer) as everything, capture_broadcast_events(Chat) as chat:
        await Chat.broadcast_event("hello", groups="lobby")
        await Orders.broadcast_event("shipped", groups="order_7")

    assert [one.event for one in chat] == ["hello"]
    assert [(one.consumer, one.event) for one in everything] == [(Chat, "hello"), (Orders, "shipped")]


# [/inheritance]
