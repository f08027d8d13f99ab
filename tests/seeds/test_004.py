"""Seed 004, the strict mocks of two WebSocket libraries: every statement, by its number in the checklist."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import subprocess
import sys
import textwrap

import pytest
import websocket
import websockets
from dirty_equals import IsJson, IsStr

import farend
from farend import (
    AssertionInsideSandboxError,
    AsyncWebSocketPlugin,
    InteractionMismatchError,
    InvalidArguments,
    InvalidStateError,
    MissingAssertionFieldsError,
    StrictVerifier,
    SyncWebSocketPlugin,
    UnassertedInteractionsError,
    UnmockedInteractionError,
    UnusedMocksError,
    VerificationError,
    WrongType,
)
from farend.intercept.line import TRANSITIONS, State

pytest_plugins = ["pytester"]

URI = "ws://localhost:8765"

with farend.sandbox():
    """pytester forgets the modules that its sessions import: these are here before."""

# -- the four examples, to the letter: only what `bigfoot` is has changed -----------------------------

ECHO = """
import farend as bigfoot

async def test_ws_echo():
    (bigfoot.async_websocket_mock
        .new_session()
        .expect("connect", returns=None)
        .expect("send",    returns=None)
        .expect("recv",    returns="pong")
        .expect("close",   returns=None))

    with bigfoot:
        import websockets
        async with websockets.connect("ws://localhost:8765") as ws:
            await ws.send("ping")
            message = await ws.recv()
            await ws.close()

    assert message == "pong"

    bigfoot.async_websocket_mock.assert_connect(uri="ws://localhost:8765")
    bigfoot.async_websocket_mock.assert_send(message="ping")
    bigfoot.async_websocket_mock.assert_recv(message="pong")
    bigfoot.async_websocket_mock.assert_close()
"""

TWO = """
import farend as bigfoot
import websockets

async def test_two_ws_connections():
    (bigfoot.async_websocket_mock
        .new_session()
        .expect("connect", returns=None)
        .expect("recv",    returns="first")
        .expect("close",   returns=None))

    (bigfoot.async_websocket_mock
        .new_session()
        .expect("connect", returns=None)
        .expect("recv",    returns="second")
        .expect("close",   returns=None))

    with bigfoot:
        cm1 = websockets.connect("ws://localhost:8765")
        cm2 = websockets.connect("ws://localhost:8765")
        async with cm1 as ws1:
            async with cm2 as ws2:
                assert await ws1.recv() == "first"
                assert await ws2.recv() == "second"

    bigfoot.async_websocket_mock.assert_connect(uri="ws://localhost:8765")
    bigfoot.async_websocket_mock.assert_connect(uri="ws://localhost:8765")
    bigfoot.async_websocket_mock.assert_recv(message="first")
    bigfoot.async_websocket_mock.assert_recv(message="second")
    bigfoot.async_websocket_mock.assert_close()
    bigfoot.async_websocket_mock.assert_close()
"""

SYNC = """
import farend as bigfoot

def test_sync_ws():
    (bigfoot.sync_websocket_mock
        .new_session()
        .expect("connect", returns=None)
        .expect("send",    returns=None)
        .expect("recv",    returns="hello")
        .expect("close",   returns=None))

    with bigfoot:
        import websocket
        ws = websocket.create_connection("ws://localhost:8765")
        ws.send("hi")
        message = ws.recv()
        ws.close()

    assert message == "hello"

    bigfoot.sync_websocket_mock.assert_connect(uri="ws://localhost:8765")
    bigfoot.sync_websocket_mock.assert_send(message="hi")
    bigfoot.sync_websocket_mock.assert_recv(message="hello")
    bigfoot.sync_websocket_mock.assert_close()
"""

CHAT = """
import farend as bigfoot

def chat_client(uri, messages):
    import websocket
    ws = websocket.create_connection(uri)
    responses = []
    for msg in messages:
        ws.send(msg)
        responses.append(ws.recv())
    ws.close()
    return responses

def test_chat_client():
    (bigfoot.sync_websocket_mock
        .new_session()
        .expect("connect", returns=None)
        .expect("send",    returns=None)
        .expect("recv",    returns="echo: hello")
        .expect("send",    returns=None)
        .expect("recv",    returns="echo: world")
        .expect("close",   returns=None))

    with bigfoot:
        responses = chat_client("ws://chat.example.com/ws", ["hello", "world"])

    assert responses == ["echo: hello", "echo: world"]

    bigfoot.sync_websocket_mock.assert_connect(uri="ws://chat.example.com/ws")
    bigfoot.sync_websocket_mock.assert_send(message="hello")
    bigfoot.sync_websocket_mock.assert_recv(message="echo: hello")
    bigfoot.sync_websocket_mock.assert_send(message="world")
    bigfoot.sync_websocket_mock.assert_recv(message="echo: world")
    bigfoot.sync_websocket_mock.assert_close()
"""

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file in a session of its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(body, *options):
        pytester.makeini(INI)
        pytester.makepyfile(test_it=textwrap.dedent(body))
        loaded = ("-p", "farend.pytest_plugin", "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider")
        return pytester.runpytest(*loaded, *options)

    return run


@pytest.mark.parametrize("example", [ECHO, TWO, SYNC, CHAT], ids=["echo", "two", "sync", "chat"])
def test_the_examples_as_written(run, example):
    """S4-24, S4-25 (asyncio_mode=auto), S4-4, S4-11, S4-12, S4-14, S4-18, S4-19, S4-20, S4-21."""
    run(example).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("example", "old", "new"),
    [
        (ECHO, 'returns="pong"', 'returns="ping"'),
        (ECHO, "bigfoot.async_websocket_mock.assert_close()", "pass"),
        (TWO, 'assert_recv(message="first")', 'assert_recv(message="second")'),
        (SYNC, 'ws.send("hi")', 'ws.send("ho")'),
        (SYNC, '"recv",    returns="hello"', '"send",    returns=None'),
        (CHAT, '["hello", "world"])\n\n', '["hello"])\n\n'),
        (CHAT, 'assert_connect(uri="ws://chat.example.com/ws")', 'assert_connect(uri="ws://chat.example.com/w")'),
    ],
)
def test_the_examples_altered_fail(run, example, old, new):
    """S4-24: an example that passes whatever happens would show nothing."""
    assert old in example
    run(example.replace(old, new)).assert_outcomes(failed=1)


# -- by hand ----------------------------------------------------------------------------------------


class Hand:
    """A verifier by hand, with the mock of one library and a client of it."""

    def __init__(self, kind):
        self.verifier = StrictVerifier()
        self.mock = kind(self.verifier)

    def client(self, uri=URI):
        return websocket.create_connection(uri)

    def session(self, *steps):
        session = self.mock.new_session()
        for method in steps:
            session.expect(method, returns="x" if method == "recv" else None)
        return session


@pytest.fixture
def hand():
    return Hand(SyncWebSocketPlugin)


@pytest.fixture
def ahand():
    return Hand(AsyncWebSocketPlugin)


@pytest.mark.asyncio
async def test_each_plugin_intercepts_its_library():
    """S4-1, S4-23: made by hand, outside of pytest's own bookkeeping, they work."""
    verifier = StrictVerifier()
    ws = AsyncWebSocketPlugin(verifier)
    blocking = SyncWebSocketPlugin(verifier)
    ws.new_session().expect("connect", returns=None).expect("close", returns=None)
    blocking.new_session().expect("connect", returns=None).expect("close", returns=None)
    with verifier.sandbox():
        async with websockets.connect(URI):
            pass
        websocket.create_connection("ws://elsewhere.invalid/").close()
    ws.assert_connect(uri=URI)
    ws.assert_close()
    blocking.assert_connect(uri="ws://elsewhere.invalid/")
    blocking.assert_close()
    verifier.verify_all()


def test_the_extras():
    """S4-2: `farend[websockets]` and `farend[websocket-client]`."""
    assert {"websockets", "websocket-client"} <= set(importlib.metadata.metadata("farend").get_all("Provides-Extra"))


def test_each_plugin_needs_only_its_own_library():
    """S4-2: without websocket-client, the mock of websockets works; the other says what to install."""
    code = """
import sys
sys.modules["websocket"] = None
import farend, websockets.sync.client
farend.async_websocket_mock.new_session().expect("connect", returns=None).expect("close", returns=None)
with farend:
    websockets.sync.client.connect("ws://localhost/", legacy=True).close()
farend.async_websocket_mock.assert_connect(uri="ws://localhost/")
farend.async_websocket_mock.assert_close()
farend.verify_mocks()
try:
    farend.sync_websocket_mock.new_session()
except farend.MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'farend[websocket-client]'" in done.stdout, done.stderr


def test_one_state_machine():
    """S4-3."""
    assert {state: set(valid) for state, valid in TRANSITIONS.items()} == {
        State.CONNECTING: {"connect"},
        State.OPEN: {"send", "recv", "close"},
        State.CLOSED: set(),
    }
    assert TRANSITIONS[State.CONNECTING]["connect"] is State.OPEN
    assert TRANSITIONS[State.OPEN] == {"send": State.OPEN, "recv": State.OPEN, "close": State.CLOSED}


def test_expect_returns_the_session(hand):
    """S4-5."""
    session = hand.mock.new_session()
    assert session.expect("connect", returns=None) is session


def test_the_parameters_of_expect(hand):
    """S4-6."""
    parameters = inspect.signature(hand.mock.new_session().expect).parameters
    assert list(parameters) == ["method", "returns", "raises", "required"]
    assert all(one.kind is one.KEYWORD_ONLY for name, one in parameters.items() if name != "method")
    assert parameters["raises"].default is None
    assert parameters["required"].default is True
    with pytest.raises(WrongType, match=r"expect\('send'\) needs returns="):
        hand.mock.new_session().expect("send")
    with pytest.raises(TypeError):
        hand.mock.new_session().expect("send", None)


def test_only_four_names(hand):
    """S4-7: a typo is refused where it is written."""
    for method in ("connect", "send", "close"):
        hand.mock.new_session().expect(method, returns=None)
    hand.mock.new_session().expect("recv", returns=b"x")
    with pytest.raises(InvalidArguments, match="'conect' is no step: .* did you mean 'connect'"):
        hand.mock.new_session().expect("conect", returns=None)


def test_raises_instead_of_returning(hand):
    """S4-8."""
    hand.session("connect").expect("recv", returns=None, raises=ConnectionResetError("cut"))
    with hand.verifier.sandbox():
        client = hand.client()
        with pytest.raises(ConnectionResetError, match="cut"):
            client.recv()
    hand.mock.assert_connect(uri=URI)
    hand.mock.assert_recv(raises=ConnectionResetError)
    hand.verifier.verify_all()


def test_a_required_step_left_unused(hand):
    """S4-9."""
    hand.session("connect", "send", "close")
    with hand.verifier.sandbox():
        hand.client()
    hand.mock.assert_connect(uri=URI)
    with pytest.raises(UnusedMocksError, match="2 required steps were not used"):
        hand.verifier.verify_all()


def test_a_step_that_is_not_required(hand):
    """S4-9."""
    session = hand.session("connect").expect("send", returns=None, required=False)
    session.expect("recv", returns="x").expect("close", returns=None, required=False)
    with hand.verifier.sandbox():
        assert hand.client().recv() == "x"
    hand.mock.assert_connect(uri=URI)
    hand.mock.assert_recv(message="x")
    hand.verifier.verify_all()


def test_what_steps_return(hand):
    """S4-10."""
    session = hand.session("connect").expect("recv", returns="text").expect("recv", returns=b"bytes")
    session.expect("close", returns=None)
    with hand.verifier.sandbox():
        client = hand.client()
        assert [client.recv(), client.recv()] == ["text", b"bytes"]
        assert client.close() is None
    for wrong in (5, {"a": 1}, None, ["x"]):
        with pytest.raises(WrongType, match="recv gives text or bytes"):
            hand.mock.new_session().expect("recv", returns=wrong)
    for method in ("connect", "send", "close"):
        with pytest.raises(WrongType, match="gives nothing back: write returns=None"):
            hand.mock.new_session().expect(method, returns="x")


def test_no_network(hand):
    """S4-13: no server, and no name that could be resolved."""
    hand.session("connect")
    with hand.verifier.sandbox():
        assert hand.client("wss://no.such.host.invalid:1/path?query").connected
    hand.mock.assert_connect(uri="wss://no.such.host.invalid:1/path?query")


@pytest.mark.asyncio
async def test_the_session_is_taken_at_the_call(ahand):
    """S4-15, S4-16: the call takes the session, entering uses its step connect."""
    first, second = ahand.session("connect", "close"), ahand.session("connect", "close")
    with ahand.verifier.sandbox():
        one = websockets.connect(URI)
        other = websockets.connect(URI + "/other")
        assert (first.dialled, second.dialled) == (URI, URI + "/other")
        assert first.state is second.state is State.CONNECTING
        async with other:
            assert (first.state, second.state) == (State.CONNECTING, State.OPEN)
        async with one:
            assert (first.state, second.state) == (State.OPEN, State.CLOSED)
    with ahand.verifier.in_any_order():
        ahand.mock.assert_connect(uri=URI)
        ahand.mock.assert_connect(uri=URI + "/other")
        ahand.mock.assert_close()
        ahand.mock.assert_close()
    ahand.verifier.verify_all()


@pytest.mark.asyncio
@pytest.mark.parametrize("explicit", [True, False])
async def test_leaving_closes(ahand, explicit):
    """S4-17: and is skipped after an explicit close."""
    ahand.session("connect", "close")
    with ahand.verifier.sandbox():
        async with websockets.connect(URI) as ws:
            if explicit:
                await ws.close()
    ahand.mock.assert_connect(uri=URI)
    ahand.mock.assert_close()
    ahand.verifier.verify_all()


def test_sessions_in_order_of_registration(hand):
    """S4-18."""
    for name in ("first", "second"):
        hand.mock.new_session().expect("connect", returns=None).expect("recv", returns=name)
    with hand.verifier.sandbox():
        one, other = hand.client(), hand.client()
        assert (other.recv(), one.recv()) == ("second", "first")


def test_a_blocking_connection_is_open_at_once(hand):
    """S4-19."""
    session = hand.session("connect", "send", "recv", "close")
    with hand.verifier.sandbox():
        client = hand.client()
        assert session.state is State.OPEN
        client.send("hi")
        assert client.recv() == "x"
        client.close()
        assert session.state is State.CLOSED


def test_the_assertions(hand):
    """S4-20: keyword-only; assert_close takes no field."""
    hand.session("connect", "send", "recv", "close")
    with hand.verifier.sandbox():
        client = hand.client()
        client.send("hi")
        client.recv()
        client.close()
    with pytest.raises(TypeError):
        hand.mock.assert_connect(URI)
    hand.mock.assert_connect(uri=URI)
    with pytest.raises(TypeError):
        hand.mock.assert_send("hi")
    hand.mock.assert_send(message="hi")
    hand.mock.assert_recv(message="x")
    with pytest.raises(WrongType, match=r"assert_close\(\) has no field 'message'; write assert_close\(\)"):
        hand.mock.assert_close(message="x")
    hand.mock.assert_close()
    hand.verifier.verify_all()


def test_assertions_over_all_sessions(hand):
    """S4-21, S4-22: one interaction each, in the order in which they happened."""
    hand.session("connect", "send")
    hand.session("connect", "send")
    with hand.verifier.sandbox():
        one, other = hand.client(), hand.client()
        other.send("from the other")
        one.send(b"from one")
    hand.mock.assert_connect(uri=URI)
    hand.mock.assert_connect(uri=URI)
    with pytest.raises(InteractionMismatchError, match="the message was 'from the other'"):
        hand.mock.assert_send(message=b"from one")
    hand.mock.assert_send(message="from the other")
    with pytest.raises(InteractionMismatchError, match="the message was b'from one'"):
        hand.mock.assert_send(message="from one")
    hand.mock.assert_send(message=b"from one")
    hand.verifier.verify_all()


def test_an_interaction_never_asserted(hand):
    """S4-26: the error has the line to paste."""
    hand.session("connect", "send")
    with hand.verifier.sandbox():
        hand.client().send("it's")
    hand.mock.assert_connect(uri=URI)
    with pytest.raises(UnassertedInteractionsError, match="1 interaction was not asserted") as caught:
        hand.verifier.verify_all()
    assert '\n    mock.assert_send(message="it\'s")' in str(caught.value)


def test_both_faults_together(hand):
    """S4-26."""
    hand.session("connect", "send", "close")
    with hand.verifier.sandbox():
        hand.client().send("hi")
    with pytest.raises(VerificationError) as caught:
        hand.verifier.verify_all()
    assert type(caught.value) is VerificationError
    text = str(caught.value)
    assert "1 required step was not used" in text
    assert ".expect('close', returns=None)  # test_004.py:" in text
    assert f"mock.assert_connect(uri='{URI}')" in text
    assert "mock.assert_send(message='hi')" in text


def test_a_wrong_assertion_names_the_next_interaction(hand):
    """S4-27."""
    hand.session("connect", "send")
    with hand.verifier.sandbox():
        hand.client().send("hi")
    with pytest.raises(InteractionMismatchError) as caught:
        hand.mock.assert_recv(message="hi")
    assert f"mock.assert_connect(uri='{URI}')" in str(caught.value)
    with pytest.raises(MissingAssertionFieldsError, match=r"assert_connect\(\) leaves out uri="):
        hand.mock.assert_connect()
    hand.mock.assert_connect(uri=URI)
    with pytest.raises(MissingAssertionFieldsError, match=r"write mock.assert_send\(message='hi'\)"):
        hand.mock.assert_send()
    hand.mock.assert_send(message="hi")
    with pytest.raises(InteractionMismatchError, match="all that happened has been asserted"):
        hand.mock.assert_send(message="hi")


def test_an_assertion_inside_the_block(hand):
    """S4-27."""
    hand.session("connect")
    with hand.verifier.sandbox():
        hand.client()
        with pytest.raises(AssertionInsideSandboxError, match="write it behind the block"):
            hand.mock.assert_connect(uri=URI)
    hand.mock.assert_connect(uri=URI)


def test_a_connection_that_nobody_scripted(hand):
    """S4-28."""
    with pytest.raises(UnmockedInteractionError) as caught, hand.verifier.sandbox():
        hand.client("ws://nobody.invalid/feed")
    text = str(caught.value)
    assert "connect('ws://nobody.invalid/feed') was not scripted: no session is left for it" in text
    assert 'mock.new_session().expect("connect", returns=None)' in text


def test_a_call_past_the_end_of_the_script(hand):
    """S4-28."""
    hand.session("connect")
    with pytest.raises(UnmockedInteractionError) as caught, hand.verifier.sandbox():
        hand.client().send("hi")
    text = str(caught.value)
    assert "send('hi') was not scripted: the session has no step left" in text
    assert ".expect('send', returns=None)" in text


@pytest.mark.asyncio
async def test_a_call_in_the_wrong_state(hand, ahand):
    """S4-28: and what is raised is the library's own exception as well."""
    hand.session("connect", "close")
    ahand.session("connect", "close")
    with hand.verifier.sandbox(), ahand.verifier.sandbox():
        client = hand.client()
        client.close()
        with pytest.raises(InvalidStateError, match="'send' called in state 'closed'; valid from: 'open'"):
            client.send("hi")
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            client.recv()
        async with websockets.connect(URI) as ws:
            await ws.close()
            with pytest.raises(InvalidStateError, match="'send' called in state 'closed'; valid from: 'open'"):
                await ws.send("hi")
            with pytest.raises(websockets.ConnectionClosedOK, match="'recv' called in state 'closed'"):
                await ws.recv()


def test_matchers_as_expected_values(hand):
    """S4-29: dirty-equals, and our own."""
    hand.session("connect", "send", "send", "send")
    with hand.verifier.sandbox():
        client = hand.client()
        client.send('{"op": "subscribe"}')
        client.send("hello")
        client.send("there")
    hand.mock.assert_connect(uri=IsStr(regex="ws://.*"))
    hand.mock.assert_send(message=IsJson({"op": "subscribe"}))
    with pytest.raises(InteractionMismatchError, match="the message was 'hello'"):
        hand.mock.assert_send(message=IsStr(max_length=3))
    hand.mock.assert_send(message=farend.regex("h.*o"))
    hand.mock.assert_send(message=lambda message: message.startswith("t"))
    hand.verifier.verify_all()


def test_in_any_order(hand):
    """S4-29."""
    hand.session("connect", "send", "send", "close")
    with hand.verifier.sandbox():
        client = hand.client()
        client.send("one")
        client.send("two")
        client.close()
    hand.mock.assert_connect(uri=URI)
    with hand.verifier.in_any_order():
        hand.mock.assert_send(message="two")
        with pytest.raises(InteractionMismatchError, match="no interaction that is left is so"):
            hand.mock.assert_send(message="two")
        hand.mock.assert_send(message="one")
    hand.mock.assert_close()
    hand.verifier.verify_all()


def test_a_call_that_is_not_the_next_step(hand):
    """S4-30: a scripted recv is no answer to a send."""
    hand.session("connect", "recv")
    with pytest.raises(UnmockedInteractionError) as caught, hand.verifier.sandbox():
        hand.client().send("hi")
    assert r"the next step is .expect('recv', returns='x')" in str(caught.value)


def test_steps_left_after_close(hand):
    """S4-30."""
    hand.session("connect", "recv", "close", "recv")
    with hand.verifier.sandbox():
        hand.client().close()
    hand.mock.assert_connect(uri=URI)
    hand.mock.assert_close()
    with pytest.raises(UnusedMocksError, match="2 required steps were not used: the connection was closed before"):
        hand.verifier.verify_all()


@pytest.mark.asyncio
async def test_steps_of_a_connection_never_entered(ahand):
    """S4-30."""
    ahand.session("connect", "recv")
    with ahand.verifier.sandbox():
        websockets.connect(URI)
    with pytest.raises(UnusedMocksError, match=r"connect\(\) was called, and nobody entered the connection"):
        ahand.verifier.verify_all()


def test_steps_of_a_session_never_dialled(hand):
    """S4-30, S4-9."""
    hand.session("connect", "recv")
    with hand.verifier.sandbox():
        pass
    with pytest.raises(UnusedMocksError, match="nobody connected to the session"):
        hand.verifier.verify_all()


def test_the_module_is_the_block_in_async_tests_too(hand):
    """S4-11, S4-12: and for a library that was imported before."""
    farend.async_websocket_mock.new_session().expect("connect", returns=None).expect("close", returns=None)

    async def client():
        with farend as entered:
            assert entered is farend
            async with websockets.connect(URI):
                pass

    asyncio.run(client())
    farend.async_websocket_mock.assert_connect(uri=URI)
    farend.async_websocket_mock.assert_close()
