"""Seed 002, the pytest TCP client plugin: every statement, by its number in the checklist.

The clients here are those of the seed: asyncio streams on the test's own loop. Other clients meet the
same server in `tests/dialects/test_expectations.py`.
"""

# ruff: noqa: PT023, RUF059 (the seed's examples are as they are)

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import farend
from farend import ExpectationsServer, Failure, ScriptError, read_frame, write_frame
from farend.dialects import expectations

pytest_plugins = ["pytester"]

Server = ExpectationsServer
DEFAULT = expectations.TIMEOUT


@contextlib.asynccontextmanager
async def client(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that disconnects as the seed's does."""
    reader, writer = await asyncio.open_connection(None, server.service_port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def failure_of(server: Server) -> str:
    with pytest.raises(Failure) as caught:
        await server.join()
    return str(caught.value)


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Whatever is to time out in these tests says when: by itself nothing does, however slow the machine is."""
    monkeypatch.setattr(expectations, "TIMEOUT", 30)


# -- the two examples, to the letter --------------------------------------------------------------


@pytest.mark.asyncio()
async def test_expect_connect(tcpserver):
    """S2-15, S2-1, S2-2, S2-3, S2-6, S2-9, S2-11, S2-13."""

    # When we enter the test, the test server is already running and waiting
    # for a connection from the client. It is running in an `asyncio.Task`.
    #
    # It is listening on port `tcpserver.service_port` on the local machine

    # ==========================================================================
    # Initially, we tell the server what we're expecting the client to do. In
    # this case, we expect the client to connect and then to immediately
    # disconnect.

    tcpserver.expect_connect()
    tcpserver.expect_disconnect()

    # In all tests, the first expectation must be `expect_connect`. An error
    # will be raised if this is not the case. The final one should be
    # `expect_disconnect`.
    #
    # Behind the scenes, the server will record the _actual_ interactions with
    # the client and compare them to the expectations. It records the
    # outcomes of those comparisons asynchronously. When `tcpserver.join` is
    # called (below), errors will be raised if they occurred.

    # ==========================================================================
    # Having specifiied the expectations, the client now interacts with
    # the server.

    # This is the connection expected by the server. Note that `host` is `None.
    reader, writer = await asyncio.open_connection(None, tcpserver.service_port)

    # Here's the disconnection expected by the server. Both `close` and `wait_closed`
    # are required to complete the disconnection.
    writer.close()
    await writer.wait_closed()

    # =========================================================================
    # Finally, `join` with the server. If there is an unfulfilled expectation or
    # some other error, this function will raise an exception.

    await tcpserver.join()


@pytest.mark.asyncio()
async def test_hello_world(tcpserver):
    """S2-15, S2-14."""

    # ==========================================================================
    # Establish expectations on server side

    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"Hello, world")
    tcpserver.expect_disconnect()

    # ==========================================================================
    # Client connects, sends a message and then disconnects

    reader, writer = await asyncio.open_connection(None, tcpserver.service_port)
    writer.write(b"Hello, world")
    writer.close()
    await writer.wait_closed()

    # ==========================================================================
    # Synchronise results

    await tcpserver.join()


# -- the fixture ----------------------------------------------------------------------------------


def test_the_plugin_is_active_on_install(request):
    """S2-1: nothing is written in a conftest for it."""
    assert request.config.pluginmanager.hasplugin("farend")
    assert request.getfixturevalue("tcpserver_factory")


def test_listening_when_the_body_begins(tcpserver):
    """S2-2, S2-3: a client can connect in the body's first line, at `service_port` on this machine."""
    with socket.create_connection(("localhost", tcpserver.service_port)):
        tcpserver.expect_connect()
    tcpserver.expect_disconnect()


@pytest.mark.asyncio
async def test_in_this_process_on_the_loop_of_the_test(tcpserver):
    """S2-4: on asyncio, in the test's process; here on the very loop of the test."""
    tcpserver.expect_connect()
    async with client(tcpserver):
        assert await tcpserver.connection()
        assert tcpserver._home is asyncio.get_running_loop()


@pytest.mark.asyncio
async def test_it_expects_and_replies(tcpserver):
    """S2-5: the same object takes the expectations and the replies."""
    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"PING")
    tcpserver.send_bytes(b"PONG")
    tcpserver.expect_bytes(b"BYE")
    tcpserver.expect_disconnect()
    async with client(tcpserver) as (reader, writer):
        writer.write(b"PING")
        assert await reader.readexactly(4) == b"PONG"
        writer.write(b"BYE")
    await tcpserver.join()


@pytest.mark.asyncio
async def test_expectations_are_plain_calls(tcpserver):
    """S2-6: they return nothing to await, and are made before the client acts."""
    assert tcpserver.expect_connect() is None
    assert tcpserver.expect_bytes(b"x") is None
    assert tcpserver.expect_frame(b"x") is None
    assert tcpserver.send_bytes(b"x") is None
    assert tcpserver.send_frame(b"x") is None
    assert tcpserver.expect_disconnect() is None
    async with client(tcpserver) as (reader, writer):
        writer.write(b"x")
        write_frame(writer, b"x")
        assert await reader.readexactly(1) == b"x"
        assert await read_frame(reader) == b"x"


FIRST_CALLS = {
    "expect_bytes(b'Hello, world')": lambda server: server.expect_bytes(b"Hello, world"),
    "expect_frame(b'Hello, world')": lambda server: server.expect_frame(b"Hello, world"),
    "expect_disconnect()": lambda server: server.expect_disconnect(),
    "send_bytes(b'Hello, world')": lambda server: server.send_bytes(b"Hello, world"),
    "send_frame(b'Hello, world')": lambda server: server.send_frame(b"Hello, world"),
    "disconnect()": lambda server: server.disconnect(),
}


@pytest.mark.parametrize("call", FIRST_CALLS)
def test_expect_connect_comes_first(tcpserver, call):
    """S2-7, S2-24: any other first call raises, at the call, and says what is missing."""
    with pytest.raises(ScriptError) as caught:
        FIRST_CALLS[call](tcpserver)
    assert str(caught.value) == f"Missing `expect_connect()` before `{call}`"
    assert caught.traceback[-1].name == "_check"  # raised where it was called, and not by `join`


@pytest.mark.asyncio
async def test_expect_disconnect_comes_last(tcpserver):
    """S2-8: what could never be fulfilled after it raises at the call."""
    tcpserver.expect_connect()
    tcpserver.expect_disconnect()
    tcpserver.expect_disconnect()  # says nothing new
    for call in (tcpserver.expect_bytes, tcpserver.expect_frame, tcpserver.send_bytes, tcpserver.send_frame):
        with pytest.raises(ScriptError, match=r"cannot follow `expect_disconnect\(\)`"):
            call(b"more")
    async with client(tcpserver):
        pass


@pytest.mark.asyncio
async def test_outcomes_are_recorded_and_told_by_join(tcpserver):
    """S2-9: a mismatch raises nothing while the client acts; `join` tells it."""
    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"left")
    async with client(tcpserver) as (reader, writer):
        writer.write(b"rite")
        assert await reader.read() == b""  # the server has ended it: nobody hangs
    assert await failure_of(tcpserver) == "Expected to read b'left' but actually read b'rite'"


@pytest.mark.asyncio
async def test_join_raises_or_returns_quietly(tcpserver_factory):
    """S2-10."""
    good, bad = await tcpserver_factory(), await tcpserver_factory()
    for server in (good, bad):
        server.expect_connect()
        server.expect_bytes(b"yes")
    async with client(good) as (_, writer):
        writer.write(b"yes")
        assert await good.join() is None
    async with client(bad) as (_, writer):
        writer.write(b"no!")
        assert "b'no!'" in await failure_of(bad)


@pytest.mark.asyncio
async def test_host_none(tcpserver):
    """S2-11: with no host, asyncio tries every address of this machine, and comes to the server's."""
    tcpserver.expect_connect()
    reader, writer = await asyncio.open_connection(None, tcpserver.service_port)
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("waits", [True, False], ids=["wait_closed", "no wait_closed"])
async def test_disconnection_is_what_the_wire_shows(tcpserver, waits):
    """S2-12, S2-31, S2-35: the end of stream is the disconnection.

    Whether the client awaited `wait_closed` never reaches the wire, so it is not judged, and the text
    of S2-31 does not exist: it could only come from a patched asyncio, which would see some clients
    and not others.
    """
    tcpserver.expect_connect()
    tcpserver.expect_disconnect()
    _, writer = await asyncio.open_connection(None, tcpserver.service_port)
    writer.close()
    if waits:
        await writer.wait_closed()
    await tcpserver.join()
    await writer.wait_closed()


@pytest.mark.asyncio
async def test_closing_is_required(tcpserver):
    """S2-12: a client that does not close has not disconnected."""
    tcpserver.expect_connect()
    tcpserver.expect_disconnect(timeout=0.05)
    async with client(tcpserver):
        assert "Remember to call `writer.close()`" in await failure_of(tcpserver)


@pytest.mark.asyncio
async def test_connect_and_disconnect_without_data(tcpserver):
    """S2-13."""
    tcpserver.expect_connect()
    tcpserver.expect_disconnect()
    async with client(tcpserver):
        pass
    await tcpserver.join()


@pytest.mark.asyncio
async def test_data_written_just_before_close(tcpserver):
    """S2-14."""
    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"Hello, world")
    tcpserver.expect_disconnect()
    async with client(tcpserver) as (_, writer):
        writer.write(b"Hello, world")
    await tcpserver.join()


# -- what the seed's tool adds --------------------------------------------------------------------


def test_timeouts_are_keywords():
    """S2-16: each expectation has a `timeout`, last and by keyword; the default is 1 s."""
    for name in ("expect_connect", "expect_bytes", "expect_frame", "expect_disconnect"):
        *_, last = inspect.signature(getattr(ExpectationsServer, name)).parameters
        assert last == "timeout"
    assert DEFAULT == 1
    assert ExpectationsServer()._within(None) == expectations.TIMEOUT


@pytest.mark.asyncio
async def test_timeouts_run_one_after_another(tcpserver):
    """S2-16: each begins when the one before it is fulfilled, so together they may take longer than one."""
    loop = asyncio.get_running_loop()
    real_time, gone = loop.time, 0.0
    loop.time = lambda: real_time() + gone

    async def forty_seconds():
        nonlocal gone
        gone += 40
        for _ in range(3):  # turns of the loop, in which a timeout that is due is noticed
            await asyncio.sleep(0)

    tcpserver.expect_connect(timeout=60)
    tcpserver.send_bytes(b"0")
    for piece in (b"1", b"2"):
        tcpserver.expect_bytes(piece, timeout=60)
        tcpserver.send_bytes(piece)
    tcpserver.expect_bytes(b"3", timeout=0.1)
    await forty_seconds()
    async with client(tcpserver) as (reader, writer):
        assert await reader.readexactly(1) == b"0"
        for piece in (b"1", b"2"):
            await forty_seconds()
            writer.write(piece)
            assert await reader.readexactly(1) == piece
        assert await failure_of(tcpserver) == "Timed out waiting for b'3'"


@pytest.mark.asyncio
async def test_frames_both_ways(tcpserver):
    """S2-17: a frame is its length in 4 bytes, big-endian, and the payload, which may be empty."""
    tcpserver.expect_connect()
    tcpserver.expect_frame(b"Hello")
    tcpserver.send_frame(b"Goodbye")
    tcpserver.expect_frame(b"")
    tcpserver.send_bytes(struct.pack(">I", 0))
    tcpserver.disconnect()
    tcpserver.expect_disconnect()
    async with client(tcpserver) as (reader, writer):
        writer.write(struct.pack(">I", 5) + b"Hel")
        await asyncio.sleep(0)
        writer.write(b"lo")
        assert await reader.readexactly(11) == b"\x00\x00\x00\x07Goodbye"
        write_frame(writer, b"")
        assert await read_frame(reader) == b""
        assert await read_frame(reader) == b""  # the clean end of the stream
    await tcpserver.join()


@pytest.mark.asyncio
async def test_read_frame_of_half_a_frame():
    """S2-17: only a clean end is an empty payload."""
    for half in (b"\x00\x00", b"\x00\x00\x00\x05Hel"):
        reader = asyncio.StreamReader()
        reader.feed_data(half)
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError):
            await read_frame(reader)


@pytest.mark.asyncio
async def test_stop(tcpserver):
    """S2-17: `stop` joins, and ends the server."""
    tcpserver.expect_connect()
    tcpserver.expect_bytes(b"last")
    async with client(tcpserver) as (reader, writer):
        writer.write(b"last")
        await tcpserver.stop()
        assert await reader.read() == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", tcpserver.service_port)
    with pytest.raises(farend.WrongState, match="is stopped"):
        tcpserver.expect_bytes(b"more")
    await tcpserver.stop()
    await tcpserver.join()


@pytest.mark.asyncio
async def test_stop_raises_what_join_would(tcpserver):
    """S2-17."""
    tcpserver.expect_connect(timeout=0.01)
    with pytest.raises(Failure, match="Timed out waiting for client to connect"):
        await tcpserver.stop()


@pytest.mark.asyncio
async def test_several_servers(tcpserver, tcpserver_factory):
    """S2-17: the factory is awaited, and gives one more server each time."""
    others = [await tcpserver_factory(), await tcpserver_factory(name="third")]
    servers = [tcpserver, *others]
    assert len({server.service_port for server in servers}) == 3
    assert others[1].name == "third"
    for number, server in enumerate(servers):
        server.expect_connect()
        server.expect_bytes(b"%d" % number)
        server.expect_disconnect()
    for number, server in enumerate(servers):
        async with client(server) as (_, writer):
            writer.write(b"%d" % number)
    for server in servers:
        await server.join()


@pytest.mark.asyncio
async def test_expectations_after_the_client_acted(tcpserver):
    """S2-18: what came waits for them."""
    async with client(tcpserver) as (reader, writer):
        writer.write(b"HelloWorld")
        tcpserver.expect_connect()
        await tcpserver.join()
        tcpserver.expect_bytes(b"Hello")
        await tcpserver.join()
        tcpserver.expect_bytes(b"World")
        tcpserver.send_bytes(b"!")
        assert await reader.readexactly(1) == b"!"
        await tcpserver.join()
    tcpserver.expect_disconnect()
    await tcpserver.join()
    await tcpserver.join()


@pytest.mark.asyncio
async def test_after_a_failed_join_later_ones_are_silent(tcpserver):
    """S2-18."""
    tcpserver.expect_connect(timeout=0.01)
    assert await failure_of(tcpserver) == "Timed out waiting for client to connect."
    await tcpserver.join()
    tcpserver.expect_bytes(b"never")
    await tcpserver.join()


OPENED = """
import asyncio
import pytest_asyncio
from farend import Failure

@pytest_asyncio.fixture
async def opens():
    writers = []
    async def open(server):
        _, writer = await asyncio.open_connection(None, server.service_port)
        writers.append(writer)
    yield open
    for writer in writers:
        writer.close()
        await writer.wait_closed()
"""


def session(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    pytester.makepyfile(OPENED + inspect.cleandoc(body))
    return pytester.runpytest("-p", "no:randomly", "-p", "no:cacheprovider")


def test_the_end_of_the_test_expects_a_disconnect_and_joins(pytester, monkeypatch):
    """S2-19: what nobody joined fails the test; in its call phase, where the seed's tool has an error at teardown."""
    monkeypatch.setattr(expectations, "TIMEOUT", 0.1)  # what the end of the test waits for the disconnection
    result = session(
        pytester,
        """
        async def test_never_joined(tcpserver, opens):
            tcpserver.expect_connect(timeout=30)
            tcpserver.expect_bytes(b"more", timeout=0.05)
            await opens(tcpserver)

        async def test_never_disconnected(tcpserver, opens):
            tcpserver.expect_connect(timeout=30)
            await opens(tcpserver)

        async def test_never_used(tcpserver):
            pass

        async def test_joined_and_failed(tcpserver):
            tcpserver.expect_connect(timeout=0.01)
            try:
                await tcpserver.join()
            except Failure:
                pass
        """,
    )
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E   *Failure: Timed out waiting for b'more'",
            "E   *Failure: Timed out waiting for client to disconnect. Remember to call `writer.close()`.",
            "E   *Failure: Client is not connected. Did you forget to call `asyncio.open_connection`?",
        ]
    )


def test_the_failure_stands_at_the_users_line(pytester):
    """S2-21: at `await tcpserver.join()`, with none of farend's own lines; it is a failure, not an error."""
    result = session(
        pytester,
        """
        async def test_it(tcpserver):
            tcpserver.expect_connect(timeout=0.01)
            await tcpserver.join()
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       await tcpserver.join()",
            "E       *Failure: Timed out waiting for client to connect.",
            "*test_the_failure_stands_at_the_users_line.py:*: Failure",
        ]
    )
    for own in ("expectations", "far_end", "pytest_body", "verdict"):
        result.stdout.no_fnmatch_line(f"*{own}.py*")


# -- the texts ------------------------------------------------------------------------------------

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def expecting(*calls: tuple[Any, ...]) -> Callable[[Server], None]:
    def expect(server: Server) -> None:
        server.expect_connect()
        for name, *arguments in calls:
            getattr(server, name)(*arguments)

    return expect


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


def writes(data: bytes) -> Act:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return act


def writes_a_frame(payload: bytes) -> Act:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        write_frame(writer, payload)

    return act


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def reads_in_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readexactly(2) == b"Ho"
    writer.close()


TEXTS = {
    "S2-25 bytes": (
        expecting(("expect_bytes", b"Hello, world!", 0.05)),
        nothing,
        "Timed out waiting for b'Hello, world!'",
    ),
    "S2-25 frame": (
        expecting(("expect_frame", b"Goodbye, world", 0.05)),
        nothing,
        "Timed out waiting for frame b'Goodbye, world'",
    ),
    "S2-26": (
        expecting(("expect_bytes", b"Bonjour")),
        writes(b"Goodbye, world"),
        "Expected to read b'Bonjour' but actually read b'Goodbye'",
    ),
    "S2-27": (
        expecting(("expect_bytes", b"Hello, world")),
        closes,
        "Expected to read b'Hello, world' but only read b'' before the connection was closed.",
    ),
    "S2-28": (
        expecting(("expect_frame", b"Bonjour")),
        writes_a_frame(b"Goodbye, world"),
        "Expected to get frame b'Bonjour' but actually got frame b'Goodbye, world'",
    ),
    "S2-29": (
        expecting(("expect_disconnect",)),
        writes(b"Hello"),
        "Received unexpected data while waiting for client to disconnect. Data is b'Hello'.",
    ),
    "S2-30": (
        expecting(("expect_disconnect", 0.05)),
        nothing,
        "Timed out waiting for client to disconnect. Remember to call `writer.close()`.",
    ),
    "S2-30 after disconnect()": (
        expecting(("disconnect",), ("expect_disconnect", 0.05)),
        nothing,
        "Timed out waiting for client to disconnect. Remember to call `writer.close()`.",
    ),
    "S2-33": (
        expecting(("expect_disconnect",)),
        resets,
        "Connection was reset. Did client close writer prematurely?",
    ),
    "S2-33 in the middle": (
        expecting(("expect_bytes", b"Hello"), ("expect_disconnect",)),
        resets,
        "Connection was reset. Did client close writer prematurely?",
    ),
    "S2-20, S2-34": (
        expecting(("send_bytes", b"Hola!"), ("expect_disconnect",)),
        closes,
        "There is data sent by server that was not read by client: unread_bytes=b'Hola!'.",
    ),
    "S2-20, S2-34 in part": (
        expecting(("send_bytes", b"Hola!"), ("expect_disconnect",)),
        reads_in_part,
        "There is data sent by server that was not read by client: unread_bytes=b'la!'.",
    ),
    "S2-20, S2-34 a frame": (
        expecting(("send_frame", b"Hola!"), ("expect_disconnect",)),
        closes,
        "There is data sent by server that was not read by client: unread_bytes=b'\\x00\\x00\\x00\\x05Hola!'.",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", TEXTS)
async def test_texts(tcpserver, name):
    """S2-20, S2-25 to S2-30, S2-33, S2-34: what `join` says, to the letter."""
    expect, act, text = TEXTS[name]
    expect(tcpserver)
    async with client(tcpserver) as (reader, writer):
        await act(reader, writer)
        assert await failure_of(tcpserver) == text


@pytest.mark.asyncio
async def test_nobody_connects_in_time(tcpserver):
    """S2-22."""
    tcpserver.expect_connect(timeout=0.05)
    assert await failure_of(tcpserver) == "Timed out waiting for client to connect."


@pytest.mark.asyncio
async def test_a_client_that_connects_too_late(tcpserver):
    """S2-22: also where nobody looked at the time."""
    tcpserver.expect_connect(timeout=0.05)
    await asyncio.sleep(0.1)
    async with client(tcpserver):
        assert await failure_of(tcpserver) == "Timed out waiting for client to connect."


@pytest.mark.asyncio
async def test_nobody_connected_at_all():
    """S2-23: a server that is there, and that nobody used."""
    with pytest.raises(Failure) as caught:
        async with ExpectationsServer():
            pass
    assert str(caught.value) == "Client is not connected. Did you forget to call `asyncio.open_connection`?"


@pytest.mark.asyncio
async def test_missing_expect_connect(tcpserver):
    """S2-24."""
    async with client(tcpserver) as (_, writer):
        writer.write(b"Hello, world")
        with pytest.raises(ScriptError) as caught:
            tcpserver.expect_bytes(b"Hello, world")
    assert str(caught.value) == "Missing `expect_connect()` before `expect_bytes(b'Hello, world')`"


@pytest.mark.asyncio
async def test_a_second_connection(tcpserver):
    """S2-32: told at once, and not when the time is up."""
    tcpserver.expect_connect()
    tcpserver.expect_disconnect(timeout=30)
    async with client(tcpserver), client(tcpserver) as (reader, _):
        assert await reader.read() == b""  # turned away
        text = await failure_of(tcpserver)
    assert text == "While waiting for client to disconnect a second connection was attempted."
