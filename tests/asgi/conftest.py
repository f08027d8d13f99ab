"""What the tests of applications in process share: loops, a Redis server, busy cores."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from farend.stage.settings import settings

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None

LOOPS = ["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(uvloop is None, reason="uvloop is not installed"))]
REPETITIONS = int(os.environ.get("FAREND_REPETITIONS", "1000"))


@pytest.fixture(params=LOOPS)
def run(request) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on each kind of loop; afterwards nothing is left on it: no task, and no patch."""
    patience = None if request.node.get_closest_marker("settle") else 110
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def checked() -> Any:
            loop = asyncio.get_running_loop()
            before = set(vars(loop)), set(asyncio.all_tasks())
            async with asyncio.timeout(patience):
                result = await coroutine
            left = asyncio.all_tasks() - before[1] - {asyncio.current_task()}
            ours = {"time", "call_soon", "call_later", "call_at", "call_soon_threadsafe", "run_in_executor"}
            assert not (set(vars(loop)) & ours), "a patch is left on the loop"
            if hasattr(loop, "_selector"):
                assert "select" not in vars(loop._selector), "a patch is left on the selector"
            assert not left, f"tasks are left: {left}"
            return result

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(checked())

    run.loop = request.param
    return run


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a thread or another program takes is a matter of the machine, which may stand still for seconds."""
    monkeypatch.setattr(settings, "scale", 20.0)


@pytest.fixture
def redis_flushed(redis_socket: str) -> str:
    """The same, with nothing in it."""
    subprocess.run(["redis-cli", "-s", redis_socket, "flushall"], check=True, capture_output=True)
    return redis_socket


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


@pytest.fixture
def busy_cores() -> Iterator[None]:
    """Something else keeps every core busy."""
    with _busy_cores():
        yield


@pytest.fixture
def repetitions() -> int:
    """How often the full suite repeats a scenario."""
    return REPETITIONS
