"""The double of `websockets.asyncio.client.ClientConnection`, and what is patched for it."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
import time
from importlib.metadata import version

import pytest
import websockets
import websockets.asyncio.client
from websockets import connect  # before any block, by its short name
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_by_its_home
from websockets.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    ProtocolError,
)
from websockets.frames import Close
from websockets.protocol import State

import farend
from farend import InvalidArguments, Ping, Pong, Script, UnmockedInteractionError, WrongState
from farend.intercept.websockets_asyncio import MockedConnection
from farend.stage.settings import settings

pytestmark = pytest.mark.asyncio
URI = "ws://far-end.invalid:8765/feed?depth=5"


# -- the surface ------------------------------------------------------------------------------------

MOCKED = {
    "__init__", "close", "local_address", "ping", "pong", "recv", "recv_streaming", "remote_address", "send",
}  # fmt: skip
"""What the double does in its own way."""
INHERITED = {
    "__aenter__", "__aexit__", "__aiter__", "close_code", "close_exc", "close_reason", "state", "subprotocol",
    "wait_closed",
}  # fmt: skip
"""What is the library's own, and needs no wire."""
REFUSED = {
    "abort_pings", "acknowledge_pings", "connection_lost", "connection_made", "data_received", "drain", "eof_received",
    "handshake", "keepalive", "pause_writing", "process_event", "resume_writing", "send_context", "send_data",
    "set_connection_exc", "set_recv_exc", "start_keepalive", "terminate_pending_pings",
}  # fmt: skip
"""What moves bytes: the double says so."""
PROTOCOLS = {"__aenter__", "__aexit__", "__aiter__", "__await__", "__init__"}


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_") or name in PROTOCOLS}


async def test_everything_public_is_accounted_for():
    """A new release of the library that offers more shows at once."""
    assert public(ClientConnection) <= MOCKED | INHERITED | REFUSED
    assert public(MockedConnection) == public(ClientConnection) | {"transport"}


@pytest.mark.skipif(version("websockets") < "17", reason="the double has the signatures of releases from 17 on")
@pytest.mark.parametrize("name", sorted(public(ClientConnection)))
async def test_signatures_are_the_librarys(name):
    real, double = getattr(ClientConnection, name), getattr(MockedConnection, name)
    if not callable(real):
        assert type(inspect.getattr_static(MockedConnection, name)) is type(
            inspect.getattr_static(ClientConnection, name)
        )
        return
    kinds = [
        [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]
        for of in (real, double)
    ]
    assert kinds[0] == kinds[1]
    if name not in REFUSED:
        assert inspect.iscoroutinefunction(real) == inspect.iscoroutinefunction(double)
        assert inspect.isasyncgenfunction(real) == inspect.isasyncgenfunction(double)


async def test_connect_has_its_signature_inside_the_block(hand):
    before = inspect.signature(connect)
    with hand.sandbox():
        assert inspect.signature(connect) == before


@pytest.mark.parametrize("name", sorted(REFUSED & public(ClientConnection)))
async def test_what_moves_bytes_says_that_there_are_none(hand, name):
    hand.script(hand.asynchronous)
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(
            WrongState, match=rf"ClientConnection.{name}\(\) moves bytes, and a mocked connection has none"
        ):
            getattr(ws, name)()


async def test_there_is_no_transport(hand):
    hand.script(hand.asynchronous)
    with hand.sandbox():
        ws = await connect(URI)
        assert not hasattr(ws, "transport")
        with pytest.raises(AttributeError, match="has no transport: no byte is moved"):
            ws.transport  # noqa: B018


async def test_attributes(hand):
    hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        async with connect(URI, additional_headers={"X-Token": "secret"}, user_agent_header="me") as ws:
            assert isinstance(ws, ClientConnection)
            assert isinstance(ws, websockets.ClientConnection)
            assert ws.request.path == "/feed?depth=5"
            assert ws.request.headers["X-Token"] == "secret"
            assert ws.request.headers["User-Agent"] == "me"
            assert ws.request.headers["Host"] == "far-end.invalid:8765"
            assert ws.response.status_code == 101
            assert ws.remote_address == ("far-end.invalid", 8765)
            assert ws.local_address[0] == "127.0.0.1"
            assert ws.state is State.OPEN
            assert ws.subprotocol is None
            assert ws.close_code is None
            assert ws.latency == 0.0
            assert ws.id
            assert ws.logger.extra["websocket"].id == ws.id
        assert ws.state is State.CLOSED
        assert (ws.close_code, ws.close_reason) == (1000, "")
        await ws.wait_closed()


# -- every way to it --------------------------------------------------------------------------------


async def by_attribute():
    return await websockets.connect(URI)


async def by_an_earlier_import():
    return await connect(URI)


async def by_its_home():
    return await connect_by_its_home(URI)


async def by_the_module():
    return await websockets.asyncio.client.connect(URI)


async def by_an_import_inside():
    return await importlib.import_module("websockets").connect(URI)


async def by_a_subclass():
    class Mine(connect):
        pass

    return await Mine(URI)


async def by_keyword():
    return await connect(uri=URI)


async def in_a_task():
    return await asyncio.create_task(by_attribute())


WAYS = [
    by_attribute,
    by_an_earlier_import,
    by_its_home,
    by_the_module,
    by_an_import_inside,
    by_a_subclass,
    by_keyword,
    in_a_task,
]


@pytest.mark.parametrize("way", WAYS)
async def test_however_it_was_imported(hand, way):
    hand.script(hand.asynchronous, "<hello", "x")
    with hand.sandbox():
        ws = await way()
        assert await ws.recv() == "hello"
        await ws.close()
    hand.asynchronous.assert_connect(uri=URI)
    hand.asynchronous.assert_recv(message="hello")
    hand.asynchronous.assert_close()
    hand.verifier.verify_all()


async def test_in_threads_with_loops_of_their_own(hand):
    for name in "abc":
        hand.asynchronous.new_session(uri=f"ws://{name}.invalid/").expect("connect", returns=None).expect(
            "recv", returns=name
        ).expect("close", returns=None)

    async def client(name):
        async with connect(f"ws://{name}.invalid/") as ws:
            return await ws.recv()

    with hand.sandbox():
        heard = await asyncio.gather(*(asyncio.to_thread(asyncio.run, client(name)) for name in "abc"))
    assert heard == ["a", "b", "c"]
    with hand.verifier.in_any_order():
        for name in "abc":
            hand.asynchronous.assert_connect(uri=f"ws://{name}.invalid/")
            hand.asynchronous.assert_recv(message=name)
            hand.asynchronous.assert_close()
    hand.verifier.verify_all()


async def test_over_a_unix_socket(hand):
    hand.script(hand.asynchronous)
    with hand.sandbox():
        await websockets.unix_connect("/no/such/socket")
    hand.asynchronous.assert_connect(uri="ws://localhost/")


async def test_made_before_the_block_and_entered_inside(hand):
    hand.script(hand.asynchronous, "x")
    early = connect(URI, additional_headers={"X-Token": "secret"})
    with hand.sandbox():
        async with early as ws:
            assert ws.request.headers["X-Token"] == "secret"
    hand.asynchronous.assert_connect(uri=URI)


async def test_on_uvloop(hand):
    uvloop = pytest.importorskip("uvloop")
    hand.script(hand.asynchronous, "<hello", "x")

    def client():
        async def main():
            async with connect(URI) as ws:
                return await ws.recv()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())

    with hand.sandbox():
        assert await asyncio.to_thread(client) == "hello"


async def test_a_users_own_connection_class(hand):
    class Shouting(ClientConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mine = True

        async def recv(self, decode=None):
            return (await super().recv(decode)).upper()

    hand.script(hand.asynchronous, "<hello", "x")
    with hand.sandbox():
        async with connect(URI, create_connection=Shouting) as ws:
            assert isinstance(ws, Shouting)
            assert ws.mine
            assert await ws.recv() == "HELLO"


async def test_a_factory_that_is_no_class_is_refused(hand):
    hand.script(hand.asynchronous)
    with hand.sandbox():
        with pytest.raises(InvalidArguments, match=r"cannot be mocked: give a subclass of websockets\.asyncio"):
            await connect(URI, create_connection=lambda *args, **kwargs: ClientConnection(*args, **kwargs))


# -- what the library refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "options", "error"),
    [
        ("http://far-end.invalid/", {}, InvalidURI),
        ("far-end.invalid", {}, InvalidURI),
        (URI, {"ssl": True}, ValueError),
        (URI, {"compression": "zip"}, ValueError),
        (URI, {"subprotocols": "chat"}, TypeError),
    ],
)
async def test_arguments_that_the_library_refuses(hand, uri, options, error):
    session = hand.script(hand.asynchronous)
    with hand.sandbox():
        with pytest.raises(error):
            connect(uri, **options)
    assert session.dialled is None


@pytest.mark.parametrize(
    ("uri", "options", "error", "sentence"),
    [
        (URI, {"extra_headers": {}}, TypeError, r"no extra_headers=; did you mean additional_headers="),
        (URI, {"timeout": 5}, TypeError, r"no timeout=; did you mean open_timeout="),
        (URI, {"zzz": 5}, TypeError, r"no zzz=$"),
        ("wss://far-end.invalid/", {"ssl": None}, ValueError, "ssl=None is incompatible"),
    ],
)
async def test_arguments_that_are_refused_where_the_library_hands_them_on(hand, uri, options, error, sentence):
    """To the loop, which a mock never asks for a connection."""
    hand.script(hand.asynchronous)
    with hand.sandbox():
        with pytest.raises(error, match=sentence):
            await connect(uri, **options)


async def test_arguments_that_the_loop_takes(hand):
    hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        async with connect(URI, host="127.0.0.1", port=1, happy_eyeballs_delay=1, local_addr=None, proxy_ssl=None):
            pass


async def test_no_arguments_at_all(hand):
    with hand.sandbox():
        with pytest.raises(TypeError):
            connect()


# -- saying and hearing -----------------------------------------------------------------------------


async def said(hand, *messages, **options):
    """What a session heard of messages that were sent."""
    session = hand.script(hand.asynchronous, *">" * len(messages), "x")
    with hand.sandbox():
        async with connect(URI) as ws:
            for message in messages:
                await ws.send(message, **options)
    return session.transcript.received


async def fragments():
    yield "hel"
    yield "lo"


async def nothing():
    for never in ():
        yield never


async def test_messages_of_every_kind(hand):
    buffer = bytearray(b"buffer")
    heard = await said(
        hand, "text", b"bytes", buffer, memoryview(b"view"), ["hel", "lo"], (b"a", bytearray(b"b")), fragments()
    )
    buffer[:] = b"change"
    assert heard == ["text", b"bytes", b"buffer", b"view", "hello", b"ab", "hello"]


async def test_text_and_binary_by_force(hand):
    assert await said(hand, b"text", "text", text=True) == ["text", "text"]
    assert await said(hand, "text", b"text", text=False) == [b"text", b"text"]


@pytest.mark.parametrize("wrong", [5, None, {"a": 1}, ["a", b"b"], [1]])
async def test_what_cannot_be_sent(hand, wrong):
    with pytest.raises(TypeError):
        await said(hand, wrong)


async def test_nothing_is_sent_of_nothing(hand):
    hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        async with connect(URI) as ws:
            await ws.send([])
            await ws.send(nothing())


async def test_hearing_decoded(hand):
    hand.script(hand.asynchronous, "<text", b"bytes", "<text", b"bytes")
    with hand.sandbox():
        ws = await connect(URI)
        assert [await ws.recv(True), await ws.recv(True)] == ["text", "bytes"]
        assert [await ws.recv(decode=False), await ws.recv(decode=False)] == [b"text", b"bytes"]


async def test_hearing_frame_by_frame(hand):
    hand.script(hand.asynchronous, "<text")
    with hand.sandbox():
        ws = await connect(URI)
        assert [part async for part in ws.recv_streaming()] == ["text"]


async def test_iteration_ends_with_the_connection(hand):
    session = hand.script(hand.asynchronous, "<one", "<two")
    session.expect("recv", returns=None, raises=ConnectionClosedOK(Close(1001, "bye"), Close(1001, "bye"), True))
    with hand.sandbox():
        async with connect(URI) as ws:
            assert [message async for message in ws] == ["one", "two"]
            assert (ws.close_code, ws.close_reason) == (1001, "bye")
    hand.asynchronous.assert_connect(uri=URI)
    hand.asynchronous.assert_recv(message="one")
    hand.asynchronous.assert_recv(message="two")
    hand.asynchronous.assert_recv(raises=ConnectionClosedOK)
    hand.verifier.verify_all()


async def test_iteration_raises_what_is_no_good_end(hand):
    hand.script(hand.asynchronous).expect("recv", returns=None, raises=ConnectionClosedError(None, None))
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(ConnectionClosedError):
            async for _ in ws:
                pass
        assert ws.close_code == 1006
        with pytest.raises(ConnectionClosedError):
            await ws.send("too late")


async def test_pings(hand):
    session = hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        async with connect(URI) as ws:
            assert await (await ws.ping()) == 0.0
            await (await ws.ping("data"))
            await ws.pong(b"unasked")
            for wrong in (5, ["a"]):
                with pytest.raises(TypeError):
                    await ws.ping(wrong)
            with pytest.raises(TypeError):
                await ws.pong(None)
        with pytest.raises(ConnectionClosed):
            await ws.ping()
    assert session.transcript.received == [Ping(b""), Ping(b"data"), Pong(b"unasked")]
    assert session.transcript.sent == [Pong(b""), Pong(b"data")]


# -- waiting ----------------------------------------------------------------------------------------


async def test_a_message_that_is_not_there_yet_is_waited_for(hand):
    """A reader and a writer at once: the answer comes when the question was asked."""
    hand.script(hand.asynchronous, ">", "<answer", "x")
    with hand.sandbox():
        async with connect(URI) as ws:
            reader = asyncio.create_task(ws.recv())
            await asyncio.sleep(0)
            assert not reader.done()
            await ws.send("question")
            assert await reader == "answer"


async def test_a_step_that_is_written_later(hand):
    session = hand.script(hand.asynchronous)
    with hand.sandbox():
        ws = await connect(URI)
        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        threading.Thread(target=lambda: session.expect("recv", returns="late")).start()
        assert await reader == "late"


async def test_a_cancelled_recv_loses_nothing(hand):
    session = hand.script(hand.asynchronous, ">", "<answer")
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.001)
        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        reader.cancel()
        await ws.send("question")
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await asyncio.wait_for(ws.recv(), 10) == "answer"
    assert session._watchers == []


async def test_two_at_once_are_refused(hand):
    hand.script(hand.asynchronous, ">", "<answer")
    with hand.sandbox():
        ws = await connect(URI)
        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError, match="another coroutine"):
            await ws.recv()
        await ws.send("question")
        assert await reader == "answer"


async def test_a_message_that_never_comes(hand, monkeypatch):
    monkeypatch.setattr(settings, "deadline", 0.01)
    hand.script(hand.asynchronous, ">")
    with pytest.raises(UnmockedInteractionError) as caught, hand.sandbox():
        await (await connect(URI)).recv()
    told = "recv() was not scripted: it waited 0.01 s, and the next step is .expect('send', returns=None)"
    assert told in str(caught.value)


async def test_without_a_deadline(hand, monkeypatch):
    monkeypatch.setattr(settings, "deadline", None)
    session = hand.script(hand.asynchronous)
    with hand.sandbox():
        ws = await connect(URI)
        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        session.expect("recv", returns="late")
        assert await reader == "late"


async def test_closing_ends_a_recv(hand):
    hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        ws = await connect(URI)
        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        await ws.close()
        with pytest.raises(ConnectionClosedOK):
            await reader


async def test_an_exception_that_ends_the_connection_ends_a_recv(hand):
    hand.script(hand.asynchronous).expect("send", returns=None, raises=ConnectionClosedError(None, None))
    with hand.sandbox():
        ws = await connect(URI)
        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        for call in (ws.send("hi"), reader):
            with pytest.raises(ConnectionClosedError):
                await call


# -- the end ----------------------------------------------------------------------------------------


async def test_closing_with_a_code(hand):
    session = hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(ProtocolError):
            await ws.close(1005)
        await ws.close(1001, "bye")
        await ws.close(1002, "again")
        assert (ws.close_code, ws.close_reason) == (1001, "bye")
        with pytest.raises(ConnectionClosedOK, match="1001"):
            await ws.recv()
    assert str(session.transcript[-1].payload) == "close frame 1001 'bye'"


async def test_after_a_bad_end_the_librarys_error(hand):
    hand.script(hand.asynchronous, "x")
    with hand.sandbox():
        ws = await connect(URI)
        await ws.close(1011)
        with pytest.raises(ConnectionClosedError, match=r"'send' called in state 'closed'.*1011"):
            await ws.send("hi")


async def test_an_unscripted_close(hand):
    hand.script(hand.asynchronous)
    with pytest.raises(UnmockedInteractionError, match=r"close\(\) was not scripted"), hand.sandbox():
        async with connect(URI):
            pass


async def test_an_unscripted_close_hides_no_error(hand):
    hand.script(hand.asynchronous)
    with pytest.raises(KeyError) as caught, hand.sandbox():
        async with connect(URI):
            raise KeyError("mine")
    assert "was not scripted: the session has no step left" in "".join(caught.value.__notes__)


async def test_a_close_after_an_unscripted_call_is_no_second_finding(hand):
    hand.script(hand.asynchronous)
    with pytest.raises(UnmockedInteractionError, match=r"send\('hi'\)") as caught, hand.sandbox():
        async with connect(URI) as ws:
            await ws.send("hi")
    assert not hasattr(caught.value, "__notes__")
    hand.asynchronous.assert_connect(uri=URI)
    assert hand.findings() == []


async def test_a_close_that_raises(hand):
    hand.script(hand.asynchronous).expect("close", returns=None, raises=OSError("lost"))
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(OSError, match="lost"):
            await ws.close()
        assert ws.state is State.CLOSED
    hand.asynchronous.assert_connect(uri=URI)
    hand.asynchronous.assert_close(raises=OSError("lost"))
    hand.verifier.verify_all()


async def test_a_send_that_raises(hand):
    error = ConnectionClosedError(Close(1011, "boom"), None)
    hand.script(hand.asynchronous).expect("send", returns=None, raises=error)
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(ConnectionClosedError, match="boom"):
            await ws.send("hi")
        assert ws.close_code == 1011
        await ws.close()
    hand.asynchronous.assert_connect(uri=URI)
    hand.asynchronous.assert_send(message="hi", raises=error)
    hand.verifier.verify_all()


# -- connecting -------------------------------------------------------------------------------------


async def test_a_connect_that_raises(hand):
    hand.asynchronous.new_session().expect("connect", returns=None, raises=ConnectionRefusedError("no"))
    with hand.sandbox():
        with pytest.raises(ConnectionRefusedError, match="no"):
            async with connect(URI):
                pass
    hand.asynchronous.assert_connect(uri=URI, raises=ConnectionRefusedError)
    hand.verifier.verify_all()


async def test_a_session_that_does_not_begin_with_connect(hand):
    hand.asynchronous.new_session().expect("send", returns=None)
    with pytest.raises(UnmockedInteractionError) as caught, hand.sandbox():
        await connect(URI)
    assert "A session begins with:\n    .expect('connect', returns=None)" in str(caught.value)


async def test_subprotocols(hand):
    hand.asynchronous.new_session(subprotocol="chat", headers={"X-Server": "far"}).expect("connect", returns=None)
    with hand.sandbox():
        ws = await connect(URI, subprotocols=["superchat", "chat"])
        assert ws.subprotocol == "chat"
        assert ws.response.headers["X-Server"] == "far"


async def test_a_subprotocol_that_nobody_asked_for(hand):
    hand.asynchronous.new_session(subprotocol="chat").expect("connect", returns=None)
    with hand.sandbox():
        with pytest.raises(NegotiationError):
            await connect(URI)


async def test_connecting_again_and_again(hand):
    """`async for`: transient errors are tried again, and no time passes."""
    hand.asynchronous.new_session().expect("connect", returns=None, raises=OSError("down"))
    hand.script(hand.asynchronous, "<one").expect("recv", returns=None, raises=ConnectionClosedError(None, None))
    hand.script(hand.asynchronous, "<two", "x")
    heard = []
    begun = time.monotonic()
    with hand.sandbox():
        async for ws in connect(URI):
            try:
                heard.append(await ws.recv())
                if heard == ["one", "two"]:
                    await ws.close()
                    break
                await ws.recv()
            except ConnectionClosed:
                continue
    assert heard == ["one", "two"]
    assert time.monotonic() - begun < 60
    hand.asynchronous.assert_connect(uri=URI, raises=OSError)
    hand.asynchronous.assert_connect(uri=URI)
    hand.asynchronous.assert_recv(message="one")
    hand.asynchronous.assert_recv(raises=ConnectionClosedError)
    hand.asynchronous.assert_connect(uri=URI)
    hand.asynchronous.assert_recv(message="two")
    hand.asynchronous.assert_close()
    hand.verifier.verify_all()


async def test_connecting_again_ends_where_the_sessions_do(hand):
    hand.asynchronous.new_session().expect("connect", returns=None, raises=OSError("down"))
    with pytest.raises(UnmockedInteractionError, match="no session is left for it"), hand.sandbox():
        async for _ in connect(URI, process_exception=lambda error: None):
            pass


async def test_a_fatal_error_ends_connecting(hand):
    for error in (InvalidStatus(None), KeyError("fatal")):
        hand.asynchronous.new_session().expect("connect", returns=None, raises=error)
    with hand.sandbox():
        with pytest.raises(KeyError, match="other"):
            async for _ in connect(URI, process_exception=lambda error: KeyError("other")):
                pass
        with pytest.raises(KeyError, match="fatal"):
            async for _ in connect(URI):
                pass


# -- a whole script ---------------------------------------------------------------------------------


async def test_a_script_is_played(hand):
    script = Script().expect(json={"op": "login"}).send("welcome").send_fragments("a", "b").close(1001, "bye")
    played = hand.asynchronous.play(script)
    with hand.sandbox():
        async with connect(URI) as ws:
            await ws.send('{"op": "login"}')
            assert [message async for message in ws] == ["welcome", "ab"]
            assert (ws.close_code, ws.close_reason) == (1001, "bye")
            with pytest.raises(ConnectionClosedOK):
                await ws.send("too late")
            with pytest.raises(ConnectionClosedOK):
                await ws.recv()
    hand.verifier.verify_all()
    assert len(played.transcript.sent) == 2


async def test_a_send_after_the_far_ends_close_says_so(hand):
    hand.asynchronous.play(Script().send("bye").close())
    with hand.sandbox():
        ws = await connect(URI)
        with pytest.raises(ConnectionClosedOK):
            await ws.send("hi")
        assert await ws.recv() == "bye"
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()


async def test_a_script_that_aborts(hand):
    hand.asynchronous.play(Script().expect("hi").abort())
    with hand.sandbox():
        ws = await connect(URI)
        await ws.send("hi")
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        assert ws.close_code == 1006


async def test_a_script_that_refuses_the_handshake(hand):
    hand.asynchronous.play(Script().expect_handshake("/other"))
    with pytest.raises(farend.Failure, match="otherwise than expected: see its path"), hand.sandbox():
        await connect(URI)


async def test_pings_in_a_script(hand):
    hand.asynchronous.play(Script().send(Ping(b"x")).expect(Pong(b"x")).expect(Ping(b"y")).send("done"))
    with hand.sandbox():
        ws = await connect(URI)
        await ws.ping(b"y")
        assert await ws.recv() == "done"
        await ws.close()
    hand.verifier.verify_all()


async def test_messages_that_come_before_their_time_are_kept(hand):
    """Told to send while its far end has a ping for it first."""
    hand.asynchronous.play(Script().send(Ping(b"1")).send("one").send(Ping(b"2")).send("two"))
    with hand.sandbox():
        ws = await connect(URI)
        assert [await ws.recv(), await ws.recv()] == ["one", "two"]


async def test_a_pause_in_a_script_is_waited_for(hand):
    hand.asynchronous.play(Script().pause(0.01).send("late"))
    with hand.sandbox():
        ws = await connect(URI)
        assert await ws.recv() == "late"
