"""Pairs: their translation, what they may be, and the texts of their failures. Seed 000 has its own tests."""

# The far end around the client, as everywhere:

import socket

import pytest
import websockets
from dirty_equals import IsJson, IsStr
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

import farend
from farend import (
    AddressError,
    Failure,
    InvalidArguments,
    Script,
    ScriptError,
    WrongType,
    assert_communication,
    respond_with,
)
from farend.dialects.pairs import MOST_CHARACTERS, MOST_PAIRS, ordinal, script_from_pairs


def talk(server, *messages, answers=0):
    """Say the messages, and give so many answers."""
    with connect(server.url) as client:
        for message in messages:
            client.send(message)
        return [client.recv(5) for _ in range(answers)]


# -- translation ------------------------------------------------------------------------------------


def test_pairs_are_a_script():
    pairs = [("a", "b"), ("c", ["d", b"e"]), (None, "f"), ("g", None), ("h", ()), (None, ("i", "j"))]
    script = Script().expect("a").send("b").expect("c").send("d").send(b"e").send("f")
    assert script_from_pairs(pairs) == script.expect("g").expect("h").send("i").send("j")


@pytest.mark.parametrize(
    "communication",
    [
        [("a", "b")],
        (("a", "b"),),
        iter([("a", "b")]),
        (pair for pair in [("a", "b")]),
        {"a": "b"}.items(),
        [["a", "b"]],
        [("a", iter(["b"]))],
    ],
    ids=["list", "tuple", "iterator", "generator", "items", "list of lists", "answer from an iterator"],
)
def test_any_iterable_of_pairs(communication):
    """S0-3"""
    with assert_communication(port=0, communication=communication) as server:
        assert talk(server, "a", answers=1) == ["b"]


def test_buffers_are_copied():
    data = bytearray(b"one")
    answers = ["a", "b"]
    pairs = [(data, data), ("x", answers)]
    server = assert_communication(port=0, communication=pairs)
    data[:] = b"two"
    answers.append("c")
    pairs.clear()
    with server:
        assert talk(server, b"one", "x", answers=3) == [b"one", "a", "b"]


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (farend.json({"op": "subscribe"}), '{"op": "subscribe", "id": 7}'),
        (farend.regex(r"id=\d+"), "id=42"),
        (farend.anything(), b"\0"),
        (IsJson({"a": 1}), '{"a": 1}'),
        (IsStr(regex="h.*"), "hello"),
        (IsStr, "hello"),
        (str, "any text"),
        (bytes, b"any bytes"),
        (lambda message: message.startswith("h"), "hello"),
        (farend.regex("a.*") | farend.regex("b.*"), "bc"),
    ],
    ids=["json", "regex", "anything", "IsJson", "IsStr", "bare IsStr", "str", "bytes", "function", "either"],
)
def test_a_pair_may_expect_whatever_a_script_can(expected, said):
    """S0-6: through the same door as `Script.expect`."""
    with assert_communication(port=0, communication=[(expected, "ok")]) as server:
        assert talk(server, said, answers=1) == ["ok"]


# -- what are no pairs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("communication", "error", "sentence"),
    [
        ("hello", WrongType, r"takes pairs such as \[\('hello', 'there'\)\], not 'hello'"),
        (None, WrongType, "takes pairs such as .*, not None"),
        (7, WrongType, "takes pairs such as .*, not 7"),
        ({"hello": "there"}, WrongType, r"write list\(communication.items\(\)\)"),
        (Script().expect("a"), WrongType, r"a Script is played by WebSocketServer\(script\)"),
        (("hello", "there"), WrongType, "item 1 of it is 'hello'"),
        ([("a", "b"), "cd"], WrongType, "item 2 of it is 'cd'"),
        ([("a", "b"), ("c",)], InvalidArguments, "pair 2 has 1 values.*for none"),
        ([("a", "b", "c")], InvalidArguments, r"pair 1 has 3 values.*for several answers, write \('hello', \['one'"),
        ([("a", "b"), (None, None)], InvalidArguments, "pair 2 is empty"),
        ([(None, [])], InvalidArguments, "pair 1 is empty"),
        ([({"a": 1}, "b")], WrongType, r"pair 1 expects {'a': 1}, and no message is equal to that.*farend.json"),
        ([(7, "b")], WrongType, "pair 1 expects 7"),
        ([("a", {"b": 1})], WrongType, r"pair 1 answers {'b': 1}, which cannot be said.*json.dumps"),
        ([("a", "b"), ("c", ["d", 7])], WrongType, "pair 2 answers 7"),
        ([("a", {"b"})], WrongType, "pair 1 answers {'b'}, which"),
        ([("a", [["b"]])], WrongType, r"pair 1 answers \['b'\], which"),
        ([("a", "\ud800")], ScriptError, "has no UTF-8"),
    ],
)
def test_what_are_no_pairs(communication, error, sentence):
    """S0-3: told at the call, in a sentence, before anything is listened on."""
    with pytest.raises(error, match=sentence) as caught:
        assert_communication(port=0, communication=communication)
    assert str(caught.traceback[0].path) == __file__
    with pytest.raises(error, match=sentence):
        script_from_pairs(communication)


def test_what_is_left_out():
    with pytest.raises(WrongType, match="communication= is missing"):
        assert_communication(12345)
    with pytest.raises(WrongType, match="responses= is missing"):
        respond_with(port=12345)


@pytest.mark.parametrize(
    ("responses", "sentence"),
    [
        ("hello", "takes a list of messages such as .*, not 'hello'"),
        (b"hello", "takes a list of messages"),
        (None, "takes a list of messages"),
        ({"a": 1}, "takes a list of messages"),
        (["a", None], "holds None, which cannot be said"),
        (["a", {"b": 1}], "holds {'b': 1}, which cannot be said.*json.dumps"),
    ],
)
def test_what_are_no_responses(responses, sentence):
    """S0-12"""
    with pytest.raises(WrongType, match=sentence):
        respond_with(port=0, responses=responses)


def test_a_port_that_cannot_be():
    with pytest.raises(InvalidArguments, match="ports go from 0 to 65535"):
        assert_communication(port=70_000, communication=()).__enter__()
    with pytest.raises(WrongType, match="port= takes a number"):
        assert_communication(port="12345", communication=()).__enter__()
    with pytest.raises(AddressError, match="is no address of this machine"):
        assert_communication(port=0, communication=(), host="192.0.2.1").__enter__()


# -- the server's other keywords --------------------------------------------------------------------


def test_other_keywords_are_the_server_s():
    server = assert_communication(
        0, [("a", "b")], deadline=60, name="exchange", subprotocols=["v2"], tls=True, max_size=100
    )
    with server:
        assert (server.deadline, server.name, server.max_size) == (60.0, "exchange", 100)
        with connect(server.url, ssl=server.client_ssl_context, subprotocols=["v1", "v2"]) as client:
            assert client.subprotocol == "v2"
            client.send("a")
            assert client.recv() == "b"


def test_the_far_end_can_be_asked_afterwards():
    with assert_communication(port=0, communication=[("a", ["b", "c"])]) as server:
        talk(server, "a", answers=2)
    [transcript] = server.transcripts
    assert (transcript.received, transcript.sent, server.findings) == (["a"], ["b", "c"], ())


# -- the texts --------------------------------------------------------------------------------------


def failure_of(communication, *messages, **options):
    with pytest.raises(Failure) as caught:
        with assert_communication(port=0, communication=communication, **options) as server:
            talk(server, *messages)
    return str(caught.value)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        *[(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (10, "10th"), (20, "20th"), (1000, "1000th")],
        *[(11, "11th"), (12, "12th"), (13, "13th"), (111, "111th"), (112, "112th"), (1013, "1013th")],
        *[(21, "21st"), (22, "22nd"), (23, "23rd"), (101, "101st"), (122, "122nd"), (1003, "1003rd")],
    ],
)
def test_ordinals(number, name):
    """S0-24"""
    assert ordinal(number) == name


def test_what_was_expected_of_a_matcher_has_no_quotes():
    """S0-9: it is no value."""
    text = failure_of([(farend.json({"op": "subscribe"}), "ok")], '{"op": "quit"}')
    assert text == 'Failed 1st step:\nExpected: json {\'op\': \'subscribe\'}\nGot: "{"op": "quit"}"'


def test_a_long_message_is_elided():
    """S0-9: up to a length that one can read, it is there to the letter."""
    most, more = "x" * MOST_CHARACTERS, "x" * (MOST_CHARACTERS + 1)
    assert failure_of([("a", "b")], most) == f'Failed 1st step:\nExpected: "a"\nGot: "{most}"'
    text = failure_of([("a", "b")], more)
    assert text.startswith('Failed 1st step:\nExpected: "a"\nGot: \'xxx')
    assert text.endswith("… (str, 2,001 characters)")


def test_many_pairs_left_are_counted():
    """S0-23"""
    pairs = [(str(number), None) for number in range(MOST_PAIRS + 1)]
    text = failure_of([("a", "b"), *pairs], "a")
    assert text.startswith("No more input messages. Expecting more: [('0', None), ('1', None), ")
    assert text.endswith("('19', None), … and 1 more]")


def test_several_messages_after_the_end():
    """S0-28"""
    text = failure_of([("a", None)], "a", "b", "c")
    assert text == 'Failed 2nd step:\nExpected: nothing more\nGot: "b"'


@pytest.mark.asyncio
async def test_nobody_came_where_nothing_was_to_be_said():
    """S0-20, S0-22: "Did not receive any messages." would be another story."""
    with pytest.raises(Failure, match=r"^Nobody connected"):
        async with assert_communication(port=0, communication=[(None, "hi")], deadline=0.1):
            pass


def test_pings_are_no_messages():
    """S0-10, S0-22"""
    with pytest.raises(Failure) as caught:
        with assert_communication(port=0, communication=[("a", "b")]) as server, connect(server.url) as client:
            assert client.ping().wait(5)
    assert str(caught.value) == "Did not receive any messages."


def test_other_findings_tell_their_own_sentence():
    """And the connection ends in order, not at the deadline."""
    with pytest.raises(Failure, match="A message is larger than the limit of 100 bytes") as caught:
        with assert_communication(port=0, communication=[("a", "b")], max_size=100) as server:
            talk(server, "x" * 200, answers=1)
    assert isinstance(caught.value.near_end_error, ConnectionClosedError)
    assert caught.value.near_end_error.rcvd.code == 1009
    assert [entry.kind.name for entry in server.transcripts[0]] == ["CONNECTED", "RECEIVED", "FOUND", "CLOSED", "ENDED"]
    assert server.transcripts[0].received == [b"x" * 200]


@pytest.mark.asyncio
async def test_answers_in_a_row_do_not_wait_for_each_other():
    """Nagle's algorithm would hold back each but the first for 40 ms."""
    async with assert_communication(port=0, communication=[("a", ["b", "c"])]) as server:
        async with websockets.connect(server.url) as client:
            await client.send("a")
            assert [await client.recv(), await client.recv()] == ["b", "c"]
            [driver] = server._drivers
            assert driver.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
