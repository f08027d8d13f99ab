"""What was said is a line of a tape, or several where JSON lines came together."""

from __future__ import annotations

import json

import pytest

from farend.tape.format import parsed_line
from farend.tape.spelling import separated, spelled

BEGUN = '{"connection":1,"kind":"message","from":"client",'


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", [b""]),
        (b"PING\n", [b"PING\n"]),
        (b'{"a":1}\n[2]\n', [b'{"a":1}\n', b"[2]\n"]),
        (b'{"a":1}\r\n[2]\r\n', [b'{"a":1}\r\n', b"[2]\r\n"]),
        (b'{"a":1}\n[2]', [b'{"a":1}\n[2]']),
    ],
)
def test_json_lines_are_separated(data, parts):
    assert list(separated(data)) == parts


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize(
    "payload", [b"PING", b"\xff" * 10, b"\xff" * 10_000, b"a" * 10_000, b'{"a":"' + b"b" * 10_000 + b'"}\n']
)
def test_a_payload_is_read_as_it_was_written(payload, readable):
    line = b"".join(spelled(BEGUN, [payload], bytes_are_usual=True, readable=readable)).decode()
    assert parsed_line(line, "tcp", 2, "tape").payload == payload
    shown = set(json.loads(line)) & {"json", "text", "base64"}
    is_text = payload.isascii() and (readable or len(payload) < 4096)
    assert shown == ({"base64"} if not is_text else {"json"} if payload[:1] == b"{" else {"text"})


def test_there_is_a_line_for_each_payload():
    [lines] = spelled(BEGUN, ["a", "[1]"], bytes_are_usual=False)
    assert lines.decode() == f'{BEGUN}"text":"a"}}\n{BEGUN}"json":[1]}}\n'
