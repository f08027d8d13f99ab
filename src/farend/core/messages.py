"""What can be said on a wire, beyond plain text and bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Ping:
    """A WebSocket ping (RFC 6455, 5.5.2), as a message to send or to expect."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Pong:
    """A WebSocket pong (RFC 6455, 5.5.3), as a message to send or to expect."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Fragments:
    """One WebSocket message sent as several frames (RFC 6455, 5.4).

    All parts are text, or all are bytes. The near end receives them joined.
    """

    parts: tuple[str, ...] | tuple[bytes, ...]

    def joined(self) -> str | bytes:
        """The message as the near end sees it."""
        first = self.parts[0]
        return first[:0].join(self.parts)  # type: ignore[arg-type]


class OnWire:
    """The base of what goes on a wire past its protocol: nothing checks it, and nothing remembers it."""

    __slots__ = ()

    @property
    def title(self) -> str:
        """How a script prints the step that says it."""
        return f"send {self!r}"

    @property
    def closes(self) -> bool:
        """Whether there is a close frame in it, so that the far end says no other."""
        return False

    def wire_bytes(self, masked: bool) -> bytes:
        """The bytes that are written; `masked` tells that a client says them (RFC 6455, 5.1)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Raw(OnWire):
    r"""Bytes that are written as they are, beside the protocol of the wire: garbage, half a frame, no frame at all.

    >>> from farend import Raw, Script
    >>> print(Script().send(Raw(b"\x83\x00")))
    Script of 1 step
      1. send Raw(data=b'\x83\x00')

    On TCP no framing packs it. See `farend.Frame` for a frame of a WebSocket with anything wrong in it.
    """

    data: bytes

    def wire_bytes(self, masked: bool) -> bytes:
        return self.data


class Unread(bytes):
    """Bytes that came on a WebSocket and are no message: a frame that breaks the protocol, a part of what is too large.

    They are on the transcript, where they are what bytes are, and on no tape that is made of it: a mask, or a
    compression, could hide a secret in them.
    """

    __slots__ = ()


Message: TypeAlias = str | bytes | Ping | Pong
Payload: TypeAlias = Message | Fragments | OnWire
Sayable: TypeAlias = Payload | bytearray | memoryview
CONTROL = (Ping, Pong)


class Handshake:
    """What the near end asked for when it opened a WebSocket (RFC 6455, 4.1).

    Made from the request line's `target` and the header fields as they came; the rest is read from
    these when it is looked at. Header names are lower-case, and a header sent twice is joined with a
    comma (RFC 9110, 5.3).

    >>> handshake = Handshake("/feed?depth=5", [("Origin", "https://example.com")])
    >>> handshake.path, handshake.query, handshake.origin
    ('/feed', {'depth': '5'}, 'https://example.com')
    """

    def __init__(self, target: str, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.target = target
        self._fields = fields

    @cached_property
    def headers(self) -> dict[str, str]:
        """The header fields, by lower-case name."""
        headers: dict[str, str] = {}
        for name, value in self._fields:
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return headers

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """The query as it came."""
        return self.target.partition("?")[2]

    @cached_property
    def query(self) -> dict[str, str]:
        """The last value of each name in the query."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def host(self) -> str:
        """The `Host` that the near end means to have reached, in small letters, without a port that needs no naming."""
        host = self.headers.get("host", "").lower()
        return host.removesuffix(":80").removesuffix(":443")

    @property
    def origin(self) -> str | None:
        """The `Origin` header; None where there is none."""
        return self.headers.get("origin")

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What `Sec-WebSocket-Protocol` offers, the preferred first."""
        offered = self.headers.get("sec-websocket-protocol", "")
        return tuple(name for part in offered.split(",") if (name := part.strip()))

    def __repr__(self) -> str:
        return f"Handshake({self.target!r}, headers={self.headers!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handshake) and (self.target, self.headers) == (other.target, other.headers)

    def __hash__(self) -> int:
        return hash(self.target)


def counted(number: int, noun: str) -> str:
    """A number of things: `1 step`, `2 steps`."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def printed(payload: object, limit: int = 60) -> str:
    """`payload` on one line: elided past `limit` characters, with its type and length then."""
    if isinstance(payload, str | bytes | bytearray) and len(payload) > limit:
        kind, unit = ("str", "characters") if isinstance(payload, str) else ("bytes", "bytes")
        return f"{payload[: limit - 20]!r}… ({kind}, {len(payload):,} {unit})"
    try:
        text = repr(payload)
    except Exception as error:  # a user's __repr__ may raise anything
        text = f"<{type(payload).__name__}, whose repr raised {type(error).__name__}>"
    if len(text) > limit * 4:
        return f"{text[: limit * 4 - 20]}… ({type(payload).__name__}, {len(text):,} characters)"
    return text
