"""The completion actions: messages by which chanx consumers say that they have finished something.

They are sent where `send_completion` is on, a switch for tests. farend does not need them, since it
knows by itself when an application has finished; but it understands them.
"""

from __future__ import annotations

from typing import Any, Final, Literal

MESSAGE_ACTION_COMPLETE: Final[Literal["complete"]] = "complete"
"""A message was handled, and answered."""
GROUP_ACTION_COMPLETE: Final[Literal["group_complete"]] = "group_complete"
"""A broadcast to a group has reached this member."""
EVENT_ACTION_COMPLETE: Final[Literal["event_complete"]] = "event_complete"
"""An event from outside the socket was handled."""
COMPLETE_ACTIONS: Final = frozenset({MESSAGE_ACTION_COMPLETE, GROUP_ACTION_COMPLETE, EVENT_ACTION_COMPLETE})


def emits_completions(consumer: Any) -> bool:
    """Whether a consumer class says that it has finished: by its own switch, or by the setting for all."""
    own = getattr(consumer, "send_completion", None)
    if own is not None:
        return bool(own)
    if not hasattr(consumer, "should_send_completion"):
        return False
    from chanx.core.config import config  # type: ignore[import-not-found,unused-ignore]

    return bool(config.send_completion)
