"""Any client library, unpatched, to a real far end: `reroute`."""

from __future__ import annotations

import contextlib
import functools
import inspect
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Never, Protocol, Self, TypeAlias, TypeVar

from farend.core.messages import printed
from farend.core.steps import UNSET
from farend.errors import AddressError, Failure, InvalidArguments, WrongState, WrongType
from farend.intercept import routes, seams
from farend.intercept.addresses import Address, is_ip, parsed, plain_host, where
from farend.intercept.environment import past_the_proxy
from farend.intercept.gateway import Gateway
from farend.intercept.misuse import check_call
from farend.intercept.routes import Block, Route
from farend.stage import servers, tls
from farend.stage.doorway import Terms
from farend.stage.proxy import Proxy
from farend.stage.servers import Server


class Listening(Protocol):
    """Whatever listens on a port: a server of farend's, or of anybody else's. It may have a `host` as well."""

    @property
    def port(self) -> int: ...


Target: TypeAlias = Listening | tuple[str, int] | str
F = TypeVar("F", bound=Callable[..., Any])


def reroute(
    targets: Mapping[Any, Target], unmapped: Never = UNSET, /, *, strict: bool = False, **unknown: Never
) -> Reroute:
    r"""Let every connection that this process opens to these addresses reach the far ends given.

    >>> import socket
    >>> from farend import Script, TcpServer, reroute
    >>> with TcpServer(Script().expect(b"PING\n").send(b"PONG\n")) as server:
    ...     with reroute({("device.plant.example", 5025): server}):
    ...         with socket.create_connection(("device.plant.example", 5025)) as client:
    ...             _ = client.sendall(b"PING\n")
    ...             client.recv(5)
    b'PONG\n'

    `targets` maps addresses to far ends. An address is a URL (`ws`, `wss`, `http`, `https`, `tcp` or `tls`; its
    path says nothing, since a connection has none, and two paths of one host may have one far end), a pair of
    host and port, or a host, for each of its ports; the more exact one goes first. A far end is a server of
    farend's that is started, or the address of any other server: a pair, a URL, or an object with `host` and
    `port`. With `strict`, what is not listed is refused with `AddressError`, and leaving the block raises
    `Failure` if something was, even where the program has swallowed that.

    Names need not resolve. Where the address is `wss`, `https` or `tls`, the far end presents a certificate for the
    host, whether it has TLS itself or not, and its throw-away authority is trusted until the block is left (this needs
    the extra `tls`). `with`, `async with`, and a decorator for functions of both kinds; blocks may be nested,
    entered in any thread, and left in any order.

    Raises `WrongType` and `InvalidArguments` for what is no address or no far end and for an address that
    is listed twice; `WrongState`, when it is entered, for a far end that is not started and for an address
    that another block has rerouted; `MissingExtra` where `trustme` is missing.
    """
    __tracebackhide__ = True
    if unmapped is not UNSET:
        raise WrongType(
            f"reroute() takes one mapping of addresses to far ends: write reroute({{{printed(targets)}: …}}), with the "
            "far end in place of the dots"
        )
    if unknown:
        check_call("reroute", (), unknown, ("strict",))
    caller = sys._getframe(1)
    return Reroute(targets, strict, f"{caller.f_code.co_filename}:{caller.f_lineno}")


class Reroute:
    """What `reroute` gives: enter it with `with` or `async with`, or put it above a function."""

    def __init__(self, targets: Mapping[Any, Target], strict: bool, made_at: str) -> None:
        __tracebackhide__ = True
        self._targets = _checked(targets)
        if not isinstance(strict, bool):
            raise WrongType(f"strict= takes True or False, not {printed(strict)}")
        self._strict = strict
        self._made_at = made_at
        self._block: Block | None = None
        self._gateway: Gateway | None = None

    def environment(self) -> dict[str, str]:
        """The environment that lets a subprocess come here as well: `env={**os.environ, **rerouted.environment()}`.

        A subprocess is another process, which we do not see. What can be had is a proxy, which lasts as long as
        the block, and a file of authorities to trust, in the variables that most programs look at: curl,
        `requests`, `httpx`, `websockets`, Go's HTTP client, Node.js from 24 on, `aiohttp` with `trust_env=True`. A
        program that heeds none of them has to be given the far end's own address.
        """
        __tracebackhide__ = True
        if self._block is None:
            raise WrongState("environment() is for within the block: the proxy that it names ends with that")
        if self._gateway is None:
            self._gateway = Gateway()
            self._way_out.callback(self._gateway.close)
        return dict(self._gateway.variables)

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        if self._block is not None:
            raise WrongState("this reroute is entered already; make another one, with other addresses")
        block = Block(tuple(_route(*one) for one in self._targets.items()), self._strict, self._made_at)
        with contextlib.ExitStack() as stack:
            routes.enter(block)
            stack.callback(routes.leave, block)
            stack.enter_context(seams.patches())
            past_the_proxy.hold(block.hosts)
            stack.callback(past_the_proxy.release, block.hosts)
            self._way_out = stack.pop_all()
        self._block = block
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        block, self._block, self._gateway = self._block, None, None
        if block is None:
            raise WrongState("this reroute was left already")
        self._way_out.close()
        missed = block.told_of_others()
        if missed:
            for target in map(_far_end, self._targets.values()):
                if isinstance(target, Server):
                    target.why_nobody_came = missed
            if error is not None:
                error.add_note(missed)
        told(block.refused, error)

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self.__exit__(kind, error, traceback)

    def __call__(self, function: F) -> F:
        """Enter it anew for each call of the function."""
        __tracebackhide__ = True
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*arguments: Any, **options: Any) -> Any:
                __tracebackhide__ = True
                async with self._again():
                    return await function(*arguments, **options)

        elif inspect.isfunction(function) and not (
            inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        ):

            @functools.wraps(function)
            def wrapper(*arguments: Any, **options: Any) -> Any:
                __tracebackhide__ = True
                with self._again():
                    return function(*arguments, **options)

        else:
            raise WrongType(
                f"reroute decorates functions, `def` or `async def`, not {printed(function)}; "
                "in a fixture, write `with reroute({…}):` around its yield"
            )
        return wrapper  # type: ignore[return-value]

    def _again(self) -> Reroute:
        again = Reroute({}, self._strict, self._made_at)
        again._targets = self._targets
        return again

    def __repr__(self) -> str:
        listed = ", ".join(str(address) for address in self._targets) or "nothing"
        return f"<reroute of {listed}: {'entered' if self._block is not None else 'not entered'}>"


def told(refused: Sequence[AddressError], error: BaseException | None) -> None:
    """Fail the test that dialled what is refused, or tell it beside the exception it has."""
    __tracebackhide__ = True
    texts = list(dict.fromkeys(str(one.strerror) for one in refused))
    if error is None and texts:
        raise Failure("\n".join(texts))
    for text in texts:
        if error is not None and not _says(error, text):
            error.add_note(text)


def _says(error: BaseException | None, text: str) -> bool:
    """Whether an exception, or what led to it, tells this already."""
    return error is not None and (text in str(error) or _says(error.__cause__ or error.__context__, text))


# -- what users list --------------------------------------------------------------------------------


def _checked(targets: Any) -> dict[Address, Target]:
    __tracebackhide__ = True
    if not isinstance(targets, Mapping):
        raise WrongType(f"reroute() takes a mapping of addresses to far ends, not {printed(targets)}")
    checked: dict[Address, Target] = {}
    written: dict[tuple[str, int | None], tuple[Any, Any]] = {}
    for key, target in targets.items():
        address = parsed(key)
        if address.key in written:
            other, same = written[address.key]
            if same is target and next(one for one in checked if one.key == address.key) == address:
                continue  # two paths of one host, to one far end
            raise InvalidArguments(
                f"{other!r} and {key!r} are one address, {address}: a connection has no path, so it can "
                "be rerouted to one far end only; a WebSocketServer plays by path: WebSocketServer({'/feed': script})"
            )
        written[address.key] = key, target
        _check_target(target, address)
        checked[address] = target
    return checked


def _check_target(target: Target, address: Address) -> None:
    """What can be known of a far end before the block is entered."""
    __tracebackhide__ = True
    target = _far_end(target)
    match target:
        case Server() | Proxy():
            if target.unix_path is not None:
                raise InvalidArguments(
                    f"{target.name} listens on a Unix socket, which no client that dials {address} can"
                )
        case str() if "://" not in target:
            raise InvalidArguments(f"{target!r}: write the far end's address as a pair, such as ('127.0.0.1', 6379)")
        case str() | (_, _):
            other = parsed(target)
            if address.secure and other.secure is False:
                raise InvalidArguments(
                    f"{address} is TLS, and {target!r} is not: only farend's own servers can add it; "
                    "name the address of a server that has TLS"
                )
        case _ if isinstance(target, type) or not hasattr(target, "port"):
            hint = _HINTS.get(type(target).__name__, "")
            raise WrongType(
                f"{address} cannot be rerouted to {printed(target)}: give a server that is started, such as "
                f"WebSocketServer(script), or the address of one: ('127.0.0.1', 8000).{hint}"
            )


_HINTS: Final = {
    "Script": " A script is played by a server: `with WebSocketServer(script) as server`.",
    "TcpClient": " A TcpClient dials, and does not listen.",
    "WebSocketClient": " A WebSocketClient dials, and does not listen.",
}


_OURS: Final = (Server, Proxy)


def _far_end(target: Target) -> Target:
    """What stands behind a tape of a test's: the replay, or the recording proxy."""
    behind = getattr(target, "far_end", None)
    if isinstance(behind, _OURS):
        return behind
    if (isinstance(target, str) and "://" in target) or isinstance(target, tuple):
        with contextlib.suppress(WrongType, InvalidArguments):
            other = parsed(target)
            return servers.listening_at(other.host, other.port) or target
    return target


def _route(address: Address, target: Target) -> Route:
    """The route to a far end, which has to be there by now."""
    __tracebackhide__ = True
    target = _far_end(target)
    if isinstance(target, _OURS):
        return _route_to_server(address, target)
    if isinstance(target, str | tuple):
        other = parsed(target)
        assert other.port is not None
        return Route(address, _resolved(other.host, other.port), other.port, repr(target))
    return Route(address, _resolved(getattr(target, "host", "127.0.0.1"), target.port), target.port, printed(target))


def _route_to_server(address: Address, server: Server | Proxy) -> Route:
    __tracebackhide__ = True
    if server.is_over:
        raise WrongState(f"{server.name} is closed already: enter reroute inside its `with`")
    try:
        port = server.port
    except WrongState:
        raise WrongState(
            f"{address} cannot be rerouted to a {type(server).__name__} that is not started: "
            "write `with server, reroute({…}):`, the server first"
        ) from None
    host = _dialled(server.address[0])
    terms = terms_of(address, server)
    ours = address.secure is not False and (terms is not None or tls.is_throw_away(server.tls))
    return Route(address, host, port, server.name, terms, server.announce, ours)


def terms_of(address: Address, server: Server | Proxy) -> Callable[[str], Terms] | None:
    """How connections begin; None where that is as they always begin on this server."""
    if address.secure is False:
        return None if server.tls is None else lambda name: Terms(None)
    if server.tls is None:
        if address.secure and not server.takes_terms:
            raise InvalidArguments(f"{address} is TLS, which a {type(server).__name__} cannot add: use a TcpServer")
        if address.secure:
            tls.authority()  # so that a missing extra is told here
            return lambda name: Terms(tls.server_context((name,)))
        # The client of a WebSocket speaks first, so its first byte tells. On TCP the far end may be the first.
        if server.client_speaks_first and tls.is_available():
            return lambda name: Terms(tls.server_context((name,)), certain=False)
        return None
    if tls.is_throw_away(server.tls) and is_ip(address.host):  # clients give no name then, by which to choose
        return lambda name: Terms(tls.server_context((name,)))
    return None


def _resolved(host: str, port: int) -> str:
    __tracebackhide__ = True
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidArguments(f"{where(host, port)} is no address that can be reached: {error}") from None
    return _dialled(infos[0][4][0])


def _dialled(host: str | int) -> str:
    """The address by which this machine reaches one that listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), plain_host(str(host)))
