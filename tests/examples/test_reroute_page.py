"""The examples of the page on reroute. What stands between `# [name]` and `# [/name]` is shown in docs/reroute.md."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

# [feed]
from websockets.sync.client import connect


def latest_price():
    """The program under test: its address is fixed in its code."""
    with connect("wss://api.exchange.com/feed") as feed:
        feed.send("subscribe btc")
        return feed.recv(timeout=5)
        # [/feed]


# [first]
import farend
from farend import Script, WebSocketServer


def test_the_latest_price():
    script = Script().expect_handshake("/feed").expect("subscribe btc").send("64250")
    with WebSocketServer(script) as server, farend.reroute({"wss://api.exchange.com/feed": server}):
        assert latest_price() == "64250"


# [/first]


# [async]
@pytest.mark.asyncio
async def test_in_async_code():
    import aiohttp

    script = Script().expect("subscribe btc").send("64250")
    async with WebSocketServer(script) as server, farend.reroute({"ws://api.exchange.com": server}):
        async with aiohttp.ClientSession() as session, session.ws_connect("ws://api.exchange.com/feed") as feed:
            await feed.send_str("subscribe btc")
            assert await feed.receive_str() == "64250"


# [/async]


def test_several_addresses():
    from farend import TcpServer

    feed, database, devices = WebSocketServer(), TcpServer(), TcpServer(Script().send(b"hi"))
    with feed, database, devices:
        # [forms]
        targets = {
            "wss://api.exchange.com/feed": feed,  # a URL: ws, wss, http, https, tcp or tls
            ("db.internal", 5432): database,  # a host and a port
            "devices.internal": devices,  # a host, for each of its ports
            ("cache.internal", 6379): ("127.0.0.1", 16379),  # to any other server, by its address
        }
        # [/forms]
        with farend.reroute(targets), socket.create_connection(("devices.internal", 5025), timeout=5) as client:
            assert client.recv(2) == b"hi"


def test_strict():
    with WebSocketServer() as server:
        # [strict]
        with pytest.raises(farend.Failure, match="telemetry.example.com:443 is not rerouted"):
            with farend.reroute({"wss://api.exchange.com/feed": server}, strict=True):
                with contextlib.suppress(OSError):  # the program goes on without its telemetry
                    socket.create_connection(("telemetry.example.com", 443))
        # [/strict]


# [decorator]
CLOSED = ("127.0.0.1", 9)


@farend.reroute({("backup.internal", 22): CLOSED})
def test_the_backup_is_down():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("backup.internal", 22))


# [/decorator]


def test_a_subprocess():
    program = (
        "from websockets.sync.client import connect\n"
        "with connect('wss://api.exchange.com/feed') as feed:\n"
        "    feed.send('subscribe btc')\n"
        "    print(feed.recv(timeout=20))\n"
    )
    script = Script().expect("subscribe btc").send("64250")
    # [subprocess]
    with WebSocketServer(script) as server, farend.reroute({"wss://api.exchange.com/feed": server}) as rerouted:
        variables = {**os.environ, **rerouted.environment()}
        done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True)
    # [/subprocess]
    assert done.stdout.strip() == "64250"
