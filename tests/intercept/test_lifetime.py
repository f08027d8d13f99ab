"""Whose the mocks are."""

from __future__ import annotations

from farend.intercept import lifetime
from farend.intercept.verifier import StrictVerifier


def test_a_verifier_by_hand_is_nobodys(monkeypatch):
    asked = []
    monkeypatch.setattr(lifetime, "claims", [lambda verifier: asked.append(verifier) or True])
    StrictVerifier().in_use()
    assert asked == []


def test_the_first_that_claims_it_has_it_until_the_test_is_over(monkeypatch):
    asked = []
    monkeypatch.setattr(
        lifetime, "claims", [lambda verifier: bool(asked.append("a")), lambda verifier: not asked.append("b")]
    )
    verifier = StrictVerifier()
    verifier._claimable = True
    verifier.in_use()
    verifier.in_use()
    assert asked == ["a", "b"]
    verifier.reset()
    verifier.in_use()
    assert asked == ["a", "b"] * 2
