"""What faults do to bytes and messages, on a clock that the test holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend import (
    Bandwidth,
    ByteAtATime,
    Coalesce,
    Corrupt,
    CutAfter,
    Duplicate,
    EndOfStream,
    Garbage,
    Latency,
    NoCloseFrame,
    Reorder,
    Reset,
    Segments,
    Silence,
    SlowReader,
)
from farend.core.impairment import MOST_UNDER_WAY, QUANTUM, ROOM, Arrangement, Out, Passage


def passage(*faults, now=0.0):
    made = Passage("near")
    for fault in faults:
        made.begin(fault, now)
    return made


def drained(made, now=0.0):
    """All that goes on, with the times at which it does: the clock jumps to what is due next."""
    taken = []
    while True:
        while (out := made.take(now)) is not None:
            taken.append((round(now, 9), out.last or out.data))
        if made.wake_at is None:
            return taken
        assert made.wake_at > now, "it is due, and was not given"
        now = made.wake_at


def through(faults, chunks, gap=0.0):
    """The bytes that come out for bytes that go in at these times."""
    made = passage(*faults)
    now = 0.0
    out = b""
    for chunk in chunks:
        made.feed(chunk, now)
        while (one := made.take(now)) is not None:
            out += one.data
        now += gap
    return out + b"".join(data for _, data in drained(made, now) if isinstance(data, bytes))


# -- times, exactly -------------------------------------------------------------------------------


def test_with_no_fault_all_goes_on_at_once():
    made = passage()
    made.feed(b"a", 1.0)
    made.feed_end(1.0)
    assert drained(made, 1.0) == [(1.0, b"a"), (1.0, "said")]
    assert not made.active


def test_latency_delays_each_word_by_as_much():
    made = passage(Latency(0.5))
    made.feed(b"a", 1.0)
    made.feed(b"b", 1.2)
    made.feed_end(1.2)
    assert made.size == 2
    assert drained(made, 1.2) == [(1.5, b"a"), (1.7, b"b"), (1.7, "said")]
    assert made.size == 0


def test_jitter_comes_from_the_seed_and_nothing_overtakes():
    def times(seed):
        made = passage(Latency(0.5, 0.4, seed=seed))
        for number in range(50):
            made.feed(b"%d" % number, number / 100)
        return drained(made)

    assert times(1) == times(1) != times(2)
    assert [data for _, data in times(1)] == [b"%d" % number for number in range(50)]
    assert all(number / 100 + 0.1 <= time <= 0.9 + 0.49 for number, (time, _) in enumerate(times(1)))


def test_what_is_under_way_keeps_its_latency_when_that_ends_and_is_not_overtaken():
    made = passage(Latency(0.5))
    made.feed(b"a", 0.0)
    made.end(0.1)
    made.feed(b"b", 0.1)
    assert drained(made, 0.1) == [(0.5, b"a"), (0.5, b"b")]


def test_bandwidth_lets_bytes_through_evenly():
    made = passage(Bandwidth(1000))
    made.feed(bytes(100), 0.0)
    taken = drained(made)
    assert [len(data) for _, data in taken] == [int(1000 * QUANTUM)] * 10
    assert [time for time, _ in taken] == pytest.approx([QUANTUM * number for number in range(1, 11)])


def test_bandwidth_and_latency_add_up():
    made = passage(Bandwidth(10), Latency(1.0))
    made.feed(b"abc", 0.0)
    assert drained(made) == [(1.1, b"a"), (1.2, b"b"), (1.3, b"c")]


def test_a_late_look_loses_no_bandwidth_and_a_receiver_that_stops_does():
    made = passage(Bandwidth(10))
    made.feed(b"abcd", 0.0)
    assert made.take(0.35) == Out(b"a")
    assert made.take(0.35) == Out(b"b")
    assert made.take(0.35) == Out(b"c")
    assert made.take(0.35) is None
    made.resume(5.0)
    assert made.wake_at == pytest.approx(5.1)


def test_bandwidth_that_ends_lets_the_rest_go():
    made = passage(Bandwidth(10))
    made.feed(b"abcd", 0.0)
    made.take(0.1)
    made.end(0.15, kind=Bandwidth)
    assert drained(made, 0.15) == [(0.15, b"bcd")]


def test_segments_go_on_apart():
    made = passage(Segments([1, 2]))
    made.feed(b"abcdef", 0.0)
    made.feed_end(0.0)
    outs = [made.take(0.0) for _ in range(5)]
    assert outs == [
        Out(b"a", apart=True),
        Out(b"bc", apart=True),
        Out(b"d", apart=True),
        Out(b"ef", apart=True),
        Out(last="said"),
    ]


def test_segments_with_a_gap_are_so_far_apart():
    made = passage(ByteAtATime(0.5))
    made.feed(b"abc", 0.0)
    assert drained(made) == [(0.0, b"a"), (0.5, b"b"), (1.0, b"c")]
    made.feed(b"d", 9.0)
    assert drained(made, 9.0) == [(9.0, b"d")]
    made.feed(b"ef", 10.0)
    assert made.take(10.0) == Out(b"e")
    made.end(10.0)
    assert drained(made, 10.0) == [(10.0, b"f")]


def test_what_is_said_within_a_time_comes_together():
    made = passage(Coalesce(0.5))
    made.feed(b"a", 0.0)
    made.feed(b"b", 0.4)
    assert made.take(0.4) is None
    assert drained(made, 0.4) == [(0.5, b"ab")]
    made.feed(b"c", 1.0)
    made.feed_end(1.1)
    assert drained(made, 1.1) == [(1.1, b"c"), (1.1, "said")]


def test_enough_bytes_come_together_sooner():
    made = passage(Coalesce(0.5, size=3))
    made.feed(b"ab", 0.0)
    made.feed(b"cd", 0.1)
    assert drained(made, 0.1) == [(0.1, b"abcd")]
    made.feed(b"x", 1.0)
    made.end(1.1)
    assert drained(made, 1.1) == [(1.1, b"x")]


def test_silence_keeps_what_is_said_until_it_ends():
    made = passage(Silence())
    made.feed(b"a", 0.0)
    made.feed_end(0.0)
    assert made.is_silent
    assert made.take(100.0) is None
    assert made.wake_at is None
    assert made.appetite == 0
    made.end(100.0)
    assert drained(made, 100.0) == [(100.0, b"a"), (100.0, "said")]


def test_a_reset_comes_at_its_time_whatever_is_under_way():
    made = passage(Latency(9.0), Reset(2.0))
    made.feed(b"a", 1.0)
    assert drained(made, 1.0) == [(2.0, "reset")]
    made.feed(b"b", 3.0)
    made.feed_end(3.0)
    assert (made.size, made.take(9.0), made.is_over, made.active) == (0, None, True, True)


def test_an_end_that_is_called_off_does_not_come():
    for off in (lambda made: made.end(1.0), lambda made: made.end(1.0, kind=EndOfStream)):
        made = passage(EndOfStream(2.0))
        off(made)
        assert drained(made, 1.0) == []
        assert not made.active


def test_what_waits_can_be_hurried_and_dropped():
    made = passage(Latency(9.0))
    made.feed(b"a", 0.0)
    made.hurry()
    assert made.take(0.0) == Out(b"a")
    made.feed(b"b", 0.0)
    assert made.pending
    made.drop()
    assert (made.pending, made.size, drained(made)) == (False, 0, [])


# -- what becomes of bytes ------------------------------------------------------------------------


def test_a_cut_lets_so_many_bytes_through():
    made = passage(CutAfter(3))
    made.feed(b"ab", 0.0)
    made.feed(b"cdef", 1.0)
    made.feed(b"g", 2.0)
    assert drained(made, 2.0) == [(2.0, b"ab"), (2.0, b"c"), (2.0, "reset")]
    assert made.done == ["cut after 3 bytes, with a reset: done"]
    made.end(3.0)
    assert made.is_over, "what has been cut stays cut"


def test_a_cut_after_nothing_comes_at_once():
    assert drained(passage(CutAfter(0, "end"))) == [(0.0, "end")]


def test_a_cut_can_be_called_off_and_a_stream_can_be_ended_behind_what_was_said():
    made = passage(CutAfter(3))
    made.feed(b"ab", 0.0)
    made.end(0.0, kind=CutAfter)
    made.feed(b"cd", 0.0)
    made.cut(0.0)
    made.cut(0.0, "reset")
    assert drained(made) == [(0.0, b"ab"), (0.0, b"cd"), (0.0, "end")]


def test_the_bytes_named_are_changed_and_no_others():
    out = through([Corrupt(at=[1, 4], seed=5)], [b"abc", b"def"])
    assert [at for at in range(6) if out[at] != b"abcdef"[at]] == [1, 4]


def test_one_byte_in_so_many_is_changed():
    data = bytes(1000)
    out = through([Corrupt(every=10, seed=7)], [data])
    assert [sum(map(bool, out[at : at + 10])) for at in range(0, 1000, 10)] == [1] * 100
    made = passage(Corrupt(every=3, seed=0))
    made.feed(b"abcdef", 0.0)
    assert len(made.done) == 1
    assert made.done[0].endswith("corrupted")


def test_garbage_is_put_in_once():
    assert through([Garbage(b"xyz")], [b"abc"]) == b"xyzabc"
    assert through([Garbage(b"xyz", at=2)], [b"a", b"bc", b"d"]) == b"abxyzcd"
    assert through([Garbage(b"xyz", at=9)], [b"abc"]) == b"abc"
    assert len(through([Garbage(size=8, seed=1)], [b"abc"])) == 11
    made = passage(Garbage(b"xyz", at=1))
    made.feed(b"ab", 0.0)
    assert made.done == ["3 bytes of garbage put in"]


def test_one_takes_the_place_of_another_that_does_the_same():
    made = passage(Latency(1.0), Latency(0.5), Segments(1), Coalesce(0.1))
    made.feed(b"ab", 0.0)
    assert drained(made) == [(0.6, b"ab")]


# -- how fast the sender may be -------------------------------------------------------------------


def test_a_sender_waits_for_bandwidth_and_hardly_for_latency():
    made = passage(Bandwidth(10))
    made.feed(bytes(ROOM), 0.0)
    assert (made.is_full, made.appetite) == (False, None)
    made.feed(b"x", 0.0)
    assert (made.is_full, made.appetite) == (True, 0)
    late = passage(Latency(1.0))
    late.feed(bytes(ROOM + 1), 0.0)
    assert (late.is_full, late.room) == (False, MOST_UNDER_WAY)


def test_a_slow_reader_reads_a_little_and_then_nothing_until_that_has_passed():
    made = passage(SlowReader(100))
    assert made.appetite == 5
    made.feed(b"abcde", 0.0)
    assert made.appetite == 0
    assert [time for time, _ in drained(made)][-1] == pytest.approx(0.05)
    assert made.appetite == 5
    assert passage(SlowReader()).appetite == 0
    assert passage(SlowReader(0.1)).appetite == 1


# -- messages -------------------------------------------------------------------------------------


def arranged(fault, messages):
    made = Arrangement()
    assert made.begin(fault, 0.0) == []
    assert made.active
    return [one for message in messages for one in made.feed(message, 0.0)], made


def test_with_no_fault_messages_stay_as_they_are():
    made = Arrangement()
    assert not made.active
    assert made.feed("a", 0.0) == ["a"]
    assert (made.wake_at, made.due(9.0), made.waiting) == (None, [], 0)


def test_messages_are_doubled():
    assert arranged(Duplicate(), "ab")[0] == ["a", "a", "b", "b"]
    assert arranged(Duplicate(2), "abcd")[0] == ["a", "b", "b", "c", "d", "d"]
    out, made = arranged(Duplicate(at=[3, 1]), "abcd")
    assert out == ["a", "a", "b", "c", "c", "d"]
    assert made.done == ["message 1 arrives twice", "message 3 arrives twice"]
    assert made.end(kind=Duplicate) == []
    assert made.feed("e", 0.0) == ["e"]


def test_messages_are_put_in_another_order():
    out, made = arranged(Reorder(3), "abcdef")
    assert sorted(out[:3]) == ["a", "b", "c"]
    assert all(out[at] != "abcdef"[at] for at in range(6))
    assert made.done[0].startswith("messages arrive in the order ")
    assert arranged(Reorder(), "abcd")[0] == ["b", "a", "d", "c"]


def test_a_window_that_does_not_fill_is_not_waited_for():
    out, made = arranged(Reorder(3, hold=2.0), "ab")
    assert out == []
    assert (made.waiting, made.wake_at) == (2, 2.0)
    assert made.due(1.9) == []
    assert made.due(2.0) == ["a", "b"]
    assert (made.waiting, made.wake_at) == (0, None)


def test_what_a_fault_held_back_goes_on_when_another_takes_its_place_or_it_ends():
    _, made = arranged(Reorder(3), "ab")
    assert made.begin(Reorder(2), 0.0) == ["a", "b"]
    made.feed("c", 0.0)
    assert made.end(kind=NoCloseFrame) == []
    assert made.end() == ["c"]
    assert not made.active


def test_both_at_once():
    _, made = arranged(Reorder(2), "")
    made.begin(Duplicate(at=1), 0.0)
    assert [one for message in "ab" for one in made.feed(message, 0.0)] == ["b", "b", "a"]


def test_close_frames_can_be_dropped():
    _, made = arranged(NoCloseFrame(), "")
    assert made.drops_close
    made.end(kind=NoCloseFrame)
    assert not made.drops_close


# -- whatever is said -----------------------------------------------------------------------------

SEEDS = st.integers(0, 2**64)
HARMLESS = st.lists(
    st.one_of(
        st.builds(Latency, st.floats(1, 2), st.floats(0, 1), seed=SEEDS),
        st.builds(Bandwidth, st.floats(1e2, 1e6)),
        st.builds(SlowReader, st.floats(1e2, 1e6)),
        st.builds(Segments, st.lists(st.integers(1, 9), min_size=1).map(tuple), st.sampled_from([0.0, 0.25])),
        st.builds(ByteAtATime),
        st.builds(Coalesce, st.floats(0.01, 1), st.none() | st.integers(1, 99)),
    ),
    max_size=4,
)
ALTERING = st.one_of(
    st.builds(Corrupt, every=st.integers(1, 20), seed=SEEDS),
    st.builds(Corrupt, at=st.lists(st.integers(0, 99), min_size=1), seed=SEEDS),
    st.builds(Garbage, size=st.integers(1, 9), at=st.integers(0, 50), seed=SEEDS),
    st.builds(CutAfter, st.integers(0, 99)),
)
CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


@given(HARMLESS, CHUNKS, st.sampled_from([0.0, 0.1]))
def test_nothing_is_lost_and_nothing_overtakes(faults, chunks, gap):
    assert through(faults, chunks, gap) == b"".join(chunks)


@given(HARMLESS, HARMLESS, CHUNKS, CHUNKS)
def test_neither_when_other_faults_take_over_in_the_middle(before, after, first, second):
    made = passage(*before)
    for chunk in first:
        made.feed(chunk, 0.0)
    out = b""
    while (one := made.take(0.05)) is not None:
        out += one.data
    made.end(0.05)
    for fault in after:
        made.begin(fault, 0.05)
    for chunk in second:
        made.feed(chunk, 0.05)
    made.feed_end(0.05)
    rest = [data for _, data in drained(made, 0.05)]
    assert rest.pop() == "said"
    assert out + b"".join(rest) == b"".join([*first, *second])


@given(st.lists(ALTERING, max_size=3), HARMLESS, st.binary(max_size=120), st.data())
def test_the_same_seed_gives_the_same_bytes_however_they_are_cut(altering, harmless, data, draw):
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    chunks = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]
    assert through([*altering, *harmless], chunks) == through(altering, [data])


@given(st.integers(2, 6), SEEDS, st.lists(st.integers(), max_size=30))
def test_every_message_arrives_once_in_an_order_from_the_seed(window, seed, messages):
    out, made = arranged(Reorder(window, seed=seed), messages)
    assert sorted(out + made.release()) == sorted(messages)
    again, _ = arranged(Reorder(window, seed=seed), messages)
    assert again == out
