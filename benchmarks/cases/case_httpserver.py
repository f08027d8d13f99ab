"""One exchange through pytest-httpserver's fixture, which keeps one server for the whole session."""

import http.client
import os

import pytest

MESSAGE = b"m" * 64


@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_exchange(httpserver, number):
    httpserver.expect_request("/").respond_with_data(MESSAGE)
    client = http.client.HTTPConnection(httpserver.host, httpserver.port)
    client.request("POST", "/", MESSAGE)
    assert client.getresponse().read() == MESSAGE
    client.close()
