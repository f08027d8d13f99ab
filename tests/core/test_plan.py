"""A plan as it is written: what its steps are, how it prints, and what is no plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farend.core.commands import Abort, Close, Drop, Stall
from farend.core.outcomes import BadTls, Ending, Grounds, LetDown, Played, Refused, Rejected, WrongAccept
from farend.core.plan import Plan, then_abort, then_close, then_drop, then_stall
from farend.core.script import Script
from farend.core.steps import forever
from farend.errors import PlanError, UsageError, WrongType

S = Script().expect("hello").send("there")


def test_every_method_adds_its_step() -> None:
    plan = (
        Plan()
        .refuse(2)
        .reject(503, {"Retry-After": "2"}, b"later")
        .stall()
        .reset("request")
        .drop("handshake", times=3)
        .wrong_accept()
        .tls("expired")
        .slow_handshake(0.5, S)
        .play(S, then_abort(after=2))
        .play()
        .play(S, times=forever)
    )
    assert [tuple(step) for step in plan] == [
        (Refused(), 2),
        (Rejected(503, (("Retry-After", "2"),), b"later"), 1),
        (LetDown(Stall(), "connect"), 1),
        (LetDown(Abort(), "request"), 1),
        (LetDown(Drop(), "handshake"), 3),
        (WrongAccept(), 1),
        (BadTls("expired"), 1),
        (Played(S, None, 0.5), 1),
        (Played(S, Ending(Abort(), 2)), 1),
        (Played(), 1),
        (Played(S), forever),
    ]
    assert plan.attempts == forever
    assert list(plan.scripts()) == [S, S, S]
    assert plan.tls_faults == {"expired"}


def test_it_prints_as_a_list_of_attempts() -> None:
    plan = (
        Plan()
        .refuse(10)
        .stall("request")
        .slow_handshake(0.5, S)
        .play(Script(S, name="feed"), then_close(1012, "restart", received=1), times=2)
        .play()
        .reject(503, times=forever)
    )
    assert str(plan).splitlines() == [
        "Plan of attempts without end",
        "  1-10.  refuse",
        "  11.    stall after the request",
        "  12.    play (2 steps), handshake after 0.5 s",
        "  13-14. play 'feed' (2 steps), then_close after 1 message of the near end's",
        "  15.    play by hand",
        "  16-    reject 503",
    ]
    assert repr(plan) == "<Plan: attempts without end>"
    assert repr(Plan().refuse(2).play(S)) == "<Plan: 3 attempts>"
    assert str(Plan()) == "Plan of 0 attempts"


def test_plans_with_the_same_steps_are_equal_and_a_copy_goes_its_own_way() -> None:
    plan = Plan().refuse().play(S)
    twin = plan.copy()
    assert plan == twin == Plan().refuse().play(S)
    assert plan != Plan().refuse()
    assert plan != "plan"
    twin.play(S)
    assert plan != twin


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (then_abort(), Ending(Abort())),
        (then_abort(3), Ending(Abort(), 3, "either")),
        (then_drop(sent=3), Ending(Drop(), 3, "far end")),
        (then_stall(received=1), Ending(Stall(), 1, "near end")),
        (then_close(), Ending(Close())),
        (then_close(1012, "restart", after=1), Ending(Close(1012, "restart"), 1, "either")),
    ],
)
def test_endings_say_what_they_count(ending: Ending, expected: Ending) -> None:
    assert ending == expected


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Plan().refuse(0), PlanError, "times=0: a step is for one attempt at least"),
    (lambda: Plan().refuse(-1), PlanError, "times=-1"),
    (lambda: Plan().refuse(1.5), WrongType, "times= takes a number of attempts, or farend.forever, not 1.5"),
    (lambda: Plan().refuse(True), WrongType, "not True"),
    (lambda: Plan().stall(times="two"), WrongType, "not 'two'"),  # type: ignore[arg-type]
    (
        lambda: Plan().play(S, times=forever).refuse(),
        PlanError,
        r"'refuse' cannot follow 'play \(2 steps\)' for ever: no attempt gets that far",
    ),
    (lambda: Plan().reject("503"), WrongType, "reject.. takes an HTTP status such as 503, not '503'"),  # type: ignore[arg-type]
    (lambda: Plan().reject(True), WrongType, "not True"),
    (lambda: Plan().reject(101), PlanError, r"reject\(101\): an answer that turns away has a status from 200 to 599"),
    (lambda: Plan().reject(600), PlanError, "from 200 to 599"),
    (lambda: Plan().reject(503, body=1), WrongType, "takes the body as text or bytes, not 1"),  # type: ignore[arg-type]
    (lambda: Plan().reject(503, ["a"]), WrongType, "headers= takes a mapping"),  # type: ignore[arg-type]
    (lambda: Plan().reject(503, {"a": 1}), WrongType, "names and values are text here"),  # type: ignore[dict-item]
    (lambda: Plan().reject(503, {"a": str}), WrongType, "a header that is sent is text"),  # type: ignore[dict-item]
    (lambda: Plan().reject(503, {"a": "b\r\nc: d"}), PlanError, "that is no header field"),
    (lambda: Plan().reject(503, {"a:": "b"}), PlanError, "that is no header field"),
    (lambda: Plan().reject(503, {"": "b"}), PlanError, "that is no header field"),
    (lambda: Plan().reject(503, {"é": "b"}), PlanError, "that is no header field"),
    (lambda: Plan().stall("later"), PlanError, "there are 'connect', 'request', 'handshake'"),  # type: ignore[arg-type]
    (lambda: Plan().reset(3), WrongType, r"reset\(after=3\): there are"),  # type: ignore[arg-type]
    (lambda: Plan().tls("old"), PlanError, r"there are 'expired', 'wrong name', 'untrusted', 'cut'"),  # type: ignore[arg-type]
    (lambda: Plan().tls(1), WrongType, r"tls\(1\)"),  # type: ignore[arg-type]
    (lambda: Plan().play("hello"), WrongType, "play.. takes a Script, not 'hello'"),  # type: ignore[arg-type]
    (lambda: Plan().play([S, S]), WrongType, "takes one script; write .play.…. for each of the 2"),  # type: ignore[arg-type]
    (lambda: Plan().play(S, S), WrongType, r"takes an ending such as then_abort\(after=3\)"),  # type: ignore[arg-type]
    (
        lambda: Plan().play(S, then_abort(after=3)),
        PlanError,
        "then_abort after 3 messages: the script has no more than 2 messages of that kind",
    ),
    (lambda: Plan().play(S, then_drop(sent=2)), PlanError, "no more than 1 message"),
    (lambda: Plan().slow_handshake(-1), PlanError, r"slow_handshake\(seconds\)=-1: a number of seconds is 0 or more"),
    (lambda: Plan().slow_handshake("1"), WrongType, "takes a number of seconds, not '1'"),  # type: ignore[arg-type]
    (lambda: Plan().slow_handshake(None), WrongType, "takes a number of seconds"),  # type: ignore[arg-type]
    (lambda: Plan().slow_handshake(1, "hello"), WrongType, "slow_handshake.. takes a Script"),  # type: ignore[arg-type]
    (lambda: then_abort(0), PlanError, "after=0: it takes one message at least; for none, write .reset"),
    (lambda: then_abort(sent=-1), PlanError, "sent=-1"),
    (lambda: then_abort(1, sent=1), PlanError, "an ending counts one thing: after= or sent="),
    (lambda: then_drop(1.0), WrongType, "after= takes a number of messages, not 1.0"),  # type: ignore[arg-type]
    (lambda: then_stall(received=True), WrongType, "received= takes a number of messages, not True"),
    (lambda: then_close(1006), UsageError, "the close code 1006 cannot be sent"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG)
def test_what_cannot_be_is_told_at_the_line_that_writes_it(
    make: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        make()
    frames = [entry for entry in caught.traceback if not entry.ishidden(caught)]
    assert frames[-1].path.name == "test_plan.py"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("abort", "'reset'"), ("deny", "'reject'"), ("stal", "'stall'"), ("expect", "'play'"), ("nonsense", None)],
)
def test_a_step_that_is_none_says_which_may_be_meant(name: str, hint: str | None) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(Plan(), name)
    assert str(caught.value) == f"a Plan has no {name!r}" + (f"; did you mean {hint}?" if hint else "")
    assert not hasattr(Plan(), "_nothing")


def test_a_plan_that_cannot_be_carried_out_says_where_it_could() -> None:
    with pytest.raises(PlanError, match="'reject 503' cannot be done by TcpServer: .* a WebSocketServer can do that"):
        Plan().reject(503).check(Grounds(stream=True), "TcpServer")
    Plan().reject(503).check(Grounds(stream=False), "WebSocketServer")
