"""Every library comes through, unpatched and however it was imported: the names that it dials do not resolve."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from socket import create_connection, getaddrinfo
from typing import Any

import aiohttp
import anyio
import certifi
import httpx
import httpx_ws
import picows
import pytest
import redis
import redis.asyncio
import requests
import trio
import websocket
import websockets
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect as connect_sync

from farend import Script, TcpServer, WebSocketServer, anything, json, reroute, until

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None

pytestmark = pytest.mark.usefixtures("patient")

HOST = "api.exchange.com"
CONTEXT = ssl.create_default_context()
"""Made before any block was entered, as those of an application are."""

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
if uvloop is not None:
    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))


def run(coroutine: Any, loop: Any) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(coroutine)


# -- HTTP -------------------------------------------------------------------------------------------

URL = f"https://{HOST}/price?of=btc"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n64250"


def http_far_end() -> Script:
    return Script(framing=until(b"\r\n\r\n")).expect(anything()).send(ANSWER).close()


def by_requests(url: str, loop: Any) -> str:
    return requests.get(url, timeout=20).text


def by_urllib(url: str, loop: Any) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def by_http_client(url: str, loop: Any) -> str:
    kind = http.client.HTTPSConnection if url.startswith("https") else http.client.HTTPConnection
    with contextlib.closing(kind(HOST, timeout=20)) as client:
        client.request("GET", "/price?of=btc")
        return client.getresponse().read().decode()


def by_httpx(url: str, loop: Any) -> str:
    return httpx.get(url, timeout=20).text


def by_httpx_async(url: str, loop: Any) -> str:
    async def get() -> str:
        async with httpx.AsyncClient(timeout=20) as client:
            return (await client.get(url)).text

    return run(get(), loop)


def by_httpx_on_trio(url: str, loop: Any) -> str:
    async def get() -> str:
        async with httpx.AsyncClient(timeout=20) as client:
            return (await client.get(url)).text

    return trio.run(get)


class Connector(aiohttp.TCPConnector):
    """aiohttp does not wait until its connections are gone; its loop would be closed before that."""

    async def _create_connection(self, *arguments: Any) -> Any:
        protocol = await super()._create_connection(*arguments)
        self.gone = protocol.closed
        return protocol


def by_aiohttp(url: str, loop: Any, resolver: Any) -> str:
    async def get() -> str:
        connector = Connector(resolver=resolver())
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
            text = await answer.text()
        await connector.gone
        return text

    return run(get(), loop)


def by_aiohttp_in_threads(url: str, loop: Any) -> str:
    return by_aiohttp(url, loop, aiohttp.ThreadedResolver)


def by_aiohttp_and_aiodns(url: str, loop: Any) -> str:
    return by_aiohttp(url, loop, aiohttp.AsyncResolver)


HTTP = [
    by_requests, by_urllib, by_http_client, by_httpx, by_httpx_async, by_httpx_on_trio, by_aiohttp_in_threads,
    by_aiohttp_and_aiodns,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("library", HTTP)
@pytest.mark.parametrize(
    ("url", "tls"), [(URL, False), (URL, True), (URL.replace("https", "http"), False)], ids=["on demand", "tls", "http"]
)
def test_http(library: Callable[[str, Any], str], loop: Any, url: str, tls: bool) -> None:
    with TcpServer(http_far_end(), tls=tls) as server, reroute({url: server}):
        assert library(url, loop) == "64250"
    [transcript] = server.transcripts
    request = next(bytes(entry.payload) for entry in transcript if isinstance(entry.payload, bytes | bytearray))
    assert b"GET /price?of=btc HTTP/1.1" in request
    assert f"host: {HOST}\r\n".encode() in request.lower()


# -- WebSocket --------------------------------------------------------------------------------------

FEED = f"wss://{HOST}/feed"


def greeted_by_websockets(url: str, loop: Any) -> Any:
    with connect_sync(url) as client:
        client.send("hello")
        return client.recv(10)


def greeted_by_websockets_async(url: str, loop: Any) -> Any:
    async def greet() -> Any:
        async with connect_async(url) as client:
            await client.send("hello")
            return await client.recv()

    return run(greet(), loop)


def greeted_by_the_old_name(url: str, loop: Any) -> Any:
    async def greet() -> Any:
        async with websockets.connect(url) as client:
            await client.send("hello")
            return await client.recv()

    return run(greet(), loop)


def greeted_by_websocket_client(url: str, loop: Any) -> Any:
    with contextlib.closing(websocket.create_connection(url, timeout=20)) as client:
        client.send("hello")
        return client.recv()


def greeted_by_websocket_app(url: str, loop: Any) -> Any:
    heard = []

    def on_message(app: websocket.WebSocketApp, message: str) -> None:
        heard.append(message)
        app.close()

    app = websocket.WebSocketApp(url, on_open=lambda app: app.send("hello"), on_message=on_message)
    app.run_forever()
    return heard[0]


def greeted_by_aiohttp(url: str, loop: Any) -> Any:
    async def greet() -> Any:
        connector = Connector()
        async with aiohttp.ClientSession(connector=connector) as session, session.ws_connect(url) as client:
            await client.send_str("hello")
            heard = (await client.receive(10)).data
        await connector.gone
        return heard

    return run(greet(), loop)


def greeted_by_httpx_ws(url: str, loop: Any) -> Any:
    with httpx.Client(timeout=20) as client, httpx_ws.connect_ws(url, client) as ws:
        ws.send_text("hello")
        heard = ws.receive_text(10)
    # It closes its socket while a thread of it reads there, and does not wait for that. TLS reads on from the number
    # that the socket had, which is another one's by then: that one would miss what the thread takes.
    ws._executor.shutdown()
    return heard


def greeted_by_httpx_ws_async(url: str, loop: Any) -> Any:
    async def greet() -> Any:
        async with httpx.AsyncClient(timeout=20) as client, httpx_ws.aconnect_ws(url, client) as ws:
            await ws.send_text("hello")
            return await ws.receive_text()

    return run(greet(), loop)


WEBSOCKETS = [
    greeted_by_websockets, greeted_by_websockets_async, greeted_by_the_old_name, greeted_by_websocket_client,
    greeted_by_websocket_app, greeted_by_aiohttp, greeted_by_httpx_ws, greeted_by_httpx_ws_async,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("library", WEBSOCKETS)
@pytest.mark.parametrize("key", [FEED, (HOST, 443), HOST, "ws"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_websocket(library: Callable[[str, Any], Any], loop: Any, key: Any, tls: bool) -> None:
    """With every form of address, the connection is TLS where the client speaks it, whatever the far end has."""
    url = FEED if key != "ws" else FEED.replace("wss", "ws")
    key = url if key == "ws" else key
    script = Script().expect_handshake("/feed", headers={"host": HOST}).expect("hello").send("there")
    with WebSocketServer(script, tls=tls) as server, reroute({key: server}):
        assert library(url, loop) == "there"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("secure", [False, True])
def test_picows(loop: Any, secure: bool) -> None:
    """It is written in C, but leaves the dialling to the loop; its TLS has to be told whom to trust."""

    class Greet(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            transport.send(picows.WSMsgType.TEXT, b"hello")

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                self.heard = frame.get_payload_as_ascii_text()
                transport.disconnect()

    async def greet(url: str, context: ssl.SSLContext | None) -> str:
        transport, listener = await picows.ws_connect(Greet, url, ssl_context=context)
        await transport.wait_disconnected()
        return listener.heard  # type: ignore[attr-defined, no-any-return]

    url = f"{'wss' if secure else 'ws'}://{HOST}/feed"
    with WebSocketServer(Script().expect("hello").send("there"), tls=secure) as server, reroute({url: server}):
        assert run(greet(url, server.client_ssl_context if secure else None), loop) == "there"


# -- plain connections ------------------------------------------------------------------------------

LINE = Script().expect(b"PING\n").send(b"PONG\n")


def ping_by_socket(secure: bool, loop: Any) -> bytes:
    with socket.socket() as sock:
        sock.settimeout(20)
        sock.connect((HOST, 443))
        if not secure:
            return _ping(sock)
        with CONTEXT.wrap_socket(sock, server_hostname=HOST) as client:
            return _ping(client)


def ping_by_a_tls_socket_that_dials_itself(secure: bool, loop: Any) -> bytes:
    with socket.socket() as sock:
        sock.settimeout(20)
        client = CONTEXT.wrap_socket(sock, server_hostname=HOST) if secure else sock
        with client:
            assert client.connect_ex((HOST.upper(), 443)) == 0
            return _ping(client)


def ping_by_create_connection(secure: bool, loop: Any) -> bytes:
    """Imported by name, long before."""
    with create_connection((HOST, 443), timeout=20) as sock:
        if not secure:
            return _ping(sock)
        with CONTEXT.wrap_socket(sock, server_hostname=HOST) as client:
            return _ping(client)


def ping_by_an_address_resolved_before(secure: bool, loop: Any) -> bytes:
    family, kind, proto, _, address = getaddrinfo(HOST, "https", type=socket.SOCK_STREAM)[0]
    assert socket.gethostbyname(HOST) == address[0]
    assert socket.gethostbyname_ex(HOST) == (HOST, [], [address[0]])
    assert ipaddress.ip_address(address[0]).is_loopback
    with socket.socket(family, kind, proto) as sock:
        sock.settimeout(20)
        sock.connect(address)
        if not secure:
            return _ping(sock)
        with CONTEXT.wrap_socket(sock, server_hostname=HOST) as client:
            return _ping(client)


def _ping(sock: socket.socket) -> bytes:
    sock.sendall(b"PING\n")
    return sock.makefile("rb").readline()


def ping_by_streams(secure: bool, loop: Any) -> bytes:
    async def ping() -> bytes:
        reader, writer = await asyncio.open_connection(HOST, 443, ssl=CONTEXT if secure else None)
        writer.write(b"PING\n")
        heard = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return heard

    return run(ping(), loop)


def ping_by_a_protocol(secure: bool, loop: Any) -> bytes:
    class Ping(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard = b""
            self.gone = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            transport.write(b"PING\n")

        def data_received(self, data: bytes) -> None:
            self.heard += data
            if self.heard.endswith(b"\n"):
                self.transport.close()

        def connection_lost(self, error: Exception | None) -> None:
            self.gone.set_result(self.heard)

    async def ping() -> bytes:
        here = asyncio.get_running_loop()
        _, protocol = await here.create_connection(Ping, HOST, 443, ssl=CONTEXT if secure else None)
        return await protocol.gone  # type: ignore[no-any-return]

    return run(ping(), loop)


def ping_by_loop_sockets(secure: bool, loop: Any) -> bytes:
    async def ping() -> bytes:
        here = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            await here.sock_connect(sock, (HOST, 443))
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=CONTEXT if secure else None, server_hostname=HOST if secure else None
            )
            writer.write(b"PING\n")
            heard = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return heard

    return run(ping(), loop)


def ping_by_trio(secure: bool, loop: Any) -> bytes:
    async def ping() -> bytes:
        stream: Any = await trio.open_tcp_stream(HOST, 443)
        if secure:
            stream = trio.SSLStream(stream, CONTEXT, server_hostname=HOST, https_compatible=True)
        async with stream:
            await stream.send_all(b"PING\n")
            return await stream.receive_some()  # type: ignore[no-any-return]

    return trio.run(ping)


def ping_by_anyio(secure: bool, loop: Any) -> bytes:
    async def ping() -> bytes:
        options = {"tls": True, "tls_standard_compatible": False} if secure else {}
        async with await anyio.connect_tcp(HOST, 443, **options) as stream:  # type: ignore[call-overload]
            await stream.send(b"PING\n")
            return await stream.receive()  # type: ignore[no-any-return]

    return run(ping(), loop)


def ping_by_anyio_on_trio(secure: bool, loop: Any) -> bytes:
    async def ping() -> bytes:
        async with await anyio.connect_tcp(HOST, 443) as stream:
            await stream.send(b"PING\n")
            return await stream.receive()

    return trio.run(ping)


PLAIN = [
    ping_by_socket, ping_by_a_tls_socket_that_dials_itself, ping_by_create_connection,
    ping_by_an_address_resolved_before, ping_by_streams, ping_by_a_protocol, ping_by_loop_sockets, ping_by_trio,
    ping_by_anyio, ping_by_anyio_on_trio,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("library", PLAIN)
@pytest.mark.parametrize("key", [f"tcp://{HOST}:443", f"tls://{HOST}:443", (HOST, 443), HOST])
def test_plain_connections(library: Callable[[bool, Any], bytes], loop: Any, key: Any) -> None:
    secure = str(key).startswith("tls") and library is not ping_by_anyio_on_trio
    key = f"tcp://{HOST}:443" if str(key).startswith("tls") and not secure else key
    with TcpServer(LINE) as server, reroute({key: server}):
        assert library(secure, loop) == b"PONG\n"


# -- databases --------------------------------------------------------------------------------------


def test_redis() -> None:
    script = Script().expect(b"*2\r\n$3\r\nGET\r\n$3\r\nbtc\r\n").send(b"$5\r\n64250\r\n")
    with TcpServer(script) as server, reroute({("cache.internal", 6379): server}):
        with redis.Redis("cache.internal", driver_info=None, protocol=2) as cache:
            assert cache.get("btc") == b"64250"


@pytest.mark.parametrize("loop", LOOPS)
def test_redis_async(loop: Any) -> None:
    async def get() -> Any:
        async with redis.asyncio.Redis(host="cache.internal", driver_info=None, protocol=2) as cache:
            return await cache.get("btc")

    script = Script().expect(b"*2\r\n$3\r\nGET\r\n$3\r\nbtc\r\n").send(b"$5\r\n64250\r\n")
    with TcpServer(script) as server, reroute({("cache.internal", 6379): server}):
        assert run(get(), loop) == b"64250"


def test_redis_over_tls() -> None:
    script = Script().expect(b"*2\r\n$3\r\nGET\r\n$3\r\nbtc\r\n").send(b"$5\r\n64250\r\n")
    with TcpServer(script) as server, reroute({"tls://cache.internal:6379": server}):
        with redis.Redis.from_url(
            "rediss://cache.internal", driver_info=None, protocol=2, ssl_ca_certs=certifi.where()
        ) as cache:
            assert cache.get("btc") == b"64250"


@pytest.fixture
def django_mysql() -> Iterator[Any]:
    """Django's MySQL backend on PyMySQL, which is written in Python."""
    import django
    import pymysql
    from django.apps import apps
    from django.conf import settings

    pymysql.install_as_MySQLdb()
    if not settings.configured:
        settings.configure()
    if not apps.ready:  # others configure it as well, and need no more
        django.setup()
    from django.db.backends.mysql.base import DatabaseWrapper

    options = {
        "ENGINE": "django.db.backends.mysql", "NAME": "trades", "USER": "me", "PASSWORD": "secret",
        "HOST": "db.internal", "PORT": "3306", "OPTIONS": {}, "TIME_ZONE": None, "CONN_HEALTH_CHECKS": False,
        "CONN_MAX_AGE": 0, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False, "TEST": {},
    }  # fmt: skip
    connection = DatabaseWrapper(options)
    yield connection
    connection.close()


def test_a_database_of_django(django_mysql: Any) -> None:
    with TcpServer(mysql_far_end([(b"64250",)])) as server, reroute({("db.internal", 3306): server}):
        with django_mysql.cursor() as cursor:
            cursor.execute("SELECT price FROM trades WHERE id = %s", [7])
            assert cursor.fetchall() == (("64250",),)
        django_mysql.close()
    [transcript] = server.transcripts
    assert any(b"SELECT price FROM trades WHERE id = 7" in bytes(entry.payload or b"") for entry in transcript
               if isinstance(entry.payload, bytes | bytearray | memoryview))  # fmt: skip


def mysql_far_end(rows: list[tuple[bytes, ...]]) -> Script:
    """As much of MySQL as Django asks for when it connects, and an answer to the query."""
    from farend import forever, framed_by

    def cut(data: bytes) -> tuple[int, bytes] | None:
        end = 4 + int.from_bytes(data[:3], "little")
        return (end, bytes(data[:end])) if len(data) >= end else None

    def packet(number: int, body: bytes) -> bytes:
        return len(body).to_bytes(3, "little") + bytes([number]) + body

    def text(value: bytes | None) -> bytes:
        return b"\xfb" if value is None else bytes([len(value)]) + value

    def table(rows: list[tuple[bytes | None, ...]]) -> bytes:
        column = b"".join(map(text, [b"def", b"", b"", b"", b"c", b"c"])) + b"\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0"
        bodies = [bytes([len(rows[0])]), *[column] * len(rows[0]), b"\xfe\0\0\2\0"]
        bodies += [b"".join(map(text, row)) for row in rows] + [b"\xfe\0\0\2\0"]
        return b"".join(packet(number, body) for number, body in enumerate(bodies, 1))

    def answer(request: bytes) -> bytes:
        query = request[5:]
        if query.startswith(b"SELECT VERSION()") or b"@@sql_mode" in query:
            return table([(b"8.4.3", b"STRICT_TRANS_TABLES", b"InnoDB", b"0", b"0", b"1")])
        return table(rows) if query.startswith(b"SELECT price") else packet(1, b"\0\0\0\2\0\0\0")

    greeting = b"\x0a8.4.3\0" + b"\1\0\0\0" + b"saltsalt\0" + b"\x0f\xa2\x2d\2\0\x08\0\x15" + bytes(10)
    greeting += b"saltsaltsalt\0mysql_native_password\0"
    ok = packet(2, b"\0\0\0\2\0\0\0")
    return (
        Script(framing=framed_by(cut))
        .send(packet(0, greeting))
        .expect(anything())
        .send(ok)
        .repeat(forever, Script().expect(anything()).reply(answer))
    )


def test_json_over_a_websocket_reads_like_everywhere() -> None:
    script = Script().expect(json({"op": "subscribe"})).send(json={"price": 64250})
    with WebSocketServer(script) as server, reroute({FEED: server}), connect_sync(FEED) as client:
        client.send('{"op": "subscribe", "channel": "trades"}')
        assert client.recv(10) == '{"price": 64250}'
