"""Connections that are served one after the other."""

import asyncio
import contextlib

import pytest

from farend import Script, TcpServer
from farend.core.conversation import State
from farend.stage.driver import Driver
from farend.stage.turns import Turns

CLOCK = 0.002
"""Seconds: uvloop's clock has milliseconds, and rounds both times."""


class OneAtATime(TcpServer):
    """The smallest server that takes turns: a turn is over when the script is."""

    def __init__(self, script, **options):
        super().__init__(script, **options)
        self.turns = Turns(self.admit)
        self.watched = True

    def admit(self):
        self._drivers.append(Driver(self, self._wire(), len(self._drivers) + 1))
        return self._drivers[-1]

    def _connection(self):
        return self.turns.guest()

    def changed(self, driver):
        if driver.conversation.state is not State.PLAYING:
            self.turns.over(driver)
        super().changed(driver)

    async def _shut(self):
        await super()._shut()
        await self.turns.close()


async def noticed(server, number):
    async with asyncio.timeout(5):
        while len(server.turns) != number:
            await asyncio.sleep(0)


async def left(*writers):
    for writer in writers:
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_who_comes_meanwhile_waits_unread():
    """S1-12: and is served in the order of arrival."""
    server = OneAtATime(Script().expect(b"x").send("y").close())
    async with server:
        one, first = await asyncio.open_connection(server.host, server.port)
        await server.connection()
        others = []
        for number in range(1, 4):
            others.append(await asyncio.open_connection(server.host, server.port))
            others[-1][1].write(b"x")
            await noticed(server, number)
        assert [len(transcript.received) for transcript in server.transcripts] == [0]
        first.write(b"x")
        assert await one.read() == b"y"
        for reader, _ in others:
            assert await reader.read() == b"y"
        assert len(server.transcripts) == 4
        await left(first, *(writer for _, writer in others))


@pytest.mark.asyncio
async def test_the_deadline_begins_with_the_turn():
    """S1-33: a silent client has its deadline, and who waits behind it a whole one."""
    server = OneAtATime(Script().expect(b"x").send("y").close(), deadline=0.1)
    async with asyncio.timeout(5):
        server.start()
        one, first = await asyncio.open_connection(server.host, server.port)
        two, second = await asyncio.open_connection(server.host, server.port)
        assert await one.read() == b""
        assert await two.read() == b""
        began = [transcript.began for transcript in server.transcripts]
        assert began[1] - began[0] >= 0.1 - CLOCK
        await left(first, second)
        assert [finding.place.connection for finding in await server.aclose()] == [1, 2]


@pytest.mark.asyncio
async def test_closing_cuts_who_waits():
    server = OneAtATime(Script().expect(b"x"))
    server.start()
    _, first = await asyncio.open_connection(server.host, server.port)
    two, second = await asyncio.open_connection(server.host, server.port)
    await noticed(server, 1)
    await server.aclose()
    assert len(server.turns) == 0
    with contextlib.suppress(ConnectionResetError):
        assert await two.read() == b""
    with contextlib.suppress(ConnectionResetError):
        await left(second)
    await left(first)
    assert len(server.transcripts) == 1
