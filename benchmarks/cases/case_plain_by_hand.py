"""A plain test: a server written by hand on a background loop that the module keeps, and one exchange."""

import asyncio
import os
import socket
import threading

import pytest

MESSAGE = b"m" * 64


async def answer(reader, writer):
    writer.write(await reader.readexactly(len(MESSAGE)))
    await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def start():
    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def stop(server):
    server.close()
    await server.wait_closed()


@pytest.fixture
def port(loop):
    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    yield server.sockets[0].getsockname()[1]
    asyncio.run_coroutine_threadsafe(stop(server), loop).result()


@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_exchange(port, number):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(MESSAGE)
        assert client.recv(len(MESSAGE)) == MESSAGE
