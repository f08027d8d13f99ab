"""A client, checked with one case: who is to blame, and how it is told."""

from __future__ import annotations

import asyncio
import socket
import warnings

import pytest
import websocket
import websockets.sync.client
from websockets.asyncio.client import connect

from farend import ClientCheck, Failure, InvalidArguments, NonStrict, WrongState, WrongType, malformed
from farend.core.reactions import PROBE, Verdict


def echo(url: str) -> None:
    with websockets.sync.client.connect(url) as client:
        for message in client:
            client.send(message)


def careless(url: str) -> None:
    """A client that notices nothing."""
    client = websocket.create_connection(url, skip_utf8_validation=True)
    try:
        while client.connected:
            frame = client.recv_frame()
            if frame.opcode == 8:
                return
            client.send(frame.data, frame.opcode)
    finally:
        client.shutdown()


@pytest.mark.parametrize("case", malformed.cases(), ids=lambda case: case.name)
def test_a_client_of_the_websockets_library(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonStrict)
        with ClientCheck(case) as url:
            echo(url)


@pytest.mark.asyncio
async def test_a_client_on_the_tests_loop():
    async def echoes(url):
        async with connect(url) as client:
            async for message in client:
                await client.send(message)

    check = ClientCheck("masked-frame")
    async with check as url:
        await echoes(url)
    assert check.result.verdict is Verdict.OK
    assert check.result.code == 1002
    async with ClientCheck(malformed.PING_BETWEEN_FRAGMENTS) as url, asyncio.TaskGroup() as group:
        group.create_task(echoes(url))  # who raises is in a group


def test_a_client_that_hands_it_on_fails_the_test():
    check = ClientCheck("masked-frame")
    with pytest.raises(
        Failure, match=r"The client handed 'masked' to the application, where a text frame is"
    ) as caught:
        with check as url:
            careless(url)
    assert "must close the connection if it sees a masked frame" in str(caught.value)
    assert "← <malformed masked-frame>" in str(caught.value)
    assert check.result.verdict is Verdict.FAILED
    assert caught.value.findings[0].result is check.result


def test_what_should_be_done_is_a_warning_unless_the_check_is_strict():
    with pytest.warns(NonStrict, match=r"non-strict: length-16-not-minimal \(RFC 6455, 5.2, 10.7\): handed 'short'"):
        with ClientCheck("length-16-not-minimal") as url:
            echo(url)
    with pytest.raises(Failure, match=r"SHOULD fail the connection \(1002\)"):
        with ClientCheck("length-16-not-minimal", strict=True) as url:
            echo(url)


def test_a_client_that_never_comes():
    with pytest.raises(Failure, match=r"The client did not connect") as caught:
        with ClientCheck("rsv1", deadline=0.05):
            raise ValueError("no route")
    assert "It raised ValueError (no route)" in " ".join(str(caught.value).split())
    assert isinstance(caught.value.near_end_error, ValueError)


def test_a_client_that_opens_no_websocket():
    with pytest.raises(Failure, match=r"The client opened no WebSocket"):
        with ClientCheck("rsv1") as url:
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(1000):
                    pass


def test_a_client_that_stays_is_stuck():
    check = ClientCheck("rsv1", deadline=2)
    with pytest.raises(Failure, match=r"The client neither said anything nor left"):
        with check as url:
            stays = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10)
            stays.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert stays.recv(12) == b"HTTP/1.1 101"
    stays.close()
    assert check.result.code is None


@pytest.mark.parametrize("error", [AssertionError("mine"), NameError("mine"), KeyboardInterrupt("mine")])
def test_what_is_the_tests_own_is_not_held_back(error):
    check = ClientCheck("rsv1")
    with pytest.raises(type(error), match="mine"):
        with check:
            raise error
    with pytest.raises(WrongState, match=r"<check of rsv1> has no result yet"):
        check.result  # noqa: B018


def test_a_group_with_the_tests_own_is_not_held_back():
    with pytest.raises(ExceptionGroup):
        with ClientCheck("rsv1"):
            raise ExceptionGroup("both", [OSError("gone"), AssertionError("mine")])


def test_arguments_are_checked():
    with pytest.raises(InvalidArguments, match=r"did you mean 'rsv1'"):
        ClientCheck("rsv-1")
    with pytest.raises(WrongType, match=r"a malformed frame has a name"):
        ClientCheck(None)
    with pytest.raises(InvalidArguments, match=r"a deadline is a number of seconds above 0"):
        ClientCheck("rsv1", deadline=-1)


def test_a_client_is_told_apart_by_its_first_connection():
    check = ClientCheck("plain-text")
    with check as url:
        echo(url)
        with websockets.sync.client.connect(url) as client:
            assert client.recv() == "hello"
            assert client.recv() == PROBE
    assert check.result.verdict is Verdict.OK
