"""A secret is the same one however JSON, URLs and forms write it, and a placeholder leaves JSON what it is."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend import Redaction
from farend.tape.escapes import meant, numbers_replaced, ways

TEXT = st.text(st.sampled_from("abc/+ =&<>\"\\'%äß€😀\n~!*()"), min_size=1, max_size=8)


def writers():
    """What programs write secrets with."""
    yield lambda text: text
    yield lambda text: json.dumps(text)[1:-1]
    yield lambda text: json.dumps(text, ensure_ascii=False)[1:-1]
    yield lambda text: json.dumps(text)[1:-1].replace("/", "\\/")  # PHP
    yield lambda text: urllib.parse.quote(text, safe="")
    yield lambda text: urllib.parse.quote_plus(text)
    yield lambda text: urllib.parse.urlencode({"q": text})[2:]
    yield lambda text: urllib.parse.quote(text)  # paths
    yield lambda text: urllib.parse.quote(text, safe="=")
    yield lambda text: urllib.parse.quote(text, safe="!'()*~")  # encodeURIComponent
    yield lambda text: urllib.parse.quote_plus(text, safe="*").replace("~", "%7E")  # a browser's form
    yield (
        lambda text: json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )  # Go


@given(TEXT)
def test_every_usual_way_to_write_it_is_one(text):
    found = ways(text.encode())
    for write in writers():
        assert write(text).encode() in found


@given(TEXT)
def test_what_json_writes_is_meant(text):
    for ascii_only in (True, False):
        written = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()
        if b"\\" in written:
            assert meant(written) == text.encode()


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        (b"plain", b"plain"),
        (b"a%2Fb", b"a/b"),
        (b"a%2fb", b"a/b"),
        (rb"a\/b", b"a/b"),
        (rb"half\u12", rb"half\u12"),
        (rb"\ud800", b"\xed\xa0\x80"),
        (b"\xff%2F", b"\xff/"),
    ],
)
def test_what_is_meant(written, secret):
    assert meant(written) == secret


def test_bytes_that_are_no_text_are_written_for_urls_alone():
    assert ways(b"\xff/") == {b"\xff/", b"%FF%2F", b"%ff%2f", b"%FF/", b"%ff/"}


def test_what_dotnet_writes_in_json_is_one():
    assert rb"\u00E4\u002B/\u0022\u0027\u003C\uD83D\uDE00" in ways("ä+/\"'<😀".encode())


NUMBERS = {b"123456": b"<s>", b"777888": b"<t>"}


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (b'{"n":123456}', b'{"n":"<s>"}'),
        (b'[123456, -1, "123456",777888]', b'["<s>", -1, "123456","<t>"]'),
        (b' {"n":123456}', b' {"n":"<s>"}'),
        (b'42["e",{"n":123456}]', b'42["e",{"n":"<s>"}]'),
        (b'{"n":1234567}', b'{"n":"<s>"}'),
        (b'{"n":-123456, "m":123456.5}', b'{"n":"<s>", "m":"<s>"}'),
        (b'{"s": "it is 123456 , or \\"123456\\"", "n":\n123456\n}\n', None),
        (b'{"a":1,"n":123456', b'{"a":1,"n":"<s>"'),
        (b'{"cut": "123456', b'{"cut": "123456'),
        (b"the numbers: 123456, 777888", b"the numbers: 123456, 777888"),
        (b"{no JSON 123456}", b"{no JSON 123456}"),
    ],
)
def test_a_number_in_json_becomes_text(data, written):
    expected = data.replace(b"\n123456\n", b'\n"<s>"\n') if written is None else written
    assert numbers_replaced(data, NUMBERS) == expected


@pytest.mark.parametrize(
    "again",
    [
        {"m": "pässwörd/99"},
        {"m": ["x", "pässwörd/99!"]},
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_no_way_to_write_a_known_secret_gets_on_a_tape(again, first):
    redactor = Redaction().start()
    redactor.said(json.dumps({"password": "pässwörd/99"}, ensure_ascii=first))
    assert "99" not in redactor.said(json.dumps(again))
    assert "99" not in redactor.said(json.dumps(again, ensure_ascii=False))
    assert "99" not in redactor.said(json.dumps(again).replace("/", "\\/"))
    assert "99" not in redactor.said("q=" + urllib.parse.quote_plus("pässwörd/99"))


def test_a_number_that_is_a_secret_leaves_json_what_it_is():
    redactor = Redaction().start()
    redactor.said('{"token":98765432101234}')
    assert redactor.said('{"op":"x","n":98765432101234}') == '{"op":"x","n":"<secret:token:1>"}'


def test_a_secret_that_came_in_a_form_is_found_without_its_plus_signs():
    redactor = Redaction().start()
    redactor.said("password=correct+horse+b%C3%A4ttery")
    assert redactor.said('{"echo":"correct horse bättery"}') == '{"echo":"<secret:password:1>"}'
    assert redactor.said("x=correct%20horse%20b%C3%A4ttery") == "x=<secret:password:1>"


@pytest.mark.parametrize("token", ["s%05d/+= &é", "%05d", "/+%05d="])
def test_as_many_secrets_are_known_however_many_ways_there_are_to_write_them(token):
    redactor = Redaction().start()
    tokens = [token % (number * 7) for number in range(300)]
    for one in tokens:
        redactor.said(json.dumps({"token": one}))
    found = [redactor.said(json.dumps({"x": one})) for one in tokens if len(one) >= 6]
    assert all("<secret:token:" in one for one in found)
