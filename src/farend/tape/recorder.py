"""Puts what happens on connections onto a tape: redacted first, then written, before anybody acts on it.

A tape that cannot be written any more never disturbs who is recorded: `error` keeps what went wrong, and nothing more
is written.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from farend.errors import TapeUnavailable
from farend.tape.bulk import MUCH, bulk_field
from farend.tape.format import SIDES, Headers, Kind, Line, Side, Wire
from farend.tape.redaction import RedactedStream, Redaction
from farend.tape.spelling import OPENS, SHORT, separated, spelled, spelled_line
from farend.tape.unfinished import Unfinished
from farend.tape.writer import STEP, TapeWriter

_MEANINGLESS: Final = {"sec-websocket-key", "sec-websocket-accept", "date"}
"""Header fields that are new in each handshake, and say nothing."""
_OTHER: Final[dict[Side, Side]] = {"client": "server", "server": "client"}


class Recorder:
    """A tape, and the connections that are recorded on it. The times that it is given are in seconds, on any clock."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        wire: Wire,
        *,
        now: float,
        target: str | None = None,
        redact: object = True,
        times: float | None = STEP,
    ) -> None:
        rules = Redaction.chosen(redact)
        self.redactor = (Redaction(usual=False) if rules is None else rules).start()
        self.redacts = rules is not None
        self.wire = wire
        self.began = now
        self.connections = 0
        self.under_way: set[ConnectionRecorder] = set()
        """The connections with messages of which parts stand beside the tape."""
        self.error: Exception | None = None
        """What has ended the recording: the disk is full, or the user's own rule for secrets has failed."""
        self.writer = TapeWriter(path, wire, target=None if target is None else self.redactor.said(target), times=times)

    def connection(self, now: float, number: int | None = None) -> ConnectionRecorder:
        """The next connection; `now` is when it began."""
        self.connections += 1
        return ConnectionRecorder(self, self.connections if number is None else number, now)

    def write(self, line: Line) -> None:
        """Write a line that has no secrets any more."""
        if self.error is None:
            self.writer.write(line)

    def fail(self, error: Exception) -> None:
        """Write no more: what cannot be redacted, or written, does not disturb who is recorded."""
        if self.error is None:
            self.error = error

    def close(self) -> None:
        """The tape is complete."""
        deque(self.closing(), maxlen=0)

    def closing(self) -> Iterator[float]:
        """The tape is complete, once all steps of this are done; each tells how far that is, from 0 to 1."""
        for connection in list(self.under_way):
            connection.over()
        before = self.writer.error
        yield from self.writer.closing()
        if self.error in (None, before):  # else it was something else that ended the recording
            self.error = self.writer.error


class _UnderWay:
    """What has come of a message that is not whole."""

    def __init__(self, file: Unfinished, stream: RedactedStream) -> None:
        self.file = file
        self.stream = stream
        self.size = 0
        """Bytes that have come."""
        self.begin: int | None = None
        """Where in the bulk all of them stand, one behind the other and as they came; None where they do not."""
        self.pieces: list[tuple[int, int]] = []
        """Where in the bulk any of them stand, with the size."""

    def came(self, size: int, at: int | None) -> None:
        """So many more have come, and stand in the bulk there; None where they do not."""
        if not self.size:
            self.begin = at
        elif self.begin is None or at != self.begin + self.size:
            self.begin = None
        self.size += size
        if at is not None:
            self.pieces.append((at, size))


class ConnectionRecorder:
    """One connection on a tape."""

    def __init__(self, recorder: Recorder, number: int, now: float) -> None:
        self._recorder = recorder
        self._writer = recorder.writer
        self._redactor = recorder.redactor
        self._redacts = recorder.redacts
        self.number = number
        self._began = now
        one, other = self._redactor.stream(), self._redactor.stream()
        self._streams: dict[Side, tuple[RedactedStream, RedactedStream]] = {
            "client": (one, other),
            "server": (other, one),
        }
        """Of each side, and of the other one."""
        self._is_tcp = recorder.wire == "tcp"
        self._heads, self._part_heads = (
            {side: f'{{"connection":{number},"kind":"{kind}","from":"{side}",' for side in SIDES}
            for kind in (Kind.MESSAGE, Kind.RAW)
        )
        self._at = ""
        """The time as lines have it, and from when until when it is the time."""
        self._since, self._until = now, now
        self._begun: dict[Side, str] = {}
        """How messages begin then."""
        self._together = _Together(self)
        self._settled: list[_UnderWay] | None = None
        """Of messages that are whole, and will be written together with others; None where each is at once."""
        self._unfinished: dict[Side, _UnderWay] = {}
        """What has come of messages that are not whole."""

    def connect(self, now: float, target: str | None = None, headers: Headers = ()) -> None:
        """The client is there; its `at` is the time since the tape began."""
        self._write(
            Line(self.number, Kind.CONNECT, "client", now - self._recorder.began, target=target, headers=_kept(headers))
        )
        self._settle("client")

    def answer(self, now: float, status: int, headers: Headers, body: bytes = b"") -> None:
        """The server has answered the handshake."""
        payload = body.decode("utf-8", "replace") if body else None
        self._write(self._line(now, Kind.ANSWER, "server", payload=payload, status=status, headers=_kept(headers)))
        self._settle("server")

    def message(self, now: float, sender: Side, payload: str | bytes, fragments: tuple[int, ...] = ()) -> None:
        """A WebSocket message, whole."""
        if fragments:
            self._write(self._line(now, Kind.MESSAGE, sender, payload=payload, fragments=fragments))
        elif self._recorder.error is None:
            try:
                said = self._redactor.said(payload) if self._redacts else payload
                if not self._unfinished or said is not payload or not self._completed(now, sender, payload):
                    self._write_payload(now, sender, said)
            except Exception as error:
                self._recorder.fail(error)
        if self._unfinished:
            self._settle(sender)

    def part(self, now: float, sender: Side, data: bytes) -> None:
        """More of a WebSocket message, or of a handshake, that is not whole: kept beside the tape until it is."""
        if self._recorder.error is not None or not data or not self._redactor.finds_in_parts:
            return
        writer = self._writer
        if sender not in self._unfinished:
            if not writer.has_room_beside:
                return
            file = Unfinished(writer.path, self.number, sender)
            self._unfinished[sender] = _UnderWay(file, self._redactor.stream())
            self._recorder.under_way.add(self)
        message = self._unfinished[sender]
        try:
            written = message.stream.feed(data) if self._redacts else data
            goes_on = message.begin is not None if message.size else len(data) >= MUCH
            at = writer.write_in_bulk(data) if goes_on and written is data else None
            message.came(len(data), at)
            begun = self._part_heads[sender] + self._time(now)
            if at is not None:
                message.file.write(begun.encode() + bulk_field(at, len(data)))
            elif written:
                message.file.write(*spelled(begun, (written,), bytes_are_usual=True, readable=len(written) < MUCH))
        except Exception as error:
            self._recorder.fail(error)

    def _completed(self, now: float, sender: Side, payload: str | bytes) -> bool:
        """Whether all that has come of a message stands in the bulk, and now the rest does as well."""
        message = self._unfinished.get(sender)
        if message is None or message.begin is None:
            return False
        data = _bytes(payload)
        rest = data[message.size :]
        message.came(len(rest), self._writer.write_in_bulk(rest))
        if message.begin is None:
            return False  # others wrote meanwhile
        begun = self._heads[sender] + self._time(now)
        self._writer.write_line_of_bulk(begun.encode(), message.begin, len(data), binary=self._is_binary(payload))
        message.pieces.clear()
        return True

    def _settle(self, sender: Side) -> None:
        """What stands beside the tape in parts is on it as a whole."""
        message = self._unfinished.get(sender)
        if message is None or not message.size or self._recorder.error is not None:
            return
        self._unfinished[sender] = _UnderWay(message.file, self._redactor.stream())
        if self._settled is None:
            self._clean(message)
        else:
            self._settled.append(message)

    def _clean(self, message: _UnderWay) -> None:
        """What has come of it before is to stand nowhere else: a secret may have come to light in it."""
        message.file.clear()
        try:
            for begin, size in message.pieces:
                self._writer.erase_in_bulk(begin, size)
        except OSError as error:
            self._recorder.fail(error)

    def together(self) -> _Together:
        """What is said within has come together, and is written at once."""
        return self._together

    def keep(self) -> None:
        """Keep what is said from now on, until `write_kept`."""
        self._settled = []
        self._writer.keep()

    def write_kept(self) -> None:
        """Write what was kept."""
        settled, self._settled = self._settled, None
        try:
            self._writer.write_kept()
        except TapeUnavailable as error:
            self._recorder.fail(error)
        if settled and self._recorder.error is None:
            for message in settled:
                self._clean(message)

    def over(self) -> None:
        """There is no connection any more."""
        for message in self._unfinished.values():
            message.file.close()
        self._unfinished.clear()
        self._recorder.under_way.discard(self)

    def data(self, now: float, sender: Side, data: bytes) -> None:
        """Bytes that came together on TCP."""
        if self._recorder.error is not None:
            return
        try:
            if self._redacts:
                stream, other = self._streams[sender]
                if other.held:
                    self._write_payload(now, _OTHER[sender], other.flush())
                data = stream.feed(data)
            if data:
                self._write_payload(now, sender, data)
        except Exception as error:
            self._recorder.fail(error)

    def happened(
        self,
        now: float,
        kind: Kind,
        sender: Side,
        payload: bytes | None = None,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        """Anything else: a ping, a pong, a close, an end, an abort."""
        self.flush(now)
        self._write(self._line(now, kind, sender, payload=payload, code=code, reason=reason))
        if kind is Kind.RAW and self._unfinished:
            self._settle(sender)

    def flush(self, now: float) -> None:
        """Write what was held back."""
        try:
            for side, (stream, _) in self._streams.items():
                if stream.held:
                    self._write_payload(now, side, stream.flush())
        except Exception as error:
            self._recorder.fail(error)

    def _write_payload(self, now: float, sender: Side, payload: str | bytes) -> None:
        """A line for what was said; on TCP there may be many in it."""
        if not self._since <= now < self._until:
            self._look_at_clock(now)
        begun, is_tcp = self._begun[sender], self._is_tcp
        if len(payload) >= MUCH and self._write_much(begun, payload):
            return
        if is_tcp and isinstance(payload, bytes) and payload[0] in OPENS:
            payloads: Sequence[str | bytes] = separated(payload)
        elif len(payload) <= SHORT:  # as nearly always
            self._writer.write_bytes(spelled_line(begun, payload, bytes_are_usual=is_tcp))
            return
        else:
            payloads = (payload,)
        self._writer.write_bytes(*spelled(begun, payloads, bytes_are_usual=is_tcp), lines=len(payloads))

    def _write_much(self, begun: str, payload: str | bytes) -> bool:
        """A line for a payload that is spelled only in the end; False where it has to be at once."""
        return self._writer.write_beside(begun.encode(), _bytes(payload), binary=self._is_binary(payload))

    def _is_binary(self, payload: str | bytes) -> bool:
        """Whether the tape has to say that a payload is no text."""
        return isinstance(payload, bytes) and not self._is_tcp

    def _time(self, now: float) -> str:
        """The time as lines have it."""
        if not self._since <= now < self._until:
            self._look_at_clock(now)
        return self._at

    def _look_at_clock(self, now: float) -> None:
        """It is another time than it was, by the step to which times are rounded.

        The range comes last: who finds that it is the time, on another thread, finds all that belongs to it.
        """
        step = self._writer.step
        since, until = -math.inf, math.inf
        if step is not None:
            tick = round((now - self._began) / step)
            self._at = f'"at":{round(tick * step, 6)!r},'
            since, until = self._began + (tick - 0.5) * step, self._began + (tick + 0.5) * step
        self._begun = {side: head + self._at for side, head in self._heads.items()}
        self._since, self._until = since, until

    def _line(self, now: float, kind: Kind, sender: Side, **fields: object) -> Line:
        return Line(self.number, kind, sender, now - self._began, **fields)  # type: ignore[arg-type]

    def _write(self, line: Line) -> None:
        try:
            self._recorder.write(self._redactor.line(line) if self._redacts else line)
        except Exception as error:
            self._recorder.fail(error)


class _Together:
    """A `with` block of a connection, in which what is said is kept and then written at once; made once, used often."""

    def __init__(self, connection: ConnectionRecorder) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.keep()

    def __exit__(self, *raised: object) -> None:
        self._connection.write_kept()


def _kept(headers: Headers) -> Headers:
    return tuple(pair for pair in headers if pair[0].lower() not in _MEANINGLESS)


def _bytes(payload: str | bytes) -> bytes:
    return payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
