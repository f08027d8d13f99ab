"""Seed 001, the embedded test server: S1-1 to S1-33, and its examples with only the import changed."""

import asyncio
import errno
import http.client
import select
import socket
import struct
import threading

import pytest
import requests

import farend
from farend import (
    BREAK,
    RECEIVE,
    AsyncioCommandServer,
    CommandServer,
    InvalidArguments,
    OneShotServer,
    TestingSocket,
    WrongType,
)

HTTP = "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def to_the_end(client):
    return b"".join(iter(lambda: client.recv(65536), b""))


def said_and_heard(server, said):
    with connected(server) as client:
        client.sendall(said)
        return to_the_end(client)


# -- the examples ---------------------------------------------------------------------------------


def test_the_first_example():
    """S1-1, S1-2, S1-3, S1-5, S1-6, S1-7, S1-8, S1-9, S1-15, S1-32: with a reply that is HTTP."""
    # create server
    srvr = CommandServer([RECEIVE, HTTP])

    # run client
    r = requests.get("http://localhost:%s/hello" % srvr.port)  # noqa: UP031
    assert "hello world" in r.text

    srvr.stop()


def test_the_example_with_a_number():
    """S1-10, S1-13, S1-14, S1-32."""
    # create server
    srvr = CommandServer([20, HTTP])

    r = requests.get("http://localhost:%s/hello" % srvr.port)  # noqa: UP031

    allReceived = b"".join(srvr.received)  # noqa: N806
    assert b"GET" in allReceived

    assert r.ok
    srvr.stop()


@pytest.mark.asyncio
async def test_the_asyncio_example():
    """S1-18, S1-19, S1-20, S1-32: the client blocks the loop, and the reader is read afterwards."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()

    srvr = AsyncioCommandServer([20, HTTP], reader=reader, loop=loop)
    r = requests.get("http://localhost:%s/hello" % srvr.port)  # noqa: ASYNC210, UP031

    dataReceivedByServer = await reader.read()  # noqa: N806
    assert b"GET /hello" in dataReceivedByServer

    assert r.ok
    srvr.stop()


def test_the_example_of_the_testing_socket():
    """S1-23, S1-24, S1-25."""
    with CommandServer([RECEIVE, HTTP], verbose=False) as srvr:
        sock = TestingSocket(sock=connected(srvr))
        sock.breakOn("byte-me", OSError(errno.EPIPE, "gotcha"))
        client = http.client.HTTPConnection("localhost", srvr.port)
        client.sock = sock
        client.request("GET", "/hello")
        assert client.getresponse().read() == b"hello world"

        assert b"GET" in sock._data["data_out"], "ok"
        assert sock._data["send_calls"] < 3, "too many calls"
        assert sock._data["sendall_calls"] < 3, "too many calls"

        with pytest.raises(OSError, match="gotcha") as raised:
            sock.sendall(b"byte-me")
        assert raised.value.errno == errno.EPIPE
        client.close()
        sock.close()


# -- the servers ----------------------------------------------------------------------------------


def test_the_names_are_there():
    """S1-1: and `BREAK`, which S1-28 adds."""
    names = {"CommandServer", "AsyncioCommandServer", "OneShotServer", "TestingSocket", "RECEIVE", "BREAK"}
    assert names <= set(farend.__all__)
    assert (RECEIVE, BREAK) == (0, None)


def test_a_server_that_misbehaves():
    """S1-2: it hangs up in the middle of what it says."""
    with CommandServer([RECEIVE, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"], verbose=False) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("GET", "/")
        with pytest.raises(http.client.IncompleteRead):
            client.getresponse().read()
        client.close()


def test_a_blocking_client_on_the_test_s_thread():
    """S1-3: the server needs nothing of the thread that made it, and each has the one shared thread."""
    before = threading.active_count()
    with CommandServer("hello", verbose=False) as server, CommandServer("you", verbose=False) as another:
        assert said_and_heard(server, b"x") == b"hello"
        assert said_and_heard(another, b"x") == b"you"
        assert threading.active_count() <= before + 1


def test_one_for_each_unit_test():
    """S1-4: a hundred, one after the other, on a fresh port each, with no pause between them."""
    for number in range(100):
        server = CommandServer([RECEIVE, f"hello {number}"], verbose=False)
        assert said_and_heard(server, b"x") == b"hello %d" % number
        server.stop()


def test_it_can_be_connected_to_when_the_constructor_returns():
    """S1-5."""
    for _ in range(20):
        server = CommandServer(["hello"], verbose=False)
        with connected(server) as client:
            assert client.recv(10) == b"hello"
        server.stop()


def test_its_port_is_the_one_that_listens():
    """S1-6."""
    with CommandServer(["hello"], verbose=False) as server:
        assert isinstance(server.port, int)
        with socket.create_connection(("localhost", server.port), timeout=5) as client:
            assert client.getpeername() == (server.host, server.port)


def test_commands_run_in_order():
    """S1-7, S1-9: text and bytes, before and after what the client says."""
    with CommandServer(["220 hi\n", RECEIVE, b"250 ", "ok\n", 4, b"221 bye\n"], verbose=False) as server:
        with connected(server) as client:
            assert client.recv(100) == b"220 hi\n"
            client.sendall(b"EHLO")
            assert client.recv(100) in (b"250 ok\n", b"250 ")
            client.sendall(b"QUIT")
            assert to_the_end(client).endswith(b"221 bye\n")
        assert server.received == [b"EHLO", b"QUIT"]


def test_receive_reads_at_least_one_byte():
    """S1-8: with no byte there is no reply; with one there is."""
    with CommandServer([RECEIVE, "hello"], verbose=False) as server, connected(server) as client:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(10)
        client.settimeout(5)
        client.sendall(b"x")
        assert client.recv(10) == b"hello"
        assert server.received == [b"x"]


def test_a_number_reads_at_least_as_many_bytes():
    """S1-10: nothing is said after 19 bytes, and more than 20 may come."""
    with CommandServer([20, "hello world"], verbose=False) as server, connected(server) as client:
        client.sendall(b"x" * 19)
        assert server.received == []
        client.sendall(b"yz")
        assert client.recv(100) == b"hello world"
        assert server.received == [b"x" * 19 + b"yz"]


def test_the_end_of_the_commands_hangs_up():
    """S1-11: and no byte of the reply is lost, though the client goes on talking."""
    with CommandServer([1, b"x" * 300_000], verbose=False) as server, connected(server) as client:
        client.sendall(b"a" * 1000)
        client.sendall(b"b" * 1000)
        assert to_the_end(client) == b"x" * 300_000


def test_several_connections_one_at_a_time():
    """S1-12: a later one is connected, waits, and gets the same commands from the start."""
    with CommandServer([RECEIVE, "one", RECEIVE, "two"], verbose=False) as server:
        with connected(server) as first, connected(server) as second:
            second.sendall(b"x")
            first.sendall(b"a")
            assert first.recv(10) == b"one"
            assert server.received == [b"a"]
            first.sendall(b"b")
            assert to_the_end(first) == b"two"
            assert second.recv(10) == b"one"
            second.sendall(b"y")
            assert to_the_end(second) == b"two"
        assert server.received == [b"a", b"b", b"x", b"y"]


def test_received_holds_bytes_only():
    """S1-13: never None, not even for a client that said nothing."""
    with CommandServer([RECEIVE, "hello"], verbose=False) as server:
        with connected(server) as client:
            client.shutdown(socket.SHUT_WR)
            assert to_the_end(client) == b"hello"
        assert said_and_heard(server, b"GET /") == b"hello"
        assert b"".join(server.received) == b"GET /"
        assert server.received == [b"GET /"]


def test_received_is_there_as_soon_as_the_client_call_returns():
    """S1-14: also where the call is no more than a send."""
    with CommandServer([RECEIVE, RECEIVE], verbose=False) as server, connected(server) as client:
        for said in (b"one", b"two"):
            client.sendall(said)
            assert server.received[-1] == said


def test_stop():
    """S1-15: nobody can connect any more; a second stop does nothing."""
    server = CommandServer([RECEIVE], verbose=False)
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        connected(server)


def test_it_prints_what_it_does(capsys):
    """S1-16: by default."""
    server = CommandServer("hello")
    said_and_heard(server, b"x")
    server.stop()
    assert "SERVER: sent 5 bytes" in capsys.readouterr().out
    quiet = CommandServer("hello", verbose=False)
    said_and_heard(quiet, b"x")
    quiet.stop()
    assert capsys.readouterr() == ("", "")


def test_text_in_place_of_the_list():
    """S1-17: `CommandServer("x")` is `[RECEIVE, "x"]`."""
    with CommandServer("hello", verbose=False) as server, connected(server) as client:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(10)
        client.settimeout(5)
        client.sendall(b"x")
        assert to_the_end(client) == b"hello"


@pytest.mark.asyncio
async def test_the_reader_gets_what_is_received_and_the_end():
    """S1-18, S1-19: as it comes, and the end of the stream where the commands end."""
    reader = asyncio.StreamReader()
    with AsyncioCommandServer([4, "one", 4, "two"], asyncio.get_running_loop(), reader, verbose=False) as server:
        near, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"abcd")
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"abcd"
        assert not reader.at_eof()
        writer.write(b"efgh")
        assert await asyncio.wait_for(near.read(), 5) == b"onetwo"
        assert await asyncio.wait_for(reader.read(), 5) == b"efgh"
        assert server.received == [b"abcd", b"efgh"]
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_feeding_is_thread_safe():
    """S1-20: with the loop in debug mode, which refuses calls from other threads."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    reader = asyncio.StreamReader()
    with AsyncioCommandServer([RECEIVE, "hello"], loop, reader, verbose=False) as server:
        waiting = asyncio.create_task(reader.read())
        assert await asyncio.to_thread(said_and_heard, server, b"from a thread") == b"hello"
        assert await asyncio.wait_for(waiting, 5) == b"from a thread"


def test_one_shot():
    """S1-21: it needs no stop, and nobody can connect after the first."""
    server = OneShotServer([RECEIVE, "hello"], verbose=False)
    assert said_and_heard(server, b"x") == b"hello"
    with pytest.raises(ConnectionRefusedError):
        connected(server)
    assert server.received == [b"x"]


def test_the_keywords_and_their_order():
    """S1-27: the default port is the system's choice; it could not be 2222 twice."""
    with CommandServer(["a"], verbose=False) as one, CommandServer(["b"], "127.0.0.1", 0, False) as two:
        assert one.port != two.port
        assert one.host == two.host == "127.0.0.1"
    with CommandServer(["c"], host="127.0.0.1", port=one.port, verbose=False) as three:
        assert three.port == one.port
        assert said_and_heard(three, b"") == b"c"


@pytest.mark.asyncio
async def test_the_keywords_of_the_asyncio_server():
    """S1-27: no loop, no feeding."""
    reader = asyncio.StreamReader()
    with AsyncioCommandServer([RECEIVE, "hello"], None, reader, "127.0.0.1", 0, False) as server:
        near, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"x")
        assert await near.read() == b"hello"
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0)
    assert not reader._buffer
    assert not reader.at_eof()


def test_break_cuts_the_connection():
    """S1-28: with a reset."""
    with CommandServer([RECEIVE, BREAK], verbose=False) as server, connected(server) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(10)
        assert server.received == [b"x"]


def test_text_is_sent_as_utf_8():
    """S1-28: the released tool fails with anything but ASCII."""
    with CommandServer("grüß dich ✓", verbose=False) as server:
        assert said_and_heard(server, b"x").decode() == "grüß dich ✓"
        assert server.numBytesSent == len("grüß dich ✓".encode())


def test_a_negative_number():
    """S1-28: at least abs(n)."""
    with CommandServer([-4, "hello"], verbose=False) as server, connected(server) as client:
        client.sendall(b"abc")
        assert server.received == []
        client.sendall(b"d")
        assert to_the_end(client) == b"hello"


def test_an_early_end_goes_on_with_the_commands():
    """S1-28: the read takes what there is, and what is to be sent is sent."""
    with CommandServer([20, "hello", RECEIVE, " world"], verbose=False) as server:
        with connected(server) as client:
            client.sendall(b"short")
            client.shutdown(socket.SHUT_WR)
            assert to_the_end(client) == b"hello world"
        assert server.received == [b"short"]


def test_the_number_of_bytes_sent():
    """S1-28: over all connections."""
    with CommandServer(["hello", b" world"], verbose=False) as server:
        assert server.numBytesSent == 0
        for number in (1, 2, 3):
            assert said_and_heard(server, b"") == b"hello world"
            assert server.numBytesSent == 11 * number


def test_what_is_printed(capsys):
    """S1-29: the lines, in their order."""
    server = CommandServer([RECEIVE, "hello", RECEIVE])
    with connected(server) as client:
        port = client.getsockname()[1]
        client.sendall(b"abc")
        assert client.recv(10) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert to_the_end(client) == b""
    server.stop()
    assert capsys.readouterr().out.splitlines() == [
        "SERVER: initialized",
        "SERVER: received some 3 bytes",
        "SERVER: sent 5 bytes",
        "SERVER: socket recv null",
        f"SERVER: closing socket connection {port} after 5 bytes",
    ]


def test_what_is_printed_of_a_silent_client(capsys):
    """S1-29."""
    with CommandServer([RECEIVE], deadline=0.05) as server, connected(server) as client:
        assert to_the_end(client) == b""
    assert "SERVER: timedout" in capsys.readouterr().out.splitlines()


@pytest.mark.asyncio
async def test_what_the_asyncio_server_prints(capsys):
    """S1-29."""
    reader = asyncio.StreamReader()
    server = AsyncioCommandServer([3, "hello"], reader=reader, loop=asyncio.get_running_loop())
    assert await asyncio.to_thread(said_and_heard, server, b"abc") == b"hello"
    assert await reader.read() == b"abc"
    server.stop()
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("SERVER: feed_data 3 bytes") < lines.index("SERVER: atEOF")


# -- the socket -----------------------------------------------------------------------------------


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    near = TestingSocket(sock=near)
    near.settimeout(5)
    far.settimeout(5)
    with near, far:
        yield near, far


def test_it_is_a_true_socket(pair):
    """S1-22: with select."""
    near, far = pair
    assert isinstance(near, socket.socket)
    assert select.select([near], [near], [], 0) == ([], [near], [])
    far.sendall(b"x")
    assert select.select([near], [], [], 5)[0] == [near]


@pytest.mark.asyncio
async def test_it_works_with_asyncio(pair):
    """S1-22: by hand, and under a transport."""
    near, far = pair
    near.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(near, b"hello")
    assert far.recv(10) == b"hello"
    reader, writer = await asyncio.open_connection(sock=near)
    writer.write(b" world")
    far.sendall(b"back\n")
    assert await reader.readline() == b"back\n"
    assert far.recv(10) == b" world"
    assert near._data["data_out"] == b"hello world"
    writer.close()
    await writer.wait_closed()


def test_it_keeps_and_counts_what_is_sent(pair):
    """S1-23, S1-26: a trigger that does not come changes nothing."""
    near, far = pair
    near.breakOn("never", OSError(errno.EPIPE, "gotcha"))
    near.send(b"one ")
    near.sendall(b"two ")
    near.sendall(b"three")
    assert far.recv(100) == b"one two three"
    assert near._data == {"data_out": b"one two three", "send_calls": 1, "sendall_calls": 2}


@pytest.mark.parametrize("trigger", ["byte-me", b"byte-me"])
@pytest.mark.parametrize("method", ["send", "sendall"])
def test_it_breaks(pair, trigger, method):
    """S1-24, S1-25: the very exception that was given; nothing of that send goes out."""
    near, far = pair
    gotcha = OSError(errno.EPIPE, "gotcha")
    near.breakOn(trigger, gotcha)
    with pytest.raises(OSError, match="gotcha") as raised:
        getattr(near, method)(b"please byte-me now")
    assert raised.value is gotcha
    assert raised.value.errno == errno.EPIPE
    near.close()
    assert far.recv(10) == b""


def test_how_it_is_made():
    """S1-30: as a socket is; with nothing counted yet."""
    with TestingSocket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock._data == {"data_out": b"", "send_calls": 0, "sendall_calls": 0}
        with CommandServer("hello", verbose=False) as server:
            sock.settimeout(5)
            sock.connect((server.host, server.port))
            sock.sendall(b"x")
            assert to_the_end(sock) == b"hello"


def test_it_takes_over_a_socket():
    """S1-30: with its timeout, and its descriptor."""
    near, far = socket.socketpair()
    near.settimeout(3.5)
    number = near.fileno()
    with TestingSocket(sock=near) as sock, far:
        assert near.fileno() == -1
        assert (sock.fileno(), sock.gettimeout()) == (number, 3.5)
        sock.sendall(b"x")
        assert far.recv(1) == b"x"


def test_data_is_kept_before_the_exception(pair):
    """S1-30."""
    near, _ = pair
    near.breakOn("b", ValueError("now"))
    with pytest.raises(ValueError, match="now"):
        near.send(b"abc")
    assert near._data["data_out"] == b"abc"
    assert near._data["send_calls"] == 1


def test_a_trigger_in_two_parts(pair):
    """S1-31: and every send after it breaks too."""
    near, far = pair
    near.breakOn("byte-me", OSError(errno.EPIPE, "gotcha"))
    near.sendall(b"do byt")
    for said in (b"e-me", b"again"):
        with pytest.raises(OSError, match="gotcha"):
            near.sendall(said)
    assert near._data["data_out"] == b"do byte-meagain"
    assert far.recv(100) == b"do byt"


# -- what the seed leaves open --------------------------------------------------------------------


def test_the_seed_s_reply_is_not_http():
    """S1-32: as the seed has it, `requests` can only say that it is none."""
    with CommandServer([RECEIVE, "hello world"], verbose=False) as server:
        with pytest.raises(requests.ConnectionError, match="hello world"):
            requests.get(f"http://localhost:{server.port}/hello")
        assert server.received[0].startswith(b"GET /hello")


def test_connections_at_the_same_time():
    """S1-33: a silent one does not block those behind it for good."""
    with CommandServer(["hi", RECEIVE, "hello"], deadline=0.1, verbose=False) as server, connected(server) as silent:
        assert said_and_heard(server, b"x") == b"hihello"
        assert to_the_end(silent) == b"hi"


def test_servers_at_the_same_time():
    """S1-33."""
    servers = [CommandServer(f"hello {number}", verbose=False) for number in range(10)]
    for number, server in enumerate(servers):
        assert said_and_heard(server, b"x") == b"hello %d" % number
        server.stop()


def test_a_client_that_resets():
    """S1-33: the next one is served."""
    with CommandServer([RECEIVE, "hello"], verbose=False) as server:
        client = connected(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        assert said_and_heard(server, b"x") == b"hello"


def test_a_read_that_falls_short_is_told():
    """S1-33: in the findings; raised only where that was asked for."""
    server = CommandServer([20, "hello"], verbose=False)
    with connected(server) as client:
        client.sendall(b"short")
        client.shutdown(socket.SHUT_WR)
        to_the_end(client)
    server.stop()
    [finding] = server.findings
    assert "b'short'" in str(finding)
    with pytest.raises(farend.Failure, match="short"):
        server.stop(check=True)


@pytest.mark.parametrize(
    ("commands", "error", "text"),
    [
        ([], InvalidArguments, "at least one command"),
        ([True], WrongType, "write 1 if that many bytes are meant"),
        ([1.5], WrongType, "command 1 is 1.5"),
        ([RECEIVE, {"a": 1}], WrongType, "command 2 is {'a': 1}"),
        ([BREAK, "x"], InvalidArguments, "make BREAK the last command"),
        (20, WrongType, r"write \[20\]"),
    ],
)
def test_commands_that_cannot_be_played(commands, error, text):
    """S1-33: told when the server is made, in a sentence."""
    with pytest.raises(error, match=text):
        CommandServer(commands, verbose=False)
