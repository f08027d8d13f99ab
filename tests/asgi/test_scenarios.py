"""Applications that make it hard to know when they have finished (acceptance 1 and 2 of the settling).

Each scenario says what one message is answered with, exactly: one frame less is an early return, one frame
of the repetition before is an early return of that one, and one more than there should be is a late one.
The ordinary suite repeats each a few times; `make settle` a thousand times, and again with all cores busy.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import socketserver
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from farend.asgi import WebsocketCommunicator, busy, lifespan

Say = Callable[[str], Awaitable[None]]
FEW = 5


@dataclass
class Scenario:
    """An application, and what `"go"` is answered with."""

    handler: Callable[..., Awaitable[None]]
    expected: list[str]
    within: float = 0.1
    slow: int = 1
    """How many times fewer repetitions it gets in the ordinary suite, because one takes long."""
    needs: str = ""
    resources: Callable[[Any], Any] | None = None
    marks: list[Any] = field(default_factory=list)


SCENARIOS: dict[str, Scenario] = {}


def scenario(*expected: str, **options: Any) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        SCENARIOS[handler.__name__] = Scenario(handler, list(expected), **options)
        return handler

    return register


def application(handler: Callable[..., Awaitable[None]], resource: Any) -> Any:
    """An ASGI application that hands each message to the handler."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def say(text: str) -> None:
            await send({"type": "websocket.send", "text": text})

        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await handler(say, resource)

    return app


# -- tasks and callbacks ------------------------------------------------------------------------------

kept: set[Any] = set()


def spawn(coroutine: Any) -> asyncio.Task[Any]:
    task = asyncio.create_task(coroutine)
    kept.add(task)
    task.add_done_callback(kept.discard)
    return task


@scenario("a")
async def plain_reply(say: Say, _: Any) -> None:
    await say("a")


@scenario("a", "b", "c")
async def background_task(say: Say, _: Any) -> None:
    async def background() -> None:
        await asyncio.sleep(0)
        await say("b")
        await asyncio.sleep(0)
        await say("c")

    spawn(background())
    await say("a")


@scenario("deep")
async def tasks_in_tasks(say: Say, _: Any) -> None:
    async def dig(depth: int) -> None:
        await asyncio.sleep(0)
        if depth:
            spawn(dig(depth - 1))
        else:
            await say("deep")

    spawn(dig(20))


@scenario("end")
async def call_soon_chain(say: Say, _: Any) -> None:
    loop = asyncio.get_running_loop()

    def again(left: int) -> None:
        if left:
            loop.call_soon(again, left - 1)
        else:
            spawn(say("end"))

    loop.call_soon(again, 100)


@scenario("got 7")
async def future_set_by_another(say: Say, _: Any) -> None:
    future = asyncio.get_running_loop().create_future()

    async def waits() -> None:
        await say(f"got {await future}")

    async def sets() -> None:
        await asyncio.sleep(0)
        future.set_result(7)

    spawn(waits())
    spawn(sets())


@scenario("0", "1", "2")
async def yields_a_lot(say: Say, _: Any) -> None:
    for number in range(3):
        for _turn in range(50):
            await asyncio.sleep(0)
        await say(str(number))


@scenario("one", "two")
async def task_group(say: Say, _: Any) -> None:
    async def member(text: str, turns: int) -> None:
        for _turn in range(turns):
            await asyncio.sleep(0)
        await say(text)

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(member("one", 1))
            tasks.create_task(member("two", 9))

    spawn(group())


@scenario("first", "second", needs="anyio")
async def anyio_task_group(say: Say, _: Any) -> None:
    import anyio

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say, "first")
        await anyio.lowlevel.checkpoint()
    await say("second")


@scenario("cleaned up", "cancelled")
async def cancelled_task(say: Say, _: Any) -> None:
    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await say("cleaned up")

    task = spawn(long())
    await asyncio.sleep(0)
    task.cancel()

    async def after() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await say("cancelled")

    spawn(after())


@scenario("shielded")
async def shielded_from_cancel(say: Say, _: Any) -> None:
    async def inner() -> None:
        for _turn in range(5):
            await asyncio.sleep(0)
        await say("shielded")

    async def outer() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(spawn(inner()))

    task = spawn(outer())
    await asyncio.sleep(0)
    task.cancel()


@scenario("done")
async def done_callback(say: Say, _: Any) -> None:
    spawn(asyncio.sleep(0)).add_done_callback(lambda _: spawn(say("done")))


@scenario("1", "2", "3")
async def async_generator(say: Say, _: Any) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in (1, 2, 3):
            await asyncio.sleep(0)
            yield number

    async def stream() -> None:
        async for number in numbers():
            await say(str(number))

    spawn(stream())


@scenario("x", "x", "x", "x", "x")
async def contended_lock(say: Say, _: Any) -> None:
    lock = asyncio.Lock()

    async def member() -> None:
        async with lock:
            await asyncio.sleep(0.01)
            await say("x")

    for _member in range(5):
        spawn(member())


@scenario("woken", "woken", "woken")
async def condition(say: Say, _: Any) -> None:
    changed = asyncio.Condition()

    async def member() -> None:
        async with changed:
            await changed.wait()
        await say("woken")

    for _member in range(3):
        spawn(member())

    async def wake() -> None:
        await asyncio.sleep(0)
        async with changed:
            changed.notify_all()

    spawn(wake())


@scenario("a", "a", "b", "b")
async def semaphore(say: Say, _: Any) -> None:
    room = asyncio.Semaphore(2)

    async def member(text: str) -> None:
        async with room:
            await asyncio.sleep(0.02)
            await say(text)

    for text in "aabb":
        spawn(member(text))


@scenario("together", "together")
async def barrier(say: Say, _: Any) -> None:
    gate = asyncio.Barrier(2)

    async def member() -> None:
        await gate.wait()
        await say("together")

    spawn(member())
    spawn(member())


@scenario("first done", "all done")
async def wait_for_the_first(say: Say, _: Any) -> None:
    async def waits() -> None:
        tasks = {spawn(asyncio.sleep(0.01)), spawn(asyncio.sleep(0.05))}
        _done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await say("first done")
        await asyncio.wait(tasks)
        await say("all done")

    spawn(waits())


# -- timers -------------------------------------------------------------------------------------------


@scenario("slept")
async def sleeps_within(say: Say, _: Any) -> None:
    await asyncio.sleep(0.09)
    await say("slept")


@scenario("now", "and that is all")
async def sleeps_too_long(say: Say, resource: dict[str, Any]) -> None:
    async def late() -> None:
        await asyncio.sleep(0.2)
        await say("late")

    if "late" in resource:
        resource["late"].cancel()
    resource["late"] = spawn(late())
    await say("now")
    await say("and that is all")


@scenario("0.02", "0.04", "0.06")
async def timer_chain(say: Say, _: Any) -> None:
    loop = asyncio.get_running_loop()

    def tick(number: int) -> None:
        spawn(say(f"0.0{number}"))
        if number < 6:
            loop.call_later(0.02, tick, number + 2)

    loop.call_later(0.02, tick, 2)


@scenario("timed out")
async def timeout_of_its_own(say: Say, _: Any) -> None:
    try:
        async with asyncio.timeout(0.05):
            await asyncio.Event().wait()
    except TimeoutError:
        await say("timed out")


@scenario("in time")
async def wait_for_in_time(say: Say, _: Any) -> None:
    await asyncio.wait_for(asyncio.sleep(0.03), 0.06)
    await say("in time")


# -- threads ------------------------------------------------------------------------------------------


@scenario("from a thread")
async def to_thread(say: Say, _: Any) -> None:
    await say(await asyncio.to_thread(lambda: (time.sleep(0.002), "from a thread")[1]))


@scenario("thread, then thread")
async def thread_after_thread(say: Say, _: Any) -> None:
    async def background() -> None:
        one = await asyncio.to_thread(str, "thread")
        await asyncio.sleep(0)
        two = await asyncio.to_thread(str, "thread")
        await say(f"{one}, then {two}")

    spawn(background())


@scenario(*["t"] * 10)
async def many_threads(say: Say, _: Any) -> None:
    async def one() -> None:
        await asyncio.to_thread(time.sleep, 0.001)
        await say("t")

    for _thread in range(10):
        spawn(one())


@scenario("pool", resources=lambda _: concurrent.futures.ThreadPoolExecutor(1))
async def own_executor(say: Say, pool: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.001)
    await say("pool")


@scenario("gave up", "the thread went on")
async def cancelled_thread(say: Say, _: Any) -> None:
    loop = asyncio.get_running_loop()
    started, goes_on = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        goes_on.wait()
        time.sleep(0.002)
        loop.call_soon_threadsafe(lambda: spawn(say("the thread went on")))

    task = spawn(asyncio.to_thread(work))
    while not started.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await say("gave up")
    goes_on.set()


@scenario("abandoned", "finished anyway")
async def timed_out_thread(say: Say, _: Any) -> None:
    loop = asyncio.get_running_loop()
    started, release = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait()
        asyncio.run_coroutine_threadsafe(say("finished anyway"), loop)

    task = spawn(asyncio.to_thread(work))
    while not started.is_set():
        await asyncio.sleep(0)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(task, 0.001)
    await say("abandoned")
    release.set()


@scenario("called back")
async def thread_calls_back(say: Say, _: Any) -> None:
    loop = asyncio.get_running_loop()

    def work() -> None:
        asyncio.run_coroutine_threadsafe(say("called back"), loop).result()

    await asyncio.to_thread(work)


@scenario("anyio's thread", needs="anyio")
async def anyio_thread(say: Say, _: Any) -> None:
    import anyio

    await anyio.to_thread.run_sync(time.sleep, 0.001)
    await say("anyio's thread")


@scenario("left it", "it came", needs="anyio")
async def anyio_abandoned_thread(say: Say, _: Any) -> None:
    import anyio

    loop = asyncio.get_running_loop()
    started, release = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait()
        asyncio.run_coroutine_threadsafe(say("it came"), loop)

    async def leave(scope: anyio.CancelScope) -> None:
        while not started.is_set():
            await asyncio.sleep(0)
        scope.cancel()

    with anyio.CancelScope() as scope:
        spawn(leave(scope))
        await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    await say("left it")
    release.set()


@scenario("sync to async", needs="asgiref")
async def sync_to_async(say: Say, _: Any) -> None:
    from asgiref.sync import async_to_sync, sync_to_async

    await sync_to_async(lambda: async_to_sync(say)("sync to async"))()


# -- other programs -----------------------------------------------------------------------------------


@scenario("subprocess: hello", slow=10)
async def subprocess_exec(say: Say, _: Any) -> None:
    code = "print(input())"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", code, stdin=pipe, stdout=pipe)
    out, _err = await process.communicate(b"hello\n")
    await say(f"subprocess: {out.decode().strip()}")


class _Slow(socketserver.StreamRequestHandler):
    """Answers each line after a moment, in a thread."""

    def handle(self) -> None:
        for line in self.rfile:
            time.sleep(0.001)
            self.wfile.write(line.upper())


@contextlib.contextmanager
def line_server(_: Any) -> Any:
    """A server in threads: for the loop, another program."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Slow) as server:
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address
        finally:
            server.shutdown()
            thread.join()


@scenario("stream: HI", resources=line_server)
async def stream_to_another_program(say: Say, address: Any) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hi\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    await say(f"stream: {line.decode().strip()}")


@scenario("socket: HI", resources=line_server)
async def socket_to_another_program(say: Say, address: Any) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, b"hi\n")
        data = await loop.sock_recv(sock, 100)
    await say(f"socket: {data.decode().strip()}")


@scenario("same loop: HI")
async def stream_to_the_same_loop(say: Say, _: Any) -> None:
    async def serve(reader: Any, writer: Any) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hi\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()
    await say(f"same loop: {line.decode().strip()}")


@scenario("anyio: HI", needs="anyio", resources=line_server)
async def anyio_stream(say: Say, address: Any) -> None:
    import anyio

    async with await anyio.connect_tcp(*address) as stream:
        await stream.send(b"hi\n")
        data = await stream.receive()
    await say(f"anyio: {data.decode().strip()}")


@contextlib.asynccontextmanager
async def database(_: Any) -> Any:
    import aiosqlite

    async with aiosqlite.connect(":memory:") as connection:
        await connection.execute("create table t (n integer)")
        yield connection


@scenario("rows: 1", needs="aiosqlite", resources=database)
async def sqlite(say: Say, connection: Any) -> None:
    await connection.execute("delete from t")
    await connection.execute("insert into t values (1)")
    await connection.commit()
    async with connection.execute("select count(*) from t") as cursor:
        async for row in cursor:
            await say(f"rows: {row[0]}")


@contextlib.asynccontextmanager
async def redis_client(path: str) -> Any:
    import redis.asyncio

    client = redis.asyncio.Redis(unix_socket_path=path)
    try:
        yield client
    finally:
        await client.aclose()


@scenario("redis: 1", needs="redis", resources=redis_client)
async def redis_command(say: Say, client: Any) -> None:
    await client.set("counter", 0)
    await say(f"redis: {await client.incr('counter')}")


@contextlib.contextmanager
def websocket_server(_: Any) -> Any:
    from farend import Script, WebSocketServer, forever

    with WebSocketServer(Script().repeat(forever, Script().expect("hi").send("HI"))) as server:
        yield server.url


@scenario("websocket: HI", needs="websockets", resources=websocket_server)
async def websocket_client(say: Say, url: str) -> None:
    import websockets

    async with websockets.connect(url, compression=None) as client:
        await client.send("hi")
        await say(f"websocket: {await client.recv()}")


@contextlib.contextmanager
def http_server(_: Any) -> Any:
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@scenario("httpx: OK", needs="httpx", resources=http_server, slow=5)
async def httpx_request(say: Say, url: str) -> None:
    import httpx

    async with httpx.AsyncClient(verify=False, trust_env=False) as client:
        await say(f"httpx: {(await client.get(url)).text}")


@scenario("aiohttp: OK", needs="aiohttp", resources=http_server, slow=5)
async def aiohttp_request(say: Say, url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as client, client.get(url) as response:
        await say(f"aiohttp: {await response.text()}")


# -- what cannot be known, and is said ----------------------------------------------------------------


@scenario("declared")
async def declared_thread(say: Say, _: Any) -> None:
    """A thread that nobody told the loop of; the documented limit, with its remedy."""
    loop = asyncio.get_running_loop()
    under_way = busy("a thread of its own")

    def work() -> None:
        time.sleep(0.001)
        asyncio.run_coroutine_threadsafe(say("declared"), loop)
        under_way.done()

    threading.Thread(target=work).start()


# -- the table ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def resource_of(one: Scenario, redis_path: str | None) -> AsyncIterator[Any]:
    if one.resources is None:
        yield {}
        return
    made = one.resources(redis_path)
    if hasattr(made, "__aenter__"):
        async with made as resource:
            yield resource
    else:
        with made as resource:
            yield resource


async def repeat(one: Scenario, times: int, redis_path: str | None) -> None:
    async with resource_of(one, redis_path) as resource:
        async with WebsocketCommunicator(application(one.handler, resource), "/") as comm:
            for number in range(times):
                got = await comm.exchange("go", within=one.within)
                assert got == one.expected, f"in repetition {number + 1}"
        for task in tuple(kept):
            task.cancel()
        while kept:
            await asyncio.sleep(0)


@pytest.fixture(params=SCENARIOS)
def chosen(request: pytest.FixtureRequest) -> Any:
    one = SCENARIOS[request.param]
    if one.needs:
        pytest.importorskip(one.needs)
    redis_path = request.getfixturevalue("redis_socket") if one.needs == "redis" else None
    return lambda times: repeat(one, times, redis_path), one


def test_there_are_enough():
    assert len(SCENARIOS) >= 30


def test_a_few_times(run, chosen):
    play, one = chosen
    run(play(max(1, FEW // one.slow)))


@pytest.mark.settle
def test_a_thousand_times(run, chosen, repetitions):
    play, _ = chosen
    run(play(repetitions))


@pytest.mark.settle
def test_a_thousand_times_on_busy_cores(run, chosen, repetitions, busy_cores):
    play, _ = chosen
    run(play(repetitions))


# -- more than one connection -------------------------------------------------------------------------


def rooms() -> Any:
    """What one connection says is put on a queue, and said by another."""
    queues: dict[str, asyncio.Queue[str]] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        queue = queues.setdefault(scope["path"], asyncio.Queue())

        async def forward() -> None:
            while True:
                await send({"type": "websocket.send", "text": await queue.get()})

        forwarder = asyncio.create_task(forward())
        while (event := await receive())["type"] == "websocket.receive":
            for path, other in queues.items():
                if path != scope["path"]:
                    other.put_nowait(event["text"])
        forwarder.cancel()

    return app


async def between_two(times: int) -> None:
    app = rooms()
    async with WebsocketCommunicator(app, "/a") as a, WebsocketCommunicator(app, "/b") as b:
        for number in range(times):
            await a.send_text(str(number))
            await a.settle()
            assert await b.receive_all(0) == [str(number)]
            assert await a.receive_all(0) == []
            await b.send_text("back")
            assert await a.receive_text() == "back"


def lifespan_worker() -> Any:
    """A worker that was started with the application does the work of a connection."""
    work: asyncio.Queue[Any] = asyncio.Queue()

    async def worker() -> None:
        while True:
            say = await work.get()
            await asyncio.to_thread(time.sleep, 0.001)
            await say("worked")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["type"] == "lifespan":
            task = asyncio.create_task(worker())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            task.cancel()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            work.put_nowait(lambda text: send({"type": "websocket.send", "text": text}))

    return app


async def through_a_worker(times: int) -> None:
    async with lifespan(lifespan_worker()) as app, WebsocketCommunicator(app, "/") as comm:
        for _ in range(times):
            assert await comm.exchange("go") == ["worked"]


@pytest.mark.parametrize("play", [between_two, through_a_worker])
def test_several_connections_a_few_times(run, play):
    run(play(FEW))


@pytest.mark.settle
@pytest.mark.parametrize("play", [between_two, through_a_worker])
def test_several_connections_a_thousand_times(run, play, repetitions, busy_cores):
    run(play(repetitions))


# -- the documented limits ----------------------------------------------------------------------------


def test_a_thread_that_is_not_declared_is_not_seen(run):
    """The limit that the docs tell of: without `busy()`, this thread's message comes after settling."""
    release = threading.Event()

    async def test() -> None:
        async def handler(say: Say, _: Any) -> None:
            loop = asyncio.get_running_loop()

            def work() -> None:
                release.wait()
                asyncio.run_coroutine_threadsafe(say("late"), loop)

            threading.Thread(target=work).start()

        async with WebsocketCommunicator(application(handler, None), "/") as comm:
            assert await comm.exchange("go") == []
            release.set()
            assert await comm.receive_text(timeout=20, outside=True) == "late"

    run(test())


def test_raw_publish_and_subscribe_is_not_seen(run, redis_socket):
    """The other limit: an application's own subscription is declared a listener, and what it gets is late."""
    pytest.importorskip("redis")
    from farend.asgi import listening

    async def test() -> None:
        async def reads(say: Say, pubsub: Any) -> None:
            async for message in pubsub.listen():
                if message["type"] == "message":
                    await say(message["data"].decode())

        async def handler(say: Say, client: Any) -> None:
            pubsub = client.pubsub()
            await pubsub.subscribe("news")
            spawn(reads(say, pubsub))
            await client.publish("news", "rain")

        async with redis_client(redis_socket) as client:
            with listening(f"{__name__}:{reads.__qualname__}"):
                async with WebsocketCommunicator(application(handler, client), "/") as comm:
                    await comm.send_text("go")
                    await comm.settle()
                    assert await comm.receive_text(timeout=20, outside=True) == "rain"
            for task in tuple(kept):
                task.cancel()
            while kept:
                await asyncio.sleep(0)

    run(test())
