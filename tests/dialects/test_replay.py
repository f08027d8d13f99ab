"""A tape replayed as the server, and as the client: what is checked, what may differ, and what is put back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import tracemalloc
import uuid

import pytest
from dirty_equals import IsPositive
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import farend
from farend import Failure, InvalidArguments, NotATape, Script, WebSocketServer, WrongType
from farend.core import findings
from farend.core.conversation import Conversation
from farend.core.events import Connected, Ended, How, Received
from farend.core.messages import Handshake
from farend.stage.settings import settings
from farend.tape.index import index
from farend.tape.matching import rules
from farend.tape.playing import TapeScript
from farend.tape.routes import TapeRoutes

UUID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
OTHER = "0f9619ff-8b86-4011-b42d-00c04fc964f0"


def said(sender, payload, connection=1):
    """A message's line."""
    field = "text" if isinstance(payload, str) else "json"
    return {"connection": connection, "kind": "message", "from": sender, field: payload}


def client(payload, connection=1):
    return said("client", payload, connection)


def server(payload, connection=1):
    return said("server", payload, connection)


def opens(target="/", connection=1, **fields):
    return {"connection": connection, "kind": "connect", "from": "client", "target": target, **fields}


def happened(kind, sender, connection=1, **fields):
    return {"connection": connection, "kind": kind, "from": sender, **fields}


@pytest.fixture
def tape(tmp_path):
    """Write a tape; gives its path."""

    def write(*lines, wire="websocket", **header):
        path = tmp_path / f"{uuid.uuid4().hex[:6]}.jsonl"
        text = [json.dumps({"tape": 1, "farend": "0.1.0", "wire": wire, **header}), *map(json.dumps, lines)]
        path.write_text("\n".join(text) + "\n")
        return path

    return write


def talk(url, *messages, answers=None):
    """Say the messages, each after the answers to the one before; gives all that was heard."""
    heard = []
    with connect(url) as ws:
        for message in messages:
            ws.send(message if isinstance(message, str | bytes) else json.dumps(message))
            heard += [ws.recv(timeout=30) for _ in range(1 if answers is None else answers.pop(0))]
    return heard


def the_finding(replayed, kind, *messages, answers=None):
    """What the far end found, having heard the messages."""
    with pytest.raises(Failure) as caught:
        with replayed as far_end:
            with contextlib.suppress(ConnectionClosed):
                talk(far_end.url, *messages, answers=answers)
    [finding, *_] = caught.value.findings
    assert isinstance(finding, kind), finding
    return finding


# -- as the server ----------------------------------------------------------------------------------


def test_each_message_goes_out_once_the_client_has_said_what_came_before_it(tape):
    path = tape(opens(), server("welcome"), client("a"), client("b"), server("both"), client("c"), server("last"))
    with farend.replay(path) as far_end, connect(far_end.url) as ws:
        assert ws.recv() == "welcome"
        ws.send("a")
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0)  # not before b
        ws.send("b")
        assert ws.recv() == "both"
        ws.send("c")
        assert ws.recv() == "last"


@pytest.mark.parametrize("make", [asyncio.new_event_loop, "uvloop"])
@pytest.mark.parametrize("wire", ["websocket", "tcp"])
def test_in_async_code_on_any_loop(tape, wire, make):
    make = pytest.importorskip("uvloop").new_event_loop if make == "uvloop" else make
    begun = {"connection": 1, "kind": "connect", "from": "client"}
    path = tape(begun, client("hello\n"), server("there\n"), wire=wire)

    async def main():
        async with farend.replay(path) as far_end:
            outcome = await farend.verify(path, far_end.url)
        assert (outcome.same, outcome.connections) == (True, 1)

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())


@pytest.mark.parametrize("sender", ["client", "server"])
def test_what_is_on_the_tape_is_never_too_long(tape, monkeypatch, sender):
    monkeypatch.setattr(settings, "max_size", 100)
    text = "é" * 100
    path = tape(opens(), said(sender, text), happened("close", "server", code=1000))
    assert index(path).longest >= len(text.encode())
    with farend.replay(path) as server:
        farend.verify(path, server.url)
    with pytest.raises(Failure, match="max_size"):
        with farend.replay(path, max_size=100) as server:
            farend.verify(path, server.url, max_size=100)


def test_json_is_compared_by_value(tape):
    path = tape(opens(), client({"a": 1, "b": [True, None]}), server({"ok": 1}))
    with farend.replay(path) as far_end:
        assert talk(far_end.url, '{"b":[true,null],   "a":1.0}') == ['{"ok": 1}']


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ({"a": 1, "b": {"c": 2}, "d": 3}, ["$.d"]),
        ({"a": 1, "b": {}}, ["$.b.c"]),
        ({"a": True, "b": {"c": 2}}, ["$.a"]),
        ({"a": [1], "b": 5}, ["$.a", "$.b"]),
    ],
)
def test_what_differs_is_told_by_path(tape, message, changes):
    path = tape(opens(), client({"a": 1, "b": {"c": 2}}))
    finding = the_finding(farend.replay(path), findings.Mismatch, message, answers=[0])
    assert [change.path for change in finding.nearest.difference.changes] == changes


def test_ignored_paths_may_hold_anything_and_are_put_back(tape):
    path = tape(
        opens(),
        client({"id": 1, "op": "x", "meta": {"t": 5}}),
        server({"id": 1, "count": 1}),
        client({"id": 2, "op": "y", "meta": {"t": 6}}),
        server({"list": [{"id": 2}, {"id": 1}]}),
    )
    with farend.replay(path, ignore=["$.id", "$.meta"]) as far_end:
        heard = talk(far_end.url, {"id": 71, "op": "x"}, {"id": 72, "op": "y", "meta": []})
    assert list(map(json.loads, heard)) == [{"id": 71, "count": 1}, {"list": [{"id": 72}, {"id": 71}]}]


def test_a_text_at_an_ignored_path_is_put_back_under_other_names(tape):
    path = tape(opens(), client({"id": "order-17"}), server({"clientOrderId": "order-17", "n": "order"}))
    with farend.replay(path, ignore="$.id") as far_end:
        assert json.loads(talk(far_end.url, {"id": "mine"})[0]) == {"clientOrderId": "mine", "n": "order"}


@pytest.mark.parametrize(
    ("taped", "now"),
    [
        (UUID, OTHER),
        (UUID.replace("-", ""), OTHER.replace("-", "")),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01BX5ZZKBKACTAV9WEVGEMMVRZ"),
    ],
)
def test_ids_of_a_random_shape_are_correlated(tape, taped, now):
    path = tape(
        opens(),
        client({"req": taped}),
        server({"for": taped, "text": f"got {taped}!"}),
        client(f"end {taped}"),
        server(taped),
    )
    with farend.replay(path) as far_end:
        first, second = talk(far_end.url, {"req": now}, f"end {now}")
    assert json.loads(first) == {"for": now, "text": f"got {now}!"}
    assert second == now


def test_an_id_is_the_same_one_from_then_on(tape):
    path = tape(opens(), client({"req": UUID}), server("ok"), client({"cancel": UUID}))
    finding = the_finding(farend.replay(path), findings.Mismatch, {"req": OTHER}, {"cancel": UUID}, answers=[1, 0])
    [change] = finding.nearest.difference.changes
    assert (change.path, change.expected) in [("$.cancel", UUID), ("$.cancel", OTHER)]


def test_an_id_that_the_server_made_up_has_to_come_back(tape):
    path = tape(opens(), server({"session": UUID}), client({"session": UUID}))
    the_finding(farend.replay(path), findings.Mismatch, {"session": OTHER}, answers=[0])
    with farend.replay(path) as far_end:
        talk(far_end.url, {"session": UUID}, answers=[1])


def test_without_correlation_an_id_is_a_value(tape):
    path = tape(opens(), client({"req": UUID}))
    the_finding(farend.replay(path, correlate=False), findings.Mismatch, {"req": OTHER}, answers=[0])


def test_what_was_redacted_may_be_anything_and_is_put_back(tape):
    path = tape(opens(), client({"key": "<secret:key:1>", "pin": "<secret:pin:1>"}), server("hello <secret:key:1>"))
    with farend.replay(path) as far_end:
        assert talk(far_end.url, {"key": "hunter2", "pin": 1234}) == ["hello hunter2"]


def test_matchers_by_path(tape):
    path = tape(opens(), client({"price": 1, "orders": [{"ts": 1}, {"ts": 2}]}), server("ok"))
    own = {"$.price": IsPositive(), "$..ts": int}
    with farend.replay(path, matchers=own) as far_end:
        assert talk(far_end.url, {"price": 12.5, "orders": [{"ts": 7}, {"ts": 8}]}) == ["ok"]
    finding = the_finding(
        farend.replay(path, matchers=own), findings.Mismatch, {"price": -1, "orders": [{}, {"ts": 2}]}
    )
    assert [change.path for change in finding.nearest.difference.changes] == ["$.price", "$.orders[0].ts"]


def test_what_was_not_replayed_fails(tape):
    path = tape(opens(), client("a"), server("b"), client("c"), server("d"))
    the_finding(farend.replay(path), findings.EndedEarly, "a")


def test_what_was_not_replayed_may_be_allowed(tape):
    path = tape(
        opens(),
        client("a"),
        server("1"),
        client('{"op": "ping"}'),
        server("pong"),
        client("c"),
        server("2"),
        client("p"),
    )
    for allowed in ("*ping*", re.compile("ping|^p$"), lambda message: "p" in message):
        patterns = [allowed, "p"]
        with farend.replay(path, allow_unplayed=patterns) as far_end:
            assert talk(far_end.url, "a", "c", answers=[1, 1]) == ["1", "2"]
        with farend.replay(path, allow_unplayed=patterns) as far_end:
            assert talk(far_end.url, "a", {"op": "ping"}, "c", "p", answers=[1, 1, 1, 0]) == ["1", "pong", "2"]


def test_an_id_in_an_answer_that_may_be_left_out(tape):
    path = tape(opens(), client({"ping": UUID}), server({"pong": UUID}))
    with farend.replay(path, allow_unplayed="*ping*") as far_end:
        assert json.loads(talk(far_end.url, {"ping": OTHER})[0]) == {"pong": OTHER}


def test_connections_that_did_not_come(tape):
    path = tape(opens("/a"), client("a"), opens("/b", 2), client("b", 2))
    with pytest.raises(Failure) as caught:
        with farend.replay(path, deadline=0.2) as far_end:
            talk(far_end.url + "/a", "a", answers=[0])
    assert isinstance(caught.value.findings[0], findings.NobodyConnected)
    with farend.replay(path, allow_unplayed="/b") as far_end:
        talk(far_end.url + "/a", "a", answers=[0])


def test_connections_of_several_paths_come_in_any_order_and_in_the_tape_s_when_strict(tape):
    path = tape(opens("/a"), client("a"), opens("/b", 2), client("b", 2), happened("close", "client", 2, code=1000))
    with farend.replay(path) as far_end:
        talk(far_end.url + "/b", "b", answers=[0])
        talk(far_end.url + "/a", "a", answers=[0])
    with pytest.raises(Failure, match="otherwise than expected: see its path"):
        with farend.replay(path, strict=True) as far_end:
            with pytest.raises(InvalidStatus):
                talk(far_end.url + "/b", "b", answers=[0])


def test_connections_that_are_not_on_the_tape(tape):
    path = tape(opens("/a"), client("a"), opens("/b", 2), client("b", 2))
    with pytest.raises(Failure, match="'/c', and .*jsonl holds only /a, /b"):
        with farend.replay(path) as far_end:
            with pytest.raises(InvalidStatus):
                talk(far_end.url + "/c")
    with pytest.raises(Failure, match="holds 1 connection with the path '/a', all replayed"):
        with farend.replay(path) as far_end:
            talk(far_end.url + "/a", "a", answers=[0])
            with pytest.raises(InvalidStatus):
                talk(far_end.url + "/a")


def test_one_connection_more_than_there_are_of_its_path(tape):
    several = [opens("/same" if number < 3 else f"/p{number}", number) for number in range(1, 8)]
    path = tape(*several, *(client("a", number) for number in range(1, 8)))
    with pytest.raises(Failure, match=r"\.jsonl holds 2 connections with the path '/same', all replayed "):
        with farend.replay(path, allow_unplayed=["/p*"]) as far_end:
            for _ in range(2):
                talk(far_end.url + "/same", "a", answers=[0])
            with pytest.raises(InvalidStatus):
                talk(far_end.url + "/same")


@pytest.mark.parametrize("rules", [{}, {"strict": True}, {"handshake": ()}], ids=str)
def test_one_connection_more_than_there_are_of_the_only_path(tape, rules):
    path = tape(opens("/a"), client("a"), opens("/a", 2), client("a", 2))
    with pytest.raises(Failure, match=r"\.jsonl holds 2 connections, all replayed "):
        with farend.replay(path, **rules) as far_end:
            for _ in range(2):
                talk(far_end.url + "/a", "a", answers=[0])
            with pytest.raises(InvalidStatus):
                talk(far_end.url + "/a")


def test_another_path_than_the_only_one_where_some_are_left(tape):
    path = tape(opens("/a"), client("a"), opens("/a", 2), client("a", 2))
    with pytest.raises(Failure, match=r"connected to '/b', and .*\.jsonl holds only /a "):
        with farend.replay(path) as far_end:
            talk(far_end.url + "/a", "a", answers=[0])
            with pytest.raises(InvalidStatus):
                talk(far_end.url + "/b")


def test_the_handshake_is_compared(tape):
    headers = [["Sec-WebSocket-Protocol", "chat"], ["X-Version", "2"], ["Origin", "https://a"]]
    path = tape(opens(f"/feed?user=7&key={UUID}", headers=headers), server("hi"))
    right = {"subprotocols": ["chat"], "additional_headers": {"X-Version": "2"}, "origin": "https://a"}
    every = ("path", "query", "subprotocols", "origin", "X-Version")
    with (
        farend.replay(path, handshake=every) as far_end,
        connect(f"{far_end.url}/feed?user=7&key={OTHER}", **right) as ws,
    ):
        assert ws.recv() == "hi"
    with pytest.raises(Failure, match="otherwise than expected: see its subprotocols, query 'user'"):
        with farend.replay(path) as far_end, pytest.raises(InvalidStatus):
            connect(f"{far_end.url}/feed?user=8&key={OTHER}")
    with farend.replay(path, handshake=()) as far_end, connect(f"{far_end.url}/else") as ws:
        assert ws.recv() == "hi"


def test_a_client_that_does_not_wait_is_told_when_strict(tape):
    path = tape(opens(), client("a"), server("1"), client("b"), server("2"), happened("close", "client", code=1000))

    def hurry(far_end):
        with connect(far_end.url) as ws:
            # Both in one segment: the second is there before the first is answered.
            with ws.protocol_mutex:
                ws.protocol.send_text(b"a")
                ws.protocol.send_text(b"b")
                ws.socket.sendall(b"".join(ws.protocol.data_to_send()))
            try:
                return [ws.recv(timeout=30), ws.recv(timeout=30)]
            except ConnectionClosed:
                return None

    with farend.replay(path) as far_end:
        assert hurry(far_end) == ["1", "2"]
    with pytest.raises(Failure, match="said 'b' without waiting for '1'") as caught:
        with farend.replay(path, strict=True) as far_end:
            hurry(far_end)
    assert "  got       'b'\n  before    '1'\n" in str(caught.value)
    with farend.replay(path, strict=True) as far_end:
        assert talk(far_end.url, "a", "b") == ["1", "2"]


def test_fragments_pings_and_closes_are_the_server_s(tape):
    path = tape(
        opens(),
        {**server("hello"), "fragments": [2, 3]},
        {**server("é"), "fragments": [1, 1]},  # cut inside of a character: goes whole
        happened("ping", "server", text="p"),
        happened("pong", "client", text="p"),
        client("bye"),
        happened("close", "server", code=4001, reason="enough"),
        happened("close", "client", code=4001),
    )
    with farend.replay(path) as far_end, connect(far_end.url) as ws:
        assert list(ws.recv_streaming()) == ["he", "llo"]
        assert ws.recv() == "é"
        ws.send("bye")
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=30)
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")


def test_the_client_s_close_code_is_compared(tape):
    path = tape(opens(), client("a"), happened("close", "client", code=1000))
    with pytest.raises(Failure, match="ended the connection with close frame 1001"):
        with farend.replay(path) as far_end, connect(far_end.url) as ws:
            ws.send("a")
            ws.close(1001)


def test_a_client_that_is_still_there_at_the_end_is_no_failure_unless_strict(tape):
    path = tape(opens(), client("a"), server("b"), happened("close", "client", code=1000))
    with contextlib.ExitStack() as stays:
        with farend.replay(path) as far_end:
            ws = stays.enter_context(connect(far_end.url))
            ws.send("a")
            assert ws.recv() == "b"
        with pytest.raises(Failure, match="close the connection"):
            with farend.replay(path, strict=True, deadline=0.2) as far_end:
                ws = stays.enter_context(connect(far_end.url))
                ws.send("a")
                ws.recv()


CLOSED, UNCODED = {"how": How.CLOSE, "code": 1000}, {"how": How.CLOSE, "code": 1005}
GOES_AWAY = {"how": How.CLOSE, "code": 1001}
ENDED, RESET, LOST, STAYS = {"how": How.EOF}, {"how": How.RESET}, {"how": How.LOST}, None
WEBSOCKET = (CLOSED, UNCODED, GOES_AWAY, RESET, LOST, STAYS)
TCP = (ENDED, RESET, STAYS)


@pytest.mark.parametrize(
    ("wire", "on_tape", "by_default", "when_strict"),
    [
        ("websocket", {"kind": "close", "code": 1000}, (CLOSED, STAYS), (CLOSED,)),
        ("websocket", {"kind": "close"}, (UNCODED, STAYS), (UNCODED,)),
        ("websocket", {"kind": "end"}, WEBSOCKET, (LOST, RESET)),
        ("websocket", {"kind": "abort"}, WEBSOCKET, (LOST, RESET)),
        ("tcp", {"kind": "end"}, TCP, (ENDED,)),
        ("tcp", {"kind": "abort"}, TCP, (RESET,)),
    ],
)
def test_how_a_client_may_end(tape, wire, on_tape, by_default, when_strict):
    """As the table in docs/replay.md says."""
    path = tape(
        *([opens()] if wire == "websocket" else []), client("a"), happened(**on_tape, sender="client"), wire=wire
    )

    def is_fine(end, strict):
        known = index(path)
        conversation = Conversation(TapeScript(known, known.connections[0], rules(strict=strict)), stream=wire == "tcp")
        conversation.feed(Connected(Handshake("/")) if wire == "websocket" else Connected(), 0.0)
        conversation.feed(Received("a" if wire == "websocket" else b"a"), 0.0)
        if end is not None:
            conversation.feed(Ended(**end), 0.0)
        conversation.finish(0.0)
        return not conversation.findings

    every = WEBSOCKET if wire == "websocket" else TCP
    assert [end for end in every if is_fine(end, False)] == [end for end in every if end in by_default]
    assert [end for end in every if is_fine(end, True)] == [end for end in every if end in when_strict]


def test_a_client_s_end_is_waited_for_where_the_server_went_on(tape):
    path = tape(client("a"), happened("end", "client"), server("b"), happened("end", "server"), wire="tcp")
    with pytest.raises(Failure, match="close the connection"):
        with farend.replay(path, deadline=0.2) as far_end:
            with socket.create_connection((far_end.host, far_end.port), timeout=30) as sock:
                sock.sendall(b"a")
                assert sock.recv(100) == b""


def test_again_and_again(tape):
    path = tape(opens(), client({"id": UUID}), server({"id": UUID}))
    with farend.replay(path, again=True) as far_end:
        for _ in range(3):
            own = str(uuid.uuid4())
            assert json.loads(talk(far_end.url, {"id": own})[0]) == {"id": own}
    with farend.replay(path, again=True):
        pass  # nobody need come


def test_bytes_that_are_no_websocket_cannot_be_replayed(tape):
    path = tape(opens(), client("a"), happened("raw", "client", base64="AAAA"))
    with pytest.raises(farend.ScriptError, match="the client broke the WebSocket protocol"):
        farend.replay(path)


def test_a_client_that_was_turned_away_is_not_replayed(tape):
    path = tape(opens(), happened("answer", "server", status=503), opens("/", 2), client("a", 2), server("b", 2))
    with farend.replay(path) as far_end:
        assert talk(far_end.url, "a") == ["b"]


# -- on TCP -----------------------------------------------------------------------------------------


def exchange(far_end, *messages):
    with socket.create_connection((far_end.host, far_end.port), timeout=30) as sock:
        heard = []
        for message in messages:
            sock.sendall(message)
            heard.append(sock.recv(100))
        return heard


def test_tcp_is_compared_byte_for_byte_however_it_is_cut(tape):
    path = tape(
        client("PI"), client("NG\n"), server("PONG\n"), happened("end", "client"), happened("end", "server"), wire="tcp"
    )
    for strict in (False, True):
        with farend.replay(path, strict=strict) as far_end:
            assert exchange(far_end, b"PING\n") == [b"PONG\n"]
    with pytest.raises(Failure):
        with farend.replay(path) as far_end:
            exchange(far_end, b"PANG\n")


def test_an_answer_to_a_half_closed_client(tape):
    path = tape(client("all\n"), happened("end", "client"), server("done"), happened("end", "server"), wire="tcp")
    with farend.replay(path) as far_end, socket.create_connection((far_end.host, far_end.port), timeout=30) as sock:
        sock.sendall(b"all\n")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"done"
        assert sock.recv(100) == b""


def test_json_lines_on_tcp_with_rules(tape):
    path = tape(
        client('{"id": 1, "op": "a"}\n{"id": 2'),
        client(', "op": "b"}\n'),
        server('{"id": 2, "ok": true}\n'),
        wire="tcp",
    )
    with farend.replay(path, ignore="$.id", framing=farend.lines()) as far_end:
        assert exchange(far_end, b'{"id": 8, "op": "a"}\n{"id": 9, "op": "b"}\n') == [b'{"id": 9, "ok": true}\n']


def test_ids_and_secrets_in_bytes(tape):
    path = tape(
        client(f"LOCK {UUID}\n"), server(f"+{UUID}\n"), client("AUTH <secret:auth:1>\r\n"), server("+OK"), wire="tcp"
    )
    with farend.replay(path) as far_end:
        heard = exchange(far_end, f"LOCK {OTHER}\n".encode(), b"AUTH hunter2\r\n")
    assert heard == [f"+{OTHER}\n".encode(), b"+OK"]


# -- as the client ----------------------------------------------------------------------------------


def test_a_server_is_verified(tape):
    path = tape(
        opens("/feed"),
        client({"id": UUID}),
        server({"id": UUID, "order": OTHER}),
        client({"cancel": OTHER}),
        server("bye"),
    )
    fresh = str(uuid.uuid4())

    def real(message):
        return json.dumps({"id": json.loads(message)["id"], "order": fresh})

    script = Script().expect(str).reply(real).expect(json.dumps({"cancel": fresh})).send("bye")
    with WebSocketServer({"/feed": script}) as server_under_test:
        outcome = farend.verify(path, server_under_test.url)
    assert (outcome.same, outcome.connections, outcome.messages) == (True, 1, 2)


def test_a_server_that_says_something_else_fails(tape):
    path = tape(opens(), client("a"), server({"v": 1}))
    with pytest.raises(Failure, match=r"\$\.v: expected 1, got 2"):
        with WebSocketServer(Script().expect("a").send('{"v": 2}')) as far_end:
            farend.verify(path, far_end.url)


def test_verify_in_async_code(tape):
    path = tape(opens(), client("a"), server("b"))

    async def main():
        async with WebSocketServer(Script().expect("a").send("b")) as far_end:
            return await farend.verify(path, far_end.url)

    assert asyncio.run(main()).same


def test_drift_goes_on_and_tells_all_by_path(tape):
    path = tape(opens(), client("a"), server({"p": [1, 2], "gone": 0}), client("b"), server({"p": [3]}), server("text"))
    now = Script().expect("a").send('{"p": [1, "2"], "new": 1}').expect("b").send('{"p": [4]}').send("other")
    with WebSocketServer([now.copy(), now.copy()]) as far_end:
        outcome = farend.verify(path, far_end.url, drift=True)
        shape = farend.verify(path, far_end.url, drift="shape")
    assert not outcome.same
    told = {place: [change.what for change in changes] for place, changes in outcome.changes.items()}
    assert told == {"$.p[*]": ["changed", "changed"], "$.gone": ["missing"], "$.new": ["unexpected"], "$": ["changed"]}
    assert [drift.message for drift in outcome.drifts] == [1, 2, 3]
    assert {place: len(changes) for place, changes in shape.changes.items()} == {"$.p[*]": 1, "$.gone": 1, "$.new": 1}
    assert "Message 1 of the server differs: $.p[1] was 2, is '2' and 2 more." in str(outcome.drifts[0])


def test_a_replay_verifies_itself_also_with_connections_that_overlap(tape):
    path = tape(
        opens("/a"),
        client("a"),
        opens("/b", 2),
        client("b", 2),
        server("for a"),
        server("for b", 2),
        happened("close", "client", code=1000),
        happened("close", "server", 2, code=1001),
        opens("/a", 3),
        client("again", 3),
    )
    with farend.replay(path) as far_end:
        outcome = farend.verify(path, far_end.url)
    assert (outcome.same, outcome.connections, outcome.messages) == (True, 3, 2)


def test_tcp_verifies_itself(tape):
    path = tape(client("PING\n"), server("PONG\n"), happened("end", "client"), wire="tcp")
    with farend.replay(path) as far_end:
        assert farend.verify(path, far_end.url).messages == 1


def test_nobody_to_verify(tape):
    path = tape(opens(), client("a"), target="ws://127.0.0.1:1")
    with pytest.raises(Failure, match="nobody listens"):
        farend.verify(path)
    assert not farend.verify(path, drift=True).same


# -- what cannot be meant ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"ignore": "id"}, InvalidArguments, r"write '\$\.id'"),
        ({"ignore": ["$.a b"]}, InvalidArguments, "no JSON path"),
        ({"ignore": 7}, WrongType, "ignore="),
        ({"ignore": [7]}, WrongType, "ignore="),
        ({"matchers": ["$.a"]}, WrongType, "mapping of JSON paths"),
        ({"framing": "lines"}, WrongType, "framing="),
        ({"framing": farend.lines()}, InvalidArguments, "leave framing= out"),
        ({"allow_unplayed": [7]}, WrongType, "allow_unplayed="),
        ({"max_line": 0}, InvalidArguments, "max_line="),
    ],
)
def test_rules_that_cannot_be_meant(tape, options, error, told):
    with pytest.raises(error, match=told):
        farend.replay(tape(opens(), client("a")), **options)


def test_tcp_has_no_paths_without_a_framing(tape):
    path = tape(client("a"), wire="tcp")
    with pytest.raises(InvalidArguments, match=r"framing=farend\.lines\(\)"):
        farend.replay(path, ignore="$.id")
    with pytest.raises(InvalidArguments, match="a tape has no pauses"):
        farend.replay(path, framing=farend.at_least(1))


@pytest.mark.parametrize("url", ["http://localhost", "tcp://localhost:1", "ws://", "nowhere"])
def test_a_url_of_another_kind(tape, url):
    with pytest.raises(InvalidArguments, match="the URL is one such as 'ws://"):
        farend.verify(tape(opens(), client("a")), url)
    with pytest.raises(InvalidArguments, match="does not say where it was recorded"):
        farend.verify(tape(opens(), client("a")))
    with pytest.raises(InvalidArguments, match="drift="):
        farend.verify(tape(opens(), client("a")), "ws://localhost", drift="nothing")


def test_tapes_that_are_none(tape, tmp_path):
    with pytest.raises(NotATape, match="no connection on it"):
        farend.replay(tape())
    refused, turned_away = happened("refuse", "server"), happened("answer", "server", 2, status=403)
    for play in (farend.replay, farend.verify):
        with pytest.raises(NotATape, match="no connection to replay: the one that was recorded was refused, or turned"):
            play(tape(opens(), refused))
        with pytest.raises(NotATape, match="the 2 that were recorded were all refused, or turned away; record it anew"):
            play(tape(opens(), refused, opens("/", 2), turned_away))
    with pytest.raises(farend.TapeUnavailable):
        farend.replay(tmp_path / "none.jsonl")
    newer = tmp_path / "newer.jsonl"
    newer.write_text('{"tape":99,"wire":"tcp"}\n')
    with pytest.raises(farend.TapeTooNew):
        farend.replay(newer)
    with pytest.raises(farend.TapeTooLarge, match="line 3"):
        farend.replay(tape(opens(), client("a" * 5000)), max_line=1000)


def test_a_torn_tape_is_replayed_up_to_where_it_is_whole(tape):
    path = tape(opens(), client("a"), server("b"), client("cut"))
    path.write_text(path.read_text()[:-20])
    with pytest.warns(farend.TapeTorn, match=r"line 5: it is cut off, and was left away") as warned:
        replayed = farend.replay(path)
    assert warned[0].filename == __file__
    with replayed as far_end:
        assert far_end.tape.torn == 5
        assert talk(far_end.url, "a") == ["b"]


def test_a_tape_that_shrinks_while_it_is_replayed(tape, monkeypatch):
    path = tape(opens(), *[client(f"{number:04}") for number in range(1000)])
    script = TapeScript(index(path), index(path).connections[0], rules())
    path.write_text("\n".join(path.read_text().splitlines()[:400]) + "\n")
    conversation = Conversation(script, stream=False)
    conversation.feed(Connected(), 0.0)
    with pytest.raises(farend.WrongState, match="shorter"):
        for number in range(1000):
            conversation.feed(Received(f"{number:04}"), 0.0)


def test_a_tape_s_script_takes_no_steps(tape):
    path = tape(opens(), client("a"), server("b"))
    script = TapeScript(index(path), index(path).connections[0], rules())
    with pytest.raises(farend.WrongState, match=r"script\.copy\(\)"):
        script.send("c")
    assert len(script.copy().send("c")) == 4


def test_in_hand(tape):
    path = tape(opens(), client("a"), server("b"))
    with farend.replay(path) as far_end, connect(far_end.url) as ws:
        peer = far_end.accept()
        with pytest.raises(farend.WrongState, match="a tape is replayed on this connection"):
            peer.expect("x")
        ws.send("a")
        assert ws.recv() == "b"


# -- at any length ----------------------------------------------------------------------------------


def peak(path, number, monkeypatch):
    """The most memory that it takes to replay so many messages, in bytes."""
    monkeypatch.setattr(TapeScript, "keeps", 100)
    path.write_text(
        '{"tape":1,"wire":"websocket"}\n{"connection":1,"kind":"connect","from":"client"}\n'
        + "".join(
            json.dumps(side({"n": turn, "id": UUID})) + "\n" for turn in range(number) for side in (client, server)
        )
    )
    tracemalloc.start()
    try:
        script = TapeRoutes(index(path), rules()).next_script(None)
        conversation = Conversation(script, stream=False)
        conversation.feed(Connected(), 0.0)
        for turn in range(number):
            conversation.feed(Received(f'{{"n": {turn}, "id": "{OTHER}"}}'), 0.0)
        conversation.finish(0.0)
        assert not conversation.findings
        assert OTHER in str(conversation.transcript.sent[-1])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_tape(tmp_path, monkeypatch):
    """The sizes are those of a test; 1,000,000 messages take as much memory as 20,000 do."""
    path = tmp_path / "long.jsonl"
    short, long = peak(path, 1_000, monkeypatch), peak(path, 5_000, monkeypatch)
    assert long < short * 1.2


# -- how connections end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "end", "steps"),
    [
        ("websocket", happened("abort", "server"), ["abort"]),
        ("websocket", happened("end", "server"), ["abort"]),
        ("websocket", happened("close", "server"), ["close"]),
        ("websocket", happened("close", "server", code=1006), ["close"]),
        ("websocket", happened("close", "client"), ["expect close 1005"]),
        ("websocket", happened("end", "client"), ["expect close 1006"]),
        ("websocket", happened("abort", "client"), ["expect close 1006"]),
        ("websocket", happened("note", "client", reason="a remark"), []),
        ("tcp", happened("abort", "server"), ["abort"]),
        ("tcp", happened("end", "server"), ["close"]),
        ("tcp", happened("end", "client"), ["expect close"]),
        ("tcp", happened("abort", "client"), ["expect reset"]),
    ],
)
def test_each_end_is_a_step(tape, wire, end, steps):
    path = tape(*([opens()] if wire == "websocket" else []), client("a"), end, wire=wire)
    script = TapeScript(index(path), index(path).connections[0], rules(strict=True))
    titles = [line.strip().partition(". ")[2] for line in str(script).splitlines()[1:]]
    assert titles[titles.index("expect 'a'" if wire == "websocket" else "expect b'a'") + 1 :] == steps


def test_the_rest_of_a_stream_that_no_framing_cuts(tape):
    path = tape(client("a\nb"), happened("end", "client"), wire="tcp")
    with farend.replay(path, framing=farend.lines(), strict=True) as far_end:
        with socket.create_connection((far_end.host, far_end.port), timeout=30) as sock:
            sock.sendall(b"a\nb")


def test_a_message_of_which_the_tape_has_only_the_beginning(tape):
    path = tape(client("a\nb"), wire="tcp")
    with farend.replay(path, framing=farend.lines()) as far_end:
        with socket.create_connection((far_end.host, far_end.port), timeout=30) as sock:
            sock.sendall(b"a\nb")
    with pytest.raises(Failure):
        with farend.replay(path, framing=farend.lines()) as far_end:
            with socket.create_connection((far_end.host, far_end.port), timeout=30) as sock:
                sock.sendall(b"a\n")
