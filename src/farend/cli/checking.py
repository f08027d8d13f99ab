"""Running a client's command once for each case, and telling what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from farend.cli.options import Voice, cannot, say
from farend.core.malformed import PLAIN_TEXT, Case
from farend.core.reactions import Result, Verdict
from farend.stage.checking import CaseServer

if TYPE_CHECKING:
    from rich.table import Table

GRACE: Final = 1.0
"""Seconds that a command has to end by itself, once its connection is over."""
LAST: Final = 2.0
"""Seconds between the request to end and the end by force."""
LINES: Final = 20
"""Lines of a command's output that are kept."""
PLACES: Final = ("{url}", "{host}", "{port}")
WAYS: Final = "The command connects to the URL, sends back each message that it gets, and stays until the end."
_COLOURS: Final = {
    Verdict.OK: "green",
    Verdict.NON_STRICT: "yellow",
    Verdict.FAILED: "red",
    Verdict.NOT_ASKED: "dim",
    Verdict.ABSENT: "red",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asked for; times are in seconds."""

    command: tuple[str, ...]
    strict: bool
    deadline: float
    start: float
    jobs: int
    host: str


@dataclass(frozen=True, slots=True)
class Run:
    """One case, and what the command printed."""

    result: Result
    output: tuple[str, ...]


# -- before -----------------------------------------------------------------------------------------


def list_cases(cases: Sequence[Case], voice: Voice) -> None:
    """Say which cases there are."""
    if voice.machine:
        for case in cases:
            voice.say("", "case", name=case.name, clause=case.source, what=case.what, rule=case.rule, asked=case.asked)
        return
    _print_table(
        ("case", "clause", "what the far end says", "what the client does"),
        [((case.name, case.clause, case.what, case.asked), "") for case in cases],
    )


def check_command(command: tuple[str, ...]) -> None:
    """Leave, with what to write, where the command cannot be run."""
    if not command:
        cannot("which client? Write its command behind --: farend check-client -- python my_client.py {url}")
    if not any(place in part for part in command for place in PLACES):
        cannot(f"the client is not told where to connect: put {{url}} into its command: {' '.join(command)} {{url}}")
    if shutil.which(command[0]) is None:
        cannot(f"{command[0]} cannot be run: there is no such program")


# -- running ----------------------------------------------------------------------------------------


def run(cases: Sequence[Case], wish: Wish, voice: Voice) -> int:
    """Check them all; gives the exit status."""
    try:
        runs = asyncio.run(_all(cases, wish, voice))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("Stopped.", err=True)
        return 130
    results = [one.result for one in runs]
    broken = [one for one in results if one.broken or (wish.strict and one.verdict is Verdict.NON_STRICT)]
    _tell(runs, voice)
    counts = Counter(one.verdict for one in results)
    told = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    numbers = {verdict.value: counts[verdict] for verdict in Verdict}
    voice.say(f"{len(results)} cases: {told}.", "result", ok=not broken, cases=len(results), verdicts=numbers)
    return 1 if broken else 0


async def _all(cases: Sequence[Case], wish: Wish, voice: Voice) -> list[Run]:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    places = asyncio.Semaphore(wish.jobs)
    with _progress(len(cases) + 1, voice) as advance:
        control = await _one(PLAIN_TEXT, wish)
        if control.result.verdict is not Verdict.OK:
            cannot(_uncheckable(control))
        advance("plain-text")

        async def placed(case: Case) -> Run:
            async with places:
                one = control if case is PLAIN_TEXT else await _one(case, wish)
            advance(case.name)
            if voice.machine:
                _say(one, voice)
            return one

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(placed(case)) for case in cases]
    return [one.result() for one in tasks]


def _uncheckable(control: Run) -> str:
    printed = "".join(f"\n  {line}" for line in control.output)
    said = f"\nIt printed:{printed}" if printed else ""
    return f"the client cannot be checked: it {control.result.seen}, where a plain text message came. {WAYS}{said}"


async def _one(case: Case, wish: Wish) -> Run:
    server = CaseServer(case, host=wish.host, deadline=wish.deadline, patience=wish.start)
    async with _served(server), _running(_filled(wish.command, server)) as (process, output):
        played = asyncio.ensure_future(server.played())
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait((played, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and not played.done():
            # Whoever has connected, and left, is heard to the end; nobody else comes.
            await server.aclose(wait=bool(server.transcripts), check=None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), GRACE)
        played.cancel()
        await asyncio.gather(played, return_exceptions=True)
        result = server.result
        if result.verdict is Verdict.ABSENT and ended.done():
            seen = f"{result.seen}, and its command ended with status {ended.result()}"
            result = Result(case, Verdict.ABSENT, seen, None, result.transcript)
        ended.cancel()
    return Run(result, tuple(output))


@contextlib.asynccontextmanager
async def _served(server: CaseServer) -> AsyncIterator[None]:
    await server.__aenter__()
    try:
        yield
    finally:
        await server.aclose(check=None)


def _filled(command: Sequence[str], server: CaseServer) -> list[str]:
    values = {"url": server.url, "host": server.host, "port": str(server.port), "case": server.case.name}
    filled = []
    for part in command:
        for name, value in values.items():
            part = part.replace(f"{{{name}}}", value)
        filled.append(part)
    return filled


@contextlib.asynccontextmanager
async def _running(command: Sequence[str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, deque[str]]]:
    """The command, in a session of its own, so that all that it starts ends with it."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        cannot(f"{command[0]} cannot be run: {error.strerror or error}")
    output: deque[str] = deque(maxlen=LINES)
    reading = asyncio.ensure_future(_read(process, output))
    try:
        yield process, output
    finally:
        await _end(process)
        with contextlib.suppress(TimeoutError):  # what it started, and left behind, may keep the pipe open
            await asyncio.wait_for(asyncio.shield(reading), GRACE)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        process._transport.close()  # type: ignore[attr-defined]  # its pipes are nobody else's to close


async def _read(process: asyncio.subprocess.Process, output: deque[str]) -> None:
    assert process.stdout is not None
    rest = b""
    while data := await process.stdout.read(1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[-1000:]
        output.extend(line.decode(errors="replace").rstrip()[:1000] for line in lines)
    if rest:
        output.append(rest.decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        _signal(process, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), LAST)
            break
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # what it started, and did not end itself


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


# -- telling ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _progress(total: int, voice: Voice) -> Iterator[Callable[[str], None]]:
    """A bar, where somebody watches."""
    if voice.machine or not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("Checking"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)


def _say(one: Run, voice: Voice) -> None:
    result = one.result
    case = result.case
    facts: dict[str, Any] = {"name": case.name, "clause": case.source, "asked": case.asked}
    facts |= {"verdict": result.verdict.value, "seen": result.seen, "code": result.code}
    voice.say("", "case", **facts, output=list(one.output) if result.broken else [])


def _tell(runs: Sequence[Run], voice: Voice) -> None:
    if not voice.machine:
        rows = [(_row(one.result), _COLOURS[one.result.verdict]) for one in runs]
        _print_table(("verdict", "case", "clause", "what the client did", "what is asked"), rows)


def _row(result: Result) -> tuple[str, ...]:
    case = result.case
    asked = "" if result.verdict is Verdict.OK else case.asked
    return result.verdict.value, case.name, case.clause, result.seen, asked


def _print_table(head: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]) -> None:
    """A table: with rich on a terminal, and as lines that stay the same elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(_rich_table(head, rows))
        return
    lines = [tuple(head), *(tuple(cells) for cells, _ in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _rich_table(head: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    for index, title in enumerate(head):
        table.add_column(title, overflow="fold", no_wrap=index < 2)
    for (first, *others), colour in rows:
        table.add_row(Text(first, style=colour), *map(Text, others))
    return table
