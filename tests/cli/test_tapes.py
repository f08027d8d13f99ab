"""The commands that play and show tapes, as programs of their own: addresses, exit statuses, Ctrl-C, and JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from websockets.sync.client import connect

from farend import Plan, Script, TapeWriter, WebSocketServer
from farend.cli import COMMANDS, main
from farend.tape.format import Kind, Line, parsed_line
from farend.tape.recorder import Recorder

LINES = [
    '{"tape":1,"farend":"0.1.0","wire":"websocket","target":"ws://example.com"}',
    '{"connection":1,"kind":"connect","from":"client","at":0,"target":"/feed?x=1"}',
    '{"connection":1,"kind":"answer","from":"server","at":0.01,"status":101}',
    '{"connection":1,"kind":"message","from":"client","at":0.02,"json":{"id": 7, "subscribe": "BTC"}}',
    '{"connection":1,"kind":"message","from":"server","at":0.03,"json":{"id": 7, "price": 12.5}}',
    '{"connection":1,"kind":"ping","from":"server","at":0.04,"text":"p"}',
    '{"connection":1,"kind":"message","from":"server","at":0.04,"json":{"odd" : "spelling"}}',
    '{"connection":1,"kind":"message","from":"client","at":0.05,"text":"bye"}',
    '{"connection":1,"kind":"close","from":"client","at":0.5,"code":1000}',
]
PATIENCE = 60.0


@pytest.fixture
def tape(tmp_path):
    path = tmp_path / "feed.jsonl"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def start():
    """Start a command that listens; gives its process and what it said of its address."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "farend", *map(str, arguments), "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, json.loads(line)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def ended(process):
    """The exit status, and the events that were told."""
    out, err = process.communicate(timeout=PATIENCE)
    assert not err
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def say(url, first, last="bye"):
    with connect(url + "/feed?x=1") as ws:
        ws.send(first)
        answer = ws.recv(timeout=PATIENCE)
        ws.recv(timeout=PATIENCE)
        ws.send(last)
    return answer


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"farend {name}" in result.output.partition("Examples:")[2]


def test_replay_ends_with_0_when_the_client_said_what_is_on_the_tape(start, tape, tmp_path):
    process, listening = start("replay", tape, "--port-file", tmp_path / "port", "--ignore", "$.id")
    assert int((tmp_path / "port").read_text()) == listening["port"]
    assert json.loads(say(listening["url"], '{"id": 8, "subscribe": "BTC"}')) == {"id": 8, "price": 12.5}
    assert ended(process) == (0, [{"event": "result", "ok": True, "connections": 1, "findings": 0}])


def test_replay_ends_with_1_and_what_was_found(start, tape):
    process, listening = start("replay", tape)
    with connect(listening["url"] + "/feed?x=1") as ws:
        ws.send('{"id": 7, "subscribe": "ETH"}')
        status, [finding, result] = ended(process)
    assert status == 1
    assert finding["kind"] == "Mismatch"
    assert finding["changes"] == [{"path": "$.subscribe", "what": "changed", "expected": "BTC", "got": "ETH"}]
    assert result["ok"] is False


def test_ctrl_c_ends_a_replay_with_what_is_missing(start, tape):
    process, _ = start("replay", tape)
    process.send_signal(signal.SIGINT)
    status, events = ended(process)
    assert (status, events[-1]["ok"]) in [(0, True), (1, False)]
    assert events[-1]["event"] == "result"


@pytest.mark.parametrize("command", ["replay", "serve", "verify"])
def test_a_tape_of_a_server_that_refused_cannot_be_played(run, tape, command):
    tape.write_text("\n".join([*LINES[:2], '{"connection":1,"kind":"refuse","from":"server"}']) + "\n")
    result = run(command, tape)
    assert result.exit_code == 2
    assert "feed.jsonl is a tape with no connection to replay: the one that was recorded was refused" in result.output


def test_serve_plays_a_tape_to_everyone_until_ctrl_c(start, tape):
    process, listening = start("serve", tape)
    for _ in range(2):
        say(listening["url"], '{"id": 7, "subscribe": "BTC"}')
    process.send_signal(signal.SIGINT)
    status, [result] = ended(process)
    assert (status, result["connections"]) == (0, 2)


def test_serve_plays_a_script(start, tmp_path):
    script = tmp_path / "server.py"
    script.write_text("from farend import Script\nscript = Script().expect('hello').send('there')\n")
    process, listening = start("serve", script)
    with connect(listening["url"]) as ws:
        ws.send("hello")
        assert ws.recv() == "there"
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0


def test_serve_says_what_is_wrong_with_a_script(run, tmp_path):
    script = tmp_path / "server.py"
    script.write_text("other = 1\n")
    result = run("serve", script)
    assert result.exit_code == 2
    assert "has no 'script' in it" in result.output
    script.write_text("1 / 0\n")
    assert "ZeroDivisionError" in run("serve", script).output
    script.write_text("script = 7\n")
    assert run("serve", script).exit_code == 2


def test_verify_and_drift(start, run, tape, tmp_path):
    _, listening = start("serve", tape)
    good = run("verify", tape, listening["url"])
    assert (good.exit_code, good.output) == (0, "1 connection, 2 messages: as on the tape.\n")
    other = tmp_path / "other.jsonl"
    other.write_text(tape.read_text().replace("12.5", '"x"').replace("spelling", "word"))
    bad = run("verify", other, listening["url"])
    assert bad.exit_code == 1
    assert "$.price: expected 'x', got 12.5" in bad.output
    drift = run("verify", other, listening["url"], "--drift")
    assert drift.exit_code == 1
    assert "$.price was 'x', is 12.5" in drift.output
    assert "$.odd was 'word', is 'spelling'" in drift.output
    shape = run("verify", other, listening["url"], "--shape", "--json")
    events = [json.loads(line) for line in shape.output.splitlines()]
    assert [change["path"] for event in events[:-1] for change in event["changes"]] == ["$.price"]


def test_verify_of_nobody_cannot_tell(run, tape):
    result = run("verify", tape, "ws://127.0.0.1:1")
    assert result.exit_code == 2
    assert "nobody listens" in result.output
    assert result.output.endswith("\nIt could not be found out whether the server is as on the tape.\n")
    assert run("verify", tape, "http://127.0.0.1:1").exit_code == 2
    assert "'Name: value'" in run("verify", tape, "--header", "nothing").output


@pytest.mark.parametrize("how", [[], ["--drift"], ["--shape"]])
def test_verify_of_nobody_is_neither_ok_nor_not(run, tape, how):
    result = run("verify", tape, "ws://127.0.0.1:1", "--json", *how)
    finding, told = map(json.loads, result.output.splitlines())
    assert (finding["kind"], finding["advice"]) == ("NotConnected", "")
    assert (result.exit_code, told["event"], told["ok"], told["findings"]) == (2, "result", None, 1)
    assert "not as on the tape" not in run("verify", tape, "ws://127.0.0.1:1", *how).output


@pytest.mark.parametrize("how", [[], ["--drift"]])
def test_verify_of_who_is_gone_after_it_said_something_else(run, tape, how):
    """One connection tells that the server is not as on the tape, whatever the other would have told."""
    second = [line.replace('"connection":1', '"connection":2') for line in LINES[1:]]
    tape.write_text("\n".join([*LINES[:2], second[0], *LINES[2:], *second[1:]]) + "\n")
    with WebSocketServer(Plan().play(Script().expect(str).send("other").close()).refuse()) as server:
        result = run("verify", tape, server.url, *how)
        server.close(check=None)
    assert "nobody listens" in result.output
    assert result.exit_code == 1, result.output
    assert "not as on the tape" in result.output


def test_show(run, tape):
    shown = run("show", tape).output.splitlines()
    assert shown[0] == f"{tape}  websocket  ws://example.com"
    assert shown[1].endswith("→ connects /feed?x=1")
    assert shown[3].endswith('0.020 s  → {"id": 7, "subscribe": "BTC"}')
    assert shown[-1].endswith("→ close 1000")


def test_show_has_all_connections_on_one_clock(run, tape):
    second = [line.replace('"connection":1', '"connection":2').replace('"at":0,', '"at":10.5,') for line in LINES[1:4]]
    tape.write_text("\n".join(LINES + second) + "\n")
    shown = run("show", tape, "--connection", "2").output.splitlines()[1:]
    assert [line.partition(" s")[0].split()[-1] for line in shown] == ["10.500", "10.510", "10.520"]
    assert "10.520 s  →" in run("show", tape, "--last", "1").output
    assert run("show", tape, "--connection", "2", "--json").output.splitlines() == second


def test_show_filters(run, tape):
    lines = run("show", tape, "--from", "server", "--kind", "message", "--grep", "price", "--json").output.splitlines()
    assert lines == [LINES[4]]
    assert run("show", tape, "--last", "1", "--json").output.splitlines() == [LINES[-1]]
    assert run("show", tape, "--connection", "2", "--json").output == ""
    assert run("show", tape, "--grep", "(").exit_code == 2


def test_show_writes_half_a_character_as_it_is_on_the_tape(tape):
    half = LINES[3].partition('"json"')[0] + r'"text":"a\ud800b"}'
    tape.write_text("\n".join([*LINES[:2], half]) + "\n")
    for how, told in (("--json", half), ("--full", r"'a\ud800b'")):
        command = [sys.executable, "-m", "farend", "show", str(tape), "--last", "1", how]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(told + "\n")


def test_show_tells_of_a_torn_line_and_of_what_is_no_tape(run, tape, tmp_path):
    tape.write_text(tape.read_text()[:-20])
    said = f"Warning: {tape}, line 9: it is cut off, and was left away"
    assert said in run("show", tape).output
    assert said in run("script", tape).output
    assert said in run("replay", tape, "--deadline", "0.01").output
    assert said in run("verify", tape, "ws://127.0.0.1:1", "--deadline", "0.01").output
    (tmp_path / "none.jsonl").write_text("hello\n")
    result = run("show", tmp_path / "none.jsonl")
    assert (result.exit_code, "is no tape" in result.output) == (2, True)
    assert run("show", tmp_path / "nowhere.jsonl").exit_code == 2


@pytest.mark.parametrize("command", ["show", "script", "verify", "replay"])
def test_a_line_that_is_too_long_is_told_with_what_helps(run, tape, command):
    result = run(command, tape, "--max-line", 80)
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert "longer than 80 bytes; if it is meant to be, read it with a larger max_line=" in said
    assert "(on the command line: --max-line)" in said


def test_show_follows_a_tape_that_grows(tape):
    command = [sys.executable, "-u", "-m", "farend", "show", str(tape), "--follow", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert [process.stdout.readline().strip() for _ in LINES[1:]] == LINES[1:]
        more = LINES[3].replace("BTC", "ETH")
        with tape.open("a") as file:
            file.write(more[:20])
            file.flush()
            file.write(more[20:] + "\n")
        assert process.stdout.readline().strip() == more
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def test_show_follows_a_tape_that_is_recorded_anew(tape):
    command = [sys.executable, "-u", "-m", "farend", "show", str(tape), "--follow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        heads = [process.stdout.readline() for _ in LINES]
        assert heads[0].startswith(str(tape))
        with TapeWriter(tape, "websocket", target="wss://other.example") as again:
            assert "wss://other.example" in process.stdout.readline()
            again.write(Line(1, Kind.MESSAGE, "client", 0.5, "once more"))
            assert "once more" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("parts", [1, 2, 3], ids="told in {} parts".format)
def test_show_follows_a_tape_beyond_the_end_of_its_recording(run, tmp_path, monkeypatch, parts):
    """What is much stands beside the tape, and then on it: all of it is told, and nothing twice."""
    path = tmp_path / "feed.jsonl"
    much = "".join(f'{{"n":{number}}}\n' for number in range(5_000))
    said = ["first", much, "second", "third", much, "last"]
    recorder = Recorder(path, "tcp", now=0.0)
    connection = recorder.connection(0.0)

    def say(*payloads):
        for payload in payloads:
            connection.data(0.0, "client", payload.encode())
        if payloads[-1] == "last":
            recorder.close()

    def stop():
        raise KeyboardInterrupt

    size = len(said) // parts
    looks = iter([*(partial(say, *said[at : at + size]) for at in range(0, len(said), size)), stop])
    monkeypatch.setattr("farend.cli.show.time", SimpleNamespace(sleep=lambda _: next(looks)()))
    result = run("show", path, "--follow", "--json")
    assert result.exit_code == 0, result.output
    lines = [parsed_line(line, "tcp", 0, "") for line in result.stdout.splitlines()]
    assert b"".join(line.payload for line in lines).decode() == "".join(said)


def test_a_script_from_a_tape_is_a_test_that_passes(run, tape, tmp_path):
    file = tmp_path / "test_feed.py"
    assert run("script", tape, "-o", file).exit_code == 0
    source = file.read_text()
    assert ".expect(json({'id': 7, 'subscribe': 'BTC'}, partial=False))" in source
    assert ".send(json={'id': 7, 'price': 12.5})" in source
    assert """.send('{"odd" : "spelling"}')""" in source
    names = {"__name__": "test_feed"}
    exec(compile(source, str(file), "exec"), names)
    names["test_feed"]()
    again = run("script", tape, "-o", file)
    assert (again.exit_code, "--force replaces it" in again.output) == (2, True)
    assert run("script", tape).output == source
    assert "there is 1" in run("script", tape, "--connection", "3").output


def test_a_script_has_long_messages_on_several_lines_and_no_names_that_python_lacks(run, tmp_path):
    tape = tmp_path / "feed.jsonl"
    said = [json.dumps({"list": [*range(40)], "of": {"a": 1}}), '{"odd": NaN}']
    lines = [{"connection": 1, "kind": "message", "from": "client", "text": one} for one in said]
    connect = {"connection": 1, "kind": "connect", "from": "client", "target": "/"}
    tape.write_text("\n".join(map(json.dumps, [{"tape": 1, "wire": "websocket"}, connect, *lines])) + "\n")
    source = run("script", tape).output
    assert "    .expect(json({\n        'list': [\n            0,\n            1,\n" in source
    assert "        ],\n        'of': {'a': 1},\n    }, partial=False))\n" in source
    assert """    .expect('{"odd": NaN}')\n""" in source
    names = {"__name__": "test_feed"}
    exec(compile(source, "test_feed.py", "exec"), names)
    names["test_feed"]()


def test_a_script_from_a_tape_of_tcp(run, tmp_path):
    tape = tmp_path / "redis.jsonl"
    tape.write_text(
        '{"tape":1,"wire":"tcp"}\n'
        '{"connection":1,"kind":"message","from":"client","text":"PING\\n"}\n'
        '{"connection":1,"kind":"message","from":"server","base64":"AAE="}\n'
        '{"connection":1,"kind":"end","from":"client"}\n'
    )
    source = run("script", tape).output
    assert r".expect(b'PING\n')" in source
    names = {"__name__": "test_redis"}
    exec(compile(source, "test_redis.py", "exec"), names)
    names["test_redis"]()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")
@pytest.mark.parametrize(
    "command", [["show"], ["show", "--json"], ["script"], ["serve"], ["verify"], ["verify", "--json"]], ids=" ".join
)
def test_output_that_cannot_be_written_is_told_in_a_line(start, tape, command):
    name, *options = command
    target = [start("serve", tape)[1]["url"]] if name == "verify" else []
    told = [sys.executable, "-m", "farend", name, tape, *target, *options]
    with open("/dev/full", "w") as full:
        done = subprocess.run(told, stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


def test_who_has_read_enough_of_a_tape_is_no_error(tape):
    command = [sys.executable, "-m", "farend", "show", str(tape), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell):
    assert "_FAREND_COMPLETE" in run("completion", shell).output


def test_completion_knows_the_commands():
    from click.shell_completion import BashComplete

    complete = BashComplete(main, {}, "farend", "_FAREND_COMPLETE")
    assert [item.value for item in complete.get_completions([], "re")] == ["record", "replay"]
