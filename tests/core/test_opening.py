"""The ordinary opening handshake against the library: never another verdict on it, and never another answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from farend.core.messages import Handshake
from farend.core.opening import ordinary_opening

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = [
    ("Host", "127.0.0.1:40001"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
]


def request(fields: Sequence[tuple[str, str]] = FIELDS, target: str = "/feed?a=1", line: str = "") -> bytes:
    head = [line or f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "".join(f"{one}\r\n" for one in [*head, ""]).encode("latin-1")


def with_field(name: str, value: str) -> list[tuple[str, str]]:
    return [(name, value) if one == name else (one, other) for one, other in FIELDS]


def library(raw: bytes) -> tuple[Handshake, dict[str, str]] | None:
    """What the library makes of a handshake, and its answer's headers; None where it lets nobody in."""
    protocol = ServerProtocol()
    protocol.receive_data(raw)
    for event in protocol.events_received():
        if isinstance(event, Request):
            response = protocol.accept(event)
            if response.status_code == 101:
                return Handshake(event.path, tuple(event.headers.raw_items())), dict(response.headers.raw_items())
    return None


def answered(raw: bytes) -> dict[str, str]:
    status, *lines = raw.decode().removesuffix("\r\n\r\n").split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    return dict(line.split(": ", 1) for line in lines)


def test_the_answer_is_that_of_the_rfc() -> None:
    """RFC 6455, 1.3."""
    opening = ordinary_opening(request())
    assert opening is not None
    assert answered(opening.answer)["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert opening.target == "/feed?a=1"
    assert opening.fields == FIELDS


@pytest.mark.parametrize(
    "raw",
    [
        request(with_field("Upgrade", "WebSocket")),
        request(with_field("Connection", "upgrade")),
        request([(name.lower(), f"  {value}\t") for name, value in FIELDS]),
        request([(name.upper(), value) for name, value in FIELDS], target="/"),
        request([*FIELDS, ("Origin", "https://example.com"), ("Sec-WebSocket-Extensions", "permessage-deflate; x")]),
        request([*FIELDS, ("Cookie", "a=1; b=2"), ("X-Empty", "")]),
    ],
)
def test_ordinary_handshakes_are_read_as_the_library_reads_them(raw: bytes) -> None:
    opening, expected = ordinary_opening(raw), library(raw)
    assert opening is not None
    assert expected is not None
    handshake, headers = expected
    assert Handshake(opening.target, opening.fields) == handshake
    assert answered(opening.answer) == {name: value for name, value in headers.items() if name != "Date"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        request()[:-1],
        request() + b"\x81",
        request().replace(b"\r\n", b"\n"),
        request(line="POST / HTTP/1.1"),
        request(line="GET / HTTP/1.0"),
        request(line="GET  / HTTP/1.1"),
        request(target="http://127.0.0.1/"),
        request(target="/caf\xe9"),
        *(request([field for field in FIELDS if field[0] != name]) for name, _ in FIELDS[1:]),
        *(request([*FIELDS, (name, value)]) for name, value in FIELDS),
        request(with_field("Sec-WebSocket-Key", "short")),
        request(with_field("Sec-WebSocket-Key", KEY[:-1])),
        request(with_field("Sec-WebSocket-Version", "8")),
        request(with_field("Connection", "keep-alive, Upgrade")),
        request(with_field("Upgrade", "websocket, h2c")),
        request([*FIELDS, ("Sec-WebSocket-Protocol", "chat")]),
        request([*FIELDS, ("Transfer-Encoding", "chunked")]),
        request([*FIELDS, ("Content-Length", "3")]),
        request([*FIELDS, ("X-Latin", "caf\xe9")]),
        request([*FIELDS, ("X Spaced", "1")]),
        request([*FIELDS, ("X-Long", "x" * 5_000)]),
        request([*FIELDS, *((f"X{number}", "") for number in range(130))]),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_library(raw: bytes) -> None:
    assert ordinary_opening(raw) is None


TOKENS = st.text("abcXYZ-_1 :,\t\xe9", max_size=6)
VALUES = st.one_of(
    TOKENS, st.sampled_from([value for _, value in FIELDS] + ["keep-alive, Upgrade", "UPGRADE", "Websocket"])
)
NAMES = st.one_of(
    TOKENS, st.sampled_from([name for name, _ in FIELDS] + ["origin", "content-length", "transfer-encoding"])
)


@given(
    st.permutations(FIELDS),
    st.integers(0, 5),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    st.text("/ab?=&%\xe9 ", max_size=8),
)
def test_nobody_is_let_in_whom_the_library_turns_away(
    fields: list[tuple[str, str]], kept: int, others: list[tuple[str, str]], target: str
) -> None:
    raw = request([*fields[:kept], *others, *fields[kept:]], target="/" + target)
    opening = ordinary_opening(raw)
    if opening is not None:
        expected = library(raw)
        assert expected is not None
        assert Handshake(opening.target, opening.fields) == expected[0]
        assert answered(opening.answer).items() <= expected[1].items()
