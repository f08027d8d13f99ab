"""What is unread at the other end, as the kernel tells it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from farend.stage import unread as module
from farend.stage.unread import unread

linux = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="asks Linux")


class Transport:
    """As much of a transport as is asked for."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._extra = {"socket": sock}
        if sock is not None:
            self._extra |= {"sockname": sock.getsockname(), "peername": sock.getpeername()}

    def get_extra_info(self, name: str) -> Any:
        return self._extra.get(name)


@contextlib.contextmanager
def connected(family: int = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the far end's socket and the near end's."""
    if family == socket.AF_UNIX:
        far, near = socket.socketpair(socket.AF_UNIX)
    else:
        with socket.create_server((host, 0), family=family) as server:
            near = socket.create_connection(server.getsockname()[:2])
            far, _ = server.accept()
    with far, near:
        yield far, near


KINDS = [
    pytest.param(socket.AF_INET, "127.0.0.1", module._AtTheKernel, marks=linux, id="kernel"),
    pytest.param(socket.AF_INET6, "::1", module._AtTheKernel, marks=linux, id="kernel-ipv6"),
    pytest.param(socket.AF_INET, "127.0.0.1", module._InThisProcess, id="process"),
    pytest.param(socket.AF_INET6, "::1", module._InThisProcess, id="process-ipv6"),
    pytest.param(socket.AF_UNIX, "", module._OnUnixSocket, id="unix", marks=linux),
]


@pytest.mark.parametrize(("family", "host", "kind"), KINDS)
def test_it_is_told_until_the_last_byte_is_read(family, host, kind):
    with connected(family, host) as (far, near):
        told = kind(far, far.getsockname(), far.getpeername())
        assert told.nothing()
        far.sendall(b"hello")
        assert not told.nothing()
        near.recv(4)
        assert not told.nothing()
        near.recv(10)
        assert told.nothing()


@pytest.mark.parametrize(("family", "host", "kind"), KINDS)
def test_a_near_end_that_is_gone_has_nothing_unread(family, host, kind):
    with connected(family, host) as (far, near):
        told = kind(far, far.getsockname(), far.getpeername())
        far.sendall(b"hello")
        near.close()
        assert told.nothing()
        far.close()
        assert told.nothing()


@linux
def test_what_the_near_end_has_no_room_for_is_unread():
    with connected() as (far, near):
        told = unread(Transport(far))
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                far.send(bytes(1 << 16))
        assert not told.nothing()
        near.settimeout(10)
        near.recv(1 << 10)
        assert not told.nothing()


@linux
def test_the_kernel_is_asked_first_and_this_process_next(monkeypatch):
    with connected() as (far, _):
        assert isinstance(unread(Transport(far)), module._AtTheKernel)
        monkeypatch.delattr(socket, "AF_NETLINK")
        assert isinstance(unread(Transport(far)), module._InThisProcess)
    with connected(socket.AF_UNIX) as (far, _):
        assert isinstance(unread(Transport(far)), module._OnUnixSocket)


@linux
def test_an_ipv4_client_of_an_ipv6_server_is_found():
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        with socket.create_connection(("127.0.0.1", server.getsockname()[1])) as near, server.accept()[0] as far:
            told = unread(Transport(far))
            assert isinstance(told, module._AtTheKernel)
            far.sendall(b"hello")
            assert not told.nothing()
            near.recv(5)
            assert told.nothing()


def test_where_nobody_knows_nobody_tells(monkeypatch):
    assert unread(Transport(None)) is None
    with connected() as (far, _near):
        elsewhere = Transport(far)
        elsewhere._extra |= {"sockname": ("192.0.2.1", 1), "peername": ("192.0.2.2", 2)}
        assert unread(elsewhere) is None
        monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
        monkeypatch.setattr(module, "fcntl", None)
        assert unread(Transport(far)) is None


@linux
def test_a_kernel_that_refuses_to_tell_is_not_asked(monkeypatch):
    class Refusing(socket.socket):
        def recv(self, *args):
            answer = bytearray(super().recv(*args))
            answer[4:6] = module._NLMSG_ERROR.to_bytes(2, "little")
            answer[16:20] = (-1).to_bytes(4, "little", signed=True)
            return bytes(answer)

    with connected() as (far, _near):
        transport = Transport(far)
        told = unread(transport)
        monkeypatch.setattr(socket, "socket", Refusing)
        with pytest.raises(OSError):
            module._AtTheKernel(far, far.getsockname(), far.getpeername())
        assert told.nothing()  # it is not waited for


@linux
def test_a_kernel_that_does_not_count_is_not_asked():
    class Old:
        family = socket.AF_INET

        def getsockopt(self, *args: Any) -> bytes:
            return bytes(104)

    with connected() as (far, _near):
        with pytest.raises(NotImplementedError):
            module._AtTheKernel(Old(), far.getsockname(), far.getpeername())
