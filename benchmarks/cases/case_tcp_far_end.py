"""The same with farend's `tcp_far_end` fixture."""

import asyncio
import os

import pytest

from farend import Script

MESSAGE = b"m" * 64


@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
async def test_exchange(tcp_far_end, number):
    tcp_far_end.play(Script().expect(MESSAGE).send(MESSAGE))
    reader, writer = await asyncio.open_connection(tcp_far_end.host, tcp_far_end.port)
    writer.write(MESSAGE)
    assert await reader.readexactly(len(MESSAGE)) == MESSAGE
    writer.close()
    await writer.wait_closed()
