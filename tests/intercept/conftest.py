"""What the tests of this room share: verifiers by hand, and the proof that nothing of ours is left anywhere."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import websocket
import websockets.asyncio.client
import websockets.sync.client

from farend import AsyncWebSocketPlugin, StrictVerifier, SyncWebSocketPlugin
from farend.intercept import routes
from farend.intercept import sandbox as sandboxes
from farend.intercept.environment import past_the_proxy
from farend.stage import patches, tls
from farend.stage.loop_thread import shared

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if uvloop is None:
        return {"asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def seams() -> dict[str, Any]:
    """Every attribute that reroute may patch, as it is: what a class inherits is not in it."""
    import _socket
    from asyncio import base_events, proactor_events

    owners: list[Any] = [
        _socket,
        socket,
        socket.socket,
        ssl.SSLContext,
        base_events.BaseEventLoop,
        proactor_events.BaseProactorEventLoop,
    ]
    if uvloop is not None:
        owners.append(uvloop.Loop)
    names = ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "connect", "connect_ex", "sock_connect"]
    names += ["create_connection", "_wrap_socket", "_wrap_bio"]
    return {f"{owner}.{name}": vars(owner).get(name) for owner in owners for name in names}


ORIGINAL = seams()


def is_untouched() -> bool:
    """Whether every attribute holds its original object, and nothing is remembered."""
    now = seams()
    return (
        all(now[name] is ORIGINAL[name] for name in ORIGINAL)
        and patches._places == {}
        and routes.active.blocks == ()
        and not tls.assumed
        and past_the_proxy._held == []
    )


@pytest.fixture
def untouched() -> Callable[[], bool]:
    return is_untouched


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before, leases = dict(os.environ), set(shared.holders)
    yield
    assert is_untouched()
    assert {**os.environ, "PYTEST_CURRENT_TEST": ""} == {**before, "PYTEST_CURRENT_TEST": ""}
    assert set(shared.holders) <= leases


class Hand:
    """A verifier by hand, with the mocks of both libraries."""

    def __init__(self):
        self.verifier = StrictVerifier()
        self.sync = SyncWebSocketPlugin(self.verifier, name="sync")
        self.asynchronous = AsyncWebSocketPlugin(self.verifier, name="asynchronous")
        self.sandbox = self.verifier.sandbox

    def script(self, mock, *steps):
        """A session of a connection and the steps: ">" is a send, "<message" a recv, "x" a close."""
        session = mock.new_session().expect("connect", returns=None)
        for step in steps:
            if isinstance(step, bytes) or step[0] == "<":
                session.expect("recv", returns=step if isinstance(step, bytes) else step[1:])
            else:
                session.expect({">": "send", "x": "close"}[step], returns=None)
        return session

    def findings(self):
        failure = self.verifier.failure()
        return [] if failure is None else list(failure.findings)


@pytest.fixture
def hand():
    hand = Hand()
    yield hand
    hand.verifier.reset()


def attributes():
    """Everything that a sandbox may replace, as it is now."""
    owners = {websockets.asyncio.client.connect, websockets.sync.client, websocket, websocket.WebSocket}
    owners |= {websocket.WebSocketApp, getattr(websockets.sync.client, "reconnect", websockets.sync.client)}
    now = {(owner, name): value for owner in owners for name, value in vars(owner).items()}
    return now | {(owner, "code"): owner.connect.__code__ for owner in (websockets.sync.client,)}


MOCKED = attributes()


@pytest.fixture(scope="session")
def patched():
    """A function that gives the names of what is not the original object."""

    def patched():
        now = attributes()
        return {
            name
            for owner, name in now.keys() | MOCKED.keys()
            if now.get((owner, name)) is not MOCKED.get((owner, name)) and name != "__warningregistry__"
        }

    return patched


@pytest.fixture(autouse=True)
def _no_mock_is_left(patched):
    yield
    assert not sandboxes._active
    assert not patched()
