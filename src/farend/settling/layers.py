"""Messages of a channel layer that are on their way: through Redis, nobody on the loop holds them meanwhile.

`watch(layer)` counts them. Each message is given a token; it is on its way to each channel that it is for,
from the call of `send` or `group_send` until `receive` gives it to the application. Only channels that
somebody receives from just now count, so a member that is gone, or that is stuck, holds up nobody.

The application never sees a token: where messages are still on their way when the watch ends, `receive`
goes on to take theirs off, until the last of them has come.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

from farend.core.messages import printed
from farend.errors import WrongState, WrongType
from farend.settling.disguise import Disguise

TOKEN: Final = "__farend_token__"
_CALLS: Final = ("new_channel", "send", "receive", "group_add", "group_discard", "group_send", "flush")
_watches: Final[dict[int, Watch]] = {}
_tokens: Final = itertools.count(1)


class Watch:
    """Counts the messages of one layer, until `close()` or the end of a `with`."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._kind = type(layer)
        self._calls: Counter[tuple[Any, str]] = Counter()
        self._members: dict[str, set[str]] = {}
        self._receiving: Counter[tuple[Any, str]] = Counter()
        self._on_the_way: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._marked: defaultdict[str, set[int]] = defaultdict(set)
        """Tokens that nobody has received yet, also those that are not waited for any more."""
        self._listening: set[str] = set()
        """Channels whose receiver, as far as is known, will receive again."""
        self._installed: dict[str, Callable[..., Any]] = {}
        self._ours: dict[str, Callable[..., Any]] = {}
        self._closed = False

    # -- life -------------------------------------------------------------------------------------

    def install(self) -> None:
        """Let the layer's calls go through here, by giving the object a class of its own."""
        layer = self._layer
        ours = self._ours
        ours |= {
            "send": self.send,
            "receive": self.receive,
            "group_add": self.group_add,
            "group_discard": self.group_discard,
            "group_send": self.group_send,
        }
        for name in _CALLS:
            real = getattr(layer, name, None)
            if real is None:
                ours.pop(name, None)
                continue
            self._installed[name] = real
            ours.setdefault(name, self._counted(name))

        try:
            self._disguise = Disguise(layer, ours)
        except (TypeError, AttributeError) as error:
            raise self._not_watchable(str(error)) from error
        if not all(getattr(layer, name) == ours[name] for name in ours):
            self._disguise.take_off()
            raise self._not_watchable("its calls still go past farend")

    def close(self) -> None:
        """Watch no more; the layer is as it was before, once what is on its way has come."""
        if _watches.pop(id(self._layer), None) is self:
            self._closed = True
            receive = self._ours.pop("receive")
            self._ours.clear()
            if self._may_meet_a_token:
                self._ours["receive"] = receive
            else:
                self._disguise.take_off()

    @property
    def _may_meet_a_token(self) -> bool:
        return any(self._marked.get(channel) for channel in self._listening)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Watch on {self._kind.__name__}: {sum(map(len, self._on_the_way.values()))} messages on their way>"

    def _not_watchable(self, why: str) -> WrongType:
        return WrongType(
            f"farend cannot watch {self._kind.__module__}.{self._kind.__name__}: its methods cannot be wrapped "
            f"({why}). Declare what it does by hand: farend.asgi.busy(...), farend.asgi.external(...)"
        )

    # -- the layer's calls ------------------------------------------------------------------------

    def _counted(self, name: str) -> Callable[..., Any]:
        async def counted(*args: Any, **options: Any) -> Any:
            return await self._call(name, *args, **options)

        return counted

    async def _call(self, name: str, *args: Any, **options: Any) -> Any:
        key = (asyncio.get_running_loop(), name)
        self._calls[key] += 1
        try:
            return await self._installed[name](*args, **options)
        finally:
            self._calls[key] -= 1

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Stands in for the layer's method."""
        await self._say("send", channel, message, [channel], f"to channel {channel}")

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Stands in for the layer's method."""
        await self._say("group_send", group, message, sorted(self._members.get(group, ())), f"of group {group}")

    async def _say(self, name: str, to: str, message: Any, channels: list[str], what: str) -> None:
        if not isinstance(message, dict) or TOKEN in message:
            await self._call(name, to, message)  # no message at all, or one that group_send sends to each member
            return
        token = next(_tokens)
        kind = message.get("type")
        for channel in channels:
            self._on_the_way[channel][token] = f"{kind!r} {what}" + (f" to channel {channel}" if to != channel else "")
            self._marked[channel].add(token)
        try:
            await self._call(name, to, {**message, TOKEN: token})
        except BaseException:
            for channel in channels:
                self._on_the_way[channel].pop(token, None)
                self._marked[channel].discard(token)
            raise

    async def receive(self, channel: str) -> Any:
        """Stands in for the layer's method."""
        key = (asyncio.get_running_loop(), channel)
        self._receiving[key] += 1
        self._listening.add(channel)
        try:
            message = await self._installed["receive"](channel)
        except BaseException:  # whoever received is gone
            self._on_the_way.pop(channel, None)
            self._listening.discard(channel)
            self._end_if_closed()
            raise
        finally:
            self._receiving[key] -= 1
            if not self._receiving[key]:
                del self._receiving[key]
        if not isinstance(message, dict) or TOKEN not in message:
            return message
        self._on_the_way[channel].pop(message[TOKEN], None)
        self._marked[channel].discard(message[TOKEN])
        self._end_if_closed()
        # A layer may hand the very same dict to several members.
        return {key: value for key, value in message.items() if key != TOKEN}

    def _end_if_closed(self) -> None:
        if self._closed and not self._may_meet_a_token:
            self._disguise.take_off()

    async def group_add(self, group: str, channel: str) -> None:
        """Stands in for the layer's method."""
        await self._call("group_add", group, channel)
        self._members.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Stands in for the layer's method."""
        self._members.get(group, set()).discard(channel)
        await self._call("group_discard", group, channel)

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait no more for what is on its way to this loop."""
        for home, channel in self._receiving:
            if home is loop:
                self._on_the_way.pop(channel, None)

    # -- what is under way ------------------------------------------------------------------------

    def on_the_way(self, loop: asyncio.AbstractEventLoop) -> Iterator[str]:
        """The calls that are not over, and the messages that somebody on this loop is about to get."""
        for (home, name), count in self._calls.items():
            if count and home is loop:
                yield f"{self._kind.__name__}.{name}() is not over"
        for home, channel in self._receiving:
            if home is loop:
                for what in self._on_the_way.get(channel, {}).values():
                    yield f"message {what} of {self._kind.__name__} has not arrived"


def watch(layer: Any) -> Watch:
    """Count the messages of a channel layer, so that settling knows of those that are under way.

    Needed for layers that go through another program (`channels_redis`, the Redis layers of
    fast-channels); the layers in memory need nothing. `layer` is the object that the application uses,
    `channels.layers.get_channel_layer()` for example. Watch it before its consumers connect. It holds
    until `close()`, or for the length of a `with`. Raises `WrongType` for a layer whose methods cannot be
    wrapped, and `WrongState` for one that is watched already.
    """
    missing = [name for name in ("send", "receive") if not callable(getattr(layer, name, None))]
    if missing:
        raise WrongType(f"watch() takes a channel layer, not {printed(layer)}: it has no {' and no '.join(missing)}()")
    if id(layer) in _watches:
        raise WrongState(f"{type(layer).__name__} is watched already")
    one = Watch(layer)
    one.install()
    _watches[id(layer)] = one
    return one


def give_up(loop: asyncio.AbstractEventLoop) -> None:
    """What was on its way for too long was told once; nobody waits for it again."""
    for one in tuple(_watches.values()):
        one.forget(loop)


def under_way(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a layer has something on its way to this loop."""
    return any(any(True for _ in one.on_the_way(loop)) for one in tuple(_watches.values()))


def reasons(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """What is on its way."""
    for one in tuple(_watches.values()):
        yield from one.on_the_way(loop)
