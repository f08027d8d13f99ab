"""STYLE 11: several connections at once, in turn, by path, one too many: alike on every server."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from farend import Failure, Script
from farend.core.findings import Finding

pytestmark = pytest.mark.on("servers")


def kinds(findings: tuple[Finding, ...]) -> list[str]:
    return [type(finding).__name__ for finding in findings]


def told(far: Any) -> list[list[str]]:
    """What was received on each connection."""
    return [
        [one.decode() if isinstance(one, bytes) else str(one) for one in transcript.received]
        for transcript in far.transcripts
    ]


def test_two_at_once_with_different_progress(stage: Any) -> None:
    async def body() -> None:
        script = Script().expect("a").send("A").expect("b").send("B")
        async with stage.judged(stage.server(script)) as far:
            hand = {"open_ended": True}
            one, two = Script(**hand), Script(**hand)
            async with stage.judged(stage.client(one, far)) as first:
                one.send("a").expect("A")
                await stage.played(first)
                async with stage.judged(stage.client(two, far)) as second:
                    two.send("a").expect("A").send("b").expect("B")
                    await stage.played(second)
                    assert [peer.transcript.sent for peer in far.connections] == [["A"], ["A", "B"]]
                    one.send("b").expect("B")
                    await stage.played(first)
        assert told(far) == [["a", "b"], ["a", "b"]]

    stage.run(body())


def test_one_goes_wrong_and_the_other_goes_on(stage: Any) -> None:
    async def body() -> None:
        far = stage.server(Script().expect("a").send("A").expect("b").send("B"))
        with contextlib.suppress(Failure):
            async with stage.entered(far):
                good = Script(open_ended=True)
                async with stage.judged(stage.client(good, far)) as first:
                    good.send("a").expect("A")
                    await stage.played(first)
                    wrong = Script().send("x").expect_close(None if stage.stream else 1008)
                    async with stage.judged(stage.client(wrong, far)) as second:
                        await stage.played(second)
                    good.send("b").expect("B")
                    await stage.played(first)
        assert kinds(far.findings) == ["Mismatch"]
        assert far.findings[0].place.connection == 2
        assert told(far) == [["a", "b"], ["x"]]

    stage.run(body())


def test_a_list_of_scripts_in_turn(stage: Any) -> None:
    async def body() -> None:
        scripts = [Script().expect("a").send("A"), Script().send("B").expect("b"), Script().close()]
        async with stage.judged(stage.server(scripts)) as far:
            for script in scripts:
                async with stage.judged(stage.client(script.mirrored(), far)):
                    pass
        assert told(far) == [["a"], ["b"], []]

    stage.run(body())


def test_who_does_not_come_is_not_missed_by_who_stops_at_once(stage: Any) -> None:
    async def body() -> None:
        far = stage.server([Script().expect("a"), Script().expect("b")])
        async with stage.entered(far):
            async with stage.judged(stage.client(Script().send("a"), far)):
                pass
            await stage.stopped(far, wait=False)
        assert kinds(far.findings) == []

    stage.run(body())


def test_a_connection_too_many(stage: Any) -> None:
    async def body() -> None:
        far = stage.server([Script().expect("a").send("A")])
        with pytest.raises(Failure) as failed:
            async with stage.entered(far):
                async with stage.judged(stage.client(Script().send("a").expect("A"), far)):
                    pass
                with contextlib.suppress(Failure):
                    async with stage.entered(stage.client(Script().expect("A"), far)):
                        pass
        assert kinds(failed.value.findings) == ["UnexpectedConnection"]

    stage.run(body())


@pytest.mark.on("messages")
def test_routes_by_path(stage: Any) -> None:
    async def body() -> None:
        scripts = {"/feed": Script().send("tick"), "/chat": [Script().expect("a"), Script().expect("b")]}
        async with stage.judged(stage.server(scripts)) as far:
            for path, near in [("/chat", "a"), ("/feed?depth=5", ""), ("/chat", "b"), ("/feed", "")]:
                script = Script().send(near) if near else Script().expect("tick")
                async with stage.judged(stage.client(script, far, path=path)):
                    pass
        assert told(far) == [["a"], [], ["b"], []]
        assert [peer.handshake.target for peer in far.connections] == ["/chat", "/feed?depth=5", "/chat", "/feed"]

    stage.run(body())


@pytest.mark.on("messages")
def test_a_path_that_is_not_served(stage: Any) -> None:
    async def body() -> None:
        far = stage.server({"/feed": Script().send("tick")})
        with pytest.raises(Failure) as failed:
            async with stage.entered(far):
                async with stage.judged(stage.client(Script().expect("tick"), far, path="/feed")):
                    pass
                with pytest.raises(Failure, match="404"):
                    async with stage.entered(stage.client(Script().expect("tick"), far, path="/other")):
                        pass
        assert kinds(failed.value.findings) == ["UnexpectedConnection"]

    stage.run(body())


def test_broadcast(stage: Any) -> None:
    async def body() -> None:
        async with stage.judged(stage.server()) as far:
            scripts = [Script(open_ended=True) for _ in range(3)]
            peers: list[Any] = []
            near_ends = [stage.client(script, far) for script in scripts]
            async with contextlib.AsyncExitStack() as stack:
                for near_end in near_ends:
                    await stack.enter_async_context(stage.judged(near_end))
                    peers.append(await stage.connection(far))
                assert far.broadcast("news") == 3
                for near_end, script in zip(near_ends, scripts, strict=True):
                    script.expect("news")
                    await stage.played(near_end)
            if not stage.stream:  # a stream may still be open in one direction
                for peer in peers:
                    await peer.closed()
                assert far.broadcast("later") == 0
        assert [transcript.sent for transcript in far.transcripts] == [["news"]] * 3

    stage.run(body())


def test_fifty_at_once(stage: Any) -> None:
    async def body() -> None:
        script = Script().expect("a").send("A").expect("b")
        async with stage.judged(stage.server(script)) as far, contextlib.AsyncExitStack() as stack:
            for _ in range(50):
                near_end = stage.client(script.mirrored(), far)
                await stack.enter_async_context(stage.judged(near_end))
        assert told(far) == [["a", "b"]] * 50

    stage.run(body())
