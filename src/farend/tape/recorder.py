"""Puts what happens on connections onto a tape: redacted first, then written, before anybody acts on it.

A tape that cannot be written any more never disturbs who is recorded: `error` keeps what went wrong, and nothing more
is written.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Final

from farend.tape.format import SIDES, Headers, Kind, Line, Side, Wire, base64_of, line_text, payload_text, text_of
from farend.tape.redaction import RedactedStream, Redaction
from farend.tape.unfinished import Unfinished
from farend.tape.writer import STEP, TapeWriter

_MEANINGLESS: Final = {"sec-websocket-key", "sec-websocket-accept", "date"}
"""Header fields that are new in each handshake, and say nothing."""
_OTHER: Final[dict[Side, Side]] = {"client": "server", "server": "client"}
_LARGE: Final = 4096
_NEWLINE: Final = ord("\n")
_OPENS: Final = b"{["


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
            at = line.at if line.at is None else self.writer.at(line.at)
            text = line_text(line if at == line.at else _at(line, at), self.wire) + "\n"
            self.writer.write_bytes(text.encode("utf-8", "backslashreplace"))

    def fail(self, error: Exception) -> None:
        """Write no more: what cannot be redacted, or written, does not disturb who is recorded."""
        if self.error is None:
            self.error = error

    def close(self) -> None:
        """The tape is complete."""
        for connection in list(self.under_way):
            connection.over()
        self.writer.close()


class ConnectionRecorder:
    """One connection on a tape."""

    def __init__(self, recorder: Recorder, number: int, now: float) -> None:
        self._recorder = recorder
        self._redactor = recorder.redactor
        self._redacts = recorder.redacts
        self.number = number
        self._began = now
        self._streams: dict[Side, RedactedStream] = {side: self._redactor.stream() for side in SIDES}
        self._is_tcp = recorder.wire == "tcp"
        self._heads = {side: f'{{"connection":{number},"kind":"message","from":"{side}",' for side in SIDES}
        self._at = ""
        """The time as lines have it, and from when until when it is the time."""
        self._since, self._until = now, now
        self._unfinished: dict[Side, tuple[Unfinished, RedactedStream]] = {}
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
                self._write_payload(now, sender, self._redactor.said(payload) if self._redacts else payload)
            except Exception as error:
                self._recorder.fail(error)
        if self._unfinished:
            self._settle(sender)

    def part(self, now: float, sender: Side, data: bytes) -> None:
        """More of a WebSocket message, or of a handshake, that is not whole: kept beside the tape until it is."""
        if self._recorder.error is not None or not data or not self._redactor.finds_in_parts:
            return
        if sender not in self._unfinished:
            beside = Unfinished(self._recorder.writer.path, self.number, sender)
            self._unfinished[sender] = beside, self._redactor.stream()
            self._recorder.under_way.add(self)
        try:
            beside, stream = self._unfinished[sender]
            if self._redacts:
                data = stream.feed(data)
            if data:
                line = self._line(now, Kind.RAW, sender, payload=data)
                beside.write((line_text(line, self._recorder.wire) + "\n").encode("utf-8", "backslashreplace"))
        except Exception as error:
            self._recorder.fail(error)

    def _settle(self, sender: Side) -> None:
        """What stands beside the tape in parts is on it as a whole."""
        if sender in self._unfinished:
            beside, _ = self._unfinished[sender]
            self._unfinished[sender] = beside, self._redactor.stream()
            beside.clear()

    def over(self) -> None:
        """There is no connection any more."""
        for beside, _ in self._unfinished.values():
            beside.close()
        self._unfinished.clear()
        self._recorder.under_way.discard(self)

    def data(self, now: float, sender: Side, data: bytes) -> None:
        """Bytes that came together on TCP."""
        if self._recorder.error is not None:
            return
        try:
            if self._redacts:
                other = _OTHER[sender]
                if self._streams[other].held:
                    self._write_data(now, other, self._streams[other].flush())
                data = self._streams[sender].feed(data)
            self._write_data(now, sender, data)
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
            for side, stream in self._streams.items():
                self._write_data(now, side, stream.flush())
        except Exception as error:
            self._recorder.fail(error)

    def _write_data(self, now: float, sender: Side, data: bytes) -> None:
        if not data:
            return
        if data[-1] == _NEWLINE and data[0] in _OPENS:
            self._write_payload(now, sender, *_json_lines(data))
        else:
            self._write_payload(now, sender, data)

    def _write_payload(self, now: float, sender: Side, *parts: str | bytes) -> None:
        """A line for each part."""
        if not self._since <= now < self._until:
            self._look_at_clock(now)
        begun, write = self._heads[sender] + self._at, self._recorder.writer.write_bytes
        first = parts[0]
        if len(first) > _LARGE and len(parts) == 1 and isinstance(first, bytes) and text_of(first) is None:
            # As it is, for each copy of much takes long.
            write(begun.encode(), b'"base64":"', base64_of(first), b'"}\n')
            return
        lines = f"{begun}{payload_text(first, bytes_are_usual=self._is_tcp)}}}\n"
        for part in parts[1:]:
            lines += f"{begun}{payload_text(part, bytes_are_usual=self._is_tcp)}}}\n"
        write(lines.encode("utf-8", "backslashreplace"))

    def _look_at_clock(self, now: float) -> None:
        """It is another time than it was, by the step to which times are rounded."""
        step = self._recorder.writer.step
        if step is None:
            self._since, self._until = -math.inf, math.inf
        else:
            tick = round((now - self._began) / step)
            self._at = f'"at":{round(tick * step, 6)!r},'
            self._since, self._until = self._began + (tick - 0.5) * step, self._began + (tick + 0.5) * step

    def _line(self, now: float, kind: Kind, sender: Side, **fields: object) -> Line:
        return Line(self.number, kind, sender, now - self._began, **fields)  # type: ignore[arg-type]

    def _write(self, line: Line) -> None:
        try:
            self._recorder.write(self._redactor.line(line) if self._redacts else line)
        except Exception as error:
            self._recorder.fail(error)


def _at(line: Line, at: float | None) -> Line:
    from dataclasses import replace

    return replace(line, at=at)


def _kept(headers: Headers) -> Headers:
    return tuple(pair for pair in headers if pair[0].lower() not in _MEANINGLESS)


def _json_lines(data: bytes) -> Iterable[bytes]:
    """Each line by itself: lines that come together today may come one by one tomorrow."""
    return data.splitlines(keepends=True) if b"\r" not in data else [line + b"\n" for line in data[:-1].split(b"\n")]
