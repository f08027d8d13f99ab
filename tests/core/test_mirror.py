from __future__ import annotations

import re

import pytest

from farend.core.commands import Abort, Close, Send
from farend.core.faults import (
    Bandwidth,
    ByteAtATime,
    Coalesce,
    Corrupt,
    CutAfter,
    Duplicate,
    EndOfStream,
    Fault,
    Latency,
    Reset,
    Segments,
    Silence,
    SlowReader,
)
from farend.core.framing import lines, until
from farend.core.matchers import Equal, anything, json, regex, where
from farend.core.messages import Fragments, Ping
from farend.core.script import Script
from farend.core.steps import AnyOrder, Expect, ExpectClose, ExpectReply, Pause, Repeat, Reply, Step, forever
from farend.errors import ScriptError

S = Script


@pytest.mark.parametrize(
    ("script", "steps"),
    [
        (S().expect("a"), [Send("a")]),
        (S().expect(b"a", framing=lines()), [Send(b"a", lines())]),
        (S().expect(Ping(b"x")), [Send(Ping(b"x"))]),
        (S().expect(Equal("a")), [Send("a")]),
        (S().expect(str, example="a"), [Send("a")]),
        (S().expect(regex("a+;"), example=bytearray(b"a;")), [Send(b"a;")]),
        (S().expect(json={"a": 1}), [Send('{"a": 1}', lines())]),
        (S(framing=until(";")).expect(json={"a": 1}), [Send('{"a": 1}')]),
        (S().expect(json=[1], framing=until(";")), [Send("[1]", until(";"))]),
        (S().send("a", framing=lines()), [Expect("a", lines())]),
        (S().send(Fragments(("a", "b"))), [Expect("ab")]),
        (S().reply(str.upper, framing=lines()), [ExpectReply(str.upper, lines())]),
        (S().add(ExpectReply(str.upper, lines())), [Reply(str.upper, lines())]),
        (S().expect_handshake("/a").send("b"), [Expect("b")]),
        (S().close(1001, "bye"), [ExpectClose(1001, "bye")]),
        (S().close(), [ExpectClose()]),
        (S().abort(), [ExpectClose(reset=True)]),
        (S().expect_close(1001, "bye"), [Close(1001, "bye")]),
        (S().expect_close(None, regex("a")), [Close()]),
        (S().expect_close(reset=True), [Abort()]),
        (S().expect_close(1006), [Abort()]),
        (S().pause(1), [Pause(1.0)]),
        (S().any_order(S().expect("a"), S().send("b")), [AnyOrder(((Send("a"),), (Expect("b"),)))]),
        (S().repeat(3, S().expect("a")), [Repeat(3, (Send("a"),))]),
        (S().repeat(forever, S().expect("a").send("b")), [Send("a"), Expect("b")]),
        (S().repeat(forever, S().pause(1).expect("a")), [Pause(1.0), Send("a")]),
        (S().repeat(forever, S().send("a").expect("b")), [Repeat(forever, (Expect("a"), Send("b")))]),
        (S().repeat(forever, S().pause(1).send("a")), [Repeat(forever, (Pause(1.0), Expect("a")))]),
        (S().optional(S().expect("a").send("b")), [Send("a"), Expect("b")]),
    ],
)
def test_what_is_expected_is_said_and_the_other_way_about(script: Script, steps: list[Step]) -> None:
    assert script.mirrored().steps == steps


@pytest.mark.parametrize("what", [anything(), str, where(len), re.compile("a"), json({"a": str}), json({"a": 1}) & str])
def test_what_does_not_say_what_to_send_needs_an_example(what: object) -> None:
    with pytest.raises(ScriptError, match=r"cannot be mirrored: say what to send with expect\(…, example=…\)"):
        S().expect(what).mirrored()


@pytest.mark.parametrize("fault", [Latency(1), Bandwidth(1), Segments(1), ByteAtATime(), Coalesce(1), SlowReader()])
def test_faults_that_leave_all_that_is_said_are_not_in_the_mirror(fault: Fault) -> None:
    script = S().expect("a").fault(fault).send("b").fault(None)
    assert script.mirrored().steps == [Send("a"), Expect("b")]
    around = S().any_order(S().fault(fault), S().expect("a").fault(fault)).repeat(2, S().fault(fault))
    assert around.mirrored().steps == [AnyOrder(((Send("a"),),))]
    assert S().any_order(S().fault(fault)).mirrored().steps == []


@pytest.mark.parametrize("fault", [Reset(), EndOfStream(), CutAfter(1), Corrupt(every=1), Duplicate(), Silence()])
def test_faults_that_do_not_have_no_mirror(fault: Fault) -> None:
    with pytest.raises(ScriptError, match="cannot be mirrored: the other side cannot know what will arrive"):
        S().fault(fault).mirrored()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (S().expect_close(1005), "a script closes with a code"),
        (S().repeat(forever, S().send("a").expect("b")).expect("c"), "nothing tells when 'repeat forever' is over"),
        (S().repeat(2, S().expect("q").repeat(forever, S().send("a").expect("b"))), "nothing tells"),
        (S().optional(S().expect("q").repeat(forever, S().send("a").expect("b")).expect("c")), "nothing tells"),
    ],
)
def test_what_has_no_mirror_is_told(script: Script, text: str) -> None:
    with pytest.raises(ScriptError, match=text):
        script.mirrored()


def test_the_mirror_keeps_what_the_script_is() -> None:
    mirror = S(name="feed", framing=lines(), open_ended=True).expect("a").mirrored()
    assert (mirror.name, mirror.framing, mirror.open_ended) == ("mirror of feed", lines(), True)
    assert S().mirrored().name == ""


def test_the_mirror_of_a_mirror_is_the_script() -> None:
    script = S().expect("a").send("b").any_order(S().expect("c"), S().send("d")).reply(str).close(1000, "bye")
    assert script.mirrored().mirrored() == script
