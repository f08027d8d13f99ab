"""The command line, as a user meets it."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import farend
from farend.cli import main


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_help_has_examples(run):
    for arguments in (["--help"], ["demo", "-h"]):
        result = run(*arguments)
        assert result.exit_code == 0
    assert "farend demo --only mismatch" in result.output


def test_the_version(run):
    assert run("--version").output == f"farend {farend.__version__}\n"


def test_a_scene_that_is_not_there(run):
    result = run("demo", "--only", "circus")
    assert result.exit_code == 2
    assert "'feed', 'device', 'mismatch', 'hang'" in result.output


def test_one_scene(run):
    result = run("demo", "--only", "mismatch")
    assert result.exit_code == 0, result.output
    assert "$.channel: expected 'trades', got 'books'" in result.output
    assert "1 scene on real sockets" in result.output


def test_the_first_test_runs(run, tmp_path):
    file = tmp_path / "test_first.py"
    assert run("demo", "--write", str(file)).exit_code == 0
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "-p",
            "no:asyncio",
            str(file),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert "2 passed" in done.stdout, done.stdout


def test_a_file_is_not_overwritten(run, tmp_path):
    file = tmp_path / "test_first.py"
    file.write_text("mine")
    result = run("demo", "--write", str(file))
    assert result.exit_code == 2
    assert "--force replaces it" in result.output
    assert file.read_text() == "mine"
    assert run("demo", "--write", str(file), "--force").exit_code == 0
    assert "TcpServer" in file.read_text()


def test_a_folder_that_is_not_there(run, tmp_path):
    result = run("demo", "--write", str(tmp_path / "nowhere" / "test_first.py"))
    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in result.output


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")
def test_a_disk_that_is_full(run):
    result = run("demo", "--write", "/dev/full", "--force")
    assert (result.exit_code, result.output) == (2, "Error: /dev/full cannot be written: No space left on device\n")


def test_ctrl_c_ends_it_quietly(run, monkeypatch):
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("farend.demo.play", interrupted)
    result = run("demo")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_scene_that_ends_otherwise_is_told(run, monkeypatch):
    monkeypatch.setattr("farend.demo.play", lambda only: False)
    assert run("demo").exit_code == 1


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "farend", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("farend ")
