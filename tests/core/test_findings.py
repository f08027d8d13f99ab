from __future__ import annotations

import inspect
from typing import Any

import pytest

from farend.core import findings
from farend.core.commands import Send
from farend.core.events import Ended, How
from farend.core.findings import Candidate, Finding, Place
from farend.core.matchers import Difference
from farend.core.steps import Expect, ExpectClose

HERE = Place(number=2, total=3)
DIFFERENCE = Difference("text", "a", "b")
EVERY = [
    one for one in vars(findings).values() if inspect.isclass(one) and issubclass(one, Finding) and one is not Finding
]
INF = float("inf")
WAIT = tuple(f"an event, app.py:{line} (run)" for line in range(10))
TOLD = "all wait for each other: an event, app.py:0 (run); an event, app.py:1 (run)"
EXAMPLES: list[tuple[Finding, str, str]] = [
    (
        findings.Mismatch(HERE, "b", (Candidate(Expect("a"), DIFFERENCE),), 3),
        "did not say what was expected",
        "Step 3 expects this",
    ),
    (findings.Unexpected(HERE, ["a"]), "said 'a' after the script's last step", ""),
    (findings.Unexpected(HERE, ["a", "b", "c"]), "said 'a' and 2 more after", ""),
    (findings.Unexpected(Place(step=ExpectClose()), ["a"]), "where it was expected to close", ""),
    (findings.Unexpected(Place(total=0), ["a"]), "'a', and no step of a script is for it, nor has the test", ""),
    (findings.Lingered(HERE, 5.0, silent="reply(f)"), "The script was over", "reply(f) gave None, or an empty list"),
    (findings.SaidEarly(HERE, "a", Send("b")), "said 'a' without waiting for 'b'", "leave strict=True out"),
    (findings.TimedOut(HERE, "say 'a'", 5.0), "Waited 5 s for the near end to say 'a'.", "raise the deadline"),
    (
        findings.TimedOut(HERE, "say 'a'", 0.6, scale=2.0),
        "Waited 0.6 s (0.3 s, with a scale of 2) for the near end to say 'a'.",
        "raise the deadline",
    ),
    (findings.TimedOut(HERE, "say 'a'", INF, scale=2.0), "Waited in vain for the near end to say 'a'.", "slow"),
    (findings.TimedOut(Place(left=(Expect("a"), Send("b"))), "say 'a'", 0.5, b"x"), "Of it, b'x' had come", "'b'"),
    (findings.EndedEarly(HERE, Ended()), "(end of stream) before the script's end.", ""),
    (findings.EndedEarly(HERE, Ended(How.RESET), b"x"), "having begun to say b'x'", ""),
    (
        findings.EndedEarly(HERE, Ended(How.CLOSE, 1000), unsaid=Send("x")),
        "Cannot send 'x': the connection has ended (close frame 1000).",
        "",
    ),
    (findings.Unexpected(HERE, ["a"], unheard=True), "no script was given, and nobody took", ".play(script)"),
    (findings.Unexpected(HERE, ["a"], unheard=True), "", "server.accept(), or client.blocking_peer; in an async test"),
    (findings.Lingered(HERE, 5.0), "The script was over, and for 5 s the near end neither said", "lacks a step"),
    (findings.Lingered(HERE, 5.0, unheard=True), "heard nothing; no script was given", ".play(script)"),
    (findings.WrongEnd(HERE, Ended(How.CLOSE, 1001)), "with close frame 1001, which is not", ""),
    (findings.NotPlayed(Place(left=(Send("a"), Send("b"))), 0), "2 steps were not played", ""),
    (findings.NobodyConnected(HERE, 0.5, "/feed"), "Nobody connected to /feed (0.5 s waited)", ""),
    (findings.NobodyConnected(HERE, 5), "Nobody connected (5 s waited)", ""),
    (findings.UnexpectedConnection(HERE, "One too many."), "One too many.", ""),
    (
        findings.HandshakeMismatch(HERE, (("path", DIFFERENCE), ("origin", DIFFERENCE))),
        "otherwise than expected: see its path, origin.",
        "",
    ),
    (findings.ProtocolViolation(HERE, "bad opcode"), "broke the protocol: bad opcode", ""),
    (findings.TooLarge(HERE, 1024, "no end"), "limit of 1,024 bytes: no end", "max_size="),
    (findings.FunctionFailed(HERE, "reply(f)", "ValueError"), "reply(f) failed: ValueError", ""),
    (findings.NotReading(HERE, 5.0), "read nothing for 5 s", ""),
    (findings.LoopBlocked(HERE, 0.5), "stood still for 0.5 s", "`with` instead of `async with`"),
    (findings.LoopEnded(HERE), "has ended", "asyncio.run() ends its loop"),
    (findings.NotConnected(HERE, "refused"), "could not connect: refused", ""),
    (findings.InternalError(HERE, "oops"), "farend itself failed: oops", "report"),
    (findings.WentOn(HERE, "spoke", "the key was another's"), "spoke, although the key", "give up"),
    (
        findings.AttemptsMissing(HERE, 2.0, "refused", 1, 3),
        "1 attempt came, and the plan is for 3 (2 s waited)",
        "give up",
    ),
    (findings.TimedOut(HERE, "say 'a'", INF, waiting=WAIT), "Waited in vain for the near end to say 'a'.", TOLD),
    (findings.Lingered(HERE, INF, waiting=WAIT), "for ever the near end neither said anything nor left", TOLD),
    (findings.Lingered(HERE, INF, True), "stayed for ever and heard nothing", "script"),
    (findings.NobodyConnected(HERE, INF, waiting=WAIT), "Nobody connected (and nobody ever will)", TOLD),
    (findings.NotReading(HERE, INF), "read nothing for ever", ""),
    (
        findings.AttemptsMissing(HERE, INF, "refused", 0, 1),
        "Nobody tried to connect, and the plan is for one more:",
        "?",
    ),
]


@pytest.mark.parametrize(("finding", "sentence", "advice"), EXAMPLES)
def test_a_finding_says_what_went_wrong_and_what_to_do(finding: Finding, sentence: str, advice: str) -> None:
    assert sentence in finding.sentence
    assert str(finding) == finding.sentence
    assert advice in finding.advice
    assert bool(finding.advice) is bool(advice)


def test_every_kind_of_finding_has_an_example_here() -> None:
    assert {type(finding) for finding, _, _ in EXAMPLES} == set(EVERY)


@pytest.mark.parametrize(("elsewhere", "advice"), [(None, ""), (1, "sent twice"), (3, "left out")])
def test_a_mismatch_knows_where_the_message_belongs(elsewhere: Any, advice: str) -> None:
    finding = findings.Mismatch(HERE, "b", (Candidate(Expect("a"), DIFFERENCE),), elsewhere)
    assert advice in finding.advice
    assert finding.nearest.difference is DIFFERENCE


def test_two_findings_are_the_same_only_if_they_are_one() -> None:
    one, other = findings.NotPlayed(HERE, 1), findings.NotPlayed(HERE, 1)
    assert one == one
    assert one != other
    with pytest.raises(NotImplementedError):
        _ = Finding(HERE).sentence


def test_a_list_of_scripts_of_which_some_were_met() -> None:
    one = findings.NobodyConnected(HERE, 5, None, 1, 2, 2)
    assert one.sentence == "1 connection came, and there are scripts for 2: the second was not played."
    twelfth = findings.NobodyConnected(HERE, 5, "/feed", 11, 12, 12)
    assert twelfth.sentence.endswith(
        "to /feed, and there are scripts for 12: the one with the number 12 was not played."
    )


def test_nobody_was_waited_for() -> None:
    assert findings.NobodyConnected(HERE, 0).sentence.startswith("Nobody had connected when the far end was closed")


def test_messages_that_were_not_waited_for_are_counted() -> None:
    one = findings.TimedOut(HERE, "say 'a'", 5.0, b"", 1, "x")
    assert one.sentence == "Waited 5 s for the near end to say 'a'. Meanwhile came 1 other message 'x'."
    many = findings.TimedOut(HERE, "say 'a'", 5.0, b"", 2000, "x")
    assert many.sentence.endswith("Meanwhile came 2,000 other messages, the last 'x'.")


def test_a_finding_has_a_short_repr() -> None:
    """B9: not the whole of its place."""
    place = Place(connection=1, number=1, total=2)
    assert repr(findings.EndedEarly(place, Ended())) == (
        "<EndedEarly: The near end ended the connection (end of stream) before the script's end"
        " (connection 1, step 1 of 2)>"
    )
    assert repr(findings.NotConnected(Place(), "refused")) == "<NotConnected: farend could not connect: refused>"


def test_who_waits_at_a_standstill_is_told_up_to_a_number() -> None:
    assert findings.standstill(WAIT).endswith("app.py:7 (run); and 2 more")
    assert findings.standstill(WAIT[:2], lines=True).endswith(
        ":\n  an event, app.py:0 (run)\n  an event, app.py:1 (run)"
    )
