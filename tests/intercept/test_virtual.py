"""`virtual_network`: what clients do after minutes takes no time, times are exact, nothing hangs, nothing leaves."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
import threading
import time

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect

from farend import (
    AddressError,
    Bandwidth,
    Failure,
    InvalidArguments,
    Latency,
    Plan,
    Script,
    Silence,
    Standstill,
    TcpClient,
    TcpServer,
    Unsettled,
    WebSocketClient,
    WebSocketServer,
    WrongState,
    WrongType,
    anything,
    at_least,
    forever,
    play_every_split,
    regex,
    then_abort,
    until,
    virtual_network,
)
from farend.core.findings import Lingered, NobodyConnected, NotReading, TimedOut
from farend.core.transcript import Kind

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None

PATCHED = ("time", "call_soon", "run_in_executor", "getaddrinfo", "sock_connect", "create_connection", "start_tls")
DEVICE = ("device.plant.example", 5025)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine function on a new loop, and see that the loop is as it was afterwards."""
    if request.param == "uvloop" and uvloop is None:
        pytest.skip("uvloop is not installed")
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(test):
        async def watched():
            loop = asyncio.get_running_loop()
            before = {name: value for name, value in vars(loop).items() if name in PATCHED}
            try:
                async with asyncio.timeout(60):
                    return await test()
            finally:
                left = {name: value for name, value in vars(loop).items() if name in PATCHED}
                assert left == before
                assert "_farend_network" not in vars(loop)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(watched())

    return run


def answer(request):
    """What a server answers to a WebSocket's handshake (RFC 6455, 4.2.2)."""
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")).split()[1]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    return head + accept + b"\r\n\r\n"


def silent():
    """A far end that opens the WebSocket, hears all, and answers nothing more: a connection that is half open."""
    script = Script().expect(regex(b"(?s)GET .*"), framing=until(b"\r\n\r\n")).reply(answer)
    return TcpServer(script.repeat(forever, Script().expect(anything(), framing=at_least(1))))


def times(server, kind):
    return [[entry.time for entry in transcript if entry.kind is kind] for transcript in server.transcripts]


# -- the acceptance ---------------------------------------------------------------------------------


def test_a_client_of_websockets_against_a_silent_far_end(run):
    async def test():
        far_end, lost = silent(), []

        def backoff():
            delay = 1
            while True:
                yield delay
                delay = min(2 * delay, 60)

        async def listen():
            options = {"ping_interval": 20, "ping_timeout": 20, "close_timeout": 10}
            async for client in connect("ws://feed.example/prices", reconnect_delays=backoff, **options):
                try:
                    async for _ in client:
                        pass
                except websockets.ConnectionClosed:
                    lost.append(asyncio.get_running_loop().time())

        async with virtual_network({"ws://feed.example/prices": far_end}) as net:
            client = asyncio.create_task(listen())
            await net.clock.advance(150)
            assert net.clock.time() == 150
            client.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await client
        # A ping after 20 s, its time is over after 20 s more, and so is that of the close after 10 s.
        assert lost == [50, 100, 150]
        assert times(far_end, Kind.CONNECTED) == [[0], [50], [100], [150]]
        assert [one[-1] for one in times(far_end, Kind.ENDED)[:3]] == [50, 100, 150]

    run(test)


def test_a_backoff_by_hand_on_aiohttp_from_1_to_60_s(run):
    async def test():
        far_end = WebSocketServer([Script().close(), Script().send("back")])
        refused = ("down.example", 80)
        attempts = []

        async def connected(session):
            delay = 1
            while True:
                attempts.append(asyncio.get_running_loop().time())
                url = "ws://feed.example/" if len(attempts) > 8 else "ws://down.example/"
                try:
                    client = await session.ws_connect(url, heartbeat=20)
                except aiohttp.ClientError:
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, 60)
                    continue
                message = await client.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    await client.close()
                    return message.data
                await client.close()

        never = TcpServer()
        async with virtual_network({"ws://feed.example/": far_end, refused: never}) as net:
            never.is_listening = False
            async with aiohttp.ClientSession() as session:
                assert await connected(session) == "back"
            assert net.clock.time() == 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60
        assert attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183, 183]

    run(test)


def test_an_aiohttp_heartbeat_that_nobody_answers(run):
    async def test():
        far_end = silent()
        async with virtual_network({("feed.example", 80): far_end}) as net:
            async with aiohttp.ClientSession() as session:
                client = await session.ws_connect("ws://feed.example/", heartbeat=20)
                message = await client.receive()
                assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
                assert net.clock.time() == 30  # a ping after 20 s, and half as long for the pong
                await client.close()
        assert times(far_end, Kind.CONNECTED) == [[0]]

    run(test)


# -- clients ----------------------------------------------------------------------------------------


def test_streams_reach_a_far_end_and_minutes_pass_at_once(run):
    async def test():
        device = TcpServer(Script().expect(b"PING\n").pause(600).send(b"PONG\n"))
        began = time.monotonic()
        async with virtual_network({DEVICE: device}) as net:
            assert net.clock.time() == asyncio.get_running_loop().time() == 0
            reader, writer = await asyncio.open_connection(*DEVICE)
            assert writer.get_extra_info("peername")[1] == 5025
            writer.write(b"PING\n")
            assert await reader.readline() == b"PONG\n"
            assert net.clock.time() == 600
            assert repr(net.clock) == "<Clock: 600 s>"
            assert repr(net) == "<virtual network of device.plant.example:5025: at 600 s>"
            writer.close()
            await writer.wait_closed()
        assert time.monotonic() - began < 300
        assert times(device, Kind.SENT) == [[600]]
        assert asyncio.get_running_loop().time() == pytest.approx(time.monotonic(), abs=60)
        assert repr(net).endswith(": left>")

    run(test)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_the_clients_of_websockets_and_aiohttp(run, scheme):
    async def test():
        far_end = WebSocketServer({"/feed": Script().expect("hello").pause(90).send("there")})
        url = f"{scheme}://feed.example/feed"
        async with virtual_network({url: far_end}) as net:
            async with connect(url) as client:
                await client.send("hello")
                assert await client.recv() == "there"
            assert net.clock.time() == 90
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as client:
                await client.send_str("hello")
                assert await client.receive_str() == "there"
            assert net.clock.time() == 180
            assert far_end.url == f"{scheme}://feed.example:{443 if scheme == 'wss' else 80}"
        assert [peer.handshake.path for peer in far_end.connections] == ["/feed", "/feed"]

    run(test)


def test_http_by_aiohttp_and_httpx(run):
    import httpx

    async def test():
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        script = Script().expect(regex(b"(?s)GET .*"), framing=until(b"\r\n\r\n")).pause(30).send(reply).close()
        far_end = TcpServer(script)
        async with virtual_network({"https://api.example": far_end}) as net:
            async with aiohttp.ClientSession() as session, session.get("https://api.example/") as response:
                assert await response.text() == "ok"
            async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
                assert (await client.get("https://api.example/")).text == "ok"
            assert net.clock.time() == 60

    run(test)


def test_farends_own_clients(run):
    async def test():
        script = Script().expect("a").pause(40).send("b")
        far_end, other = WebSocketServer(script), TcpServer(script)
        async with virtual_network({"wss://feed.example": far_end, ("10.1.2.3", 7): other}) as net:
            async with WebSocketClient(script.mirrored(), "wss://feed.example/"):
                pass
            assert net.clock.time() == 40
            async with TcpClient(Script().send(b"a").expect(b"b", framing=None), "10.1.2.3", 7) as client:
                assert client.peer.address == ("10.1.2.3", 7)
            assert net.clock.time() == 80
        assert client.deadline is not None

    run(test)


def test_tls_is_begun_later(run):
    async def test():
        script = Script().send(b"hello\n").expect(b"bye\n")
        far_end, plain = TcpServer(script, tls=True), TcpServer(Script().expect(b"plain"))
        async with virtual_network({("mail.example", 465): far_end, ("mail.example", 25): plain}):
            reader, writer = await asyncio.open_connection("mail.example", 465)
            await writer.start_tls(ssl.create_default_context(), server_hostname="mail.example")
            assert await reader.readline() == b"hello\n"
            writer.write(b"bye\n")
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("mail.example", 465, ssl=True, server_hostname="other.example")
            _, writer = await asyncio.open_connection("mail.example", 25)
            with pytest.raises((OSError, Failure)):  # this far end does not shake hands
                await writer.start_tls(ssl.create_default_context(), server_hostname="mail.example")
            writer.close()

    with pytest.raises(Failure):
        run(test)


def test_every_port_and_both_names_of_one_server(run):
    async def test():
        far_end = TcpServer(Script().send(b"x").close())
        async with virtual_network({"db.internal": far_end, ("db.other", 5): far_end}):
            for host, port in (("db.internal", 1), ("DB.internal.", 65535), ("db.other", 5)):
                reader, writer = await asyncio.open_connection(host, port)
                assert await reader.read() == b"x"
                writer.close()
            assert far_end.name == "TcpServer db.internal"
            with pytest.raises(WrongState, match="at every port of db.internal"):
                _ = far_end.port
        assert [peer.address for peer in far_end.connections] == [("127.0.0.1", 49152 + n) for n in range(3)]

    run(test)


# -- time -------------------------------------------------------------------------------------------


def test_a_thousand_beats_are_a_thousand(run):
    async def test():
        beats = []

        async def beat():
            while True:
                await asyncio.sleep(5)
                beats.append(asyncio.get_running_loop().time())

        async with virtual_network({DEVICE: TcpServer()}) as net:
            task = asyncio.create_task(beat())
            await net.clock.advance(5000)
            assert beats == [5.0 * number for number in range(1, 1001)]
            task.cancel()

    run(test)


def test_advance_lets_what_is_due_react_and_settle_lets_nothing_pass(run):
    async def test():
        told = []

        async def late():
            await asyncio.sleep(1)
            told.append("woke")
            await asyncio.sleep(0)
            told.append("reacted")

        async with virtual_network({DEVICE: TcpServer()}) as net:
            task = asyncio.create_task(late())
            await net.settle()
            assert (told, net.clock.time()) == ([], 0)
            await net.settle(within=1)
            assert (told, net.clock.time()) == (["woke", "reacted"], 1)
            await net.clock.advance(0.5)
            assert net.clock.time() == 1.5
            await task

    run(test)


def test_timers_that_are_older_than_the_network_are_in_real_time(run):
    async def test():
        loop = asyncio.get_running_loop()
        fired = []
        guard = loop.call_later(3600, fired.append, "guard")
        soon = loop.call_later(0.01, fired.append, "soon")
        async with virtual_network({DEVICE: TcpServer()}) as net:
            await net.clock.advance(100_000)
            while not fired:
                await asyncio.sleep(1)
            assert fired == ["soon"]
            inner = loop.call_later(50, fired.append, "inner")
        assert fired == ["soon"]
        if isinstance(loop, asyncio.SelectorEventLoop):
            assert inner.when() - loop.time() < 51  # what is left of it is left in real time
        for timer in (guard, soon, inner):
            timer.cancel()

    run(test)


def test_a_thread_holds_the_clock(run):
    async def test():
        release = threading.Event()

        async with virtual_network({DEVICE: TcpServer()}) as net:
            loop = asyncio.get_running_loop()
            job = loop.run_in_executor(None, release.wait, 30)
            sleeper = asyncio.create_task(asyncio.sleep(10))
            timer = threading.Timer(0.05, release.set)
            timer.start()
            await job
            assert net.clock.time() == 0
            await sleeper
            assert net.clock.time() == 10
            timer.join()

    run(test)


def test_a_thread_that_never_ends_is_named(run):
    release = threading.Event()

    async def test():
        async with virtual_network({DEVICE: TcpServer()}, limit=0.05):
            job = asyncio.get_running_loop().run_in_executor(None, release.wait, 30)
            try:
                await asyncio.sleep(600)
            finally:
                release.set()
                await job

    with pytest.raises(Unsettled, match=r"under way for 0.05 s:\n  a thread runs .*wait"):
        run(test)


def test_a_program_that_never_pauses_is_named(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}, limit=0.05):
            while True:
                await asyncio.sleep(0)

    with pytest.raises(Unsettled, match=r"never pauses|under way"):
        run(test)


def test_a_real_thing_may_be_waited_for(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}) as net:
            process = await asyncio.create_subprocess_exec("true")
            assert await process.wait() == 0
            assert net.clock.time() == 0

    run(test)


# -- nothing hangs ----------------------------------------------------------------------------------


def test_a_far_end_waits_minutes_and_its_deadline_does_not_come(run):
    async def test():
        far_end = WebSocketServer(Script().expect("at last"), deadline=60)  # of real time
        async with virtual_network({"ws://feed.example": far_end}):
            async with connect("ws://feed.example") as client:
                await asyncio.sleep(600)
                await client.send("at last")
        assert far_end.deadline == 60

    run(test)


def test_what_never_comes_is_told_at_once(run):
    async def test():
        far_end = WebSocketServer(Script().expect("hello"), deadline=3600)
        async with virtual_network({"ws://feed.example": far_end}):
            async with connect("ws://feed.example", ping_interval=None) as client:
                await client.recv()

    with pytest.raises(Failure) as failed:
        run(test)
    [finding] = failed.value.findings
    assert isinstance(finding, TimedOut)
    assert finding.sentence == "Waited in vain for the near end to say 'hello'."
    assert "test_virtual.py:" in finding.advice
    assert "Nothing can happen any more" in str(failed.value)


def test_a_failure_is_told_at_the_block_and_not_on_its_way(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer(Script().expect(b"PING"))}):
            _, writer = await asyncio.open_connection(*DEVICE)
            writer.write(b"PONG")
            writer.close()

    with pytest.raises(Failure) as failed:
        run(test)
    shown = failed.traceback.filter(failed)
    assert not [entry for entry in shown if "contextlib" in str(entry.path)]
    assert shown[-1].name == "test"


def test_a_step_with_a_time_of_its_own_is_in_virtual_time(run):
    async def test():
        far_end = WebSocketServer(Script().expect("a", within=30).expect("b", within=30))
        async with virtual_network({"ws://feed.example": far_end}):
            async with connect("ws://feed.example") as client:
                await asyncio.sleep(29)
                await client.send("a")
                await asyncio.sleep(31)
                await client.recv()

    with pytest.raises(Failure) as failed:
        run(test)
    [finding] = failed.value.findings
    assert (finding.seconds, finding.place.number) == (30, 2)
    assert [entry.time for entry in finding.place.transcript if entry.kind is Kind.FOUND] == [59]


def test_the_test_in_control_waits_in_virtual_time_where_it_says_so(run):
    async def test():
        far_end = WebSocketServer()
        async with virtual_network({"ws://feed.example": far_end}) as net:
            with pytest.raises(Failure, match=r"10 s waited"):
                await far_end.connection(within=10)
            assert net.clock.time() == 10
            with pytest.raises(Failure, match="Nobody connected .and nobody ever will."):
                await far_end.connection()
            async with connect("ws://feed.example") as client:
                peer = await far_end.connection()
                with pytest.raises(Failure, match="Waited 10 s"):
                    await peer.expect("x", within=10)
                assert net.clock.time() == 20
                await client.close()
                await peer.closed()

    run(test)


def test_a_wait_of_the_tests_that_is_in_vain(run):
    async def test():
        far_end = WebSocketServer()
        async with virtual_network({"ws://feed.example": far_end}):
            async with connect("ws://feed.example", ping_interval=None):
                peer = await far_end.connection()
                with pytest.raises(Failure, match="Waited in vain for the near end to say 'x'"):
                    await peer.expect("x")
                await peer.close()
                with pytest.raises(Failure, match="close"):
                    await peer.expect("x")

    with pytest.raises((WrongState, Failure)):
        run(test)


def test_who_never_comes(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer([Script().send(b"1"), Script().send(b"2")])}):
            _, writer = await asyncio.open_connection(*DEVICE)
            writer.close()

    with pytest.raises(Failure) as failed:
        run(test)
    [finding] = failed.value.findings
    assert isinstance(finding, NobodyConnected)


def test_who_stays_for_ever(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer(Script().send(b"1"))}):
            reader, _ = await asyncio.open_connection(*DEVICE)
            assert await reader.read() == b"1"

    with pytest.raises(Failure) as failed:
        run(test)
    [finding] = failed.value.findings
    assert isinstance(finding, Lingered)
    assert "for ever the near end neither said anything nor left" in finding.sentence
    assert "Nothing can happen any more" in finding.advice


def test_who_never_reads(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer(Script().send(bytes(1 << 20)).expect(b"x"))}):
            _, writer = await asyncio.open_connection(*DEVICE)
            writer.transport.pause_reading()
            await asyncio.Event().wait()

    with pytest.raises((Failure, Standstill)) as failed:
        run(test)
    notes = "".join(getattr(failed.value, "__notes__", ()))
    assert NotReading.__name__ in repr(getattr(failed.value, "findings", ())) or "has read nothing" in notes


def test_who_opens_no_websocket(run):
    async def test():
        far_end = WebSocketServer(Script().expect("x"))
        async with virtual_network({"ws://feed.example": far_end}):
            reader, _ = await asyncio.open_connection("feed.example", 80)
            await reader.read()

    with pytest.raises((Failure, ConnectionError)) as failed:
        run(test)
    assert "opened no WebSocket" in str(failed.value) + "".join(getattr(failed.value, "__notes__", ()))


def test_a_client_whose_timers_never_end_meets_the_deadline_in_real_time(run):
    async def test():
        far_end = WebSocketServer(Script().expect("hello"), deadline=0.3)
        async with virtual_network({"ws://feed.example": far_end}):
            async with connect("ws://feed.example") as client:  # pings every 20 s
                await client.recv()

    with pytest.raises(Failure) as failed:
        run(test)
    [finding] = failed.value.findings
    assert finding.sentence == "Waited 0.3 s for the near end to say 'hello'."


def test_a_wait_of_the_tests_beside_timers_that_never_end(run):
    async def test():
        far_end = WebSocketServer(deadline=0.3)
        async with virtual_network({"ws://feed.example": far_end}):
            async with connect("ws://feed.example"):
                peer = await far_end.connection()
                with pytest.raises(Failure, match="Waited 0.3 s"):
                    await peer.expect("hello")
                await peer.close()

    run(test)


def test_a_test_that_hangs_is_told_who_waits_for_what(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}):
            await asyncio.Event().wait()

    with pytest.raises(
        Standstill, match=r"wait for each other:\n  an event, test_virtual.py:\d+ \(.*test\)"
    ) as stopped:
        run(test)
    assert len(stopped.value.waiting) == 1 or "watched" in str(stopped.value)


def test_what_the_test_raises_when_it_is_stopped_stays(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("my own") from None

    with pytest.raises(ValueError, match="my own") as raised:
        run(test)
    assert "Nothing can happen any more" in raised.value.__notes__[0]


def test_a_test_that_swallows_it_is_told_at_the_end(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        raise AssertionError("not here")

    with pytest.raises(Standstill):
        run(test)


def test_a_test_that_swallows_it_for_ever_stops_the_loop():
    released = asyncio.Event()

    async def test():
        async with virtual_network({DEVICE: TcpServer()}):
            while not released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await released.wait()

    async def release():
        released.set()

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(test())
        with pytest.raises(Standstill):
            loop.run_until_complete(task)
        loop.run_until_complete(release())
        with pytest.raises(Standstill):
            loop.run_until_complete(task)


def test_the_tests_own_cancellation_is_nobody_elses(run):
    async def test():
        async def block():
            async with virtual_network({DEVICE: TcpServer()}) as net:
                begun.set()
                while True:
                    await net.clock.advance(5)

        begun = asyncio.Event()
        task = asyncio.create_task(block())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(test)


def test_in_a_fixture_the_task_that_the_loop_runs_is_stopped():
    network = virtual_network({DEVICE: TcpServer()})
    with asyncio.Runner() as runner:
        runner.run(network.__aenter__())

        async def test():
            await asyncio.Event().wait()

        with pytest.raises(asyncio.CancelledError, match="Nothing can happen any more"):
            runner.run(test())
        with pytest.raises(Standstill):
            runner.run(network.__aexit__(None, None, None))


# -- nothing leaves ---------------------------------------------------------------------------------


def test_what_is_not_listed_is_refused_and_fails_the_test(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}):
            with pytest.raises(AddressError, match="other.example:80 is not in this virtual network, .*In it: device"):
                await asyncio.open_connection("other.example", 80)

    with pytest.raises(Failure, match="other.example:80 is not in this virtual network"):
        run(test)


def test_a_server_that_has_left_refuses(run):
    async def test():
        far_end = TcpServer()
        async with virtual_network({DEVICE: far_end}):
            await far_end.aclose()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*DEVICE)

    run(test)


def test_connections_that_are_left_open_end_with_the_network(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer(Script(open_ended=True))}):
            reader, writer = await asyncio.open_connection(*DEVICE)
            writer.transport.pause_reading()
        with pytest.raises(ConnectionError):
            await reader.read()
        assert writer.transport.is_closing()

    run(test)


# -- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "kind", "text"),
    [
        ([], WrongType, "takes a mapping of addresses to servers, not"),
        ({"feed.example:80": TcpServer()}, InvalidArguments, "write the pair"),
        ({("a", 1): Script()}, WrongType, "A script is played by a server"),
        ({("a", 1): TcpServer}, WrongType, "give a server of farend's that is not started"),
        ({("a", 1): ("127.0.0.1", 2)}, WrongType, "cannot lead to"),
        ({("a", 80): TcpServer(), "ws://a/x": WebSocketServer()}, InvalidArguments, "are one address, a:80"),
        ({("a", 1): TcpServer(unix_path="/tmp/x")}, InvalidArguments, "Unix socket, and a:1 is in memory"),
    ],
)
def test_what_is_no_network(listed, kind, text):
    with pytest.raises(kind, match=text):
        virtual_network(listed)


@pytest.mark.parametrize(("limit", "kind"), [("x", WrongType), (-1, InvalidArguments), (True, WrongType)])
def test_what_is_no_limit(limit, kind):
    with pytest.raises(kind, match="limit="):
        virtual_network({}, limit=limit)


def test_a_plain_with_says_why_not():
    with pytest.raises(WrongState, match="A plain test's client blocks its thread, where time is real"):
        with virtual_network({DEVICE: TcpServer()}):
            pass


def test_a_started_server_is_refused(run):
    async def test():
        async with TcpServer() as far_end:
            with pytest.raises(WrongState, match="is started already, and device.plant.example:5025 is in memory"):
                await virtual_network({DEVICE: far_end}).__aenter__()
        with pytest.raises(WrongState, match="is started already"):
            await virtual_network({DEVICE: far_end}).__aenter__()
        listening = TcpServer().listen()
        with pytest.raises(WrongState, match="is started already"):
            await virtual_network({DEVICE: listening}).__aenter__()
        listening.close()

    run(test)


def test_a_server_of_another_loop_is_refused(run):
    async def test():
        with TcpServer() as far_end:
            with pytest.raises(WrongState, match="is started already"):
                await virtual_network({DEVICE: far_end}).__aenter__()

    run(test)


def test_one_network_on_a_loop(run):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}) as net:
            with pytest.raises(WrongState, match="has a virtual network already"):
                await virtual_network({("b", 1): TcpServer()}).__aenter__()
            with pytest.raises(WrongState, match="was entered already"):
                await net.__aenter__()
            with pytest.raises(WrongState, match="with a socket cannot live on a loop whose time is virtual"):
                await TcpServer().__aenter__()
            with TcpServer() as other:  # on the background loop, where time is real
                assert other.port
        with pytest.raises(WrongState, match="within its block alone"):
            _ = net.clock

    run(test)


def test_no_running_loop():
    net = virtual_network({DEVICE: TcpServer()})
    with pytest.raises(WrongState, match="within its block alone"):
        _ = net.clock
    entering = net.__aenter__()
    with pytest.raises(WrongState, match="no event loop of asyncio's runs here"):
        entering.send(None)


def test_a_client_in_a_thread_is_told(run):
    async def test():
        far_end = TcpServer()
        async with virtual_network({DEVICE: far_end}) as net:

            def client():
                import socket

                socket.create_connection(DEVICE, timeout=5)

            with pytest.raises(
                WrongState, match="device.plant.example:5025 is in a virtual network, and a client that"
            ):
                await asyncio.to_thread(client)
            with pytest.raises(WrongState, match="this is another thread"):
                await asyncio.to_thread(lambda: net.clock)
            with pytest.raises(WrongState, match="is in a virtual network, and this is another thread"):
                await asyncio.to_thread(far_end.accept)
            with pytest.raises(WrongState, match="is in a virtual network, and this is another thread"):
                await asyncio.to_thread(asyncio.run, far_end.connection())

    run(test)


@pytest.mark.parametrize(
    ("seconds", "kind"), [("x", WrongType), (-1, InvalidArguments), (float("inf"), InvalidArguments)]
)
def test_advance_takes_seconds(run, seconds, kind):
    async def test():
        async with virtual_network({DEVICE: TcpServer()}) as net:
            with pytest.raises(kind, match="seconds="):
                await net.clock.advance(seconds)

    run(test)


# -- plans, faults and splits -----------------------------------------------------------------------


def doubling():
    """A backoff from 1 to 60 s."""
    delay = 1
    while True:
        yield delay
        delay = min(2 * delay, 60)


def test_a_plan_with_refusals_and_its_journal(run):
    async def test():
        plan = Plan().refuse(2).reject(503).play(Script().send("1").send("2"), then_abort(after=1))
        far_end = WebSocketServer(plan.play(Script().send("hello")))
        async with virtual_network({"ws://feed.example": far_end}):
            async for client in connect("ws://feed.example", reconnect_delays=doubling):
                with contextlib.suppress(websockets.ConnectionClosed):
                    if await client.recv() == "hello":
                        await client.close()
                        break
                    await client.recv()
        assert far_end.journal.outcomes == ["refused", "refused", "rejected 503", "aborted", "played"]
        assert [attempt.attempted for attempt in far_end.journal] == [0, 1, 3, 7, 7]

    run(test)


def test_the_same_by_aiohttp(run):
    async def test():
        plan = Plan().refuse(2).reject(503).play(Script().send("1").send("2"), then_abort(after=1))
        far_end = WebSocketServer(plan.play(Script().send("hello")))
        async with virtual_network({"ws://feed.example": far_end}), aiohttp.ClientSession() as session:
            for delay in doubling():
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.ws_connect("ws://feed.example") as client:
                        message = await client.receive()
                        if message.data == "hello":
                            break
                        await client.receive()
                await asyncio.sleep(delay)
        assert far_end.journal.outcomes == ["refused", "refused", "rejected 503", "aborted", "played"]
        assert [attempt.attempted for attempt in far_end.journal] == [0, 1, 3, 7, 15]

    run(test)


def test_a_plan_that_stalls_meets_the_clients_own_timeouts(run):
    async def test():
        far_end = WebSocketServer(Plan().stall().stall("handshake").slow_handshake(3, Script().send("x")))
        async with virtual_network({"wss://feed.example": far_end}) as net:
            options = {"open_timeout": 10, "ping_interval": 20, "ping_timeout": 20, "close_timeout": 10}
            async for client in connect("wss://feed.example", reconnect_delays=doubling, **options):
                with contextlib.suppress(websockets.ConnectionClosed):
                    assert await client.recv() == "x"
                    await client.close()
                    break
            assert net.clock.time() == 64
        assert far_end.journal.outcomes == ["stalled", "stalled", "played"]
        assert [attempt.attempted for attempt in far_end.journal] == [0, 11, 61]
        assert [attempt.lasted for attempt in far_end.journal][:2] == [10, 50]

    run(test)


def test_a_client_without_a_timeout_hangs_on_a_stall_and_is_told(run):
    async def test():
        async with virtual_network({"ws://feed.example": WebSocketServer(Plan().stall())}):
            await connect("ws://feed.example", open_timeout=None)

    with pytest.raises(Standstill):
        run(test)


def test_whoever_stays_after_a_wrong_accept_is_told(run):
    async def test():
        far_end = WebSocketServer(Plan().wrong_accept())
        async with virtual_network({"ws://feed.example": far_end}):
            reader, writer = await asyncio.open_connection("feed.example", 80)
            request = "GET / HTTP/1.1\r\nHost: feed.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            more = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            writer.write((request + more).encode())
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

    with pytest.raises(Failure, match="stayed"):
        run(test)


def test_a_machine_that_stands_still_uses_up_no_deadline(run):
    async def test():
        device = TcpServer(Script().expect(b"x"), deadline=0.5)
        async with virtual_network({("device", 1): device}) as net:
            _, writer = await asyncio.open_connection("device", 1)
            await net.settle()  # it waits, and that was seen
            time.sleep(1.5)  # noqa: ASYNC251 (so nobody has waited)
            await net.settle()
            writer.write(b"x")
            writer.close()

    run(test)


def test_latency_and_bandwidth_are_in_virtual_time(run):
    async def test():
        slow = TcpServer(Script().expect(b"ping").send(b"pong"), faults=[Latency(0.25)])
        thin = TcpServer(Script().send(bytes(100_000)).expect(b"x"), faults=[Bandwidth(10_000)])
        async with virtual_network({("slow", 1): slow, ("thin", 1): thin}) as net:
            reader, writer = await asyncio.open_connection("slow", 1)
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"pong"
            assert net.clock.time() == 0.25
            writer.close()
            reader, writer = await asyncio.open_connection("thin", 1)
            await reader.readexactly(100_000)
            assert net.clock.time() == pytest.approx(10.25, abs=1e-9)  # the sum of many short pauses
            writer.write(b"x")
            writer.close()

    run(test)


def test_silence_and_the_keepalive(run):
    async def test():
        script = Script().send("last").fault(Silence()).expect_close(1006, within=3600)
        far_end = WebSocketServer(script)
        async with virtual_network({"ws://feed.example": far_end}) as net:
            async with connect("ws://feed.example", ping_interval=20, ping_timeout=20, close_timeout=10) as client:
                assert await client.recv() == "last"
                with pytest.raises(websockets.ConnectionClosedError):
                    await client.recv()
            assert net.clock.time() == 50
        assert [one[-1] for one in times(far_end, Kind.ENDED)] == [50]

    run(test)


def test_every_split_in_memory():
    heard = []

    def test():
        async def body():
            far_end = TcpServer(Script().send(b"abcd").close())
            async with virtual_network({DEVICE: far_end}):
                reader, writer = await asyncio.open_connection(*DEVICE)
                pieces = []
                while data := await reader.read(100):
                    pieces.append(data)
                heard.append(tuple(pieces))
                writer.close()

        asyncio.run(body())

    play_every_split(test)
    assert {b"".join(pieces) for pieces in heard} == {b"abcd"}
    assert {(b"abcd",), (b"a", b"bcd"), (b"a", b"b", b"c", b"d")} <= set(heard)
