"""Seed 000, item by item: the numbers are those of the checklist."""

# The far end around the client, as the document writes it:

import asyncio
import contextlib
import inspect
import io
import json
import re
import socket
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect as connect_blocking

import farend
from farend import Failure, InvalidArguments, assert_communication, respond_with, write_communication

SHORT = 1.0
"""Seconds: the deadline where a wait is meant to reach it; long enough for what is meant to come before."""
PAIRS = [("hello", "there"), ("general", "Kenobi")]

# -- the document's own examples --------------------------------------------------------------------

HELLO = """
from fakewsserver import assert_communication

async with assert_communication(
        port=12345,
        communication=[('hello', 'there')],
        ):
    async with websockets.connect('ws://localhost:12345') as client:
        await client.send('hello')
        response = await client.recv()

assert response == 'there'
"""
MISMATCH = """
from fakewsserver import assert_communication

communication = [
    ('hello', 'there'),
    ('general', 'Kenobi'),
]

async with assert_communication(
        port=12345,
        communication=communication,
        ):
    async with websockets.connect('ws://localhost:12345') as client:
        await client.send('hello')
        response = await client.recv()
        assert response == 'there'
        await client.send('admiral')
        await client.recv()
"""
UTILITIES = """
from fakewsserver import respond_with, write_communication

send = 'Hello there'
receive = ['General', 'Kenobi']

file = StringIO()
async with respond_with(port=12345, responses=receive):
    async with websockets.connect('ws://localhost:12345') as client:
        await write_communication(
            to_send=send,
            client=client,
            file=file,
            timeout=None,
            num_responses=len(receive),
        )

file.seek(0)
data_raw = file.read()
data = json.loads(data_raw)

assert data == [
    dict(
        type='send',
        data='Hello there',
    ),
    dict(
        type='receive',
        data='General',
    ),
    dict(
        type='receive',
        data='Kenobi',
    ),
]
"""


async def run_example(text, port):
    """Run an example of the document: the import line is changed, and the port where it has to be."""
    body = text.replace("from fakewsserver import", "from farend import").replace("12345", str(port))
    names = {"websockets": websockets, "json": json, "StringIO": io.StringIO}
    exec("async def example():\n" + textwrap.indent(body, "    "), names)
    await names["example"]()


@pytest.fixture
def port():
    """A port that nobody else gets while the test runs: bound here, and not listened on."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        number = holder.getsockname()[1]
        if sys.platform != "linux":  # elsewhere, a port that is bound cannot be bound again
            holder.close()
        yield number


@contextlib.contextmanager
def the_document_s_port():
    """Port 12345, for one test at a time, of all processes that run this suite."""
    fcntl = pytest.importorskip("fcntl")
    with (Path(tempfile.gettempdir()) / "farend-tests-port-12345").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield 12345


@pytest.mark.asyncio
async def test_the_example_runs_as_written():
    """S0-3, S0-4, S0-18: the literal text, on the literal port."""
    with the_document_s_port() as port:
        await run_example(HELLO, port)


@pytest.mark.asyncio
async def test_example_one_message(port):
    """S0-4, S0-5, S0-6, S0-18: a fixed port of the caller's, an unmodified client, no error."""
    await run_example(HELLO, port)


@pytest.mark.asyncio
async def test_example_mismatch(port):
    """S0-8, S0-9, S0-18: the feedback that the document shows."""
    with pytest.raises(AssertionError) as caught:
        await run_example(MISMATCH, port)
    assert str(caught.value) == 'Failed 2nd step:\nExpected: "general"\nGot: "admiral"'


@pytest.mark.asyncio
async def test_example_utilities(port):
    """S0-12, S0-13, S0-14, S0-15, S0-16, S0-18: `timeout=None` with a number of responses."""
    await run_example(UTILITIES, port)


# -- the names, the server, its port ----------------------------------------------------------------


def test_names_are_importable_from_the_top():
    """S0-1"""
    for name in ("assert_communication", "respond_with", "write_communication"):
        assert callable(getattr(farend, name))
        assert name in farend.__all__


@pytest.mark.asyncio
async def test_a_real_server_for_the_duration_of_the_block(port):
    """S0-2: reachable inside, gone outside, and the port is free again at once."""
    for _ in range(2):
        async with assert_communication(port=port, communication=PAIRS[:1]) as server:
            assert server.port == port
            async with websockets.connect(f"ws://localhost:{port}") as client:
                await client.send("hello")
                assert await client.recv() == "there"
        with pytest.raises(OSError, match="Connect call failed"):
            await websockets.connect(f"ws://127.0.0.1:{port}")


@pytest.mark.asyncio
async def test_arguments_by_position_and_by_keyword():
    """S0-3"""
    async with assert_communication(0, PAIRS[:1]) as server:
        await say(server, "hello", "there")
    async with assert_communication(communication=PAIRS[:1], port=0) as server:
        await say(server, "hello", "there")
    async with respond_with(0, ["a"]) as server:
        await say(server, "anything", "a")


@pytest.mark.asyncio
async def test_port_0_and_the_value_of_the_context_manager():
    """S0-28: the system chooses the port, and the value tells it."""
    async with assert_communication(port=0, communication=PAIRS[:1]) as server:
        async with websockets.connect(f"ws://localhost:{server.port}") as client:
            await client.send("hello")
            assert await client.recv() == "there"
    assert server.port > 0


def test_the_same_object_in_a_plain_test():
    """S0-3: `with`, and a blocking client."""
    with assert_communication(port=0, communication=PAIRS) as server, connect_blocking(server.url) as client:
        for said, answer in PAIRS:
            client.send(said)
            assert client.recv() == answer


def test_a_mismatch_in_a_plain_test():
    """S0-8, S0-9"""
    with pytest.raises(AssertionError, match='Got: "admiral"'):
        with assert_communication(port=0, communication=PAIRS) as server, connect_blocking(server.url) as client:
            client.send("hello")
            client.recv()
            client.send("admiral")
            client.recv()


# -- pairs ------------------------------------------------------------------------------------------


async def say(server, *words):
    """Connect, and take turns: each odd word is said, and the next one comes."""
    async with websockets.connect(server.url) as client:
        for said, answer in zip(words[::2], words[1::2], strict=True):
            await client.send(said)
            assert await client.recv() == answer


@pytest.mark.asyncio
async def test_pairs_are_consumed_in_order():
    """S0-7: one for each message."""
    pairs = [(str(number), f"re {number}") for number in range(50)]
    async with assert_communication(port=0, communication=pairs) as server:
        await say(server, *(word for pair in pairs for word in pair))


@pytest.mark.asyncio
async def test_earlier_answers_come_before_a_later_mismatch():
    """S0-7, S0-11: both answers are there, although the third message is wrong; its own answer is not."""
    came = []
    with pytest.raises(AssertionError, match="Failed 3rd step"):
        async with assert_communication(port=0, communication=[("a", "1"), ("b", "2"), ("c", "3")]) as server:
            async with websockets.connect(server.url) as client:
                for said in "abx":
                    await client.send(said)
                while True:
                    came.append(await client.recv())
    assert came == ["1", "2"]
    assert server.transcripts[0].sent == ["1", "2"]


@pytest.mark.asyncio
async def test_a_mismatch_leaves_the_outer_block_and_keeps_the_client_s_exception():
    """S0-8: no hang, and what the client raised is kept beside the finding."""
    with pytest.raises(AssertionError) as caught:
        async with asyncio.timeout(5):
            async with assert_communication(port=0, communication=PAIRS) as server:
                async with websockets.connect(server.url) as client:
                    await client.send("admiral")
                    await client.recv()
    assert isinstance(caught.value.near_end_error, ConnectionClosedError)
    assert isinstance(caught.value, Failure)
    assert caught.value.findings == server.findings


@pytest.mark.asyncio
async def test_the_text_is_exact_and_the_failure_screen_stands_beside_it():
    """S0-9: three lines, no trailing text; the rest is a note."""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS) as server:
            await say(server, "hello", "there", "admiral", "")
    assert str(caught.value) == 'Failed 2nd step:\nExpected: "general"\nGot: "admiral"'
    screen, consequence = caught.value.__notes__
    assert "The client then failed with websockets.exceptions.ConnectionClosedError (received 1008" in consequence
    assert "test_000.py:" in consequence
    assert server.name in screen
    assert "step 3 of 4" in screen
    assert "→ 'admiral'" in screen


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st")],
)
async def test_steps_are_counted_by_the_client_s_messages_with_right_ordinals(number, name):
    """S0-10, S0-24: replies, and what is said unprompted, do not count."""
    pairs = [(None, "hi"), *[("x", ["a", "b"])] * 30]
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=pairs) as server:
            async with websockets.connect(server.url) as client:
                for _ in range(number - 1):
                    await client.send("x")
                await client.send("y")
                while True:
                    await client.recv()
    assert str(caught.value) == f'Failed {name} step:\nExpected: "x"\nGot: "y"'


@pytest.mark.asyncio
async def test_kinds_of_answers():
    """S0-19: nothing, one, several; text and bytes, mixed."""
    pairs = [("none", None), ("list", ["a", b"b"]), ("tuple", ("c", "d")), (b"bytes", b"\0"), ("empty", "")]
    async with assert_communication(port=0, communication=pairs) as server:
        async with websockets.connect(server.url) as client:
            for said, _ in pairs:
                await client.send(said)
            assert [await client.recv() for _ in range(6)] == ["a", b"b", "c", "d", b"\0", ""]
    assert server.transcripts[0].sent == ["a", b"b", "c", "d", b"\0", ""]


@pytest.mark.asyncio
@pytest.mark.parametrize(("expected", "got"), [("hello", b"hello"), (b"hello", "hello")])
async def test_text_never_equals_bytes(expected, got):
    """S0-19"""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=[(expected, "there")]) as server:
            await say(server, got, "")
    quoted = {"hello": '"hello"', b"hello": "\"b'hello'\""}
    assert str(caught.value) == f"Failed 1st step:\nExpected: {quoted[expected]}\nGot: {quoted[got]}"


@pytest.mark.asyncio
async def test_the_far_end_speaks_unprompted():
    """S0-20: at the beginning, in the middle (where a client waits for a push), and at the end."""
    pairs = [(None, "welcome"), ("sub", "ok"), (None, ["tick", "tock"]), ("bye", None), (None, "end")]
    async with assert_communication(port=0, communication=pairs) as server:
        async with websockets.connect(server.url) as client:
            assert await client.recv() == "welcome"
            await client.send("sub")
            assert [await client.recv() for _ in range(3)] == ["ok", "tick", "tock"]
            await client.send("bye")
            assert await client.recv() == "end"


@pytest.mark.asyncio
@pytest.mark.parametrize("nothing", [(), [], iter(())])
async def test_no_pairs_and_no_connection(nothing):
    """S0-21: passes, at once."""
    async with asyncio.timeout(5):
        async with assert_communication(port=0, communication=nothing):
            pass


@pytest.mark.asyncio
async def test_no_pairs_and_a_message():
    """S0-21, S0-28: nobody may say anything, then."""
    with pytest.raises(AssertionError, match='Failed 1st step:\nExpected: nothing more\nGot: "hello"'):
        async with assert_communication(port=0, communication=()) as server:
            await say(server, "hello", "")


@pytest.mark.asyncio
async def test_nobody_came():
    """S0-22"""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS, deadline=SHORT):
            pass
    assert str(caught.value) == "Did not receive any messages."
    assert "Nobody connected" in caught.value.__notes__[0]


@pytest.mark.asyncio
async def test_somebody_came_and_said_nothing():
    """S0-22, S0-28: left again without a word."""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS) as server:
            async with websockets.connect(server.url):
                pass
    assert str(caught.value) == "Did not receive any messages."
    assert "close frame 1000" in caught.value.__notes__[0]


@pytest.mark.asyncio
async def test_a_connection_that_never_says_what_was_expected():
    """S0-22, S0-28: stays, and is silent; the deadline ends it."""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS, deadline=SHORT) as server:
            async with websockets.connect(server.url) as client:
                await client.recv()
    assert str(caught.value) == "Did not receive any messages."
    assert "Waited 1 s for the near end to say 'hello'" in caught.value.__notes__[0]


@pytest.mark.asyncio
async def test_the_client_stops_early():
    """S0-23: what is left is listed, in order."""
    pairs = [("a", "1"), ("b", ["2", b"3"]), ("c", None), (None, "d")]
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=pairs) as server:
            await say(server, "a", "1")
    rest = "[('b', ['2', b'3']), ('c', None), (None, 'd')]"
    assert str(caught.value) == f"No more input messages. Expecting more: {rest}"


# -- respond_with -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_respond_with_answers_every_message_of_every_client():
    """S0-12: all responses, in order, whatever was said, as often as something is."""
    async with respond_with(port=0, responses=iter(["General", b"Kenobi"])) as server:
        for _ in range(2):
            async with websockets.connect(server.url) as client:
                for said in ("Hello there", b"\xff", ""):
                    await client.send(said)
                    assert [await client.recv(), await client.recv()] == ["General", b"Kenobi"]


@pytest.mark.asyncio
async def test_respond_with_checks_nothing():
    """S0-12: nobody comes; somebody leaves in the middle of the answers; somebody is silent."""
    async with asyncio.timeout(5):
        async with respond_with(port=0, responses=["a"]):
            pass
        async with respond_with(port=0, responses=["a" * 10_000] * 1_000) as server:
            async with websockets.connect(server.url) as client:
                await client.send("go")
                await client.recv()
                client.transport.abort()
            async with websockets.connect(server.url):
                pass
        async with respond_with(port=0, responses=["a"], deadline=SHORT) as server:
            async with websockets.connect(server.url) as client:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(SHORT * 2):
                        await client.recv()
                await client.send("late")
                assert await client.recv() == "a"
        assert server.findings == ()


# -- write_communication ----------------------------------------------------------------------------


class Client:
    """S0-27: nothing but the two coroutines. It says what it was given, then waits for ever, or raises."""

    def __init__(self, *messages, then=None):
        self.sent = []
        self._messages = list(messages)
        self._then = then

    async def send(self, message):
        self.sent.append(message)

    async def recv(self):
        if self._messages:
            return self._messages.pop(0)
        if self._then is not None:
            raise self._then
        return await asyncio.get_running_loop().create_future()


class Paper:
    """S0-15: nothing but `write`."""

    def __init__(self):
        self.written = []

    def write(self, text):
        self.written.append(text)

    @property
    def entries(self):
        [text] = self.written
        return json.loads(text)


def entries(sent, *received):
    return [{"type": "send", "data": sent}, *({"type": "receive", "data": one} for one in received)]


@pytest.mark.asyncio
async def test_write_communication_sends_one_message_then_receives():
    """S0-13, S0-15, S0-16, S0-27: one array, in one write; two keys; a duck for a client, a duck for a file."""
    client, paper = Client("General", "Kenobi", "more"), Paper()
    answer = await write_communication(to_send="Hello", client=client, file=paper, timeout=None, num_responses=2)
    assert answer is None
    assert client.sent == ["Hello"]
    assert paper.entries == entries("Hello", "General", "Kenobi")


@pytest.mark.asyncio
async def test_the_file_is_neither_rewound_nor_closed():
    """S0-15"""
    file = io.StringIO()
    file.write("before ")
    await write_communication(to_send="Hello", client=Client("x"), file=file, timeout=None, num_responses=1)
    assert not file.closed
    assert file.tell() == len(file.getvalue())
    assert file.getvalue().startswith("before [{")


@pytest.mark.asyncio
async def test_num_responses_stops_with_no_limit_in_time():
    """S0-14: it takes as long as it takes."""
    writing = asyncio.create_task(
        write_communication(to_send="x", client=Client(), file=Paper(), timeout=None, num_responses=1)
    )
    done, _ = await asyncio.wait([writing], timeout=SHORT)
    assert not done
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


@pytest.mark.asyncio
async def test_no_responses_is_a_number():
    """S0-14"""
    paper = Paper()
    await write_communication(to_send="x", client=Client("unread"), file=paper, timeout=None, num_responses=0)
    assert paper.entries == entries("x")


@pytest.mark.asyncio
async def test_works_against_any_server():
    """S0-17: the library's own, here."""

    async def shout(connection):
        async for message in connection:
            await connection.send(message.upper())

    paper = Paper()
    async with websockets.serve(shout, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}") as client:
            await write_communication(to_send="hello", client=client, file=paper, timeout=5, num_responses=1)
    assert paper.entries == entries("hello", "HELLO")


@pytest.mark.asyncio
async def test_the_timeout_ends_the_collection_quietly():
    """S0-25: and what came is written; `num_responses=None` sets no limit to their number."""
    paper = Paper()
    messages = [str(number) for number in range(20)]
    await write_communication(to_send="x", client=Client(*messages), file=paper, timeout=SHORT, num_responses=None)
    assert paper.entries == entries("x", *messages)


@pytest.mark.asyncio
async def test_the_timeout_is_for_each_receive():
    """S0-25: three waits that are together longer than one may be."""
    loop = asyncio.get_running_loop()
    real_time, gone = loop.time, 0.0
    loop.time = lambda: real_time() + gone

    class Slow(Client):
        async def recv(self):
            nonlocal gone
            gone += 40
            for _ in range(3):  # turns of the loop, in which a timeout that is due ends this
                await asyncio.sleep(0)
            return await super().recv()

    paper = Paper()
    await write_communication(to_send="x", client=Slow("a", "b", "c"), file=paper, timeout=60, num_responses=3)
    assert paper.entries == entries("x", "a", "b", "c")


def test_write_communication_takes_keywords_only():
    """S0-25"""
    parameters = inspect.signature(write_communication).parameters.values()
    assert [one.name for one in parameters] == ["to_send", "client", "file", "timeout", "num_responses", "tape"]
    assert {one.kind for one in parameters} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.asyncio
async def test_no_limit_at_all():
    """S0-26: the text, and nothing was sent."""
    client, paper = Client("x"), Paper()
    with pytest.raises(InvalidArguments) as caught:
        await write_communication(to_send="x", client=client, file=paper, timeout=None, num_responses=None)
    assert str(caught.value) == "Both cannot be `None`: timeout = None and num_responses = None"
    assert caught.type is farend.errors.InvalidArguments
    assert (client.sent, paper.written) == ([], [])


@pytest.mark.asyncio
async def test_what_came_is_written_although_the_client_raised():
    """S0-25: its exception comes through, a `TimeoutError` of its own included."""
    for error in (ConnectionClosedOK(None, None), TimeoutError("keepalive ping timeout")):
        paper = Paper()
        with pytest.raises(type(error)) as caught:
            await write_communication(
                to_send="x", client=Client("a", then=error), file=paper, timeout=5, num_responses=9
            )
        assert caught.value is error
        assert paper.entries == entries("x", "a")


@pytest.mark.asyncio
async def test_bytes_in_the_json_file():
    """S0-28: as an object with their base64; read back, they are a communication that can be played."""
    file = io.StringIO()
    async with respond_with(port=0, responses=[b"\x00\xff", "text"]) as server:
        async with websockets.connect(server.url) as client:
            await write_communication(to_send=b"go", client=client, file=file, timeout=None, num_responses=2)
    assert json.loads(file.getvalue()) == entries({"base64": "Z28="}, {"base64": "AP8="}, "text")
    file.seek(0)
    communication = farend.read_communication(file)
    assert communication == [(b"go", [b"\x00\xff", "text"])]
    async with assert_communication(port=0, communication=communication) as server:
        async with websockets.connect(server.url) as client:
            await client.send(b"go")
            assert [await client.recv(), await client.recv()] == [b"\x00\xff", "text"]


# -- what today's tools get wrong -------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_message_after_the_end_fails():
    """S0-28: the client waits for an answer to it, and does not hang."""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS[:1]) as server:
            await say(server, "hello", "there", "general", "")
    assert str(caught.value) == 'Failed 2nd step:\nExpected: nothing more\nGot: "general"'
    assert isinstance(caught.value.near_end_error, ConnectionClosedError)


@pytest.mark.asyncio
async def test_a_message_after_the_end_fails_also_if_nobody_waits_for_its_answer():
    """S0-28: sent, and the block is left in the same breath."""
    with pytest.raises(AssertionError, match='Expected: nothing more\nGot: "general"'):
        async with assert_communication(port=0, communication=PAIRS[:1]) as server:
            client = await websockets.connect(server.url)
            await client.send("hello")
            await client.send("general")
    await client.close()


@pytest.mark.asyncio
async def test_a_second_connection_fails_and_hides_nothing():
    """S0-28: the wrong first connection is told first, although the second one does all right."""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS[:1]) as server:
            with contextlib.suppress(ConnectionClosed):
                await say(server, "wrong", "")
            with contextlib.suppress(InvalidStatus):
                await say(server, "hello", "there")
    assert str(caught.value) == 'Failed 1st step:\nExpected: "hello"\nGot: "wrong"'
    assert len(caught.value.findings) == 2


@pytest.mark.asyncio
async def test_a_second_connection_fails():
    """S0-28: although the first one did all right. The client is turned away with HTTP 503."""
    with pytest.raises(AssertionError, match="Another client connected") as caught:
        async with assert_communication(port=0, communication=PAIRS[:1]) as server:
            await say(server, "hello", "there")
            await say(server, "hello", "there")
    assert isinstance(caught.value.near_end_error, InvalidStatus)
    assert caught.value.near_end_error.response.status_code == 503


@pytest.mark.asyncio
async def test_a_client_that_speaks_no_websocket():
    """S0-28: the story is what it said instead, and not that nobody came."""
    with pytest.raises(AssertionError, match="did not open a WebSocket") as caught:
        async with assert_communication(port=0, communication=PAIRS) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()
    assert len(caught.value.findings) == 1


@pytest.mark.asyncio
async def test_the_client_s_own_connection_closed_ok_comes_through():
    """S0-28: everything was played, and the test itself talks on after its close."""
    reached = False
    with pytest.raises(ConnectionClosedOK):
        async with assert_communication(port=0, communication=PAIRS[:1]) as server:
            async with websockets.connect(server.url) as client:
                await client.send("hello")
                await client.recv()
                await client.close()
                await client.recv()
            reached = True
    assert not reached


@pytest.mark.asyncio
async def test_a_connection_closed_that_is_no_consequence_comes_through():
    """S0-28: the client closed it too early, so what it raises is its own; what is left is a note."""
    with pytest.raises(ConnectionClosedOK) as caught:
        async with assert_communication(port=0, communication=PAIRS) as server:
            async with websockets.connect(server.url) as client:
                await client.send("hello")
                await client.recv()
                await client.close()
                await client.send("general")
    [note] = caught.value.__notes__
    assert "before the script's end" in note


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [KeyError("mine"), AssertionError("mine"), FileNotFoundError("mine")], ids=repr)
async def test_the_test_s_own_exception_comes_through(error):
    """S0-28: a fault found at teardown stands beside it, as a note, and never over it."""
    with pytest.raises(type(error)) as caught:
        async with assert_communication(port=0, communication=PAIRS) as server:
            with contextlib.suppress(ConnectionClosed):
                await say(server, "wrong", "")
            raise error
    assert caught.value is error
    assert "got 'wrong'" in error.__notes__[0]


@pytest.mark.asyncio
async def test_an_exception_is_not_kept_waiting():
    """S0-28: what is left of the script is not waited for, if the test failed already."""
    with pytest.raises(KeyError):
        async with asyncio.timeout(5):
            async with assert_communication(port=0, communication=PAIRS):
                raise KeyError("mine")


@pytest.mark.asyncio
async def test_a_port_that_is_taken_is_told_at_once(port):
    """S0-4: by another program, or by a second far end while one runs."""
    async with asyncio.timeout(5):
        async with respond_with(port=port, responses=[]):
            with pytest.raises(farend.AddressError, match=f"port {port} on 127.0.0.1 is taken"):
                async with assert_communication(port=port, communication=PAIRS):
                    pytest.fail("the block was entered")


def test_a_port_that_is_taken_is_told_at_once_in_a_plain_test(port):
    """S0-4"""
    with respond_with(port=port, responses=[]):
        with pytest.raises(farend.AddressError, match=f"port {port} on 127.0.0.1 is taken"):
            with assert_communication(port=port, communication=PAIRS):
                pytest.fail("the block was entered")


@pytest.mark.asyncio
async def test_two_servers_at_the_same_time():
    """S0-2"""
    async with assert_communication(port=0, communication=PAIRS) as one:
        async with assert_communication(port=0, communication=PAIRS[:1]) as other:
            await say(other, "hello", "there")
        await say(one, "hello", "there", "general", "Kenobi")


@pytest.mark.asyncio
async def test_a_mismatch_is_told_while_the_client_waits_for_its_answer():
    """S0-8, S0-11: not at the end, which would never come, and not at the deadline."""
    with pytest.raises(AssertionError, match="Failed 1st step"):
        async with asyncio.timeout(5):
            async with assert_communication(port=0, communication=PAIRS, deadline=None) as server:
                await say(server, "admiral", "there")


@pytest.mark.asyncio
async def test_the_story_is_right_when_one_message_came():
    """S0-23: not "Did not receive any messages.", although the client is still connected."""
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=PAIRS, deadline=SHORT) as server:
            client = await websockets.connect(server.url)
            await client.send("hello")
    assert str(caught.value) == "No more input messages. Expecting more: [('general', 'Kenobi')]"
    await client.close()


@pytest.mark.asyncio
async def test_what_is_left_is_listed_in_order():
    """S0-23: the pairs, and the steps on the failure screen."""
    pairs = [(letter, letter.upper()) for letter in "abcd"]
    with pytest.raises(AssertionError) as caught:
        async with assert_communication(port=0, communication=pairs) as server:
            await say(server, "a", "A")
    assert re.findall(r"'(\w)'", str(caught.value)) == ["b", "B", "c", "C", "d", "D"]
    assert re.findall(r"(\d)\. expect '(\w)'", caught.value.__notes__[0]) == [("3", "b"), ("5", "c"), ("7", "d")]


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [lambda: assert_communication(0, ()), lambda: respond_with(0, ())])
async def test_listens_on_loopback_only(make):
    """S0-4: and not on every interface of the machine."""
    async with make() as server:
        assert server.host == "127.0.0.1"
        [listening] = server._server.sockets
        assert listening.getsockname() == ("127.0.0.1", server.port)
