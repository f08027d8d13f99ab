"""The commands dialect: what it does where seed 001 says nothing, and what today's tools get wrong."""

import asyncio
import contextlib
import gc
import io
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from farend import (
    BREAK,
    RECEIVE,
    AddressError,
    AsyncioCommandServer,
    CommandServer,
    Failure,
    InvalidArguments,
    OneShotServer,
    Script,
    WrongState,
    WrongType,
)
from farend.core.findings import EndedEarly, NobodyConnected, NotPlayed, TimedOut, TooLarge
from farend.stage.loop_thread import shared, submit

RESET = struct.pack("ii", 1, 0)
DEADLINE = 0.1
SERVERS = [CommandServer, OneShotServer, AsyncioCommandServer]


def connected(server, **options):
    return socket.create_connection(("127.0.0.1", server.port), timeout=5, **options)


@contextlib.contextmanager
def standing_still(loop):
    """Whatever is asked of the loop meanwhile waits, in the order in which it was asked."""
    goes_on = threading.Event()
    loop.call_soon_threadsafe(goes_on.wait, 10)
    try:
        yield
    finally:
        goes_on.set()


def to_the_end(client):
    return b"".join(iter(lambda: client.recv(65536), b""))


def said_and_heard(server, said):
    with connected(server) as client:
        client.sendall(said)
        return to_the_end(client)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def refused(server):
    try:
        connected(server).close()
    except ConnectionRefusedError:
        return True
    return False


# -- what today's tools get wrong -----------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
def test_a_port_that_is_taken(kind):
    """Hangs: the constructor never returns. Here it raises at once, and says what to do."""
    with CommandServer("x", verbose=False) as first:
        with pytest.raises(AddressError, match=f"port {first.port} on 127.0.0.1 is taken.*Leave port= out"):
            kind("x", port=first.port, verbose=False)
        assert said_and_heard(first, b"a") == b"x"


@pytest.mark.parametrize("kind", SERVERS)
def test_a_second_server_while_one_runs(kind):
    """Hangs: the second constructor waits until the first server's thread is gone."""
    with CommandServer("one", verbose=False) as first, kind("two", verbose=False) as second:
        assert said_and_heard(second, b"x") == b"two"
        assert said_and_heard(first, b"x") == b"one"


FORGOTTEN = """
    import socket
    from farend import RECEIVE, CommandServer, OneShotServer

    idle = CommandServer("x", verbose=False)
    nobody_comes = OneShotServer("x", verbose=False)
    server = CommandServer([RECEIVE, "hello", RECEIVE], verbose=False)
    client = socket.create_connection((server.host, server.port))
    client.sendall(b"x")
    waiting = socket.create_connection((server.host, server.port))
    print(client.recv(5))
"""


def test_a_forgotten_stop():
    """Hangs: it keeps the process alive, even with a client that is still served, and one that waits."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FORGOTTEN)], capture_output=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"b'hello'\n", b"")


def test_an_idle_client_does_not_end_the_server():
    """Kills the thing under test: a client idle for 2 s ended it. The idle one alone is hung up on."""
    with CommandServer([RECEIVE, "hello"], deadline=DEADLINE, verbose=False) as server:
        with connected(server) as idle:
            assert server.received == []  # so the idle one is served first
            assert said_and_heard(server, b"x") == b"hello"
            assert to_the_end(idle) == b""
        [finding] = server.findings
        assert isinstance(finding, TimedOut)
        assert finding.place.connection == 1


@pytest.mark.parametrize("while_it_is", ["waited for", "spoken to", "not its turn yet"])
def test_a_reset_does_not_end_the_server(while_it_is):
    """Kills the thing under test: one RST ended it."""
    with CommandServer([RECEIVE, "hello", RECEIVE], deadline=2, verbose=False) as server:
        if while_it_is == "not its turn yet":
            with connected(server) as first:
                reset(connected(server))
                first.sendall(b"x")
                assert first.recv(5) == b"hello"
        else:
            client = connected(server)
            if while_it_is == "spoken to":
                client.sendall(b"x")
                assert client.recv(5) == b"hello"
            reset(client)
        with connected(server) as client:
            client.sendall(b"x")
            assert client.recv(5) == b"hello"
            client.sendall(b"y")
            assert to_the_end(client) == b""


def test_stopping_one_server_stops_no_other():
    """Kills the thing under test: the state was on the class."""
    first, second = CommandServer("one", verbose=False), CommandServer([RECEIVE, "two", RECEIVE], verbose=False)
    with connected(second) as client:
        client.sendall(b"x")
        assert client.recv(3) == b"two"
        first.stop()
        assert refused(first)
        client.sendall(b"y")
        assert to_the_end(client) == b""
    with connected(second) as client:
        client.sendall(b"x")
        assert client.recv(3) == b"two"
    second.stop()


def test_bytes_are_counted_once():
    """Wrong story: bytes counted twice on a read to the end, and text by its characters."""
    with CommandServer([RECEIVE, "ü", 100, "bye"], verbose=False) as server:
        with connected(server) as client:
            client.sendall(b"abc")
            assert client.recv(2) == "ü".encode()
            client.sendall(b"de")
            client.shutdown(socket.SHUT_WR)
            assert to_the_end(client) == b"bye"
        assert server.received == [b"abc", b"de"]
        assert server.numBytesSent == 5


def test_received_waits_for_a_server_that_has_only_just_begun():
    """S1-14: the client was quicker than the server's loop, which had not begun to serve when it was asked."""

    async def heard_by_then():
        await server._until_quiet()
        return [transcript.received for transcript in server.transcripts]

    loop = shared.lease(holder := object())
    try:
        with standing_still(loop):
            server = CommandServer([RECEIVE], verbose=False)
            client = connected(server)
            client.sendall(b"one")
            heard = submit(heard_by_then(), loop)
        assert heard.result(10) == [[b"one"]]
        client.close()
        server.stop()
    finally:
        shared.give_back(holder)


@pytest.mark.parametrize("kind", SERVERS)
def test_twenty_mebibytes(kind):
    """Leaks: 20 MiB replies cut short. They come in full, also to one who goes on talking meanwhile."""
    reply = bytes(range(256)) * (20 << 12)
    with kind([1, reply], verbose=False) as server, connected(server) as client:
        client.sendall(b"x" * 10_000)
        talking = threading.Thread(target=client.sendall, args=(b"y" * 10_000,))
        talking.start()
        assert to_the_end(client) == reply
        talking.join(5)
        assert server.numBytesSent == 20 << 20
        assert b"".join(server.received) == b"x" * 10_000 + b"y" * 10_000


def test_twenty_mebibytes_to_a_slow_reader():
    """Leaks: 20 MiB replies cut short. A deadline is for who does nothing, and not for who is slow."""
    deadline = 0.5
    with CommandServer([b"x" * (20 << 20)], deadline=deadline, verbose=False) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        client.settimeout(5)
        client.connect((server.host, server.port))
        began, size = time.monotonic(), 0
        while data := client.recv(1 << 16):
            size += len(data)
            if size < 12 << 20:
                time.sleep(0.007)  # this is what being slow is
        assert size == 20 << 20
        assert time.monotonic() - began > 2 * deadline
        assert server.findings == ()


def test_it_listens_on_loopback_alone():
    """Leaks: binding to all interfaces."""
    with CommandServer("x", verbose=False) as server:
        assert server._sock.getsockname() == ("127.0.0.1", server.port)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_its_port_is_bound_from_the_start():
    """Leaks: ports found by probing, and bound later. Here nobody else can take it in between."""
    servers = [CommandServer("x", verbose=False) for _ in range(20)]
    assert len({server.port for server in servers}) == 20
    for server in servers:
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                rival.bind(("127.0.0.1", server.port))
        server.stop()


def test_nothing_is_kept_by_reference():
    """Wrong story: lists and buffers recorded by reference, changed later."""
    buffer = bytearray(b"hello")
    commands = [RECEIVE, buffer]
    with CommandServer(commands, verbose=False) as server:
        buffer[:] = b"other"
        commands.clear()
        assert said_and_heard(server, b"x") == b"hello"
        server.received.clear()
        assert server.received == [b"x"]


# -- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hello", b"hello", bytearray(b"hello"), memoryview(b"hello")])
def test_text_or_bytes_for_the_list(text):
    with CommandServer(text, verbose=False) as server:
        assert said_and_heard(server, b"x") == b"hello"


@pytest.mark.parametrize(
    "commands", [(RECEIVE, "a", "b"), iter([RECEIVE, "a", "b"]), [RECEIVE, "", "a", b"", memoryview(b"b")]]
)
def test_any_row_of_commands(commands):
    with CommandServer(commands, verbose=False) as server:
        assert said_and_heard(server, b"x") == b"ab"


def test_hang_up_at_once():
    with CommandServer([""], verbose=False) as server:
        assert said_and_heard(server, b"") == b""


@pytest.mark.parametrize("commands", [[BREAK], ["hello", BREAK]])
def test_break_without_a_read(commands):
    with CommandServer(commands, verbose=False) as server:
        with pytest.raises(ConnectionResetError), connected(server) as client:
            to_the_end(client)
        assert server.findings == ()


def test_many_commands():
    with CommandServer([RECEIVE, *(f"{number}," for number in range(2000))], verbose=False) as server:
        assert said_and_heard(server, b"x") == "".join(f"{number}," for number in range(2000)).encode()


def test_a_read_larger_than_the_limit():
    """What is asked for in so many words is no message that is too large."""
    size = 17 << 20
    with CommandServer([size, "ok"], verbose=False) as server:
        assert said_and_heard(server, b"x" * size) == b"ok"
        assert sum(map(len, server.received)) == size


def test_a_flood_is_cut_at_the_limit():
    with CommandServer([RECEIVE, "ok"], max_size=10_000, verbose=False) as server, connected(server) as client:
        client.sendall(b"x" * 10_001)
        assert to_the_end(client) == b""
        [finding] = server.findings
        assert isinstance(finding, TooLarge)
        assert b"".join(server.received) == b"x" * 10_001


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    ("commands", "error", "sentence"),
    [
        ([], InvalidArguments, "{} takes at least one command, such as [RECEIVE, 'hello']; to hang up at once"),
        (None, WrongType, "{} takes a list of commands, not None; write [None]"),
        (20, WrongType, "{} takes a list of commands, not 20; write [20]"),
        (True, WrongType, "{} takes a list of commands such as [RECEIVE, 'hello'], not True"),
        ({"a": 1}, WrongType, "{} takes a list of commands such as [RECEIVE, 'hello'], not {{'a': 1}}"),
        ({"a"}, WrongType, "{} takes a list of commands such as [RECEIVE, 'hello'], not {{'a'}}"),
        (Script().send("x"), WrongType, "{} takes a list of commands, not a Script; a Script is played by TcpServer"),
        ([True], WrongType, "{}: command 1 is True; a command is RECEIVE, a number of bytes to read"),
        ([2.0], WrongType, "text or bytes to send, or BREAK; write 2"),
        ([2.5], WrongType, "{}: command 1 is 2.5;"),
        (["a", ["b"]], WrongType, "{}: command 2 is ['b']; a command is"),
        ([RECEIVE, object], WrongType, "{}: command 2 is <class 'object'>"),
        (["\ud800"], InvalidArguments, r"{}: command 1 is '\ud800', which has no UTF-8"),
        ([BREAK, BREAK], InvalidArguments, "{}: command 2 is None, and BREAK before it has cut the connection"),
    ],
)
def test_bad_commands(kind, commands, error, sentence):
    """A script error (S1-33) raises at the call, and leaves nothing behind."""
    before = shared.holders
    with pytest.raises(error) as raised:
        kind(commands)
    assert sentence.format(kind.__name__) in str(raised.value)
    assert set(shared.holders) <= set(before)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"port": "80"}, WrongType),
        ({"port": 70_000}, InvalidArguments),
        ({"port": True}, WrongType),
        ({"deadline": 0}, InvalidArguments),
        ({"deadline": "1"}, WrongType),
        ({"max_size": 0}, WrongType),
        ({"host": "203.0.113.1"}, AddressError),
    ],
)
def test_bad_options(options, error):
    before = shared.holders
    with pytest.raises(error):
        CommandServer("x", **options)
    assert set(shared.holders) <= set(before)


# -- one at a time --------------------------------------------------------------------------------


def test_a_later_client_is_connected_and_waits():
    """S1-12: what it says meanwhile is not lost, and its deadline begins with its turn."""
    with CommandServer([3, "hello"], verbose=False, deadline=60) as server, connected(server) as first:
        others = [connected(server) for _ in range(50)]
        for number, other in enumerate(others):
            other.sendall(b"%03d" % number)
        assert server.received == []
        assert len(server.connections) == 1
        first.sendall(b"abc")
        assert to_the_end(first) == b"hello"
        for other in others:
            with other:
                assert to_the_end(other) == b"hello"
        assert server.received == [b"abc", *(b"%03d" % number for number in range(50))]


def test_the_next_is_served_when_the_commands_are_over():
    """S1-12: a client that keeps its connection after the end keeps nobody waiting."""
    with CommandServer(["hello"], verbose=False) as server, connected(server) as first:
        assert first.recv(5) == b"hello"
        assert first.recv(5) == b""
        assert said_and_heard(server, b"") == b"hello"


def test_a_queue_that_never_reads():
    """S1-33: a client that does not read its reply blocks the next one for no longer than the deadline."""
    with (
        CommandServer([b"x" * (20 << 20), RECEIVE], verbose=False, deadline=DEADLINE) as server,
        connected(server),
        connected(server) as second,
    ):
        assert second.recv(3) == b"xxx"


def test_a_long_queue_is_no_recursion():
    with CommandServer([RECEIVE, "x"], verbose=False) as server, connected(server) as first:
        others = [connected(server) for _ in range(400)]
        for other in others:
            other.sendall(b"x")
        first.sendall(b"x")
        for other in others:
            with other:
                assert to_the_end(other) == b"x"


def test_stopping_cuts_those_who_wait():
    server = CommandServer([RECEIVE, "x"], verbose=False)
    with connected(server) as first, connected(server) as second:
        assert server.received == []
        server.stop()
        for client in (first, second):
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while True:
                    client.sendall(b"x")
                    client.recv(1)
    assert len(server.connections) == 1


# -- stopping, and what went wrong ----------------------------------------------------------------


def test_a_stop_in_the_middle_is_quiet():
    server = CommandServer([RECEIVE, "hello", RECEIVE], verbose=False)
    with connected(server) as client:
        client.sendall(b"x")
        assert client.recv(5) == b"hello"
        server.stop()
        assert client.recv(5) == b""
    [finding] = server.findings
    assert isinstance(finding, NotPlayed)
    assert server.received == [b"x"]
    assert server.numBytesSent == 5


def test_a_stop_in_the_middle_of_a_flood():
    """Nothing waits for ever: not a stop, for a client that never pauses."""
    server = CommandServer([RECEIVE, "hello"], verbose=False, deadline=DEADLINE, max_size=1 << 40)

    def flood():
        with connected(server) as client:
            try:
                while True:
                    client.sendall(b"x" * 1000)
            except OSError:
                pass

    flooding = threading.Thread(target=flood)
    flooding.start()
    began = time.monotonic()
    while not server._drivers or not server._drivers[0].activity:
        assert time.monotonic() < began + 60
    server.stop()
    flooding.join(60)
    assert not flooding.is_alive()


def test_a_with_block_is_quiet():
    with CommandServer([20], verbose=False) as server, connected(server):
        pass
    assert refused(server)


def test_a_with_block_leaves_a_note_on_the_test_s_own_exception():
    with (
        pytest.raises(ValueError, match="mine") as raised,
        CommandServer([20, "x"], verbose=False, deadline=DEADLINE) as server,
        connected(server) as client,
    ):
        assert to_the_end(client) == b""
        raise ValueError("mine")
    assert "Waited 0.1 s" in raised.value.__notes__[0]


def test_a_checked_with_block_raises():
    with (
        pytest.raises(Failure, match="having begun to say b'short'") as raised,
        CommandServer([20, "hello"], verbose=False, check=True) as server,
        connected(server) as client,
    ):
        client.sendall(b"short")
        client.shutdown(socket.SHUT_WR)
        assert to_the_end(client) == b"hello"
    [finding] = raised.value.findings
    assert isinstance(finding, EndedEarly)
    assert finding.place.number == 1
    assert not finding.place.left  # the commands went on, and were played to their end
    assert "expected  anything" in str(raised.value)
    assert "Steps left" not in str(raised.value)


def test_a_checked_with_block_waits_for_the_end():
    with CommandServer([RECEIVE, "hello", RECEIVE], verbose=False, check=True) as server:
        client = connected(server)
        client.sendall(b"x")
        later = threading.Thread(target=lambda: (client.recv(5), client.sendall(b"y"), client.close()))
        later.start()
    later.join(5)
    assert server.received == [b"x", b"y"]


def test_checking_finds_that_nobody_came():
    server = CommandServer("x", verbose=False, deadline=DEADLINE)
    with pytest.raises(Failure) as raised:
        server.stop(check=True)
    assert isinstance(raised.value.findings[0], NobodyConnected)
    server.stop(check=True)  # told once
    with CommandServer("x", verbose=False, deadline=DEADLINE, check=True) as server:
        server.stop(check=False)


def test_checking_serves_those_who_wait():
    with CommandServer([RECEIVE, "hello"], verbose=False, check=True) as server:
        clients = [connected(server) for _ in range(5)]
        for client in clients:
            client.sendall(b"x")
    for client in clients:
        assert to_the_end(client) == b"hello"
        client.close()
    assert len(server.connections) == 5


@pytest.mark.asyncio
async def test_an_async_with_block():
    """The server lives beside the test's loop, so both kinds of client can be used in it."""
    async with CommandServer([RECEIVE, "hello"], verbose=False, check=True) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"x")
        assert await reader.read() == b"hello"
        assert said_and_heard(server, b"y") == b"hello"
        writer.close()
        await writer.wait_closed()
    assert refused(server)
    with pytest.raises(Failure):
        async with CommandServer([RECEIVE], verbose=False, check=True, deadline=DEADLINE):
            pass


def test_it_starts_once():
    with CommandServer("x", verbose=False) as server, pytest.raises(WrongState, match="was started already"):
        server.start()


def test_the_transcript():
    """It is a far end like any other: there are transcripts, connections and a name."""
    with CommandServer([RECEIVE, "hello"], verbose=False, name="the device") as server:
        said_and_heard(server, b"x")
        server.join()
        assert [entry.kind.name for entry in server.transcripts[0]] == ["CONNECTED", "RECEIVED", "SENT", "CLOSED"] or (
            server.transcripts[0][-1].kind.name == "ENDED"
        )
        assert server.name == "the device"
        assert said_and_heard(server, b"y") == b"hello"  # it still watches


def test_nothing_is_left():
    """A hundred servers, with clients that vanish, reset, or never come: no lease, no thread, no socket."""
    before = shared.holders
    for number in range(100):
        server = (CommandServer, OneShotServer)[number % 2]([RECEIVE, "hello"], verbose=False)
        match number % 5:
            case 0:
                assert said_and_heard(server, b"x") == b"hello"
            case 1:
                connected(server).close()
            case 2:
                reset(connected(server))
            case 3:
                with connected(server) as client:
                    client.sendall(b"x")
        server.stop()
    assert set(shared.holders) <= set(before)
    gc.collect()  # with -W error, an unclosed socket fails the test


def test_a_console_that_is_gone(monkeypatch):
    console = io.StringIO()
    console.close()
    with CommandServer("hello") as server:
        monkeypatch.setattr(sys, "stdout", console)
        assert said_and_heard(server, b"x") == b"hello"
        monkeypatch.undo()


# -- one shot -------------------------------------------------------------------------------------


def is_leased(server):
    return any(f":{server.port}:" in holder for holder in shared.holders)


def has_quit(server):
    give_up = time.monotonic() + 60
    while is_leased(server):
        assert time.monotonic() < give_up
        time.sleep(0.001)  # nobody tells a test when a server has quit by itself
    return True


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["close", "reset"])
def test_one_shot_gives_back_its_lease(leave):
    """S1-21: with no `stop()`, nothing of it is left, however the client left."""
    server = OneShotServer([RECEIVE, "hello"], verbose=False)
    assert is_leased(server)
    client = connected(server)
    client.sendall(b"x")
    assert client.recv(5) == b"hello"
    assert refused(server)
    leave(client)
    assert has_quit(server)
    assert server.received == [b"x"]
    assert server.numBytesSent == 5
    server.stop()


def test_one_shot_ends_a_silent_client():
    """S1-21, S1-33."""
    server = OneShotServer([RECEIVE, "hello"], verbose=False, deadline=DEADLINE)
    with connected(server) as client:
        assert to_the_end(client) == b""
    assert has_quit(server)
    assert isinstance(server.findings[0], TimedOut)


def test_one_shot_takes_one_of_many():
    """S1-21: of those who connect at the same moment, one is served, and the others are told that they are not."""
    for _ in range(20):
        server = OneShotServer(["hello"], verbose=False)
        clients = [socket.socket() for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex((server.host, server.port))
        heard = []
        for client in clients:
            client.settimeout(5)
            with client:
                try:
                    heard.append(to_the_end(client))
                except OSError:
                    heard.append(None)
        assert sorted(map(str, heard)) == ["None", "None", "b'hello'"]


def test_one_shot_stopped_before_anybody_came():
    server = OneShotServer("x", verbose=False)
    server.stop()
    assert refused(server)
    assert server.findings == ()


def test_one_shot_checked():
    with (
        pytest.raises(Failure),
        OneShotServer("x", verbose=False, check=True, deadline=DEADLINE),
    ):
        pass
    with OneShotServer([RECEIVE, "hello"], verbose=False, check=True) as server:
        assert said_and_heard(server, b"x") == b"hello"


# -- the reader -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_reader_belongs_to_the_first_connection():
    """S1-18: a reader has one end; what comes behind it is in `received`."""
    reader = asyncio.StreamReader()
    with AsyncioCommandServer("hello", asyncio.get_running_loop(), reader, verbose=False) as server:
        for said in (b"one", b"two"):
            assert said_and_heard(server, said) == b"hello"
        assert await reader.read() == b"one"
        assert server.received == [b"one", b"two"]


@pytest.mark.asyncio
async def test_the_reader_ends_with_the_server():
    """S1-19: who reads does not wait for a client that never came."""
    reader = asyncio.StreamReader()
    server = AsyncioCommandServer("hello", asyncio.get_running_loop(), reader, verbose=False)
    server.stop()
    assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.asyncio
async def test_the_reader_of_a_client_that_reset():
    """S1-19."""
    reader = asyncio.StreamReader()
    with AsyncioCommandServer([20], asyncio.get_running_loop(), reader, verbose=False) as server:
        client = connected(server)
        client.sendall(b"short")
        assert server.received == []
        reset(client)
        assert await asyncio.wait_for(reader.read(), 5) == b"short"
        assert server.received == [b"short"]
        assert [str(finding) for finding in server.findings] == [
            "The near end ended the connection (reset) before the script's end, having begun to say b'short'."
        ]


def test_a_loop_that_is_closed():
    """S1-20: nobody reads any more, and the client is served all the same."""
    loop = asyncio.new_event_loop()
    reader = asyncio.StreamReader(loop=loop)
    with AsyncioCommandServer("hello", loop, reader, verbose=False) as server:
        loop.close()
        assert said_and_heard(server, b"x") == b"hello"


@pytest.mark.parametrize(
    ("options", "error"),
    [({"loop": 1}, WrongType), ({"reader": b"x"}, WrongType), ({"loop": "running"}, InvalidArguments)],
)
@pytest.mark.asyncio
async def test_bad_readers(options, error):
    if options.get("loop") == "running":
        options = {"loop": asyncio.get_running_loop()}
    with pytest.raises(error):
        AsyncioCommandServer("x", **options)
