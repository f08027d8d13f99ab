"""`farend check-client`."""

from __future__ import annotations

import sys
from typing import Any

import click

from farend.cli import options


@click.command(
    epilog="""\b
Examples:
  farend check-client -- python my_client.py {url}
  farend check-client --only 'utf8-*' --only 5.5 -- node client.js {url}
  farend check-client --strict --json -- ./client --connect {url} > results.jsonl
  farend check-client --list

A client to be checked, in Python:

\b
  with connect(sys.argv[1]) as client:
      for message in client:
          client.send(message)
"""
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND {url} …")
@click.option("--only", multiple=True, metavar="NAME|CLAUSE", help="Check these cases alone: 'utf8-*', '5.5'.")
@click.option("--list", "listed", is_flag=True, help="List the cases, and check nothing.")
@click.option("--strict", is_flag=True, help="What the client SHOULD do counts as what it MUST.")
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the client may take for each reaction.",
)
@click.option(
    "--start",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the command may take to connect.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Cases at the same time.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@options.as_json
def check_client(command: tuple[str, ...], only: tuple[str, ...], listed: bool, machine: bool, **wish: Any) -> None:
    """Check how a WebSocket client reacts to malformed frames, clause by clause of RFC 6455.

    A far end plays each case on a port of its own, and COMMAND is run for it, with {url} and {case} put in.

    The client connects to the URL, sends back each message that it gets, and stays until the connection is over; the
    command is ended then. So what it hands to its application shows. First comes a plain message: a client that does
    not send it back cannot be checked. The exit status is 1 where the client did not what it MUST.
    """
    from farend.cli import checking
    from farend.core.malformed import cases

    voice = options.Voice(machine)
    with options.told_errors():
        chosen = cases(*only)
        if listed:
            checking.list_cases(chosen, voice)
            return
        checking.check_command(command)
        sys.exit(checking.run(chosen, checking.Wish(command=command, **wish), voice))
