"""The proxy: clients connect to it in place of the server. It records what is said, or breaks it, or both."""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, get_args

from farend.core.faults import TCP_PROXY, WEBSOCKET_PROXY, Fault, How, checked
from farend.core.journal import Attempt, Journal
from farend.core.messages import printed
from farend.core.outcomes import BadTls, Grounds, Played
from farend.core.plan import Plan
from farend.core.stream import StreamWire
from farend.errors import AddressError, FarendError, FaultError, WrongState
from farend.stage import dialling, verdict, watchdog
from farend.stage import tls as tls_module
from farend.stage.doorway import Announcements, Doorway, Terms
from farend.stage.driver import Wire as DriverWire
from farend.stage.far_end import QUIET_TURNS, Deadline
from farend.stage.listening import BACKLOG, knocked, listen
from farend.stage.loop_thread import shared
from farend.stage.pipe import Pipe
from farend.stage.proxied import EndingTap, Passing, Planned, met, passes
from farend.stage.refusing import ClosedDoor
from farend.stage.settings import settings
from farend.stage.switches import Switches, at_home
from farend.stage.taps import Record, TcpTap, Unrecorded, WebSocketTap
from farend.stage.target import PORTS, SECURE, checked_url, context, resolved, why_not
from farend.stage.tunnel import Tunnel
from farend.tape.format import Wire
from farend.tape.recorder import Recorder
from farend.tape.redaction import Redaction
from farend.tape.writer import STEP

_SECURE_SCHEMES: Final = {"ws": "wss", "tcp": "tls"}


def record(
    url: str,
    tape: str | os.PathLike[str],
    *,
    redact: object = True,
    times: float | None = STEP,
    tls: bool | ssl_module.SSLContext = True,
    listen_tls: bool | ssl_module.SSLContext = False,
    host: str = "127.0.0.1",
    port: int = 0,
    deadline: Deadline = "default",
) -> RecordingProxy:
    """A proxy to the server at `url` that puts all that is said on a tape, for `async with` or `with`.

    >>> import tempfile, pathlib
    >>> from farend import Script, WebSocketServer, record
    >>> from websockets.sync.client import connect
    >>> path = pathlib.Path(tempfile.mkdtemp(), "feed.jsonl")
    >>> with WebSocketServer(Script().expect("hello").send("there")) as server:
    ...     with record(server.url, path) as proxy, connect(proxy.url) as client:
    ...         client.send("hello")
    ...         client.recv()
    'there'

    `url` is `ws://`, `wss://`, `tcp://host:port` or `tls://host:port`. `tape` is the file, which is
    replaced where there is one. `redact` is what is secret: True is what usually is; a list has names of
    your own besides; a function is given each payload and names the secrets in it; a `Redaction` has all
    rules; False leaves all as it is. `times` are the seconds to which times are rounded, None for none.
    `tls` is how the server's certificate is checked: True is as a browser does, False is not at all, or
    give an `ssl.SSLContext`. `listen_tls` has clients speak TLS to the proxy as well: True is with a throw-away
    certificate (`client_ssl_context` trusts it; this needs `farend[tls]`), or give an `ssl.SSLContext`. `host` and
    `port` are the proxy's own. `deadline` is how long reaching the server, and each end, may take, in seconds.

    To record with no change to the client, reroute it: `reroute({"wss://example.com": proxy})`. The proxy itself
    reaches the real server.

    What passes is the client's and the server's own bytes, so that compression, subprotocols, control
    frames and close codes are theirs. Only the handshake's `Host`, and an `Origin` that is the proxy's, are
    made the server's.

    Raises, when it starts, `TapeUnavailable` if the tape cannot be written, and `AddressError` if it cannot
    listen. Whatever goes wrong later disturbs no traffic: leaving the block raises it, `TapeUnavailable`
    where the disk is full, `AddressError` where the server was not reached, `NoWebSocket` where it speaks
    something else.
    """
    __tracebackhide__ = True
    return RecordingProxy(
        url,
        tape=tape,
        redact=redact,
        times=times,
        tls=tls,
        listen_tls=listen_tls,
        host=host,
        port=port,
        deadline=deadline,
    )


def proxy(
    url: str,
    *,
    plan: Plan | None = None,
    faults: Iterable[Fault] | Fault = (),
    tape: str | os.PathLike[str] | None = None,
    redact: object = True,
    times: float | None = STEP,
    tls: bool | ssl_module.SSLContext = True,
    listen_tls: bool | ssl_module.SSLContext = False,
    host: str = "127.0.0.1",
    port: int = 0,
    deadline: Deadline = "default",
) -> Proxy:
    """A proxy between a client and its real server at `url`, which breaks things on purpose.

    It is for `async with` or `with`.

    >>> from farend import CutAfter, Script, TcpServer, proxy
    >>> import socket
    >>> with TcpServer(Script().send(b"hello").expect_close(reset=True)) as server:
    ...     with proxy(server.url, faults=[CutAfter(3, "end")]) as between:
    ...         with socket.create_connection((between.host, between.port)) as client:
    ...             client.recv(100), client.recv(100)
    ...             between.sever()
    (b'hel', b'')

    `faults` are done to every connection: `to="near"` is on what the client hears, and `to="far"` on what the server
    does. They can be switched while it runs: `between.faults.add(Latency(0.2))`, `.remove(…)`, `.clear()`,
    `.set(…)`, and `with between.faults.during(…):`. `between.sever()` cuts every connection that there is. With
    `tape`, all that the server said and heard is recorded as well, with a note for each fault; the rest is as for
    `record`, which is the same proxy.

    A `plan` says what each attempt to connect meets: `Plan().refuse(2).reject(503).play(ending=then_abort(after=3))`,
    where `play` is to pass on what the server says; `between.journal` tells what came of it (`docs/plans.md`).

    With no fault active, bytes go straight from one socket to the other. Raises `PlanError` and `FaultError` for
    what a proxy for this `url` cannot do, or what contradicts itself.
    """
    __tracebackhide__ = True
    return Proxy(
        url,
        plan=plan,
        faults=faults,
        tape=tape,
        redact=redact,
        times=times,
        tls=tls,
        listen_tls=listen_tls,
        host=host,
        port=port,
        deadline=deadline,
    )


class Proxy:
    """What `proxy` makes. Its `url` is for the client, in place of the server's."""

    _call = "proxy"
    _kind = "proxy"

    def __init__(
        self,
        url: str,
        *,
        plan: Plan | None = None,
        faults: Iterable[Fault] | Fault = (),
        tape: str | os.PathLike[str] | None = None,
        redact: object,
        times: float | None,
        tls: bool | ssl_module.SSLContext,
        listen_tls: bool | ssl_module.SSLContext,
        host: str,
        port: int,
        deadline: Deadline,
    ) -> None:
        __tracebackhide__ = True
        self._there = checked_url(url, self._call)
        self.target = url
        self.server = Redaction().start().said(url)
        """The server's URL without its secrets, as reports write it."""
        self.wire: Wire = "websocket" if self._there.scheme.startswith("ws") else "tcp"
        self.faults = Switches(self, TCP_PROXY if self.wire == "tcp" else WEBSOCKET_PROXY, checked(faults))
        """The faults that are active now."""
        self._tls = context(tls) if self._there.scheme in SECURE else None
        self.tls = tls_module.chosen(listen_tls, server=True, name="listen_tls")
        """The context of its clients' connections; None where they speak no TLS."""
        self._announced: Announcements | None = None
        self._planned = Planned(plan, self._grounds(), self.name, settings.effective(deadline))
        self._closed_door: ClosedDoor | None = None
        self._tape = tape
        self._recording = (redact, times)
        self._host, self._asked_port = host, port
        self.deadline = settings.effective(deadline)
        self._sock: Any = None
        self._port: int | None = None
        self._server: asyncio.AbstractServer | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._background = self._began = self._over = False
        self._recorder: Recorder | None = None
        self.put_together = 0.0
        """How much is on the tape of what stood beside it, from 0 to 1, while it is being closed."""
        self._connections = 0
        self._pipes: dict[Pipe, None] = {}
        self._addresses: list[tuple[Any, ...]] = []
        self._problems: list[FarendError] = []

    # -- what users ask ---------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The address that the proxy listens on."""
        return self._host

    @property
    def port(self) -> int:
        """The port that the proxy listens on; the system's choice, unless one was asked for."""
        if self._port is None:
            raise WrongState("the proxy has no port yet: it is chosen when it starts (`with` or `async with`)")
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect to, with the path of the server's URL; its query is put back behind it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        scheme, path = ("ws", self._there.path) if self.client_speaks_first else ("tcp", "")
        if self.tls is not None:
            scheme = _SECURE_SCHEMES[scheme]
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def client_ssl_context(self) -> ssl_module.SSLContext:
        """A context for a client, which trusts the proxy's throw-away certificate."""
        if self.tls is None:
            raise WrongState("the proxy has no TLS towards its clients: make it with listen_tls=True")
        return tls_module.client_context()

    @property
    def journal(self) -> Journal:
        """The attempts to connect to it, in order: what each met, and when."""
        return self._planned.attempts.journal

    @property
    def connections(self) -> int:
        """How many clients connected so far."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """How many of them are still there."""
        return len(self._pipes)

    @property
    def lines(self) -> int | None:
        """How many lines are on the tape, the header not counted; None where there is no tape."""
        return None if self._recorder is None else self._recorder.writer.lines

    @property
    def tape_error(self) -> Exception | None:
        """Why nothing more is written on the tape; None while all is."""
        return None if self._recorder is None else self._recorder.error

    @property
    def problems(self) -> tuple[Exception, ...]:
        """What went wrong so far; leaving the block raises the first."""
        error = self.tape_error
        found = self._planned.findings
        failed = [verdict.failure(found)] if found else []
        return (*failed, *self._problems, *([] if error is None else [error]))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.server}: {'not started' if self._port is None else self.url}>"

    def sever(self, how: How = "reset") -> None:
        """Cut every connection that there is, on both sides: with a "reset", or the "end" of the stream."""
        __tracebackhide__ = True
        if how not in get_args(How):
            raise FaultError(f"sever() takes 'reset' or 'end', not {printed(how)}")
        at_home(self._home, self._sever, how)

    def _sever(self, how: How) -> None:
        for pipe in list(self._pipes):
            pipe.sever(how)

    # -- called by the switches -------------------------------------------------------------------

    def impair(self, faults: tuple[Fault, ...]) -> None:
        """Do these faults to every connection that there is."""
        __tracebackhide__ = True
        for fault in faults:
            if fault.needs == "messages" and any(getattr(pipe.tap, "is_compressed", False) for pipe in self._pipes):
                raise FaultError(
                    f"'{fault}' cannot be done to a connection that compresses its messages, each of which needs "
                    "those before it (RFC 7692, 7.1.1): switch it on before the client connects, and no compression "
                    "is offered"
                )
        for pipe in list(self._pipes):
            pipe.impair(faults)

    def repair(self, faults: tuple[Fault, ...]) -> None:
        """Do these faults no more."""
        for pipe in list(self._pipes):
            pipe.repair(faults)

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        loop = asyncio.get_running_loop()
        self._begin()
        self._home = loop
        try:
            await self._open()
        except BaseException:
            self._abandon()
            raise
        watchdog.dog.watch(self, loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            await self._close()
        finally:
            watchdog.dog.forget(self)
            self._abandon()
        self._judge(error)

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        self._begin()
        self._home = shared.lease(self, self._abandon)
        self._background = True
        try:
            shared.run(self._open())
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            shared.run(self._close())
        finally:
            self._give_back()
        self._judge(error)

    def _begin(self) -> None:
        if self._began:
            raise WrongState(f"this proxy was started already; make a new one with {self._call}()")
        self._began = True
        redact, times = self._recording
        self._sock = listen(self._host, self._asked_port, None)
        if self._tape is not None:
            try:
                self._recorder = Recorder(
                    self._tape, self.wire, now=time.monotonic(), target=self.target, redact=redact, times=times
                )
            except BaseException:
                self._sock.close()
                raise
        self._port = int(self._sock.getsockname()[1])
        if self._planned.routes.refuses:
            self._closed_door = ClosedDoor(self._planned, self._sock.getsockname(), self._sock.family)

    def _grounds(self) -> Grounds:
        """Where its plan is carried out."""
        kind: Any = "no" if self.tls is None else "throw-away" if tls_module.is_throw_away(self.tls) else "own"
        return Grounds(self.wire == "tcp", kind, proxy=True)

    # -- what reroute asks ------------------------------------------------------------------------

    takes_terms = True
    """Whether connections may be announced to it."""
    unix_path = None

    @property
    def client_speaks_first(self) -> bool:
        """Whether nothing is said before the client has said something: of a WebSocket, its handshake."""
        return self.wire == "websocket"

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"the {self._kind} to {self.server}"

    @property
    def address(self) -> Any:
        """The socket's own address; None before it listens."""
        return None if self._port is None else self._sock.getsockname()

    @property
    def is_over(self) -> bool:
        """Whether it was left."""
        return self._over

    def announce(self, peer: Any, terms: Terms) -> None:
        """The connection that will come from `peer` begins on these terms, whatever `listen_tls=` says.

        It is called before that connects, and may be called from any thread.
        """
        if self._announced is None:
            self._announced = Announcements()
        self._announced.announce(peer, terms)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self.faults.live_on(loop)
        self._server = await loop.create_server(self._connected, sock=self._sock, backlog=BACKLOG)

    async def _close(self) -> None:
        """Take in what has come, end what is left, and complete the tape."""
        for pipe in list(self._pipes):
            pipe.give_up()
        await self._until_quiet()
        if self._server is not None:
            self._server.close()
        leaving = [pipe.done for pipe in self._pipes if pipe.is_leaving]
        if leaving:
            await asyncio.wait(leaving, timeout=self.deadline)
        self._planned.findings += self._planned.missing() if not self._planned.findings else ()
        for driver in self._planned.drivers:
            driver.shut()
        for end in (Pipe.close, Pipe.abort):
            left = list(self._pipes)
            for pipe in left:
                end(pipe)
            if left:
                await asyncio.wait([pipe.done for pipe in left], timeout=self.deadline)
        for _ in range(QUIET_TURNS):
            if self._planned.drivers:
                await asyncio.sleep(0)
        for share in self._recorder.closing() if self._recorder is not None else ():
            self.put_together = share
            await asyncio.sleep(0)

    async def _until_quiet(self) -> None:
        turns, seen = 0, -1
        while turns < QUIET_TURNS:
            await asyncio.sleep(0)
            now = sum(pipe.activity for pipe in self._pipes) + self._connections
            turns, seen = (turns + 1, seen) if now == seen else (0, now)

    def _abandon(self) -> None:
        self._home = None
        door, self._closed_door = self._closed_door, None
        if door is not None:
            door.close()
        self.faults.live_on(None)
        self._over = True
        if self._sock is not None:
            self._sock.close()
        if self._recorder is not None:
            self._recorder.close()

    def _give_back(self) -> None:
        self._abandon()
        shared.give_back(self)

    def _judge(self, error: BaseException | None) -> None:
        __tracebackhide__ = True
        problems = self.problems
        if not problems:
            return
        if error is None:
            first, *others = problems
            for other in others:
                first.add_note(f"and: {other}")
            raise first
        for problem in problems:
            error.add_note(f"farend: {problem}")

    # -- connections ------------------------------------------------------------------------------

    def _connected(self) -> asyncio.BaseProtocol:
        self._connections += 1
        attempt, outcome = arrival = self._planned.enter()
        if not passes(outcome):
            driver, protocol = self._planned.let_down(arrival, self._wire, self.tls)
            if self._announced is None:
                return protocol
            fault = outcome.fault if isinstance(outcome, BadTls) else None
            return Doorway(driver, self._announced, self.tls, self.deadline, fault, bare=driver.at_once)
        pipe = self._pipe(outcome or Played())
        attempt.passed = pipe
        self._pipes[pipe] = None
        pipe.done.add_done_callback(lambda _: self._gone(pipe, attempt))
        if self._announced is not None:
            return Doorway(pipe.near, self._announced, self.tls, self.deadline)
        return pipe.near if self.tls is None else Tunnel(pipe.near, self.tls, self.deadline)

    def _pipe(self, outcome: Passing) -> Pipe:
        record: Record = Unrecorded() if self._recorder is None else self._recorder.connection(time.monotonic())
        faults = (*self.faults, *(outcome.faults if isinstance(outcome, Played) else ()))
        tap: Any
        if self.wire == "tcp":
            tap = TcpTap(record, self.server, self._report)
        else:
            own = {f"{name}:{self.port}" for name in {self._host, "localhost", "127.0.0.1"}}
            whole = not any(fault.needs == "messages" for fault in faults)
            tap = WebSocketTap(record, self.target, self.server, own, self._report, compression=whole)
        tap = met(outcome, tap)
        pipe = Pipe(
            tap,
            lambda pipe: asyncio.get_running_loop().create_task(self._dial(pipe)),
            websocket=self.wire == "websocket",
            faults=faults,
        )
        if isinstance(tap, EndingTap):
            tap.pipe = pipe
        return pipe

    def _gone(self, pipe: Pipe, attempt: Attempt) -> None:
        self._pipes.pop(pipe, None)
        attempt.ended = time.monotonic()

    def _wire(self) -> DriverWire:
        """The wire of a connection that the server never hears of."""
        if self.wire == "tcp":
            return StreamWire()
        from farend.core.websocket import ServerWire

        return ServerWire(max_size=None, subprotocols=None, compression=False)

    def _report(self, problem: FarendError) -> None:
        if str(problem) not in map(str, self._problems):
            self._problems.append(problem)

    async def _dial(self, pipe: Pipe) -> None:
        """Reach the server, or tell the client and the user why it is not reached."""
        dialling.past_reroutes.set(True)  # in this task alone
        try:
            async with asyncio.timeout(self.deadline):
                await self._reach(pipe)
        except (OSError, TimeoutError, ssl_module.SSLError) as error:
            reason = why_not(error, self._there, self.deadline)
            self._report(AddressError(f"the server at {self.server} was not reached: {reason}"))
            pipe.refuse(reason)

    async def _reach(self, pipe: Pipe) -> None:
        loop = asyncio.get_running_loop()
        there = self._there
        host, port = str(there.hostname), there.port or PORTS[there.scheme]
        options: dict[str, Any] = {}
        if self._tls is not None:
            options = {"ssl": self._tls, "server_hostname": host, "ssl_handshake_timeout": self.deadline}
        if not self._addresses:
            self._addresses = await resolved(host, int(port or 0))
        for number, (family, _, _, _, address) in enumerate(self._addresses, 1):
            try:
                await loop.create_connection(lambda: pipe.far, *address[:2], family=family, **options)
            except OSError:
                if number == len(self._addresses):
                    raise
            else:
                return

    # -- called by the watchdog, on its thread ----------------------------------------------------

    def cut_off(self, seconds: float, how: watchdog.Standing) -> None:
        """The loop has stood still for so long: end every client's connection, so that a blocking client goes on."""
        clients = watchdog.connected([pipe.near.transport for pipe in tuple(self._pipes) if pipe.near.transport])
        has_ended = how is watchdog.Standing.ENDED
        if has_ended and not clients and not knocked(self._sock):
            return
        # First of all, for who is cut off may leave the block in this very moment.
        what = "has ended" if has_ended else f"stood still for {seconds:.1f} s"
        self._report(
            WrongState(
                f"the event loop that the proxy lives on {what}, and its clients were cut "
                f"off: where the client blocks, use `with {self._call}(...)` in place of `async with`"
            )
        )
        watchdog.cut_all(clients, self._sock)


class RecordingProxy(Proxy):
    """What `record` makes: a proxy with a tape."""

    _call = "record"
    _kind = "recording proxy"

    @property
    def tape(self) -> Path:
        """The tape's path."""
        assert self._tape is not None
        return Path(self._tape)

    @property
    def lines(self) -> int:
        """How many lines are on the tape, the header not counted."""
        lines = super().lines
        if lines is None:
            raise WrongState("the proxy is not started: use it inside `with` or `async with`")
        return lines
