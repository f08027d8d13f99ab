"""The clock, causes, and who does not settle (acceptance 6, 8 and 9 of the settling, without their times)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import socket
import threading
import time
import weakref

import pytest

from farend.asgi import Unsettled, WebsocketCommunicator, busy, external, listening
from farend.errors import DeadlineExceeded, WrongState, WrongType
from farend.settling import settler as settling
from farend.settling import waits
from farend.settling.patches import Patches

pytest_plugins = ["pytester"]
tasks = set()


def spawn(coroutine):
    task = asyncio.create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


@pytest.fixture(autouse=True)
def no_tasks_are_left():
    yield
    tasks.clear()


async def end_all():
    for task in tuple(tasks):
        task.cancel()
    while tasks:
        await asyncio.sleep(0)


def app_of(handler):
    async def app(scope, receive, send):
        async def say(text):
            await send({"type": "websocket.send", "text": text})

        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            if event["type"] == "websocket.receive":
                await handler(event["text"], say)

    return app


# -- the clock ----------------------------------------------------------------------------------------


async def beats(text, say, every=5):
    async def beat():
        while True:
            await asyncio.sleep(every)
            await say("beat")

    spawn(beat())


def test_a_thousand_beats_are_exactly_a_thousand(run):
    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            assert await comm.exchange("go") == []
            began = time.monotonic()
            await comm.clock.advance(5000)
            assert time.monotonic() - began < 30
            assert await comm.receive_all(0) == ["beat"] * 1000
            await comm.clock.advance(4.9)
            assert await comm.receive_all(0) == []
            await comm.clock.advance(0.1)
            assert await comm.receive_all(0) == ["beat"]
            await end_all()

    run(test())


@pytest.mark.parametrize("step", [5, 0.5, 0.1])
def test_beats_are_exact_whenever_they_begin(run, step):
    """Each time that is a sum is rounded: the beats' own, one after the other, and the test's, at once."""

    def after(began, beats):
        for _ in range(beats):
            began += step
        return began

    async def test():
        astray = [
            began for began in range(1_001, 900_001, 997) if after(began / 1000, 1000) > began / 1000 + 1000 * step
        ]
        assert astray
        for began in astray[:20]:
            async with WebsocketCommunicator(app_of(functools.partial(beats, every=step)), "/") as comm:
                settling.current(asyncio.get_running_loop()).clock.frozen = began / 1000
                assert await comm.exchange("go") == []
                await comm.clock.advance(1000 * step)
                assert len(await comm.receive_all(0)) == 1000
                await end_all()

    run(test())


def test_a_receive_follows_timers(run):
    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.send_text("go")
            with pytest.raises(DeadlineExceeded, match=r"sleep due in 5 s, test_settle\.py"):
                await comm.receive_text(timeout=1)
            assert await comm.receive_text(timeout=60) == "beat"
            assert await comm.receive_all(11) == ["beat", "beat"]
            await end_all()

    run(test())


def test_real_time_is_real_between_farends_calls(run):
    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.clock.advance(100)
            began = time.monotonic()
            await asyncio.sleep(0.05)
            assert time.monotonic() - began > 0.04
            loop = asyncio.get_running_loop()
            began = loop.time()
            while loop.time() - began < 0.01:
                await asyncio.sleep(0)  # it does not stand still

    run(test())


def test_what_is_left_of_a_timer_is_the_same_after_the_disconnect(run):
    async def test():
        loop = asyncio.get_running_loop()
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.clock.advance(1000)
            due = loop.create_future()
            loop.call_later(0.05, due.set_result, None)
            cancelled = loop.call_later(0.01, due.set_result, None)
            cancelled.cancel()
        began = time.monotonic()
        await due
        assert time.monotonic() - began < 20

    run(test())


def test_a_timer_outlives_several_connections(run):
    """Each of them puts a clock of its own forward; what was left of the timer after the first one is left."""

    async def test():
        loop = asyncio.get_running_loop()
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.clock.advance(1000)
            due = loop.create_future()
            loop.call_later(50, due.set_result, None)
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.receive_nothing(4000)  # what was there before is in real time
            assert not due.done()

    run(test())


def test_the_tests_own_timeout_from_before_is_in_real_time(run):
    async def test():
        async with asyncio.timeout(60):
            async with WebsocketCommunicator(app_of(beats), "/") as comm:
                await comm.clock.advance(1000)
                await comm.receive_nothing(1000)

    run(test())


def test_no_timeout_is_spurious_around_a_thread(run):
    async def handler(text, say):
        async with asyncio.timeout(10):
            await asyncio.to_thread(time.sleep, 0.02)
        await asyncio.sleep(0.5)
        await say("in time")

    async def test():
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.send_text("go")
            assert await comm.receive_text(timeout=20) == "in time"

    run(test())


def test_no_timeout_is_spurious_around_redis(run, redis_socket):
    redis = pytest.importorskip("redis.asyncio")

    async def test():
        client = redis.Redis(unix_socket_path=redis_socket)

        async def handler(text, say):
            async with asyncio.timeout(10):
                await client.blpop("nothing", timeout=0.05)
            await say("in time")

        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            for _ in range(3):
                await comm.send_text("go")
                assert await comm.receive_text(timeout=60) == "in time"
        await client.aclose()

    run(test())


def test_waiting_for_a_thread_does_not_use_up_the_horizon(run):
    release = threading.Event()

    async def handler(text, say):
        asyncio.get_running_loop().call_later(0.3, release.set)
        await asyncio.to_thread(release.wait)
        await asyncio.sleep(0.05)
        await say("after both")

    async def test():
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            assert await comm.exchange("go", within=0.1) == ["after both"]

    run(test())


# -- who does not settle ------------------------------------------------------------------------------


def test_an_application_that_spins(run):
    async def handler(text, say):
        async def spin():
            while True:
                await asyncio.sleep(0)

        spawn(spin())

    async def test():
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.send_text("go")
            with pytest.raises(Unsettled, match=r"never pauses: .*test_settle\.py") as caught:
                await comm.settle(limit=0.01)
            assert "spin" in str(caught.value)
            await end_all()

    run(test())


def test_time_that_takes_too_long_says_how_far_it_has_come(run):
    """The application does pause, and each time there is another timer."""

    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.send_text("go")
            with pytest.raises(Unsettled, match=r"the clock has come \d+ s of 1000000000 s, from timer to timer"):
                await comm.clock.advance(1_000_000_000, limit=0.01)
            await end_all()

    run(test())


def test_a_chain_of_callbacks_that_never_ends(run):
    stop = False

    async def handler(text, say):
        loop = asyncio.get_running_loop()

        def again():
            if not stop:
                loop.call_soon(again)

        again()

    async def test():
        nonlocal stop
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.send_text("go")
            with pytest.raises(Unsettled, match=r"never pauses: test_settle\.py:\d+ \(.*again\)"):
                await comm.settle(limit=0.01)
            stop = True

    run(test())


def test_a_stuck_thread(run):
    release = threading.Event()

    async def handler(text, say):
        await asyncio.to_thread(release.wait)

    async def test():
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.send_text("go")
            with pytest.raises(Unsettled, match=r"a thread runs threading\.py:\d+ \(Event.wait\)"):
                await comm.settle(limit=0.01)
            release.set()
            await comm.settle()

    run(test())


def test_a_stuck_thread_of_anyio(run):
    anyio = pytest.importorskip("anyio")
    release = threading.Event()

    async def handler(text, say):
        await anyio.to_thread.run_sync(release.wait)

    async def test():
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.send_text("go")
            with pytest.raises(Unsettled, match="1 of anyio's worker threads is busy"):
                await comm.settle(limit=0.01)
            release.set()
            await comm.settle()

    run(test())


async def feed(reader, say):
    while line := await reader.readline():
        await say(line.decode().strip())


def test_a_listener_has_to_be_declared(run):
    writers = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def handler(text, say):
            reader, writer = await asyncio.open_connection(*server.getsockname())
            spawn(feed(reader, say))
            writers.append(writer)

        async def test():
            async with WebsocketCommunicator(app_of(handler), "/") as comm:
                await comm.send_text("go")
                while not writers:  # it is connected, and reads
                    await asyncio.sleep(0.001)
                with pytest.raises(
                    Unsettled, match=r"data from a stream, test_settle\.py:\d+ \(feed\), caused by message 1"
                ):
                    await comm.settle(limit=0.01)
                with listening(f"{__name__}:feed") as declared:
                    await comm.settle()
                    assert "feed" in repr(declared)
                    connection, _ = server.accept()
                    connection.sendall(b"rain\n")
                    assert await comm.receive_text(timeout=20, outside=True) == "rain"
                with pytest.raises(Unsettled):
                    await comm.settle(limit=0.01)
                connection.close()
                [writer] = writers
                writer.close()
                await writer.wait_closed()
                await end_all()

        run(test())


async def bare_future(future):
    return await future


def test_an_unknown_wait_can_be_declared(run):
    """What is on no table and awaits a bare future is the documented limit; `external` adds to the table."""

    async def test(declared):
        loop = asyncio.get_running_loop()
        release = threading.Event()

        async def handler(text, say):
            future = loop.create_future()
            thread = threading.Thread(
                target=lambda: (release.wait(), loop.call_soon_threadsafe(future.set_result, "it came"))
            )
            thread.start()
            spawn(answer(future, say))

        async def answer(future, say):
            await say(await bare_future(future))

        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.send_text("go")
            if declared:
                loop.call_soon_threadsafe(release.set)
                await comm.settle()
                assert await comm.receive_all(0) == ["it came"]
            else:
                await comm.settle()
                assert await comm.receive_all(0) == []
                release.set()
                assert await comm.receive_text(timeout=20, outside=True) == "it came"

    run(test(False))
    with external(f"{__name__}:bare_future"):
        run(test(True))


def test_what_is_declared_busy(run):
    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            with busy("the import") as one:
                with pytest.raises(Unsettled, match="declared busy: the import"):
                    await comm.settle(limit=0.01)
                assert repr(one) == "<Busy: the import>"
            one.done()
            await comm.settle()

    run(test())


@pytest.mark.parametrize("declare", [listening, external])
@pytest.mark.parametrize("name", [None, "", "no colon", "a:b:c", "a b:c"])
def test_names_are_checked(declare, name):
    with pytest.raises(WrongType, match=r"takes a name like \"package\.module:Class\.method\""):
        declare(name)


def test_busy_takes_words():
    with pytest.raises(WrongType, match="a few words"):
        busy("")


def test_a_declaration_leaves_the_table_as_it_was():
    known = next(iter(waits.LISTENERS))
    before = set(waits.LISTENERS)
    listening(known).withdraw()
    listening("a.b:c").withdraw()
    assert before == waits.LISTENERS


# -- causes -------------------------------------------------------------------------------------------


def test_causes_pass_from_task_to_task(run):
    """Who answers is a worker that was there before; its cause is the message that woke it."""

    async def test():
        queue = asyncio.Queue()

        async def worker():
            while True:
                text, say = await queue.get()
                await asyncio.sleep(0)
                await say(text)

        async def handler(text, say):
            queue.put_nowait((text, say))
            await say("first")

        spawn(worker())
        async with WebsocketCommunicator(app_of(handler), "/") as comm:
            await comm.exchange("a")
            await comm.exchange("b")
            assert [(frame.payload, frame.cause.number) for frame in comm.frames] == [
                ("first", 1),
                ("a", 1),
                ("first", 2),
                ("b", 2),
            ]
            assert comm.frames[1].cause.said == "a"
            assert repr(comm.frames[1].cause) == "<Cause: message 1, 'a'>"
            await end_all()

    run(test())


def test_what_is_said_at_the_connect(run):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})
        await receive()
        await receive()

    async def test():
        async with WebsocketCommunicator(app, "/") as comm:
            await comm.receive_text()
            assert str(comm.frames[0].cause) == "the connect"
            assert comm.waiting_for()[0].endswith(
                "(test_what_is_said_at_the_connect.<locals>.app), caused by the connect"
            )

    run(test())


def test_what_a_task_of_a_library_waits_for_is_told_with_the_librarys_line(run):
    """fast-channels, as Channels, receives in a task of its own."""
    from fast_channels.consumer.websocket import AsyncWebsocketConsumer

    async def test():
        async with WebsocketCommunicator(AsyncWebsocketConsumer.as_asgi(), "/") as comm:
            with pytest.raises(DeadlineExceeded) as caught:
                await comm.receive()
        assert "  a message (receive()), caused by the connect" in str(caught.value).splitlines()
        assert "other tasks, utils.py:" in str(caught.value)  # and not asyncio's tasks.py

    run(test())


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "0 ms"), (0.05, "50 ms"), (1.5, "1.5 s"), (60.0, "60 s"), (3600.0, "3600 s")]
)
def test_times_in_words(seconds, words):
    assert waits.duration(seconds) == words


# -- patches ------------------------------------------------------------------------------------------


def test_every_attribute_is_as_before(run):
    async def test():
        loop = asyncio.get_running_loop()
        before = {name: getattr(loop, name) for name in ("time", "call_soon", "call_later", "run_in_executor")}
        async with WebsocketCommunicator(app_of(beats), "/"), WebsocketCommunicator(app_of(beats), "/"):
            assert loop.call_soon != before["call_soon"]
            assert settling.current(loop) is not None
        assert {name: getattr(loop, name) for name in before} == before
        assert settling.current(loop) is None

    run(test())


def test_a_patch_of_somebody_elses_stays_his(run):
    async def test():
        loop = asyncio.get_running_loop()
        async with WebsocketCommunicator(app_of(beats), "/"):
            ours = loop.call_soon

            def his(*args, **options):
                return ours(*args, **options)

            loop.call_soon = his
        assert loop.call_soon is his
        await asyncio.sleep(0)
        del loop.call_soon

    run(test())


def test_patches_put_back_what_stood_on_the_instance():
    class Thing:
        pass

    thing = Thing()
    thing.a = 1
    patches = Patches()
    patches.put(thing, "a", 2)
    patches.put(thing, "b", 3)
    patches.restore()
    assert vars(thing) == {"a": 1}


def test_a_loop_that_was_closed_with_a_connection_open_is_forgotten(run):
    async def test():
        comm = WebsocketCommunicator(app_of(beats), "/")
        await comm.connect()
        loop = asyncio.get_running_loop()
        return comm, loop

    with asyncio.Runner() as runner:
        comm, loop = runner.run(test())
    with asyncio.Runner() as runner:
        runner.run(_connect())
    assert settling.current(loop) is None
    with pytest.warns(ResourceWarning, match="never disconnected"):
        del comm


async def _connect():
    async with WebsocketCommunicator(app_of(beats), "/"):
        pass


def test_an_unknown_loop_is_refused():
    class Odd(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__()
            self._kept = self.__dict__.pop("_ready")

        def __getattribute__(self, name):
            if name == "_ready":
                raise AttributeError(name)
            return super().__getattribute__(name)

    class Slotted:
        __slots__ = ()

        def time(self):
            return 0.0

        run_in_executor = time

    loop = asyncio.new_event_loop()
    try:
        from farend.settling.selector_hook import SelectorHook
        from farend.settling.turns_hook import TurnsHook

        with pytest.raises(WrongState, match="by its attribute _selector, which it has not in .*Python"):
            SelectorHook(Slotted(), None)
        with pytest.raises(WrongState, match="its instances take no attributes"):
            TurnsHook(Slotted(), None)
    finally:
        loop.close()


def test_nothing_is_kept_alive(run):
    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            await comm.settle()
            return weakref.ref(settling.current(asyncio.get_running_loop()))

    settler = run(test())
    gc.collect()
    assert settler() is None


# -- test frameworks ----------------------------------------------------------------------------------

PYTEST_FILE = """
import asyncio
import unittest

import pytest
{imports}
from farend.asgi import WebsocketCommunicator


async def app(scope, receive, send):
    await send({{"type": "websocket.accept"}})
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.receive":
            await asyncio.sleep(0.5)
            await send({{"type": "websocket.send", "text": event["text"]}})

{marks}

@{fixture}
async def comm():
    async with WebsocketCommunicator(app, "/") as comm:
        yield comm


async def test_one(comm):
    await comm.send_text("hello")
    assert await comm.receive_text() == "hello"


async def test_two(comm):
    async with WebsocketCommunicator(app, "/") as other:
        assert await comm.exchange("a", within=1) == await other.exchange("a", within=1) == ["a"]
        assert await comm.receive_nothing()

"""


UNITTEST = """class TestCase(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.comm = await self.enterAsyncContext(WebsocketCommunicator(app, "/"))

    async def test_three(self):
        await self.comm.send_text("hello")
        self.assertEqual(await self.comm.receive_text(), "hello")
"""


@pytest.mark.parametrize("plugin", ["pytest-asyncio", "pytest-asyncio-session", "anyio"])
def test_yield_fixtures(pytester, plugin):
    """The fixture's two halves may run in different tasks: no cancel scope crosses them."""
    source = {
        "pytest-asyncio": {
            "imports": "import pytest_asyncio",
            "marks": "",
            "fixture": "pytest_asyncio.fixture",
        },
        "pytest-asyncio-session": {
            "imports": "import pytest_asyncio",
            "marks": "pytestmark = pytest.mark.asyncio(loop_scope='session')",
            "fixture": "pytest_asyncio.fixture(loop_scope='session', scope='session')",
        },
        "anyio": {
            "imports": "",
            "marks": "pytestmark = pytest.mark.anyio\n\n\n"
            "@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n",
            "fixture": "pytest.fixture",
        },
    }[plugin]
    case = UNITTEST if plugin == "pytest-asyncio" else ""  # anyio's plugin would run it as its own
    pytester.makepyfile(PYTEST_FILE.format(**source) + case)
    mode = "strict" if plugin == "anyio" else "auto"
    ini = ["-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function"]
    result = pytester.runpytest_subprocess("-q", "-W", "error", "-p", "no:randomly", *ini)
    result.assert_outcomes(passed=3 if case else 2)


def test_what_the_blocking_call_of_a_cancelled_receive_leaves(run):
    async def test():
        async with WebsocketCommunicator(app_of(beats), "/") as comm:
            task = asyncio.create_task(comm.settle(within=1))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert settling.current(asyncio.get_running_loop()).waiters == []

    run(test())
