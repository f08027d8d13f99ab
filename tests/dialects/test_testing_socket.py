"""`TestingSocket`: a true socket everywhere, and what it does where seed 001 says nothing."""

import array
import asyncio
import errno
import http.client
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest

from farend import RECEIVE, CommandServer, InvalidArguments, Script, TcpServer, TestingSocket, WrongType
from farend.core.splits import BYTE_BY_BYTE, Split
from farend.stage import tls
from farend.stage.segments import Run

GOTCHA = OSError(errno.EPIPE, "gotcha")


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    near.settimeout(5)
    far.settimeout(5)
    with TestingSocket(sock=near) as near, far:
        yield near, far


def connected(server):
    sock = TestingSocket()
    sock.settimeout(5)
    sock.connect((server.host, server.port))
    return sock


def heard_of(sock, size):
    data = bytearray()
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


# -- what is kept ---------------------------------------------------------------------------------


def test_what_a_send_did_not_take_is_not_counted_twice(pair):
    """Wrong story: bytes counted twice. asyncio, and every careful client, sends the rest again."""
    near, far = pair
    near.setblocking(False)
    data = bytes(range(256)) * 20_000
    sent = near.send(data)
    assert sent < len(data)
    assert heard_of(far, sent) == data[:sent]
    near.settimeout(5)
    hearing = ThreadPoolExecutor().submit(heard_of, far, len(data) - sent)
    while sent < len(data):
        sent += near.send(memoryview(data)[sent:])
    assert hearing.result(5) == data[len(data) - len(hearing.result()) :]
    assert near._data["data_out"] == data
    assert near._data["send_calls"] > 1


def test_a_send_that_blocks_keeps_nothing(pair):
    near, _ = pair
    near.setblocking(False)
    size = 0
    with pytest.raises(BlockingIOError):
        while True:
            size += near.send(b"x" * 65536)
    assert len(near._data["data_out"]) == size


def test_nothing_is_kept_by_reference(pair):
    """Wrong story: buffers recorded by reference, changed later."""
    near, _ = pair
    buffer = bytearray(b"hello")
    near.send(buffer)
    kept = near._data["data_out"]
    buffer[:] = b"other"
    near.send(buffer)
    assert kept == b"hello"
    assert near._data["data_out"] == b"helloother"
    assert type(kept) is bytes


@pytest.mark.parametrize("data", [memoryview(b"abcd"), array.array("H", [1, 2]), bytearray(b"abcd")])
def test_any_buffer(pair, data):
    near, far = pair
    assert near.send(data) == 4
    near.sendall(data)
    assert far.recv(8) == bytes(data) * 2 == near._data["data_out"]


def test_flags(pair):
    near, far = pair
    assert near.send(b"a", socket.MSG_DONTWAIT) == 1
    near.sendall(b"b", socket.MSG_DONTWAIT)
    assert far.recv(2) == b"ab"


def test_sendmsg_and_sendto_are_seen():
    """S1-23: all data sent. asyncio uses `sendmsg` from Python 3.12 on."""
    with TestingSocket(socket.AF_INET, socket.SOCK_DGRAM) as near, socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5)
        near.sendto(b"one ", far.getsockname())
        near.sendto(b"two ", 0, far.getsockname())
        near.connect(far.getsockname())
        near.sendmsg([b"th", b"ree"])
        assert b"".join(far.recv(10) for _ in range(3)) == near._data["data_out"] == b"one two three"
        assert near._data["send_calls"] == 3
        near.breakOn("x", GOTCHA)
        for send in (lambda: near.sendmsg([b"x"]), lambda: near.sendto(b"x", far.getsockname())):
            with pytest.raises(OSError, match="gotcha"):
                send()


def test_a_file_made_of_it(pair):
    near, far = pair
    with near.makefile("wb") as file:
        file.write(b"hello")
    assert far.recv(5) == b"hello"
    assert near._data["data_out"] == b"hello"


def test_the_record_is_a_mapping_like_any_other(pair):
    """S1-23: it can be compared, copied, printed, and set back."""
    near, _ = pair
    near.send(b"x")
    record = near._data
    near.send(b"y")
    now = {"data_out": b"xy", "send_calls": 2, "sendall_calls": 0}
    assert record == now
    assert dict(record) == now
    assert sorted(record.items()) == sorted(now.items())
    assert repr(record) == repr(now)
    copied = record.copy()
    record["data_out"] = b""
    record["send_calls"] = 0
    near.send(b"z")
    assert (record["data_out"], record["send_calls"]) == (b"z", 1)
    assert copied == now


def test_many_sends_cost_no_more_each():
    """S1-23: what is kept grows in place: 20,000 sends copy it no 20,000 times."""
    near, far = socket.socketpair()
    with TestingSocket(sock=near) as near, far:
        far.settimeout(5)
        for _ in range(20_000):
            near.send(b"x" * 100)
            far.recv(100)
        assert len(near._data.out) == 2_000_000
        assert near._data["send_calls"] == 20_000


# -- where it breaks ------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_trigger_may_be_cut_anywhere(pair, cut):
    """S1-31."""
    near, far = pair
    near.breakOn(b"byte-me", GOTCHA)
    near.send(b"..." + b"byte-me"[:cut])
    with pytest.raises(OSError, match="gotcha"):
        near.send(b"byte-me"[cut:] + b"...")
    assert far.recv(100) == b"..." + b"byte-me"[:cut]
    assert near._data["data_out"] == b"...byte-me..."


def test_a_trigger_byte_by_byte(pair):
    near, _ = pair
    near.breakOn("aab", GOTCHA)
    with pytest.raises(OSError, match="gotcha"):
        for byte in b"aaaab":
            near.send(bytes([byte]))
    assert near._data["data_out"] == b"aaaab"


def test_a_trigger_that_was_sent_already(pair):
    """S1-31: it is looked for in all that was sent."""
    near, _ = pair
    near.send(b"byte-me")
    near.breakOn("byte-me", GOTCHA)
    with pytest.raises(OSError, match="gotcha"):
        near.send(b"x")


def test_a_second_trigger_takes_the_place_of_the_first(pair):
    near, _ = pair
    near.breakOn("one", GOTCHA)
    near.breakOn("two", ConnectionResetError())
    near.sendall(b"one")
    with pytest.raises(ConnectionResetError):
        near.sendall(b"two")


def test_a_class_of_exceptions(pair):
    near, _ = pair
    near.breakOn("x", TimeoutError)
    with pytest.raises(TimeoutError):
        near.send(b"x")


def test_the_same_exception_again_and_again(pair):
    """S1-25: it is raised as given, and its traceback does not grow."""
    near, _ = pair
    near.breakOn("x", GOTCHA)
    lengths = set()
    for _ in range(3):
        with pytest.raises(OSError, match="gotcha") as raised:
            near.send(b"x")
        lengths.add(len(raised.traceback))
    assert len(lengths) == 1


@pytest.mark.parametrize(
    ("trigger", "exception", "error", "sentence"),
    [
        ("", GOTCHA, InvalidArguments, "a trigger of at least one byte"),
        (b"", GOTCHA, InvalidArguments, "a trigger of at least one byte"),
        (1, GOTCHA, WrongType, "takes the trigger as text or bytes, not 1"),
        (None, GOTCHA, WrongType, "takes the trigger as text or bytes, not None"),
        ("x", "gotcha", WrongType, r"such as OSError\(errno.EPIPE, 'gotcha'\), not 'gotcha'"),
        ("x", int, WrongType, "not <class 'int'>"),
        ("x", None, WrongType, "not None"),
    ],
)
def test_bad_triggers(pair, trigger, exception, error, sentence):
    near, far = pair
    with pytest.raises(error, match=sentence):
        near.breakOn(trigger, exception)
    near.sendall(b"x")
    assert far.recv(1) == b"x"


# -- how it is made -------------------------------------------------------------------------------


@pytest.mark.parametrize("sock", [7, "sock"])
def test_what_is_no_socket(sock):
    with pytest.raises(WrongType, match=f"takes a socket to take over, not {sock!r}"):
        TestingSocket(sock=sock)


def test_a_closed_socket():
    sock = socket.socket()
    sock.close()
    with pytest.raises(InvalidArguments, match="this one is closed"):
        TestingSocket(sock=sock)


def test_a_socket_and_more():
    with socket.socket() as sock:
        with pytest.raises(InvalidArguments, match="leave the other arguments out"):
            TestingSocket(socket.AF_INET, sock=sock)
        assert sock.fileno() > 0  # it was not taken over


def test_a_socket_with_tls():
    context = ssl.create_default_context()
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as sock,
    ):
        with pytest.raises(WrongType, match=r"context.wrap_socket\(TestingSocket\(sock=plain\)\)"):
            TestingSocket(sock=sock)
        assert sock.fileno() > 0


def test_one_of_one(pair):
    """S1-30: a `TestingSocket` can be taken over too; the counts start anew."""
    near, far = pair
    near.send(b"x")
    with TestingSocket(sock=near) as again:
        again.send(b"y")
        assert far.recv(2) == b"xy"
        assert again._data["data_out"] == b"y"
        assert again.gettimeout() == 5


def test_a_duplicate(pair):
    near, far = pair
    with near.dup() as twin:
        assert isinstance(twin, TestingSocket)
        twin.send(b"x")
        assert far.recv(1) == b"x"


def test_pytest_does_not_collect_it():
    assert TestingSocket.__test__ is False


# -- where it goes --------------------------------------------------------------------------------


def test_under_http_client():
    with CommandServer([RECEIVE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"], verbose=False) as server:
        client = http.client.HTTPConnection(server.host, server.port)
        client.sock = connected(server)
        sock = client.sock
        client.request("POST", "/", body=b"body")
        assert client.getresponse().read() == b"OK"
        assert sock._data["data_out"] == b"".join(server.received)
        client.close()


@pytest.mark.asyncio
async def test_under_a_transport():
    """S1-22: with more than fits at once, so that the transport comes back to it."""
    data = bytes(range(256)) * 20_000
    script = Script().expect(data).send("thanks").close()
    async with TcpServer(script) as server:
        sock = connected(server)
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(data)
        assert await reader.read() == b"thanks"
        writer.close()
        await writer.wait_closed()
    assert sock._data["data_out"] == data
    assert sock._data["send_calls"] > 1


@pytest.mark.asyncio
async def test_a_transport_that_breaks():
    """S1-24: the program under test sees what it would see of a broken pipe."""
    async with TcpServer(Script().expect("hello").expect_close()) as server:
        sock = connected(server)
        sock.setblocking(False)
        sock.breakOn("byte-me", OSError(errno.EPIPE, "gotcha"))
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"hello")
        await writer.drain()
        writer.write(b"byte-me")
        with pytest.raises(OSError, match="gotcha"):
            await reader.read()
        writer.close()
        with pytest.raises(OSError, match="gotcha"):
            await writer.wait_closed()


@pytest.mark.asyncio
async def test_sock_sendall_counts_once(pair):
    near, far = pair
    near.setblocking(False)
    data = b"x" * 1_000_000
    hearing = asyncio.create_task(asyncio.to_thread(heard_of, far, len(data)))
    await asyncio.get_running_loop().sock_sendall(near, data)
    assert await hearing == near._data["data_out"] == data
    assert near._data["send_calls"] > 1


@pytest.mark.asyncio
async def test_with_tls_under_asyncio():
    """S1-22: what is kept is what goes over the wire, so it is not readable."""
    async with TcpServer(Script().expect("hello").send("you").close(), tls=True) as server:
        sock = connected(server)
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=server.client_ssl_context, server_hostname="localhost"
        )
        writer.write(b"hello")
        assert await reader.read() == b"you"
        writer.close()
        await writer.wait_closed()
    assert sock._data["data_out"].startswith(b"\x16\x03")
    assert b"hello" not in sock._data["data_out"]


def test_with_a_tls_socket_of_its_own():
    """S1-22: `wrap_socket` takes it over, and it works; what is sent then goes past it."""
    with TcpServer(Script().expect("hello").send("you").close(), tls=True) as server:
        sock = connected(server)
        with tls.client_context().wrap_socket(sock, server_hostname="localhost") as secure:
            secure.sendall(b"hello")
            assert secure.recv(10) == b"you"
    assert sock._data["data_out"] == b""


# -- receiving, in pieces where `every_split` cuts ---------------------------------------------------


RECEIVERS = {
    "recv": lambda sock, size: sock.recv(size),
    "recvfrom": lambda sock, size: sock.recvfrom(size)[0],
    "recvmsg": lambda sock, size: sock.recvmsg(size)[0],
    "recv_into": lambda sock, size: received_into(sock, size),
    "recv_into with a size": lambda sock, size: received_into(sock, 100, size),
}


def received_into(sock, room, *size):
    space = bytearray(room)
    return bytes(space[: sock.recv_into(space, *size)])


@pytest.mark.parametrize("receive", RECEIVERS.values(), ids=RECEIVERS)
def test_no_call_receives_more_than_up_to_the_next_cut(receive):
    run = Run(Split(cuts=frozenset([(0, 2), (0, 5)])))
    near, far = socket.socketpair()
    with far, TestingSocket(sock=near) as sock, run.being_played():
        far.sendall(b"hello world")
        assert [receive(sock, 100) for _ in range(3)] == [b"he", b"llo", b" world"]
        far.sendall(b"!")
        assert receive(sock, 1) == b"!"
        far.close()
        assert receive(sock, 1) == b""
    [stream] = run.streams
    assert (bytes(stream.data), stream.ends, stream.joinable) == (b"hello world!", [2, 5, 11, 12], False)


def test_who_looks_or_waits_for_all_is_not_cut_short():
    run = Run(BYTE_BY_BYTE)
    near, far = socket.socketpair()
    with far, TestingSocket(sock=near) as sock, run.being_played():
        far.sendall(b"hello")
        assert sock.recv(5, socket.MSG_PEEK) == b"hello"
        assert sock.recv(4, socket.MSG_WAITALL) == b"hell"
        assert sock.recv(5) == b"o"
    assert run.streams[0].ends == [4, 5]


def test_each_run_has_its_own_stream_and_outside_of_runs_nothing_is_cut():
    near, far = socket.socketpair()
    with far, TestingSocket(sock=near) as sock:
        for _ in range(2):
            run = Run(Split(cuts=frozenset([(0, 1)])))
            with run.being_played():
                far.sendall(b"ab")
                assert [sock.recv(9), sock.recv(9)] == [b"a", b"b"]
            assert len(run.streams) == 1
        far.sendall(b"ab")
        assert sock.recv(9) == b"ab"
        assert received_into(sock, 0) == b""


def test_what_a_far_end_has_cut_is_not_cut_again():
    run = Run(Split(cuts=frozenset([(0, 2)])))
    with run.being_played(), TcpServer(Script().send(b"hello").expect_close()) as server:
        with socket.create_connection((server.host, server.port)) as plain, TestingSocket(sock=plain) as sock:
            assert [sock.recv(9), sock.recv(9)] == [b"he", b"llo"]
    assert len(run.streams) == 1


def test_a_socket_that_is_not_connected_says_so_itself():
    with TestingSocket(socket.AF_INET) as sock, Run(BYTE_BY_BYTE).being_played():
        with pytest.raises(OSError):
            sock.recv(9)
