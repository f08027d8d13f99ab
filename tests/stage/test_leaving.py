"""Who is not read from is watched all the same: his leaving is told."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from typing import Any

import pytest

from farend.stage import leaving
from farend.stage.cable import connect

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="the system tells nobody")


class Transport:
    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock

    def get_extra_info(self, name: str) -> Any:
        return self._sock if name == "socket" else None


@pytest.mark.asyncio
async def test_an_end_of_stream_is_told_once_and_a_reset_for_good() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        sock, _ = listening.accept()
        told: asyncio.Queue[bool] = asyncio.Queue()
        with sock:
            end = leaving.watch(Transport(sock), told.put_nowait)
            assert end is not None
            client.sendall(b"nobody reads this")
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.wait_for(told.get(), 30) is False
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert await asyncio.wait_for(told.get(), 30) is True
            end()
            end()
        assert told.empty()


@pytest.mark.asyncio
async def test_nothing_is_told_where_there_is_no_socket_or_no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leaving.watch(Transport(None), print) is None
    monkeypatch.delattr(select, "epoll")
    with socket.socket() as sock:
        assert leaving.watch(Transport(sock), print) is None


@pytest.mark.asyncio
async def test_a_connection_in_memory_knows_by_itself() -> None:
    near, far = connect(asyncio.get_running_loop(), ("127.0.0.1", 1), ("127.0.0.1", 2))
    told: list[bool] = []
    end = leaving.watch(far, told.append)
    assert end is not None
    near.write_eof()
    assert told == [False]
    end()
    near.abort()
    far.abort()
    await asyncio.sleep(0)
    assert told == [False]
