"""Whole tests: what pytest spends on a test, its fixtures included.

Every sample is a pytest session of its own, with no plugin but those named, over the tests of one
file of `cases/`. The first tests of a session are not counted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Group, environment

CASES = Path(__file__).parent / "cases"
ASYNCIO, FAREND, HTTPSERVER = "pytest_asyncio.plugin", "farend.pytest_plugin", "pytest_httpserver.pytest_plugin"
TCPCLIENT = (ASYNCIO, "pytest_mock", "pytest_tcpclient.plugin")
WARM = 20
KEPT = "asyncio.start_server on a kept background loop, by hand"
BARE, WITHOUT = "asyncio.start_server, by hand", "without the plugin"

exchange = Group("A test with a server and one exchange", "µs", "test", BARE, settings={"tests": 300})
empty = Group(
    "An empty test, with farend's plugin and without", "µs", "test", WITHOUT, rounds=3, settings={"tests": 1500}
)
plain = Group("The same in a plain test", "µs", "test", KEPT, settings={"tests": 300})
GROUPS = [exchange, plain, empty]


def session(case: str, *plugins: str, **settings: Any) -> dict[str, Any]:
    """Run one file of `cases/` in a pytest session; give what it, or its conftest, hands back.

    The settings reach it as environment variables, such as `BENCH_TESTS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-c",
            str(CASES / "pytest.ini"),
        ]
        for plugin in plugins:
            command += ["-p", plugin]
        done = subprocess.run(
            [*command, str(CASES / case)],
            env=environment(
                PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
                BENCH_RESULT=str(result),
                **{f"BENCH_{name.upper()}": str(value) for name, value in settings.items()},
            ),
            capture_output=True,
            text=True,
            timeout=100,
        )
        if not result.exists():
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
            raise RuntimeError(next((line for line in lines if line.startswith("E ")), lines[-1]).strip())
        answer: dict[str, Any] = json.loads(result.read_text())
        return answer


def per_test(case: str, plugins: tuple[str, ...], tests: int) -> float:
    """Seconds that pytest spends on a test."""
    return statistics.mean(session(case, *plugins, tests=tests + WARM)["seconds"][WARM:])


for name, case, needs, plugins in (
    (BARE, "case_by_hand.py", ("pytest_asyncio",), (ASYNCIO,)),
    ("farend's tcp_far_end", "case_tcp_far_end.py", ("pytest_asyncio", "farend"), (ASYNCIO, FAREND)),
    ("farend's tcpserver", "case_tcpserver.py", ("pytest_asyncio", "farend"), (ASYNCIO, FAREND)),
    ("farend's TcpServer, by hand", "case_tcp_server.py", ("pytest_asyncio", "farend"), (ASYNCIO,)),
    (
        "pytest-tcpclient's tcpserver",
        "case_tcpserver.py",
        ("pytest_tcpclient",),
        TCPCLIENT,
    ),
):
    exchange.contender(name, *needs, case=case, plugins=plugins)(per_test)
exchange.target("farend's tcp_far_end", 1.15)
exchange.target("farend's tcpserver", 1.15)

for name, case, needs, plugins in (
    (KEPT, "case_plain_by_hand.py", (), ()),
    ("farend's tcp_far_end", "case_plain_tcp_far_end.py", ("farend",), (FAREND,)),
    ("pytest-httpserver's httpserver", "case_httpserver.py", ("pytest_httpserver",), (HTTPSERVER,)),
):
    plain.contender(name, "pytest", *needs, case=case, plugins=plugins)(per_test)
plain.target("farend's tcp_far_end", 1.15)

empty.contender(WITHOUT, "pytest", case="case_empty.py", plugins=())(per_test)
empty.contender("with the plugin", "pytest", "farend", case="case_empty.py", plugins=(FAREND,))(per_test)
empty.target("with the plugin", 1.05)
