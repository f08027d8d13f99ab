"""Takes the samples: what is compared, in which order, and what is made of the figures.

A *contender* is one function that takes one sample and returns its cost per unit of work, in seconds
or in bytes. A *group* holds contenders that do the same work. All contenders of a group are sampled
once in each round, so that a noisy neighbour hits them alike, and a ratio is formed within a round
before the median of all rounds is taken.

A contender whose packages are missing is "not here", unless another interpreter has them (`--also`).
One that raises, or that runs past its deadline, is shown with the reason. Neither ends the run.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FEW_PORTS = 1_000
SCALES = {"ms": 1e3, "µs": 1e6, "B": 1.0, "×": 1.0}


class NotHere(Exception):
    """The contender cannot be sampled; the message says what is missing."""


class Overdue(Exception):
    """A sample ran past its deadline."""


@dataclass(frozen=True)
class Target:
    """What a contender is to reach: a ratio to `over`, or an amount in the group's unit where `over` is ""."""

    contender: str
    at_most: float
    over: str = ""

    def __str__(self) -> str:
        return f"≤ {self.at_most:g} ×" if self.over else f"≤ {self.at_most:g}"


@dataclass(frozen=True)
class Contender:
    """`alone` samples it in a process of its own, as memory asks for."""

    name: str
    sample: Callable[..., float]
    needs: tuple[str, ...] = ()
    alone: bool = False
    deadline: float = 60.0


@dataclass
class Group:
    """Contenders that do the same work. `limit` names the one that all are compared with."""

    title: str
    unit: str
    per: str
    limit: str
    rounds: float = 1.0
    """A factor to the number of rounds that the user asks for."""
    settings: dict[str, Any] = field(default_factory=dict)
    contenders: list[Contender] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def contender(
        self, name: str, *needs: str, alone: bool = False, deadline: float = 60.0, **settings: Any
    ) -> Callable[[Callable[..., float]], Callable[..., float]]:
        """Make the decorated function a contender; `settings` are given to it, with the group's."""

        def enter(sample: Callable[..., float]) -> Callable[..., float]:
            bound = functools.partial(sample, **(self.settings | settings))
            self.contenders.append(Contender(name, bound, needs, alone, deadline))
            return sample

        return enter

    def target(self, contender: str, at_most: float, *, over: str | None = None) -> None:
        """Set a target: a ratio to the limit, or to `over`; with `over=""` an amount in the group's unit."""
        self.targets.append(Target(contender, at_most, self.limit if over is None else over))


@dataclass
class Row:
    """What became of one contender: its samples by round, or the reason why there are none."""

    name: str
    samples: dict[int, float] = field(default_factory=dict)
    reason: str = ""
    elsewhere: bool = False

    def ratio(self, other: Row) -> float | None:
        """The median of the ratios that were formed within a round."""
        ratios = [value / other.samples[turn] for turn, value in self.samples.items() if other.samples.get(turn)]
        return statistics.median(ratios) if ratios else None

    @property
    def median(self) -> float:
        return statistics.median(self.samples.values())


@dataclass
class Result:
    """One group, measured."""

    group: Group
    rows: list[Row]

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    def reached(self, target: Target) -> float | None:
        """The figure that a target asks for; None where it was not measured."""
        row, over = self.row(target.contender), self.row(target.over)
        if row is None or not row.samples:
            return None
        if target.over:
            return row.ratio(over) if over else None
        return row.median * SCALES[self.group.unit]


def measure(group: Group, rounds: int, chosen: Callable[[str], bool], also: Iterable[Path]) -> Result:
    """Sample all contenders of a group in interleaved rounds, telling on stderr how far it is."""
    compared = {group.limit} | {target.over for target in group.targets if chosen(target.contender)}
    pairs = [(one, Row(one.name)) for one in group.contenders if chosen(one.name) or one.name in compared]
    takers = {one.name: _taker(group, one, row, also) for one, row in pairs}
    rounds = max(1, round(rounds * group.rounds))
    until_ports_are_free()
    for turn in range(rounds + 1):
        for one, row in pairs:
            take = takers[one.name]
            if take is None or (turn == 0 and (one.alone or row.elsewhere)):
                continue
            progress(f"{group.title}: round {turn} of {rounds}, {one.name}")
            try:
                sample = take()
                if turn:  # the first only warms up what is imported and compiled once
                    row.samples[turn] = sample
            except NotHere as error:
                row.reason, takers[one.name] = f"not here: {error}", None
            except Exception as error:
                row.reason, takers[one.name] = f"failed: {_described(error)}", None
    progress("")
    return Result(group, [row for _, row in pairs])


def until_ports_are_free() -> None:
    """Wait until few ports are held by connections that are over (TIME_WAIT, a minute at most; Linux tells).

    The system takes the longer to find a free port the more of them there are, and that would hide all else.
    """
    give_up = time.monotonic() + 70
    while (held := _ports_held()) > FEW_PORTS and time.monotonic() < give_up:
        progress(f"waiting until the ports of {held} connections that are over come free")
        time.sleep(1)


def _ports_held() -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"^TCP:.* tw (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def _taker(group: Group, one: Contender, row: Row, also: Iterable[Path]) -> Callable[[], float] | None:
    """What takes a sample: a call, or a process; None, and a reason, where nothing can."""
    missing = [name for name in one.needs if not importable(name)]
    if not missing:
        if one.alone:
            return lambda: in_process(Path(sys.executable), group, one)
        return lambda: _here(one)
    for python in also:
        if has(python, one.needs):
            row.elsewhere = True
            return lambda: in_process(python, group, one)
    row.reason = "not here: " + ", ".join(missing)
    return None


def _here(one: Contender) -> float:
    gc.collect()
    with within(one.deadline):
        return one.sample()


def in_process(python: Path, group: Group, one: Contender) -> float:
    """One sample, taken by a new process of that interpreter."""
    command = [str(python), "-m", "benchmarks", "--sample", group.title, one.name]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=one.deadline
        )
    except subprocess.TimeoutExpired:
        raise Overdue(f"ran past {one.deadline:g} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise RuntimeError(lines[-1])
    return float(json.loads(done.stdout.splitlines()[-1]))


def environment(**more: str) -> dict[str, str]:
    """The environment of processes that take samples: farend is that of this checkout, wherever they run."""
    return os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": ""} | more


@functools.cache
def importable(name: str) -> bool:
    """Whether this interpreter has the module."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@functools.cache
def has(python: Path, names: tuple[str, ...]) -> bool:
    """Whether that interpreter has the modules."""
    command = [str(python), "-c", "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"]
    return subprocess.run([*command, *names], env=environment(), capture_output=True).returncode == 0


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Interrupt the block when it takes too long. Where there are no signals, it may."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_signal: int, _frame: object) -> None:
        raise Overdue(f"ran past {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, for a task may swallow the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def progress(text: str) -> None:
    """Where the run is, on one line of stderr that each call overwrites."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text[:110]}", end="", file=sys.stderr, flush=True)


def _described(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__
