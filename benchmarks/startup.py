"""Start-up: what an import costs those who do not use farend in every test.

Every sample is the median of five new interpreters, each timing one statement.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.harness import Group, environment

imports = Group("Import", "ms", "new process", "asyncio")
GROUPS = [imports]

PYTEST = "from _pytest.config import get_config; manager = get_config().pluginmanager; "


def seconds(statement: str, before: str = "") -> float:
    """How long a new interpreter takes for the statement."""
    code = f"import time; {before}begin = time.perf_counter(); {statement}; print(time.perf_counter() - begin)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    return statistics.median(runs)


for name, statement, before in (
    ("asyncio", "import asyncio", ""),
    ("farend", "import farend", ""),
    ("farend's plugin, in pytest", "manager.import_plugin('farend.pytest_plugin')", PYTEST),
    ("farend, once a TCP server is asked for", "from farend import TcpServer", ""),
    (
        "farend, once a WebSocket server is asked for",
        "import farend.core.websocket; from farend import WebSocketServer",
        "",
    ),
):
    imports.contender(name, *["farend"] * ("farend" in name), statement=statement, before=before)(seconds)
imports.contender(
    "websockets, once its server is asked for",
    "websockets.asyncio",
    statement="from websockets.asyncio.server import serve",
)(seconds)
imports.contender(
    "pytest-httpserver's plugin, in pytest",
    "pytest_httpserver",
    statement="manager.import_plugin('pytest_httpserver.pytest_plugin')",
    before=PYTEST,
)(seconds)

imports.target("farend", 10, over="")
imports.target("farend's plugin, in pytest", 10, over="")
