"""The proxy for subprocesses: what it forwards, what it refuses, and that it leaves nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from farend import AddressError, Failure, Script, TcpServer, reroute
from farend.intercept import gateway
from farend.intercept.gateway import Gateway
from farend.stage.loop_thread import shared
from farend.stage.settings import settings

KEY = ("device.example", 5025)


@pytest.fixture
def proxy() -> Iterator[tuple[str, int]]:
    """The address of a gateway."""
    running = Gateway()
    assert str(running) in shared.holders
    yield address(running.variables)
    running.close()


def address(variables: dict[str, str]) -> tuple[str, int]:
    host, _, port = variables["http_proxy"].removeprefix("http://").partition(":")
    return host, int(port)


def ask(proxy: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(proxy, timeout=10) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_a_tunnel_carries_everything_both_ways(proxy: tuple[str, int]) -> None:
    big = bytes(range(256)) * 4096
    script = Script().expect(big).send(big)
    with TcpServer(script) as server, reroute({KEY: server}), socket.create_connection(proxy, timeout=10) as sock:
        sock.sendall(b"CONNECT device.example:5025 HTTP/1.1\r\nHost: device.example:5025\r\n\r\n")
        assert sock.recv(1 << 16) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        sock.sendall(big)
        sock.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: sock.recv(1 << 16), b"")) == big


def test_a_plain_request_loses_its_host(proxy: tuple[str, int]) -> None:
    script = Script().expect(b"GET /a?b=c HTTP/1.1\r\nHost: device.example\r\n\r\n").send(b"HTTP/1.0 200 OK\r\n\r\n")
    with TcpServer(script) as server, reroute({("device.example", 80): server}):
        request = b"GET http://device.example/a?b=c HTTP/1.1\r\nHost: device.example\r\n\r\n"
        assert ask(proxy, request) == b"HTTP/1.0 200 OK\r\n\r\n"


def test_what_is_not_rerouted_goes_where_it_went(proxy: tuple[str, int]) -> None:
    with TcpServer(Script().send(b"hi").close()) as server:
        head = f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n\r\n".encode()
        assert ask(proxy, head).endswith(b"\r\n\r\nhi")


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"CONNECT\r\n\r\n", b"CONNECT host:port HTTP/1.1\r\n\r\n",
     b"CONNECT [::1 HTTP/1.1\r\n\r\n", b"x" * (gateway.LIMIT + 100)],
)  # fmt: skip
def test_what_is_no_request_to_a_proxy(proxy: tuple[str, int], request_: bytes) -> None:
    try:
        assert ask(proxy, request_).startswith(b"HTTP/1.1 400 farend\r\n")
    except ConnectionResetError:  # by what was left unread
        assert len(request_) > gateway.LIMIT


def test_who_says_half_a_request_and_leaves(proxy: tuple[str, int]) -> None:
    assert ask(proxy, b"CONNECT device") == b""


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "deadline", 0.05)
    running = Gateway()
    with socket.create_connection(address(running.variables), timeout=10) as sock:
        assert sock.recv(1) == b""
    running.close()


def test_nobody_there(proxy: tuple[str, int]) -> None:
    answer = ask(proxy, b"CONNECT nowhere.invalid:80 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 farend\r\n")
    assert b"gaierror" in answer


def test_what_strict_refuses_is_told_with_the_line_to_write() -> None:
    with pytest.raises(Failure, match="other.example:80 is not rerouted"), reroute({}, strict=True) as rerouted:
        proxy = address(rerouted.environment())
        with reroute({proxy: proxy}):
            answer = ask(proxy, b"CONNECT other.example:80 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 farend\r\n")
        assert b"Write ('other.example', 80): far_end into reroute" in answer


def test_a_far_end_that_resets_resets_nobody_else(proxy: tuple[str, int]) -> None:
    with TcpServer([Script().expect(b"a").abort(), Script().send(b"hi")]) as server, reroute({KEY: server}):
        head = b"CONNECT device.example:5025 HTTP/1.1\r\n\r\n"
        assert ask(proxy, head + b"a").startswith(b"HTTP/1.1 200")
        assert ask(proxy, head).endswith(b"hi")


def test_open_tunnels_end_with_it() -> None:
    with TcpServer() as server, reroute({KEY: server}) as rerouted:
        sock = socket.create_connection(address(rerouted.environment()), timeout=10)
        sock.sendall(b"CONNECT device.example:5025 HTTP/1.1\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        peer = server.accept()
    with sock:
        assert sock.recv(1) == b""
    assert peer is not None


def test_one_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: Any) -> None:
        raise AddressError("no")

    before = list(shared.holders)
    monkeypatch.setattr(Gateway, "_start", fail)
    with pytest.raises(AddressError):
        Gateway()
    assert shared.holders == before
