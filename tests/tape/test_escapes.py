"""A secret is the same one however JSON, URLs and forms write it, and a placeholder leaves JSON what it is."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farend import Redaction
from farend.tape.escapes import meant, replaced, ways

TEXT = st.text(st.sampled_from("abc/+ =&<>\"\\'%äß€😀\n"), min_size=1, max_size=8)


def writers():
    """What programs write secrets with."""
    yield lambda text: text
    yield lambda text: json.dumps(text)[1:-1]
    yield lambda text: json.dumps(text, ensure_ascii=False)[1:-1]
    yield lambda text: json.dumps(text)[1:-1].replace("/", "\\/")  # PHP
    yield lambda text: urllib.parse.quote(text, safe="")
    yield lambda text: urllib.parse.quote_plus(text)
    yield lambda text: urllib.parse.urlencode({"q": text})[2:]


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
    assert ways(b"\xff/") == {b"\xff/", b"%FF%2F", b"%ff%2f"}


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (b'{"n":123456}', b'{"n":"<s>"}'),
        (b'[123456, -1, "123456"]', b'["<s>", -1, "<s>"]'),
        (b'{"s": "it is 123456 , or \\"123456\\""}', b'{"s": "it is <s> , or \\"<s>\\""}'),
        (b'{"n":\n123456\n}\n', b'{"n":\n"<s>"\n}\n'),
        (b"the number 123456", b"the number <s>"),
        (b'{"cut": "123456', b'{"cut": "<s>'),
    ],
)
def test_a_number_in_json_becomes_text(data, written):
    assert replaced(data, b"123456", b"<s>") == written


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
