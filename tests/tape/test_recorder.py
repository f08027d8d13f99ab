"""The recorder writes what it is told, redacted, and never raises at who is recorded."""

from __future__ import annotations

import errno
import os

import pytest

from farend import TapeReader, TapeUnavailable
from farend.tape.bulk import MUCH
from farend.tape.format import Kind
from farend.tape.recorder import Recorder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tape.jsonl"


def lines(path):
    with TapeReader(path) as tape:
        return [*tape]


def test_times_are_of_the_connection_and_of_the_tape(path):
    recorder = Recorder(path, "websocket", now=100.0, target="wss://me:s3cr3t@x/")
    connection = recorder.connection(101.0)
    connection.connect(101.0, "/", (("Host", "x"), ("Sec-WebSocket-Key", "abc")))
    connection.answer(101.5, 101, (("Date", "now"), ("Upgrade", "websocket")))
    connection.message(102.12345, "client", "hello")
    connection.message(103.0, "server", "ab", (1, 1))
    recorder.close()
    connect, answer, hello, joined = lines(path)
    assert [line.at for line in (connect, answer, hello, joined)] == [1.0, 0.5, 1.123, 2.0]
    assert connect.headers == (("Host", "x"),)
    assert answer.headers == (("Upgrade", "websocket"),)
    assert joined.fragments == (1, 1)
    assert "s3cr3t" not in path.read_text()


def test_who_speaks_on_another_thread_while_the_clock_goes_on_is_written_too(path):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)

    class Heads(dict):
        """Another thread has its turn while the time is told."""

        def items(self):
            if not said:
                said.append(True)
                connection.message(1.0, "server", "between")
            return super().items()

    said = []
    connection._heads = Heads(connection._heads)
    connection.message(1.0, "client", "first")
    recorder.close()
    assert recorder.error is None
    assert [(line.payload, line.at) for line in lines(path)] == [("between", 1.0), ("first", 1.0)]


def test_what_comes_together_is_written_together(path):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", b"hel")
    part = [line.payload for line in lines(path)]
    with connection.together():
        connection.message(0.0, "client", "hello")
        connection.message(0.0, "client", "x" * MUCH)
        connection.happened(0.0, Kind.PING, "client", b"?")
        assert [line.payload for line in lines(path)] == part == [b"hel"]
        assert recorder.writer.lines == 3
    assert [line.payload for line in lines(path)] == ["hello", "x" * MUCH, b"?"]
    assert recorder.writer.lines == 3
    recorder.close()


def test_what_interrupts_it_loses_nothing_that_came_before(path):
    class Interrupted(BaseException):
        pass

    def find(payload):
        if payload == "stop":
            raise Interrupted
        return ()

    recorder = Recorder(path, "websocket", now=0.0, redact=find)
    connection = recorder.connection(0.0)
    with pytest.raises(Interrupted), connection.together():
        connection.message(0.0, "client", "first")
        connection.message(0.0, "client", "stop")
    connection.message(0.0, "client", "last")
    recorder.close()
    assert [line.payload for line in lines(path)] == ["first", "last"]


@pytest.mark.parametrize("much", ["", "x" * MUCH], ids=["little", "much"])
def test_a_disk_that_is_full_when_all_is_written(path, monkeypatch, much):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    connection.message(0.0, "client", "first" + much)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        for name in ("write", "writev"):
            patch.setattr(os, name, full)
            patch.setattr("farend.tape.files._gathered", full)
        with connection.together():
            connection.message(0.0, "client", "second" + much)
    assert isinstance(recorder.error, TapeUnavailable)
    assert "holds the 1 lines" in str(recorder.error)
    with connection.together():
        connection.message(0.0, "client", "third")
    recorder.close()
    assert "put together" not in str(recorder.error)
    assert [line.payload for line in lines(path)] == ["first" + much]


def test_numbers_are_given_or_counted(path):
    recorder = Recorder(path, "tcp", now=0.0)
    assert [recorder.connection(0.0).number, recorder.connection(0.0, 7).number] == [1, 7]
    recorder.close()


def test_json_lines_are_cut_at_their_ends(path):
    recorder = Recorder(path, "tcp", now=0.0)
    connection = recorder.connection(0.0)
    connection.data(0.0, "client", b'{"a":1}\r\n[2]\r\n')
    connection.data(0.0, "client", b'{"a":1}\n[2]\n')
    connection.data(0.0, "client", b'{"a":1}\n[2]')
    recorder.close()
    said = [line.payload for line in lines(path)]
    assert said == [b'{"a":1}\r\n', b"[2]\r\n", b'{"a":1}\n', b"[2]\n", b'{"a":1}\n[2]']


def test_lines_that_are_no_text_are_written_with_those_that_are(path):
    recorder = Recorder(path, "tcp", now=0.0)
    said = [b"{\xff" + bytes(10_000) + b"}\n", b'{"a":1}\n', b"{\xff}\n"]
    recorder.connection(0.0).data(0.0, "client", b"".join(said))
    recorder.close()
    assert [line.payload for line in lines(path)] == said


@pytest.mark.parametrize("wire", ["tcp", "websocket"])
def test_a_full_disk_is_kept_and_not_raised(path, monkeypatch, wire):
    recorder = Recorder(path, wire, now=0.0)
    connection = recorder.connection(0.0)
    connection.connect(0.0)
    real = os.write

    def full(file, data):
        if data.startswith(b"{"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        connection.message(0.0, "client", "x")
        connection.data(0.0, "client", b"x")
        connection.happened(0.0, Kind.END, "client")
    connection.message(0.0, "client", "late")
    assert isinstance(recorder.error, TapeUnavailable)
    recorder.close()
    assert [line.kind for line in lines(path)] == [Kind.CONNECT]


def test_a_rule_that_fails_ends_the_recording_wherever_it_fails(path):
    for ask in (
        lambda one: one.data(0.0, "client", b"x"),
        lambda one: one.message(0.0, "client", "x"),
        lambda one: one.happened(0.0, Kind.PING, "client", b"x"),
    ):
        recorder = Recorder(path, "tcp", now=0.0, redact=lambda payload: 1 / 0)
        ask(recorder.connection(0.0))
        assert isinstance(recorder.error, ZeroDivisionError)
        recorder.close()
        assert lines(path) == []
