"""How something of farend's looks at one test between a phase of it and the report of that.

pytest remembers each plugin that was ever registered, to the end of the session, with all that it holds. So there is
one hook, registered when the first test needs it, and whoever looks is kept with the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from farend.stage.raising import raise_in

Look = Callable[[pytest.CallInfo[None]], object]
_LOOKS: Final = pytest.StashKey[list[Look]]()
_NAME: Final = "farend-phases"


def look_between_phases(item: pytest.Item, look: Look) -> None:
    """Have `look(call)` called after each phase of `item` that is yet to end, and before its report is made.

    It may set `call.excinfo`, which the report is made from. Who came last looks first; after the teardown, nobody.
    """
    plugins = item.config.pluginmanager
    if not plugins.has_plugin(_NAME):
        plugins.register(_Phases(), _NAME)
    item.stash.setdefault(_LOOKS, []).insert(0, look)


class _Phases:
    """The one hook."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        looks = item.stash.get(_LOOKS, None)
        if looks is None:
            return
        if call.when == "teardown":
            del item.stash[_LOOKS]
        for look in tuple(looks):
            look(call)


def raised(error: BaseException, function: Callable[..., Any] | None = None) -> pytest.ExceptionInfo[BaseException]:
    """What `call.excinfo` is where `error` is raised; by the last line of `function`, where one is given."""
    __tracebackhide__ = True
    try:
        if function is not None:
            raise_in(function, error)
        raise error
    except BaseException as caught:
        return pytest.ExceptionInfo.from_exception(caught)
