"""The seam: what is resolved, dialled and trusted, looked at from below the libraries."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import ssl
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import certifi
import httpx
import pytest
import requests
from aiohttp import connector as aiohttp_connector

from farend import AddressError, Failure, Script, TcpServer, WebSocketServer, anything, reroute, until
from farend.intercept import routes, seams
from farend.intercept.seams import patches
from farend.stage import tls

HOST = "api.exchange.com"
URL = f"https://{HOST}/price"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n64250"
HTTP = Script(framing=until(b"\r\n\r\n")).expect(anything()).send(ANSWER).close()


@pytest.fixture
def web() -> Iterator[TcpServer]:
    """A far end that answers HTTP to whoever comes, and finds nothing in who does not trust it."""
    server = TcpServer(HTTP, tls=True).__enter__()
    yield server
    server.close()


# -- names ------------------------------------------------------------------------------------------


def test_a_name_has_one_stand_in_for_good(web: TcpServer) -> None:
    with reroute({HOST: web}):
        first = socket.gethostbyname(HOST)
        assert socket.gethostbyname(HOST.upper() + ".") == first
        assert socket.gethostbyname_ex(HOST) == (HOST, [], [first])
    with reroute({(HOST, 443): web}):
        assert socket.gethostbyname(HOST) == first
    with pytest.raises(socket.gaierror):
        socket.gethostbyname(HOST)


@pytest.mark.parametrize("host", [HOST, HOST.upper(), HOST.encode(), bytearray(HOST.encode())])
@pytest.mark.parametrize("port", [443, "443", "https", b"https"])
def test_every_way_to_ask(web: TcpServer, host: Any, port: Any) -> None:
    with reroute({(HOST, 443): web}):
        [(family, kind, proto, name, address)] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        assert (family, kind, proto, name) == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        assert address == (routes.stand_in(HOST), 443)


def test_what_else_is_asked(web: TcpServer) -> None:
    stand_in = routes.stand_in(HOST)
    with reroute({(HOST, 443): web}):
        assert socket.getaddrinfo(HOST, None)[0][4] == (stand_in, 0)
        assert socket.getaddrinfo(HOST, 443, socket.AF_INET6)[0][4] == (f"::ffff:{stand_in}", 443, 0, 0)
        assert socket.getaddrinfo(HOST, 443, flags=socket.AI_CANONNAME)[0][3] == HOST
        assert socket.getaddrinfo(stand_in, 443)[0][4] == (stand_in, 443)
        for other in [(HOST, 80), ("other.invalid", 443)]:
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo(*other)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(HOST, 443, type=socket.SOCK_DGRAM)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(HOST, "no such service")
        assert socket.getaddrinfo("127.0.0.1", 443)[0][4] == ("127.0.0.1", 443)
        assert socket.getaddrinfo(None, 443, type=socket.SOCK_STREAM)
        assert socket.getaddrinfo("127.0.0.1", 0, flags=socket.AI_PASSIVE)
        with pytest.raises(TypeError):
            socket.getaddrinfo(5, 443)
        with pytest.raises(TypeError):
            socket.gethostbyname(5)  # type: ignore[arg-type]
        with pytest.raises(socket.gaierror):
            socket.gethostbyname_ex("other.invalid")


def test_strict_gives_every_name_a_stand_in_but_this_machines_own(web: TcpServer) -> None:
    with reroute({HOST: web}, strict=True):
        assert socket.gethostbyname("other.example") == routes.stand_in("other.example")
        assert socket.gethostbyname("localhost") == "127.0.0.1"
        assert not routes.is_local("other.example")
        assert routes.is_local("sub.localhost")
        assert routes.is_local(socket.gethostname().lower())


@pytest.mark.asyncio
async def test_loops_ask_the_same(web: TcpServer) -> None:
    loop = asyncio.get_running_loop()
    with reroute({HOST: web}):
        answer = await loop.getaddrinfo(HOST, 443, type=socket.SOCK_STREAM)
        assert answer[0][4] == (routes.stand_in(HOST), 443)
        assert (await loop.getaddrinfo("127.0.0.1", 443))[0][4] == ("127.0.0.1", 443)


@pytest.mark.asyncio
async def test_aiodns_asks_the_same(web: TcpServer) -> None:
    aiodns = pytest.importorskip("aiodns")
    with reroute({(HOST, 443): web}):
        resolver = aiodns.DNSResolver()
        found = await resolver.getaddrinfo(HOST, port=443, type=socket.SOCK_STREAM)
        assert [node.addr for node in found.nodes] == [(routes.stand_in(HOST).encode(), 443)]
        local = await resolver.getaddrinfo("127.0.0.1", port=443, family=socket.AF_INET)
        assert local.nodes[0].addr[1] == 443
        await resolver.close()


# -- connections ------------------------------------------------------------------------------------


def test_who_connects_step_by_step_is_announced_once() -> None:
    with WebSocketServer(Script().expect("hello")) as server, reroute({f"wss://{HOST}": server}):
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex((HOST, 443))
            sock.setblocking(True)
            sock.connect_ex((HOST, 443))
            assert server._announced is not None
            assert len(server._announced._terms) <= 1
            with tls.client_context().wrap_socket(sock, server_hostname=HOST) as client:
                client.sendall(
                    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                    b"\x81\x85\0\0\0\0hello"
                )
                assert client.recv(12) == b"HTTP/1.1 101"
                assert not server._announced._terms
                client.shutdown(socket.SHUT_WR)
                while client.recv(1000):
                    pass


def test_addresses_that_are_none_are_the_systems_to_refuse(web: TcpServer) -> None:
    with reroute({HOST: web}), socket.socket() as sock:
        for address in (None, "host", ("host",), (1, 2), (HOST, "https")):
            with pytest.raises((TypeError, OSError)):
                sock.connect(address)  # type: ignore[arg-type]


def test_a_name_kept_from_a_block_that_was_left(web: TcpServer) -> None:
    """Its stand-in leads nowhere; within another block, to where the name leads."""
    with TcpServer(Script().send(b"hi")) as real:
        with reroute({("localhost", 1): web}):
            kept = socket.gethostbyname("localhost")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((kept, real.port))
        with reroute({HOST: web}), socket.create_connection((kept, real.port), timeout=10) as client:
            assert client.recv(2) == b"hi"


class Guest(asyncio.Protocol):
    """Tells when its connection is gone."""

    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set_result(None)


@pytest.mark.asyncio
async def test_loops_that_dial_below_python(web: TcpServer) -> None:
    """What uvloop is told: a local address, a family, an own server name; and what is none of ours."""
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context()
    secure = {"host": HOST, "port": 443, "ssl": context}
    with TcpServer(Script().send(b"hi")) as real, reroute({f"https://{HOST}": web}):
        for options in (
            secure,
            secure | {"server_hostname": HOST},
            secure | {"local_addr": ("127.0.0.1", 0)},
            secure | {"family": socket.AF_INET},
            {"host": "127.0.0.1", "port": real.port},
        ):
            transport, guest = await loop.create_connection(Guest, **options)  # type: ignore[call-overload]
            transport.abort()
            await guest.gone
        with pytest.raises(ssl.SSLCertVerificationError):
            await loop.create_connection(Guest, **secure, server_hostname="other.example")  # type: ignore[call-overload]
        with pytest.raises(OSError):
            await loop.create_connection(Guest, "other.invalid", 443)


@pytest.mark.asyncio
async def test_strict_on_loops_that_dial_below_python(web: TcpServer) -> None:
    with pytest.raises(Failure), reroute({HOST: web}, strict=True):
        with pytest.raises(AddressError, match=r"10\.1\.2\.3:443 is not rerouted"):
            await asyncio.open_connection("10.1.2.3", 443)


@pytest.mark.asyncio
async def test_the_loop_of_windows(web: TcpServer) -> None:
    """Its `sock_connect` dials below Python; what it is given is looked at here, with a stand-in for the loop."""
    dialled: list[Any] = []

    async def original(self: Any, sock: Any, address: Any) -> None:
        dialled.append(address)

    replacement = seams._sock_connect(original)
    with reroute({HOST: web}), socket.socket() as sock:
        await replacement(SimpleNamespace(), sock, (routes.stand_in(HOST), 443))
    assert dialled == [("127.0.0.1", web.port)]


def test_every_seam_that_is_installed_is_patched() -> None:
    patched = {f"{getattr(one.owner, '__name__', one.owner)}.{one.name}" for one in patches()._patches}
    assert {"_socket.getaddrinfo", "socket.connect", "SSLContext._wrap_bio"} <= patched
    assert ("Loop.create_connection" in patched) is (importlib.util.find_spec("uvloop") is not None)


def test_what_is_not_installed_is_not_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("uvloop", "aiodns") else find(name))
    owners = {one.owner.__name__ for one in patches.__wrapped__()._patches}
    assert "DNSResolver" not in owners
    assert "socket" in owners


def test_a_socket_that_is_not_connected_is_no_far_ends() -> None:
    with socket.socket() as sock:
        assert not seams._is_ours(sock)


# -- trust ------------------------------------------------------------------------------------------

BEFORE = {
    "default": ssl.create_default_context(),
    "certifi": ssl.create_default_context(cafile=certifi.where()),
    "empty": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
}
"""Contexts that an application keeps for its whole life."""


def handshake(server: TcpServer, context: ssl.SSLContext, name: str = HOST) -> str | None:
    """Over memory buffers, as asyncio, trio and uvloop do."""
    with socket.create_connection((HOST, 443), timeout=10) as sock:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, server_hostname=name)
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(1 << 16))
            else:
                return client.version()


def refuses(action: Callable[[], Any]) -> bool:
    try:
        action()
    except (ssl.SSLCertVerificationError, requests.exceptions.SSLError, httpx.ConnectError, urllib.error.URLError,
            aiohttp.ClientConnectorCertificateError) as error:  # fmt: skip
        return "certificate verify failed" in str(error).lower()
    return False


@pytest.mark.parametrize("name", BEFORE)
def test_contexts_made_before_trust_for_the_length_of_the_block(web: TcpServer, name: str) -> None:
    context = BEFORE[name]
    before = context.cert_store_stats()
    with reroute({f"https://{HOST}": web}):
        assert handshake(web, context)
    # The same address, and TLS that the far end has itself: nothing but the trust is gone.
    with reroute({(HOST, 443): not_ours(web)}):
        assert refuses(lambda: handshake(web, context))
    assert context.cert_store_stats() == before


def not_ours(server: TcpServer) -> Any:
    """The server as somebody else's, which is only known to have a host and a port."""
    return SimpleNamespace(host=server.host, port=server.port)


def by_requests(session: requests.Session | None = None) -> str:
    return (session or requests).get(URL, timeout=10).text


def by_httpx(client: httpx.Client | None = None) -> str:
    return (client or httpx).get(URL, timeout=10).text


def by_urllib() -> str:
    with urllib.request.urlopen(URL, timeout=10) as answer:
        return answer.read().decode()  # type: ignore[no-any-return]


class Connector(aiohttp.TCPConnector):
    """aiohttp does not wait until its connections are gone; its loop would be closed before that."""

    async def _create_connection(self, *arguments: Any) -> Any:
        protocol = await super()._create_connection(*arguments)
        self.gone = protocol.closed
        return protocol


def by_aiohttp() -> str:
    assert aiohttp_connector._SSL_CONTEXT_VERIFIED is not None  # it keeps this one from its import on

    async def get() -> str:
        connector = Connector(resolver=aiohttp.ThreadedResolver())
        async with aiohttp.ClientSession(connector=connector) as session, session.get(URL) as answer:
            text = await answer.text()
        await connector.gone
        return text

    return asyncio.run(get())


@pytest.mark.parametrize("library", [by_requests, by_httpx, by_urllib, by_aiohttp])
def test_libraries_trust_for_the_length_of_the_block(web: TcpServer, library: Callable[[], str]) -> None:
    for _ in range(2):
        with reroute({URL: web}):
            assert library() == "64250"
        with reroute({(HOST, 443): not_ours(web)}):
            assert refuses(library)


def test_clients_that_live_longer_than_the_block(web: TcpServer) -> None:
    """Made before it, used within it, and used afterwards."""
    with requests.Session() as session, httpx.Client() as client:
        with reroute({URL: web}):
            assert by_requests(session) == by_httpx(client) == "64250"
        with reroute({(HOST, 443): not_ours(web)}):
            assert refuses(lambda: by_requests(session))
            assert refuses(lambda: by_httpx(client))


def test_ssl_cert_file(web: TcpServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    file: Path = tmp_path_factory.mktemp("bundle") / "own.pem"
    file.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with reroute({URL: web}):
        assert by_urllib() == "64250"
        assert handshake(web, ssl.create_default_context())


def test_the_name_is_still_checked(web: TcpServer) -> None:
    with reroute({URL: web, "https://other.example": web}):
        assert handshake(web, BEFORE["default"], "other.example")  # a name that the far end goes by
        assert refuses(lambda: handshake(web, BEFORE["default"], "third.example"))


def test_other_hosts_are_trusted_no_more_than_before(web: TcpServer) -> None:
    other = TcpServer(HTTP, tls=True).__enter__()
    with reroute({URL: web}):
        with socket.create_connection((other.host, other.port), timeout=10) as sock:
            with pytest.raises(ssl.SSLCertVerificationError):
                BEFORE["default"].wrap_socket(sock, server_hostname="localhost")
    other.close()


def test_own_certificates_stay_the_clients_to_judge() -> None:
    """A far end with a context of the user's presents that, and is trusted by whom the user told to."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.authority().issue_cert(HOST).configure_cert(own)
    server = TcpServer(HTTP, tls=own).__enter__()
    with reroute({URL: server}):
        assert refuses(lambda: handshake(server, BEFORE["default"]))
        assert handshake(server, tls.client_context())
    server.close()


def test_clients_that_check_nothing_or_give_no_name(web: TcpServer) -> None:
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname = False
    with reroute({f"https://{HOST}": web}):
        for mode in (ssl.CERT_REQUIRED, ssl.CERT_NONE):
            lax.verify_mode = mode
            with socket.create_connection((HOST, 443), timeout=10) as sock, lax.wrap_socket(sock) as client:
                assert client.version()


def test_the_old_kind_of_context(web: TcpServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS)
    old.verify_mode = ssl.CERT_REQUIRED
    with reroute({URL: web}):
        assert handshake(web, old)


def test_keys_are_still_logged(web: TcpServer, tmp_path_factory: Any) -> None:
    file: Path = tmp_path_factory.mktemp("keys") / "log"
    context = ssl.create_default_context()
    context.keylog_filename = str(file)
    with reroute({URL: web}):
        handshake(web, context)
    assert "HANDSHAKE" in file.read_text()
    seams._twin.cache_clear()  # which holds the file open


def test_sessions_are_resumed_and_strangers_ignored(web: TcpServer) -> None:
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with TcpServer(HTTP) as far_end, reroute({URL: far_end}):
        sessions = []
        for session in (None, "own", "of another context"):
            with socket.create_connection((HOST, 443), timeout=10) as sock:
                known = {"own": sessions and sessions[0], None: None}.get(session, _foreign_session())
                with context.wrap_socket(sock, server_hostname=HOST, session=known) as client:
                    sessions.append(client.session)
                    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert client.recv(12) == b"HTTP/1.1 200"
        assert sessions[1].id == sessions[0].id != sessions[2].id


def _foreign_session() -> ssl.SSLSession | None:
    client, server = ssl.MemoryBIO(), ssl.MemoryBIO()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.authority().configure_trust(own)
    own.maximum_version = ssl.TLSVersion.TLSv1_2
    one = own.wrap_bio(client, server, server_hostname="localhost")
    two = tls.server_context().wrap_bio(server, client, server_side=True)
    for _ in range(6):
        for side in (one, two):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return one.session


def test_servers_of_the_process_are_left_alone(web: TcpServer) -> None:
    with reroute({URL: web}):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        assert server.server_side
