"""How splits are told."""

from __future__ import annotations

from farend.core.splits import BYTE_BY_BYTE, Found, Split, Stream
from farend.report import splits


def stream(*messages: bytes, opening: bool = False) -> Stream:
    one = Stream("feed, connection 1", opening=opening)
    for message in messages:
        one.add(message)
    return one


def told(split: Split, *streams: Stream, **more: object) -> str:
    options = {"played": 3, "possible": 9, "error": ValueError("wrong")} | more
    return splits.failure("test_it", Found(streams, split=split, **options))  # type: ignore[arg-type]


def test_a_cut_is_shown_with_what_is_around_it():
    text = told(Split(cuts=frozenset([(0, 24)])), stream(b"0123", bytes(range(0x41, 0x41 + 50)), b"rest"))
    assert text == (
        "test_it fails when message 2 of 3 is cut behind byte 20 of 50.\n"
        "\n"
        "feed, connection 1: message 2 of 3 is cut behind byte 20 of 50\n"
        "\n"
        "  00000004  45 46 47 48 49 4a 4b 4c 4d 4e 4f 50 51 52 53 54  |EFGHIJKLMNOPQRST|\n"
        "  -- cut ----------------------------------------------------------------------\n"
        "  00000014  55 56 57 58 59 5a 5b 5c 5d 5e 5f 60 61 62 63 64  |UVWXYZ[\\]^_`abcd|\n"
        "\n"
        "It then raises ValueError (wrong): its traceback is above.\n"
        "With each message alone it passes; played 3 of 9 splits of 58 bytes on 1 connection."
    )


def test_messages_that_come_together_are_shown_at_their_seam():
    text = told(Split(joins=frozenset([(0, 2)])), stream(b"ab", b"cd"))
    assert text.startswith("test_it fails when message 1 of 2 comes together with the one behind it.\n")
    assert "|ab|\n  -- no cut ---" in text
    assert "00000002  63 64 " in text


def test_a_handshake_is_no_message():
    one = stream(b"HTTP/1.1 101\r\n\r\n", b"\x81\x02hi", b"\x81\x02ho", opening=True)
    assert told(Split(cuts=frozenset([(0, 3)])), one).startswith(
        "test_it fails when the far end's handshake is cut behind byte 3 of 16."
    )
    assert told(Split(joins=frozenset([(0, 16)])), one).startswith(
        "test_it fails when the far end's handshake comes together with the one behind it."
    )
    assert told(Split(cuts=frozenset([(0, 22)])), one).startswith("test_it fails when message 2 of 2 is cut behind")


def test_many_places_are_not_all_shown():
    text = told(Split(cuts=frozenset((0, at) for at in range(1, 9))), stream(bytes(10)), shrinking=12)
    assert text.startswith("test_it fails when message 1 of 1 is cut behind byte 1 of 10, and 7 places more.")
    assert text.count("-- cut") == splits.SHOWN
    assert "… and 3 places more" in text
    assert text.endswith("on 1 connection, then 12 runs to find the smallest.")


def test_what_could_not_be_shrunk_is_said_as_it_is():
    assert told(BYTE_BY_BYTE, stream(b"abc"), shrinking=100, smallest=False).endswith(
        "then 100 runs to find a small one."
    )
    assert told(BYTE_BY_BYTE, stream(b"abc")).startswith("test_it fails when the far end's bytes come one at a time.")
    assert told(Split(joins=None), stream(b"abc")).startswith(
        "test_it fails when the far end's messages come together."
    )


def test_numbers_are_told_as_words_need_them():
    found = Found([stream(b"a"), stream(b"bc")], played=1, possible=1)
    assert splits.how_many(found) == "played all 1 split of 3 bytes on 2 connections"
    assert splits.hurried(0) == ""
    assert splits.hurried(2) == "; 2 times the near end read no more, and the rest was sent in one"
