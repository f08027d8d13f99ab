"""Each line is on its way to the disk when `write` returns; a line that does not fit is taken back."""

import errno
import os
import subprocess
import sys

import pytest

from farend import TapeReader, TapeUnavailable, TapeWriter, WrongState, WrongType
from farend.tape.format import Kind, Line

SAID = Line(1, Kind.MESSAGE, "client", 0.12345, b"PING")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tape.jsonl"


def test_what_is_written_can_be_read(path):
    with TapeWriter(path, "tcp", target="tcp://127.0.0.1:7") as tape:
        tape.write(SAID)
        assert tape.lines == 1
    with TapeReader(path) as tape:
        assert tape.header.target == "tcp://127.0.0.1:7"
        assert tape.header.farend
        assert [(line.payload, line.at) for line in tape] == [(b"PING", 0.123)]


def test_times_are_left_out_on_demand(path):
    with TapeWriter(path, "tcp", times=None) as tape:
        tape.write(SAID)
    assert '"at"' not in path.read_text()
    assert '"when"' not in path.read_text()


def test_a_killed_recorder_has_lost_nothing(path):
    code = (
        "import os, signal, sys\n"
        "from farend.tape.format import Kind, Line\n"
        "from farend.tape.writer import TapeWriter\n"
        "tape = TapeWriter(sys.argv[1], 'tcp')\n"
        "for number in range(100): tape.write(Line(1, Kind.MESSAGE, 'client', payload=b'%d' % number))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], timeout=60).returncode == -9
    with TapeReader(path) as tape:
        assert [line.payload for line in tape] == [b"%d" % number for number in range(100)]
        assert tape.torn is None


def test_a_line_that_does_not_fit_is_taken_back(path, monkeypatch):
    real = os.write
    room = 500

    def write(file, data):
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(file, data[:room])
        room -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    with TapeWriter(path, "tcp") as tape:
        with pytest.raises(TapeUnavailable, match="cannot be written any more: No space left") as caught:
            for _ in range(100):
                tape.write(SAID)
        assert tape.error is caught.value
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(TapeUnavailable):
            tape.write(SAID)
    with TapeReader(path) as tape:
        assert len([*tape]) == 5
        assert tape.torn is None


def test_who_is_interrupted_while_it_writes_can_write_on(path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with TapeWriter(path, "tcp") as tape:
        with monkeypatch.context() as patch:
            patch.setattr(tape._file, "append", interrupted)
            with pytest.raises(KeyboardInterrupt):
                tape.write_bytes(b"{}\n")
        tape.write_bytes(b"{}\n")
        assert tape.lines == 1


def test_nobody_records_on_a_tape_that_is_being_recorded(path):
    with TapeWriter(path, "tcp") as tape:
        tape.write(SAID)
        with pytest.raises(TapeUnavailable, match=r"tape.jsonl is being recorded by somebody else"):
            TapeWriter(path, "tcp")
        tape.write(SAID)
    with TapeReader(path) as tape:
        assert len([*tape]) == 2
    TapeWriter(path, "tcp").close()


def test_many_may_record_on_a_device():
    with TapeWriter("/dev/null", "tcp") as one, TapeWriter("/dev/null", "tcp") as other:
        one.write(SAID)
        other.write(SAID)


def test_where_nothing_can_be_locked_it_is_done_without(path, monkeypatch):
    import fcntl

    def unlockable(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unlockable)
    TapeWriter(path, "tcp").close()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    TapeWriter(path, "tcp").close()


def test_a_folder_that_is_not_there(path):
    with pytest.raises(TapeUnavailable, match=r"x.jsonl cannot be written: No such file .*: there is no such folder"):
        TapeWriter(path / "x.jsonl", "tcp")


def test_a_header_that_does_not_fit_leaves_no_file_open(path, monkeypatch):
    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(TapeUnavailable, match="No space left"):
        TapeWriter(path, "tcp")


def test_a_closed_tape_takes_no_more(path):
    tape = TapeWriter(path, "tcp")
    tape.close()
    tape.close()
    with pytest.raises(WrongState, match="is closed"):
        tape.write(SAID)


def test_arguments_are_checked(path):
    with pytest.raises(WrongType, match="by its path"):
        TapeWriter(7, "tcp")
    for wrong in (True, "1", -1, 0, float("inf")):
        with pytest.raises(WrongType, match="times="):
            TapeWriter(path, "tcp", times=wrong)
