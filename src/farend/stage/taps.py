"""What listens at a pipe, and puts what passes on a tape: bytes on TCP, messages on a WebSocket."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from farend.errors import AddressError, Failure, FarendError, NoWebSocket
from farend.stage import heads
from farend.stage.transports import READ_SIZE
from farend.tape.format import SIDES, Headers, Kind, Side

if TYPE_CHECKING:
    from farend.tape.frames import Passed

_MESSAGES = READ_SIZE + 1024
"""Bytes of messages that are read at once, at most: many have a power of two of bytes, and a head."""
_TLS_ALERT = b"\x15\x03"
_TLS_HELLO = b"\x16\x03"
Report = Callable[[FarendError], None]


class Record(Protocol):
    """Where it is written down what happens: `ConnectionRecorder`, or `Unrecorded`."""

    def connect(self, now: float, target: str | None = None, headers: Headers = ()) -> None: ...
    def answer(self, now: float, status: int, headers: Headers, body: bytes = b"") -> None: ...
    def message(self, now: float, sender: Side, payload: str | bytes, fragments: tuple[int, ...] = ()) -> None: ...
    def part(self, now: float, sender: Side, data: bytes) -> None: ...
    def data(self, now: float, sender: Side, data: bytes) -> None: ...
    def flush(self, now: float) -> None: ...
    def together(self) -> contextlib.AbstractContextManager[None]: ...
    def over(self) -> None: ...
    def happened(
        self,
        now: float,
        kind: Kind,
        sender: Side,
        payload: bytes | None = None,
        code: int | None = None,
        reason: str = "",
    ) -> None: ...


class Unrecorded:
    """There is no tape: nothing is written down."""

    def nothing(self, *args: object, **options: object) -> None:
        pass

    connect = answer = message = part = data = flush = over = happened = nothing

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class TcpTap:
    """Writes down bytes, as they come together."""

    def __init__(self, record: Record, url: str, report: Report) -> None:
        self._record = record
        self._url = url
        self._tell = report
        self.excused = False
        self._heard: set[Side] = set()
        record.connect(time.monotonic())

    def said(self, side: Side, data: bytes) -> bytes:
        self._record.data(time.monotonic(), side, data)
        if side not in self._heard:
            self._heard.add(side)
            if side == "server" and self._url.startswith("tcp:") and data.startswith(_TLS_ALERT):
                self._report(_needs_tls(self._url))
        return data

    def wants(self, side: Side) -> int:
        return READ_SIZE

    def _report(self, problem: FarendError) -> None:
        if not self.excused:
            self._tell(problem)

    def noted(self, text: str) -> None:
        self._record.happened(time.monotonic(), Kind.NOTE, "server", reason=text)

    def ended(self, side: Side) -> None:
        self._record.happened(time.monotonic(), Kind.END, side)

    def aborted(self, side: Side) -> None:
        self._record.happened(time.monotonic(), Kind.ABORT, side)

    def refused(self, reason: str) -> None:
        self._record.happened(time.monotonic(), Kind.REFUSE, "server", reason=reason)

    def refusal(self) -> bytes | None:
        return None

    def shut_out(self, problem: str) -> None:
        _shut_out(self._record, self._tell, problem)

    def over(self, *, cut: bool) -> None:
        if cut:
            self._record.happened(time.monotonic(), Kind.NOTE, "client", reason=STOPPED)
        else:
            self._record.flush(time.monotonic())


STOPPED = "the recording ended before the connection did"


class WebSocketTap:
    """Writes down the handshake, and then messages, control frames and closes; sends on what came, but for the host."""

    def __init__(
        self, record: Record, url: str, shown: str, own: set[str], report: Report, *, compression: bool = True
    ) -> None:
        # Here, so that who records TCP does without the library.
        from farend.tape.frames import Frames, inflaters

        self._frames_of, self._inflaters = Frames, inflaters
        self._reads = not isinstance(record, Unrecorded)
        self._compression = compression
        self.is_compressed = False
        """Whether the two have agreed on a compression, in which messages depend on those before (RFC 7692, 7.1.1)."""
        self._is_open = False
        self._record = record
        self._url = url
        self._shown = shown
        self._own = own
        self._tell = report
        self.excused = False
        self._request = bytearray()
        self._answer = bytearray()
        self._early = b""
        """What the client said behind its handshake, before that was answered."""
        self._is_asked = self._is_raw = self._client_left = False
        self._target = ""
        self._reason = ""
        self._noted: list[str] = []
        self._frames: dict[Side, Frames] = {}

    def said(self, side: Side, data: bytes) -> bytes:
        if self._is_open and not self._reads:
            return data
        frames = self._frames.get(side)
        if frames is not None:
            now = time.monotonic()
            message = frames.message(data)
            if message is not None:
                self._record.message(now, side, message)
                return data
            passed = frames.feed(data)
            if len(passed) > 1:
                with self._record.together():
                    self._tell_record(now, side, passed)
            else:
                self._tell_record(now, side, passed)
            if frames.is_within:
                self._record.part(now, side, frames.part())
            return data
        if self._is_raw:
            self._raw(side, data)
            return data
        return self._asked(data) if side == "client" else self._answered(data)

    def _tell_record(self, now: float, side: Side, passed: Sequence[Passed]) -> None:
        for kind, payload, fragments, code, reason in passed:
            if kind is Kind.MESSAGE:
                self._record.message(now, side, payload, fragments)  # type: ignore[arg-type]
            else:
                self._record.happened(now, kind, side, payload, code, reason)  # type: ignore[arg-type]

    def wants(self, side: Side) -> int:
        frames = self._frames.get(side)
        return READ_SIZE if frames is None or not self._reads else frames.wants(_MESSAGES)

    # -- the handshake ----------------------------------------------------------------------------

    def _asked(self, data: bytes) -> bytes:
        if self._is_asked:
            self._early += data
            return data
        self._request += data
        head, end, rest = bytes(self._request).partition(b"\r\n\r\n")
        if not end and len(head) <= heads.MOST and head[:1].isalpha():
            self._record.part(time.monotonic(), "client", data)
            return b""
        self._request.clear()
        request = heads.parsed(head + end, request=True) if end else None
        if request is None:
            self._become_raw("client", head + end + rest)
            return head + end + rest
        request = request.towards(self._url, self._own)
        if not self._compression:
            request = request.without("sec-websocket-extensions")
        self._is_asked = True
        self._target = request.target
        self._early = rest
        self._connect(request.target, request.headers)
        return bytes(request) + rest

    def _answered(self, data: bytes) -> bytes:
        self._answer += data
        head, end, rest = bytes(self._answer).partition(b"\r\n\r\n")
        if not end and len(head) <= heads.MOST and b"HTTP/1."[: len(head)] == head[:7]:
            self._record.part(time.monotonic(), "server", data)
            return data
        self._answer.clear()
        answer = heads.parsed(head + end, request=False) if end else None
        if answer is None:
            self._report(self._no_answer(head))
            self._become_raw("server", head + end + rest)
            return data
        now = time.monotonic()
        if answer.status == 101:
            self._record.answer(now, 101, answer.headers)
            inflaters = self._inflaters(answer.headers)
            self.is_compressed = bool(inflaters)
            self._is_open = True
            self._frames = {side: self._frames_of(inflaters.get(side)) for side in SIDES}
            early, self._early = self._early, b""
            if early:
                self.said("client", early)
            if rest:
                self.said("server", rest)
            return data
        self._record.answer(now, answer.status, answer.headers, rest)
        self._is_raw = True
        if answer.status < 400 or (answer.status == 400 and b"HTTPS" in rest):
            self._report(self._other_answer(answer, rest))
        return data

    def _no_answer(self, head: bytes) -> FarendError:
        if head.startswith(_TLS_ALERT):
            return _needs_tls(self._shown)
        return NoWebSocket(
            f"the server at {self._shown} speaks no WebSocket: it answered the handshake with {head[:60]!r}"
        )

    def _other_answer(self, answer: heads.Head, body: bytes) -> FarendError:
        if answer.status == 400:
            return _needs_tls(self._shown)
        where = answer.header("location")
        return NoWebSocket(
            f"the server at {self._shown} opened no WebSocket at {self._target}: it answered "
            f"{answer.first.partition(' ')[2]}" + (f", and points to {where}; record that address" if where else "")
        )

    def _become_raw(self, side: Side, data: bytes) -> None:
        self._is_raw = True
        if not self._is_asked:
            self._is_asked = True
            self._connect()
        if self._early:
            self._raw("client", self._early)
        self._raw(side, data)

    def _raw(self, side: Side, data: bytes) -> None:
        self._record.happened(time.monotonic(), Kind.RAW, side, data)

    def _connect(self, target: str | None = None, headers: Headers = ()) -> None:
        self._record.connect(time.monotonic(), target, headers)
        noted, self._noted = self._noted, []
        for text in noted:
            self.noted(text)

    def _report(self, problem: FarendError) -> None:
        if not self.excused:
            self._tell(problem)

    def noted(self, text: str) -> None:
        if self._is_asked:  # what a connection has begun with is known before it is written down
            self._record.happened(time.monotonic(), Kind.NOTE, "server", reason=text)
        else:
            self._noted.append(text)

    # -- the end ----------------------------------------------------------------------------------

    def ended(self, side: Side) -> None:
        self._leave(side, Kind.END)

    def aborted(self, side: Side) -> None:
        self._leave(side, Kind.ABORT)

    def _leave(self, side: Side, kind: Kind) -> None:
        is_unanswered = self._is_asked and not self._frames and not self._is_raw and not self._reason
        self._unfinished()
        if kind is Kind.ABORT or side not in self._frames or not self._frames[side].closed:
            self._record.happened(time.monotonic(), kind, side)
        if is_unanswered and side == "server" and not self._client_left:
            how = "ended" if kind is Kind.END else "cut"
            hint = "; if it speaks TLS, record wss://" if self._shown.startswith("ws:") else ""
            self._report(
                NoWebSocket(
                    f"the server at {self._shown} {how} the connection without an answer to the handshake{hint}"
                )
            )
        self._client_left = self._client_left or side == "client"

    def _unfinished(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._connect()
        if self._request:
            self._raw("client", bytes(self._request))
            self._request.clear()
        if self._answer:
            self._raw("server", bytes(self._answer))
            self._answer.clear()
        now = time.monotonic()
        for side, frames in self._frames.items():
            if passed := frames.end():
                with self._record.together():
                    self._tell_record(now, side, passed)

    def refused(self, reason: str) -> None:
        self._reason = reason

    def refusal(self) -> bytes | None:
        if not self._is_asked:
            return b""
        if self._is_raw:
            return None
        body = f"farend could not reach the server: {self._reason}\n".encode()
        return (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    def shut_out(self, problem: str) -> None:
        self._is_asked = True  # for nothing
        self._record.connect(time.monotonic())
        _shut_out(self._record, self._tell, problem)

    def over(self, *, cut: bool) -> None:
        now = time.monotonic()
        self._unfinished()
        if self._reason:
            self._record.happened(now, Kind.REFUSE, "server", reason=self._reason)
        elif cut:
            self._record.happened(now, Kind.NOTE, "client", reason=STOPPED)
        self._record.over()


def _shut_out(record: Record, report: Report, problem: str) -> None:
    record.happened(time.monotonic(), Kind.REFUSE, "server", reason=problem)
    report(Failure(f"A client was not let in: {problem}."))


def _needs_tls(url: str) -> FarendError:
    scheme, _, rest = url.partition("://")
    return AddressError(
        f"the server at {url} speaks TLS, and was called without: record {'wss' if scheme == 'ws' else 'tls'}://{rest}"
    )
