"""STYLE 11, a conformance battery: each script is played alike, with the same findings, on every stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from farend import Script, anything, forever, lines, regex, where
from farend.core import framing
from farend.core.messages import Ping, Pong

BIG = "0123456789abcdef" * (1 << 16)


@dataclass
class Case:
    """`script` against `other` (None is its mirror): what the far end's transcript tells.

    `ends` tells whether the near end's own end is compared, too. `on` names the stages, as the mark does.
    `near` is what the near end found; None where that is not compared.
    """

    script: Script
    told: list[str]
    other: Script | None = None
    ends: bool = False
    near: list[str] | None = field(default_factory=list)
    on: set[str] = field(default_factory=set)


def told(text: str) -> list[str]:
    """One line of a transcript for each word; `_` is a space."""
    return [word.replace("_", " ") for word in text.split()]


def double(message: Any) -> Any:
    return message * 2


def shout(message: Any) -> Any:
    return [message.upper(), message]


STREAM, MESSAGES = {"stream"}, {"messages"}

CASES: dict[str, Case] = {
    # -- what is said ------------------------------------------------------------------------------
    "nothing": Case(Script(), []),
    "text": Case(Script().expect("hello").send("there"), told(">hello <there")),
    "text_beyond_ascii": Case(Script().expect("é€𝄞").send("ß"), told(">é€𝄞 <ß")),
    "far_end_first": Case(Script().send("welcome").expect("thanks"), told("<welcome >thanks")),
    "binary_message": Case(Script().expect(b"\x00\xff").send(b"\xfe"), [r">b'\x00\xff'", r"<b'\xfe'"], on=MESSAGES),
    "binary_bytes": Case(
        Script().expect(b"\x00\xff").send(b"\xfe"), [r">\x00\xff".replace(r"\x00", "\0"), r"<\xfe"], on=STREAM
    ),
    "text_is_not_binary": Case(
        Script().expect("a"), [">b'a'", "!Mismatch", "close 1008"], Script().send(b"a"), on=MESSAGES
    ),
    "text_is_its_bytes": Case(
        Script().expect("a").send(b"b"), told(">a <b"), Script().send(b"a").expect("b"), on=STREAM
    ),
    "empty_messages": Case(Script().expect("").send("").expect("x").send(""), told("> < >x <"), on=MESSAGES),
    "empty_lines": Case(Script(framing=lines()).expect("").send("").expect("x").send(""), told("> < >x <"), on=STREAM),
    "big": Case(
        Script().expect(BIG).send(BIG + "!").expect("done"),
        [">012345678… 1048576 106518166", "<012345678… 1048577 2265026804", ">done"],
    ),
    "many": Case(
        Script().repeat(1000, Script().expect("ping").send("pong")).expect("done"),
        told(">ping <pong") * 1000 + [">done"],
    ),
    "a_burst_each": Case(
        Script().repeat(1000, Script().expect("in")).repeat(1000, Script().send("out")).expect("done"),
        [">in"] * 1000 + ["<out"] * 1000 + [">done"],
    ),
    "fragments": Case(
        Script().send_fragments("one ", "two ", "", "three").expect("ok").send_fragments(b"\x00", b"\x01").expect("ok"),
        ["<one two three", ">ok", r"<b'\x00\x01'", ">ok"],
        on=MESSAGES,
    ),
    "fragments_by_the_near_end": Case(
        Script().expect("one two").expect(b"\x00\x01").send("ok"),
        [">one two", r">b'\x00\x01'", "<ok"],
        Script().send_fragments("one ", "two").send_fragments(b"\x00", b"\x01").expect("ok"),
        on=MESSAGES,
    ),
    "ping": Case(
        Script().send(Ping(b"x")).expect(Pong(b"x")).send("seen").expect("ok"),
        ["<Ping(data=b'x')", ">Pong(data=b'x')", "<seen", ">ok"],
        Script().expect("seen").send("ok"),
        on={"messages", "sockets"},
    ),
    "ping_by_the_near_end": Case(
        Script().expect(Ping(b"y")).send("seen").expect("ok"),
        [">Ping(data=b'y')", "<seen", ">ok"],
        Script().send(Ping(b"y")).expect("seen").send("ok"),
        on=MESSAGES,
    ),
    "ping_nobody_asked_for": Case(
        Script().expect("a").send("b").expect("c"),
        [">Ping(data=b'y')", ">a", "<b", ">Pong(data=b'z')", ">c"],
        Script().send(Ping(b"y")).send("a").expect("b").send(Pong(b"z")).send("c"),
        on=MESSAGES,
    ),
    # -- how it is expected ------------------------------------------------------------------------
    "json": Case(
        Script().expect(json={"op": "sub"}).send("ok"),
        ['>{"op": "sub", "id": 1}', "<ok"],
        Script().send('{"op": "sub", "id": 1}', framing=lines()).expect("ok"),
        on=STREAM,
    ),
    "json_message": Case(
        Script().expect(json={"op": "sub"}).send(json={"ok": [1, None]}),
        ['>{"op": "sub", "id": 1}', '<{"ok": [1, null]}'],
        Script().send('{"op": "sub", "id": 1}').expect(json={"ok": [1, None]}),
        on=MESSAGES,
    ),
    "regex": Case(Script().expect(regex("[0-9]+;"), example="12;").send("ok").expect("x"), told(">12; <ok >x")),
    "predicate": Case(Script().expect(where(lambda said: len(said) == 3), example="abc").send("ok"), told(">abc <ok")),
    "a_function": Case(Script().expect(lambda said: len(said) == 3, example="abc").send("ok"), told(">abc <ok")),
    "anything": Case(Script().expect(anything(), example="abc").send("ok"), told(">abc <ok")),
    "framings": Case(
        Script()
        .expect("four", framing=framing.length_prefixed(">H"))
        .send("out", framing=framing.until("%%"))
        .expect("row", framing=framing.lines())
        .expect(anything(), framing=framing.exactly(2), example="ab"),
        told(">four <out >row >ab"),
        on=STREAM,
    ),
    "a_framing_for_all": Case(
        Script(framing=lines()).expect("one").expect("two").send("three").expect("four"),
        told(">one >two <three >four"),
        on=STREAM,
    ),
    # -- in which order ----------------------------------------------------------------------------
    "any_order": Case(
        Script().any_order(Script().expect("a").send("A"), Script().expect("b").send("B")).expect("end"),
        told(">b <B >a <A >end"),
        Script().send("b").expect("B").send("a").expect("A").send("end"),
    ),
    "any_order_in_one_breath": Case(
        Script().any_order(Script().expect("a").expect("A"), Script().expect("b").expect("B")).send("end"),
        told(">b >a >A >B <end"),
        Script().send("b").send("a").send("A").send("B").expect("end"),
    ),
    "repeat": Case(Script().repeat(3, Script().expect("q").send("r")).expect("end"), told(">q <r >q <r >q <r >end")),
    "forever": Case(
        Script().repeat(forever, Script().expect("q").send("r")).expect("end").send("bye"),
        told(">q <r >q <r >end <bye"),
        Script().send("q").expect("r").send("q").expect("r").send("end").expect("bye"),
    ),
    "forever_to_the_end": Case(
        Script().repeat(forever, Script().expect("q").send("r")),
        told(">q <r >q <r end"),
        Script().send("q").expect("r").send("q").expect("r").close(),
        ends=True,
    ),
    "optional_taken": Case(
        Script().optional(Script().expect("auth").send("in")).expect("go").send("ok"), told(">auth <in >go <ok")
    ),
    "optional_left_out": Case(
        Script().optional(Script().expect("auth").send("in")).expect("go").send("ok"),
        told(">go <ok"),
        Script().send("go").expect("ok"),
    ),
    "reply": Case(Script().expect("ab").reply(double).expect("c").reply(shout), told(">ab <abab >c <C <c")),
    "pause": Case(Script().expect("a").pause(0.01).send("b"), told(">a <b")),
    "a_pause_shorter_than_a_clock_tick": Case(
        Script().any_order(Script().pause(0.0001).send("a"), Script().expect("b")).expect("c"),
        told("<a >b >c"),
        Script().expect("a").send("b").send("c"),
    ),
    "heard_in_a_pause": Case(
        Script().expect("a").send("b").pause(0.01).expect("c"),
        told(">a <b >c"),
        Script().send("a").expect("b").send("c"),
    ),
    # -- how it ends -------------------------------------------------------------------------------
    "close": Case(Script().expect("a").send("b").close(), told(">a <b close")),
    "close_and_hear_the_end": Case(
        Script().expect("a").close().expect_close(),
        told(">a close end"),
        Script().send("a").expect_close().close(),
        ends=True,
    ),
    "close_at_once": Case(Script().close(), ["close"]),
    "close_with_a_code": Case(Script().expect("a").close(4001, "no more"), told(">a close_4001_no_more"), on=MESSAGES),
    "close_without_a_code_is_1000": Case(
        Script().expect("a").close(), told(">a close"), Script().send("a").expect_close(1000), on=MESSAGES
    ),
    "near_end_closes": Case(Script().expect("a").send("b").expect_close(), told(">a <b end"), ends=True),
    "near_end_closes_with_a_code": Case(
        Script().expect("a").expect_close(4002, "ciao"), told(">a end_4002_ciao"), ends=True, on=MESSAGES
    ),
    "near_end_closes_with_another_code": Case(
        Script().expect("a").expect_close(4002),
        told(">a end_4003 !WrongEnd"),
        Script().send("a").close(4003),
        ends=True,
        on=MESSAGES,
    ),
    "abort": Case(Script().expect("a").abort(), told(">a abort")),
    "near_end_aborts": Case(Script().expect("a").send("b").expect_close(reset=True), told(">a <b reset"), ends=True),
    "half_closed_by_the_near_end": Case(
        Script().expect("ask").expect_close().send("answer").send("more").close(),
        told(">ask end <answer <more close"),
        Script().send("ask").close().expect("answermore").expect_close(),
        ends=True,
        on=STREAM,
    ),
    "half_closed_unexpectedly": Case(
        Script().expect("ask").pause(0.2).send("answer"),  # by then, the end has come on a busy machine as well
        told(">ask end <answer"),
        Script().send("ask").close().expect("answer").expect_close(),
        ends=True,
        on=STREAM,
    ),
    "half_closed_by_the_far_end": Case(
        Script().expect("ask").close().expect("late").expect_close(),
        told(">ask close >late end"),
        Script().send("ask").expect_close().send("late").close(),
        ends=True,
        on=STREAM,
    ),
    # -- what goes wrong ---------------------------------------------------------------------------
    "mismatch": Case(
        Script().expect("a").send("b").expect("general").send("Kenobi"),
        [">a", "<b", ">admiral", "!Mismatch", "close 1008"],
        Script().send("a").expect("b").send("admiral").expect("Kenobi"),
        near=["EndedEarly"],
        on=MESSAGES,
    ),
    "mismatch_of_bytes": Case(
        Script().expect("a").send("b").expect("general").send("Kenobi"),
        [">a", "<b", ">admiral", "!Mismatch", "close 1008"],
        Script().send("a").expect("b").send("admiral").expect("Kenobi"),
        near=["EndedEarly"],
        on=STREAM,
    ),
    "mismatch_in_any_order": Case(
        Script().any_order(Script().expect("a1"), Script().expect("b1")).send("ok"),
        [">a1", ">c1", "!Mismatch", "close 1008"],
        Script().send("a1").send("c1").expect("ok"),
        near=["EndedEarly"],
    ),
    "a_message_after_the_end": Case(
        Script().expect("a").send("b"),
        [">a", "<b", ">extra", "!Unexpected", "close 1008"],
        Script().send("a").expect("b").send("extra").expect_close(),
        near=None,
    ),
    "a_message_where_a_close_was_expected": Case(
        Script().expect("a").expect_close(),
        [">a", ">extra", "!Unexpected", "close 1008"],
        Script().send("a").send("extra").expect_close(),
        near=None,
    ),
    "near_end_leaves_early": Case(
        Script().expect("a").send("b").expect("c").send("d"),
        told(">a <b end !EndedEarly"),
        Script().send("a").expect("b").close(),
        ends=True,
    ),
    "near_end_leaves_in_a_message": Case(
        Script().expect("abc"), told("end !EndedEarly >ab"), Script().send("ab").close(), ends=True, on=STREAM
    ),
    "near_end_aborts_early": Case(
        Script().expect("a").send("b").expect("c"),
        told(">a <b reset !EndedEarly"),
        Script().send("a").expect("b").abort(),
        ends=True,
    ),
    "near_end_is_silent": Case(
        Script().expect("a").send("b").expect("c", within=0.03),
        [">a", "<b", "!TimedOut", "close 1008"],
        Script().send("a").expect("b").expect_close(),
        near=None,
    ),
    "near_end_never_closes": Case(
        Script().expect("a").send("b").expect_close(within=0.03),
        [">a", "<b", "!TimedOut", "close 1008"],
        Script().send("a").expect("b").expect_close(),
        near=None,
    ),
    "a_reply_that_fails": Case(
        Script().expect("a").reply(lambda message: 1 / 0),
        [">a", "!FunctionFailed", "close 1008"],
        Script().send("a").expect_close(),
        near=None,
    ),
}


def test_it_is_told_alike(case: Case, stage: Any) -> None:
    played = stage.play(case.script, case.other)
    assert played.told(ends=case.ends) == case.told
    if case.near is not None:
        assert played.near_found == case.near
    if not played.found and not played.near_found:
        assert words(played.near_told(), ">") == words(played.told(), "<"), "what one side says, the other hears"
        assert words(played.near_told(), "<") == words(played.told(), ">")


def words(told: list[str], arrow: str) -> str:
    """All that one side said; streams are cut anywhere, and pongs are sent by themselves."""
    return "".join(line[1:] for line in told if line[0] == arrow and not line[1:].startswith(("Ping", "Pong")))
