"""`farend replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from farend.cli import options


@click.command(
    epilog="""\b
Examples:
  farend replay feed.jsonl --port-file port.txt
  farend replay feed.jsonl --ignore '$.id' --ignore '$..ts'
  farend replay redis.jsonl --strict --json
"""
)
@click.argument("tape", type=options.TAPE)
@options.listening
@options.rules
@options.deadline("60")
@options.as_json
def replay(tape: Path, where: options.Listening, rules: dict[str, Any], deadline: float | None, machine: bool) -> None:
    """Replay a tape once, as the server it was recorded from, and check what the client says.

    Ends when all was replayed, or something went wrong: with 0 if the client said what is on the tape, and 1 if not.
    """
    from farend.cli.serving import run
    from farend.dialects.replay import replay as replayed

    with options.told_errors(), options.busy(f"Reading {tape}"):
        server = replayed(tape, **rules, host=where.host, port=where.port, tls=where.tls, deadline=deadline)
    run(server, options.Voice(machine), where, until_played=True)
