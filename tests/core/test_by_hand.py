"""Frames made by hand: the bytes against websockets' own reader, and what cannot be made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as Theirs
from websockets.frames import Opcode
from websockets.streams import StreamReader

from farend.core.by_hand import BINARY, CLOSE, CONT, MASK, PING, TEXT, Frame
from farend.core.messages import Raw
from farend.errors import ScriptError, WrongType


def read(raw: bytes, mask: bool) -> Theirs:
    reader = StreamReader()
    reader.feed_data(raw)
    parsing = Theirs.parse(reader.read_exact, mask=mask, max_size=None)
    try:
        next(parsing)
    except StopIteration as stop:
        assert not reader.buffer
        frame: Theirs = stop.value
        return frame
    raise AssertionError("the frame is not complete")


@given(
    opcode=st.sampled_from([CONT, TEXT, BINARY]),
    payload=st.one_of(st.binary(max_size=300), st.sampled_from([b"x" * 65_535, b"x" * 65_536])),
    fin=st.booleans(),
    masked=st.booleans(),
)
def test_a_frame_in_order_is_read_as_it_was_meant(opcode: int, payload: bytes, fin: bool, masked: bool) -> None:
    frame = read(Frame(opcode, payload, fin).wire_bytes(masked), masked)
    assert (frame.opcode, bytes(frame.data), frame.fin) == (opcode, payload, fin)


@pytest.mark.parametrize(
    ("frame", "masked", "raw"),
    [
        (Frame(TEXT, b"hi"), False, b"\x81\x02hi"),
        (Frame(TEXT, bytearray(b"hi")), False, b"\x81\x02hi"),  # type: ignore[arg-type]
        (Frame(TEXT, b"Hello"), True, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),  # RFC 6455, 5.7
        (Frame(TEXT, b"Hello", masked="otherwise"), False, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        (Frame(TEXT, b"Hello", masked="otherwise"), True, b"\x81\x05Hello"),
        (Frame(TEXT, b"Hello", masked=False), True, b"\x81\x05Hello"),
        (Frame(TEXT, masked=True), False, b"\x81\x80" + MASK),
        (Frame(TEXT, b"hi", rsv=4), False, b"\xc1\x02hi"),
        (Frame(TEXT, b"hi", rsv=2), False, b"\xa1\x02hi"),
        (Frame(TEXT, b"hi", rsv=1, fin=False), False, b"\x11\x02hi"),
        (Frame(0xF), False, b"\x8f\x00"),
        (Frame(PING, b"p" * 126), False, b"\x89\x7e\x00\x7e" + b"p" * 126),
        (Frame(TEXT, b"hi", width=0), False, b"\x81\x02hi"),
        (Frame(TEXT, b"hi", width=2), False, b"\x81\x7e\x00\x02hi"),
        (Frame(TEXT, b"hi", width=8), False, b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x02hi"),
        (Frame(TEXT, b"hi", length=1 << 63), False, b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00hi"),
        (Frame(TEXT, b"hi", length=1), False, b"\x81\x01hi"),
    ],
)
def test_each_part_of_a_frame_is_written_as_asked(frame: Frame, masked: bool, raw: bytes) -> None:
    assert frame.wire_bytes(masked) == raw


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Frame(TEXT, b"hi"), "<frame: text, b'hi'>"),
        (Frame(0xB, fin=False, rsv=5), "<frame: opcode b, not final, rsv 101, b''>"),
        (
            Frame(CONT, b"a", masked=True, length=9, width=2),
            "<frame: continuation, masked, length 9, length in 2 bytes",
        ),
        (Frame(CONT, masked=False, width=0), "<frame: continuation, not masked, length in no bytes more, b''>"),
        (Frame(CONT, masked="otherwise"), "<frame: continuation, masked otherwise, b''>"),
    ],
)
def test_a_frame_prints_what_is_out_of_the_ordinary(frame: Frame, text: str) -> None:
    assert repr(frame).startswith(text)


def test_what_closes_is_known() -> None:
    assert Frame(CLOSE).closes
    assert not Frame(TEXT).closes
    assert not Raw(b"\x88\x00").closes, "raw bytes are not looked into"
    assert Raw(b"\x88\x00").wire_bytes(masked=True) == b"\x88\x00"


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"opcode": 16}, ScriptError, r"Frame\(opcode=16\): it is from 0 to 15"),
        ({"opcode": -1}, ScriptError, r"from 0 to 15"),
        ({"opcode": "text"}, WrongType, r"Frame\(opcode=…\) is a number, not 'text'"),
        ({"opcode": True}, WrongType, r"is a number, not True"),
        ({"rsv": 8}, ScriptError, r"Frame\(rsv=8\): it is from 0 to 7"),
        ({"payload": "hi"}, WrongType, r"payload as bytes, not 'hi'"),
        ({"masked": "yes"}, WrongType, r"True, False, 'otherwise' or None, not 'yes'"),
        ({"width": 4}, ScriptError, r"0, 2 or 8 bytes"),
        ({"length": 2.5}, WrongType, r"a number of bytes, not 2.5"),
        ({"length": False}, WrongType, r"a number of bytes, not False"),
        ({"length": -1}, ScriptError, r"a length of -1 does not fit"),
        ({"length": 1 << 64}, ScriptError, r"does not fit into that width: 18446744073709551615 is the most"),
        ({"length": 126, "width": 0}, ScriptError, r"a length of 126 does not fit into that width: 125 is the most"),
        ({"payload": b"x" * 65_536, "width": 2}, ScriptError, r"65535 is the most"),
    ],
)
def test_what_is_no_frame_at_all_is_refused(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Frame(**{"opcode": TEXT, **wrong})


def test_opcodes_are_those_of_the_library() -> None:
    assert (CONT, TEXT, BINARY, CLOSE, PING) == (
        Opcode.CONT,
        Opcode.TEXT,
        Opcode.BINARY,
        Opcode.CLOSE,
        Opcode.PING,
    )
