from __future__ import annotations

import time
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend.report.compare import are_lines, beside, by_line, common_tail, excerpt, first_difference
from farend.report.line import Line


def text(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


texts = st.text(st.sampled_from("ab\n'\"\\é\0"), max_size=30)


@given(texts, texts, texts, texts)
def test_the_first_difference_and_the_common_tail(head: str, left: str, right: str, tail: str) -> None:
    one, other = head + left + tail, head + right + tail
    at = first_difference(one, other)
    assert one[:at] == other[:at]
    assert at == min(len(one), len(other)) or one[at] != other[at]
    back = common_tail(one, other, at)
    assert one[len(one) - back :] == other[len(other) - back :]
    assert at + back <= min(len(one), len(other))


@given(st.one_of(st.text(max_size=300), st.binary(max_size=300)), st.integers(0, 300), st.integers(0, 20))
def test_an_excerpt_keeps_to_its_room_and_marks_within_it(value: str | bytes, start: int, length: int) -> None:
    start = min(start, len(value))
    found = excerpt(value, start, min(start + length, len(value)), 60)
    assert len(found.text) <= 60
    assert 0 < found.start < found.end


@pytest.mark.parametrize(
    ("expected", "got", "screen"),
    [
        (
            "general",
            "admiral",
            """\
expected  'general'
got       'admiral'
           ^^^^""",
        ),
        (
            "hello",
            "hello ",
            """\
expected  'hello'
got       'hello '
                ^""",
        ),
        (
            "hello",
            "hell",
            """\
expected  'hello'
got       'hell'
               ^""",
        ),
        (
            b"a\r\nb",
            b"a\nb",
            r"""
expected  b'a\r\nb'
got       b'a\nb'
             ^^""".strip(),
        ),
        (
            "it's",
            "it'z",
            """\
expected  "it's"
got       "it'z"
              ^""",
        ),
        (
            "a'b\"c",
            "a'b\"d",
            r"""
expected  'a\'b"c'
got       'a\'b"d'
                ^""".strip(),
        ),
        (
            'say "x"',
            "say \"x'",
            r"""
expected  'say "x"'
got       'say "x\''
                 ^^""".strip(),
        ),
        (
            "世界!",
            "世界?",
            """\
expected  '世界!'
got       '世界?'
               ^""",
        ),
        (
            "zero",
            "ze\u200bro",
            r"""
expected  'zero'
got       'ze\u200bro'
             ^^^^^^""".strip(),
        ),
    ],
)
def test_two_on_a_line_each_with_a_mark_below(expected: str, got: str, screen: str) -> None:
    assert text(beside(expected, got, 60)) == screen


def test_long_ones_are_shown_around_the_first_difference() -> None:
    expected, got = "x" * 500 + "yes" + "x" * 500, "x" * 500 + "no" + "x" * 500
    assert (
        text(beside(expected, got, 80))
        == """\
expected  …'xxxxxxxxxxxxxxyesxxxxxxxxxxxxxxxxxxxxxxxxx'… (str, 1,003 characters)
got       …'xxxxxxxxxxxxxxnoxxxxxxxxxxxxxxxxxxxxxxxxxx'… (str, 1,002 characters)
                          ^^"""
    )


def test_the_end_of_a_long_one_has_no_dots_behind_it() -> None:
    last = beside("x" * 500 + "y", "x" * 500 + "z", 80)[1].text
    assert last.startswith("got       …'xxx")
    assert last.endswith("xz' (str, 501 characters)")


LINES = "".join(f"line {number}\n" for number in range(1, 13))


def test_texts_are_compared_line_by_line() -> None:
    got = LINES.replace("line 5\n", "line five\n").replace("line 12\n", "line 12")
    assert (
        text(by_line(LINES, got, 80))
        == r"""
- expected, + got; they part at line 5, column 6
  'line 3\n'
  'line 4\n'
- 'line 5\n'
+ 'line five\n'
        ^^^^
  'line 6\n'
  'line 7\n'
  … 2 equal lines
  'line 10\n'
  'line 11\n'
- 'line 12\n'
+ 'line 12'
          ^""".strip()
    )


def test_an_inserted_line_is_one_line_of_a_diff() -> None:
    got = LINES.replace("line 2\n", "line 2\nline 2b\n")
    assert (
        text(by_line(LINES, got, 80))
        == r"""
- expected, + got; they part at line 3, column 6
  'line 1\n'
  'line 2\n'
+ 'line 2b\n'
  'line 3\n'
  'line 4\n'
  … 8 equal lines""".strip()
    )


def test_a_line_left_out_is_one_line_of_a_diff() -> None:
    assert (
        text(by_line(LINES, LINES.replace("line 2\n", ""), 80))
        == r"""
- expected, + got; they part at line 2, column 6
  'line 1\n'
- 'line 2\n'
  'line 3\n'
  'line 4\n'
  … 8 equal lines""".strip()
    )


def test_only_line_endings_that_differ_are_visible() -> None:
    assert r"+ 'line 1\r\n'" in text(by_line(LINES, LINES.replace("\n", "\r\n"), 80))


def test_a_long_diff_is_cut_and_says_how_long_the_two_are() -> None:
    got = "".join(f"other {number}\n" for number in range(2000))
    lines = by_line(LINES, got, 80)
    assert len(lines) == 26
    assert lines[-1].text == "… (12 lines expected, 2,000 lines came)"


@pytest.mark.parametrize("kind", [str, bytes])
def test_an_insertion_in_a_long_text_is_no_deletion_at_the_windows_end(kind: type) -> None:
    expected = "".join(f"line {number}\n" for number in range(1000))
    got = expected.replace("line 500\n", "new\nline 500\n")
    if kind is bytes:
        told = text(by_line(expected.encode(), got.encode(), 80)).replace("b'", "'")
    else:
        told = text(by_line(expected, got, 80))
    assert (
        told
        == r"""
- expected, + got; they part at line 501, column 1
  'line 498\n'
  'line 499\n'
+ 'new\n'
  'line 500\n'
  'line 501\n'
  … 35 equal lines
… (1,000 lines expected, 1,001 lines came)""".strip()
    )


def test_a_line_without_end_is_shown_around_its_difference() -> None:
    expected = "a\n" + "x" * 100_000 + "\nb"
    told = text(by_line(expected, expected.replace("xx\nb", "xy\nb"), 80))
    assert "they part at line 2, column 100,000" in told
    assert "xy\\n'" in told


@pytest.mark.parametrize(
    ("expected", "got", "by_line"),
    [
        ("a\nb\n", "a\nc\n", True),
        ("a\n", "b\n", False),
        ("a", "b\nc", False),
        ("a", "b\nc" * 100, True),
        ("", "", False),
        (b"a\nb", b"a\nc", True),
    ],
)
def test_what_is_more_than_a_line_is_compared_by_line(expected: str, got: str, by_line: bool) -> None:
    assert are_lines(expected, got, 80) is by_line


@pytest.mark.parametrize("piece", ["x", "\n", "line\n", "\0", "\r\n", "é"])
def test_a_mebibyte_is_compared_in_no_time(piece: str) -> None:
    half = piece * ((1 << 19) // len(piece))
    expected, got = half + half, half + "#" + half
    raw_expected, raw_got = expected.encode(), got.encode()

    def compared() -> None:
        by_line(expected, got, 100)
        beside(expected, got, 100)
        by_line(raw_expected, raw_got, 100)

    # The processor's time, and the best of some: a busy machine is no slow report.
    assert min(timeit.repeat(compared, timer=time.process_time, number=1, repeat=5)) < 0.05
