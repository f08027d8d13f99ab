"""The examples of docs/mocks.md."""

from __future__ import annotations

import asyncio

import pytest

import farend
from farend import Script, UnmockedInteractionError, WebSocketServer


def chat_client(uri, messages):
    import websocket

    ws = websocket.create_connection(uri)
    answers = []
    for message in messages:
        ws.send(message)
        answers.append(ws.recv())
    ws.close()
    return answers


async def first_price(uri):
    import websockets

    async with websockets.connect(uri) as ws:
        await ws.send('{"op": "subscribe"}')
        return await ws.recv()


# [sync]
import farend


def test_the_chat_client():
    session = farend.sync_websocket_mock.new_session()
    session.expect("connect", returns=None)
    session.expect("send", returns=None)
    session.expect("recv", returns="echo: hello")
    session.expect("close", returns=None)

    with farend:
        assert chat_client("ws://chat.example.com/ws", ["hello"]) == ["echo: hello"]

    farend.sync_websocket_mock.assert_connect(uri="ws://chat.example.com/ws")
    farend.sync_websocket_mock.assert_send(message="hello")
    farend.sync_websocket_mock.assert_recv(message="echo: hello")
    farend.sync_websocket_mock.assert_close()


# [/sync]


# [async]
@pytest.mark.asyncio
async def test_the_price():
    mock = farend.async_websocket_mock
    mock.new_session().expect("connect", returns=None).expect("send", returns=None).expect(
        "recv", returns="100.5"
    ).expect("close", returns=None)

    with farend:
        assert await first_price("wss://exchange.example.com/feed") == "100.5"

    mock.assert_connect(uri="wss://exchange.example.com/feed")
    mock.assert_send(message=farend.json({"op": "subscribe"}))
    mock.assert_recv(message="100.5")
    mock.assert_close()


# [/async]


@pytest.mark.asyncio
async def test_script():
    # [script]
    script = Script().expect(json={"op": "subscribe"}).send("100.5").expect_close(1000)
    farend.async_websocket_mock.play(script)
    with farend:
        assert await first_price("wss://exchange.example.com/feed") == "100.5"
    # [/script]


def test_uris():
    # [uris]
    mock = farend.sync_websocket_mock
    for name in ("a", "b"):
        session = mock.new_session(uri=farend.regex(f"wss://{name}.example.com/.*"))
        session.expect("connect", returns=None).expect("send", returns=None)
        session.expect("recv", returns=f"from {name}").expect("close", returns=None)
    with farend:
        assert chat_client("wss://b.example.com/feed", ["hello"]) == ["from b"]
        assert chat_client("wss://a.example.com/feed", ["hello"]) == ["from a"]
    # [/uris]
    with farend.in_any_order():
        for name in ("a", "b"):
            mock.assert_connect(uri=f"wss://{name}.example.com/feed")
            mock.assert_send(message="hello")
            mock.assert_recv(message=f"from {name}")
            mock.assert_close()


def test_raises():
    # [raises]
    mock = farend.sync_websocket_mock
    mock.new_session().expect("connect", returns=None, raises=ConnectionRefusedError("maintenance"))
    with farend, pytest.raises(ConnectionRefusedError):
        chat_client("ws://chat.example.com/ws", ["hello"])
    mock.assert_connect(uri="ws://chat.example.com/ws", raises=ConnectionRefusedError)
    # [/raises]


@pytest.mark.asyncio
async def test_far_end_closes():
    # [closes]
    import websockets
    from websockets.frames import Close

    bye = Close(1001, "maintenance")
    session = farend.async_websocket_mock.new_session().expect("connect", returns=None)
    session.expect("recv", returns="tick")
    session.expect("recv", returns=None, raises=websockets.ConnectionClosedOK(bye, bye, True))

    with farend:
        async with websockets.connect("wss://exchange.example.com/feed") as ws:
            assert [message async for message in ws] == ["tick"]
            assert ws.close_code == 1001
    # [/closes]
    farend.async_websocket_mock.assert_connect(uri="wss://exchange.example.com/feed")
    farend.async_websocket_mock.assert_recv(message="tick")
    farend.async_websocket_mock.assert_recv(raises=websockets.ConnectionClosedOK)


def test_any_order():
    mock = farend.sync_websocket_mock
    mock.new_session().expect("connect", returns=None).expect("close", returns=None)
    with farend:
        chat_client("ws://chat.example.com/ws", [])
    # [order]
    with farend.in_any_order():
        mock.assert_close()
        mock.assert_connect(uri=farend.regex("ws://chat.*"))
    # [/order]


def test_allow():
    with WebSocketServer(Script().expect("hello").send("there").expect_close()) as server:
        # [allow]
        with farend.sandbox(allow=["127.0.0.1", "wss://metrics.example.com/push"]):
            assert chat_client(server.url, ["hello"]) == ["there"]  # a real server

        with (
            pytest.raises(UnmockedInteractionError, match="connect.'ws://chat.example.com/ws'. was not scripted"),
            farend,
        ):
            chat_client("ws://chat.example.com/ws", ["hello"])
        # [/allow]


def test_by_hand():
    # [hand]
    from farend import AsyncWebSocketPlugin, StrictVerifier

    verifier = StrictVerifier()
    mock = AsyncWebSocketPlugin(verifier)
    mock.new_session().expect("connect", returns=None).expect("send", returns=None).expect(
        "recv", returns="100.5"
    ).expect("close", returns=None)
    with verifier.sandbox():
        assert asyncio.run(first_price("wss://exchange.example.com/feed")) == "100.5"
    mock.assert_connect(uri="wss://exchange.example.com/feed")
    mock.assert_send(message='{"op": "subscribe"}')
    mock.assert_recv(message="100.5")
    mock.assert_close()
    verifier.verify_all()
    # [/hand]


def test_unittest():
    # [unittest]
    import unittest

    class ATest(unittest.TestCase):
        def setUp(self):
            self.addCleanup(farend.verify_mocks)

        def test_nothing_is_said(self):
            farend.sync_websocket_mock.new_session().expect("connect", returns=None).expect("close", returns=None)
            with farend:
                assert chat_client("ws://chat.example.com/ws", []) == []
            farend.sync_websocket_mock.assert_connect(uri="ws://chat.example.com/ws")
            farend.sync_websocket_mock.assert_close()

    # [/unittest]

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(ATest).run(result)
    assert result.wasSuccessful(), result.errors
