"""`reroute`: blocks, what may be listed, strictness, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from farend import (
    AddressError,
    CommandServer,
    Failure,
    InvalidArguments,
    MissingExtra,
    Script,
    TcpClient,
    TcpServer,
    WebSocketServer,
    WrongState,
    WrongType,
    reroute,
)
from farend.core.findings import NobodyConnected
from farend.intercept import routes
from farend.intercept import seams as seams_module

pytestmark = pytest.mark.usefixtures("patient")

PING = Script().expect(b"PING\n").send(b"PONG\n")
KEY = ("device.plant.example", 5025)


def ping(address: tuple[str, int] = KEY, family: int = socket.AF_UNSPEC) -> bytes:
    infos = socket.getaddrinfo(*address, family=family, type=socket.SOCK_STREAM)
    with socket.socket(infos[0][0], socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(infos[0][4])
        sock.sendall(b"PING\n")
        return sock.makefile("rb").readline()


@pytest.fixture
def server() -> Iterator[TcpServer]:
    """A far end that plays PING to whoever comes, any number of times; that nobody comes is no finding."""
    server = TcpServer(PING).__enter__()
    yield server
    assert not [one for one in server.close() if not isinstance(one, NobodyConnected)]


# -- blocks -----------------------------------------------------------------------------------------


def test_with(server: TcpServer) -> None:
    with reroute({KEY: server}) as rerouted:
        assert ping() == b"PONG\n"
        assert repr(rerouted) == "<reroute of device.plant.example:5025: entered>"
    assert repr(rerouted) == "<reroute of device.plant.example:5025: not entered>"
    with pytest.raises(socket.gaierror):
        socket.create_connection(KEY)


@pytest.mark.asyncio
async def test_async_with() -> None:
    async with TcpServer(PING) as server, reroute({KEY: server}):
        reader, writer = await asyncio.open_connection(*KEY)
        writer.write(b"PING\n")
        assert await reader.readline() == b"PONG\n"
        writer.close()
        await writer.wait_closed()


def test_a_decorator_of_functions(server: TcpServer, untouched: Callable[[], bool]) -> None:
    @reroute({KEY: server})
    def twice(word: str) -> tuple[str, bytes]:
        """Said twice."""
        return word, ping()

    assert untouched()
    assert twice("a") == ("a", b"PONG\n")
    assert twice(word="b") == ("b", b"PONG\n")
    assert twice.__doc__ == "Said twice."


@pytest.mark.asyncio
async def test_a_decorator_of_coroutine_functions(untouched: Callable[[], bool]) -> None:
    async with TcpServer(PING) as server:

        @reroute({KEY: server})
        async def greet() -> bytes:
            reader, writer = await asyncio.open_connection(*KEY)
            writer.write(b"PING\n")
            heard = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return heard

        assert await greet() == b"PONG\n"
        assert untouched()


def test_what_it_cannot_decorate(server: TcpServer) -> None:
    def generator() -> Iterator[None]:
        yield

    async def asynchronous() -> Any:
        yield

    for thing in (generator, asynchronous, TcpServer, None):
        with pytest.raises(WrongType, match=r"in a fixture, write `with reroute\(\{…\}\):` around its yield"):
            reroute({KEY: server})(thing)  # type: ignore[type-var]


def test_a_block_may_be_entered_again_and_not_twice(server: TcpServer) -> None:
    block = reroute({KEY: server})
    for _ in range(2):
        with block:
            assert ping() == b"PONG\n"
            with pytest.raises(WrongState, match="this reroute is entered already"):
                block.__enter__()
    with pytest.raises(WrongState, match="was left already"):
        block.__exit__(None, None, None)


def test_nested_and_left_in_the_other_order() -> None:
    with TcpServer(PING) as first, TcpServer(PING) as second:
        outer, inner = reroute({KEY: first}), reroute({("other.example", 1): second})
        outer.__enter__()
        inner.__enter__()
        assert ping() == ping(("other.example", 1)) == b"PONG\n"
        outer.__exit__(None, None, None)
        assert ping(("other.example", 1)) == b"PONG\n"
        with pytest.raises(socket.gaierror):
            socket.create_connection(KEY)
        inner.__exit__(None, None, None)
        assert [len(first.transcripts), len(second.transcripts)] == [1, 2]


def test_the_more_exact_address_goes_first() -> None:
    host = KEY[0]
    with TcpServer(PING, name="exact") as exact, TcpServer(PING, name="host") as every:
        with reroute({host: every, KEY: exact}):
            assert ping() == ping((host, 9)) == b"PONG\n"
        with reroute({KEY: exact}), reroute({host: every}):
            assert ping() == b"PONG\n"
        assert [len(exact.transcripts), len(every.transcripts)] == [2, 1]


def test_threads_come_through(server: TcpServer) -> None:
    heard = []
    with reroute({KEY: server}):
        threads = [threading.Thread(target=lambda: heard.append(ping())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heard == [b"PONG\n"] * 8


def test_entered_in_one_thread_and_used_in_another(server: TcpServer) -> None:
    block = reroute({KEY: server})
    for enter in (block.__enter__, lambda: block.__exit__(None, None, None)):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if enter == block.__enter__:
            assert ping() == b"PONG\n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_restored_on_any_way_out(server: TcpServer, untouched: Callable[[], bool], error: type[BaseException]) -> None:
    with pytest.raises(error), reroute({KEY: server}, strict=True):
        raise error
    assert untouched()
    assert ping((server.host, server.port)) == b"PONG\n"


def test_an_empty_block_does_nothing(server: TcpServer) -> None:
    with reroute({}) as rerouted:
        assert repr(rerouted) == "<reroute of nothing: entered>"
        assert ping((server.host, server.port)) == b"PONG\n"


# -- no leak ----------------------------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(st.booleans() | st.just(True), st.booleans(), st.integers(0, 99), st.sampled_from([None, ValueError])),
    min_size=100,
    max_size=200,
)


def test_a_thousand_blocks_leave_nothing(server: TcpServer, untouched: Callable[[], bool]) -> None:
    """In random nesting, left in random order, with random exceptions."""
    entered = 0

    @settings(max_examples=25)
    @given(MOVES)
    def play(moves: list[tuple[bool, bool, int, type[BaseException] | None]]) -> None:
        nonlocal entered
        open_blocks: list[Any] = []
        for number, (enters, strict, index, error) in enumerate(moves):
            if enters:
                block = reroute(
                    {(f"host-{number}.example", 80): server, f"every-{number}.example": server}, strict=strict
                )
                if error is not None:  # it cannot be entered: an address of it is taken, or its far end is not there
                    broken = reroute({("new.example", 80): server, ("b.example", 1): TcpServer(PING)}, strict=strict)
                    with pytest.raises(WrongState):
                        broken.__enter__()
                open_blocks.append(block.__enter__())
                entered += 1
            elif open_blocks:
                block = open_blocks.pop(index % len(open_blocks))
                block.__exit__(error, error and error(), None)
            assert len(routes.active.blocks) == len(open_blocks)
        for block in open_blocks:
            block.__exit__(None, None, None)
        assert untouched()

    play()
    assert entered >= 1000


@given(st.recursive(st.none(), lambda inner: st.lists(inner, max_size=4), max_leaves=30), st.integers(0, 60))
@settings(max_examples=50)
def test_nested_withs_that_raise_somewhere(tree: Any, at: int) -> None:
    count = 0

    def walk(node: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise LookupError
        with reroute({(f"host-{count}.example", 80): ("127.0.0.1", 9)}):
            for child in node or ():
                with contextlib.suppress(LookupError) if count % 2 else contextlib.nullcontext():
                    walk(child)

    with contextlib.suppress(LookupError):
        walk(tree)
    assert routes.active.blocks == ()
    assert not seams_module.patches().held


# -- far ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pair", "url", "object", "name"])
def test_the_address_of_any_other_server(server: TcpServer, form: str) -> None:
    forms = {
        "pair": ("127.0.0.1", server.port),
        "url": f"tcp://127.0.0.1:{server.port}",
        "object": SimpleNamespace(port=server.port),
        "name": ("localhost", server.port),
    }
    with reroute({KEY: forms[form]}, strict=True):
        assert ping(family=socket.AF_INET) == b"PONG\n"


def test_to_itself_lets_it_through(server: TcpServer) -> None:
    here = (server.host, server.port)
    with reroute({here: here}, strict=True):
        assert ping(here) == b"PONG\n"


def test_the_servers_of_the_dialects() -> None:
    server = CommandServer([5, "PONG\n"], verbose=False)
    with reroute({KEY: server}):
        assert ping() == b"PONG\n"
    server.stop()


def test_a_far_end_of_a_fixture(tcp_far_end: TcpServer) -> None:
    tcp_far_end.play(PING)
    with reroute({KEY: tcp_far_end}):
        assert ping() == b"PONG\n"


@pytest.mark.asyncio
async def test_a_far_end_of_a_fixture_in_async_code(tcp_far_end: TcpServer) -> None:
    tcp_far_end.play(PING)
    async with reroute({KEY: tcp_far_end}):
        assert await asyncio.to_thread(ping) == b"PONG\n"


def test_a_far_end_on_every_address() -> None:
    with TcpServer(PING, host="0.0.0.0") as server, reroute({KEY: server}):
        assert ping() == b"PONG\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_over_ipv6(host: str) -> None:
    """A client that insists on IPv6 reaches a far end on either."""
    try:
        with TcpServer(PING, host=host) as server, reroute({KEY: server, ("2001:db8::5", 1): server}):
            assert ping(family=socket.AF_INET6) == ping(("2001:db8::5", 1)) == ping() == b"PONG\n"
    except AddressError:
        pytest.skip("this machine has no ::1")


def test_ipv4_cannot_reach_a_far_end_on_ipv6() -> None:
    try:
        server = TcpServer(host="::1").__enter__()
    except AddressError:
        pytest.skip("this machine has no ::1")
    with reroute({KEY: server}), pytest.raises(AddressError, match="was dialled over IPv4: let the far end listen on"):
        ping(family=socket.AF_INET)
    server.close()


@pytest.mark.parametrize(
    ("key", "tls"),
    [("ws://feed.example/", True), ("wss://feed.example/", False), ("wss://feed.example/", True),
     ("wss://10.11.12.13/", False), ("wss://10.11.12.13/", True), ("wss://[2001:db8::5]/", True)],
)  # fmt: skip
def test_the_address_says_whether_it_is_tls(key: str, tls: bool) -> None:
    """Whatever the far end has itself: it takes TLS from `wss`, and none from `ws`."""
    with WebSocketServer(Script().expect("hello").send("there"), tls=tls) as server, reroute({key: server}):
        with connect(key) as client:
            client.send("hello")
            assert client.recv(10) == "there"
        assert (client.socket.__class__.__name__ == "SSLSocket") is key.startswith("wss")


def test_who_is_not_rerouted_still_reaches_the_far_end() -> None:
    """Announced and other clients share a server, which tells them apart."""
    url = "wss://feed.example/"
    with WebSocketServer(Script().expect("hello").send("there")) as server, reroute({url: server}):
        for one in (url, server.url, url):
            with connect(one) as client:
                client.send("hello")
                assert client.recv(10) == "there"


def test_a_client_that_has_bound_itself(server: TcpServer) -> None:
    url = "wss://feed.example/"
    with WebSocketServer(Script().expect("hello").send("there")) as far_end, reroute({url: far_end}):
        for source in ("127.0.0.1", "0.0.0.0", "127.0.0.2"):
            with connect(url, source_address=(source, 0)) as client:
                client.send("hello")
                assert client.recv(10) == "there"


def test_a_far_end_that_has_ended_in_the_meantime() -> None:
    with TcpServer() as server:
        block = reroute({KEY: server}).__enter__()
        port = server.port
    try:
        with pytest.raises(ConnectionRefusedError) as caught:
            ping()
        [note] = caught.value.__notes__
        assert note == f"farend has led this from device.plant.example:5025 to 127.0.0.1:{port}."
    finally:
        block.__exit__(None, None, None)


# -- strict -----------------------------------------------------------------------------------------


def test_what_is_not_listed_goes_where_it_went(server: TcpServer) -> None:
    with TcpServer(PING) as elsewhere, reroute({KEY: server}):
        assert ping((elsewhere.host, elsewhere.port)) == b"PONG\n"
        assert ping(("localhost", elsewhere.port), socket.AF_INET) == b"PONG\n"


def test_another_port_of_a_listed_host_goes_where_it_went() -> None:
    """Resolved without a port, a name has a stand-in, which then leads to where the name leads."""
    with TcpServer(PING) as listed, TcpServer(PING) as real, reroute({("localhost", 1): listed}):
        address = socket.gethostbyname("localhost")
        assert address.startswith("127.128.")
        assert ping((address, 1)) == ping((address, real.port)) == b"PONG\n"
        assert ping(("localhost", real.port), socket.AF_INET) == b"PONG\n"
        assert [len(listed.transcripts), len(real.transcripts)] == [1, 2]


REFUSED = [
    (("other.example", 443), r"other\.example:443 is not rerouted, and strict=True refuses all else"),
    (("device.plant.example", 1), r"Write \('device\.plant\.example', 1\): far_end into reroute\(\{…\}\)"),
    (("10.1.2.3", 80), r"or \('10\.1\.2\.3', 80\): \('10\.1\.2\.3', 80\) to let it through"),
    (("127.0.0.1", 9), r"Rerouted: device\.plant\.example:5025"),
    (("::1", 9), r"\[::1\]:9 is not rerouted"),
]


@pytest.mark.parametrize(("address", "said"), REFUSED)
def test_strict_refuses_all_else(server: TcpServer, address: tuple[str, int], said: str) -> None:
    with pytest.raises(Failure, match=said), reroute({KEY: server}, strict=True):
        with pytest.raises(AddressError, match=said) as caught:
            ping(address)
        assert isinstance(caught.value, OSError)


@pytest.mark.asyncio
async def test_strict_refuses_loops_as_well() -> None:
    async with TcpServer() as server:
        with pytest.raises(Failure, match="other.example:443 is not rerouted"):
            async with reroute({KEY: server}, strict=True):
                with pytest.raises(AddressError, match="other.example:443 is not rerouted"):
                    await asyncio.open_connection("other.example", 443)


def test_what_the_program_swallowed_fails_the_block(server: TcpServer) -> None:
    with pytest.raises(Failure) as caught, reroute({KEY: server}, strict=True):
        for _ in range(3):
            with contextlib.suppress(OSError):
                ping(("other.example", 443))
        assert ping() == b"PONG\n"
    assert str(caught.value).count("other.example:443 is not rerouted") == 1


def test_the_tests_own_exception_stays_and_is_told_of_it(server: TcpServer) -> None:
    with pytest.raises(ValueError, match="own") as caught, reroute({KEY: server}, strict=True):
        with contextlib.suppress(OSError):
            ping(("other.example", 443))
        raise ValueError("own")
    [note] = caught.value.__notes__
    assert "other.example:443 is not rerouted" in note


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_exception_that_tells_it_is_not_told_twice(server: TcpServer, wrapped: bool) -> None:
    with pytest.raises(ConnectionError if wrapped else AddressError) as caught, reroute({KEY: server}, strict=True):
        try:
            ping(("other.example", 443))
        except OSError as error:
            if not wrapped:
                raise
            raise ConnectionError("lost") from error
    assert not hasattr(caught.value, "__notes__")


def test_strict_lets_the_far_ends_own_addresses_through(server: TcpServer) -> None:
    with reroute({KEY: server}, strict=True):
        assert ping((server.host, server.port)) == b"PONG\n"


@pytest.mark.asyncio
async def test_strict_lets_localhost_through_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client tries all of its addresses, and may begin with one on which nobody listens."""
    kind: Any = type(asyncio.get_running_loop())
    usual = kind.getaddrinfo

    async def both(self: Any, host: str, port: int, **options: Any) -> Any:
        if host != "localhost":
            return await usual(self, host, port, **options)
        found = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for family, address in found]

    async with TcpServer(PING) as server, reroute({KEY: server}, strict=True):
        with monkeypatch.context() as patched:
            patched.setattr(kind, "getaddrinfo", both)
            reader, writer = await asyncio.open_connection("localhost", server.port)
        writer.write(b"PING\n")
        assert await reader.readline() == b"PONG\n"
        writer.close()
        await writer.wait_closed()


def test_strict_holds_as_long_as_any_block_is_strict(server: TcpServer) -> None:
    with TcpServer(PING) as other:
        address = (other.host, other.port)
        with pytest.raises(Failure), reroute({KEY: server}, strict=True), reroute({}):
            with pytest.raises(AddressError):
                ping(address)
        with reroute({}), reroute({address: address}, strict=True):
            assert ping(address) == b"PONG\n"


@pytest.mark.asyncio
async def test_strict_leaves_listening_unix_sockets_and_datagrams_alone(tmp_path_factory: Any) -> None:
    async with reroute({}, strict=True):
        server = await asyncio.start_server(lambda reader, writer: None, "localhost", 0)
        server.close()
        await server.wait_closed()
        one, other = socket.socketpair()
        one.close()
        other.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.connect(("127.0.0.1", 9))
        if hasattr(socket, "AF_UNIX"):
            with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
                sock.connect(str(tmp_path_factory.mktemp("x") / "s"))


# -- misuse -----------------------------------------------------------------------------------------


def test_what_is_no_mapping() -> None:
    for thing in (None, [(KEY, 1)], "wss://api.exchange.com"):
        with pytest.raises(WrongType, match="takes a mapping of addresses to far ends"):
            reroute(thing)  # type: ignore[arg-type]
    with pytest.raises(WrongType, match="strict= takes True or False, not 'yes'"):
        reroute({}, strict="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        (Script(), WrongType, "A script is played by a server: `with WebSocketServer"),
        (TcpClient(Script(), "127.0.0.1", 9), WrongType, "A TcpClient dials, and does not listen"),
        (None, WrongType, r"device.plant.example:5025 cannot be rerouted to None: give a server that is started"),
        (TcpServer, WrongType, "give a server that is started"),
        ("127.0.0.1:80", InvalidArguments, r"write the far end's address as a pair, such as \('127.0.0.1', 6379\)"),
        (("127.0.0.1", 0), InvalidArguments, "ports go from 1 to 65535"),
        (("127.0.0.1", "80"), WrongType, "an address is a host and a number"),
        ("ftp://127.0.0.1", InvalidArguments, "neither a WebSocket's URL nor an HTTP one"),
        (("a", "b", "c"), WrongType, "cannot be rerouted to"),
    ],
)
def test_what_is_no_far_end(target: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        reroute({KEY: target})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wss://api.exchange.com/feed", "wss://api.exchange.com/trades"),
        ("wss://api.exchange.com/feed", ("api.exchange.com", 443)),
        ("https://api.exchange.com", "WSS://API.exchange.com.:443"),
        ("api.exchange.com", "API.exchange.com"),
        (("::1", 1), ("0:0::1", 1)),
    ],
)
def test_two_reroutes_of_one_address(server: TcpServer, one: Any, other: Any) -> None:
    with pytest.raises(
        InvalidArguments, match=r"are one address, .*: a connection has no path.*WebSocketServer\(\{'/f"
    ):
        reroute({one: server, other: TcpServer()})


def test_an_address_that_another_block_has(server: TcpServer, untouched: Callable[[], bool]) -> None:
    with reroute({KEY: server}):
        with pytest.raises(
            WrongState, match=r"5025 is rerouted already, to TcpServer .* \(.*test_reroute\.py:\d+\): leave"
        ):
            reroute({("new.example", 1): server, KEY: server}).__enter__()
        assert ping() == b"PONG\n"
        assert len(routes.active.routes) == 1
    assert untouched()


def test_a_far_end_that_is_not_started(untouched: Callable[[], bool]) -> None:
    for far_end in (TcpServer(), WebSocketServer()):
        with pytest.raises(
            WrongState, match=r"is not started: write `with server, reroute\(\{…\}\):`, the server first"
        ):
            reroute({KEY: far_end}).__enter__()
    assert untouched()


def test_a_far_end_that_is_over() -> None:
    with TcpServer() as server:
        pass
    with pytest.raises(WrongState, match="is closed already: enter reroute inside its `with`"):
        reroute({KEY: server}).__enter__()


def test_a_far_end_on_a_unix_socket(tmp_path_factory: Any) -> None:
    with pytest.raises(InvalidArguments, match="listens on a Unix socket"):
        reroute({KEY: TcpServer(unix_path="/nowhere/s")})


def test_tls_for_a_server_that_is_not_ours() -> None:
    with pytest.raises(InvalidArguments, match="is TLS, and 'ws://127.0.0.1:8000' is not: only farend's own servers"):
        reroute({"wss://api.exchange.com": "ws://127.0.0.1:8000"})


def test_tls_for_a_server_that_serves_by_turns() -> None:
    server = CommandServer("hi", verbose=False)
    with pytest.raises(
        InvalidArguments, match="api.exchange.com:443 is TLS, which a CommandServer cannot add: use a Tcp"
    ):
        reroute({"https://api.exchange.com": server}).__enter__()
    server.stop()


def test_a_far_end_whose_name_does_not_resolve() -> None:
    with pytest.raises(InvalidArguments, match="nowhere.invalid:80 is no address that can be reached"):
        reroute({KEY: ("nowhere.invalid", 80)}).__enter__()


def test_without_trustme(server: TcpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingExtra("pip install 'farend[tls]'")

    monkeypatch.setattr("farend.stage.tls.is_available", lambda: False)
    monkeypatch.setattr("farend.stage.tls.authority", missing)
    with pytest.raises(MissingExtra, match=r"farend\[tls\]"):
        reroute({"wss://api.exchange.com": server}).__enter__()
    with WebSocketServer(Script().expect("hello")) as far_end, reroute({"feed.example": far_end}):
        with connect("ws://feed.example") as client:  # all that needs no certificate works
            client.send("hello")


def test_a_patch_that_fails_leaves_no_route(
    server: TcpServer, untouched: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise LookupError

    monkeypatch.setattr(seams_module, "patches", fail)
    with pytest.raises(LookupError):
        reroute({KEY: server}).__enter__()
    assert routes.active.blocks == ()
