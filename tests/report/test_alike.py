from __future__ import annotations

import pytest

from farend.report.alike import LIMIT, kinds, remarks


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ("a", "a\n", "Only the line ending at the end differs."),
        (b"a\r\n", b"a\n", "Only the line ending at the end differs."),
        ("a\r\nb", "a\nb", r"Only the line endings differ: \r\n on one side, \n on the other."),
        (b"a\nb\n", b"a\r\nb\r\n", r"Only the line endings differ: \r\n on one side, \n on the other."),
        ("a b", "a  b", "Only white space differs."),
        ("Hello", "hELLO", "Only upper and lower case differ."),
        (b"PING", b"ping", "Only upper and lower case differ."),
        ('{"a": 1}', '{"a":1}', "Both are the same JSON"),
        (b"[1, 2]", b"[1,2]", "Both are the same JSON"),
        ("hello", "hello you", "What came begins as expected, and goes on with ' you': 4 characters too many."),
        (b"ab", b"abc", "What came begins as expected, and goes on with b'c': 1 byte too many."),
        ("hello you", "hello", "' you' is missing: 4 characters."),
        (b"abc", b"ab", "b'c' is missing: 1 byte."),
        ("é", "e\u0301", "composed of other Unicode characters"),
    ],
)
def test_what_sort_of_difference_it_is(expected: str, got: str, said: str) -> None:
    assert said in " ".join(remarks(expected, got))


@pytest.mark.parametrize(
    ("expected", "got"),
    [("a", "b"), (b"a", b"b"), ("", "x"), ("x", ""), ("{no", "{yes"), ("[1]", "[2]"), ("x" * LIMIT, "X" * (LIMIT + 1))],
)
def test_there_is_not_always_something_to_say(expected: str, got: str) -> None:
    assert list(remarks(expected, got)) == []


def test_characters_that_look_the_same_are_named() -> None:
    assert list(remarks("pay", "pаy")) == [
        "At character 1, 'a' (U+0061 LATIN SMALL LETTER A) was expected, and 'а' (U+0430 CYRILLIC SMALL LETTER A) came."
    ]
    assert "'\\ue000' (U+E000) came" in " ".join(remarks("a", "\ue000"))


def test_deeply_nested_json_is_given_up() -> None:
    deep = "[" * 30_000
    assert list(remarks(deep + "1", deep + "2")) == []


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ("x", b"x", "Text was expected, binary came (with the same content)."),
        ("x", b"y", "Text was expected, binary came. Expect bytes"),
        ("\ud800", b"y", "Text was expected, binary came. Expect bytes"),
        (b"x", "x", "Binary was expected, text came (with the same content)."),
        (b"x", "y", "Binary was expected, text came. Expect str"),
    ],
)
def test_text_against_binary(expected: object, got: object, said: str) -> None:
    assert kinds(expected, got).startswith(said)


def test_other_kinds_are_none_of_its_business() -> None:
    assert kinds(1, "1") == kinds("a", "b") == ""
