"""Who comes to a server: in which order outcomes are given out, and to whom."""

from __future__ import annotations

from farend.core.outcomes import Played, Refused
from farend.core.plan import Plan
from farend.core.routes import Routes, TurnedAway
from farend.core.script import Script
from farend.core.steps import forever
from farend.stage.attempts import Attempts

S = Script().expect("hello")


def test_who_knocks_is_refused_or_comes_next() -> None:
    attempts, routes = Attempts(), Routes(Plan().refuse(2).play(S).refuse().play(S))
    assert attempts.knock(routes, 1.0)
    assert attempts.knock(routes, 2.0)
    assert not attempts.knock(routes, 3.0)
    assert attempts.knock(routes, 4.0)  # before the one in front of it has come
    attempt, outcome = attempts.enter(routes, 5.0)
    assert (attempt.number, attempt.attempted, outcome) == (3, 3.0, Played(S))
    assert [(one.attempted, one.ended) for one in attempts.journal] == [(1.0, 1.0), (2.0, 2.0), (3.0, None), (4.0, 4.0)]


def test_who_has_not_knocked_is_met_when_he_comes() -> None:
    attempts, routes = Attempts(), Routes(Plan().refuse().play(S))
    assert attempts.enter(routes, 1.0).outcome == Refused()
    assert attempts.enter(routes, 2.0).outcome == Played(S)
    turned_away = attempts.enter(routes, 3.0)
    assert isinstance(turned_away.outcome, TurnedAway)
    assert "it is for 2 attempts" in turned_away.outcome.why
    assert turned_away.attempt.planned is None


def test_nobody_has_to_knock_where_nobody_is_refused() -> None:
    attempts = Attempts()
    for routes in (Routes(S), Routes(Plan().play(S)), Routes({"/": Plan().play(S)}), Routes(None)):
        assert not attempts.knock(routes, 1.0)
    assert len(attempts.journal) == 0
    assert attempts.enter(Routes(S), 1.0).outcome is None
    assert attempts.enter(Routes({"/": Plan().play(S)}), 1.0).outcome is None
    assert attempts.journal.outcomes == ["waiting", "waiting"]


def test_what_goes_on_for_ever_refuses_for_ever() -> None:
    attempts, routes = Attempts(), Routes(Plan().play(S).refuse(forever))
    attempts.enter(routes, 1.0)
    assert all(attempts.knock(routes, 2.0) for _ in range(100))
    assert routes.refuses
