"""Hooks that are there for one test.

pytest tells each plugin of all others, and a plugin that comes later also of those that were there before it. So it
remembers every object that was ever registered with it, and all that this holds: a far end with its transcripts,
the tasks that had served it. What is for one test is registered with pluggy alone, and is forgotten with the test.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pluggy
import pytest


def register(plugins: pytest.PytestPluginManager, hooks: object) -> Callable[[], object]:
    """Have the methods of `hooks` called as hooks, until what this returns is called."""
    pluggy.PluginManager.register(plugins, hooks)
    return functools.partial(plugins.unregister, hooks)
