"""What the opening bytes of a connection give away: another protocol than the far end speaks.

The commonest mistakes with a far end are made before the first message: a client that speaks TLS, HTTP
or WebSocket to a plain port. Its bytes say so plainly to whoever knows them, and to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from farend.core.findings import EndedEarly, Finding, Mismatch, ProtocolViolation, TimedOut, Unexpected
from farend.core.inbox import plain_bytes
from farend.core.matchers import Json, Matcher, Regex, matcher
from farend.core.steps import Expect, title
from farend.core.transcript import Kind, Transcript
from farend.report.line import shown

LIMIT = 2048
"""Bytes of a connection's opening that are looked at."""
SEARCHED = 2_000
"""Entries of a transcript in which they are looked for."""
# A framing may have cut the line ending off the first line: neither expression wants one.
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) [^\s]+ HTTP/\d")
_UPGRADE = re.compile(rb"^upgrade: *websocket *\r?$", re.IGNORECASE | re.MULTILINE)
_TLS = re.compile(rb"\x16\x03[\x00-\x04]")

TLS = (
    "These bytes are a TLS ClientHello: the near end speaks TLS (https://, wss://, ssl=…), and this far end does not."
    " Give the far end tls=True, or let the near end connect without TLS; where reroute leads it here, list its address"
    " with wss://, https:// or tls://."
)
WEBSOCKET = (
    "These bytes are the opening of a WebSocket, and this far end speaks plain TCP."
    " Play the script on a WebSocketServer instead of a TcpServer."
)
HTTP = (
    "These bytes are an HTTP request, and the script expects something else:"
    " does the near end have the address of an HTTP server?"
)
PLAIN_HTTP = (
    "This is a plain HTTP request, without 'Upgrade: websocket':"
    " the near end asked for a page, and not for a WebSocket."
)
PLAIN_TCP = (
    "A WebSocket opens with an HTTP request, and these bytes are none."
    " If the near end is meant to speak plain TCP, play the script on a TcpServer."
)
NO_WEBSOCKET = "If the server is meant to speak plain TCP, dial it with a TcpClient."
NO_LINE = (
    "On a byte stream json= awaits a line, and no line ending came: does the near end end its messages otherwise?"
    " Say so with framing=."
)
JSON_TEXT = "json= takes the value, not its text: write json={…}, without the quotes around it."
FRAMED = (
    "The step has a framing, which cuts a byte stream into messages. A WebSocket has messages of its own, and each is"
    " compared whole."
)
LINE_ENDING = (
    "What came begins with a line ending that no step expects: does the message in front of it end with one?"
    " Expect it there, or give the script framing=lines()."
)


def hints(finding: Finding) -> Iterator[str]:
    """Sentences on what is probably the matter; most findings have none."""
    match finding:
        case ProtocolViolation(about="handshake"):
            yield from _handshake(finding)
        case Mismatch() | Unexpected() | TimedOut() | EndedEarly() if isinstance(finding.got, bytes):
            yield from _opening(finding, finding.got)
            yield from _line_ending(finding, finding.got)
    if isinstance(finding, TimedOut):
        yield from _no_line(finding)
    if isinstance(finding, Mismatch):
        yield from _found_inside(finding)
        yield from _json_text(finding)
        yield from _framed(finding)


def _handshake(finding: ProtocolViolation) -> Iterator[str]:
    data = finding.data[:LIMIT]
    if _TLS.match(data):
        if "TLS" not in finding.problem:
            yield TLS
    elif not _HTTP.match(data):
        if finding.problem.startswith("the server"):
            yield NO_WEBSOCKET
        elif data and not data.startswith(b"HTTP/"):
            yield PLAIN_TCP
    elif not _UPGRADE.search(data):
        yield PLAIN_HTTP


def _opening(finding: Finding, got: bytes) -> Iterator[str]:
    """For words that nobody expected, if they are the first that the near end said."""
    opening = _opening_bytes(finding.place.transcript, got)
    if _TLS.match(opening):
        yield TLS
    elif _HTTP.match(opening) and not _plays_http(finding):
        yield WEBSOCKET if _UPGRADE.search(opening) else HTTP


def _opening_bytes(transcript: Transcript | None, got: bytes) -> bytes:
    """What the near end said first, as far as it began with `got`; the rest of it comes behind the finding."""
    if transcript is None:
        return got[:LIMIT]
    heard = b""
    for entry in islice(transcript, SEARCHED):
        if entry.kind is Kind.RECEIVED and isinstance(entry.payload, bytes):
            heard += entry.payload[: LIMIT - len(heard)]
    # What is not cut into a message yet is not on the transcript.
    heard = heard or got[:LIMIT]
    return heard if heard.startswith(got[: len(heard)]) else b""


def _line_ending(finding: Finding, got: bytes) -> Iterator[str]:
    """For the end of a line that the step in front took without it."""
    step = finding.place.step
    expected = plain_bytes(step) if isinstance(step, Expect) else b""
    begun = finding.place.number > 1 or step is None
    if begun and got.startswith((b"\n", b"\r\n")) and expected is not None and expected[:1] not in (b"\n", b"\r"):
        yield LINE_ENDING


def _plays_http(finding: Finding) -> bool:
    steps = [candidate.step for candidate in finding.candidates] if isinstance(finding, Mismatch) else []
    return any("HTTP" in title(step) for step in [*steps, *finding.place.left[:1]])


def _no_line(finding: TimedOut) -> Iterator[str]:
    """JSON that is whole, and only not known to be."""
    step = finding.place.step
    if isinstance(step, Expect) and isinstance(step.what, Json) and step.framing is None and finding.got:
        yield NO_LINE


def _json_text(finding: Mismatch) -> Iterator[str]:
    step = finding.nearest.step
    if isinstance(step, Expect) and isinstance(step.what, Json):
        yield from about_matcher(step.what, finding.got)


def _found_inside(finding: Mismatch) -> Iterator[str]:
    step = finding.nearest.step
    what = matcher(step.what) if isinstance(step, Expect) else None
    if isinstance(what, Regex):
        yield from about_matcher(what, finding.got)


def _framed(finding: Mismatch) -> Iterator[str]:
    """What was expected is there, in a WebSocket message that has more in it."""
    step, script, transcript = finding.nearest.step, finding.place.script, finding.place.transcript
    if not isinstance(step, Expect) or transcript is None or transcript.opening is None:
        return
    expected = plain_bytes(step)
    got = finding.got.encode() if isinstance(finding.got, str) else finding.got
    framing = step.framing or (script.framing if script is not None else None)
    if framing is not None and expected and isinstance(got, bytes) and expected in got:
        yield FRAMED


def about_matcher(what: Matcher, got: object) -> Iterator[str]:
    """What is often meant otherwise by those who write this matcher.

    A regular expression must match the whole message; many think that a part will do. What `json` takes is the
    value; its text is a string, which no object is equal to.
    """
    if isinstance(what, Json) and isinstance(what.value, str) and what.value.lstrip()[:1] in ("{", "["):
        yield JSON_TEXT
    if isinstance(what, Regex) and isinstance(got, type(what.pattern.pattern)) and len(got) <= LIMIT:
        found = what.pattern.search(got)
        if found:
            yield (
                f"The regular expression is found in the message ({shown(found[0], 40)} at {found.start():,}), and must"
                " match all of it: put .* where something may stand before or behind."
            )
