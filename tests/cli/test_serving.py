"""The commands that listen, in this process: a client in a thread is told the port as soon as there is one."""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import socket
import ssl
import sys
import threading

import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from farend import Script, TapeReader, TcpServer
from farend.cli import main, options
from farend.stage import tls
from farend.tape.format import MAX_LINE

LINES = [
    '{"tape":1,"wire":"websocket"}',
    '{"connection":1,"kind":"connect","from":"client","target":"/"}',
    '{"connection":1,"kind":"message","from":"client","text":"hello"}',
    '{"connection":1,"kind":"message","from":"server","text":"there"}',
]
PATIENCE = 60.0


@pytest.fixture
def tape(tmp_path):
    path = tmp_path / "hello.jsonl"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def run(monkeypatch):
    """Run a command, and in a thread what a client does at its port; gives the result."""
    ports: queue.Queue[int] = queue.Queue()
    tell = options.Listening.tell

    def told(self, port):
        tell(self, port)
        ports.put(port)

    monkeypatch.setattr(options.Listening, "tell", told)

    def run(client, *arguments):
        raised = []

        def meet():
            try:
                client(ports.get(timeout=PATIENCE))
            except BaseException as error:
                raised.append(error)
                end(0)

        thread = threading.Thread(target=meet)
        thread.start()
        result = CliRunner().invoke(main, [str(one) for one in arguments])
        thread.join(PATIENCE)
        assert not raised, (raised, result.output)
        return result

    return run


def end(_port):
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def greet(port, said="hello"):
    with connect(f"ws://127.0.0.1:{port}") as client:
        client.send(said)
        return client.recv(timeout=PATIENCE)


def test_replay_ends_once_all_was_played(run, tape, tmp_path):
    port_file = tmp_path / "port"
    result = run(greet, "replay", tape, "--port-file", port_file)
    assert result.exit_code == 0, result.output
    assert f"Listening on ws://127.0.0.1:{port_file.read_text().strip()} (Ctrl-C ends it)" in result.output
    assert result.output.endswith("1 connection, 0 findings.\n")


def test_replay_tells_what_was_found(run, tape):
    def other(port):
        with connect(f"ws://127.0.0.1:{port}") as client:
            client.send("goodbye")

    result = run(other, "replay", tape)
    assert result.exit_code == 1
    assert "Expected 'hello', got 'goodbye'" in result.output
    assert result.output.endswith("1 connection, 1 finding.\n")


@pytest.mark.parametrize("command", ["replay", "serve"])
def test_what_was_found_is_told_as_json_with_what_was_expected_and_what_came(run, tape, command):
    def other(port):
        with connect(f"ws://127.0.0.1:{port}") as client:
            client.send("hallo")
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=PATIENCE)
        if command == "serve":
            end(port)

    result = run(other, command, tape, "--json")
    assert result.exit_code == 1, result.output
    _, finding, _ = map(json.loads, result.output.splitlines())
    assert (finding["event"], finding["kind"], finding["step"]) == ("finding", "Mismatch", 2)
    assert (finding["expected"], finding["got"]) == ("'hello'", "'hallo'")


def test_half_a_character_in_json_is_told_as_json(run, tape):
    tape.write_text(tape.read_text().replace('"text":"hello"', '"json":{"name": "x"}'))

    def other(port):
        with connect(f"ws://127.0.0.1:{port}") as client:
            client.send('{"name": "\\ud800"}')
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=PATIENCE)

    result = run(other, "replay", tape, "--json")
    assert result.exit_code == 1, result.exception
    finding = json.loads(result.output.splitlines()[1])
    assert finding["changes"] == [{"path": "$.name", "what": "changed", "expected": "x", "got": "\ud800"}]
    assert run(other, "replay", tape).exit_code == 1


def test_ctrl_c_ends_a_replay_that_nobody_came_to(run, tape):
    result = run(end, "replay", tape, "--json")
    assert result.exit_code == 1
    listening, finding, ended = map(json.loads, result.output.splitlines())
    assert listening["event"] == "listening"
    assert finding["event"] == "finding"
    assert ended == {"event": "result", "ok": False, "connections": 0, "findings": 1}


def test_ctrl_c_ends_a_replay_with_the_connections_that_did_not_come(run, tape):
    tape.write_text(
        tape.read_text() + "\n".join(line.replace('"connection":1', '"connection":2') for line in LINES[1:])
    )

    def once(port):
        assert greet(port) == "there"
        end(port)

    result = run(once, "replay", tape)
    assert result.exit_code == 1, result.output
    assert result.output.endswith("1 connection, 1 finding.\n")


def test_serve_goes_on_until_ctrl_c(run, tape):
    def twice(port):
        assert [greet(port), greet(port)] == ["there", "there"]
        end(port)

    result = run(twice, "serve", tape)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "2 connections, 0 findings."), result.output


def test_serve_with_tls_and_an_authority_to_trust(run, tmp_path):
    script, authority = tmp_path / "server.py", tmp_path / "ca.pem"
    script.write_text("from farend import Script\nscript = Script().send(b'welcome\\n')\n")

    def client(port):
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as sock:
                assert sock.recv(8) == b"welcome\n"
        end(port)

    result = run(client, "serve", script, "--tcp", "--tls", "--ca-to", authority)
    assert result.exit_code == 0, result.output


def test_record_with_tls_and_an_authority_to_trust(run, tmp_path):
    tape, authority = tmp_path / "tape.jsonl", tmp_path / "ca.pem"
    with TcpServer(Script().send(b"welcome\n")) as server:

        def client(port):
            context = ssl.create_default_context(cafile=authority)
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as sock:
                    assert sock.recv(8) == b"welcome\n"

        command = ("record", server.url, "--tape", tape, "--tls", "--ca-to", authority, "--connections", 1)
        result = run(client, *command)
    assert result.exit_code == 0, result.output
    assert "Point your client at tls://127.0.0.1:" in result.output
    with TapeReader(tape) as lines:
        assert [line.payload for line in lines if line.payload] == [b"welcome\n"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--ca-to", "ca.pem"), "it goes with --tls"),
        (("--tls", "--ca-to", "/nowhere/ca.pem"), "/nowhere/ca.pem cannot be written: No such file"),
        (("--port-file", "/nowhere/port"), "/nowhere/port cannot be written: No such file"),
        (("--deadline", "soon"), "--deadline takes a number of seconds above 0, or 'none', not 'soon'"),
        (("--host", "nowhere"), "--host 'nowhere' is no address of this machine"),
        (("--ignore", "id"), "id"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "replay"])
def test_what_cannot_be_done_is_told_with_2(tape, command, arguments, told):
    result = CliRunner().invoke(main, [command, str(tape), *arguments])
    assert result.exit_code == 2, result.output
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert told in result.output


@pytest.fixture
def listens(tape, tmp_path):
    """What each command that listens is called with."""
    anywhere = "ws://127.0.0.1:1"
    return {
        "serve": ["serve", tape],
        "replay": ["replay", tape],
        "record": ["record", anywhere, "--tape", tmp_path / "new.jsonl"],
        "proxy": ["proxy", anywhere],
        "check-client": ["check-client", "--only", "rsv2"],
    }


@pytest.mark.parametrize("command", ["serve", "replay", "record", "proxy", "check-client"])
@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this machine; leave --host out to listen on 127.0.0.1"),
        ("nowhere", "--host 'nowhere' is no address of this machine: "),
    ],
)
def test_a_host_is_told_of_as_the_option_that_it_is(listens, command, host, told):
    client = ["--", "true", "{url}"] if command == "check-client" else []
    result = CliRunner().invoke(main, [*map(str, listens[command]), "--host", host, *client])
    assert result.exit_code == 2, result.output
    assert result.output.startswith(f"Error: {told}")


@pytest.mark.parametrize("command", ["serve", "replay", "record", "proxy"])
def test_a_port_is_told_of_as_the_option_that_it_is(listens, command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, [*map(str, listens[command]), "--port", str(port)])
    assert result.exit_code == 2
    assert result.output == (
        f"Error: port {port} on 127.0.0.1 is taken: another program, or another far end, listens there. "
        "Leave --port out, and give your client the port that is printed\n"
    )


@pytest.mark.parametrize("command", ["serve", "replay", "record", "proxy"])
def test_a_port_for_root_alone_is_told_of_as_an_option(listens, command, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("farend.stage.listening.Listener.bind", refused)
    result = CliRunner().invoke(main, [*map(str, listens[command]), "--port", "80"])
    assert result.exit_code == 2
    assert result.output.endswith("Leave --port out, or take one above 1023\n")


@pytest.mark.parametrize("command", ["serve", "replay", "record", "proxy"])
def test_tls_is_told_of_as_the_option_that_it_is(listens, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.setattr("farend.stage.tls.authority", tls.authority.__wrapped__)  # one may have been made before
    monkeypatch.setattr("farend.stage.tls.server_context", tls.server_context.__wrapped__)
    result = CliRunner().invoke(main, [*map(str, listens[command]), "--tls"])
    assert result.exit_code == 2, result.output
    assert result.output.startswith("Error: --tls needs trustme"), result.output


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--strict"], "--strict"),
        (["--ignore", "$.id"], "--ignore"),
        (["--no-correlate", "--lines"], "--no-correlate, --lines"),
        (["--max-line", str(MAX_LINE), "--allow-unplayed", "*ping*"], "--allow-unplayed, --max-line"),
    ],
)
def test_serve_refuses_for_a_script_what_only_a_tape_has(tmp_path, given, named):
    script = tmp_path / "server.py"
    script.write_text("raise AssertionError('not run')")
    result = CliRunner().invoke(main, ["serve", str(script), "--tcp", *given])
    assert result.exit_code == 2
    assert result.output == (
        f"Error: {script} is a script, and {named} is for a tape alone: how it is read and compared. Leave that out, "
        "and write into the script's steps what the client may say\n"
    )
