"""What has come of a message stands beside the tape until the message is on it, and is read as its last lines."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest import mock

import pytest

from farend import TapeReader, TapeWriter
from farend.tape.format import Kind
from farend.tape.index import index
from farend.tape.recorder import Recorder
from farend.tape.redaction import RedactedStream
from farend.tape.unfinished import Unfinished, parts_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feed [1].jsonl"


@pytest.fixture
def recorder(path):
    recorder = Recorder(path, "websocket", now=0.0)
    yield recorder
    recorder.close()


def said(path, **options):
    with TapeReader(path, **options) as tape:
        return [(line.connection, line.kind, line.sender, line.payload) for line in tape]


def test_parts_are_read_until_the_message_is_there(path, recorder):
    connection = recorder.connection(0.0)
    connection.part(0.1, "client", b"hel")
    connection.part(0.2, "server", b"th")
    connection.part(0.3, "client", b"l")
    connection.happened(0.4, Kind.PING, "client", b"?")
    parts = [(1, Kind.RAW, "client", b"hel"), (1, Kind.RAW, "client", b"l"), (1, Kind.RAW, "server", b"th")]
    ping = (1, Kind.PING, "client", b"?")
    assert said(path) == [ping, *parts]
    assert said(path, unfinished=False) == [ping]
    connection.message(0.5, "client", "hello", (3, 2))
    hello = (1, Kind.MESSAGE, "client", "hello")
    assert said(path) == [ping, hello, parts[2]]
    connection.happened(0.6, Kind.RAW, "server", b"the")
    assert said(path) == [ping, hello, (1, Kind.RAW, "server", b"the")]
    connection.part(0.7, "client", b"and")
    assert len(said(path)) == 4
    connection.over()
    assert parts_of(path) == []


def test_each_side_of_each_connection_has_its_own(path, recorder):
    connections = [recorder.connection(0.0) for _ in range(11)]
    for connection in reversed(connections):
        connection.part(0.0, "server", b"%d" % connection.number)
        connection.part(0.0, "client", b"%d" % connection.number)
    assert said(path) == [
        (number, Kind.RAW, side, b"%d" % number) for number in range(1, 12) for side in ("client", "server")
    ]
    for connection in connections[1:]:
        connection.over()
    assert len(parts_of(path)) == 2
    recorder.close()
    assert parts_of(path) == []


def test_a_tape_is_replayed_up_to_its_last_whole_message(path, recorder):
    connection = recorder.connection(0.0)
    connection.connect(0.0, "/")
    connection.message(0.1, "client", "hello")
    connection.part(0.2, "client", b"hel")
    [taped] = index(path).connections
    assert [line.payload for line in index(path).lines(taped)] == [None, "hello"]
    connection.over()


def test_the_lines_beside_a_tape_are_its_last_ones(path, recorder):
    connection = recorder.connection(0.0)
    connection.message(0.1, "client", "hello")
    for side in ("client", "server"):
        connection.part(0.2, side, b"hel")
    with TapeReader(path) as reader:
        assert [(reader.number, line.kind) for line in reader] == [(2, "message"), (3, "raw"), (4, "raw")]
    connection.over()


def test_no_secret_is_in_a_part_however_it_is_cut(path, recorder):
    connection = recorder.connection(0.0)
    message = b'{"token": "s3cr3t-1", "x": 1}'
    for at in range(len(message)):
        connection.part(0.0, "client", message[at : at + 1])
        assert b"s3" not in b"".join(one.read_bytes() for one in parts_of(path))
    assert b"".join([payload for *_, payload in said(path)]) == b'{"token": "<secret:token:1>", "x": 1}'
    connection.message(0.1, "client", message.decode())
    assert said(path) == [(1, Kind.MESSAGE, "client", '{"token": "<secret:token:1>", "x": 1}')]
    connection.over()


def test_a_function_for_secrets_is_given_whole_messages_alone(path):
    given = []
    recorder = Recorder(path, "websocket", now=0.0, redact=lambda payload: given.append(payload) or ())
    connection = recorder.connection(0.0)
    given.clear()
    connection.part(0.0, "client", b"hel")
    connection.message(0.0, "client", "hello")
    recorder.close()
    assert given == ["hello"]
    assert parts_of(path) == []


def test_what_is_left_of_a_tape_goes_with_it(path):
    Unfinished(path, 1, "client").write(b"{}\n")
    other = path.with_name(f"{path.name}.1-nobody.part")
    other.touch()
    assert len(parts_of(path)) == 1
    TapeWriter(path, "tcp").close()
    assert parts_of(path) == []
    assert other.exists()


def test_what_cannot_be_redacted_is_not_written(path, recorder, monkeypatch):
    monkeypatch.setattr(RedactedStream, "feed", lambda stream, data: 1 / 0)
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", b"hel")
    connection.part(0.0, "client", b"lo")
    assert isinstance(recorder.error, ZeroDivisionError)
    assert said(path) == []


def test_nothing_stands_beside_what_is_no_file():
    recorder = Recorder("/dev/null", "websocket", now=0.0)
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", b"hel")
    assert parts_of(Path("/dev/null")) == []
    recorder.close()


def test_a_part_that_cannot_be_cleared_goes(path, recorder, monkeypatch):
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", b"hel")
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", mock.Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        connection.message(0.0, "client", "hello")
    assert parts_of(path) == []
    assert said(path) == [(1, Kind.MESSAGE, "client", "hello")]


def test_what_has_come_is_kept_where_the_whole_was_not_written(path, recorder, monkeypatch):
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", b"hel")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        connection.message(0.0, "client", "hello")
    assert recorder.error is not None
    assert said(path) == [(1, Kind.RAW, "client", b"hel")]


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_is_the_tapes_to_tell(path, recorder, monkeypatch, room):
    real, rooms = os.write, [room]

    def full(file, data):
        if rooms and (left := rooms.pop()):
            return real(file, data[:left])
        raise OSError(errno.ENOSPC, "No space left on device")

    connection = recorder.connection(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        connection.part(0.0, "client", b"hel")
    connection.part(0.0, "client", b"lo")
    assert parts_of(path) == []
    assert recorder.error is None
    connection.message(0.0, "client", "hello")
    assert said(path) == [(1, Kind.MESSAGE, "client", "hello")]
