"""Findings as JSON: what was expected and what came, and what else the finding knows."""

from __future__ import annotations

import json
import sys

import pytest

from farend import Script, regex
from farend.cli.findings import LONGEST, MOST, as_json
from farend.core.conversation import Conversation
from farend.core.events import Connected, Ended, How, Received, Stalled, Violated
from farend.core.findings import EndedEarly, NobodyConnected, Place, SaidEarly
from farend.core.matchers import matcher
from farend.core.messages import Handshake
from farend.core.steps import Expect, Send


def told(script, *events, opening=None, stream=False, finish=False):
    """The first finding of a conversation, through JSON."""
    conversation = Conversation(script, stream=stream)
    for now, event in enumerate((opening or Connected(), *events)):
        conversation.feed(event, float(now))
    if finish:
        conversation.finish(10.0)
    return through_json(conversation.findings[0])


def through_json(finding):
    return json.loads(json.dumps(as_json(finding), allow_nan=False))


GREETING = Script().expect("hello").send("there")


def test_all_of_a_mismatch():
    assert told(GREETING, Received("hallo")) == {
        "kind": "Mismatch",
        "sentence": "The near end did not say what was expected.",
        "advice": "",
        "connection": 1,
        "step": 1,
        "expected": "'hello'",
        "got": "'hallo'",
        "because": "",
        "changes": [],
        "facts": {"candidates": ["expect 'hello'"], "elsewhere": None, "partial": False},
    }


@pytest.mark.parametrize(
    ("script", "events", "expected", "got"),
    [
        (GREETING, [Received(b"hello")], "'hello'", "b'hello'"),
        (GREETING, [Received("")], "'hello'", "''"),
        (Script().expect(regex("a+") | "b"), [Received("c")], "(regex 'a+' | 'b')", "'c'"),
        (Script().expect(json={"a": 1}), [Received('{"a":2}')], "json {'a': 1}", """'{"a":2}'"""),
        (Script().expect_close(1000), [Received("more")], "close 1000", "'more'"),
        (Script().expect_close(1000), [Ended(How.CLOSE, 1001, "bye")], "close 1000", "close frame 1001 'bye'"),
        (GREETING, [Ended()], "'hello'", "end of stream"),
        (GREETING, [Stalled(3.0)], "'hello'", None),
        (Script().expect("a").optional([("expect", "b")]), [Received("a"), Received("")], "'b'", "''"),
        (Script().send("a"), [Received("")], None, "''"),
    ],
)
def test_what_was_expected_and_what_came(script, events, expected, got):
    finding = told(script, *events)
    assert (finding["expected"], finding["got"]) == (expected, got)


@pytest.mark.parametrize(
    ("script", "said", "expected"),
    [
        (Script().repeat(2, Script().expect("a").expect("b")), "a", "'b'"),
        (Script().repeat(2, Script().expect("a").expect("b")), "ab", "'a'"),
        (Script().optional(Script().expect("a").send("1").expect_close(1000)), "a", "close 1000"),
        (Script().any_order(Script().expect("a"), Script().expect("b").expect("c")), "ab", "'c'"),
        (Script().repeat(2, Script().any_order(Script().expect("a").expect("b"), Script().expect("c"))), "ac", "'b'"),
    ],
)
def test_of_a_group_what_was_played_is_not_expected_any_more(script, said, expected):
    assert told(script, *map(Received, said), Ended())["expected"] == expected


def test_a_step_that_the_conversation_went_on_from_is_what_was_expected():
    finding = EndedEarly(Place(1, 1, 2, step=Expect(b"a"), left=(Expect(b"b"),)), Ended(), b"")
    assert through_json(finding)["expected"] == "b'a'"


def test_a_stream():
    finding = told(Script().expect(b"hello\n"), Received(b"hel"), Ended(), stream=True)
    assert (finding["expected"], finding["got"]) == (r"b'hello\n'", "b'hel'")
    assert finding["facts"] == {"ended": "end of stream", "unsaid": None, "cut": False}
    finding = told(Script().expect(b"hello\n"), Violated("this is no UTF-8", b"\xff"), stream=True)
    assert finding["got"] == r"b'\xff'"
    assert finding["facts"] == {"problem": "this is no UTF-8", "data": r"b'\xff'", "about": "protocol"}


def test_advice_is_all_that_the_screen_advises():
    finding = told(Script().expect(b"hello"), Received(b"GET / HTTP/1.1\r\n\r\n"), stream=True)
    assert finding["advice"].startswith("These bytes are an HTTP request")
    assert told(Script().expect("a").expect("b"), Received("b"))["advice"].startswith("Step 2 expects this message")


def test_why_a_comparison_failed():
    assert told(Script().expect(lambda message: 1 / 0), Received("x"))["because"].startswith("it raised ZeroDivision")


def test_a_handshake_by_part():
    finding = told(Script().expect_handshake("/a"), opening=Connected(Handshake("/b")))
    [path] = finding["facts"]["differences"]
    assert path == {"part": "path", "expected": "'/a'", "got": "'/b'", "because": "", "changes": []}


def test_what_was_not_said():
    finding = told(GREETING, finish=True)
    assert (finding["kind"], finding["expected"], finding["facts"]) == ("NotPlayed", "'hello'", {"said": 0})


def test_messages_that_nobody_expected():
    script = Script().expect("a").expect_close()
    finding = told(script, Received("a"), Received("b"))
    assert finding["facts"] == {"messages": ["'b'"], "unheard": False}


def test_a_step_in_a_field():
    finding = through_json(SaidEarly(Place(1, 2), "more", Send("there")))
    assert (finding["got"], finding["facts"]) == ("'more'", {"before": "send 'there'"})


def test_no_end_of_a_wait_is_null():
    assert through_json(NobodyConnected(Place(), float("inf")))["facts"]["waited"] is None


def test_what_is_long_is_elided():
    finding = told(GREETING, Received("x" * 2 * LONGEST))
    assert len(finding["got"]) <= LONGEST
    assert finding["got"].endswith(f"… (str, {2 * LONGEST:,} characters)")
    told_waiting = through_json(NobodyConnected(Place(), 1.0, waiting=("somebody",) * 2 * MOST))["facts"]["waiting"]
    assert told_waiting == ["somebody"] * MOST


def test_changes_by_path():
    finding = told(Script().expect(json={"a": 1}), Received('{"a": 2}'))
    assert (finding["kind"], finding["because"]) == ("Mismatch", "")
    assert finding["changes"] == [{"path": "$.a", "what": "changed", "expected": 1, "got": 2}]


def test_what_a_comparison_inside_of_json_raised():
    finding = told(Script().expect(json={"a": lambda value: 1 / 0, "b": 1}), Received('{"a": 7, "b": 2}'))
    raised = "it raised ZeroDivisionError: division by zero"
    assert finding["because"] == raised
    assert [change.get("raised") for change in finding["changes"]] == [raised, None]


def test_what_a_comparison_of_a_part_of_a_handshake_raised():
    script = Script().expect_handshake(headers={"X-Id": matcher("7") | (lambda value: 1 / 0)})
    [header] = told(script, opening=Connected(Handshake("/", [("X-Id", "8")])))["facts"]["differences"]
    assert header["because"].startswith("it raised ZeroDivisionError")


@pytest.mark.parametrize(
    ("value", "as_it_is_told"),
    [
        (float("nan"), "nan"),
        ([float("inf"), 0.5, None, True], ["inf", 0.5, None, True]),
        ({"a": {"b": (float("-inf"), "c")}}, {"a": {"b": ["-inf", "c"]}}),
        ({(1, 2): "a", None: "b", 3: "c"}, {"(1, 2)": "a", "None": "b", "3": "c"}),
        (b"bytes", "b'bytes'"),
    ],
)
def test_a_change_that_json_has_no_form_for(value, as_it_is_told):
    [change] = told(Script().expect(json={"a": value}), Received("{}"))["changes"]
    assert change == {"path": "$.a", "what": "missing", "expected": as_it_is_told, "got": None}


def test_what_came_and_is_no_number_of_json():
    [change] = told(Script().expect(json=[1]), Received("[NaN]"))["changes"]
    assert (change["expected"], change["got"]) == (1, "nan")


def test_what_came_and_is_nested_too_deep_to_be_told_as_it_is():
    depth = sys.getrecursionlimit() * 4 // 5
    deep = "[" * depth + "]" * depth
    [change] = told(Script().expect(json={"a": 1}), Received(f'{{"a": {deep}}}'))["changes"]
    assert change["got"] in (deep, json.loads(deep))  # how deep is too deep differs from Python to Python
