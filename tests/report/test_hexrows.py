from __future__ import annotations

from farend.report.hexrows import differing, dump, per_row
from farend.report.line import Line


def text(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


def test_the_first_differing_byte_is_marked_in_both_columns() -> None:
    data = bytes(range(0x30, 0x60))
    got = data[:20] + b"\xff" + data[21:]
    assert (
        text(differing(data, got, 98))
        == """\
48 bytes each; the first difference is at offset 20 (0x14)
         00000000  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  |0123456789:;<=>?|
expected 00000010  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  |@ABCDEFGHIJKLMNO|
got      00000010  40 41 42 43 ff 45 46 47 48 49 4a 4b 4c 4d 4e 4f  |@ABC.EFGHIJKLMNO|
                               ^^                                        ^
         00000020  50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f  |PQRSTUVWXYZ[\\]^_|"""
    )


def test_one_that_ends_early_is_marked_where_bytes_are_missing() -> None:
    assert (
        text(differing(b"hello", b"hel", 98))
        == """\
5 bytes expected, 3 came; the first difference is at offset 3 (0x3)
expected 00000000  68 65 6c 6c 6f                                   |hello|
got      00000000  68 65 6c                                         |hel|
                            ^^ ^^                                       ^^"""
    )


def test_a_row_that_only_one_has() -> None:
    told = text(differing(b"x" * 20, b"x" * 16, 98))
    assert "got      00000010  (ended)" in told


def test_long_ones_are_shown_around_the_difference_only() -> None:
    expected = bytes(1 << 20)
    got = expected[: 1 << 19] + b"y" + expected[1 << 19 :]
    lines = differing(expected, got, 98)
    assert (
        lines[0].text == "1,048,576 bytes expected, 1,048,577 came; the first difference is at offset 524,288 (0x80000)"
    )
    assert lines[1].text == "… 524,272 equal bytes"
    assert lines[-1].text == "… 524,224 more bytes expected, 524,225 came"
    assert len(lines) == 10


def test_two_that_go_on_alike() -> None:
    assert differing(b"a" + bytes(99), b"b" + bytes(99), 98)[-1].text == "… 36 more bytes"


def test_narrow_screens_have_shorter_rows() -> None:
    assert per_row(98) == 16
    assert per_row(60) == 8
    assert all(len(line.text) <= 60 for line in differing(bytes(40), bytes(20), 60)[1:])


def test_a_dump_shows_the_first_rows() -> None:
    assert (
        text(dump(bytes(range(65, 91)) * 3, 98, rows=2))
        == """\
00000000  41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|
00000010  51 52 53 54 55 56 57 58 59 5a 41 42 43 44 45 46  |QRSTUVWXYZABCDEF|
… 46 more bytes"""
    )
    assert len(dump(b"short", 98)) == 1
    assert dump(b"", 98) == []
