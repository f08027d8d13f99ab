"""The same with `farend.TcpServer`, and no fixture."""

import asyncio
import os

import pytest

from farend import Script, TcpServer

MESSAGE = b"m" * 64


@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
async def test_exchange(number):
    async with TcpServer(Script().expect(MESSAGE).send(MESSAGE)) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(MESSAGE)
        assert await reader.readexactly(len(MESSAGE)) == MESSAGE
        writer.close()
        await writer.wait_closed()
