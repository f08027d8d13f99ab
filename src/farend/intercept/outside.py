"""What goes past a loop's methods: blocking clients, in whatever thread, resolvers that ask in C, and trust.

A network in memory is on one loop, whose methods answer. These do not come there. So while a network is entered, a
look-up of one of its addresses that blocks is told why it cannot be; aiodns, which aiohttp prefers where it is
installed, is answered on the network's loop; and TLS connections to its names trust the throw-away authority. For all
else the replacements are transparent.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import ssl
from collections.abc import Callable, Collection
from typing import Any, Final

from farend.errors import WrongState
from farend.intercept import seams
from farend.intercept.addresses import plain_host, where
from farend.intercept.routes import stand_in
from farend.stage.patches import Patch, Patches


class Outside:
    """One network: its loop, the keys of its addresses, and the names whose servers present our certificates."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, keys: Collection[tuple[str, int | None]], ours: Collection[str]
    ) -> None:
        self.loop = loop
        self.keys = keys
        self.ours = ours

    def has(self, host: str, port: int | None) -> bool:
        """Whether this address is in the network."""
        return (host, port) in self.keys or (host, None) in self.keys


class Guard:
    """The networks that are entered, in all threads."""

    def __init__(self) -> None:
        self._entered: tuple[Outside, ...] = ()

    def enter(self, outside: Outside) -> None:
        """Keep watch for this network as well."""
        patches().hold()
        self._entered = (*self._entered, outside)

    def leave(self, outside: Outside) -> None:
        """It is over."""
        self._entered = tuple(one for one in self._entered if one is not outside)
        patches().release()

    def check(self, host: Any, port: Any) -> None:
        """Raise `WrongState` where a call that blocks is about an address in a network."""
        __tracebackhide__ = True
        if not isinstance(host, str | bytes | bytearray):
            return
        name, number = plain_host(seams.as_text(host)), seams.port_number(port)
        if any(one.has(name, number) for one in self._entered):
            raise WrongState(
                f"{name if number is None else where(name, number)} is in a virtual network, and a client that blocks, "
                "or runs in a thread, cannot be: no socket is there, and its time is real. Use an asyncio client on "
                "the network's loop, or real sockets: `with server, reroute({…})`"
            )

    def vouches(self, server_hostname: Any) -> bool:
        """Whether clients are to trust us where they ask for this name."""
        if server_hostname is None or not any(one.ours for one in self._entered):
            return False
        name = plain_host(seams.as_text(server_hostname))
        return any(name in one.ours for one in self._entered)

    def is_inside(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether a network is on this loop."""
        return any(one.loop is loop for one in self._entered)


guard: Final = Guard()
"""The one there is."""


def _blocking(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def getaddrinfo(host: Any, port: Any, *others: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        guard.check(host, port)
        return original(host, port, *others, **options)

    return getaddrinfo


def _aiodns(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def getaddrinfo(self: Any, host: str, *others: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        if not guard.is_inside(loop):
            return original(self, host, *others, **options)
        return seams.aiodns_answer(stand_in(plain_host(host)), options.get("port"))

    return getaddrinfo


@functools.cache
def patches() -> Patches:
    """All of them."""
    found = [
        Patch(importlib.import_module("_socket"), "getaddrinfo", _blocking),
        Patch(ssl.SSLContext, "_wrap_bio", functools.partial(seams.wrap_bio, vouches=guard.vouches)),
    ]
    if importlib.util.find_spec("aiodns") is not None:
        found.append(Patch(importlib.import_module("aiodns").DNSResolver, "getaddrinfo", _aiodns))
    return Patches(*found)
