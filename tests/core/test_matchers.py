from __future__ import annotations

import datetime
import re
from enum import Enum
from functools import partial
from typing import Any
from unittest.mock import ANY, Mock

import dirty_equals
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend.core.framing import pattern
from farend.core.matchers import (
    Change,
    Difference,
    Json,
    Matcher,
    anything,
    described,
    difference_between,
    json,
    matcher,
    regex,
    where,
)
from farend.core.messages import Ping, Pong
from farend.errors import ScriptError, WrongType


class Checks:
    def is_short(self, message: str) -> bool:
        return len(message) < 3


class Loud:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare me\nsecond line")

    __hash__ = None  # type: ignore[assignment]


class Wire(bytes, Enum):
    ACK = b"\x06"


def boom(*_: object) -> Any:
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("what", "yes", "no"),
    [
        ("a", ["a"], ["b", b"a", Ping()]),
        (b"a", [b"a"], ["a", b"b"]),
        (Wire.ACK, [b"\x06"], ["\x06"]),
        (str, ["", "a"], [b"a", Ping()]),
        (bytes, [b""], ["a"]),
        (Ping, [Ping(), Ping(b"a")], [Pong(), "a"]),
        (Ping(b"a"), [Ping(b"a")], [Ping(), Pong(b"a")]),
        (re.compile("a+"), ["aa", b"aa"], ["aab", b"ba", "", Ping()]),
        (re.compile(b"\xff+"), [b"\xff"], ["a", b"a\xff"]),
        (re.compile(b"\xc3\xa9"), ["é"], ["e"]),
        (regex("é."), ["éa", "éa".encode()], [b"\xc3"]),
        (re.compile("A", re.IGNORECASE), ["a"], ["b"]),
        (lambda message: len(message) == 2, ["ab", b"ab"], ["a", Ping()]),
        (Checks().is_short, ["ab"], ["abc"]),
        ("abc".__contains__, ["b"], ["d", b"b"]),
        (str.isdigit, ["12"], ["a", b"12"]),
        (partial(str.startswith, "hello"), ["he"], ["x"]),
        (where(len, "not empty"), ["a"], [""]),
        (anything(), ["a", b"", Ping()], []),
        (ANY, ["a", b"", Ping()], []),
        (dirty_equals.IsStr(regex="a+"), ["aa"], ["b", b"aa"]),
        (dirty_equals.IsBytes, [b"a"], ["a"]),
        (dirty_equals.IsJson({"a": dirty_equals.IsInt}), ['{"a": 1}'], ['{"a": "x"}', "{"]),
        (dirty_equals.IsStr & dirty_equals.HasLen(2), ["ab"], ["abc"]),
        (regex("a.*") & regex(".*z"), ["az"], ["a", "z"]),
        (regex("a") & "a", ["a"], ["b"]),
        (regex("a") | "b" | bytes, ["a", "b", b"x"], ["c"]),
        (~regex("a"), ["b", b""], ["a", b"a"]),
        (~(regex("a") | "b"), ["c"], ["a", "b"]),
        (~where(boom), [], ["a"]),
        (~(where(boom) & str), [], ["a"]),
        (~(where(boom) | bytes), [], ["a", b"a"]),
        (where(boom) | str, ["a"], [b"a"]),
        (Loud(), [], ["a"]),
        (json({"a": 1}), ['{"a": 1}', b'{"b": 2, "a": 1}'], ["{}", "[1]", "a", Ping(), b"\xff", '{"a": true}']),
        (json({"a": {"b": [1, {"c": 2}]}}), ['{"a": {"b": [1, {"c": 2, "d": 3}]}}'], ['{"a": {"b": [1]}}']),
        (json({"a": 1}, partial=False), ['{"a": 1}'], ['{"a": 1, "b": 2}']),
        (json([1, 2]), ["[1, 2]"], ["[1]", "[1, 2, 3]", "[2, 1]"]),
        (json((1, 2)), ["[1, 2]"], ["[1]"]),
        (json(None), ["null"], ["0", ""]),
        (json(True), ["true"], ["1"]),
        (json(1), ["1", "1.0"], ["true"]),
        (json({"at": dirty_equals.IsDatetime(iso_string=True)}), ['{"at": "2020-01-01T00:00:00"}'], ['{"at": "x"}']),
        (json({"id": str, "n": re.compile("a+"), "p": lambda n: n > 1}), ['{"id":"x","n":"aa","p":2}'], ['{"id":1}']),
        (json({"a": ~matcher(1)}), ['{"a": 2}'], ['{"a": 1}']),
        (json({"a": Loud()}), [], ['{"a": 1}']),
        (json({1: 2}), [], ['{"1": 2}']),
        (json({}), ["{}", '{"a": 1}'], ["[" * 100_000, "9" * 5000]),
    ],
)
def test_what_matches_and_what_does_not(what: object, yes: list[Any], no: list[Any]) -> None:
    door = matcher(what)
    assert "\n" not in door.describe()
    for got in yes:
        assert door.difference(got) is None, got
        assert door.matches(got)
    for got in no:
        difference = door.difference(got)
        assert isinstance(difference, Difference), got
        assert 0 <= difference.weight <= 1
        assert not door.matches(got)


@pytest.mark.parametrize(
    ("what", "got", "kind", "detail"),
    [
        ("a", "b", "text", ""),
        (b"a", b"b", "bytes", ""),
        ("a", b"a", "value", "str was expected, bytes came"),
        (Ping(), Ping(b"x"), "value", ""),
        (str, b"a", "type", "this is bytes"),
        (re.compile("a"), "b", "pattern", ""),
        (len, "", "predicate", ""),
        (boom, "", "error", "it raised RuntimeError: boom"),
        (Loud(), "", "error", "comparing raised RuntimeError: do not compare me"),
        (json(1), "x", "not json", "Expecting value: line 1 column 1 (char 0)"),
        (json(1), Ping(), "not json", "Ping is no JSON text"),
        (json(1), "2", "json", ""),
        (~matcher("a"), "a", "not", ""),
        (matcher("a") | "b", "c", "choice", ""),
    ],
)
def test_a_difference_says_what_kind_it_is(what: object, got: object, kind: str, detail: str) -> None:
    difference = matcher(what).difference(got)
    assert difference is not None
    assert (difference.kind, difference.detail) == (kind, detail)


def test_a_json_difference_says_where() -> None:
    expected = {"a": 1, "b": {"c": [1, 2]}, "gone": 0, "not an identifier": 1}
    difference = Json(expected, partial=False).difference(
        '{"z": 0, "a": 2, "b": {"c": [1, 3, 4]}, "not an identifier": 2}'
    )
    assert difference is not None
    assert difference.changes == (
        Change("$.a", "changed", 1, 2),
        Change("$.b.c[1]", "changed", 2, 3),
        Change("$.b.c[2]", "unexpected", got=4),
        Change("$.gone", "missing", expected=0),
        Change("$['not an identifier']", "changed", 1, 2),
        Change("$.z", "unexpected", got=0),
    )
    shorter = Json([1, 2]).difference("[1]")
    assert shorter is not None
    assert shorter.changes == (Change("$[1]", "missing", expected=2),)


@pytest.mark.parametrize(
    ("what", "near", "far"),
    [
        ("subscribe", "subscribed", "hello"),
        (b"abcdef", b"abcxef", b"zzzzzz"),
        (json({"a": 1, "b": 2}), '{"a": 1, "b": 3}', '{"a": 2}'),
        (matcher("aaaa") | "bbbb", "bbbc", "xxxx"),
    ],
)
def test_what_is_nearer_weighs_less(what: object, near: object, far: object) -> None:
    weights = [difference.weight for got in (near, far) if (difference := matcher(what).difference(got))]
    assert weights[0] < weights[1]


@given(st.text("ab", max_size=8), st.text("ab", max_size=8))
def test_the_weight_of_a_text_is_a_share(left: str, right: str) -> None:
    difference = matcher(left).difference(right)
    assert (difference is None) is (left == right)
    assert difference is None or 0 < difference.weight <= 1


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a", "'a'"),
        (str, "any str"),
        (anything(), "anything"),
        (regex("a"), "regex 'a'"),
        (len, "where len"),
        (where(len, "not empty"), "where not empty"),
        (json({"a": 1}), "json {'a': 1}"),
        (json([], partial=False), "json [] exactly"),
        (~(regex("a") & str) | "x", "(~(regex 'a' & any str) | 'x')"),
        (partial(len), "where functools.partial(<built-in function len>)"),
    ],
)
def test_a_matcher_describes_itself(what: object, text: str) -> None:
    assert matcher(what).describe() == repr(matcher(what)) == text


def test_matchers_compare_by_what_they_were_given() -> None:
    assert json({"a": 1}) == json({"a": 1})
    assert json({"a": 1}) != json({"a": 1}, partial=False)
    assert regex("a") != matcher("a")
    assert regex("a") & str == regex("a") & str
    assert hash(regex("a")) == hash(regex("b"))


def test_a_mock_is_asked_as_a_function() -> None:
    mock = Mock(return_value=True)
    assert matcher(mock).matches("a")
    mock.assert_called_once_with("a")


@pytest.mark.parametrize(
    ("value", "failure"),
    [
        (Loud(), "comparing raised RuntimeError: do not compare me"),
        (boom, "it raised RuntimeError: boom"),
        (matcher(1) | Loud(), "comparing raised RuntimeError: do not compare me"),
        (2, ""),
    ],
)
def test_what_comparing_in_json_raised_is_told(value: object, failure: str) -> None:
    difference = json({"b": 1, "a": [value]}).difference('{"a": [3]}')
    assert difference is not None
    assert [(change.path, change.raised) for change in difference.changes] == [("$.b", ""), ("$.a[0]", failure)]
    assert difference.failure == failure
    assert difference.raised is bool(failure)
    assert (~json({"a": [value]})).matches('{"a": [3]}') is not difference.raised


def test_a_matcher_of_the_tests_own_may_raise() -> None:
    class Own(Matcher):
        def __init__(self, name: str) -> None:
            self.name = name

        def difference(self, got: object) -> Difference | None:
            raise LookupError

    difference = difference_between(Own("a"), "got")
    assert difference is not None
    assert difference.raised
    assert difference.detail == "it raised LookupError"
    assert Own("a") == Own("a")
    assert Own("a") != Own("b")
    with pytest.raises(NotImplementedError):
        Matcher().difference("a")
    with pytest.raises(NotImplementedError):
        Matcher().describe()


async def later(message: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: regex(3), "takes a regular expression, not 3"),  # type: ignore[arg-type]
        (lambda: where(3), "a function of the message, not 3"),  # type: ignore[arg-type]
        (lambda: where(later), "async"),
        (lambda: matcher(later), "async"),
    ],
)
def test_a_matcher_that_cannot_be_meant_is_told(make: Any, text: str) -> None:
    with pytest.raises(WrongType, match=text):
        make()


@pytest.mark.parametrize("expression", ["(", b"(", "a{2,1}"])
def test_what_is_no_regular_expression_is_told_as_the_framing_pattern_tells_it(expression: str | bytes) -> None:
    for word in (regex, pattern):
        with pytest.raises(ScriptError, match="no regular expression") as caught:
            word(expression)
        assert caught.value.args[0].startswith(f"{word.__name__}({expression!r})")
    assert regex(re.compile("a+")).matches("aa")


def test_what_compares_itself_is_not_told_apart_by_its_type() -> None:
    for expected in (dirty_equals.IsStr(regex="a+"), dirty_equals.IsStr):
        difference = matcher(expected).difference(b"b")
        assert difference is not None
        assert (difference.kind, difference.detail) == ("value", "")
    difference = matcher("a").difference(b"a")
    assert difference is not None
    assert difference.detail == "str was expected, bytes came"


def test_an_exception_is_described_on_one_line() -> None:
    assert described(ValueError("a\nb")) == "ValueError: a"
    assert described(ValueError()) == "ValueError"


def test_equality_works_with_what_answers_no_bool() -> None:
    class Vague:
        def __eq__(self, other: object) -> Any:
            return self

        def __bool__(self) -> bool:
            raise ValueError("the truth of this is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    difference = matcher(Vague()).difference("a")
    assert difference is not None
    assert difference.raised
    assert matcher(datetime.date(2020, 1, 1)).matches("2020-01-01") is False


@pytest.mark.parametrize("value", [dirty_equals.IsPositiveInt(), [dirty_equals.IsPositiveInt()]])
def test_dirty_equals_prints_what_it_expects_also_after_a_match(value: Any) -> None:
    expected = json({"id": value})
    before = expected.describe()
    assert expected.matches('{"id": 5}') or expected.matches('{"id": [5]}')
    assert expected.describe() == before


def test_matchers_are_not_combined_with_words() -> None:
    with pytest.raises(WrongType, match="combine matchers with & | ~, not with and/or/not".replace("|", "[|]")):
        _ = regex("a") or anything()
