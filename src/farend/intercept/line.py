"""The far end of one mocked connection, as the double of a library's connection knows it.

    connecting ── connect ──> open ── send, recv ──> open ── close ──> closed

`TRANSITIONS` is that as a table. A double asks its line for everything: `enter`, `say`, `hear`, `hang_up`. There
are two lines: a `Session` is scripted call by call, and a `Played` has a whole script for its far end.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from farend.core.matchers import Matcher, difference_between
from farend.core.messages import Handshake, Ping, Pong
from farend.core.transcript import Transcript
from farend.stage.settings import settings

if TYPE_CHECKING:
    from farend.intercept.plugins import WebSocketPlugin


class State(enum.Enum):
    """Where a mocked connection is in its life."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


TRANSITIONS: Final[dict[State, dict[str, State]]] = {
    State.CONNECTING: {"connect": State.OPEN},
    State.OPEN: {"send": State.OPEN, "recv": State.OPEN, "close": State.CLOSED},
    State.CLOSED: {},
}
"""For each state, the calls that are valid in it, and the state that each leads to."""

METHODS: Final = tuple(method for valid in TRANSITIONS.values() for method in valid)
WAIT: Final[Any] = type("Wait", (), {"__repr__": lambda self: "nothing yet"})()
"""What `hear` gives where no message is there yet."""


class Hangup(NamedTuple):
    """The far end ends the connection: with a close frame, or without where `lost`."""

    code: int = 1000
    reason: str = ""
    lost: bool = False


class Line:
    """What the double of a connection needs of its far end, whoever plays that.

    `say` and `hear` are for one thread at a time. A double whose connection may be used from several holds `lock` while
    it calls them; by hand, because a `with` would take twice the time. One that lives on an event loop needs none.

    `uri` is a matcher for the connections that it is meant for; None is any. `subprotocol` and `headers` are
    what the far end answers the opening handshake with.
    """

    verbatim = True
    """Whether messages are told as they were given to the library, and not as its frames would have them."""

    def __init__(
        self,
        plugin: WebSocketPlugin,
        uri: Matcher | None = None,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.plugin = plugin
        self.uri = uri
        self.subprotocol = subprotocol
        self.headers = dict(headers or {})
        self.state = State.CONNECTING
        self.hangup: Hangup | None = None
        self.dialled: str | None = None
        self.number = 0
        self.lock = threading.RLock()
        self._watchers: list[Callable[[], None]] = []
        self.releases: list[Callable[[], None]] = []

    def takes(self, uri: str) -> bool:
        """Whether a connection to `uri` is for this session."""
        return self.uri is None or difference_between(self.uri, uri) is None

    def dial(self, uri: str, number: int) -> None:
        """The near end asks for a connection to `uri`; it is the test's `number`-th, from 1."""
        self.dialled = uri
        self.number = number

    @property
    def transcript(self) -> Transcript:
        """All that was said on the connection."""
        raise NotImplementedError

    # -- what the near end does: see Session and Played -------------------------------------------

    def enter(self, handshake: Handshake) -> str:
        """The near end connects. The answer is empty, or says why it is turned away."""
        raise NotImplementedError

    def say(self, message: Any) -> Hangup | None:
        """The near end says something; gives how the far end had hung up before, if it had."""
        raise NotImplementedError

    def hear(self) -> Any:
        """The near end listens: the next message, a `Hangup`, or `WAIT`."""
        raise NotImplementedError

    def hang_up(self, code: int, reason: str, under_way: BaseException | None = None) -> None:
        """The near end closes; where an exception is `under_way`, it must not be hidden by another."""
        raise NotImplementedError

    def overdue(self, call: str, seconds: float) -> BaseException:
        """What to raise where the near end listened until the deadline; 0 where nobody is left to go on."""
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Whether `hear` has something to give."""
        raise NotImplementedError

    @property
    def due(self) -> float | None:
        """The monotonic time at which `hear` may have something though nobody did anything; None for never."""
        return None

    def ping(self, ping: Ping) -> None:
        """The near end sends a ping, and is answered."""
        raise NotImplementedError

    def pong(self, pong: Pong) -> None:
        """The near end sends a pong that nobody asked for."""
        raise NotImplementedError

    def end(self, code: int, reason: str) -> None:
        """The far end has ended the connection, by an exception that a step raises."""

    # -- waiting ----------------------------------------------------------------------------------

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` after each change, from any thread; the answer ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    def release(self) -> None:
        """The test is over: let go of what was opened for it, a socket to select on and its thread."""
        while self.releases:
            self.releases.pop()()

    @property
    def patience(self) -> float | None:
        """How long to wait for a message, in seconds."""
        return settings.effective()


def waited(seconds: float) -> str:
    """The beginning of a sentence: how long the near end listened."""
    return f"it waited {seconds:g} s, and " if seconds else "no other thread is there to go on, and "
