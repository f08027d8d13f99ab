"""The ordinary frame against the library: never another verdict on it, and never another answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from farend.core import frames
from farend.core.commands import Accept, Close, Send
from farend.core.events import How
from farend.core.frames import ordinary_bytes, ordinary_close, ordinary_frame
from farend.core.messages import Fragments, Ping
from farend.core.websocket import ServerWire

OPENING = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x01\x02\x03\x04"
MAX_SIZE = 300


def client_frame(first: int, payload: bytes, length: int | None = None, mask: bytes = MASK) -> bytes:
    """A client's frame; `length` is what it says of its length, if that is to be another."""
    size = len(payload) if length is None else length
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + mask + masked


def opened(*, through_the_library: bool) -> ServerWire:
    wire = ServerWire(max_size=MAX_SIZE, subprotocols=None, compression=False)
    assert len(list(wire.receive(OPENING))) == 1
    wire.accept(Accept())
    if through_the_library:
        assert wire._protocol is not None
    return wire


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 300, 65_535])
def test_an_ordinary_frame_is_read_as_the_library_reads_it(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    raw = Frame(Opcode.BINARY, payload).serialize(mask=True)
    assert ordinary_frame(b"xyz" + raw + b"more", 3, None) == (frames.BINARY, payload, 3 + len(raw))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_an_ordinary_frame_is_written_as_the_library_writes_it(size: int) -> None:
    payload = b"x" * size
    assert ordinary_bytes(frames.TEXT, payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        client_frame(frames.TEXT, b"hello")[:-1],
        client_frame(frames.TEXT, b"x" * 200)[:3],
        client_frame(frames.TEXT, b"")[:5],
        client_frame(0x01, b"a part"),
        client_frame(0x80, b"the rest"),
        client_frame(0x89, b"a ping"),
        client_frame(0xC1, b"compressed"),
        client_frame(0x83, b"of no known kind"),
        bytes((frames.TEXT, 5)) + b"hello, with no mask",
        bytes((frames.TEXT, 126)) + b"hello, with no mask",
        bytes((frames.TEXT, 0xFF)) + (70_000).to_bytes(8) + MASK + b"x" * 70_000,
        client_frame(frames.TEXT, b"x" * (MAX_SIZE + 1)),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_library(raw: bytes) -> None:
    assert ordinary_frame(raw, 0, MAX_SIZE) is None


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\x03\xe8\xff", b"\x03\xe8" + b"x" * 124])
def test_a_close_that_may_not_be_is_left_to_the_library(payload: bytes) -> None:
    """1005 may not be sent (RFC 6455, 7.4.1), a reason is UTF-8, and a control frame has 125 bytes at most (5.5)."""
    assert ordinary_close(payload) is None


FIRSTS = st.sampled_from([frames.TEXT, frames.BINARY, frames.CLOSE] * 3 + [0x01, 0x02, 0x80, 0x89, 0x8A, 0xC1, 0x83])
PAYLOADS = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=4).map(str.encode),
    st.integers(990, 1020).map(lambda code: code.to_bytes(2) + b"bye"),
    st.sampled_from([b"x" * size for size in (125, 126, 127, MAX_SIZE, MAX_SIZE + 1)]),
)
SAID = st.one_of(
    st.builds(Send, st.one_of(st.text(max_size=3), st.binary(max_size=3), st.just("x" * 200))),
    st.builds(Send, st.just(Ping(b"p"))),
    st.builds(Send, st.just(Fragments(("a", "b")))),
    st.builds(Close, st.sampled_from([1000, 1001]), st.just("bye")),
)
ACTS = st.lists(
    st.one_of(
        st.lists(st.builds(client_frame, FIRSTS, PAYLOADS, mask=st.binary(min_size=4, max_size=4)), max_size=4).map(
            b"".join
        ),
        st.builds(lambda raw, cut: raw[:cut], st.builds(client_frame, FIRSTS, PAYLOADS), st.integers(0, 8)),
        SAID,
    ),
    max_size=6,
)


def said(wire: ServerWire) -> list[bytes]:
    """What is outgoing, in one piece but for the end of the stream."""
    parts = wire.drain()
    return [b"".join(parts), *([b""] if b"" in parts else [])]


def done(wire: ServerWire, acts: Iterable[Any]) -> list[Any]:
    """All that comes of it."""
    results: list[Any] = []
    for act in acts:
        if isinstance(act, bytes):
            results += [list(wire.receive(act)) if act else [], said(wire)]
        elif isinstance(act, Close):
            results += [wire.close(act), said(wire)]
        else:
            results += [wire.say(act), said(wire)]
    results += [list(wire.receive_end(How.EOF)), said(wire)]
    return results


@given(ACTS)
def test_nobody_can_tell_whether_the_library_was_needed(acts: list[Any]) -> None:
    assert done(opened(through_the_library=False), acts) == done(opened(through_the_library=True), acts)


def test_an_ordinary_conversation_needs_no_library() -> None:
    wire = opened(through_the_library=False)
    done(wire, [client_frame(frames.TEXT, b"hello"), Send("there"), client_frame(frames.CLOSE, b"\x03\xe8")])
    assert wire._library is None
