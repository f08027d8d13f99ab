"""`farend proxy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from farend.cli import options
from farend.cli.faults import FaultParameter, help_text


@click.command(
    epilog=f"""\b
Faults, and what each takes, in this order or as NAME=VALUE:
{help_text()}

\b
to=near is on what the client hears (the default), to=far on what the server does, to=both on both. The
same seed does the same to the same bytes. docs/faults.md tells each.

\b
Examples:
  farend proxy ws://localhost:8000/feed --fault latency:0.2,jitter=0.05,to=both
  farend proxy tcp://localhost:6379 --port 6380 --fault bandwidth:10000 --fault byte-at-a-time
  farend proxy wss://example.com/feed --fault cut-after:2000,end --tape broken.jsonl
  farend proxy ws://localhost:8000 --fault duplicate:at=3 --fault no-close-frame --seconds 60
"""
)
@click.argument("url")
@click.option(
    "--fault", "faults", multiple=True, type=FaultParameter(), metavar="FAULT", help="Do this; may be repeated."
)
@click.option("--tape", type=click.Path(dir_okay=False, path_type=Path), help="Record what passes as well.")
@click.option("--force", is_flag=True, help="Replace a tape that is there.")
@options.listening
@options.in_between
def proxy(**wish: Any) -> None:
    """Stand between a client and the server at URL, and break things on purpose.

    URL is ws://, wss://, tcp://host:port or tls://host:port. Point the client at the address that is printed, in
    place of the server's. Ctrl-C ends it, with a report; the exit status is 1 where something went wrong that no
    fault has done, 2 where it cannot be done, and 0 otherwise.
    """
    from farend.cli import recording

    with options.told_errors():
        recording.run(recording.Wish(**wish))
