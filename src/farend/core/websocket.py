"""WebSocket bytes <-> events and commands, on the sans-I/O half of the `websockets` library.

The library does what RFC 6455 asks of an endpoint: the handshake, pongs, the closing handshake. This
module tells a conversation what was said, and says what the conversation wants said.
"""

from __future__ import annotations

import http
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from email.utils import formatdate
from typing import Any

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, PayloadTooBig
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from farend.core import frames
from farend.core.commands import Accept, Close, Reject, Send
from farend.core.events import Connected, Ended, Event, How, Received, Violated
from farend.core.frames import (
    Ordinary,
    Payload,
    UnderWay,
    is_close,
    ordinary_bytes,
    ordinary_close,
    ordinary_frame,
    whole_message,
)
from farend.core.framing import Framing
from farend.core.messages import Handshake, Message, OnWire, Ping, Pong, Unread
from farend.core.opening import ordinary_opening

TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
PING, PONG, CLOSE = Opcode.PING, Opcode.PONG, Opcode.CLOSE
INVALID_DATA = 1007
END_OF_HEAD = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
HTTP_REQUEST = re.compile(rb"[!-~]+ [!-~]+ HTTP/[0-9.]+\r\n")
BEHIND = 1 << 20
"""Bytes behind a violation that are told, at most."""
LOGGER = logging.getLogger("farend.websocket")


class WebSocketWire:
    """What a server's and a client's side have in common: everything after the handshake."""

    stream = False
    masks = False
    """Whether its frames are masked (RFC 6455, 5.1): a client's are."""
    closes_itself = True
    """The transport is to be closed when `b""` comes out of `outgoing`."""

    def __init__(self) -> None:
        self.framing: Framing | None = None
        self.handshake: Handshake | None = None
        self._parts: list[bytes] = []
        self._is_text = False
        self._ended = False
        self._told_violation = False
        self._turned_away = False
        self._opening: bytearray | None = bytearray()
        self._under_way = UnderWay()
        self._too_large: Payload | None = None
        self._spare = BEHIND
        """Bytes behind a violation that will be told."""

    @property
    def _protocol(self) -> ServerProtocol | ClientProtocol:
        """The library's half."""
        raise NotImplementedError

    @property
    def opening(self) -> bytes:
        """What has come of a handshake that is not complete."""
        return bytes(self._opening or b"")

    @property
    def outgoing(self) -> list[bytes]:
        """What the protocol itself has to say: pongs, the answer to a close. Taken by `drain`."""
        return self._protocol.writes

    def drain(self) -> list[bytes]:
        """Take what is outgoing."""
        return self._protocol.data_to_send()

    def connect(self) -> tuple[Event, ...]:
        return ()

    def receive(self, data: bytes) -> Iterable[Event]:
        """What the bytes say."""
        protocol = self._protocol
        if protocol.reader.eof:
            return ()
        if self._told_violation:
            return self._received_behind(data)
        opening = self._opening
        if opening is not None:
            opening += data
        protocol.receive_data(data)
        events: list[Event] = []
        frames = 0
        for frame in protocol.events_received():
            if type(frame) is Frame:
                frames += 1
                opcode = frame.opcode
                if frame.fin and (opcode is TEXT or opcode is BINARY):
                    try:
                        events.append(Received(str(frame.data, "utf-8") if opcode is TEXT else bytes(frame.data)))
                    except UnicodeDecodeError as error:
                        events.append(self._not_utf8(bytes(frame.data), error))
                else:
                    events += self._frame(frame)
            else:
                events += self._opened(frame)  # type: ignore[arg-type]
            if self._told_violation:
                break  # RFC 6455, 7.1.7: what comes behind it is not looked at
        if protocol.handshake_exc is not None and not self._told_violation:
            return [*events, *self._failed_handshake(protocol.handshake_exc, self.opening)]
        if self._opening is not None:
            return events
        if opening is not None:
            data = bytes(opening).partition(END_OF_HEAD)[2]
        if self._told_violation:
            events += self._received_behind(self._under_way.behind(frames, data))
        elif protocol.parser_exc is not None:
            events += self._violation(protocol.parser_exc, self._under_way.behind(frames, data))
        elif not self._ended:
            self._under_way.take(data)
        return events

    def _received_behind(self, data: bytes) -> Sequence[Event]:
        """What comes behind a violation is told as it came; of a message that is too large, what it says.

        All of it is read, so that the near end comes to read why it is hung up on, but not all is kept. That it
        closes then is no news.
        """
        if self._turned_away:
            return ()
        if self._too_large is not None and not self._too_large.is_whole:
            data = self._too_large.take(data)
        elif is_close(data):
            return ()
        told = data[: self._spare]
        self._spare -= len(told)
        return (Received(Unread(told)),) if told else ()

    def receive_end(self, how: How) -> Sequence[Event]:
        """What the end of the transport says: 1006, unless a close frame came before (RFC 6455, 7.1.5)."""
        protocol = self._protocol
        half = b"".join(self._parts) + self._under_way.said(bytes(protocol.reader.buffer))
        if not protocol.reader.eof:
            protocol.receive_eof()
        if self._ended:
            return ()
        self._ended = True
        ended = Ended(How.LOST if how is How.EOF else how, 1006)
        if self._told_violation:
            return (ended,)
        if self._opening is not None:
            return (Violated(self._left_problem(), self.opening, "handshake"), ended)
        if half:
            did = "reset" if how is How.RESET else "ended"
            return (Violated(f"it {did} the connection in the middle of a message", half, code=1006), ended)
        return (ended,)

    def say(self, command: Send) -> bytes:
        """The frame that says it."""
        protocol = self._protocol
        payload = command.payload
        if protocol.state is not State.OPEN:
            return b""
        if type(payload) is str:
            protocol.send_text(payload.encode())
        elif type(payload) is bytes:
            protocol.send_binary(payload)
        elif isinstance(payload, OnWire):
            return self._say_past(payload)
        else:
            self._say_other(payload)
        return b"".join(protocol.data_to_send())

    def _say_past(self, payload: OnWire) -> bytes:
        """What the library knows nothing of; only that a close frame was said it has to know, to say no other."""
        before = b"".join(self.drain())
        if payload.closes:
            self._protocol.send_close(1000)
            self.drain()
        return before + payload.wire_bytes(self.masks)

    def _say_other(self, payload: Any) -> None:
        protocol = self._protocol
        match payload:
            case Ping():
                protocol.send_ping(payload.data)
            case Pong():
                protocol.send_pong(payload.data)
            case _:
                *rest, last = (part.encode() if isinstance(part, str) else part for part in payload.parts)
                start = protocol.send_text if isinstance(payload.parts[0], str) else protocol.send_binary
                if not rest:
                    start(last)
                    return
                start(rest[0], fin=False)
                for part in rest[1:]:
                    protocol.send_continuation(part, fin=False)
                protocol.send_continuation(last, fin=True)

    def close(self, command: Close) -> bytes:
        """The close frame; nothing where the connection is closing already."""
        protocol = self._protocol
        if protocol.state is State.CONNECTING:
            return b""
        if protocol.state is State.OPEN:
            protocol.send_close(command.code or 1000, command.reason)
        return b"".join(self.drain())

    # -- frames -----------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> Sequence[Event]:
        """Fragments and control frames."""
        data = bytes(frame.data)
        match frame.opcode:
            case Opcode.PING:
                return (Received(Ping(data)),)
            case Opcode.PONG:
                return (Received(Pong(data)),)
            case Opcode.CLOSE:
                return self._closed()
        if frame.opcode is not CONT:
            self._is_text = frame.opcode is TEXT
        self._parts.append(data)
        if not frame.fin:
            return ()
        whole, self._parts = b"".join(self._parts), []
        try:
            message: Message = whole.decode() if self._is_text else whole
        except UnicodeDecodeError as error:
            return (self._not_utf8(whole, error),)
        return (Received(message),)

    def _closed(self) -> Sequence[Event]:
        close = self._protocol.close_rcvd
        assert close is not None
        self._ended = True
        return (Ended(How.CLOSE, int(close.code), close.reason),)

    def _not_utf8(self, data: bytes, error: UnicodeDecodeError) -> Event:
        """RFC 6455, 8.1: text that is not UTF-8 fails the connection with 1007."""
        self._told_violation = True
        problem = f"a text message is not UTF-8 (byte {error.start}: {error.reason}; RFC 6455, 8.1)"
        if self._protocol.state in (State.OPEN, State.CLOSING):
            self._protocol.fail(INVALID_DATA, "not UTF-8")
        return Violated(problem, data, "utf-8", INVALID_DATA)

    def _violation(self, error: Exception, data: bytes) -> Sequence[Event]:
        self._told_violation = True
        sent = self._protocol.close_sent
        code = int(sent.code) if sent is not None else 1002
        about = "protocol"
        if isinstance(error, PayloadTooBig):
            about = "too big"
            self._too_large = Payload()
            data = self._too_large.take(data)
        elif isinstance(error, UnicodeDecodeError):
            about = "utf-8"
        told = data[: self._spare]
        self._spare -= len(told)
        return (Violated(str(error), Unread(b"".join(self._parts) + told), about, code),)

    # -- the handshake ----------------------------------------------------------------------------

    def _opened(self, message: Request | Response) -> Sequence[Event]:
        raise NotImplementedError

    def _left_problem(self) -> str:
        if not self._opening:
            return "it connected, and left without opening a WebSocket"
        return "it left before it had opened its WebSocket"

    def _failed_handshake(self, error: Exception, data: bytes) -> Sequence[Event]:
        self._told_violation = True
        reasons = [str(error)]
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]
            reasons.append(str(error))
        status = _STATUS.match(b"".join(self._protocol.writes))
        answer = Close() if status is None else Reject(int(status[1]), "")
        return (Violated(f"{self._handshake_problem(data)}: {'; '.join(reasons)}", data, "handshake", answer=answer),)

    def _handshake_problem(self, data: bytes) -> str:
        if data.startswith(b"\x16\x03"):
            return (
                "it speaks TLS, and this far end does not (make it one with tls=True, or dial ws:// instead of wss://)"
            )
        return "it did not open a WebSocket"


class ServerWire(WebSocketWire):
    """The far end as a WebSocket server.

    As long as all that comes and goes is ordinary, the library's half is not needed, and not made: an
    ordinary handshake, whole messages in frames of their own, and the near end's close. With the first
    that is anything else, the library takes over.
    """

    def __init__(self, *, max_size: int | None, subprotocols: Sequence[str] | None, compression: bool) -> None:
        super().__init__()
        self._max_size = max_size
        self._subprotocols = subprotocols
        self._compression = compression
        self._response: Response | None = None
        self._answer: bytes | None = None
        """What lets the near end in, where its handshake was an ordinary one."""
        self._tail: bytes | None = b""
        """The last bytes of the request's head, until its end has come."""
        self._ordinary = False
        """Whether the connection is open, and all was ordinary so far."""
        self._replies: list[bytes] = []
        self._library: ServerProtocol | None = None

    @property
    def _protocol(self) -> ServerProtocol:
        if self._library is None:
            self._library = ServerProtocol(
                logger=LOGGER,
                state=State.OPEN if self._ordinary else State.CONNECTING,
                max_size=self._max_size,
                subprotocols=self._subprotocols,  # type: ignore[arg-type]
                extensions=[ServerPerMessageDeflateFactory()] if self._compression else None,
            )
            self._ordinary = False
        return self._library

    @property
    def outgoing(self) -> list[bytes]:
        """What is to be said without being told to: pongs, the answer to a close. Taken by `drain`."""
        return self._replies if self._library is None else self._library.writes

    def drain(self) -> list[bytes]:
        """Take what is outgoing."""
        if self._library is not None:
            return self._library.data_to_send()
        replies, self._replies = self._replies, []
        return replies

    def receive(self, data: bytes) -> Iterable[Event]:
        """What the bytes say. While the handshake comes, one event at a time: its answer must be said first."""
        if self._ordinary:
            return self._receive_ordinary(data)
        if self._tail is None:
            return super().receive(data)
        negotiates = self._compression or self._subprotocols
        opening = None if self._tail or negotiates else ordinary_opening(data)
        if opening is None:
            return self._receive_head(self._tail, data)
        self._tail = None
        self._opening = None
        self._answer = opening.answer
        self.handshake = Handshake(opening.target, opening.fields)
        return (Connected(self.handshake),)

    def _receive_ordinary(self, data: bytes) -> Iterable[Event]:
        if len(data) > 1 and data[1] & frames.MASKED and not self._ended:
            message = whole_message(data, self._max_size)
            if message is not None:
                return (Received(message),)
        events: list[Event] = []
        start = 0
        while start < len(data) and not self._ended:
            frame = ordinary_frame(data, start, self._max_size)
            event = None if frame is None else self._ordinary_event(frame)
            if frame is None or event is None:
                events += super().receive(data[start:])
                break
            events.append(event)
            start = frame.end
        return events

    def _ordinary_event(self, frame: Ordinary) -> Event | None:
        """What an ordinary frame says; None where the library has to say what is wrong with it."""
        if frame.first == frames.BINARY:
            return Received(frame.payload)
        if frame.first == frames.TEXT:
            try:
                return Received(frame.payload.decode())
            except UnicodeDecodeError:
                return None
        close = ordinary_close(frame.payload)
        if close is None:
            return None
        self._ended = True
        self._replies += (ordinary_bytes(frames.CLOSE, frame.payload), b"")  # RFC 6455, 5.5.1 and 7.1.1
        return Ended(How.CLOSE, int(close.code), close.reason)

    def receive_end(self, how: How) -> Sequence[Event]:
        """What the end of the transport says."""
        if not (self._ordinary and self._ended):
            return super().receive_end(how)
        return ()

    def say(self, command: Send) -> bytes:
        """The frame that says it."""
        if self._ordinary:
            if self._ended:
                return b""
            payload = command.payload
            if type(payload) is bytes:
                return ordinary_bytes(frames.BINARY, payload)
            if type(payload) is str:
                return ordinary_bytes(frames.TEXT, payload.encode())
            if isinstance(payload, OnWire) and not payload.closes:
                return payload.wire_bytes(masked=False)
        return super().say(command)

    def close(self, command: Close) -> bytes:
        """The close frame; nothing where the connection is closing already."""
        return b"" if self._ordinary and self._ended else super().close(command)

    def _receive_head(self, tail: bytes, data: bytes) -> Iterator[Event]:
        end = (tail + data).find(END_OF_HEAD) + 4 - len(tail)
        if end < 4 - len(tail):
            self._tail = (tail + data)[-3:]
            yield from super().receive(data)
            return
        self._tail = None
        yield from super().receive(data[:end])
        if data[end:]:
            yield from super().receive(data[end:])

    def _opened(self, request: Request | Response) -> Sequence[Event]:
        assert isinstance(request, Request)
        response = self._protocol.accept(request)
        self.handshake = Handshake(request.path, tuple(request.headers.raw_items()))
        if self._protocol.handshake_exc is not None:
            self._protocol.send_response(response)
            return ()
        self._response = response
        self._opening = None
        return (Connected(self.handshake),)

    def _failed_handshake(self, error: Exception, data: bytes) -> Sequence[Event]:
        """The library has no answer for an HTTP request that it cannot read; before 17 it reads nothing but GET."""
        protocol = self._protocol
        if not any(protocol.writes) and HTTP_REQUEST.match(data):
            response = protocol.reject(http.HTTPStatus.BAD_REQUEST, "This is a WebSocket server.\n")
            protocol.writes.insert(0, response.serialize())
        return super()._failed_handshake(error, data)

    def accept(self, command: Accept) -> bytes:
        """The 101, or what is made of it."""
        right = self._right_answer()
        return right if command.answer is None else command.answer.of(right)

    def _right_answer(self) -> bytes:
        if self._answer is not None:
            self._library = None
            self._ordinary = True
            answer = self._answer
        else:
            assert self._response is not None
            self._protocol.send_response(self._response)
            answer = b"".join(self.drain())
        return answer

    def reject(self, command: Reject) -> bytes:
        """An HTTP answer instead."""
        if self._response is None and self._answer is None:
            return b""
        self._response = self._answer = None
        self._told_violation = self._turned_away = True  # which is our doing, and no mistake of the near end's
        self._protocol.send_response(_rejection(command))
        return b"".join(self.drain())


def _rejection(command: Reject) -> Response:
    """An HTTP answer to an upgrade; what it has to say of itself, it says unless the headers do."""
    body = command.body.encode() if isinstance(command.body, str) else command.body
    headers = Headers(command.headers)
    for name, value in (
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close"),
        ("Content-Length", str(len(body))),
        ("Content-Type", "text/plain; charset=utf-8"),
    ):
        if name not in headers and (body or name != "Content-Type"):
            headers[name] = value
    known = {status.value: status.phrase for status in http.HTTPStatus}
    return Response(command.status, known.get(command.status, "Unknown"), headers, body)


class ClientWire(WebSocketWire):
    """The far end as a WebSocket client."""

    masks = True

    def __init__(
        self,
        uri: str,
        *,
        max_size: int | None,
        subprotocols: Sequence[str] | None,
        compression: bool,
        headers: dict[str, str],
        origin: str | None,
    ) -> None:
        super().__init__()
        self._client = ClientProtocol(
            parse_uri(uri),
            logger=LOGGER,
            max_size=max_size,
            origin=origin,  # type: ignore[arg-type]
            subprotocols=subprotocols,  # type: ignore[arg-type]
            extensions=[ClientPerMessageDeflateFactory()] if compression else None,
        )
        self._headers = headers

    @property
    def _protocol(self) -> ClientProtocol:
        return self._client

    def connect(self) -> tuple[Event, ...]:
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self.handshake = Handshake(request.path, tuple(request.headers.raw_items()))
        return ()

    def _opened(self, response: Request | Response) -> Sequence[Event]:
        if self._protocol.handshake_exc is not None:
            return ()
        self._opening = None
        return (Connected(self.handshake),)

    def _left_problem(self) -> str:
        return "the server ended the connection without answering the handshake"

    def _handshake_problem(self, data: bytes) -> str:
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            body = (error.response.body or b"").decode(errors="replace").strip()
            return f"the server answered HTTP {error.response.status_code}{f' ({body[:200]})' if body else ''}"
        return "the server did not accept the WebSocket"

    def accept(self, command: Accept) -> bytes:
        return b""

    def reject(self, command: Reject) -> bytes:
        return b""
