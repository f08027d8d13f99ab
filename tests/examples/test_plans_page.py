"""The examples of the page on plans. What stands between `# [name]` and `# [/name]` is shown in docs/plans.md."""

import asyncio
import ssl
import subprocess
import sys
import time

import aiohttp
import pytest
from websockets.asyncio.client import connect as connect_async

# [client]
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


def greet(url, *, wait=0.01):
    """The program under test: it tries again until it is greeted, and waits twice as long each time."""
    while True:
        try:
            with connect(url, open_timeout=10) as client:
                client.send("hello")
                return client.recv(timeout=5)
        except (OSError, WebSocketException):
            time.sleep(wait)
            wait *= 2
            # [/client]


# [first]
from farend import Plan, Script, WebSocketServer, then_abort


def test_the_client_recovers():
    greeting = Script().expect("hello").send("there")
    plan = Plan().refuse(2).reject(503).play(greeting, then_abort(after=1)).play(greeting)
    with WebSocketServer(plan) as server:
        assert greet(server.url) == "there"
    assert server.journal.outcomes == ["refused", "refused", "rejected 503", "aborted", "played"]


# [/first]


# [backoff]
def test_the_client_waits_longer_each_time():
    with WebSocketServer(Plan().refuse(3).play(Script().expect("hello").send("there"))) as server:
        greet(server.url, wait=0.01)
    first, second, third = server.journal.gaps
    assert first >= 0.009
    assert second >= 0.019
    assert third >= 0.039
    # [/backoff]


# [each]
PRICES = Script(name="prices").send("1").send("2").send("3")

EVERYTHING = (
    Plan()
    .refuse()  # ECONNREFUSED
    .reject(429, {"Retry-After": "2"}, "slower, please")  # HTTP in place of the upgrade
    .stall()  # accepted by the system, and never a word
    .stall("request")  # the upgrade is read, and never answered
    .stall("handshake")  # the WebSocket is open, and dead
    .reset()  # RST at once; "request" and "handshake" as above
    .drop("handshake")  # end of stream, no close frame: 1006
    .wrong_accept()  # Sec-WebSocket-Accept of another key
    .slow_handshake(0.1, PRICES)  # the upgrade is answered late
    .play(PRICES, then_abort(after=2))  # RST after two messages
    .play(PRICES)  # to its end
)
# [/each]


def test_everything_prints_itself():
    assert str(EVERYTHING).startswith("Plan of 11 attempts\n  1.  refuse\n  2.  reject 429\n  3.  stall\n")


# [endings]
from farend import then_close, then_drop, then_stall

ENDINGS = (
    Plan()
    .play(PRICES, then_drop(after=1))  # no close frame: 1006
    .play(PRICES, then_stall(sent=2))  # nothing more is read, answered or said
    .play(PRICES, then_close(1012, "restart", sent=1))  # in order, with a code
    .play(PRICES, then_abort())  # at the script's own end
)
# [/endings]


@pytest.mark.asyncio
async def test_endings_are_seen():
    heard = []
    async with WebSocketServer(ENDINGS) as server:
        for _ in range(4):
            async with connect_async(server.url, close_timeout=0.1) as client:
                try:
                    async with asyncio.timeout(2):
                        while True:
                            heard.append(await client.recv())
                except (TimeoutError, WebSocketException) as error:
                    heard.append(type(error).__name__)
    assert server.journal.outcomes == ["dropped", "stalled", "closed", "aborted"]


# [tls]
def test_the_client_looks_at_certificates():
    plan = Plan().tls("expired").tls("wrong name").tls("untrusted")
    with WebSocketServer(plan, tls=True) as server:
        for _ in range(3):
            with pytest.raises(ssl.SSLCertVerificationError):
                connect(server.url, ssl=server.client_ssl_context)
    # [/tls]


# [paths]
def test_the_orders_are_down_and_the_prices_are_not():
    plans = {"/prices": PRICES, "/orders": Plan().reject(503).play(Script().send("filled"))}
    with WebSocketServer(plans) as server:
        with connect(server.url + "/prices") as prices:
            assert prices.recv() == "1"
        with pytest.raises(WebSocketException):
            connect(server.url + "/orders")
        with connect(server.url + "/orders") as orders:
            assert orders.recv() == "filled"
    # [/paths]


# [forever]
from farend import forever


def test_the_client_gives_up():
    with WebSocketServer(Plan().refuse(forever)) as server:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                connect(server.url)
    assert len(server.journal) == 3
    # [/forever]


# [hand]
@pytest.mark.asyncio
async def test_the_second_connection_in_hand():
    async with WebSocketServer(Plan().reject(503).play()) as server:
        with pytest.raises(WebSocketException):
            await connect_async(server.url)
        async with connect_async(server.url) as client:
            peer = await server.connection()
            await peer.send("here we go")
            assert await client.recv() == "here we go"
    # [/hand]


# [aiohttp]
@pytest.mark.asyncio
async def test_aiohttp_recovers_as_well():
    plan = Plan().refuse(2).reject(503).play(Script().expect("hello").send("there"))
    async with WebSocketServer(plan) as server, aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(server.url) as client:
                    await client.send_str("hello")
                    assert await client.receive_str() == "there"
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
    assert server.journal.outcomes == ["refused", "refused", "rejected 503", "played"]
    # [/aiohttp]


PROGRAM = """
import sys
from websockets.sync.client import connect

for attempt in range(2):
    try:
        with connect(sys.argv[1]) as client:
            print(client.recv())
    except Exception as error:
        print("failed")
"""


# [process]
def test_another_process_is_reset():
    with WebSocketServer(Plan().refuse().play(Script().send("hello"))) as server:
        program = [sys.executable, "-c", PROGRAM, server.url]
        assert subprocess.check_output(program, text=True, timeout=60).split() == ["failed", "hello"]
    assert [attempt.by_reset for attempt in server.journal] == [True, False]
    # [/process]


# [down]
def test_a_program_waits_for_its_server():
    with WebSocketServer(Plan().refuse(forever)) as server:
        program = [sys.executable, "-c", PROGRAM, server.url]
        assert subprocess.check_output(program, text=True, timeout=60).split() == ["failed", "failed"]
        server.play(Script().send("hello"))  # now it is up
        assert subprocess.check_output(program, text=True, timeout=60).split() == ["hello", "hello"]
    # [/down]


# [proxy]
from farend import proxy


def test_between_the_client_and_its_real_server():
    plan = Plan().refuse(2).reject(503).play(ending=then_drop(received=1)).play()
    with WebSocketServer(Script().expect("hello").send("there")) as real_server:
        with proxy(real_server.url, plan=plan) as between:
            assert greet(between.url) == "there"
    # [/proxy]
