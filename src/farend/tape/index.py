"""What is on a tape, connection by connection: read once, from its beginning to its end, and small at any length."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from farend.tape.format import MAX_LINE, Header, Headers, Kind, Line
from farend.tape.reader import Position, TapeReader

CHUNK: Final = 256
"""Lines that are read at once while a tape is played."""
CHUNK_SIZE: Final = 1 << 20
"""Characters and bytes of payload after which no more lines are read at once."""


@dataclass(slots=True)
class Taped:
    """One connection of a tape.

    `first` is where it begins, `last` the number of its last line. `target` and `headers` are of the client's
    handshake, `answer` and `status` of the server's. `began` and `ended` are in seconds since the tape began, and
    None where it has no times. `said` counts the messages of each side. `refused` tells that the client was not let
    in.
    """

    number: int
    first: Position
    last: int = 0
    target: str = "/"
    headers: Headers = ()
    answer: Headers = ()
    status: int | None = None
    began: float | None = None
    ended: float | None = None
    from_client: int = 0
    from_server: int = 0
    refused: bool = False
    overlaps: bool = False
    """Whether another connection, before it on the tape, was still open when it began."""

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The last value of each name in the query."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """A header field of the client's handshake; None where there is none."""
        return _field(self.headers, name)

    @property
    def subprotocols(self) -> list[str]:
        """What the client offered, the preferred first."""
        return [one.strip() for one in (self.header("sec-websocket-protocol") or "").split(",") if one.strip()]

    @property
    def subprotocol(self) -> str | None:
        """What the server chose of it."""
        return _field(self.answer, "sec-websocket-protocol")

    @property
    def compressed(self) -> bool:
        """Whether permessage-deflate was agreed on (RFC 7692)."""
        return "permessage-deflate" in (_field(self.answer, "sec-websocket-extensions") or "")


def _field(headers: Headers, name: str) -> str | None:
    values = [value for key, value in headers if key.lower() == name]
    return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Index:
    """A tape's header and its connections, in the order in which they began.

    `torn` is the number of a last line that was cut off, and was left away; None where the tape is whole. `longest`
    is how long the longest message is, in bytes, or a little more.
    """

    path: Path
    header: Header
    connections: tuple[Taped, ...]
    torn: int | None = None
    longest: int = 0
    max_line: int = MAX_LINE

    @property
    def playable(self) -> tuple[Taped, ...]:
        """The connections on which something can be played: the client was let in."""
        return tuple(one for one in self.connections if not one.refused)

    def lines(self, connection: Taped) -> Iterator[Line]:
        """The lines of one connection. No file is open while this waits to be asked for more."""
        position: Position | None = connection.first
        while position is not None:
            chunk: list[Line] = []
            size = 0
            with TapeReader(self.path, max_line=self.max_line, unfinished=False) as reader:
                reader.go_to(position)
                position = None
                for line in reader:
                    if line.connection == connection.number:
                        chunk.append(line)
                        size += len(line.payload or "")
                    if reader.number >= connection.last:
                        break
                    if len(chunk) >= CHUNK or size > CHUNK_SIZE:
                        position = reader.position
                        break
            yield from chunk


def index(path: str | os.PathLike[str], *, max_line: int = MAX_LINE) -> Index:
    """Read a tape through, and say what is on it. Raises what `TapeReader` does."""
    known: dict[int, Taped] = {}
    open_now: set[int] = set()
    longest = 0
    with TapeReader(path, max_line=max_line, unfinished=False) as reader:
        position = reader.position
        for line in reader:
            taped = known.get(line.connection)
            if taped is None:
                taped = known[line.connection] = Taped(line.connection, position, overlaps=bool(open_now))
                open_now.add(line.connection)
            taped.last = reader.number
            if line.payload is not None:
                longest = max(longest, _most_bytes(line.payload))
            _INDEXED.get(line.kind, _other)(taped, line)
            if line.kind in _ENDS:
                open_now.discard(line.connection)
            position = reader.position
        return Index(Path(path), reader.header, tuple(known.values()), reader.torn, longest, max_line)


def _most_bytes(payload: str | bytes) -> int:
    return len(payload) * (1 if isinstance(payload, bytes) or payload.isascii() else 4)


_ENDS: Final = (Kind.CLOSE, Kind.END, Kind.ABORT, Kind.REFUSE)


def _connect(taped: Taped, line: Line) -> None:
    taped.target = line.target or "/"
    taped.headers = line.headers
    taped.began = line.at


def _answer(taped: Taped, line: Line) -> None:
    taped.answer = line.headers
    taped.status = line.status
    taped.refused = line.status != 101
    _other(taped, line)


def _message(taped: Taped, line: Line) -> None:
    if line.sender == "client":
        taped.from_client += 1
    else:
        taped.from_server += 1
    _other(taped, line)


def _refuse(taped: Taped, line: Line) -> None:
    taped.refused = True
    _other(taped, line)


def _other(taped: Taped, line: Line) -> None:
    if line.at is not None:
        taped.ended = (taped.began or 0.0) + line.at


_INDEXED: Final = {
    Kind.CONNECT: _connect,
    Kind.ANSWER: _answer,
    Kind.MESSAGE: _message,
    Kind.REFUSE: _refuse,
}
