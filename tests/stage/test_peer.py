"""The test in control (item 5): one connection in its hand, from `async` tests and from plain ones."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from farend import (
    Ended,
    Failure,
    Fragments,
    InvalidArguments,
    Ping,
    Pong,
    Script,
    TcpServer,
    WebSocketServer,
    WrongState,
    WrongType,
    anything,
    lines,
    regex,
)
from farend.core.events import How
from farend.core.findings import EndedEarly, Mismatch, NobodyConnected, TimedOut, Unexpected, WrongEnd
from farend.stage.peer import BlockingPeer, Peer
from farend.stage.settings import settings

SHORT = 0.05
hear = asyncio.to_thread
"""A blocking client in an async test: `await hear(client.read, 5)`."""

# -- what a peer does ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda peer: peer.expect("a", framing=lines()),
        lambda peer: peer.receive(framing=lines()),
        lambda peer: peer.drain_until("a", framing=lines()),
    ],
)
@pytest.mark.asyncio
async def test_a_framing_is_refused_where_messages_need_none(call: Any) -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        with pytest.raises(
            InvalidArguments, match=r"framing=lines\(\) is for byte streams, and a WebSocket has messages"
        ):
            await call(peer)
        await client.send("a")
        assert await peer.receive() == "a"


@pytest.mark.asyncio
async def test_expect_send_receive_and_closed(dial: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        assert isinstance(peer, Peer)
        client.sendall(b"hello")
        assert await peer.expect(b"hello") == b"hello"
        await peer.send(b"there")
        assert await hear(client.read, 5) == b"there"
        client.sendall(b"general")
        assert await peer.receive() == b"general"
        client.close()
        assert await peer.closed() == Ended(How.EOF)
    assert peer.transcript.received == [b"hello", b"general"]
    assert peer.transcript.sent == [b"there"]


def test_the_blocking_twin(dial: Any) -> None:
    with TcpServer() as server:
        client = dial(server)
        peer = server.accept()
        assert isinstance(peer, BlockingPeer)
        client.sendall(b"hello\nworld\n")
        assert peer.expect(b"hello\n") == b"hello\n"
        assert peer.receive(framing=lines()) == b"world"
        peer.send("é")
        assert client.read(2) == "é".encode()
        client.sendall(b"noise, noise, word!")
        assert peer.drain_until(b"word!") == b"noise, noise, word!"
        peer.close()
        assert client.read_all() == b""
        client.close()
        assert peer.closed() == Ended(How.EOF)
        assert (peer.number, peer.is_open) == (1, False)
        with pytest.raises(WrongState, match="TCP has none"):
            peer.handshake  # noqa: B018
        assert repr(peer) == f"<connection 1 of {server.name}>"
        assert peer.address[0] == "127.0.0.1"


@pytest.mark.asyncio
async def test_json_matchers_and_framings() -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        await client.send('{"op": "sub", "id": 7}')
        assert await peer.expect(json={"op": "sub"}) == '{"op": "sub", "id": 7}'
        await peer.send(json={"ok": True})
        assert await client.recv() == '{"ok": true}'
        await client.send("price 12.5")
        assert await peer.expect(regex(r"price [\d.]+")) == "price 12.5"
        await client.send(b"\x00")
        assert await peer.expect(bytes) == b"\x00"
        await peer.send(Fragments(("one ", "two")))
        assert await client.recv() == "one two"
        await peer.send(Ping(b"?"))
        assert await peer.expect(Pong(b"?")) == Pong(b"?")


@pytest.mark.asyncio
async def test_drain_until_skips_whatever_came_before() -> None:
    """Item 5: "this message, whatever came before"."""
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        for number in range(100):
            await client.send(f"tick {number}")
        await client.send("done")
        await client.send("after")
        assert await peer.drain_until("done") == "done"
        assert await peer.receive() == "after"
        assert len(peer.transcript.received) == 102


@pytest.mark.asyncio
async def test_drain_until_on_a_byte_stream(dial: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        client.sendall(b"tick;tick;done;after")
        assert await peer.drain_until(b"done;") == b"tick;tick;done;"
        assert await peer.receive() == b"after"
        client.sendall(b"tick\ntick\ndone\n")
        assert await peer.drain_until("done", framing=lines()) == b"done"


@pytest.mark.asyncio
async def test_drain_until_that_never_comes() -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        await client.send("tick")
        with pytest.raises(Failure, match="Waited 0.05 s for the near end to say 'done'"):
            await peer.drain_until("done", within=SHORT)
        await client.send("done")
        assert await peer.drain_until("done") == "done"


@pytest.mark.asyncio
async def test_close_and_abort(dial: Any) -> None:
    async with TcpServer() as server:
        closed, cut = dial(server), dial(server)
        first, second = await server.connection(), await server.connection()
        await first.close()
        assert await hear(closed.read_all) == b""
        await second.abort()
        with pytest.raises(ConnectionResetError):
            await hear(cut.recv, 1)


@pytest.mark.asyncio
async def test_close_with_a_code_and_a_reason() -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        await peer.close(4000, "bye")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4000, "bye")
        assert await peer.closed() == Ended(How.CLOSE, 4000, "bye")


@pytest.mark.asyncio
async def test_closed_tells_the_code_and_the_reason_and_may_be_asked_again() -> None:
    async with WebSocketServer() as server:
        async with connect(server.url) as client:
            peer = await server.connection()
            assert peer.is_open
            await client.close(4321, "enough")
        ended = Ended(How.CLOSE, 4321, "enough")
        assert await peer.closed() == ended
        assert await peer.closed() == ended
        assert not peer.is_open


@pytest.mark.asyncio
async def test_half_closed_near_ends_still_hear(dial: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        client.sendall(b"ask")
        client.shutdown(socket.SHUT_WR)
        assert await peer.receive() == b"ask"
        assert await peer.closed() == Ended(How.EOF)
        await peer.send(b"answer")
        await peer.close()
        assert await hear(client.read_all) == b"answer"


# -- which connection ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_connections_are_given_out_in_turn(dial: Any) -> None:
    async with TcpServer() as server:
        clients = [dial(server) for _ in range(3)]
        peers = [await server.connection() for _ in range(3)]
        assert [peer.number for peer in peers] == [1, 2, 3]
        for client, peer in zip(clients, peers, strict=True):
            assert peer.address == client.getsockname()
            await peer.send(str(peer.number))
            assert await hear(client.read, 1) == str(peer.number).encode()
        assert [peer.number for peer in server.connections] == [1, 2, 3]


@pytest.mark.asyncio
async def test_it_may_be_waited_for_before_it_comes(dial: Any) -> None:
    async with TcpServer() as server:
        first = asyncio.create_task(server.connection())
        second = asyncio.create_task(server.connection())
        await asyncio.sleep(0)
        clients = [dial(server), dial(server)]
        assert [(await first).number, (await second).number] == [1, 2]
        assert len(clients) == 2


@pytest.mark.asyncio
async def test_nobody_connects() -> None:
    async with TcpServer(name="device") as server:
        with pytest.raises(Failure, match=r"Nobody connected \(0.05 s waited\)") as caught:
            await server.connection(within=SHORT)
        assert [type(finding) for finding in caught.value.findings] == [NobodyConnected]
        assert caught.value.findings[0].place.far_end == "device"


@pytest.mark.asyncio
async def test_a_cancelled_wait_loses_no_connection(dial: Any) -> None:
    async with TcpServer() as server:
        waiting = asyncio.create_task(server.connection())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        dial(server)
        assert (await server.connection()).number == 1


@pytest.mark.asyncio
async def test_a_wait_that_is_cancelled_in_the_turn_of_the_arrival(dial: Any) -> None:
    async with TcpServer() as server:
        dial(server)
        first = await server.connection()
        waiting = asyncio.create_task(server.connection())
        await asyncio.sleep(0)
        server._arrive(first._driver)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await server.connection())._driver is first._driver


@pytest.mark.asyncio
async def test_the_handshake_is_at_hand() -> None:
    async with WebSocketServer() as server:
        async with connect(server.url + "/feed?depth=5", origin="https://example.com", subprotocols=["v2"]):  # type: ignore[list-item]
            peer = await server.connection()
            assert (peer.handshake.path, peer.handshake.query) == ("/feed", {"depth": "5"})
            assert (peer.handshake.origin, peer.handshake.subprotocols) == ("https://example.com", ("v2",))
            assert peer.transcript.handshake == peer.handshake


# -- behind a script -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_expected_by_hand_comes_behind_the_script(dial: Any) -> None:
    async with TcpServer(Script().expect(b"login\n").send(b"ok\n")) as server:
        client = dial(server)
        peer = await server.connection()
        waiting = asyncio.create_task(peer.expect(b"more\n"))
        await asyncio.sleep(0)
        client.sendall(b"login\nmore\n")
        assert await waiting == b"more\n"
        assert await hear(client.read, 3) == b"ok\n"


@pytest.mark.asyncio
async def test_what_is_sent_by_hand_comes_at_once(dial: Any) -> None:
    async with TcpServer(Script().expect(b"login\n").send(b"ok\n")) as server:
        client = dial(server)
        peer = await server.connection()
        await peer.send(b"welcome\n")
        assert await hear(client.read, 8) == b"welcome\n"
        client.sendall(b"login\n")
        assert await hear(client.read, 3) == b"ok\n"


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_message_fails_and_ends_the_connection(only: Any) -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        await client.send("admiral")
        with pytest.raises(Failure) as caught:
            await peer.expect("general")
        finding = only(caught)
        assert isinstance(finding, Mismatch)
        assert finding.got == "admiral"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1008
        with pytest.raises(Failure):  # the same, where somebody asks again
            await peer.receive()


@pytest.mark.asyncio
async def test_a_deadline_leaves_the_connection_as_it_is(dial: Any, only: Any) -> None:
    """Today's tools: the bytes that did come before a timeout are dropped from the message."""
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        client.sendall(b"hel")
        with pytest.raises(Failure, match=r"Waited 0.05 s .* to say b'hello'. Of it, b'hel' had come") as caught:
            await peer.expect(b"hello", within=SHORT)
        assert isinstance(only(caught), TimedOut)
        client.sendall(b"lo")
        assert await peer.expect(b"hello") == b"hello"


@pytest.mark.asyncio
async def test_nothing_came_at_all(dial: Any) -> None:
    async with TcpServer() as server:
        dial(server)
        peer = await server.connection()
        with pytest.raises(Failure, match=r"Waited 0.05 s for the near end to say anything\b"):
            await peer.receive(within=SHORT)
        with pytest.raises(Failure, match=r"Waited 0.05 s for the near end to close the connection\b"):
            await peer.closed(within=SHORT)


@pytest.mark.asyncio
async def test_a_wait_that_was_scaled_says_so(dial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "scale", 2.0)
    async with TcpServer() as server:
        dial(server)
        peer = await server.connection()
        with pytest.raises(
            Failure, match=r"Waited 0.1 s \(0.05 s, with a scale of 2\) for the near end to say anything\b"
        ):
            await peer.receive(within=SHORT)
        with pytest.raises(Failure, match=r"Waited 0.1 s \(0.05 s, with a scale of 2\) for the near end to close"):
            await peer.closed(within=SHORT)


@pytest.mark.asyncio
async def test_the_near_end_leaves_instead(dial: Any, only: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        client.sendall(b"hel")
        client.close()
        with pytest.raises(Failure, match="having begun to say b'hel'") as caught:
            await peer.expect(b"hello")
        assert isinstance(only(caught), EndedEarly)


@pytest.mark.asyncio
async def test_a_reset_is_no_orderly_end(dial: Any, only: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(Failure, match="ended the connection with reset") as caught:
            await peer.closed()
        assert isinstance(only(caught), WrongEnd)


@pytest.mark.asyncio
async def test_sending_to_nobody_is_no_success() -> None:
    """Rule 2: nothing passes silently."""
    async with WebSocketServer() as server:
        async with connect(server.url):
            peer = await server.connection()
        await peer.closed()
        with pytest.raises(
            Failure, match=r"Cannot send .are you there\?.: the connection has ended \(close frame 1000\)"
        ):
            await peer.send("are you there?")
        await peer.close()  # what is closed may be closed again
        await peer.abort()


@pytest.mark.asyncio
async def test_after_its_own_close_a_peer_says_whose_doing_it_is(dial: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        await peer.close()
        for call in (peer.send(b"x"), peer.receive(), peer.expect(b"x")):
            with pytest.raises(WrongState, match=r"farend has ended this connection .* itself: nothing more can be"):
                await call
        assert await hear(client.read_all) == b""


@pytest.mark.asyncio
async def test_what_nobody_received_fails_at_the_end(dial: Any, only: Any) -> None:
    with pytest.raises(Failure, match="The near end said b'unheard'") as caught:
        async with TcpServer() as server:
            client = dial(server)
            await server.connection()
            client.sendall(b"unheard")
    assert isinstance(only(caught), Unexpected)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda peer: peer.send(5), WrongType),
        (lambda peer: peer.expect(5), WrongType),
        (lambda peer: peer.receive(within="soon"), WrongType),
        (lambda peer: peer.receive(framing="lines"), WrongType),
        (lambda peer: peer.closed(within=-1), ValueError),
        (lambda peer: peer.close("4000"), WrongType),
    ],
)
async def test_wrong_arguments_raise_at_the_callers_line(dial: Any, call: Any, error: type[Exception]) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        with pytest.raises(error):
            await call(peer)
        await peer.send(b"still here")
        assert await hear(client.read, 10) == b"still here"


@pytest.mark.asyncio
async def test_a_packing_function_that_fails_is_a_finding(dial: Any, only: Any) -> None:
    script = Script(framing=lines(), open_ended=True)
    async with TcpServer(script) as server:
        dial(server)
        peer = await server.connection()

        def fail(message: bytes) -> bytes:
            raise ZeroDivisionError("mine")

        peer._driver._wire.framing.__class__.pack, kept = lambda self, message: fail(message), lines().__class__.pack  # type: ignore[union-attr,method-assign]
        try:
            with pytest.raises(Failure, match="the framing's pack failed: ZeroDivisionError: mine") as caught:
                await peer.send(b"x")
        finally:
            lines().__class__.pack = kept  # type: ignore[method-assign]
        assert type(only(caught)).__name__ == "FunctionFailed"


# -- nothing is lost -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_cancelled_receive_loses_no_message(dial: Any) -> None:
    """Today's tools: one receive that times out cancels the application; a wait_for eats the next step."""
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        for number in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(peer.receive(), 0.001)
            client.sendall(b"%d" % number)
            assert await peer.receive() == b"%d" % number


@pytest.mark.asyncio
@pytest.mark.parametrize("framing", [None, lines()])
async def test_a_receive_that_is_cancelled_in_the_turn_of_its_message(dial: Any, framing: Any) -> None:
    async with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        waiting = asyncio.create_task(peer.expect(anything(), framing=framing or lines()))
        await asyncio.sleep(0)
        peer._driver.data_received(b"first\n")
        peer._driver.data_received(b"second\n")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        client.sendall(b"third\n")
        for expected in (b"first", b"second", b"third"):
            assert await peer.receive(framing=lines()) == expected
        assert peer.transcript.received == [b"first", b"second", b"third"]


@pytest.mark.asyncio
async def test_a_message_of_a_websocket_in_that_turn() -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        waiting = asyncio.create_task(peer.receive())
        await asyncio.sleep(0)
        driver = peer._driver
        took = asyncio.Event()
        conversation_took = driver.conversation._took

        def cancel_when_taken(step: Any, message: Any) -> None:
            conversation_took(step, message)
            waiting.cancel()
            took.set()

        driver.conversation._took = cancel_when_taken  # type: ignore[method-assign]
        await client.send("the message")
        await took.wait()
        driver.conversation._took = conversation_took  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await client.send("another")
        assert [await peer.receive(), await peer.receive()] == ["the message", "another"]
        assert peer.transcript.received == ["the message", "another"]


@pytest.mark.asyncio
async def test_a_deadline_in_the_turn_of_the_message(dial: Any) -> None:
    """What came in time is in time, though the deadline's timer was served first."""
    async with TcpServer() as server:
        dial(server)
        peer = await server.connection()
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(peer.receive(framing=lines(), within=SHORT))
        await asyncio.sleep(0)
        before = loop.time()
        loop.call_at(before + SHORT, peer._driver.data_received, b"just\n")
        while loop.time() < before + 2 * SHORT:
            pass  # a test that keeps the loop busy: then both are due in the same turn
        assert await waiting == b"just"


@pytest.mark.asyncio
async def test_from_the_loop_of_the_test_to_the_background(dial: Any) -> None:
    """Item 4: `with` in an async test; a cancelled receive loses nothing there either."""
    with TcpServer() as server:
        client = dial(server)
        peer = await server.connection()
        for number in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(peer.receive(), 0.001)
            client.sendall(b"%d" % number)
            assert await peer.receive() == b"%d" % number
        client.close()
        assert await peer.closed() == Ended(How.EOF)


# -- several at once, several threads --------------------------------------------------------------


@pytest.mark.asyncio
async def test_two_receives_at_once_take_turns(dial: Any) -> None:
    async with TcpServer(Script(framing=lines(), open_ended=True)) as server:
        client = dial(server)
        peer = await server.connection()
        first, second = asyncio.create_task(peer.receive()), asyncio.create_task(peer.receive())
        await asyncio.sleep(0)
        client.sendall(b"one\ntwo\n")
        assert [await first, await second] == [b"one", b"two"]


@pytest.mark.asyncio
async def test_broadcast(dial: Any) -> None:
    async with TcpServer() as server:
        assert server.broadcast(b"nobody") == 0
        clients = [dial(server) for _ in range(5)]
        peers = [await server.connection() for _ in clients]
        await peers[2].close()
        assert server.broadcast(b"news") == 4
        for number, client in enumerate(clients):
            assert await hear(client.read, 4) == (b"" if number == 2 else b"news")
        assert server.broadcast(json={"a": 1}) == 4
        with pytest.raises(WrongType):
            server.broadcast(5)


def test_broadcast_from_a_plain_test(dial: Any) -> None:
    with WebSocketServer() as server:
        assert server.broadcast("hello") == 0
    with TcpServer() as tcp:
        client = dial(tcp)
        tcp.accept()
        assert tcp.broadcast("hello") == 1
        assert client.read(5) == b"hello"


@pytest.mark.asyncio
async def test_a_thread_may_block_on_a_far_end_of_this_loop(dial: Any) -> None:
    """Item 4: works from threads."""
    async with TcpServer() as server:
        client = dial(server)

        def talk() -> bytes:
            peer = server.accept()
            peer.send(b"ask")
            answer: bytes = peer.receive()  # type: ignore[assignment]
            assert server.broadcast(b"all") == 1
            return answer

        talking = asyncio.create_task(asyncio.to_thread(talk))
        await asyncio.to_thread(client.read, 3)
        client.sendall(b"answer")
        assert await talking == b"answer"


def test_peers_in_many_threads(dial: Any) -> None:
    with TcpServer() as server:
        clients = {client.getsockname(): client for client in (dial(server) for _ in range(8))}
        problems: list[BaseException] = []

        def talk(peer: BlockingPeer) -> None:
            try:
                for number in range(20):
                    peer.send(b"%d;" % number)
                    clients[peer.address].sendall(b"%d." % number)
                    assert peer.expect(b"%d." % number) == b"%d." % number
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=talk, args=(server.accept(),)) for _ in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert problems == []


# -- when it is over -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_peer_of_a_server_that_is_closed(dial: Any) -> None:
    async with TcpServer() as server:
        dial(server)
        peer = await server.connection()
    with pytest.raises(WrongState, match="is not running: use it inside `with` or `async with`"):
        await peer.receive()
    assert not peer.is_open
    assert len(peer.transcript) > 0


@pytest.mark.asyncio
async def test_a_receive_that_waits_when_the_server_is_closed(dial: Any) -> None:
    server = TcpServer().start()
    dial(server)
    peer = await server.connection()
    waiting = asyncio.create_task(peer.receive())
    await asyncio.sleep(0)
    await server.aclose()
    with pytest.raises((Failure, WrongState)):
        await waiting


@pytest.mark.asyncio
async def test_drain_until_that_never_comes_says_what_came() -> None:
    async with WebSocketServer() as server, connect(server.url) as client:
        peer = await server.connection()
        for number in range(3):
            await client.send(f"tick {number}")
        with pytest.raises(Failure, match="Meanwhile came 3 other messages, the last 'tick 2'") as caught:
            await peer.drain_until("done", within=SHORT)
        assert "got   nothing" not in str(caught.value)
