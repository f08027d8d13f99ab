"""The one seam: where names are resolved, where sockets and loops connect, and where TLS checks a certificate.

Every library that dials in Python comes through here, however it was imported: what is replaced are the
functions of the modules and classes below the libraries, and not those of the libraries. All replacements
are transparent where nothing is rerouted.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.util
import inspect
import socket
import ssl
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from farend.intercept import routes
from farend.intercept.addresses import plain_host, where
from farend.intercept.routes import Route
from farend.stage import refusing, tls
from farend.stage.patches import Patch, Patches

Original: TypeAlias = Callable[..., Any]
_socket: Final[Any] = importlib.import_module("_socket")
"""What `socket.getaddrinfo` itself calls: who imported that one early comes through here as well."""


_UNKNOWN: Final = -1
"""A service that has no port: the system has to refuse it."""


# -- names ------------------------------------------------------------------------------------------


def _answer(host: Any, port: Any, family: int, type: int, flags: int) -> list[tuple[Any, ...]] | None:
    """What a look-up gives for a name that has a stand-in; None where the system is to answer."""
    if not host or not _is_name(host) or flags & socket.AI_PASSIVE or type not in (0, socket.SOCK_STREAM):
        return None
    host, number = as_text(host), port_number(port)
    if number == _UNKNOWN:
        return None
    name = routes.named(host)
    route = routes.resolves(name, number)
    if not route and not routes.is_stand_in(host):
        routes.current().let_pass(name, number)
        return None
    if not family:
        family = route.family if isinstance(route, Route) else socket.AF_INET
    address = routes.stand_in(name)
    sockaddr = (f"::ffff:{address}", number or 0, 0, 0) if family == socket.AF_INET6 else (address, number or 0)
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, name if flags & socket.AI_CANONNAME else "", sockaddr)]


def _is_name(host: Any) -> bool:
    return isinstance(host, str | bytes | bytearray)


def as_text(host: Any) -> str:
    """A host as text, whatever a library gives it as."""
    return host if isinstance(host, str) else bytes(host).decode("ascii", "replace")


def port_number(port: Any) -> int | None:
    """A port as a number; None where any will do."""
    if port is None or isinstance(port, int):
        return port or None
    text = as_text(port)
    if text.isdecimal():
        return int(text) or None
    try:
        return socket.getservbyname(text, "tcp")
    except OSError:
        return _UNKNOWN


def _getaddrinfo(original: Original) -> Original:
    @functools.wraps(original)
    def getaddrinfo(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, ...]]:
        answer = _answer(host, port, family, type, flags)
        return original(host, port, family, type, proto, flags) if answer is None else answer

    return getaddrinfo


def _stood_for(hostname: Any) -> str | None:
    """The plain name, if it has a stand-in."""
    if not _is_name(hostname):
        return None
    name = plain_host(as_text(hostname))
    return name if routes.resolves(name, None) else None


def _gethostbyname(original: Original) -> Original:
    @functools.wraps(original)
    def gethostbyname(hostname: Any) -> Any:
        name = _stood_for(hostname)
        return original(hostname) if name is None else routes.stand_in(name)

    return gethostbyname


def _gethostbyname_ex(original: Original) -> Original:
    @functools.wraps(original)
    def gethostbyname_ex(hostname: Any) -> Any:
        name = _stood_for(hostname)
        return original(hostname) if name is None else (name, [], [routes.stand_in(name)])

    return gethostbyname_ex


def _loop_getaddrinfo(original: Original) -> Original:
    @functools.wraps(original)
    async def getaddrinfo(
        self: Any, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        # A name that has a stand-in needs no thread to wait in.
        if _answer(host, port, family, type, flags) is not None:
            return socket.getaddrinfo(host, port, family, type, proto, flags)
        return await original(self, host, port, family=family, type=type, proto=proto, flags=flags)

    return getaddrinfo


def _aiodns_getaddrinfo(original: Original) -> Original:
    """For the resolver that aiohttp prefers where it is installed: it asks in C, and answers with objects."""

    @functools.wraps(original)
    def getaddrinfo(
        self: Any, host: str, family: int = 0, port: Any = None, proto: int = 0, type: int = 0, flags: int = 0
    ) -> asyncio.Future[Any]:
        answer = _answer(host, port, family, type, flags)
        if answer is None:
            return original(self, host, family=family, port=port, proto=proto, type=type, flags=flags)  # type: ignore[no-any-return]
        return _found(answer)

    return getaddrinfo


def aiodns_answer(address: str, port: int | None) -> asyncio.Future[Any]:
    """What aiodns gives for a name with this IPv4 address."""
    return _found([(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port or 0))])


def _found(answer: list[tuple[Any, ...]]) -> asyncio.Future[Any]:
    found = asyncio.get_running_loop().create_future()
    nodes = [
        SimpleNamespace(
            ttl=0, flags=0, family=family, socktype=kind, protocol=proto, addr=(sockaddr[0].encode(), *sockaddr[1:])
        )
        for family, kind, proto, _, sockaddr in answer
    ]
    found.set_result(SimpleNamespace(cnames=[], nodes=nodes))
    return found


# -- connections ------------------------------------------------------------------------------------

_announced: Final[weakref.WeakSet[socket.socket]] = weakref.WeakSet()
"""Who connects step by step, and calls `connect_ex` until it is done, is announced once."""


def _target(sock: socket.socket, address: Any) -> Any:
    """The address to connect to in place of `address`; refuses it where nothing unlisted may be dialled."""
    table = routes.current()
    if not (_is_address(address) and _is_tcp(sock)):
        return address
    host, port = as_text(address[0]), address[1]
    name = routes.named(host)
    route = table.find(name, port)
    if route is not None:
        target = refusing.led(sock, route.sockaddr(sock.family))
        if route.terms is not None and route.announce is not None and sock not in _announced:
            route.announce(_own_address(sock, target), route.terms(name))
            _announced.add(sock)
        return target
    if not table.lets_through(name, port):
        raise table.refuse(name, port)
    if routes.is_stand_in(host):  # resolved without a port, or before the block was left
        return _really(name, port, sock.family)
    if table.blocks:
        table.let_pass(name, port)
    return address


def _is_address(address: Any) -> bool:
    return isinstance(address, tuple) and len(address) >= 2 and _is_name(address[0]) and isinstance(address[1], int)


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM


def _own_address(sock: socket.socket, target: Any) -> Any:
    """The address that the socket will have at its own end; it is given one now, if it has none yet."""
    own = sock.getsockname()
    if not own[1]:
        sock.bind((target[0], 0))
        own = sock.getsockname()
    # Bound to every address, it will be on the one that it goes to.
    return (target[0], own[1]) if own[0] in ("0.0.0.0", "::") else own


def _really(name: str, port: Any, family: int) -> Any:
    """Where a name leads without us."""
    return inspect.unwrap(_socket.getaddrinfo)(name, port, family, socket.SOCK_STREAM)[0][4]


def _connect(original: Original) -> Original:
    @functools.wraps(original)
    def connect(self: socket.socket, address: Any, /) -> Any:
        target = _target(self, address)
        try:
            return original(self, target)
        except OSError as error:
            if target is not address and not isinstance(error, BlockingIOError | InterruptedError):
                meant, found = where(routes.named(as_text(address[0])), address[1]), where(*target[:2])
                error.add_note(f"farend has led this from {meant} to {found}.")
            raise

    return connect


def _connect_ex(original: Original) -> Original:
    @functools.wraps(original)
    def connect_ex(self: socket.socket, address: Any, /) -> Any:
        return original(self, _target(self, address))

    return connect_ex


def _sock_connect(original: Original) -> Original:
    @functools.wraps(original)
    async def sock_connect(self: Any, sock: socket.socket, address: Any) -> Any:
        return await original(self, sock, _target(sock, address))

    return sock_connect


def _create_connection(original: Original) -> Original:
    return refusing.connecting_by_socket(original, _concerns)


def _concerns(host: Any, port: Any) -> bool:
    """Whether dialling this is ours to look at."""
    table = routes.current()
    name = routes.named(as_text(host))
    return table.strict or table.find(name, port_number(port)) is not None or routes.is_stand_in(as_text(host))


# -- trust ------------------------------------------------------------------------------------------
#
# A context that an application made before, or keeps for its whole life, cannot be told to trust somebody for
# a while: what was added to its store stays there. A connection can: it is moved to a context of ours right after
# it was made, and before it shakes hands. It keeps what it was made with, the host's name that is to be checked
# among it, and looks into our store for who has signed.


def _wrap_socket(original: Original) -> Original:
    @functools.wraps(original)
    def _wrap_socket(
        self: ssl.SSLContext,
        sock: Any,
        server_side: bool,
        server_hostname: Any = None,
        *,
        owner: Any = None,
        session: Any = None,
    ) -> Any:
        trusts = not server_side and (_trusts(server_hostname) or _is_ours(sock))
        made = original(self, sock, server_side, server_hostname, owner=owner, session=None if trusts else session)
        return _moved(made, self, session) if trusts else made

    return _wrap_socket


def wrap_bio(original: Original, vouches: Callable[[Any], bool]) -> Original:
    """What replaces `SSLContext._wrap_bio`, where `vouches` says of which names' servers the client is to trust us."""

    @functools.wraps(original)
    def _wrap_bio(
        self: ssl.SSLContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool,
        server_hostname: Any = None,
        *,
        owner: Any = None,
        session: Any = None,
    ) -> Any:
        ours = not server_side and vouches(server_hostname)
        made = original(
            self, incoming, outgoing, server_side, server_hostname, owner=owner, session=None if ours else session
        )
        return _moved(made, self, session) if ours else made

    return _wrap_bio


def _trusts(server_hostname: Any) -> bool:
    trusting = routes.current().trusting
    return bool(trusting) and server_hostname is not None and plain_host(as_text(server_hostname)) in trusting


def _is_ours(sock: Any) -> bool:
    """Whether a socket is connected to a far end that may present a throw-away certificate."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return False
    return any(
        route.ours and (route.host, route.port) == (plain_host(host), port)
        for route in routes.current().routes.values()
    )


def _moved(made: Any, context: ssl.SSLContext, session: Any) -> Any:
    made.context = _twin(tls.authority(), context.keylog_filename)
    if session is not None:
        with contextlib.suppress(ValueError):  # of a connection that was not rerouted
            made.session = session
    return made


@functools.lru_cache(8)
def _twin(authority: Any, keylog_filename: str | None) -> ssl.SSLContext:
    """A context that trusts the throw-away authority, for connections that were made by another one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if keylog_filename is not None:
        context.keylog_filename = keylog_filename
    return context


# -- the table --------------------------------------------------------------------------------------


_TABLE: Final[tuple[tuple[str, str, dict[str, Callable[[Any], Any]]], ...]] = (
    (
        "_socket",
        "",
        {"getaddrinfo": _getaddrinfo, "gethostbyname": _gethostbyname, "gethostbyname_ex": _gethostbyname_ex},
    ),
    ("socket", "", {"gethostbyname": _gethostbyname, "gethostbyname_ex": _gethostbyname_ex}),
    ("socket", "socket", {"connect": _connect, "connect_ex": _connect_ex}),
    ("asyncio.base_events", "BaseEventLoop", {"getaddrinfo": _loop_getaddrinfo}),
    ("asyncio.proactor_events", "BaseProactorEventLoop", {"sock_connect": _sock_connect}),
    ("ssl", "SSLContext", {"_wrap_socket": _wrap_socket, "_wrap_bio": functools.partial(wrap_bio, vouches=_trusts)}),
    ("uvloop", "Loop", {"getaddrinfo": _loop_getaddrinfo, "create_connection": _create_connection}),
    ("aiodns", "DNSResolver", {"getaddrinfo": _aiodns_getaddrinfo}),
)
"""Module, class if it is one, and what is replaced there."""


@functools.cache
def patches() -> Patches:
    """All of them. Loops and resolvers that are installed are imported: who imports them later is seen as well."""
    found = []
    for module, name, replaced in _TABLE:
        if importlib.util.find_spec(module) is not None:
            owner: Any = importlib.import_module(module)
            owner = getattr(owner, name) if name else owner
            found += [
                Patch(owner, attribute, make) for attribute, make in replaced.items() if hasattr(owner, attribute)
            ]
    return Patches(*found)
