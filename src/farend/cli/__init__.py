"""The command line: `farend serve`, `replay`, `verify`, `show`, `script`, and more, each in a module of its own.

A command is imported when it is called, so that none pays for what another needs. Exit statuses are the same for all:
0 for as it should be, 1 where something was found, 2 for what cannot be done, 130 for Ctrl-C in the middle.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from farend import __version__

COMMANDS: Final = {
    "serve": "Play a script, or a tape, to whoever connects.",
    "record": "Record what a client and a server say, on a tape.",
    "proxy": "Stand between a client and its server, and break things on purpose.",
    "replay": "Replay a tape once as the server, and check the client.",
    "verify": "Replay a tape as the client, and check the server.",
    "check-client": "Check how a WebSocket client takes malformed frames, clause by clause.",
    "show": "Show a tape as a conversation.",
    "script": "Write a test in Python from a tape.",
    "demo": "See farend at work, on real sockets, in a few seconds.",
    "completion": "Print what a shell needs to complete farend's commands.",
}
"""Each is the function of its name, in the module of its name, with `_` for `-`."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"farend.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  farend demo
  farend record wss://example.com/feed --tape feed.jsonl
  farend proxy ws://localhost:8000 --fault latency:0.2
  farend show feed.jsonl
  farend replay feed.jsonl --port-file port.txt
  farend verify feed.jsonl ws://localhost:8000
  farend check-client -- python my_client.py {url}

Exit statuses: 0 all as it should be, 1 something was found, 2 it cannot be done.
The documentation is in the folder docs of the project.
""",
)
@click.version_option(__version__, "-V", "--version", prog_name="farend", message="%(prog)s %(version)s")
def main() -> None:
    """Play the other end of the wire: scripted, recorded and replayed TCP and WebSocket far ends."""


if __name__ == "__main__":
    main()
