"""The mocks of the test that runs: `farend.async_websocket_mock`, `farend.sync_websocket_mock`, `with farend:`.

There is one verifier for them in the process. Under pytest it belongs to the test that first uses it, and is
verified and emptied when that is over; elsewhere `verify_mocks()` does that.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from typing import Final

from farend.intercept.misuse import block
from farend.intercept.plugins import AsyncWebSocketPlugin, SyncWebSocketPlugin
from farend.intercept.sandbox import Sandbox, rooms
from farend.intercept.verifier import StrictVerifier

verifier: Final = StrictVerifier()
verifier._claimable = True

async_websocket_mock: Final = AsyncWebSocketPlugin(verifier, name="farend.async_websocket_mock")
"""The mock of the `websockets` library, for the test that runs; see `AsyncWebSocketPlugin`."""
sync_websocket_mock: Final = SyncWebSocketPlugin(verifier, name="farend.sync_websocket_mock")
"""The mock of websocket-client, for the test that runs; see `SyncWebSocketPlugin`."""


@block
def sandbox(*, allow: object = ()) -> Sandbox:
    """A block that intercepts the client libraries, as `with farend:` does; `allow` lets addresses through.

    See `StrictVerifier.sandbox`.
    """
    __tracebackhide__ = True
    return verifier.sandbox(allow=allow)


@block
def in_any_order() -> contextlib.AbstractContextManager[None]:
    """A block in which assertions may come in another order than the interactions did."""
    return verifier.in_any_order()


def verify_mocks() -> None:
    """Verify the mocks, and forget them: what the pytest plugin does at the end of each test that used them.

    Call it at the end of a test in any other runner, such as `self.addCleanup(farend.verify_mocks)`. What it raises
    is told at `StrictVerifier.verify_all`.
    """
    __tracebackhide__ = True
    try:
        verifier.verify_all()
    finally:
        if not verifier.timeline.open:
            verifier.reset()


rooms()  # who asks for a mock needs its library: it is not the first block's time that goes for it


@atexit.register
def _tell_what_was_never_verified() -> None:
    failure = verifier.failure()
    if failure is not None:
        sys.stderr.write(f"farend: the mocks were never verified (call farend.verify_mocks()).\n{failure}\n")
