"""Puts on a tape what a far end's transcripts tell."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from farend.core.commands import Close
from farend.core.events import Ended, How
from farend.core.framing import Framing
from farend.core.messages import Fragments, Handshake, OnWire, Ping, Pong, Raw, Unread, printed
from farend.core.transcript import Entry, Transcript
from farend.core.transcript import Kind as Told
from farend.errors import InvalidArguments, WrongType
from farend.tape.format import SIDES, WIRES, Kind, Side, Wire
from farend.tape.recorder import ConnectionRecorder, Recorder
from farend.tape.writer import STEP


class Conversed(Protocol):
    """What has transcripts: a far end."""

    @property
    def side(self) -> Side: ...
    @property
    def wire(self) -> Wire: ...
    @property
    def transcripts(self) -> tuple[Transcript, ...]: ...
    @property
    def framings(self) -> tuple[Framing | None, ...]: ...


Source: TypeAlias = Conversed | Transcript | Iterable[Transcript]


def write_tape(
    source: Source,
    path: str | os.PathLike[str],
    *,
    wire: Wire | None = None,
    side: Side | None = None,
    redact: object = True,
    times: float | None = STEP,
) -> None:
    """Put on a tape what was said: by a far end, or in transcripts of your own.

    >>> import pathlib, tempfile
    >>> from farend import Transcript, write_tape
    >>> from farend.core.transcript import Kind
    >>> transcript = Transcript()
    >>> transcript.add(0.0, Kind.RECEIVED, "hello")
    >>> path = pathlib.Path(tempfile.mkdtemp(), "hello.jsonl")
    >>> write_tape(transcript, path, wire="websocket")
    >>> print(path.read_text().splitlines()[-1])
    {"connection":1,"kind":"message","from":"client","at":0.0,"text":"hello"}

    `source` is a `TcpServer`, a `WebSocketServer`, a client, or one or more transcripts; a far end may be
    running still. `wire` is `"tcp"` or `"websocket"`, and `side` is what the far end was, `"server"` (which
    bare transcripts are, unless you say) or `"client"`. `redact` and `times` are as in `record`.

    What was said and expected on TCP in a framing, a script's or a step's, is packed in it again.
    What went wrong is a note on the tape. Raises `TapeUnavailable` where the tape cannot be written, and
    `InvalidArguments` where it cannot be told which wire it was.
    """
    told = _told(source)
    wire, side = wire or told.wire or _likely_wire(told.transcripts), side or told.side or "server"
    if wire not in WIRES or side not in SIDES:
        raise InvalidArguments(
            f"wire= takes 'tcp' or 'websocket', and side= 'server' or 'client', not {wire!r} and {side!r}"
        )
    began = min((transcript.began for transcript in told.transcripts if transcript), default=0.0)
    recorder = Recorder(path, wire, now=began, redact=redact, times=times)
    try:
        writers = [
            _Writer(recorder.connection(transcript.began, transcript.number), wire, side, framing)
            for transcript, framing in zip(told.transcripts, told.framings, strict=True)
        ]
        for _, number, entry in heapq.merge(*(_timed(number, one) for number, one in enumerate(told.transcripts))):
            writers[number].write(entry)
        for transcript, writer in zip(told.transcripts, writers, strict=True):
            writer.connection.flush(transcript[-1].time if transcript else began)
    finally:
        recorder.close()
    if recorder.error is not None:
        raise recorder.error


class _Told(NamedTuple):
    wire: Wire | None
    side: Side | None
    transcripts: Sequence[Transcript]
    framings: Sequence[Framing | None]


def _told(source: Source) -> _Told:
    if isinstance(source, Transcript):
        return _Told(None, None, [source], [None])
    if isinstance(source, Iterable) and not isinstance(source, str | bytes):
        transcripts: list[Any] = list(source)
        if all(isinstance(one, Transcript) for one in transcripts):
            return _Told(None, None, transcripts, [None] * len(transcripts))
    elif hasattr(source, "transcripts") and hasattr(source, "framings"):
        return _Told(source.wire, source.side, source.transcripts, source.framings)
    raise WrongType(f"write_tape() takes a far end, or transcripts, not {printed(source)}")


def _likely_wire(transcripts: Iterable[Transcript]) -> Wire:
    """The wire of bare transcripts, where what was said leaves no doubt."""
    said = [payload for one in transcripts for payload in (*one.received, *one.sent)]
    if any(one.opening is not None for one in transcripts):
        return "websocket"
    if any(isinstance(one, Ping | Pong | Fragments) for one in said):
        return "websocket"
    if said and all(isinstance(one, bytes) for one in said):
        return "tcp"
    raise InvalidArguments("the transcripts do not tell which wire it was: write wire='tcp' or wire='websocket'")


def _timed(number: int, transcript: Transcript) -> Iterator[tuple[float, int, Entry]]:
    return ((entry.time, number, entry) for entry in transcript)


class _Writer:
    """One connection, entry by entry."""

    def __init__(self, connection: ConnectionRecorder, wire: Wire, side: Side, framing: Framing | None) -> None:
        self.connection = connection
        self._is_tcp = wire == "tcp"
        self._framing = framing
        self._far: Side = side
        self._near: Side = "client" if side == "server" else "server"

    def write(self, entry: Entry) -> None:
        now, payload = entry.time, entry.payload
        match entry.kind:
            case Told.CONNECTED:
                self._connected(now, payload)
            case Told.RECEIVED:
                self._said(now, self._near, payload, entry.framing)
            case Told.SENT:
                self._said(now, self._far, payload, entry.framing)
            case Told.CLOSED if not isinstance(payload, Close):  # without a word, or with HTTP
                self.connection.happened(now, Kind.END, self._far)
            case Told.STALLED:
                self.connection.happened(now, Kind.NOTE, self._far, reason="it reads and says nothing any more")
            case Told.CLOSED:
                assert isinstance(payload, Close)
                self._closed(now, self._far, payload.code or 1000, payload.reason)
            case Told.ABORTED:
                self.connection.happened(now, Kind.ABORT, self._far)
            case Told.ENDED:
                self._ended(now, payload)
            case Told.FOUND:
                self.connection.happened(now, Kind.NOTE, self._far, reason=str(payload))

    def _connected(self, now: float, handshake: object) -> None:
        if isinstance(handshake, Handshake):
            self.connection.connect(now, handshake.target, tuple(handshake.headers.items()))
        else:
            self.connection.connect(now)
        if not self._is_tcp:
            self.connection.answer(now, 101, ())

    def _said(self, now: float, side: Side, payload: Any, own: Framing | None) -> None:
        match payload:
            case Ping(data):
                self.connection.happened(now, Kind.PING, side, data)
            case Pong(data):
                self.connection.happened(now, Kind.PONG, side, data)
            case Fragments(parts):
                sizes = tuple(len(part.encode() if isinstance(part, str) else part) for part in parts)
                self.connection.message(now, side, payload.joined(), sizes)
            case OnWire():
                self._past(now, side, payload)
            case Unread():
                pass  # in a frame as it came, a mask or a compression could hide a secret
            case _ if self._is_tcp:
                data = payload.encode() if isinstance(payload, str) else bytes(payload)
                framing = own or self._framing
                self.connection.data(now, side, data if framing is None else framing.pack(data))
            case _:
                self.connection.message(now, side, payload)

    def _past(self, now: float, side: Side, payload: OnWire) -> None:
        """What went past the protocol: its bytes, and what they were meant for."""
        data = payload.wire_bytes(side == "client")
        if self._is_tcp:
            self.connection.data(now, side, data)
            return
        if data:
            self.connection.happened(now, Kind.RAW, side, data)
        if not isinstance(payload, Raw):
            self.connection.happened(now, Kind.NOTE, side, reason=str(payload))

    def _closed(self, now: float, side: Side, code: int | None, reason: str) -> None:
        if self._is_tcp:
            self.connection.happened(now, Kind.END, side)
        else:
            self.connection.happened(now, Kind.CLOSE, side, code=code, reason=reason)

    def _ended(self, now: float, ended: object) -> None:
        assert isinstance(ended, Ended)
        if ended.how is How.CLOSE:
            self._closed(now, self._near, ended.code, ended.reason)
        else:
            self.connection.happened(now, Kind.ABORT if ended.how is How.RESET else Kind.END, self._near)
