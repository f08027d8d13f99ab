"""What can go wrong, by its name: each class is one kind of finding, and has its facts as attributes.

    import pytest
    from farend import Failure
    from farend.findings import Mismatch

    with pytest.raises(Failure) as caught:
        ...
    [finding] = caught.value.findings
    assert isinstance(finding, Mismatch)
    assert finding.got == "admiral"

A far end's `findings`, and those of a `Failure`, are in order: the first cause comes first.
"""

from __future__ import annotations

from farend.core.findings import (
    AttemptsMissing,
    Candidate,
    EndedEarly,
    Finding,
    FunctionFailed,
    HandshakeMismatch,
    InternalError,
    Lingered,
    LoopBlocked,
    LoopEnded,
    Mismatch,
    NobodyConnected,
    NotConnected,
    NotPlayed,
    NotReading,
    Place,
    ProtocolViolation,
    SaidEarly,
    TimedOut,
    TooLarge,
    Unexpected,
    UnexpectedConnection,
    WentOn,
    WrongEnd,
)
from farend.core.reactions import ClauseBroken
from farend.dialects.expectations import Unfulfilled
from farend.dialects.replay import Drifted
from farend.intercept.findings import Unasserted, Unmocked, Unused, WrongAssertion

__all__ = [
    "AttemptsMissing",
    "Candidate",
    "ClauseBroken",
    "Drifted",
    "EndedEarly",
    "Finding",
    "FunctionFailed",
    "HandshakeMismatch",
    "InternalError",
    "Lingered",
    "LoopBlocked",
    "LoopEnded",
    "Mismatch",
    "NobodyConnected",
    "NotConnected",
    "NotPlayed",
    "NotReading",
    "Place",
    "ProtocolViolation",
    "SaidEarly",
    "TimedOut",
    "TooLarge",
    "Unasserted",
    "Unexpected",
    "UnexpectedConnection",
    "Unfulfilled",
    "Unmocked",
    "Unused",
    "WentOn",
    "WrongAssertion",
    "WrongEnd",
]
