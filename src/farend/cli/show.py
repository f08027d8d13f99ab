"""`farend show`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from farend.cli import options
from farend.errors import TapeDamaged
from farend.report.line import fitted
from farend.tape.format import Kind, Line, line_text
from farend.tape.ids import as_text
from farend.tape.reader import TapeReader, warn_if_torn

LOOKS_AGAIN = 0.2
"""Seconds after which --follow looks whether the tape has grown."""


@click.command(
    epilog="""\b
Examples:
  farend show feed.jsonl
  farend show feed.jsonl --from client --grep subscribe
  farend show feed.jsonl --connection 2 --kind message --json | jq .json
  farend show feed.jsonl --follow
"""
)
@click.argument("tape", type=options.TAPE)
@click.option("--connection", "-c", type=click.IntRange(1), multiple=True, help="This connection alone.")
@click.option("--from", "sender", type=click.Choice(["client", "server"]), help="What this side said.")
@click.option("--kind", "-k", type=click.Choice([str(kind) for kind in Kind]), multiple=True, help="Of this kind.")
@click.option("--grep", "-g", metavar="REGEX", help="What has this in its payload.")
@click.option("--last", "-n", type=click.IntRange(1), help="The last so many alone.")
@click.option("--follow", "-f", is_flag=True, help="Go on while the tape grows, or is recorded anew, until Ctrl-C.")
@click.option("--full", is_flag=True, help="Long messages whole.")
@options.max_line
@click.option("--json", "machine", is_flag=True, help="The lines as they are on the tape.")
def show(
    tape: Path,
    connection: tuple[int, ...],
    sender: str | None,
    kind: tuple[str, ...],
    grep: str | None,
    last: int | None,
    follow: bool,
    full: bool,
    max_line: int,
    machine: bool,
) -> None:
    """Show a tape as a conversation: → is said by the client, ← by the server.

    Times are since the tape began; with --json they are those on the tape, which are since each connection began.
    """
    try:
        pattern = re.compile(grep) if grep else None
    except re.error as error:
        options.cannot(f"--grep {grep!r} is no regular expression: {error}")
    width = 1 << 30 if full else _width()

    def is_wanted(line: Line) -> bool:
        return (
            (not connection or line.connection in connection)
            and (sender is None or line.sender == sender)
            and (not kind or line.kind in kind)
            and (pattern is None or bool(pattern.search(as_text(line.payload or ""))))
        )

    def show_once() -> None:
        began: dict[int, float] = {}
        with TapeReader(tape, max_line=max_line, unfinished=not follow) as reader:
            wanted: Iterable[Line] = filter(is_wanted, _lines(reader, follow, began))
            if last is not None and not follow:
                from collections import deque

                wanted = deque(wanted, last)
            if not machine:
                header = reader.header
                said = [str(tape), header.wire, *(part for part in (header.target, header.when) if part)]
                options.say("  ".join(said))
            for line in wanted:
                options.say(line_text(line, reader.header.wire) if machine else fitted(_told(line, began), width))
            if not follow:
                warn_if_torn(tape, reader.torn)

    with options.told_errors():
        try:
            show_once()
            while follow:
                show_once()
        except KeyboardInterrupt:
            click.echo("", err=True)


def _lines(reader: TapeReader, follow: bool, began: dict[int, float]) -> Iterator[Line]:
    """The lines; `began` learns when the connections did, of those that are not shown, too."""
    while True:
        position = reader.position
        try:
            for line in reader:
                if line.kind is Kind.CONNECT and line.at is not None:
                    began[line.connection] = line.at
                yield line
                position = reader.position
        except TapeDamaged:
            if follow and reader.go_to_whole(position):
                continue  # what stood beside the tape is on it now, for its recording is over
            raise
        if not follow:
            return
        time.sleep(LOOKS_AGAIN)  # a file tells nobody that it has grown
        if reader.is_recorded_anew(position):
            return
        if not reader.go_to_whole(position):
            reader.go_to(position)


def _width() -> int:
    from shutil import get_terminal_size

    return max(get_terminal_size().columns - 1, 60)


def _told(line: Line, began: dict[int, float]) -> str:
    since = 0.0 if line.kind is Kind.CONNECT else began.get(line.connection, 0.0)
    at = "" if line.at is None else f"{since + line.at:9.3f} s  "
    arrow = "→" if line.sender == "client" else "←"
    return f"{line.connection:>3}  {at}{_WORDS.get(line.kind, _other)(line, arrow)}"


def _message(line: Line, arrow: str) -> str:
    payload = line.payload or ""
    try:
        text = json.dumps(json.loads(payload), ensure_ascii=False) if payload[:1] in ("{", "[", b"{", b"[") else None
    except (ValueError, RecursionError):
        text = None
    return f"{arrow} {text or repr(payload)}"


def _connect(line: Line, arrow: str) -> str:
    return f"{arrow} connects {line.target or ''}".rstrip()


def _other(line: Line, arrow: str) -> str:
    facts = [line.status, line.code, line.reason, repr(line.payload) if line.payload else None]
    return f"{arrow} " + " ".join([str(line.kind), *(str(fact) for fact in facts if fact)])


_WORDS = {Kind.MESSAGE: _message, Kind.CONNECT: _connect}
