"""The examples of docs/replay.md. What stands between `# [name]` and `# [/name]` is shown there."""

import json
import time
import uuid
from pathlib import Path

import pytest
from websockets.sync.client import connect

import farend

TAPE = Path(__file__).parent / "tapes" / "prices.jsonl"


def first_price(url, symbol):
    """The program under test: subscribes, and gives the first price."""
    with connect(url) as ws:
        request = str(uuid.uuid4())
        ws.send(json.dumps({"id": request, "op": "subscribe", "symbol": symbol, "ts": int(time.time())}))
        assert json.loads(ws.recv()) == {"id": request, "ok": True}
        return json.loads(ws.recv())["price"]


# [server]
def test_the_client():
    with farend.replay(TAPE, ignore="$.ts") as server:
        assert first_price(server.url + "/feed", "BTC") == 100.5


# [/server]


def test_another_symbol_fails():
    # [mismatch]
    with pytest.raises(farend.Failure, match=r"\$\.symbol: .*expected 'BTC'"):
        with farend.replay(TAPE, ignore="$.ts") as server:
            first_price(server.url + "/feed", "ETH")
    # [/mismatch]


# [matchers]
def test_with_matchers_by_path():
    rules = {"$.ts": lambda ts: ts > 1767225600}
    with farend.replay(TAPE, matchers=rules, strict=True) as server:
        assert first_price(server.url + "/feed", "BTC") == 100.5


# [/matchers]


@pytest.fixture
def my_server_url():
    with farend.replay(TAPE, ignore="$.ts") as server:
        yield server.url


# [verify]
def test_my_server(my_server_url):
    farend.verify(TAPE, my_server_url)


# [/verify]


# [mark]
@pytest.mark.tape("wss://prices.example.com", ignore="$.ts")
def test_the_client_with_its_tape(tape):
    assert first_price(tape.url + "/feed", "BTC") == 100.5


# [/mark]


# [drift]
def test_what_has_changed(my_server_url):
    outcome = farend.verify(TAPE, my_server_url, drift="shape")
    assert outcome.changes == {}


# [/drift]
