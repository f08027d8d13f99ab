"""The notation of seed 001: a list of commands, played by a server that is there when it is made.

server = CommandServer([RECEIVE, "220 hello", BREAK])
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Set
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from farend.core.commands import Abort
from farend.core.conversation import State
from farend.core.events import Ended, How
from farend.core.findings import EndedEarly, Finding, Place, TimedOut
from farend.core.framing import AtLeast, Buffer, Cut
from farend.core.matchers import Anything
from farend.core.messages import printed
from farend.core.script import Script
from farend.core.transcript import Entry, Kind
from farend.errors import InvalidArguments, WrongState, WrongType
from farend.stage import verdict
from farend.stage.driver import Driver
from farend.stage.far_end import Deadline
from farend.stage.servers import TcpServer
from farend.stage.turns import Turns

RECEIVE: Final = 0
"""Read some bytes, at least one: all that has come by the time the client pauses."""
BREAK: Final = None
"""Cut the connection with a reset (RST)."""
Command: TypeAlias = int | str | bytes | bytearray | memoryview | None
Commands: TypeAlias = Iterable[Command] | str | bytes | bytearray | memoryview


class CommandServer(TcpServer):
    r"""A TCP server that plays a list of commands on each connection, one connection at a time (seed 001).

    >>> import socket
    >>> from farend import RECEIVE, CommandServer
    >>> server = CommandServer([RECEIVE, "hello world"], verbose=False)
    >>> with socket.create_connection((server.host, server.port)) as client:
    ...     client.sendall(b"GET /hello")
    ...     client.recv(100)
    b'hello world'
    >>> server.received
    [b'GET /hello']
    >>> server.stop()

    It runs when the constructor returns: clients can connect to `port` on `host`, from any thread or
    process. `port` 0 is one that the system chooses. It serves until `stop()`, or until the end of a
    `with`; one that nobody stops keeps no process alive.

    `commands` are played in order:

    - `RECEIVE`: read some bytes, at least one. That is all that has come when the client pauses.
    - a number n: read at least n bytes; -n is the same.
    - text (sent as UTF-8) or bytes: send them.
    - `BREAK`: cut the connection with a reset, which also drops what the client has not read yet. Only as
      the last one.

    After the last one the server hangs up: the client reads an end of stream behind the full reply. Text
    or bytes in place of the list stand for `[RECEIVE, text]`. The list is copied. A client that ends its
    side while it is read from gets the rest of the commands all the same: the reads give what is there.

    Who connects while another client is served is connected, and is served next. A wait lasts `deadline`
    seconds at most (5, unless set otherwise); then the client is hung up on, and the next one is served.
    `max_size` is how much one read may take in, in bytes (16 MiB, or the largest n).

    With `verbose`, the server prints what it does. What went wrong (`findings`: a client that was silent,
    or left too early) is not raised, because the notation says what a server does, and nothing of what
    the client must. It is with `check=True`: then `stop()` and the end of the `with` wait until the
    commands were played, and raise `Failure`.

    Raises `WrongType` or `InvalidArguments` for commands that cannot be played, and `AddressError` where
    the address cannot be listened on.
    """

    takes_terms = False  # its connections wait for their turn, and have no TLS
    can_begin_again = False  # it begins when it is made

    def __init__(
        self,
        commands: Commands,
        host: str = "127.0.0.1",
        port: int = 0,
        verbose: bool = True,
        *,
        deadline: Deadline = "default",
        max_size: int | None = None,
        name: str | None = None,
        check: bool = False,
    ) -> None:
        __tracebackhide__ = True
        script, self._reads = _script(commands, type(self).__name__)
        super().__init__(script, host=host, port=port, name=name, deadline=deadline, max_size=max_size)
        self.verbose = verbose
        self._check = check
        self.max_size = max(self.max_size, *(size for _, size in self._reads), 0)
        self._accounts: dict[int, _Account] = {}
        self._turns = Turns(self._admit)
        self.watched = True
        self._listen()
        self.serve_on(None)
        self._say("initialized")

    # -- what users ask ---------------------------------------------------------------------------

    @property
    def received(self) -> list[bytes]:
        """What the clients said, one item for each read, the connections in their order.

        Everything that a client has sent before this is looked at is there: what was read, and what came
        after the last command.
        """
        with contextlib.suppress(WrongState):  # it has stopped, or is asked on its own thread
            self._run(self._until_quiet())
        heard = [data for transcript in self.transcripts for data in transcript.received if isinstance(data, bytes)]
        return [data for data in heard if data]  # a read that met the end of the stream gives nothing

    @property
    def numBytesSent(self) -> int:  # noqa: N802 (the seed's name)
        """How many bytes were sent, on all connections."""
        return sum(len(data) for transcript in self.transcripts for data in transcript.sent if isinstance(data, bytes))

    def stop(self, check: bool | None = None) -> None:
        """Stop serving, and end all connections. Stopping twice does nothing more.

        With `check` (or with the constructor's), the commands may first be played to their end, each
        within its deadline, and `Failure` is raised if something went wrong.
        """
        __tracebackhide__ = True
        check = self._check if check is None else check
        self.close(wait=check, check=None)
        if check:
            self._judge(self.findings, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self.close(wait=self._check and error is None, check=None)
        self._part(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        await self.aclose(wait=self._check and error is None, check=None)
        self._part(error)

    # -- serving ----------------------------------------------------------------------------------

    def _connection(self) -> asyncio.BaseProtocol:
        return self._turns.guest()

    def _admit(self) -> Driver:
        driver = Driver(self, self._wire(), len(self._drivers) + 1)
        driver.attempt = self._attempts.enter(self._routes, self._now()).attempt
        self._drivers.append(driver)
        return driver

    async def _until_played(self) -> None:
        try:
            await super()._until_played()
        finally:
            self.watched = True  # this server watches all the time

    def _unplayed(self) -> bool:
        return super()._unplayed() or (bool(self._turns) and not self.findings)

    def _pending(self) -> bool:
        return super()._pending() or self._turns.awaits_guests

    async def _shut(self) -> None:
        await super()._shut()
        await self._turns.close()

    def _part(self, error: BaseException | None) -> None:
        __tracebackhide__ = True
        if self._check:
            self._judge(self.findings, error)
        elif error is not None and self.findings:
            verdict.attach(error, self.findings)

    # -- what happens, told -----------------------------------------------------------------------

    def changed(self, driver: Driver) -> None:
        """Something happened on a connection: tell it, and look whether the next one's turn has come."""
        account = self._accounts.setdefault(driver.number, _Account())
        transcript = driver.conversation.transcript
        news, account.told = transcript[account.told :], len(transcript)
        for entry in news:
            self._tell(driver, account, entry)
        if not account.over and driver.conversation.state is not State.PLAYING:
            account.over = True
            port = driver.peername[1] if driver.peername else "?"
            self._say(f"closing socket connection {port} after {account.sent} bytes")
            self._hung_up(driver)
            self._turns.over(driver)
        super().changed(driver)

    def lost(self, driver: Driver) -> None:
        """A connection is gone."""
        if driver.begun:
            self.changed(driver)
        super().lost(driver)

    def _tell(self, driver: Driver, account: _Account, entry: Entry) -> None:
        match entry.kind, entry.payload:
            case Kind.RECEIVED, bytes(data):
                account.reads += 1
                self._check_read(driver, account, data)
                if data:
                    self._say(f"received some {len(data)} bytes")
                    self._heard(driver, data)
                else:
                    self._say("socket recv null")
            case Kind.SENT, bytes(data):
                account.sent += len(data)
                self._say(f"sent {len(data)} bytes")
            case Kind.ENDED, Ended(how=How.EOF) as ended:
                account.ended = ended
            case Kind.FOUND, TimedOut():
                self._say("timedout")
            case Kind.FOUND, Finding() as finding:
                self._say(finding.sentence)

    def _check_read(self, driver: Driver, account: _Account, data: bytes) -> None:
        """A read that the client's end cut short does not end the commands, but is a finding."""
        if account.ended is None or account.short or account.reads > len(self._reads):
            return
        number, size = self._reads[account.reads - 1]
        if len(data) >= size:
            return
        account.short = True
        conversation = driver.conversation
        script = conversation.script
        place = Place(
            connection=driver.number,
            number=number,
            total=len(script),
            step=script.steps[number - 1],
            left=conversation.place.left,  # the commands went on
            script=script,
            transcript=conversation.transcript,
            far_end=self.name,
        )
        self._findings.append(EndedEarly(place, account.ended, data))

    def _say(self, what: str) -> None:
        if self.verbose:
            with contextlib.suppress(OSError, ValueError):  # a console that is gone ends no server
                print(f"SERVER: {what}")  # noqa: T201 (what the seed's users see)

    def _heard(self, driver: Driver, data: bytes) -> None:
        """A client said something."""

    def _hung_up(self, driver: Driver) -> None:
        """The commands are over on a connection."""


class OneShotServer(CommandServer):
    """A `CommandServer` that quits by itself after one connection (seed 001).

    >>> import socket
    >>> from farend import OneShotServer
    >>> server = OneShotServer("hello world", verbose=False)
    >>> with socket.create_connection((server.host, server.port)) as client:
    ...     client.sendall(b"hello")
    ...     client.recv(100)
    b'hello world'

    It listens no more as soon as somebody has connected: further clients are refused. It needs no
    `stop()`, which ends it early, or does nothing. Everything else is as with `CommandServer`.
    """

    _entering: asyncio.Task[Any] | None = None
    _quitting: asyncio.Task[list[Finding]] | None = None

    async def _open(self) -> None:
        asyncio.get_running_loop().add_reader(self._sock, self._accept_one)

    def _accept_one(self) -> None:
        # By hand: asyncio's own server may have taken more connections by the time it is told to stop.
        try:
            connection, _ = self._sock.accept()
        except OSError:  # who came has gone again
            return
        self._listen_no_more()
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        self._entering = loop.create_task(loop.connect_accepted_socket(self._admit, connection))

    def _listen_no_more(self) -> None:
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()

    def _pending(self) -> bool:
        return self._knocked() or (self._entering is not None and not self._entering.done())

    async def _shut(self) -> None:
        self._listen_no_more()
        if self._entering is not None:
            await asyncio.wait([self._entering])
        await super()._shut()

    def lost(self, driver: Driver) -> None:
        """The one connection is gone, and so is the server."""
        super().lost(driver)
        if not self._over:
            self._quitting = asyncio.get_running_loop().create_task(self._leave(wait=False))
            self._quitting.add_done_callback(lambda _: self._moved_out())


class AsyncioCommandServer(CommandServer):
    """A `CommandServer` that also feeds what it receives to an `asyncio.StreamReader` (seed 001).

    >>> import asyncio, socket
    >>> from farend import AsyncioCommandServer
    >>> async def main() -> bytes:
    ...     reader = asyncio.StreamReader()
    ...     loop = asyncio.get_running_loop()
    ...     with AsyncioCommandServer([5, "hello"], reader=reader, loop=loop, verbose=False) as server:
    ...         with socket.create_connection((server.host, server.port)) as client:
    ...             client.sendall(b"GET /hello")
    ...             client.recv(100)
    ...         return await reader.read()
    >>> asyncio.run(main())
    b'GET /hello'

    `reader` is fed on `loop`, which may be blocked by the client meanwhile: the reader then finds
    everything when the loop runs again. It gets what the first connection says, and the end of the
    stream where the commands end on it. What later connections say is in `received` alone, because a
    reader has one end. Nothing is fed without a `loop`.

    Everything else is as with `CommandServer`. Raises `InvalidArguments` for a loop without a reader.
    """

    def __init__(
        self,
        commands: Commands,
        loop: asyncio.AbstractEventLoop | None = None,
        reader: asyncio.StreamReader | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        verbose: bool = True,
        *,
        deadline: Deadline = "default",
        max_size: int | None = None,
        name: str | None = None,
        check: bool = False,
    ) -> None:
        __tracebackhide__ = True
        if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
            raise WrongType(f"loop= takes an event loop, such as asyncio.get_running_loop(), not {printed(loop)}")
        if reader is not None and not (hasattr(reader, "feed_data") and hasattr(reader, "feed_eof")):
            raise WrongType(f"reader= takes an asyncio.StreamReader, not {printed(reader)}")
        if loop is not None and reader is None:
            raise InvalidArguments(
                "loop= is where a reader is fed, and there is none: write reader=, or leave loop= out"
            )
        self.loop = loop
        self.reader = reader
        self._fed = False
        super().__init__(commands, host, port, verbose, deadline=deadline, max_size=max_size, name=name, check=check)

    async def _leave(self, wait: bool, asked: bool = False) -> list[Finding]:
        findings = await super()._leave(wait)
        self._end_feeding()  # who reads need not wait for a client that never came
        return findings

    def _heard(self, driver: Driver, data: bytes) -> None:
        if not self._fed:
            self._feed(f"feed_data {len(data)} bytes", lambda reader: reader.feed_data(data))

    def _hung_up(self, driver: Driver) -> None:
        self._end_feeding()

    def _end_feeding(self) -> None:
        if not self._fed:
            self._fed = True
            self._feed("atEOF", lambda reader: reader.feed_eof())

    def _feed(self, what: str, feed: Callable[[asyncio.StreamReader], None]) -> None:
        loop, reader = self.loop, self.reader
        if loop is None or reader is None:
            return

        def on_its_loop() -> None:
            self._say(what)
            feed(reader)

        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody reads any more
            loop.call_soon_threadsafe(on_its_loop)


class _Account:
    """What is known of one connection, beside its transcript."""

    __slots__ = ("ended", "over", "reads", "sent", "short", "told")

    def __init__(self) -> None:
        self.told = 0
        """How many entries of the transcript."""
        self.reads = 0
        self.sent = 0
        self.ended: Ended | None = None
        self.short = False
        self.over = False


# -- commands into steps --------------------------------------------------------------------------


class _Read(AtLeast):
    """At least so many bytes; where the stream ends before, what is there, and be it nothing."""

    def last(self, data: Buffer) -> Cut | None:
        return Cut(len(data), bytes(data))


def _script(commands: object, who: str) -> tuple[Script, list[tuple[int, int]]]:
    """The commands as a script; and of each read, the number of its step and how many bytes it wants."""
    __tracebackhide__ = True
    script = Script()
    reads = []
    for number, command in enumerate(_listed(commands, who), 1):
        if number > 1 and isinstance(script.steps[-1], Abort):
            raise InvalidArguments(
                f"{who}: command {number} is {printed(command)}, and BREAK before it has cut the connection; "
                "make BREAK the last command"
            )
        match command:
            case None:
                script.abort()
            case int() if not isinstance(command, bool):
                size = abs(command) or 1
                reads.append((number, size))
                script.expect(Anything(), framing=_Read(size))
            case str() | bytes() | bytearray() | memoryview():
                script.send(_bytes(command, f"{who}: command {number}"))
            case _:
                raise WrongType(
                    f"{who}: command {number} is {printed(command)}; a command is RECEIVE, a number of bytes to read, "
                    f"text or bytes to send, or BREAK{_hint(command)}"
                )
    if not isinstance(script.steps[-1], Abort):
        script.close()
    return script, reads


def _listed(commands: object, who: str) -> list[object]:
    __tracebackhide__ = True
    if isinstance(commands, str | bytes | bytearray | memoryview):
        return [RECEIVE, commands]
    if isinstance(commands, Script):
        raise WrongType(f"{who} takes a list of commands, not a Script; a Script is played by TcpServer(script)")
    if isinstance(commands, int | None) and not isinstance(commands, bool):
        raise WrongType(f"{who} takes a list of commands, not {commands!r}; write [{commands!r}]")
    if isinstance(commands, Mapping | Set) or not isinstance(commands, Iterable):
        raise WrongType(f"{who} takes a list of commands such as [RECEIVE, 'hello'], not {printed(commands)}")
    listed = list(commands)
    if not listed:
        raise InvalidArguments(
            f"{who} takes at least one command, such as [RECEIVE, 'hello']; to hang up at once, write ['']"
        )
    return listed


def _bytes(said: str | bytes | bytearray | memoryview, what: str) -> bytes:
    __tracebackhide__ = True
    if not isinstance(said, str):
        return bytes(said)  # a copy: the buffer may change before it is sent
    try:
        return said.encode()
    except UnicodeEncodeError as error:
        raise InvalidArguments(
            f"{what} is {printed(said)}, which has no UTF-8 ({error.reason}); give it as bytes"
        ) from None


def _hint(command: object) -> str:
    if isinstance(command, bool):
        return f"; write {int(command)} if that many bytes are meant"
    if isinstance(command, float) and command.is_integer():
        return f"; write {int(command)}"
    if isinstance(command, list | tuple):
        return "; the list has no lists in it: write their commands one behind the other"
    return ""
