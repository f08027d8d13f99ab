"""The guide's examples. What stands between `# [name]` and `# [/name]` is shown in docs/guide.md."""

import json
import re
import socket
import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import farend
from farend import Failure, Script, TcpClient, TcpServer, WebSocketServer
from farend.findings import Mismatch


def test_a_script_prints_itself():
    # [script]
    script = (
        Script(name="exchange")
        .expect(json={"op": "subscribe"})
        .send(json={"event": "subscribed"})
        .repeat(2, Script().send("tick").expect("ack"))
        .close(1001, "maintenance")
    )
    # [/script]
    assert str(script) == (
        "Script 'exchange' of 4 steps\n"
        "  1. expect json {'op': 'subscribe'}\n"
        '  2. send \'{"event": "subscribed"}\'\n'
        "  3. repeat 2 times\n"
        "     1. send 'tick'\n"
        "     2. expect 'ack'\n"
        "  4. close 1001 'maintenance'"
    )
    assert farend.rehearse(script).clean


def test_replies_are_made_from_what_came():
    # [reply]
    def echo_id(message: str) -> str:
        return json.dumps({"id": json.loads(message)["id"], "ok": True})

    script = Script().repeat(farend.forever, Script().expect(json={"op": "order"}).reply(echo_id))
    # [/reply]
    with WebSocketServer(script) as server, connect(server.url) as client:
        for number in (7, 8):
            client.send(json.dumps({"op": "order", "id": number}))
            assert json.loads(client.recv()) == {"id": number, "ok": True}


def test_groups():
    # [groups]
    script = (
        Script()
        .any_order(
            Script().expect("subscribe books").send("books: ok"),
            Script().expect("subscribe trades").send("trades: ok"),
        )
        .optional(Script().expect("ping").send("pong"))
        .expect("quit")
    )
    # [/groups]
    with WebSocketServer(script) as server, connect(server.url) as client:
        client.send("subscribe trades")
        assert client.recv() == "trades: ok"
        client.send("subscribe books")
        assert client.recv() == "books: ok"
        client.send("quit")


def test_matchers():
    # [matchers]
    from dirty_equals import IsPositiveInt

    script = (
        Script()
        .expect("hello")  # equal text; b"hello" would be another message
        .expect(json={"op": "login", "id": IsPositiveInt})  # an object may have more members
        .expect(re.compile(r"token=\w+"))  # from the first character to the last
        .expect(bytes)  # any binary message
        .expect(lambda message: len(message) < 10)  # a function of yours
        .expect(farend.json({"op": "bye"}) | farend.regex("QUIT.*"))  # combined with & | ~
    )
    # [/matchers]
    with WebSocketServer(script) as server, connect(server.url) as client:
        client.send("hello")
        client.send('{"op": "login", "id": 3, "user": "me"}')
        client.send("token=abc")
        client.send(b"\x00")
        client.send("short")
        client.send("QUIT now")


def test_framings():
    # [framings]
    script = (
        Script(framing=farend.lines())  # for every step that says nothing else
        .expect("HELO me")  # the line ending is the framing's business
        .send("250 hello")
        .expect(b"\x01\x02", framing=farend.length_prefixed(">I"))
    )
    # [/framings]
    with TcpServer(script) as server, socket.create_connection((server.host, server.port)) as client:
        client.sendall(b"HELO me\r\n\x00\x00\x00\x02\x01\x02")
        assert client.makefile("rb").readline() == b"250 hello\n"


def test_a_framing_of_your_own():
    # [framed_by]
    def netstring(data: bytes) -> tuple[int, bytes] | None:  # 5:hello,
        size, colon, rest = data.partition(b":")
        if not colon or len(rest) <= int(size):
            return None  # more is needed
        return len(size) + 1 + int(size) + 1, rest[: int(size)]  # so many bytes are taken; what they say

    def packed(message: bytes) -> bytes:
        return b"%d:%s," % (len(message), message)

    script = Script(framing=farend.framed_by(netstring, pack=packed)).expect("hello").send("there")
    # [/framed_by]
    with TcpServer(script) as server, socket.create_connection((server.host, server.port)) as client:
        client.sendall(b"5:hel")
        client.sendall(b"lo,")
        assert client.recv(100) == b"5:there,"


@pytest.mark.asyncio
async def test_the_test_in_control():
    import websockets

    # [control]
    async with WebSocketServer() as server:
        async with websockets.connect(server.url + "/feed?depth=5") as client:
            peer = await server.connection()
            assert peer.handshake.query == {"depth": "5"}
            await client.send("noise")
            await client.send("hello")
            await peer.drain_until("hello")  # whatever comes before it
            await peer.send("there")
            assert await client.recv() == "there"
        ended = await peer.closed()
        assert ended.code == 1000
    # [/control]


def test_the_blocking_twin():
    # [accept]
    with TcpServer() as server, socket.create_connection((server.host, server.port)) as client:
        peer = server.accept()
        client.sendall(b"PING\n")
        peer.expect(b"PING\n")
        peer.send(b"PONG\n")
        assert client.recv(5) == b"PONG\n"
    # [/accept]


def test_a_connection_that_was_dialled_in_hand():
    def serve():
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as lines:
            lines.write(b"220 " + lines.readline())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        server = threading.Thread(target=serve)
        server.start()
        # [dialled]
        with TcpClient(None, host, port) as client:
            peer = client.blocking_peer  # in an async test: client.peer, whose methods are awaited
            peer.send("HELO me\n")
            peer.expect("220 HELO me\n")
        # [/dialled]
        server.join()


def test_one_script_for_each_connection_and_path():
    # [many]
    greeting = Script().expect("hello").send("there")
    refusal = Script().expect("hello").close(1013, "try again later")

    in_turn = WebSocketServer([refusal, greeting])  # the first connection, then the second
    by_path = WebSocketServer({"/chat": greeting, "/busy": refusal})
    # [/many]
    with in_turn as server:
        assert heard(server.url) == 1013
        assert heard(server.url) == "there"
    with by_path as server:
        assert heard(server.url + "/chat") == "there"
        assert heard(server.url + "/busy") == 1013


def heard(url: str) -> str | int | None:
    """What a client hears that says hello: the answer, or the code with which it is sent away."""
    with connect(url) as client:
        client.send("hello")
        try:
            return str(client.recv())
        except ConnectionClosed:
            return client.close_code


def test_tls():
    pytest.importorskip("trustme")
    # [tls]
    with WebSocketServer(Script().expect("hello").send("there"), tls=True) as server:
        with connect(server.url, ssl=server.client_ssl_context) as client:  # wss://127.0.0.1:…
            client.send("hello")
            assert client.recv() == "there"
    # [/tls]


def test_the_transcript():
    with WebSocketServer(Script().expect("hello").send("there")) as server:
        with connect(server.url + "/chat") as client:
            client.send("hello")
            client.recv()
    # [transcript]
    transcript = server.transcripts[0]
    assert transcript.handshake.path == "/chat"
    assert transcript.received == ["hello"]
    assert transcript.sent == ["there"]
    assert [entry.kind.name for entry in transcript] == ["CONNECTED", "RECEIVED", "SENT", "ENDED"]
    # [/transcript]


def test_findings_are_data():
    # [findings]
    with pytest.raises(Failure) as caught, TcpServer(Script().expect(b"PING\n")) as server:
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"PINK\n")
    [finding] = caught.value.findings
    assert isinstance(finding, Mismatch)
    assert finding.got == b"PINK\n"
    # [/findings]


def test_a_rehearsal():
    # [rehearse]
    script = Script().expect("hello").send("there").close()
    assert farend.rehearse(script).clean  # the script against its own mirror, in memory
    # [/rehearse]
