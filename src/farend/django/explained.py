"""What applications raise for want of something in the project, told with what there is, or what to write."""

from __future__ import annotations

from typing import Final

from farend.asgi.broadcasts import CONFIGURE_LAYER
from farend.errors import NotConfigured

_LAYER_CALLS: Final = {"send", "group_add", "group_discard", "group_send"}


def without_layer(error: BaseException) -> NotConfigured | None:
    """What an application raised for want of a channel layer, told as that; None if it is something else."""
    from channels.exceptions import InvalidChannelLayerError
    from channels.layers import channel_layers

    called = error.obj is None and error.name in _LAYER_CALLS if isinstance(error, AttributeError) else False
    if channel_layers.configs or not (called or isinstance(error, InvalidChannelLayerError)):
        return None
    told = NotConfigured(f"the application uses a channel layer, and the project has none; {CONFIGURE_LAYER}")
    told.__cause__ = error
    return told


def name_the_routes(error: BaseException) -> None:
    """Where Channels found no route for a path, note which there are."""
    if not (isinstance(error, ValueError) and str(error).startswith("No route found")):
        return
    raised = error.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    router = raised.tb_frame.f_locals.get("self") if raised is not None else None
    if routes := getattr(router, "routes", ()):
        error.add_note("The routes are " + ", ".join(str(route.pattern) for route in routes) + ".")
