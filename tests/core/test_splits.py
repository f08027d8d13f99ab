"""The search for the smallest split: which splits there are, their order, and what is left of one that fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend.core.splits import (
    ALL_TOGETHER,
    BYTE_BY_BYTE,
    MESSAGE_BY_MESSAGE,
    SHRINKING,
    Found,
    Outcome,
    Split,
    Stream,
    search,
)


def stream(*messages: bytes, joinable: bool = True) -> Stream:
    one = Stream("a far end", joinable=joinable)
    for message in messages:
        one.add(message)
    return one


def segments(split: Split, number: int, one: Stream) -> list[bytes]:
    """The stream as it goes over the wire."""
    came: list[bytes] = []
    begin, together = 0, False
    for end in one.ends:
        first, *rest = split.pieces(number, begin, bytes(one.data[begin:end]))
        if together:
            came[-1] += first
        else:
            came.append(first)
        came += rest
        begin, together = end, split.joined(number, end)
    return came


def hunt(
    streams: list[Stream], fails: Callable[[list[list[bytes]]], bool], bound: int = 300, may_go_on=lambda: True
) -> tuple[Found, list[Split]]:
    """Search as the player does, with a test that fails where `fails` says so of the segments."""
    played: list[Split] = []
    hunting = search(bound, may_go_on)
    split = next(hunting)
    while True:
        played.append(split)
        came = [segments(split, number, one) for number, one in enumerate(streams)]
        error = ValueError("wrong") if fails(came) else None
        try:
            split = hunting.send(Outcome(streams, error))
        except StopIteration as stop:
            return stop.value, played


def never(came: list[list[bytes]]) -> bool:
    return False


def test_every_split_is_played_once_where_none_fails():
    found, played = hunt([stream(b"ab", b"cde")], never)
    cuts = [Split(cuts=frozenset([(0, at)])) for at in (1, 3, 4)]
    assert played == [MESSAGE_BY_MESSAGE, ALL_TOGETHER, BYTE_BY_BYTE, *cuts]
    assert (found.played, found.possible, found.said, found.error) == (5, 5, 5, None)


def test_a_stream_has_nothing_to_join_with_one_message_and_nothing_to_cut_with_one_byte():
    assert hunt([stream(b"abc")], never)[1][1] == BYTE_BY_BYTE
    assert hunt([stream(b"a", b"b")], never)[1][1:] == [ALL_TOGETHER]
    assert hunt([stream(b"a", b"b", joinable=False)], never)[1] == [MESSAGE_BY_MESSAGE]
    assert hunt([], never)[0] == Found([])


def test_a_test_that_fails_unsplit_is_played_once():
    found, played = hunt([stream(b"abc")], lambda came: True)
    assert played == [MESSAGE_BY_MESSAGE]
    assert isinstance(found.error, ValueError)
    assert found.split is None


def test_a_parser_of_one_message_at_a_time_fails_with_the_first_two_together():
    streams = [stream(b"ab", b"cd", b"ef")]
    found, _ = hunt(streams, lambda came: came[0] != [b"ab", b"cd", b"ef"])
    assert found.split == Split(joins=frozenset([(0, 2)]))
    assert (found.played, found.smallest) == (1, True)


def test_the_smallest_of_two_joins_is_found_where_the_first_is_not_to_blame():
    streams = [stream(b"ab", b"cd", b"ef", b"gh")]
    found, _ = hunt(streams, lambda came: b"efgh" in b" ".join(came[0]))
    assert found.split == Split(joins=frozenset([(0, 6)]))


def test_the_only_join_there_is_need_not_be_looked_for():
    found, played = hunt([stream(b"ab", b"cd")], lambda came: b"abcd" in came[0])
    assert found.split == Split(joins=frozenset([(0, 2)]))
    assert played == [MESSAGE_BY_MESSAGE, ALL_TOGETHER, MESSAGE_BY_MESSAGE]


@pytest.mark.parametrize("place", [1, 5, 17, 39])
def test_one_cut_is_found_among_many(place: int):
    streams = [stream(b"x"), stream(bytes(range(40)))]
    found, played = hunt(streams, lambda came: sum(map(len, came[1][:place])) == place and len(came[1]) > place)
    assert found.split is not None
    assert found.split.cuts == frozenset((1, at) for at in range(1, place + 1))  # all of them are needed here
    found, played = hunt(streams, lambda came: any(sum(map(len, came[1][:n])) == place for n in range(1, 40)))
    assert found.split == Split(cuts=frozenset([(1, place)]))
    assert len(played) < 40


def test_two_cuts_that_only_fail_together_are_both_kept():
    def fails(came):
        return b"b" in came[0] and b"h" in came[0]

    found, _ = hunt([stream(b"abcdefghij")], fails)
    assert found.split is not None
    assert found.split.cuts == {(0, 1), (0, 2), (0, 7), (0, 8)}
    assert found.smallest


def test_a_single_cut_that_fails_is_the_smallest_at_once():
    found, played = hunt([stream(b"abcd")], lambda came: came[0] == [b"ab", b"cd"])
    assert found.split == Split(cuts=frozenset([(0, 2)]))
    assert (found.played, found.shrinking) == (3, 0)
    assert played[-1] == MESSAGE_BY_MESSAGE  # the proof that the test can be played again


def test_what_fails_byte_by_byte_and_with_no_places_named_stays_so():
    """A run in which more is said than in the first one."""
    hunting = search(10)
    split = next(hunting)

    def play() -> None:
        nonlocal split
        while True:
            split = hunting.send(Outcome([stream(b"abc")], ValueError() if split.cuts is None else None))

    with pytest.raises(StopIteration) as stopped:
        play()
    assert stopped.value.value.split == BYTE_BY_BYTE


def test_a_test_that_cannot_be_played_again_has_no_split_to_blame():
    runs = []

    def fails(came):
        runs.append(came)
        return len(runs) > 2

    found, played = hunt([stream(b"abc")], fails)
    assert found.again is not None
    assert played[-1] == MESSAGE_BY_MESSAGE


def test_shrinking_is_bounded_by_runs_and_by_whoever_is_asked():
    long = [stream(bytes(1000))]

    def fails(came):  # every second cut is needed
        return all(len(piece) == 1 for piece in came[0][:500])

    found, played = hunt(long, fails)
    assert not found.smallest
    assert found.shrinking == SHRINKING
    assert len(played) == SHRINKING + 3
    found, played = hunt(long, fails, may_go_on=lambda: False)
    assert (found.smallest, found.shrinking, found.split) == (False, 0, BYTE_BY_BYTE)


def test_where_not_all_can_be_played_those_near_the_ends_of_messages_come_first():
    found, played = hunt([stream(bytes(100), bytes(100))], never, bound=20)
    assert (found.played, found.possible) == (20, 200)
    cuts = [at for split in played[3:] for _, at in split.cuts or ()]
    assert set(cuts[:12]) == {1, 2, 3, 97, 98, 99, 101, 102, 103, 197, 198, 199}
    assert len(set(cuts)) == 18
    assert len({at // 34 for at in cuts[12:]}) > 3  # the rest is spread
    assert hunt([stream(bytes(100), bytes(100))], never, bound=1)[1] == [MESSAGE_BY_MESSAGE, ALL_TOGETHER]
    assert len(hunt([stream(bytes(100), bytes(100))], never, bound=6)[1]) == 7


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=4), st.data())
def test_a_split_loses_no_byte_and_cuts_where_it_says(messages, data):
    one = stream(*messages)
    inside = [at for at in range(1, len(one.data)) if at not in one.ends]
    cuts = data.draw(st.none() | st.sets(st.sampled_from(inside)) if inside else st.just(set()))
    joins = data.draw(st.none() | st.sets(st.sampled_from(one.ends)))
    split = Split(
        None if cuts is None else frozenset((0, at) for at in cuts),
        None if joins is None else frozenset((0, at) for at in joins),
    )
    came = segments(split, 0, one)
    assert b"".join(came) == one.data
    ends, at = set(), 0
    for piece in came:
        at += len(piece)
        ends.add(at)
    expected = {end for end in one.ends if joins is not None and end not in joins} | {len(one.data)}
    assert ends == expected | set(inside if cuts is None else cuts)


@given(st.integers(0, 12), st.integers(1, 20), st.sets(st.integers(1, 12)))
def test_who_receives_has_room_up_to_the_next_cut(at, size, cuts):
    room = Split(cuts=frozenset((3, cut) for cut in cuts)).room(3, at, size)
    assert room == min([cut - at for cut in cuts if cut > at] + [size])
    assert BYTE_BY_BYTE.room(3, at, size) == 1
    assert MESSAGE_BY_MESSAGE.room(3, at, size) == size


def test_a_place_is_in_the_message_that_it_is_inside_of_or_at_the_end_of():
    one = stream(b"ab", b"cde")
    assert [one.message_at(at) for at in (1, 2, 3, 5, 9)] == [(0, 0, 2), (0, 0, 2), (1, 2, 5), (1, 2, 5), (1, 2, 5)]
