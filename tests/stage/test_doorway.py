"""A connection that was announced begins on the terms that were settled beforehand."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from farend import Failure, Script, TcpServer, WebSocketServer
from farend.stage import tls
from farend.stage.doorway import Announcements, Terms

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO = b"\x81\x85\0\0\0\0hello"
GOODBYE = b"\x88\x80\0\0\0\0"


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """A socket that has its address, and is not connected yet."""
    with socket.socket() as sock:
        sock.settimeout(10)
        sock.bind(("127.0.0.1", 0))
        yield sock


def connected(sock: socket.socket, server: Any, terms: Terms | None) -> socket.socket:
    if terms is not None:
        server.announce(sock.getsockname(), terms)
    sock.connect((server.host, server.port))
    return sock


def speak(sock: socket.socket) -> bytes:
    sock.sendall(HANDSHAKE + HELLO)
    answer = b""
    while not answer.endswith(b"there"):
        answer += sock.recv(1000)
    sock.sendall(GOODBYE)
    return answer


def secured(sock: socket.socket) -> ssl.SSLSocket:
    return tls.client_context().wrap_socket(sock, server_hostname="localhost")


SCRIPT = Script().expect("hello").send("there")


def test_announced_as_tls(client: socket.socket) -> None:
    with WebSocketServer(SCRIPT) as server:
        with secured(connected(client, server, Terms(tls.server_context()))) as secure:
            assert speak(secure).startswith(b"HTTP/1.1 101")


def test_announced_as_plain(client: socket.socket) -> None:
    with WebSocketServer(SCRIPT, tls=True) as server:
        assert speak(connected(client, server, Terms(None))).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("secure", [False, True])
def test_the_first_byte_tells(client: socket.socket, secure: bool) -> None:
    with WebSocketServer(SCRIPT) as server:
        connected(client, server, Terms(tls.server_context(), certain=False))
        if secure:
            with secured(client) as sock:
                assert speak(sock).startswith(b"HTTP/1.1 101")
        else:
            assert speak(client).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("has_tls", [False, True])
def test_who_is_not_announced_meets_the_servers_own_terms(client: socket.socket, has_tls: bool) -> None:
    with TcpServer(Script().expect(b"a").send(b"b"), tls=has_tls) as server:
        server.announce(("127.0.0.1", 1), Terms(tls.server_context()))
        connected(client, server, None)
        with secured(client) if has_tls else client as sock:
            sock.sendall(b"a")
            assert sock.recv(1) == b"b"


def test_a_far_end_that_speaks_first(client: socket.socket) -> None:
    with TcpServer(Script().send(b"welcome")) as server:
        with secured(connected(client, server, Terms(tls.server_context()))) as sock:
            assert sock.recv(7) == b"welcome"


@pytest.mark.parametrize("leaves", ["ends", "resets"])
def test_who_leaves_before_the_first_byte(client: socket.socket, leaves: str) -> None:
    with pytest.raises(Failure, match="Nobody connected|ended the connection|WebSocket"):
        with WebSocketServer(SCRIPT, deadline=0.2) as server:
            connected(client, server, Terms(tls.server_context(), certain=False))
            if leaves == "resets":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()


def test_who_says_nothing_meets_the_deadline(client: socket.socket) -> None:
    with pytest.raises(Failure, match="opened no WebSocket within"):
        with WebSocketServer(SCRIPT, deadline=0.2) as server:
            connected(client, server, Terms(tls.server_context(), certain=False))
            assert client.recv(1) == b""


def test_a_handshake_that_fails_is_told_as_ever(client: socket.socket) -> None:
    with pytest.raises(Failure, match="the client refused the certificate"):
        with WebSocketServer(SCRIPT) as server:
            connected(client, server, Terms(tls.server_context(), certain=False))
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(client, server_hostname="localhost")
            client.close()


def test_both_ends_know_an_address_by_one_spelling() -> None:
    announced, terms = Announcements(), Terms(None)
    announced.announce(("::ffff:127.0.0.1", 5, 0, 0), terms)
    assert announced.take(("127.0.0.1", 5), tls.server_context()) is terms
    assert announced.take(("127.0.0.1", 5), None) == Terms(None)  # once only
