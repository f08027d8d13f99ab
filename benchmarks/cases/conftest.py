"""Times each test from the outside, and hands the result to the benchmark that started the session."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

_seconds = []
_handed_back = {"seconds": _seconds}


def pytest_configure(config):
    """pytest-tcpclient names no host, which would open every interface: here it listens on loopback, as all do."""
    if config.pluginmanager.hasplugin("pytest_tcpclient.plugin"):
        start_server = asyncio.start_server
        asyncio.start_server = lambda callback, host=None, *rest, **options: start_server(
            callback, host or "127.0.0.1", *rest, **options
        )


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol():
    begin = time.perf_counter()
    yield
    _seconds.append(time.perf_counter() - begin)


@pytest.fixture
def hand_back():
    """Call it with the figures that are to be the session's result, in place of the seconds of each test."""
    return _handed_back.update


def pytest_sessionfinish(exitstatus):
    if int(exitstatus) == 0:
        Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(_handed_back))
