"""Far ends that listen: `TcpServer` and `WebSocketServer`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl as ssl_module
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never, Self, TypedDict

from farend.core import arguments
from farend.core.faults import Fault
from farend.core.findings import Finding
from farend.core.journal import Journal
from farend.core.messages import printed
from farend.core.names import hinted, refusing
from farend.core.outcomes import BadTls, Grounds, LetDown, Refused
from farend.core.plan import Plan
from farend.core.routes import Routes, Scripts
from farend.core.script import Script
from farend.core.stream import StreamWire
from farend.errors import WrongState, WrongType
from farend.stage import forgotten, watchdog
from farend.stage import tls as tls_module
from farend.stage.attempts import Attempts
from farend.stage.doorway import Announcements, Doorway, Terms
from farend.stage.driver import Driver, Wire
from farend.stage.far_end import NETWORK, Deadline, FarEnd, running_loop
from farend.stage.listening import BACKLOG, TURNS_TO_COME, listen
from farend.stage.loop_thread import shared
from farend.stage.refusing import ClosedDoor
from farend.stage.segments import Run
from farend.stage.tunnel import Tunnel, bad_tunnel

if TYPE_CHECKING:
    from farend.stage.cable import CableTransport
    from farend.stage.network import Network


class ServerOptions(TypedDict, total=False):
    """What every server takes by keyword, beside its `host`, `port` and `deadline`."""

    unix_path: str | os.PathLike[str] | None
    tls: bool | ssl_module.SSLContext
    name: str | None
    max_size: int | None
    faults: Iterable[Fault] | Fault


class WebSocketOptions(ServerOptions, total=False):
    """What a `WebSocketServer` takes by keyword, beside its `port`."""

    host: str
    deadline: Deadline
    subprotocols: Sequence[str] | None
    compression: bool


@dataclass(frozen=True)
class Place:
    """Where a server was, held for it while it is left."""

    sock: socket.socket | None
    home: asyncio.AbstractEventLoop | None
    of_fixture: bool
    played: Scripts

    def give_up(self) -> None:
        """Nobody comes back."""
        if self.sock is not None:
            self.sock.close()


_listening: weakref.WeakValueDictionary[tuple[str, int], Server] = weakref.WeakValueDictionary()


def listening_at(host: str, port: int | None) -> Server | None:
    """The far end that listens at this address, if one does."""
    server = _listening.get(("127.0.0.1" if host == "localhost" else host, port or 0))
    return None if server is None or server.is_over else server


class Server(FarEnd):
    """What both servers have: a socket that listens, TLS where asked for, and their addresses."""

    _scheme = "tcp"
    _ends_silence = True
    takes_terms = True
    """Whether connections may be announced to it."""
    can_begin_again = True
    """Whether all that it is to do stands in what it was made with, and in what it was given to play."""
    _played: Scripts = None
    client_speaks_first = False
    """Whether nothing is said before the client has said something: of a WebSocket, its handshake."""

    @hinted
    @refusing
    def __init__(
        self,
        script: Scripts = None,
        *more: Never,
        host: str = "127.0.0.1",
        port: int = 0,
        unix_path: str | os.PathLike[str] | None = None,
        tls: bool | ssl_module.SSLContext = False,
        name: str | None = None,
        deadline: Deadline = "default",
        max_size: int | None = None,
        faults: Iterable[Fault] | Fault = (),
    ) -> None:
        __tracebackhide__ = True
        _check_alone(more, type(self).__name__)
        self._unix_path = os.fspath(unix_path) if unix_path is not None else None
        self._tls = tls_module.chosen(tls, server=True)
        self._attempts = Attempts()
        self._closed_door: ClosedDoor | None = None
        super().__init__(script, name=name, deadline=deadline, max_size=max_size, faults=faults)
        self._host = host
        self._asked_port = port
        self._sock: Any = None
        self._address: Any = None
        self._server: asyncio.AbstractServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._handed_over = 0
        self._accepts = False
        self._announced: Announcements | None = None

    def play(self, script: Scripts) -> None:
        """Play this on the connections that come from now on, in place of what was given before.

        It takes what the constructor takes. Raises `WrongState` where the server is closed, and if a
        connection came before it, and waits to be taken in hand: it would never be played on that one.
        """
        routes = self._routed(script)
        if self._over:
            raise WrongState(f"{self.name} is closed: play() belongs before its end, above what connects")
        if self._arrived and self._routes.empty:
            raise WrongState(
                f"a client connected to {self.name} before play(), and nothing is played to it: "
                "write play() above the line that lets the client connect"
            )
        self._played = script
        self._routes = routes
        self._watch_the_door()
        self._begin_to_listen()

    @property
    def journal(self) -> Journal:
        """The attempts to connect to it, in order: what each met, and when.

        >>> import socket
        >>> from farend import Plan, Script, TcpServer
        >>> with TcpServer(Plan().refuse().play(Script().send(b"hello").close())) as server:
        ...     for attempt in range(2):
        ...         try:
        ...             with socket.create_connection((server.host, server.port)) as client:
        ...                 print(client.recv(100))
        ...         except ConnectionRefusedError:
        ...             print("refused")
        refused
        b'hello'
        >>> server.journal.outcomes
        ['refused', 'played']
        """
        return self._attempts.journal

    @property
    def _told_journal(self) -> Journal | None:
        return self._attempts.journal if self._routes.planned else None

    def _routed(self, script: Scripts) -> Routes:
        __tracebackhide__ = True
        routes = super()._routed(script)
        for fault in routes.tls_faults - {"cut"}:
            tls_module.bad_context(fault)  # here, since it takes a while, and may want for an extra
        return routes

    def _grounds(self) -> Grounds:
        kind: Any = "no" if self._tls is None else "throw-away" if tls_module.is_throw_away(self._tls) else "own"
        return Grounds(self._stream, kind, self._unix_path is not None)

    # -- in a network in memory -------------------------------------------------------------------

    def move_into(self, network: Network, host: str, port: int | None, secure: bool) -> None:
        """Be at this address of a network, whose loop runs in this thread, and listen on no socket.

        `port` None is every port of the host. `secure` tells whether connections to it are TLS.
        """
        self._placed = self.is_listening = True
        self._host, self._address = host, (host, port)
        self._is_secure = secure
        self._move_in(network.loop)

    def meet(self, transport: CableTransport, terms: Terms | None) -> None:
        """Somebody has connected in memory; this is the far end's own side of that."""
        if terms is not None:
            self.announce(transport.get_extra_info("peername"), terms)
        transport.begin(self._hand_over())

    is_listening = False
    """Whether who dials it in memory is let in."""
    _placed = _is_secure = False

    # -- addresses --------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The address that the server listens on."""
        return self._host

    @property
    def port(self) -> int:
        """The port that the server listens on; the system's choice, unless one was asked for."""
        if self._undecided:
            self._decided()
        if self._address is None:
            raise WrongState(
                f"{type(self).__name__} has no port yet: it is chosen when the server starts (`with` or `async with`)"
            )
        if self._unix_path is not None:
            raise WrongState(f"a Unix socket has no port; its path is {self._unix_path}")
        if self._address[1] is None:
            raise WrongState(f"{self.name} is at every port of {self._host}")
        return int(self._address[1])

    @property
    def address(self) -> Any:
        """The socket's own address; None before it listens."""
        return self._address

    @property
    def tls(self) -> ssl_module.SSLContext | None:
        """The context of its connections; None where it has no TLS."""
        return self._tls

    @property
    def unix_path(self) -> str | None:
        """The path of the Unix socket; None on TCP."""
        return self._unix_path

    @property
    def url(self) -> str:
        """Where to connect to: `ws://127.0.0.1:40001`, with `tcp`, `tls` or `wss` in front as it is."""
        if self._unix_path is not None:
            return f"{self._scheme}+unix://{self._unix_path}"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._secure_scheme if self._tls or self._is_secure else self._scheme}://{host}:{self.port}"

    @property
    def client_ssl_context(self) -> ssl_module.SSLContext:
        """A context for a client, which trusts this server's throw-away certificate."""
        if self._tls is None:
            raise WrongState(f"{self.name} has no TLS: make it with tls=True")
        return tls_module.client_context()

    _secure_scheme = "tls"

    def _where(self) -> str:
        if self._unix_path is not None:
            return self._unix_path
        port = self._address[1] if self._address else "not started"
        return self._host if port is None else f"{self._host}:{port}"

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, on the running loop if there is one, and on the background loop otherwise; `close` ends it.

        Clients can connect as soon as this returns. In a pytest test that does not close it, it is closed, and judged,
        when the test's teardown is over.
        """
        try:
            loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        self._listen()
        self.serve_on(loop)
        for watch in forgotten.watchers:
            watch(self)
        return self

    def listen(self, *, until_used: bool = False) -> Self:
        """Take the port, and let clients connect; they are served once `serve_on` was called.

        With `until_used`, whoever asks for the address or for a connection before that has the server served
        on the background loop: a client that is given the address now may wait for an answer now.
        """
        self._undecided = until_used
        self._listen()
        return self

    def serve_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Serve on `loop`, which runs in this thread, from now on; or on the background loop for None."""
        self._move_in(loop)
        assert self._home is not None
        if loop is None:
            self._home.call_soon_threadsafe(self._serve_soon)
        else:
            self._serve_soon()

    def __enter__(self) -> Self:
        self._listen()
        self.serve_on(None)
        return self

    def began_all_in(self, run: Run) -> bool:
        """Whether all its connections, if it has any, began while this run was played."""
        return all(driver in run.far_ends.get(self, ()) for driver in self._drivers)

    def place(self) -> Place | None:
        """Its place, to begin again there once it is left; None where it cannot."""
        if not self.can_begin_again or (self._home is not None and self._home not in (running_loop(), shared.loop)):
            return None
        sock = None if self._sock is None or self._unix_path is not None else self._sock.dup()
        home = None if self._background else self._home
        return Place(sock, home, self.of_fixture, self._played)

    def begin_again(self, place: Place) -> None:
        """Be as it was when it was made, listen where it did, and live where it lived."""
        (args, options), made_in = self._made_with, self._made_in
        vars(self).clear()
        self._made_with, self._made_in = (args, options), made_in
        type(self).__init__(self, *args, **options)
        self._sock = place.sock
        self._address = None if place.sock is None else place.sock.getsockname()
        self._listen()
        self._watch_the_door()
        if place.played is not None:
            self.play(place.played)
        self.serve_on(place.home)
        self.of_fixture = place.of_fixture

    def _listen(self) -> None:
        if self._sock is None:
            self._sock = listen(self._host, self._asked_port, self._unix_path, closed=self._routes.refuses_all)
            self._address = self._sock.getsockname()
            if self._unix_path is None:
                _listening[self._address[:2]] = self
            self._watch_the_door()

    def _decided(self) -> asyncio.AbstractEventLoop | None:
        if self._undecided:
            self.serve_on(None)
        return self._home

    def _shut_unserved(self) -> None:
        if not self._began and self._sock is not None:
            self._began = self._over = True
            self._sock.close()
            self._forget_path()
        self._watch_the_door_no_more()

    def _abandon(self) -> None:
        self._watch_the_door_no_more()
        if self._sock is not None:
            self._sock.close()

    def _move_in(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if getattr(loop, NETWORK, None) is not None and not self._placed:
            raise WrongState(
                f"a {type(self).__name__} with a socket cannot live on a loop whose time is virtual: list it in "
                "virtual_network({address: server})"
            )
        super()._move_in(loop)

    def _serve_soon(self) -> None:
        self._serving = asyncio.get_running_loop().create_task(self._open())

    def _begin_to_listen(self) -> None:
        """Where nobody was let in so far, and somebody is now, see to that."""
        if self._sock is not None and not self._sock.listens and not self._routes.refuses_all and not self._over:
            self._sock.listen(BACKLOG)
            if self._home is not None:
                self._home.call_soon_threadsafe(self._serve_soon)

    async def _open(self) -> None:
        self._listen()
        if self._accepts or not self._sock.listens:
            return
        self._accepts = True
        loop = asyncio.get_running_loop()
        create: Any = loop.create_server if self._unix_path is None else loop.create_unix_server
        if not isinstance(loop, asyncio.SelectorEventLoop):  # uvloop takes connections without `Listener.accept`
            self._blind_turns = TURNS_TO_COME
        self._server = await create(self._hand_over, sock=self._sock, backlog=BACKLOG)

    async def _leave(self, wait: bool, asked: bool = False) -> list[Finding]:
        if self._serving is not None:
            await self._serving
            self._serving = None
        return await super()._leave(wait, asked)

    async def _shut(self) -> None:
        await self._accept_no_more()
        self.is_listening = False
        self._watch_the_door_no_more()
        if self._sock is not None:
            self._sock.close()
        self._forget_path()

    async def _accept_no_more(self) -> None:
        """Take no connection any more, and let in who was taken already.

        asyncio loses a connection where the server is closed before it is handed over: see `TURNS_TO_COME`.
        """
        server, self._server = self._server, None
        if server is not None:
            if self._blind_turns or self._on_their_way():
                with contextlib.suppress(NotImplementedError):
                    asyncio.get_running_loop().remove_reader(self._sock)
                for _ in range(TURNS_TO_COME):
                    await asyncio.sleep(0)
            server.close()

    def _forget_path(self) -> None:
        if self._unix_path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._unix_path)

    def _pending(self) -> bool:
        if self._serving is not None and not self._serving.done():  # who has connected waits at the socket
            return True
        return self._server is not None and (self._on_their_way() or self._knocked())

    def _on_their_way(self) -> bool:
        """Whether a connection was taken, and not handed over yet."""
        return bool(self._sock.taken > self._handed_over)

    def _sockets(self) -> list[socket.socket]:
        with contextlib.suppress(OSError):  # it listens no more
            if self._sock is not None:
                return watchdog.accepted(self._sock, [one.transport for one in tuple(self._drivers) if one.transport])
        return super()._sockets()

    def _addresses(self) -> set[object]:
        address = self._address
        return {*super()._addresses(), tuple(address[:2]) if isinstance(address, tuple) else address}

    @property
    def _door(self) -> socket.socket | None:
        return self._sock  # type: ignore[no-any-return]

    # -- connections ------------------------------------------------------------------------------

    def announce(self, peer: Any, terms: Terms) -> None:
        """The connection that will come from `peer` begins on these terms, whatever `tls=` says.

        It is called before that connects, and may be called from any thread.
        """
        if self._announced is None:
            self._announced = Announcements()
        self._announced.announce(peer, terms)

    def knock(self) -> bool:
        """Somebody is about to connect: whether he is to be refused. Who is not, has to connect then.

        It is for whatever brings connections here; it may be called from any thread.
        """
        return not self._over and self._attempts.knock(self._routes, self._now())

    def _watch_the_door(self) -> None:
        """See to it that refusals are the system's own."""
        if self._closed_door is None and self._sock is not None and self._routes.refuses and not self._over:
            self._closed_door = ClosedDoor(self, self._address, self._sock.family)

    def _watch_the_door_no_more(self) -> None:
        door, self._closed_door = self._closed_door, None
        if door is not None:
            door.close()

    def _wire(self) -> Wire:
        raise NotImplementedError

    def _hand_over(self) -> asyncio.BaseProtocol:
        self._handed_over += 1
        return self._connection()

    def _connection(self) -> asyncio.BaseProtocol:
        attempt, outcome = self._attempts.enter(self._routes, self._now())
        at_once = isinstance(outcome, Refused) or (isinstance(outcome, LetDown) and outcome.after == "connect")
        driver = Driver(self, StreamWire() if at_once else self._wire(), len(self._drivers) + 1)
        driver.attempt, driver.outcome, driver.at_once = attempt, outcome, at_once
        attempt.by_reset = isinstance(outcome, Refused)
        self._drivers.append(driver)
        fault = outcome.fault if isinstance(outcome, BadTls) else None
        if self._announced is not None:
            return Doorway(driver, self._announced, self._tls, self.deadline, fault, bare=at_once)
        if self._tls is None or at_once:
            return driver
        return Tunnel(driver, self._tls, self.deadline) if fault is None else bad_tunnel(driver, fault, self.deadline)


class TcpServer(Server):
    r"""A far end that listens on TCP, or on a Unix socket, and plays its script on every connection.

    >>> import socket
    >>> from farend import Script, TcpServer
    >>> with TcpServer(Script().expect(b"PING\n").send(b"PONG\n")) as server:
    ...     with socket.create_connection((server.host, server.port)) as client:
    ...         _ = client.sendall(b"PING\n")
    ...         client.recv(5)
    b'PONG\n'

    `script` is a `Script` for every connection, or a list of them, one for each connection in turn, or a
    `Plan` of what each attempt to connect meets; None leaves each connection to the test (`await
    server.connection()`). `port` 0 is the system's choice. `unix_path` listens on a Unix socket instead. `tls`
    is True for a throw-away certificate (`client_ssl_context` trusts it), or your own `ssl.SSLContext`.
    `deadline` is how long each wait may last, in seconds. `max_size` is the largest message, in bytes. `faults` are
    done to every connection from its first byte on, such as `faults=[Latency(0.05)]` (`docs/faults.md`).

    Leaving the `with` plays out what is left, and raises `Failure` if something went wrong. Raises
    `AddressError` when it starts, if it cannot listen there.
    """

    def _wire(self) -> Wire:
        return StreamWire()


class WebSocketServer(Server):
    """A far end that is a WebSocket server, and plays its script on every connection.

    >>> from farend import Script, WebSocketServer
    >>> from websockets.sync.client import connect
    >>> with WebSocketServer(Script().expect("hello").send("there")) as server:
    ...     with connect(server.url) as client:
    ...         client.send("hello")
    ...         client.recv()
    'there'

    Beside what `TcpServer` takes: `script` may be a mapping of paths, such as `{"/feed": script}`.
    `subprotocols` are the ones that it speaks, the preferred first. `compression` offers
    permessage-deflate (RFC 7692) to clients that ask for it; off unless asked for.
    """

    _stream = False
    _scheme = "ws"
    _secure_scheme = "wss"
    client_speaks_first = True

    @hinted
    @refusing
    def __init__(
        self,
        script: Scripts = None,
        *more: Never,
        subprotocols: Sequence[str] | None = None,
        compression: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        unix_path: str | os.PathLike[str] | None = None,
        tls: bool | ssl_module.SSLContext = False,
        name: str | None = None,
        deadline: Deadline = "default",
        max_size: int | None = None,
        faults: Iterable[Fault] | Fault = (),
    ) -> None:
        __tracebackhide__ = True
        super().__init__(
            script,
            *more,
            host=host,
            port=port,
            unix_path=unix_path,
            tls=tls,
            name=name,
            deadline=deadline,
            max_size=max_size,
            faults=faults,
        )
        from farend.core.websocket import ServerWire

        self._wire_class = ServerWire
        arguments.subprotocols(subprotocols)
        self._subprotocols = subprotocols
        self._compression = arguments.compression(compression)

    def _wire(self) -> Wire:
        return self._wire_class(max_size=self.max_size, subprotocols=self._subprotocols, compression=self._compression)


def _check_alone(more: Sequence[object], call: str) -> None:
    """Raise for what was given behind the script, and without a name."""
    __tracebackhide__ = True
    if not more:
        return
    if isinstance(more[0], Script | Plan):
        paths = "" if call == "TcpServer" else "; for each path, a mapping: {'/path': script}"
        raise WrongType(
            f"{call}() takes one script; for each connection in turn, write a list: {call}([first, second]){paths}"
        )
    raise WrongType(
        f"{call}() takes all but the script by name, and was given {printed(more[0])}: "
        f"write {call}(script, host=…, port=…)"
    )
