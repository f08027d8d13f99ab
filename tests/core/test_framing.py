from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farend.core.framing import (
    ByFunction,
    Cut,
    Framing,
    FramingError,
    UntilPattern,
    at_least,
    exactly,
    framed_by,
    json_lines,
    length_prefixed,
    lines,
    pattern,
    until,
)
from farend.errors import ScriptError, WrongType


@pytest.mark.parametrize(
    ("framing", "data", "cut"),
    [
        (exactly(3), b"ab", None),
        (exactly(3), b"abcd", Cut(3, b"abc")),
        (until(b"||"), b"ab|", None),
        (until(b"||"), b"ab|||", Cut(4, b"ab")),
        (until("é"), "aéb".encode(), Cut(3, b"a")),
        (until(b";", keep=True), b"a;b", Cut(2, b"a;")),
        (until(b";"), b";", Cut(1, b"")),
        (lines(), b"a\r", None),
        (lines(), b"a\r\nb", Cut(3, b"a")),
        (lines(), b"a\nb", Cut(2, b"a")),
        (json_lines(), b"{}\n", Cut(3, b"{}")),
        (length_prefixed(), b"\0\0\0", None),
        (length_prefixed(), b"\0\0\0\2a", None),
        (length_prefixed(), b"\0\0\0\2abc", Cut(6, b"ab")),
        (length_prefixed("<H2x"), b"\1\0..ab", Cut(5, b"a")),
        (length_prefixed("B"), b"\0a", Cut(1, b"")),
        (pattern(rb"\d+;"), b"12", None),
        (pattern(rb"\d+;"), b"12;3;", Cut(3, b"12;")),
        (pattern(rb"a.*c|b"), b"abc", Cut(2, b"ab")),
        (pattern(rb"x+"), b"__xxx", Cut(3, b"__x")),
        (pattern("[äö];"), "xä;".encode(), Cut(4, "xä;".encode())),
        (pattern("[äö];"), "ä;".encode()[:1], None),
        (pattern(re.compile("é")), b"\xff\xc3\xa9", Cut(3, b"\xff\xc3\xa9")),
        (pattern(re.compile(b"a$")), b"ba", Cut(2, b"ba")),
        (pattern(rb"a(?=b)"), b"aab", Cut(3, b"aab")),
        (pattern(rb"(?<=;)a"), b"a;a", Cut(3, b"a;a")),
        (framed_by(lambda data: 2), b"abc", Cut(2, b"ab")),
        (framed_by(lambda data: (2, b"!")), b"abc", Cut(2, b"!")),
        (framed_by(lambda data: None), b"abc", None),
    ],
)
@pytest.mark.parametrize("buffer", [bytes, bytearray])
def test_where_the_first_message_ends(framing: Framing, data: bytes, cut: Cut | None, buffer: Any) -> None:
    given_bytes = buffer(data)
    assert framing.cut(given_bytes, False) == framing.cut(given_bytes, True) == cut
    if buffer is bytearray:
        given_bytes.clear()  # nothing holds on to the buffer


def test_at_least_cuts_only_what_is_there_when_the_near_end_pauses() -> None:
    assert at_least(2).greedy
    assert at_least(2).cut(b"abc", quiet=False) is None
    assert at_least(2).cut(b"a", quiet=True) is None
    assert at_least(2).cut(b"abc", quiet=True) == Cut(3, b"abc")


@pytest.mark.parametrize(
    "framing",
    [
        exactly(3),
        until(b"ab"),
        until(b"b", keep=True),
        lines(),
        length_prefixed("B"),
        pattern(b"ab+"),
        pattern(b"a.*b|ba"),
        pattern(rb"\ba\b"),
        pattern(rb"a(?!b)|b$"),
        pattern("é|ab"),
        pattern(rb"(?:ab|a)*+b"),
        UntilPattern(re.compile(b"a*")),
    ],
)
@settings(max_examples=60)
@given(data=st.text("abé\n\x01").map(str.encode))
def test_a_cut_is_the_same_whatever_comes_behind_it(framing: Framing, data: bytes) -> None:
    shortest = next((cut for end in range(len(data) + 1) if (cut := framing.cut(data[:end], False))), None)
    assert framing.cut(data, False) == shortest
    assert shortest is None or 0 < shortest.end <= len(data)


def test_a_pattern_that_finds_nothing_takes_nothing() -> None:
    assert UntilPattern(re.compile(b"a*")).cut(b"", False) is None


@pytest.mark.parametrize(
    ("framing", "message", "packed", "heard"),
    [
        (exactly(3), b"abc", b"abc", b"abc"),
        (at_least(3), b"abc", b"abc", b"abc"),
        (until(b";"), b"a", b"a;", b"a"),
        (until(b";", keep=True), b"a", b"a;", b"a;"),
        (until(b";", keep=True), b"a;", b"a;", b"a;"),
        (lines(), b"a", b"a\n", b"a"),
        (lines(b"\r\n"), b"a", b"a\r\n", b"a"),
        (length_prefixed(">H"), b"ab", b"\0\2ab", b"ab"),
        (pattern(b"a;"), b"a;", b"a;", b"a;"),
        (framed_by(len), b"a", b"a", b"a"),
        (framed_by(lambda data: (2, data[1:2]), lambda message: b"<" + message), b"a", b"<a", b"a"),
    ],
)
def test_what_is_packed_is_cut_again(framing: Framing, message: bytes, packed: bytes, heard: bytes) -> None:
    assert framing.pack(message) == packed
    assert framing.heard(message) == heard
    assert framing.cut(packed, True) == Cut(len(packed), heard)


def test_a_length_that_cannot_be_is_an_error_of_the_framing() -> None:
    with pytest.raises(FramingError, match=r"announces 11 bytes; the limit is 10"):
        length_prefixed("B", limit=10).cut(b"\x0b", False)
    with pytest.raises(FramingError, match="announces -1 bytes"):
        length_prefixed("b").cut(b"\xff", False)
    with pytest.raises(FramingError, match="256 bytes are too many for a 'B' length"):
        length_prefixed("B").pack(b"x" * 256)


@pytest.mark.parametrize("answer", [0, -1, 4, (0, b""), "x", (1,), (), (1, b"a", b"b"), 1.5, True, False, (b"ab", 2)])
def test_an_answer_of_a_framing_function_that_is_no_end_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"for 3 bytes; it must answer None, an end from 1 to .*, or \(end, message\)"):
        framed_by(lambda data: answer).cut(b"abc", False)


class Two:
    """What may be an index, as numpy's integers may, and is no int."""

    def __index__(self) -> int:
        return 2


@pytest.mark.parametrize("answer", [Two(), (Two(), b"ab")])
def test_an_end_that_may_be_an_index_is_a_number_from_there_on(answer: Any) -> None:
    cut = framed_by(lambda data: answer).cut(b"abc", False)
    assert cut == Cut(2, b"ab")
    assert type(cut.end) is int


def test_a_pair_that_is_the_wrong_way_round_is_told() -> None:
    with pytest.raises(ValueError, match=r"it answered \(b'ab', 2\) .*; the end comes first: write \(2, message\)$"):
        framed_by(lambda data: (data[:2], 2)).cut(b"abc", False)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("answer", [(1, "text"), (1, None), (1, 2)])
def test_a_message_of_a_framing_function_that_is_no_bytes_is_refused(answer: Any) -> None:
    with pytest.raises(TypeError, match="a message on a stream is bytes"):
        framed_by(lambda data: answer).cut(b"abc", False)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: exactly(0), ScriptError, "at least one byte"),
        (lambda: exactly("3"), WrongType, "number of bytes"),
        (lambda: exactly(True), WrongType, "number of bytes"),
        (lambda: at_least(-1), ScriptError, "at least one byte"),
        (lambda: until(b""), ScriptError, "at least one byte"),
        (lambda: until(3), WrongType, "bytes or str"),
        (lambda: lines(b";"), ScriptError, r"see until\(\)"),
        (lambda: length_prefixed("II"), ScriptError, "one integer"),
        (lambda: length_prefixed("f"), ScriptError, "integer"),
        (lambda: length_prefixed("?"), ScriptError, "integer"),
        (lambda: length_prefixed("nonsense"), ScriptError, "struct format"),
        (lambda: length_prefixed(3), ScriptError, "struct format"),
        (lambda: length_prefixed("B", limit="x"), WrongType, "limit="),
        (lambda: pattern("("), ScriptError, "no regular expression"),
        (lambda: pattern(3), WrongType, "regular expression"),
        (lambda: pattern("x*"), ScriptError, "at least one byte"),
        (lambda: framed_by(3), WrongType, "function"),
    ],
)
def test_a_framing_that_cannot_be_meant_is_told(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_framings_compare_by_what_they_were_given_and_print_as_written() -> None:
    assert exactly(3) == exactly(3)
    assert exactly(3) != exactly(4)
    assert exactly(3) != at_least(3)
    assert until(b";") != until(b";", keep=True)
    assert lines() != lines(b"\r\n")
    assert len({lines(), lines(), json_lines()}) == 1
    own = ByFunction(len, None)
    assert own == framed_by(len)
    shown = [
        exactly(3),
        at_least(2),
        until(b";", keep=True),
        lines(),
        lines(b"\r\n"),
        length_prefixed(),
        pattern("a"),
        own,
    ]
    assert [repr(one) for one in shown] == [
        "exactly(3)",
        "at_least(2)",
        "until(b';', keep=True)",
        "lines()",
        r"lines(b'\r\n')",
        "length_prefixed('>I')",
        "pattern('a')",
        "framed_by(len)",
    ]


def test_a_framing_of_the_tests_own_needs_no_slots() -> None:
    class Own(Framing):
        def __init__(self, size: int) -> None:
            self.size = size

    assert Own(1) == Own(1)
    assert Own(1) != Own(2)
    with pytest.raises(NotImplementedError):
        Own(1).cut(b"", False)
    assert Own(1).pack(b"a") == b"a"
