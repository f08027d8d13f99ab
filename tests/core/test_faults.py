"""What can be asked for, and what cannot: told at the line that asks."""

import copy
import pickle
import traceback
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from farend import (
    Bandwidth,
    ByteAtATime,
    Coalesce,
    Corrupt,
    CutAfter,
    Duplicate,
    EndOfStream,
    FaultError,
    Garbage,
    Latency,
    NoCloseFrame,
    Reorder,
    Reset,
    Segments,
    Silence,
    SlowReader,
    UsageError,
    WrongType,
)
from farend.core import faults
from farend.core.faults import (
    DIRECTIONS,
    FAULTS,
    STAGES,
    TCP_FAR_END,
    TCP_PROXY,
    WEBSOCKET_FAR_END,
    WEBSOCKET_PROXY,
    Ability,
    able,
    check_able,
    checked,
    clashes,
)

PRINTED = {
    Latency(0.05): "latency 0.05 s",
    Latency(0.05, 0.01, seed=3, to="both"): "latency 0.05 s ± 0.01 s (seed 3) in both directions",
    Bandwidth(1000, to="far"): "bandwidth 1000 bytes/s to the far end",
    Segments(3): "segments of 3 bytes",
    Segments([1, 2], gap=0.5): "segments of 1, 2 bytes, 0.5 s apart",
    ByteAtATime(): "byte at a time",
    ByteAtATime(0.1): "byte at a time 0.1 s apart",
    Coalesce(0.1): "coalesce 0.1 s",
    Coalesce(0.1, 100): "coalesce 0.1 s, or 100 bytes",
    CutAfter(3): "cut after 3 bytes, with a reset",
    CutAfter(0, "end", to="far"): "cut after 0 bytes, with the end of the stream to the far end",
    Reset(): "reset",
    Reset(2): "reset after 2 s",
    EndOfStream(): "end of stream",
    EndOfStream(1): "end of stream after 1 s",
    Corrupt(every=10): "corrupt one byte in 10 (seed 0)",
    Corrupt(at=3, seed=1): "corrupt byte 3 (seed 1)",
    Corrupt(at=[3, 5]): "corrupt byte 3, 5 (seed 0)",
    Garbage(b"xyz"): "garbage b'xyz'",
    Garbage(size=4, at=2): "garbage of 4 bytes (seed 0) behind 2 bytes",
    Duplicate(): "duplicate every message",
    Duplicate(3): "duplicate one message in 3",
    Duplicate(at=2): "duplicate message 2",
    Reorder(3, seed=4): "reorder every 3 messages (seed 4)",
    SlowReader(): "slow reader that stands still",
    SlowReader(100): "slow reader of 100 bytes/s",
    Silence(): "silence",
    Silence(to="far"): "silence to the far end",
    NoCloseFrame(): "no close frame",
}


@pytest.mark.parametrize(("fault", "text"), PRINTED.items(), ids=list(PRINTED.values()))
def test_a_fault_prints_itself_and_is_a_value(fault, text):
    assert str(fault) == text
    twin = eval(repr(fault), vars(faults))
    assert twin == fault
    assert hash(twin) == hash(fault)
    assert copy.deepcopy(fault) == fault == pickle.loads(pickle.dumps(fault))
    with pytest.raises(FrozenInstanceError):
        fault.to = "far"


def test_every_fault_there_is_has_been_printed():
    assert {type(fault) for fault in PRINTED} == set(FAULTS) == set(faults.Fault.__subclasses__())


WRONG = [
    (lambda: Latency(-1), FaultError, "Latency(seconds=…) is -1: a number of seconds is 0 or more, and has an end"),
    (lambda: Latency(float("nan")), FaultError, "is nan"),
    (lambda: Latency(float("inf")), FaultError, "has an end"),
    (lambda: Latency("1"), WrongType, "takes a number of seconds, not '1'"),
    (lambda: Latency(True), WrongType, "takes a number of seconds, not True"),
    (lambda: Latency(0.1, 0.2), FaultError, "a jitter larger than the latency"),
    (lambda: Latency(0.1, jitter=-0.2), FaultError, "jitter=…"),
    (lambda: Latency(0.1, seed=None), WrongType, "not None: without one, every run would be another"),
    (lambda: Latency(0.1, seed="x"), WrongType, "takes a whole number, not 'x'"),
    (lambda: Latency(0.1, seed=1.5), WrongType, "takes a whole number, not 1.5"),
    (lambda: Latency(0.1, seed=True), WrongType, "takes a whole number, not True"),
    (lambda: Latency(0.1, to="client"), FaultError, "is one of 'near', 'far', 'both', not 'client'"),
    (lambda: Latency(0.1, to=None), WrongType, "is one of 'near', 'far', 'both', not None"),
    (lambda: Bandwidth(0), FaultError, "write Silence()"),
    (lambda: Bandwidth(-5), FaultError, "a rate is more than 0"),
    (lambda: Bandwidth("fast"), WrongType, "bytes per second"),
    (lambda: SlowReader(-1), FaultError, "a rate is 0 or more"),
    (lambda: Segments(0), FaultError, "is 0: it is at least 1"),
    (lambda: Segments([1, 0]), FaultError, "is 0: it is at least 1"),
    (lambda: Segments(()), FaultError, "is empty"),
    (lambda: Segments(1.5), WrongType, "whole number of bytes"),
    (lambda: Segments("12"), WrongType, "whole number of bytes"),
    (lambda: ByteAtATime(-1), FaultError, "0 or more"),
    (lambda: Coalesce(0), FaultError, "write how many seconds"),
    (lambda: Coalesce(1, size=0), FaultError, "at least 1"),
    (lambda: CutAfter(-1), FaultError, "at least 0"),
    (lambda: CutAfter(1, "politely"), FaultError, "'reset', 'end'"),
    (lambda: CutAfter(1, to="both"), FaultError, "'near', 'far'"),
    (lambda: Reset(-1), FaultError, "0 or more"),
    (lambda: EndOfStream(after="x"), WrongType, "seconds"),
    (lambda: Corrupt(), FaultError, "Corrupt() takes one of every= and at="),
    (lambda: Corrupt(every=1, at=1), FaultError, "one of every= and at="),
    (lambda: Corrupt(every=0), FaultError, "at least 1"),
    (lambda: Corrupt(at=-1), FaultError, "at least 0"),
    (lambda: Garbage(), FaultError, "one of data= and size="),
    (lambda: Garbage(b"x", size=1), FaultError, "one of data= and size="),
    (lambda: Garbage(b""), FaultError, "nothing would be wrong"),
    (lambda: Garbage("x"), WrongType, "takes bytes"),
    (lambda: Duplicate(1, at=2), FaultError, "one of every= and at="),
    (lambda: Duplicate(at=0), FaultError, "at least 1"),
    (lambda: Reorder(1), FaultError, "at least 2"),
    (lambda: Reorder(hold=0), FaultError, "write how many seconds"),
    (lambda: checked(Latency), WrongType, "faults= takes faults such as Latency(0.05)"),
    (lambda: checked([Latency]), WrongType, "Latency is the name of one: write Latency(…)"),
    (lambda: checked("latency"), WrongType, "not 'latency'"),
    (lambda: checked([0.05]), WrongType, "not 0.05"),
    (lambda: checked(None), WrongType, "not None"),
    (lambda: checked([Bandwidth(1), Bandwidth(2)]), FaultError, "faults: 'bandwidth 1 bytes/s' and 'bandwidth 2"),
]


@pytest.mark.parametrize(("write", "kind", "text"), WRONG)
def test_what_cannot_be_is_told_at_the_line_that_writes_it(write, kind, text):
    with pytest.raises(kind) as caught:
        write()
    assert text in str(caught.value)
    assert issubclass(kind, UsageError)
    shown = [
        frame.f_code.co_filename
        for frame, _ in traceback.walk_tb(caught.value.__traceback__)
        if "__tracebackhide__" not in frame.f_locals
    ]
    assert set(shown) == {__file__}


CLASHES = [
    (Latency(1), Latency(2), True),
    (Latency(1), Latency(2, to="far"), False),
    (Latency(1), Latency(2, to="both"), True),
    (Segments(1), Coalesce(1), True),
    (Reset(), CutAfter(1), True),
    (EndOfStream(), EndOfStream(to="far"), False),
    (Silence(), SlowReader(), True),
    (Silence(), CutAfter(1), True),
    (SlowReader(), Bandwidth(1, to="far"), True),
    (SlowReader(), Bandwidth(1), False),
    (Garbage(b"a"), Garbage(b"b"), False),
    (Latency(1), Bandwidth(1), False),
]


@pytest.mark.parametrize(("one", "other", "clash"), CLASHES)
def test_which_faults_contradict_each_other(one, other, clash):
    assert list(clashes(one, [other])) == [other] * clash
    assert list(clashes(other, [one])) == [one] * clash
    if not clash:
        assert checked((one, other)) == (one, other)


def test_one_fault_is_a_list_of_one():
    assert checked(Latency(1)) == (Latency(1),)
    assert checked(iter([Latency(1)])) == (Latency(1),)
    assert checked([]) == ()


UNABLE = [
    (TCP_FAR_END, Duplicate(to="far"), "begins and ends; a WebSocket far end and a proxy for WebSockets can"),
    (TCP_FAR_END, NoCloseFrame(), "it sends no close frames that way; a WebSocket far end and a proxy for"),
    (TCP_PROXY, Reorder(), "a TCP far end, a WebSocket far end and a proxy for WebSockets can"),
    (WEBSOCKET_FAR_END, SlowReader(to="near"), "the near end reads that itself"),
    (Ability("a rehearsal", bytes=()), Latency(1), "'latency 1 s' cannot be done by a rehearsal: there are no bytes"),
]


@pytest.mark.parametrize(("ability", "fault", "text"), UNABLE)
def test_a_stage_that_cannot_says_which_can(ability, fault, text):
    assert not able(ability, fault)
    with pytest.raises(FaultError) as caught:
        check_able(ability, [fault])
    assert text in str(caught.value)


def test_the_docs_tell_which_stage_can_do_which():
    def cell(kind, stage):
        likely = next(fault for fault in PRINTED if type(fault) is kind)
        if kind is Reset:
            return "yes" if able(stage, likely) else "no"
        return ", ".join(to for to in DIRECTIONS if able(stage, replace(likely, to=to))) or "no"

    table = [f"| fault | {' | '.join(stage.stage for stage in STAGES)} |", f"|---|{'---|' * len(STAGES)}"]
    table += [f"| `{kind.__name__}` | {' | '.join(cell(kind, stage) for stage in STAGES)} |" for kind in FAULTS]
    assert "\n".join(table) in (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


@pytest.mark.parametrize("fault", PRINTED, ids=list(PRINTED.values()))
def test_a_proxy_for_websockets_can_do_every_fault(fault):
    check_able(WEBSOCKET_PROXY, [fault])
