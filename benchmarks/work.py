"""The work that contenders share: messages, a loop to run on, blocking clients, and Linux's account of memory."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
MIB = 1 << 20
_ALPHABET = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


def payload(size: int) -> bytes:
    """`size` printable bytes that do not compress to nothing."""
    return bytes(random.Random(size).choices(_ALPHABET, k=size))


MESSAGE = payload(64)


def on_a_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on asyncio's own loop, a new one."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


async def timed(cycle: Callable[[], Awaitable[None]], cycles: int) -> float:
    """Seconds that a cycle takes."""
    begin = time.perf_counter()
    for _ in range(cycles):
        await cycle()
    return (time.perf_counter() - begin) / cycles


def read_exactly(sock: socket.socket, size: int) -> None:
    """Read and drop `size` bytes."""
    while size:
        got = len(sock.recv(min(size, 1 << 18)))
        if not got:
            raise ConnectionError(f"the server closed, with {size} bytes missing")
        size -= got


def ask(port: int) -> None:
    """One exchange, from a blocking client."""
    with socket.create_connection((LOOPBACK, port), timeout=10) as client:
        client.sendall(MESSAGE)
        read_exactly(client, len(MESSAGE))


class Growth:
    """By how many bytes the resident set grew since this was made (Linux)."""

    def __init__(self) -> None:
        gc.collect()
        self._before = _resident()

    def bytes(self) -> int:
        gc.collect()
        return _resident() - self._before


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except FileNotFoundError:
        from benchmarks.harness import NotHere

        raise NotHere("/proc, which tells how much memory is resident") from None
