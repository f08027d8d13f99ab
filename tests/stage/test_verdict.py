"""How findings reach the test: once, before their consequences, and never in place of the test's own failure."""

from __future__ import annotations

import asyncio
import errno
import http.client
import ssl
from typing import Any

import aiohttp
import anyio
import pytest
import requests
import websocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect as connect_sync

from farend import Failure, Script, TcpServer, WebSocketServer
from farend.core.findings import Mismatch, Unexpected
from farend.stage.verdict import attach, failure, pronounce, says_gone

PING_PONG = Script().expect("ping").send("pong")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        BrokenPipeError(),
        TimeoutError(),
        OSError(errno.EBADF, "Bad file descriptor"),
        EOFError(),
        asyncio.IncompleteReadError(b"", 1),
        ssl.SSLEOFError(),
        ConnectionClosedError(None, None),
        ConnectionClosedOK(None, None),
        websocket.WebSocketConnectionClosedException(),
        aiohttp.ServerDisconnectedError(),
        anyio.EndOfStream(),
        anyio.BrokenResourceError(),
        requests.ConnectionError(),
        http.client.RemoteDisconnected(),
        ExceptionGroup("several", [ConnectionResetError(), EOFError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_says_that_the_connection_is_gone(error: BaseException) -> None:
    assert says_gone(error)


@pytest.mark.parametrize(
    "error",
    [
        AssertionError(),
        KeyError(),
        FileNotFoundError(),
        PermissionError(),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        Failure("mine"),
        ExceptionGroup("several", [ConnectionResetError(), KeyError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_does_not(error: BaseException) -> None:
    assert not says_gone(error)


def raised(findings: Any, error: BaseException | None) -> BaseException | None:
    try:
        pronounce(findings, error, failure)
    except Failure as made:
        return made
    return None


@pytest.fixture
def mismatch(dial: Any) -> Mismatch:
    server = TcpServer(PING_PONG).start()
    client = dial(server)
    client.sendall(b"pang")
    assert client.read_all() == b""
    [finding] = server.close()
    assert isinstance(finding, Mismatch)
    return finding


@pytest.fixture
def not_played(dial: Any) -> Any:
    server = TcpServer(PING_PONG).start()
    dial(server)
    server.accept()
    [finding] = server.close()
    return finding


def test_without_findings_nothing_is_said() -> None:
    error = KeyError()
    assert raised([], error) is None
    assert raised([], None) is None
    assert not hasattr(error, "__notes__")


def test_a_body_that_went_well_fails_with_the_findings(mismatch: Mismatch) -> None:
    made = raised([mismatch], None)
    assert isinstance(made, Failure)
    assert made.findings == (mismatch,)
    assert isinstance(made, AssertionError)
    assert mismatch.sentence.rstrip(".") in str(made)


def test_the_bodys_own_exception_stays_and_the_findings_are_a_note(mismatch: Mismatch) -> None:
    """Today's tools: a fault at teardown raised over the user's own exception."""
    error = KeyError("mine")
    assert raised([mismatch], error) is None
    [note] = error.__notes__
    assert note.startswith("farend: ")
    assert mismatch.sentence.rstrip(".") in note


def test_the_cause_is_told_before_its_consequence(mismatch: Mismatch) -> None:
    """S0-8: the client's own connection-closed exception does not replace it."""
    error = ConnectionResetError("by peer")
    made = raised([mismatch], error)
    assert isinstance(made, Failure)
    assert made.findings == (mismatch,)
    assert made.near_end_error is error
    assert "ConnectionResetError" in "".join(made.__notes__)


def test_a_connection_that_is_gone_with_no_cause_on_our_side(not_played: Any) -> None:
    """S0-28: the test's own exceptions, a ConnectionClosed that is no consequence included, come through."""
    error = ConnectionResetError()
    assert raised([not_played], error) is None
    assert len(error.__notes__) == 1


def test_only_the_causes_are_told_then(mismatch: Mismatch, not_played: Any) -> None:
    made = raised([mismatch, not_played], EOFError())
    assert isinstance(made, Failure)
    assert made.findings == (mismatch,)


def test_a_note_does_not_touch_the_exception_otherwise(mismatch: Mismatch) -> None:
    error = ZeroDivisionError("mine")
    attach(error, [mismatch])
    assert error.args == ("mine",)
    assert error.__cause__ is None


# -- with real clients -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_client_that_sits_in_recv_when_the_mismatch_comes() -> None:
    """S0-8; today's tools hang: a mismatch told only at the end, while the client waits for its reply."""
    with pytest.raises(Failure) as caught:
        async with WebSocketServer(Script().expect("general").send("Kenobi")) as server, connect(server.url) as client:
            await client.send("admiral")
            await client.recv()
    [finding] = caught.value.findings
    assert isinstance(finding, Mismatch)
    assert isinstance(caught.value.near_end_error, ConnectionClosedError)


def test_a_blocking_client_that_sits_in_recv() -> None:
    with pytest.raises(Failure) as caught:
        with WebSocketServer(Script().expect("general").send("Kenobi")) as server, connect_sync(server.url) as client:
            client.send("admiral")
            client.recv()
    assert isinstance(caught.value.near_end_error, ConnectionClosedError)


@pytest.mark.asyncio
async def test_a_task_group_of_clients() -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer(PING_PONG) as server:

            async def talk(word: bytes) -> None:
                reader, writer = await asyncio.open_connection(server.host, server.port)
                try:
                    writer.write(word)
                    await reader.readexactly(4)
                finally:
                    writer.close()
                    await writer.wait_closed()

            async with asyncio.TaskGroup() as group:
                group.create_task(talk(b"ping"))
                group.create_task(talk(b"pang"))
    assert isinstance(caught.value.near_end_error, ExceptionGroup)
    assert isinstance(caught.value.findings[0], Mismatch)


@pytest.mark.asyncio
async def test_an_assertion_of_the_test_stays(dial: Any) -> None:
    with pytest.raises(AssertionError, match="mine") as caught:
        async with TcpServer(PING_PONG) as server:
            client = dial(server)
            client.sendall(b"pang")
            assert await asyncio.to_thread(client.read_all) == b"pong", "mine"
    assert not isinstance(caught.value, Failure)
    assert "did not say what was expected" in caught.value.__notes__[-1]


@pytest.mark.asyncio
async def test_a_finding_that_was_raised_in_the_body_is_not_told_again(dial: Any) -> None:
    """Each finding is told once."""
    with pytest.raises(Failure) as caught:
        async with TcpServer() as server:
            client = dial(server)
            peer = await server.connection()
            client.sendall(b"pang")
            await peer.expect(b"ping")
    assert getattr(caught.value, "__notes__", []) == []
    assert len(caught.value.findings) == 1


@pytest.mark.asyncio
async def test_what_else_was_found_is_attached_to_it(dial: Any) -> None:
    with pytest.raises(Failure) as caught:
        async with TcpServer() as server:
            first, second = dial(server), dial(server)
            peer, other = await server.connection(), await server.connection()
            second.sendall(b"unheard")
            first.sendall(b"pang")
            await peer.expect(b"ping")
    assert isinstance(caught.value.findings[0], Mismatch)
    assert isinstance(server.findings[1], Unexpected)
    assert "b'unheard'" in caught.value.__notes__[0]
    assert other.number == 2


@pytest.mark.asyncio
async def test_cancellation_is_no_failure(dial: Any) -> None:
    """A test that is cancelled is not turned into one that failed."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            async with TcpServer(PING_PONG) as server:
                dial(server)
                await asyncio.get_running_loop().create_future()


@pytest.mark.asyncio
async def test_skips_and_exits_come_through(dial: Any) -> None:
    with pytest.raises(pytest.skip.Exception):
        async with TcpServer(PING_PONG) as server:
            dial(server)
            pytest.skip("not today")
