"""What is easily written wrong around the mocks and reroute: each gets a sentence that puts it right."""

from __future__ import annotations

import asyncio
import inspect
import socket

import pytest
import websocket
import websockets.asyncio.client

import farend
from farend import (
    Failure,
    InteractionMismatchError,
    InvalidArguments,
    MissingAttribute,
    Script,
    StrictVerifier,
    SyncWebSocketPlugin,
    TcpServer,
    UnmockedInteractionError,
    WebSocketServer,
    WrongState,
    WrongType,
)

URI = "ws://chat.example.com/ws"


def mocked(verifier: StrictVerifier | None = None) -> SyncWebSocketPlugin:
    return SyncWebSocketPlugin(verifier or StrictVerifier(), name="mock")


def session():
    return mocked().new_session()


def in_async_block(block):
    async def enter():
        async with block:
            pass

    asyncio.run(enter())


def in_block(block):
    with block:
        pass


@pytest.mark.parametrize(
    ("write", "error", "sentence"),
    [
        (lambda: session().expect("send", message="x"), WrongType, r"behind the block assert_send\(message='x'\)"),
        (lambda: session().expect("send", "x"), WrongType, r"write .expect\('send', returns=None\)"),
        (lambda: session().expect("send", message="x", returns=None), WrongType, "not told what the near end says"),
        (lambda: session().expect("connect", uri=URI), WrongType, r"assert_connect\(uri='ws://chat"),
        (lambda: session().expect("connect", URI), WrongType, r"assert_connect\(uri='ws://chat"),
        (lambda: session().expect("close", "bye"), WrongType, r"assert_close\(\)"),
        (lambda: session().expect("recv", "x"), WrongType, "write returns='x'"),
        (lambda: session().expect("recv", message="x"), WrongType, "write returns='x'"),
        (lambda: session().expect("send", uri="x"), WrongType, r"assert_send\(message='x'\)"),
        (
            lambda: session().expect("recv", return_value="x"),
            WrongType,
            r"takes no return_value=; did you mean returns=",
        ),
        (lambda: session().expect("send", side_effect=OSError()), WrongType, "did you mean raises="),
        (
            lambda: session().expect("send", returns=None, requird=False),
            WrongType,
            r"requird=; did you mean required=\?",
        ),
        (lambda: session().expect("send", returns=None, zzz=1), WrongType, r"expect\(\) takes no zzz=$"),
        (lambda: mocked().expect("connect", returns=None), MissingAttribute, r"write mock\.new_session\(\)\.expect"),
        (
            lambda: mocked().assert_recieve(message="x"),
            MissingAttribute,
            r"has no 'assert_recieve': write mock\.assert_recv",
        ),
        (lambda: mocked().assert_sent(message="x"), MissingAttribute, r"write mock\.assert_send"),
        (lambda: mocked().assert_send("x"), WrongType, r"write assert_send\(message='x'\)"),
        (lambda: mocked().assert_recv("x"), WrongType, r"write assert_recv\(message='x'\)"),
        (lambda: mocked().assert_connect(URI), WrongType, r"write assert_connect\(uri="),
        (lambda: mocked().assert_close(1000), WrongType, r"assert_close\(\) takes nothing, and was given 1000"),
        (lambda: mocked().new_session(URI), WrongType, r"write new_session\(uri="),
        (lambda: mocked().new_session(url=URI), WrongType, r"takes no url=; did you mean uri=\?"),
        (lambda: mocked().new_session(x=1), WrongType, "takes no x=; it takes uri=…, subprotocol=…, headers=…"),
        (lambda: mocked().play(Script(), url=URI), WrongType, "did you mean uri="),
        (lambda: in_block(farend.in_any_order), WrongType, r"write `with farend.in_any_order\(\):`"),
        (lambda: in_block(farend.sandbox), WrongType, r"write `with farend.sandbox\(\):`"),
        (lambda: in_block(mocked().in_any_order), WrongType, r"in_any_order\(\):`"),
        (lambda: in_block(StrictVerifier().sandbox), WrongType, r"sandbox\(\):`"),
        (lambda: in_async_block(farend.sandbox), WrongType, r"sandbox\(\):`"),
        (lambda: in_async_block(farend), WrongType, "plain `with`, in async tests as well: write `with farend:`"),
        (lambda: in_async_block(StrictVerifier().sandbox()), WrongType, r"write `with verifier.sandbox\(\):`"),
        (lambda: in_async_block(mocked()), WrongState, "with farend:"),
        (lambda: farend.reroute("ws://a.example", TcpServer()), WrongType, r"write reroute\(\{'ws://a.example': …\}\)"),
        (lambda: farend.reroute({}, strikt=True), WrongType, r"takes no strikt=; did you mean strict=\?"),
    ],
)
def test_it_is_told_what_to_write(write, error, sentence):
    with pytest.raises(error, match=sentence):
        write()


def test_misspelt_names_are_not_there():
    mock = mocked()
    assert not hasattr(mock, "assert_recieve")
    assert not hasattr(mock, "anything_else")


def test_a_function_that_gives_a_block_is_still_that_function():
    assert inspect.signature(farend.sandbox).parameters.keys() == {"allow"}
    assert StrictVerifier.in_any_order.__name__ == "in_any_order"
    with StrictVerifier().in_any_order():
        pass


def test_a_session_has_one_connect():
    with pytest.raises(InvalidArguments, match=r"script another connection with another mock\.new_session"):
        session().expect("connect", returns=None).expect("connect", returns=None)
    with pytest.raises(InvalidArguments, match="connect is its first step"):
        session().expect("send", returns=None).expect("connect", returns=None)


# -- assertions -------------------------------------------------------------------------------------


def said(message="hello"):
    """A mock with which one message was sent."""
    verifier = StrictVerifier()
    mock = mocked(verifier)
    mock.new_session().expect("connect", returns=None).expect("send", returns=None).expect("close", returns=None)
    with verifier.sandbox():
        client = websocket.create_connection(URI)
        client.send(message)
        client.close()
    mock.assert_connect(uri=URI)
    return mock


@pytest.mark.parametrize(
    ("message", "expected", "sentence"),
    [
        ("hello", lambda text: text["op"], "cannot say: it raised TypeError"),
        ("hello", farend.where(lambda text: 1 / 0, "broken"), "where broken cannot say: it raised ZeroDivisionError"),
        ("say hello!", farend.regex("hello"), "must match all of it"),
        ('{"a": 1}', farend.json('{"a": 1}'), r"json= takes the value"),
        ("hello", "hallo", "the message was 'hello'"),
    ],
)
def test_a_matcher_that_does_not_match_says_why(message, expected, sentence):
    mock = said(message)
    with pytest.raises(InteractionMismatchError) as caught:
        mock.assert_send(message=expected)
    assert farend.regex(f"(?s).*{sentence}.*").difference(" ".join(str(caught.value).split())) is None


def test_what_a_script_answers_is_not_asserted():
    verifier = StrictVerifier()
    mock = mocked(verifier)
    mock.play(Script().expect("hello").send("there"))
    with verifier.sandbox():
        client = websocket.create_connection(URI)
        client.send("hello")
        assert client.recv() == "there"
        client.close()
    with pytest.raises(InteractionMismatchError, match=r"what play\(\) answers is asserted by its script"):
        mock.assert_connect(uri=URI)


def test_a_session_on_the_other_mock_is_pointed_out():
    verifier = StrictVerifier()
    sync = SyncWebSocketPlugin(verifier, name="sync_mock")
    farend.AsyncWebSocketPlugin(verifier, name="async_mock")
    sync.new_session().expect("connect", returns=None)

    async def dial():
        await websockets.asyncio.client.connect(URI)

    with pytest.raises(
        UnmockedInteractionError, match="the one of sync_mock is for websocket-client, and this is websockets"
    ):
        with verifier.sandbox():
            asyncio.run(dial())


# -- reroute ----------------------------------------------------------------------------------------


def test_two_paths_of_a_host_may_have_one_far_end():
    scripts = {"/feed": Script().send("price"), "/trades": Script().send("trade")}
    with WebSocketServer(scripts) as server:
        listed = {"ws://api.example/feed": server, "ws://api.example/trades": server}
        with farend.reroute(listed):
            for path, message in (("feed", "price"), ("trades", "trade")):
                client = websocket.create_connection(f"ws://api.example/{path}")
                assert client.recv() == message
                client.close()
    with WebSocketServer() as one, WebSocketServer() as other:
        with pytest.raises(InvalidArguments, match="are one address"):
            farend.reroute({"ws://api.example/feed": one, "ws://api.example/trades": other})
        with pytest.raises(InvalidArguments, match="are one address"):
            farend.reroute({"ws://api.example:81/feed": one, "wss://api.example:81/trades": one})


@pytest.mark.parametrize("spelled", [lambda server: server.url, lambda server: (server.host, server.port)])
def test_the_address_of_a_far_end_is_as_good_as_the_far_end(spelled):
    """TLS is added to it as well."""
    with WebSocketServer(Script().send("price")) as server, farend.reroute({"wss://api.example/feed": spelled(server)}):
        client = websocket.create_connection("wss://api.example/feed")
        assert client.recv() == "price"
        client.close()


def test_what_was_dialled_and_not_rerouted_is_told_beside_the_tests_own_failure():
    with TcpServer() as server, pytest.raises(OSError) as caught, farend.reroute({("a.invalid", 80): server}):
        socket.create_connection(("b.invalid", 443))
    assert caught.value.__notes__ == [
        "farend: while a.invalid:80 was rerouted, b.invalid:443 was dialled, and not rerouted."
    ]


def test_what_was_dialled_and_not_rerouted_is_told_where_nobody_came():
    with pytest.raises(Failure, match="Nobody connected") as caught:
        with TcpServer(Script().send("x"), deadline=0.1) as server, farend.reroute({("a.invalid", 80): server}):
            for name in "bcdefgh":
                with pytest.raises(OSError):
                    socket.create_connection((f"{name}.invalid", 443))
    [note] = caught.value.__notes__
    assert note.endswith(
        "b.invalid:443, c.invalid:443, d.invalid:443, e.invalid:443, f.invalid:443 and 2 more was dialled, "
        "and not rerouted."
    )


# -- both blocks ------------------------------------------------------------------------------------


def test_the_guard_stands_before_reroute_and_lets_through_what_it_is_told():
    with WebSocketServer(Script().send("price")) as server, farend.reroute({"ws://api.example/feed": server}):
        with StrictVerifier().sandbox(allow=["api.example"]):
            client = websocket.create_connection("ws://api.example/feed")
            assert client.recv() == "price"
            client.close()
        verifier = StrictVerifier()
        with pytest.raises(UnmockedInteractionError, match="was not scripted"), verifier.sandbox():
            websocket.create_connection("ws://api.example/feed")
