"""What is appended to a file is on it as a whole, or not at all."""

from __future__ import annotations

import errno
import os
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
    file = Appended(path, ahead=True)
    yield file
    file.close()


def is_on(path, data):
    """Whether this is all that is on the file, before the room that is reserved."""
    found = path.read_bytes()
    return found[: len(data)] == data and not any(found[len(data) :])


@pytest.mark.parametrize("end", ["give_back", "close"])
@pytest.mark.parametrize("kept", [False, True])
def test_room_is_reserved_ahead_and_given_back(path, roomy, kept, end):
    block, calls = b"x" * (STEP // 2 + 1), []
    real = os.posix_fallocate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *args: calls.append(args) or real(*args))
        for number in range(20):
            if kept:
                roomy.keep()
            assert roomy.append(block) == number * len(block)
            if kept:
                roomy.write_kept()
    assert 1 < len(calls) < 8  # as much again, each time
    assert path.stat().st_size > 20 * len(block)
    assert is_on(path, block * 20)
    getattr(roomy, end)()
    assert path.read_bytes() == block * 20
    if end == "give_back":
        assert roomy.append(b"more") == 20 * len(block)
        assert path.read_bytes() == block * 20 + b"more"


def test_what_is_taken_back_is_gone_and_what_follows_stands_there(path, roomy):
    roomy.append(b"first")
    roomy.append(b"secret")
    roomy.erase(5, 6)
    assert is_on(path, b"first")
    assert roomy.append(b"third") == 5
    assert is_on(path, b"firstthird")


@pytest.mark.parametrize("why", ["little room", "refused", "no such function", "no such call"])
def test_where_no_room_can_be_reserved_it_is_done_without(path, roomy, monkeypatch, why):
    if why == "little room":
        real = os.fstatvfs
        monkeypatch.setattr(os, "fstatvfs", lambda file: mock.Mock(f_frsize=real(file).f_frsize, f_bavail=STEP // 4096))
    elif why == "refused":
        monkeypatch.setattr(os, "posix_fallocate", mock.Mock(side_effect=OSError(errno.EOPNOTSUPP, "not supported")))
    else:
        monkeypatch.delattr(os, "fstatvfs" if why == "no such call" else "posix_fallocate")
    for _ in range(3):
        roomy.append(b"abc")
    assert path.read_bytes() == b"abcabcabc"


def test_what_a_refusal_has_reserved_is_given_back(path, roomy, monkeypatch):
    """A file system may have reserved some of it when it finds that there is no more."""

    def halfway(file, begin, size):
        os.truncate(path, begin + size // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", halfway)
    roomy.append(b"abc")
    assert path.read_bytes() == b"abc"


def test_a_file_that_somebody_has_cut_stays_cut(path, roomy):
    roomy.append(b"abcdef")
    os.truncate(path, 2)
    roomy.close()
    assert path.read_bytes() == b"ab"
