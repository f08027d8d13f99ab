"""The stages' tests run on asyncio's own loop and on uvloop, each of them that is marked `asyncio`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from farend import Failure
from farend.stage.loop_thread import shared

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if uvloop is None:
        return {"asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Dialled(socket.socket):
    """A client on a plain socket, for which no call takes longer than ten seconds."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or what came before the end."""
        came = b""
        while len(came) < size and (data := self.recv(size - len(came))):
            came += data
        return came

    def read_all(self) -> bytes:
        """All that comes until the end."""
        return b"".join(iter(lambda: self.recv(1 << 20), b""))


@pytest.fixture
def dial() -> Iterator[Callable[[Any], Dialled]]:
    """Makes clients: `dial(server)`. They are closed when the test is over. `buffer` is their kernel's, in bytes."""
    with contextlib.ExitStack() as clients:

        def connected(server: Any, buffer: int | None = None) -> Dialled:
            is_unix = server.unix_path is not None
            family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in server.host else socket.AF_INET
            client = clients.enter_context(Dialled(family, socket.SOCK_STREAM))
            client.settimeout(10)
            if buffer is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            client.connect(server.unix_path if is_unix else (server.host, server.port))
            return client

        yield connected


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for Unix sockets: the system's limit is 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fe") as path:
        yield Path(path)


@pytest.fixture
def only() -> Callable[[Failure | Any], Any]:
    """The one finding of a failure: `only(caught)`."""

    def the_one(caught: Any) -> Any:
        failure = caught.value if hasattr(caught, "value") else caught
        [finding] = failure.findings
        return finding

    return the_one


@pytest.fixture(autouse=True)
def _leases_are_given_back() -> Iterator[None]:
    """No test leaves a far end on the background loop."""
    before = set(shared.holders)
    yield
    assert set(shared.holders) <= before
