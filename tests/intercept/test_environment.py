"""The environment: no proxy swallows what is rerouted, and subprocesses come here by the one that is ours."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from farend import Script, TcpServer, WebSocketServer, WrongState, anything, reroute, until
from farend.intercept import environment
from farend.intercept.environment import PastTheProxy
from farend.stage import tls

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n64250"
HTTP = Script(framing=until(b"\r\n\r\n")).expect(anything()).send(ANSWER).close()


# -- proxies that the environment names ---------------------------------------------------------------


@pytest.mark.parametrize("proxy", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("before", [{}, {"no_proxy": "one.example"}, {"NO_PROXY": "one.example"}])
def test_rerouted_hosts_go_past_the_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str, before: dict[str, str]) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    was = dict(os.environ)
    with TcpServer([HTTP, HTTP]) as server, reroute({"https://api.example/": server}):
        assert os.environ["no_proxy"] == ",".join([*before.values(), "api.example"])
        assert requests.get("https://api.example/", timeout=10).text == "64250"
        with reroute({("db.example", 1): server}):
            assert os.environ["no_proxy"].endswith("api.example,db.example")
        assert requests.get("https://api.example/", timeout=10).text == "64250"
    assert dict(os.environ) == was


def test_where_there_is_no_proxy_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    was = dict(os.environ)
    with reroute({("db.example", 1): ("127.0.0.1", 9)}):
        assert dict(os.environ) == was


def test_what_others_have_set_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "one.example")
    held = PastTheProxy()
    held.hold(("api.example",))
    monkeypatch.setenv("no_proxy", "theirs.example")
    held.hold(("db.example",))
    held.release(("api.example",))
    held.release(("db.example",))
    assert os.environ["no_proxy"] == "theirs.example"
    held.hold(("new.example",))
    assert os.environ["no_proxy"] == "theirs.example,new.example"
    held.release(("new.example",))
    assert os.environ["no_proxy"] == "theirs.example"


def test_a_proxy_that_is_named_within_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*environment.PROXIES, "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    held = PastTheProxy()
    held.hold(("api.example",))
    assert "no_proxy" not in os.environ
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    held.hold(("db.example",))
    assert os.environ["no_proxy"] == "api.example,db.example"
    held.release(("db.example",))
    assert os.environ["no_proxy"] == "api.example"
    held.release(("api.example",))
    assert "no_proxy" not in os.environ


# -- subprocesses -------------------------------------------------------------------------------------


def run(command: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WEBSOCKETS = """
from websockets.sync.client import connect
with connect("{url}", open_timeout=20) as client:
    client.send("hello")
    print(client.recv(20))
"""
WEBSOCKET_CLIENT = """
import websocket
client = websocket.create_connection("{url}", timeout=20)
client.send("hello")
print(client.recv())
client.close()
"""
REQUESTS = "import requests; print(requests.get('{url}', timeout=20).text)"
HTTPX = "import httpx; print(httpx.get('{url}', timeout=20).text)"
AIOHTTP = """
import asyncio, aiohttp
async def get():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get("{url}") as answer:
        print(await answer.text())
asyncio.run(get())
"""


@pytest.mark.parametrize("url", ["wss://api.exchange.com/feed", "ws://api.exchange.com/feed"])
@pytest.mark.parametrize("program", [WEBSOCKETS, WEBSOCKET_CLIENT], ids=["websockets", "websocket-client"])
def test_websockets_of_a_subprocess(program: str, url: str) -> None:
    script = Script().expect_handshake("/feed", headers={"host": "api.exchange.com"}).expect("hello").send("there")
    with WebSocketServer(script) as server, reroute({url: server}) as rerouted:
        assert run([sys.executable, "-c", program.format(url=url)], rerouted.environment()) == "there"


@pytest.mark.parametrize("url", ["https://api.exchange.com/", "http://api.exchange.com/"])
@pytest.mark.parametrize("program", [REQUESTS, HTTPX, AIOHTTP], ids=["requests", "httpx", "aiohttp"])
def test_http_of_a_subprocess(program: str, url: str) -> None:
    with TcpServer(HTTP) as server, reroute({url: server}) as rerouted:
        assert run([sys.executable, "-c", program.format(url=url)], rerouted.environment()) == "64250"
    [transcript] = server.transcripts
    request = b"".join(bytes(entry.payload) for entry in transcript if isinstance(entry.payload, bytes | bytearray))
    assert request.startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("url", ["https://api.exchange.com/", "http://api.exchange.com/"])
def test_curl(url: str) -> None:
    with TcpServer(HTTP) as server, reroute({url: server}) as rerouted:
        assert run(["curl", "--silent", "--show-error", "--max-time", "20", url], rerouted.environment()) == "64250"


def test_the_environment_can_be_printed_and_ends_with_the_block() -> None:
    with TcpServer() as server:
        with reroute({"wss://api.exchange.com/feed": server}) as rerouted:
            variables = rerouted.environment()
            assert rerouted.environment() == variables
            assert json.loads(json.dumps(variables)) == variables
            bundle = Path(variables["SSL_CERT_FILE"])
            assert tls.authority().cert_pem.bytes() in bundle.read_bytes()
            assert len(ssl.create_default_context(cafile=bundle).get_ca_certs()) > 1
            proxy = variables["https_proxy"]
            assert variables["HTTP_PROXY"] == proxy
        assert not bundle.exists()
        with pytest.raises(requests.ConnectionError):
            requests.get("http://api.exchange.com", proxies={"http": proxy}, timeout=10)
        with pytest.raises(WrongState, match=r"environment\(\) is for within the block"):
            rerouted.environment()


def test_without_trustme_there_is_a_proxy_and_no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    tls.authority.cache_clear()
    monkeypatch.setitem(sys.modules, "trustme", None)
    try:
        with reroute({("db.example", 1): ("127.0.0.1", 9)}) as rerouted:
            variables = rerouted.environment()
            assert "SSL_CERT_FILE" not in variables
            assert variables["http_proxy"].startswith("http://127.0.0.1:")
    finally:
        for cached in vars(tls).values():  # what is made from now on belongs together again
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()


@pytest.mark.parametrize("certifi", [True, False])
def test_what_is_trusted_anyway(monkeypatch: pytest.MonkeyPatch, certifi: bool, tmp_path_factory: Any) -> None:
    file: Path = tmp_path_factory.mktemp("system") / "cert.pem"
    file.write_bytes(b"the system's")
    if not certifi:
        monkeypatch.setitem(sys.modules, "certifi", None)
    for cafile, expected in ((str(file), b"the system's"), (None, b"")):
        paths = ssl.DefaultVerifyPaths(cafile, None, "", "", "", "")  # type: ignore[arg-type]
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda paths=paths: paths)
        assert (environment._trusted_anyway() == expected) is not certifi
