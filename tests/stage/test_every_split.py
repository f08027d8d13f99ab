"""A test, played with every split: what fails, what passes, and what becomes of its far ends."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import socket
import traceback
import unittest

import pytest

from farend import (
    Failure,
    InvalidArguments,
    Script,
    SplitFailure,
    TcpClient,
    TcpServer,
    TestingSocket,
    WebSocketServer,
    WrongState,
    WrongType,
    every_split,
    play_every_split,
)
from farend.stage import every_split as module
from farend.stage import segments

GREETING = Script().send(b"hello\n").send(b"world\n").expect(b"bye")


def dialled(server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=10)


def read_right(server) -> list[bytes]:
    with dialled(server) as client, client.makefile("rb") as lines:
        came = [lines.readline(), lines.readline()]
        client.sendall(b"bye")
    return came


def read_once_for_each(server) -> list[bytes]:
    with dialled(server) as client:
        first = client.recv(100)
        second = client.recv(100) if first == b"hello\n" else b""
        client.sendall(b"bye")
    return [first, second]


@pytest.fixture(autouse=True)
def _pytest_tells_nothing(monkeypatch):
    monkeypatch.setattr(module, "left_out", [])


# -- verdicts ---------------------------------------------------------------------------------------


def test_a_right_parser_passes_every_split():
    played = []

    @every_split
    def a_test():
        played.append(segments.current.split)
        with TcpServer(GREETING) as server:
            assert read_right(server) == [b"hello\n", b"world\n"]

    a_test()
    assert len(played) == len(set(played)) == 13  # as it is, together, byte by byte, and at 10 places
    assert segments.current is None


def test_a_parser_of_one_recv_for_each_message_fails_with_the_smallest_split():
    @every_split
    def a_test():
        with TcpServer(GREETING) as server:
            assert read_once_for_each(server) == [b"hello\n", b"world\n"]

    with pytest.raises(SplitFailure) as caught:
        a_test()
    text = str(caught.value)
    assert text.startswith("a_test fails when message 1 of 2 comes together with the one behind it.\n")
    assert "68 65 6c 6c 6f 0a                                |hello.|" in text
    assert "-- no cut ---" in text
    assert "played 1 of 12 splits of 12 bytes on 1 connection." in text
    assert isinstance(caught.value.__cause__, AssertionError)
    assert (caught.value.played, caught.value.possible) == (1, 12)


def test_one_message_that_is_read_with_one_recv_fails_with_its_first_cut():
    @every_split
    def a_test():
        with TcpServer(Script().send(b"hello world").expect_close()) as server, dialled(server) as client:
            assert client.recv(100) == b"hello world"

    with pytest.raises(SplitFailure, match=r"message 1 of 1 is cut behind byte 1 of 11") as caught:
        a_test()
    assert "played 1 of 11 splits of 11 bytes on 1 connection, then 1 run to find the smallest." in str(caught.value)
    assert "00000001  65 6c 6c 6f 20 77 6f 72 6c 64" in str(caught.value)


def test_a_delimiter_that_is_cut_in_the_middle_is_found():
    @every_split
    def a_test():
        with TcpServer(Script().send(b"a long line\r\nand another\r\n").expect_close()) as server:
            with dialled(server) as client:
                came = client.recv(100)
                while not came.endswith(b"another\r\n"):
                    assert not came.endswith(b"\r"), "taken for the end of a line"
                    came += client.recv(100)

    with pytest.raises(SplitFailure, match="is cut behind byte 12 of 26") as caught:
        a_test()
    assert "20 6c 69 6e 65 0d  " in str(caught.value)


def test_a_test_that_fails_anyway_is_played_once_and_says_so():
    runs = []

    @every_split
    def a_test():
        runs.append(1)
        with TcpServer(GREETING) as server:
            read_right(server)
        raise LookupError("of its own")

    with pytest.raises(LookupError, match="of its own") as caught:
        a_test()
    assert len(runs) == 1
    assert caught.value.__notes__ == [
        "every_split: a_test fails without any split, with each message of the far end alone; nothing was cut yet."
    ]


def test_the_far_ends_own_failure_is_the_tests():
    @every_split
    def a_test():
        with TcpServer(Script().send(b"12").expect(b"12")) as server, dialled(server) as client:
            client.sendall(client.recv(2))

    with pytest.raises(SplitFailure, match="cut behind byte 1 of 2") as caught:
        a_test()
    assert isinstance(caught.value.__cause__, Failure)
    assert caught.value.findings == caught.value.__cause__.findings != ()


def test_a_test_that_cannot_be_played_twice_has_no_split_to_blame():
    names = []

    @every_split
    def a_test():
        names.append("a")
        with TcpServer(GREETING) as server:
            read_right(server)
        assert names == ["a"]

    with pytest.raises(AssertionError) as caught:
        a_test()
    assert not isinstance(caught.value, SplitFailure)
    assert "passes once, and fails when it is played again with nothing cut" in caught.value.__notes__[0]


@pytest.mark.parametrize("farends", [lambda: None, lambda: TcpServer().__enter__().close()], ids=["none", "silent"])
def test_a_test_without_a_far_end_that_speaks_is_told_so(farends):
    with pytest.raises(WrongState, match="no far end said anything on a connection that began in a_test"):

        @every_split
        def a_test():
            farends()

        a_test()


def test_a_connection_that_a_fixture_made_is_not_cut_and_the_text_says_what_to_do():
    with TcpServer() as server, dialled(server) as client:
        peer = server.accept()

        @every_split
        def a_test():
            peer.send(b"hello")
            assert client.recv(10) == b"hello"

        with pytest.raises(WrongState, match="connect there, not in a fixture"):
            a_test()
        peer.close()


@pytest.mark.parametrize(
    "error", [unittest.SkipTest("no"), KeyboardInterrupt(), asyncio.CancelledError(), pytest.skip.Exception("x")]
)
def test_what_is_no_failure_ends_the_test_at_once(error):
    runs = []

    @every_split
    def a_test():
        runs.append(1)
        with TcpServer(GREETING) as server:
            read_right(server)
        if len(runs) > 1:
            raise error

    with pytest.raises(type(error)) as caught:
        a_test()
    assert caught.value is error
    assert len(runs) == 2
    assert segments.current is None


def test_pytest_fail_is_a_failure():
    @every_split
    def a_test():
        with TcpServer(Script().send(b"12").expect_close()) as server, dialled(server) as client:
            if client.recv(2) != b"12":
                pytest.fail("cut")

    with pytest.raises(SplitFailure) as caught:
        a_test()
    assert isinstance(caught.value.__cause__, pytest.fail.Exception)


def test_the_traceback_shows_the_line_of_the_test_that_failed():
    @every_split
    def a_test():
        with TcpServer(Script().send(b"12").expect_close()) as server, dialled(server) as client:
            assert client.recv(2) == b"12"

    with pytest.raises(SplitFailure) as caught:
        a_test()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.name, last.line) == ("a_test", 'assert client.recv(2) == b"12"')


# -- bounds -----------------------------------------------------------------------------------------


def test_more_splits_than_are_to_be_played_are_told(caplog):
    @every_split(max_runs=4)
    def a_test():
        with TcpServer(GREETING) as server:
            read_right(server)

    with caplog.at_level(logging.WARNING, "farend.splits"):
        a_test()
    text = "played 4 of 12 splits of 12 bytes on 1 connection (max_runs=4)"
    assert caplog.messages == [f"every_split: a_test: {text}"]
    [line] = module.left_out
    assert line.endswith(f"test_more_splits_than_are_to_be_played_are_told: {text}")


def test_outside_of_pytest_the_log_alone_tells(caplog, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    module.note_left_out("a_test: played 1 of 2 splits")
    assert caplog.messages == ["every_split: a_test: played 1 of 2 splits"]
    assert module.left_out == []


def test_shrinking_ends_when_it_has_taken_long(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)

    @every_split
    def a_test():
        with TcpServer(Script().send(b"hello").expect_close()) as server, dialled(server) as client:
            assert client.recv(10) == b"hello"

    with pytest.raises(SplitFailure, match="the far end's bytes come one at a time"):
        a_test()


# -- the function -----------------------------------------------------------------------------------


def test_the_function_says_what_it_played():
    def read():
        with TcpServer(GREETING) as server:
            assert read_right(server) == [b"hello\n", b"world\n"]

    splits = play_every_split(read)
    assert (splits.played, splits.possible, splits.connections, splits.said, splits.hurried) == (12, 12, 1, 12, 0)
    assert str(splits) == "played all 12 splits of 12 bytes on 1 connection"
    assert str(play_every_split(read, max_runs=2)).startswith("played 2 of 12 splits")


def test_near_ends_that_read_no_more_are_told():
    def read():
        with TcpServer(Script().send(b"abc")) as server:
            client = dialled(server)
            client.recv(1)
        client.close()

    splits = play_every_split(read, max_runs=1)
    assert splits.hurried == 1
    assert str(splits).endswith("1 time the near end read no more, and the rest was sent in one")


@pytest.mark.asyncio
async def test_the_function_is_awaited_for_an_async_one():
    async def read():
        async with TcpServer(GREETING) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            assert await reader.readexactly(12) == b"hello\nworld\n"
            writer.write(b"bye")
            writer.close()
            await writer.wait_closed()

    assert (await play_every_split(read)).played == 12


# -- tests of every kind ----------------------------------------------------------------------------


@every_split
@pytest.mark.parametrize("size", [1, 3])
def test_parameters_and_fixtures_are_the_tests_own(size, tmp_path):
    with TcpServer(Script().send(bytes(size + 1)).expect_close()) as server, dialled(server) as client:
        assert client.makefile("rb").read(size + 1) == bytes(size + 1)
    assert tmp_path.is_dir()


@pytest.mark.asyncio
@every_split
async def test_an_async_test_below_its_mark():
    from websockets.asyncio.client import connect

    async with WebSocketServer(Script().expect("hi").send("ho").send("hum")) as server:
        async with connect(server.url) as client:
            await client.send("hi")
            assert [await client.recv(), await client.recv()] == ["ho", "hum"]


@every_split
@pytest.mark.asyncio
async def test_an_async_test_above_its_mark():
    async with TcpServer(GREETING) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert [await reader.readline(), await reader.readline()] == [b"hello\n", b"world\n"]
        writer.write(b"bye")
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_an_async_parser_that_is_wrong_fails():
    @every_split
    async def a_test():
        async with TcpServer(Script().send(b"hello").expect_close()) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            try:
                assert await reader.read(100) == b"hello"
            finally:
                writer.close()

    with pytest.raises(SplitFailure, match="message 1 of 1 is cut behind byte 1 of 5"):
        await a_test()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_on_both_of_its_loops(backend):
    import anyio

    @every_split
    async def a_test():
        with TcpServer(Script().send(b"hello").expect_close()) as server:
            async with await anyio.connect_tcp(server.host, server.port) as client:
                came = b""
                while len(came) < 5:
                    came += await client.receive()
                assert came == b"hello"

    anyio.run(a_test, backend=backend)


class ATestCase(unittest.TestCase):
    @every_split
    def test_method(self):
        with TcpServer(GREETING) as server:
            assert read_right(server) == [b"hello\n", b"world\n"]


class AnAsyncTestCase(unittest.IsolatedAsyncioTestCase):
    @every_split
    async def test_method(self):
        async with TcpServer(Script().send(b"hello").expect_close()) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()


@every_split
def test_a_far_end_that_dials():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with TcpClient(Script().send(b"hello\n").close(), *listener.getsockname(), deadline=10) as client:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                assert lines.readline() == b"hello\n"
                assert lines.read() == b""
        assert client.findings == ()


@every_split
def test_a_socket_in_process():
    near, far = socket.socketpair()
    with far, TestingSocket(sock=near) as sock, sock.makefile("rb") as lines:
        far.sendall(b"hello\nworld\n")
        assert [lines.readline(), lines.readline()] == [b"hello\n", b"world\n"]


def test_a_decorated_test_looks_like_the_test():
    def a_test(one, *, two: int = 2) -> None:
        """Its own words."""

    async def another(one): ...

    plain, awaited = every_split(a_test), every_split(max_runs=3)(another)
    assert (plain.__name__, plain.__doc__) == ("a_test", "Its own words.")
    assert inspect.signature(plain) == inspect.signature(a_test)
    assert inspect.iscoroutinefunction(awaited)
    assert not inspect.iscoroutinefunction(plain)


# -- far ends that were there before the test -------------------------------------------------------


@pytest.fixture
def greeter():
    with TcpServer(GREETING) as server:
        yield server


@pytest.fixture
def told(tcp_far_end):
    tcp_far_end.play(GREETING)
    return tcp_far_end


@every_split
def test_a_fixture_of_ones_own_begins_again_with_each_run(greeter):
    assert read_right(greeter) == [b"hello\n", b"world\n"]
    assert len(greeter.connections) == 1


@every_split
def test_farends_fixture_begins_again_with_each_run(tcp_far_end):
    assert tcp_far_end.connections == ()
    tcp_far_end.play([GREETING])
    assert read_right(tcp_far_end) == [b"hello\n", b"world\n"]


@every_split
def test_what_a_fixture_was_told_to_play_is_played_again(told):
    assert read_right(told) == [b"hello\n", b"world\n"]


@pytest.mark.asyncio
@every_split
async def test_farends_fixture_lives_on_the_loop_of_the_test(tcp_far_end):
    tcp_far_end.play([GREETING])
    assert tcp_far_end._home is asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
    assert [await reader.readline(), await reader.readline()] == [b"hello\n", b"world\n"]
    writer.write(b"bye")
    writer.close()
    await writer.wait_closed()


@every_split
def test_what_is_started_in_the_test_is_left_with_its_run(start_far_end, tcp_far_end):
    server = start_far_end(TcpServer([GREETING]))
    assert read_right(server) == [b"hello\n", b"world\n"]


@every_split
def test_expectations_are_the_tests_own(tcpserver):
    tcpserver.expect_connect()
    tcpserver.send_bytes(b"hello\n")
    tcpserver.expect_disconnect()
    with dialled(tcpserver) as client, client.makefile("rb") as lines:
        assert lines.readline() == b"hello\n"


@every_split(max_runs=20)
def test_a_unix_socket_of_a_fixture(unix_server):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(unix_server.unix_path)
        assert client.makefile("rb").readline() == b"hello\n"


@pytest.fixture
def unix_server(folder):
    with TcpServer(Script().send(b"hello\n").expect_close(), unix_path=folder / "s") as server:
        yield server


def test_a_fixtures_far_end_fails_the_run_in_which_something_went_wrong(greeter):
    @every_split
    def a_test():
        with dialled(greeter) as client:
            came = client.recv(100)
            while not came.endswith(b"world\n"):
                came += client.recv(100)
            client.sendall(
                b"bye" if came.startswith(b"hello") and segments.current.split.cuts == frozenset() else b"by"
            )

    with pytest.raises(SplitFailure, match="cut behind byte 1 of 6") as caught:
        a_test()
    assert isinstance(caught.value.__cause__, Failure)
    assert greeter.is_over


def test_a_far_end_with_an_older_connection_goes_on(greeter):
    with dialled(greeter) as older:
        greeter.accept()

        @every_split(max_runs=2)
        def a_test():
            assert read_right(greeter) == [b"hello\n", b"world\n"]

        a_test()
        assert not greeter.is_over
        with older.makefile("rb") as lines:
            assert lines.readline() == b"hello\n"
        older.sendall(b"bye")


# -- what cannot be meant ---------------------------------------------------------------------------


def a_generator():
    yield


async def an_async_generator():
    yield


class AClass:
    pass


@pytest.mark.parametrize(
    ("write", "error", "sentence"),
    [
        (lambda: every_split(5), WrongType, "plays a test function, not 5; the number of runs is max_runs="),
        (lambda: every_split("test"), WrongType, "plays a test function, not 'test'"),
        (lambda: every_split(AClass), WrongType, "not the class AClass: decorate its test methods"),
        (lambda: every_split(a_generator), WrongType, "a_generator is a generator function"),
        (lambda: every_split(an_async_generator), WrongType, "an_async_generator is a generator function"),
        (lambda: every_split(staticmethod(len)), WrongType, "write @staticmethod above @every_split"),
        (lambda: every_split(max_runs=0), InvalidArguments, "max_runs=0: at least one split"),
        (lambda: every_split(max_runs=-3), InvalidArguments, "max_runs=-3"),
        (lambda: every_split(max_runs=True), WrongType, "max_runs= takes how many splits"),
        (lambda: every_split(max_runs=2.5), WrongType, "not 2.5"),
        (lambda: every_split(max_runs=None), WrongType, "not None"),
        (lambda: play_every_split(None), WrongType, "plays a test function, not None"),
        (lambda: play_every_split(len, max_runs=0), InvalidArguments, "max_runs=0"),
        (lambda: play_every_split(asyncio.sleep(0)), WrongType, "and do not call it"),
    ],
)
def test_what_cannot_be_meant_raises_at_once(write, error, sentence):
    with pytest.raises(error, match=sentence):
        write()


def test_a_plain_function_that_gives_something_to_await_is_refused():
    async def inner(): ...

    with pytest.raises(WrongType, match="<lambda> gave something to await"):
        play_every_split(lambda: inner())
    with pytest.raises(WrongType, match="gave something to await"):
        play_every_split(lambda: Awaitable())


class Awaitable:
    def __await__(self):
        yield


def test_callables_of_every_kind_are_played():
    def read(script):
        with TcpServer(script) as server:
            read_right(server)

    class Reader:
        def __call__(self):
            read(GREETING)

    assert play_every_split(functools.partial(read, GREETING), max_runs=1).played == 1
    assert play_every_split(Reader(), max_runs=1).played == 1


def test_one_split_test_inside_another_is_refused():
    @every_split
    def inner():
        with TcpServer(GREETING) as server:
            read_right(server)

    with pytest.raises(WrongState, match="one after the other") as caught:
        every_split(inner_of(inner))()
    assert "fails without any split" in caught.value.__notes__[0]
    inner()


def inner_of(test):
    def outer():
        test()

    return outer
