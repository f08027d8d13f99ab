"""`farend script`."""

from __future__ import annotations

from pathlib import Path

import click

from farend.cli import options


@click.command(
    epilog="""\b
Examples:
  farend script feed.jsonl
  farend script feed.jsonl -o test_feed.py && pytest test_feed.py
  farend script feed.jsonl --connection 2
"""
)
@click.argument("tape", type=options.TAPE)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.option("--force", is_flag=True, help="With --output: replace a file that is there.")
@click.option("--connection", "-c", type=click.IntRange(1), multiple=True, help="This connection alone.")
@options.max_line
def script(tape: Path, output: Path | None, force: bool, connection: tuple[int, ...], max_line: int) -> None:
    """Write a test in Python from a tape: each connection a script, readable, to be changed by hand.

    The test passes as it is: it plays each script against its own mirror. Put your client in the mirror's place.
    """
    from farend.tape.code import python_test
    from farend.tape.index import index
    from farend.tape.reader import warn_if_torn

    with options.told_errors():
        taped = index(tape, max_line=max_line)
        source = python_test(taped, connection)
        warn_if_torn(tape, taped.torn)
    if output is None:
        options.say(source, nl=False)
        return
    if output.exists() and not force:
        options.cannot(f"{output} is there already; --force replaces it")
    try:
        output.write_text(source)
    except OSError as error:
        options.cannot(f"{output} cannot be written: {error.strerror}")
    options.say(f"Written: {output}. Run it with: pytest {output}")
