"""The expectations dialect, with clients of every kind. Seed 002 itself is in `tests/seeds/test_002.py`."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from asyncio import open_connection as early  # before any server
from collections.abc import Callable
from typing import Any

import pytest

from farend import (
    Ended,
    ExpectationsServer,
    Failure,
    InvalidArguments,
    Script,
    ScriptError,
    TcpServer,
    WrongState,
    WrongType,
    write_frame,
)
from farend.dialects import expectations
from farend.stage.settings import settings

Actions = list[tuple[str, Any]]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is to time out in these tests says when: by itself nothing does, however slow the machine is."""
    monkeypatch.setattr(expectations, "TIMEOUT", 1000)


# -- clients --------------------------------------------------------------------------------------


def talk(port: int, actions: Actions, context: Any = None) -> None:
    """A blocking client. Imports what it needs itself: it also runs as a program of its own."""
    import socket
    import struct

    sockets = []
    for verb, argument in [("connect", None), *actions]:
        if verb == "connect":
            raw = socket.create_connection(("127.0.0.1", port), timeout=10)
            sockets.append(raw if context is None else context.wrap_socket(raw, server_hostname="127.0.0.1"))
        elif verb == "send":
            sockets[-1].sendall(argument)
        elif verb == "read":
            got = b""
            while len(got) < argument:
                got += sockets[-1].recv(argument - len(got))
        elif verb == "hear the end":
            try:
                while sockets[-1].recv(4096):
                    pass
            except ConnectionError:
                pass
        elif verb == "reset":
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for sock in sockets:
        sock.close()


async def talk_in_streams(port: int, actions: Actions) -> None:
    writers = []
    for verb, argument in [("connect", None), *actions]:
        if verb == "connect":
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
        elif verb == "send":
            writer.write(argument)
            await writer.drain()
        elif verb == "read":
            await reader.readexactly(argument)
        elif verb == "hear the end":
            await reader.read()
        elif verb == "reset":
            sock = socket.socket(fileno=writer.get_extra_info("socket").fileno())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.detach()
    for writer in writers:
        writer.close()
        await writer.wait_closed()


def in_a_thread(server: ExpectationsServer, actions: Actions) -> None:
    thread = threading.Thread(target=talk, args=(server.port, actions))
    thread.start()
    thread.join(10)


def in_a_subprocess(server: ExpectationsServer, actions: Actions) -> None:
    program = f"from typing import Any\nActions = Any\n{inspect.getsource(talk)}\ntalk({server.port}, {actions!r})"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def behind_tls(server: ExpectationsServer, actions: Actions) -> None:
    talk(server.port, actions, server.client_ssl_context)


def in_streams(server: ExpectationsServer, actions: Actions) -> None:
    asyncio.run(talk_in_streams(server.port, actions))


def on_uvloop(server: ExpectationsServer, actions: Actions) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk_in_streams(server.port, actions))


CLIENTS: dict[str, Callable[[ExpectationsServer, Actions], None]] = {
    "thread": in_a_thread,
    "subprocess": in_a_subprocess,
    "TLS": behind_tls,
    "streams on another loop": in_streams,
    "uvloop": on_uvloop,
}


# -- scenarios ------------------------------------------------------------------------------------

SCENARIOS: dict[str, tuple[list[tuple[Any, ...]], Actions, str | None]] = {
    "all right": (
        [("expect_bytes", b"PING"), ("send_bytes", b"PONG"), ("expect_frame", b"frame"), ("expect_disconnect",)],
        [("send", b"PI"), ("send", b"NG"), ("read", 4), ("send", b"\0\0\0\5frame")],
        None,
    ),
    "the server disconnects": (
        [("expect_bytes", b"QUIT"), ("send_frame", b"bye"), ("disconnect",), ("expect_disconnect",)],
        [("send", b"QUIT"), ("read", 7), ("hear the end", None)],
        None,
    ),
    "silence": (
        [("expect_bytes", b"PING", 0.05), ("expect_disconnect",)],
        [("send", b"PI"), ("hear the end", None)],
        "Timed out waiting for b'PING'. Of it, b'PI' had come.",
    ),
    "something else": (
        [("expect_bytes", b"PING"), ("expect_disconnect",)],
        [("send", b"PONG!"), ("hear the end", None)],
        "Expected to read b'PING' but actually read b'PONG'",
    ),
    "another frame": (
        [("expect_frame", b"PING"), ("expect_disconnect",)],
        [("send", b"\0\0\0\5PONG!"), ("hear the end", None)],
        "Expected to get frame b'PING' but actually got frame b'PONG!'",
    ),
    "too little": (
        [("expect_bytes", b"PING"), ("expect_disconnect",)],
        [("send", b"PIN")],
        "Expected to read b'PING' but only read b'PIN' before the connection was closed.",
    ),
    "no frame": (
        [("expect_frame", b"PING"), ("expect_disconnect",)],
        [],
        "Expected to get frame b'PING' but only read b'' before the connection was closed.",
    ),
    "too much": (
        [("expect_bytes", b"PING"), ("expect_disconnect",)],
        [("send", b"PINGPONG"), ("hear the end", None)],
        "Received unexpected data while waiting for client to disconnect. Data is b'PONG'.",
    ),
    "stays": (
        [("expect_disconnect", 0.05)],
        [("hear the end", None)],
        "Timed out waiting for client to disconnect. Remember to call `writer.close()`.",
    ),
    "comes twice": (
        [("expect_disconnect", 30)],
        [("connect", None), ("hear the end", None)],
        "While waiting for client to disconnect a second connection was attempted.",
    ),
    "reset": (
        [("expect_bytes", b"PING"), ("expect_disconnect",)],
        [("reset", None)],
        "Connection was reset. Did client close writer prematurely?",
    ),
}


def told(server: ExpectationsServer, calls: list[tuple[Any, ...]]) -> None:
    server.expect_connect(timeout=10)
    for name, *arguments in calls:
        getattr(server, name)(*arguments)


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_all_clients_are_judged_alike(name: str, kind: str) -> None:
    """S2-12, S2-35, "sees only some clients": the server asks the wire, so it does not matter whose client it is."""
    calls, actions, text = SCENARIOS[name]
    with ExpectationsServer(tls=kind == "TLS") as server:
        told(server, calls)
        CLIENTS[kind](server, actions)
        if text is None:
            server.join()
        else:
            with pytest.raises(Failure) as caught:
                server.join()
            assert str(caught.value) == text


@pytest.mark.parametrize("kind", ["thread", "subprocess", "TLS"])
@pytest.mark.parametrize("disconnects", [False, True], ids=["client first", "server first"])
def test_what_was_left_unread(kind: str, disconnects: bool) -> None:
    """S2-20, S2-34: by the account of the client's system, which answers with a reset."""
    with ExpectationsServer(tls=kind == "TLS") as server:
        calls = [("expect_bytes", b"PING"), ("send_bytes", b"PONG"), ("send_frame", b"!")]
        told(server, [*calls, ("disconnect",), ("expect_disconnect",)] if disconnects else calls)
        CLIENTS[kind](server, [("send", b"PING"), ("read", 1)])
        server.expect_disconnect()
        with pytest.raises(Failure) as caught:
            server.join()
    unread = r"b'PONG\x00\x00\x00\x01!'"
    assert str(caught.value) == f"There is data sent by server that was not read by client: unread_bytes={unread}."


@pytest.mark.parametrize("tls", [False, True])
def test_what_comes_after_the_client_has_left(tls: bool) -> None:
    """S2-20, S2-34: what was sent to a client that had closed already was not read either."""
    with ExpectationsServer(tls=tls) as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        talk(server.port, [("send", b"PING")], server.client_ssl_context if tls else None)
        server.join()
        server.send_bytes(b"PONG")
        server.expect_disconnect()
        with pytest.raises(Failure, match=r"was not read by client: unread_bytes=b'PONG'\."):
            server.join()


@pytest.mark.parametrize("tls", [False, True])
def test_expectations_after_the_client_has_left(tls: bool) -> None:
    """S2-18: what it said is kept, and that it left is known."""
    with ExpectationsServer(tls=tls) as server:
        server.expect_connect()
        talk(server.port, [("send", b"PINGPONG")], server.client_ssl_context if tls else None)
        server.join()
        server.expect_bytes(b"PING")
        server.join()
        server.expect_bytes(b"PONG")
        server.expect_bytes(b"more", timeout=30)
        assert str(failure_of(server)) == "Expected to read b'more' but only read b'' before the connection was closed."


def test_a_server_on_uvloop() -> None:
    """S2-20, S2-34: the server's own loop may be any."""
    uvloop = pytest.importorskip("uvloop")

    async def test(tls: bool) -> None:
        async with ExpectationsServer(tls=tls) as server:
            told(server, [("expect_bytes", b"PING"), ("send_bytes", b"PONG"), ("expect_disconnect",)])
            context = server.client_ssl_context if tls else None
            await asyncio.to_thread(talk, server.port, [("send", b"PING"), ("read", 4)], context)
            await server.join()
        with pytest.raises(Failure, match=r"unread_bytes=b'PONG'\."):
            async with ExpectationsServer(tls=tls) as server:
                told(server, [("expect_bytes", b"PING"), ("send_bytes", b"PONG")])
                await asyncio.to_thread(talk, server.port, [("send", b"PING")], context)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test(tls=False))
        runner.run(test(tls=True))


def test_a_tls_client_is_not_kept_waiting() -> None:
    """Without session tickets, nothing answers its handshake; the 40 ms of a delayed acknowledgement are not taken."""
    for _ in range(50):  # a busy machine takes long for other reasons, but not each time
        with ExpectationsServer(tls=True) as server:
            told(server, [("expect_bytes", b"PING"), ("send_bytes", b"PONG")])
            begin = time.monotonic()
            behind_tls(server, [("send", b"PING"), ("read", 4)])
            took = time.monotonic() - begin
        if took < 0.03:
            return
    raise AssertionError(f"each of 50 clients was kept waiting, the last for {took:.3f} s")


@pytest.mark.parametrize("kind", ["streams on another loop", "uvloop"])
def test_what_cannot_be_known_is_not_judged(kind: str) -> None:
    """S2-20: a transport on another loop has read ahead for its client; nobody can see what was not taken."""
    with ExpectationsServer() as server:
        told(server, [("expect_bytes", b"PING"), ("send_bytes", b"PONG"), ("expect_disconnect",)])
        CLIENTS[kind](server, [("send", b"PING"), ("read", 1)])
        server.join()


# -- on the loop of the test ----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_async_with() -> None:
    async with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        server.expect_disconnect()
        await talk_in_streams(server.port, [("send", b"PING")])
        await server.join()


@pytest.mark.asyncio
async def test_a_raw_protocol_has_read_what_it_was_given() -> None:
    """S2-20: only an `asyncio.StreamReader` keeps what nobody took."""
    async with ExpectationsServer(deadline=30) as server:
        server.expect_connect()
        server.send_bytes(b"Hola!")
        server.expect_disconnect()
        loop = asyncio.get_running_loop()
        has_read = loop.create_future()

        class Reader(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                has_read.set_result(data)

        transport, _ = await loop.create_connection(Reader, "127.0.0.1", server.port)
        assert await has_read == b"Hola!"
        transport.close()
        await server.join()


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["imported early", "limit=", "sock=", "ssl="])
async def test_every_way_to_open_a_connection(way: str) -> None:
    """Today's tool patches `asyncio.open_connection`: these break, or are not seen."""
    async with ExpectationsServer(tls=way == "ssl=", deadline=30) as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        server.send_bytes(b"PONG")
        server.expect_disconnect()
        address = ("127.0.0.1", server.port)
        match way:
            case "imported early":
                opening = early(*address)
            case "limit=":
                opening = asyncio.open_connection(*address, limit=16)
            case "sock=":
                sock = socket.socket()
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, address)
                opening = asyncio.open_connection(sock=sock)
            case _:
                opening = asyncio.open_connection(*address, ssl=server.client_ssl_context)
        reader, writer = await opening
        writer.write(b"PING")
        assert await reader.readexactly(4) == b"PONG"
        writer.close()
        await writer.wait_closed()
        await server.join()
    assert asyncio.open_connection is early


@pytest.mark.asyncio
async def test_other_ports_are_other_servers() -> None:
    """Today's tool raises KeyError where the client opens a connection to any port but its own."""
    async with ExpectationsServer(deadline=30) as server, TcpServer(Script().expect("other").send("port")) as other:
        server.expect_connect()
        server.expect_bytes(b"PING")
        server.expect_disconnect()
        await talk_in_streams(other.port, [("send", b"other"), ("read", 4)])
        await talk_in_streams(server.port, [("send", b"PING")])
        await server.join()


@pytest.mark.asyncio
@pytest.mark.parametrize("tls", [False, True])
async def test_a_stream_reader_on_this_loop(tls: bool) -> None:
    """S2-20, S2-34: behind TLS, too."""
    server = ExpectationsServer(tls=tls)
    with pytest.raises(Failure, match=r"unread_bytes=b'la!'\."):
        async with server:
            server.expect_connect()
            server.send_bytes(b"Hola!")
            context = server.client_ssl_context if tls else None
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            assert await reader.readexactly(2) == b"Ho"
            writer.close()
            await writer.wait_closed()


@pytest.mark.asyncio
async def test_who_is_about_to_read_has_read() -> None:
    """S2-20: a reader that was woken, and has not had its turn yet, leaves nothing unread."""
    for _ in range(50):
        async with ExpectationsServer() as server:
            server.expect_connect()
            server.expect_bytes(b"?")
            server.send_bytes(b"Hola!")
            server.expect_disconnect()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            reading = asyncio.create_task(reader.readexactly(5))
            writer.write(b"?")
            writer.write_eof()
            await server.join()
            assert await reading == b"Hola!"
            writer.close()
            await writer.wait_closed()


@pytest.mark.asyncio
async def test_two_joins_at_once() -> None:
    async with ExpectationsServer() as server:
        server.expect_connect()
        joins = asyncio.gather(server.join(), server.join())
        await asyncio.sleep(0)
        await talk_in_streams(server.port, [])
        await asyncio.wait_for(joins, 5)


def test_join_from_another_loop() -> None:
    """The server is on the background loop, and whoever joins on a loop of their own."""
    with ExpectationsServer() as server:
        server.expect_connect()

        async def test() -> None:
            await talk_in_streams(server.port, [])
            await server.join()

        asyncio.run(test())


@pytest.mark.asyncio
async def test_join_from_a_thread() -> None:
    """The server is on the loop of the test, and whoever joins in a thread beside it."""
    async with ExpectationsServer() as server:
        server.expect_connect()
        joining = asyncio.create_task(asyncio.to_thread(server.join))
        await talk_in_streams(server.port, [])
        await joining


def test_a_blocking_join_gives_nothing_to_wait_for() -> None:
    """In a plain test the call has waited already; what it gives can be awaited all the same."""
    with ExpectationsServer() as server:
        server.expect_connect()
        talk(server.port, [])
        done = server.join()

        async def later() -> None:
            await done

        asyncio.run(later())
        server.stop()
        server.stop()
        server.join()


def test_an_end_of_test_that_nobody_waits_for_too_long() -> None:
    """Today's tools hang on 3.12 and later, where a client is still connected when the server is closed."""
    with (
        socket.socket() as sock,
        pytest.raises(Failure, match="waiting for client to disconnect"),
        ExpectationsServer(deadline=0.1) as server,
    ):
        server.expect_connect(timeout=30)
        sock.connect((server.host, server.port))


def test_a_large_reply() -> None:
    """Today's tools cut it short."""
    data = bytes(range(256)) * (20 << 12)
    with ExpectationsServer() as server:
        server.expect_connect()
        server.send_bytes(data)
        talk(server.port, [("read", len(data))])


def test_over_ipv6() -> None:
    with ExpectationsServer(host="::1") as server:
        server.expect_connect()
        with socket.create_connection(("::1", server.service_port)):
            server.join()


# -- what went wrong ------------------------------------------------------------------------------


def failure_of(server: ExpectationsServer) -> Failure:
    with pytest.raises(Failure) as caught:
        server.join()
    return caught.value


def test_the_whole_story_stands_beside_the_text() -> None:
    with ExpectationsServer(name="device") as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        talk(server.port, [("send", b"PONG"), ("hear the end", None)])
        failure = failure_of(server)
    [finding] = failure.findings
    assert finding.place.far_end == "device"
    [note] = failure.__notes__
    assert "device, connection 1, step 1 of 1" in note
    assert "b'PONG'" in note


@pytest.mark.parametrize("name", [None, "device"])
def test_a_server_that_nobody_used_is_named(name: str | None) -> None:
    """The seed's sentence names none, and a test may have several."""
    with pytest.raises(Failure) as caught, ExpectationsServer() as used, ExpectationsServer(name=name) as unused:
        used.expect_connect()
        used.expect_disconnect()
        talk(used.port, [])
    assert str(caught.value) == "Client is not connected. Did you forget to call `asyncio.open_connection`?"
    assert caught.value.__notes__ == [f"This is about {name or f'ExpectationsServer 127.0.0.1:{unused.port}'}."]


def test_a_second_connection_while_waiting_for_bytes() -> None:
    """Today's tool: "Cannot interpret UnexpectedEventError(...)"."""
    with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_bytes(b"PING", timeout=30)
        talk(server.port, [("connect", None), ("hear the end", None)])
        assert str(failure_of(server)) == "While waiting for b'PING' a second connection was attempted."


def test_a_client_that_comes_again_after_a_mismatch() -> None:
    """Then the mismatch is the cause."""
    with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        talk(server.port, [("send", b"PONG"), ("hear the end", None), ("connect", None), ("hear the end", None)])
        failure = failure_of(server)
    assert str(failure) == "Expected to read b'PING' but actually read b'PONG'"
    assert len(failure.findings) == 2


def test_a_second_connection_after_the_first() -> None:
    """It is never hidden by the one that was all right."""
    with (
        pytest.raises(Failure, match="While waiting for client to disconnect a second"),
        ExpectationsServer() as server,
    ):
        server.expect_connect()
        server.expect_disconnect()
        talk(server.port, [])
        server.join()
        talk(server.port, [("hear the end", None)])


def test_a_second_connection_when_nothing_is_awaited() -> None:
    with ExpectationsServer() as server:
        server.expect_connect()
        talk(server.port, [("connect", None), ("hear the end", None)])
        text = str(failure_of(server))
    assert text.startswith("A second connection was attempted; for another one,")


def test_a_client_that_nobody_expected() -> None:
    with pytest.raises(Failure) as caught, ExpectationsServer() as server:
        talk(server.port, [("send", b"hello")])
    assert str(caught.value) == "A client connected, and nobody expected it. Did you forget to call `expect_connect()`?"
    assert "b'hello'" in caught.value.__notes__[0]


def test_the_tests_own_exception_comes_first() -> None:
    """Today's tool raises its fault at teardown over the user's own exception."""
    with pytest.raises(ValueError, match="mine") as caught, ExpectationsServer() as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        talk(server.port, [("send", b"PONG"), ("hear the end", None)])
        raise ValueError("mine")
    assert "b'PONG'" in caught.value.__notes__[0]


def test_a_misuse_is_told_once() -> None:
    with ExpectationsServer() as server, pytest.raises(ScriptError):
        server.expect_bytes(b"first")


def test_a_client_that_refuses_the_certificate() -> None:
    with ExpectationsServer(tls=True) as server:
        server.expect_connect()
        with pytest.raises(ssl.SSLCertVerificationError):
            talk(server.port, [], ssl.create_default_context())
        text = str(failure_of(server))
    assert "certificate" in text
    assert "client_ssl_context" in text


def test_a_frame_that_is_too_large() -> None:
    with ExpectationsServer(max_size=1000) as server:
        server.expect_connect()
        server.expect_frame(b"small")
        talk(server.port, [("send", struct.pack(">I", 1001)), ("hear the end", None)])
        assert "announces 1,001 bytes; the limit is 1,000" in str(failure_of(server))


def test_long_messages_are_elided() -> None:
    with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_bytes(b"a" * 100_000)
        talk(server.port, [("send", b"b" * 100_000), ("hear the end", None)])
        text = str(failure_of(server))
    assert "(bytes, 100,000 bytes)" in text
    assert len(text) < 5000


def test_all_of_the_unexpected_data_is_on_the_transcript() -> None:
    with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_disconnect()
        talk(server.port, [("send", b"a" * 100_000), ("hear the end", None)])
        failure_of(server)
    [transcript] = server.transcripts
    assert b"".join(transcript.received) == b"a" * 100_000  # type: ignore[arg-type]


# -- calls that cannot be meant -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["expect_bytes", "expect_frame", "send_bytes", "send_frame"])
def test_data_is_bytes(name: str) -> None:
    server = ExpectationsServer()
    server.expect_connect()
    for data in ("text", 5, None, [1], ["bytes"]):
        with pytest.raises(WrongType, match=rf"{name}\(\) takes bytes, not "):
            getattr(server, name)(data)
    with pytest.raises(WrongType, match="takes bytes"):
        write_frame(None, "text")  # type: ignore[arg-type]


def test_buffers_are_copied() -> None:
    """Today's tools keep lists and buffers by reference."""
    buffer = bytearray(b"PING")
    with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_bytes(buffer)
        server.send_bytes(memoryview(buffer))
        buffer[:] = b"XXXX"
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"PING")
            assert client.recv(4) == b"PING"


@pytest.mark.parametrize("timeout", ["1", True, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["expect_connect", "expect_bytes", "expect_frame", "expect_disconnect"])
def test_timeouts_are_seconds(name: str, timeout: Any) -> None:
    server = ExpectationsServer()
    if name != "expect_connect":
        server.expect_connect()
    data = [b"data"] if name in ("expect_bytes", "expect_frame") else []
    with pytest.raises((WrongType, ScriptError), match="timeout"):
        getattr(server, name)(*data, timeout=timeout)


def test_nothing_cannot_be_expected() -> None:
    server = ExpectationsServer()
    server.expect_connect()
    with pytest.raises(ScriptError, match="nothing cannot be seen to arrive"):
        server.expect_bytes(b"")


def test_one_connection_only() -> None:
    server = ExpectationsServer()
    server.expect_connect()
    with pytest.raises(ScriptError, match=r"make another server: `await tcpserver_factory\(\)`"):
        server.expect_connect()


def test_nothing_but_the_end_follows_a_disconnect() -> None:
    server = ExpectationsServer()
    server.expect_connect()
    server.disconnect()
    for call, data in ((server.expect_bytes, b"x"), (server.send_frame, b"x")):
        with pytest.raises(ScriptError, match=r"`.*\(b'x'\)` cannot follow `disconnect\(\)`"):
            call(data)
    with pytest.raises(ScriptError, match="cannot follow"):
        server.disconnect()
    server.expect_disconnect()


def test_a_server_that_was_never_started() -> None:
    with pytest.raises(WrongState, match="has no port yet"):
        _ = ExpectationsServer().service_port
    with pytest.raises(WrongState, match="is not running"):
        ExpectationsServer().join()


def test_options_are_those_of_a_server() -> None:
    with pytest.raises(InvalidArguments):
        ExpectationsServer(deadline=0)
    with pytest.raises(TypeError):
        ExpectationsServer(script=None)


# -- how long ------------------------------------------------------------------------------------


def times_out(server: ExpectationsServer) -> None:
    with pytest.raises(Failure, match="Timed out"), server:
        server.expect_connect()
        server.join()


def test_a_servers_deadline_is_the_timeout_of_its_expectations() -> None:
    times_out(ExpectationsServer(deadline=0.1))


def test_the_setting_is_the_timeout_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "deadline", 0.1)
    monkeypatch.setattr(settings, "asked", True)
    times_out(ExpectationsServer())


def test_the_scale_stretches_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "scale", 0.0001)
    times_out(ExpectationsServer())


def test_no_deadline_at_all() -> None:
    with ExpectationsServer(deadline=None) as server:
        server.expect_connect()
        server.expect_bytes(b"PING")
        talk(server.port, [("send", b"PING")])


def test_the_connection_says_how_it_ended() -> None:
    with ExpectationsServer() as server:
        server.expect_connect()
        server.expect_disconnect()
        talk(server.port, [])
        server.join()
        assert isinstance(server.connections[0]._driver.ended, Ended)
