"""Where each outcome can be had, how it prints, and how many messages a script can have."""

from __future__ import annotations

import pytest

from farend.core.commands import Abort, Close, Drop, Stall
from farend.core.faults import Duplicate, SlowReader
from farend.core.outcomes import BadTls, Ending, Grounds, LetDown, Outcome, Played, Refused, Rejected, WrongAccept
from farend.core.script import Script
from farend.core.steps import forever

TCP, WEBSOCKET = Grounds(stream=True), Grounds(stream=False)
BY_PATH = WEBSOCKET._replace(by_path=True)
UNIX = TCP._replace(unix=True)
S = Script().expect("a").send("b")


@pytest.mark.parametrize(
    ("outcome", "grounds", "problem"),
    [
        (Refused(), TCP, None),
        (Refused(), WEBSOCKET, None),
        (Refused(), UNIX, "there is no port on a Unix socket: a server on TCP"),
        (Refused(), BY_PATH, "when a path is known, the connection is refused already"),
        (Rejected(503), WEBSOCKET, None),
        (Rejected(503), BY_PATH, None),
        (Rejected(503), TCP, "a WebSocketServer can do that"),
        (LetDown(Stall()), TCP, None),
        (LetDown(Stall()), UNIX, None),
        (LetDown(Stall(), "request"), TCP, "a WebSocketServer can do that"),
        (LetDown(Stall()), BY_PATH, "after='request' can be had by path"),
        (LetDown(Stall(), "request"), BY_PATH, None),
        (WrongAccept(), TCP, "a WebSocketServer can do that"),
        (WrongAccept(), BY_PATH, None),
        (BadTls("cut"), TCP, "a server with tls=True can do that"),
        (BadTls("cut"), TCP._replace(tls="throw-away"), None),
        (BadTls("cut"), TCP._replace(tls="own"), None),
        (BadTls("untrusted"), TCP._replace(tls="own"), None),
        (BadTls("expired"), TCP._replace(tls="own"), "a server with tls=True can do that, and this one 'untrusted'"),
        (BadTls("cut"), BY_PATH._replace(tls="throw-away"), "give the server this plan for all paths"),
        (Played(S), TCP, None),
        (Played(S, None, 1.0), TCP, "a WebSocketServer can do that"),
        (Played(S, None, 1.0), BY_PATH, None),
        (Played(S, faults=(SlowReader(to="near"),)), TCP, "a proxy for TCP and a proxy for WebSockets can"),
        (Played(faults=(SlowReader(to="near"),)), TCP._replace(proxy=True), None),
        (Played(faults=(SlowReader(to="near"),)), WEBSOCKET._replace(proxy=True), None),
        (Played(faults=(Duplicate(every=1),)), TCP._replace(proxy=True), "a proxy for WebSockets can"),
        (Played(S, Ending(Abort(), 1)), TCP, None),
        (Played(S, Ending(Close(), 1)), TCP, None),
        (Played(S, Ending(Close(1012), 1)), TCP, "a byte stream has no close codes: a WebSocketServer has"),
        (Played(S, Ending(Close(1012), 1)), WEBSOCKET, None),
    ],
)
def test_where_each_can_be_had(outcome: Outcome, grounds: Grounds, problem: str | None) -> None:
    told = outcome.problem(grounds)
    assert told is None if problem is None else problem in str(told)


@pytest.mark.parametrize(
    ("outcome", "title", "told"),
    [
        (Refused(), "refuse", "refused"),
        (Rejected(429), "reject 429", "rejected 429"),
        (LetDown(Stall()), "stall", "stalled"),
        (LetDown(Abort(), "request"), "reset after the request", "reset"),
        (LetDown(Drop(), "handshake"), "drop after the handshake", "dropped"),
        (WrongAccept(), "wrong accept", "wrong accept"),
        (BadTls("wrong name"), "tls wrong name", "tls wrong name"),
        (Played(), "play by hand", "played"),
        (Played(S), "play (2 steps)", "played"),
        (Played(S, Ending(Stall())), "play (2 steps), then_stall at its end", "stalled"),
        (
            Played(S, Ending(Abort(), 1, "far end")),
            "play (2 steps), then_abort after 1 message of the far end's",
            "aborted",
        ),
    ],
)
def test_what_plans_and_journals_call_it(outcome: Outcome, title: str, told: str) -> None:
    assert (outcome.title, outcome.told) == (title, told)


@pytest.mark.parametrize(
    ("script", "either", "far", "near"),
    [
        (S, 2, 1, 1),
        (Script().reply(str.upper), forever, forever, 0),
        (Script().repeat(3, S), 6, 3, 3),
        (Script().repeat(forever, S), forever, forever, forever),
        (Script().repeat(forever, Script().expect("a")), forever, 0, forever),
        (Script().optional(S).expect_close(), 2, 1, 1),
        (Script().any_order(S, Script().expect("c")).pause(1).close(), 3, 1, 2),
    ],
)
def test_how_many_messages_a_script_can_have_at_the_most(
    script: Script, either: float, far: float, near: float
) -> None:
    for by, most in (("either", either), ("far end", far), ("near end", near)):
        for count in (1, 2, 3, 7):
            surplus = Ending(Abort(), count, by).surplus(script)  # type: ignore[arg-type]
            assert surplus == (most if most < count else None)


def test_a_script_that_may_go_on_has_as_many_as_it_likes() -> None:
    assert Ending(Abort(), 9).surplus(Script(open_ended=True)) is None
    assert Ending(Abort()).surplus(Script()) is None
