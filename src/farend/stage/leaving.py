"""Whether a near end is still there, where nothing is read from it: asked of the system."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any

from farend.stage.cable import CableSocket


def watch(transport: Any, told: Callable[[bool], None]) -> Callable[[], None] | None:
    """Call `told` once the near end has ended its side (False), and once the connection is gone (True).

    The answer ends that. None where the system tells nobody, as on Windows and macOS, or where there is no socket.
    A connection in memory knows it by itself.
    """
    sock = transport.get_extra_info("socket")
    if isinstance(sock, CableSocket):
        return sock.watch_leaving(told)
    if sock is None or not hasattr(select, "epoll"):
        return None
    loop = asyncio.get_running_loop()
    poll = select.epoll()
    poll.register(sock.fileno(), select.EPOLLRDHUP)

    def look() -> None:
        for _, event in poll.poll(0):
            gone = bool(event & (select.EPOLLHUP | select.EPOLLERR))
            if gone:
                end()
            else:
                poll.modify(sock.fileno(), 0)  # what is always told: that it is gone
            told(gone)

    def end() -> None:
        if not poll.closed:
            loop.remove_reader(poll.fileno())
            poll.close()

    loop.add_reader(poll.fileno(), look)
    return end
