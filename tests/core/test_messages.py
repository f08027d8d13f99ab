from __future__ import annotations

import pytest

from farend.core.messages import Fragments, Handshake, Ping, Pong, printed


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("do not print me")


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("hello", "'hello'"),
        (b"\x00", r"b'\x00'"),
        ("x" * 60, repr("x" * 60)),
        ("x" * 61, repr("x" * 40) + "… (str, 61 characters)"),
        (b"x" * 5000, repr(b"x" * 40) + "… (bytes, 5,000 bytes)"),
        (Ping(b"a"), "Ping(data=b'a')"),
        (list(range(1000)), None),
    ],
)
def test_a_payload_prints_as_one_elided_line(payload: object, text: str | None) -> None:
    shown = printed(payload)
    assert "\n" not in shown
    assert len(shown) < 300
    assert text is None or shown == text


def test_what_cannot_be_printed_is_named() -> None:
    assert "Hostile" in printed(Hostile())
    assert "RuntimeError" in printed(Hostile())


@pytest.mark.parametrize(("parts", "joined"), [(("a", "b"), "ab"), ((b"a", b"", b"b"), b"ab"), (("é",), "é")])
def test_fragments_are_one_message(parts: tuple[str, ...], joined: object) -> None:
    assert Fragments(parts).joined() == joined


def test_a_ping_is_no_pong() -> None:
    assert Ping() != Pong()
    assert Ping(b"a") == Ping(b"a")
    assert len({Ping(), Pong(), Ping()}) == 2


def test_a_handshake_is_read_when_it_is_looked_at() -> None:
    handshake = Handshake(
        "/feed?a=1&a=2&b=", [("Origin", "https://a"), ("X-A", "1"), ("x-a", "2"), ("Sec-WebSocket-Protocol", "v1,v2, ")]
    )
    assert handshake.path == "/feed"
    assert handshake.raw_query == "a=1&a=2&b="
    assert handshake.query == {"a": "2", "b": ""}
    assert handshake.headers["x-a"] == "1, 2"
    assert handshake.origin == "https://a"
    assert handshake.subprotocols == ("v1", "v2")


def test_a_handshake_of_nothing() -> None:
    handshake = Handshake("/")
    assert (handshake.query, handshake.headers, handshake.origin, handshake.subprotocols) == ({}, {}, None, ())
    assert handshake == Handshake("/", [])
    assert handshake != Handshake("/a")
    assert handshake != "/"
    assert hash(handshake) == hash(Handshake("/"))
    assert repr(handshake) == "Handshake('/', headers={})"
