"""The same with the `tcpserver` fixture: farend's, or pytest-tcpclient's."""

import asyncio
import os

import pytest

MESSAGE = b"m" * 64


@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
async def test_exchange(tcpserver, number):
    tcpserver.expect_connect()
    tcpserver.expect_bytes(MESSAGE)
    tcpserver.send_bytes(MESSAGE)
    tcpserver.expect_disconnect()
    reader, writer = await asyncio.open_connection("127.0.0.1", tcpserver.service_port)
    writer.write(MESSAGE)
    assert await reader.readexactly(len(MESSAGE)) == MESSAGE
    writer.close()
    await writer.wait_closed()
    await tcpserver.join()
