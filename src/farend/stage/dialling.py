"""Dialling past what is rerouted: who stands in front of a real server means that server, and not itself."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

past_reroutes: Final[ContextVar[bool]] = ContextVar("farend_past_reroutes", default=False)
"""Whether what is resolved, dialled and trusted in this context is as if nothing were rerouted."""
