"""A recorded session is replayed to the very client that it was recorded with: only the address is another."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import pytest

import farend
from farend import Script, WebSocketServer, forever

NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REDIS = shutil.which("redis-server")
PATIENCE = 60.0
"""Seconds for programs that are started: both cores may be busy."""


def answer(message: str) -> list[str]:
    """What the real server says: an acknowledgement with the client's id, and a price."""
    request = json.loads(message)
    return [json.dumps({"ack": request["id"], "op": request["op"]}), json.dumps({"price": 100.5, "of": request["op"]})]


def session(say, hear):
    """What each client does; gives what the server said. Its ids are new each time."""
    said = []
    for op in ("subscribe", "order"):
        request = str(uuid.uuid4())
        say(json.dumps({"op": op, "id": request, "ts": time.time()}))
        acknowledged = json.loads(hear())
        assert acknowledged == {"ack": request, "op": op}
        said.append(json.loads(hear()))
    return said


def websockets_client(url):
    from websockets.sync.client import connect

    with connect(url) as client:
        return session(client.send, client.recv)


def websocket_client(url):
    import websocket

    client = websocket.create_connection(url, timeout=PATIENCE)
    try:
        return session(client.send, client.recv)
    finally:
        client.close()


def aiohttp_client(url):
    import aiohttp

    async def main():
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as client:
            said = []
            for op in ("subscribe", "order"):
                request = str(uuid.uuid4())
                await client.send_str(json.dumps({"op": op, "id": request, "ts": time.time()}))
                assert json.loads(await client.receive_str()) == {"ack": request, "op": op}
                said.append(json.loads(await client.receive_str()))
            return said

    return asyncio.run(main())


SCRIPT = """
function play(url, done) {
  const socket = new WebSocket(url), ops = ["subscribe", "order"], said = [];
  let request;
  const ask = () => {
    request = crypto.randomUUID();
    socket.send(JSON.stringify({op: ops[0], id: request, ts: Date.now()}));
  };
  socket.onopen = ask;
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if ("ack" in message) {
      if (message.ack !== request) { done("another id: " + event.data); socket.close(); }
      return;
    }
    said.push(message);
    ops.shift();
    if (ops.length) ask(); else socket.close(1000);
  };
  socket.onclose = (event) => done(JSON.stringify({said, code: event.code}));
  socket.onerror = () => done("error");
}
"""


def node_client(url):
    options = _node_options()
    if options is None:
        pytest.skip("there is no Node.js with a WebSocket of its own (20.10 or later) here")
    code = SCRIPT + f"play({url!r}, (text) => {{ console.log(text); }});"
    done = subprocess.run([NODE, *options, "-e", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return json.loads(done.stdout)["said"]


def chromium_client(url):
    """The browser's own `WebSocket`, in a page that posts what it was told to where it came from."""
    posted: queue.Queue[str] = queue.Queue()
    post = "(text) => fetch('/', {method: 'POST', body: text})"
    page = f"<!doctype html><link rel=icon href=data:,><script>{SCRIPT}play({url!r}, {post})</script>".encode()

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self):
            posted.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, format, *arguments):
            pass

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as pages,
    ):
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        browser = subprocess.Popen(
            [
                CHROMIUM,
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
                *("--disable-dev-shm-usage", f"--user-data-dir={profile}"),
                f"http://localhost:{pages.server_port}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return json.loads(posted.get(timeout=PATIENCE))["said"]
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait(PATIENCE)
            pages.shutdown()
            thread.join()


def _node_options():
    """What has Node.js give its `WebSocket`: nothing from 22 on, a flag in 20; None where there is none."""
    for options in ([], ["--experimental-websocket"]) if NODE else []:
        asked = [NODE, *options, "-p", "typeof WebSocket"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.stdout.strip() == "function":
            return options
    return None


CLIENTS = [
    pytest.param(websockets_client, id="websockets"),
    pytest.param(websocket_client, id="websocket-client"),
    pytest.param(aiohttp_client, id="aiohttp"),
    pytest.param(node_client, id="node"),
    pytest.param(
        chromium_client, id="chromium", marks=pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
    ),
]
PRICES = [{"price": 100.5, "of": "subscribe"}, {"price": 100.5, "of": "order"}]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_websocket_client(client, strict, tmp_path):
    tape = tmp_path / "session.jsonl"
    script = Script().repeat(forever, Script().expect(str).reply(answer))
    with WebSocketServer(script, deadline=PATIENCE) as server, farend.record(server.url + "/feed", tape) as proxy:
        assert client(proxy.url) == PRICES
    with farend.replay(tape, ignore="$.ts", strict=strict, deadline=PATIENCE) as server:
        assert client(server.url + "/feed") == PRICES
    assert [one.refused for one in server.tape.connections] == [False]


@pytest.fixture
def redis_server(tmp_path):
    """A real server of its own; gives its port."""
    if REDIS is None:
        pytest.skip("there is no redis-server here")
    pytest.importorskip("redis")
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if "Ready to accept" in line:
                break
        yield port
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(PATIENCE)


def redis_session(port):
    """Values, a list, a pipeline, and a lock, whose token is a new one each time."""
    import redis

    with redis.Redis(port=port, decode_responses=True, socket_timeout=PATIENCE) as client:
        client.set("greeting", "hello")
        client.rpush("list", "a", "b", "c")
        with client.pipeline() as pipeline:
            results = pipeline.incr("counter").incr("counter").execute()
        with client.lock("lock", timeout=60):
            held = client.get("lock")
        client.close()
        return client.get("greeting"), client.lrange("list", 0, -1), results, len(held), client.exists("lock")


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_redis_py_without_its_server(redis_server, strict, tmp_path):
    tape = tmp_path / "redis.jsonl"
    with farend.record(f"tcp://127.0.0.1:{redis_server}", tape) as proxy:
        recorded = redis_session(proxy.port)
    assert recorded == ("hello", ["a", "b", "c"], [1, 2], 32, 0)
    with farend.replay(tape, strict=strict, deadline=PATIENCE) as server:
        assert redis_session(server.port) == recorded


def test_redis_py_that_says_something_else_is_told(redis_server, tmp_path):
    import redis

    tape = tmp_path / "redis.jsonl"

    def ask(port, key):
        with redis.Redis(port=port, socket_timeout=PATIENCE, protocol=2) as client:
            return client.get(key)

    with farend.record(f"tcp://127.0.0.1:{redis_server}", tape) as proxy:
        ask(proxy.port, "one")
    with pytest.raises(farend.Failure, match="did not say what was expected|Expected"):
        with farend.replay(tape) as server:
            ask(server.port, "two")
