"""A far end that listens until it is over, or until Ctrl-C; `serve` and `replay` are two ways to begin it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from farend.cli.options import Listening, Voice, signalled, told_errors
from farend.core.messages import counted

LEAVING: Final = 1.0
"""Seconds that a client has to leave, once all was played: until then, what it says too much is noticed."""


def run(server: Any, voice: Voice, where: Listening, *, until_played: bool) -> None:
    """Serve, tell the address, and leave with the exit status that the findings make."""
    with told_errors():
        where.begin()
        findings = asyncio.run(_served(server, voice, where, until_played))
    connections = len(server.connections)
    if findings:
        voice.findings(findings)
    told = f"{counted(connections, 'connection')}, {counted(len(findings), 'finding')}."
    voice.say(told, "result", ok=not findings, connections=connections, findings=len(findings))
    sys.exit(1 if findings else 0)


async def _served(server: Any, voice: Voice, where: Listening, until_played: bool) -> list[Any]:
    loop = asyncio.get_running_loop()
    with signalled(loop) as stop:
        await server.__aenter__()
        try:
            where.tell(server.port)
            voice.say(f"Listening on {server.url} (Ctrl-C ends it)", "listening", url=server.url, port=server.port)
            waits: list[asyncio.Task[Any]] = [loop.create_task(stop.wait())]
            if until_played:
                waits.append(loop.create_task(_played(server)))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            # Whoever has said all waits for the client's own end, so that this is not cut off.
            findings: list[Any] = await server.aclose(wait=until_played and not stop.is_set(), check=None)
        finally:
            await server.aclose(check=None)
    return findings or (server.missing() if until_played else [])


async def _played(server: Any) -> bool:
    from farend.errors import Failure

    try:
        await server.played()
        await server.left(within=LEAVING)
    except Failure:
        pass  # told at the end, with all else
    return True
