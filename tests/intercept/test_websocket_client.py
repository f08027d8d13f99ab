"""The doubles of websocket-client: `create_connection`, `WebSocket`, `WebSocketApp`."""

from __future__ import annotations

import gc
import inspect
import select
import struct
import threading

import pytest
import websocket
from dirty_equals import IsOneOf
from websocket import (
    ABNF,
    WebSocket,
    WebSocketApp,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketTimeoutException,
    create_connection,  # before any block, by its name
)

from farend import Failure, Ping, Pong, Script, TcpServer, UnmockedInteractionError, WebSocketServer, WrongState
from farend.intercept.websocket_client import MockedWebSocket
from farend.stage.settings import settings

URI = "ws://far-end.invalid:8765/feed"

# -- the surface ------------------------------------------------------------------------------------

MOCKED = {
    "abort", "close", "connect", "fileno", "gettimeout", "is_ssl", "recv", "recv_data_frame", "recv_frame", "send",
    "send_close", "send_frame", "settimeout", "shutdown", "timeout",
}  # fmt: skip
INHERITED = {
    "__init__", "__iter__", "__next__", "getheaders", "getstatus", "getsubprotocol", "headers", "next", "ping", "pong",
    "recv_data", "send_binary", "send_bytes", "send_text", "set_mask_key", "status", "subprotocol",
}  # fmt: skip
PROTOCOLS = {"__init__", "__iter__", "__next__", "__enter__", "__exit__"}


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_") or name in PROTOCOLS}


def test_everything_public_is_accounted_for():
    """A new release of the library that offers more shows at once."""
    assert public(WebSocket) <= MOCKED | INHERITED
    assert public(MockedWebSocket) == public(WebSocket) | {"sock"}


@pytest.mark.parametrize("name", sorted(public(WebSocket)))
def test_signatures_are_the_librarys(name):
    real, double = getattr(WebSocket, name), getattr(MockedWebSocket, name)
    if not callable(real):
        assert isinstance(double, property)
        return
    parameters = [
        [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]
        for of in (real, double)
    ]
    assert parameters[0] == parameters[1]


def test_what_the_app_asks_of_a_socket():
    """`WebSocketApp` is the library's own: these are the names that it uses of its `WebSocket`."""
    asked = {"connect", "recv_data_frame", "close", "shutdown", "ping", "send", "settimeout"}
    source = inspect.getsource(WebSocketApp)
    assert all(f"sock.{name}(" in source for name in asked)
    assert asked <= public(MockedWebSocket)


def test_attributes(hand):
    hand.sync.new_session(headers={"X-Server": "far"}).expect("connect", returns=None)
    with hand.sandbox():
        ws = create_connection(URI, timeout=3, subprotocols=["chat", "superchat"], header={"X-Token": "secret"})
        assert isinstance(ws, WebSocket)
        assert ws.connected
        assert (ws.status, ws.getstatus()) == (101, 101)
        assert ws.subprotocol == ws.getsubprotocol() == "chat"  # which this library insists on
        assert ws.headers["x-server"] == ws.getheaders()["x-server"] == "far"
        assert ws.timeout == ws.gettimeout() == 3
        ws.settimeout(5)
        assert ws.timeout == 5
        ws.timeout = None
        assert ws.gettimeout() is None
        ws.set_mask_key(lambda size: b"\0" * size)
        assert not ws.is_ssl()
        for private in (lambda: ws._send(b"x"), lambda: ws._recv(1)):
            with pytest.raises(WrongState, match="a mocked WebSocket has no socket"):
                private()
    [session] = hand.verifier.sessions
    assert session.transcript.handshake.path == "/feed"
    assert session.transcript.handshake.headers["x-token"] == "secret"
    assert session.transcript.handshake.headers["host"] == "far-end.invalid:8765"


def test_over_tls(hand):
    hand.script(hand.sync)
    with hand.sandbox():
        assert create_connection("wss://far-end.invalid/").is_ssl()


# -- every way to it --------------------------------------------------------------------------------


def by_attribute():
    return websocket.create_connection(URI)


def by_an_earlier_import():
    return create_connection(URI)


def by_the_class():
    ws = WebSocket()
    ws.connect(URI)
    return ws


def by_a_subclass():
    class Mine(WebSocket):
        def recv(self):
            return super().recv()

    return create_connection(URI, class_=Mine)


def without_locks():
    return create_connection(URI, enable_multithread=False)


@pytest.mark.parametrize("way", [by_attribute, by_an_earlier_import, by_the_class, by_a_subclass, without_locks])
def test_however_it_was_imported(hand, way):
    hand.script(hand.sync, "<hello", "x")
    with hand.sandbox():
        ws = way()
        assert ws.recv() == "hello"
        ws.close()
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_recv(message="hello")
    hand.sync.assert_close()
    hand.verifier.verify_all()


def test_an_object_made_before_the_block(hand):
    hand.script(hand.sync, "<hello")
    ws = WebSocket()
    with hand.sandbox():
        ws.connect(URI)
        assert ws.recv() == "hello"


def test_connecting_again_and_then_for_real(hand):
    hand.script(hand.sync, "<one", "x")
    hand.script(hand.sync, "<two")
    ws = WebSocket()
    with hand.sandbox():
        ws.connect(URI)
        assert ws.sock is not None
        assert ws.recv() == "one"
        ws.close()
        ws.connect(URI)
        assert ws.recv() == "two"
    assert type(ws) is not WebSocket
    with WebSocketServer(Script().send("three").expect_close(1000)) as server:
        ws.connect(server.url)
        assert type(ws) is WebSocket
        assert ws.recv() == "three"
        ws.close()


@pytest.mark.parametrize("uri", ["http://far-end.invalid/", "far-end", "ws://", ""])
def test_a_uri_that_the_library_refuses(hand, uri):
    session = hand.script(hand.sync)
    with hand.sandbox():
        with pytest.raises(ValueError, match="invalid"):
            create_connection(uri)
    assert session.dialled is None


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), ("5", TypeError)])
def test_a_timeout_that_a_socket_refuses(hand, timeout, error):
    hand.script(hand.sync)
    with hand.sandbox():
        with pytest.raises(error):
            create_connection(URI, timeout=timeout)


def test_a_connect_that_raises(hand):
    hand.sync.new_session().expect("connect", returns=None, raises=ConnectionRefusedError("no"))
    with hand.sandbox():
        with pytest.raises(ConnectionRefusedError):
            create_connection(URI)
    hand.sync.assert_connect(uri=URI, raises=ConnectionRefusedError)
    hand.verifier.verify_all()


def test_a_subprotocol_that_nobody_asked_for(hand):
    hand.sync.new_session(subprotocol="chat").expect("connect", returns=None)
    with hand.sandbox():
        with pytest.raises(WebSocketException, match="Invalid WebSocket Header"):
            create_connection(URI, subprotocols=["superchat"])


# -- saying -----------------------------------------------------------------------------------------


def test_messages_of_every_kind(hand):
    session = hand.script(hand.sync, *">>>>>>>>", "x")
    with hand.sandbox():
        ws = create_connection(URI)
        assert ws.send("text") == len("text") + 6
        assert ws.send_text("é") == 2 + 6
        assert ws.send_bytes(bytearray(b"bytes")) == 5 + 6
        assert ws.send_binary(b"x" * 200) == 200 + 8
        assert ws.send("x" * 70_000) == 70_000 + 14
        assert ws.send(b"raw") == 3 + 6
        ws.send_frame(ABNF.create_frame("hel", ABNF.OPCODE_TEXT, 0))
        ws.send_frame(ABNF.create_frame(b"lo", ABNF.OPCODE_CONT, 1))
        ws.send_frame(ABNF.create_frame(b"whole", ABNF.OPCODE_BINARY))
        ws.close()
    heard = session.transcript.received
    assert heard == ["text", "é", b"bytes", b"x" * 200, "x" * 70_000, b"raw", b"hello", b"whole"]


def test_a_close_frame_is_a_close(hand):
    hand.script(hand.sync, "x")
    with hand.sandbox():
        ws = create_connection(URI)
        ws.send(b"", ABNF.OPCODE_CLOSE)
        assert not ws.connected
    assert str(hand.verifier.sessions[0].transcript[-1].payload) == "close frame 1005"


def test_pings(hand):
    session = hand.script(hand.sync)
    with hand.sandbox():
        ws = create_connection(URI)
        ws.ping()
        ws.ping("data")
        ws.pong(b"unasked")
    assert session.transcript.received == [Ping(), Ping(b"data"), Pong(b"unasked")]
    assert session.transcript.sent == [Pong(), Pong(b"data")]


def test_a_send_that_raises(hand):
    hand.script(hand.sync).expect("send", returns=None, raises=WebSocketConnectionClosedException("gone"))
    with hand.sandbox():
        ws = create_connection(URI)
        with pytest.raises(WebSocketConnectionClosedException, match="gone"):
            ws.send("hi")
        assert not ws.connected
        with pytest.raises(WebSocketConnectionClosedException):
            ws.send("hi")


# -- hearing ----------------------------------------------------------------------------------------


def test_hearing_in_every_way(hand):
    hand.script(hand.sync, "<one", b"two", "<three", b"four", "<five", "<six", "<seven")
    with hand.sandbox():
        ws = create_connection(URI)
        assert [ws.recv(), ws.recv()] == ["one", b"two"]
        assert ws.recv_data() == (ABNF.OPCODE_TEXT, b"three")
        opcode, frame = ws.recv_data_frame()
        assert (opcode, frame.opcode, frame.data, frame.fin) == (ABNF.OPCODE_BINARY, ABNF.OPCODE_BINARY, b"four", 1)
        assert ws.recv_frame().data == b"five"
        assert next(ws) == "six"
        assert next(iter(ws)) == "seven"


def test_a_timeout_is_waited_for(hand):
    hand.script(hand.sync, ">", "<answer")
    with hand.sandbox():
        ws = create_connection(URI, timeout=0.001)
        with pytest.raises(WebSocketTimeoutException):
            ws.recv()
        ws.settimeout(0)
        with pytest.raises(WebSocketTimeoutException):
            ws.recv()
        ws.send("question")
        assert ws.recv() == "answer"


def test_a_message_that_never_comes(hand, monkeypatch):
    monkeypatch.setattr(settings, "deadline", 0.01)
    hand.script(hand.sync, ">")
    with pytest.raises(UnmockedInteractionError, match=r"recv\(\) was not scripted: "), hand.sandbox():
        create_connection(URI).recv()


def test_a_reader_in_a_thread(hand):
    hand.script(hand.sync, ">", "<answer", "x")
    heard = []
    with hand.sandbox():
        ws = create_connection(URI)

        def listen():
            heard.append(ws.recv())
            with pytest.raises(WebSocketConnectionClosedException):
                ws.recv()

        reader = threading.Thread(target=listen)
        reader.start()
        ws.send("question")
        while not heard:
            reader.join(0.001)
        ws.close()
        reader.join()
    assert heard == ["answer"]


# -- the end ----------------------------------------------------------------------------------------


def test_after_the_end(hand):
    session = hand.script(hand.sync, "x")
    with hand.sandbox():
        ws = create_connection(URI)
        with pytest.raises(ValueError, match="invalid range"):
            ws.close(status=70_000)
        ws.close(1001, "bye")
        ws.close()
        assert not ws.connected
        assert ws.close_frame.data == struct.pack("!H", 1001) + b"bye"
        for call in (ws.recv, lambda: ws.send("hi"), ws.ping, ws.recv_data):
            with pytest.raises(WebSocketConnectionClosedException, match="called in state 'closed'"):
                call()
    assert str(session.transcript[-1].payload) == "close frame 1001 'bye'"


def test_a_close_frame_by_hand_is_answered(hand):
    hand.script(hand.sync, "x")
    with hand.sandbox():
        ws = create_connection(URI)
        with pytest.raises(ValueError, match="invalid range"):
            ws.send_close(-1)
        ws.send_close(1000, b"bye")
        assert ws.recv_data(control_frame=True) == (ABNF.OPCODE_CLOSE, struct.pack("!H", 1000) + b"bye")
        with pytest.raises(WebSocketConnectionClosedException):
            ws.recv()
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_close()
    hand.verifier.verify_all()


@pytest.mark.parametrize("how", ["shutdown", "abort"])
def test_leaving_without_a_farewell(hand, how):
    hand.script(hand.sync, "x")
    with hand.sandbox():
        ws = create_connection(URI)
        getattr(ws, how)()
        with pytest.raises(WebSocketConnectionClosedException):
            ws.recv()
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_close()
    hand.verifier.verify_all()


def test_a_recv_that_raises(hand):
    hand.script(hand.sync).expect("recv", returns=None, raises=WebSocketConnectionClosedException("gone"))
    with hand.sandbox():
        ws = create_connection(URI)
        with pytest.raises(WebSocketConnectionClosedException, match="gone"):
            ws.recv()
        assert not ws.connected
        assert ws.sock is None
        with pytest.raises(WebSocketException):
            ws.fileno()
        ws.close()


def test_an_unscripted_close(hand):
    hand.script(hand.sync)
    with pytest.raises(UnmockedInteractionError, match=r"close\(\) was not scripted"), hand.sandbox():
        create_connection(URI).close()


# -- a whole script ---------------------------------------------------------------------------------


def test_a_script_is_played(hand):
    hand.sync.play(Script().expect("hello").send("there").send(Ping(b"x")).expect("bye").close(1001, "gone"))
    with hand.sandbox():
        ws = create_connection(URI)
        ws.send("hello")
        assert ws.recv() == "there"
        ws.send(b"bye")  # as text, which is how this library sends bytes where nobody says otherwise
        assert ws.recv() == ""
        assert ws.close_frame.data == struct.pack("!H", 1001) + b"gone"
    hand.verifier.verify_all()


def test_a_script_that_pings(hand):
    hand.sync.play(Script().send(Ping(b"x")).expect(Pong(b"x")).expect(Pong(b"y")))
    with hand.sandbox():
        ws = create_connection(URI)
        ws.pong("y")
        assert ws.recv_data_frame(control_frame=True)[0] == ABNF.OPCODE_PING
        ws.close()
    hand.verifier.verify_all()


def test_a_script_that_aborts(hand):
    hand.sync.play(Script().expect("hi").abort())
    with hand.sandbox():
        ws = create_connection(URI)
        ws.send("hi")
        with pytest.raises(WebSocketConnectionClosedException, match="lost"):
            ws.send("again")
        with pytest.raises(WebSocketConnectionClosedException):
            ws.recv()


def test_hearing_of_an_abort(hand):
    hand.sync.play(Script().abort())
    with hand.sandbox():
        ws = create_connection(URI)
        with pytest.raises(WebSocketConnectionClosedException, match="lost"):
            ws.recv()


def test_a_script_that_refuses_the_handshake(hand):
    hand.sync.play(Script().expect_handshake("/other"))
    with hand.sandbox() as verifier:
        with pytest.raises(WebSocketBadStatusException) as caught:
            create_connection(URI)
        assert caught.value.status_code == 400
        assert [type(one).__name__ for one in verifier.played[0].new_findings()] == ["HandshakeMismatch"]


# -- WebSocketApp -----------------------------------------------------------------------------------


def app(*, uri=URI, told=None, **callbacks):
    """An application that writes down what it is told."""
    told = [] if told is None else told
    for name in ("open", "message", "error", "close", "ping"):
        callbacks.setdefault(f"on_{name}", lambda app, *args, name=name: told.append((name, *args)))
    return WebSocketApp(uri, **callbacks), told


@pytest.mark.parametrize("uri", [URI, "wss://far-end.invalid/"])
def test_an_app(hand, uri):
    hand.script(hand.sync, ">", "<one", b"two", "x")

    def heard(app, message):
        told.append(message)
        if message == b"two":
            app.close()

    client, told = app(uri=uri, on_open=lambda app: app.send("hello"), on_message=heard)
    with hand.sandbox():
        assert client.run_forever() is False
    assert told == ["one", b"two", ("close", IsOneOf(1000, None), None)]  # None up to release 1.8
    hand.sync.assert_connect(uri=uri)
    hand.sync.assert_send(message="hello")
    hand.sync.assert_recv(message="one")
    hand.sync.assert_recv(message=b"two")
    hand.sync.assert_close()
    hand.verifier.verify_all()


def test_an_app_in_a_thread(hand):
    hand.script(hand.sync, "<hello", ">", "x")
    heard = threading.Event()
    client, _ = app(on_message=lambda app, message: heard.set())
    with hand.sandbox():
        thread = threading.Thread(target=client.run_forever)
        thread.start()
        assert heard.wait(30)
        client.send("there")
        client.close()
        thread.join(30)
        assert not thread.is_alive()
    hand.sync.assert_connect(uri=URI)
    hand.sync.assert_recv(message="hello")
    hand.sync.assert_send(message="there")
    hand.sync.assert_close()
    hand.verifier.verify_all()


def test_an_app_whose_far_end_closes(hand):
    hand.sync.play(Script().expect("hello").send("there").close(1001, "bye"))
    client, told = app(on_open=lambda app: app.send("hello"))
    with hand.sandbox():
        client.run_forever()
    assert [one for one in told if one[0] != "error"] == [("message", "there"), ("close", 1001, "bye")]
    hand.verifier.verify_all()


def test_an_app_waits_for_a_pause(hand):
    hand.sync.play(Script().pause(0.01).send("late").close())
    client, told = app()
    with hand.sandbox():
        client.run_forever()
    assert ("message", "late") in told


def test_an_app_that_swallows_that_it_is_not_scripted(hand):
    client, told = app()
    with pytest.raises(UnmockedInteractionError, match="no session is left for it"), hand.sandbox():
        client.run_forever()
    assert isinstance(told[0][1], UnmockedInteractionError)


def test_an_app_that_would_wait_for_ever(hand, monkeypatch):
    monkeypatch.setattr(settings, "deadline", 0.02)
    hand.script(hand.sync)
    client, _ = app()
    with pytest.raises(UnmockedInteractionError, match=r"recv\(\) was not scripted"), hand.sandbox():
        client.run_forever()


def test_an_app_that_pings(hand):
    hand.sync.play(Script().send(Ping(b"x")).expect(Pong(b"x")).close())
    client, told = app()
    with hand.sandbox():
        client.run_forever()
    assert ("ping", b"x") in told
    hand.verifier.verify_all()


def test_an_app_reconnects(hand):
    hand.script(hand.sync).expect("recv", returns=None, raises=WebSocketConnectionClosedException("gone"))
    hand.script(hand.sync, "<hello", "x")
    client, told = app(on_message=lambda app, message: (told.append(message), app.close()))
    with hand.sandbox():
        client.run_forever(reconnect=0.001)
    assert "hello" in told


# -- for select -------------------------------------------------------------------------------------


def readable(ws):
    return bool(select.select([ws], [], [], 0)[0])


def test_a_socket_to_select_on(hand):
    session = hand.script(hand.sync, "<one", ">", "<two", "x")
    with hand.sandbox():
        ws = create_connection(URI)
        assert readable(ws)
        assert ws.recv() == "one"
        assert not readable(ws)
        ws.send("hi")
        assert readable(ws)
        assert ws.recv() == "two"
        assert not readable(ws)
        session.expect("recv", returns="three", required=False)
        assert not readable(ws)
        near = ws.sock
        ws.close()
        assert select.select([near], [], [], 0)[0]
        assert ws.sock is ws.sock
    hand.verifier.reset()
    assert near.fileno() == -1


def test_nothing_is_left_when_the_object_is_gone(hand):
    hand.script(hand.sync)
    with hand.sandbox():
        ws = create_connection(URI)
        near, thread = ws.sock, ws._pipe._thread
        assert thread.is_alive()
        del ws
        gc.collect()
        thread.join(30)
        assert not thread.is_alive()
        assert near.fileno() == -1


def test_the_network_is_still_there_for_others(hand):
    with hand.sandbox(), TcpServer(Script().expect(b"hi")) as server:
        import socket

        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"hi")


def test_a_mismatch_is_what_the_test_tells(hand):
    hand.sync.play(Script().expect("general").send("Kenobi"))
    with pytest.raises(Failure, match="Expected 'general', got 'admiral'"):
        with hand.sandbox():
            ws = create_connection(URI)
            ws.send("admiral")
            if ws.recv() == "":
                raise WebSocketConnectionClosedException("closed")


def test_an_app_that_reconnects_for_ever_ends_where_no_session_is_left(hand):
    """The library swallows whatever its connect raises, and dials again."""
    app = WebSocketApp("wss://a/")
    with pytest.raises(UnmockedInteractionError, match="no session is left for it"), hand.sandbox():
        app.run_forever(reconnect=1)
    hand.verifier.reset()


def test_an_app_that_reconnects_has_its_sessions_first(hand):
    for _ in range(2):
        hand.script(hand.sync, "<hi", "x")
    heard = []
    app = WebSocketApp("wss://a/", on_message=lambda app, text: (heard.append(text), app.sock.close()))
    with pytest.raises(UnmockedInteractionError, match="no session is left for it"), hand.sandbox():
        app.run_forever(reconnect=0.01)
    assert heard == ["hi", "hi"]
    hand.verifier.reset()
