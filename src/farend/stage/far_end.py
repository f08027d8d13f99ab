"""What every far end on real sockets has: its connections, its home on a loop, and its verdict.

A far end lives on one event loop, its home: the running one, when it is entered with `async with`, or
the shared background loop, when it is entered with `with`. All that touches a conversation happens
there; the methods bring callers from other loops and threads over.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar

from farend.core import arguments
from farend.core.commands import Command, Send
from farend.core.conversation import Conversation, State
from farend.core.events import Connected, Violated
from farend.core.faults import TCP_FAR_END, WEBSOCKET_FAR_END, Ability, Fault, check_able, checked
from farend.core.findings import (
    AttemptsMissing,
    Finding,
    LoopBlocked,
    LoopEnded,
    NobodyConnected,
    Place,
    UnexpectedConnection,
)
from farend.core.framing import Framing
from farend.core.journal import Journal
from farend.core.messages import Handshake, Sayable
from farend.core.mishaps import conversation_of
from farend.core.names import Hinting, hinted
from farend.core.outcomes import Grounds, Outcome, Played
from farend.core.routes import Routes, Scripts, TurnedAway
from farend.core.script import Script
from farend.core.steps import UNSET
from farend.core.transcript import Transcript
from farend.errors import Failure, InvalidArguments, WrongState
from farend.stage import segments, verdict, watchdog
from farend.stage.driver import Driver
from farend.stage.listening import TURNS_TO_COME, knocked
from farend.stage.loop_thread import block, here, shared, submit
from farend.stage.peer import BlockingPeer, Peer
from farend.stage.settings import DEADLINE, checked_size, settings
from farend.stage.settings import MAX_SIZE as MAX_SIZE
from farend.stage.watchdog import Standing

if TYPE_CHECKING:
    from farend.settling.settler import Settler
    from farend.stage.network import Network

T = TypeVar("T")
Deadline: TypeAlias = float | Literal["default"] | None
LATE_TURNS: Final = 100
"""Turns of the loop after which who still connects, when the test is over, comes too late."""
NETWORK: Final = "_farend_network"
"""Where an event loop keeps the network in memory that is on it."""
QUIET_TURNS: Final = 3
"""Turns of the loop in which nothing came, after which nothing that had been sent is still on its way."""


class FarEnd(Hinting):
    """The base of `TcpServer`, `WebSocketServer`, `TcpClient` and `WebSocketClient`."""

    side: Literal["client", "server"] = "server"
    """What it is on the wire."""
    _stream = True
    _ends_silence = False
    """Whether a near end that stays and is silent, when its script is over, is ended at the deadline."""
    why_nobody_came = ""
    """What others know of it: where the program has dialled instead."""
    of_fixture = False
    """Whether a fixture of pytest's has started it, and will leave it."""
    network: Network | None = None
    """The network in memory that it is in, whose time is virtual; None where it has sockets."""
    patience: float | None = None
    """Its deadline while it is in a network: that is in real time, and so kept by the network."""
    _blind_turns = 0
    """Turns of the loop for which a connection may have been taken, and nothing shows it."""
    _synonyms: ClassVar[Mapping[str, str]] = {
        "stop": "close",
        "shutdown": "close",
        "terminate": "close",
        "astop": "aclose",
        "wait": "join",
        "wait_closed": "aclose",
        "wait_played": "played",
        "uri": "url",
        "ws_url": "url",
        "ssl_context": "client_ssl_context",
        "messages": "transcripts",
        "received": "transcripts",
        "requests": "transcripts",
        "clients": "connections",
        "peers": "connections",
        "send": "broadcast",
        "send_all": "broadcast",
        "expect": "play",
        "wait_for_connection": "connection",
        "get_connection": "connection",
    }
    _made_with: tuple[tuple[Any, ...], dict[str, Any]]
    _made_in: segments.Run | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = object.__new__(cls)
        self._made_with = args, kwargs
        self._made_in = segments.current
        return self

    def __init__(
        self,
        script: Scripts = None,
        *,
        name: str | None = None,
        deadline: Deadline = "default",
        max_size: int | None = None,
        faults: Iterable[Fault] | Fault = (),
    ) -> None:
        __tracebackhide__ = True
        self.faults = checked(faults)
        """Those that are done to every connection."""
        check_able(self._ability, self.faults, type(self).__name__)
        self.deadline = settings.effective(deadline)
        self.max_size = settings.max_size if max_size is None else checked_size(max_size)
        self._name = name
        self._routes = self._routed(script)
        self._drivers: list[Driver] = []
        self._findings: list[Finding] = []
        self._told: set[Finding] = set()
        self._home: asyncio.AbstractEventLoop | None = None
        self._settler: Settler | None = None
        """What watches its loop, from the first `settle()` until it has left."""
        self._background = False
        self._undecided = False
        self._began = False
        self._over = False
        self._arrived: deque[Driver] = deque()
        self._arrivals: list[asyncio.Future[Driver]] = []
        self._progress: asyncio.Event | None = None
        self._waiting = 0
        self._was_watched = False
        self.watched = False

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        self._move_in(asyncio.get_running_loop())
        try:
            await self._open()
        except BaseException:
            await self.aclose(check=None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self._judge(await self.aclose(wait=error is None, check=None), error)

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        self._move_in(None)
        try:
            self._run(self._open())
        except BaseException:
            self.close(check=None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self._judge(self.close(wait=error is None, check=None), error)

    def close(self, *, wait: bool = False, check: bool | None = False) -> list[Finding]:
        """Stop, from a plain test: end all connections, and give what went wrong.

        With `wait`, what is left of the scripts may still be played, each step within its deadline. With
        `check`, raises `Failure` if something went wrong; without, nothing of it is raised. Where `check`
        is None, the test's body has its own say: that nobody connected is not told without `wait`.
        Stopping twice does nothing more. From the far end's own loop, use `aclose`.
        """
        __tracebackhide__ = True
        if self._home is None:
            self._shut_unserved()
        else:
            with self._moving_out():
                self._run(self._leave(wait, check is not None))
        return self._checked(check)

    async def aclose(self, *, wait: bool = False, check: bool | None = False) -> list[Finding]:
        """`close`, for an `async` test."""
        __tracebackhide__ = True
        if self._home is None:
            self._shut_unserved()
        else:
            with self._moving_out():
                await self._at_home(self._leave(wait, check is not None))
        return self._checked(check)

    def forsake(self) -> list[Finding]:
        """Close what nobody has closed, as far as it still can be; gives what was not told yet."""
        try:
            self.close()
        except WrongState:  # the loop that it lives on has ended, and all that goes on there
            if self._home is not None and not self._over:
                self._over = True
                self._finish(self._home.time(), wait=False, asked=True)
            self._abandon()
            self._moved_out()
        return self.untold(self.findings)

    def untold(self, findings: Sequence[Finding]) -> list[Finding]:
        """Those that nobody was told of yet; from now on, all of them count as told."""
        untold = [finding for finding in findings if finding not in self._told]
        self._told.update(findings)
        return untold

    def _checked(self, check: bool | None) -> list[Finding]:
        __tracebackhide__ = True
        findings = list(self.findings)
        if check:
            self._judge(findings, None)
        return findings

    # -- what users ask ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name or f"{type(self).__name__} {self._where()}".strip()

    @property
    def has_home(self) -> bool:
        """Whether it has a home: the event loop on which it is served, or was."""
        return self._began

    @property
    def is_over(self) -> bool:
        """Whether it has been left, or stopped."""
        return self._over

    def was_made_in(self, run: segments.Run) -> bool:
        """Whether the test made it while this run was played."""
        return self._made_in is run

    @property
    def connections(self) -> tuple[Peer, ...]:
        """Every connection so far, in order, the ones that are over included; their methods are awaited."""
        return tuple(Peer(self, driver) for driver in self._begun)

    @property
    def blocking_connections(self) -> tuple[BlockingPeer, ...]:
        """`connections`, for a plain test: with methods that block."""
        return tuple(BlockingPeer(peer) for peer in self.connections)

    @property
    def transcripts(self) -> tuple[Transcript, ...]:
        """What was said on each connection, in order."""
        return tuple(driver.conversation.transcript for driver in self._begun)

    @property
    def framings(self) -> tuple[Framing | None, ...]:
        """The framing of each connection's script, in order."""
        return tuple(driver.conversation.script.framing for driver in self._begun)

    @property
    def wire(self) -> Literal["tcp", "websocket"]:
        """What it speaks."""
        return "tcp" if self._stream else "websocket"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What went wrong so far, the first cause first."""
        found = list(self._findings)
        for driver in self._drivers:
            if driver.begun:
                found += driver.conversation.findings
        return tuple(sorted(found, key=_rank)) if found else ()

    @hinted
    async def connection(self, *, within: float | None = None) -> Peer:
        """The next connection that was not asked for yet, to hold in your hand; waits for it.

        Raises `Failure` if nobody connects within the deadline (`within` seconds, if given). It has to be
        awaited: `peer = await server.connection()`; in a plain test, write `peer = server.accept()`.
        """
        __tracebackhide__ = True
        driver = await self._at_home(self._next_arrival(within), self._arrived.appendleft)
        return Peer(self, driver)

    @hinted
    def accept(self, *, within: float | None = None) -> BlockingPeer:
        """`connection`, for a plain test: blocks until somebody connects."""
        __tracebackhide__ = True
        return BlockingPeer(Peer(self, self._run(self._next_arrival(within))))

    async def played(self) -> None:
        """Wait until every script was played to its end; raises `Failure` if one cannot be."""
        __tracebackhide__ = True
        await self._at_home(self._until_played())
        self._raise(self.findings)

    async def settle(self, within: float = 0.0, limit: float = DEADLINE) -> None:
        """Return the moment that nothing goes on any more on the far end's loop, which is the test's.

        All that was sent has been read then, and reacted to, by the far end and by the clients on the same
        loop, and nothing waits for anything but time, or another message. Timers that are due `within` so
        many seconds count as going on: the far end's own, and what was set after the first `settle()`. The clock of
        the loop is put forward for them, and stays ahead until the far end is left. Raises
        `Unsettled`, which names what goes on, after `limit` seconds of real time; `Failure` with what went
        wrong so far; and `WrongState` for a far end on the background loop, where the test is not.

        >>> import asyncio
        >>> from farend import Script, TcpServer
        >>> async def test():
        ...     async with TcpServer(Script().expect(b"PING")) as server:
        ...         _, writer = await asyncio.open_connection(server.host, server.port)
        ...         writer.write(b"PING")
        ...         await server.settle()
        ...         writer.close()
        ...         return server.transcripts[0].received
        >>> asyncio.run(test())
        [b'PING']
        """
        __tracebackhide__ = True
        home = running_loop()
        if home is None or home is not self._home:
            raise WrongState(f"settle() knows of its own loop only: enter {self.name} with `async with` in this test")
        await self._watched(home).settle(within, limit * settings.scale, everyone=True, inside=self._addresses())
        self._raise(self.findings)

    def _watched(self, home: asyncio.AbstractEventLoop) -> Settler:
        """Who knows when its loop is settled."""
        if self._settler is None:
            from farend.settling import settler  # who does not settle does not pay for it

            self._settler = settler.lease(home)
            for driver in self._drivers:
                driver.set_timer_anew()
        return self._settler

    def _addresses(self) -> set[object]:
        """Where the far end is: whoever awaits something from there awaits nobody else."""
        transports = [driver.transport for driver in self._drivers if driver.transport is not None]
        names = [transport.get_extra_info("sockname") for transport in transports]
        return {tuple(name[:2]) if isinstance(name, tuple) else name for name in names}

    def join(self) -> None:
        """`played`, for a plain test: blocks until every script was played."""
        __tracebackhide__ = True
        self._run(self._until_played())
        self._raise(self.findings)

    def broadcast(self, payload: Sayable = UNSET, *, json: object = UNSET) -> int:
        """Say `payload` on every open connection, at once; gives how many there are.

        Where a script is being played, this comes between its steps.
        """
        __tracebackhide__ = True
        said = arguments.as_json(json) if payload is UNSET else arguments.payload(payload, "broadcast")
        if self._home is not None and self._home is running_loop():
            return self._broadcast(Send(said))
        return self._run(self._broadcast_to_all(Send(said)))

    def __repr__(self) -> str:
        number = len(self._drivers)
        state = "not started" if self._home is None else f"{number} connection{'' if number == 1 else 's'}"
        return f"<{self.name}: {'closed' if self._over else state}>"

    # -- for subclasses ---------------------------------------------------------------------------

    async def _open(self) -> None:
        """Listen, or dial."""
        raise NotImplementedError

    async def _accept_no_more(self) -> None:
        """Let nobody in any more."""

    async def _shut(self) -> None:
        """Listen no more."""

    def _shut_unserved(self) -> None:
        """Listen no more, where nothing was served."""

    def _abandon(self) -> None:
        """The process ends, and nobody has stopped the far end."""

    def _awaits_somebody(self) -> bool:
        """Whether somebody still has to connect."""
        return bool(self._routes.unmet() or self._routes.missing())

    def _patience(self) -> float | None:
        """How long it is waited for who has to connect, in seconds from now; None for no end."""
        return self.deadline

    def _absent(self) -> list[Finding]:
        """What to say of those who had to connect, and did not."""
        return self._not_come(*self.waited(self.deadline))

    def _not_come(self, waited: float, waiting: tuple[str, ...] = ()) -> list[Finding]:
        findings: list[Finding] = []
        numbers: dict[str | None, int] = {}
        for route, script in self._routes.unmet():
            came, scripts = self._routes.met(route)
            place = Place(left=tuple(script.steps), script=script, total=len(script), far_end=self.name)
            number = self._routes.number(route, script, numbers.get(route, came))
            numbers[route] = number
            findings.append(NobodyConnected(place, waited, route, came, scripts, number, waiting))
        findings += [
            AttemptsMissing(self._place(), waited, outcome.title, came, planned, route)
            for route, outcome, came, planned in self._routes.missing()
        ]
        return findings

    def _where(self) -> str:
        """The address, as reports write it."""
        return ""

    def _pending(self) -> bool:
        """Whether somebody has connected and is not yet noticed."""
        return False

    def _sockets(self) -> list[socket.socket]:
        """Duplicates of the connections' sockets; asked from another thread, while the loop stands still."""
        return watchdog.connected([driver.transport for driver in tuple(self._drivers) if driver.transport is not None])

    def _knocked(self) -> bool:
        """Whether somebody waits at the socket."""
        return knocked(self._door)

    @property
    def _door(self) -> socket.socket | None:
        """The socket at which somebody may wait; None for who does not listen."""
        return None

    # -- called by the watchdog, on its thread ----------------------------------------------------

    def cut_off(self, seconds: float, how: Standing) -> None:
        """The loop has stood still for so long: end every connection, so that no blocking client hangs."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(sock) for sock in self._sockets()]
            is_stopped = how is Standing.STOPPED
            if not (self._knocked() or any(not is_stopped or watchdog.has_unread(sock) for sock in sockets)):
                return
            if not any(isinstance(finding, LoopBlocked | LoopEnded) for finding in self._findings):
                place, has_ended = self._place(), how is Standing.ENDED
                self._findings.append(LoopEnded(place) if has_ended else LoopBlocked(place, seconds))
            watchdog.cut_all(sockets, self._door)

    # -- the stage of the drivers ------------------------------------------------------------------

    @property
    def _begun(self) -> list[Driver]:
        return [driver for driver in self._drivers if driver.begun]

    def begin(self, driver: Driver, event: Connected | Violated) -> list[Command]:
        """Give a new connection its conversation."""
        handshake = event.handshake if isinstance(event, Connected) else None
        outcome = self._outcome(driver, event, handshake)
        if isinstance(event, Violated) and isinstance(outcome, Played | TurnedAway):
            outcome = Played(Script())  # it broke the protocol before anything was played
        conversation = self._conversation(driver, Played(Script()) if isinstance(outcome, TurnedAway) else outcome)
        if driver.attempt is not None:
            driver.attempt.conversation = conversation
            driver.attempt.turned_away = isinstance(outcome, TurnedAway)
        if isinstance(outcome, TurnedAway):
            finding = UnexpectedConnection(conversation.place, outcome.why)
            return driver.turn_away(conversation, finding, outcome.status, handshake)
        conversation.ends_silence = self._ends_silence
        conversation.unscripted = self._routes.empty
        commands = driver.play(conversation, event)
        if isinstance(outcome, Played):
            self._arrive(driver)
        return commands

    def _outcome(
        self, driver: Driver, event: Connected | Violated, handshake: Handshake | None
    ) -> Outcome | TurnedAway:
        """What a connection meets. One that breaks the protocol before it was told so is nobody's turn."""
        if driver.outcome is not None:
            return driver.outcome
        if isinstance(event, Violated):
            return Played(Script())
        outcome = self._routes.next_outcome(handshake)
        if driver.attempt is not None and not isinstance(outcome, TurnedAway) and self._routes.planned:
            driver.attempt.planned = outcome
        return outcome

    def _conversation(self, driver: Driver, outcome: Outcome) -> Conversation:
        conversation = conversation_of(
            outcome,
            stream=self._stream,
            number=driver.number,
            deadline=self.deadline,
            scale=self.scale,
            limit=self.max_size,
            far_end=self.name,
        )
        conversation.journal = self._told_journal
        return conversation

    def changed(self, driver: Driver) -> None:
        """Something happened on a connection, and somebody waits for that."""
        if self._progress is not None:
            self._progress.set()

    def lost(self, driver: Driver) -> None:
        """A connection is gone."""
        if driver.attempt is not None and driver.attempt.ended is None:
            driver.attempt.ended = self._now()
        if self._progress is not None:
            self._progress.set()

    # -- how long is waited -----------------------------------------------------------------------

    @property
    def scale(self) -> float:
        """The factor for what is given in seconds; virtual time is the same on a slow machine."""
        return settings.scale if self.network is None else 1.0

    def limit(self, seconds: float | None, *, last: bool = False) -> AbstractAsyncContextManager[object]:
        """A wait of the test's may last so long; in a network, one without a number until that gives it up."""
        if seconds is None and self.network is not None:
            return self.network.wait(self, last=last)
        return asyncio.timeout(seconds)

    def waited(self, seconds: float | None) -> tuple[float, tuple[str, ...]]:
        """How long a wait has lasted that is over now, and who else waited, where that is known."""
        if seconds is None and self.network is not None:
            return self.network.gave_up.seconds, self.network.gave_up.waiting
        return seconds or 0.0, ()

    @property
    def patient_drivers(self) -> list[Driver]:
        """The connections that wait for their near ends, and have no deadline."""
        return [driver for driver in self._drivers if driver.is_patient]

    def _arrive(self, driver: Driver) -> None:
        while self._arrivals:
            waiter = self._arrivals.pop(0)
            if not waiter.done():
                waiter.set_result(driver)
                return
        self._arrived.append(driver)

    # -- at home ----------------------------------------------------------------------------------

    def _routed(self, script: Scripts) -> Routes:
        if self._stream and isinstance(script, Mapping):
            raise InvalidArguments(
                f"{type(self).__name__}: paths are a WebSocket's: use WebSocketServer, or a list of scripts"
            )
        __tracebackhide__ = True
        routes = Routes(script)
        for one in routes.scripts():
            one.check_faults(self._ability, type(self).__name__)
        routes.check(self._grounds(), type(self).__name__)
        return routes

    def _grounds(self) -> Grounds:
        """Where plans are carried out."""
        return Grounds(self._stream)

    @property
    def _ability(self) -> Ability:
        return TCP_FAR_END if self._stream else WEBSOCKET_FAR_END

    def _move_in(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Make `loop` the home, or the shared background loop for None."""
        if self._began and self.of_fixture:
            raise WrongState(f"{self.name} is a fixture's, and the fixture runs already: drop the `with`")
        if self._began:
            raise WrongState(f"{self.name} was started already; make a new one for another test")
        self._began = True
        self._undecided = False
        self._background = loop is None
        if loop is None:
            self._home = shared.lease(self, self._abandon)
        else:
            self._home = loop
            network: Network | None = getattr(loop, NETWORK, None)
            if network is None:
                watchdog.dog.watch(self, loop)
            else:
                network.take_in(self)

    def _decided(self) -> asyncio.AbstractEventLoop | None:
        """The home of a far end that only listens so far: it is wanted now, and so has to be served."""
        return None

    @contextlib.contextmanager
    def _moving_out(self) -> Iterator[None]:
        """However the leaving ends, by Ctrl-C or a cancellation as well, the far end has no home then."""
        try:
            yield
        except WrongState:  # it was refused, so nothing was left
            raise
        except BaseException:
            self._moved_out()
            raise
        self._moved_out()

    def _moved_out(self) -> None:
        if self._background:
            shared.give_back(self)
        else:
            watchdog.dog.forget(self)
        if self.network is not None:
            self.network.let_go(self)
        if self._settler is not None and self._home is not None and not self._home.is_closed():
            self._settler.release()
        self._settler = self._home = None

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine at home, and block until it is done."""
        __tracebackhide__ = True
        home = self._home or self._decided()
        if home is None:
            coroutine.close()
            raise WrongState(f"{self.name} is not running: use it inside `with` or `async with`")
        if self._background:
            return shared.run(coroutine)
        if self.network is not None and home is not running_loop():
            coroutine.close()
            raise self.network.in_a_thread(self.name)
        if home is running_loop():
            coroutine.close()
            raise WrongState(
                f"{self.name} runs on your event loop, which a blocking call would stop: use its `await` twin "
                "(connection, played, aclose, and the Peer that `await server.connection()` gives)"
            )
        if not home.is_running():
            coroutine.close()
            raise WrongState(f"{self.name} lives on an event loop that does not run any more")
        return block(coroutine, home)

    async def _at_home(self, coroutine: Coroutine[Any, Any, T], unheard: Callable[[T], object] | None = None) -> T:
        """Run a coroutine at home, and await it wherever the caller is.

        `unheard` is called there with its answer, if the caller was cancelled when it came.
        """
        __tracebackhide__ = True
        home = self._home or self._decided()
        if home is None:
            coroutine.close()
            raise WrongState(f"{self.name} is not running: use it inside `with` or `async with`")
        running = running_loop()
        if home is running:
            return await coroutine
        if self.network is not None:
            coroutine.close()
            raise self.network.in_a_thread(self.name)
        if not home.is_running():
            coroutine.close()
            raise WrongState(f"{self.name} lives on an event loop that does not run any more")
        future = submit(coroutine, home, unheard)
        try:
            return await (asyncio.wrap_future(future) if running is not None else _trio_wait(future))
        except BaseException as error:
            if not future.cancel() and future.exception() is None and unheard is not None:
                home.call_soon_threadsafe(unheard, future.result())
            raise here(error)  # noqa: B904 (it is this very exception)

    async def _broadcast_to_all(self, command: Send) -> int:
        """Also to who has connected, and is not noticed yet: to its test, that is a connection."""
        await self._until_quiet()
        return self._broadcast(command)

    def _broadcast(self, command: Send) -> int:
        return sum([driver.say(command) for driver in self._begun if driver.conversation.state is State.PLAYING])

    async def _next_arrival(self, within: float | None) -> Driver:
        __tracebackhide__ = True
        if self._arrived:
            return self._arrived.popleft()
        seconds = self.deadline if within is None else within * self.scale
        waiter: asyncio.Future[Driver] = asyncio.get_running_loop().create_future()
        self._arrivals.append(waiter)
        try:
            async with self.limit(seconds):
                return await waiter
        except TimeoutError:
            if _has_result(waiter):  # both in the same turn of the loop
                return waiter.result()
        except asyncio.CancelledError:
            if _has_result(waiter):
                self._arrived.appendleft(waiter.result())
            raise
        # Here, where no exception is being handled that the failure would drag along.
        waited, waiting = self.waited(seconds)
        nobody = NobodyConnected(self._place(), waited, scripts=len(self._routes.unmet()), waiting=waiting)
        self._told.add(nobody)
        raise self._failure([nobody])

    async def _until_played(self) -> None:
        """Until nothing more is awaited, or what is awaited cannot come."""
        if not self._unplayed():
            return
        loop = asyncio.get_running_loop()
        give_up: float | None = None
        with self._watching() as progress:
            while self._unplayed():
                progress.clear()
                # Who has connected has deadlines of their own; this one is for who has not.
                if not self._awaits_somebody():
                    give_up = None
                elif give_up is None and (patience := self._patience()) is not None:
                    give_up = loop.time() + patience
                patient = give_up is None and self._awaits_somebody()
                try:
                    async with self.limit(None, last=True) if patient else asyncio.timeout_at(give_up):
                        await progress.wait()
                except TimeoutError:
                    self._findings += self._absent()
                    return

    @contextlib.contextmanager
    def _watching(self) -> Iterator[asyncio.Event]:
        """Gives what is set whenever something happens on a connection."""
        if not self._waiting:
            self._was_watched = self.watched
        self._waiting += 1
        self._progress = self._progress or asyncio.Event()
        self.watched = True
        try:
            yield self._progress
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.watched = self._was_watched
                self._progress = None

    def _unplayed(self) -> bool:
        if self._findings:
            return False
        works = False
        for driver in self._drivers:
            if driver.begun and driver.conversation.findings:
                return False
            works = works or driver.at_work()
        return works or self._awaits_somebody()

    async def _leave(self, wait: bool, asked: bool = False) -> list[Finding]:
        """The end of the test: play out, listen no more, end all connections, and say what went wrong.

        Where the test has `asked` for that itself, it is told that nobody came, even if that was not waited for.
        """
        if self._over:
            return list(self.findings)
        self._over = True
        self._ends_silence = False  # the test waits for nobody any more: who stays keeps nothing up
        for driver in self._begun:
            driver.conversation.ends_silence = False
        try:
            if wait and self._unplayed():
                await self._until_played()
            await self._until_read(wait)
            await self._until_quiet()
        finally:  # a test that is cancelled, or stopped with Ctrl-C, leaves nothing behind either
            await self._end(wait, asked)
        return list(self.findings)

    async def _end(self, wait: bool, asked: bool) -> None:
        await self._shut()
        self._finish(asyncio.get_running_loop().time(), wait, asked)
        for driver in self._drivers:
            driver.shut()
        await self._until_lost()

    def _finish(self, now: float, wait: bool, asked: bool) -> None:
        """Nothing more is said: what was left of the conversations, and who did not come, are findings."""
        untaken = set(map(id, self._arrived))
        for driver in self._begun:
            driver.conversation.finish(now, untaken=id(driver) in untaken)
        if wait and not self.findings:  # a finding ends the waiting, so who would still have come is not known
            self._findings += self._absent()
        elif asked and not self.findings and not self._begun:
            self._findings += self._not_come(0.0)

    async def _until_lost(self) -> None:
        """Until every transport is gone: all of them are closing, so that takes a turn of the loop or two."""
        time = asyncio.get_running_loop().time
        give_up = time() + DEADLINE
        turns = 0
        for driver in self._drivers:
            while not driver.is_lost and time() < give_up:
                if driver.transport is None and turns >= TURNS_TO_COME:
                    break  # it was taken in the turn in which the server closed: asyncio has lost it, and so have we
                turns += 1
                await asyncio.sleep(0)

    async def _until_read(self, wait: bool) -> None:
        """Until what is sent segment by segment was read, or has left at least."""
        for driver in self._drivers:
            if driver.segments is not None and driver.segments.holds:
                if wait:
                    await driver.segments.until_read()
                driver.segments.release()

    async def _until_quiet(self) -> None:
        """Until all that the near ends have sent, and all who have connected, are noticed."""
        time = asyncio.get_running_loop().time
        give_up = time() + (self.deadline or DEADLINE)
        turns = quiet = 0
        before = -1
        while time() < give_up:  # a near end that never pauses is not waited for
            now = len(self._drivers)
            hears = turns < self._blind_turns
            for driver in self._drivers:
                now += driver.activity
                hears = hears or driver.hears
            quiet = quiet + 1 if now == before else 0
            if (quiet >= QUIET_TURNS or not hears) and not self._pending():
                return
            before = now
            turns += 1
            if turns == LATE_TURNS and self._over:
                await self._accept_no_more()
            await asyncio.sleep(0)

    def _now(self) -> float:
        """The time on the clock of its home, for whoever asks in whatever thread."""
        home = self._home
        return home.time() if home is not None and home is running_loop() else time.monotonic()

    # -- the verdict ------------------------------------------------------------------------------

    def _place(self) -> Place:
        return Place(far_end=self.name, journal=self._told_journal)

    @property
    def _told_journal(self) -> Journal | None:
        """The attempts to connect, where reports are to tell them."""
        return None

    def _raise(self, findings: Sequence[Finding]) -> None:
        """Raise what was not told yet."""
        __tracebackhide__ = True
        untold = self.untold(findings)
        if untold:
            raise self._failure(untold)

    def _judge(self, findings: Sequence[Finding], error: BaseException | None) -> None:
        """Fail the test, unless it has failed already: then say what is known beside its own exception."""
        __tracebackhide__ = True
        if findings:
            verdict.pronounce(self.untold(findings), error, self._explained)

    def _explained(self, findings: Sequence[Finding]) -> Failure:
        failure = self._failure(findings)
        if self.why_nobody_came and any(isinstance(finding, NobodyConnected) for finding in findings):
            failure.add_note(self.why_nobody_came)
        return failure

    def _failure(self, findings: Sequence[Finding]) -> Failure:
        """The exception that tells the findings; dialects have their own texts."""
        return verdict.failure(findings)


def _rank(finding: Finding) -> int:
    """A loop that stood still is the cause of all the rest; who did not come, may well be its consequence."""
    return 0 if isinstance(finding, LoopBlocked) else 2 if isinstance(finding, NobodyConnected | AttemptsMissing) else 1


def _has_result(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


async def _trio_wait(future: concurrent.futures.Future[T]) -> T:
    """Await what another thread does, in a test that runs on trio."""
    trio: Any = sys.modules.get("trio")
    if trio is None:
        future.cancel()
        raise WrongState("awaiting a far end needs an event loop, and none is running in this thread")
    answer: T = await trio.to_thread.run_sync(future.result, abandon_on_cancel=True)
    return answer


def in_async_code() -> bool:
    """Whether the caller can await: it runs on an event loop, or on trio."""
    trio = sys.modules.get("trio")
    return running_loop() is not None or (trio is not None and trio.lowlevel.in_trio_run())


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread; None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
