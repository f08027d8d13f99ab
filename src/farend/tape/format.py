"""What a tape holds: a header, and a line for each thing that happened, as data; and how a line is spelled.

    {"tape":1,"farend":"0.1.0","wire":"websocket","when":"2026-03-01T12:00:00Z","target":"wss://example.com"}
    {"connection":1,"kind":"connect","from":"client","at":0.0,"target":"/feed","headers":[["Host","example.com"]]}
    {"connection":1,"kind":"answer","from":"server","at":0.012,"status":101,"headers":[["Upgrade","websocket"]]}
    {"connection":1,"kind":"message","from":"client","at":0.013,"json":{"subscribe":"BTC"}}
    {"connection":1,"kind":"close","from":"server","at":0.5,"code":1000}

A payload stands in one of three fields. `json` holds an object or an array, spelled just as it was on the wire: it
is the last field of its line, so that the reader can take it out as it stands. `text` holds other text. `base64`
holds what is no text. While a tape is recorded, a payload that is much may stand beside it, and `bulk` says where
(`bulk.py`). `docs/tape.schema.json` says the same to machines.
"""

from __future__ import annotations

import base64
import binascii
import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from farend.errors import NotATape, TapeDamaged, TapeTooLarge, TapeTooNew

try:
    from pybase64 import b64encode as _in_base64  # many times as fast
except ImportError:
    from base64 import b64encode as _in_base64  # type: ignore[assignment]

_parsed: Callable[[str], object] | None
try:
    from orjson import loads as _parsed  # twice as fast
except ImportError:
    _parsed = None

VERSION: Final = 1
"""The version of the format that this farend writes; it reads this one and older ones."""
MAX_LINE: Final = 64 << 20
"""The longest line that is read where nobody says otherwise, in bytes."""

Wire: TypeAlias = Literal["tcp", "websocket"]
Side: TypeAlias = Literal["client", "server"]
ReadBulk: TypeAlias = Callable[[int, int], bytes]
Headers: TypeAlias = tuple[tuple[str, str], ...]
WIRES: Final = ("tcp", "websocket")
SIDES: Final[tuple[Side, Side]] = ("client", "server")


class Kind(enum.StrEnum):
    """What a line records."""

    CONNECT = "connect"
    """The client connected; on a WebSocket with `target` and `headers` of its handshake."""
    ANSWER = "answer"
    """The server's answer to the handshake: `status`, `headers`, and a body where it turned the client away."""
    REFUSE = "refuse"
    """The server could not be reached; `reason` says why."""
    MESSAGE = "message"
    """A WebSocket message; on TCP, bytes that came together."""
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    """A close frame, with its `code` (none where the frame had none) and `reason`."""
    END = "end"
    """A side ended its stream: on TCP in order, on a WebSocket with no close frame before it."""
    ABORT = "abort"
    """A side cut the connection (a reset)."""
    RAW = "raw"
    """Bytes on a WebSocket connection that are no frame of the protocol, or only part of one."""
    NOTE = "note"
    """A remark about the recording, in `reason`. Nothing of the conversation."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a tape.

    `wire` is `"tcp"` or `"websocket"`, `when` the time of the recording (UTC, ISO 8601), `target` the
    URL of the server. `farend` and `version` are of the program and the format that wrote it.
    """

    wire: Wire
    when: str | None = None
    target: str | None = None
    farend: str = ""
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened on a connection.

    `connection` counts from 1. `sender` is the side that did it. `at` is in seconds: since the tape began
    for the kind `connect`, since its connection began for all others; None where times were left out.
    `payload` is text or bytes, just as it was on the wire (but for what was redacted): always bytes on
    TCP. `fragments` has the sizes, in bytes, of the frames in which a WebSocket message came, where there
    were several.
    """

    connection: int
    kind: Kind
    sender: Side
    at: float | None = None
    payload: str | bytes | None = None
    code: int | None = None
    reason: str = ""
    target: str | None = None
    status: int | None = None
    headers: Headers = ()
    fragments: tuple[int, ...] = ()

    @property
    def json(self) -> Any:
        """The payload as a JSON value, bytes too. Raises `ValueError` where it is none."""
        return json.loads(self.payload or "")


# -- spelling -------------------------------------------------------------------------------------


def header_text(header: Header) -> str:
    """The header as a line, without its end.

    >>> header_text(Header("tcp", farend="0.1.0"))
    '{"tape":1,"farend":"0.1.0","wire":"tcp"}'
    """
    fields = {"tape": header.version, "farend": header.farend, "wire": header.wire}
    fields |= {name: value for name in ("when", "target") if (value := getattr(header, name)) is not None}
    return _dump(fields)


def line_text(line: Line, wire: Wire) -> str:
    r"""A line as text, without its end.

    >>> line_text(Line(1, Kind.MESSAGE, "client", 0.25, '{"id": 7}'), "websocket")
    '{"connection":1,"kind":"message","from":"client","at":0.25,"json":{"id": 7}}'
    >>> line_text(Line(1, Kind.MESSAGE, "server", payload=b"PONG\n"), "tcp")
    '{"connection":1,"kind":"message","from":"server","text":"PONG\\n"}'
    """
    parts = [f'{{"connection":{line.connection},"kind":"{line.kind}","from":"{line.sender}"']
    if line.at is not None:
        parts.append(f'"at":{line.at!r}')
    for name in ("target", "status", "code"):
        value = getattr(line, name)
        if value is not None:
            parts.append(f'"{name}":{_dump(value)}')
    if line.reason:
        parts.append(f'"reason":{_dump(line.reason)}')
    if line.headers:
        parts.append(f'"headers":{_dump(line.headers)}')
    if line.fragments:
        parts.append(f'"fragments":{_dump(line.fragments)}')
    if line.payload is not None:
        parts.append(payload_text(line.payload, bytes_are_usual=wire == "tcp" or line.kind is not Kind.MESSAGE))
    return ",".join(parts) + "}"


def text_of(payload: bytes) -> str | None:
    """The text that bytes are; None where they are none that a line can show."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def base64_of(payload: bytes) -> bytes:
    """Bytes as the field `base64` has them."""
    return _in_base64(payload)


def payload_text(payload: str | bytes, *, bytes_are_usual: bool) -> str:
    """The fields of a payload: `json`, `text` or `base64`, and what is needed to have it back just as it was."""
    if isinstance(payload, str):
        text, before = payload, ""
    else:
        shown = text_of(payload)
        if shown is None:
            return '"base64":"' + base64_of(payload).decode("ascii") + '"'
        text, before = shown, "" if bytes_are_usual else '"binary":true,'
    if text and text[0] in _OPENS:
        body = text.rstrip(_BLANKS)
        if _is_json(body):
            tail = text[len(body) :]
            return f'{before}"tail":{_dump(tail)},"json":{body}' if tail else f'{before}"json":{body}'
    return f'{before}"text":{_quoted(text)}'


_OPENS: Final = "{["
_BLANKS: Final = " \t\r\n"
_SURE: Final = 1024
"""Characters of a text of which what orjson takes is JSON for `json` as well: it has few levels, and no long number."""
_quoted: Final = json.encoder.encode_basestring  # with non-ASCII characters as they are
_JSON_FIELD: Final = re.compile(r',\s*"json"\s*:\s*')


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_scan: Final[Any] = json.JSONDecoder(parse_constant=_no_constant).scan_once  # type: ignore[attr-defined]


def _is_json(text: str) -> bool:
    """Whether it can stand in a line of its own as it is."""
    if "\n" in text or "\r" in text:
        return False
    if _parsed is not None and len(text) <= _SURE:
        try:
            _parsed(text)
        except ValueError:
            pass  # but there are texts that only the other takes
        else:
            return True
    try:
        _, end = _scan(text, 0)
    except (ValueError, RecursionError, StopIteration):
        return False
    return end == len(text) or not text[end:].strip(" \t")


# -- reading --------------------------------------------------------------------------------------


def parsed_header(text: str, source: str) -> Header:
    """The header that a tape's first line spells. Raises `NotATape`, or `TapeTooNew`."""
    fields = _object(text)
    version = None if fields is None else fields.get("tape")
    if fields is None or type(version) is not int:
        raise NotATape(f"{source} is no tape: its first line is not a tape's header, such as {header_text(_EXAMPLE)}")
    if version > VERSION:
        raise TapeTooNew(
            f"{source} is a tape of version {version}, made by farend {fields.get('farend', 'of an unknown version')}, "
            f"and this farend reads tapes up to version {VERSION}: update it (pip install -U farend)"
        )
    if version < 1 or fields.get("wire") not in WIRES:
        raise NotATape(
            f"{source} is no tape: its header has to name a version from 1, and a wire, 'tcp' or 'websocket'"
        )
    try:
        when, target, farend = (_known(fields, name, str) for name in ("when", "target", "farend"))
    except ValueError as error:
        raise NotATape(f"{source} is no tape: in its header, {error}") from None
    return Header(fields["wire"], when, target, farend or "", version)


def parsed_line(text: str, wire: Wire, number: int, source: str, bulk: ReadBulk | None = None) -> Line:
    """The line that the text spells. Raises `TapeDamaged`, which names the line and what is wrong with it.

    `bulk` reads what stands beside the tape, from this offset on, so many bytes.
    """
    fields = _object(text)
    try:
        if fields is None:
            raise ValueError("it is no JSON object")
        return _line(fields, text, wire, bulk)
    except TapeTooLarge:
        raise
    except ValueError as error:
        raise TapeDamaged(f"{source}, line {number}: {error}", line=number) from None


def _line(fields: Mapping[str, Any], text: str, wire: Wire, bulk: ReadBulk | None) -> Line:
    connection, kind, sender, at = (fields.get(name) for name in ("connection", "kind", "from", "at"))
    if type(connection) is not int or connection < 1:
        raise ValueError(f"its connection is {connection!r}, and not a number from 1")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"its kind is {kind!r}, which is none of {', '.join(_KINDS)}")
    if sender not in SIDES:
        raise ValueError(f"it is from {sender!r}, and not from 'client' or 'server'")
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
        raise ValueError(f"its time (at) is {at!r}, and not a number of seconds")
    if kind == Kind.MESSAGE and not _PAYLOADS & fields.keys():
        raise ValueError(f"it has no payload ({', '.join(sorted(_PAYLOADS))})")
    return Line(
        connection=connection,
        kind=_KINDS[kind],
        sender=sender,
        at=at,
        payload=_payload(fields, text, wire, kind, bulk),
        code=_known(fields, "code", int),
        reason=_known(fields, "reason", str) or "",
        target=_known(fields, "target", str),
        status=_known(fields, "status", int),
        headers=_headers(fields.get("headers", ())),
        fragments=_sizes(fields.get("fragments", ())),
    )


_KINDS: Final = {str(kind): kind for kind in Kind}
_PAYLOADS: Final = {"json", "text", "base64", "bulk"}
_EXAMPLE: Final = Header("tcp", farend="0.1.0")


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _known(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if value is not None and type(value) is not kind:
        raise ValueError(f"its {name} is {value!r}, and not {'text' if kind is str else 'a whole number'}")
    return value


def _payload(fields: Mapping[str, Any], text: str, wire: Wire, kind: str, bulk: ReadBulk | None) -> str | bytes | None:
    if "bulk" in fields:
        where = fields["bulk"]
        if not isinstance(where, list) or len(where) != 2 or any(type(one) is not int or one < 0 for one in where):
            raise ValueError(f"its bulk is {where!r}, and not an offset and a size in bytes")
        if bulk is None:
            raise ValueError("what was said stands beside the tape, and that is not at hand")
        data = bulk(*where)
        is_text = wire == "websocket" and kind == Kind.MESSAGE and fields.get("binary") is not True
        return data.decode("utf-8", "surrogatepass") if is_text else data
    if "base64" in fields:
        try:
            return base64.b64decode(fields["base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError(f"its base64 is none: {error}") from None
    if "json" in fields:
        payload = _spelled(fields["json"], text) + (_known(fields, "tail", str) or "")
    elif "text" in fields:
        payload = _known(fields, "text", str)
    else:
        return None
    is_bytes = wire == "tcp" or kind != Kind.MESSAGE or fields.get("binary") is True
    return payload.encode() if is_bytes and kind != Kind.ANSWER else payload


def _spelled(value: object, text: str) -> str:
    """The JSON just as it stands in the line; in the shortest spelling where another program has moved it."""
    found = _JSON_FIELD.search(text)
    if found is not None:
        spelled = text[found.end() :].rstrip()[:-1].rstrip()
        if _object_or_array(spelled) == value:
            return spelled
    return _dump(value)


def _object_or_array(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _headers(value: Any) -> Headers:
    try:
        pairs = tuple((name, content) for name, content in value)
    except (TypeError, ValueError):
        pairs = (("", None),)
    if not all(isinstance(part, str) for pair in pairs for part in pair):
        raise ValueError("its headers are not a list of pairs of text")
    return pairs


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or any(type(size) is not int or size < 0 for size in value):
        raise ValueError("its fragments are not a list of sizes in bytes")
    return tuple(value)
