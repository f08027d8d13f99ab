"""What can go wrong with a mock, as data."""

from __future__ import annotations

from farend.core.findings import Place
from farend.intercept.findings import MOST, Unasserted, Unmocked, Unused, WrongAssertion, shortened
from farend.stage.verdict import story


def test_each_is_a_sentence_with_lines_to_paste():
    findings = [
        Unmocked(Place(), "send('x')", "the session has no step left", "Write:", (".expect('send', returns=None)",)),
        Unused(Place(), ("a", "b"), "nobody connected"),
        Unasserted(Place(), ("mock.assert_close()",)),
        WrongAssertion(Place(), "mock.assert_close()", "nothing happened"),
    ]
    assert [finding.sentence for finding in findings] == [
        "send('x') was not scripted: the session has no step left.",
        "2 required steps were not used: nobody connected.",
        "1 interaction was not asserted.",
        "mock.assert_close() does not hold: nothing happened.",
    ]
    assert [bool(finding.advice) for finding in findings] == [True, True, True, False]
    text = story(findings)
    for finding in findings:
        assert all(f"    {line}\n" in text + "\n" for line in finding.lines)


def test_a_line_to_paste_is_never_cut():
    line = f"mock.assert_send(message={'x' * 500!r})"
    assert line in story([Unasserted(Place(), (line,))])


def test_many_lines_are_shortened():
    lines = tuple(map(str, range(MOST + 3)))
    assert shortened(lines[:MOST]) == lines[:MOST]
    assert shortened(lines) == (*lines[:MOST], "# … and 3 more")
