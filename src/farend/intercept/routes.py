"""Which addresses are rerouted at the moment, and whereto; all that the seams look things up in.

The table is replaced as a whole, under a lock, and read without one: a connection is dialled by the
table that it found.

A name that is rerouted need not resolve. It is given a *stand-in*, an address of 127.128.0.0/9, which
leads back to the name when it is dialled. Nothing listens there, and nothing sent there leaves the machine.
"""

from __future__ import annotations

import errno
import functools
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeAlias

from farend.errors import AddressError, WrongState
from farend.intercept.addresses import Address, is_ip, plain_host, where
from farend.stage import dialling, tls
from farend.stage.doorway import Terms

HTTPS: Final = 443
MOST_OTHERS: Final = 5
"""Addresses that are named of those that were dialled and not rerouted."""
Announce: TypeAlias = Callable[[Any, Terms], None]


@dataclass(frozen=True)
class Route:
    """From an address to the IP address and the port of a far end.

    `terms` gives how a connection to a host begins, which `announce` tells the far end; None where it
    begins as it always does there. `ours` tells whether the far end may present a throw-away certificate.
    """

    address: Address
    host: str
    port: int
    far_end: str
    terms: Callable[[str], Terms] | None = None
    announce: Announce | None = None
    ours: bool = False

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def sockaddr(self, family: int) -> tuple[Any, ...]:
        """The far end's address for a socket of this family. Raises `AddressError` if there is none."""
        if family == socket.AF_INET6:
            return (self.host if ":" in self.host else f"::ffff:{self.host}", self.port, 0, 0)
        if ":" in self.host:
            raise AddressError(
                errno.EAFNOSUPPORT,
                f"{self.address} is rerouted to {self.far_end} on {where(self.host, self.port)}, and was dialled over "
                "IPv4: let the far end listen on 127.0.0.1, its default",
            )
        return self.host, self.port


@dataclass(eq=False)
class Block:
    """What one `reroute` asks for, and what came of it."""

    routes: tuple[Route, ...]
    strict: bool
    entered_at: str
    refused: list[AddressError] = field(default_factory=list)
    others: dict[str, None] = field(default_factory=dict)
    """What was dialled, and is not listed."""

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(route.address.host for route in self.routes)

    def told_of_others(self) -> str:
        """What was dialled and went where it always goes, for whoever wonders why nobody came."""
        if not self.others or self.strict:
            return ""
        *some, last = list(self.others)[:MOST_OTHERS]
        listed = ", ".join(str(route.address) for route in self.routes)
        more = f" and {len(self.others) - MOST_OTHERS} more" if len(self.others) > MOST_OTHERS else ""
        which = f"{', '.join(some)} and {last}" if some and not more else ", ".join((*some, last)) + more
        return f"farend: while {listed} was rerouted, {which} was dialled, and not rerouted."


class Table:
    """The routes of all blocks that are entered."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self.blocks = tuple(blocks)
        self.routes = {route.address.key: route for block in self.blocks for route in block.routes}
        self.hosts = {host: route for (host, _), route in self.routes.items()}
        self.trusting = frozenset(route.address.host for route in self.routes.values() if route.ours)
        self.far_ends = frozenset((_loopback(route.host), route.port) for route in self.routes.values())
        self.strict = any(block.strict for block in self.blocks)

    def find(self, host: str, port: object) -> Route | None:
        """The route of a plain host and a port; the one for this very port goes before the host's."""
        return self.routes.get((host, port)) or self.routes.get((host, None))  # type: ignore[arg-type]

    def lets_through(self, host: str, port: object) -> bool:
        """Whether an address that is not listed may be dialled all the same: it is a far end's own, for one."""
        return not self.strict or (_loopback(host), port) in self.far_ends

    def let_pass(self, host: str, port: object) -> None:
        """An address that is not listed is dialled, or looked up to be."""
        if not self.blocks or not host or is_local(host) or _loopback(host) == "localhost":
            return
        for block in self.blocks:
            if is_ip(host) and any(one.endswith(f":{port}") for one in block.others):
                continue  # it is what a name was resolved to
            block.others[where(host, port) if port else host] = None

    def refuse(self, host: str, port: object) -> AddressError:
        """What is raised where nothing but what is listed may be dialled."""
        listed = ", ".join(str(route.address) for route in self.routes.values()) or "nothing"
        key = repr(f"https://{host}") if port == HTTPS else f"({host!r}, {port})"  # with a URL, TLS is seen to
        error = AddressError(
            errno.ECONNREFUSED,
            f"{where(host, port)} is not rerouted, and strict=True refuses all else. Write {key}: far_end "
            f"into reroute({{…}}), or ({host!r}, {port}): ({host!r}, {port}) to let it through. Rerouted: {listed}",
        )
        for block in self.blocks:
            if block.strict:
                block.refused.append(error)
        return error


def _loopback(host: str) -> str:
    """One name for this machine: a client that means it by `localhost` tries all of its addresses."""
    return "localhost" if host in ("127.0.0.1", "::1", "localhost") else host


active: Table = Table()
_NOTHING: Final = Table()
_lock: Final = threading.Lock()


def current() -> Table:
    """The table by which who asks now is to dial."""
    return _NOTHING if dialling.past_reroutes.get() else active


def enter(block: Block) -> None:
    """Add a block's routes. Raises `WrongState` if one of its addresses is rerouted already."""
    __tracebackhide__ = True
    global active
    with _lock:
        for route in block.routes:
            there = active.routes.get(route.address.key)
            if there is not None:
                other = next(one for one in active.blocks if there in one.routes)
                raise WrongState(
                    f"{route.address} is rerouted already, to {there.far_end} ({other.entered_at}): "
                    "leave that block first, or leave the address out here"
                )
        active = Table((*active.blocks, block))
        tls.assume(_names(block))


def leave(block: Block) -> None:
    """Take a block's routes away again."""
    global active
    with _lock:
        active = Table(one for one in active.blocks if one is not block)
        tls.unassume(_names(block))


def _names(block: Block) -> list[str]:
    return [route.address.host for route in block.routes if route.ours]


# -- stand-ins --------------------------------------------------------------------------------------

_FIRST: Final = int.from_bytes(socket.inet_aton("127.128.0.1"), "big")
_numbers = count()
_stand_ins: Final[dict[str, str]] = {}
_names_of: Final[dict[str, str]] = {}


def stand_in(name: str) -> str:
    """The IP address that stands for a plain name; always the same, since clients keep what they resolved."""
    with _lock:
        address = _stand_ins.get(name)
        if address is None:
            address = socket.inet_ntoa((_FIRST + next(_numbers) % (1 << 22)).to_bytes(4, "big"))
            _stand_ins[name], _names_of[address] = address, name
        return address


def named(host: str) -> str:
    """The plain host that an address stands for: a stand-in's name, or the host itself."""
    return _names_of.get(host) or _names_of.get(plain_host(host)) or plain_host(host)


def is_stand_in(host: str) -> bool:
    """Whether this address stands for a name."""
    return plain_host(host) in _names_of


def is_local(name: str) -> bool:
    """Whether a plain name means this machine, and so is resolved even where all else is refused."""
    return name == "localhost" or name.endswith(".localhost") or name == _own_name()


@functools.cache
def _own_name() -> str:
    return plain_host(socket.gethostname())


def resolves(name: str, port: object) -> Route | bool:
    """Whether a plain host is to be given a stand-in: its route, True if only to be refused later, or False."""
    table = current()
    if is_ip(name):
        return False
    route = table.hosts.get(name) if port is None else table.find(name, port)
    return route or (table.strict and not is_local(name))
