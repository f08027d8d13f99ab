"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import report, topics
from benchmarks.harness import ROOT, Result, measure

QUICK = 5
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Measure, print the tables, and write them where asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=QUICK, help=f"samples of each contender (default {QUICK})")
    parser.add_argument("--group", default="", help="only the groups with this in their topic or title")
    parser.add_argument(
        "--only", default="", help="only the contenders with this in their name, and what they are compared with"
    )
    parser.add_argument(
        "--also",
        type=Path,
        action="append",
        default=[],
        metavar="PYTHON",
        help="where else to look for contenders that are not installed here; may be given again",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FILE",
        help="an earlier run's --json, for the groups that are not measured: something else was busy during a few, say",
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the tables there, with what they mean (default docs/benchmarks.md, where all is measured)",
    )
    parser.add_argument("--list", action="store_true", help="name the groups and the contenders, and measure nothing")
    parser.add_argument("--sample", nargs=2, metavar=("GROUP", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds takes a number from 1")
    if options.sample:
        print(json.dumps(topics.contender(*options.sample).sample()))
        return 0
    groups = [(topic, group) for topic in topics.TOPICS for group in topic.groups]
    chosen = [
        group
        for topic, group in groups
        if options.group.lower() in f"{topic.title} {group.title}".lower()
        and any(options.only.lower() in one.name.lower() for one in group.contenders)
    ]
    if options.list:
        for topic, group in groups:
            if group in chosen:
                print(f"{topic.title}: {group.title}")
                print("".join(f"    {one.name}\n" for one in group.contenders), end="")
        return 0
    print(report.heading())
    earlier = report.rows_of(json.loads(options.beside.read_text())) if options.beside else {}
    results = []
    for topic, group in groups:
        if group in chosen:
            result = measure(group, options.rounds, lambda name: options.only.lower() in name.lower(), options.also)
            print(report.table(result), flush=True)
        elif (rows := earlier.get((topic.title, group.title))) is not None:
            result = Result(group, rows)
        else:
            continue
        results.append((topic, result))
        if options.json:
            options.json.write_text(json.dumps(report.samples(results), indent=1))
    page = options.markdown or (PAGE if options.beside or not (options.group or options.only) else None)
    if page:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(report.markdown(results))
    print(report.summary(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
