"""The public names as a type checker sees them: a user's code is accepted, and a user's mistakes are not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import farend

pytest.importorskip("mypy")

HERE = Path(__file__).parent


def checked(name: str, cache: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", str(HERE / name)]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE, timeout=120, check=False).stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def test_a_users_code_is_accepted(cache: Path) -> None:
    assert checked("user_code.py", cache).startswith("Success")


def test_a_users_mistakes_are_told(cache: Path) -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    meant = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    told = checked("mistakes.py", cache)
    assert {int(number) for number in re.findall(r"mistakes\.py:(\d+): error", told)} == meant, told


def test_the_literal_list_of_names_is_the_table_of_homes() -> None:
    everyday = {"findings", "json", "lines", "pattern", "record", "replay", "sandbox", "until", "verify", "where"}
    every = sorted([*farend._HOME_OF, *farend._MODULES, "__version__"])
    assert sorted({*farend.__all__, *everyday}) == every
    assert not everyday & {*farend.__all__}
    assert dir(farend) == every
