"""An object given a class of its own for a while, in which some of its attributes are ours.

Attributes put on the instance would do for most objects. But there are channel layers whose class answers
every look-up itself, and never looks at what stands on the instance.

Several may be put on one object, and be taken off in any order. One that is covered by another when it is
taken off stays where it is, does nothing any more, and goes with the last of those above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MARK: Final = "_farend_disguise"


class Disguise:
    """Gives `one` a class in which the names in `ours` are the values there.

    Raises `TypeError` or `AttributeError` if the object does not let its class be changed.
    """

    def __init__(self, one: Any, ours: Mapping[str, Any]) -> None:
        self.worn = True
        self._one = one
        self._kind: Any = type(one)

        def look_up(it: Any, name: str) -> Any:
            return ours[name] if self.worn and name in ours else self._kind.__getattribute__(it, name)

        members = {"__slots__": (), "__module__": self._kind.__module__, "__getattribute__": look_up, _MARK: self}
        one.__class__ = type(self._kind.__name__, (self._kind,), members)

    def real(self, name: str) -> Any:
        """The attribute as it is without this."""
        return self._kind.__getattribute__(self._one, name)

    def take_off(self) -> None:
        """The object is as it was before; a second time does nothing."""
        self.worn = False
        while (top := vars(type(self._one)).get(_MARK)) is not None and not top.worn:
            self._one.__class__ = top._kind
