from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farend.core.conversation import Conversation
from farend.core.events import Connected, Ended, Received, Violated
from farend.core.findings import Mismatch, Place, ProtocolViolation, Unexpected
from farend.core.framing import Framing, lines, until
from farend.core.matchers import regex
from farend.core.messages import Handshake
from farend.core.script import Script
from farend.report.hints import FRAMED, HTTP, LINE_ENDING, PLAIN_HTTP, PLAIN_TCP, TLS, WEBSOCKET, hints

Play = Callable[..., Conversation]

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
REQUEST = b"GET /feed HTTP/1.1\r\nHost: localhost:4000\r\nAccept: */*\r\n\r\n"
OPENED = Connected(Handshake("/"))
UPGRADE = b"GET /feed HTTP/1.1\r\nHost: localhost:4000\r\nUPGRADE: WebSocket\r\nConnection: Upgrade\r\n\r\n"


def told(conversation: Conversation) -> list[str]:
    (finding,) = conversation.findings
    return list(hints(finding))


@pytest.mark.parametrize(("data", "hint"), [(HELLO, TLS), (REQUEST, HTTP), (UPGRADE, WEBSOCKET)])
@pytest.mark.parametrize("expected", [b"PING\n", b"P", regex("PING"), regex(b"P.*"), b"PING" * 200])
@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_another_protocol_is_named_by_its_opening(
    play: Play, data: bytes, hint: str, expected: object, pieces: int
) -> None:
    size = -(-len(data) // pieces)
    said = [Received(data[at : at + size]) for at in range(0, len(data), size)]
    conversation = play(Script().expect(expected), *said, Ended(), stream=True)
    assert hint in told(conversation)


@pytest.mark.parametrize(("data", "hint"), [(HELLO, TLS), (REQUEST, HTTP), (UPGRADE, WEBSOCKET)])
def test_also_where_nothing_at_all_was_expected(play: Play, data: bytes, hint: str) -> None:
    assert told(play(Script(), Received(data), stream=True, finish=True)) == [hint]


def test_also_where_the_framing_waits_for_an_end(play: Play) -> None:
    conversation = play(Script(framing=until(b"\xff\xff")).expect(b"PING"), Received(HELLO), Ended(), stream=True)
    assert told(conversation) == [TLS]


@pytest.mark.parametrize(("data", "hint"), [(REQUEST, HTTP), (UPGRADE, WEBSOCKET)])
@pytest.mark.parametrize("framing", [lines(), until(b"\r\n")])
def test_also_where_the_framing_cuts_lines(play: Play, data: bytes, hint: str, framing: Framing) -> None:
    assert told(play(Script(framing=framing).expect("PING"), Received(data), stream=True)) == [hint]


def test_a_script_that_plays_http_is_not_told_of_http(play: Play) -> None:
    script = Script().expect(b"GET /other HTTP/1.1\r\n")
    assert told(play(script, Received(REQUEST), stream=True)) == []


def test_http_that_comes_later_is_a_message_like_any_other(play: Play) -> None:
    script = Script().expect(b"hello").expect(b"there")
    assert told(play(script, Received(b"hello" + REQUEST), stream=True)) == []


def test_messages_of_a_websocket_are_not_looked_at(play: Play) -> None:
    assert told(play(Script().expect("a"), Received(REQUEST.decode()))) == []


def test_without_a_transcript_there_are_still_the_bytes() -> None:
    assert list(hints(Unexpected(Place(), [REQUEST]))) == [HTTP]


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (HELLO, [TLS]),
        (REQUEST, [PLAIN_HTTP]),
        (UPGRADE, []),
        (b"PING\n", [PLAIN_TCP]),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", []),
        (b"", []),
    ],
)
def test_what_failed_to_open_a_websocket(play: Play, data: bytes, hint: list[str]) -> None:
    finding = ProtocolViolation(Place(), "it did not open a WebSocket", data, "handshake")
    assert list(hints(finding)) == hint


def test_tls_is_told_once() -> None:
    finding = ProtocolViolation(Place(), "it speaks TLS, and this far end does not", HELLO, "handshake")
    assert list(hints(finding)) == []


def test_other_violations_need_no_hint(play: Play) -> None:
    assert told(play(Script().expect("a"), Violated("reserved bits must be 0", REQUEST))) == []


# -- line endings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_ending_that_the_last_step_left_behind(play: Play, ending: bytes) -> None:
    script = Script().expect(b"hello").send(b"?").expect(b"there")
    assert told(play(script, Received(b"hello" + ending + b"there" + ending), stream=True)) == [LINE_ENDING]
    assert told(play(Script().expect(b"hello"), Received(b"hello" + ending), stream=True, finish=True)) == [LINE_ENDING]


def test_a_line_ending_that_is_expected_or_first(play: Play) -> None:
    script = Script().expect(b"hello").expect(b"\r\nthere")
    assert told(play(script, Received(b"hello\nthere\n"), stream=True)) == []
    assert told(play(Script().expect(b"hello"), Received(b"\nhello"), stream=True)) == []
    assert told(play(Script().expect(b"a").expect(regex(b"b")), Received(b"a\nc"), Ended(), stream=True)) == []
    assert told(play(Script(framing=lines()).expect(b"a").expect(b"b"), Received(b"a\n\n"), stream=True)) == []


# -- a framing where messages need none -----------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        Script(framing=lines()).expect("a"),
        Script().expect("a", framing=until(";")),
        Script(framing=lines()).expect(b"a"),
    ],
)
@pytest.mark.parametrize("got", ["a\n", b"a;b", "ba"])
def test_what_a_framing_would_have_cut_out(play: Play, script: Script, got: object) -> None:
    assert FRAMED in told(play(script, Received(got), opening=OPENED))  # type: ignore[arg-type]


def test_a_framing_that_is_not_to_blame(play: Play) -> None:
    assert told(play(Script().expect("a"), Received("a\n"), opening=OPENED)) == []
    assert told(play(Script(framing=lines()).expect("a"), Received("b"), opening=OPENED)) == []
    assert told(play(Script(framing=lines()).expect("a"), Received(b"ab\n"), stream=True)) == []


# -- regular expressions --------------------------------------------------------------------------


def test_a_regular_expression_that_is_found_inside(play: Play) -> None:
    (hint,) = told(play(Script().expect(regex(r"\d+")), Received("id=15;")))
    assert hint == (
        "The regular expression is found in the message ('15' at 3), and must match all of it:"
        " put .* where something may stand before or behind."
    )


@pytest.mark.parametrize("got", ["none", b"15;", "15;" * 2000])
def test_a_regular_expression_that_is_not(play: Play, got: object) -> None:
    assert told(play(Script().expect(regex(r"\d+")), Received(got))) == []  # type: ignore[arg-type]


def test_a_mismatch_with_what_a_reply_would_be(play: Play) -> None:
    from farend.core.commands import Close
    from farend.core.findings import Candidate
    from farend.core.matchers import Difference

    finding = Mismatch(Place(), "x", (Candidate(Close(), Difference("value", 1, "x")),))
    assert list(hints(finding)) == []


def test_the_text_of_a_json_value_is_not_the_value() -> None:
    from farend.core.findings import Candidate, Mismatch, Place
    from farend.core.matchers import json
    from farend.core.steps import Expect
    from farend.report.hints import JSON_TEXT, hints

    expected = json('{"a": 1}')
    difference = expected.difference('{"a": 1}')
    assert difference is not None
    assert list(hints(Mismatch(Place(), '{"a": 1}', (Candidate(Expect(expected), difference),)))) == [JSON_TEXT]


def test_json_that_is_whole_and_is_not_known_to_be() -> None:
    from farend.core.findings import Place, TimedOut
    from farend.core.framing import lines
    from farend.core.matchers import json
    from farend.core.steps import Expect
    from farend.report.hints import NO_LINE, hints

    def waited(framing: Any = None, got: bytes = b'{"a": 1}') -> list[str]:
        place = Place(step=Expect(json({"a": 1}), framing))
        return list(hints(TimedOut(place, "say it", 1.0, got)))

    assert waited() == [NO_LINE]
    assert waited(lines()) == []
    assert waited(got=b"") == []


def test_a_server_that_speaks_no_websocket() -> None:
    from farend.core.findings import Place, ProtocolViolation
    from farend.report.hints import NO_WEBSOCKET, hints

    finding = ProtocolViolation(Place(), "the server did not accept the WebSocket: oops", b"220 smtp", "handshake")
    assert list(hints(finding)) == [NO_WEBSOCKET]
