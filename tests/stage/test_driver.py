"""What a driver does with a transport: deadlines, half-closes, resets, bursts, and near ends that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from farend import (
    Failure,
    Script,
    TcpServer,
    WebSocketServer,
    anything,
    at_least,
    framed_by,
    length_prefixed,
    lines,
    virtual_network,
)
from farend.core.events import Ended, How
from farend.core.findings import FunctionFailed, InternalError, NotReading, TimedOut
from farend.core.transcript import Kind

hear = asyncio.to_thread
DEVICE = ("device.plant.example", 5025)
SHORT = 0.05
CLOCK_STEP = 0.001
"""uvloop's clock goes by whole milliseconds, so that a timer of its may be as much early."""


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# -- deadlines ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_each_wait_has_the_whole_of_its_time() -> None:
    server = TcpServer(Script().expect("a", within=10).expect("b", within=10).expect("c", within=10))
    async with virtual_network({DEVICE: server}):
        _, writer = await asyncio.open_connection(*DEVICE)
        for word in (b"a", b"b", b"c"):
            await asyncio.sleep(8)
            writer.write(word)
        writer.close()
    assert server.transcripts[0].received == [b"a", b"b", b"c"]


@pytest.mark.asyncio
async def test_a_wait_that_is_too_long_ends_the_connection(dial: Any, only: Any) -> None:
    began = time.monotonic()
    with pytest.raises(Failure) as caught:
        async with TcpServer(Script().expect("a"), deadline=SHORT) as server:
            client = dial(server)
            assert await hear(client.read_all) == b""
    assert time.monotonic() - began >= SHORT - CLOCK_STEP
    finding = only(caught)
    assert isinstance(finding, TimedOut)
    assert finding.seconds == SHORT


@pytest.mark.asyncio
async def test_a_steps_own_deadline_may_be_longer_or_shorter(only: Any) -> None:
    server = TcpServer(Script().expect("a", within=30).expect("b", within=5), deadline=10)
    with pytest.raises(Failure) as caught:
        async with virtual_network({DEVICE: server}) as net:
            reader, writer = await asyncio.open_connection(*DEVICE)
            await asyncio.sleep(20)
            writer.write(b"a")
            assert await reader.read() == b""
            assert net.clock.time() == 25
            writer.close()
    finding = only(caught)
    assert (finding.place.number, finding.seconds) == (2, 5)


@pytest.mark.asyncio
async def test_a_short_wait_behind_a_long_one_is_not_late(dial: Any, only: Any) -> None:
    """The timer is never later than the wait that begins next."""
    began = time.monotonic()
    with pytest.raises(Failure) as caught:
        async with TcpServer(Script().expect("a", within=30).expect("b"), deadline=0.1) as server:
            client = dial(server)
            asyncio.get_running_loop().call_later(0.15, client.sendall, b"a")
    assert only(caught).place.number == 2
    assert time.monotonic() - began < 10


@pytest.mark.asyncio
async def test_the_wait_for_a_handshake_has_a_deadline(dial: Any, only: Any) -> None:
    with pytest.raises(Failure, match=r"it connected, and opened no WebSocket within 0\.05 s") as caught:
        async with WebSocketServer(deadline=SHORT) as server:
            client = dial(server)
            client.sendall(b"GET /feed HTTP/1.1\r\nHost: ")
            with contextlib.suppress(ConnectionResetError):
                await hear(client.read_all)
    assert only(caught).data == b"GET /feed HTTP/1.1\r\nHost: "
    assert server.transcripts[0].received == [b"GET /feed HTTP/1.1\r\nHost: "]


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [b"", b"GET /feed HT"])
async def test_a_client_that_leaves_in_its_handshake(dial: Any, only: Any, said: bytes) -> None:
    """Bad input: a named finding, and what it said is on the transcript."""
    with pytest.raises(Failure, match="it left before it had opened|left without opening") as caught:
        async with WebSocketServer() as server:
            client = dial(server)
            client.sendall(said)
            client.close()
            await server.played()
    assert only(caught).about == "handshake"
    assert b"".join(server.transcripts[0].received) == said  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_handshake_that_the_test_did_not_wait_for(dial: Any) -> None:
    server = WebSocketServer().start()
    client = dial(server)
    client.sendall(b"GET /feed HT")
    other = dial(server)
    findings = await server.aclose()
    assert [finding.sentence for finding in findings] == [
        "The near end broke the protocol: the test was over before it had opened its WebSocket"
    ]
    assert server.transcripts[0].received == [b"GET /feed HT"]
    other.close()


@pytest.mark.asyncio
async def test_a_pause_takes_its_time_and_hears_nothing_meanwhile(dial: Any) -> None:
    async with TcpServer(Script().expect("a").pause(SHORT).send("b").expect("c")) as server:
        client = dial(server)
        began = time.monotonic()
        client.sendall(b"ac")
        assert await hear(client.read, 1) == b"b"
        assert time.monotonic() - began >= SHORT - CLOCK_STEP
    assert server.transcripts[0].received == [b"a", b"c"]


# -- how connections end -----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_far_end_that_closes_still_hears_the_rest(dial: Any) -> None:
    """Bad input: nothing that was received is missing from the transcript."""
    async with TcpServer(Script().expect("a").close()) as server:
        client = dial(server)
        client.sendall(b"a")
        assert await hear(client.read_all) == b""
        client.sendall(b"late words")
        client.close()
        peer = await server.connection()
        assert await peer.closed() == Ended(How.EOF)
    assert server.transcripts[0].received == [b"a", b"late words"]


@pytest.mark.asyncio
async def test_a_near_end_that_never_leaves_is_cut_off(dial: Any) -> None:
    server = TcpServer(Script().expect("a").close(), deadline=SHORT).start()
    client = dial(server)
    client.sendall(b"a")
    assert await hear(client.read_all) == b""
    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        while True:
            client.sendall(b"x")
            await asyncio.sleep(0)
    await server.aclose()
    assert server.transcripts[0][-1].kind in (Kind.ABORTED, Kind.ENDED)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["tcp", "tls", "unix", "ws", "wss"])
async def test_abort_is_a_reset(kind: str, folder: Any) -> None:
    """Item 2: abort cuts the connection; through TLS, too. A Unix socket knows no reset, and just ends."""
    script = Script().expect("a").abort()
    tls = kind in ("tls", "wss")
    if kind in ("ws", "wss"):
        async with WebSocketServer(script, tls=tls) as server:
            context = server.client_ssl_context if tls else None
            async with connect(server.url, ssl=context) as client:
                await client.send("a")
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
            assert closed.value.rcvd is None
        return
    async with TcpServer(script, tls=tls, unix_path=folder / "s" if kind == "unix" else None) as other:
        if kind == "unix":
            reader, writer = await asyncio.open_unix_connection(other.unix_path)
        else:
            context = other.client_ssl_context if tls else None
            reader, writer = await asyncio.open_connection(other.host, other.port, ssl=context)
        writer.write(b"a")
        if kind == "unix":
            assert await reader.read() == b""
        else:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("orderly", [True, False])
async def test_a_reset_is_told_from_an_end(dial: Any, orderly: bool) -> None:
    async with TcpServer(Script().expect("a").send("b").expect_close(reset=not orderly)) as server:
        client = dial(server)
        client.sendall(b"a")
        assert await hear(client.read, 1) == b"b"
        client.close() if orderly else reset(client)


@pytest.mark.asyncio
async def test_a_websocket_that_ends_without_a_close_frame_is_1006(dial: Any, only: Any) -> None:
    with pytest.raises(Failure) as caught:
        async with WebSocketServer(Script().expect_close()) as server:
            client = await connect(server.url)
            client.transport.abort()
            await server.played()
    assert only(caught).ended.code == 1006


@pytest.mark.asyncio
@pytest.mark.parametrize("first", ["far end", "near end", "both"])
async def test_the_closing_handshake_in_both_directions(first: str) -> None:
    """RFC 6455, 7.1.2."""
    script = Script().expect("a")
    script = script.close(4001, "far") if first != "near end" else script.expect_close(4002, "near")
    async with WebSocketServer(script) as server, connect(server.url) as client:
        await client.send("a")
        if first != "far end":
            await client.close(4002, "near")
        await client.wait_closed()
    kinds = [entry.kind for entry in server.transcripts[0]]
    assert kinds[-1] is Kind.ENDED
    ended: Any = server.transcripts[0][-1].payload
    assert ended.how is How.CLOSE
    assert client.close_code == (4002 if first == "near end" else client.close_code)


# -- near ends that are slow, and near ends that are stuck --------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("ends", [False, True])
async def test_a_near_end_that_is_slow_is_not_stuck(dial: Any, ends: bool) -> None:
    """A deadline is for who does nothing, and not for who is slow."""
    size = 24 << 20
    script = Script().send(b"x" * size)
    for deadline in (0.6, 2.0, 6.0):
        gaps, rest = [0.0], None
        try:
            async with TcpServer(script.close() if ends else script, deadline=deadline) as server:
                client = dial(server, buffer=1 << 16)  # so that the far end sees it read
                read = 0
                began = last = time.monotonic()
                while last - began < 2.2 * deadline:
                    read += len(await hear(client.recv, 100_000))
                    await asyncio.sleep(0.01)  # this is what being slow is
                    gaps.append(time.monotonic() - last)
                    last += gaps[-1]
                rest = asyncio.create_task(hear(client.read_all))
                await asyncio.sleep(0)
        except Failure:
            if rest is not None:
                await asyncio.gather(rest, return_exceptions=True)
            if max(gaps) < deadline / 4:
                raise
            continue  # this machine was too busy to be slow only
        assert read + len(await rest) == size
        return
    raise AssertionError("this machine is too busy for the test")


@pytest.mark.asyncio
async def test_a_near_end_that_reads_nothing_is_cut_off_while_the_script_plays(dial: Any, only: Any) -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer(Script().repeat(1000, Script().send(b"x" * 65536)), deadline=0.1) as server:
            dial(server)
            await server.played()
    finding = only(caught)
    assert isinstance(finding, NotReading)
    assert len(server.transcripts[0].sent) < 1000  # the far end did not pile it all up


@pytest.mark.asyncio
async def test_it_plays_on_when_the_near_end_reads_again(dial: Any) -> None:
    async with TcpServer(Script().repeat(500, Script().send(b"x" * 65536)).expect("done")) as server:
        client = dial(server)
        await server.connection()
        assert len(server.transcripts[0].sent) < 500
        assert len(await hear(client.read, 500 * 65536)) == 500 * 65536
        client.sendall(b"done")


@pytest.mark.asyncio
async def test_a_long_burst_leaves_the_loop_to_others(dial: Any) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with TcpServer(Script().expect("go").repeat(5000, Script().send("x")).expect("done")) as server:
        client = dial(server)
        await server.connection()
        counting = asyncio.create_task(count())
        client.sendall(b"go")
        assert await hear(client.read, 5000) == b"x" * 5000
        counting.cancel()
        client.sendall(b"done")
    assert turns >= 5000 / 100


# -- what belongs together ---------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_burst_is_taken_whole_however_it_comes(dial: Any) -> None:
    """S1-8, S1-10: at_least takes what has come once the near end pauses."""
    async with TcpServer(Script().expect(anything(), framing=at_least(20)).send("ok")) as server:
        client = dial(server)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"0123456789" * 5:
            client.send(bytes([byte]))
        assert await hear(client.read, 2) == b"ok"
    assert b"".join(server.transcripts[0].received) == b"0123456789" * 5  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_messages_are_packed_by_their_framing(dial: Any) -> None:
    async with TcpServer(Script(framing=length_prefixed(">H")).expect("hello").send("there")) as server:
        client = dial(server)
        for byte in b"\x00\x05hello":
            client.send(bytes([byte]))
        assert await hear(client.read, 7) == b"\x00\x05there"


@pytest.mark.asyncio
async def test_what_a_framing_cannot_pack_is_the_tests_mistake_and_not_ours(dial: Any, only: Any) -> None:
    with pytest.raises(Failure, match=r"300 bytes are too many for a '>B' length") as caught:
        async with TcpServer(Script(framing=length_prefixed(">B")).send("x" * 300)) as server:
            dial(server)
            await server.played()
    assert isinstance(only(caught), FunctionFailed)


@pytest.mark.asyncio
async def test_a_packing_function_that_raises(dial: Any, only: Any) -> None:
    framing = framed_by(lambda data: len(data) or None, pack=lambda message: message / 2)  # type: ignore[operator]
    with pytest.raises(Failure, match="the framing's pack failed: TypeError") as caught:
        async with TcpServer(Script(framing=framing).expect(b"hi").send("x")) as server:
            dial(server).sendall(b"hi")
            await server.played()
    finding = only(caught)
    assert isinstance(finding, FunctionFailed)
    assert finding.given == "x"
    assert server.transcripts[0].sent == []  # for it never was
    assert "given     'x'" in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["", "close"])
async def test_nothing_behind_what_cannot_be_packed_counts_as_said(dial: Any, only: Any, end: str) -> None:
    def pack(message: bytes) -> bytes:
        if message == b"bad":
            raise ZeroDivisionError
        return message

    framing = framed_by(lambda data: len(data) or None, pack=pack)
    script = Script(framing=framing).expect(b"hi").send("ok").send("bad").send("bad").send("later")
    with pytest.raises(Failure, match="the framing's pack failed: ZeroDivisionError") as caught:
        async with TcpServer(script.close() if end else script) as server:
            near = dial(server)
            near.sendall(b"hi")
            await server.played()
    [transcript] = server.transcripts
    assert transcript.sent == ["ok"]
    assert [entry.kind.name for entry in transcript].count("CLOSED") == 1  # for the finding's sake
    assert only(caught).given == "bad"


@pytest.mark.asyncio
async def test_a_fault_in_farend_itself_is_told_and_ends_the_connection(
    dial: Any, only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise KeyError("ours")

    with pytest.raises(Failure, match="farend itself failed: KeyError: 'ours'") as caught:
        async with TcpServer(Script().expect("a")) as server:
            client = dial(server)
            peer = await server.connection()
            monkeypatch.setattr(peer._driver._wire, "receive", fail)
            client.sendall(b"a")
            with contextlib.suppress(ConnectionResetError):
                await hear(client.read_all)
    assert isinstance(only(caught), InternalError)


# -- transports --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_client_that_resets_before_it_is_noticed(dial: Any) -> None:
    """Today's tools are killed by one RST."""
    async with TcpServer(Script(framing=lines(), open_ended=True)) as server:
        for _ in range(20):
            reset(dial(server))
        client = dial(server)
        client.sendall(b"still served?\n")
        peers = [await server.connection() for _ in range(21)]
        assert await peers[-1].receive() == b"still served?"


@pytest.mark.asyncio
async def test_nothing_holds_on_to_a_script_that_is_over(dial: Any) -> None:
    """Leaks: a script does not keep the conversations that played it."""
    script = Script().expect("a").send("b")
    async with TcpServer(script) as server:
        for _ in range(5):
            client = dial(server)
            client.sendall(b"a")
            assert await hear(client.read, 1) == b"b"
            client.close()
    assert script._listeners == []
    del server
    gc.collect()
