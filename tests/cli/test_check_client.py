"""`farend check-client`, as a program of its own: clients that do well, badly, and nothing at all; Ctrl-C, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from farend.cli import checking, main
from farend.core.malformed import CASES
from farend.core.reactions import PROBE

PATIENCE = 100.0
CLIENTS = Path(__file__).resolve().parents[1] / "clients"
WELL = (sys.executable, str(CLIENTS / "websockets_sync.py"), "{url}")
STAYS = """
import sys, time
from websockets.sync.client import connect
client = connect(sys.argv[1])
client.send(client.recv())
client.send(client.recv())
print("here", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, ["check-client", *map(str, arguments)])


def program(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "farend", "check-client", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# -- what is checked ------------------------------------------------------------------------------------


def test_a_client_that_does_well(run):
    done = run("--only", "rsv2", "--only", "5.1", "--", *WELL)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["verdict", "case"],
        ["ok", "masked-frame"],
        ["ok", "masked-ping"],
        ["ok", "rsv2"],
        ["3", "cases:"],
    ]
    assert lines[1] == "ok       masked-frame  5.1     closed with 1002"
    assert lines[-1] == "3 cases: 3 ok."


def test_what_should_be_done_fails_a_strict_check_alone(run):
    only = ("--only", "length-16-not-minimal")
    done = run(*only, "--", *WELL)
    assert done.exit_code == 0, done.output
    assert "non-strict  length-16-not-minimal  5.2, 10.7  handed 'short' to the application" in done.output
    assert done.output.splitlines()[1].endswith("  SHOULD fail the connection (1002)")
    assert run("--strict", *only, "--", *WELL).exit_code == 1


def test_a_client_that_does_badly_is_told_as_json_too(run):
    done = run("--json", "--jobs", 2, "--only", "masked-frame", "--only", "rsv1", "--", *python("websocket_client"))
    assert done.exit_code == 1, done.output
    *cases, last = [json.loads(line) for line in done.output.splitlines()]
    by_name = {case["name"]: case for case in cases}
    assert by_name["masked-frame"]["verdict"] == "failed"
    assert by_name["masked-frame"]["seen"] == "handed 'masked' to the application"
    assert by_name["masked-frame"]["clause"] == "RFC 6455, 5.1"
    assert by_name["masked-frame"]["asked"] == "MUST fail the connection (1002)"
    assert by_name["rsv1"]["verdict"] == "non-strict"
    assert by_name["rsv1"]["code"] == 1000
    assert (last["event"], last["ok"], last["cases"]) == ("result", False, 2)
    assert last["verdicts"]["failed"] == last["verdicts"]["non-strict"] == 1


def python(name):
    return sys.executable, str(CLIENTS / f"{name}.py"), "{url}"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["websockets_asyncio", "aiohttp_client", "websocket_client", "chromium"])
def test_the_clients_that_the_docs_tell_of(run, name):
    if name == "chromium":
        import shutil

        if not any(shutil.which(one) for one in ("chromium", "chromium-browser", "google-chrome")):
            pytest.skip("Chromium is not installed")
    only = ("wrong-accept", "ping-between-fragments", "rsv2")
    chosen = [part for one in only for part in ("--only", one)]
    done = run("--json", "--deadline", 30, "--start", 60, "--jobs", 3, *chosen, "--", *python(name))
    assert done.exit_code == 0, done.output
    verdicts = {case["name"]: case["verdict"] for case in map(json.loads, done.output.splitlines()[:-1])}
    rsv2 = "non-strict" if name == "websocket_client" else "ok"
    assert verdicts == dict.fromkeys(only, "ok") | {"rsv2": rsv2}


def test_a_command_that_ends_without_connecting_in_one_case(run, tmp_path):
    """Only the control run is answered; the command's output is there for who looks for the reason."""
    script = tmp_path / "client.py"
    script.write_text(
        "import sys, runpy\n"
        "if sys.argv[2] == 'rsv1': sys.exit('out of order')\n"
        f"runpy.run_path({str(CLIENTS / 'websockets_sync.py')!r}, run_name='__main__')\n"
    )
    done = run("--json", "--only", "rsv1", "--", sys.executable, script, "{url}", "{case}")
    assert done.exit_code == 1, done.output
    case = json.loads(done.output.splitlines()[0])
    assert case["verdict"] == "absent"
    assert case["seen"] == "did not connect, and its command ended with status 1"
    assert case["output"] == ["out of order"]


# -- what cannot be checked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "which client? Write its command behind --: farend check-client -- python my_client.py {url}"),
        (["--", "python", "client.py"], "put {url} into its command: python client.py {url}"),
        (["--", "no-such-program", "{url}"], "no-such-program cannot be run: there is no such program"),
        (["--only", "masked-fram", "--", *WELL], "did you mean 'masked-frame'?"),
        (["--only", "9.9", "--list"], "no malformed frame is called '9.9'"),
        (["--deadline", "0", "--", *WELL], "--deadline"),
        (["--jobs", "0", "--", *WELL], "--jobs"),
        (["--host", "192.0.2.1", "--only", "rsv1", "--", *WELL], "192.0.2.1"),
    ],
)
def test_what_cannot_be_is_told_with_status_2(run, arguments, problem):
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert problem in done.output


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("print('I am no client')", "did not connect, and its command ended with status 0"),
        ("from websockets.sync.client import connect; import sys; connect(sys.argv[1]).close()", "did not give back"),
    ],
)
def test_who_sends_nothing_back_cannot_be_checked(run, code, seen):
    done = run("--only", "rsv1", "--", sys.executable, "-c", code, "{url}")
    assert done.exit_code == 2, done.output
    assert f"the client cannot be checked: it {seen}" in done.output
    assert "sends back each message that it gets" in done.output
    assert ("I am no client" in done.output) is ("print" in code)


def test_a_program_that_cannot_be_executed(run, tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    done = run("--only", "rsv1", "--", broken, "{url}")
    assert done.exit_code == 2, done.output
    assert "broken cannot be run: " in done.output


# -- what is told ---------------------------------------------------------------------------------------


def test_the_list(run):
    done = run("--list")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == ["case", *CASES]
    done = run("--list", "--json", "--only", "8.1")
    cases = [json.loads(line) for line in done.output.splitlines()]
    assert all("8.1" in case["clause"] for case in cases)
    assert cases[0].keys() == {"event", "name", "clause", "what", "rule", "asked"}


def test_the_help_has_examples(run):
    done = run("--help")
    assert "farend check-client -- python my_client.py {url}" in done.output
    assert "check-client" in CliRunner().invoke(main, ["--help"]).output


def test_a_terminal_gets_a_table_with_colours(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    rows = [(("failed", "rsv1", "5.2", "went on [sic]", "MUST"), "red")]
    checking._print_table(("verdict", "case", "clause", "what the client did", "what is asked"), rows)
    told = capsys.readouterr().out
    assert "went on [sic]" in told
    assert "verdict" in told


def test_a_terminal_sees_how_far_it_is(monkeypatch):
    from farend.cli.options import Voice

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with checking._progress(2, Voice(False)) as advance:
        advance("rsv1")
    with checking._progress(2, Voice(True)) as advance:
        assert advance("rsv1") is None


# -- Ctrl-C, and what is left behind --------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_command_as_well(tmp_path, number):
    pids = tmp_path / "pids"
    pids.touch()
    script = tmp_path / "client.py"
    second_is_stuck = f"""
import os, time
with open({str(pids)!r}, "a+") as pids:
    print(os.getpid(), file=pids, flush=True)
    pids.seek(0)
    if len(pids.readlines()) > 1:
        time.sleep(1000)
"""
    script.write_text(second_is_stuck + STAYS)
    running = program("--only", "rsv1", "--deadline", 1000, "--", sys.executable, script, "{url}")
    try:
        while len(pids.read_text().splitlines()) < 2:
            assert running.poll() is None, running.communicate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(0.02)
        running.send_signal(number)
        out, err = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, (out, err)
    assert err == "Stopped.\n"
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_command_that_does_not_end_is_ended(run, tmp_path):
    script = tmp_path / "client.py"
    script.write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAYS)
    done = run("--only", "plain-text", "--", sys.executable, script, "{url}")
    assert done.exit_code == 0, done.output
    assert PROBE not in done.output
