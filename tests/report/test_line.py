from __future__ import annotations

import pytest

from farend.core.messages import counted
from farend.report.line import Line, cells, fitted, indented, labelled, row, shown, visible, wrapped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("grüße, 世界", "grüße, 世界"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("no\xa0break", r"no\xa0break"),
        ("\ud800", r"\ud800"),
    ],
)
def test_invisible_characters_are_shown_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_a_long_line_is_cut_to_the_width() -> None:
    assert fitted("x" * 10, 10) == "x" * 10
    assert fitted("x" * 11, 10) == "x" * 9 + "…"
    assert fitted("\n" * 10, 10) == r"\n\n\n\n\…"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hello", "'hello'"),
        (b"hello", "b'hello'"),
        ("x" * 1000, "'xxxxxxxxxxxxx'… (str, 1,000 characters)"),
        (b"\0" * 1000, r"b'\x00\x00\x00'… (bytes, 1,000 bytes)"),
        (bytearray(b"\0" * 1000), r"bytearray(b'\x00')… (bytes, 1,000 bytes)"),
        ({"a": 1}, "{'a': 1}"),
        (["x" * 100], "['xxxxxxxxxxxxxx… (list, 104 characters)"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_in_the_room_there_is(value: object, expected: str) -> None:
    assert shown(value, 40) == expected


@pytest.mark.parametrize("size", [0, 1, 38, 39, 40, 41, 100, 5000])
@pytest.mark.parametrize("one", ["x", "\n", "\0", "é", "'", "\U0001f600"])
@pytest.mark.parametrize("room", [40, 60, 100])
def test_what_is_shown_never_takes_more_than_its_room(size: int, one: str, room: int) -> None:
    for value in (one * size, (one * size).encode(), [one * size]):
        assert len(shown(value, room)) <= room


def test_showing_megabytes_is_showing_their_beginning() -> None:
    assert shown("x" * (64 << 20), 40).endswith("… (str, 67,108,864 characters)")


def test_a_value_whose_repr_fails_is_still_shown() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert shown(Broken(), 60) == "<Broken, whose repr raised RuntimeError>"


def test_columns_of_a_terminal_are_counted() -> None:
    assert cells("abc") == 3
    assert cells("世界") == 4
    assert cells("e\u0301") == 1


def test_labels_stand_in_one_column() -> None:
    assert row("got", "'x'", "got") == Line("got       'x'", "got")
    assert labelled("because", "a b c d e f", 15) == [Line("because   a b c"), Line("          d e f")]
    assert labelled("because", "", 15) == [Line("because   ")]


def test_sentences_are_wrapped_and_do_not_go_on_for_ever() -> None:
    assert wrapped("", 10) == []
    assert wrapped("one two\nthree", 8, "advice") == [Line("one two", "advice"), Line("three", "advice")]
    assert wrapped("word " * 1000, 10, most=2) == [Line("word word"), Line("word …")]


def test_indentation_leaves_empty_lines_empty() -> None:
    assert list(indented([Line("a"), Line("")])) == [Line("  a"), Line("")]


def test_counting() -> None:
    assert [counted(number, "step") for number in (0, 1, 2, 10_000)] == ["0 steps", "1 step", "2 steps", "10,000 steps"]
