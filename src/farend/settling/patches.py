"""Attributes put on an instance, and taken off again."""

from __future__ import annotations

from typing import Any, Final

_NONE: Final = object()


class Patches:
    """What was put where. `restore` leaves each attribute as it was found."""

    def __init__(self) -> None:
        self._put: list[tuple[dict[str, Any], str, Any, Any]] = []

    def put(self, target: Any, name: str, value: Any) -> None:
        """Shadow the attribute on this instance."""
        own = target.__dict__
        self._put.append((own, name, value, own.get(name, _NONE)))
        own[name] = value

    def restore(self) -> None:
        """Take all of it off, the last first. What somebody else has put over ours stays his."""
        while self._put:
            own, name, value, before = self._put.pop()
            if own.get(name) is not value:
                continue
            if before is _NONE:
                del own[name]
            else:
                own[name] = before
