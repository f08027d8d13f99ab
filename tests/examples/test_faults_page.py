"""The examples of the page on faults. What stands between `# [name]` and `# [/name]` is shown in docs/faults.md."""

import contextlib
import socket

import pytest
import websockets


# [client]
async def prices(url, *, reconnects=3):
    """The program under test: it takes prices, and connects again when the connection is gone."""
    heard = []
    for _ in range(reconnects):
        try:
            async with websockets.connect(url) as client:
                await client.send("subscribe")
                while True:
                    heard.append(await client.recv())
        except websockets.ConnectionClosedOK:
            return heard
        except websockets.ConnectionClosedError:
            heard.append("gone")
    return heard
    # [/client]


# [first]
from farend import CutAfter, Latency, Plan, Script, WebSocketServer


@pytest.mark.asyncio
async def test_a_feed_that_breaks_in_the_middle_of_a_message():
    late = Script().expect("subscribe").fault(Latency(0.05)).send("1").fault(None).send("2").close()
    broken = Script().expect("subscribe").send("1").fault(CutAfter(3, "end")).send("a long price")
    async with WebSocketServer(Plan().play(broken).play(late)) as server:
        assert await prices(server.url) == ["1", "gone", "1", "2"]
    # [/first]


# [server]
from farend import ByteAtATime, TcpServer


def test_a_parser_gets_one_byte_at_a_time():
    with TcpServer(Script().send(b"PRICE 42000\n").close(), faults=[ByteAtATime()]) as server:
        with socket.create_connection((server.host, server.port)) as client:
            assert client.makefile("rb").readline() == b"PRICE 42000\n"
    # [/server]


@pytest.fixture
def real():
    """The real server of these examples."""
    script = Script().expect("subscribe").send("1").send("2").close()
    with WebSocketServer([script, script.copy()]) as server:
        yield server


# [proxy]
from farend import NoCloseFrame, Reorder, proxy


@pytest.mark.asyncio
async def test_a_client_and_its_real_server(real):
    async with proxy(real.url, faults=[Reorder(2)]) as between:
        assert await prices(between.url) == ["2", "1"]
        between.faults.set(NoCloseFrame())
        assert await prices(between.url, reconnects=1) == ["1", "2", "gone"]
    # [/proxy]


# [switch]
from farend import Silence


def test_a_client_whose_cable_is_pulled():
    with TcpServer(Script().expect(b"PING\n").send(b"PONG\n").expect_close(reset=True)) as server:
        with proxy(server.url) as between, socket.create_connection((between.host, between.port)) as client:
            with between.faults.during(Silence()):
                client.sendall(b"PING\n")
                client.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    client.recv(5)
            client.settimeout(10)
            assert client.recv(5) == b"PONG\n"  # what was said meanwhile has arrived
            between.sever()
            with pytest.raises(ConnectionResetError):
                client.recv(5)
    # [/switch]


# [hand]
@pytest.mark.asyncio
async def test_a_fault_at_the_moment_that_the_test_chooses():
    async with WebSocketServer() as server, websockets.connect(server.url) as client:
        peer = await server.connection()
        await peer.fault(NoCloseFrame())
        await peer.close()
        with pytest.raises(websockets.ConnectionClosedError):
            await client.recv()
    # [/hand]


def test_seeds():
    def heard():
        with TcpServer(script) as server, socket.create_connection((server.host, server.port)) as client:
            return client.makefile("rb").read()

    # [seed]
    from farend import Corrupt

    script = Script().fault(Corrupt(every=4, seed=7)).send(bytes(12)).close()
    assert heard() == heard()
    # [/seed]


def test_told():
    # [told]
    with TcpServer(Script().fault(CutAfter(3)).send(b"hello")) as server:
        with contextlib.suppress(ConnectionResetError), socket.create_connection((server.host, server.port)) as client:
            assert client.recv(100) == b"hel"
            client.recv(100)
    assert [str(entry) for entry in server.transcripts[0]][1:4] == [
        "~ fault: cut after 3 bytes, with a reset",
        "← b'hello'",
        "~ cut after 3 bytes, with a reset: done",
    ]
    # [/told]


def test_wrong():
    # [wrong]
    from farend import Bandwidth, Corrupt, FaultError

    for write in (
        lambda: Latency(-1),
        lambda: Corrupt(every=4, seed=None),
        lambda: Script().fault(Bandwidth(1000), Bandwidth(2000)),
        lambda: TcpServer(Script().fault(NoCloseFrame()).close()),
        lambda: proxy("tcp://localhost:6379", faults=[Reorder()]),
    ):
        with pytest.raises((FaultError, TypeError)):
            write()
    # [/wrong]
