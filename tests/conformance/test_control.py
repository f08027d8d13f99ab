"""STYLE 11: the test in control of a connection gets the same answers on every stage, blocking or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from farend import Failure, Script, lines, regex
from farend.core.events import How
from farend.core.findings import EndedEarly, Mismatch, TimedOut
from farend.errors import WrongState


@dataclass
class Case:
    """What the test does with the connection, against a near end that plays `near`.

    `found` is what is left to be told when the test is over.
    """

    do: Callable[[Any, Any], Awaitable[None]]
    near: Script
    script: Script | None = None
    found: list[str] = field(default_factory=list)
    on: set[str] = field(default_factory=lambda: {"sockets"})


def text(message: Any) -> str:
    return message.decode() if isinstance(message, bytes) else message


async def talk(peer: Any, stage: Any) -> None:
    assert text(await peer.expect("hello")) == "hello"
    await peer.send("there")
    assert text(await peer.expect(regex("k.*;"))) == "kenobi;"
    await peer.send("general")
    ended = await peer.closed()
    assert ended.how is (How.EOF if stage.stream else How.CLOSE)
    assert not peer.is_open
    assert [text(one) for one in peer.transcript.received] == ["hello", "kenobi;"]
    assert peer.transcript.sent == ["there", "general"]


async def receive(peer: Any, stage: Any) -> None:
    assert text(await peer.receive()) == "one"
    await peer.send("next")
    assert text(await peer.receive(within=3)) == "two"


async def receive_lines(peer: Any, stage: Any) -> None:
    assert await peer.receive(framing=lines()) == b"one"
    assert await peer.expect(json={"a": 1}) == b'{"a": 1}'
    assert await peer.receive(framing=lines()) == b"three"


async def drain(peer: Any, stage: Any) -> None:
    framing = lines() if stage.stream else None
    assert text(await peer.drain_until("stop", framing=framing)) == "stop"
    assert text(await peer.expect("after", framing=framing)) == "after"


async def drain_json(peer: Any, stage: Any) -> None:
    assert "c" in text(await peer.drain_until(json={"op": "c"}))


async def drain_regex(peer: Any, stage: Any) -> None:
    assert text(await peer.drain_until(regex("c[0-9]+;"), within=2)).endswith("c12;")


async def behind_a_script(peer: Any, stage: Any) -> None:
    assert text(await peer.expect("last")) == "last"
    assert [text(one) for one in peer.transcript.received] == ["first", "last"]


async def too_late(peer: Any, stage: Any) -> None:
    with pytest.raises(Failure) as failed:
        await peer.expect("never", within=0.02)
    assert [type(one) for one in failed.value.findings] == [TimedOut]
    assert peer.is_open
    await peer.send("still here")
    assert text(await peer.expect("good")) == "good"


async def mismatch(peer: Any, stage: Any) -> None:
    with pytest.raises(Failure) as failed:
        await peer.expect("general")
    assert [type(one) for one in failed.value.findings] == [Mismatch]
    assert not peer.is_open


async def close(peer: Any, stage: Any) -> None:
    await peer.expect("a")
    await peer.close()
    assert not peer.is_open
    with pytest.raises(WrongState, match="itself"):
        await peer.send("b")


async def close_and_hear_the_end(peer: Any, stage: Any) -> None:
    await peer.expect("a")
    await peer.close()
    assert (await peer.closed()).how is (How.EOF if stage.stream else How.CLOSE)


async def close_with_a_code(peer: Any, stage: Any) -> None:
    await peer.expect("a")
    await peer.close(4000, "enough")
    ended = await peer.closed()
    assert (ended.code, ended.reason) == (4000, "enough")


async def near_end_closes_with_a_code(peer: Any, stage: Any) -> None:
    ended = await peer.closed()
    assert (ended.how, ended.code, ended.reason) == (How.CLOSE, 4003, "ciao")


async def abort(peer: Any, stage: Any) -> None:
    if not stage.resets:
        pytest.skip("a Unix socket cannot be reset")
    await peer.expect("a")
    await peer.abort()
    assert not peer.is_open


async def near_end_left(peer: Any, stage: Any) -> None:
    await peer.expect("a")
    with pytest.raises(Failure) as failed:
        await peer.expect("b")
    assert [type(one) for one in failed.value.findings] == [EndedEarly]


async def unheard(peer: Any, stage: Any) -> None:
    await peer.expect("a")


async def half_closed(peer: Any, stage: Any) -> None:
    if stage.transport == "tls":
        pytest.skip("a client's close_notify is answered at once, so there is no half-open TLS")
    await peer.expect("ask")
    assert (await peer.closed()).how is How.EOF
    await peer.send("answer")
    await peer.close()


CASES = {
    "talk": Case(talk, Script().send("hello").expect("there").send("kenobi;").expect("general").close()),
    "receive": Case(receive, Script().send("one").expect("next").send("two")),
    "receive_lines": Case(
        receive_lines,
        Script(framing=lines()).send("one").send('{"a": 1}').send("three"),
        on={"sockets", "stream"},
    ),
    "drain": Case(drain, Script(framing=lines()).repeat(20, Script().send("tick")).send("stop").send("after")),
    "drain_json": Case(
        drain_json,
        Script(framing=lines()).send(json={"op": "a"}).send(json={"op": "b"}).send(json={"op": "c"}),
    ),
    "drain_regex": Case(drain_regex, Script().send("a;").send("b;").send("c12;")),
    "behind_a_script": Case(
        behind_a_script,
        Script().send("first").expect("welcome").send("last"),
        Script(open_ended=True).expect("first").send("welcome"),
    ),
    "too_late": Case(too_late, Script().expect("still here").send("good")),
    "mismatch": Case(mismatch, Script().send("admiral").expect_close()),
    "close": Case(close, Script().send("a").expect_close()),
    "close_and_hear_the_end": Case(close_and_hear_the_end, Script().send("a").expect_close().close()),
    "close_with_a_code": Case(
        close_with_a_code, Script().send("a").expect_close(4000, "enough"), on={"sockets", "messages"}
    ),
    "near_end_closes_with_a_code": Case(
        near_end_closes_with_a_code, Script().close(4003, "ciao"), on={"sockets", "messages"}
    ),
    "abort": Case(abort, Script().send("a").expect_close(reset=True)),
    "near_end_left": Case(near_end_left, Script().send("a").close()),
    "what_nobody_asked_for": Case(unheard, Script().send("a").send("b"), found=["Unexpected"]),
    "half_closed": Case(
        half_closed,
        Script().send("ask").close().expect("answer").expect_close(),
        on={"sockets", "stream"},
    ),
}


def test_the_test_is_in_control(case: Case, stage: Any) -> None:
    async def body() -> None:
        near = case.near if stage.stream else Script(case.near.steps)
        if stage.role == "server":
            far = stage.server(case.script)
            async with ending(stage, far, case.found), stage.judged(stage.client(near, far)):
                await case.do(await stage.connection(far), stage)
        else:
            async with stage.judged(stage.server(near)) as server:
                far = stage.client(case.script, server)
                async with ending(stage, far, case.found):
                    await case.do(await stage.connection(far), stage)

    stage.run(body())


class ending:  # noqa: N801 (used as a function)
    """Enter a far end; what is left to be told when it is left is `found`."""

    def __init__(self, stage: Any, far_end: Any, found: list[str]) -> None:
        self._stage, self._far_end, self._found = stage, far_end, found

    async def __aenter__(self) -> Any:
        self._context = self._stage.entered(self._far_end)
        return await self._context.__aenter__()

    async def __aexit__(self, *error: Any) -> bool | None:
        told: list[str] = []
        try:
            answer = await self._context.__aexit__(*error)
        except Failure as failure:
            if error[0] is not None:
                raise
            told = [type(finding).__name__ for finding in failure.findings]
            answer = None
        if error[0] is None:
            assert told == self._found
        return answer


@pytest.mark.on("sockets")
def test_a_script_grows_while_it_is_played(stage: Any) -> None:
    async def body() -> None:
        script = Script(open_ended=True).expect("one").send("1")
        near = Script().send("one").expect("1").expect("2").send("two").expect("3").send("three")
        async with stage.both(script, near) as (far, _):
            peer = await stage.connection(far)
            await stage.played(far)
            script.send("2").expect("two")
            await stage.played(far)
            script.send("3")
            assert text(await peer.expect("three")) == "three"
        assert [text(one) for one in peer.transcript.received] == ["one", "two", "three"]
        assert peer.transcript.sent == ["1", "2", "3"]

    stage.run(body())


@pytest.mark.on("sockets")
def test_what_came_early_waits_for_its_step(stage: Any) -> None:
    async def body() -> None:
        script = Script(open_ended=True)
        async with stage.both(script, Script().send("one;").send("two;").expect("3")) as (far, _):
            script.expect("one;")
            await stage.played(far)
            script.expect("two;").send("3")
            await stage.played(far)

    stage.run(body())


@pytest.mark.on("sockets")
def test_steps_left_are_told(stage: Any) -> None:
    """What is left unplayed fails by default (STYLE 7); the other side is stopped meanwhile."""

    async def body() -> None:
        script = Script().expect("a").send("b").expect("c").expect("d")
        near = Script().send("a").expect("b")
        found: list[str] = []
        server = stage.server(script if stage.role == "server" else near)
        async with stage.entered(server):
            client = stage.client(near if stage.role == "server" else script, server)
            async with stage.entered(client):
                far, other = (server, client) if stage.role == "server" else (client, server)
                await stage.played(other)
                await stage.stopped(far)
                found = [type(finding).__name__ for finding in far.findings]
                far._told.update(far.findings)  # looked at here, so that leaving does not raise them
        assert found == ["NotPlayed"]
        assert far.findings[0].place.number == 3

    stage.run(body())
