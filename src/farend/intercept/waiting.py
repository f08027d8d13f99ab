"""How a blocking client waits for a message that is not there yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from farend.intercept.line import WAIT, Line


def heard_later(line: Line, timeout: float | None, given_up: Callable[[], bool]) -> Any:
    """The next message, once there is one; `WAIT` where `timeout` seconds have passed, or the near end has left.

    Where no other thread is there that could go on, and no time brings anything, nothing will ever come: that is told
    at once. Raises what the session makes of a near end that listens for longer than the deadline.
    """
    __tracebackhide__ = True
    begun = time.monotonic()
    patience = line.patience
    changed = threading.Event()
    unwatch = line.watch(changed.set)
    try:
        while True:
            changed.clear()
            with line.lock:
                message = line.hear()
            if message is not WAIT or given_up():
                return message
            now = time.monotonic()
            if timeout is not None and now >= begun + timeout:
                return WAIT
            if timeout is None and line.due is None and threading.active_count() == 1:
                raise line.overdue("recv()", 0)
            if patience is not None and now >= begun + patience:
                raise line.overdue("recv()", patience)
            limits = [begun + one for one in (timeout, patience) if one is not None]
            limits += [line.due] if line.due is not None else []
            changed.wait(max(min(limits) - now, 0) if limits else None)
    finally:
        unwatch()
