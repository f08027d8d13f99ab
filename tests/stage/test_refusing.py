"""Refusals are the system's own: for every way in which Python dials, and only where a server refuses."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from farend import Plan, Script, TcpServer, WebSocketServer, WrongState, forever, reroute
from farend.stage import refusing
from farend.stage.refusing import ClosedDoor

HELLO = Script().send(b"hello").close()
PLAN = Plan().refuse(2).play(HELLO)


def heard(server: TcpServer, host: str | None = None) -> bytes:
    with socket.create_connection((host or server.host, server.port), timeout=10) as client:
        return client.recv(100)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_blocking_client_is_refused_by_the_system(host: str) -> None:
    with TcpServer(PLAN, host=host) as server:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError) as caught:
                heard(server)
            assert caught.value.errno == errno.ECONNREFUSED
        assert heard(server) == b"hello"
    assert server.journal.outcomes == ["refused", "refused", "played"]


@pytest.mark.parametrize(("listens", "dials"), [("127.0.0.1", "localhost"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_names_and_all_addresses_are_the_servers_too(listens: str, dials: str) -> None:
    with TcpServer(PLAN, host=listens) as server:
        family = socket.AF_INET6 if ":" in dials else socket.AF_INET
        for _ in range(2):
            with socket.socket(family) as client, pytest.raises(ConnectionRefusedError):
                client.connect((dials, server.port))
        assert heard(server, dials) == b"hello"


def test_an_ipv4_server_refuses_a_client_on_an_ipv6_socket() -> None:
    with TcpServer(Plan().refuse(forever)) as server:
        with socket.socket(socket.AF_INET6) as client, pytest.raises(ConnectionRefusedError):
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            client.connect(("::ffff:127.0.0.1", server.port))
    assert server.journal.outcomes == ["refused"]


def test_another_address_with_this_port_is_nobody_of_ours() -> None:
    with TcpServer(Plan().refuse(forever)) as server:
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.2", server.port))  # where nobody listens anyway
    assert len(server.journal) == 0


def test_connect_ex_says_so_by_its_number_and_counts_once() -> None:
    with TcpServer(Plan().refuse().play(HELLO)) as server:
        with socket.socket() as client:
            assert client.connect_ex((server.host, server.port)) == errno.ECONNREFUSED
        with socket.socket() as client:
            client.setblocking(False)
            while client.connect_ex((server.host, server.port)) not in (0, errno.EISCONN):
                pass
            client.setblocking(True)
            client.settimeout(10)
            assert client.recv(100) == b"hello"
    assert server.journal.outcomes == ["refused", "played"]


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_asyncio_and_uvloop_are_refused(host: str) -> None:
    async with TcpServer(PLAN) as server:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, server.port, family=socket.AF_INET)
        reader, writer = await asyncio.open_connection(host, server.port, family=socket.AF_INET)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
    assert server.journal.outcomes == ["refused", "refused", "played"]


@pytest.mark.asyncio
async def test_tls_is_refused_before_its_handshake() -> None:
    async with TcpServer(PLAN, tls=True) as server:
        context = server.client_ssl_context
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(server.host, server.port, ssl=context)
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("inside", [True, False])
def test_a_rerouted_client_is_refused_whoever_came_first(inside: bool) -> None:
    server = TcpServer(PLAN)
    address = ("device.plant.example", 5025)
    if inside:
        with server, reroute({address: server}):
            _dial_rerouted(address)
    else:
        with TcpServer() as other, reroute({("other.example", 1): other}), server, reroute({address: server}):
            _dial_rerouted(address)
    assert server.journal.outcomes == ["refused", "refused", "played"]


def _dial_rerouted(address: tuple[str, int]) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
    with socket.create_connection(address, timeout=10) as client:
        assert client.recv(100) == b"hello"


DIAL = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30) as client:
        print(client.recv(100).decode())
except OSError as error:
    print(type(error).__name__)
"""


def elsewhere(server: TcpServer) -> str:
    """What a client in another process meets."""
    program = [sys.executable, "-c", DIAL, server.host, str(server.port)]
    return subprocess.check_output(program, text=True, timeout=60).strip()


def test_another_process_is_let_in_and_reset() -> None:
    with TcpServer(Plan().refuse().play(HELLO)) as server:
        assert [elsewhere(server), elsewhere(server)] == ["ConnectionResetError", "hello"]
    assert server.journal.outcomes == ["refused", "played"]
    assert [attempt.by_reset for attempt in server.journal] == [True, False]


def test_who_refuses_for_ever_listens_for_nobody_until_told_otherwise() -> None:
    with TcpServer(Plan().refuse(forever)) as server:
        assert elsewhere(server) == "ConnectionRefusedError"
        with pytest.raises(ConnectionRefusedError):
            heard(server)
        server.play(HELLO)
        assert elsewhere(server) == "hello"
        assert heard(server) == b"hello"
    assert server.journal.outcomes == ["refused", "played", "played"]


@pytest.mark.asyncio
async def test_a_port_that_nobody_listened_on_is_listened_on_at_once() -> None:
    async with TcpServer(Plan().refuse(forever)) as server:
        server.play(Plan().play(HELLO, times=2))
        for _ in range(2):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
    assert server.journal.outcomes == ["played", "played"]


def test_it_may_be_told_otherwise_before_it_is_served() -> None:
    server = TcpServer(Plan().refuse(forever)).listen()
    server.play(HELLO)
    server.serve_on(None)
    try:
        assert heard(server) == b"hello"
    finally:
        server.close()
    for _ in range(20):  # whoever is first, the play or the serving
        with TcpServer(Plan().refuse(forever)) as server:
            server.play(HELLO)
            assert heard(server) == b"hello"


def test_many_threads_are_each_refused_or_served_once() -> None:
    refused, served = [], []

    def dial() -> None:
        try:
            served.append(heard(server))
        except ConnectionRefusedError as error:
            refused.append(error)

    with TcpServer(Plan().refuse(10).play(HELLO, times=10)) as server:
        threads = [threading.Thread(target=dial) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert (len(refused), served) == (10, [b"hello"] * 10)
    assert sorted(server.journal.outcomes) == ["played"] * 10 + ["refused"] * 10


def test_nothing_is_patched_unless_somebody_refuses() -> None:
    before = socket.socket.connect, socket.socket.connect_ex
    with TcpServer(Plan().play(HELLO)) as server:
        assert (socket.socket.connect, socket.socket.connect_ex) == before
        assert heard(server) == b"hello"
    with TcpServer() as server:
        server.play(Plan().refuse(forever))
        assert socket.socket.connect is not before[0]
        server.play(Plan().refuse(forever))
    assert (socket.socket.connect, socket.socket.connect_ex) == before
    assert refusing._doors == {}


def test_a_server_that_never_served_leaves_nothing_behind() -> None:
    server = TcpServer(PLAN).listen()
    assert server.port in refusing._doors
    server.close()
    assert refusing._doors == {}
    with pytest.raises(WrongState):
        server.play(PLAN)


def test_two_servers_each_keep_their_own_door() -> None:
    with TcpServer(PLAN) as first, TcpServer(PLAN) as second:
        for server in (first, second):
            with pytest.raises(ConnectionRefusedError):
                heard(server)
        for server in (second, first):
            with pytest.raises(ConnectionRefusedError):
                heard(server)
            assert heard(server) == b"hello"
        assert not first.knock()
        assert not second.knock()
    assert not first.knock()


def test_a_door_watches_for_a_server_only_while_that_is_there() -> None:
    class Server:
        def knock(self) -> bool:
            return True

    server = Server()
    door = ClosedDoor(server, ("127.0.0.1", 1), socket.AF_INET)
    try:
        with socket.socket() as client:
            closed = refusing.led(client, ("127.0.0.1", 1))
            assert closed[1] != 1
            assert refusing.led(client, ("127.0.0.1", 2)) == ("127.0.0.1", 2)
            assert refusing.led(client, "path") == "path"
            assert refusing.led(client, (b"127.0.0.1", 1)) == (b"127.0.0.1", 1)
            gone = weakref.ref(server)
            del server
            gc.collect()
            assert gone() is None
            assert refusing.led(client, ("127.0.0.1", 1)) == ("127.0.0.1", 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            assert refusing.led(client, ("127.0.0.1", 1)) == ("127.0.0.1", 1)
    finally:
        door.close()
        door.close()


def test_two_doors_at_one_port_are_told_apart_by_their_address() -> None:
    with TcpServer(Plan().refuse(forever)) as first, TcpServer(Plan().refuse(forever), host="::1") as second:
        door: Any = ClosedDoor(first, ("127.0.0.2", first.port), socket.AF_INET)
        try:
            with socket.socket() as client:
                assert client.connect_ex((first.host, first.port)) == errno.ECONNREFUSED
        finally:
            door.close()
        with socket.socket(socket.AF_INET6) as other:
            assert other.connect_ex((second.host, second.port)) == errno.ECONNREFUSED
    assert len(first.journal) == len(second.journal) == 1


@pytest.mark.asyncio
async def test_a_websocket_is_refused_as_well() -> None:
    from websockets.asyncio.client import connect

    async with WebSocketServer(Plan().refuse().play(Script().send("hello"))) as server:
        with pytest.raises(ConnectionRefusedError):
            await connect(server.url)
        async with connect(server.url) as client:
            assert await client.recv() == "hello"


@pytest.mark.asyncio
async def test_who_is_cancelled_while_dialling_leaves_no_socket() -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))]

    async def sock_connect(sock: socket.socket, _: Any) -> None:
        dialled.append(sock)
        raise asyncio.CancelledError

    dialled: list[socket.socket] = []
    loop: Any = SimpleNamespace(getaddrinfo=getaddrinfo, sock_connect=sock_connect)
    with pytest.raises(asyncio.CancelledError):
        await refusing._connected(loop, "api.exchange.com", 443, 0, 0, None)
    assert [sock.fileno() for sock in dialled] == [-1]


def test_a_port_that_cannot_be_had_leaves_no_door(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(errno.EADDRINUSE, "all ports are taken")

    monkeypatch.setattr(socket, "socket", Full)
    with pytest.raises(OSError, match="all ports are taken"):
        ClosedDoor(TcpServer(), ("127.0.0.1", 1), socket.AF_INET)
    assert refusing._doors == {}
