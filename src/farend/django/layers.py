"""The project's channel layers: those in memory are emptied, and those that go through Redis are watched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from farend.asgi import watch
from farend.errors import WrongState


def layers_out_of_memory() -> Iterator[Any]:
    """The layers that go through another program; one that cannot be made is the application's to tell of."""
    from channels.exceptions import InvalidChannelLayerError
    from channels.layers import InMemoryChannelLayer, channel_layers

    for alias in channel_layers.configs:
        with contextlib.suppress(InvalidChannelLayerError):
            if not isinstance(layer := channel_layers[alias], InMemoryChannelLayer):
                yield layer


@contextlib.contextmanager
def layers_watched() -> Iterator[None]:
    """Have settling know of messages on their way through the project's layers; in memory, it knows by itself."""
    with contextlib.ExitStack() as watches:
        for layer in layers_out_of_memory():
            with contextlib.suppress(WrongState):  # the test watches it already
                watches.enter_context(watch(layer))
        yield


async def empty_memory_layers() -> None:
    """Have the layers in memory forget their groups and messages: the next test has other members."""
    from channels.layers import InMemoryChannelLayer, channel_layers

    for layer in channel_layers.backends.values():
        if isinstance(layer, InMemoryChannelLayer):
            await layer.flush()
