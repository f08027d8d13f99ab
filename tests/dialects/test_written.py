"""What is written down, what can be read back, and what cannot be meant. Seed 000 has its own tests."""

# The far end around the client, as everywhere:

import asyncio
import io
import json

import pytest
from websockets.sync.client import connect

from farend import InvalidArguments, WrongType, read_communication, respond_with, write_communication


class Client:
    """Never sends, never receives."""

    def __init__(self):
        self.sent = []

    async def send(self, message):
        self.sent.append(message)

    async def recv(self):
        return "x"


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"timeout": "1"}, WrongType, "timeout= takes a number of seconds"),
        ({"timeout": True}, WrongType, "timeout= takes a number of seconds"),
        ({"timeout": -1}, InvalidArguments, "a number of seconds is 0 or more"),
        ({"timeout": float("inf")}, InvalidArguments, "for no limit, write None"),
        ({"timeout": float("nan")}, InvalidArguments, "a number of seconds is 0 or more"),
        ({"num_responses": 1.5}, WrongType, "num_responses= takes a number of messages"),
        ({"num_responses": -1}, InvalidArguments, "a number of messages is 0 or more"),
        ({"to_send": 7}, WrongType, "to_send= takes text or bytes, not 7"),
        ({"to_send": None}, WrongType, "to_send= takes text or bytes"),
        ({"client": object()}, WrongType, "client= needs a method send and a method recv"),
        ({"file": "name.json"}, WrongType, "file= needs a method write, and 'name.json' has none"),
    ],
)
@pytest.mark.asyncio
async def test_arguments_that_cannot_be_meant(arguments, error, sentence):
    """S0-26, S0-27: told before anything is sent."""
    client, file = Client(), io.StringIO()
    given = {"to_send": "x", "client": client, "file": file, "timeout": None, "num_responses": 1}
    with pytest.raises(error, match=sentence):
        await write_communication(**given | arguments)
    assert (client.sent, file.getvalue()) == ([], "")


def test_a_blocking_client():
    """S0-27: coroutines are needed, and the sentence says so."""
    with respond_with(port=0, responses=["x"]) as server, connect(server.url) as client:
        with pytest.raises(WrongType, match=r"ClientConnection gave None and nothing to await: .* an async client"):
            asyncio.run(write_communication(to_send="x", client=client, file=io.StringIO(), timeout=1))


@pytest.mark.asyncio
async def test_a_client_that_gives_no_message():
    """S0-27: what came before it is written."""

    class Odd(Client):
        messages = iter(["text", {"not": "a message"}])

        async def recv(self):
            return next(self.messages)

    file = io.StringIO()
    with pytest.raises(WrongType, match=r"client.recv\(\) has to give text or bytes, not {'not': 'a message'}"):
        await write_communication(to_send="x", client=Odd(), file=file, num_responses=2)
    assert [entry["data"] for entry in json.loads(file.getvalue())] == ["x", "text"]


@pytest.mark.asyncio
async def test_limits_may_be_left_out():
    """S0-25, S0-26"""
    file = io.StringIO()
    await write_communication(to_send="x", client=Client(), file=file, num_responses=2)
    assert len(json.loads(file.getvalue())) == 3
    with pytest.raises(InvalidArguments, match="Both cannot be `None`"):
        await write_communication(to_send="x", client=Client(), file=file)


@pytest.mark.asyncio
async def test_what_several_calls_wrote_is_read_back():
    """S0-27, S0-28: one array for each call, one behind the other."""
    file = io.StringIO()
    for said in ("a", b"\0\1", "ü\n"):
        await write_communication(to_send=said, client=Client(), file=file, num_responses=2)
    file.seek(0)
    assert read_communication(file) == [("a", ["x", "x"]), (b"\0\1", ["x", "x"]), ("ü\n", ["x", "x"])]


def test_a_file_may_be_written_by_hand():
    entries = [
        {"type": "receive", "data": "welcome"},
        {"type": "send", "data": "a"},
        {"type": "send", "data": "b"},
        {"type": "receive", "data": "c"},
        {"type": "receive", "data": {"base64": ""}},
    ]
    file = io.StringIO(f"\n{json.dumps(entries, indent=2)}\n")
    assert read_communication(file) == [(None, ["welcome"]), ("a", []), ("b", ["c", b""])]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"read to its end already: rewind it with file.seek\(0\)"),
        ("hello", "none that write_communication.* wrote: Expecting value"),
        ("[] x", "none that write_communication.* wrote: Expecting value"),
        ('{"type": "send"}', "none that write_communication.* wrote: it holds"),
        ("[7]", "entry 1 of the file is 7, where an object"),
        ('[{"type": "sent", "data": "x"}]', "entry 1 of the file is"),
        ('[{"type": "send", "data": 7}]', "entry 1 of the file is"),
        ('[{"type": "send", "data": {"base64": "?"}}]', "entry 1 of the file has base64 that is none"),
    ],
)
def test_what_is_no_communication(text, sentence):
    with pytest.raises(InvalidArguments, match=sentence):
        read_communication(io.StringIO(text))


def test_a_file_open_for_bytes():
    with pytest.raises(WrongType, match="open for text"):
        read_communication(io.BytesIO(b"[]"))
