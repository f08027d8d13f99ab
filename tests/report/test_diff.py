from __future__ import annotations

import re
from typing import get_args

import pytest

from farend.core.matchers import Difference, Kind, anything, json, matcher, regex, where
from farend.report import diff


def told(expected: object, got: object, room: int = 98) -> str:
    difference = matcher(expected).difference(got)
    assert difference is not None
    return "\n".join(line.text for line in diff.told(difference, room))


def brief(expected: object, got: object, room: int = 98) -> str:
    difference = matcher(expected).difference(got)
    assert difference is not None
    return "\n".join(line.text for line in diff.brief(difference, room))


def test_every_kind_of_difference_has_a_teller() -> None:
    assert set(diff._TELLERS) == set(get_args(Kind))


# -- text and bytes -------------------------------------------------------------------------------


def test_text() -> None:
    assert (
        told("general", "general ")
        == """\
expected  'general'
got       'general '
                  ^
Only white space differs."""
    )


def test_text_of_several_lines() -> None:
    assert (
        told("to: a\nfrom: b\n", "to: a\nfrom: c\n")
        == r"""
- expected, + got; they part at line 2, column 7
  'to: a\n'
- 'from: b\n'
+ 'from: c\n'
         ^""".strip()
    )


def test_bytes() -> None:
    assert (
        told(b"\x01\x02\x03", b"\x01\x00\x03")
        == r"""
expected  b'\x01\x02\x03'
got       b'\x01\x00\x03'
                ^^^^
3 bytes each; the first difference is at offset 1 (0x1)
expected 00000000  01 02 03                                         |...|
got      00000000  01 00 03                                         |...|
                      ^^                                              ^""".strip()
    )


def test_bytes_that_are_lines_of_text_are_told_as_both() -> None:
    screen = told(b"EHLO me\r\nQUIT\r\n", b"EHLO me\r\nRSET\r\n")
    assert r"+ b'RSET\r\n'" in screen
    assert "offset 9 (0x9)" in screen


def test_text_against_bytes() -> None:
    assert (
        told("x", b"x")
        == """\
expected  'x'
got       b'x'
Text was expected, binary came (with the same content). Expect bytes if binary is meant, or let
the near end send text."""
    )


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_a_difference_of_a_users_own_matcher_may_hold_anything(kind: Kind) -> None:
    lines = diff.told(Difference(kind, 1, None, detail="it is odd"), 98)
    assert [line.text for line in lines] == ["expected  1", "got       None", "because   it is odd"]


# -- JSON -----------------------------------------------------------------------------------------


def test_json_is_told_by_path() -> None:
    expected = {"op": "subscribe", "args": {"channels": ["a", "b"], "depth": 5}, "id": 1}
    assert (
        told(json(expected, partial=False), '{"op": "sub", "args": {"channels": ["a"], "depth": true}, "more": null}')
        == """\
expected  json {'op': 'subscribe', 'args': {'channels': ['a', 'b'], 'depth': 5}, 'id': 1}
got       {'op': 'sub', 'args': {'channels': ['a'], 'depth': True}, 'more': None}
$.op: expected 'subscribe', got 'sub'
$.args.channels[1]: missing, expected 'b'
$.args.depth: expected 5, got True
$.id: missing, expected 1
$.more: unexpected, got None"""
    )


def test_unexpected_members_are_told_in_their_order() -> None:
    got = "{" + ", ".join(f'"{name}": 1' for name in "zebra") + "}"
    paths = [line.partition(":")[0] for line in told(json({}, partial=False), got).splitlines()[2:]]
    assert paths == ["$.z", "$.e", "$.b", "$.r", "$.a"]


def test_many_changes_are_counted() -> None:
    screen = told(json(list(range(100))), "[]")
    assert screen.splitlines()[-1] == "… and 80 more"
    assert "$[19]: missing, expected 19" in screen
    assert brief(json(list(range(100))), "[]").splitlines()[-1] == "… and 97 more"


def test_what_comparing_raised_in_json_is_told_at_its_path() -> None:
    class Loud:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("do not compare me")

        def __repr__(self) -> str:
            return "Loud()"

        __hash__ = None  # type: ignore[assignment]

    changes = """\
$.a: expected Loud(), got 1
  because   comparing raised RuntimeError: do not compare me"""
    assert told(json({"a": Loud()}), '{"a": 1}').endswith(changes)
    assert brief(json({"a": Loud()}), '{"a": 1}') == changes


def test_long_strings_in_json_are_shown_where_they_part() -> None:
    screen = told(json({"token": "x" * 300 + "a"}), '{"token": "' + "x" * 300 + 'b"}')
    assert "$.token: (the strings part at character 300)" in screen
    lines = screen.splitlines()
    assert lines[-2].endswith("xxxb' (str, 301 characters)")
    assert lines[-1].strip() == "^"
    assert lines[-1].index("^") == lines[-2].index("b'")


def test_a_long_path_is_told_by_its_end() -> None:
    keys = ["key" * 5] * 12
    value: object = 1
    text = "2"
    for key in keys:
        value, text = {key: value}, f'{{"{key}": {text}}}'
    last = told(json(value), text).splitlines()[-1]
    assert last.startswith("…")
    assert last.endswith("keykeykeykeykey: expected 1, got 2")


def test_values_that_print_the_same_are_told_with_their_types() -> None:
    class Same:
        def __repr__(self) -> str:
            return "1"

    assert "$: expected Same 1, got int 1" in told(json(Same()), "1")
    assert "they print the same, and are not equal" in told(Same(), Same())


def test_what_is_no_json_is_marked_where_it_ends_to_be() -> None:
    assert (
        told(json({"op": "sub"}), '{"op": sub}')
        == """\
expected  json {'op': 'sub'}
got       '{"op": sub}'
                  ^
because   it cannot be read as JSON: Expecting value: line 1 column 8 (char 7)"""
    )
    assert "got       b'nope'" in told(json(1), b"nope")


def test_a_path_with_escapes_cannot_break_the_screen() -> None:
    assert "$['a\\nb']: missing, expected 1" in told(json({"a\nb": 1}), "{}")


# -- in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got", "screen"),
    [
        (re.compile("a+"), "b", "expected  regex 'a+'\ngot       'b'"),
        (int, "b", "expected  any int\ngot       'b'\nbecause   this is str"),
        (5, "5", "expected  5\ngot       '5'\nbecause   int was expected, str came"),
        (
            where(lambda message: False, "is even"),
            "b",
            "expected  where is even\ngot       'b'\nbecause   the function said no to it",
        ),
        (
            where(lambda message: 1 / 0, "is even"),
            "b",
            "expected  where is even\ngot       'b'\nbecause   it raised ZeroDivisionError: division by zero",
        ),
        (~matcher("b"), "b", "expected  ~'b'\ngot       'b'\nbecause   this is just what was excluded"),
        (matcher(str) & regex("a"), "b", "expected  regex 'a'\ngot       'b'"),
    ],
)
def test_the_rest_is_told_in_words(expected: object, got: object, screen: str) -> None:
    assert told(expected, got) == screen


def test_alternatives_are_told_one_by_one() -> None:
    assert (
        told(matcher("yes") | "no" | json({"a": 1}), '{"a": 2}')
        == """\
got       '{"a": 2}'
None of the 3 alternatives is this:
  1. expected  'yes'
     got       '{"a": 2}'
                ^^^^^^^^
  2. expected  'no'
     got       '{"a": 2}'
                ^^^^^^^^
  3. expected  json {'a': 1}
     got       {'a': 2}
     $.a: expected 1, got 2"""
    )


def test_many_alternatives_are_counted() -> None:
    choice = matcher("a")
    for one in "bcdefghi":
        choice |= one
    screen = told(choice, "z")
    assert "None of the 9 alternatives is this:" in screen
    assert screen.endswith("  … and 3 more alternatives")


def test_a_brief_difference() -> None:
    assert brief("a", "b").splitlines() == ["expected  'a'", "got       'b'", "           ^"]
    assert brief(b"a", b"b").splitlines() == ["expected  b'a'", "got       b'b'", "            ^"]
    assert brief(json({"a": 1}), '{"a": 2}') == "$.a: expected 1, got 2"
    assert "Text was expected" in brief("a", b"a")
    assert anything().difference(b"a") is None
