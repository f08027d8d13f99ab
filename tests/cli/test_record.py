"""`farend record`, as a program that is run: what it says, what it writes, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
import trustme
from click.testing import CliRunner
from websockets.sync.client import connect

from farend import Script, TapeReader, TcpServer, WebSocketServer
from farend.cli import main


def farend(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "farend", "record", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def payloads(path):
    with TapeReader(path) as tape:
        return [line.payload for line in tape if line.kind == "message"]


@pytest.fixture
def tape(tmp_path):
    return tmp_path / "feed.jsonl"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_records_until_it_is_told_to_stop(tape, tmp_path, number):
    port_file = tmp_path / "port"
    with WebSocketServer(Script().expect('{"account": 7}').send("there")) as server:
        with farend(server.url, "--tape", tape, "--port-file", port_file, "--redact", "account") as program:
            first = program.stdout.readline()
            port = int(program.stdout.readline().removeprefix("port "))
            assert first == (
                f"Point your client at ws://127.0.0.1:{port}, which records {server.url} on {tape}. Ctrl-C ends it.\n"
            )
            assert port_file.read_text() == f"{port}\n"
            with connect(f"ws://127.0.0.1:{port}") as client:
                client.send('{"account": 7}')
                assert client.recv() == "there"
            program.send_signal(number)
            out, err = program.communicate(timeout=30)
    assert (program.returncode, err) == (0, "")
    assert out.startswith(f"{tape}: 1 connection, ")
    assert payloads(tape) == ['{"account": "<secret:account:1>"}', "there"]


def test_machines_read_json(tape):
    with TcpServer(Script().expect(b"token=x\n").send(b"y")) as server:
        with farend(server.url, "--tape", tape, "--json", "--connections", 1, "--no-redact", "--no-times") as program:
            begin = json.loads(program.stdout.readline())
            assert begin == {
                "event": "listening",
                "url": f"tcp://127.0.0.1:{begin['port']}",
                "port": begin["port"],
                "target": server.url,
                "tape": str(tape),
            }
            with socket.create_connection(("127.0.0.1", begin["port"]), 10) as client:
                client.sendall(b"token=x\n")
                assert client.recv(1) == b"y"
            out, err = program.communicate(timeout=30)  # it ends by itself
    assert (program.returncode, err) == (0, "")
    end = json.loads(out)
    assert end | {"lines": 0} == {"event": "ended", "tape": str(tape), "connections": 1, "lines": 0, "problems": []}
    assert payloads(tape) == [b"token=x\n", b"y"]
    assert '"at"' not in tape.read_text()


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_what_went_wrong_makes_the_exit_status(tape, flags):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with farend(f"tcp://127.0.0.1:{port}", "--tape", tape, "--connections", 1, *flags) as program:
        first = program.stdout.readline()
        own = json.loads(first)["port"] if flags else int(program.stdout.readline().split()[1])
        try:
            with socket.create_connection(("127.0.0.1", own), 10) as client:
                client.recv(1)
        except ConnectionResetError:
            pass
        out, err = program.communicate(timeout=30)
    assert program.returncode == 1
    problem = f"the server at tcp://127.0.0.1:{port} was not reached: nobody listens at 127.0.0.1:{port}"
    if flags:
        assert json.loads(out)["problems"] == [{"kind": "AddressError", "text": problem}]
    else:
        assert err == f"Error: {problem}\n"


def test_it_ends_after_some_seconds(tape):
    result = CliRunner().invoke(main, ["record", "ws://127.0.0.1:1", "--tape", str(tape), "--seconds", "0.01"])
    assert result.exit_code == 0
    assert result.output.endswith(f"{tape}: 0 connections, 0 lines.\n")


def test_a_tape_that_is_there_is_not_replaced_unasked(tape):
    tape.write_text("mine")
    arguments = ["record", "ws://127.0.0.1:1", "--tape", str(tape), "--seconds", "0.01"]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, tape.read_text()) == (2, "mine")
    assert "is there already; --force replaces it" in result.output
    assert CliRunner().invoke(main, [*arguments, "--force"]).exit_code == 0
    assert tape.read_text() != "mine"
    for nothing in ("", '{"tape":1,"wire":"tcp"}\n'):  # as far as an earlier try had come
        tape.write_text(nothing)
        assert CliRunner().invoke(main, arguments).exit_code == 0
    tape.write_text(tape.read_text() + '{"connection":1,"kind":"end","from":"client"}\n')
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["http://x"], "write ws://x"),
        (["ws://x", "--host", "nowhere"], "--host 'nowhere' is no address of this machine"),
        (["ws://x", "--redact", "-"], "'-' is no name of a secret"),
        (["wss://x", "--ca-file", "/nowhere/ca.pem"], "/nowhere/ca.pem holds no certificates: No such file"),
        (["ws://x", "--port-file", "/nowhere/port"], "/nowhere/port cannot be written: No such file"),
    ],
)
def test_mistakes_are_errors_in_a_line(tape, arguments, text):
    result = CliRunner().invoke(main, ["record", *arguments, "--tape", str(tape), "--seconds", "0.01"])
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert text in result.output


def test_a_folder_that_is_not_there(tmp_path):
    result = CliRunner().invoke(main, ["record", "ws://x", "--tape", str(tmp_path / "a" / "b.jsonl")])
    assert result.exit_code == 2
    assert "b.jsonl cannot be written: No such file or directory" in result.output


def test_help_has_examples():
    result = CliRunner().invoke(main, ["record", "--help"])
    assert "farend record wss://echo.websocket.org --tape echo.jsonl" in result.output


@pytest.mark.parametrize("how", ["--insecure", "--ca-file"])
def test_certificates(tape, tmp_path, how):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    flags = [how] if how == "--insecure" else [how, tmp_path / "ca.pem"]
    with WebSocketServer(Script().expect("hello").send("there"), tls=context) as server:
        with farend(server.url, "--tape", tape, "--json", "--connections", 1, *flags) as program:
            with connect(json.loads(program.stdout.readline())["url"]) as client:
                client.send("hello")
                assert client.recv() == "there"
            _, err = program.communicate(timeout=30)
    assert (program.returncode, err) == (0, "")
    assert payloads(tape) == ["hello", "there"]


def test_progress_is_for_terminals(monkeypatch, capsys):
    from farend.cli import recording as record

    class Proxy:
        connections, lines, put_together = 1, 2000, 0.0

    assert record._progress(Proxy, "before") == "before"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    shown = record._progress(Proxy, "")
    assert shown == "1 connection, 2,000 lines"
    assert record._progress(Proxy, shown) == shown
    assert capsys.readouterr().err.count("2,000 lines") == 1
    Proxy.put_together = 0.25
    assert record._progress(Proxy, shown) == "the tape is put together: 25%"
    assert capsys.readouterr().err.startswith("\rthe tape is put together: 25%")


def test_a_tape_that_cannot_be_written_is_told_at_once(monkeypatch, capsys):
    import asyncio

    from farend.cli import recording as record

    class Proxy:
        connections, lines, put_together = 1, 2000, 0.0
        tape_error: Exception | None = None

    async def main():
        proxy, turns = Proxy(), iter([None, (error := OSError(28, "the tape is full")), error, error])
        real = asyncio.sleep

        async def sleep(seconds):
            proxy.tape_error = next(turns, error)
            await real(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        async with record._watched(proxy):
            for _ in range(10):
                await real(0)

    asyncio.run(main())
    assert capsys.readouterr().err == "Warning: the tape is full\n"


def test_each_problem_is_told_once(monkeypatch, capsys, tape):
    from farend.cli import recording as record
    from farend.cli.options import Voice

    class Proxy:
        connections, lines, server = 1, 2, "tcp://example.com:7"
        problems = (ValueError("the first"), ValueError("the second"))

    Proxy.problems[0].add_note("and: the second")  # for who has it raised
    wish = type("Wish", (), {"tape": tape, "told": {}})
    record._report(Proxy, wish, Voice(False))
    assert capsys.readouterr().err == "Error: the first\nError: the second\n"


def test_much_is_put_together_on_the_way_out(tmp_path):
    tape = tmp_path / "tape.jsonl"
    said = b"0123456789abcde\n" * 1_000_000
    with TcpServer(Script().expect(said)) as server:
        with farend(server.url, "--tape", tape, "--json", "--connections", 1) as program:
            with socket.create_connection(("127.0.0.1", json.loads(program.stdout.readline())["port"]), 30) as client:
                client.sendall(said)
            out, err = program.communicate(timeout=60)
    assert (program.returncode, err) == (0, "")
    assert b"".join(payloads(tape)) == said
    assert [*tmp_path.iterdir()] == [tape]
    assert json.loads(out)["lines"] == len(tape.read_text().splitlines()) - 1
