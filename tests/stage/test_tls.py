"""TLS with a throw-away authority, trusted by nobody who is not told to."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

import pytest

from farend import MissingExtra, Script, TcpServer, WebSocketServer, WrongState, WrongType
from farend.stage import tls


def test_the_authority_and_the_contexts_are_made_once() -> None:
    assert tls.authority() is tls.authority()
    assert tls.server_context() is tls.server_context()
    assert tls.client_context() is tls.client_context()


def test_the_client_trusts_the_throw_away_authority_and_nobody_else() -> None:
    context = tls.client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_certificate_is_for_this_machine(dial: Any, name: str) -> None:
    with TcpServer(Script().expect("a").send("b"), tls=True) as server:
        with server.client_ssl_context.wrap_socket(dial(server), server_hostname=name) as client:
            client.sendall(b"a")
            assert client.recv(9) == b"b"
            assert client.version() in ("TLSv1.2", "TLSv1.3")


def test_an_own_context(dial: Any) -> None:
    with TcpServer(Script().expect("a").send("b"), tls=tls.server_context(("example.org",))) as server:
        with tls.client_context().wrap_socket(dial(server), server_hostname="example.org") as client:
            client.sendall(b"a")
            assert client.recv(9) == b"b"


def test_over_ipv6(dial: Any) -> None:
    with TcpServer(Script().expect("a").send("b"), tls=True, host="::1") as server:
        assert server.url == f"tls://[::1]:{server.port}"
        with server.client_ssl_context.wrap_socket(dial(server), server_hostname="::1") as client:
            client.sendall(b"a")
            assert client.recv(9) == b"b"


def test_urls_say_that_it_is_tls() -> None:
    with TcpServer(tls=True) as server, WebSocketServer(tls=True) as other:
        assert server.url == f"tls://127.0.0.1:{server.port}"
        assert other.url == f"wss://127.0.0.1:{other.port}"


def test_a_far_end_without_tls_has_no_context() -> None:
    with pytest.raises(WrongState, match="has no TLS: make it with tls=True"):
        _ = TcpServer(name="device").client_ssl_context


@pytest.mark.parametrize("value", [1, "yes", None, object()])
def test_what_tls_cannot_be(value: Any) -> None:
    with pytest.raises(WrongType, match=r"tls= takes True, or an ssl.SSLContext of your own, not "):
        TcpServer(tls=value)


def test_without_trustme_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    tls.authority.cache_clear()
    tls.server_context.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"tls=True needs trustme.*pip install 'farend\[tls\]'"):
            TcpServer(tls=True)
    finally:
        monkeypatch.undo()
        for cached in vars(tls).values():  # what is made from now on belongs together again
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()


@pytest.mark.asyncio
async def test_an_async_client() -> None:
    async with TcpServer(Script().expect("a").send("b"), tls=True) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=server.client_ssl_context)
        writer.write(b"a")
        assert await reader.read(9) == b"b"
        writer.close()
        await writer.wait_closed()


def test_the_throw_away_servers_go_by_assumed_names_for_a_while(dial: Any) -> None:
    """The name that a client gives chooses the certificate, if it is one that the server goes by at the moment."""

    def verified() -> bool:
        server = TcpServer(Script().expect("a").send("b"), tls=True).__enter__()
        try:
            tls.client_context().wrap_socket(dial(server), server_hostname="feed.example.org").close()
        except ssl.SSLCertVerificationError:
            return False
        finally:
            server.close()
        return True

    assert not verified()
    tls.assumed["feed.example.org"] += 1
    try:
        assert verified()
    finally:
        del tls.assumed["feed.example.org"]
    assert not verified()


def test_which_context_is_the_throw_away_one() -> None:
    assert tls.is_available()
    assert tls.is_throw_away(tls.server_context())
    assert not tls.is_throw_away(tls.server_context(("example.org",)))
    assert not tls.is_throw_away(None)


@pytest.mark.parametrize("fault", ["", "expired", "wrong name", "untrusted"])
def test_no_session_ticket_comes_behind_a_handshake(fault: str) -> None:
    """A client that reads on a thread of its own would take it in while it writes (python/cpython#143756)."""
    assert (tls.bad_context(fault) if fault else tls.server_context()).num_tickets == 0
