"""The block: what it lets through, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import types
import warnings

import pytest
import websocket
import websockets
import websockets.sync.client
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import farend
from farend import (
    Script,
    StrictVerifier,
    SyncWebSocketPlugin,
    UnmockedInteractionError,
    WebSocketServer,
    WrongState,
    WrongType,
)
from farend.intercept import sandbox as sandboxes

URI = "ws://far-end.invalid/"


# -- the guard --------------------------------------------------------------------------------------


@pytest.fixture
def server():
    with WebSocketServer(Script().expect("hello").send("there").expect_close()) as server:
        yield server


def greet_with_websocket_client(url):
    ws = websocket.create_connection(url)
    ws.send("hello")
    answer = ws.recv()
    ws.close()
    return answer


def greet_with_websockets_sync(url):
    with websockets.sync.client.connect(url) as ws:
        ws.send("hello")
        return ws.recv()


def greet_with_websockets(url):
    async def client():
        async with websockets.connect(url) as ws:
            await ws.send("hello")
            return await ws.recv()

    return asyncio.run(client())


def greet_again_and_again(url):
    async def client():  # noqa: RET503
        async for ws in websockets.connect(url):
            await ws.send("hello")
            answer = await ws.recv()
            await ws.close()
            return answer

    return asyncio.run(client())


CLIENTS = [greet_with_websocket_client, greet_with_websockets_sync, greet_with_websockets, greet_again_and_again]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "allow",
    [
        lambda server: server.url,
        lambda server: [server.url],
        lambda server: "127.0.0.1",
        lambda server: f"127.0.0.1:{server.port}",
        lambda server: ("nowhere.invalid", farend.regex("ws://127.*")),
        lambda server: lambda name: name == server.url,
    ],
)
def test_what_is_allowed_reaches_the_network(hand, server, client, allow):
    with hand.sandbox(allow=allow(server)):
        assert client(server.url) == "there"
    hand.verifier.verify_all()


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_not_allowed_is_an_error_that_names_it(hand, client):
    with pytest.raises(UnmockedInteractionError) as caught, hand.sandbox(allow=["other.invalid"]):
        client(URI)
    text = str(caught.value)
    assert f"connect('{URI}') was not scripted" in text
    assert f"with verifier.sandbox(allow=['{URI}']):" in text
    assert 'new_session().expect("connect", returns=None)' in text


@pytest.mark.parametrize("name", ["websockets.trio.client", "websockets.legacy.client"])
def test_what_has_no_mock_is_guarded(hand, name):
    pytest.importorskip("trio")
    with warnings.catch_warnings(action="ignore"):
        module = pytest.importorskip(name)
        connect = getattr(module, sandboxes.GUARDED[name])
        real = connect.__init__
        with pytest.raises(UnmockedInteractionError) as caught, hand.sandbox(allow="allowed.invalid"):
            with contextlib.suppress(RuntimeError):  # no event loop is there
                connect("ws://allowed.invalid/")
            connect(URI)
        assert connect.__init__ is real
    assert "What cannot be mocked can be let through:\n    with verifier.sandbox(allow=" in str(caught.value)


@pytest.mark.parametrize("wrong", [5, None, b"localhost", [5], [["a"], None]])
def test_what_cannot_be_allowed(hand, wrong):
    with pytest.raises(WrongType, match=r"write allow=\['localhost'\]"):
        hand.sandbox(allow=wrong)


def test_outside_of_the_block_nothing_is_intercepted(hand, server):
    hand.script(hand.sync, ">")
    assert greet_with_websocket_client(server.url) == "there"


def test_the_block_of_the_module_lets_addresses_through_too(server):
    with farend.sandbox(allow=server.url):
        assert greet_with_websocket_client(server.url) == "there"


# -- entered and left -------------------------------------------------------------------------------


def test_entered_twice(hand):
    block = hand.sandbox()
    with block, pytest.raises(WrongState, match="entered already"):
        block.__enter__()
    with pytest.raises(WrongState, match="left already"):
        block.__exit__(None, None, None)
    with block:
        pass


def test_nested_and_left_in_any_order():
    verifiers = [StrictVerifier(), StrictVerifier()]
    mocks = [SyncWebSocketPlugin(verifier, name=name) for verifier, name in zip(verifiers, "ab", strict=True)]
    for mock in mocks:
        for _ in range(2):
            mock.new_session().expect("connect", returns=None)
    outer, inner = (verifier.sandbox() for verifier in verifiers)
    outer.__enter__()
    inner.__enter__()
    websocket.create_connection("ws://inner.invalid/")
    outer.__exit__(None, None, None)
    websocket.create_connection("ws://inner.invalid/again")
    with pytest.raises(UnmockedInteractionError):
        websocket.create_connection("ws://nobody.invalid/")
    with pytest.raises(UnmockedInteractionError):
        inner.__exit__(None, None, None)
    mocks[1].assert_connect(uri="ws://inner.invalid/")
    mocks[1].assert_connect(uri="ws://inner.invalid/again")
    verifiers[1].verify_all()
    with pytest.raises(farend.UnusedMocksError):
        verifiers[0].verify_all()


def test_an_outer_session_is_taken_where_the_inner_block_has_none():
    outer, inner = StrictVerifier(), StrictVerifier()
    mock = SyncWebSocketPlugin(outer)
    SyncWebSocketPlugin(inner).new_session(uri="ws://inner.invalid/").expect("connect", returns=None)
    mock.new_session().expect("connect", returns=None)
    with outer.sandbox(), inner.sandbox():
        websocket.create_connection("ws://outer.invalid/")
    mock.assert_connect(uri="ws://outer.invalid/")
    outer.verify_all()


def test_the_module_nested_in_itself():
    session = farend.sync_websocket_mock.new_session().expect("connect", returns=None)
    with farend, farend:
        with farend:
            pass
        websocket.create_connection(URI)
    assert session.dialled == URI
    farend.sync_websocket_mock.assert_connect(uri=URI)


class Boom(BaseException):
    """An exception that nobody else handles."""


ERRORS = st.sampled_from([None, KeyError("x"), Boom(), asyncio.CancelledError(), SystemExit()])
LEAVING = st.tuples(st.integers(0, 1_000), ERRORS, st.booleans())
"""Which of the blocks that are open is left, with which exception, and whether by another thread."""


@hypothesis_settings(max_examples=25)
@given(st.lists(st.lists(LEAVING, max_size=2), min_size=40, max_size=40))
def test_no_patch_is_left(patched, rounds):
    """1,000 blocks, entered and left in random nesting, with random exceptions."""
    opened = []
    try:
        for leavings in rounds:
            block = StrictVerifier().sandbox()
            block.__enter__()
            opened.append(block)
            assert patched()
            for which, error, elsewhere in leavings[: len(opened)]:
                leave(opened.pop(which % len(opened)), error, elsewhere)
            assert bool(patched()) is bool(opened)
    finally:
        while opened:
            opened.pop(0).__exit__(None, None, None)
    assert not patched()


def leave(block, error, elsewhere):
    """Leave a block with an exception, perhaps in a thread."""
    arguments = (type(error) if error else None, error, None)
    if not elsewhere:
        block.__exit__(*arguments)
        return
    thread = threading.Thread(target=block.__exit__, args=arguments)
    thread.start()
    thread.join()


@pytest.mark.parametrize("error", [KeyError("x"), Boom(), SystemExit(), KeyboardInterrupt()])
def test_left_with_an_exception(error):
    with pytest.raises(type(error)), farend:
        raise error


def test_a_library_that_cannot_be_patched_leaves_nothing(hand, monkeypatch):
    broken = types.ModuleType("broken")
    monkeypatch.setitem(sys.modules, "broken", broken)
    monkeypatch.setitem(sandboxes.ROOMS, "websockets", (*sandboxes.ROOMS["websockets"], "broken"))
    with pytest.raises(AttributeError):
        hand.sandbox().__enter__()


def test_whether_a_library_is_installed(monkeypatch):
    assert sandboxes.installed("websocket")
    assert not sandboxes.installed("no_such_library")
    assert not sandboxes.installed("no.such.library")
    monkeypatch.setitem(sys.modules, "websocket", None)
    assert not sandboxes.installed("websocket")
