"""Names that are mistyped, or known from elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest

from farend import Plan, Script, TcpClient, TcpServer, WebSocketClient, WebSocketServer
from farend.core.names import KEYWORDS, Hinting, hint, hinted, nearest
from farend.errors import WrongType


def test_the_nearest_is_what_is_spelt_nearly_so() -> None:
    assert nearest("exepct", ["expect", "send"]) == "expect"
    assert nearest("zzz", ["expect", "send"]) is None
    assert nearest("zzz", ["expect", "send"], {"zzz": "send"}) == "send"
    assert hint("exepct", ["expect"]) == "; did you mean 'expect'?"
    assert hint("zzz", ["expect"]) == ""


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: TcpServer(timeout=3), "TcpServer() takes no timeout=; did you mean deadline=?"),  # type: ignore[call-arg]
        (lambda: TcpServer(within=3), "TcpServer() takes no within=; did you mean deadline=?"),  # type: ignore[call-arg]
        (lambda: TcpServer(prot=3), "TcpServer() takes no prot=; did you mean port=?"),  # type: ignore[call-arg]
        (lambda: WebSocketServer(ssl=True), "WebSocketServer() takes no ssl=; did you mean tls=?"),  # type: ignore[call-arg]
        (lambda: TcpClient(zzz=3), "TcpClient() takes no zzz="),  # type: ignore[call-arg]
        (
            lambda: WebSocketClient(None, "ws://x", extra_headers={}),  # type: ignore[call-arg]
            "WebSocketClient() takes no extra_headers=; did you mean headers=?",
        ),
        (lambda: Script(delimiter=b";"), "Script() takes no delimiter=; did you mean framing=?"),  # type: ignore[call-arg]
        (lambda: Script().expect("a", timeout=3), "expect() takes no timeout=; did you mean within=?"),  # type: ignore[call-arg]
        (lambda: Script().send("a", deadline=3), "send() takes no deadline="),  # type: ignore[call-arg]
        (lambda: Script().expect_close(cod=1000), "expect_close() takes no cod=; did you mean code=?"),  # type: ignore[call-arg]
        (lambda: Script().expect_handshake(pth="/"), "expect_handshake() takes no pth=; did you mean path=?"),  # type: ignore[call-arg]
        (
            lambda: TcpServer(Script(), Script()),  # type: ignore[arg-type]
            "TcpServer() takes one script; for each connection in turn, write a list: TcpServer([first, second])",
        ),
        (
            lambda: WebSocketServer(Script(), Plan()),  # type: ignore[arg-type]
            "WebSocketServer() takes one script; for each connection in turn, write a list: "
            "WebSocketServer([first, second]); for each path, a mapping: {'/path': script}",
        ),
        (
            lambda: TcpServer(Script(), "localhost", 80),  # type: ignore[arg-type]
            "TcpServer() takes all but the script by name, and was given 'localhost': "
            "write TcpServer(script, host=…, port=…)",
        ),
        (lambda: TcpServer().accept(timeout=3), "accept() takes no timeout=; did you mean within=?"),  # type: ignore[call-arg]
        (lambda: TcpServer().connection(timeout=3), "connection() takes no timeout=; did you mean within=?"),  # type: ignore[call-arg]
    ],
)
def test_wrong_arguments_are_answered_with_what_was_meant(call: Callable[[], object], text: str) -> None:
    with pytest.raises(WrongType) as caught:
        call()
    assert str(caught.value) == text


def test_other_type_errors_are_left_as_they_are() -> None:
    def takes(one: int, /, *more: int, deadline: float = 1.0) -> int:
        return one + len("a") if deadline else takes(None)  # type: ignore[arg-type]

    def takes_all(**options: Any) -> None:
        raise TypeError("its own")

    assert hinted(takes)(1, deadline=2.0) == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
        hinted(takes)()  # type: ignore[call-arg]
    assert type(caught.value) is TypeError
    with pytest.raises(TypeError, match="its own") as caught:
        hinted(takes_all)(timeout=3)
    assert type(caught.value) is TypeError
    with pytest.raises(WrongType, match=r"takes\(\) takes no one="):
        hinted(takes)(1, one=2)  # type: ignore[call-arg]


def test_the_table_names_arguments_that_there_are() -> None:
    taken = {"deadline", "within", "tls", "host", "unix_path", "max_size", "framing", "what", "payload", "headers"}
    assert {name for names in KEYWORDS.values() for name in names} == taken | {
        "subprotocols",
        "script",
        "returns",
        "raises",
        "required",
    }


def test_an_attribute_that_is_not_there() -> None:
    class Owl(Hinting):
        _synonyms = {"hoot": "call"}

        def call(self) -> None: ...

    for wrong, text in {
        "hoot": "an Owl has no 'hoot'; did you mean 'call'?",
        "cal": "an Owl has no 'cal'; did you mean 'call'?",
        "zzz": "an Owl has no 'zzz'",
        "_cal": "an Owl has no '_cal'",
    }.items():
        with pytest.raises(AttributeError) as caught:
            getattr(Owl(), wrong)
        assert str(caught.value) == text
        assert not hasattr(Owl(), wrong)


@pytest.mark.parametrize(("wrong", "right"), [("stop", "close"), ("uri", "url"), ("transcript", "transcripts")])
def test_a_far_end_knows_what_others_call_its_methods(wrong: str, right: str) -> None:
    with pytest.raises(AttributeError, match=f"a WebSocketServer has no '{wrong}'; did you mean '{right}'"):
        getattr(WebSocketServer(), wrong)


@pytest.mark.parametrize("kind", [Script, TcpServer, WebSocketServer, TcpClient, WebSocketClient])
def test_every_synonym_stands_for_something(kind: type[Hinting]) -> None:
    for name, meant in kind._synonyms.items():
        assert not hasattr(kind, name)
        assert hasattr(kind, meant) or hasattr(WebSocketServer, meant)
