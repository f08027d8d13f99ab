"""Plans on real sockets: clients that retry, on several libraries, meet what was planned, attempt by attempt."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import websockets
import websockets.sync.client

from farend import (
    Failure,
    InvalidArguments,
    Plan,
    PlanError,
    Script,
    TcpClient,
    TcpServer,
    WebSocketServer,
    WrongType,
    forever,
    reroute,
    then_abort,
    then_close,
    then_drop,
    then_stall,
)
from farend.core.findings import AttemptsMissing, UnexpectedConnection, WentOn
from farend.core.transcript import Kind

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None

HELLO = Script().expect("hello").send("there").expect_close()
COUNT = Script().expect("hello").send("1").send("2").send("3")
LOOPS = [asyncio.new_event_loop] if uvloop is None else [asyncio.new_event_loop, uvloop.new_event_loop]
ERRORS = (OSError, websockets.WebSocketException, aiohttp.ClientError, EOFError)


def acceptance() -> Plan:
    return Plan().refuse(2).reject(503).play(Script().expect("hello").send("there"), then_abort(after=1)).play(HELLO)


FIVE = ["refused", "refused", "rejected 503", "aborted", "played"]


async def with_websockets(url: str) -> str:
    async with websockets.connect(url) as client:
        await client.send("hello")
        return str(await client.recv())


async def with_aiohttp(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as client:
        await client.send_str("hello")
        return await client.receive_str()


async def retrying(client: Callable[[str], Awaitable[str]], url: str) -> str:
    """What clients do: they try again, a little later each time."""
    for attempt in itertools.count():
        try:
            return await client(url)
        except (*ERRORS, TypeError):  # of aiohttp's receive_str, where the connection was closed
            await asyncio.sleep(0.0005 * attempt)
    raise AssertionError


CLIENTS = {"websockets": with_websockets, "aiohttp": with_aiohttp}


def run_often(client: Callable[[str], Awaitable[str]], loop: Callable[[], Any], times: int) -> None:
    async def often() -> None:
        for _ in range(times):
            async with WebSocketServer(acceptance()) as server:
                assert await retrying(client, server.url) == "there"
            assert server.journal.outcomes == FIVE
            attempts = list(server.journal)
            times_ = [time for one in attempts for time in (one.attempted, one.ended)]
            assert None not in times_
            assert [one.attempted for one in attempts] == sorted(one.attempted for one in attempts)
            assert all(one.lasted is not None and one.lasted >= 0 for one in attempts)
            assert len(server.journal.gaps) == 4

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(often())


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__module__.partition(".")[0])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_retrying_client_ends_connected_and_the_journal_lists_the_five(client: str, loop: Any) -> None:
    run_often(CLIENTS[client], loop, 10)


@pytest.mark.repeats
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__module__.partition(".")[0])
@pytest.mark.parametrize("client", CLIENTS)
def test_it_is_the_same_five_hundred_times(client: str, loop: Any) -> None:
    run_often(CLIENTS[client], loop, 500)


def test_a_blocking_client_meets_the_same() -> None:
    with WebSocketServer(acceptance()) as server:
        while True:
            with contextlib.suppress(*ERRORS), websockets.sync.client.connect(server.url) as client:
                client.send("hello")
                assert client.recv() == "there"
                break
    assert server.journal.outcomes == FIVE


# -- each outcome -----------------------------------------------------------------------------------


async def meets(server: WebSocketServer, **options: Any) -> list[str]:
    """What a client hears that says hello, and how it ends; it gives up when the far end has fallen silent."""
    heard: list[str] = []
    client = asyncio.create_task(hears(server.url, heard, **options))
    async with asyncio.timeout(30):
        while not client.done() and not has_fallen_silent(server):
            await asyncio.sleep(0.001)
    if not client.done():
        await asyncio.sleep(0.05)  # what was said before is read, and nothing comes
        assert not client.done()
        client.cancel()
        heard.append("silence")
    with contextlib.suppress(asyncio.CancelledError):
        await client
    return heard


def has_fallen_silent(server: Any) -> bool:
    return any(entry.kind is Kind.STALLED for transcript in server.transcripts for entry in transcript)


async def hears(url: str, heard: list[str], **options: Any) -> None:
    try:
        async with websockets.connect(url, close_timeout=0, **options) as client:
            await client.send("hello")
            while True:
                heard.append(str(await client.recv()))
    except websockets.ConnectionClosed as error:
        heard.append(str(error.rcvd.code if error.rcvd else 1006))
    except websockets.InvalidStatus as error:
        response = error.response
        heard += (str(response.status_code), (response.body or b"").decode(), response.headers.get("Retry-After", ""))
    except ssl.SSLCertVerificationError as error:
        heard.append(error.verify_message)
    except ERRORS as error:
        heard.append(type(error).__name__)


OUTCOMES: list[tuple[Plan, list[str], str]] = [
    (Plan().reject(503, {"Retry-After": "2"}, "later"), ["503", "later", "2"], "rejected 503"),
    (Plan().reject(499), ["499", "", ""], "rejected 499"),
    (Plan().stall(), ["silence"], "stalled"),
    (Plan().stall("request"), ["silence"], "stalled"),
    (Plan().stall("handshake"), ["silence"], "stalled"),
    (Plan().reset(), ["InvalidMessage"], "reset"),
    (Plan().reset("request"), ["InvalidMessage"], "reset"),
    (Plan().reset("handshake"), ["1006"], "reset"),
    (Plan().drop(), ["InvalidMessage"], "dropped"),
    (Plan().drop("request"), ["InvalidMessage"], "dropped"),
    (Plan().drop("handshake"), ["1006"], "dropped"),
    (Plan().wrong_accept(), ["InvalidHeaderValue"], "wrong accept"),
    (Plan().slow_handshake(0.02, Script().expect("hello").send("1").close()), ["1", "1000"], "played"),
    (Plan().play(COUNT, then_abort(sent=1)), ["1", "1006"], "aborted"),
    (Plan().play(COUNT, then_drop(after=3)), ["1", "2", "1006"], "dropped"),
    (Plan().play(COUNT, then_drop()), ["1", "2", "3", "1006"], "dropped"),
    (Plan().play(COUNT, then_stall(received=1)), ["silence"], "stalled"),
    (Plan().play(COUNT, then_stall(sent=2)), ["1", "2", "silence"], "stalled"),
    (Plan().play(COUNT, then_close(1012, "restart", sent=1)), ["1", "1012"], "closed"),
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__module__.partition(".")[0])
@pytest.mark.parametrize(("plan", "heard", "outcome"), OUTCOMES)
@pytest.mark.parametrize("options", [{}, {"subprotocols": ["chat"]}])
def test_what_a_client_sees_of_each(plan: Plan, heard: list[str], outcome: str, loop: Any, options: Any) -> None:
    async def meet() -> None:
        async with WebSocketServer(plan, **options) as server:
            found = await meets(server, **options)
            if heard == ["InvalidMessage"]:  # a reset may come before the handshake's answer is waited for
                assert found in (["InvalidMessage"], ["ConnectionResetError"], ["BrokenPipeError"])
            elif "1006" in heard and outcome in ("aborted", "reset"):
                assert found[-1] in ("1006", "InvalidMessage", "ConnectionResetError")  # what was not read yet is lost
            else:
                assert found == heard
        assert server.journal.outcomes == [outcome]
        assert server.journal[0].ended is not None

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(meet())


TLS: list[tuple[Plan, list[str], str]] = [
    (Plan().tls("expired"), ["certificate has expired"], "tls expired"),
    (Plan().tls("wrong name"), ["IP address mismatch"], "tls wrong name"),
    (Plan().tls("untrusted"), ["unable to get local issuer certificate"], "tls untrusted"),
    (Plan().tls("cut"), ["ConnectionResetError"], "tls cut"),
    (Plan().stall(), ["silence"], "stalled"),
    (Plan().reset(), ["ConnectionResetError"], "reset"),
    (Plan().drop("handshake"), ["1006"], "dropped"),
    (Plan().reject(503), ["503", "", ""], "rejected 503"),
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__module__.partition(".")[0])
@pytest.mark.parametrize(("plan", "heard", "outcome"), TLS)
def test_what_a_client_sees_of_each_on_tls(plan: Plan, heard: list[str], outcome: str, loop: Any) -> None:
    async def meet() -> None:
        async with WebSocketServer(plan, tls=True) as server:
            found = await meets(server, ssl=server.client_ssl_context)
            assert len(found) == len(heard)
            assert heard[0] in found[0]
        assert server.journal.outcomes == [outcome]

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(meet())


def test_only_what_is_said_is_wrong_with_a_rerouted_hosts_certificate() -> None:
    plan = Plan().tls("expired").tls("untrusted").tls("cut").stall().play(HELLO)
    heard = []
    with WebSocketServer(plan, tls=True) as server, reroute({"wss://api.exchange.com": server}):
        for limit in (30, 30, 30, 0.3, 30):
            try:
                with websockets.sync.client.connect("wss://api.exchange.com", open_timeout=limit) as client:
                    client.send("hello")
                    heard.append(str(client.recv()))
            except ssl.SSLCertVerificationError as error:
                heard.append(error.verify_message)
            except OSError as error:
                heard.append(type(error).__name__)
    assert heard == [
        "certificate has expired",
        "unable to get local issuer certificate",
        "ConnectionResetError",
        "TimeoutError",
        "there",
    ]
    assert server.journal.outcomes == ["tls expired", "tls untrusted", "tls cut", "stalled", "played"]


def test_announced_tls_goes_wrong_as_well() -> None:
    """To an IP address, no client gives a name, so reroute announces for which one it comes."""
    plan = Plan().stall().tls("cut").play(HELLO)
    with (
        WebSocketServer(plan, tls=True) as server,
        reroute({"wss://127.9.9.9": server}),
    ):  # an address: no name is given
        for limit in (0.3, 30):
            with pytest.raises(OSError):
                websockets.sync.client.connect("wss://127.9.9.9", open_timeout=limit)
        with websockets.sync.client.connect("wss://127.9.9.9") as client:
            client.send("hello")
            assert client.recv() == "there"
    assert server.journal.outcomes == ["stalled", "tls cut", "played"]


def test_a_byte_stream_meets_what_it_can() -> None:
    count = Script().expect(b"hello").send(b"1").send(b"2")
    plan = Plan().refuse().reset().drop().stall().play(count, then_abort(sent=1)).play(count, then_drop(sent=1))
    heard = []
    with TcpServer(plan) as server:
        for limit in (30, 30, 30, 0.3, 30, 30):
            try:
                with socket.create_connection((server.host, server.port), timeout=limit) as client:
                    client.sendall(b"hello")
                    heard.append(b"".join(iter(lambda: client.recv(100), b"")))
            except OSError as error:
                heard.append(type(error).__name__.encode())
    assert heard[0] == b"ConnectionRefusedError"
    assert heard[1] in (b"ConnectionResetError", b"BrokenPipeError")
    assert heard[2:4] in ([b"", b"TimeoutError"], [b"ConnectionResetError", b"TimeoutError"])
    assert heard[4] in (b"1", b"ConnectionResetError")
    assert heard[5] == b"1"
    assert server.journal.outcomes == ["refused", "reset", "dropped", "stalled", "aborted", "dropped"]


# -- paths, and several plans -----------------------------------------------------------------------


def test_each_path_has_its_own_plan_beside_scripts() -> None:
    routes: Any = {"/a": Plan().reject(503).play(HELLO), "/b": HELLO, "/c": Plan().stall("request").wrong_accept()}
    with WebSocketServer(routes) as server:
        for path, error, limit in (
            ("/a", websockets.InvalidStatus, 30),
            ("/c", TimeoutError, 3),
            ("/c", websockets.InvalidHandshake, 30),
        ):
            with pytest.raises(error):
                websockets.sync.client.connect(server.url + path, open_timeout=limit)
        for path in ("/b", "/a"):
            with websockets.sync.client.connect(server.url + path) as client:
                client.send("hello")
                assert client.recv() == "there"
    assert [(one.path, one.outcome) for one in server.journal] == [
        ("/a", "rejected 503"),
        ("/c", "stalled"),
        ("/c", "wrong accept"),
        ("/b", "played"),
        ("/a", "played"),
    ]


def test_each_address_that_leads_to_a_server_has_its_own_plan() -> None:
    routes: Any = {"ws://one.example": Plan().reject(503).play(HELLO), "ws://two.example:8080/feed": Plan().play(HELLO)}
    urls = ("ws://one.example", "ws://two.example:8080/feed", "ws://one.example/any")
    with WebSocketServer(routes) as server, reroute({"ws://one.example": server, "ws://two.example:8080": server}):
        heard = []
        for url in urls:
            with contextlib.suppress(websockets.InvalidStatus), websockets.sync.client.connect(url) as client:
                client.send("hello")
                heard.append(client.recv())
    assert heard == ["there", "there"]
    assert server.journal.outcomes == ["rejected 503", "played", "played"]


def test_a_plan_may_be_played_later_and_goes_on_where_the_journal_was() -> None:
    with WebSocketServer(Plan().reject(503)) as server:
        for _ in range(2):
            with pytest.raises(websockets.InvalidStatus):
                websockets.sync.client.connect(server.url)
            server.play(Plan().reject(503))
        server.play(Plan().refuse())
        with pytest.raises(ConnectionRefusedError):
            websockets.sync.client.connect(server.url)
    assert server.journal.outcomes == ["rejected 503", "rejected 503", "refused"]


def test_a_plan_that_grows_afterwards_is_not_what_was_given() -> None:
    plan = Plan().reject(503)
    with WebSocketServer(plan) as server:
        plan.refuse(2)
        with pytest.raises(websockets.InvalidStatus):
            websockets.sync.client.connect(server.url)


def test_a_server_without_a_plan_has_a_journal_too() -> None:
    with WebSocketServer([HELLO, HELLO]) as server:
        for _ in range(2):
            with websockets.sync.client.connect(server.url) as client:
                client.send("hello")
                client.recv()
    assert server.journal.outcomes == ["played", "played"]
    assert [attempt.connection for attempt in server.journal] == [1, 2]


@pytest.mark.asyncio
async def test_a_connection_of_a_plan_can_be_held_in_hand() -> None:
    async with WebSocketServer(Plan().reject(503).play()) as server:
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(server.url)
        async with websockets.connect(server.url) as client:
            peer = await server.connection()
            await peer.send("hello")
            assert await client.recv() == "hello"
    assert server.journal.outcomes == ["rejected 503", "played"]


# -- what goes wrong --------------------------------------------------------------------------------


def found(caught: pytest.ExceptionInfo[Failure]) -> Any:
    (finding,) = caught.value.findings
    return finding


def test_an_attempt_too_many_is_a_finding_and_the_screen_lists_them_all() -> None:
    with pytest.raises(Failure) as caught, WebSocketServer(Plan().refuse().reject(503), name="feed") as server:
        for _ in range(3):
            with contextlib.suppress(*ERRORS), websockets.sync.client.connect(server.url):
                pass
    assert isinstance(found(caught), UnexpectedConnection)
    assert str(caught.value).startswith(
        "An attempt to connect came that the plan does not provide for: it is for 2 attempts. If the last step may "
        "come again, write times=forever there (feed, connection 2)."
    )
    lines = str(caught.value).splitlines()
    start = lines.index("Attempts to connect:")
    told = [" ".join(line.split()[3:5]) for line in lines[start + 1 : start + 4]]
    assert told == ["refused (for", "rejected 503", "turned away"]


def test_attempts_that_nobody_made_are_a_finding() -> None:
    with (
        pytest.raises(Failure, match="1 attempt came, and the plan is for 4") as caught,
        WebSocketServer(Plan().refuse(3).play(HELLO), deadline=0.2) as server,
        pytest.raises(ConnectionRefusedError),
    ):
        websockets.sync.client.connect(server.url)
    finding = found(caught)
    assert isinstance(finding, AttemptsMissing)
    assert (finding.outcome, finding.came, finding.planned) == ("refuse", 1, 4)


def test_leaving_the_block_waits_for_attempts_that_are_still_to_come() -> None:
    async def client(url: str) -> None:
        assert await retrying(with_websockets, url) == "there"

    async def test() -> list[str]:
        async with WebSocketServer(acceptance()) as server:
            task = asyncio.create_task(client(server.url))
        await task
        return server.journal.outcomes

    assert asyncio.run(test()) == FIVE


def test_what_is_planned_for_ever_may_never_come_unless_it_is_a_script() -> None:
    with WebSocketServer(Plan().play(HELLO).reject(503, times=forever)) as server:
        with websockets.sync.client.connect(server.url) as client:
            client.send("hello")
            client.recv()
    with (
        pytest.raises(Failure, match="Nobody tried to connect, and the plan is for one more"),
        WebSocketServer(Plan().play(HELLO, times=forever), deadline=0.1),
    ):
        pass


def test_a_client_that_takes_any_certificate_is_found() -> None:
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    with pytest.raises(Failure, match="although the certificate is another name's") as caught:
        with WebSocketServer(Plan().tls("wrong name"), tls=True) as server, contextlib.suppress(*ERRORS):
            websockets.sync.client.connect(server.url, ssl=careless)
    assert isinstance(found(caught), WentOn)
    assert server.journal.outcomes == ["failed"]


def test_a_client_that_does_not_look_at_the_accept_is_found() -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with pytest.raises(Failure, match=r"The near end spoke, although the answer to its key was another's") as caught:
        with WebSocketServer(Plan().wrong_accept()) as server:
            with socket.create_connection((server.host, server.port), timeout=10) as client:
                client.sendall(request)
                answer = client.recv(1000)
                assert b"101" in answer
                assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in answer
                client.sendall(b"\x81\x85\0\0\0\0hello")
                with contextlib.suppress(OSError):
                    while client.recv(1000):
                        pass
    assert isinstance(found(caught), WentOn)


def test_a_client_that_breaks_the_handshake_is_told_as_ever() -> None:
    with pytest.raises(Failure, match="broke the protocol"):
        with WebSocketServer(Plan().play(HELLO)) as server:
            with socket.create_connection((server.host, server.port), timeout=10) as client:
                client.sendall(b"HELLO\r\n\r\n")
                client.recv(1000)
    assert server.journal.outcomes == ["failed"]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: TcpServer(Plan().reject(503)),
            PlanError,
            "'reject 503' cannot be done by TcpServer: a byte stream",
        ),
        (
            lambda: TcpServer(Plan().refuse(), unix_path="/tmp/x"),
            PlanError,
            "'refuse' cannot be done by TcpServer: there",
        ),
        (lambda: WebSocketServer(Plan().tls("cut")), PlanError, "it has no TLS: a server with tls=True can do that"),
        (lambda: WebSocketServer({"/a": Plan().refuse()}), PlanError, "give the server this plan for all paths"),
        (lambda: WebSocketServer({"/a": Plan().stall()}), PlanError, "after='request' can be had by path"),
        (lambda: TcpServer({"/a": Plan().stall()}), InvalidArguments, "paths are a WebSocket's"),
        (lambda: WebSocketServer([Plan().stall()]), WrongType, "a plan stands alone, or for a path"),  # type: ignore[list-item]
        (lambda: WebSocketServer(Plan()), PlanError, "an empty plan"),
        (
            lambda: TcpServer(Plan().play(Script().send_fragments("a", "b"))),
            Exception,
            "cannot be played on a byte stream",
        ),
        (lambda: TcpClient(Plan(), port=1), WrongType, "a client plays one Script"),  # type: ignore[arg-type]
        (
            lambda: TcpServer(Plan().tls("expired"), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
            PlanError,
            "a server with tls=True can do that, and this one 'untrusted' and 'cut'",
        ),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_told_where_it_is_given(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make()
    with pytest.raises(error, match=text), WebSocketServer() as server:  # the same, later
        server.play(make())


def test_silence_reads_nothing_keeps_the_connection_and_sees_the_client_go() -> None:
    with TcpServer(Plan().stall()) as server:
        with socket.create_connection((server.host, server.port), timeout=0.1) as client, pytest.raises(TimeoutError):
            while True:
                client.sendall(bytes(1 << 16))  # until nothing more fits into the buffers
    assert server.journal[0].outcome == "stalled"
    assert [entry.kind for entry in server.transcripts[0]] == [Kind.CONNECTED, Kind.STALLED]
