"""`farend verify`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from farend.cli import options
from farend.core.findings import Finding, NotConnected
from farend.core.messages import counted
from farend.errors import Failure

EXAMPLES_OF_EACH = 3
"""Messages that are named for each place that differs."""
_STATUSES: Final = {True: 0, False: 1, None: options.CANNOT}
_UNKNOWN: Final = "It could not be found out whether the server is as on the tape."


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
                same = _same(failure.findings)
                text = _UNKNOWN if same is None else "The server is not as on the tape."
                voice.say(text, "result", ok=same, findings=len(failure.findings))
                sys.exit(_STATUSES[same])
    except KeyboardInterrupt:
        click.echo("\nStopped.", err=True)
        sys.exit(130)
    _tell(voice, outcome)
    sys.exit(_STATUSES[_same(outcome.findings)])


def _same(findings: Sequence[Finding]) -> bool | None:
    """Whether the server was as on the tape; None where that could not be found out, for nobody could be asked."""
    if findings and all(isinstance(finding, NotConnected) for finding in findings):
        return None
    return not findings


def _tell(voice: options.Voice, outcome: Any) -> None:
    if voice.machine:
        voice.findings(outcome.findings)
    else:
        from farend.dialects.replay import told

        for path, changes in outcome.changes.items():
            options.say(f"{path}  ({len(changes):,} ×)")
            for change in changes[:EXAMPLES_OF_EACH]:
                options.say(f"    {told(change)}")
        others = [one for one in outcome.findings if one not in outcome.drifts]
        if others:
            voice.findings(others)
    same = _same(outcome.findings)
    text = f"{counted(outcome.connections, 'connection')}, {counted(outcome.messages, 'message')}: "
    text += "as on the tape." if same else "not as on the tape."
    facts = {"connections": outcome.connections, "messages": outcome.messages, "findings": len(outcome.findings)}
    voice.say(_UNKNOWN if same is None else text, "result", ok=same, **facts)


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
