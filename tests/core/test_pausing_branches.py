"""A branch that pauses may have a step for what comes meanwhile: it is refused only when none can have one."""

import pytest

from farend import Script, forever
from farend.core.conversation import Conversation, State
from farend.core.events import Connected, Ended, How, Received, TimePassed


def branches(stream, *scripts, after=None):
    script = Script().any_order(*scripts)
    if after:
        script.expect(after)
    conversation = Conversation(script, stream=stream)
    conversation.feed(Connected(), 0.0)
    return conversation


def say(conversation, word, now):
    conversation.feed(Received(word.encode() if conversation.stream else word), now)


@pytest.mark.parametrize("stream", [True, False])
def test_a_message_for_a_step_behind_a_pause_waits(stream):
    conversation = branches(stream, Script().expect("aa"), Script().pause(1).expect("bb"))
    say(conversation, "bb", 0.5)
    assert not conversation.findings
    conversation.feed(TimePassed(), 1.0)
    say(conversation, "aa", 1.1)
    assert conversation.done
    assert not conversation.findings


@pytest.mark.parametrize("stream", [True, False])
def test_a_message_for_a_step_behind_a_pausing_group_waits(stream):
    inner = Script().any_order(Script().expect("aa"), Script().pause(1)).expect("bb")
    conversation = branches(stream, Script().expect("cc"), inner)
    for word in ("aa", "bb", "cc"):
        say(conversation, word, 0.5)
    assert not conversation.findings
    conversation.feed(TimePassed(), 1.0)
    assert conversation.done


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("words", [["bb"], ["aa", "bb"]], ids=["behind it", "in its next round"])
def test_a_message_for_what_follows_an_endless_round_that_pauses_waits(stream, words):
    inner = Script().repeat(forever, Script().expect("aa").pause(1)).expect("bb")
    conversation = branches(stream, inner, Script().expect("cc"))
    for word in ("aa", *words, "cc"):
        say(conversation, word, 0.5)
    assert not conversation.findings
    conversation.feed(TimePassed(), 1.5)
    conversation.feed(TimePassed(), 2.5)
    assert conversation.done
    assert not conversation.findings


@pytest.mark.parametrize("stream", [True, False])
def test_a_message_for_the_next_beat_of_a_heartbeat_waits(stream):
    beat = Script().repeat(forever, Script().send("tick").expect("tock").pause(1))
    conversation = branches(stream, beat, Script().expect("aa"), after="bb")
    for word in ("tock", "tock", "aa"):
        say(conversation, word, 0.5)
    assert not conversation.findings
    conversation.feed(TimePassed(), 1.5)
    say(conversation, "bb", 1.6)
    conversation.feed(TimePassed(), 2.5)
    assert conversation.done
    assert not conversation.findings


@pytest.mark.parametrize("stream", [True, False])
def test_what_no_step_behind_the_pause_expects_is_told_then(stream):
    conversation = branches(stream, Script().expect("aa"), Script().pause(1).expect("bb"))
    say(conversation, "xx", 0.5)
    conversation.feed(TimePassed(), 1.0)
    [finding] = conversation.findings
    assert type(finding).__name__ == "Mismatch"


@pytest.mark.parametrize("stream", [True, False])
def test_a_heartbeat_leads_to_nothing_so_a_mismatch_is_told_at_once(stream):
    beat = Script().repeat(forever, Script().send("tick").pause(1))
    conversation = branches(stream, beat, Script().expect("aa"), after="bb")
    say(conversation, "xx", 0.5)
    assert [type(finding).__name__ for finding in conversation.findings] == ["Mismatch"]


def test_a_near_end_that_leaves_during_the_pause_has_said_it_all():
    conversation = branches(False, Script().expect("aa"), Script().pause(1).expect("bb"))
    say(conversation, "bb", 0.5)
    say(conversation, "aa", 0.6)
    conversation.feed(Ended(How.CLOSE, 1000), 0.7)
    assert not conversation.findings
    assert conversation.state is State.OVER
