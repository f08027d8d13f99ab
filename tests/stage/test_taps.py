"""How much a tap wants to be read at once."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from farend.stage.taps import TcpTap, Unrecorded, WebSocketTap
from farend.stage.transports import READ_SIZE
from farend.tape.recorder import Recorder

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
LONG = Frame(Opcode.BINARY, bytes(READ_SIZE // 4)).serialize(mask=True)


@pytest.fixture
def record(tmp_path):
    recorder = Recorder(tmp_path / "tape.jsonl", "websocket", now=0.0)
    yield recorder.connection(0.0)
    recorder.close()


def websocket_tap(record):
    tap = WebSocketTap(record, "ws://server", "ws://server", set(), pytest.fail)
    assert tap.wants("client") == READ_SIZE
    tap.said("client", REQUEST)
    tap.said("server", ANSWER)
    return tap


def test_of_long_messages_so_much_that_the_last_is_whole(record):
    tap = websocket_tap(record)
    stream = LONG * 20
    most = tap.wants("client")
    assert 4 * len(LONG) <= most < 5 * len(LONG)
    tap.said("client", stream[:READ_SIZE])
    wanted = tap.wants("client")
    assert wanted == 8 * len(LONG) - READ_SIZE
    assert tap.wants("server") == most
    tap.said("client", stream[READ_SIZE : READ_SIZE + wanted])
    assert tap.wants("client") == 4 * len(LONG)  # as many as a read has, were it not for their heads


def test_as_much_as_can_be_where_nothing_is_told_apart(record):
    tap = websocket_tap(Unrecorded())
    tap.said("client", LONG[:-1])
    assert tap.wants("client") == READ_SIZE
    assert TcpTap(record, "tcp://server", pytest.fail).wants("client") == READ_SIZE
