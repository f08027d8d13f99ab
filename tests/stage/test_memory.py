"""A script against its mirror: the main property of the core."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farend.core import framing
from farend.core.events import Ended, How
from farend.core.findings import EndedEarly, FunctionFailed, Mismatch, NotPlayed, TimedOut, Unexpected
from farend.core.matchers import anything
from farend.core.messages import Ping
from farend.core.script import Script
from farend.core.steps import forever
from farend.errors import InvalidArguments, ScriptError, WrongType
from farend.stage import memory
from farend.stage.memory import rehearse


@settings(max_examples=200)
@given(data=st.data())
def test_a_script_of_messages_against_its_mirror_ends_clean(scripts: Any, data: st.DataObject) -> None:
    script = data.draw(scripts(stream=False))
    played = rehearse(script)
    assert played.clean, f"{script}\n--\n{script.mirrored()}\n--\n{played}"


@settings(max_examples=250)
@given(data=st.data())
def test_a_script_of_bytes_against_its_mirror_ends_clean_however_it_is_cut(scripts: Any, data: st.DataObject) -> None:
    script = data.draw(scripts(stream=True))
    sizes = data.draw(st.one_of(st.none(), st.just(1), st.lists(st.integers(1, 9)).map(iter)))
    played = rehearse(script, stream=True, cut=sizes)
    assert played.clean, f"{script}\n--\n{script.mirrored()}\n--\n{played}"


@settings(max_examples=50)
@given(data=st.data(), stream=st.booleans())
def test_the_mirror_of_a_mirror_plays_as_well(scripts: Any, data: st.DataObject, stream: bool) -> None:
    mirror = data.draw(scripts(stream=stream)).mirrored()
    played = rehearse(mirror, stream=stream)
    assert played.clean, f"{mirror}\n--\n{mirror.mirrored()}\n--\n{played}"


def test_both_sides_have_the_conversation_on_their_transcripts() -> None:
    played = rehearse(Script().expect("hello").send("there").close(1001, "bye"))
    assert played.far_end.received == played.near_end.sent == ["hello"]
    assert played.far_end.sent == played.near_end.received == ["there"]
    assert played.findings == ()
    assert "far end closed 1001 bye" in str(played)


def test_time_jumps_and_nothing_sleeps() -> None:
    played = rehearse(Script().expect("a").pause(3600).send("b"))
    assert played.clean
    assert played.far_end[-1].time == 3600


@pytest.mark.parametrize(
    ("script", "other", "finding", "got"),
    [
        (Script().expect("a"), Script().send("b"), Mismatch, "b"),
        (Script().send("b"), Script().expect("a"), Mismatch, "b"),
        (Script().expect("a").send("b"), Script().send("a").send("c"), Unexpected, "c"),
        (Script().expect("a").expect("b"), Script().send("a"), TimedOut, b""),
        (Script().expect("a").expect("b"), Script().send("a").close(), EndedEarly, b""),
    ],
)
def test_what_does_not_fit_is_found(script: Script, other: Script, finding: type, got: object) -> None:
    played = rehearse(script, other)
    assert not played.clean
    assert any(type(one) is finding and getattr(one, "got", None) == got for one in played.findings), played.findings
    assert played.findings[0].sentence in str(played)


def test_without_a_deadline_what_is_left_is_found_at_the_end() -> None:
    played = rehearse(Script().expect("a"), Script(), deadline=None)
    assert [type(finding) for finding in played.findings] == [NotPlayed]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "script",
    [
        Script().repeat(forever, Script().send("tick").expect("tock")),
        Script().repeat(forever, Script().pause(1).send("tick")),
        Script().repeat(forever, Script().pause(1).expect("tick")),
        Script().repeat(forever, Script().any_order(Script().send("x"), Script().expect("y"))),
    ],
)
def test_what_goes_on_for_ever_ends_clean_where_both_may_stop(script: Script, stream: bool) -> None:
    assert rehearse(script, stream=stream).clean


def test_a_rehearsal_without_end_is_given_up_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LIMIT", 500)
    script = Script().repeat(forever, Script().send("x").expect("y")).expect("never")
    other = Script().repeat(forever, Script().expect("x").send("y"))
    with pytest.raises(ScriptError, match="has no end: after 500 events"):
        rehearse(script, other)


def test_heartbeats_do_not_put_off_the_deadline() -> None:
    heartbeat = Script().repeat(forever, Script().pause(1).send("tick"))
    played = rehearse(
        Script().any_order(heartbeat, Script().expect("z")), Script().repeat(forever, Script().expect("tick"))
    )
    assert [type(finding) for finding in played.findings] == [TimedOut]
    assert played.far_end.sent == ["tick"] * 5


def test_a_close_is_answered_so_both_sides_hear_an_end() -> None:
    played = rehearse(Script().expect("a").close(4000, "over").expect_close(4000))
    assert played.clean, played


def test_both_may_close_at_once() -> None:
    assert rehearse(Script().close(1001), Script().close(1002)).clean


def test_a_stream_may_be_open_in_one_direction() -> None:
    played = rehearse(Script().expect("ask").close().expect("late").expect_close(), stream=True, cut=1)
    assert played.clean, played
    assert played.far_end.received == [b"ask", b"late"]


def test_an_abort_is_heard_as_a_reset_and_loses_what_is_under_way() -> None:
    played = rehearse(Script().send("lost").abort(), Script().expect_close(reset=True))
    assert played.clean, played
    assert played.near_end.received == []


def test_nothing_is_said_behind_an_abort() -> None:
    played = rehearse(Script().expect("x").abort(), Script().send("x").repeat(300, Script().send("y")))
    assert played.far_end.received == ["x"]
    assert played.near_end[-1].payload == Ended(How.RESET, 1006)


def test_a_packing_function_that_raises_is_a_finding() -> None:
    def pack(message: bytes) -> bytes:
        raise KeyError("no")

    script = Script().send("x", framing=framing.framed_by(len, pack))
    played = rehearse(script, Script().expect(anything()), stream=True)
    assert any(isinstance(one, FunctionFailed) and "KeyError" in one.problem for one in played.findings)


def test_a_message_too_long_for_its_length_is_a_finding() -> None:
    script = Script().send("x" * 300, framing=framing.length_prefixed("B"))
    played = rehearse(script, Script().expect(anything()), stream=True)
    assert any(isinstance(one, FunctionFailed) and "too many" in one.problem for one in played.findings)


def test_a_long_burst_goes_through() -> None:
    assert rehearse(Script().repeat(1000, Script().send("x")), stream=True, cut=7).clean


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("hello",), WrongType, "takes scripts, not 'hello'"),
        ((Script(), "hello"), WrongType, "takes scripts"),
        ((Script().expect(anything()),), ScriptError, "example="),
    ],
)
def test_what_cannot_be_rehearsed_is_told(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rehearse(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"cut": 1}, InvalidArguments, "stream=True"),
        ({"cut": 0, "stream": True}, InvalidArguments, "at least one byte"),
        ({"cut": iter(["x"]), "stream": True}, InvalidArguments, "'x'"),
        ({"cut": "x", "stream": True}, WrongType, "number of bytes"),
        ({"cut": True, "stream": True}, WrongType, "number of bytes"),
        ({"deadline": 0}, InvalidArguments, "deadline"),
    ],
)
def test_options_that_cannot_be_meant_are_told(options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rehearse(Script().expect("a"), **options)


def test_a_script_for_messages_only_is_refused_on_a_stream() -> None:
    with pytest.raises(ScriptError, match="pings and pongs"):
        rehearse(Script().expect("a").send(Ping()), stream=True)


def test_the_memory_stage_knows_no_event_loop() -> None:
    assert not {"asyncio", "socket", "threading", "time"} & set(vars(memory))
