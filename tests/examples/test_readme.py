"""The README's examples. What stands between `# [name]` and `# [/name]` is shown there."""

import contextlib
import re
import socket
from pathlib import Path

import pytest

from farend import Failure


# The clients under test: short stand-ins for code of the reader's.
async def greet(url: str) -> str:
    import websockets

    async with websockets.connect(url) as client:
        await client.send("hello")
        return await client.recv()


def greet_at_last(url: str) -> str:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    while True:
        with contextlib.suppress(OSError, WebSocketException), connect(url) as client:
            client.send("hello")
            return client.recv()


def read_temperature(host: str, port: int) -> float:
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(b"READ TEMP\n")
        return float(connection.makefile("rb").readline().split()[1])


# [script]
import pytest

from farend import Script, WebSocketServer


@pytest.mark.asyncio
async def test_the_client_greets():
    script = Script().expect("hello").send("there")
    async with WebSocketServer(script) as server:
        assert await greet(server.url) == "there"


# [/script]


# [plain]
from farend import TcpServer


def test_the_client_reads_the_temperature():
    with TcpServer(Script().expect(b"READ TEMP\n").send(b"TEMP 21.5\n")) as server:
        assert read_temperature(server.host, server.port) == 21.5


# [/plain]


# [control]
@pytest.mark.asyncio
async def test_a_subscription():
    async with WebSocketServer() as server, Feed(server.url) as feed:
        peer = await server.connection()
        await peer.drain_until(json={"op": "subscribe"})
        await peer.send(json={"price": 100.5})
        assert await feed.next_price() == 100.5
        await peer.close(1001, "maintenance")


# [/control]


# [fixture]
def test_with_the_fixture(tcp_far_end):
    tcp_far_end.play(Script().expect(b"READ TEMP\n").send(b"TEMP 21.5\n"))
    assert read_temperature(tcp_far_end.host, tcp_far_end.port) == 21.5


# [/fixture]


# [client]
from farend import WebSocketClient


@pytest.mark.asyncio
async def test_my_server(my_server_url):
    script = Script().send("hello").expect("there").expect_close(1000)
    async with WebSocketClient(script, my_server_url):
        pass  # leaving the block plays the script to its end


# [/client]


# [plan]
from farend import Plan, then_abort


def test_the_client_tries_again():
    greeting = Script().expect("hello").send("there")
    plan = Plan().refuse(2).reject(503).play(greeting, then_abort(after=1)).play(greeting)
    with WebSocketServer(plan) as server:
        assert greet_at_last(server.url) == "there"
    assert server.journal.outcomes == ["refused", "refused", "rejected 503", "aborted", "played"]


# [/plan]


# [pairs]
from farend import assert_communication


@pytest.mark.asyncio
async def test_in_pairs():
    async with assert_communication(port=0, communication=[("hello", "there")]) as server:
        assert await greet(server.url) == "there"


# [/pairs]


# [commands]
from farend import RECEIVE, CommandServer


def test_in_commands():
    server = CommandServer([RECEIVE, "TEMP 21.5\n"], verbose=False)
    assert read_temperature("127.0.0.1", server.port) == 21.5
    server.stop()


# [/commands]


# [mocks]
import farend


@pytest.mark.asyncio
async def test_with_no_socket():
    mock = farend.async_websocket_mock
    session = mock.new_session().expect("connect", returns=None).expect("send", returns=None)
    session.expect("recv", returns="there").expect("close", returns=None)
    with farend:
        assert await greet("wss://chat.example.com/ws") == "there"
    mock.assert_connect(uri="wss://chat.example.com/ws")
    mock.assert_send(message="hello")
    mock.assert_recv(message="there")
    mock.assert_close()


# [/mocks]


# [virtual]
@pytest.mark.asyncio
async def test_an_answer_after_ten_minutes():
    server = WebSocketServer(Script().expect("hello").pause(600).send("there"))
    async with farend.virtual_network({"wss://chat.example.com/ws": server}) as net:
        assert await greet("wss://chat.example.com/ws") == "there"
        assert net.clock.time() == 600  # exactly, and in milliseconds


# [/virtual]


class Feed:
    """The client of the third example."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> "Feed":
        import websockets

        self._client = await websockets.connect(self._url)
        await self._client.send('{"op": "login"}')
        await self._client.send('{"op": "subscribe", "channel": "trades"}')
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def next_price(self) -> float:
        import json

        return json.loads(await self._client.recv())["price"]


@pytest.fixture
def my_server_url():
    """A server under test, for the fifth example: here a far end plays it."""
    with WebSocketServer(Script().expect("hello").send("there").close(1000)) as server:
        yield server.url


def test_the_failure_of_the_readme():
    script = Script().expect("hello").send("there").expect("general").send("Kenobi")
    with pytest.raises(Failure) as caught, WebSocketServer(script, name="chat") as server:
        from websockets.sync.client import connect

        with connect(server.url) as client, contextlib.suppress(Exception):
            client.send("hello")
            client.recv()
            client.send("admiral")
            client.recv()
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [block] = re.findall(r"```\n(Expected .*?)\n```", readme, re.DOTALL)
    assert untimed(str(caught.value)) == untimed(block)


def untimed(screen: str) -> str:
    return re.sub(r"\d\.\d{3} s", "0.000 s", screen)
