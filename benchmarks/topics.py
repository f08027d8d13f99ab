"""All that is measured, in the order in which it is told."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import (
    faults,
    in_process,
    lifecycle,
    memory,
    mocks,
    pingpong,
    recording,
    rerouted,
    startup,
    virtual_time,
    whole_tests,
)
from benchmarks.harness import Contender, Group


@dataclass(frozen=True)
class Topic:
    """Some groups, and what a reader should know of them."""

    title: str
    groups: list[Group]
    about: str


TOPICS = [
    Topic("Life-cycle", lifecycle.GROUPS, lifecycle.__doc__ or ""),
    Topic("Whole tests", whole_tests.GROUPS, whole_tests.__doc__ or ""),
    Topic("Ping-pong", pingpong.GROUPS, pingpong.__doc__ or ""),
    Topic("Rerouted", rerouted.GROUPS, rerouted.__doc__ or ""),
    Topic("Mocks", mocks.GROUPS, mocks.__doc__ or ""),
    Topic("Servers in process", in_process.GROUPS, in_process.__doc__ or ""),
    Topic("Virtual time", virtual_time.GROUPS, virtual_time.__doc__ or ""),
    Topic("Recording", recording.GROUPS, recording.__doc__ or ""),
    Topic("Faults", faults.GROUPS, faults.__doc__ or ""),
    Topic("Memory", memory.GROUPS, memory.__doc__ or ""),
    Topic("Start-up", startup.GROUPS, startup.__doc__ or ""),
]


def contender(group: str, name: str) -> Contender:
    """The contender of that name in the group of that title."""
    [found] = [
        one
        for topic in TOPICS
        for candidate in topic.groups
        for one in candidate.contenders
        if (candidate.title, one.name) == (group, name)
    ]
    return found
