"""Lines are spelled so that a person can read them, and read back just as they were."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend.errors import NotATape, TapeDamaged, TapeTooNew
from farend.tape import format as tape_format
from farend.tape.format import (
    Header,
    Kind,
    Line,
    _is_json,
    base64_of,
    header_text,
    line_text,
    parsed_header,
    parsed_line,
)

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "tape.schema.json").read_text())
)
SIDE = st.sampled_from(["client", "server"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
HEADERS_THAT_ARE_NONE = [
    '{"tape":"1"}',
    '{"tape":true}',
    '{"tape":0,"wire":"tcp"}',
    '{"tape":1}',
    '{"tape":1,"wire":"udp"}',
    '{"tape":1,"wire":["tcp"]}',
    '{"tape":1,"wire":"tcp","when":7}',
]
SPELLINGS = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :\t")])


@st.composite
def spelled(draw):
    """JSON text, in one of the ways in which programs spell it."""
    text = json.dumps(draw(JSON), ensure_ascii=draw(st.booleans()), separators=draw(SPELLINGS))
    return text + draw(st.sampled_from(["", "\n", "\r\n"]))


PAYLOADS = st.text() | st.binary() | spelled() | spelled().map(str.encode)


def there_and_back(line, wire):
    text = line_text(line, wire)
    assert "\n" not in text
    SCHEMA.validate(json.loads(text))
    return parsed_line(text, wire, 2, "a tape")


@given(st.integers(1, 10**6), SIDE, st.none() | st.floats(0, 1e6), PAYLOADS, st.lists(st.integers(0, 10**9)))
def test_a_websocket_message_is_read_back_just_as_it_was(number, side, at, payload, fragments):
    line = Line(number, Kind.MESSAGE, side, at, payload, fragments=tuple(fragments))
    assert there_and_back(line, "websocket") == line


@given(SIDE, PAYLOADS.map(lambda said: said if isinstance(said, bytes) else said.encode()))
def test_bytes_of_tcp_are_read_back_just_as_they_were(side, payload):
    line = Line(1, Kind.MESSAGE, side, payload=payload)
    assert there_and_back(line, "tcp") == line


@given(
    st.sampled_from([kind for kind in Kind if kind is not Kind.MESSAGE]),
    SIDE,
    st.none() | st.binary(),
    st.none() | st.integers(0, 65535),
    st.text(),
    st.none() | st.text(),
    st.lists(st.tuples(st.text(), st.text())),
)
def test_all_else_is_read_back_just_as_it_was(kind, side, payload, code, reason, target, headers):
    if kind is Kind.ANSWER and payload is not None:
        payload = "a body"
    line = Line(3, kind, side, 0.5, payload, code, reason, target, code, tuple(headers))
    assert there_and_back(line, "websocket") == line


@pytest.mark.parametrize(
    ("payload", "wire", "spelt"),
    [
        ('{"a": 1}', "websocket", '"json":{"a": 1}}'),
        (b'{"a":1}\n', "tcp", '"tail":"\\n","json":{"a":1}}'),
        (b'{"a":1} \t\n', "tcp", '"tail":" \\t\\n","json":{"a":1}}'),
        ('{"a":1} ', "websocket", '"tail":" ","json":{"a":1}}'),
        (b'{"a":1}', "websocket", '"binary":true,"json":{"a":1}}'),
        ('{"a":\n1}', "websocket", '"text":"{\\"a\\":\\n1}"}'),
        ("[NaN]", "websocket", '"text":"[NaN]"}'),
        ("[" * 100_000, "websocket", '["}'),
        ("12", "websocket", '"text":"12"}'),
        ("é", "websocket", '"text":"é"}'),
        (b"\xff\x00", "tcp", '"base64":"/wA="}'),
        (b"a\x00", "tcp", '"base64":"YQA="}'),
        (b"", "tcp", '"text":""}'),
    ],
)
def test_a_payload_is_as_readable_as_it_can_be(payload, wire, spelt):
    assert line_text(Line(1, Kind.MESSAGE, "client", payload=payload), wire).endswith(spelt)


@pytest.mark.parametrize(
    "text",
    [
        '{"json": {"a": [1, 2]}, "connection": 1, "kind": "message", "from": "client"}',
        '{ "connection": 1, "kind": "message", "from": "client", "json": {"a":[1,2]} }',
        '{"connection":1,"kind":"message","from":"client","json":{"a":[1,2]},"mine":1}',
    ],
)
def test_a_line_that_another_program_has_written_anew_is_read(text):
    assert parsed_line(text, "websocket", 2, "a tape").json == {"a": [1, 2]}


def test_a_header_is_read_back():
    header = Header("tcp", "2026-03-01T12:00:00Z", "tcp://example.com:1", "0.1.0")
    SCHEMA.validate(json.loads(header_text(header)))
    assert parsed_header(header_text(header), "a tape") == header


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "\0", "[" * 100_000, *HEADERS_THAT_ARE_NONE],
)
def test_what_is_no_header_is_no_tape(text):
    with pytest.raises(NotATape, match="x.jsonl is no tape"):
        parsed_header(text, "x.jsonl")


def test_a_newer_tape_names_what_wrote_it():
    with pytest.raises(TapeTooNew, match="version 2, made by farend 9.0, .* up to version 1: update it"):
        parsed_header('{"tape":2,"farend":"9.0","wire":"quic"}', "x.jsonl")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"connection": 0}, "its connection is 0"),
        ({"connection": True}, "its connection is True"),
        ({"kind": "shout"}, "its kind is 'shout', which is none of connect, answer"),
        ({"kind": ["message"]}, "its kind is"),
        ({"from": "me"}, "it is from 'me'"),
        ({"from": ["client"]}, "it is from"),
        ({"at": "soon"}, "its time"),
        ({"at": True}, "its time"),
        ({"code": "1000"}, "its code is '1000', and not a whole number"),
        ({"reason": 1}, "its reason is 1, and not text"),
        ({"text": 5}, "its text is 5"),
        ({"base64": "%"}, "its base64 is none"),
        ({"base64": 7}, "its base64 is none"),
        ({"headers": 7}, "its headers"),
        ({"headers": [["a"]]}, "its headers"),
        ({"headers": [["a", 1]]}, "its headers"),
        ({"fragments": 7}, "its fragments"),
        ({"fragments": [-1]}, "its fragments"),
        ({"kind": "message"}, "it has no payload"),
    ],
)
def test_a_damaged_line_says_what_is_wrong_with_it(change, problem):
    fields = {"connection": 1, "kind": "note", "from": "client"} | change
    with pytest.raises(TapeDamaged, match=f"x.jsonl, line 7: {problem}") as caught:
        parsed_line(json.dumps(fields), "tcp", 7, "x.jsonl")
    assert caught.value.line == 7


@pytest.mark.parametrize("text", ["[]", "nothing", '{"connection":1', "[" * 100_000])
def test_what_is_no_object_is_damage(text):
    with pytest.raises(TapeDamaged, match="it is no JSON object"):
        parsed_line(text, "tcp", 2, "x.jsonl")


JSON_PIECES = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\t",
    '"',
    "a",
    '"a":',
    '""',
    "\\",
    "\\u",
    "d8",
    "00",
    "-",
    "0",
    "1",
    ".",
    "e",
]
ODD_PIECES = ["E", "+", "NaN", "Infinity", "1e999", "9" * 400, "\x00", "\x0b", "\x7f", "\ud800", "é", "true", "nul"]


@given(
    st.lists(st.sampled_from([*JSON_PIECES, *ODD_PIECES]), max_size=12).map(lambda pieces: "[" + "".join(pieces) + "]")
    | spelled()
)
def test_what_is_json_does_not_depend_on_who_is_there_to_tell(text):
    quickly, before = _is_json(text), tape_format._parsed
    try:
        tape_format._parsed = None
        assert _is_json(text) == quickly
    finally:
        tape_format._parsed = before


@pytest.mark.parametrize("text", ["[" * 512 + "]" * 512, "[" + "9" * 1022 + "]", "[" * 2000 + "]" * 2000])
def test_deep_json_is_json_where_the_reader_can_read_it(text):
    assert not _is_json(text) or parsed_line(
        text.join(['{"connection":1,"kind":"message","from":"client","json":', "}"]), "tcp", 2, ""
    )


def printed_without(library, code):
    """What the code prints where the library is not there."""
    code = f"import sys; sys.modules[{library!r}] = None\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_json_is_known_with_the_standard_library_where_nothing_faster_is_there():
    code = (
        "from farend.tape.format import payload_text\n"
        "print(payload_text('[1,2]', bytes_are_usual=True), payload_text('[1,2', bytes_are_usual=True))"
    )
    assert printed_without("orjson", code) == '"json":[1,2] "text":"[1,2"'


def test_base64_is_written_with_the_standard_library_where_nothing_faster_is_there():
    code = "from farend.tape.format import base64_of\nprint(base64_of(bytes(range(256)) * 9).decode())"
    written = printed_without("pybase64", code).encode()
    assert written == base64_of(bytes(range(256)) * 9) == base64.b64encode(bytes(range(256)) * 9)
