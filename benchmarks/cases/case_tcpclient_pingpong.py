"""A long script of pytest-tcpclient's fixture."""

import asyncio
import os
import time

import pytest

COUNT = int(os.environ["BENCH_COUNT"])
SIZE = int(os.environ["BENCH_SIZE"])


@pytest.mark.asyncio
async def test_pingpong(tcpserver, hand_back):
    message = b"m" * SIZE
    tcpserver.expect_connect()
    for _ in range(COUNT):
        tcpserver.expect_bytes(message, timeout=10)
        tcpserver.send_bytes(message)
    reader, writer = await asyncio.open_connection("127.0.0.1", tcpserver.service_port)
    begin = time.perf_counter()
    for _ in range(COUNT):
        writer.write(message)
        await reader.readexactly(SIZE)
    hand_back(seconds=time.perf_counter() - begin)
    await tcpserver.join()
    writer.close()
    await writer.wait_closed()
