"""What passes is read as an endpoint would read it, however it is cut, and what is no frame is kept as it is."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from farend.tape.format import Kind
from farend.tape.frames import Frames, Inflater, Passed, inflaters


def frame(opcode, data=b"", *, mask=False, extensions=(), fin=True):
    return Frame(opcode, data, fin).serialize(mask=mask, extensions=list(extensions))


def short(passed):
    return [(one.kind, one.code if one.payload is None else one.payload) for one in passed]


def fed(frames, data, cuts=()):
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [one for start, end in itertools.pairwise(edges) for one in frames.feed(data[start:end])]


MESSAGES = st.lists(st.text(max_size=200) | st.binary(max_size=200) | st.integers(120, 70_000).map(bytes), max_size=6)


@given(MESSAGES, st.booleans(), st.lists(st.integers(0, 1 << 20), max_size=10), st.sampled_from([None, False, True]))
def test_messages_are_read_however_they_are_cut(messages, mask, cuts, forgets):
    extension = None if forgets is None else PerMessageDeflate(forgets, forgets, 15, 15)
    data = b"".join(
        frame(
            Opcode.TEXT if isinstance(said, str) else Opcode.BINARY,
            said.encode() if isinstance(said, str) else said,
            mask=mask,
            extensions=[extension] if extension else [],
        )
        for said in messages
    )
    frames = Frames(None if forgets is None else Inflater(15, forgets=forgets))
    assert [one.payload for one in fed(frames, data, cuts)] == messages
    assert frames.end() == []


HEADS = st.builds(
    bytes, st.tuples(st.integers(0, 255), st.sampled_from([0, 1, 2, 125, 126, 127, 128, 129, 253, 254, 255]))
)


@given(
    st.sampled_from([b"", frame(Opcode.TEXT, b"a", fin=False), frame(Opcode.BINARY, b"ab")[:-1], b"\xff\xff"]),
    st.builds(frame, st.sampled_from(Opcode), st.binary(max_size=125), mask=st.booleans())
    | st.builds(lambda head, rest: head + rest, HEADS, st.binary(max_size=130))
    | st.binary(max_size=3),
    st.binary(max_size=2),
)
def test_what_is_just_a_message_is_what_it_would_be_among_others(before, data, behind):
    frames = Frames()
    frames.feed(before)
    message = frames.message(data + behind)
    if message is not None:
        assert frames.feed(data + behind) == [Passed(Kind.MESSAGE, message)]
        assert not frames.is_within


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535])
@pytest.mark.parametrize("mask", [True, False])
def test_what_is_just_a_message_is_known_as_one(size, mask):
    assert Frames().message(frame(Opcode.BINARY, b"\xff" * size, mask=mask)) == b"\xff" * size
    assert Frames().message(frame(Opcode.TEXT, b"t" * size, mask=mask)) == "t" * size


@pytest.mark.parametrize("data", [frame(Opcode.BINARY, bytes(65_536)), frame(Opcode.TEXT, b"\xff"), frame(Opcode.PING)])
def test_what_is_more_than_just_a_message_is_left_to_who_takes_all(data):
    assert Frames().message(data) is None


def test_control_frames_come_between_fragments():
    data = b"".join(
        (
            frame(Opcode.TEXT, "é".encode()[:1], fin=False),
            frame(Opcode.PING, b"?", mask=True),
            frame(Opcode.PONG, b"!"),
            frame(Opcode.CONT, "é".encode()[1:]),
            frame(Opcode.CLOSE, b"\x03\xe8bye"),
        )
    )
    frames = Frames()
    assert not frames.closed
    ping, pong, message, close = frames.feed(data)
    assert (ping.payload, pong.payload) == (b"?", b"!")
    assert (message.payload, message.fragments) == ("é", (1, 1))
    assert (close.kind, close.code, close.reason) == (Kind.CLOSE, 1000, "bye")
    assert frames.closed


def test_closes_of_all_kinds():
    assert short(Frames().feed(frame(Opcode.CLOSE))) == [(Kind.CLOSE, None)]
    [odd] = Frames().feed(frame(Opcode.CLOSE, b"\x03\xe8\xff"))
    assert (odd.kind, odd.code, odd.payload) == (Kind.CLOSE, 1000, b"\xff")


@pytest.mark.parametrize(
    "bad",
    [
        b"\x83\x00",
        b"\x8b\x00",
        b"\xa1\x00",
        b"\xc1\x00",
        frame(Opcode.CONT, b"x"),
        frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.TEXT, b"b"),
    ],
)
def test_what_is_no_frame_is_raw_from_there_on(bad):
    frames = Frames()
    passed = frames.feed(frame(Opcode.TEXT, b"good") + bad)
    assert short(passed)[0] == (Kind.MESSAGE, "good")
    assert {one.kind for one in passed[1:]} == {Kind.RAW}
    assert short(frames.feed(b"more")) == [(Kind.RAW, b"more")]


def test_text_that_is_not_utf8_is_raw():
    assert short(Frames().feed(frame(Opcode.TEXT, b"\xff"))) == [(Kind.RAW, b"\xff")]


def test_compression_that_is_none_is_raw():
    frames = Frames(Inflater(15, forgets=False))
    assert short(frames.feed(b"\xc1\x03\xff\xff\xff")) == [(Kind.RAW, b"\xc1\x03\xff\xff\xff")]


def test_what_inflates_without_end_is_raw(monkeypatch):
    monkeypatch.setattr("farend.tape.frames._MOST_INFLATED", 1000)
    deflate = zlib.compressobj(wbits=-15)
    bomb = (deflate.compress(bytes(100_000)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    frames = Frames(Inflater(15, forgets=False))
    assert [one.kind for one in frames.feed(b"\xc2" + bytes([len(bomb)]) + bomb)] == [Kind.RAW]


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b"\x81", []),
        (b"\x81\x05", []),
        (b"\x81\x05hel", [b"hel"]),
        (b"\x81\x7e\x01", []),
        (b"\x81\x85\1\1\1", []),
        (b"\x81\x85\1\1\1\1" + bytes(byte ^ 1 for byte in b"hel"), [b"hel"]),
        (b"\x01\x01a\x80\x05be", [b"a", b"be"]),
    ],
)
def test_what_had_come_of_a_message_has_no_mask(data, left):
    frames = Frames()
    assert frames.feed(data) == []
    assert [one.payload for one in frames.end() if one.payload] == left


@given(
    st.lists(st.binary(min_size=1, max_size=70_000), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([None, False, True]),
    st.lists(st.integers(0, 1 << 20), max_size=8),
    st.integers(0, 1 << 20),
)
def test_parts_are_what_has_come_of_a_message_so_far(fragments, mask, forgets, cuts, end):
    extensions = [] if forgets is None else [PerMessageDeflate(forgets, forgets, 15, 15)]
    last = len(fragments) - 1
    data = frame(Opcode.BINARY, b"before", mask=mask, extensions=extensions) + b"".join(
        frame(Opcode.CONT if n else Opcode.BINARY, part, mask=mask, extensions=extensions, fin=n == last)
        + (b"" if n == last else frame(Opcode.PING, b"?", mask=mask))
        for n, part in enumerate(fragments)
    )
    data = data[: end % (len(data) + 1)]
    frames = Frames(None if forgets is None else Inflater(15, forgets=forgets))
    parts = b""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        whole = [one.payload for one in frames.feed(data[start:stop]) if one.kind is Kind.MESSAGE]
        assert not whole or whole[0].startswith(parts)
        parts = (b"" if whole else parts) + (frames.part() if frames.is_within else b"")
    assert parts == b"".join([one.payload for one in frames.end()])


def test_what_had_come_of_a_compressed_message_is_inflated():
    deflate = zlib.compressobj(wbits=-15)
    whole = deflate.compress(b"token=" * 100) + deflate.flush(zlib.Z_SYNC_FLUSH)
    frames = Frames(Inflater(15, forgets=False))
    frames.feed(b"\xc1\x7d" + whole)
    assert frames.part() == b"token=" * 100
    assert frames.end()[0].payload == b"token=" * 100
    frames = Frames(Inflater(15, forgets=False))
    frames.feed(b"\xc1\x05\xff\xff")
    assert frames.part() == b""
    assert frames.end()[0].payload == b""


def test_only_what_is_compressed_is_inflated():
    extension = PerMessageDeflate(False, False, 15, 15)
    frames = Frames(Inflater(15, forgets=False))
    [before] = frames.feed(frame(Opcode.TEXT, b"before", extensions=[extension]))
    assert before.payload == "before"
    frames.feed(frame(Opcode.TEXT, b"hello")[:-2])
    assert frames.part() == b"hel"
    assert frames.end() == [Passed(Kind.RAW, b"hel")]


def test_a_frame_that_cannot_be_is_kept_together():
    broken = frame(Opcode.TEXT, b'{"token": "s3cr3t-1"}').replace(b"\x81", b"\x83", 1)
    frames = Frames()
    assert frames.feed(broken[:8]) == []
    assert frames.feed(broken[8:] + b"more") == [Passed(Kind.RAW, broken + b"more")]


@pytest.mark.parametrize("cut", range(1, 5))
@pytest.mark.parametrize("mask", [b"", b"\1\2\3\4"])
def test_what_turns_out_to_be_no_frame_is_raw_as_it_came(cut, mask):
    broken = b"\xc1" + bytes([3 | (0x80 if mask else 0)]) + mask + b"\xff\xff\xff"
    frames = Frames(Inflater(15, forgets=False))
    assert frames.feed(broken[:cut]) == []
    assert frames.feed(broken[cut:]) == [Passed(Kind.RAW, broken)]
    assert frames.end() == []


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [
        ((), None),
        ((("Sec-WebSocket-Extensions", "x-mine"),), None),
        ((("sec-websocket-extensions", "x-mine, permessage-deflate"),), (15, False, 15, False)),
        (
            (
                (
                    "Sec-WebSocket-Extensions",
                    'permessage-deflate; server_no_context_takeover; client_max_window_bits="9"; '
                    "server_max_window_bits=8",
                ),
            ),
            (9, False, 15, True),
        ),
    ],
)
def test_what_is_agreed_is_read_from_the_answer(answer, agreed):
    found = inflaters(answer)
    if agreed is None:
        assert found == {}
    else:
        client, server = found["client"], found["server"]
        assert (client._bits, client._forgets, server._bits, server._forgets) == agreed


@given(st.integers(100, 30_000), st.booleans(), st.integers(1, 1 << 14))
def test_what_is_read_next_ends_where_a_message_does_if_all_are_as_long(size, mask, first):
    most = 1 << 14
    one = frame(Opcode.BINARY, bytes(size), mask=mask)
    stream = one * (5 * most // len(one) + 5)
    frames, at = Frames(), first
    frames.feed(stream[:at])
    for _ in range(3):
        is_known, wanted = frames._length, frames.wants(most)
        assert 1 <= wanted <= most
        frames.feed(stream[at : at + wanted])
        at += wanted
        if is_known and len(one) <= most // 2:
            assert at % len(one) == 0
            assert not frames.is_within


@pytest.mark.parametrize("size", [(1 << 18) - 6, 1 << 18, 1 << 20])
def test_where_a_message_is_longer_than_what_is_read_at_once_as_much_is_read_as_can_be(size):
    frames = Frames()
    assert frames.wants(1 << 18) == 1 << 18
    one = frame(Opcode.BINARY, bytes(size))
    frames.feed(one[:100])
    assert frames.wants(1 << 18) == 1 << 18
    frames.feed(one[100:])
    assert frames.wants(1 << 18) == 1 << 18


def test_half_a_head_counts_for_what_is_read_next():
    frames = Frames()
    one = frame(Opcode.BINARY, bytes(1000))
    frames.feed(one + one[:500])
    frames.feed(one[500:] + one[:3])
    assert frames.wants(10 * len(one)) == 10 * len(one) - 3
