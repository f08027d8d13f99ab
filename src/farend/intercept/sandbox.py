"""The block inside of which client libraries are intercepted: patched once, restored on the last exit.

Whoever leaves first or last, and however: the patches go in with the first sandbox, and out with the last. A
connection that is asked for meanwhile goes to the sandbox that was entered last and has a session for it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from farend.core.findings import Place
from farend.core.matchers import Equal, difference_between, matcher
from farend.core.messages import printed
from farend.errors import WrongState, WrongType
from farend.intercept.findings import Unmocked
from farend.intercept.misuse import no_async_block
from farend.stage.patches import Patch, Patches

if TYPE_CHECKING:
    from farend.intercept.line import Line
    from farend.intercept.verifier import StrictVerifier

ROOMS: Final = {
    "websockets": ("farend.intercept.websockets_asyncio", "farend.intercept.websockets_sync"),
    "websocket": ("farend.intercept.websocket_client",),
}
"""For each library, the modules that have `patches()`: what is to be replaced, by what."""
GUARDED: Final = {"websockets.trio.client": "connect", "websockets.legacy.client": "Connect"}
"""Classes that connect, and have no mock: only the guard is put before them, where they are in use."""

_lock = threading.RLock()
_active: list[Sandbox] = []
_in_force: list[Patches] = []
"""What is replaced at the moment: one set of patches, or none."""


class Sandbox:
    """A block in which the libraries are intercepted; made by `farend.sandbox()` or `StrictVerifier.sandbox()`."""

    def __init__(self, verifier: StrictVerifier, allow: object = ()) -> None:
        __tracebackhide__ = True
        self.verifier = verifier
        self._allow = _allowed(allow)

    def __enter__(self) -> StrictVerifier:
        __tracebackhide__ = True
        self.verifier.in_use()
        with _lock:
            if self in _active:
                raise WrongState("this sandbox has been entered already: make another one, with sandbox()")
            if not _active:
                _in_force[:] = [_patches()]
                _in_force[0].hold()
            _active.append(self)
            self.verifier.timeline.enter_block()
        return self.verifier

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        with _lock:
            if self not in _active:
                raise WrongState("this sandbox was not entered, or has been left already")
            _active.remove(self)
            self.verifier.timeline.enter_block(-1)
            if not _active:
                _in_force.pop().release()
        self.verifier.left_block(error)

    async def __aenter__(self) -> StrictVerifier:
        __tracebackhide__ = True
        no_async_block("farend" if self.verifier.plugins and self.verifier._claimable else "verifier.sandbox()")

    async def __aexit__(self, *error: object) -> None:
        """Never reached: `__aenter__` raises."""

    def allows(self, uri: str) -> bool:
        """Whether a connection to `uri` may be a real one."""
        if not self._allow:
            return False
        parts = urlsplit(uri)
        names = (uri, parts.netloc, parts.hostname or "")
        return any(difference_between(one, name) is None for one in self._allow for name in names)


def dial(kinds: tuple[str, ...], uri: str) -> Line | None:
    """The session for a connection to `uri` that a library asks for; None where it may reach the network.

    `kinds` are the libraries whose mocks may answer, the nearest first. Raises `UnmockedInteractionError` where none
    does.
    """
    __tracebackhide__ = True
    with _lock:
        if not _active:
            return None
        for sandbox in reversed(_active):
            for kind in kinds:
                for plugin in sandbox.verifier.plugins:
                    if plugin.module == kind and (line := plugin.take(uri)) is not None:
                        sandbox.verifier.dialled += 1
                        line.dial(uri, sandbox.verifier.dialled)
                        return line
        if any(sandbox.allows(uri) for sandbox in _active):
            return None
        raise _active[-1].verifier.violated(_unscripted(_active[-1].verifier, kinds, uri))


def _unscripted(verifier: StrictVerifier, kinds: tuple[str, ...], uri: str) -> Unmocked:
    plugins = [plugin for kind in kinds for plugin in verifier.plugins if plugin.module == kind]
    spelling = plugins[0].spelling if plugins else "mock"
    waiting = [str(one.uri) for plugin in plugins for one in plugin.waiting]
    why = "no session is left for it" if not waiting else f"the sessions that are left are for {', '.join(waiting[:3])}"
    other = next(
        (one for one in verifier.plugins if one.module not in kinds and any(map(_takes(uri), one.waiting))), None
    )
    if other is not None and plugins:
        why += (
            f"; the one of {other.spelling} is for {other.library}, and this is {plugins[-1].library}: "
            f"script it on {plugins[-1].spelling}"
        )
    block = "farend" if spelling.startswith("farend.") else "verifier"
    allowing = f"with {block}.sandbox(allow=[{uri!r}]):"
    if not plugins:
        return Unmocked(Place(), f"connect({uri!r})", why, "What cannot be mocked can be let through:", (allowing,))
    paste = (f'{spelling}.new_session().expect("connect", returns=None)', allowing)
    hint = "Before the block, its script; or a block that lets it through:"
    return Unmocked(Place(far_end=spelling), f"connect({uri!r})", why, hint, paste)


def _takes(uri: str) -> Callable[[Line], bool]:
    return lambda line: line.takes(uri)


def rooms() -> list[Any]:
    """The modules that mock the libraries that are installed; they import them."""
    return [importlib.import_module(room) for room in _room_names()]


def _room_names() -> list[str]:
    return [room for library, rooms in ROOMS.items() if installed(library) for room in rooms]


def installed(library: str) -> bool:
    """Whether a library can be imported."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


# -- patches --------------------------------------------------------------------------------------


def _patches() -> Patches:
    """What is replaced while a sandbox is there, by what the libraries' rooms say."""
    guarded = [getattr(sys.modules[name], kind) for name, kind in GUARDED.items() if name in sys.modules]
    return _patches_of(tuple(guarded), tuple(_room_names()))


@functools.lru_cache(8)
def _patches_of(guarded: tuple[Any, ...], rooms: tuple[str, ...]) -> Patches:
    guards = [Patch(kind, "__init__", _guarded) for kind in guarded]
    replaced = [one for room in rooms for one in importlib.import_module(room).patches()]
    return Patches(*guards, *(Patch(owner, name, _by(new)) for owner, name, new in replaced))


def _by(new: Any) -> Callable[[Any], Any]:
    return lambda original: new


def _guarded(real: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(real)
    def init(self: Any, uri: str, *args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        dial((), uri)
        real(self, uri, *args, **kwargs)

    return init


# -- addresses ------------------------------------------------------------------------------------


def _allowed(allow: object) -> list[Any]:
    __tracebackhide__ = True
    if isinstance(allow, str):
        return [Equal(allow)]
    if isinstance(allow, bytes | int | float) or allow is None:
        raise WrongType(f"allow= takes URIs, hosts or matchers, not {printed(allow)}; write allow=['localhost']")
    if isinstance(allow, Iterable) and not isinstance(allow, type):
        return [one for part in allow for one in _allowed(part)]
    return [matcher(allow)]
