"""Far ends that were started by hand, and that nobody may close: who is told of each, to look after it.

A test runner's plugin puts a function here that asks, when the test is over, whether it was closed. Nothing is
imported for it: a suite that starts none must not pay for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

watchers: list[Callable[[Any], object]] = []
"""Each is given a far end when that is started."""
