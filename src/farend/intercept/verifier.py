"""Every interaction scripted, every required step used, every interaction asserted: who sees to it.

A `StrictVerifier` holds the sessions of its plugins, the timeline of what was done, and the errors that were
raised in the code under test, which may have swallowed them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from farend.core.findings import Place
from farend.errors import (
    Failure,
    UnassertedInteractionsError,
    UnmockedInteractionError,
    UnusedMocksError,
    VerificationError,
    WrongState,
)
from farend.intercept import lifetime
from farend.intercept.findings import Unasserted, Unmocked, Unused
from farend.intercept.misuse import block
from farend.intercept.sandbox import Sandbox
from farend.intercept.timeline import Timeline, assertion
from farend.stage.verdict import attach, pronounce, story

if TYPE_CHECKING:
    from farend.intercept.played import Played
    from farend.intercept.plugins import WebSocketPlugin
    from farend.intercept.session import Session


class StrictVerifier:
    """Holds the plugins of one test, and verifies what they saw.

    >>> import websockets.sync.client
    >>> from farend import StrictVerifier, SyncWebSocketPlugin
    >>> verifier = StrictVerifier()
    >>> mock = SyncWebSocketPlugin(verifier)
    >>> session = mock.new_session().expect("connect", returns=None)
    >>> session = session.expect("recv", returns="hello").expect("close", returns=None)
    >>> with verifier.sandbox(), websockets.sync.client.connect("ws://example.com/feed") as client:
    ...     client.recv()
    'hello'
    >>> mock.assert_connect(uri="ws://example.com/feed")
    >>> mock.assert_recv(message="hello")
    >>> mock.assert_close()
    >>> verifier.verify_all()
    """

    def __init__(self) -> None:
        self.plugins: list[WebSocketPlugin] = []
        self._claimable = False
        self._claimed = False
        self._begin()

    def _begin(self, open_blocks: int = 0) -> None:
        self.timeline = Timeline(open_blocks)
        self.sessions: list[Session] = []
        self.played: list[Played] = []
        self.dialled = 0
        self._errors: list[UnmockedInteractionError] = []
        self._told: set[int] = set()

    # -- during the test --------------------------------------------------------------------------

    @block
    def sandbox(self, *, allow: object = ()) -> Sandbox:
        """A block inside of which the client libraries are intercepted; also several, nested or not.

        `allow` are addresses that may be reached: a URI, a host, `host:port`, a matcher, or a list of these. Raises
        `WrongType` for anything else.
        """
        __tracebackhide__ = True
        return Sandbox(self, allow)

    @block
    @contextlib.contextmanager
    def in_any_order(self) -> Iterator[None]:
        """A block in which assertions may come in another order than the interactions did."""
        timeline = self.timeline
        timeline.relax()
        try:
            yield
        finally:
            timeline.relax(-1)

    def violated(self, finding: Unmocked) -> UnmockedInteractionError:
        """The exception for a call that was not scripted, to be raised; it is kept, in case it is swallowed."""
        error = UnmockedInteractionError(story([finding]), [finding])
        self._errors.append(error)
        return error

    def in_use(self) -> None:
        """A test has begun to use this: it belongs to that test from now on, where there is one."""
        if self._claimable and not self._claimed:
            self._claimed = any(claim(self) for claim in lifetime.claims)

    # -- afterwards -------------------------------------------------------------------------------

    def verify_all(self) -> None:
        """Raise what is left to tell, once everything is over and asserted.

        Raises `UnusedMocksError` for required steps that were not used, `UnassertedInteractionsError` for interactions
        that were not asserted, `VerificationError` where there are both, `UnmockedInteractionError` for a call that was
        not scripted and whose error the code under test has swallowed, and `Failure` where a `Script` was not played.
        """
        __tracebackhide__ = True
        if self.timeline.open:
            raise WrongState("verify_all() stands inside the block that intercepts: write it behind the block")
        failure = self.failure()
        if failure is not None:
            raise failure

    def failure(self, error: BaseException | None = None) -> Failure | None:
        """What to raise at the end of a test, which ended with `error`; None where there is nothing to tell.

        Where there is an error already, what the code under test has swallowed becomes a note of it.
        """
        for one in (*self.sessions, *self.played):
            one.release()
        swallowed = self._untold(error)
        played = [finding for one in self.played for finding in one.finish()]
        if error is not None:
            findings = [*(finding for one in swallowed for finding in one.findings), *played]
            if findings:
                attach(error, findings)
            return None
        if swallowed:
            first, *others = swallowed
            if others or played:
                attach(first, [*(finding for one in others for finding in one.findings), *played])
            return first
        unused = [finding for one in self.sessions if (finding := one.unused()) is not None]
        left = [assertion(entry) for entry in self.timeline.unasserted()]
        unasserted = [Unasserted(Place(), tuple(left))] if left else []
        findings = [*played, *unused, *unasserted]
        if not findings:
            return None
        kinds = {_ERRORS.get(type(finding), Failure) for finding in findings}
        kind = kinds.pop() if len(kinds) == 1 else VerificationError
        return kind(story(findings), findings)

    def left_block(self, error: BaseException | None) -> None:
        """A block was left, with `error` or without: raise what its code has swallowed."""
        __tracebackhide__ = True
        swallowed = self._untold(error)
        findings = [finding for one in self.played for finding in one.new_findings()]
        beside = [finding for one in swallowed[error is None :] for finding in one.findings]
        if error is None and swallowed:
            error, beside = swallowed[0], [*beside, *findings]
            if beside:
                attach(error, beside)
            raise error
        if error is not None and beside:
            attach(error, beside)
        pronounce(findings, error, lambda findings: Failure(story(findings), findings))

    def settle(self) -> None:
        """Consider all that happened so far as judged: what comes after the test's body is judged by itself."""
        self._forget(self.timeline.open)

    def reset(self) -> None:
        """Forget everything: the test is over."""
        self._forget()
        self._claimed = False

    def _forget(self, open_blocks: int = 0) -> None:
        for one in (*self.sessions, *self.played):
            one.release()
        for plugin in self.plugins:
            plugin.forget()
        self._begin(open_blocks)

    def _untold(self, error: BaseException | None) -> list[UnmockedInteractionError]:
        """The errors that the code under test was given, and that `error` is none of and does not come of."""
        shown = set(_causes(error))
        swallowed = [one for one in self._errors if id(one) not in self._told and id(one) not in shown]
        self._told |= {id(one) for one in self._errors}
        return swallowed


_ERRORS = {Unused: UnusedMocksError, Unasserted: UnassertedInteractionsError}


def _causes(error: BaseException | None) -> Iterator[int]:
    """The identities of an exception, of what it came of, and of those in it."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield id(one)
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
