"""How long the mocks of `farend.async_websocket_mock` and its like live: who ends them, and asks what is left.

A test runner's plugin puts a function here that takes them in for the time of a test. Nothing is imported
for it: a suite that uses no mocks must not pay for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

claims: list[Callable[[Any], bool]] = []
"""Each is given a verifier at its first use, and says whether it verifies and resets it when the test is over."""
