"""The stages on which every case of the battery is played, and how one spelling of a case fits them all.

A stage is a transport (TCP, TLS, Unix socket, IPv6, WebSocket, with TLS, with permessage-deflate, the
roles of server and client) in a mode: on the running loop (`async with`), on uvloop, or on the background
loop (`with`). The near end is another script, played by the other role. A case is a coroutine; in the
blocking mode it calls the blocking twins, and so never suspends.

Two stages have no socket: `memory`, and `asgi`, where the near end's script is played by an application.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farend import (
    Failure,
    Ping,
    Pong,
    Script,
    TcpClient,
    TcpServer,
    WebSocketClient,
    WebSocketServer,
    asgi,
    reroute,
    virtual_network,
)
from farend.core.commands import Abort, Close, Continue, Send, TellWhenQuiet
from farend.core.conversation import Conversation
from farend.core.conversation import State as Stages
from farend.core.events import Connected, Ended, Event, How, Quiet, Received, TimePassed, WritingResumed
from farend.core.messages import Fragments
from farend.core.steps import walk
from farend.core.transcript import Kind, Transcript
from farend.stage.memory import rehearse

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None


@pytest.fixture(autouse=True, scope="module")
def no_deadline_passes(patient: None) -> None:
    """A stage that is slow tells the same as one that is fast."""


# -- transcripts, told alike ---------------------------------------------------------------------------


def lines(transcript: Transcript, *, stream: bool, ends: bool = False) -> list[str]:
    """What a transcript tells: `>` said by the near end, `<` by the far end, `!` found, and who ended it how.

    A byte stream's bytes are shown as the text that they are. How the near end ended its side is told
    with `ends` only: what it does once all is played is no part of the script.
    """
    told = []
    for entry in transcript:
        match entry.kind:
            case Kind.RECEIVED:
                told.append(f">{_shown(entry.payload, stream)}")
            case Kind.SENT:
                told.append(f"<{_shown(entry.payload, stream)}")
            case Kind.CLOSED if entry.payload.reason != "the test is over":
                close = entry.payload
                told.append(_end("close", close.code, close.reason if close.code != 1008 else ""))
            case Kind.ABORTED:
                told.append("abort")
            case Kind.FOUND:
                told.append(f"!{type(entry.payload).__name__}")
            case Kind.ENDED if ends:
                ended = entry.payload
                how = {How.EOF: "end", How.CLOSE: "end", How.RESET: "reset", How.LOST: "lost"}[ended.how]
                told.append(_end(how, ended.code if ended.how is How.CLOSE else None, ended.reason))
    return told


def _end(how: str, code: int | None, reason: str) -> str:
    return " ".join([how, *([str(code)] if code not in (None, 1000) else []), *([reason] if reason else [])])


def _shown(payload: object, stream: bool) -> str:
    if isinstance(payload, Fragments):
        payload = payload.joined()
    if stream and isinstance(payload, bytes):
        payload = payload.decode(errors="backslashreplace")
    text = payload if isinstance(payload, str) else repr(payload)
    return text if len(text) < 100 else f"{text[:9]}… {len(text)} {zlib.crc32(text.encode())}"


@dataclass
class Played:
    """One conversation, played: what each side has on its transcript."""

    far: Transcript
    near: Transcript
    stream: bool

    def told(self, *, ends: bool = False) -> list[str]:
        return lines(self.far, stream=self.stream, ends=ends)

    def near_told(self) -> list[str]:
        return lines(self.near, stream=self.stream)

    @property
    def found(self) -> list[str]:
        return [line[1:] for line in self.told() if line.startswith("!")]

    @property
    def near_found(self) -> list[str]:
        return [line[1:] for line in self.near_told() if line.startswith("!")]


# -- stages --------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """One place where scripts are played. `resets` tells whether a connection can be cut with a reset.

    `production` is the scheme under which clients dial a name of production, from which they are rerouted; or which
    is in a network in memory, where the stage is `virtual`.
    """

    transport: str
    mode: str
    stream: bool
    role: str = "server"
    options: dict[str, Any] = field(default_factory=dict)
    resets: bool = True
    production: str = ""
    virtual: bool = False

    def __str__(self) -> str:
        return f"{self.transport}-{self.mode}"

    # -- running a case ---------------------------------------------------------------------------

    def run(self, case: Coroutine[Any, Any, Any]) -> Any:
        """Run a case: on a loop of its own, or in this very thread where it blocks."""
        if self.mode == "blocking":
            try:
                case.send(None)
            except StopIteration as done:
                return done.value
            raise AssertionError("a blocking case has awaited something")
        factory = uvloop.new_event_loop if self.mode == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_within(30, case))

    @contextlib.asynccontextmanager
    async def entered(self, far_end: Any) -> AsyncIterator[Any]:
        """`async with far_end`, or `with far_end`."""
        if self.virtual and isinstance(far_end, TcpServer | WebSocketServer):
            async with virtual_network({f"{self.production}://{production_name(far_end)}:443": far_end}):
                yield far_end
        elif self.virtual:
            async with far_end:
                yield far_end
        elif self.mode == "blocking":
            with far_end, self.rerouted(far_end):
                yield far_end
        else:
            async with far_end, self.rerouted(far_end):
                yield far_end

    def rerouted(self, far_end: Any) -> Any:
        """Where clients dial an address of production: what brings them to this server."""
        if self.production and isinstance(far_end, TcpServer | WebSocketServer):
            return reroute({f"{self.production}://{production_name(far_end)}:443": far_end}, strict=True)
        return contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def judged(self, far_end: Any) -> AsyncIterator[Any]:
        """The same; leaving it raises just what was found, which is then told by its `.findings`."""
        told: tuple[Any, ...] = ()
        try:
            async with self.entered(far_end):
                yield far_end
        except Failure as failure:
            told = failure.findings
        assert told == far_end.findings

    async def connection(self, far_end: Any, **options: Any) -> Any:
        """The next connection of a server, or a client's own, in the test's hand."""
        if self.mode == "blocking":
            is_client = isinstance(far_end, TcpClient | WebSocketClient)
            return _Awaited(far_end.blocking_peer if is_client else far_end.accept(**options))
        return far_end.peer if isinstance(far_end, TcpClient | WebSocketClient) else await far_end.connection(**options)

    async def played(self, far_end: Any) -> None:
        """Wait until every script was played."""
        if self.mode == "blocking":
            far_end.join()
        else:
            await far_end.played()

    async def stopped(self, far_end: Any, *, wait: bool = False) -> None:
        """Stop it, and raise nothing."""
        if self.mode == "blocking":
            far_end.close(wait=wait)
        else:
            await far_end.aclose(wait=wait)

    async def by_hand(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a blocking function of the near end's, beside the far end."""
        if self.mode == "blocking":
            return function(*arguments)
        return await asyncio.to_thread(function, *arguments)

    # -- who plays --------------------------------------------------------------------------------

    def server(self, script: Any = None, **options: Any) -> Any:
        """A server on this transport."""
        options = {**self.options, **options}
        if self.transport == "unix":
            options["unix_path"] = Path(tempfile.mkdtemp(dir=self.folder)) / "s"
        return TcpServer(script, **options) if self.stream else WebSocketServer(script, **options)

    def client(self, script: Script | None, server: Any, *, path: str = "", **options: Any) -> Any:
        """A client of that server."""
        options = {**self.options, **options}
        options.pop("host", None)
        if not self.stream:
            url = f"{self.production}://{production_name(server)}:443" if self.production else server.url
            return WebSocketClient(script, url + path, **options)
        if self.production:
            return TcpClient(script, production_name(server), 443, **options)
        if server.unix_path is not None:
            return TcpClient(script, unix_path=server.unix_path, **options)
        return TcpClient(script, server.host, server.port, **options)

    @contextlib.asynccontextmanager
    async def both(self, script: Any, other: Script | None) -> AsyncIterator[tuple[Any, Any]]:
        """The far end that plays `script`, in this stage's role, and the near end that plays `other`."""
        if self.role == "server":
            async with self.judged(self.server(script)) as far, self.judged(self.client(other, far)) as near:
                yield far, near
        else:
            async with self.judged(self.server(other)) as near, self.judged(self.client(script, near)) as far:
                yield far, near

    folder = ""

    # -- one script -------------------------------------------------------------------------------

    def play(self, script: Script, other: Script | None = None) -> Played:
        """Play a script against another one, or against its mirror."""
        near_script = script.mirrored() if other is None else other
        self.check(script, near_script)
        if self.transport.startswith("memory"):
            rehearsal = rehearse(script, near_script, stream=self.stream)
            return Played(rehearsal.far_end, rehearsal.near_end, self.stream)
        if self.transport == "asgi":
            return self.run(self._played_against_an_application(script, near_script))

        async def case() -> Played:
            async with self.both(script, near_script) as (far, near):
                pass
            [heard], [said] = far.transcripts, near.transcripts
            return Played(heard, said, self.stream)

        return self.run(case())

    async def _played_against_an_application(self, script: Script, other: Script) -> Played:
        near = Conversation(other, stream=False)
        try:
            far = await asgi.play(script, functools.partial(_application, near), "/")
        except Failure as failure:
            far = failure.findings[0].place.transcript
        return Played(far, near.transcript, self.stream)

    def check(self, *scripts: Script) -> None:
        """Skip what this transport cannot do."""
        if self.transport == "asgi":
            sent = [getattr(step, "payload", None) for script in scripts for step in walk(script)]
            if any(isinstance(payload, Ping | Pong) for payload in sent):
                pytest.skip("a server answers pings, and its application never sees one")
            if any(isinstance(step, Abort) for step in scripts[1]):
                pytest.skip("an application cannot reset its connection")
        if not self.resets and any(isinstance(step, Abort) for script in scripts for step in script):
            pytest.skip("a Unix socket cannot be reset")


async def _application(conversation: Conversation, scope: Any, receive: Any, send: Any) -> None:
    """An application that plays a script: it accepts, says what the script says, and hears what comes."""
    loop = asyncio.get_running_loop()
    wants: list[Event] = []

    async def feed(event: Event) -> None:
        for command in conversation.feed(event, loop.time()):
            match command:
                case Send(payload=payload):
                    said = payload.joined() if isinstance(payload, Fragments) else payload
                    await send({"type": "websocket.send", "bytes" if isinstance(said, bytes) else "text": said})
                case Close():
                    await send({"type": "websocket.close", "code": command.code or 1000, "reason": command.reason})
                case TellWhenQuiet():
                    wants.append(Quiet())
                case Continue():
                    wants.append(WritingResumed())

    await receive()
    await send({"type": "websocket.accept"})
    await feed(Connected())
    hearing = asyncio.ensure_future(receive())
    try:
        while conversation.state is not Stages.OVER:
            due = conversation.wake_at
            left = 0 if wants or conversation.done else None if due is None else max(0.0, due - loop.time())
            await asyncio.wait([hearing], timeout=left)
            if not hearing.done():
                if conversation.done and not wants:
                    await send({"type": "websocket.close"})
                    break
                await feed(wants.pop() if wants else TimePassed())
                continue
            event = hearing.result()
            if event["type"] == "websocket.disconnect":
                await feed(Ended(How.CLOSE if event["code"] != 1006 else How.RESET, event["code"], event["reason"]))
                break
            hearing = asyncio.ensure_future(receive())
            await feed(Received(event["text"] if "text" in event else event["bytes"]))
    finally:
        hearing.cancel()
        conversation.finish(loop.time())


def production_name(server: Any) -> str:
    """A name that does not resolve, for each server its own."""
    return f"far-end-{id(server)}.example.com"


class _Awaited:
    """A blocking peer whose methods can be awaited."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._peer, name)
        if not callable(value):
            return value

        async def call(*arguments: Any, **options: Any) -> Any:
            return value(*arguments, **options)

        return call


async def _within(seconds: float, case: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(seconds):
        return await case


@functools.cache
def has_ipv6() -> bool:
    """Whether this machine has ::1."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


TRANSPORTS: dict[str, dict[str, Any]] = {
    "tcp": {"stream": True},
    "tls": {"stream": True, "options": {"tls": True}},
    "unix": {"stream": True, "resets": False},
    "ipv6": {"stream": True, "options": {"host": "::1"}},
    "tcp_client": {"stream": True, "role": "client"},
    "ws": {"stream": False},
    "wss": {"stream": False, "options": {"tls": True}},
    "deflate": {"stream": False, "options": {"compression": True}},
    "ws_client": {"stream": False, "role": "client"},
    "tcp_rerouted": {"stream": True, "production": "tcp"},
    "wss_rerouted": {"stream": False, "production": "wss"},
    "tcp_virtual": {"stream": True, "production": "tcp", "virtual": True},
    "tls_virtual": {"stream": True, "production": "tls", "virtual": True, "options": {"tls": True}},
    "tcp_client_virtual": {"stream": True, "production": "tcp", "virtual": True, "role": "client"},
    "ws_virtual": {"stream": False, "production": "ws", "virtual": True},
    "wss_virtual": {"stream": False, "production": "wss", "virtual": True},
}
MODES = ("async", "blocking", "uvloop")
MEMORY = [Stage("memory_bytes", "pure", stream=True), Stage("memory_messages", "pure", stream=False)]
ASGI = [Stage("asgi", mode, stream=False) for mode in ("async", "uvloop")]
SOCKETS = [
    Stage(name, mode, **made)
    for name, made in TRANSPORTS.items()
    for mode in MODES
    if not (made.get("virtual") and mode == "blocking")  # time is virtual on the loop that one runs on
]


def _marked(stage: Stage) -> Any:
    marks = []
    if stage.transport == "ipv6":
        marks.append(pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1"))
    if stage.transport == "unix":
        marks.append(pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here"))
    if stage.mode == "uvloop":
        marks.append(pytest.mark.skipif(uvloop is None, reason="no uvloop here"))
    return pytest.param(stage, id=str(stage), marks=marks)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`stage` is each stage that the test's marks leave; `case` is one of `CASES` on it.

    `on(…)` marks: "memory", "sockets", "servers" (the server's role), "plain" (TCP and WebSocket), "stream",
    "messages", "by hand" (with sockets of the near end's own).
    """
    if "stage" not in metafunc.fixturenames:
        return
    wanted = {word for mark in metafunc.definition.iter_markers("on") for word in mark.args}
    stages = [stage for stage in MEMORY + ASGI + SOCKETS if _fits(stage, wanted)]
    cases = getattr(metafunc.module, "CASES", None)
    if "case" not in metafunc.fixturenames or cases is None:
        metafunc.parametrize("stage", [_marked(stage) for stage in stages])
        return
    pairs = [
        pytest.param(case, *param.values, id=f"{name}-{param.id}", marks=param.marks)
        for name, case in cases.items()
        for stage in stages
        if _fits(stage, case.on)
        for param in [_marked(stage)]
    ]
    metafunc.parametrize(("case", "stage"), pairs)


def _fits(stage: Stage, wanted: set[str]) -> bool:
    is_memory = stage in MEMORY + ASGI
    return not (
        ("sockets" in wanted and is_memory)
        or ("servers" in wanted and (is_memory or stage.role != "server"))
        or ("by hand" in wanted and stage.virtual)
        or ("plain" in wanted and stage.transport not in ("tcp", "ws"))
        or ("stream" in wanted and not stage.stream)
        or ("messages" in wanted and stage.stream)
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "on(*words): the stages of the conformance battery that a test is for")


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:
    """Where Unix sockets are: a short path, since the system's limit is 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fe") as folder:
        Stage.folder = folder
        yield
