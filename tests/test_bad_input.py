"""Bad input, and what it gets: a named error at the caller's line, or a finding with the sentence.

After each misbehaving client the far end goes on serving the others, and all that came is told.
"""

import contextlib
import select
import socket
import ssl
import struct

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect
from websockets.uri import parse_uri

from farend import (
    AddressError,
    Failure,
    InvalidArguments,
    Raw,
    Script,
    ScriptError,
    TcpServer,
    WebSocketClient,
    WebSocketServer,
    WrongType,
    assert_communication,
    rehearse,
)
from farend import Frame as ByHand

GREETING = Script().expect("hello").send("there")
PING = Script().expect(b"PING\n").send(b"PONG\n")


# -- what the caller writes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "error", "sentence"),
    [
        (lambda: Script().send(5), WrongType, r"send takes str, bytes.*not 5; to say it as JSON, write send\(json="),
        (lambda: Script().expect({"op": 1}), WrongType, r"write expect\(json=\{'op': 1\}\)"),
        (lambda: Script().malformed("masked-fram"), InvalidArguments, r"did you mean 'masked-frame'\?"),
        (lambda: Script().send(ByHand(16)), ScriptError, r"Frame\(opcode=16\): it is from 0 to 15"),
        (
            lambda: TcpServer(Script().malformed("rsv1")),
            ScriptError,
            r"it has no frames; .*send\(Raw\(",
        ),
        (
            lambda: rehearse(Script().send(Raw(b""))),
            ScriptError,
            r"in memory, where messages go whole",
        ),
        (lambda: WebSocketClient(Script().malformed("wrong-accept"), "ws://a"), ScriptError, r"it is the server that"),
        (lambda: Script().frame(0x3), AttributeError, r"a Script has no 'frame'; did you mean 'send'\?"),
        (lambda: Script([("expekt", "hello")]), ScriptError, "no step called 'expekt'; did you mean 'expect'"),
        (lambda: Script(["hello"]), WrongType, r"pairs such as \('expect', 'hello'\), not 'hello'"),
        (lambda: TcpServer("hello"), WrongType, "a far end takes a Script, a list of them, or a mapping of paths"),
        (lambda: WebSocketServer({}), InvalidArguments, "an empty mapping of paths"),
        (lambda: WebSocketServer({"feed": GREETING}), InvalidArguments, "write '/feed'"),
        (lambda: assert_communication(communication=[("a", "b", "c")]), InvalidArguments, "pair 1 has 3 values"),
        (lambda: TcpServer(PING, deadline=0), InvalidArguments, "a deadline is a number of seconds above 0"),
        (lambda: TcpServer(PING, max_size=0), (WrongType, InvalidArguments), "max_size"),
        (lambda: TcpServer(PING, tls="yes"), WrongType, "tls= takes True, or an ssl.SSLContext"),
        (lambda: TcpServer(GREETING.copy().close(1001)), ScriptError, "it has no close codes"),
        (lambda: TcpServer(Script().expect(b"")), ScriptError, "nothing cannot be seen to arrive"),
    ],
)
def test_what_cannot_be_meant_raises_at_once(write, error, sentence):
    with pytest.raises(error, match=sentence):
        write()


@pytest.mark.asyncio
async def test_an_empty_communication_expects_nobody():
    async with assert_communication(port=0, communication=[]):
        pass


def test_a_port_that_is_taken():
    with TcpServer() as first, pytest.raises(AddressError, match=r"port \d+ on 127.0.0.1 is taken.*give your client"):
        TcpServer(port=first.port).start()


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(AddressError, match=r"the folder .*nowhere is not there"):
        TcpServer(unix_path=tmp_path / "nowhere" / "socket").start()


# -- what the near end does -------------------------------------------------------------------------


def raw(server):
    return socket.create_connection((server.host, server.port), timeout=10)


def read_to_the_end(client):
    """All that comes, until the far end ends the connection: it must, or this times out."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            came += data
    return came


def opened(server):
    """A socket on which the WebSocket handshake is done, and the sans-I/O protocol to make frames with."""
    client = raw(server)
    protocol = ClientProtocol(parse_uri(server.url))
    protocol.send_request(protocol.connect())
    client.sendall(b"".join(protocol.data_to_send()))
    while protocol.state.name == "CONNECTING":
        protocol.receive_data(client.recv(65536))
    return client, protocol


def one_finding(server, kind):
    [finding] = server.findings
    assert type(finding).__name__ == kind, finding
    return finding


def says(client, data):
    client.sendall(data)
    return read_to_the_end(client)


@contextlib.contextmanager
def others_are_served(server, script_client):
    """The far end served somebody before, serves somebody after, and fails the test in the end."""
    with pytest.raises(Failure) as caught, server:
        script_client(server)
        yield caught
        script_client(server)


@contextlib.contextmanager
def impatient(server):
    """Whoever connects now is given 0.1 s; who came before and who comes behind has time, on a slow machine as well."""
    server.deadline, patient = 0.1, server.deadline
    yield
    server.deadline = patient


def until_it_is_cut(client):
    """Wait for the end of a connection without reading from it."""
    poll = select.poll()
    poll.register(client, 0)  # an error, or a hang-up, is told in any case
    assert poll.poll(30_000)


def greet(server):
    options = {"ssl": server.client_ssl_context} if server.url.startswith("wss") else {}
    with connect(server.url, **options) as client:
        client.send("hello")
        assert client.recv() == "there"


def ping(server):
    with raw(server) as client:
        client.sendall(b"PING\n")
        assert client.recv(5) == b"PONG\n"


def test_an_http_request_to_the_websocket_port():
    server = WebSocketServer(GREETING)
    with others_are_served(server, greet), raw(server) as client:
        answer = says(client, b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"426 Upgrade Required" in answer
    assert "did not open a WebSocket" in one_finding(server, "ProtocolViolation").sentence
    assert b"GET /index.html" in server.transcripts[1].received[0]


def test_a_websocket_handshake_to_the_tcp_port():
    server = TcpServer(PING)
    with others_are_served(server, ping) as caught, raw(server) as client:
        says(client, b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    assert one_finding(server, "Mismatch").got == b"GET /"
    assert "Play the script on a WebSocketServer" in " ".join(str(caught.value).split())


@pytest.mark.parametrize(("server", "client"), [(TcpServer(PING), ping), (WebSocketServer(GREETING), greet)])
def test_tls_to_a_plain_port(server, client):
    with others_are_served(server, client) as caught, raw(server) as sock:
        context = ssl.create_default_context()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(sock, server_hostname="localhost")
    assert "TLS" in str(caught.value)


def test_plain_words_to_a_tls_port():
    server = WebSocketServer(GREETING, tls=True)
    with others_are_served(server, greet), raw(server) as client:
        says(client, b"hello, is anybody there?\r\n")
    assert "TLS" in one_finding(server, "ProtocolViolation").sentence


def test_a_certificate_that_the_client_refuses():
    server = WebSocketServer(GREETING, tls=True)
    with others_are_served(server, greet), pytest.raises(ssl.SSLCertVerificationError):
        connect(server.url, ssl=ssl.create_default_context())
    sentence = one_finding(server, "ProtocolViolation").sentence
    assert "refused the certificate" in sentence
    assert "client_ssl_context" in sentence


def test_a_message_larger_than_the_limit():
    server = WebSocketServer(GREETING, max_size=1000)
    with others_are_served(server, greet):
        client, protocol = opened(server)
        with client:
            protocol.send_text(b"x" * 1001)
            says(client, b"".join(protocol.data_to_send()))
    assert "larger than the limit of 1,000 bytes" in one_finding(server, "TooLarge").sentence
    assert b"".join(server.transcripts[1].received) == b"x" * 1001


@pytest.mark.parametrize("frame", [b"\x83\x80mask", b"\xf1\x80mask", b"\x81\x02hi", b"\x80\x80mask"])
def test_a_frame_that_is_none(frame):
    server = WebSocketServer(GREETING)
    with others_are_served(server, greet):
        client, _ = opened(server)
        with client:
            says(client, frame + b"and more")
    assert "The near end broke the protocol" in one_finding(server, "ProtocolViolation").sentence
    assert b"".join(server.transcripts[1].received) == frame + b"and more"


def test_a_stream_with_no_message_in_it_up_to_the_limit():
    server = TcpServer(Script().expect(json={"id": 1}).send(b"ok"), max_size=1000)
    with pytest.raises(Failure, match="larger than the limit of 1,000 bytes"), server, raw(server) as client:
        says(client, b"x" * 2000)
    assert b"".join(server.transcripts[0].received) == b"x" * 2000


def test_the_limit_is_16_mib_unless_said_otherwise():
    assert TcpServer().max_size == WebSocketServer().max_size == 16 << 20


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(Opcode.TEXT, b"caf\xe9")],
        [Frame(Opcode.TEXT, b"caf\xc3", fin=False), Frame(Opcode.CONT, b"(")],
    ],
    ids=["whole", "between fragments"],
)
def test_text_that_is_not_utf8(frames):
    server = WebSocketServer(GREETING)
    with others_are_served(server, greet):
        client, _ = opened(server)
        with client:
            answer = says(client, b"".join(frame.serialize(mask=True) for frame in frames))
            assert (1007).to_bytes(2) in answer
    finding = one_finding(server, "ProtocolViolation")
    assert "not UTF-8" in finding.sentence
    assert server.transcripts[1].received == [b"".join(bytes(frame.data) for frame in frames)]


@pytest.mark.parametrize("did", ["ended", "reset"])
def test_half_a_frame(did):
    server = WebSocketServer(GREETING)
    with others_are_served(server, greet):
        client, _ = opened(server)
        with client:
            client.sendall(Frame(Opcode.TEXT, b"hello").serialize(mask=True)[:-2])
            if did == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                client.shutdown(socket.SHUT_WR)
                read_to_the_end(client)
    assert f"{did} the connection in the middle of a message" in one_finding(server, "ProtocolViolation").sentence
    assert len(server.transcripts[1].received[0]) == 3


def test_a_client_that_connects_and_says_nothing():
    for server, client in ((TcpServer(PING, deadline=30), ping), (WebSocketServer(GREETING, deadline=30), greet)):
        with others_are_served(server, client), impatient(server), raw(server) as silent:
            read_to_the_end(silent)
        assert "0.1 s" in server.findings[0].sentence


def test_a_client_that_never_reads():
    flood = Script().repeat(1000, Script().send(b"x" * 65536))
    server = TcpServer([PING, flood, PING], deadline=30)
    with pytest.raises(Failure, match=r"has read nothing for \d"), server:
        ping(server)
        with impatient(server), raw(server) as client:
            until_it_is_cut(client)
        ping(server)
    assert "NotReading" in {type(finding).__name__ for finding in server.findings}
