"""`farend verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from farend.cli import options
from farend.core.findings import NotConnected
from farend.core.messages import counted
from farend.errors import Failure

EXAMPLES_OF_EACH = 3
"""Messages that are named for each place that differs."""


@click.command(
    epilog="""\b
Examples:
  farend verify session.jsonl ws://localhost:8000
  farend verify session.jsonl --drift                  the server that it was recorded from
  farend verify session.jsonl wss://example.com/feed --shape --json
"""
)
@click.argument("tape", type=options.TAPE)
@click.argument("url", required=False)
@options.rules
@options.deadline()
@click.option("--drift", is_flag=True, help="Play all of it, and report all that differs, by path.")
@click.option("--shape", is_flag=True, help="--drift, of names and types alone: values may be others.")
@click.option("--header", multiple=True, metavar="'NAME: VALUE'", help="A header for each handshake.")
@click.option("--insecure", is_flag=True, help="Check no certificate.")
@options.as_json
def verify(
    tape: Path,
    url: str | None,
    rules: dict[str, Any],
    deadline: Any,
    drift: bool,
    shape: bool,
    header: tuple[str, ...],
    insecure: bool,
    machine: bool,
) -> None:
    """Replay a tape as the client, against a server, and check what the server says.

    URL is the server's; without, it is the one on the tape. Ends with 0 if the server said what is on the tape, with
    1 if it said something else, and with 2 if that could not be found out.
    """
    from farend.dialects.replay import verify as verified

    voice = options.Voice(machine)
    try:
        with options.told_errors(), options.busy(f"Replaying {tape}"):
            try:
                outcome = verified(
                    tape,
                    url,
                    **rules,
                    drift="shape" if shape else drift,
                    headers=dict(map(_header, header)),
                    tls=_unchecked() if insecure else None,
                    deadline=deadline,
                )
            except Failure as failure:
                voice.findings(failure.findings)
                voice.say("The server is not as on the tape.", "result", ok=False, findings=len(failure.findings))
                unknown = any(isinstance(finding, NotConnected) for finding in failure.findings)
                sys.exit(options.CANNOT if unknown else 1)
    except KeyboardInterrupt:
        click.echo("\nStopped.", err=True)
        sys.exit(130)
    _tell(voice, outcome)
    sys.exit(0 if outcome.same else 1)


def _tell(voice: options.Voice, outcome: Any) -> None:
    if voice.machine:
        voice.findings(outcome.findings)
    else:
        from farend.dialects.replay import told

        for path, changes in outcome.changes.items():
            click.echo(f"{path}  ({len(changes):,} ×)")
            for change in changes[:EXAMPLES_OF_EACH]:
                click.echo(f"    {told(change)}")
        others = [one for one in outcome.findings if one not in outcome.drifts]
        if others:
            voice.findings(others)
    verdict = "as on the tape" if outcome.same else "not as on the tape"
    text = f"{counted(outcome.connections, 'connection')}, {counted(outcome.messages, 'message')}: {verdict}."
    facts = {"connections": outcome.connections, "messages": outcome.messages, "findings": len(outcome.findings)}
    voice.say(text, "result", ok=outcome.same, **facts)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        options.cannot(f"--header takes 'Name: value', not {text!r}")
    return name.strip(), value.strip()


def _unchecked() -> Any:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
