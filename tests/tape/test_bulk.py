"""What is much stands beside the tape while it is recorded, and on it in the end, as if it had been written there."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from unittest import mock

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend import Redaction, TapeDamaged, TapeReader, TapeTooLarge, TapeUnavailable, TapeWriter
from farend.tape import recorder as recording
from farend.tape.bulk import MUCH, bulk_field, bulk_of, put_together
from farend.tape.index import index
from farend.tape.recorder import Recorder

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "tape.schema.json").read_text())
)
MUCH_TEXT = b"much of it, " * (MUCH // 10)
MUCH_JSON = json.dumps({"list": [*range(10_000)]}).encode()
MUCH_ELSE = b"\xff\0" * MUCH


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feed.jsonl"


@pytest.fixture
def recorder(path):
    recorder = Recorder(path, "tcp", now=0.0)
    yield recorder
    recorder.close()


def payloads(path, **options):
    with TapeReader(path, **options) as tape:
        return [line.payload for line in tape]


# -- written and put together ---------------------------------------------------------------------


@pytest.mark.parametrize("payload", [MUCH_TEXT, MUCH_JSON + b"\n", MUCH_ELSE], ids=["text", "json", "no text"])
def test_much_is_beside_the_tape_until_it_is_closed(path, recorder, payload):
    connection = recorder.connection(0.0)
    connection.data(0.5, "client", payload)
    connection.data(0.6, "server", b"ok\n")
    assert bulk_of(path).read_bytes() == payload
    assert b'"bulk":[0,%d]}\n' % len(payload) in path.read_bytes()
    assert payloads(path) == [payload, b"ok\n"]
    for line in path.read_text().splitlines():
        SCHEMA.validate(json.loads(line))
    recorder.close()
    assert [*path.parent.iterdir()] == [path]
    assert "bulk" not in path.read_text()
    assert payloads(path) == [payload, b"ok\n"]


SAID = st.lists(
    st.tuples(
        st.sampled_from(["client", "server"]),
        st.sampled_from(
            [b'{"a":1}\n[2]\n', b"text", b'{"token": "s3cr3t-1", "x": 1}', b"\xff\xfe", b"ab s3cr3t-1 c", b"a\r\n"]
        ).flatmap(lambda data: st.integers(1, 4).map(lambda times: data * times)),
    ),
    max_size=8,
)


def recorded(much, wire, record):
    """The tape as it stands in the end, and what could be read of it before it was closed."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(recording, "MUCH", much):
        path = Path(folder, "feed.jsonl")
        recorder = Recorder(path, wire, now=0.0, times=None)
        record(recorder.connection(0.0))
        before = payloads(path, unfinished=False)
        recorder.close()
        assert [*path.parent.iterdir()] == [path]
        after = payloads(path)
        if wire == "tcp":  # which has no messages
            assert b"".join(after) == b"".join(before)
        else:
            assert after == before
        return path.read_text()


@given(SAID)
def test_a_tape_is_the_same_whatever_is_much(said):
    def record(connection):
        for sender, data in said:
            connection.data(0.0, sender, data)
        connection.flush(0.0)

    assert recorded(8, "tcp", record) == recorded(MUCH, "tcp", record)


def steps(messages, sizes):
    """What one side's messages do: parts of them come, and then the whole."""
    for message in messages:
        start = 0
        for size in sizes:
            if start + size < len(message):
                yield "part", message[start : start + size]
                start += size
        try:
            yield "message", message.decode()
        except UnicodeDecodeError:
            yield "message", message


@given(SAID, st.lists(st.integers(1, 30), max_size=4), st.lists(st.booleans(), max_size=30))
def test_a_tape_is_the_same_however_its_messages_come(said, sizes, turns):
    def record(connection):
        sides = [
            (side, steps([data for sender, data in said if sender == side], sizes)) for side in ("client", "server")
        ]
        for turn in [*turns, *[False] * 99, *[True] * 99]:
            side, left = sides[turn]
            for step, data in itertools.islice(left, 1):
                getattr(connection, step)(0.0, side, data)

    assert recorded(4, "websocket", record) == recorded(MUCH, "websocket", record)


def test_a_long_message_is_written_once(path):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    for begin in range(0, len(MUCH_TEXT), MUCH):
        connection.part(0.0, "client", MUCH_TEXT[begin : begin + MUCH])
        assert bulk_of(path).stat().st_size == min(begin + MUCH, len(MUCH_TEXT))
    connection.message(0.0, "client", MUCH_TEXT.decode())
    assert bulk_of(path).read_bytes() == MUCH_TEXT
    connection.part(0.0, "client", MUCH_ELSE[:MUCH])
    connection.part(0.0, "server", MUCH_ELSE[:MUCH])
    connection.message(0.0, "client", MUCH_ELSE)  # in one piece, behind what the other side said
    nothing = bytes(len(MUCH_ELSE) - MUCH)  # for what stands on no line is erased
    assert bulk_of(path).read_bytes() == MUCH_TEXT + bytes(MUCH) + MUCH_ELSE[:MUCH] + nothing + MUCH_ELSE
    recorder.close()
    assert payloads(path) == [MUCH_TEXT.decode(), MUCH_ELSE]


def test_a_long_message_with_a_secret_in_its_rest(path):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", MUCH_TEXT)
    message = MUCH_TEXT.decode() + " token=s3cr3t-1"
    connection.message(0.0, "client", message)
    assert b"s3cr3t" not in bulk_of(path).read_bytes()
    recorder.close()
    assert payloads(path) == [message.replace("s3cr3t-1", "<secret:token:1>")]


def test_it_is_put_together_step_by_step(path, recorder):
    connection = recorder.connection(0.0)
    for _ in range(8):
        connection.data(0.0, "client", MUCH_ELSE * 10)
    assert len([*recorder.closing()]) >= 4
    assert recorder.writer.lines == 8
    assert recorder.error is None


def test_who_does_not_wait_for_the_end_has_both_files(path, recorder):
    connection = recorder.connection(0.0)
    for _ in range(8):
        connection.data(0.0, "client", MUCH_ELSE * 10)
    closing = recorder.closing()
    next(closing)
    closing.close()
    assert {*path.parent.iterdir()} == {path, bulk_of(path)}
    assert payloads(path) == [MUCH_ELSE * 10] * 8


def test_lines_are_counted_as_they_stand_on_the_tape(path, recorder):
    recorder.connection(0.0).data(0.0, "client", (MUCH_JSON + b"\n") * 3)
    assert recorder.writer.lines == 1
    recorder.connection(0.0).data(0.0, "client", b"[1]\n[2]\n")
    assert recorder.writer.lines == 3
    recorder.close()
    assert recorder.writer.lines == len(payloads(path)) == 5


# -- secrets --------------------------------------------------------------------------------------


def stands_nowhere(path, secret):
    return not any(secret in file.read_bytes() for file in path.parent.iterdir())


def test_a_secret_that_is_known_only_while_a_message_comes(path):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    message = "s3cr3t-1" + MUCH_TEXT.decode()
    connection.part(0.0, "client", message[:MUCH].encode())
    connection.message(0.0, "server", "token=s3cr3t-1")
    connection.message(0.0, "client", message)
    assert stands_nowhere(path, b"s3cr3t-1")
    recorder.close()
    assert payloads(path) == ["token=<secret:token:1>", message.replace("s3cr3t-1", "<secret:token:1>")]


@pytest.mark.parametrize("together", [False, True])
def test_a_secret_that_only_the_whole_shows(path, together):
    recorder = Recorder(path, "websocket", now=0.0, redact=Redaction(patterns=[r"\b\d{16}\b"]))
    connection = recorder.connection(0.0)
    message = MUCH_TEXT.decode() + " 1234567812345678 "
    connection.part(0.0, "client", message[:-9].encode())
    with connection.together() if together else contextlib.nullcontext():
        connection.message(0.0, "client", message)
        connection.message(0.0, "client", "more")
    assert stands_nowhere(path, b"12345678")
    recorder.close()
    assert payloads(path) == [message.replace("1234567812345678", "<secret:own:1>"), "more"]


# -- files ----------------------------------------------------------------------------------------


def test_a_link_stays_a_link_and_a_mode_the_mode(tmp_path):
    real, link = tmp_path / "real.jsonl", tmp_path / "folder" / "link.jsonl"
    link.parent.mkdir()
    real.touch(mode=0o600)
    link.symlink_to(real)
    recorder = Recorder(link, "tcp", now=0.0)
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    assert payloads(link) == payloads(real) == [MUCH_TEXT]
    recorder.close()
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert payloads(link) == [MUCH_TEXT]
    assert {*tmp_path.iterdir()} == {real, link.parent}


def test_nothing_stands_beside_what_is_no_file():
    recorder = Recorder("/dev/null", "tcp", now=0.0)
    connection = recorder.connection(0.0)
    connection.data(0.0, "client", MUCH_TEXT)
    recorder.close()
    assert recorder.error is None
    assert not os.path.exists("/dev/null.bulk")


def test_what_is_left_of_a_tape_goes_with_it(path):
    for name in ("feed.jsonl.bulk", "feed.jsonl.whole"):
        path.with_name(name).touch()
    TapeWriter(path, "tcp").close()
    assert [*path.parent.iterdir()] == [path]


def test_a_killed_recorder_leaves_what_was_said_in_both_files(path):
    code = (
        "import os, signal, sys\n"
        "from farend.tape.recorder import Recorder\n"
        "recorder = Recorder(sys.argv[1], 'tcp', now=0.0)\n"
        "connection = recorder.connection(0.0)\n"
        "for number in range(10): connection.data(0.0, 'client', b'%d' % number * 400_000)\n"
        "if sys.argv[2] == 'closing': next(recorder.closing())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for when in ("open", "closing"):
        assert subprocess.run([sys.executable, "-c", code, path, when], timeout=60).returncode == -9
        assert payloads(path) == [b"%d" % number * 400_000 for number in range(10)]
        [taped] = index(path).connections
        assert len([*index(path).lines(taped)]) == 10


def test_two_threads_may_speak_at_once(path):
    recorder = Recorder(path, "websocket", now=0.0, redact=False)
    connection = recorder.connection(0.0)
    said = {sender: [bytes([number]) * (MUCH + number) for number in range(200)] for sender in ("client", "server")}

    def speak(sender):
        for payload in said[sender]:
            connection.message(0.0, sender, payload)

    threads = [threading.Thread(target=speak, args=[sender]) for sender in said]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    recorder.close()
    assert recorder.error is None
    with TapeReader(path) as tape:
        lines = [*tape]
    assert {sender: [line.payload for line in lines if line.sender == sender] for sender in said} == said


def test_a_tape_that_somebody_else_records_meanwhile_is_left_alone(path, recorder):
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    for file in (path, bulk_of(path)):
        file.unlink()
    other = Recorder(path, "tcp", now=0.0)
    other.connection(0.0).data(0.0, "client", MUCH_ELSE)
    recorder.close()
    assert "it was moved, or recorded once more, meanwhile" in str(recorder.error)
    other.connection(0.0).data(0.0, "client", MUCH_TEXT)
    other.close()
    assert other.error is None
    assert payloads(path) == [MUCH_ELSE, MUCH_TEXT]


def test_a_bulk_has_the_mode_of_its_tape(path, recorder):
    path.chmod(0o600)
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    assert stat.S_IMODE(bulk_of(path).stat().st_mode) == 0o600


def test_a_tape_that_is_moved_meanwhile_is_left_alone(path, recorder):
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    for file in (path, bulk_of(path)):
        file.rename(file.with_name("x" + file.name))
    recorder.close()
    assert isinstance(recorder.error, TapeUnavailable)
    assert payloads(path.with_name("xfeed.jsonl")) == [MUCH_TEXT]


@pytest.mark.parametrize("wire", ["tcp", "websocket"])
def test_a_bulk_that_somebody_has_changed_is_kept(path, wire):
    recorder = Recorder(path, wire, now=0.0)
    connection = recorder.connection(0.0)
    if wire == "tcp":
        connection.data(0.0, "client", MUCH_TEXT)
        os.truncate(bulk_of(path), 10)
    else:
        connection.message(0.0, "client", MUCH_TEXT.decode())
        bulk_of(path).write_bytes(b"\xff" * len(MUCH_TEXT))
    recorder.close()
    assert "cannot be put together" in str(recorder.error)
    assert {*path.parent.iterdir()} == {path, bulk_of(path)}


def test_a_tape_that_somebody_has_changed_is_kept(path, recorder):
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    path.write_bytes(path.read_bytes().replace(b"]}\n", b"]} \n"))
    recorder.close()
    assert "somebody else has written on it" in str(recorder.error)
    assert payloads(path) == [MUCH_TEXT]


def test_a_bulk_that_no_line_speaks_of_goes(path):
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", MUCH_TEXT)
    connection.message(0.0, "client", MUCH_TEXT.decode() + "!", (len(MUCH_TEXT), 1))
    before = path.stat().st_ino
    recorder.close()
    assert path.stat().st_ino == before
    assert [*path.parent.iterdir()] == [path]
    assert payloads(path) == [MUCH_TEXT.decode() + "!"]


def test_nothing_stands_beside_a_tape_with_two_names(path, tmp_path):
    path.touch()
    os.link(path, tmp_path / "other")
    recorder = Recorder(path, "tcp", now=0.0)
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    recorder.close()
    assert payloads(path) == payloads(tmp_path / "other") == [MUCH_TEXT]


@pytest.mark.parametrize("name", ["x" * 250 + ".j", "feed.jsonl"])
def test_a_name_that_is_too_long_or_taken_is_done_without(tmp_path, name):
    path = tmp_path / name
    if name == "feed.jsonl":
        bulk_of(path).mkdir()
    recorder = Recorder(path, "websocket", now=0.0)
    connection = recorder.connection(0.0)
    connection.part(0.0, "client", MUCH_TEXT)
    connection.message(0.0, "client", MUCH_TEXT.decode())
    recorder.close()
    assert recorder.error is None
    assert payloads(path) == [MUCH_TEXT.decode()]


def test_who_reads_while_the_tape_is_closed_reads_on(path, recorder):
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    with TapeReader(path) as reader:
        recorder.close()
        assert [line.payload for line in reader] == [MUCH_TEXT]


def test_who_follows_finds_the_bulk_before_it_goes(path, recorder):
    with TapeReader(path, unfinished=False) as reader:
        position = reader.position
        recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
        reader.go_to(position)
        recorder.close()
        assert [line.payload for line in reader] == [MUCH_TEXT]


@pytest.mark.parametrize("wire", ["tcp", "websocket"])
def test_who_follows_goes_on_in_the_whole_tape(path, wire):
    recorder = Recorder(path, wire, now=0.0)
    connection = recorder.connection(0.0)
    say = functools.partial(connection.data if wire == "tcp" else connection.message, 0.0, "client")
    much = (MUCH_JSON + b"\n") * 3
    say(much if wire == "tcp" else much.decode())
    with TapeReader(path, unfinished=False) as reader:
        assert next(reader).payload == (much if wire == "tcp" else much.decode())
        position = reader.position
        assert not reader.go_to_whole(position), "nothing was put together yet"
        say(much if wire == "tcp" else MUCH_TEXT.decode())
        say(b"more\n" if wire == "tcp" else "more")
        recorder.close()
        reader.go_to(position)
        assert reader.go_to_whole(position)
        left = [MUCH_JSON + b"\n"] * 3 + [b"more\n"] if wire == "tcp" else [MUCH_TEXT.decode(), "more"]
        assert [next(reader).payload for _ in left] == left
        position = reader.position
        assert not [*reader]
        assert not reader.go_to_whole(position), "it is there already"


def test_what_is_another_tape_is_not_the_whole_one(path, recorder):
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    with TapeReader(path, unfinished=False) as reader:
        assert next(reader).payload == MUCH_TEXT
        position = reader.position
        first, rest = path.read_bytes().splitlines(keepends=True)
        path.unlink()
        assert not reader.go_to_whole(position), "there is none"
        path.write_bytes(b"x" + first + rest)
        assert not reader.go_to_whole(position), "it has another header"
        path.write_bytes(first + rest[:-1])
        assert not reader.go_to_whole(position), "it has less than was read"
        path.write_bytes(first + b" " * (2 << 20) + b"\n" + rest)
        assert reader.go_to_whole(position), "a line may be of any length"
        assert next(reader).payload == MUCH_TEXT


# -- what can go wrong ----------------------------------------------------------------------------


def test_where_nothing_can_stand_beside_it_it_is_on_the_tape(path, recorder, monkeypatch):
    real = os.open

    def closed(path, *args):
        if str(path).endswith(".bulk"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *args)

    monkeypatch.setattr(os, "open", closed)
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    assert recorder.error is None
    assert b"bulk" not in path.read_bytes()
    assert payloads(path) == [MUCH_TEXT] * 2


def test_a_disk_that_gets_full_leaves_what_fitted(path, recorder, monkeypatch):
    connection = recorder.connection(0.0)
    connection.data(0.0, "client", MUCH_TEXT)
    real = os.write
    with monkeypatch.context() as patch:
        room = [100, 0]

        def write(file, data):
            if not (left := room.pop(0)):
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(file, data[:left])

        patch.setattr(os, "write", write)
        connection.data(0.0, "client", MUCH_ELSE)
    connection.data(0.0, "client", b"more")
    assert isinstance(recorder.error, TapeUnavailable)
    assert "No space left on device; it holds the 1 lines" in str(recorder.error)
    assert bulk_of(path).read_bytes() == MUCH_TEXT
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        recorder.close()
    assert "cannot be written any more: No space left on device" in str(recorder.error)
    assert "so keep both" in str(recorder.error)
    assert payloads(path) == [MUCH_TEXT]


def test_a_disk_that_is_too_small_for_the_whole_leaves_both_files(path, recorder, monkeypatch):
    recorder.connection(0.0).data(0.0, "client", MUCH_TEXT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full := mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        recorder.close()
    assert full.called
    assert isinstance(recorder.error, TapeUnavailable)
    assert str(recorder.error) == (
        f"[Errno {errno.ENOSPC}] the tape {path} cannot be put together: No space left on device; "
        "it is read together with feed.jsonl.bulk beside it, so keep both"
    )
    assert {*path.parent.iterdir()} == {path, bulk_of(path)}
    assert payloads(path) == [MUCH_TEXT]


HEADER = b'{"tape":1,"wire":"%s"}\n'
LINE = b'{"connection":1,"kind":"message","from":"client",'


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        (b'"bulk":[0,11]}', "in feed.jsonl.bulk, is cut off"),
        (b'"bulk":[99,1]}', "in feed.jsonl.bulk, is cut off"),
        (b'"bulk":[%d,1]}' % 2**70, "in feed.jsonl.bulk, cannot be read: "),
        (b'"bulk":[0,-1]}', "its bulk is [0, -1], and not an offset and a size in bytes"),
        (b'"bulk":[0,true]}', "its bulk is [0, True], and not"),
        (b'"bulk":[0]}', "its bulk is [0], and not"),
        (b'"bulk":"x"}', "its bulk is 'x', and not"),
        (b'"bulk":null}', "its bulk is None, and not"),
    ],
)
def test_a_strangers_bulk(path, field, problem):
    bulk_of(path).write_bytes(b"0123456789")
    path.write_bytes(HEADER % b"tcp" + LINE + field + b"\n")
    with pytest.raises(TapeDamaged, match=re.escape(problem)) as caught:
        payloads(path)
    assert caught.value.line == 2


def test_a_bulk_that_is_not_there(path):
    path.write_bytes(HEADER % b"tcp" + LINE + bulk_field(0, 1))
    with pytest.raises(TapeDamaged, match=r"in feed.jsonl.bulk, which is not there; the two belong together"):
        payloads(path)


def test_a_bulk_that_is_too_large(path):
    bulk_of(path).write_bytes(b"0123456789" * 100)
    path.write_bytes(HEADER % b"tcp" + LINE + bulk_field(0, 1000))
    with pytest.raises(TapeTooLarge, match="line 2: it is longer than 999 bytes"):
        payloads(path, max_line=999)


@pytest.mark.parametrize("kind", ["a pipe", "a link", "a folder"])
def test_a_strangers_bulk_that_is_no_file(path, kind):
    if kind == "a pipe":
        os.mkfifo(bulk_of(path))
    elif kind == "a link":
        path.with_name("private").write_bytes(b"private")
        bulk_of(path).symlink_to(path.with_name("private"))
    else:
        bulk_of(path).mkdir()
    path.write_bytes(HEADER % b"tcp" + LINE + bulk_field(0, 7))
    with pytest.raises(TapeDamaged, match=r"in feed.jsonl.bulk, cannot be read: "):
        payloads(path)


def test_a_stranger_cannot_have_the_same_read_again_and_again(path):
    bulk_of(path).write_bytes(bytes(1 << 20))
    path.write_bytes(HEADER % b"tcp" + (LINE + bulk_field(0, 1 << 20)) * 1000)
    with TapeReader(path) as tape, pytest.raises(TapeDamaged, match="there is less than its lines speak of"):
        for _ in tape:
            pass
    assert tape.number < 10


def test_text_of_a_strangers_that_is_none(path):
    bulk_of(path).write_bytes(b"\xff")
    path.write_bytes(HEADER % b"websocket" + LINE + bulk_field(0, 1))
    with pytest.raises(TapeDamaged, match="line 2: "):
        payloads(path)
    path.write_bytes(HEADER % b"websocket" + LINE + bulk_field(0, 1, binary=True))
    assert payloads(path) == [b"\xff"]


def test_a_tape_that_is_gone_cannot_be_put_together(path):
    with pytest.raises(FileNotFoundError):
        [*put_together(path, "tcp", 1)]
