"""Patch once, restore on the last exit, whatever the order in which users leave.

Each patched attribute has a list of *layers*, one for each set of patches that is held. What stands in the
attribute is always made anew from the original object, through the layers that are left; so it does not
matter which of them goes first. A replacement has to be transparent when its set is not held: somebody
who took a reference to it, or who patched the attribute over it, may still call it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FunctionType, TracebackType
from typing import Any, Final, NamedTuple, Self


class Patch(NamedTuple):
    """`owner.name` is replaced by what `make` gives for the object that stood there.

    `owner` is a module or a class. An attribute that a class inherits is put into the class itself, and
    taken out of it again. It may be a function, too: what it is made of (`__code__`) is replaced, and what
    it does not have (`__signature__`) is put there, where `make` is given None.
    """

    owner: Any
    name: str
    make: Callable[[Any], Any]


class Patches:
    """A set of patches, in force while somebody holds it; any number may, in any thread.

    >>> import math
    >>> halved = Patches(Patch(math, "tau", lambda original: original / 2))
    >>> with halved:
    ...     math.tau == math.pi
    True
    >>> math.tau == math.pi
    False
    """

    def __init__(self, *patches: Patch) -> None:
        self._patches = patches
        self._holders = 0

    @property
    def held(self) -> bool:
        """Whether somebody holds them."""
        return self._holders > 0

    def hold(self) -> None:
        """Put the patches in force, or keep them so. An exception leaves none behind."""
        with _lock:
            if not self._holders:
                done: list[Patch] = []
                try:
                    for patch in self._patches:
                        _add(self, patch)
                        done.append(patch)
                except BaseException:
                    for patch in done:
                        _remove(self, patch)
                    raise
            self._holders += 1

    def release(self) -> None:
        """Hold them no more; the last one who does restores what was there."""
        with _lock:
            if not self._holders:
                raise RuntimeError("these patches are not held")
            self._holders -= 1
            if not self._holders:
                for patch in reversed(self._patches):
                    _remove(self, patch)

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class _Place:
    """What we have put into one attribute: `layers` over the `original`."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name
        self.is_own = hasattr(owner, name) if isinstance(owner, FunctionType) else name in vars(owner)
        self.original = self.installed = current(owner, name)
        self.layers: dict[Patches, Callable[[Any], Any]] = {}

    @property
    def is_on_top(self) -> bool:
        """Whether nobody else has patched the attribute since."""
        return current(self.owner, self.name) is self.installed

    def install(self) -> None:
        value = self.original
        for make in self.layers.values():
            value = make(value)
        if self.layers or self.is_own:
            setattr(self.owner, self.name, value)
        else:
            delattr(self.owner, self.name)
        self.installed = value


_lock: Final = threading.RLock()
_places: Final[dict[tuple[int, str], list[_Place]]] = {}
"""The places of each attribute, the last on top; more than one only where others patched in between."""


def current(owner: Any, name: str) -> Any:
    """What stands in an attribute of a module or a class, as it is: no method is bound."""
    if isinstance(owner, FunctionType):
        return getattr(owner, name, None)
    own = owner.__dict__
    if name in own:
        return own[name]
    for scope in getattr(owner, "__mro__", ()):
        if name in vars(scope):
            return vars(scope)[name]
    raise AttributeError(f"{owner!r} has no attribute {name!r}")


def _add(holder: Patches, patch: Patch) -> None:
    key = id(patch.owner), patch.name
    if key in _places:
        _settle(patch)
    places = _places.setdefault(key, [])
    try:
        if not places or not places[-1].is_on_top:
            places.append(_Place(patch.owner, patch.name))
        places[-1].layers[holder] = patch.make
        places[-1].install()
    except BaseException:
        _remove(holder, patch)
        raise


def _remove(holder: Patches, patch: Patch) -> None:
    for place in _places[id(patch.owner), patch.name]:
        if place.layers.pop(holder, None) is not None and place.layers and place.is_on_top:
            place.install()
    _settle(patch)


def _settle(patch: Patch) -> None:
    """Restore what is held no more, as far as it lies on top.

    What others have patched over is theirs to take away; ours goes the next time that anybody comes by.
    """
    key = id(patch.owner), patch.name
    places = _places.get(key)
    if places is None:
        return
    while places and not places[-1].layers and places[-1].is_on_top:
        places.pop().install()
    if not places:
        del _places[key]
