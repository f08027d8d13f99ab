"""The same with farend's `tcp_far_end` fixture."""

import os
import socket

import pytest

from farend import Script

MESSAGE = b"m" * 64


@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_exchange(tcp_far_end, number):
    tcp_far_end.play(Script().expect(MESSAGE).send(MESSAGE))
    with socket.create_connection((tcp_far_end.host, tcp_far_end.port)) as client:
        client.sendall(MESSAGE)
        assert client.recv(len(MESSAGE)) == MESSAGE
