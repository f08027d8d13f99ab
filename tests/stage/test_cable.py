"""Connections in memory keep the contract of asyncio's transports: order, flow control, half close, the ends."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from farend.stage.cable import HIGH_WATER, WINDOW, connect

NEAR, FAR = ("127.0.0.1", 49152), ("127.128.0.1", 80)


class Ear(asyncio.Protocol):
    """Writes down what happens to it; `half_open` is what it answers to the end of the stream."""

    def __init__(self, half_open=False):
        self.heard = []
        self.half_open = half_open
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.heard.append("made")

    def data_received(self, data):
        self.heard.append(data)

    def eof_received(self):
        self.heard.append("eof")
        return self.half_open

    def pause_writing(self):
        self.heard.append("pause")

    def resume_writing(self):
        self.heard.append("resume")

    def connection_lost(self, error):
        self.heard.append(error if error is None else type(error))


class BufferedEar(asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self, size):
        self.buffer = bytearray(size)
        self.heard = []

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.heard.append(bytes(self.buffer[:nbytes]))


async def pair(near=None, far=None):
    near, far = near or Ear(), far or Ear()
    one, other = connect(asyncio.get_running_loop(), NEAR, FAR)
    begun = asyncio.get_running_loop().create_future()
    one.begin(near)
    other.begin(far, begun)
    await begun
    return (one, near), (other, far)


async def turns(number=6):
    for _ in range(number):
        await asyncio.sleep(0)


def run(test):
    return asyncio.run(test())


def test_what_is_written_comes_in_order_and_together():
    async def test():
        (one, near), (other, far) = await pair()
        one.write(b"a")
        one.writelines([b"b", bytearray(b"c")])
        one.write(memoryview(b"d"))
        one.write(b"")
        assert far.heard == ["made"]  # never before the writer's own turn is over
        await turns(1)
        assert far.heard == ["made", b"abcd"]
        other.write(b"back")
        await turns()
        assert near.heard == ["made", b"back"]

    run(test)


def test_it_has_the_addresses_and_a_socket_that_takes_options():
    async def test():
        (one, _), (other, _) = await pair()
        assert one.get_extra_info("sockname") == other.get_extra_info("peername") == NEAR
        assert one.get_extra_info("peername") == FAR
        assert one.get_extra_info("cipher") is None
        assert one.get_extra_info("cipher", "none") == "none"
        sock = one.get_extra_info("socket")
        assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        assert (sock.getsockname(), sock.getpeername(), sock.fileno(), sock.gettimeout()) == (NEAR, FAR, -1, 0.0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == bytes(8)
        sock.setblocking(False)
        with pytest.raises(ValueError, match="cannot block"):
            sock.setblocking(True)
        assert "127.128.0.1" in repr(sock)
        v6, _ = connect(asyncio.get_running_loop(), ("::1", 1, 0, 0), ("::1", 2, 0, 0))
        assert v6.get_extra_info("socket").family == socket.AF_INET6

    run(test)


def test_a_reader_that_pauses_makes_the_writer_pause():
    async def test():
        (one, near), (other, far) = await pair()
        other.pause_reading()
        assert not other.is_reading()
        one.write(bytes(WINDOW))
        assert (near.heard, one.get_write_buffer_size()) == (["made"], 0)
        one.write(bytes(HIGH_WATER))
        assert near.heard == ["made"]
        one.write(b"x")
        assert (near.heard, one.get_write_buffer_size()) == (["made", "pause"], HIGH_WATER + 1)
        one.write(b"y")
        await turns()
        assert far.heard == ["made"]
        other.resume_reading()
        assert other.is_reading()
        await turns()
        assert near.heard == ["made", "pause", "resume"]
        assert b"".join(far.heard[1:]) == bytes(WINDOW + HIGH_WATER) + b"xy"

    run(test)


def test_the_limits_are_the_users():
    async def test():
        (one, near), (other, _) = await pair()
        assert one.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)
        one.set_write_buffer_limits(low=10)
        assert one.get_write_buffer_limits() == (10, 40)
        other.pause_reading()
        one.write(bytes(WINDOW + 20))
        one.set_write_buffer_limits(high=0)
        assert near.heard == ["made", "pause"]
        one.set_write_buffer_limits(high=8, low=2)
        with pytest.raises(ValueError, match="must be >="):
            one.set_write_buffer_limits(high=1, low=2)

    run(test)


def test_a_half_closed_connection_goes_on_in_the_other_direction():
    async def test():
        (one, near), (other, far) = await pair(far=Ear(half_open=True))
        assert one.can_write_eof()
        one.write(b"ask")
        one.write_eof()
        one.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            one.write(b"more")
        await turns()
        assert far.heard == ["made", b"ask", "eof"]
        other.write(b"answer")
        other.close()
        await turns()
        assert near.heard == ["made", b"answer", "eof", None]
        assert far.heard == ["made", b"ask", "eof", None]

    run(test)


def test_the_end_waits_for_what_is_not_sent_yet():
    async def test():
        (one, near), (other, far) = await pair()
        other.pause_reading()
        one.write(bytes(WINDOW + 5))
        one.write_eof()
        await turns()
        other.resume_reading()
        await turns()
        assert b"".join(far.heard[1:-2]) == bytes(WINDOW + 5)
        assert far.heard[-2:] == ["eof", None]
        assert near.heard == ["made", "eof", None]

    run(test)


def test_closing_sends_what_is_left():
    async def test():
        (one, near), (other, far) = await pair()
        other.pause_reading()
        one.write(bytes(WINDOW + 5))
        one.close()
        one.close()
        assert one.is_closing()
        one.write(b"lost")
        one.write_eof()
        await turns()
        assert near.heard == ["made"]
        other.resume_reading()
        await turns()
        assert near.heard == ["made", None]
        assert b"".join(far.heard[1:-2]) == bytes(WINDOW + 5)

    run(test)


def test_nothing_is_heard_after_closing():
    async def test():
        (one, near), (other, _) = await pair()
        other.write(b"late")
        one.close()
        await turns()
        assert near.heard == ["made", None]

    run(test)


def test_an_abort_is_a_reset_at_the_other_end():
    async def test():
        (one, near), (_, far) = await pair()
        one.write(b"last")
        one.abort()
        one.abort()
        await turns()
        assert near.heard == ["made", None]
        assert far.heard == ["made", b"last", ConnectionResetError]
        one.abort()
        assert "gone" in repr(one)

    run(test)


def test_an_abort_loses_what_is_not_sent_and_ends_who_does_not_read():
    async def test():
        (one, _), (other, far) = await pair()
        other.pause_reading()
        one.write(bytes(WINDOW + 5))
        one.abort()
        assert one.get_write_buffer_size() == 0
        await turns()
        assert far.heard == ["made", ConnectionResetError]

    run(test)


def test_writing_to_an_end_that_is_gone_is_a_reset():
    async def test():
        (one, near), (other, _) = await pair(near=Ear(half_open=True))
        other.close()
        await turns()
        assert near.heard == ["made", "eof"]
        one.write(b"anybody?")
        await turns()
        assert near.heard == ["made", "eof", ConnectionResetError]

    run(test)


def test_who_cannot_send_the_rest_is_reset_when_the_other_end_goes():
    async def test():
        (one, near), (other, _) = await pair()
        other.pause_reading()
        one.write(bytes(WINDOW + 1))
        other.close()
        await turns()
        assert near.heard == ["made", ConnectionResetError]

    run(test)


@pytest.mark.parametrize("size", [2, 100])
def test_a_protocol_with_a_buffer_of_its_own(size):
    async def test():
        ear = BufferedEar(size)
        (one, _), (other, _) = await pair(far=ear)
        assert other.get_protocol() is ear
        one.write(b"abcde")
        await turns()
        assert ear.heard == ([b"ab", b"cd", b"e"] if size == 2 else [b"abcde"])

    run(test)


def test_what_comes_goes_to_the_protocol_that_is_set_then():
    async def test():
        second = Ear()
        (one, _), (other, first) = await pair()
        one.write(b"a")
        other.set_protocol(second)
        await turns()
        assert (first.heard, second.heard) == (["made"], [b"a"])

    run(test)


def test_what_comes_before_the_protocol_is_kept():
    async def test():
        loop = asyncio.get_running_loop()
        one, other = connect(loop, NEAR, FAR)
        early, late = Ear(), Ear()
        other.begin(early)
        other.write(b"welcome")
        await turns()
        one.begin(late)
        await turns()
        assert late.heard == ["made", b"welcome"]

    run(test)


@pytest.mark.parametrize("buffered", [False, True])
def test_a_protocol_that_fails_is_told_to_the_loop_and_ends_the_connection(buffered):
    class Failing(Ear):
        def data_received(self, data):
            raise ZeroDivisionError

    async def test():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        far = BufferedEar(0) if buffered else Failing()
        (one, near), _ = await pair(far=far)
        one.write(b"a")
        await turns()
        assert [type(context["exception"]) for context in told] == [RuntimeError if buffered else ZeroDivisionError]
        assert near.heard == ["made", ConnectionResetError]
        if not buffered:
            assert far.heard == ["made", ZeroDivisionError]

    run(test)


def test_what_is_no_bytes_is_refused():
    async def test():
        (one, _), _ = await pair()
        with pytest.raises(TypeError, match="bytes-like object, not 'str'"):
            one.write("text")

    run(test)


def test_it_can_be_failed_from_outside():
    async def test():
        (one, near), (_, far) = await pair()
        one.fail(ConnectionAbortedError("over"))
        await turns()
        assert (near.heard, far.heard) == (["made", ConnectionAbortedError], ["made", ConnectionResetError])

    run(test)


def test_streams_run_over_it(caplog):
    async def test():
        loop = asyncio.get_running_loop()
        one, other = connect(loop, NEAR, FAR)
        reader, far_reader = asyncio.StreamReader(), asyncio.StreamReader()
        protocol, far_protocol = asyncio.StreamReaderProtocol(reader), asyncio.StreamReaderProtocol(far_reader)
        one.begin(protocol)
        other.begin(far_protocol)
        writer = asyncio.StreamWriter(one, protocol, reader, loop)
        far_writer = asyncio.StreamWriter(other, far_protocol, far_reader, loop)
        big = bytes(3 * WINDOW)

        async def send():
            writer.write(big)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await far_reader.read() == big
        await sending
        far_writer.write(b"done")
        far_writer.close()
        assert await reader.read() == b"done"
        writer.close()
        await writer.wait_closed()
        await far_writer.wait_closed()

    with caplog.at_level(logging.WARNING):
        run(test)
    assert not caplog.records
