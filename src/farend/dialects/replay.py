"""A tape as a far end: as the server that it was recorded from, or as the client, against a server under test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, Unpack
from urllib.parse import urlsplit

from farend.core.findings import Finding, Place
from farend.core.framing import Framing
from farend.core.matchers import Change
from farend.core.messages import CONTROL, printed
from farend.core.routes import Routes
from farend.core.transcript import Transcript
from farend.errors import Failure, FarendError, InvalidArguments, NotATape
from farend.stage import verdict
from farend.stage.clients import TcpClient, WebSocketClient
from farend.stage.far_end import Deadline, in_async_code
from farend.stage.servers import ServerOptions, TcpServer, WebSocketServer
from farend.stage.settings import settings
from farend.tape.format import MAX_LINE, Wire
from farend.tape.index import Index, Taped, index
from farend.tape.matching import HANDSHAKE, Pattern, Rules, rules
from farend.tape.playing import TapeScript
from farend.tape.reader import checked_max_line, warn_if_torn
from farend.tape.redaction import PLACEHOLDER
from farend.tape.routes import TapeRoutes

Tape: TypeAlias = str | os.PathLike[str]
ReplayServer: TypeAlias = "WebSocketReplay | TcpReplay"


class _Replay:
    """What both servers have: the connections that a tape holds."""

    can_begin_again = False  # its routes know how far they are

    def _routed(self, script: Any) -> Routes:
        return script if isinstance(script, Routes) else super()._routed(script)  # type: ignore[misc]

    @property
    def tape(self) -> Index:
        """What is on the tape."""
        routes: TapeRoutes = self._routes  # type: ignore[attr-defined]
        return routes.tape

    def missing(self: Any) -> list[Finding]:
        """The connections on the tape that nobody has made yet, as findings."""
        return list(self._not_come(0.0))

    async def left(self: Any, *, within: float) -> None:
        """Wait until every client has ended its connection, or for so many seconds."""
        with contextlib.suppress(TimeoutError), self._watching() as progress:
            async with asyncio.timeout(within):
                while any(peer.is_open for peer in self.connections):
                    progress.clear()
                    await progress.wait()


class WebSocketReplay(_Replay, WebSocketServer):
    """A `WebSocketServer` that replays a tape; `replay` makes it."""


class TcpReplay(_Replay, TcpServer):
    """A `TcpServer` that replays a tape; `replay` makes it."""


class ReplayOptions(ServerOptions, total=False):
    """What `replay` takes by keyword, beside its rules."""

    host: str
    port: int
    deadline: Deadline


def replay(
    tape: Tape,
    *,
    ignore: str | Iterable[str] = (),
    matchers: Mapping[str, object] | None = None,
    correlate: bool = True,
    strict: bool = False,
    allow_unplayed: Pattern | Iterable[Pattern] = (),
    handshake: str | Iterable[str] = HANDSHAKE,
    framing: Framing | None = None,
    again: bool = False,
    max_line: int = MAX_LINE,
    **options: Unpack[ReplayOptions],
) -> ReplayServer:
    r"""A server that replays a tape to the client it was recorded with, and checks what the client says.

    Each message of the server goes out once the client has said what it had said before it on the tape. What
    the client says is compared with the tape: JSON by value, all else as it stands.

    >>> import pathlib, tempfile
    >>> from websockets.sync.client import connect
    >>> tape = pathlib.Path(tempfile.mkdtemp(), "hello.jsonl")
    >>> _ = tape.write_text(
    ...     '{"tape":1,"wire":"websocket"}\n'
    ...     '{"connection":1,"kind":"connect","from":"client","target":"/"}\n'
    ...     '{"connection":1,"kind":"message","from":"client","json":{"id":1,"op":"hello"}}\n'
    ...     '{"connection":1,"kind":"message","from":"server","json":{"id":1,"ok":true}}\n'
    ... )
    >>> with replay(tape, ignore="$.id") as server:
    ...     with connect(server.url) as client:
    ...         client.send('{"id": 77, "op": "hello"}')
    ...         client.recv()
    '{"id":77,"ok":true}'

    `tape` is the file. `ignore` names places in the client's JSON that may hold anything, such as `"$.id"`,
    `"$..ts"`; `matchers` says for places what is expected there, as a mapping. With `correlate`, ids of a random
    shape (UUID, ULID) may be others than on the tape; they, and what stands at ignored places, are put back in what
    the server says. With `strict`, the client has to wait for each message of the server that it had waited for on
    the tape, connections come in the tape's order, and the client ends them as it did. `allow_unplayed` are the
    messages, or paths of connections, that may be left out. `handshake` is what of it is compared: `path`, `query`,
    `subprotocols`, `origin`, or names of headers. `framing` cuts the client's bytes on TCP into messages; without,
    they are compared byte for byte. With `again`, the tape is played anew for those who come when it is over, and
    nobody need come. The options are those of `TcpServer` and `WebSocketServer`; `max_size` is, unless told, twice the
    longest message on the tape, where that is more than far ends take.

    Raises `TapeUnavailable`, `NotATape`, `TapeTooNew` or `TapeDamaged` for a tape that cannot be read, and
    `Failure` at the end where something was not replayed or not expected.
    """
    __tracebackhide__ = True
    rule = rules(
        ignore=ignore,
        matchers=matchers,
        correlate=correlate,
        strict=strict,
        allow_unplayed=allow_unplayed,
        handshake=handshake,
        framing=framing,
    )
    taped = _indexed(tape, rule, max_line)
    options["max_size"] = _room_for(taped, options.get("max_size"))
    routes: Any = TapeRoutes(taped, rule, again=again)
    if taped.header.wire == "tcp":
        return TcpReplay(routes, **options)
    agreed = list(dict.fromkeys(one.subprotocol for one in taped.playable if one.subprotocol))
    return WebSocketReplay(
        routes,
        subprotocols=agreed or None,
        compression=any(one.compressed for one in taped.playable),
        **options,
    )


def _indexed(tape: Tape, rule: Rules, max_line: int) -> Index:
    __tracebackhide__ = True
    taped = index(tape, max_line=max_line)
    _check_framing(str(taped.path), taped.header.wire, rule)
    if not taped.connections:
        raise NotATape(f"{taped.path} is a tape with no connection on it: nothing was recorded")
    if not taped.playable:
        number = len(taped.connections)
        were = "the one that was recorded was" if number == 1 else f"the {number:,} that were recorded were all"
        raise NotATape(
            f"{taped.path} is a tape with no connection to replay: {were} refused, or turned away; record it anew from "
            "a server that lets the client in"
        )
    warn_if_torn(taped.path, taped.torn, stacklevel=3)
    return taped


def _check_framing(name: str, wire: Wire, rule: Rules) -> None:
    __tracebackhide__ = True
    if wire == "tcp" and rule.framing is None and (rule.ignore or rule.matchers):
        raise InvalidArguments(
            f"{name} is of TCP, which has bytes and no messages: say with framing= how they are cut, for example "
            "framing=farend.lines(), to compare by JSON path"
        )
    if wire == "websocket" and rule.framing is not None:
        raise InvalidArguments(f"{name} is of a WebSocket, which cuts its messages itself: leave framing= out")
    if rule.framing is not None and rule.framing.greedy:
        raise InvalidArguments(f"{rule.framing!r} cuts where the client pauses, and a tape has no pauses")


def check_options(
    name: str, wire: Wire, *, deadline: Deadline = "default", max_line: int = MAX_LINE, **given: Any
) -> None:
    """Raise what `replay` would with these options, for a tape of that wire that is called so, and is yet to come."""
    _check_framing(name, wire, rules(**given))
    settings.effective(deadline)
    checked_max_line(max_line)


# -- as the client --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Drifted(Finding):
    """The server said something else than on the tape: `message` is its number on the connection, from 1."""

    message: int
    changes: tuple[Change, ...]

    @property
    def sentence(self) -> str:
        first = told(self.changes[0])
        more = f" and {len(self.changes) - 1:,} more" if len(self.changes) > 1 else ""
        return f"Message {self.message} of the server differs: {first}{more}."


@dataclass(slots=True)
class Verified:
    """How it went: what was played, and what the server said otherwise, as `drifts` and as `changes` by path."""

    connections: int = 0
    messages: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def drifts(self) -> list[Drifted]:
        """The messages that differ."""
        return [one for one in self.findings if isinstance(one, Drifted)]

    @property
    def changes(self) -> dict[str, list[Change]]:
        """What differs, by path."""
        by_path: dict[str, list[Change]] = {}
        for drift in self.drifts:
            for change in drift.changes:
                by_path.setdefault(_general(change.path), []).append(change)
        return by_path

    @property
    def same(self) -> bool:
        """Whether all was as on the tape."""
        return not self.findings


def told(change: Change) -> str:
    """A change on one line."""
    match change.what:
        case "missing":
            return f"{change.path} is missing (was {printed(change.expected)})"
        case "unexpected":
            return f"{change.path} is new ({printed(change.got)})"
    return f"{change.path} was {printed(change.expected)}, is {printed(change.got)}"


def _general(path: str) -> str:
    return re.sub(r"\[\d+\]", "[*]", path)


Drift: TypeAlias = Literal[False, True, "values", "shape"]


def verify(
    tape: Tape,
    url: str | None = None,
    *,
    ignore: str | Iterable[str] = (),
    matchers: Mapping[str, object] | None = None,
    correlate: bool = True,
    strict: bool = False,
    allow_unplayed: Pattern | Iterable[Pattern] = (),
    framing: Framing | None = None,
    drift: Drift = False,
    headers: Mapping[str, str] | None = None,
    tls: Any = None,
    deadline: Deadline = "default",
    max_size: int | None = None,
    max_line: int = MAX_LINE,
) -> Any:
    """Replay a tape as the client it was recorded from, against a server, and check what the server says.

    `await verify("session.jsonl", "ws://localhost:8000")` in an async test, and without `await` in a plain one. It
    gives a `Verified`.

    `tape` is the file. `url` is where the server is (`ws://`, `wss://`, `tcp://`, `tls://`), with the tape's paths
    unless it has one; None is the tape's own target. The rules are those of `replay`, for the server's messages.
    With `drift`, what differs is no failure: all of the tape is played, and the answer tells the differences;
    `"shape"` has only names and types compared. `headers` go into each handshake, for what was redacted on the
    tape. `tls` is as for `WebSocketClient`.

    Raises `Failure` where the server says something else, and what `replay` raises for a tape that cannot be read.
    """
    __tracebackhide__ = True
    rule = rules(
        ignore=ignore,
        matchers=matchers,
        correlate=correlate,
        strict=strict,
        allow_unplayed=allow_unplayed,
        framing=framing,
    )
    if drift not in (False, True, "values", "shape"):
        raise InvalidArguments(f"drift={drift!r}: it is True ('values'), or 'shape' for names and types alone")
    taped = _indexed(tape, rule, max_line)
    options: dict[str, Any] = {"deadline": deadline, "max_size": _room_for(taped, max_size)}
    played = _played(taped, _target(taped, url), rule, drift, dict(headers or {}), tls, options)
    if in_async_code():
        return played
    try:
        return asyncio.run(played)
    except FarendError as error:
        raise error.with_traceback(None)  # noqa: B904 (it is this very exception, at the caller's line)


def _room_for(taped: Index, max_size: int | None) -> int:
    """The longest message that is taken: what is on the tape is, and what is a little longer."""
    return max(settings.max_size, taped.longest * 2) if max_size is None else max_size


def _target(taped: Index, url: str | None) -> str:
    __tracebackhide__ = True
    target = url or taped.header.target
    if not target:
        raise InvalidArguments(f"{taped.path} does not say where it was recorded: give the server's URL")
    parts = urlsplit(target)
    schemes = ("tcp", "tls") if taped.header.wire == "tcp" else ("ws", "wss")
    if parts.scheme not in schemes or not parts.hostname or (taped.header.wire == "tcp" and not parts.port):
        example = "tcp://127.0.0.1:6379" if taped.header.wire == "tcp" else "ws://127.0.0.1:8000"
        raise InvalidArguments(
            f"{taped.path} is of {taped.header.wire}, so the URL is one such as {example!r}, not {target!r}"
        )
    return target


async def _played(
    taped: Index, url: str, rule: Rules, drift: Drift, headers: dict[str, str], tls: Any, options: dict[str, Any]
) -> Verified:
    """Each connection in the tape's order; one that overlaps others there does so here."""
    __tracebackhide__ = True
    outcome = Verified()
    together: list[Taped] = []
    for connection in (*taped.playable, None):
        if together and (connection is None or not connection.overlaps):
            findings = await _together(taped, together, url, rule, drift, headers, tls, options, outcome)
            outcome.findings += findings
            if findings and not drift:
                raise verdict.failure(findings)
            together = []
        if connection is not None:
            together.append(connection)
    return outcome


async def _together(
    taped: Index,
    connections: Sequence[Taped],
    url: str,
    rule: Rules,
    drift: Drift,
    headers: dict[str, str],
    tls: Any,
    options: dict[str, Any],
    outcome: Verified,
) -> list[Finding]:
    findings: list[Finding] = []
    async with AsyncExitStack() as stack:
        clients = []
        for connection in connections:
            noted = _Noter(connection, findings, drift, url) if drift else None
            script = TapeScript(taped, connection, rule, ours="client", noted=noted)
            client = _client(script, taped, connection, url, headers, tls, options)
            try:
                clients.append(await client.__aenter__())
            except Failure as error:
                findings += error.findings
                continue
            stack.push_async_callback(client.aclose, check=None)
            outcome.connections += 1
        for client in clients:
            findings += await client.aclose(wait=True, check=None)
            outcome.messages += sum(map(_messages_of, client.transcripts))
    return findings


def _messages_of(transcript: Transcript) -> int:
    return sum(1 for message in transcript.received if not isinstance(message, CONTROL))


def _client(
    script: TapeScript,
    taped: Index,
    connection: Taped,
    url: str,
    headers: dict[str, str],
    tls: Any,
    options: dict[str, Any],
) -> TcpClient | WebSocketClient:
    parts = urlsplit(url)
    if taped.header.wire == "tcp":
        secure = tls if tls is not None else parts.scheme == "tls"
        return TcpClient(script, parts.hostname or "", parts.port or 0, tls=secure, **options)
    where = url if parts.path not in ("", "/") or parts.query else url.rstrip("/") + connection.target
    return WebSocketClient(
        script,
        where,
        headers={**_own_headers(connection), **headers},
        origin=connection.header("origin"),
        subprotocols=connection.subprotocols or None,
        compression=connection.compressed,
        tls=tls,
        **options,
    )


_MADE_ANEW = ("host", "connection", "upgrade", "origin", "content-length", "accept-encoding", "user-agent")


def _own_headers(connection: Taped) -> dict[str, str]:
    """The headers that the client chose itself: not those that a handshake has anyhow, nor what was redacted."""
    return {
        name: value
        for name, value in connection.headers
        if name.lower() not in _MADE_ANEW
        and not name.lower().startswith("sec-websocket-")
        and not PLACEHOLDER.search(value)
    }


class _Noter:
    """Writes down what differs, and lets it pass."""

    def __init__(self, connection: Taped, findings: list[Finding], drift: Drift, url: str) -> None:
        self._connection = connection
        self._findings = findings
        self._shape = drift == "shape"
        self._url = url

    def __call__(self, number: int, changes: Sequence[Change]) -> None:
        left = [change for change in changes if not (self._shape and _same_shape(change))]
        if left:
            place = Place(self._connection.number, far_end=self._url)
            self._findings.append(Drifted(place, number, tuple(left)))


def _same_shape(change: Change) -> bool:
    if change.what != "changed":
        return False
    numbers = (int, float)
    was, now = type(change.expected), type(change.got)
    return was is now or (was in numbers and now in numbers)
