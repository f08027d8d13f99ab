"""Any client: every library and language that people use, in this process and in others (item 4)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import anyio
import picows
import pytest
import websocket
import websockets.asyncio.client
import websockets.sync.client

from farend import Failure, Script, TcpServer, WebSocketServer, lines
from farend.core.findings import Mismatch

hear = asyncio.to_thread
DEVICE = Script(framing=lines(b"\r\n")).expect("*IDN?").send("farend,1").expect("MEAS?").send("12.5")
CHAT = Script().expect("hello").send("there").expect(b"\x00\x01").send(b"\x02").close(1000, "bye")

# -- TCP ---------------------------------------------------------------------------------------------


def plain_socket(server: TcpServer) -> None:
    with socket.create_connection((server.host, server.port), timeout=10) as sock, sock.makefile("rwb") as stream:
        stream.write(b"*IDN?\r\n")
        stream.flush()
        assert stream.readline() == b"farend,1\r\n"
        stream.write(b"MEAS?\r\n")
        stream.flush()
        assert stream.readline() == b"12.5\r\n"


async def asyncio_streams(server: TcpServer) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for said, answer in ((b"*IDN?\r\n", b"farend,1\r\n"), (b"MEAS?\r\n", b"12.5\r\n")):
        writer.write(said)
        await writer.drain()
        assert await reader.readline() == answer
    writer.close()
    await writer.wait_closed()


class DeviceProtocol(asyncio.Protocol):
    """A client on asyncio's protocols."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.heard = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"*IDN?\r\n")

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.heard == b"farend,1\r\n":
            self.transport.write(b"MEAS?\r\n")
        elif self.heard == b"farend,1\r\n12.5\r\n":
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.done.set_result(self.heard)


async def asyncio_protocol(server: TcpServer) -> None:
    _, protocol = await asyncio.get_running_loop().create_connection(DeviceProtocol, server.host, server.port)
    assert await protocol.done == b"farend,1\r\n12.5\r\n"


async def anyio_streams(server: TcpServer) -> None:
    async with await anyio.connect_tcp(server.host, server.port) as stream:
        await stream.send(b"*IDN?\r\n")
        assert await stream.receive() == b"farend,1\r\n"
        await stream.send(b"MEAS?\r\n")
        assert await stream.receive() == b"12.5\r\n"


TCP_CLIENTS = [asyncio_streams, asyncio_protocol, anyio_streams]


@pytest.mark.asyncio
@pytest.mark.parametrize("client", TCP_CLIENTS, ids=lambda client: client.__name__)
async def test_tcp_clients_on_the_same_loop(client: Any) -> None:
    async with TcpServer(DEVICE) as server:
        await client(server)
    assert server.transcripts[0].received == [b"*IDN?", b"MEAS?"]


@pytest.mark.parametrize("client", TCP_CLIENTS, ids=lambda client: client.__name__)
def test_tcp_clients_with_a_loop_of_their_own(client: Any) -> None:
    with TcpServer(DEVICE) as server:
        asyncio.run(client(server))
    assert server.transcripts[0].sent == ["farend,1", "12.5"]


def test_a_plain_socket_on_the_tests_thread() -> None:
    """S1-3."""
    with TcpServer(DEVICE) as server:
        plain_socket(server)


@pytest.mark.asyncio
async def test_a_plain_socket_in_a_thread_beside_the_loop() -> None:
    async with TcpServer(DEVICE) as server:
        await hear(plain_socket, server)


def test_plain_sockets_in_many_threads() -> None:
    with TcpServer(DEVICE) as server:
        threads = [threading.Thread(target=plain_socket, args=(server,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(server.transcripts) == 16
    assert all(transcript.received == [b"*IDN?", b"MEAS?"] for transcript in server.transcripts)


# -- WebSocket ---------------------------------------------------------------------------------------


def tls_of(server: WebSocketServer) -> Any:
    return server.client_ssl_context if server.url.startswith("wss") else None


async def websockets_asyncio(server: WebSocketServer) -> None:
    async with websockets.asyncio.client.connect(server.url + "/chat", ssl=tls_of(server)) as client:
        await client.send("hello")
        assert await client.recv() == "there"
        await client.send(b"\x00\x01")
        assert await client.recv() == b"\x02"
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1000, "bye")


def websockets_sync(server: WebSocketServer) -> None:
    with websockets.sync.client.connect(server.url + "/chat", ssl=tls_of(server)) as client:
        client.send("hello")
        assert client.recv(timeout=10) == "there"
        client.send(b"\x00\x01")
        assert list(client) == [b"\x02"]


@contextlib.contextmanager
def own_socket(server: WebSocketServer) -> Iterator[socket.socket]:
    """For websocket-client, which does not always close the ones that it makes."""
    with socket.create_connection((server.host, server.port), timeout=10) as raw:
        context = tls_of(server)
        if context is None:
            yield raw
        else:
            with context.wrap_socket(raw, server_hostname=server.host) as secure:
                yield secure


def websocket_client(server: WebSocketServer) -> None:
    with own_socket(server) as sock:
        client = websocket.create_connection(server.url + "/chat", timeout=10, socket=sock)
        client.send("hello")
        assert client.recv() == "there"
        client.send_binary(b"\x00\x01")
        assert client.recv() == b"\x02"
        assert client.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_CLOSE, b"\x03\xe8bye")
        client.close()


def websocket_app(server: WebSocketServer) -> None:
    heard: list[Any] = []

    def on_message(app: Any, message: Any) -> None:
        heard.append(message)
        if message == "there":
            app.send_bytes(b"\x00\x01")

    with own_socket(server) as sock:
        app = websocket.WebSocketApp(
            server.url + "/chat", on_open=lambda app: app.send("hello"), on_message=on_message, socket=sock
        )
        app.run_forever()
    assert heard == ["there", b"\x02"]


async def aiohttp_client(server: WebSocketServer) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url + "/chat", ssl=tls_of(server) or True, compress=15) as client,
    ):
        await client.send_str("hello")
        assert await client.receive_str() == "there"
        await client.send_bytes(b"\x00\x01")
        assert await client.receive_bytes() == b"\x02"
        assert (await client.receive()).type is aiohttp.WSMsgType.CLOSE
        assert client.close_code == 1000


class Listener(picows.WSListener):  # type: ignore[misc]
    """A client on picows."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_ws_connected(self, transport: Any) -> None:
        transport.send(picows.WSMsgType.TEXT, b"hello")

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            self.heard.append((int(frame.get_close_code()), frame.get_close_message()))
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        self.heard.append(frame.get_payload_as_bytes())
        if frame.msg_type is picows.WSMsgType.TEXT:
            transport.send(picows.WSMsgType.BINARY, b"\x00\x01")


async def picows_client(server: WebSocketServer) -> None:
    transport, listener = await picows.ws_connect(Listener, server.url + "/chat", ssl_context=tls_of(server))
    await transport.wait_disconnected()
    assert listener.heard == [b"there", b"\x02", (1000, b"bye")]


ASYNC_CLIENTS = [websockets_asyncio, aiohttp_client, picows_client]
BLOCKING_CLIENTS = [websockets_sync, websocket_client, websocket_app]


def check(server: WebSocketServer) -> None:
    assert server.transcripts[0].received == ["hello", b"\x00\x01"]
    assert server.transcripts[0].handshake.path == "/chat"  # type: ignore[attr-defined]


@pytest.mark.asyncio
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("client", ASYNC_CLIENTS, ids=lambda client: client.__name__)
async def test_websocket_clients_on_the_same_loop(client: Any, tls: bool) -> None:
    """S0-5."""
    async with WebSocketServer(CHAT, tls=tls) as server:
        await client(server)
    check(server)


@pytest.mark.parametrize("client", ASYNC_CLIENTS, ids=lambda client: client.__name__)
def test_websocket_clients_with_a_loop_of_their_own(client: Any) -> None:
    with WebSocketServer(CHAT) as server:
        asyncio.run(client(server))
    check(server)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("client", BLOCKING_CLIENTS, ids=lambda client: client.__name__)
def test_blocking_websocket_clients(client: Any, tls: bool) -> None:
    with WebSocketServer(CHAT, tls=tls) as server:
        client(server)
    check(server)


@pytest.mark.asyncio
@pytest.mark.parametrize("client", BLOCKING_CLIENTS, ids=lambda client: client.__name__)
async def test_blocking_websocket_clients_in_a_thread_beside_the_loop(client: Any) -> None:
    async with WebSocketServer(CHAT) as server:
        await hear(client, server)
    check(server)


@pytest.mark.asyncio
@pytest.mark.parametrize("client", [websockets_asyncio, aiohttp_client])
async def test_clients_that_offer_compression(client: Any) -> None:
    async with WebSocketServer(CHAT, compression=True) as server:
        await client(server)
    handshake: Any = server.transcripts[0].handshake
    assert "permessage-deflate" in handshake.headers["sec-websocket-extensions"]
    check(server)


# -- other processes, other languages ----------------------------------------------------------------


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


PYTHON = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as client:
    stream = client.makefile("rwb")
    for said in (b"*IDN?", b"MEAS?"):
        stream.write(said + b"\\r\\n"); stream.flush()
        print(stream.readline().decode().strip())
"""

NODE_NET = """
const [host, port] = process.argv.slice(1);
const client = require('net').connect(port, host, () => client.write('*IDN?\\r\\n'));
let heard = '';
client.on('data', data => {
  heard += data;
  if (heard == 'farend,1\\r\\n') client.write('MEAS?\\r\\n');
  if (heard.endsWith('12.5\\r\\n')) client.end();
});
client.on('close', () => console.log(heard.trim()));
"""

NODE_WEBSOCKET = """
const client = new WebSocket(process.argv[1] + '/chat');
client.binaryType = 'arraybuffer';
client.onopen = () => client.send('hello');
client.onmessage = event => {
  if (event.data === 'there') client.send(new Uint8Array([0, 1]));
  else console.log(new Uint8Array(event.data).join());
};
client.onclose = event => console.log(event.code, event.reason);
client.onerror = event => console.log('error', event.message);
"""


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node.js here")
    return found


def test_a_python_subprocess() -> None:
    with TcpServer(DEVICE) as server:
        assert run(sys.executable, "-c", PYTHON, server.host, str(server.port)) == "farend,1\n12.5\n"


@pytest.mark.asyncio
async def test_a_python_subprocess_beside_the_loop() -> None:
    async with TcpServer(DEVICE) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PYTHON, server.host, str(server.port), stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert out == b"farend,1\n12.5\n"


def test_a_subprocess_that_says_another_thing(only: Callable[[Any], Any]) -> None:
    code = PYTHON.replace('b"MEAS?"', 'b"MEAT?"')
    with pytest.raises(Failure) as caught, TcpServer(DEVICE) as server:
        run(sys.executable, "-c", code, server.host, str(server.port))
    finding = only(caught)
    assert isinstance(finding, Mismatch)
    assert finding.got == b"MEAT?"


def test_node_on_tcp(node: str) -> None:
    with TcpServer(DEVICE) as server:
        assert run(node, "-e", NODE_NET, server.host, str(server.port)).split() == ["farend,1", "12.5"]


def test_node_on_a_websocket(node: str) -> None:
    major = int(run(node, "--version").lstrip("v").split(".")[0])
    if major < 20:
        pytest.skip("this Node.js has no WebSocket")
    flags = ["--experimental-websocket", "--no-warnings"] if major < 22 else []
    with WebSocketServer(CHAT) as server:
        assert run(node, *flags, "-e", NODE_WEBSOCKET, server.url) == "2\n1000 bye\n"
    check(server)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_curl(tls: bool) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here")
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    script = Script().expect(lambda said: said.startswith(b"GET /greeting HTTP/1.1\r\n")).send(reply).close()
    with TcpServer(script, tls=tls) as server:
        url = f"http{'s' if tls else ''}://127.0.0.1:{server.port}/greeting"
        assert run(curl, "--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "10", url) == "hello"
