"""What an application broadcasts, captured: no connection, and no channel layer, is needed to look at it.

    with capture_broadcast_events(ChatConsumer) as captured:
        await ChatConsumer.broadcast_event(Notification(…), groups=["users"])
    assert captured[0].groups == ["users"]

Patched is only the class that defines `broadcast_event`, and each subclass that defines it anew; once,
however many captures there are, and until the last of them leaves, in whatever order they do. Which
capture a call belongs to is decided by the class that it was made on. So nothing is ever set on a class
that merely inherits, and what happens to a subclass leaves its parent's captures as they were. A subclass
that is made meanwhile, and defines it anew, gets its spy when it is made.

A call that an overriding method makes by `super()` is part of the call that is recorded already.
"""

from __future__ import annotations

import copy
import functools
import inspect
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from farend.errors import NotConfigured, WrongType
from farend.settling.disguise import Disguise

METHOD: Final = "broadcast_event"
BIRTH: Final = "__init_subclass__"
GROUP_SEND: Final = "group_send"


class CapturedEvent(dict[str, Any]):
    """One call of `broadcast_event`, read by key or by attribute: `captured[0]["event"]`, `captured[0].event`.

    `event` and `groups` are as they were at the call: what the application changes afterwards, it changes
    in its own. `consumer` is the class that the call was made on, and only an attribute.
    """

    def __init__(self, event: Any, groups: Any, consumer: type) -> None:
        super().__init__(event=event, groups=groups)
        self.consumer = consumer

    @property
    def event(self) -> Any:
        """The event, of the class that it was broadcast as."""
        return self["event"]

    @property
    def groups(self) -> Any:
        """The groups as they were given: a list stays a list, one name stays a `str`, none given is None."""
        return self["groups"]


class CapturedSend(dict[str, Any]):
    """One call of `group_send`, read by key or by attribute; both are as they were at the call."""

    def __init__(self, group: str, message: Any) -> None:
        super().__init__(group=group, message=message)

    @property
    def group(self) -> str:
        """The name of the group."""
        return self["group"]  # type: ignore[no-any-return]

    @property
    def message(self) -> Any:
        """The message, a dict whose `type` names the consumer's handler."""
        return self["message"]


def capture_broadcast_events(consumer: type, suppress: bool = True) -> AbstractContextManager[list[CapturedEvent]]:
    """Capture what is broadcast by `broadcast_event` of a consumer class, or of its subclasses.

    >>> import asyncio
    >>> from farend.asgi import capture_broadcast_events
    >>> class Chat:
    ...     @classmethod
    ...     async def broadcast_event(cls, event, groups=None):
    ...         raise RuntimeError("no channel layer here")
    >>> with capture_broadcast_events(Chat) as captured:
    ...     asyncio.run(Chat.broadcast_event({"action": "news"}, groups=["users"]))
    >>> captured[0]["groups"], captured[0].event
    (['users'], {'action': 'news'})

    `consumer` is any class with a `broadcast_event(event, groups=None)`: a class method (as chanx has it),
    an ordinary or a static one, `async` or not. With `suppress` (the default) nothing is broadcast, and no
    channel layer is needed; with `suppress=False` it is captured and broadcast. Where several captures
    hold the same call, each has it, and it is broadcast if none of them suppresses.

    The value is a list of `CapturedEvent`, in the order of the calls, which can be read during the block
    and after it. It is one for all threads and tasks.

    Raises `WrongType` for what is no such class, and `NotConfigured` at the broadcast if `suppress=False`
    and there is no channel layer to broadcast on. The names are those of seed 003.
    """
    __tracebackhide__ = True
    return _capturing(_Capture(_checked(consumer), suppress))


@contextmanager
def _capturing(capture: _Capture) -> Iterator[list[CapturedEvent]]:
    _enter(capture)
    try:
        yield capture.events
    finally:
        _leave(capture)


@dataclass(eq=False)
class _Capture:
    consumer: type
    suppress: bool
    events: list[CapturedEvent] = field(default_factory=list)
    spies: list[_Spy] = field(default_factory=list)


def _checked(consumer: object) -> type:
    __tracebackhide__ = True
    if not isinstance(consumer, type):
        served = getattr(consumer, "consumer_class", None)  # what Channels' `as_asgi()` gives knows its class
        named = served if isinstance(served, type) else type(consumer)
        raise WrongType(
            f"capture_broadcast_events() takes a consumer class, not {consumer!r}"
            + (f"; write capture_broadcast_events({named.__name__})" if hasattr(named, METHOD) else "")
        )
    if _definer(consumer) is None:
        raise WrongType(
            f"{consumer.__name__} has no {METHOD}(), so there is nothing to capture; "
            "what a consumer sends to groups of its channel layer, capture_group_sends(layer) captures"
        )
    return consumer


# -- the class that defines the method ------------------------------------------------------------


class _Spy:
    """Stands in the place of the `broadcast_event` that one class defines, while somebody captures."""

    def __init__(self, owner: type) -> None:
        self.owner = owner
        self.users = 0
        self._original = vars(owner)[METHOD]
        self._kind = type(self._original) if isinstance(self._original, classmethod | staticmethod) else None
        self._static = self._kind is staticmethod
        self._function: Callable[..., Any] = self._original.__func__ if self._kind else self._original
        if not inspect.isfunction(inspect.unwrap(self._function)):
            raise WrongType(f"{owner.__name__}.{METHOD} is no method, but {self._original!r}: it cannot be captured")
        self._signature = inspect.signature(self._function)

    def install(self) -> None:
        is_async = inspect.iscoroutinefunction(inspect.unwrap(self._function))
        function = self._awaited() if is_async else self._called()
        setattr(self.owner, METHOD, self._kind(function) if self._kind else function)
        self._births = vars(self.owner).get(BIRTH)
        setattr(self.owner, BIRTH, classmethod(self._told_of_births()))

    def restore(self) -> None:
        setattr(self.owner, METHOD, self._original)
        if self._births is None:
            delattr(self.owner, BIRTH)
        else:
            setattr(self.owner, BIRTH, self._births)

    def _told_of_births(self) -> Callable[..., None]:
        owner: Any = self.owner

        def told(cls: Any, **options: Any) -> None:
            if self._births is None:
                super(owner, cls).__init_subclass__(**options)
            else:
                self._births.__get__(None, cls)(**options)
            _born(cls)

        return told

    def _awaited(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        async def broadcast_event(*args: Any, **options: Any) -> Any:
            call = self._record(args, options)
            if call is None:
                return None
            with _naming_a_missing_layer(self._consumer(args)):
                return await self._function(*call.args, **call.kwargs)

        return broadcast_event

    def _called(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        def broadcast_event(*args: Any, **options: Any) -> Any:
            call = self._record(args, options)
            if call is None:
                return None
            with _naming_a_missing_layer(self._consumer(args)):
                return self._function(*call.args, **call.kwargs)

        return broadcast_event

    def _record(self, args: tuple[Any, ...], options: dict[str, Any]) -> inspect.BoundArguments | None:
        """Write the call down in all captures that it concerns; gives the call to make, or None if it is suppressed."""
        call = self._signature.bind(*args, **options)  # a wrong call fails as it would without us
        consumer = self._consumer(args)
        if _definer(consumer) is not self.owner:  # by super(), from a method that has been recorded
            return call
        given = call.arguments
        if not isinstance(given.get("groups"), Collection | None):
            given["groups"] = list(given["groups"])  # an iterator can be read once, and the application reads it
        first = next(iter(list(given.values())[0 if self._static else 1 :]), None)
        concerned = [capture for capture in _captures if self._concerns(consumer, capture.consumer)]
        for capture in concerned:
            event, groups = given.get("event", first), given.get("groups")
            capture.events.append(CapturedEvent(_as_it_is(event), _as_it_is(groups), consumer))
        return None if any(capture.suppress for capture in concerned) else call

    def _consumer(self, args: tuple[Any, ...]) -> type:
        """The class that the call was made on."""
        if self._static:
            return self.owner
        return args[0] if isinstance(args[0], type) else type(args[0])

    def _concerns(self, consumer: type, captured: type) -> bool:
        # A static method is not told on which class it was called, so that any that inherits it may be meant.
        return issubclass(consumer, captured) or (self._static and issubclass(captured, consumer))


def _definer(consumer: type) -> type | None:
    """The class whose `broadcast_event` a call on this class reaches."""
    return next((one for one in consumer.__mro__ if METHOD in vars(one)), None)


def _subclasses(consumer: type) -> Iterator[type]:
    one: type
    for one in type.__subclasses__(consumer):
        yield one
        yield from _subclasses(one)


# -- who captures, now ----------------------------------------------------------------------------

_lock: Final = threading.Lock()
_captures: tuple[_Capture, ...] = ()
_spies: Final[dict[type, _Spy]] = {}


def _enter(capture: _Capture) -> None:
    global _captures
    defining = {one for one in _subclasses(capture.consumer) if METHOD in vars(one)}
    owner = _definer(capture.consumer)
    assert owner is not None
    with _lock:
        for spy in [_spies.get(one) or _Spy(one) for one in {owner, *defining}]:
            _use(spy, capture)
        _captures = (*_captures, capture)


def _born(consumer: type) -> None:
    """A class was made. If it defines the method, it concerns those who capture a class that it inherits from."""
    if METHOD not in vars(consumer):
        return
    with _lock:
        concerned = [capture for capture in _captures if issubclass(consumer, capture.consumer)]
        if consumer in _spies or not concerned:
            return  # more than one of its parents has told of it
        spy = _Spy(consumer)
        for capture in concerned:
            _use(spy, capture)


def _use(spy: _Spy, capture: _Capture) -> None:
    if not spy.users:
        spy.install()
        _spies[spy.owner] = spy
    spy.users += 1
    capture.spies.append(spy)


def _leave(capture: _Capture) -> None:
    global _captures
    with _lock:
        _captures = tuple(one for one in _captures if one is not capture)
        for spy in capture.spies:
            spy.users -= 1
            if not spy.users:
                del _spies[spy.owner]
                spy.restore()


# -- channel layers -------------------------------------------------------------------------------


def capture_group_sends(layer: Any, suppress: bool = True) -> AbstractContextManager[list[CapturedSend]]:
    """Capture what is sent to groups of a channel layer: the calls of its `group_send(group, message)`.

    >>> import asyncio
    >>> from channels.layers import InMemoryChannelLayer
    >>> from farend.asgi import capture_group_sends
    >>> layer = InMemoryChannelLayer()
    >>> with capture_group_sends(layer) as captured:
    ...     asyncio.run(layer.group_send("room_7", {"type": "chat.message", "text": "hi"}))
    >>> captured[0].group, captured[0]["message"]["text"]
    ('room_7', 'hi')

    `layer` is a channel layer of Channels or fast-channels, or any object with an async `group_send`: what
    `get_channel_layer()` gives. With `suppress` (the default) nothing is sent, though a name that no layer
    would take is refused as ever; with `suppress=False` it is captured and sent. The value is a list of
    `CapturedSend`, in the order of the calls. Captures nest: each has every call, and it is sent if none of
    them suppresses.

    Raises `NotConfigured` for None, which `get_channel_layer()` gives where no layer is configured,
    and `WrongType` for what has no `group_send`, or does not let it be captured.
    """
    __tracebackhide__ = True
    if layer is None:
        raise NotConfigured(
            "capture_group_sends() was given no channel layer, but None: get_channel_layer() gives that where none is "
            "configured; " + CONFIGURE_LAYER
        )
    if not callable(getattr(layer, GROUP_SEND, None)):
        raise WrongType(f"capture_group_sends() takes a channel layer, and {layer!r} has no {GROUP_SEND}()")
    return _capturing_sends(layer, suppress)


@contextmanager
def _capturing_sends(layer: Any, suppress: bool) -> Iterator[list[CapturedSend]]:
    captured: list[CapturedSend] = []

    async def group_send(group: str, message: Any) -> None:
        send = disguise.real(GROUP_SEND)
        if not disguise.worn:  # somebody has kept the method, and calls it later
            await send(group, message)
            return
        if suppress and (require := getattr(layer, "require_valid_group_name", None)):
            require(group)
        captured.append(CapturedSend(group, _as_it_is(message)))
        if not suppress:
            await send(group, message)

    try:
        disguise = Disguise(layer, {GROUP_SEND: group_send})
    except (TypeError, AttributeError) as error:
        raise WrongType(f"group_send() of a {type(layer).__name__} cannot be captured: {error}") from None
    try:
        yield captured
    finally:
        disguise.take_off()


# -- both -----------------------------------------------------------------------------------------

CONFIGURE_LAYER: Final = (
    "with Channels, set CHANNEL_LAYERS = {'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}} in the test "
    "settings; with fast-channels, call register_channel_layer('default', InMemoryChannelLayer())"
)


def _as_it_is(value: Any) -> Any:
    """A copy, so that what the application does to it later is not seen; itself, if it cannot be copied."""
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


@contextmanager
def _naming_a_missing_layer(consumer: type) -> Iterator[None]:
    """Raise `NotConfigured` for what a broadcast raises for want of a channel layer; all else comes through."""
    try:
        yield
    except (AssertionError, AttributeError, LookupError) as error:
        if text := without_layer(consumer):
            raise NotConfigured(f"{text}; {CONFIGURE_LAYER}; or leave suppress=True, which needs none") from error
        raise


def without_layer(consumer: type) -> str | None:
    """That this consumer class has no channel layer, and why; None if it has one, or is none that looks one up."""
    find = getattr(consumer, "get_channel_layer", None)
    if find is None:
        return None
    alias = getattr(consumer, "channel_layer_alias", None)
    if alias is None:
        return f"{consumer.__name__} has no channel layer: set its class attribute channel_layer_alias"
    if find(alias) is None:
        return f"{consumer.__name__} has no channel layer to broadcast on: none is configured as {alias!r}"
    return None
