"""The examples of docs/tapes.md. What stands between `# [name]` and `# [/name]` is shown there."""

import pytest
import websockets

from farend import Script, TapeReader, WebSocketServer


@pytest.fixture
def real():
    """The real server of these examples."""
    script = Script().expect(json={"subscribe": "BTC", "token": "s3cr3t"}).send(json={"price": 42000})
    with WebSocketServer(script) as server:
        yield server


async def subscribe(url):
    async with websockets.connect(url) as client:
        await client.send('{"subscribe": "BTC", "token": "s3cr3t"}')
        assert await client.recv() == '{"price": 42000}'


@pytest.mark.asyncio
async def test_proxy(real, tmp_path):
    url, tape = real.url, tmp_path / "feed.jsonl"
    # [proxy]
    from farend import record

    async with record(url, tape) as proxy:
        await subscribe(proxy.url)  # your client, with proxy.url in place of the server's
    # [/proxy]
    assert "s3cr3t" not in tape.read_text()
    # [read]
    with TapeReader(tape) as lines:
        for line in lines:
            if line.kind == "message":
                print(line.sender, line.json)
    # [/read]


@pytest.mark.asyncio
async def test_client(real, tmp_path):
    url, tape = real.url, tmp_path / "feed.jsonl"
    # [client]
    from farend import TapedClient

    async with websockets.connect(url) as client, TapedClient(client, tape) as taped:
        await taped.send('{"subscribe": "BTC", "token": "s3cr3t"}')
        await taped.recv()
    # [/client]
    assert "s3cr3t" not in tape.read_text()


@pytest.mark.asyncio
async def test_far_end(tmp_path):
    tape = tmp_path / "feed.jsonl"
    # [far-end]
    from farend import write_tape

    async with WebSocketServer(Script().expect("hello").send("there")) as server:
        async with websockets.connect(server.url) as client:
            await client.send("hello")
            await client.recv()
    write_tape(server, tape)
    # [/far-end]
    assert "there" in tape.read_text()


def test_one_file(tmp_path, monkeypatch):
    from farend.tape.recorder import Recorder

    monkeypatch.chdir(tmp_path)
    tape, said = tmp_path / "feed.jsonl", b"much of it, " * 10_000
    recorder = Recorder(tape, "tcp", now=0.0)
    recorder.connection(0.0).data(0.0, "client", said)
    # [one-file]
    from farend import TapeReader, TapeWriter

    with TapeReader(tape) as left, TapeWriter("whole.jsonl", left.header.wire, target=left.header.target) as whole:
        for line in left:
            whole.write(line)
    # [/one-file]
    tape.unlink()
    recorder.close()
    with TapeReader("whole.jsonl") as whole:
        assert [line.payload for line in whole] == [said]


def test_rules(real, tmp_path):
    url, tape = real.url, tmp_path / "feed.jsonl"
    # [rules]
    from farend import Redaction, record

    rules = Redaction(
        names=["account_id"],  # fields, headers and query parameters whose name ends so
        patterns=[r"AUTH (\S+)"],  # the secret is the first group
        keep=["page_token"],  # a name that is no secret
    )
    proxy = record(url, tape, redact=rules)
    # [/rules]
    with proxy:
        import asyncio

        asyncio.run(subscribe(proxy.url))


def test_reroute(tmp_path, monkeypatch):
    import farend

    tape, script = tmp_path / "feed.jsonl", Script().expect("subscribe btc").send("64250")
    with WebSocketServer(script, tls=True) as real:
        url = f"wss://localhost:{real.port}/feed"

        def latest_price():
            from websockets.sync.client import connect

            with connect(url) as feed:
                feed.send("subscribe btc")
                return feed.recv(timeout=5)

        real_record = farend.record
        monkeypatch.setattr(farend, "record", lambda url, tape: real_record(url, tape, tls=real.client_ssl_context))
        # [reroute]
        with farend.record(url, tape) as proxy, farend.reroute({url: proxy}):
            assert latest_price() == "64250"
        with farend.replay(tape) as server, farend.reroute({url: server}):
            assert latest_price() == "64250"
        # [/reroute]
