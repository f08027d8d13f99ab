"""One background loop for all far ends: leased, counted, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from farend import Script, TcpServer, WrongState
from farend.stage.loop_thread import LoopThread, block, shared, submit


class Holder:
    def __init__(self, name: str = "a server") -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    one = LoopThread(linger=0.01)
    yield one
    one._leases.clear()
    one.close()


async def answer(value: Any = 42) -> Any:
    await asyncio.sleep(0)
    return value


def test_leases_share_one_thread_and_one_loop(thread: LoopThread) -> None:
    one, other = Holder("one"), Holder("other")
    loop = thread.lease(one)
    assert thread.lease(other) is loop
    assert thread.holders == ["one", "other"]
    thread.give_back(one)
    assert thread.running
    assert thread.run(answer()) == 42


def test_the_thread_ends_when_it_is_given_back_for_good(thread: LoopThread) -> None:
    holder = Holder()
    loop = thread.lease(holder)
    running = thread._thread
    assert running is not None
    thread.give_back(holder)
    running.join(10)
    assert not running.is_alive()
    assert loop.is_closed()
    assert not thread.running


def test_it_ends_though_leases_followed_each_other(thread: LoopThread) -> None:
    holder = Holder()
    loop = thread.lease(holder)
    running = thread._thread
    assert running is not None
    for _ in range(20):
        thread.give_back(holder)
        if thread.lease(holder) is not loop:  # it had ended in between, which it may
            break
    thread.give_back(holder)
    running.join(10)
    assert not running.is_alive()
    last = thread._thread
    if last is not None:
        last.join(10)
    assert not thread.running


def test_a_lease_that_is_given_back_wakes_nobody_where_a_timer_runs() -> None:
    thread = LoopThread(linger=3600)
    holder = Holder()
    thread.lease(holder)
    thread.give_back(holder)
    thread.lease(holder)
    thread.run(answer())
    timer = thread._closing
    assert timer is not None
    thread.give_back(holder)
    thread.lease(holder)
    thread.run(answer())
    assert thread._closing is timer
    thread.give_back(holder)
    thread.close()


def test_a_timer_that_finds_it_leased_leaves_it_to_who_is_last(thread: LoopThread) -> None:
    first, second = Holder(), Holder()
    thread.lease(first)
    thread.give_back(first)
    thread.lease(second)
    running = thread._thread
    assert running is not None

    async def until_the_timer_has_gone_off() -> None:
        while thread._closing is not None:
            await asyncio.sleep(0.001)

    thread.run(until_the_timer_has_gone_off())
    assert thread.running
    thread.give_back(second)
    running.join(10)
    assert not running.is_alive()
    assert not thread.running


def test_a_lease_in_time_keeps_it(thread: LoopThread) -> None:
    first, second = Holder(), Holder()
    loop = thread.lease(first)
    thread.give_back(first)
    assert thread.lease(second) is loop

    async def longer_than_it_lingers() -> None:
        await asyncio.wait_for(asyncio.shield(asyncio.get_running_loop().create_future()), 0.05)

    with pytest.raises(TimeoutError):
        thread.run(longer_than_it_lingers())
    assert thread.run(answer()) == 42
    assert thread.lease(second) is loop


def test_it_starts_anew_after_its_end(thread: LoopThread) -> None:
    holder = Holder()
    first = thread.lease(holder)
    thread.give_back(holder)
    thread.close()
    assert not thread.running
    assert first.is_closed()
    assert thread.lease(holder) is not first
    assert thread.run(answer()) == 42


def test_close_names_who_keeps_it(thread: LoopThread) -> None:
    thread.lease(Holder("TcpServer 127.0.0.1:1234"))
    with pytest.raises(WrongState, match=r"background loop is still used by TcpServer 127\.0\.0\.1:1234"):
        thread.close()
    assert thread.running


def test_it_is_a_daemon_so_that_a_forgotten_stop_ends_with_the_process() -> None:
    """Today's tools hang: a forgotten stop() that keeps the process alive."""
    code = """if True:
        from farend import Script, TcpServer
        import socket
        server = TcpServer(Script().expect("x")).start()
        client = socket.create_connection((server.host, server.port))
        print("done", flush=True)
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_calls_from_its_own_thread_are_refused(thread: LoopThread) -> None:
    thread.lease(Holder())

    async def call_myself() -> None:
        thread.run(answer())

    with pytest.raises(WrongState, match="a blocking call from farend's own loop would never return"):
        thread.run(call_myself())


def test_calls_without_a_lease_are_refused(thread: LoopThread) -> None:
    with pytest.raises(WrongState, match="farend's background loop is not running"):
        thread.run(answer())


def test_what_a_coroutine_raises_is_raised(thread: LoopThread) -> None:
    thread.lease(Holder())

    async def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        thread.run(fail())


def test_many_threads_lease_and_give_back(thread: LoopThread) -> None:
    answers = []

    def use() -> None:
        for _ in range(50):
            holder = Holder()
            thread.lease(holder)
            answers.append(thread.run(answer()))
            thread.give_back(holder)

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(20)
    assert answers == [42] * 200
    assert thread.holders == []


def test_tasks_that_are_left_are_ended(thread: LoopThread) -> None:
    """Leaks: no task is destroyed while it is pending."""
    holder = Holder()
    thread.lease(holder)
    ended = threading.Event()

    async def linger() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async def leave_one() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(linger())
        await asyncio.sleep(0)
        return task

    task = thread.run(leave_one())
    thread.give_back(holder)
    thread.close()
    assert ended.is_set()
    assert task.cancelled()


def test_a_cancelled_answer_cancels_the_coroutine(thread: LoopThread) -> None:
    loop = thread.lease(Holder())
    began, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    future = submit(wait(), loop)
    assert began.wait(10)
    assert future.cancel()
    assert cancelled.wait(10)


def test_an_answer_that_nobody_hears_any_more_is_handed_on(thread: LoopThread) -> None:
    """Item 5: a cancelled receive loses no message, not even where the caller is on another loop."""
    loop = thread.lease(Holder())
    unheard: list[Any] = []

    async def cancel_and_answer() -> str:
        future.cancel()
        return "message"

    started = threading.Event()
    loop.call_soon_threadsafe(started.wait, 10)
    future = submit(cancel_and_answer(), loop, unheard.append)
    started.set()
    thread.run(answer())
    assert future.cancelled()
    assert unheard == ["message"]


def test_block_raises_what_interrupts_it(thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 4: Ctrl-C in a blocking wait cancels what is waited for."""
    loop = thread.lease(Holder())
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    class Interrupted:
        def __init__(self, future: Any) -> None:
            self.future = future

        def exception(self) -> None:
            thread.run(answer())  # by now the coroutine waits
            raise KeyboardInterrupt

        def cancel(self) -> None:
            self.future.cancel()

    real = submit
    calls = iter([lambda *given: Interrupted(real(*given))])
    monkeypatch.setattr("farend.stage.loop_thread.submit", lambda *given: next(calls, real)(*given))
    with pytest.raises(KeyboardInterrupt):
        block(wait(), loop)
    assert cancelled.wait(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_a_loop_of_its_own() -> None:
    """Rule 2: nothing waits for ever, not even for a thread that a fork has left behind."""
    code = """if True:
        import os, socket, sys
        from farend import Script, TcpServer
        script = Script().expect("a").send("b")
        with TcpServer(script) as server, socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"a"), client.recv(1)
            child = os.fork()
            if child == 0:
                with TcpServer(script) as mine, socket.create_connection((mine.host, mine.port)) as dialled:
                    dialled.sendall(b"a")
                    os._exit(0 if dialled.recv(1) == b"b" else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_far_ends_give_their_lease_back() -> None:
    before = shared.holders
    with TcpServer(Script(), name="the one that is used"):
        assert "the one that is used" in " ".join(shared.holders)
    assert shared.holders == before
