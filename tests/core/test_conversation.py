"""The transition table, and the laws of a conversation: any cut of the bytes, any order of events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farend.core import framing
from farend.core.commands import Abort, Accept, Close, Continue, Reject, Send, TellWhenQuiet, Wake
from farend.core.conversation import BURST, LATE, TRANSITIONS, Conversation, Outcome, State
from farend.core.events import (
    Connected,
    Ended,
    Event,
    Extended,
    How,
    Quiet,
    Received,
    TimePassed,
    Violated,
    WritingGoesOn,
    WritingPaused,
    WritingResumed,
)
from farend.core.findings import (
    EndedEarly,
    FunctionFailed,
    HandshakeMismatch,
    Lingered,
    Mismatch,
    NotConnected,
    NotPlayed,
    NotReading,
    ProtocolViolation,
    TimedOut,
    TooLarge,
    Unexpected,
    WrongEnd,
)
from farend.core.matchers import Matcher, anything, regex, where
from farend.core.messages import Fragments, Handshake, Ping, Pong
from farend.core.script import Script
from farend.core.steps import Expect, ExpectReply, forever
from farend.core.stream import StreamWire
from farend.core.transcript import Kind

Near = Callable[..., Any]
S = Script


# -- messages -------------------------------------------------------------------------------------


def test_a_script_is_played_step_by_step(near_end: Near) -> None:
    near = near_end(S().expect("hello").send("there").expect("general").send("Kenobi"))
    assert near.say("hello") == [Send("there")]
    assert near.conversation.next_step == 3
    assert near.say("general") == [Send("Kenobi")]
    assert near.conversation.done
    assert near.findings == []
    assert near.received == ["hello", "general"]


def test_the_far_end_speaks_first_where_the_script_does() -> None:
    conversation = Conversation(S().send("welcome"), stream=False)
    assert conversation.feed(Connected(), 0.0) == [Accept(), Send("welcome")]


def test_a_mismatch_ends_the_conversation_at_once(near_end: Near) -> None:
    near = near_end(S().expect("hello").expect("general"))
    assert near.say("hello", "admiral") == [Close(1008, "step 2: expected 'general', got 'admiral'")]
    assert type(near.finding) is Mismatch
    assert near.finding.got == "admiral"
    assert near.finding.place.number == 2
    assert near.state is State.CLOSING
    near.end()
    assert near.state is State.OVER


def test_a_close_reason_is_cut_where_it_is_too_long_for_a_frame(near_end: Near) -> None:
    near = near_end(S().expect("é" * 100))
    [close] = near.say("ü" * 100)
    assert len(close.reason.encode()) <= 123
    assert close.reason.endswith("…")


@pytest.mark.parametrize(
    ("said", "elsewhere", "advice"),
    [("c", 3, "Step 3 expects this message"), ("a", 1, "Step 1 expected this message already"), ("x", None, "")],
)
def test_a_stray_message_is_looked_for_at_other_steps(near_end: Near, said: str, elsewhere: Any, advice: str) -> None:
    near = near_end(S().expect("a").expect("b").expect("c").send("d").expect(str).expect(anything()))
    near.say("a", said)
    assert near.finding.elsewhere == elsewhere
    assert advice in near.finding.advice


def test_a_message_after_the_last_step_is_unexpected(near_end: Near) -> None:
    near = near_end(S().expect("a"))
    near.say("a", "b")
    assert type(near.finding) is Unexpected
    assert near.finding.got == "b"


def test_a_message_where_a_close_is_expected_is_unexpected(near_end: Near) -> None:
    near = near_end(S().expect_close())
    near.say("b")
    assert type(near.finding) is Unexpected


def test_after_its_own_close_the_far_end_only_listens(near_end: Near) -> None:
    near = near_end(S().expect("a").close())
    assert near.say("a") == [Close()]
    assert near.say("b") == []
    assert near.state is State.CLOSING
    assert near.received == ["a", "b"]
    near.end(Ended(How.CLOSE, 1000))
    assert (near.state, near.findings) == (State.OVER, [])
    assert near.say("c") == []
    assert near.received == ["a", "b"]


def test_pings_and_pongs_belong_to_nobody_unless_expected(near_end: Near) -> None:
    near = near_end(S().expect("a").expect(Ping(b"x")).expect(Pong).expect("b"))
    near.say(Ping(), "a", Pong(), Ping(b"x"), Ping(b"other"), Pong(b"y"), "b", Ping())
    assert near.findings == []
    assert near.conversation.done


def test_many_pings_may_wait(near_end: Near) -> None:
    near = near_end(S().pause(1).expect("a"))
    near.say(*[Ping()] * 5000, "a")
    near.wait()
    assert near.findings == []


def test_messages_that_come_in_a_pause_wait_for_the_next_step(near_end: Near) -> None:
    near = near_end(S().expect("a").pause(2).expect("b").send("c"))
    near.say("a", "b")
    assert near.sent == []
    near.wait()
    assert near.sent == ["c"]


def test_an_open_ended_script_keeps_what_nobody_awaits_yet(near_end: Near) -> None:
    script = S(open_ended=True)
    near = near_end(script)
    near.say("a", "b")
    assert near.findings == []
    script.expect("a")
    near.feed(Extended())
    assert near.conversation.next_step == 2
    near.conversation.finish(1.0)
    assert near.finding.got == "b"


def test_reply_says_what_a_function_makes_of_the_last_message(near_end: Near) -> None:
    near = near_end(S().expect("a").reply(lambda m: m * 2).reply(lambda m: [m, b"x", bytearray(b"y")]).reply(str.strip))
    near.say("a")
    assert near.sent == ["aa", "a", b"x", b"y", "a"]


@pytest.mark.parametrize(("gives", "silent"), [(None, "reply(answer)"), ([], "reply(answer)"), ("there", "")])
def test_a_reply_that_gave_nothing_is_told_where_the_near_end_waits_on(gives: Any, silent: str) -> None:
    def answer(message: Any) -> Any:
        return gives

    for more in (S(), S().send("more")):
        conversation = with_a_client(S().expect("a").reply(answer) + more)
        conversation.feed(Received("a"), 1.0)
        conversation.feed(TimePassed(), 6.0)
        [finding] = conversation.findings
        assert isinstance(finding, Lingered)
        assert finding.silent == ("" if len(more) else silent)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda m: 1 / 0, "ZeroDivisionError"),
        (lambda m: 5, "not 5"),
        (lambda m: ["ok", None], "not None"),
        (lambda m: "\ud800", "UTF-8"),
        (lambda m: Ping(b"x" * 126), "125 bytes"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_that_fails_is_a_finding(near_end: Near, function: Any, problem: str, stream: bool) -> None:
    near = near_end(S().expect("a").reply(function).send("never"), stream=stream)
    near.say(b"a" if stream else "a")
    assert type(near.finding) is FunctionFailed
    assert problem in near.finding.sentence
    assert near.sent == []


@pytest.mark.parametrize(
    ("function", "finding"), [(lambda said: None, None), (str.upper, EndedEarly), (lambda said: 1 / 0, FunctionFailed)]
)
def test_a_reply_that_cannot_be_said_matters_where_there_is_one(near_end: Near, function: Any, finding: Any) -> None:
    """The near end says its last word, and leaves, while the far end pauses."""
    asked = []
    script = S().expect("a").pause(1).expect("b").reply(lambda said: asked.append(said) or function(said)).pause(1)
    near = near_end(script)
    near.say("a")
    near.say("b")
    near.feed(Ended(How.CLOSE, 1000))
    assert asked == ["b"]
    assert [type(one) for one in near.conversation.findings] == ([] if finding is None else [finding])
    assert near.conversation.state is State.OVER


def test_a_reply_that_is_async_in_disguise_is_a_finding(near_end: Near) -> None:
    async def later() -> None: ...

    near = near_end(S().expect("a").reply(lambda message: later()))
    near.say("a")
    assert "async" in near.finding.sentence


def test_the_mirror_of_a_reply_expects_what_the_function_makes(near_end: Near) -> None:
    near = near_end(S().send(Fragments(("a", "b"))).add(ExpectReply(lambda m: Fragments((m, "!")))))
    near.say("ab!")
    assert near.findings == []
    assert near.conversation.done


def test_the_mirror_of_a_reply_that_fails_is_a_finding(near_end: Near) -> None:
    near = near_end(S().send("a").add(ExpectReply(lambda m: 1 / 0)).send("b"))
    assert type(near.finding) is FunctionFailed
    assert near.sent == ["a"]


def test_the_mirror_of_a_reply_hears_text_as_bytes_on_a_stream(near_end: Near) -> None:
    heard: list[object] = []
    cut = framing.until(b";", keep=True)
    near_end(S().send("é", framing=cut).add(ExpectReply(heard.append)), stream=True)
    near_end(S().send("é").add(ExpectReply(heard.append)), stream=True)
    near_end(S().add(ExpectReply(heard.append)), stream=True)
    assert heard == ["é;".encode(), "é".encode(), None]


# -- groups ---------------------------------------------------------------------------------------


def group_cases() -> list[Any]:
    any_order = S().any_order(S().expect("a").send("A"), S().expect("b").send("B"))
    nested = S().any_order(S().expect("x").any_order(S().expect("y"), S().expect("z")), S().expect("w"))
    rounds = S().repeat(2, S().expect("a").optional(S().expect("b").send("B"))).expect("c")
    return [
        pytest.param(any_order, ["a", "b"], ["A", "B"], id="any order: in order"),
        pytest.param(any_order, ["b", "a"], ["B", "A"], id="any order: the other way"),
        pytest.param(nested, ["w", "x", "z", "y"], [], id="any order inside any order"),
        pytest.param(S().repeat(2, S().expect("a").send("A")), ["a", "a"], ["A", "A"], id="repeat"),
        pytest.param(rounds, ["a", "b", "a", "b", "c"], ["B", "B"], id="repeat with an optional end: all of it"),
        pytest.param(rounds, ["a", "a", "c"], [], id="repeat with an optional end: left out"),
        pytest.param(rounds, ["a", "b", "a", "c"], ["B"], id="repeat with an optional end: in one round"),
        pytest.param(S().repeat(3, S().optional(S().expect("a"))).expect("b"), ["b"], [], id="rounds left out"),
        pytest.param(S().repeat(3, S().optional(S().expect("a"))).expect("b"), ["a", "b"], [], id="a round is enough"),
        pytest.param(
            S().repeat(forever, S().expect("a").send("A")).expect("b").send("B"),
            ["a", "a", "a", "b"],
            ["A", "A", "A", "B"],
            id="forever, until the next step's message",
        ),
        pytest.param(S().repeat(forever, S().expect("a")).expect("b"), ["b"], [], id="forever may be never"),
        pytest.param(S().optional(S().expect("a").send("A")).expect("b"), ["a", "b"], ["A"], id="optional, taken"),
        pytest.param(S().optional(S().expect("a").send("A")).expect("b"), ["b"], [], id="optional, left out"),
        pytest.param(S().optional(S().expect("a")), [], [], id="optional at the end"),
        pytest.param(S().expect("a").repeat(2, S().send("x").expect("y")), ["a", "y", "y"], ["x", "x"], id="speaks"),
        pytest.param(S().optional(S().expect("a").expect("b")).expect("c"), ["a", "b", "c"], [], id="optional of two"),
    ]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("script", "said", "answers"), group_cases())
def test_groups(near_end: Near, script: Script, said: list[str], answers: list[str], stream: bool) -> None:
    near = near_end(script, stream=stream)
    near.say(*([one.encode() for one in said] if stream else said))
    assert near.findings == []
    assert near.sent == answers
    assert near.conversation.done


@pytest.mark.parametrize(
    ("script", "said", "finding"),
    [
        (S().any_order(S().expect("a"), S().expect("b")), ["a", "a"], Mismatch),
        (S().repeat(2, S().expect("a")), ["a", "b"], Mismatch),
        (S().repeat(2, S().expect("a")), ["a", "a", "a"], Unexpected),
        (S().optional(S().expect("a").expect("b")).expect("c"), ["a", "c"], Mismatch),
        (S().repeat(forever, S().expect("a").expect("b")).expect("c"), ["a", "c"], Mismatch),
        (S().repeat(forever, S().expect("a")).expect("c"), ["a", "x"], Mismatch),
    ],
)
def test_what_a_group_does_not_expect_is_found(near_end: Near, script: Script, said: list[str], finding: type) -> None:
    near = near_end(script)
    near.say(*said)
    assert type(near.finding) is finding


def test_every_step_that_was_possible_is_a_candidate_the_nearest_first(near_end: Near) -> None:
    near = near_end(S().any_order(S().expect("aaaa"), S().expect("xyz!"), S().expect_close()))
    near.say("xyz?")
    assert [candidate.step.what for candidate in near.finding.candidates] == ["xyz!", "aaaa"]
    assert near.finding.nearest.step.what == "xyz!"


@pytest.mark.parametrize(
    ("script", "said", "path"),
    [
        (S().any_order(S().expect("a"), S().expect("b").expect("c")), ["a", "b"], "1, branch b, step 2"),
        (S().expect("q").repeat(3, S().expect("a").expect("b")), ["q", "a", "b", "a"], "2, round 2, step 2"),
        (S().optional(S().expect("a").expect("b")), ["a"], "1, step 2"),
        (S().expect("a"), ["a"], ""),
    ],
)
def test_the_place_tells_the_way_into_groups(near_end: Near, script: Script, said: list[str], path: str) -> None:
    near = near_end(script)
    near.say(*said)
    assert near.conversation.place.path == path


# -- streams --------------------------------------------------------------------------------------


def fed_ways(raw: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and in two at every place."""
    single = [raw[index : index + 1] for index in range(len(raw))]
    return [[raw], single, *([raw[:at], raw[at:]] for at in range(1, len(raw)))]


WIRE_CASES: list[Any] = [
    pytest.param(S().expect("hello").send("A"), b"hello", [b"hello"], id="a plain value"),
    pytest.param(S().expect(b"\xff\x00"), b"\xff\x00", [b"\xff\x00"], id="plain bytes"),
    pytest.param(S().expect("é"), "é".encode(), ["é".encode()], id="text is UTF-8"),
    pytest.param(S().expect("ab").expect("abc"), b"ababc", [b"ab", b"abc"], id="one value begins another"),
    pytest.param(S(framing=framing.lines()).expect("a").expect("b"), b"a\r\nb\n", [b"a", b"b"], id="lines"),
    pytest.param(S(framing=framing.lines()).expect(""), b"\n", [b""], id="an empty line"),
    pytest.param(S(framing=framing.json_lines()).expect(json={"a": 1}), b'{"a":1}\n', [b'{"a":1}'], id="JSON lines"),
    pytest.param(S().expect(json={"a": 1}), b'{"a":1}\n', [b'{"a":1}'], id="JSON is awaited as a line"),
    pytest.param(S().expect("abc", framing=framing.exactly(3)), b"abc", [b"abc"], id="exactly"),
    pytest.param(S().expect("a;b", framing=framing.until(b"||")), b"a;b||", [b"a;b"], id="until"),
    pytest.param(S().expect("a", framing=framing.until(b";", keep=True)), b"a;", [b"a;"], id="until, kept"),
    pytest.param(S().expect("a;", framing=framing.until(b";", keep=True)), b"a;", [b"a;"], id="until, kept and said"),
    pytest.param(S().expect("abc", framing=framing.length_prefixed(">H")), b"\0\3abc", [b"abc"], id="length"),
    pytest.param(S().expect("", framing=framing.length_prefixed("B")), b"\0", [b""], id="length of nothing"),
    pytest.param(S().expect("12;", framing=framing.pattern(rb"\d+;")), b"12;", [b"12;"], id="pattern"),
    pytest.param(S().expect(regex("[äö]+;")), "äöä;".encode(), ["äöä;".encode()], id="regex of text"),
    pytest.param(S().expect(regex(rb"\w+$")), b"a", [b"a"], id="regex that looks ahead"),
    pytest.param(
        S().expect("ab", framing=framing.framed_by(lambda data: (3, data[:2]) if len(data) > 2 else None)),
        b"ab.",
        [b"ab"],
        id="function",
    ),
    pytest.param(
        S().any_order(S().expect("hello"), S().expect("he;", framing=framing.until(b"!"))),
        b"he;!hello",
        [b"he;", b"hello"],
        id="the step that is complete first",
    ),
    pytest.param(
        S().any_order(S().expect("x", framing=framing.length_prefixed(">I")), S().expect("zzzz")),
        b"zzzz\0\0\0\1x",
        [b"zzzz", b"x"],
        id="bytes that break one framing are for another",
    ),
]


@pytest.mark.parametrize(("script", "raw", "messages"), WIRE_CASES)
def test_every_wire_case_whole_byte_by_byte_and_in_two(
    near_end: Near, script: Script, raw: bytes, messages: list[bytes]
) -> None:
    for segments in fed_ways(raw):
        near = near_end(script, stream=True)
        near.burst(segments)
        assert near.findings == []
        assert near.received == messages
        assert near.conversation.done


@pytest.mark.parametrize(("script", "raw", "messages"), WIRE_CASES)
def test_every_wire_case_with_bytes_behind_it(
    near_end: Near, script: Script, raw: bytes, messages: list[bytes]
) -> None:
    for segments in fed_ways(raw + b"X!"):
        near = near_end(script.copy().expect("X!", framing=framing.exactly(2)), stream=True)
        near.burst(segments)
        assert near.findings == []
        assert near.received == [*messages, b"X!"]
        unexpected = near_end(script, stream=True)
        unexpected.burst(segments)
        assert (type(unexpected.finding), unexpected.finding.got) == (Unexpected, b"X!")
        closing = near_end(script.copy().close(), stream=True)
        closing.burst(segments)
        assert closing.findings == []
        assert b"".join(closing.received) == b"".join(messages) + b"X!"


@pytest.mark.parametrize(
    ("expected", "cut"),
    [(anything(), None), (bytes, None), (where(len), None), ("abcd", framing.at_least(2)), ("abcd", None)],
)
def test_at_least_takes_what_has_come_when_the_near_end_pauses(near_end: Near, expected: Any, cut: Any) -> None:
    for segments in fed_ways(b"abcd"):
        near = near_end(S().expect(expected, framing=cut).send("ok"), stream=True)
        near.burst(segments)
        assert near.received == [b"abcd"]
        assert near.sent == ["ok"]


def test_at_least_waits_for_as_many_bytes_as_it_needs(near_end: Near) -> None:
    near = near_end(S().expect("abcd", framing=framing.at_least(3)), stream=True)
    near.burst([b"ab"])
    assert near.received == []
    near.burst([b"cd"])
    assert near.received == [b"abcd"]


def test_quiet_is_asked_for_only_where_it_matters() -> None:
    conversation = Conversation(S().expect("hello").expect(anything()), stream=True)
    conversation.feed(Connected(), 0.0)
    assert TellWhenQuiet() not in conversation.feed(Received(b"hel"), 0.0)
    assert TellWhenQuiet() in conversation.feed(Received(b"lo!"), 0.0)


def test_a_wrong_beginning_is_told_when_the_near_end_pauses(near_end: Near) -> None:
    near = near_end(S().expect("hello"), stream=True)
    near.say(b"je")
    assert near.findings == []
    near.quiet()
    assert (type(near.finding), near.finding.got, near.finding.partial) == (Mismatch, b"je", True)


def test_of_more_than_expected_the_message_is_told_and_the_rest_is_on_the_transcript(near_end: Near) -> None:
    near = near_end(S().expect("hello"), stream=True)
    near.say(b"jello there")
    assert (near.finding.got, near.finding.partial) == (b"jello", False)
    assert near.received == [b"jello", b" there"]


def test_no_bytes_are_no_event(near_end: Near) -> None:
    near = near_end(S(), stream=True)
    near.burst([b""])
    assert near.findings == []


@settings(max_examples=150)
@given(data=st.data())
def test_segmentation_never_matters(scripts: Any, near_end: Near, data: st.DataObject) -> None:
    """Any split of one burst, then quiet, then whatever time it takes: the same conversation."""
    script = data.draw(scripts(stream=True))
    limit = data.draw(st.sampled_from([1 << 20, 1 << 20, 8]))
    raw = data.draw(bytes_for(script))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=5)))
    segments = [raw[i:j] for i, j in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    ends = data.draw(st.booleans())
    whole, *others = (
        played(near_end(script, stream=True, limit=limit), how, ends)
        for how in ([raw], [bytes([byte]) for byte in raw], segments)
    )
    for other in others:
        assert other == whole


def played(near: Any, segments: list[bytes], ends: bool) -> Any:
    near.burst(segments)
    told = near.told()
    near.wait()
    if ends:
        near.end()
    near.conversation.finish(near.now)
    return told, near.told(), near.state


@st.composite
def bytes_for(draw: Any, script: Script) -> bytes:
    """What the mirror says, perhaps spoilt."""
    wire = StreamWire()
    wire.framing = script.framing
    sends: list[Send] = []
    flatten(script.mirrored().steps, sends)
    if draw(st.booleans()):
        sends = draw(st.permutations(sends))
    raw = b"".join(map(wire.say, sends))
    match draw(st.sampled_from(["right", "right", "short", "more", "spoilt", "noise"])):
        case "short":
            return raw[: draw(st.integers(0, len(raw)))]
        case "more":
            return raw + draw(st.binary(min_size=1, max_size=10))
        case "spoilt" if raw:
            at = draw(st.integers(0, len(raw) - 1))
            return raw[:at] + draw(st.binary(min_size=1, max_size=2)) + raw[at + 1 :]
        case "noise":
            return bytes(draw(st.binary(max_size=40)))
    return raw


def flatten(steps: Any, sends: list[Send]) -> None:
    for step in steps:
        if isinstance(step, Send):
            sends.append(step)
        for inner in getattr(step, "branches", ()):
            flatten(inner, sends)
        for _ in range(int(min(getattr(step, "times", 1), 3))):
            flatten(getattr(step, "steps", ()), sends)


# -- whatever comes -------------------------------------------------------------------------------


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.just(Connected()),
    st.just(Quiet()),
    st.just(TimePassed()),
    st.just(Extended()),
    st.just(WritingPaused()),
    st.just(WritingGoesOn()),
    st.just(WritingResumed()),
    st.builds(Violated, st.just("bad"), st.binary(max_size=3), st.sampled_from(["protocol", "too big", "utf-8"])),
    st.builds(Ended, st.sampled_from(How), st.sampled_from([None, 1000, 1006])),
)


@settings(max_examples=150)
@given(data=st.data(), stream=st.booleans())
def test_nothing_that_comes_makes_the_core_raise(scripts: Any, data: st.DataObject, stream: bool) -> None:
    script = data.draw(scripts(stream=stream))
    wanted = [step.payload for step in script.mirrored() if isinstance(step, Send)]
    said = [one.encode() if stream and isinstance(one, str) else one for one in wanted]
    messages = (
        st.binary(max_size=6) if stream else st.one_of(st.text(max_size=3), st.binary(max_size=3), st.just(Ping()))
    )
    received = st.builds(Received, st.one_of(messages, st.sampled_from(said)) if said else messages)
    conversation = Conversation(script, stream=stream, deadline=data.draw(st.sampled_from([None, 1.0])))
    conversation.feed(Connected(), 0.0)
    now = 0.0
    for event in data.draw(st.lists(st.one_of(received, received, EVENTS), max_size=15)):
        now += data.draw(st.sampled_from([0.0, 0.0, 0.4, 2.0]))
        commands = conversation.feed(event, now)
        assert sum(isinstance(command, Close | Abort) for command in commands) <= 1
        assert len(conversation.findings) <= 1
        if conversation.findings:
            assert conversation.state in (State.CLOSING, State.OVER)
        if conversation.state is State.PLAYING and conversation.wake_at is not None:
            assert conversation.wake_at >= 0
    conversation.feed(Ended(), now)
    conversation.finish(now)
    assert conversation.state is State.OVER


EVERY_EVENT: list[Event] = [
    Connected(),
    Received("x"),
    Quiet(),
    TimePassed(),
    Extended(),
    WritingPaused(),
    WritingGoesOn(),
    WritingResumed(),
    Violated("bad"),
    Ended(),
]


@pytest.mark.parametrize(
    ("state", "event"),
    [(state, event) for state in State for event in EVERY_EVENT if type(event) not in TRANSITIONS[state]],
)
def test_an_event_without_a_row_changes_nothing(state: State, event: Event) -> None:
    conversation = Conversation(S().expect("a"), stream=False)
    conversation.state = state
    before = len(conversation.transcript), conversation.next_step
    assert conversation.feed(event, 1.0) == []
    assert conversation.state is state
    assert (len(conversation.transcript), conversation.next_step) == before


# -- time -----------------------------------------------------------------------------------------


def test_a_wait_that_reaches_its_deadline_tells_what_had_come(near_end: Near) -> None:
    near = near_end(S().expect("hello"), stream=True, deadline=5.0)
    near.say(b"hel")
    near.at(4.9)
    assert near.findings == []
    near.at(5.0)
    assert (type(near.finding), near.finding.seconds, near.finding.got) == (TimedOut, 5.0, b"hel")
    assert near.finding.what == "say 'hello'"


def test_the_deadline_counts_from_the_last_step_played(near_end: Near) -> None:
    near = near_end(S().expect("a").expect("b"), deadline=5.0)
    near.now = 3.0
    near.say("a")
    assert near.conversation.wake_at == 8.0


@pytest.mark.parametrize(
    ("script", "wake_at"),
    [
        (S().expect("a"), 5.0),
        (S().expect("a", within=0.5), 1.0),
        (S().expect_close(within=10), 20.0),
        (S().any_order(S().expect("a", within=1), S().expect("b", within=3)), 6.0),
        (S().any_order(S().expect("a", within=1), S().pause(1)), 1.0),
        (S().any_order(S().expect("a", within=1), S().pause(3)), 2.0),
        (S().pause(7), 7.0),
        (S().any_order(S().pause(4), S().pause(3)), 3.0),
        (S(), None),
        (S().optional(S().expect("a")), None),
        (S().repeat(forever, S().expect("a")), None),
        (S().add(Expect("a", None, forever)), None),
    ],
)
def test_when_time_matters_and_within_is_scaled(near_end: Near, script: Script, wake_at: float | None) -> None:
    assert near_end(script, deadline=5.0, scale=2.0).conversation.wake_at == wake_at


def test_a_wait_that_was_scaled_says_so(near_end: Near) -> None:
    near = near_end(S().any_order(S().expect("x", within=0.3), S().expect_close(within=0.2)), deadline=5.0, scale=2.0)
    near.at(0.6)
    assert near.finding.sentence == (
        "Waited 0.6 s (0.3 s, with a scale of 2) for the near end to say 'x' or close the connection."
    )


def test_without_a_deadline_only_steps_have_one(near_end: Near) -> None:
    assert near_end(S().expect("a"), deadline=None).conversation.wake_at is None
    assert near_end(S().expect("a", within=1), deadline=None).conversation.wake_at == 1.0
    assert near_end(S().expect("a", within=0), deadline=None).conversation.wake_at == 0.0


@pytest.mark.parametrize(
    "script",
    [
        S().expect("a").expect("b", within=1),
        S().expect("a").any_order(S().expect("b", within=1)),
        S().expect("a").pause(0.1),
        S().expect("a").send("x").add(ExpectReply(lambda m: "y", None, 1.0)),
    ],
)
def test_a_deadline_that_comes_closer_is_told(near_end: Near, script: Script) -> None:
    near = near_end(script)
    assert Wake() in near.conversation.feed(Received("a"), 0.0)


@pytest.mark.parametrize("script", [S().expect("a", within=1), S().pause(1), S().repeat(2, S().expect("a", within=1))])
def test_a_first_deadline_is_told_with_the_accept(script: Script) -> None:
    assert Wake() in Conversation(script, stream=False).feed(Connected(), 0.0)


def test_all_that_is_awaited_is_told(near_end: Near) -> None:
    script = S().any_order(S().expect("a"), S().expect_close(), S().expect_close(reset=True))
    near = near_end(script)
    near.wait()
    assert near.finding.what == "say 'a' or close the connection or reset the connection"


def test_a_pause_lasts_as_long_as_it_says(near_end: Near) -> None:
    near = near_end(S().pause(2).send("a"))
    assert near.at(1.9) == []
    assert near.at(2.0) == [Send("a")]


def test_a_pause_in_one_branch_does_not_put_off_the_deadline_of_another(near_end: Near) -> None:
    heartbeat = S().repeat(forever, S().pause(1).send("tick"))
    near = near_end(S().any_order(heartbeat, S().expect("z")), deadline=3.5)
    for second in (1, 2, 3):
        assert near.at(second) == [Send("tick")]
    assert near.conversation.wake_at == 3.5


def test_a_wait_that_begins_after_a_pause_has_its_whole_deadline(near_end: Near) -> None:
    near = near_end(S().pause(10).expect("a"), deadline=5.0)
    near.at(10)
    assert near.conversation.wake_at == 15


def test_a_near_end_that_does_not_read_is_cut_off(near_end: Near) -> None:
    near = near_end(S().expect("go").send("a").expect("b").send("c"), deadline=5.0)
    near.say("go")
    near.now = 1.0
    near.feed(WritingPaused())
    near.now = 2.0
    near.feed(WritingPaused())
    assert near.say("b") == []  # nothing more is sent
    assert near.at(6.0) == [Abort()]
    assert (type(near.finding), near.finding.seconds) == (NotReading, 5.0)
    assert near.state is State.OVER
    assert Kind.CLOSED not in [entry.kind for entry in near.conversation.transcript]


def test_a_near_end_that_reads_again_gets_the_rest(near_end: Near) -> None:
    near = near_end(S().expect("go").send("a").expect("b").send("c"))
    near.say("go")
    near.feed(WritingPaused())
    near.say("b")
    assert near.feed(WritingResumed()) == [Send("c")]
    assert near.feed(WritingResumed()) == []


def test_a_near_end_that_reads_slowly_has_time(near_end: Near) -> None:
    near = near_end(S().expect("a"), deadline=5.0)
    near.feed(WritingGoesOn())
    near.feed(WritingPaused())
    near.now = 4.0
    near.feed(WritingGoesOn())
    assert near.conversation.wake_at == 9.0
    closing = near_end(S().close(), deadline=5.0)
    closing.now = 4.0
    for event in (WritingGoesOn(), WritingResumed()):
        closing.feed(event)
        assert closing.conversation.wake_at == 9.0


def test_a_close_that_is_not_answered_becomes_an_abort(near_end: Near) -> None:
    near = near_end(S().close(), deadline=5.0)
    assert near.conversation.wake_at == 5.0
    assert near.at(4.0) == []
    assert near.at(5.0) == [Abort()]
    assert near.state is State.OVER
    assert near.findings == []


def test_a_near_end_that_says_too_much_after_the_close_is_cut_off(near_end: Near) -> None:
    near = near_end(S().close(), limit=10)
    assert near.say("x" * LATE, Ping()) == []
    assert near.say("x") == [Abort()]


def test_a_long_burst_looks_in_between_whether_the_near_end_reads() -> None:
    conversation = Conversation(S().repeat(BURST + 5, S().send("x")), stream=False)
    commands = conversation.feed(Connected(), 0.0)
    assert Continue() in commands
    assert len(conversation.transcript.sent) == BURST
    assert len(conversation.feed(WritingResumed(), 0.0)) == 5


@pytest.mark.parametrize("how", [How.EOF, How.RESET])
def test_an_end_in_the_middle_of_a_burst_does_not_lose_the_rest_or_hang(near_end: Near, how: How) -> None:
    conversation = Conversation(S().repeat(BURST + 5, S().send("x")), stream=True)
    conversation.feed(Connected(), 0.0)
    conversation.feed(Ended(how), 0.0)
    conversation.feed(WritingResumed(), 0.0)
    assert conversation.state is State.OVER
    assert len(conversation.transcript.sent) == (BURST + 5 if how is How.EOF else BURST)
    assert len(conversation.findings) == (0 if how is How.EOF else 1)


# -- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        (S().expect_close(), Ended()),
        (S().expect_close(), Ended(How.CLOSE, 1000)),
        (S().expect_close(1001), Ended(How.CLOSE, 1001)),
        (S().expect_close(1001, "bye"), Ended(How.CLOSE, 1001, "bye")),
        (S().expect_close(None, regex("b.*")), Ended(How.CLOSE, 1001, "bye")),
        (S().expect_close(1006), Ended(How.LOST, 1006)),
        (S().expect_close(1006), Ended(How.RESET, 1006)),
        (S().expect_close(reset=True), Ended(How.RESET)),
        (S().optional(S().expect("a")).expect_close(), Ended()),
        (S().expect_close().close(), Ended(How.CLOSE, 1000)),
        (S().expect_close().pause(3), Ended(How.CLOSE, 1000)),
        (S().expect_close(reset=True).pause(3), Ended(How.RESET)),
        (S().pause(1), Ended(How.RESET)),
        (S().repeat(forever, S().pause(1)), Ended(How.RESET)),
        (S().optional(S().expect("a")), Ended(How.LOST)),
        (S(), Ended()),
    ],
)
def test_an_end_that_is_as_expected(near_end: Near, script: Script, ended: Ended) -> None:
    near = near_end(script)
    near.end(ended)
    assert near.findings == []
    assert near.conversation.done


@pytest.mark.parametrize(
    ("script", "ended", "finding"),
    [
        (S().expect_close(), Ended(How.RESET), WrongEnd),
        (S().expect_close(), Ended(How.LOST, 1006), WrongEnd),
        (S().expect_close(1001), Ended(How.CLOSE, 1002), WrongEnd),
        (S().expect_close(1001, "bye"), Ended(How.CLOSE, 1001, "by"), WrongEnd),
        (S().expect_close(reset=True), Ended(), WrongEnd),
        (S().expect_close(1006), Ended(How.CLOSE, 1000), WrongEnd),
        (S().expect("a"), Ended(), EndedEarly),
        (S().expect_close().expect_close(), Ended(), EndedEarly),
        (S().pause(1).send("a"), Ended(How.CLOSE, 1000), EndedEarly),
        (S().pause(1).close(), Ended(How.CLOSE, 1000), EndedEarly),
        (S().any_order(S().repeat(forever, S().pause(1)), S().pause(1).send("a")), Ended(How.RESET), EndedEarly),
        (S().any_order(S().expect("a"), S().expect_close(4000)), Ended(How.CLOSE, 1000), EndedEarly),
    ],
)
def test_an_end_that_is_not(near_end: Near, script: Script, ended: Ended, finding: type) -> None:
    near = near_end(script)
    assert near.end(ended) == []
    assert type(near.finding) is finding
    assert near.finding.ended == ended
    assert near.state is State.OVER
    assert near.conversation.ended == ended


def test_an_early_end_tells_what_had_come(near_end: Near) -> None:
    near = near_end(S().expect("hello"), stream=True)
    near.say(b"hel")
    near.end()
    assert (type(near.finding), near.finding.got) == (EndedEarly, b"hel")


def test_an_end_lets_the_wrong_beginning_be_told(near_end: Near) -> None:
    near = near_end(S().expect("hello"), stream=True)
    near.say(b"jel")
    near.end()
    assert (type(near.finding), near.finding.got) == (Mismatch, b"jel")


def test_an_end_lets_at_least_take_what_has_come(near_end: Near) -> None:
    near = near_end(S().expect(anything()).expect_close().send("bye"), stream=True)
    near.say(b"abc")
    near.end()
    assert near.findings == []
    assert near.sent == ["bye"]
    assert near.state is State.OVER


def test_after_the_end_of_a_stream_the_far_end_says_the_rest(near_end: Near) -> None:
    near = near_end(S().expect("a").pause(1).send("b").close(), stream=True)
    near.say(b"a")
    near.end()
    assert near.state is State.PLAYING
    near.wait()
    assert near.commands == [Send("b"), Close()]
    assert (near.state, near.findings) == (State.OVER, [])


def test_what_came_before_an_end_and_was_not_expected_is_found(near_end: Near) -> None:
    near = near_end(S().expect("a").pause(1), stream=True)
    near.say(b"a", b"more")
    near.end()
    near.wait()
    assert (type(near.finding), near.finding.got) == (Unexpected, b"more")


def test_what_came_while_the_far_end_only_paused_is_found(near_end: Near) -> None:
    near = near_end(S().repeat(forever, S().pause(1)))
    near.say("a")
    near.end(Ended(How.RESET))
    assert (type(near.finding), near.finding.got) == (Unexpected, "a")


def test_what_came_before_the_far_end_closed_is_heard(near_end: Near) -> None:
    near = near_end(S().expect("a").pause(1).close(), stream=True)
    near.say(b"a", b"more")
    near.end()
    near.wait()
    assert near.findings == []
    assert near.received == [b"a", b"more"]


def test_after_its_close_a_stream_may_still_listen(near_end: Near) -> None:
    near = near_end(S().close().expect("late").pause(1).expect_close(), stream=True)
    near.say(b"late")
    near.at(1.0)
    near.end()
    assert near.findings == []
    assert near.state is State.OVER


def test_reply_speaks_of_the_last_message_and_not_of_the_end(near_end: Near) -> None:
    near = near_end(S().expect("a").expect_close().reply(lambda m: m + b"!"), stream=True)
    near.say(b"a")
    near.end()
    assert near.sent == [b"a!"]


def test_an_open_ended_conversation_stays_open_in_its_own_direction(near_end: Near) -> None:
    near = near_end(S(open_ended=True), stream=True)
    near.end()
    assert near.state is State.PLAYING
    assert near.conversation.say(Send("still here"), 1.0) == [Send("still here")]


# -- what is broken -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "finding", "code"),
    [
        (Violated("bad opcode", b"\x83", "protocol", 1002), ProtocolViolation, 1002),
        (Violated("not UTF-8", b"\xff", "utf-8", 1007), ProtocolViolation, 1007),
        (Violated("too long", b"", "too big", 1009), TooLarge, 1009),
    ],
)
def test_a_violation_is_a_finding(near_end: Near, event: Violated, finding: type, code: int) -> None:
    near = near_end(S().expect("a"))
    [close] = near.feed(event)
    assert type(near.finding) is finding
    assert close.code == code
    assert near.received == ([event.data] if event.data else [])


def test_a_violation_by_which_the_connection_ended_leaves_nothing_to_close(near_end: Near) -> None:
    near = near_end(S().expect("a"))
    assert near.feed(Violated("half a message", b"\x81", code=1006)) == []
    near.feed(Ended(How.RESET, 1006))
    assert type(near.finding) is ProtocolViolation
    assert [entry.kind for entry in near.conversation.transcript][-3:] == [Kind.RECEIVED, Kind.FOUND, Kind.ENDED]


def test_a_violation_behind_our_close_is_heard(near_end: Near) -> None:
    near = near_end(S().expect("a"))
    near.feed(Violated("bad opcode", b"\x83", "protocol", 1002))
    near.feed(Violated("bad opcode", b"\x84", "protocol", 1002))
    near.feed(Violated("it left", b"\x83\x84", "handshake"))
    assert near.received == [b"\x83", b"\x84"]
    assert len(near.conversation.findings) == 1


def test_a_violation_before_the_handshake_is_a_finding() -> None:
    conversation = Conversation(S().expect("a"), stream=False)
    assert conversation.feed(Violated("no HTTP", b"", "handshake"), 0.0) == [Wake()]
    assert type(conversation.findings[0]) is ProtocolViolation
    assert conversation.state is State.CLOSING


def test_bytes_that_a_framing_cannot_have_are_a_violation(near_end: Near) -> None:
    near = near_end(S(framing=framing.length_prefixed("b")).expect("a"), stream=True)
    near.say(b"\xff")
    assert type(near.finding) is ProtocolViolation
    assert (near.finding.data, near.finding.about) == (b"\xff", "framing")


@pytest.mark.parametrize("segments", [[b"x" * 30], [b"x"] * 30, [b"x" * 10, b"x" * 20]])
@pytest.mark.parametrize(
    "script", [S().expect(anything()), S(framing=framing.lines()).expect("a"), S(), S().any_order(S().expect(bytes))]
)
def test_a_message_over_the_limit_is_a_finding(near_end: Near, script: Script, segments: list[bytes]) -> None:
    near = near_end(script, stream=True, limit=20)
    near.burst(segments)
    assert type(near.finding) is TooLarge
    assert near.finding.limit == 20


def test_a_line_over_the_limit_is_too_large_however_it_comes(near_end: Near) -> None:
    for segments in fed_ways(b"x" * 21 + b"\n"):
        near = near_end(S(framing=framing.lines()).expect("x" * 21), stream=True, limit=20)
        near.burst(segments)
        assert type(near.finding) is TooLarge


def test_a_value_that_the_script_expects_may_be_of_any_size(near_end: Near) -> None:
    for segments in ([b"x" * 100], [b"x"] * 100):
        near = near_end(
            S().any_order(S().expect("x" * 100), S().expect("a", framing=framing.lines())), stream=True, limit=20
        )
        near.burst(segments)
        assert near.received == [b"x" * 100]


class Hostile:
    """A value that raises whenever it is touched."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare me")

    def __repr__(self) -> str:
        raise RuntimeError("do not print me")

    __hash__ = None  # type: ignore[assignment]


class HostileMatcher(Matcher):
    def difference(self, got: object) -> Any:
        raise RuntimeError("not today")

    def describe(self) -> str:
        return "hostile"


class UntilEnd(framing.Framing):
    """All that comes before the end of the stream."""

    def cut(self, data: framing.Buffer, quiet: bool) -> framing.Cut | None:
        return None

    def last(self, data: framing.Buffer) -> framing.Cut | None:
        if data == b"boom":
            raise RuntimeError("boom")
        return framing.Cut(len(data), bytes(data))


@pytest.mark.parametrize(
    ("script", "raw", "received", "finding"),
    [
        (S(framing=UntilEnd()).expect("all of it").send("thanks"), b"all of it", [b"all of it"], None),
        (S(framing=UntilEnd()).expect("").expect_close(), b"", [b""], None),
        (S(framing=UntilEnd()).expect("all of it"), b"a part", [b"a part"], EndedEarly),
        (S(framing=UntilEnd()).expect("all of it"), b"boom", [b"boom"], FunctionFailed),
        (S(framing=UntilEnd()).expect_close(), b"more", [b"more"], Unexpected),
    ],
)
def test_a_framing_may_make_a_message_of_the_end(
    near_end: Near, script: Script, raw: bytes, received: list[bytes], finding: type | None
) -> None:
    near = near_end(script, stream=True)
    near.say(raw)
    near.end()
    assert near.received == received
    assert [type(one) for one in near.findings] == ([finding] if finding else [])
    assert near.state is State.OVER


class HostileFraming(framing.Framing):
    def cut(self, data: framing.Buffer, quiet: bool) -> framing.Cut | None:
        return framing.Cut(0, b"")


def boom(*_: object) -> Any:
    raise RuntimeError("boom")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("what", [Hostile(), HostileMatcher(), boom, ~where(boom), where(boom) | where(boom)])
def test_what_raises_in_a_comparison_is_told_as_a_difference(near_end: Near, what: Any, stream: bool) -> None:
    near = near_end(S().expect(what), stream=stream)
    near.burst([b"a"] if stream else ["a"])
    assert type(near.finding) is Mismatch
    assert near.finding.nearest.difference.raised


@pytest.mark.parametrize("cut", [framing.framed_by(boom), framing.framed_by(lambda data: 99), HostileFraming()])
def test_a_framing_that_fails_is_a_finding(near_end: Near, cut: framing.Framing) -> None:
    for segments in fed_ways(b"ab"):
        near = near_end(S().repeat(forever, S().expect(anything(), framing=cut)), stream=True)
        near.burst(segments)
        assert type(near.finding) is FunctionFailed


def test_a_framing_function_may_say_that_bytes_are_no_message(near_end: Near) -> None:
    def cut(data: bytes) -> int:
        raise framing.FramingError("no magic number")

    near = near_end(S().expect(anything(), framing=framing.framed_by(cut)), stream=True)
    near.say(b"x")
    assert type(near.finding) is ProtocolViolation


# -- handshakes -----------------------------------------------------------------------------------

HANDSHAKE = Handshake(
    "/feed?depth=5&token=x", [("Origin", "https://a.example"), ("Sec-WebSocket-Protocol", "v1, v2"), ("X-A", "1")]
)


@pytest.mark.parametrize(
    ("expected", "differing"),
    [
        (S().expect_handshake("/feed"), []),
        (S().expect_handshake(regex("/f.*"), query={"depth": "5"}, headers={"X-a": "1"}), []),
        (S().expect_handshake(origin="https://a.example", subprotocols=["v1", "v2"]), []),
        (S().expect_handshake(subprotocols=("v1", "v2")), []),
        (S().expect_handshake(), []),
        (S().expect_handshake("/other"), ["path"]),
        (S().expect_handshake(query={"depth": "6", "more": "1"}), ["query 'depth'", "query 'more'"]),
        (S().expect_handshake(headers={"X-A": boom}), ["header 'X-A'"]),
        (S().expect_handshake(origin="b", subprotocols=["v1"]), ["origin", "subprotocols"]),
    ],
)
def test_a_handshake_is_compared_part_by_part(expected: Script, differing: list[str]) -> None:
    conversation = Conversation(expected.send("hi"), stream=False)
    commands = conversation.feed(Connected(HANDSHAKE), 0.0)
    if not differing:
        assert commands == [Accept(), Send("hi")]
        return
    assert isinstance(commands[-1], Reject)
    assert commands[-1].status == 400
    [finding] = conversation.findings
    assert isinstance(finding, HandshakeMismatch)
    assert [part for part, _ in finding.differences] == differing
    assert conversation.transcript.sent == []


def test_a_handshake_that_nobody_made_is_as_expected() -> None:
    conversation = Conversation(S().expect_handshake("/feed"), stream=True)
    assert conversation.feed(Connected(), 0.0) == [Accept()]
    assert conversation.done


# -- the test in control --------------------------------------------------------------------------


def test_finish_finds_what_was_not_played(near_end: Near) -> None:
    near = near_end(S().expect("a").expect("b").send("c"))
    near.say("a")
    assert not near.conversation.done
    near.conversation.finish(1.0)
    assert (type(near.finding), near.finding.said) == (NotPlayed, 1)
    assert len(near.finding.place.left) == 2
    assert near.state is State.OVER


@pytest.mark.parametrize("stream", [True, False])
def test_finish_finds_what_was_not_awaited(near_end: Near, stream: bool) -> None:
    near = near_end(S(open_ended=True), stream=stream)
    near.say(b"a")
    near.conversation.finish(1.0)
    assert near.finding.messages == [b"a"]
    assert near.received == [b"a"]
    assert Kind.CLOSED not in [entry.kind for entry in near.conversation.transcript]


def test_finish_finds_nothing_where_all_was_played_or_nobody_came(near_end: Near) -> None:
    near = near_end(S().optional(S().expect("a")))
    near.say(Ping())
    near.conversation.finish(1.0)
    idle = Conversation(S().expect("a"), stream=False)
    assert not idle.done
    idle.finish(1.0)
    assert near.findings == idle.findings == []


def test_a_script_may_grow_while_it_is_played(near_end: Near) -> None:
    script = S().expect("a")
    near = near_end(script)
    near.say("a")
    script.send("b").expect("c")
    assert near.feed(Extended()) == [Send("b")]
    near.say("c")
    assert near.conversation.done


def told_by(outcomes: list[Outcome]) -> Callable[[Outcome], None]:
    return outcomes.append


def test_extending_one_conversation_tells_what_became_of_a_step(near_end: Near) -> None:
    script = S(open_ended=True).expect("a")
    near, other, outcomes = near_end(script), near_end(script), []
    near.say("a", "b")
    step = Expect("b")
    near.conversation.extend([step], step, told_by(outcomes))
    assert outcomes == []
    near.feed(Extended())
    assert [outcome.message for outcome in outcomes] == ["b"]
    other.say("a")
    assert other.conversation.done


def test_what_the_script_gets_later_comes_behind_the_conversations_own_steps(near_end: Near) -> None:
    script = S(open_ended=True)
    near, step = near_end(script), Expect("own")
    near.conversation.extend([step], step, lambda outcome: None)
    script.send("later")
    assert near.feed(Extended()) == []
    assert near.say("own") == [Send("later")]
    assert near.feed(Extended()) == []


def test_who_waits_is_told_of_a_finding_and_of_the_end(near_end: Near) -> None:
    for event, kind in [(Received("x"), Mismatch), (Ended(), EndedEarly)]:
        near, outcomes, step = near_end(S(open_ended=True)), [], Expect("b")
        near.conversation.extend([step], step, told_by(outcomes))
        near.feed(Extended())
        near.feed(event)
        assert [type(outcome.finding) for outcome in outcomes] == [kind]


def test_who_waits_is_told_when_the_test_is_over(near_end: Near) -> None:
    outcomes: list[Outcome] = []
    step = Expect("b")
    idle = Conversation(S(), stream=False)
    idle.extend([step], step, told_by(outcomes))
    idle.finish(0.0)
    assert [type(outcome.finding) for outcome in outcomes] == [EndedEarly]


def test_a_step_can_be_taken_back_with_what_had_come_for_it(near_end: Near) -> None:
    near, outcomes, step = near_end(S(open_ended=True), stream=True), [], Expect("hello")
    near.conversation.extend([step], step, told_by(outcomes))
    near.feed(Extended())
    near.say(b"hel")
    assert near.conversation.withdraw([step]) == b"hel"
    near.say(b"p!")
    other = Expect("help!")
    near.conversation.extend([other], other, told_by(outcomes))
    near.feed(Extended())
    assert [outcome.message for outcome in outcomes] == [b"help!"]


def test_a_step_can_be_taken_back_before_its_turn(near_end: Near) -> None:
    near, step = near_end(S(open_ended=True).expect("first")), Expect("second")
    near.conversation.extend([step], step, lambda outcome: None)
    assert near.conversation.withdraw([step]) == b""
    near.say("first")
    assert near.conversation.done


def test_a_group_can_be_taken_back_in_its_middle(near_end: Near) -> None:
    near = near_end(S(open_ended=True))
    [group] = S().repeat(2, S().expect("a")).steps
    near.conversation.extend([group], group, lambda outcome: None)
    near.feed(Extended())
    near.say("a")
    assert near.conversation.withdraw([group]) == b""
    assert near.conversation.done


def test_what_is_said_by_hand_is_said_at_once(near_end: Near) -> None:
    near = near_end(S(open_ended=True))
    say = near.conversation.say
    assert say(Send("a"), 1.0) == [Send("a")]
    assert say(Close(4000), 2.0) == [Close(4000), Wake()]
    assert say(Send("b"), 3.0) == say(Abort(), 3.0) == []
    assert near.state is State.CLOSING


def test_a_script_that_goes_on_after_a_close_by_hand_cannot_speak_and_does_not_hang(near_end: Near) -> None:
    near = near_end(S().expect("a").send("b"), deadline=5.0)
    near.conversation.say(Close(), 0.0)
    near.say("a")
    assert near.sent == []
    near.wait()
    assert (type(near.finding), near.finding.what) == (TimedOut, "close the connection")


def test_a_close_by_hand_makes_the_scripts_own_pass(near_end: Near) -> None:
    near = near_end(S().expect("a").pause(1).close())
    near.conversation.say(Close(), 0.0)
    near.say("a")
    near.wait()
    assert near.findings == []


@pytest.mark.parametrize(("connected", "closes"), [(True, 1), (False, 0)])
def test_the_stage_can_fail_a_conversation(connected: bool, closes: int) -> None:
    conversation = Conversation(S().expect("a"), stream=False)
    if connected:
        conversation.feed(Connected(), 0.0)
    commands = conversation.fail(NotConnected(conversation.place, "nobody there"), 1.0)
    assert sum(isinstance(command, Close) for command in commands) == closes
    assert [type(finding) for finding in conversation.findings] == [NotConnected]
    assert conversation.done


def test_what_is_over_can_fail_and_nothing_is_done(near_end: Near) -> None:
    near = near_end(S())
    near.end()
    assert near.conversation.fail(NotConnected(near.conversation.place, "late"), 1.0) == []
    assert near.finding.problem == "late"
    assert near.state is State.OVER


def test_the_stage_can_turn_a_connection_away() -> None:
    conversation = Conversation(S(), stream=False)
    finding = NotConnected(conversation.place, "no script")
    assert conversation.refuse(finding, 503, 1.0, HANDSHAKE)[-1] == Reject(503, finding.sentence + "\n")
    assert conversation.transcript.handshake == HANDSHAKE


# -- cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_the_cost_of_a_step_does_not_grow_with_the_script(stream: bool) -> None:
    message = b"m" * 64

    def seconds(steps: int) -> float:
        script = S()
        script.steps = [Expect(message), Send(message)] * (steps // 2)
        conversation = Conversation(script, stream=stream)
        conversation.feed(Connected(), 0.0)
        event, began = Received(message), time.perf_counter()
        for _ in range(500):
            conversation.feed(event, 1.0)
            assert not conversation.done
        return time.perf_counter() - began

    short = min(seconds(2_000) for _ in range(3))
    long = min(seconds(200_000) for _ in range(3))
    assert long < short * 10  # a cost that grew would be a hundred times as much


def test_a_reply_that_fails_says_where_and_what_to_write(near_end: Any) -> None:
    def gives_a_dict(message: str) -> object:
        return {"a": 1}

    def raises(message: str) -> object:
        return json.loads(message)

    near = near_end(Script().expect("a").reply(gives_a_dict))
    near.say("a")
    [finding] = near.conversation.findings
    line = gives_a_dict.__code__.co_firstlineno
    assert finding.sentence.endswith(f"to say it as JSON, return json.dumps(…) ({__file__}:{line})")
    near = near_end(Script().expect("a").reply(raises))
    near.say("a")
    [finding] = near.conversation.findings
    assert finding.sentence.endswith(f"({__file__}:{raises.__code__.co_firstlineno + 1})")


# -- when the script is over ---------------------------------------------------------------------------


def with_a_client(script: Script, stream: bool = False, **state: bool) -> Conversation:
    """A server's conversation, whose near end has connected."""
    conversation = Conversation(script, stream=stream, deadline=5.0)
    conversation.ends_silence = True
    for name, value in state.items():
        setattr(conversation, name, value)
    conversation.feed(Connected(None), 0.0)
    return conversation


def test_a_near_end_that_waits_for_more_than_there_is_does_not_hang() -> None:
    """Nothing more is to come, and the near end is silent: it is told within the deadline, and then hung up on."""
    conversation = with_a_client(S().expect("hello").send("there"))
    conversation.feed(Received("hello"), 1.0)
    assert conversation.done
    assert conversation.wake_at == 6.0
    assert conversation.feed(TimePassed(), 5.9) == []
    [close, *_] = conversation.feed(TimePassed(), 6.0)
    assert isinstance(close, Close)
    [finding] = conversation.findings
    assert isinstance(finding, Lingered)
    assert finding.seconds == 5.0
    assert not finding.unheard


def test_a_near_end_that_leaves_is_not_waited_for() -> None:
    conversation = with_a_client(S().send("hi"))
    assert conversation.wake_at == 5.0
    conversation.feed(Ended(), 1.0)
    assert conversation.wake_at is None
    assert not conversation.findings


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (S().send("hi"), {"in_hand": True}),
        (S().send("hi"), {"ends_silence": False}),
        (S(open_ended=True).send("hi"), {}),
        (S().send("hi").repeat(forever, S().expect("more")), {}),
        (S().send("hi").optional(S().expect("more")), {}),
    ],
)
def test_who_may_still_go_on_may_be_silent(script: Script, state: dict[str, bool]) -> None:
    conversation = with_a_client(script, **state)
    assert conversation.wake_at is None
    conversation.feed(TimePassed(), 100.0)
    assert not conversation.findings


def test_a_connection_that_has_no_script_and_that_nobody_takes() -> None:
    silent = with_a_client(S(open_ended=True), unscripted=True)
    silent.feed(TimePassed(), 5.0)
    [finding] = silent.findings
    assert isinstance(finding, Lingered)
    assert finding.unheard
    asks = with_a_client(S(open_ended=True), unscripted=True)
    asks.feed(Received("anybody there?"), 1.0)
    asks.feed(TimePassed(), 5.0)
    [finding] = asks.findings
    assert isinstance(finding, Unexpected)
    assert finding.messages == ["anybody there?"]
    assert finding.unheard


def test_what_comes_behind_the_script_is_kept_for_the_hand_that_holds_the_connection() -> None:
    conversation = with_a_client(S().expect("a").send("b"), in_hand=True)
    conversation.feed(Received("a"), 1.0)
    conversation.feed(Received("more"), 2.0)
    assert not conversation.findings
    told: list[Outcome] = []
    step = Expect("more")
    conversation.extend((step,), step, told.append)
    conversation.feed(Extended(), 3.0)
    assert [outcome.message for outcome in told] == ["more"]
    conversation.feed(Received("too much"), 4.0)
    conversation.feed(Ended(How.CLOSE, 1000), 5.0)
    conversation.finish(6.0)
    [finding] = conversation.findings
    assert isinstance(finding, Unexpected)
    assert finding.messages == ["too much"]
