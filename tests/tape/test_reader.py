"""Reading is streamed, keeps what is whole, and names what is wrong."""

import tracemalloc

import pytest

from farend import (
    InvalidArguments,
    NotATape,
    TapeDamaged,
    TapeReader,
    TapeTooLarge,
    TapeUnavailable,
    TapeWriter,
    WrongType,
)
from farend.tape.format import Kind, Line

HEADER = '{"tape":1,"wire":"tcp"}\n'
SAID = '{"connection":1,"kind":"message","from":"client","text":"é"}\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tape.jsonl"


def read(path, **options):
    with TapeReader(path, **options) as tape:
        return [line.payload for line in tape], tape.torn


@pytest.mark.parametrize("cut", range(1, len(SAID.encode()) - 1))
def test_a_torn_last_line_is_reported_and_the_rest_kept(path, cut):
    path.write_bytes((HEADER + SAID).encode() + SAID.encode()[:cut])
    assert read(path) == (["é".encode()], 3)


def test_a_last_line_that_lacks_its_end_alone_is_whole(path):
    path.write_text(HEADER + SAID.rstrip("\n"), encoding="utf-8")
    assert read(path) == (["é".encode()], None)


def test_empty_lines_are_none(path):
    path.write_text(HEADER + "\n" + SAID + "\n", encoding="utf-8")
    assert read(path) == (["é".encode()], None)


def test_a_damaged_line_in_the_middle_is_an_error(path):
    path.write_text(HEADER + SAID[:20] + "\n" + SAID, encoding="utf-8")
    with pytest.raises(TapeDamaged, match="line 2"):
        read(path)


def test_a_line_that_is_not_utf8_is_an_error(path):
    path.write_bytes(HEADER.encode() + SAID.encode("latin-1") + SAID.encode())
    with pytest.raises(TapeDamaged, match="line 2: it is not UTF-8"):
        read(path)


def test_a_line_of_100_mb_is_refused_before_it_is_in_memory(path):
    with path.open("wb") as file:
        file.write((HEADER + SAID).encode())
        file.seek(100_000_000, 1)  # a hole: it costs no disk
        file.write(b"\n")
    tracemalloc.start()
    with pytest.raises(TapeTooLarge, match=r"line 3: it is longer than 1,000,000 bytes.*max_line=") as caught:
        read(path, max_line=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.line == 3
    assert peak < 10_000_000
    with pytest.raises(TapeTooLarge, match="67,108,864"):
        read(path)


def test_a_first_line_of_100_mb_is_no_header(path):
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(NotATape):
        TapeReader(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\x89PNG\r\n\x1a\n", b"hello\n", b'{"a":1}\n', b"\xff\xfe"])
def test_another_file_is_no_tape(path, content):
    path.write_bytes(content)
    with pytest.raises(NotATape, match=r"tape.jsonl is no tape"):
        TapeReader(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(TapeUnavailable, match=r"tape.jsonl cannot be read: No such file"):
        TapeReader(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(TapeUnavailable, match="Is a directory"):
        TapeReader(tmp_path)


def test_arguments_are_checked(path):
    with pytest.raises(WrongType, match="by its path"):
        TapeReader(7)
    for wrong in (0, True, "1"):
        with pytest.raises(InvalidArguments, match="max_line="):
            TapeReader(path, max_line=wrong)


def test_a_tape_that_is_recorded_anew_is_another_one(path):
    with TapeWriter(path, "tcp", times=None) as first:
        for _ in range(3):
            first.write(Line(1, Kind.MESSAGE, "client", None, b"PING"))
    with TapeReader(path) as reader:
        assert len(list(reader)) == 3
        end = reader.position
        assert not reader.is_recorded_anew(end)
        with path.open("ab") as file:
            file.write(b"more")
        assert not reader.is_recorded_anew(end)
        whole = path.read_bytes()
        path.write_bytes(b"")
        assert not reader.is_recorded_anew(end), "there is nothing to read yet"
        path.write_bytes(whole[:10])
        assert not reader.is_recorded_anew(end)
        path.write_bytes(whole[: end.offset - 1])
        assert reader.is_recorded_anew(end), "it is shorter than what was read"
        path.write_bytes(b"x" + whole)
        assert reader.is_recorded_anew(end), "it has another header"
        path.unlink()
        assert not reader.is_recorded_anew(end)
        path.write_bytes(whole[: end.offset - 1])
        assert not reader.is_recorded_anew(end), "it may be the same one, put together"
        path.unlink()
        path.mkdir()
        assert not reader.is_recorded_anew(end)
