"""The double of `websockets.sync.client.ClientConnection`, and what is patched for it."""

from __future__ import annotations

import inspect
import threading
import warnings

import pytest
import websockets.sync.client
from websockets.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidURI,
)
from websockets.frames import Close
from websockets.protocol import State
from websockets.sync.client import ClientConnection, unix_connect
from websockets.sync.client import connect as early  # before any block, by its name

from farend import Failure, Ping, Pong, Script, UnmockedInteractionError, WrongState
from farend.intercept.websockets_sync import MockedConnection, _by_code
from farend.stage.settings import settings

URI = "wss://far-end.invalid/feed"
HAS_RECONNECT = hasattr(websockets.sync.client, "reconnect")
LEGACY = {"legacy": True} if HAS_RECONNECT else {}
reconnects = pytest.mark.skipif(not HAS_RECONNECT, reason="this release of websockets has no reconnect")


def dial(uri=URI, **options):
    return early(uri, **LEGACY, **options)


# -- the surface ------------------------------------------------------------------------------------

MOCKED = {
    "__init__", "close", "local_address", "ping", "pong", "recv", "recv_streaming", "remote_address", "send",
    "wait_closed",
}  # fmt: skip
INHERITED = {
    "__enter__", "__exit__", "__iter__", "close_code", "close_exc", "close_reason", "maybe_raise_legacy_warning",
    "recv_bufsize", "state", "subprotocol",
}  # fmt: skip
REFUSED = {
    "acknowledge_pending_pings", "acknowledge_pings", "close_socket", "handshake", "keepalive", "process_event",
    "recv_events", "send_context",
    "send_data", "set_connection_exc", "set_recv_exc", "start_keepalive", "terminate_pending_pings",
}  # fmt: skip
PROTOCOLS = {"__enter__", "__exit__", "__iter__", "__init__"}


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_") or name in PROTOCOLS}


def test_everything_public_is_accounted_for():
    """A new release of the library that offers more shows at once."""
    assert public(ClientConnection) <= MOCKED | INHERITED | REFUSED
    assert public(MockedConnection) >= public(ClientConnection)


@pytest.mark.skipif(not HAS_RECONNECT, reason="the double has the signatures of the newest releases")
@pytest.mark.parametrize("name", sorted(public(ClientConnection) - {"__init__", "recv_bufsize"}))
def test_signatures_are_the_librarys(name):
    real, double = getattr(ClientConnection, name), getattr(MockedConnection, name)
    if not callable(real):
        assert isinstance(inspect.getattr_static(MockedConnection, name), property)
        return
    parameters = [
        [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]
        for of in (real, double)
    ]
    assert parameters[0] == parameters[1]


@pytest.mark.parametrize("name", sorted(REFUSED & public(ClientConnection)))
def test_what_moves_bytes_says_that_there_are_none(hand, name):
    hand.script(hand.sync)
    with hand.sandbox():
        client = dial()
        with pytest.raises(WrongState, match=rf"ClientConnection.{name}\(\) moves bytes"):
            getattr(client, name)()


def test_attributes(hand):
    hand.script(hand.sync, "x")
    with hand.sandbox():
        with early(URI, additional_headers={"X-Token": "secret"}, subprotocols=["chat"]) as client:
            assert isinstance(client, ClientConnection)
            assert client.request.headers["X-Token"] == "secret"
            assert client.response.status_code == 101
            assert client.remote_address == ("far-end.invalid", 443)
            assert client.local_address[0] == "127.0.0.1"
            assert client.state is State.OPEN
            assert client.subprotocol is None
            assert client.latency == 0.0
            assert client.id
            assert not client.wait_closed(0)
        assert client.state is State.CLOSED
        assert (client.close_code, client.close_reason) == (1000, "")
        assert client.wait_closed()


# -- every way to it --------------------------------------------------------------------------------


def by_attribute():
    return websockets.sync.client.connect(URI, **LEGACY)


def by_an_earlier_import():
    return early(URI, **LEGACY)


def by_keyword():
    return early(uri=URI, **LEGACY)


def by_reconnect():
    return websockets.sync.client.reconnect(URI).__enter__()


def by_the_future_connect():
    return early(URI, legacy=False).__enter__()


WAYS = [by_attribute, by_an_earlier_import, by_keyword]
WAYS += [by_reconnect, by_the_future_connect] if HAS_RECONNECT else []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("which", ["sync", "asynchronous"])
def test_however_it_was_imported_and_by_either_mock(hand, way, which):
    """The mock of blocking clients answers, and that of this library."""
    mock = getattr(hand, which)
    hand.script(mock, "<hello", "x")
    with hand.sandbox():
        client = way()
        assert client.recv() == "hello"
        client.close()
    mock.assert_connect(uri=URI)
    mock.assert_recv(message="hello")
    mock.assert_close()
    hand.verifier.verify_all()


def test_over_a_unix_socket(hand):
    hand.script(hand.sync)
    with hand.sandbox():
        unix_connect("/no/such/socket", **LEGACY)
    hand.sync.assert_connect(uri="ws://localhost/")


def test_in_threads(hand):
    for name in "abc":
        hand.sync.new_session(uri=f"ws://{name}.invalid/").expect("connect", returns=None).expect("recv", returns=name)
    heard = {}

    def client(name):
        heard[name] = dial(f"ws://{name}.invalid/").recv()

    with hand.sandbox():
        threads = [threading.Thread(target=client, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heard == {"a": "a", "b": "b", "c": "c"}


def test_a_users_own_connection_class(hand):
    class Shouting(ClientConnection):
        def recv(self, timeout=None, decode=None):
            return super().recv(timeout, decode).upper()

    hand.script(hand.sync, "<hello")
    with hand.sandbox():
        assert dial(create_connection=Shouting).recv() == "HELLO"


@pytest.mark.skipif(not HAS_RECONNECT, reason="this release of websockets does not warn")
def test_the_librarys_warning_is_given(hand):
    hand.script(hand.sync, ">", "x")
    with hand.sandbox():
        client = early(URI)
        with pytest.warns(DeprecationWarning, match="connect"):
            client.send("hi")
        with warnings.catch_warnings(action="error"):
            client.close()


# -- what the library refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "options", "error"),
    [
        ("http://far-end.invalid/", {}, InvalidURI),
        ("ws://far-end.invalid/", {"ssl": object()}, ValueError),
        (URI, {"compression": "zip"}, ValueError),
        (URI, {"subprotocols": "chat"}, TypeError),
    ],
)
def test_arguments_that_the_library_refuses(hand, uri, options, error):
    session = hand.script(hand.sync)
    with hand.sandbox(), pytest.raises(error):
        dial(uri, **options)
    assert session.dialled is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("extra_headers", r"no extra_headers=; did you mean additional_headers="), ("zzz", r"no zzz=$")],
)
def test_arguments_that_are_refused_where_the_library_hands_them_on(hand, name, sentence):
    """To `socket.create_connection`, which a mock never calls."""
    hand.script(hand.sync)
    with hand.sandbox(), pytest.raises(TypeError, match=sentence):
        early(URI, **{name: None})


def test_arguments_that_a_socket_takes(hand):
    hand.script(hand.sync, "x")
    with hand.sandbox(), early(URI, timeout=5, source_address=None, all_errors=True):
        pass


def test_no_arguments_at_all(hand):
    with hand.sandbox(), pytest.raises(TypeError):
        early()


# -- saying and hearing -----------------------------------------------------------------------------


def test_messages_of_every_kind(hand):
    session = hand.script(hand.sync, *">>>>>>>", "x")
    with hand.sandbox(), early(URI) as client:
        for message in ("text", b"bytes", bytearray(b"buffer"), ["hel", "lo"], (b"a", b"b")):
            client.send(message)
        client.send([])
        client.send("binary", text=False)
        client.send("text", text=True)
        for wrong in (5, {"a": 1}, [5]):
            with pytest.raises(TypeError):
                client.send(wrong)
    assert session.transcript.received == ["text", b"bytes", b"buffer", "hello", b"ab", b"binary", "text"]


def test_hearing(hand):
    hand.script(hand.sync, "<text", b"bytes", "<streamed").expect(
        "recv", returns=None, raises=ConnectionClosedOK(Close(1000, ""), Close(1000, ""), True)
    )
    with hand.sandbox(), early(URI) as client:
        assert client.recv(decode=False) == b"text"
        assert client.recv(None, True) == "bytes"
        assert list(client.recv_streaming()) == ["streamed"]
        assert list(client) == []


def test_a_send_that_raises(hand):
    hand.script(hand.sync).expect("send", returns=None, raises=ConnectionClosedError(None, None))
    with hand.sandbox():
        client = dial()
        with pytest.raises(ConnectionClosedError):
            client.send("hi")
        assert client.close_code == 1006


def test_pings(hand):
    session = hand.script(hand.sync, "x")
    with hand.sandbox():
        with early(URI) as client:
            assert client.ping().is_set()
            assert client.ping("x", **({"ack_on_close": True} if HAS_RECONNECT else {})).wait(0)
            client.pong()
        with pytest.raises(ConnectionClosed):
            client.pong()
    assert session.transcript.received == [Ping(), Ping(b"x"), Pong()]


# -- waiting ----------------------------------------------------------------------------------------


def test_a_timeout_is_waited_for(hand):
    hand.script(hand.sync, ">", "<answer")
    with hand.sandbox():
        client = dial()
        for timeout in (0, 0.001):
            with pytest.raises(TimeoutError):
                client.recv(timeout=timeout)
        client.send("question")
        assert client.recv(timeout=10) == "answer"


def test_a_reader_in_a_thread(hand):
    session = hand.script(hand.sync, ">", "<answer")
    heard = []
    with hand.sandbox():
        client = dial()
        reader = threading.Thread(target=lambda: heard.append(client.recv()))
        waiting = threading.Event()
        watch = session.watch
        session.watch = lambda watcher: (watch(watcher), waiting.set())[0]
        reader.start()
        assert waiting.wait(30)
        with pytest.raises(ConcurrencyError, match="another thread"):
            client.recv()
        client.send("question")
        reader.join()
    assert heard == ["answer"]


def test_closing_ends_a_recv(hand):
    session = hand.script(hand.sync, "x")
    raised = []
    with hand.sandbox():
        client = dial()

        def listen():
            try:
                client.recv()
            except ConnectionClosedOK as error:
                raised.append(error)

        reader = threading.Thread(target=listen)
        waiting = threading.Event()
        watch = session.watch
        session.watch = lambda watcher: (watch(watcher), waiting.set())[0]
        reader.start()
        assert waiting.wait(30)
        client.close()
        reader.join()
    assert len(raised) == 1


def test_a_message_that_never_comes(hand, monkeypatch):
    monkeypatch.setattr(settings, "deadline", 0.01)
    hand.script(hand.sync, ">")
    with pytest.raises(UnmockedInteractionError, match=r"recv\(\) was not scripted: "), hand.sandbox():
        dial().recv()


# -- the end ----------------------------------------------------------------------------------------


def test_after_the_end(hand):
    hand.script(hand.sync, "x")
    with hand.sandbox():
        with early(URI) as client:
            client.close(1001, "bye")
            client.close()
        assert (client.close_code, client.close_reason) == (1001, "bye")
        for call in (client.recv, lambda: client.send("hi")):
            with pytest.raises(ConnectionClosedOK, match="called in state 'closed'"):
                call()


def test_an_unscripted_close_hides_no_error(hand):
    hand.script(hand.sync)
    with pytest.raises(KeyError) as caught, hand.sandbox(), early(URI):
        raise KeyError("mine")
    assert "was not scripted: the session has no step left" in "".join(caught.value.__notes__)


# -- connecting again -------------------------------------------------------------------------------


@reconnects
def test_connecting_again_and_again(hand):
    hand.sync.new_session().expect("connect", returns=None, raises=OSError("down"))
    hand.script(hand.sync).expect("recv", returns=None, raises=ConnectionClosedError(None, None))
    hand.script(hand.sync, "<hello", "x")
    heard = []
    with hand.sandbox():
        for client in websockets.sync.client.reconnect(URI):
            try:
                heard.append(client.recv())
                break
            except ConnectionClosed:
                continue
    assert heard == ["hello"]


@reconnects
def test_connecting_again_ends(hand):
    with hand.sandbox():
        hand.sync.new_session().expect("connect", returns=None, raises=KeyError("fatal"))
        with pytest.raises(KeyError, match="fatal"):
            next(iter(websockets.sync.client.reconnect(URI)))
        hand.sync.new_session().expect("connect", returns=None, raises=KeyError("fatal"))
        with pytest.raises(OSError, match="other"):
            next(iter(websockets.sync.client.reconnect(URI, process_exception=lambda error: OSError("other"))))
    with pytest.raises(UnmockedInteractionError), hand.sandbox():
        next(iter(websockets.sync.client.reconnect(URI)))


# -- a whole script ---------------------------------------------------------------------------------


def test_a_script_is_played(hand):
    hand.sync.play(Script().expect("hello").send("there").close())
    with hand.sandbox():
        with early(URI) as client:
            client.send("hello")
            assert list(client) == ["there"]
            with pytest.raises(ConnectionClosedOK):
                client.send("too late")
            with pytest.raises(ConnectionClosedOK):
                client.recv()
    hand.verifier.verify_all()


def test_a_mismatch_ends_the_connection_and_is_what_the_test_tells(hand):
    hand.sync.play(Script().expect("general").send("Kenobi"))
    with pytest.raises(
        Failure, match=r"Expected 'general', got 'admiral' \(sync, connection 1, step 1 of 2\)"
    ) as caught:
        with hand.sandbox(), early(URI) as client:
            client.send("admiral")
            client.recv()
    assert isinstance(caught.value.near_end_error, ConnectionClosedError)


def test_a_pause_is_waited_for(hand):
    hand.sync.play(Script().pause(0.01).send("late"))
    with hand.sandbox():
        client = dial()
        assert client.recv() == "late"


# -- releases before 17.1, which connect in one function ----------------------------------------------


def make_connect():
    """A function like the `connect` of those releases, which has been imported by its name."""

    def connect(
        uri,
        *,
        sock=None,
        ssl=None,
        origin=None,
        extensions=None,
        subprotocols=None,
        compression="deflate",
        additional_headers=None,
        user_agent_header=None,
        max_size=None,
        logger=None,
        create_connection=None,
        **kwargs,
    ):
        return f"connected to {uri}"

    return connect


def test_a_function_is_answered_by_whatever_name_it_goes(hand):
    connect = make_connect()
    before = connect.__code__
    hand.script(hand.sync, "<hello", "x")
    for owner, name, new in _by_code(connect):
        setattr(owner, name, new)
    with hand.sandbox(allow="allowed.invalid"):
        with connect(URI, additional_headers={"X": "y"}) as client:
            assert client.recv() == "hello"
        assert connect("ws://allowed.invalid/") == "connected to ws://allowed.invalid/"
        for options, error in [
            ({"ssl": 1}, ValueError),
            ({"compression": "zip"}, ValueError),
            ({"subprotocols": "x"}, TypeError),
        ]:
            with pytest.raises(error):
                connect("ws://far-end.invalid/", **options)
        assert list(inspect.signature(connect).parameters)[:2] == ["uri", "sock"]
    assert connect.__code__ is not before


def test_what_a_script_says_before_it_closes_is_heard(hand):
    hand.sync.play(Script().send(Ping(b"x")).send("bye").close(1001))
    with hand.sandbox():
        client = dial()
        with pytest.raises(ConnectionClosedOK):
            client.send("hi")
        assert client.recv() == "bye"
        with pytest.raises(ConnectionClosedOK):
            client.recv()
        assert client.close_code == 1001


@reconnects
@pytest.mark.parametrize("call", ["recv", "ping", "pong", "recv_streaming"])
def test_every_method_gives_the_librarys_warning(hand, call):
    hand.script(hand.sync, "<x")
    with hand.sandbox():
        client = early(URI)
        with pytest.warns(DeprecationWarning, match="connect"):
            list(client.recv_streaming()) if call == "recv_streaming" else getattr(client, call)()
