"""asyncio's clients, unpatched, and their far ends, on a network in memory whose time is virtual: `virtual_network`."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, Self

from farend.core.messages import printed
from farend.errors import Failure, InvalidArguments, WrongState, WrongType
from farend.intercept.addresses import Address, parsed
from farend.intercept.dialling import Dialling, Place
from farend.intercept.outside import Outside, guard
from farend.intercept.reroute import terms_of, told
from farend.stage import tls
from farend.stage.network import Network
from farend.stage.servers import Server
from farend.stage.settings import settings


def virtual_network(
    far_ends: Mapping[Any, Server], *, limit: float | Literal["default"] | None = "default"
) -> VirtualNetwork:
    r"""A network in memory, on which this loop's clients reach these far ends, and time does not pass but is skipped.

    >>> import asyncio, farend
    >>> from farend import Script, TcpServer
    >>> async def test():
    ...     device = TcpServer(Script().expect(b"PING\n").pause(600).send(b"PONG\n"))
    ...     async with farend.virtual_network({("device.plant.example", 5025): device}) as net:
    ...         reader, writer = await asyncio.open_connection("device.plant.example", 5025)
    ...         writer.write(b"PING\n")
    ...         line = await reader.readline()
    ...         writer.close()
    ...         return line, net.clock.time()
    >>> asyncio.run(test())
    (b'PONG\n', 600.0)

    `far_ends` maps addresses to servers of farend's that are not started: entering the block serves them, leaving it
    ends them, and raises `Failure` if something went wrong, as `async with server` does. An address is what
    `reroute` takes: a URL, a pair of host and port, or a host, for each of its ports. Names need not resolve, and what
    is not listed is refused with `AddressError`. On `wss`, `https` and `tls` the far end has a certificate for the
    host, which the clients of the block trust (this needs the extra `tls`).

    The loop's clock begins at 0, and goes to the next timer whenever all programs on the loop have finished
    reacting; `net.clock.advance(30)` lets so much pass. So what a client does after minutes takes milliseconds, and all
    times on transcripts are exact. `within=` is in that time; the far ends' deadlines are in real time, and are over
    at once where nothing can happen any more. If it is the test that waits then, `Standstill` is raised, with who waits
    for what. `Unsettled` is raised where something real, such as a thread, has held the clock up for `limit` seconds
    (5, unless another deadline is set for all of farend's waits; None for no end).

    Only `async with`, on asyncio's loops or uvloop: `time.monotonic()`, blocking clients and threads cannot be virtual.
    Raises `WrongType` and `InvalidArguments` for what is no address or no server, and for an address that is listed
    twice; `WrongState` for a server that is started, and where the loop has a virtual network already.
    """
    __tracebackhide__ = True
    return VirtualNetwork(far_ends, limit)


class VirtualNetwork:
    """What `virtual_network` gives: enter it with `async with`, once."""

    def __init__(self, far_ends: Mapping[Any, Server], limit: float | Literal["default"] | None) -> None:
        __tracebackhide__ = True
        self._far_ends = _checked(far_ends)
        self._limit = _checked_limit(limit)
        self._entered = self._left = False

    @property
    def clock(self) -> Clock:
        """The loop's clock. Raises `WrongState` outside the block."""
        __tracebackhide__ = True
        return Clock(self._running())

    async def settle(self, within: float = 0.0) -> None:
        """Return the moment that nothing goes on any more on the loop: what was sent has been reacted to.

        Timers that are due `within` so many seconds count as going on.
        """
        __tracebackhide__ = True
        await self.clock._settle(_seconds(within, "within"), fully=False)

    def _running(self) -> Network:
        __tracebackhide__ = True
        if not self._entered or self._left:
            raise WrongState("a virtual network has a clock within its block alone: async with virtual_network({…})")
        try:
            loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._network.loop:
            raise self._network.in_a_thread("net.clock")
        return self._network

    # -- the block --------------------------------------------------------------------------------

    def __enter__(self) -> NoReturn:
        __tracebackhide__ = True
        raise WrongState(
            "virtual time is for asyncio's clients, on the loop that their test runs on: write `async with "
            "virtual_network({…})` in an `async def` test. A plain test's client blocks its thread, where time is "
            "real: use `with server, reroute({…})` there"
        )

    def __exit__(self, *_: object) -> None:
        """Never called."""

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        if self._entered:
            raise WrongState("this virtual network was entered already; make another one, with other servers")
        for address, server in self._far_ends.items():
            if server.has_home or server.address is not None:
                raise WrongState(
                    f"{server.name} is started already, and {address} is in memory: give the network a server that is "
                    "not started, without a `with` of its own"
                )
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WrongState(
                "no event loop of asyncio's runs here, whose time could be virtual (trio's cannot)"
            ) from None
        network = Network(loop, self._limit)
        places = {address.key: _place(address, server) for address, server in self._far_ends.items()}
        async with contextlib.AsyncExitStack() as stack:
            network.open()
            stack.callback(network.close)
            self._dialling = Dialling(network, places)
            self._dialling.install()
            stack.callback(self._dialling.remove)
            names = [host for (host, _), place in places.items() if place.ours]
            outside = Outside(loop, places, names)
            guard.enter(outside)
            stack.callback(guard.leave, outside)
            tls.assume(names)
            stack.callback(tls.unassume, names)
            for address, server in self._far_ends.items():
                if server.network is None:
                    server.move_into(network, address.host, address.port, bool(address.secure))
                    stack.push_async_exit(server)
            self._way_out = stack.pop_all()
        self._network = network
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            stopped = self._stopped_by(error)
            await self._leave(stopped or error)
            late = self._stopped_by(None)  # while the far ends were left
            if late is not None and stopped is None and error is None:
                raise late
        except asyncio.CancelledError as cancelled:
            late = self._stopped_by(cancelled)
            if late is None:
                raise
            raise late from None
        finally:
            self._left = True
        if stopped is not None:
            raise stopped from None
        told(self._dialling.refused, error)

    async def _leave(self, error: BaseException | None) -> None:
        """Leave all that was entered; a failure of theirs is told without the way that it took."""
        __tracebackhide__ = True
        try:
            await self._way_out.__aexit__(*_exception(error))
        except Failure as failure:
            if failure is not error:
                failure.with_traceback(None)
            raise

    def _stopped_by(self, error: BaseException | None) -> BaseException | None:
        """Why the network has stopped the test, if that is what `error` comes of."""
        network = self._network
        stopped, network.stopped = network.stopped, None
        if stopped is None:
            return None
        times, task = network.take_back(), asyncio.current_task()
        if task is not None and task is network.owner:
            for _ in range(times):
                task.uncancel()
        if error is None or isinstance(error, asyncio.CancelledError):
            return stopped
        error.add_note(str(stopped))
        return None

    def __repr__(self) -> str:
        listed = ", ".join(str(address) for address in self._far_ends) or "nothing"
        state = "left" if self._left else f"at {self._network.loop.time():g} s" if self._entered else "not entered"
        return f"<virtual network of {listed}: {state}>"


class Clock:
    """The loop's clock, which is virtual: it begins at 0, and stands still while anything is under way."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def time(self) -> float:
        """What time it is, in seconds since the block was entered; the loop's own `time()` says the same."""
        return self._network.loop.time()

    async def advance(self, seconds: float) -> None:
        """Let so much time pass: each timer that is due until then comes, and is reacted to, in its turn.

        When it returns, the clock is there to the tick, and the loop is settled. `time.time()` and
        `time.monotonic()` stay what they are. Raises `WrongType`, `InvalidArguments`, and `WrongState` in another
        thread or on another loop; `Unsettled` where the clock is held up for longer than the network's `limit`.
        """
        __tracebackhide__ = True
        await self._settle(_seconds(seconds, "seconds"), fully=True)

    async def _settle(self, seconds: float, *, fully: bool) -> None:
        __tracebackhide__ = True
        limit = self._network.patience
        await self._network.settler.settle(seconds, limit, fully=fully, everyone=True)

    def __repr__(self) -> str:
        return f"<Clock: {self.time():g} s>"


def _exception(error: BaseException | None) -> tuple[Any, Any, Any]:
    return type(error) if error is not None else None, error, error.__traceback__ if error is not None else None


# -- what users list --------------------------------------------------------------------------------


def _checked(far_ends: Any) -> dict[Address, Server]:
    __tracebackhide__ = True
    if not isinstance(far_ends, Mapping):
        raise WrongType(f"virtual_network() takes a mapping of addresses to servers, not {printed(far_ends)}")
    checked: dict[Address, Server] = {}
    written: dict[tuple[str, int | None], Any] = {}
    for key, server in far_ends.items():
        address = parsed(key)
        if address.key in written:
            raise InvalidArguments(
                f"{written[address.key]!r} and {key!r} are one address, {address}: a connection has no path, so it can "
                "lead to one far end only; a WebSocketServer plays by path: WebSocketServer({'/feed': script})"
            )
        written[address.key] = key
        if not isinstance(server, Server):
            hint = _HINTS.get(type(server).__name__, "")
            raise WrongType(
                f"{key!r} cannot lead to {printed(server)}: give a server of farend's that is not started, such as "
                f"WebSocketServer(script).{hint}"
            )
        if server.unix_path is not None:
            raise InvalidArguments(f"{server.name} is to listen on a Unix socket, and {address} is in memory")
        checked[address] = server
    return checked


_HINTS: Final = {
    "Script": " A script is played by a server: WebSocketServer(script).",
    "TcpClient": " A TcpClient dials, and does not listen.",
    "WebSocketClient": " A WebSocketClient dials, and does not listen.",
}


def _checked_limit(limit: Any) -> float | None:
    __tracebackhide__ = True
    if limit == "default":
        return settings.effective("default")
    return None if limit is None else _seconds(limit, "limit") * settings.scale


def _seconds(value: Any, name: str) -> float:
    __tracebackhide__ = True
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{name}= takes a number of seconds, not {printed(value)}")
    if not 0 <= value < math.inf:
        raise InvalidArguments(f"{name}={value!r}: a number of seconds is 0 or more, and has an end")
    return float(value)


def _place(address: Address, server: Server) -> Place:
    __tracebackhide__ = True
    terms = terms_of(address, server)
    ours = address.secure is not False and (terms is not None or tls.is_throw_away(server.tls))
    return Place(server, terms, ours)
