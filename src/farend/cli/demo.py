"""`farend demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from farend.cli import options


@click.command(
    epilog="""\b
Examples:
  farend demo
  farend demo --only mismatch
  farend demo --write test_first.py && pytest test_first.py
"""
)
@click.option("--only", type=click.Choice(["feed", "device", "mismatch", "hang"]), help="Play this scene alone.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a first test of your own to this file, instead of playing.",
)
@click.option("--force", is_flag=True, help="With --write: replace a file that is there.")
def demo(only: str | None, write: Path | None, force: bool) -> None:
    """See farend at work, on real sockets, with real clients, in a few seconds.

    A passing conversation, a device on TCP, a mismatch with the screen that tells it, and a client that
    would have hung. Ends with 0 when each scene went as it should.
    """
    from farend import demo as scenes

    if write is not None:
        if write.exists() and not force:
            options.cannot(f"{write} is there already; --force replaces it")
        try:
            write.write_text(scenes.FIRST_TEST)
        except OSError as error:
            options.cannot(f"{write} cannot be written: {error.strerror}")
        options.say(f"Written: {write}. Run it with: pytest {write}")
        return
    try:
        went_well = scenes.play(only)
    except KeyboardInterrupt:
        click.echo("\nStopped.", err=True)
        sys.exit(130)
    sys.exit(0 if went_well else 1)
