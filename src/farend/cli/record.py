"""`farend record`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from farend.cli import options


@click.command(
    epilog="""\b
Examples:
  farend record wss://echo.websocket.org --tape echo.jsonl
  farend record ws://localhost:8000/feed --tape feed.jsonl --port 9000 --connections 1
  farend record tcp://localhost:6379 --tape redis.jsonl --redact account_id
  farend record wss://localhost:8443 --tape local.jsonl --ca-file ca.pem --port-file port.txt --json &
"""
)
@click.argument("url")
@click.option("--tape", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to record to.")
@click.option("--force", is_flag=True, help="Replace a tape that is there.")
@options.listening
@click.option("--redact", multiple=True, metavar="NAME", help="A field whose value is secret, besides the usual ones.")
@click.option("--keep", multiple=True, metavar="NAME", help="A field whose value is no secret, whatever its name.")
@click.option("--no-redact", is_flag=True, help="Leave all secrets on the tape.")
@click.option("--no-times", is_flag=True, help="Leave all times out, so that a tape recorded again differs in little.")
@options.in_between
def record(**wish: Any) -> None:
    """Record what a client and the server at URL say to each other.

    URL is ws://, wss://, tcp://host:port or tls://host:port. Point the client at the address that is
    printed, in place of the server's. Secrets are kept off the tape. Ctrl-C ends the recording, with a
    report; the exit status is 1 where something went wrong, 2 where nothing could be recorded, and 0 otherwise.
    """
    from farend.cli import recording

    with options.told_errors():
        recording.run(recording.Wish(**wish))
