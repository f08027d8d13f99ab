"""What `farend record` and `farend proxy` do: a proxy that records, or breaks, or both, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from farend import FarendError, Fault, Proxy, Redaction, TapeReader
from farend import proxy as between
from farend.cli.options import Listening, Voice, cannot, signalled, text
from farend.core.messages import counted
from farend.stage.far_end import Deadline
from farend.tape.writer import STEP

PROGRESS = 0.5
"""Seconds between two lines of progress."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    url: str
    tape: Path | None
    where: Listening
    insecure: bool
    ca_file: Path | None
    seconds: float | None
    connections: int | None
    force: bool
    deadline: Deadline
    machine: bool
    redact: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    no_redact: bool = False
    no_times: bool = False
    faults: tuple[Fault, ...] = ()

    @property
    def told(self) -> dict[str, Any]:
        """What a program that reads along is told of it."""
        tape = {} if self.tape is None else {"tape": str(self.tape)}
        return tape | ({"faults": [str(fault) for fault in self.faults]} if self.faults else {})


def run(wish: Wish) -> None:
    """Stand between until Ctrl-C, or what else was asked for; leave with 0, or with 1 where something went wrong."""
    if wish.tape is not None and not wish.force and _holds_something(wish.tape):
        cannot(f"{wish.tape} is there already; --force replaces it")
    proxy = between(
        wish.url,
        faults=wish.faults,
        tape=wish.tape,
        redact=False if wish.no_redact else Redaction(names=wish.redact, keep=wish.keep),
        tls=_tls(wish),
        listen_tls=wish.where.tls,
        host=wish.where.host,
        port=wish.where.port,
        times=None if wish.no_times else STEP,
        deadline=wish.deadline,
    )
    voice = Voice(wish.machine)
    wish.where.begin()
    try:
        asyncio.run(_record(proxy, wish, voice))
    except KeyboardInterrupt:  # where the loop takes no signals
        pass
    except Exception as error:
        if error not in proxy.problems:
            raise
    _report(proxy, wish, voice)
    sys.exit(1 if proxy.problems else 0)


def _holds_something(tape: Path) -> bool:
    """Whether there is a file that somebody may miss: not where an earlier try has got no further than its header."""
    if not tape.is_file() or not tape.stat().st_size:
        return False
    try:
        with TapeReader(tape) as reader:
            return next(reader, None) is not None
    except FarendError:
        return True


async def _record(proxy: Proxy, wish: Wish, voice: Voice) -> None:
    with signalled(asyncio.get_running_loop()) as stop:
        async with _watched(proxy), proxy:
            wish.where.tell(proxy.port)
            voice.say(
                f"Point your client at {proxy.url}, {_task(proxy, wish)}. Ctrl-C ends it.\nport {proxy.port}",
                "listening",
                url=proxy.url,
                port=proxy.port,
                target=proxy.server,
                **wish.told,
            )
            began = time.monotonic()
            while not stop.is_set() and not _is_done(proxy, wish, time.monotonic() - began):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_patience(wish, time.monotonic() - began)):
                        await stop.wait()


def _task(proxy: Proxy, wish: Wish) -> str:
    faults = "; ".join(map(str, wish.faults)) or "no faults"
    if wish.tape is None:
        return f"in front of {proxy.server}, with {faults}"
    return f"which records {proxy.server} on {wish.tape}" + (f", with {faults}" if wish.faults else "")


def _counts(proxy: Proxy) -> str:
    connections = counted(proxy.connections, "connection")
    return connections if proxy.lines is None else f"{connections}, {counted(proxy.lines, 'line')}"


def _is_done(proxy: Proxy, wish: Wish, passed: float) -> bool:
    if wish.seconds is not None and passed >= wish.seconds:
        return True
    return wish.connections is not None and proxy.connections >= wish.connections and not proxy.open_connections


def _patience(wish: Wish, passed: float) -> float:
    return PROGRESS if wish.seconds is None else max(0.0, min(PROGRESS, wish.seconds - passed))


@contextlib.asynccontextmanager
async def _watched(proxy: Proxy) -> AsyncIterator[None]:
    """Progress is shown meanwhile, and while the tape is closed, which can take a while."""

    async def watch() -> None:
        shown, problem = "", None
        while True:
            await asyncio.sleep(PROGRESS)
            shown = _progress(proxy, shown)
            if proxy.tape_error is not None and proxy.tape_error is not problem:
                problem = proxy.tape_error  # at once, for what goes on is lost
                click.echo(f"Warning: {text(problem)}", err=True)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _progress(proxy: Proxy, shown: str) -> str:
    """One line that is written over, on a terminal alone."""
    if not sys.stderr.isatty():
        return shown
    now = f"the tape is put together: {proxy.put_together:.0%}" if proxy.put_together else _counts(proxy)
    if now != shown:
        click.echo(f"\r{now}".ljust(len(shown) + 1), nl=False, err=True)
    return now


def _report(proxy: Proxy, wish: Wish, voice: Voice) -> None:
    texts = [text(problem) for problem in proxy.problems]
    if sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)
    voice.say(
        f"{proxy.server if wish.tape is None else wish.tape}: {_counts(proxy)}.",
        "ended",
        **wish.told,
        connections=proxy.connections,
        **({} if proxy.lines is None else {"lines": proxy.lines}),
        problems=[
            {"kind": type(problem).__name__, "text": one} for problem, one in zip(proxy.problems, texts, strict=True)
        ],
    )
    if not voice.machine:
        for one in texts:
            click.echo(f"Error: {one}", err=True)


def _tls(wish: Wish) -> Any:
    if wish.ca_file is None:
        return not wish.insecure
    import ssl

    try:
        return ssl.create_default_context(cafile=os.fspath(wish.ca_file))
    except OSError as error:
        cannot(f"{wish.ca_file} holds no certificates: {error.strerror or error}")
