r"""A server that is told beforehand what the client will do, and asked afterwards. The notation of seed 002.

    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"Hello, world")
    tcpserver.expect_disconnect()
    ...  # the client does its part
    await tcpserver.join()

Each call adds a step to an open-ended script, and `join` waits until the script is played. What the
client does is seen on the wire alone, so clients in threads and subprocesses, on raw sockets, on other
event loops and behind TLS are all judged alike.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import struct
import time
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Unpack

from farend.core import arguments
from farend.core.commands import Command, Send
from farend.core.conversation import State
from farend.core.events import Connected, Ended, Extended, How, Violated
from farend.core.findings import (
    EndedEarly,
    Finding,
    Mismatch,
    TimedOut,
    Unexpected,
    UnexpectedConnection,
    WrongEnd,
)
from farend.core.framing import Framing, length_prefixed
from farend.core.messages import printed
from farend.core.script import Script
from farend.core.steps import Expect, ExpectClose, Step
from farend.core.transcript import Kind, Transcript
from farend.errors import Failure, ScriptError, WrongState, WrongType
from farend.stage import verdict
from farend.stage.driver import Driver
from farend.stage.far_end import QUIET_TURNS, Deadline, in_async_code
from farend.stage.servers import ServerOptions, TcpServer
from farend.stage.settings import settings

TIMEOUT: Final = 1.0
"""Seconds that an expectation may take where nobody says otherwise (seed 002)."""
FRAME: Final = ">I"
"""What stands in front of a frame: its length, in 4 bytes, big-endian."""
MOST_BYTES: Final = 2_000
"""Bytes of a message that an exception's text quotes."""


class ExpectationsServer(TcpServer):
    r"""A TCP server for one client, which is told what to expect; the `tcpserver` fixture's value.

    >>> import socket
    >>> from farend import ExpectationsServer
    >>> with ExpectationsServer() as server:
    ...     server.expect_connect()
    ...     server.expect_bytes(b"PING\n")
    ...     server.send_bytes(b"PONG\n")
    ...     server.expect_disconnect()
    ...     with socket.create_connection((server.host, server.service_port)) as client:
    ...         client.sendall(b"PING\n")
    ...         client.recv(5)
    ...     _ = server.join()
    b'PONG\n'

    The first call must be `expect_connect`. What is expected comes in the order of the calls, each
    within its `timeout`, which counts from the one before, in seconds: 1, unless said otherwise by the
    call, by `deadline=`, or by pytest's `--farend-deadline`. Calls can also be made after the client has
    acted. `join` waits until all is fulfilled. Leaving the `with`, like the end of a test with the
    fixture, expects a disconnect too, and joins.

    `options` are those of `TcpServer`: `host`, `port`, `tls`, `name`, `deadline`, `max_size`.

    A client has disconnected when its end of stream is here. Whether it awaited `wait_closed` cannot be
    seen from there, and is not judged. That it left without having read all that was sent is seen where
    its system says so (a reset), and where its `asyncio.StreamReader` is on this server's own loop.
    """

    _ends_silence = False  # expectations may be added at any time

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        deadline: Deadline = "default",
        **options: Unpack[ServerOptions],
    ) -> None:
        self._expected = Script(open_ended=True)
        self._timeout = TIMEOUT if deadline == "default" and not settings.asked else None
        self._connect_by: float | None = None
        self._client: Driver | None = None
        self._client_reader: Any = None
        self._refused_data: bool | None = None
        self._awaited_then: Step | None = None
        self._cause: Finding | None = None
        self._leave_within: float | None = None
        self._ends = self._disconnects = self._stopping = self._silent = False
        super().__init__([self._expected], host=host, port=port, deadline=deadline, **options)
        self.watched = True

    @functools.cached_property
    def _frames(self) -> Framing:
        return length_prefixed(FRAME, limit=self.max_size)

    @property
    def service_port(self) -> int:
        """The port that the server listens on, on this machine."""
        return self.port

    # -- expectations -----------------------------------------------------------------------------

    def expect_connect(self, timeout: float | None = None) -> None:
        """The client connects, within `timeout` seconds. The first of all expectations."""
        __tracebackhide__ = True
        self._check_running()
        if self._connect_by is not None:
            raise ScriptError(
                "`expect_connect()` was called already, and this server is for one connection; "
                "for another one, make another server: `await tcpserver_factory()`"
            )
        seconds = self._seconds(timeout)
        self._connect_by = float("inf") if seconds is None else time.monotonic() + seconds

    def expect_bytes(self, data: bytes, timeout: float | None = None) -> None:
        """The client sends just these bytes, in as many pieces as it likes, within `timeout` seconds."""
        __tracebackhide__ = True
        raw = _checked(data, "expect_bytes")
        self._check("expect_bytes", raw)
        if not raw:
            raise ScriptError("`expect_bytes(b'')`: nothing cannot be seen to arrive; leave the call out")
        self._expected.expect(raw, within=self._within(timeout))

    def expect_frame(self, payload: bytes, timeout: float | None = None) -> None:
        """The client sends this payload with its length in front (4 bytes, big-endian), within `timeout` seconds."""
        __tracebackhide__ = True
        raw = _checked(payload, "expect_frame")
        self._check("expect_frame", raw)
        self._expected.expect(raw, framing=self._frames, within=self._within(timeout))

    def expect_disconnect(self, timeout: float | None = None) -> None:
        """The client closes the connection, within `timeout` seconds. The last of all expectations."""
        __tracebackhide__ = True
        if not self._ends:
            self._check("expect_disconnect", last=True)
            self._expect_the_end(timeout)

    def send_bytes(self, data: bytes) -> None:
        """Once all before it is fulfilled, send these bytes."""
        __tracebackhide__ = True
        raw = _checked(data, "send_bytes")
        self._check("send_bytes", raw)
        self._expected.send(raw)

    def send_frame(self, payload: bytes) -> None:
        """Once all before it is fulfilled, send this payload with its length in front (4 bytes, big-endian)."""
        __tracebackhide__ = True
        raw = _checked(payload, "send_frame")
        self._check("send_frame", raw)
        self._expected.send(raw, framing=self._frames)

    def disconnect(self) -> None:
        """Once all before it is fulfilled, end the connection. Only `expect_disconnect` can follow."""
        __tracebackhide__ = True
        self._check("disconnect")
        self._disconnects = True
        self._expected.close()

    def join(self) -> Awaitable[None]:  # type: ignore[override]  # seed 002 awaits it
        """Wait until all expectations are fulfilled; raises `Failure` with the first that was not.

        Await it in an `async` test; in a plain test, the call itself waits. It can be called several
        times; once it has failed, later calls and the end of the test are silent.
        """
        __tracebackhide__ = True
        if in_async_code():
            return self._join()
        if not (self._silent or self._over):
            self._run(self._until_fulfilled())
            self._tell()
        return _DONE

    def stop(self) -> Awaitable[None]:
        """`join`, and stop serving. Awaited, or not, as `join` is."""
        __tracebackhide__ = True
        self._stopping = True
        if in_async_code():
            return self._stop()
        self.close(wait=True)
        self._tell()
        return _DONE

    async def _join(self) -> None:
        __tracebackhide__ = True
        if not (self._silent or self._over):
            await self._at_home(self._until_fulfilled())
            self._tell()

    async def _stop(self) -> None:
        __tracebackhide__ = True
        await self.aclose(wait=True)
        self._tell()

    # -- what a call needs ------------------------------------------------------------------------

    def _check(self, name: str, data: bytes | None = None, last: bool = False) -> None:
        """Raise, at the line of the call, what is wrong with it here."""
        __tracebackhide__ = True
        self._check_running()
        if self._connect_by is not None and not self._ends and (last or not self._disconnects):
            return
        call = f"`{name}({'' if data is None else _shown(data)})`"
        if self._connect_by is None:
            self._silent = True
            raise ScriptError(f"Missing `expect_connect()` before {call}")
        before = "expect_disconnect" if self._ends else "disconnect"
        raise ScriptError(f"{call} cannot follow `{before}()`: the connection has ended by then")

    def _check_running(self) -> None:
        __tracebackhide__ = True
        if self._over:
            raise WrongState(f"{self.name} is stopped: expect what is to be expected before `stop()`")

    def _expect_the_end(self, timeout: float | None = None) -> None:
        within = self._within(timeout)
        self._ends = True
        if self._disconnects:
            # Its own end ends the script. What is left to wait for is not a step of it.
            self._leave_within = self._seconds(timeout)
        else:
            self._expected.expect_close(within=within)

    async def _expect_the_last(self) -> None:
        """Expect a disconnect at the end of the test, at home."""
        self._ends = True
        client = self._client
        if client is not None and not self._disconnects:
            for _ in range(QUIET_TURNS):
                if client.ended is None:
                    await asyncio.sleep(0)  # an end of stream that is here already comes with the loop's next turn
            if client.ended is not None and client.ended.how is How.EOF and client.conversation.done:
                return  # what nearly every test ends with
        self._expect_the_end()

    def _within(self, timeout: float | None) -> float | None:
        """The deadline of a step; None for the server's."""
        __tracebackhide__ = True
        return self._timeout if timeout is None else arguments.seconds(timeout, "timeout")

    def _seconds(self, timeout: float | None) -> float | None:
        """How long a wait may last that is no step of the script; None for no end."""
        __tracebackhide__ = True
        within = self._within(timeout)
        return self.deadline if within is None else within * settings.scale

    # -- as a stage -------------------------------------------------------------------------------

    def begin(self, driver: Driver, event: Connected | Violated) -> list[Command]:
        """Give a new connection its conversation; only the first one has a script to play."""
        if self._client is not None:
            conversation = self._client.conversation
            self._awaited_then = conversation.place.step
            commands = super().begin(driver, event)
            if not conversation.findings:
                self._cause = self._cause or next(iter(driver.conversation.findings), None)
            return commands
        self._client = driver
        if self._connect_by is not None and time.monotonic() > self._connect_by:
            self._findings.append(Unfulfilled(self._place(), _NOT_COMING))
        commands = super().begin(driver, event)
        self._find_reader(driver)
        return commands

    def changed(self, driver: Driver) -> None:
        """Something happened on a connection."""
        super().changed(driver)
        if driver is self._client and self._refused_data is None and driver.ended is not None:
            # Asked now, since what TLS says at the end is refused by many a client.
            self._refused_data = _has_refused(driver.transport)

    def _find_reader(self, driver: Driver, again: bool = True) -> None:
        self._client_reader = _reader_of(driver.transport)
        if self._client_reader is None and again:
            # A client on this loop gets its transport in the turn in which the server gets its own.
            asyncio.get_running_loop().call_soon(self._find_reader, driver, False)

    def _awaits_somebody(self) -> bool:
        if self._client is None:
            return self._connect_by is not None
        return self._ends and self._disconnects and self._client.conversation.state is State.CLOSING

    def _patience(self) -> float | None:
        if self._client is not None:
            return self._leave_within
        assert self._connect_by is not None
        return None if self._connect_by == float("inf") else self._connect_by - time.monotonic()

    def _absent(self) -> list[Finding]:
        if not self._awaits_somebody():
            return []
        if self._client is None:
            return [Unfulfilled(self._place(), _NOT_COMING)]
        return [Unfulfilled(self._client.conversation.place, _STILL_THERE)]

    async def _until_fulfilled(self) -> None:
        if self._client is not None and self._client.is_lost:
            self._client.poke(Extended())  # no wire tells the conversation any more that its script has grown
        if self._unplayed():
            await self._until_played()
        if self._ends and not self.findings:
            self._findings += await self._at_the_end()

    async def _at_the_end(self) -> list[Finding]:
        """What the way in which the client left says."""
        client = self._client
        if client is None or client.ended is None:
            return []
        turns = 0
        # Who waits for what has come is about to take it, and a transport that closes hears what became of that.
        while turns < QUIET_TURNS and (
            _left_in(self._client_reader) or (client.transport.is_closing() and not client.is_lost)
        ):
            turns += 1
            await asyncio.sleep(0)
        conversation = client.conversation
        if client.ended.how is How.RESET and not _ended_in_order(conversation.transcript):
            return [Unfulfilled(conversation.place, self._reset_text(conversation.transcript))]
        unread = _left_in(self._client_reader)
        if not unread and self._refuses_data(client):
            unread = self._sent_last(conversation.transcript)
        return [Unfulfilled(conversation.place, _unread_text(unread))] if unread else []

    def _refuses_data(self, client: Driver) -> bool:
        """Whether the client's system has sent back what it was sent, or nothing of it could be sent."""
        assert client.ended is not None
        if self._refused_data or (client.is_lost and _sent_after_the_end(client.conversation.transcript)):
            return True
        return self._tls is None and (client.ended.how is How.RESET or _has_refused(client.transport))

    async def _leave(self, wait: bool, asked: bool = False) -> list[Finding]:
        if wait and not (self._over or self._silent or self._stopping):
            if self._connect_by is None:
                await self._until_all_are_in()
                self._findings.append(self._nothing_expected())
            elif not self._ends:
                await self._expect_the_last()
        if wait and not self._over:
            await self._until_fulfilled()
        return await super()._leave(wait)

    async def _until_all_are_in(self) -> None:
        """Until all who have connected by now are noticed."""
        if self._serving is not None:
            await self._serving
        await self._until_quiet()
        await self._accept_no_more()
        await self._until_quiet()

    def _nothing_expected(self) -> Finding:
        if self._client is None:
            return Unfulfilled(self._place(), _NOT_CONNECTED)
        return Unfulfilled(self._client.conversation.place, _NOT_EXPECTED)

    def _tell(self) -> None:
        """Raise what went wrong, once."""
        __tracebackhide__ = True
        findings = () if self._silent else self.findings
        self._silent = self._silent or bool(findings)
        self._raise(findings)

    def _judge(self, findings: Sequence[Finding], error: BaseException | None) -> None:
        __tracebackhide__ = True
        if not self._silent:
            super()._judge(findings, error)

    # -- the texts --------------------------------------------------------------------------------

    def _failure(self, findings: Sequence[Finding]) -> Failure:
        findings = sorted(findings, key=lambda finding: finding is not self._cause)
        failure = Failure(self._text(findings[0]), findings)
        story = verdict.story(findings)
        # Where there is no more than the sentence, which the seed prescribes, it may be about any of several servers.
        failure.add_note(story if "\n" in story else f"This is about {self.name}.")
        return failure

    def _text(self, finding: Finding) -> str:
        """What seed 002 says of it, to the letter."""
        step = finding.place.step
        match finding:
            case EndedEarly() | WrongEnd() if finding.ended.how is How.RESET:
                return self._reset_text(finding.place.transcript)
            case EndedEarly() if isinstance(step, Expect):
                return f"Expected to {_act(step)} but only read {_shown(finding.got)} before the connection was closed."
            case EndedEarly() if isinstance(step, Send):
                return _unread_text(self._sent_last(finding.place.transcript) + _packed(step))
            case TimedOut() if isinstance(step, ExpectClose):
                return _STILL_THERE
            case TimedOut() if isinstance(step, Expect):
                came = f". Of it, {_shown(finding.got)} had come." if finding.got else ""
                return f"Timed out waiting for {_object(step)}{came}"
            case Mismatch() if isinstance(step, Expect):
                got = _object(Expect(finding.got, step.framing))
                return f"Expected to {_act(step)} but actually {'read' if step.framing is None else 'got'} {got}"
            case Unexpected():
                data = _shown(b"".join(finding.messages))
                return f"Received unexpected data while waiting for client to disconnect. Data is {data}."
            case UnexpectedConnection():
                return self._second_text()
        return finding.sentence

    def _second_text(self) -> str:
        awaited = self._awaited_then
        if isinstance(awaited, ExpectClose) or (awaited is None and self._ends):
            return "While waiting for client to disconnect a second connection was attempted."
        if isinstance(awaited, Expect):
            return f"While waiting for {_object(awaited)} a second connection was attempted."
        return "A second connection was attempted; for another one, make another server: `await tcpserver_factory()`."

    def _reset_text(self, transcript: Transcript | None) -> str:
        unread = self._sent_last(transcript)
        return _unread_text(unread) if unread else "Connection was reset. Did client close writer prematurely?"

    def _sent_last(self, transcript: Transcript | None) -> bytes:
        """What was sent since the client said something: what it may have left unread."""
        assert transcript is not None
        last = 0
        for at in reversed(range(len(transcript))):
            kind = transcript[at].kind
            if kind is Kind.RECEIVED:
                break
            last += kind is Kind.SENT
        if not last:
            return b""
        played = len(transcript.sent)
        sends = [step for step in self._expected.steps if isinstance(step, Send)]
        return b"".join(_packed(step) for step in sends[played - last : played])


@dataclass(frozen=True, slots=True, eq=False)
class Unfulfilled(Finding):
    """An expectation that no step of the script stands for was not fulfilled; `text` says which."""

    text: str

    @property
    def sentence(self) -> str:
        return self.text


_NOT_COMING: Final = "Timed out waiting for client to connect."
_NOT_CONNECTED: Final = "Client is not connected. Did you forget to call `asyncio.open_connection`?"
_NOT_EXPECTED: Final = "A client connected, and nobody expected it. Did you forget to call `expect_connect()`?"
_STILL_THERE: Final = "Timed out waiting for client to disconnect. Remember to call `writer.close()`."


def _unread_text(data: bytes) -> str:
    return f"There is data sent by server that was not read by client: unread_bytes={_shown(data)}."


def _object(step: Expect) -> str:
    """What is awaited: `b'Hello'`, or `frame b'Hello'`."""
    return _shown(step.what) if step.framing is None else f"frame {_shown(step.what)}"


def _act(step: Expect) -> str:
    return f"{'read' if step.framing is None else 'get'} {_object(step)}"


def _shown(data: object) -> str:
    return printed(data, MOST_BYTES)


def _checked(data: object, name: str) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise WrongType(f"{name}() takes bytes, not {printed(data)}")
    return bytes(data)


def _packed(step: Send) -> bytes:
    assert isinstance(step.payload, bytes)
    return step.payload if step.framing is None else step.framing.pack(step.payload)


# -- what a client has left unread ----------------------------------------------------------------


def _reader_of(transport: Any) -> Any:
    """The `StreamReader` at the other end of a connection, where it is on this very loop; else None.

    asyncio's transports read ahead, so the system has seen the data read that a client never took. The
    loop's list of its transports is private: where it is not there, as on uvloop, nothing is known.
    """
    transports = getattr(asyncio.get_running_loop(), "_transports", None)
    address = transport.get_extra_info("peername")
    if not transports or not address:
        return None
    for reference in reversed(transports.valuerefs()):  # the youngest first
        other = reference()
        if other is not None and other.get_extra_info("sockname") == address:
            protocol = other.get_protocol()
            protocol = getattr(protocol, "_app_protocol", protocol)  # behind TLS
            return getattr(protocol, "_stream_reader", None)
    return None


def _ended_in_order(transcript: Transcript) -> bool:
    """Whether an end of stream came: a reset behind it is the answer to what was sent since."""
    return any(isinstance(entry.payload, Ended) and entry.payload.how is How.EOF for entry in transcript)


def _sent_after_the_end(transcript: Transcript) -> bool:
    last = next((entry for entry in reversed(transcript) if entry.kind in (Kind.SENT, Kind.ENDED)), None)
    return last is not None and last.kind is Kind.SENT


def _left_in(reader: Any) -> bytes:
    return bytes(getattr(reader, "_buffer", b""))


def _has_refused(transport: Any) -> bool:
    """Whether the client's system has refused data since the client ended its side."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return error in (errno.EPIPE, errno.ECONNRESET)


# -- awaited or not -------------------------------------------------------------------------------


class _Done:
    """An awaitable that is done already."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE: Final = _Done()


# -- frames, for the client's side ----------------------------------------------------------------


class Writer(Protocol):
    """What `write_frame` needs: an `asyncio.StreamWriter`, or anything that writes bytes."""

    def write(self, data: bytes, /) -> object: ...


class Reader(Protocol):
    """What `read_frame` needs: an `asyncio.StreamReader`, or anything with its `readexactly`."""

    def readexactly(self, n: int, /) -> Coroutine[Any, Any, bytes]: ...


def write_frame(writer: Writer, payload: bytes) -> None:
    r"""Write `payload` with its length in front (4 bytes, big-endian), as `expect_frame` expects it.

    >>> import io
    >>> from farend import write_frame
    >>> file = io.BytesIO()
    >>> write_frame(file, b"hello")
    >>> file.getvalue()
    b'\x00\x00\x00\x05hello'
    """
    raw = _checked(payload, "write_frame")
    writer.write(struct.pack(FRAME, len(raw)) + raw)


async def read_frame(reader: Reader) -> bytes:
    r"""Read what `send_frame` sends, and give its payload; `b""` where the connection has ended before it.

    >>> import asyncio
    >>> from farend import read_frame
    >>> async def read() -> bytes:
    ...     reader = asyncio.StreamReader()
    ...     reader.feed_data(b"\x00\x00\x00\x05hello")
    ...     return await read_frame(reader)
    >>> asyncio.run(read())
    b'hello'

    Raises `asyncio.IncompleteReadError` if it ends in the middle of a frame.
    """
    try:
        head = await reader.readexactly(struct.calcsize(FRAME))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    (size,) = struct.unpack(FRAME, head)
    return await reader.readexactly(size)
