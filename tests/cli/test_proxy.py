"""`farend proxy`, as a program that is run, and the faults that it is told."""

import json
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from farend import CutAfter, Duplicate, Garbage, Latency, NoCloseFrame, Script, Segments, SlowReader, TcpServer
from farend.cli import main
from farend.cli.faults import NAMES, FaultParameter, help_text, parsed
from farend.core.faults import FAULTS


def farend(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "farend", "proxy", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_stands_between_until_it_is_told_to_stop():
    with TcpServer(Script().expect(b"a").send(b"hello").expect_close()) as server:
        with farend(server.url, "--fault", "cut-after:3,end", "--fault", "latency:0.01") as program:
            first = program.stdout.readline()
            port = int(program.stdout.readline().removeprefix("port "))
            assert first == (
                f"Point your client at tcp://127.0.0.1:{port}, in front of {server.url}, with cut after 3 bytes, with "
                "the end of the stream; latency 0.01 s. Ctrl-C ends it.\n"
            )
            with socket.create_connection(("127.0.0.1", port), 20) as client:
                client.sendall(b"a")
                assert client.recv(100) == b"hel"
                assert client.recv(100) == b""
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=30)
    assert (program.returncode, out, err) == (0, f"{server.url}: 1 connection.\n", "")


def test_machines_read_json_and_a_tape_is_recorded_beside(tmp_path):
    tape = tmp_path / "broken.jsonl"
    with TcpServer(Script().expect(b"a").send(b"b")) as server:
        options = ("--fault", "byte-at-a-time", "--tape", tape, "--json", "--connections", 1)
        with farend(server.url, *options) as program:
            begin = json.loads(program.stdout.readline())
            assert begin["faults"] == ["byte at a time"]
            assert begin["tape"] == str(tape)
            with socket.create_connection(("127.0.0.1", begin["port"]), 20) as client:
                client.sendall(b"a")
                assert client.recv(1) == b"b"
            out, err = program.communicate(timeout=30)
    assert (program.returncode, err) == (0, "")
    end = json.loads(out)
    assert (end["connections"], end["faults"], end["problems"]) == (1, ["byte at a time"], [])
    assert end["lines"] == len(tape.read_text().splitlines()) - 1


def test_with_no_fault_it_says_so():
    result = CliRunner().invoke(main, ["proxy", "tcp://127.0.0.1:1", "--seconds", "0.01"])
    assert result.exit_code == 0
    assert ", in front of tcp://127.0.0.1:1, with no faults. Ctrl-C ends it." in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tcp://127.0.0.1:1", "--fault", "latncy:1"], "there is no fault called 'latncy'; did you mean latency?"),
        (["tcp://127.0.0.1:1", "--fault", "xyz"], "there are latency, bandwidth, "),
        (["tcp://127.0.0.1:1", "--fault", "latency:-1"], "a number of seconds is 0 or more"),
        (["tcp://127.0.0.1:1", "--fault", "latency:soon"], "takes a number of seconds, not 'soon'"),
        (["tcp://127.0.0.1:1", "--fault", "latency"], "latency takes seconds, jitter, seed=, to="),
        (["tcp://127.0.0.1:1", "--fault", "reset:1,2"], "reset takes after"),
        (["tcp://127.0.0.1:1", "--fault", "reset:when=1"], "reset takes after"),
        (["tcp://127.0.0.1:1", "--fault", "duplicate"], "cannot be done by a proxy for TCP"),
        (["tcp://127.0.0.1:1", "--fault", "latency:1", "--fault", "latency:2"], "contradict each other"),
        (["http://127.0.0.1:1"], "write ws://127.0.0.1:1"),
        (["tcp://127.0.0.1:1", "--tape", __file__], "is there already; --force replaces it"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(arguments, text):
    result = CliRunner().invoke(main, ["proxy", *arguments])
    assert result.exit_code == 2
    assert text in result.output.replace("\n", " ")


def test_faults_are_written_as_they_are_called():
    assert set(NAMES.values()) == set(FAULTS)
    assert parsed("latency:0.05,jitter=0.01,to=both") == Latency(0.05, 0.01, to="both")
    assert parsed("cut-after:100,end,to=far") == CutAfter(100, "end", to="far")
    assert parsed("no-close-frame") == NoCloseFrame()
    assert parsed("slow-reader") == SlowReader()
    assert parsed("segments:1+2, 0.5") == Segments((1, 2), 0.5)
    assert parsed("duplicate:at=2+4") == Duplicate(at=(2, 4))
    assert parsed("garbage:xyz,at=3") == Garbage(b"xyz", at=3)
    assert FaultParameter().convert(Latency(1), None, None) == Latency(1)


def test_the_help_names_every_fault_and_what_it_takes():
    text = CliRunner().invoke(main, ["proxy", "--help"]).output
    for line in help_text().splitlines():
        assert line.strip() in text
    assert "farend proxy ws://localhost:8000/feed --fault latency:0.2,jitter=0.05,to=both" in text
