from __future__ import annotations

from typing import Any

import pytest

from farend.core.messages import Handshake
from farend.core.outcomes import Played, Refused, Rejected
from farend.core.plan import Plan
from farend.core.routes import Missing, Routes, TurnedAway
from farend.core.script import Script
from farend.core.steps import forever
from farend.errors import InvalidArguments, PlanError, WrongType

A, B, EMPTY = Script(name="a").expect("a"), Script(name="b").expect("b"), Script()


def turned_away(routes: Routes, path: str | None = None) -> TurnedAway:
    answer = routes.next_script(Handshake(path) if path else None)
    assert isinstance(answer, TurnedAway)
    return answer


def test_one_script_is_played_on_every_connection() -> None:
    routes = Routes(A)
    assert [routes.next_script(None) for _ in range(3)] == [A, A, A]
    assert list(routes.unmet()) == []
    assert list(routes.scripts()) == [A]


def test_a_list_is_played_in_turn_and_one_more_is_turned_away() -> None:
    routes = Routes([A, B])
    assert routes.next_script(None) is A
    assert list(routes.unmet()) == [(None, B)]
    assert routes.next_script(None) is B
    assert turned_away(routes) == (
        "A connection came that the test does not provide for: there are scripts for 2 connections.",
        503,
    )
    assert list(routes.unmet()) == []


def test_each_path_has_its_own() -> None:
    routes = Routes({"/a": A, "/b": [B, EMPTY]})
    assert routes.next_script(Handshake("/b?x=1")) is B
    assert list(routes.unmet()) == [("/a", A)]
    assert list(routes.scripts()) == [A, B, EMPTY]
    assert turned_away(routes, "/c").status == 404
    assert "there is /a, /b" in turned_away(routes, "/c").why


def test_without_a_script_each_connection_has_an_open_ended_one_of_its_own() -> None:
    routes = Routes(None)
    first, second = routes.next_script(None), routes.next_script(None)
    assert isinstance(first, Script)
    assert first.open_ended
    assert first is not second
    assert list(routes.scripts()) == list(routes.unmet()) == []


def test_one_connection_too_many_is_counted_in_words() -> None:
    routes = Routes([A])
    routes.next_script(None)
    assert "there is a script for 1 connection." in turned_away(routes).why


@pytest.mark.parametrize(
    ("scripts", "error", "text"),
    [
        ({}, InvalidArguments, "empty mapping"),
        ({1: A}, WrongType, "has 1 for a path; write '/feed'"),
        ({"feed": A}, InvalidArguments, "write '/feed'"),
        ({"ftp://a/b": A}, InvalidArguments, "'ftp://a/b' is no address of a WebSocket: write 'ws://chat.example'"),
        ({"ws://": A}, InvalidArguments, "is no address"),
        ({"ws://a/?b=1": A}, InvalidArguments, "is no address"),
        (Plan(), PlanError, "an empty plan"),
        ({"/a": Plan()}, PlanError, "an empty plan"),
        ([Plan().play(A)], WrongType, "a plan stands alone, or for a path"),
        ({"/a": "hello"}, WrongType, "takes a Script"),
        ("hello", WrongType, "takes a Script"),
        (5, WrongType, "takes a Script"),
        ([A, "hello"], WrongType, "has 'hello' in it; is a Script meant"),
    ],
)
def test_what_is_no_script_is_told_at_the_line_that_gives_it(scripts: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        Routes(scripts)
    frames = [entry for entry in caught.traceback if not entry.ishidden(caught)]
    assert frames[-1].path.name == "test_routes.py"


def test_how_many_scripts_of_a_list_were_met() -> None:
    routes = Routes({"/a": [A, EMPTY, B]})
    routes.next_script(Handshake("/a"))
    assert routes.met("/a") == (1, 3)
    assert routes.number("/a", B, 1) == 3


def shaken(host: str, path: str = "/") -> Handshake:
    return Handshake(path, [("Host", host)])


def test_addresses_have_their_own_scripts_and_the_more_exact_goes_first() -> None:
    c, d = Script().expect("c"), Script().expect("d")
    routes = Routes(
        {"ws://chat.example": A, "wss://chat.example:443/feed": B, "/feed": c, "http://Other.example:8080/": d}
    )
    assert routes.next_script(shaken("chat.example", "/x")) is A
    assert routes.next_script(shaken("CHAT.example:443", "/feed?a=1")) is B
    assert routes.next_script(shaken("else.example", "/feed")) is c
    assert routes.next_script(shaken("other.example:8080", "/feed")) is d
    assert "there is chat.example, chat.example/feed, /feed, other.example:8080" in turned_away(routes, "/x").why


def test_a_plan_is_met_step_by_step() -> None:
    routes = Routes(Plan().refuse(2).play(A).reject(503, times=forever))
    assert routes.planned
    assert routes.decides_at_the_door
    assert routes.refuses
    assert not routes.empty
    assert [missing.planned for missing in routes.missing()] == [3]
    met = [routes.next_at_the_door() for _ in range(3)]
    assert met == [Refused(), Refused(), Played(A)]
    assert not routes.refuses
    assert routes.missing() == []
    assert [routes.next_at_the_door() for _ in range(50)] == [Rejected(503)] * 50
    assert list(routes.scripts()) == [A]
    assert routes.tls_faults == set()


def test_an_attempt_too_many_is_turned_away() -> None:
    routes = Routes(Plan().play(A))
    routes.next_at_the_door()
    answer = routes.next_at_the_door()
    assert isinstance(answer, TurnedAway)
    assert answer.why.startswith("An attempt to connect came that the plan does not provide for: it is for 1 attempt.")


def test_plans_and_scripts_stand_side_by_side_by_path() -> None:
    routes = Routes({"/a": Plan().reject(503, times=2).play(A), "/b": [B]})
    assert not routes.decides_at_the_door
    assert not routes.refuses
    assert not routes.refuses_all
    assert routes.next_outcome(Handshake("/a")) == Rejected(503)
    assert routes.next_outcome(Handshake("/b")) == Played(B)
    assert isinstance(routes.next_outcome(Handshake("/c")), TurnedAway)
    assert routes.missing() == [Missing("/a", Rejected(503), 1, 3)]
    assert routes.unmet() == []
    assert routes.met("/a") == (1, 1)


def test_only_what_refuses_everybody_from_now_on_refuses_all() -> None:
    assert Routes(Plan().refuse(forever)).refuses_all
    assert not Routes(Plan().refuse(5)).refuses_all
    later = Routes(Plan().play(A).refuse(forever))
    assert not later.refuses_all
    later.next_at_the_door()
    assert later.refuses_all
    over = Routes(Plan().play(A))
    over.next_at_the_door()
    assert not over.refuses_all
    assert not Routes(A).refuses_all
