"""What came of playing a test with every split, told as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farend.core.messages import counted
from farend.core.splits import Found, Split, Spot, Stream
from farend.report.hexrows import row
from farend.report.raised import raised

AROUND = 16
"""Bytes shown on each side of a cut."""
SHOWN = 5
"""Cuts shown, where the smallest split has many."""


def how_many(found: Found) -> str:
    """How many splits were played, of how many, and of what."""
    streams = f"{counted(found.said, 'byte')} on {counted(len(found.streams), 'connection')}"
    if found.played == found.possible:
        return f"played all {counted(found.possible, 'split')} of {streams}"
    return f"played {found.played:,} of {counted(found.possible, 'split')} of {streams}"


def hurried(connections: int) -> str:
    """On how many connections the near end did not read, so that it got the rest in one."""
    if not connections:
        return ""
    return f"; {counted(connections, 'time')} the near end read no more, and the rest was sent in one"


def failure(name: str, found: Found) -> str:
    """The smallest split that a test fails with."""
    assert found.split is not None
    assert found.error is not None
    places = list(_places(found.split))
    first = _told(found, places)
    lines = [f"{name} fails when {first}.", ""]
    for spot, is_cut in places[:SHOWN]:
        lines += _shown(spot, is_cut, found.streams)
    if len(places) > SHOWN:
        lines += [f"… and {counted(len(places) - SHOWN, 'place')} more", ""]
    lines.append(f"It then raises {raised(found.error)}: its traceback is above.")
    lines.append(f"With each message alone it passes; {_effort(found)}.")
    return "\n".join(lines)


def again(name: str) -> str:
    """The note on a test that fails when it is played again, with nothing cut."""
    return (
        f"every_split: {name} passes once, and fails when it is played again with nothing cut, so no split is to "
        "blame. Either it fails now and then, or what it left behind the first time is in its way: a fixture that "
        "is set up once for all runs, a list that grows, a connection that stays open. Make in the test what "
        "every run needs new."
    )


def unsplit(name: str) -> str:
    """The note on a test that fails before anything is cut."""
    return f"every_split: {name} fails without any split, with each message of the far end alone; nothing was cut yet."


def nothing_said(name: str) -> str:
    """What to say of a test in which there is nothing to cut."""
    return (
        f"every_split: no far end said anything on a connection that began in {name}, so there is nothing to cut. "
        "It cuts what TcpServer, WebSocketServer, TcpClient, WebSocketClient and the servers made of them send, and "
        "what a TestingSocket receives, on connections that the test itself makes: connect there, not in a fixture"
    )


def _effort(found: Found) -> str:
    smallest = ""
    if found.shrinking:
        runs = counted(found.shrinking, "run")
        smallest = f", then {runs} to find the smallest" if found.smallest else f", then {runs} to find a small one"
    return how_many(found) + smallest


def _places(split: Split) -> Iterator[tuple[Spot, bool]]:
    """Where bytes are cut, and where messages come together."""
    yield from ((spot, True) for spot in sorted(split.cuts or ()))
    yield from ((spot, False) for spot in sorted(split.joins or ()))


def _told(found: Found, places: list[tuple[Spot, bool]]) -> str:
    split = found.split
    assert split is not None
    if split.cuts is None:
        return "the far end's bytes come one at a time"
    if split.joins is None:
        return "the far end's messages come together"
    (number, at), is_cut = places[0]
    stream = found.streams[number]
    told = _cut(stream, at) if is_cut else _join(stream, at)
    more = f", and {counted(len(places) - 1, 'place')} more" if len(places) > 1 else ""
    return told + more


def _cut(stream: Stream, at: int) -> str:
    index, begin, end = stream.message_at(at)
    return f"{_message(stream, index)} is cut behind byte {at - begin:,} of {end - begin:,}"


def _join(stream: Stream, at: int) -> str:
    index, _, _ = stream.message_at(at)
    return f"{_message(stream, index)} comes together with the one behind it"


def _message(stream: Stream, index: int) -> str:
    if stream.opening and index == 0:
        return "the far end's handshake"
    return f"{stream.unit} {index + 1 - stream.opening:,} of {len(stream.ends) - stream.opening:,}"


def _shown(spot: Spot, is_cut: bool, streams: Sequence[Stream]) -> list[str]:
    number, at = spot
    stream = streams[number]
    index, begin, end = stream.message_at(at)
    behind = end if is_cut else stream.ends[index + 1]
    left, right = bytes(stream.data[max(begin, at - AROUND) : at]), bytes(stream.data[at : min(behind, at + AROUND)])
    told = _cut(stream, at) if is_cut else _join(stream, at)
    middle = "-- cut " if is_cut else "-- no cut "
    return [
        f"{stream.name}: {told}",
        "",
        "  " + row(left, max(begin, at - AROUND) - begin),
        "  " + middle.ljust(len(row(left, 0)), "-"),
        "  " + row(right, at - begin),
        "",
    ]
