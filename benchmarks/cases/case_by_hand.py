"""A server written by hand, and one exchange."""

import asyncio
import os

import pytest

MESSAGE = b"m" * 64


async def answer(reader, writer):
    writer.write(await reader.readexactly(len(MESSAGE)))
    await writer.drain()
    writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
async def test_exchange(number):
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(MESSAGE)
    assert await reader.readexactly(len(MESSAGE)) == MESSAGE
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
