"""Runs the tests that need Django configured, in processes of their own.

Django's settings are one for a whole process, and chanx decides by them, when it is imported, whether it is
chanx for Channels or for fast-channels. So the rest of the suite stays free of them. To work on one of these
modules, call pytest as `command` does:

    pytest -c tests/in_django/pytest.ini --rootdir . --confcutdir . tests/seeds/test_003_django.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
pytestmark = pytest.mark.timeout(600)  # a process of its own takes its time on a busy machine
GROUPS = [TESTS / "in_django", *sorted(TESTS.glob("seeds/*_django.py")), *sorted(TESTS.glob("examples/*_django.py"))]


def command(*arguments: str | Path) -> list[str | Path]:
    return [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        TESTS / "in_django" / "pytest.ini",
        "--rootdir",
        ROOT,
        "--confcutdir",
        ROOT,
        *arguments,
    ]


def environment() -> dict[str, str]:
    """This process's, without what makes pytest part of it, and with what has coverage counted there, too."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_CORE_"))}
    env |= {"PYTHONWARNINGS": "default::ResourceWarning", "FAREND_SCALE": os.environ.get("FAREND_SCALE", "4")}
    measuring = coverage.Coverage.current()
    if measuring is not None:
        data = Path(measuring.get_option("run:data_file"))
        env |= {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"), "COVERAGE_FILE": str(ROOT / data.name)}
    return env


@pytest.mark.parametrize("group", GROUPS, ids=lambda path: path.stem)
def test_in_a_process_of_its_own(group):
    done = subprocess.run(
        command("-q", "-p", "no:cacheprovider", group), cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{group.name}:\n{done.stdout}\n{done.stderr}"
    assert re.search(r"\b[1-9]\d* passed", done.stdout), done.stdout
    assert done.stderr == ""  # where an interpreter that ends says what was left open


def test_under_djangos_own_runner_in_parallel():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "test", "--parallel", "2", "-p", "test_*_django.py", "."],
        cwd=TESTS / "examples",
        env=environment() | {"DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": str(TESTS / "in_django")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"Ran [1-9]\d* tests", done.stderr), done.stderr
    assert "ResourceWarning" not in done.stderr


def test_the_rest_of_the_suite_is_without_settings():
    assert "DJANGO_SETTINGS_MODULE" not in os.environ


def python(code: str, **env: str) -> str:
    """What a fresh interpreter prints, running `code`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment() | env,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("library", ["channels", "django"])
def test_without_the_extra_it_is_said_which_one(library):
    told = python(
        f"import sys; sys.modules[{library!r}] = None\n"
        "try:\n import farend.django\n"
        "except ImportError as error: print(error)"
    )
    assert re.fullmatch(r"farend.django needs Django and Channels \(.*\): pip install 'farend\[django\]'", told)


def test_the_fixtures_import_nothing_of_django_before_they_are_used():
    code = "import sys, farend.pytest_django; print(*{'django', 'channels', 'asgiref', 'asyncio'} & set(sys.modules))"
    loaded = set(python(code).split())
    assert not loaded & {"django", "channels", "asgiref"}


FIXTURES = {"ws_path", "auth_communicator", "communicator", "create_communicator", "create_user_and_ws_headers"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], set()),
        (["-c", str(TESTS / "in_django" / "pytest.ini")], FIXTURES),
    ],
)
def test_the_fixtures_are_there_where_pytest_django_has_settings(arguments, expected, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-q", *arguments, tmp_path],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    there = set(re.findall(r"^(\w+)", done.stdout, re.MULTILINE))
    assert there & FIXTURES == expected, done.stdout + done.stderr
