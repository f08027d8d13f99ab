"""The ordinary frame against the library: never another verdict on it, and never another answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from farend.core import frames
from farend.core.commands import Accept, Close, Send
from farend.core.events import How
from farend.core.frames import Payload, UnderWay, head_of, is_close, ordinary_bytes, ordinary_close, ordinary_frame
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


# -- what is kept of frames that the library drops ------------------------------------------------

SERVERS_FRAME = st.binary(max_size=200).map(lambda payload: ordinary_bytes(frames.BINARY, payload))
ANY_FRAMES = st.lists(
    st.builds(client_frame, st.integers(0, 255), st.binary(max_size=200)) | SERVERS_FRAME, min_size=1, max_size=5
)
CUTS = st.lists(st.integers(0, 1000), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(ANY_FRAMES, st.integers(0, 210), CUTS, st.integers(0, 5))
def test_what_is_under_way_is_what_is_behind_the_last_whole_frame(
    said: list[bytes], short: int, cuts: list[int], taken: int
) -> None:
    last = said[-1][: max(0, len(said[-1]) - short)]
    data = b"".join(said[:-1]) + last
    under_way = UnderWay()
    for piece in pieces(data, cuts):
        under_way.take(piece)
    assert under_way.data == (b"" if last == said[-1] else last)

    under_way = UnderWay()
    first, rest = data[: min(cuts, default=0)], data[min(cuts, default=0) :]
    under_way.take(first)
    begun = len(first) - len(under_way.data)  # so much of it was whole
    whole = [end for end in itertools.accumulate(map(len, said)) if begun < end <= len(data)][:taken]
    assert under_way.behind(len(whole), rest) == data[whole[-1] if whole else begun :]


@given(st.binary(max_size=300), st.sampled_from([MASK, None]), CUTS, st.binary(max_size=5))
def test_a_payload_is_the_same_however_it_comes(
    payload: bytes, mask: bytes | None, cuts: list[int], behind: bytes
) -> None:
    frame = client_frame(frames.BINARY, payload) if mask else ordinary_bytes(frames.BINARY, payload)
    taker = Payload()
    assert b"".join(taker.take(piece) for piece in pieces(frame + behind, cuts)) == payload + behind


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("mask", [True, False])
def test_the_head_of_a_frame_of_any_size(length: int, mask: bool) -> None:
    frame = Frame(Opcode.BINARY, bytes(length)).serialize(mask=mask)
    head = head_of(b"?" + frame, 1)
    assert head is not None
    assert head.size + head.length == len(frame)
    assert head.length == length
    assert len(head.mask) == 4 * mask
    assert head_of(frame[: head.size - 1], 0) is None


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (client_frame(frames.CLOSE, b"\x03\xe8"), True),
        (ordinary_bytes(frames.CLOSE, b""), True),
        (client_frame(frames.TEXT, b"\x03\xe8"), False),
        (client_frame(frames.CLOSE, b"\x03\xe8") + b"?", False),
        (client_frame(frames.CLOSE, b"\x03\xe8")[:-1], False),
        (b"\x88", False),
    ],
)
def test_whether_it_is_a_close_frame(data: bytes, answer: bool) -> None:
    assert is_close(data) is answer


@given(SERVERS_FRAME, SERVERS_FRAME, CUTS)
def test_of_a_long_frame_under_way_the_beginning_is_kept(long: bytes, last: bytes, cuts: list[int]) -> None:
    under_way = UnderWay()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "KEPT", 20)
        for piece in pieces(long[:-1], cuts):
            under_way.take(piece)
        kept = under_way.data
        assert kept == long[:-1][:20] or (len(kept) < 20 + 10 and long.startswith(kept))  # all of a head is kept
        assert under_way.behind(1, long[-1:] + last) == last
        told = under_way.behind(0, long[-1:] + last)
        assert told == (long + last if len(long) <= 21 else kept + last)


@pytest.mark.parametrize("mask", [MASK, b""])
def test_what_half_a_frame_says(mask: bytes) -> None:
    frame = client_frame(frames.BINARY, b"hello") if mask else ordinary_bytes(frames.BINARY, b"hello")
    head = frame[:-5]
    under_way = UnderWay()
    under_way.take(head[:-1])
    assert under_way.said(b"") == head[:-1]
    under_way.take(head[-1:] + frame[-5:-2])
    assert under_way.said(frame[-5:-2]) == b"hel"
