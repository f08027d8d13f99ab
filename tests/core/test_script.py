from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farend.core import script as script_module
from farend.core.commands import Abort, Close, Impair, Send
from farend.core.faults import Latency, Segments
from farend.core.framing import json_lines, lines
from farend.core.matchers import Json, anything
from farend.core.messages import Fragments, Ping, Pong
from farend.core.script import Script
from farend.core.steps import (
    AnyOrder,
    Expect,
    ExpectClose,
    ExpectHandshake,
    Optional,
    Pause,
    Repeat,
    Reply,
    forever,
)
from farend.errors import FaultError, ScriptError, UsageError, WrongType

S = Script


def test_every_method_adds_its_step() -> None:
    script = (
        S()
        .expect_handshake("/feed", query={"a": "1"})
        .expect("a", within=1, framing=lines(), example="A")
        .expect(json={"a": 1})
        .send("b", framing=lines())
        .send(json={"é": 1})
        .send_fragments("a", "b")
        .reply(str.upper)
        .pause(1)
        .any_order(S().expect("x"), [("expect", "y"), ("send", "z")])
        .repeat(2, S().expect("r"))
        .optional(("expect", "o"))
        .expect_close(1000, "bye", within=2)
        .close(1001, "over")
        .expect_close(reset=True)
    )
    assert script.steps == [
        ExpectHandshake("/feed", {"a": "1"}),
        Expect("a", lines(), 1.0, "A"),
        Expect(Json({"a": 1})),
        Send("b", lines()),
        Send('{"é": 1}'),
        Send(Fragments(("a", "b"))),
        Reply(str.upper),
        Pause(1.0),
        AnyOrder(((Expect("x"),), (Expect("y"), Send("z")))),
        Repeat(2, (Expect("r"),)),
        Optional((Expect("o"),)),
        ExpectClose(1000, "bye", False, 2.0),
        Close(1001, "over"),
        ExpectClose(None, None, True),
    ]
    assert len(script) == len(list(script)) == 14


def test_a_script_prints_itself_readably() -> None:
    script = (
        S(name="greeting", framing=lines()).expect("hello").any_order(S().send("a"), S().repeat(2, S().expect("b")))
    )
    script.optional(S().expect("c")).expect_close()
    assert str(script).splitlines() == [
        "Script 'greeting' of 4 steps, framed by lines()",
        "  1. expect 'hello'",
        "  2. any order of 2 branches",
        "     branch a",
        "       1. send 'a'",
        "     branch b",
        "       1. repeat 2 times",
        "          1. expect 'b'",
        "  3. optional",
        "     1. expect 'c'",
        "  4. expect close",
    ]
    assert repr(script) == "<Script 'greeting': 4 steps>"
    assert repr(S()) == "<Script: 0 steps>"


@pytest.mark.parametrize(
    ("steps", "same"),
    [
        ([("expect", "a"), ("send", "b")], S().expect("a").send("b")),
        ([S().expect("a"), [("send", "b"), [("abort",)]]], S().expect("a").send("b").abort()),
        ([("close", 1000, "bye"), ("expect_close",)], S().close(1000, "bye").expect_close()),
        (
            [("expect_handshake", "/a"), ("send_fragments", "a", "b")],
            S().expect_handshake("/a").send_fragments("a", "b"),
        ),
        ([("reply", str.upper), ("pause", 1)], S().reply(str.upper).pause(1)),
        (S().expect("a"), S().expect("a")),
        ([Expect("a"), Send("b")], S().expect("a").send("b")),
        ((), S()),
    ],
)
def test_a_script_is_built_from_other_notations(steps: Any, same: Script) -> None:
    assert S(steps) == same


def test_scripts_are_added_and_copied() -> None:
    first, second = S(name="first", framing=lines()).expect("a"), S().send("b")
    both = first + second
    assert both.steps == [Expect("a"), Send("b")]
    assert (both.name, both.framing) == ("first", lines())
    assert len(first) == 1
    assert first.copy() == first
    assert first.copy().add(first) == S(framing=lines()).expect("a").expect("a")
    assert first != second
    assert first != "first"
    with pytest.raises(TypeError):
        first + "b"
    with pytest.raises(TypeError):
        hash(first)


def test_a_copy_remembers_that_it_closed() -> None:
    with pytest.raises(ScriptError, match="has ended the connection"):
        S().close().copy().send("late")


def test_who_plays_a_script_is_told_of_its_growth() -> None:
    script, told = S(), []
    unsubscribe = script.subscribe(lambda: told.append(len(script)))
    script.expect("a").send("b")
    unsubscribe()
    script.expect("c")
    assert told == [1, 2]


async def later(message: object) -> None: ...


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("do not print me")


CANNOT: list[tuple[Callable[[], object], type[UsageError], str]] = [
    (lambda: S().expect(), ScriptError, r"takes one thing: .*anything\(\)"),
    (lambda: S().expect("a", json=1), ScriptError, "takes one thing"),
    (lambda: S().expect({"a": 1}), WrongType, r"write expect\(json=\{'a': 1\}\)"),
    (lambda: S().expect("a", within="1"), WrongType, "within takes a number of seconds"),
    (lambda: S().expect("a", within=-1), ScriptError, "0 or more"),
    (lambda: S().expect("a", framing=3), WrongType, "framing= takes a framing"),  # type: ignore[arg-type]
    (lambda: S().expect("\ud800"), ScriptError, "no UTF-8"),
    (lambda: S().expect("a").expect_handshake(), ScriptError, "first step"),
    (lambda: S().expect("a") + S().expect_handshake(), ScriptError, "first step"),
    (lambda: S().repeat(2, S().expect_handshake()), ScriptError, "first step"),
    (lambda: S().optional(ExpectHandshake()), ScriptError, "first step"),
    (lambda: S().send(), ScriptError, "takes one thing"),
    (lambda: S().send("a", json=1), ScriptError, "takes one thing"),
    (lambda: S().send(1), WrongType, r"write send\(json=…\)"),
    (lambda: S().send(Shy()), WrongType, "Shy"),
    (lambda: S().send(json=object()), WrongType, "cannot be written as JSON"),
    (lambda: S().send_fragments(), WrongType, "at least one"),
    (lambda: S().reply("a"), WrongType, r"write send\(\)"),  # type: ignore[arg-type]
    (lambda: S().reply(later), WrongType, r"peer = await server.connection\(\)"),
    (lambda: S().close(1006), ScriptError, "cannot be sent"),
    (lambda: S().close("1000"), WrongType, "a close code is a number"),  # type: ignore[arg-type]
    (lambda: S().close(1000, b"bye"), WrongType, "reason as text"),  # type: ignore[arg-type]
    (lambda: S().close(1000, "é" * 62), ScriptError, "at most 123 bytes .* this one 124"),
    (lambda: S().close(1000, "\ud800"), ScriptError, "no UTF-8"),
    (lambda: S().expect_close(99), ScriptError, "no close code"),
    (lambda: S().pause(None), WrongType, "number of seconds"),  # type: ignore[arg-type]
    (lambda: S().pause(float("inf")), ScriptError, "has an end"),
    (lambda: S().any_order(), ScriptError, "at least one branch"),
    (lambda: S().any_order([S().expect("a"), S().expect("b")]), ScriptError, r"write any_order\(\*\[…\]\)"),
    (lambda: S().expect_handshake("chat"), ScriptError, r"begins with a slash; write '/chat'"),
    (lambda: S().expect_handshake("/chat?a=1"), ScriptError, r"write query=\{'a': '1'\}"),
    (lambda: S().expect_handshake(query="a=1"), WrongType, r"query= takes a mapping .*, not 'a=1'"),
    (lambda: S().expect_handshake(query={"a": 1}), WrongType, r"write \{'a': '1'\}"),
    (lambda: S().expect_handshake(headers={b"a": "1"}), WrongType, "names and values are text"),
    (lambda: S().expect_handshake(subprotocols="v1"), WrongType, r"write subprotocols=\['v1'\]"),
    (lambda: S().expect(int), WrongType, r"expect\(int\): a message is text or bytes"),
    (lambda: S().any_order(S()), ScriptError, "has no steps"),
    (lambda: S().any_order("a"), WrongType, "takes steps, scripts, or pairs"),
    (lambda: S().repeat("2", S().expect("a")), WrongType, "farend.forever"),  # type: ignore[arg-type]
    (lambda: S().repeat(True, S().expect("a")), WrongType, "number of times"),
    (lambda: S().repeat(2.0, S().expect("a")), WrongType, "number of times"),
    (lambda: S().repeat(0, S().expect("a")), ScriptError, "at least once"),
    (lambda: S().repeat(2), ScriptError, "has no steps"),
    (lambda: S().repeat(forever, S().send("a")), ScriptError, "flood"),
    (lambda: S().repeat(forever, S().pause(0)), ScriptError, "flood"),
    (lambda: S().repeat(forever, S().any_order(S().send("a"))), ScriptError, "flood"),
    (lambda: S().optional(S().send("a")), ScriptError, "put an expect first"),
    (lambda: S().optional(S().expect("a")).send("b"), ScriptError, "nothing tells when 'optional' is over"),
    (lambda: S().repeat(forever, S().expect("a")).pause(1), ScriptError, "nothing tells when 'repeat forever'"),
    (lambda: S().repeat(2, S().expect("a").optional(S().expect("b"))).send("c"), ScriptError, "nothing tells"),
    (lambda: S().repeat(2, S().send("a").optional(S().expect("b"))), ScriptError, "nothing tells"),
    (lambda: S().any_order([S().optional(S().expect("a")), ("send", "b")]), ScriptError, "nothing tells"),
    (lambda: S().close().send("a"), ScriptError, "'send 'a'' cannot follow 'close'"),
    (lambda: S().abort().close(), ScriptError, "'close' cannot follow 'abort'"),
    (lambda: S().abort().expect("a"), ScriptError, "'expect 'a'' cannot follow 'abort', which cuts the connection"),
    (lambda: S().abort().expect_close(), ScriptError, "'expect close' cannot follow 'abort'"),
    (lambda: S().abort().pause(1), ScriptError, "'pause 1 s' cannot follow 'abort'"),
    (lambda: S().repeat(2, S().expect("a").abort()), ScriptError, "'expect 'a'' cannot follow 'abort'"),
    (lambda: S().repeat(1, S().expect("a").abort()).expect("b"), ScriptError, "'expect 'b'' cannot follow 'repeat 1"),
    (lambda: S().any_order(S().expect("a"), S().abort()).expect("b"), ScriptError, "cannot follow 'any order"),
    (lambda: S([("abort",), ("expect", "a")]), ScriptError, "'expect 'a'' cannot follow 'abort'"),
    (lambda: S().close().expect("a").send("b"), ScriptError, "cannot follow 'close'"),
    (lambda: S().close().repeat(2, S().expect("a").reply(str)), ScriptError, "cannot follow 'close'"),
    (lambda: S().optional(S().expect("a").close()).expect("b").send("c"), ScriptError, "cannot follow 'close'"),
    (lambda: S().repeat(2, S().expect("a").close()), ScriptError, "cannot follow 'close'"),
    (lambda: S().optional([("expect", "a"), ("close",), ("send", "b")]), ScriptError, "cannot follow 'close'"),
    (lambda: S().any_order(S().expect("a").close(), S().expect("b").send("c")), ScriptError, "cannot follow 'close'"),
    (lambda: S("expect"), WrongType, "takes a list of steps"),
    (lambda: S(3), WrongType, "takes a list of steps"),  # type: ignore[arg-type]
    (lambda: S([("exepct", "a")]), ScriptError, "no step called 'exepct'; did you mean 'expect'"),
    (lambda: S([("zzz", "a")]), ScriptError, "no step called 'zzz'; there are expect_handshake, expect"),
    (lambda: S([("expect",)]), ScriptError, "takes one thing"),
    (lambda: S([("send", 5)]), WrongType, "send takes"),
    (lambda: S([("abort", 5)]), ScriptError, r"\('abort', …\) takes other values"),
    (lambda: S([5]), WrongType, "not 5"),
    (lambda: S([()]).expect("a").add(None), WrongType, "not None"),
]


@pytest.mark.parametrize(("make", "error", "text"), CANNOT)
def test_what_cannot_be_played_is_told_with_a_sentence(
    make: Callable[[], object], error: type[UsageError], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        make()
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "make",
    [
        lambda: S().close().expect("late").pause(1).expect_close(),
        lambda: S().repeat(1, S().expect("a").close()),
        lambda: S().any_order(S().expect("a").close(), S().expect("b")),
        lambda: S().any_order(S().expect("a").abort(), S().expect("b")),
        lambda: S().optional(S().expect("a").abort()).expect("b"),
        lambda: S().optional(S().expect("a")).repeat(2, S().expect("b").send("c")),
        lambda: S().repeat(forever, S().pause(0.1).send("tick")),
        lambda: S().repeat(forever, S().repeat(2, S().expect("a"))),
        lambda: S().repeat(forever, S().any_order(S().send("a"), S().expect("b"))),
        lambda: S().expect(anything()).close(4999, "x" * 123),
    ],
)
def test_what_can_be_played_is_not_refused(make: Callable[[], Script]) -> None:
    assert len(make()) >= 1


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (S().expect_handshake(), "no handshake"),
        (S().expect(Ping()), "no pings and pongs"),
        (S().repeat(2, S().send(Pong()).expect("a")), "no pings and pongs"),
        (S().send_fragments("a", "b"), "no fragments"),
        (S().close(1000), "no close codes"),
        (S().close(reason="bye"), "no close reasons"),
        (S().expect_close(1000), "no close codes"),
        (S().any_order(S().expect_close(None, "bye")), "no close reasons"),
        (S().expect(""), "nothing cannot be seen to arrive"),
    ],
)
def test_what_a_byte_stream_has_not_is_told(script: Script, problem: str) -> None:
    with pytest.raises(ScriptError, match=problem):
        script.check_for_stream()


def test_what_a_byte_stream_has_is_not_refused() -> None:
    S(framing=lines()).expect("").expect(Json(1)).send(b"").close().expect_close().check_for_stream()
    S().expect("", framing=lines()).abort().check_for_stream()


def test_every_verb_is_a_method_and_the_other_way_about() -> None:
    methods = {name for name in vars(Script) if not name.startswith("_")}
    groups = {"any_order", "repeat", "optional"}
    others = {"add", "copy", "mirrored", "check_for_stream", "subscribe", "framing", "name", "open_ended", "steps"}
    others |= {"in_turn", "keeps", "check_without_wire", "check_for_client", "check_faults"}
    assert set(script_module._VERBS) == methods - groups - others


def test_steps_named_abort() -> None:
    assert S([("abort",)]).steps == [Abort()]


@pytest.mark.parametrize(
    ("write", "right"),
    [
        (lambda: S(framing=lines()).expect("b\n"), "write expect('b')"),
        (lambda: S(framing=lines()).send("b\r\n"), "write send('b')"),
        (lambda: S().send(b"b\n", framing=lines()), "write send(b'b')"),
        (lambda: S().expect(b"b\n", framing=json_lines()), "write expect(b'b')"),
    ],
)
def test_a_line_ending_that_the_framing_adds_itself(write: Callable[[], object], right: str) -> None:
    with pytest.raises(ScriptError) as caught:
        write()
    assert str(caught.value) == f"lines() adds the line ending itself: {right}"


def test_text_cannot_be_expected_of_tcp() -> None:
    with pytest.raises(ScriptError, match="on TCP a message is bytes"):
        S().expect(str).check_for_stream()
    S().expect(bytes).check_for_stream()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("receive", "expect"),
        ("recv", "expect"),
        ("wait", "pause"),
        ("sleep", "pause"),
        ("answer", "reply"),
        ("sned", "send"),
    ],
)
def test_a_step_by_another_name(wrong: str, right: str) -> None:
    with pytest.raises(AttributeError, match=f"a Script has no '{wrong}'; did you mean '{right}'"):
        getattr(S(), wrong)
    assert not hasattr(S(), "quux")


def test_faults_are_steps_like_any() -> None:
    script = Script().fault(Latency(0.05), Segments(1)).add(("fault", Latency(0.1))).fault(None)
    assert str(script).splitlines()[1:] == [
        "  1. fault: latency 0.05 s and segments of 1 byte",
        "  2. fault: latency 0.1 s",
        "  3. no fault",
    ]
    assert script.add(Impair((Latency(1),))).steps[-1] == Impair((Latency(1),))
    for write, error, text in (
        (lambda: Script().fault(), ScriptError, r"fault\(\) takes faults such as Latency"),
        (lambda: Script().fault(Latency(1), None), WrongType, "not None"),
        (lambda: Script().fault(0.05), WrongType, r"fault\(\) takes faults such as"),
        (lambda: Script().fault(Latency(1), Latency(2)), FaultError, r"fault\(\): .* contradict"),
    ):
        with pytest.raises(error, match=text):
            write()


@pytest.mark.parametrize(
    "write",
    [
        lambda: Script().send("a").expect_handshake(),
        lambda: Script().abort().send("a"),
        lambda: Script().close().send("a"),
        lambda: Script().send("a").malformed("wrong-accept"),
    ],
)
def test_a_step_that_cannot_follow_is_told_at_the_line_that_writes_it(write: Callable[[], Script]) -> None:
    with pytest.raises(ScriptError) as caught:
        write()
    frames = [entry for entry in caught.traceback if not entry.ishidden(caught)]
    assert frames[-1].path.name == "test_script.py"
