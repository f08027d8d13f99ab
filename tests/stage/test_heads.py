"""Heads are read as they are, and a request is made the server's."""

import pytest

from farend.stage.heads import Head, parsed

REQUEST = b"GET /mine?x=1 HTTP/1.1\r\nhost: 127.0.0.1:4000\r\nOrigin: http://127.0.0.1:4000\r\nX-Mine:  a b \r\n\r\n"
OWN = {"127.0.0.1:4000"}


def test_a_request_is_made_the_servers():
    head = parsed(REQUEST, request=True).towards("wss://example.com/feed", OWN)
    assert bytes(head) == (
        b"GET /mine?x=1 HTTP/1.1\r\nhost: example.com\r\nOrigin: https://example.com\r\nX-Mine: a b\r\n\r\n"
    )
    assert head.target == "/mine?x=1"


@pytest.mark.parametrize(
    ("asked", "url", "target"),
    [
        ("/", "ws://x", "/"),
        ("/", "ws://x/feed?a=1", "/feed?a=1"),
        ("/feed", "ws://x/feed?a=1", "/feed?a=1"),
        ("/feed?b=2", "ws://x/feed?a=1", "/feed?b=2"),
        ("/", "ws://x?a=1", "/?a=1"),
        ("/other", "ws://x/feed?a=1", "/other"),
    ],
)
def test_the_target_is_the_urls_where_the_client_asks_for_no_other(asked, url, target):
    assert Head(f"GET {asked} HTTP/1.1", ()).towards(url, OWN).target == target


def test_the_urls_user_is_named_unless_the_client_names_one():
    bare = Head("GET / HTTP/1.1", ()).towards("ws://me:pw@x:8000", OWN)
    assert bare.header("authorization") == "Basic bWU6cHc="
    named = Head("GET / HTTP/1.1", (("authorization", "mine"),)).towards("ws://me:pw@x:8000", OWN)
    assert named.headers == (("authorization", "mine"),)
    assert Head("GET / HTTP/1.1", (("Host", "y"),)).towards("ws://me@x:8000", OWN).header("host") == "x:8000"


def test_an_answer():
    head = parsed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", request=False)
    assert (head.status, head.header("upgrade"), head.header("none")) == (101, "websocket", None)


@pytest.mark.parametrize("head", [b"", b"hello", b"GET / HTTP/1.1\r\nno colon", b"GET / HTTP/1.1\r\n folded: x"])
def test_what_is_no_head(head):
    assert parsed(head + b"\r\n\r\n", request=True) is None
    assert parsed(head + b"\r\n\r\n", request=False) is None
