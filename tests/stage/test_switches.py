"""Faults between a client and its real server, switched while the proxy runs."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from farend import (
    Bandwidth,
    ByteAtATime,
    Coalesce,
    Corrupt,
    CutAfter,
    Duplicate,
    EndOfStream,
    FaultError,
    Garbage,
    InvalidArguments,
    Latency,
    NoCloseFrame,
    Reorder,
    Reset,
    Script,
    Segments,
    Silence,
    SlowReader,
    TcpServer,
    WebSocketServer,
    WrongState,
    WrongType,
    proxy,
    record,
)
from farend.core.faults import TCP_PROXY, WEBSOCKET_PROXY
from farend.stage.switches import Switches, at_home


def heard_by(client):
    """All that comes, and how it ends."""
    heard = b""
    try:
        while data := client.recv(1 << 16):
            heard += data
    except ConnectionResetError:
        return heard, "reset"
    return heard, "end"


def dialled(between):
    return socket.create_connection((between.host, between.port), timeout=20)


def on_tcp(faults, said=b"a", script=None, **options):
    script = script or Script().expect(b"a").send(b"hello").close()
    with TcpServer(script) as server, proxy(server.url, faults=faults, **options) as between:
        with dialled(between) as client:
            client.sendall(said)
            return heard_by(client)


ON_TCP = {
    "none": ([], b"hello", "end"),
    "latency": ([Latency(0.01, 0.005, to="both")], b"hello", "end"),
    "bandwidth": ([Bandwidth(1000, to="both")], b"hello", "end"),
    "slow reader": ([SlowReader(1000, to="both")], b"hello", "end"),
    "segments": ([Segments(2, to="both")], b"hello", "end"),
    "byte at a time": ([ByteAtATime(0.001)], b"hello", "end"),
    "coalesce": ([Coalesce(0.01)], b"hello", "end"),
    "corrupt": ([Corrupt(at=0, seed=1)], None, "end"),
    "garbage": ([Garbage(b"XY", at=1)], b"hXYello", "end"),
}


@pytest.mark.parametrize(("faults", "bytes_heard", "end"), ON_TCP.values(), ids=list(ON_TCP))
def test_a_proxy_does_faults_on_tcp(faults, bytes_heard, end):
    heard, ended = on_tcp(faults)
    assert len(heard) >= 5
    if bytes_heard is not None:
        assert heard == bytes_heard
    assert ended == end


def test_a_cut_reaches_both_sides():
    script = Script().expect(b"a").send(b"hello").expect_close(reset=True)
    assert on_tcp([CutAfter(3)], script=script) == (b"hel", "reset")


def test_an_end_in_the_middle_reaches_the_side_that_it_is_for():
    script = Script().expect(b"a").send(b"hello").expect_close()
    assert on_tcp([CutAfter(3, "end")], script=script) == (b"hel", "end")
    script = Script().expect(b"ab").expect_close()
    assert on_tcp([CutAfter(2, "end", to="far")], b"abc", script) == (b"", "end")


def test_a_reset_of_every_connection_that_comes():
    with TcpServer(Script()) as server, proxy(server.url, faults=[Reset()]) as between:
        for _ in range(2):
            with pytest.raises(ConnectionResetError), dialled(between) as client:
                client.recv(1)
        between.faults.clear()
        with dialled(between) as client:
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)


def test_faults_are_switched_while_connections_last():
    script = Script().repeat(5, Script().expect(b"a").send(b"b"))
    latency = Latency(0.02)
    with TcpServer(script) as server, proxy(server.url) as between, dialled(between) as client:

        def round_trip():
            client.sendall(b"a")
            assert client.recv(1) == b"b"

        round_trip()
        between.faults.add(latency)
        assert (list(between.faults), len(between.faults), latency in between.faults) == ([latency], 1, True)
        assert repr(between.faults) == "<faults: latency 0.02 s>"
        began = time.monotonic()
        round_trip()
        assert time.monotonic() - began > 0.015  # a clock may be a few milliseconds early
        between.faults.remove(latency)
        round_trip()
        with between.faults.during(ByteAtATime(), Latency(0.001, to="far")):
            assert len(between.faults) == 2
            round_trip()
        assert repr(between.faults) == "<faults: none>"
        round_trip()
        [pipe] = between._pipes
        assert pipe.impaired is None, "with no fault active, bytes go straight"


def test_what_is_on_can_be_set_as_a_whole():
    one, other = Latency(0.01), Segments(1)
    with TcpServer(Script()) as server, proxy(server.url, faults=one) as between:
        between.faults.set(other, one)
        assert set(between.faults) == {one, other}
        between.faults.set(Latency(0.02))
        assert list(between.faults) == [Latency(0.02)]
        between.faults.set()
        assert list(between.faults) == []


def test_a_fault_that_is_off_already_when_its_block_ends():
    with TcpServer(Script()) as server, proxy(server.url) as between:
        with between.faults.during(Latency(0.01)):
            between.faults.clear()
        assert len(between.faults) == 0


@pytest.mark.parametrize(("how", "end"), [("reset", "reset"), ("end", "end")])
def test_all_connections_can_be_severed(how, end):
    script = Script().send(b"hello").expect_close(reset=how == "reset")
    with TcpServer(script) as server, proxy(server.url) as between:
        with dialled(between) as one, dialled(between) as other:
            assert (one.recv(5), other.recv(5)) == (b"hello", b"hello")
            between.sever(how)
            assert heard_by(one) == (b"", end)
            assert heard_by(other) == (b"", end)
            with dialled(between) as third:
                assert third.recv(5) == b"hello"
                between.sever(how)
    with pytest.raises(FaultError, match="sever"):
        between.sever("politely")


def test_one_that_waits_for_its_server_is_severed_too():
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # takes connections, and says nothing
        with proxy(f"tcp://127.0.0.1:{nobody.getsockname()[1]}") as between, dialled(between) as client:
            while not between.connections:
                time.sleep(0)
            between.sever()
            assert heard_by(client)[1] == "reset"


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["reset", "end"])
async def test_one_that_has_only_just_come_is_severed_too(monkeypatch, how):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        async with proxy(f"tcp://127.0.0.1:{nobody.getsockname()[1]}") as between:
            pipe = between._pipe

            def severed(outcome):
                asyncio.get_running_loop().call_soon(between.sever, how)  # before it has a transport
                return pipe(outcome)

            monkeypatch.setattr(between, "_pipe", severed)
            reader, writer = await asyncio.open_connection("127.0.0.1", between.port)
            async with asyncio.timeout(20):
                if how == "reset":
                    with pytest.raises(ConnectionResetError):
                        await reader.read()
                else:
                    assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.asyncio
async def test_one_that_has_only_just_come_ends_with_the_proxy(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        between = proxy(f"tcp://127.0.0.1:{nobody.getsockname()[1]}")
        async with between:
            pipe = between._pipe

            def closed(outcome):
                made = pipe(outcome)
                asyncio.get_running_loop().call_soon(made.close)
                return made

            monkeypatch.setattr(between, "_pipe", closed)
            reader, writer = await asyncio.open_connection("127.0.0.1", between.port)
            async with asyncio.timeout(20):
                assert await reader.read() == b""
            writer.close()


def test_silence_keeps_the_connection_and_all_that_is_said():
    script = Script().expect(b"a").send(b"b").expect(b"c").close()
    with TcpServer(script) as server, proxy(server.url) as between, dialled(between) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"b"
        between.faults.add(Silence())
        client.sendall(b"c")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        between.faults.clear()
        client.settimeout(20)
        assert client.recv(1) == b""


def test_leaving_a_proxy_that_is_silent_cuts_what_it_has():
    with TcpServer(Script().send(b"never")) as server:
        with proxy(server.url, faults=[Silence()]) as between, dialled(between):
            pass


def test_leaving_a_proxy_that_is_slow_hurries_what_it_has():
    with TcpServer(Script().expect(b"late")) as server, contextlib.ExitStack() as stack:
        with proxy(server.url, faults=[Latency(60, to="far")]) as between:
            client = stack.enter_context(dialled(between))
            client.sendall(b"late")
            while not any(pipe.impaired and pipe.impaired._far.pending for pipe in between._pipes):
                time.sleep(0)
        server.join()


def test_a_server_that_resets_is_seen_to_behind_what_it_said():
    script = Script().expect(b"a").send(b"hello").pause(0.02).abort()
    assert on_tcp([Latency(0.05)], script=script) == (b"hello", "reset")


def test_a_slow_reader_fills_the_buffers_of_who_speaks():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with proxy(url, faults=[SlowReader()]) as between, dialled(between) as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    client.sendall(bytes(1 << 20))


# -- WebSockets -----------------------------------------------------------------------------------

TWO = Script().expect("a").send("1").send("2").close(4000)


def on_websocket(faults, *said, script=TWO, tls=False, **options):
    heard = []
    with WebSocketServer(script, compression=True) as server, contextlib.ExitStack() as stack:
        between = stack.enter_context(proxy(server.url + "/feed", faults=faults, listen_tls=tls, **options))
        with contextlib.suppress(ConnectionClosed):
            with connect(between.url, ssl=between.client_ssl_context if tls else None) as client:
                for message in said or ("a",):
                    client.send(message)
                while True:
                    heard.append(client.recv(timeout=20))
    return heard, client.protocol.close_code


ON_WEBSOCKET = {
    "none": ([], ["1", "2"], 4000),
    "byte at a time": ([ByteAtATime(to="both")], ["1", "2"], 4000),
    "latency": ([Latency(0.005, to="both")], ["1", "2"], 4000),
    "duplicate": ([Duplicate()], ["1", "1", "2", "2"], 4000),
    "reorder": ([Reorder()], ["2", "1"], 4000),
    "held back at the close": ([Reorder(3)], ["1", "2"], 4000),
    "no close frame": ([NoCloseFrame()], ["1", "2"], 1006),
    "both": ([Reorder(), NoCloseFrame(), Segments(1)], ["2", "1"], 1006),
}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("faults", "messages", "code"), ON_WEBSOCKET.values(), ids=list(ON_WEBSOCKET))
def test_a_proxy_does_faults_on_websockets(faults, messages, code, tls):
    assert on_websocket(faults, tls=tls) == (messages, code)


def test_what_a_websocket_server_hears():
    script = Script().expect("b").expect("a").send("c").close()
    assert on_websocket([Reorder(to="far")], "a", "b", script=script)[0] == ["c"]
    script = Script().expect("a").expect("a").send("c").close()
    assert on_websocket([Duplicate(to="far")], script=script)[0] == ["c"]
    script = Script().expect("a").send("1").expect_close(1006)
    with WebSocketServer(script) as server, proxy(server.url, faults=[NoCloseFrame(to="far")]) as between:
        with connect(between.url) as client:
            client.send("a")
            client.recv()


def test_messages_are_whole_though_the_fault_begins_in_the_middle_of_one():
    with WebSocketServer(Script().expect("a").pause(0.05).send("1").close()) as server:
        with proxy(server.url) as between, connect(between.url, compression=None) as client:
            client.send("a")
            between.faults.add(Duplicate())
            assert (client.recv(), client.recv()) == ("1", "1")
            between.faults.set(Reorder())
            between.faults.clear()


@pytest.mark.parametrize(
    ("fault", "hears", "then"),
    [
        (CutAfter(3), b"ans", "reset"),
        (CutAfter(3, "end"), b"ans", "nothing"),
        (CutAfter(3, "end", to="far"), b"answer", "end"),
    ],
    ids=str,
)
def test_what_the_real_server_hears_of_a_cut(fault, hears, then):
    """A reset is heard on both sides, and an end of the stream on one: the other direction goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with proxy(f"tcp://127.0.0.1:{listening.getsockname()[1]}", faults=[fault]) as between:
            with dialled(between) as client, listening.accept()[0] as server:
                server.settimeout(20)
                client.sendall(b"ask")
                assert server.recv(3, socket.MSG_WAITALL) == b"ask"
                if then == "end":
                    assert server.recv(3) == b""
                server.sendall(b"answer")
                if then == "reset":
                    assert heard_by(server)[1] == "reset"
                    assert heard_by(client)[1] == "reset"  # what was under way may be lost with it
                    return
                assert client.recv(len(hears), socket.MSG_WAITALL) == hears
                if then == "nothing":
                    assert client.recv(3) == b""
                    client.sendall(b"more")
                    assert server.recv(4, socket.MSG_WAITALL) == b"more"


def test_a_connection_that_compresses_is_left_as_it_is():
    with WebSocketServer(Script().expect("a"), compression=True) as server, proxy(server.url) as between:
        with connect(between.url) as client:
            with pytest.raises(FaultError, match="compresses its messages"):
                between.faults.add(Duplicate())
            assert len(between.faults) == 0
            client.send("a")


def test_a_handshake_that_a_fault_has_cut_is_nobodys_mistake():
    script = Script().expect_close()
    with contextlib.suppress(AssertionError), WebSocketServer(script) as server:
        with proxy(server.url, faults=[CutAfter(5, "end", to="far")]) as between:
            with pytest.raises(Exception, match="."), connect(between.url):
                pass
            assert between.problems == ()


def test_one_proxy_records_and_breaks(tmp_path):
    tape = tmp_path / "broken.jsonl"
    assert on_websocket([NoCloseFrame()], tape=tape)[1] == 1006
    lines = tape.read_text().splitlines()
    assert sum('"kind":"message"' in line for line in lines) == 3
    assert any("fault: no close frame" in line for line in lines)
    assert any("a close frame was not sent on" in line for line in lines)
    with TcpServer(Script().send(b"a")) as server, record(server.url, tmp_path / "severed.jsonl") as between:
        with dialled(between) as client:
            assert client.recv(1) == b"a"
            between.faults.add(Latency(0.001))
            between.sever()
            assert heard_by(client)[1] == "reset"
    assert '"kind":"abort"' in (tmp_path / "severed.jsonl").read_text()


# -- from other threads and loops -----------------------------------------------------------------


def test_they_can_be_switched_from_any_thread_and_loop():
    async def test():
        async with TcpServer(Script()) as server, proxy(server.url) as between:
            between.faults.add(Latency(0.01))
            await asyncio.to_thread(between.faults.add, Segments(1))
            assert len(between.faults) == 2
            await asyncio.to_thread(between.sever)
        with TcpServer(Script()) as server, proxy(server.url) as between:
            between.faults.add(Latency(0.01))
            assert len(between.faults) == 1

    asyncio.run(test())


def test_a_loop_that_is_closed_or_blocked_is_told(monkeypatch):
    loop = asyncio.new_event_loop()
    monkeypatch.setattr("farend.stage.switches.DEADLINE", 0.01)
    with pytest.raises(WrongState, match="is it blocked"):
        at_home(loop, lambda: None)
    loop.close()
    with pytest.raises(WrongState, match="is closed"):
        at_home(loop, lambda: None)


def test_what_goes_wrong_there_is_raised_here():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with pytest.raises(ZeroDivisionError):
            at_home(loop, lambda: 1 / 0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# -- what cannot be -------------------------------------------------------------------------------


class Nobody:
    def impair(self, faults):
        pass

    def repair(self, faults):
        pass


def test_contradictions_and_what_is_not_on_are_told():
    on = Switches(Nobody(), TCP_PROXY, (Latency(1),))
    for act, text in (
        (lambda: on.add(Latency(2)), "which is on, contradict each other: remove"),
        (lambda: on.add(Bandwidth(1), Bandwidth(2)), "add().*contradict"),
        (lambda: on.add(Duplicate()), "cannot be done by a proxy for TCP"),
        (lambda: on.set(Reorder()), "cannot be done by a proxy for TCP"),
        (lambda: on.remove(Latency(2)), "'latency 2 s' is not on; there is 'latency 1 s'"),
        (lambda: on.during(Latency(3)).__enter__(), "contradict"),
    ):
        with pytest.raises(FaultError, match=text):
            act()
    on.clear()
    with pytest.raises(FaultError, match="there is nothing"):
        on.remove(Latency(1))
    with pytest.raises(WrongType):
        on.add("latency")
    assert list(Switches(Nobody(), WEBSOCKET_PROXY, (Reorder(),))) == [Reorder()]


def test_what_no_proxy_can_is_told_where_it_is_made():
    for make, error, text in (
        (lambda: proxy("tcp://127.0.0.1:1", faults=[Reorder()]), FaultError, "a proxy for TCP"),
        (lambda: proxy("tcp://127.0.0.1:1", faults=[Latency(1), Latency(2)]), FaultError, "contradict"),
        (lambda: proxy("tcp://127.0.0.1:1", faults=5), WrongType, "faults="),
        (lambda: proxy(5), WrongType, r"proxy\(\) takes the server's URL"),
        (lambda: proxy("http://127.0.0.1:1"), InvalidArguments, "write ws://"),
    ):
        with pytest.raises(error, match=text):
            make()
    between = proxy("tcp://127.0.0.1:1")
    between.faults.add(EndOfStream())
    assert repr(between) == "<Proxy to tcp://127.0.0.1:1: not started>"
    with between, pytest.raises(WrongState, match=r"make a new one with proxy\(\)"), between:
        pass


# -- whatever is said -----------------------------------------------------------------------------

HARMLESS = st.lists(
    st.one_of(
        st.builds(Latency, st.floats(0.001, 0.002), st.just(0.001), seed=st.integers(), to=st.just("both")),
        st.builds(Bandwidth, st.floats(1e5, 1e6), to=st.just("both")),
        st.builds(Segments, st.integers(1, 9), to=st.just("both")),
        st.builds(Coalesce, st.just(0.001), to=st.just("both")),
    ),
    max_size=3,
    unique_by=lambda fault: fault.slot,
)


@settings(max_examples=15)
@given(HARMLESS, st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4))
def test_no_byte_is_lost_or_overtakes_another(faults, messages):
    script = Script()
    for message in messages:
        script.expect(message).send(message[::-1])
    script.close()
    heard = b""
    with TcpServer(script) as server, proxy(server.url, faults=faults) as between, dialled(between) as client:
        client.sendall(b"".join(messages))
        heard, _ = heard_by(client)
    assert heard == b"".join(message[::-1] for message in messages)
