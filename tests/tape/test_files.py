"""What is appended to a file is on it as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import sys
from unittest import mock

import pytest

from farend.tape import files
from farend.tape.files import Appended


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@pytest.fixture
def file(path):
    file = Appended(path)
    yield file
    file.close()
    file.close()
    assert file.is_closed


@pytest.mark.parametrize("parts", [[b"abc"], [b"a", b"", b"bc"]])
def test_parts_are_written_one_behind_the_other(path, file, parts):
    assert file.is_alone_at(path)
    assert [file.append(*parts), file.append(*parts), file.size] == [0, 3, 6]
    assert path.read_bytes() == b"abcabc"
    file.clear()
    assert file.append(b"x") == 0
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("count", [0, 1, 2, 2000])
def test_what_is_held_is_written_together(path, file, count, monkeypatch):
    calls = []
    for place, name in ((os, "write"), (files, "_gathered")):
        real = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *args, real=real: calls.append(args) or real(*args))
    file.append(b"first\n")
    calls.clear()
    file.keep()
    begins = [file.append(b"%4d" % number, b"\n") for number in range(count)]
    assert path.read_bytes() == b"first\n"
    assert begins == [6 + 5 * number for number in range(count)]
    file.write_kept()
    file.write_kept()
    assert len(calls) == bool(count)
    assert path.read_bytes() == b"first\n" + b"".join(b"%4d\n" % number for number in range(count))
    assert file.append(b"last") == 6 + 5 * count


@pytest.mark.parametrize("held", [False, True])
def test_what_does_not_fit_is_taken_back(path, file, monkeypatch, held):
    file.append(b"first\n")
    real, room = os.write, [2]

    def full(file, data):
        if room:
            return real(file, data[: room.pop()])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        if held:
            file.keep()
            assert file.append(b"second\n") == 6
        with pytest.raises(OSError, match="No space left"):
            file.write_kept() if held else file.append(b"second\n")
    assert path.read_bytes() == b"first\n"
    assert file.append(b"third\n") == 6
    assert path.read_bytes() == b"first\nthird\n"


# -- room that is reserved ------------------------------------------------------------------------

STEP = files._LEAST_AHEAD


@pytest.fixture
def roomy(path):
    if files._fallocate() is None:
        pytest.skip("this system reserves nothing")
    file = Appended(path, ahead=True)
    yield file
    file.close()


def held(path):
    """Bytes of the disk that the file has."""
    return path.stat().st_blocks * 512


def reserved(monkeypatch, answer=None):
    """The sizes of what is reserved, as it is asked for; `answer` is what is said to that."""
    sizes, real = [], files._fallocate()

    def reserve(file, mode, begin, size):
        sizes.append(size)
        return real(file, mode, begin, size) if answer is None else answer

    monkeypatch.setattr(files, "_fallocate", lambda: reserve)
    return sizes


@pytest.mark.parametrize("kept", [False, True])
def test_room_is_reserved_ahead_and_given_back(path, roomy, kept, monkeypatch):
    block, sizes = b"x" * (STEP // 2 + 1), reserved(monkeypatch)
    for number in range(20):
        if kept:
            roomy.keep()
        assert roomy.append(block) == number * len(block)
        if kept:
            roomy.write_kept()
        assert path.read_bytes() == block * (number + 1)
        assert sum(sizes) >= path.stat().st_size
    assert len(sizes) < 8  # as much again, each time
    assert sizes == sorted(sizes)
    assert max(sizes) <= files._MOST_AHEAD + len(block)
    roomy.close()
    assert path.read_bytes() == block * 20
    assert held(path) < path.stat().st_size + STEP


def test_what_is_taken_back_is_gone_and_what_follows_stands_there(path, roomy):
    roomy.append(b"first")
    roomy.append(b"secret")
    roomy.erase(5, 6)
    assert path.read_bytes() == b"first"
    assert roomy.append(b"third") == 5
    assert path.read_bytes() == b"firstthird"


@pytest.mark.parametrize("why", ["little room", "nobody knows the room", "refused", "no such function"])
def test_where_no_room_can_be_reserved_it_is_done_without(path, roomy, monkeypatch, why):
    sizes = reserved(monkeypatch, -1)
    if why == "little room":
        monkeypatch.setattr(os, "fstatvfs", lambda file: mock.Mock(f_frsize=4096, f_bavail=STEP // 4096))
    elif why == "nobody knows the room":
        monkeypatch.setattr(os, "fstatvfs", mock.Mock(side_effect=OSError(errno.ENOSYS, "not implemented")))
    elif why == "no such function":
        monkeypatch.setattr(files, "_fallocate", lambda: None)
    for _ in range(3):
        roomy.append(b"abc")
    assert path.read_bytes() == b"abcabcabc"
    assert len(sizes) == (why == "refused")


@pytest.mark.parametrize(
    "module", [None, mock.Mock(CDLL=mock.Mock(side_effect=OSError)), mock.Mock(CDLL=lambda _: None)]
)
def test_a_system_may_reserve_nothing(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "ctypes", module)
    assert files._fallocate.__wrapped__() is None


def test_a_file_that_somebody_has_cut_stays_cut(path, roomy):
    roomy.append(b"abcdef")
    os.truncate(path, 2)
    roomy.close()
    assert path.read_bytes() == b"ab"
