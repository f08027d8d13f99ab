"""What was measured, told: tables for the terminal, and a page for the documentation."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import SCALES, Result, Row, Target

PACKAGES = (
    "farend",
    "websockets",
    "picows",
    "pytest",
    "pytest-asyncio",
    "pytest-httpserver",
    "pytest-tcpclient",
    "fakewsserver",
    "embeddedserver",
)
NOTES = Path(__file__).with_name("notes.md")


def heading() -> str:
    """What is measured on, in a line."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{machine()}{load}\n"


def machine() -> str:
    """What figures depend on: interpreter, system, processors, libraries. No names, no paths."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} CPUs"
    return f"{python}, {system}; {', '.join(versions)}"


def samples(results: Iterable[tuple[Any, Result]]) -> list[dict[str, Any]]:
    """Everything, for `--json`."""
    return [
        {
            "topic": topic.title,
            "group": result.group.title,
            "unit": "B" if result.group.unit == "B" else "s",
            "per": result.group.per,
            "limit": result.group.limit,
            "rows": [dataclasses.asdict(row) for row in result.rows],
        }
        for topic, result in results
    ]


def rows_of(samples: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[Row]]:
    """What `samples` gave, by topic and group."""
    return {(one["topic"], one["group"]): [_row(**row) for row in one["rows"]] for one in samples}


def _row(samples: dict[str, float], **fields: Any) -> Row:
    return Row(samples={int(turn): value for turn, value in samples.items()}, **fields)


# -- the terminal ---------------------------------------------------------------------------------


def table(result: Result) -> str:
    """One group, as plain text."""
    group = result.group
    lines = [f"{group.title}  ({group.unit} per {group.per}; × is the ratio to {group.limit})"]
    width = max(len(row.name) for row in result.rows)
    for row in result.rows:
        if row.samples:
            figures = "".join(f"{value:>11,.2f}" for value in _figures(result, row))
            told = " ".join(["(own environment)"] * row.elsewhere + [_verdicts(result, row)])
            lines.append(f"  {row.name:{width}}{figures}{_ratio(result, row):>9}  {told}".rstrip())
        else:
            lines.append(f"  {row.name:{width}}  {row.reason}")
    return "\n".join(lines) + "\n"


def summary(results: Iterable[tuple[Any, Result]]) -> str:
    """How many of the targets are met, and which are not."""
    told = list(_targets(results))
    missed = [(result, target, reached) for result, target, reached in told if not _met(target, reached)]
    lines = [f"{len(told) - len(missed)} of {len(told)} targets met."]
    for result, target, reached in missed:
        lines.append(f"  {result.group.title}: {target.contender}: {_amount(result, target, reached)}, target {target}")
    return "\n".join(lines)


def _figures(result: Result, row: Row) -> tuple[float, float, float]:
    scale = SCALES[result.group.unit]
    return row.median * scale, min(row.samples.values()) * scale, max(row.samples.values()) * scale


def _ratio(result: Result, row: Row) -> str:
    limit = result.row(result.group.limit)
    ratio = row.ratio(limit) if limit is not None else None
    return "" if ratio is None else f"{ratio:.2f} ×"


def _verdicts(result: Result, row: Row) -> str:
    texts = []
    for target in result.group.targets:
        if target.contender == row.name:
            reached = result.reached(target)
            over = "" if target.over in ("", result.group.limit) else f" of {target.over}: {reached or 0:.2f} ×"
            texts.append(f"{target}{over}{'' if _met(target, reached) else ' MISSED'}")
    return "; ".join(texts)


def _targets(results: Iterable[tuple[Any, Result]]) -> Iterator[tuple[Result, Target, float | None]]:
    for _, result in results:
        for target in result.group.targets:
            if result.row(target.contender) is not None:
                yield result, target, result.reached(target)


def _met(target: Target, reached: float | None) -> bool:
    return reached is not None and reached <= target.at_most


def _amount(result: Result, target: Target, reached: float | None) -> str:
    if reached is None:
        return "not measured"
    return f"{reached:.2f} ×" if target.over else f"{reached:,.1f} {result.group.unit}"


# -- the page -------------------------------------------------------------------------------------


def _rounds(results: list[tuple[Any, Result]]) -> str:
    """How many samples the groups have: what takes long has fewer, and what was measured again may have more."""
    counts = sorted({max(len(row.samples) for row in result.rows) for _, result in results if result.rows} - {0})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"


def markdown(results: list[tuple[Any, Result]]) -> str:
    """The page `docs/benchmarks.md`."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    parts = [
        "# Benchmarks",
        "<!-- Written by `make bench`. The words are in benchmarks/; change them there. -->",
        "What farend costs, beside the least code that does the same without a script, a record or a check, and "
        "beside other tools. Measure on your own machine with\n\n    make bench\n\nor, for all options,\n\n"
        "    python -m benchmarks --help",
        f"Measured on {today}, in {_rounds(results)} rounds: {machine()}.",
        "## The targets",
        _target_table(results),
        "## How it is measured",
        _HOW,
    ]
    for title in dict.fromkeys(topic.title for topic, _ in results):
        group = [(topic, result) for topic, result in results if topic.title == title]
        parts += [f"## {title}", _paragraphs(group[0][0].about)]
        for _, result in group:
            parts += [f"### {result.group.title}", *_group_parts(result)]
    if NOTES.exists():
        parts.append(NOTES.read_text().strip())
    return "\n\n".join(parts) + "\n"


_HOW = """\
- All contenders of a group are sampled once in each round, one after the other, so that a disturbance hits
  them alike. A ratio is formed within a round; told is the median of all rounds. Low and high are the
  fastest and the slowest sample, and tell how quiet the machine was.
- What farend adds to a small message is Python's own time. So its ratio to a bare socket depends on how dear
  system calls are: the same code is at 1.3 times where a bare round trip takes 18 µs, and at 1.9 times where
  it takes 10 µs.
- farend's script is played, recorded and verified in every sample; the bare contenders only echo.
- The same client asks all contenders of a group, unless the contender's name says otherwise.
- Whatever is compared runs on asyncio's own event loop, on 127.0.0.1, on ports that the system chooses.
- A contender that is not installed is listed as not here. One that was found in another environment
  (`--also PYTHON`) is sampled in a process of its own, in the same rounds, with the libraries that are there."""


def _paragraphs(docstring: str) -> str:
    """A docstring without its title: the heading says that already."""
    head, _, rest = docstring.strip().partition(": ")
    return (rest or head)[:1].upper() + (rest or head)[1:]


def _target_table(results: list[tuple[Any, Result]]) -> str:
    rows = ["| | measured | target | |", "|---|---:|---:|---|"]
    for topic, result in results:
        for _, target, reached in _targets([(topic, result)]):
            over = f" (beside {target.over})" if target.over else f" ({result.group.unit} per {result.group.per})"
            met = "met" if _met(target, reached) else "**not met**"
            what = f"{topic.title}: {result.group.title}: {target.contender}{over}"
            rows.append(f"| {what} | {_amount(result, target, reached)} | {target} | {met} |")
    return "\n".join(rows)


def _group_parts(result: Result) -> Iterator[str]:
    group = result.group
    rows = [
        f"| | median | low | high | to {group.limit} |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result.rows:
        if row.samples:
            figures = " | ".join(f"{value:,.1f}" for value in _figures(result, row))
            where = " (own environment)" if row.elsewhere else ""
            rows.append(f"| {row.name}{where} | {figures} | {_ratio(result, row)} |")
    yield f"{group.unit} per {group.per}."
    yield "\n".join(rows)
    missing = [f"{row.name} ({row.reason})" for row in result.rows if not row.samples]
    if missing:
        yield f"Without figures: {'; '.join(missing)}."
