"""Puts what happens on connections onto a tape: redacted first, then written, before anybody acts on it.

A tape that cannot be written any more never disturbs who is recorded: `error` keeps what went wrong, and nothing more
is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from farend.tape.format import SIDES, Headers, Kind, Line, Side, Wire, base64_of, line_text, payload_text, text_of
from farend.tape.redaction import RedactedStream, Redaction
from farend.tape.writer import STEP, TapeWriter

_MEANINGLESS: Final = {"sec-websocket-key", "sec-websocket-accept", "date"}
"""Header fields that are new in each handshake, and say nothing."""
_LARGE: Final = 4096


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

    def write_bytes(self, *parts: bytes) -> None:
        """Write whole lines that are encoded already."""
        if self.error is None:
            self.writer.write_bytes(*parts)

    def fail(self, error: Exception) -> None:
        """Write no more: what cannot be redacted, or written, does not disturb who is recorded."""
        if self.error is None:
            self.error = error

    def close(self) -> None:
        """The tape is complete."""
        self.writer.close()


class ConnectionRecorder:
    """One connection on a tape."""

    def __init__(self, recorder: Recorder, number: int, now: float) -> None:
        self._recorder = recorder
        self._redactor = recorder.redactor
        self._redacts = recorder.redacts
        self.number = number
        self._began = now
        self._step = recorder.writer.step
        self._streams: dict[Side, RedactedStream] = {side: self._redactor.stream() for side in SIDES}
        self._is_tcp = recorder.wire == "tcp"
        self._heads = {side: f'{{"connection":{number},"kind":"message","from":"{side}",' for side in SIDES}

    def connect(self, now: float, target: str | None = None, headers: Headers = ()) -> None:
        """The client is there; its `at` is the time since the tape began."""
        self._write(
            Line(self.number, Kind.CONNECT, "client", now - self._recorder.began, target=target, headers=_kept(headers))
        )

    def answer(self, now: float, status: int, headers: Headers, body: bytes = b"") -> None:
        """The server has answered the handshake."""
        payload = body.decode("utf-8", "replace") if body else None
        self._write(self._line(now, Kind.ANSWER, "server", payload=payload, status=status, headers=_kept(headers)))

    def message(self, now: float, sender: Side, payload: str | bytes, fragments: tuple[int, ...] = ()) -> None:
        """A WebSocket message, whole."""
        if fragments:
            self._write(self._line(now, Kind.MESSAGE, sender, payload=payload, fragments=fragments))
            return
        try:
            if self._redacts:
                payload = self._redactor.said(payload)
            self._write_payload(self._begun(now, sender), payload)
        except Exception as error:
            self._recorder.fail(error)

    def data(self, now: float, sender: Side, data: bytes) -> None:
        """Bytes that came together on TCP."""
        try:
            other: Side = "server" if sender == "client" else "client"
            if self._streams[other].holds:
                self._write_data(now, other, self._streams[other].flush())
            if self._redacts:
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

    def flush(self, now: float) -> None:
        """Write what was held back."""
        try:
            for side, stream in self._streams.items():
                self._write_data(now, side, stream.flush())
        except Exception as error:
            self._recorder.fail(error)

    def _write_data(self, now: float, sender: Side, data: bytes) -> None:
        if data:
            parts = _json_lines(data) if data[-1:] == b"\n" and data[:1] in (b"{", b"[") else (data,)
            self._write_payload(self._begun(now, sender), *parts)

    def _write_payload(self, begun: str, *parts: str | bytes) -> None:
        """A line for each part."""
        only = parts[0]
        if len(only) > _LARGE and isinstance(only, bytes) and text_of(only) is None:
            # As it is, for each copy of much would take longer than all else here.
            self._recorder.write_bytes(begun.encode(), b'"base64":"', base64_of(only), b'"}\n')
            return
        spelled = "".join([f"{begun}{payload_text(part, bytes_are_usual=self._is_tcp)}}}\n" for part in parts])
        self._recorder.write_bytes(spelled.encode("utf-8", "backslashreplace"))

    def _begun(self, now: float, sender: Side) -> str:
        """The line of a message, up to its payload."""
        if self._step is None:
            return self._heads[sender]
        return f'{self._heads[sender]}"at":{round(round((now - self._began) / self._step) * self._step, 6)!r},'

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
