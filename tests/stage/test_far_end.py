"""The life of a far end: on the loop that runs, or on the background; what it waits for, and what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedOK
from websockets.frames import Close
from websockets.sync.client import connect

from farend import Failure, InvalidArguments, Script, TcpServer, WebSocketServer, WrongState, forever
from farend.core.findings import EndedEarly, Mismatch, NobodyConnected, NotPlayed, TimedOut, Unexpected
from farend.core.transcript import Kind
from farend.stage import watchdog

PING_PONG = Script().expect("ping").send("pong")
SHORT = 0.05
hear = asyncio.to_thread


def play_ping_pong(client: Any) -> None:
    client.sendall(b"ping")
    assert client.read(4) == b"pong"


# -- sync and async are the same object (item 4) ----------------------------------------------------


@pytest.mark.asyncio
async def test_on_the_loop_of_the_test(dial: Any) -> None:
    server = TcpServer(PING_PONG)
    async with server as entered:
        assert entered is server
        await hear(play_ping_pong, dial(server))
    assert server.findings == ()
    assert server.transcripts[0].received == [b"ping"]


def test_on_the_background_loop(dial: Any) -> None:
    server = TcpServer(PING_PONG)
    with server as entered:
        assert entered is server
        play_ping_pong(dial(server))
    assert server.transcripts[0].sent == ["pong"]


@pytest.mark.asyncio
async def test_with_in_an_async_test(dial: Any) -> None:
    with TcpServer(PING_PONG) as server:
        play_ping_pong(dial(server))  # blocks the test's loop, and not the server's
        await server.played()


def test_start_and_close_without_a_with(dial: Any) -> None:
    server = TcpServer(PING_PONG).start()
    play_ping_pong(dial(server))
    assert server.close() == []
    assert server.close() == []


@pytest.mark.asyncio
async def test_start_and_aclose_on_a_loop(dial: Any) -> None:
    server = TcpServer(PING_PONG).start()
    await hear(play_ping_pong, dial(server))
    assert await server.aclose() == []
    assert await server.aclose() == []


def test_close_gives_the_findings_and_raises_nothing(dial: Any) -> None:
    server = TcpServer(PING_PONG).start()
    client = dial(server)
    client.sendall(b"pang")
    assert client.read_all() == b""
    [finding] = server.close()
    assert isinstance(finding, Mismatch)
    assert server.close() == [finding]


def test_close_with_wait_lets_the_rest_be_played(dial: Any) -> None:
    server = TcpServer(Script().expect("ping").pause(0.02).send("pong")).start()
    client = dial(server)
    client.sendall(b"ping")
    assert server.close(wait=True) == []
    assert client.read_all() == b"pong"


def test_listening_first_and_serving_later(dial: Any) -> None:
    server = TcpServer(PING_PONG).listen()
    client = dial(server)
    client.sendall(b"ping")  # the kernel queues it
    server.serve_on(None)
    assert client.read(4) == b"pong"
    server.close()


def test_a_server_that_only_listened_is_closed_too() -> None:
    server = TcpServer(PING_PONG).listen()
    port = server.port
    assert server.close() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


# -- the wrong state, and what it says ---------------------------------------------------------------


def test_calls_before_the_start() -> None:
    server = TcpServer(name="device")
    for call in (server.accept, server.join, lambda: server.broadcast("x")):
        with pytest.raises(WrongState, match="device is not running: use it inside `with` or `async with`"):
            call()
    with pytest.raises(WrongState, match="TcpServer has no port yet: it is chosen when the server starts"):
        _ = server.port
    with pytest.raises(WrongState, match="no port yet"):
        _ = server.url
    assert (server.connections, server.transcripts, server.findings) == ((), (), ())
    assert repr(TcpServer()) == "<TcpServer 127.0.0.1:not started: not started>"


def test_calls_after_the_end() -> None:
    with TcpServer(name="device") as server:
        port = server.port
    for call in (server.accept, server.join, lambda: server.broadcast("x")):
        with pytest.raises(WrongState, match="device is not running"):
            call()
    assert server.port == port
    assert repr(server) == "<device: closed>"


@pytest.mark.asyncio
async def test_awaited_calls_before_and_after() -> None:
    server = TcpServer(name="device")
    for call in (server.connection, server.played):
        with pytest.raises(WrongState, match="device is not running"):
            await call()
    async with server:
        pass
    for call in (server.connection, server.played):
        with pytest.raises(WrongState, match="device is not running"):
            await call()


def test_the_same_server_used_twice() -> None:
    with TcpServer(name="device") as server:
        pass
    with pytest.raises(WrongState, match="device was started already; make a new one for another test"), server:
        pass
    with pytest.raises(WrongState, match="was started already"):
        server.start()


@pytest.mark.asyncio
async def test_the_same_server_entered_twice_at_once() -> None:
    async with TcpServer(name="device") as server:
        with pytest.raises(WrongState, match="was started already"):
            async with server:
                pass
        with pytest.raises(WrongState, match="was started already"):
            server.start()
        await server.played()  # and the first goes on


@pytest.mark.asyncio
async def test_blocking_calls_on_its_own_loop() -> None:
    async with TcpServer(name="device") as server:
        for call in (server.accept, server.join, server.close):
            with pytest.raises(WrongState, match="device runs on your event loop, which a blocking call would stop"):
                call()


def test_a_loop_that_runs_no_more() -> None:
    loop = asyncio.new_event_loop()
    server = TcpServer(name="device")

    async def start() -> None:
        server.start()
        await asyncio.sleep(0)

    loop.run_until_complete(start())
    with pytest.raises(WrongState, match="device lives on an event loop that does not run any more"):
        server.accept()

    async def elsewhere() -> None:
        with pytest.raises(WrongState, match="device lives on an event loop that does not run any more"):
            await server.connection()

    asyncio.run(elsewhere())
    loop.run_until_complete(server.aclose())
    loop.close()


# -- what leaving waits for --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_leaving_plays_out_what_is_left(dial: Any) -> None:
    async with TcpServer(PING_PONG) as server:
        client = dial(server)
        asyncio.get_running_loop().call_later(0.02, client.sendall, b"ping")
    assert server.transcripts[0].sent == ["pong"]


@pytest.mark.asyncio
async def test_leaving_waits_for_who_has_not_connected_yet(dial: Any) -> None:
    async with TcpServer(PING_PONG) as server:
        asyncio.get_running_loop().call_later(0.02, lambda: dial(server).sendall(b"ping"))
    assert server.transcripts[0].sent == ["pong"]


def test_nobody_connected(only: Any) -> None:
    with pytest.raises(Failure, match=r"Nobody connected \(0.05 s waited\), so no step was played") as caught:
        with TcpServer(PING_PONG, deadline=SHORT):
            pass
    finding = only(caught)
    assert isinstance(finding, NobodyConnected)
    assert len(finding.place.left) == 2


@pytest.mark.parametrize(("script", "so"), [(None, ""), (PING_PONG, ", so no step was played")])
def test_nobody_connected_who_was_waited_for_by_hand(script: Script | None, so: str) -> None:
    with pytest.raises(Failure) as caught, TcpServer(script) as server:
        server.accept(within=0.01)
    assert caught.value.findings[0].sentence == f"Nobody connected (0.01 s waited){so}."


def test_nobody_has_to_come_where_nothing_is_scripted() -> None:
    with TcpServer(), TcpServer(Script()), TcpServer([]), WebSocketServer():
        pass


@pytest.mark.parametrize("steps", [1, 3])
def test_a_near_end_that_stops_early(dial: Any, only: Any, steps: int) -> None:
    """Today's tools pass: required steps that are left."""
    script = Script().expect("a")
    for _ in range(steps):
        script.expect("more")
    with pytest.raises(Failure) as caught, TcpServer(script, deadline=SHORT) as server:
        dial(server).sendall(b"a")
    finding = only(caught)
    assert isinstance(finding, TimedOut)
    assert len(finding.place.left) == steps


def test_the_body_has_failed_so_nothing_is_waited_for(dial: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError) as caught, TcpServer(PING_PONG, deadline=30) as server:
        dial(server)
        raise ZeroDivisionError
    assert time.monotonic() - began < 10
    [note] = caught.value.__notes__
    assert "farend:" in note
    assert "2 steps were not played" in note
    assert isinstance(server.findings[0], NotPlayed)


@pytest.mark.asyncio
async def test_no_deadline_waits_as_long_as_it_takes(dial: Any) -> None:
    async with TcpServer(PING_PONG, deadline=None) as server:
        client = dial(server)
        asyncio.get_running_loop().call_later(0.05, client.sendall, b"ping")
    assert server.transcripts[0].sent == ["pong"]


@pytest.mark.asyncio
async def test_what_is_still_in_the_kernel_is_judged(dial: Any, only: Any) -> None:
    """Today's tools pass: a message after the script's end."""
    with pytest.raises(Failure) as caught:
        async with TcpServer(PING_PONG) as server:
            client = dial(server)
            await hear(play_ping_pong, client)
            client.sendall(b"extra")
    finding = only(caught)
    assert isinstance(finding, Unexpected)
    assert finding.messages == [b"extra"]
    assert server.transcripts[0].received == [b"ping", b"extra"]


@pytest.mark.asyncio
async def test_megabytes_in_the_kernel_are_on_the_transcript(dial: Any) -> None:
    """Bad input: nothing that was received is missing from the transcript."""
    server = TcpServer(Script(open_ended=True)).start()
    client = dial(server)
    await server.connection()
    client.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 8 << 20:
            sent += client.send(b"x" * (1 << 20))
    await server.aclose()
    assert sum(len(data) for data in server.transcripts[0].received) == sent  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_who_has_connected_but_was_not_noticed_yet_is_judged(dial: Any, only: Any) -> None:
    """Today's tools pass: a second connection that the script does not provide for."""
    with pytest.raises(Failure, match="A connection came that the test does not provide for"):
        async with TcpServer([PING_PONG]) as server:
            await hear(play_ping_pong, dial(server))
            dial(server)


@pytest.mark.asyncio
async def test_a_ticker_does_not_keep_the_test(dial: Any) -> None:
    """`repeat(forever, send, pause)` has no end of its own, so it ends with the test."""
    ticker = Script().repeat(forever, Script().send("tick;").pause(0.001))
    async with TcpServer(ticker) as server:
        client = dial(server)
        assert await hear(client.read, 15) == b"tick;tick;tick;"
    assert set(server.transcripts[0].sent) == {"tick;"}
    assert server.findings == ()


@pytest.mark.asyncio
async def test_a_ticker_that_nobody_listens_to() -> None:
    async with TcpServer(Script().repeat(forever, Script().send("tick;").pause(0.001))) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        await server.connection()
        writer.close()
        await writer.wait_closed()
        assert reader is not None


@pytest.mark.asyncio
async def test_a_script_that_is_extended_from_another_thread_while_it_plays(dial: Any) -> None:
    script = Script(open_ended=True)
    async with TcpServer(script) as server:
        client = dial(server)
        await server.connection()

        def extend() -> None:
            for number in range(100):
                script.expect(f"{number};").send(f"{number}!")

        def talk() -> None:
            for number in range(100):
                client.sendall(b"%d;" % number)
                assert client.read(len(str(number)) + 1) == b"%d!" % number

        await asyncio.gather(hear(extend), hear(talk))
    assert len(server.transcripts[0].received) == 100


@pytest.mark.asyncio
async def test_who_comes_when_the_exit_has_begun_is_served(dial: Any) -> None:
    async with TcpServer([PING_PONG, PING_PONG]) as server:
        await hear(play_ping_pong, dial(server))
        leaving = asyncio.create_task(server.aclose(wait=True))
        await asyncio.sleep(0)
        await hear(play_ping_pong, dial(server))
        assert await leaving == []
    assert len(server.transcripts) == 2


@pytest.mark.asyncio
async def test_near_ends_that_never_stop_talking_do_not_keep_it() -> None:
    """Rule 2: nothing waits for ever."""
    server = TcpServer(Script(open_ended=True), deadline=0.2).start()

    def talk(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(b"x" * 1000)

    with socket.create_connection((server.host, server.port), timeout=10) as client:
        talking = asyncio.create_task(hear(talk, client))
        await server.connection()
        await server.aclose()
        await asyncio.wait_for(talking, 10)


@pytest.mark.asyncio
async def test_near_ends_that_never_stop_connecting_do_not_keep_it() -> None:
    """Leaks: who comes too late is turned away, and nothing of them stays."""
    server = TcpServer().start()
    stop = threading.Event()

    def knock() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                socket.create_connection((server.host, server.port), timeout=5).close()

    knocking = asyncio.create_task(hear(knock))
    await server.connection()
    try:
        async with asyncio.timeout(30):
            await server.aclose()
    finally:
        stop.set()
    await knocking


@pytest.mark.asyncio
async def test_a_cancelled_exit_leaves_nothing_behind(dial: Any) -> None:
    server = TcpServer(PING_PONG)

    async def leave() -> None:
        async with server:
            dial(server)

    leaving = asyncio.create_task(leave())
    while not server._over:
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert all(driver.is_lost for driver in server._drivers)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=5)


# -- what is sent is sent to its end -----------------------------------------------------------------

BIG = b"x" * (20 << 20)


@pytest.mark.asyncio
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("ends", ["stays", "closes", "near end half-closes"])
async def test_a_big_reply_is_not_cut_short_by_the_exit(dial: Any, tls: bool, ends: str) -> None:
    """Today's tools leak: 20 MiB replies cut short."""
    script = Script().expect("give").send(BIG)
    if ends == "closes":
        script.close()
    client: socket.socket
    async with TcpServer(script, tls=tls) as server:
        client = dial(server)
        if tls:
            client = await hear(server.client_ssl_context.wrap_socket, client, False, True, True, server.host)
        client.sendall(b"give")
        if ends == "near end half-closes" and not tls:
            client.shutdown(socket.SHUT_WR)
        reading = asyncio.create_task(hear(lambda: sum(map(len, iter(lambda: client.recv(1 << 20), b"")))))
        await server.connection()
    assert await reading == len(BIG)
    client.close()


@pytest.mark.asyncio
async def test_a_message_of_a_websocket_is_not_cut_short_either() -> None:
    async with WebSocketServer(Script().send(BIG)) as server:

        def read() -> int:
            with connect(server.url, max_size=None) as client:
                return len(client.recv())

        reading = asyncio.create_task(hear(read))
        await server.connection()
    assert await reading == len(BIG)


@pytest.mark.asyncio
@pytest.mark.parametrize("ends", ["stays", "closes", "near end half-closes"])
async def test_a_near_end_that_never_reads_is_told_and_does_not_keep_it(
    dial: Any, only: Any, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input: one that never reads; 50 MB are buffered, which may hold the loop up on busy cores."""
    monkeypatch.setattr(watchdog.dog, "_least", 60.0)
    script = Script().expect("give").send(b"x" * 50_000_000)
    if ends == "closes":
        script.close()
    with pytest.raises(Failure, match=r"has read nothing for \d") as caught:
        async with TcpServer(script, deadline=0.2) as server:
            client = dial(server)
            client.sendall(b"give")
            if ends == "near end half-closes":
                client.shutdown(socket.SHUT_WR)
            await server.connection()
    assert type(only(caught)).__name__ == "NotReading"
    assert all(driver.is_lost for driver in server._drivers)


@pytest.mark.asyncio
async def test_a_near_end_that_never_reads_does_not_keep_a_test_that_failed(dial: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        async with TcpServer(Script().send(BIG), deadline=30) as server:
            dial(server)
            await server.connection()
            raise ZeroDivisionError
    assert time.monotonic() - began < 10


# -- played and join ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_played_waits_for_every_script(dial: Any) -> None:
    async with TcpServer([PING_PONG, PING_PONG]) as server:
        played = asyncio.create_task(server.played())
        await hear(play_ping_pong, dial(server))
        assert not played.done()
        await hear(play_ping_pong, dial(server))
        await played


def test_join_is_played_for_a_plain_test(dial: Any) -> None:
    with TcpServer(PING_PONG) as server:
        client = dial(server)
        client.sendall(b"ping")
        server.join()
        assert server.transcripts[0].sent == ["pong"]


@pytest.mark.asyncio
async def test_several_may_wait_at_once(dial: Any) -> None:
    async with TcpServer(PING_PONG) as server:
        waiting = [asyncio.create_task(server.played()) for _ in range(3)]
        waiting.append(asyncio.create_task(hear(server.join)))
        await asyncio.sleep(0)
        await hear(play_ping_pong, dial(server))
        await asyncio.wait_for(asyncio.gather(*waiting), 10)


def test_join_raises_what_went_wrong_and_the_end_does_not_tell_it_again(dial: Any, only: Any) -> None:
    """Each finding is told once."""
    with TcpServer(PING_PONG) as server:
        client = dial(server)
        client.sendall(b"pang")
        with pytest.raises(Failure) as caught:
            server.join()
        assert isinstance(only(caught), Mismatch)
        server.join()
    assert len(server.findings) == 1


@pytest.mark.asyncio
async def test_played_with_nobody_there() -> None:
    async with TcpServer(PING_PONG, deadline=SHORT) as server:
        with pytest.raises(Failure, match="Nobody connected"):
            await server.played()


# -- many at once ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_each_connection_has_its_number_its_place_and_its_transcript(dial: Any) -> None:
    script = Script().expect("a").send("A").expect("b").send("B")
    async with TcpServer(script) as server:
        clients = [dial(server) for _ in range(5)]
        for client in clients:
            client.sendall(b"a")
            assert await hear(client.read, 1) == b"A"
        for client in reversed(clients):
            client.sendall(b"b")
            assert await hear(client.read, 1) == b"B"
    assert [transcript.number for transcript in server.transcripts] == [1, 2, 3, 4, 5]
    assert all(transcript.received == [b"a", b"b"] for transcript in server.transcripts)


@pytest.mark.asyncio
async def test_one_that_goes_wrong_leaves_the_others_alone(dial: Any, only: Any) -> None:
    """The server goes on serving the others."""
    with pytest.raises(Failure) as caught:
        async with TcpServer(PING_PONG) as server:
            good, bad, late = dial(server), dial(server), dial(server)
            bad.sendall(b"pang")
            assert await hear(bad.read_all) == b""
            await hear(play_ping_pong, good)
            await hear(play_ping_pong, late)
    finding = only(caught)
    assert isinstance(finding, Mismatch)
    assert finding.place.connection == 2


@pytest.mark.asyncio
async def test_findings_can_be_read_while_it_runs(dial: Any) -> None:
    server = TcpServer(PING_PONG).start()
    client = dial(server)
    client.close()
    with pytest.raises(Failure):
        await server.played()
    [finding] = server.findings
    assert isinstance(finding, EndedEarly)
    assert await server.aclose() == [finding]


# -- how a test's end looks to the near end ----------------------------------------------------------


@pytest.mark.asyncio
async def test_a_websocket_is_told_that_the_test_is_over() -> None:
    """RFC 6455, 7.4.1: 1001, going away. It is on the transcript, since it is said."""
    async with WebSocketServer() as server:
        client = await connect_async(server.url)
    with pytest.raises(ConnectionClosedOK) as closed:
        await client.recv()
    assert closed.value.rcvd == Close(1001, "the test is over")
    assert [(entry.kind, entry.payload.code) for entry in server.transcripts[0] if entry.kind is Kind.CLOSED] == [
        (Kind.CLOSED, 1001)
    ]


@pytest.mark.asyncio
async def test_a_tcp_client_sees_the_end_of_the_stream(dial: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        await server.connection()
    assert await hear(client.read_all) == b""


def test_close_tells_that_nobody_had_connected() -> None:
    [finding] = TcpServer(PING_PONG).start().close()
    assert isinstance(finding, NobodyConnected)
    assert finding.sentence == "Nobody had connected when the far end was closed, so no step was played."


def test_a_body_that_failed_is_not_told_that_nobody_connected() -> None:
    with pytest.raises(ZeroDivisionError) as caught, TcpServer(PING_PONG) as server:
        raise ZeroDivisionError
    assert server.findings == ()
    assert not hasattr(caught.value, "__notes__")


def test_close_with_check_raises(dial: Any) -> None:
    server = TcpServer(PING_PONG).start()
    with pytest.raises(Failure, match="Nobody had connected"):
        server.close(check=True)
    server = TcpServer(PING_PONG).start()
    play_ping_pong(dial(server))
    assert server.close(check=True) == []


@pytest.mark.asyncio
async def test_aclose_with_check_raises() -> None:
    server = TcpServer(PING_PONG).start()
    with pytest.raises(Failure, match="Nobody had connected"):
        await server.aclose(check=True)


def test_a_list_of_scripts_of_which_only_some_were_met(dial: Any) -> None:
    with pytest.raises(Failure, match="1 connection came, and there are scripts for 2: the second was not played"):
        with TcpServer([PING_PONG, PING_PONG], deadline=SHORT) as server:
            play_ping_pong(dial(server))


def test_paths_are_refused_on_tcp() -> None:
    with pytest.raises(InvalidArguments, match="paths are a WebSocket's: use WebSocketServer, or a list of scripts"):
        TcpServer({"/a": PING_PONG})
