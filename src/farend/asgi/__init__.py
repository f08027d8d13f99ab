"""Servers driven in process: a WebSocket application under test, and a test that knows when it is done.

    from farend.asgi import WebsocketCommunicator

    async with WebsocketCommunicator(app, "/ws/chat") as comm:
        assert await comm.exchange({"action": "ping"}) == [{"action": "pong"}]

The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False

_HOMES = {
    "farend.asgi.blocking": ("BlockingCommunicator",),
    "farend.asgi.broadcasts": ("CapturedEvent", "CapturedSend", "capture_broadcast_events", "capture_group_sends"),
    "farend.asgi.communicator": ("WebsocketCommunicator",),
    "farend.asgi.completion": ("EVENT_ACTION_COMPLETE", "GROUP_ACTION_COMPLETE", "MESSAGE_ACTION_COMPLETE"),
    "farend.asgi.lifespan": ("lifespan",),
    "farend.asgi.messages": ("Message",),
    "farend.asgi.opening": ("Opening",),
    "farend.asgi.playing": ("play",),
    "farend.settling.busy": ("busy",),
    "farend.settling.causes": ("Cause",),
    "farend.settling.layers": ("watch",),
    "farend.settling.waits": ("external", "listening"),
    "farend.errors": ("ApplicationClosed", "AsgiViolation", "Rejected", "UndeclaredMessage", "Unsettled"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if TYPE_CHECKING:
    from farend.asgi.blocking import BlockingCommunicator as BlockingCommunicator
    from farend.asgi.broadcasts import CapturedEvent as CapturedEvent
    from farend.asgi.broadcasts import CapturedSend as CapturedSend
    from farend.asgi.broadcasts import capture_broadcast_events as capture_broadcast_events
    from farend.asgi.broadcasts import capture_group_sends as capture_group_sends
    from farend.asgi.communicator import WebsocketCommunicator as WebsocketCommunicator
    from farend.asgi.completion import EVENT_ACTION_COMPLETE as EVENT_ACTION_COMPLETE
    from farend.asgi.completion import GROUP_ACTION_COMPLETE as GROUP_ACTION_COMPLETE
    from farend.asgi.completion import MESSAGE_ACTION_COMPLETE as MESSAGE_ACTION_COMPLETE
    from farend.asgi.lifespan import lifespan as lifespan
    from farend.asgi.messages import Message as Message
    from farend.asgi.opening import Opening as Opening
    from farend.asgi.playing import play as play
    from farend.errors import ApplicationClosed as ApplicationClosed
    from farend.errors import AsgiViolation as AsgiViolation
    from farend.errors import Rejected as Rejected
    from farend.errors import UndeclaredMessage as UndeclaredMessage
    from farend.errors import Unsettled as Unsettled
    from farend.settling.busy import busy as busy
    from farend.settling.causes import Cause as Cause
    from farend.settling.layers import watch as watch
    from farend.settling.waits import external as external
    from farend.settling.waits import listening as listening

__all__ = sorted(_HOME_OF)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        home = _HOME_OF.get(name)
        if home is None:
            from farend.core.names import hint

            raise AttributeError(f"farend.asgi has no {name!r}{hint(name, __all__)}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
