"""What is appended to a file is on it as a whole, or not at all."""

from __future__ import annotations

import errno
import os

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
