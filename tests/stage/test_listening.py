"""Sockets that listen: the system's port, held from the first moment, and what is said where that cannot be."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from farend import AddressError, InvalidArguments, TcpServer, WebSocketServer, WrongType
from farend.stage.listening import listen


def test_the_port_is_the_systems_choice_and_held_by_the_bound_socket() -> None:
    with listen("127.0.0.1", 0, None) as one, listen("127.0.0.1", 0, None) as other:
        (host, port), (_, second) = one.getsockname(), other.getsockname()
        assert host == "127.0.0.1"
        assert port != second
        with pytest.raises(AddressError):
            listen("127.0.0.1", port, None)
        with socket.create_connection((host, port), timeout=5):  # the kernel queues who comes
            pass


def test_a_port_that_is_taken() -> None:
    """Today's tools hang: a port that is taken."""
    with listen("127.0.0.1", 0, None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError) as caught, TcpServer(port=port):
            pass
    assert caught.value.errno == errno.EADDRINUSE
    assert str(caught.value).endswith(
        f"port {port} on 127.0.0.1 is taken: another program, or another far end, listens there. "
        "Leave port= out, and give your client the far end's .port"
    )
    assert isinstance(caught.value, OSError)


def test_a_port_is_free_again_at_once() -> None:
    """S0-2: also where connections of it are still in TIME_WAIT."""
    with TcpServer() as server:
        port = server.port
        with socket.create_connection((server.host, port), timeout=5):
            server.accept().close()
    with TcpServer(port=port) as again:
        assert again.port == port


@pytest.mark.parametrize("make", [TcpServer, WebSocketServer])
def test_an_address_of_another_machine(make: Any) -> None:
    with pytest.raises(AddressError, match=r"192\.0\.2\.1 is no address of this machine; leave host= out"):
        make(host="192.0.2.1").start()


def test_a_name_that_is_no_address() -> None:
    with pytest.raises(AddressError, match="host='no such host' is no address of this machine"):
        listen("no such host", 0, None)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may listen anywhere")
def test_a_port_that_is_not_for_this_user() -> None:
    with pytest.raises(AddressError, match="may not be listened on by this user"):
        listen("127.0.0.1", 1, None)


@pytest.mark.parametrize(
    ("host", "port", "error", "text"),
    [
        ("127.0.0.1", "80", WrongType, "port= takes a number, not '80'; 0, the default, lets the system choose"),
        ("127.0.0.1", True, WrongType, "port= takes a number, not True"),
        ("127.0.0.1", 70000, InvalidArguments, "port=70000: ports go from 0 to 65535"),
        ("127.0.0.1", -1, InvalidArguments, "port=-1: ports go from 0 to 65535"),
        (7, 0, WrongType, "host= takes an address as text, such as '127.0.0.1' or '::1', not 7"),
    ],
)
def test_what_is_no_address_at_all(host: Any, port: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        TcpServer(host=host, port=port).start()


def test_a_unix_socket_is_there_and_gone(folder: Path) -> None:
    path = folder / "s"
    with TcpServer(unix_path=path) as server:
        assert path.is_socket()
        assert server.unix_path == str(path)
    assert not path.exists()
    server = TcpServer(unix_path=path).listen()
    assert path.is_socket()
    server.close()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere/s", r"the Unix socket .* cannot be made: the folder .*/nowhere is not there"),
        ("here", r"cannot be made: something is there already. Remove it, or take another path"),
        ("s" * 200, r"its path has more than 107 bytes, which is the system's limit"),
    ],
)
def test_a_unix_socket_that_cannot_be_made(folder: Path, name: str, text: str) -> None:
    """Bad input: a path that is not there."""
    (folder / "here").touch()
    with pytest.raises(AddressError, match=text) as caught:
        TcpServer(unix_path=folder / name).start()
    assert caught.value.errno
    assert "None" not in str(caught.value)


def test_a_path_that_somebody_else_took_away(folder: Path) -> None:
    with TcpServer(unix_path=folder / "s"):
        (folder / "s").unlink()
