"""`farend serve`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import click

from farend.cli import options


@click.command(
    epilog="""\b
Examples:
  farend serve feed.jsonl --port 8765
  farend serve server.py --tcp --port-file port.txt
  farend serve server.py --name greeting

A script.py says `script = Script().expect("hello").send("there")`; a list of scripts plays one on each
connection in turn, and a mapping has one for each path.
"""
)
@click.argument("what", metavar="SCRIPT.PY|TAPE.JSONL", type=options.TAPE)
@options.listening
@click.option("--tcp", is_flag=True, help="A script is played on TCP, and not on a WebSocket. A tape knows by itself.")
@click.option("--name", default="script", show_default=True, help="What in script.py is played.")
@options.rules
@options.deadline("none")
@options.as_json
def serve(
    what: Path,
    where: options.Listening,
    tcp: bool,
    name: str,
    rules: dict[str, Any],
    deadline: float | None,
    machine: bool,
) -> None:
    """Play a script, or a tape, to whoever connects, until Ctrl-C.

    The address is printed, and the port written to --port-file once clients can connect. A tape begins anew for those
    who come when it is over; --ignore to --max-line say how it is read and compared, and are for tapes alone. What
    went wrong is told at the end.
    """
    from farend.cli.serving import run

    with options.told_errors():
        common: dict[str, Any] = {"host": where.host, "port": where.port, "tls": where.tls, "deadline": deadline}
        if what.suffix == ".py":
            options.no_rules(what)
            server = _scripted(_found(what, name), tcp, common)
        else:
            from farend.dialects.replay import replay

            with options.busy(f"Reading {what}"):
                server = replay(what, again=True, **rules, **common)
    run(server, options.Voice(machine), where, until_played=False)


def _found(file: Path, name: str) -> Any:
    try:
        names = runpy.run_path(str(file), run_name="__farend__")
    except Exception as error:  # the user's file may raise anything
        options.cannot(f"{file} cannot be run: {type(error).__name__}: {error}")
    if name not in names:
        options.cannot(
            f"{file} has no {name!r} in it: write {name} = Script()…, or say with --name what is to be played"
        )
    return names[name]


def _scripted(script: Any, tcp: bool, common: Any) -> Any:
    from farend.stage.servers import TcpServer, WebSocketServer

    return TcpServer(script, **common) if tcp else WebSocketServer(script, **common)
