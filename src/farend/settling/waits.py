"""Who awaits what: the chain of awaits of a suspended task, and whether its end is another program.

`EXTERNAL` are the coroutines that await something from outside the loop: while one of the application's
tasks is in such a call, it has not finished reacting. `LISTENERS` wait for whatever may come, and so do
not count. Both are plain tables of `module:qualified name`; `external` and `listening` add to them.
"""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import threading
from collections.abc import Collection, Iterator
from contextvars import Context
from types import CodeType
from typing import Any, Final

from farend.core.messages import printed
from farend.errors import WrongType
from farend.settling.causes import CAUSE, Cause
from farend.settling.places import is_a_librarys, is_ours, is_users, place

EXTERNAL: Final[set[str]] = {
    # asyncio
    "asyncio.streams:StreamReader._wait_for_data",
    "asyncio.streams:FlowControlMixin._drain_helper",
    "asyncio.streams:StreamWriter.wait_closed",
    "asyncio.subprocess:Process.wait",
    "asyncio.subprocess:Process.communicate",
    "asyncio.base_subprocess:BaseSubprocessTransport._wait",
    "asyncio.base_subprocess:BaseSubprocessTransport._connect_pipes",
    "asyncio.unix_events:_UnixSelectorEventLoop._make_subprocess_transport",
    "asyncio.selector_events:BaseSelectorEventLoop.sock_recv",
    "asyncio.selector_events:BaseSelectorEventLoop.sock_recv_into",
    "asyncio.selector_events:BaseSelectorEventLoop.sock_recvfrom",
    "asyncio.selector_events:BaseSelectorEventLoop.sock_sendall",
    "asyncio.selector_events:BaseSelectorEventLoop.sock_connect",
    "asyncio.base_events:BaseEventLoop.create_connection",
    # uvloop
    "uvloop.loop:Loop.sock_recv",
    "uvloop.loop:Loop.sock_recv_into",
    "uvloop.loop:Loop.sock_sendall",
    "uvloop.loop:Loop.sock_connect",
    "uvloop.loop:Loop.create_connection",
    "uvloop.loop:Loop.create_server",
    "uvloop.loop:Loop.create_unix_connection",
    "uvloop.loop:Loop.getaddrinfo",
    "uvloop.loop:Loop.subprocess_exec",
    "uvloop.loop:Loop.subprocess_shell",
    # libraries
    "aiosqlite.core:Connection._execute",
    "aiosqlite.core:Connection._connect",
    "anyio._backends._asyncio:SocketStream.receive",
    "anyio._backends._asyncio:SocketStream.send",
    "anyio._backends._asyncio:UNIXSocketStream.receive",
    "anyio._backends._asyncio:UNIXSocketStream.send",
    "anyio._backends._asyncio:Process.wait",
    "websockets.asyncio.messages:SimpleQueue.get",
    "websockets.asyncio.connection:Connection.send_context",
    "websockets.asyncio.connection:Connection.wait_closed",
    "websockets.asyncio.client:ClientConnection.handshake",
    "aiohttp.client_reqrep:ClientResponse.start",
    "aiohttp.streams:StreamReader._wait",
    "aiohttp.streams:DataQueue.read",
}
LISTENERS: Final[set[str]] = {
    "channels_redis.core:RedisChannelLayer.receive",
    "channels_redis.core:RedisChannelLayer.receive_single",
    "channels_redis.pubsub:RedisSingleShardConnection._do_receiving",
    "fast_channels.layers.redis.core:RedisChannelLayer.receive",
    "fast_channels.layers.redis.core:RedisChannelLayer.receive_single",
    "fast_channels.layers.redis.pubsub:RedisSingleShardConnection._do_receiving",
    "asyncio.selector_events:BaseSelectorEventLoop.sock_accept",
    "asyncio.base_events:Server.serve_forever",
}
UNWATCHED: Final = {
    "channels_redis.core:RedisChannelLayer.receive",
    "channels_redis.pubsub:RedisPubSubLoopLayer.receive",
    "fast_channels.layers.redis.core:RedisChannelLayer.receive",
    "fast_channels.layers.redis.pubsub:RedisPubSubLoopLayer.receive",
}
"""Layers that go through Redis: where nobody watches them, what is under way in them cannot be known."""
_WATCH: Final = "farend.settling.layers:Watch.receive"
_NAME: Final = re.compile(r"[\w.]+:[\w.<>]+")


class Declared:
    """A name on one of the tables. Take it off with `withdraw()`, or by using it in a `with`."""

    def __init__(self, table: set[str], name: str) -> None:
        self._table = table
        self._name = name
        self._is_new = name not in table
        table.add(name)

    def withdraw(self) -> None:
        """Take the name off again."""
        if self._is_new:
            self._table.discard(self._name)

    def __enter__(self) -> Declared:
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()

    def __repr__(self) -> str:
        return f"<Declared {self._name}>"


def listening(name: str) -> Declared:
    """Declare that the coroutine function `name` listens for whatever comes, so that nobody waits for it.

    `name` is `"package.module:function"` or `"package.module:Class.method"`, as in `__module__` and
    `__qualname__`. It holds until `withdraw()`, or for the length of a `with`. Raises `WrongType`.

    >>> with listening("shop.prices:Feed.run"):
    ...     pass
    """
    return Declared(LISTENERS, _checked(name, "listening"))


def external(name: str) -> Declared:
    """Declare that the coroutine function `name` awaits something from outside, which is worth waiting for.

    For a library that farend does not know and that awaits a bare future. `name` is as in `listening`.
    """
    return Declared(EXTERNAL, _checked(name, "external"))


def _checked(name: str, function: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WrongType(f'{function}() takes a name like "package.module:Class.method", not {printed(name)}')
    return name


# -- the chain of awaits ------------------------------------------------------------------------------

_INNER: Final = (("cr_await", "cr_frame"), ("gi_yieldfrom", "gi_frame"), ("ag_await", "ag_frame"))


def links(task: asyncio.Task[Any]) -> Iterator[Any]:
    """Coroutines, generators and the like that a suspended task is in, the outermost first, then the future."""
    one: Any = task.get_coro()
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if asyncio.isfuture(one):
            yield one
            return
        for inner, _ in _INNER:
            if hasattr(one, inner):
                yield one
                one = getattr(one, inner)
                break
        else:
            one = _inside(one)


def _inside(opaque: Any) -> Any:
    """What a wrapper made in C awaits: an iterator over a future, a coroutine's `__await__`, an `asend`."""
    for one in gc.get_referents(opaque):
        if asyncio.isfuture(one) or any(hasattr(one, inner) for inner, _ in _INNER):
            return one
    return None


def frame_of(link: Any) -> Any:
    """Its frame; None where it has none (Cython)."""
    return next((getattr(link, frame, None) for _, frame in _INNER if hasattr(link, frame)), None)


_names: dict[int, tuple[CodeType, str]] = {}


def name_of(link: Any) -> str:
    """`module:qualified name` of a coroutine; empty for a future."""
    frame = frame_of(link)
    if type(link).__name__ == "iterable_coroutine":
        return f"uvloop.loop:Loop.{link.__name__}"  # made by Cython, whose frames know no module
    if frame is None:
        return ""
    code = frame.f_code
    known = _names.get(id(code))
    if known is None:
        known = _names[id(code)] = (code, f"{frame.f_globals.get('__name__')}:{code.co_qualname}")
    return known[1]


LISTENING: Final = object()
"""What `outside_call` gives for a task that listens."""


def outside_call(task: asyncio.Task[Any], inside: Collection[object]) -> Any:
    """The coroutine in which a task awaits something from outside; None where it does not, or `LISTENING`.

    `inside` are addresses at which something of this loop listens: what comes from there is no stranger's.
    """
    found = None
    is_watched = False
    for link in links(task):
        if inside and _peer_of(frame_of(link)) in inside:
            return None
        name = name_of(link)
        is_watched = is_watched or name == _WATCH
        if name in UNWATCHED and not is_watched:
            return link
        if name in LISTENERS and not task.cancelling():  # one that is cancelled is cleaning up
            return LISTENING
        if found is None and name in EXTERNAL:
            found = link
    return found


_CONNECTIONS: Final = ("_transport", "transport", "_conn", "_connection", "connection", "_protocol")
"""Where the objects whose methods await keep their transport, or what has it."""


def _peer_of(frame: Any) -> object:
    """The address of the other end of the connection that a call is about."""
    if frame is None:
        return None
    sock = frame.f_locals.get("sock")
    try:
        if sock is not None:
            return _address(sock.getpeername())
        owner = frame.f_locals.get("self")
        for name in _CONNECTIONS:
            held = getattr(owner, name, None)
            transport: Any = getattr(held, "transport", held)
            if hasattr(transport, "get_extra_info"):
                return _address(transport.get_extra_info("peername"))
    except (AttributeError, OSError):
        pass
    return None


def _address(address: Any) -> object:
    return tuple(address[:2]) if isinstance(address, tuple) else address


# -- whose task it is ---------------------------------------------------------------------------------


def context_of(task: asyncio.Task[Any]) -> Context | None:
    """The context of a suspended task."""
    if sys.version_info >= (3, 12):
        return task.get_context()
    for callback, context in getattr(_awaited(task), "_callbacks", None) or ():
        # The task's own wake-up is among what its future calls, with the context to do it in.
        if getattr(callback, "__self__", None) is task:
            return context  # type: ignore[no-any-return]
    return None


def cause_of(task: asyncio.Task[Any]) -> Cause | None:
    """What a suspended task works for."""
    context = context_of(task)
    return None if context is None else context.get(CAUSE)


def _awaited(task: asyncio.Task[Any]) -> Any:
    return task._fut_waiter  # type: ignore[attr-defined]


class Walk:
    """Looks through the tasks of a loop, and remembers those that have not moved since."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[asyncio.Task[Any], tuple[Any, int, Any]] = {}
        self.listening: dict[Any, asyncio.Task[Any]] = {}
        """The tasks that listen, by the future that each awaits."""

    def outside(self, everyone: bool, inside: Collection[object] = ()) -> Iterator[tuple[asyncio.Task[Any], Any]]:
        """The tasks that await something from outside, and in which call; only the application's, or everyone's."""
        version = len(EXTERNAL) * 1000 + len(LISTENERS)
        before, self._known = self._known, {}
        self.listening.clear()
        for task in asyncio.all_tasks(self._loop):
            awaited = _awaited(task)
            if awaited is None:
                continue
            known = before.get(task)
            if known is not None and known[0] is awaited and known[1] == version and not inside:
                call = known[2]
            else:
                call = outside_call(task, inside)
            self._known[task] = (awaited, version, call)
            if call is LISTENING:
                self.listening[awaited] = task
            elif call is not None and (everyone or cause_of(task) is not None):
                yield task, call

    def forget(self) -> None:
        """Keep no task alive."""
        self._known.clear()
        self.listening.clear()

    def is_of_a_listener(self, timer: Any) -> bool:
        """Whether a timer is the limit of a wait for what may come from outside: such a limit is in real time."""
        task = getattr(getattr(timer._callback, "__self__", None), "_task", None)  # asyncio.timeout
        if task is not None and task in self.listening.values():
            return True
        return any(asyncio.isfuture(one) and one in self.listening for one in timer._args or ())


def anybody_outside(descriptors: int) -> bool:
    """Whether anything could come from outside at all: there is another descriptor to poll, or another thread."""
    return descriptors > 1 or threading.active_count() > 1


# -- in words -----------------------------------------------------------------------------------------

_WORDS: Final = {
    "asyncio.tasks:sleep": "sleep",
    "asyncio.queues:Queue.get": "an item on a queue",
    "asyncio.queues:Queue.put": "room on a queue",
    "asyncio.locks:Event.wait": "an event",
    "asyncio.locks:Lock.acquire": "a lock",
    "asyncio.locks:Condition.wait": "a condition",
    "asyncio.locks:Semaphore.acquire": "a semaphore",
    "asyncio.tasks:_wait": "other tasks",
    "asyncio.streams:StreamReader._wait_for_data": "data from a stream",
    "asyncio.base_subprocess:BaseSubprocessTransport._wait": "the end of a subprocess",
    "farend.asgi.session:Session.receive": "a message (receive())",
}


def described(task: asyncio.Task[Any], due: dict[int, float] | None = None) -> str:
    """What a task waits for, where, and why: `sleep due in 50 ms, app.py:33 (beat), caused by message 3`.

    The place is the innermost of the user's own; else of a library's; else, where no words say what it waits for,
    whichever is innermost and not farend's. `due` tells, for the id of a future, in how many seconds a timer
    completes it.
    """
    what, end = "", None
    users, librarys, last = "", "", ""
    for link in links(task):
        frame = frame_of(link)
        end = link
        what = _WORDS.get(name_of(link), what)
        if frame is None:
            continue
        file, here = frame.f_code.co_filename, place(frame.f_code, frame.f_lineno)
        if is_users(file):
            users = here
        elif is_a_librarys(file):
            librarys = here
        if not is_ours(file):
            last = here
    where = users or librarys or ("" if what else last)
    what = what or _in_words(end)
    if due and id(end) in due:
        what += f" due in {duration(due[id(end)])}"
    cause = cause_of(task)
    return ", ".join(part for part in (what, where, f"caused by {cause}" if cause else "") if part)


def _in_words(end: Any) -> str:
    if isinstance(end, asyncio.Task):
        return f"task {end.get_name()}"
    return "a future" if asyncio.isfuture(end) else "something unknown"


def duration(seconds: float) -> str:
    """A time, in words: `50 ms`, `1.5 s`, `3600 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"
