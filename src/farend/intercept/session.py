"""One scripted connection: which calls the near end may make, in which order, and what each gives it.

A session is a list of steps and a cursor: a call uses the step at the cursor if that has its name, and is an
error otherwise. Two calls are not so strict. A `recv` whose step is not there yet waits for it, as for a
message that is still under way. A `close` always ends the connection, and what stood between the cursor and
the step `close` was not used.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from operator import itemgetter
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Never, NoReturn, TypeAlias

from farend.core.commands import Abort, Close
from farend.core.events import Ended, How
from farend.core.findings import Place
from farend.core.matchers import anything, described
from farend.core.messages import Handshake, Ping, Pong, printed
from farend.core.names import hint, misnamed, refusing
from farend.core.script import Script
from farend.core.steps import UNSET
from farend.core.transcript import Kind, Transcript
from farend.errors import Failure, InvalidArguments, WrongType
from farend.intercept.findings import Unmocked, Unused
from farend.intercept.line import METHODS, TRANSITIONS, WAIT, Line, State, waited

if TYPE_CHECKING:
    from farend.intercept.plugins import WebSocketPlugin


RETURNS: Final[dict[str, set[type]]] = {
    "connect": {type(None)},
    "send": {type(None)},
    "recv": {str, bytes},
    "close": {type(None)},
}
"""What each step can give back."""
_AT_ONCE: Final = {method: kinds for method, kinds in RETURNS.items() if method != "connect"}
"""The steps that need no further look where they give this; a session depends on it for its speed."""
_SAID: Final = {"send": Kind.RECEIVED, "recv": Kind.SENT}
_monotonic = time.monotonic
_caller = sys._getframe


class Step(NamedTuple):
    """One call that is scripted, what it gives, and the code that wrote it."""

    method: str
    returns: Any
    raises: BaseException | None
    required: bool
    code: CodeType
    instruction: int

    def __str__(self) -> str:
        parts = [repr(self.method), f"returns={printed(self.returns)}"]
        if self.raises is not None:
            parts.append(f"raises={printed(self.raises)}")
        if not self.required:
            parts.append("required=False")
        return f".expect({', '.join(parts)})"

    @property
    def where(self) -> str:
        """The file and the line that wrote it."""
        line = next(islice(self.code.co_positions(), self.instruction // 2, None))[0]
        return f"{os.path.basename(self.code.co_filename)}:{line or self.code.co_firstlineno}"


class Whose(NamedTuple):
    """On which connection something was done: the mock that answered, and the connection's number in the test."""

    plugin: WebSocketPlugin
    number: int


class Interaction(NamedTuple):
    """One call that was made: the URI or the message, the step that it used, and when."""

    whose: Whose
    step: Step
    value: Any
    time: float

    @property
    def session(self) -> Session:
        """Where it was scripted."""
        plugin, number = self.whose
        return next(one for one in plugin.verifier.sessions if one.number == number)


Row: TypeAlias = tuple[Whose, tuple[Any, ...], Any, float]
"""An `Interaction` as it is kept, with its `Step`: plain tuples, which are made in a third of the time.

They know whose they are by number, and not by the session: so what a test has kept is in no cycle, and goes when it
is dropped, which costs less than to be found by the garbage collector.
"""


def interaction(row: Row) -> Interaction:
    """What is kept of an interaction, with names."""
    whose, step, value, when = row
    return Interaction(whose, Step._make(step), value, when)


class Session(Line):
    """A connection, scripted call by call; `new_session` makes it."""

    def __init__(self, plugin: WebSocketPlugin, **answer: Any) -> None:
        super().__init__(plugin, **answer)
        self._steps: list[tuple[Any, ...]] = []  # each is a Step: see Row
        self._at = 0
        self._skipped: list[tuple[Any, ...]] = []
        self._notes: list[tuple[float, Kind, object]] = []
        self._timeline = plugin.verifier.timeline
        self._record = self._timeline.entries.append
        self._whose = Whose(plugin, 0)

    # -- writing it -------------------------------------------------------------------------------

    @refusing
    def expect(
        self,
        method: str,
        *said: Never,
        returns: Any = UNSET,
        raises: BaseException | None = None,
        required: bool = True,
        **unknown: Never,
    ) -> Session:
        """The near end calls `method` next: "connect", "send", "recv" or "close".

        `returns` is what the call gives: text or bytes for "recv", None for the others. `raises` is an exception
        to raise instead. A step that is `required`, and not used, fails the test. Steps can be added while the
        session is played. Raises `InvalidArguments` for a name that is no step, and `WrongType` for values that a
        step cannot give. From the notation of the strict mocks for `websockets` and `websocket-client`.

        >>> from farend import AsyncWebSocketPlugin, StrictVerifier
        >>> session = AsyncWebSocketPlugin(StrictVerifier()).new_session()
        >>> print(session.expect("connect", returns=None).expect("recv", returns="hello"))
        session of 2 steps
          1. .expect('connect', returns=None)
          2. .expect('recv', returns='hello')
        """
        __tracebackhide__ = True
        try:
            plain = type(returns) in _AT_ONCE[method] and raises is None and required is True and not (said or unknown)
        except (KeyError, TypeError):
            plain = False
        if not plain:
            if said or unknown:
                _refuse(method, said, unknown)
            returns = _checked(method, returns, raises, required)
            if method == "connect" and self._steps:
                raise InvalidArguments(
                    "a session is one connection, and connect is its first step: script another connection with "
                    f"another {self.plugin.spelling}.new_session()"
                )
        frame = _caller(1)
        self._steps.append((method, returns, raises, required, frame.f_code, frame.f_lasti))
        if self._watchers:
            self._tell()
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in order."""
        return tuple(map(Step._make, self._steps))

    @property
    def script(self) -> Script:
        """The same as a `Script`, to be played anywhere.

        Any message will do where the near end sends. Raises `ScriptError` or `InvalidArguments` for what only a
        mock can do: to raise an exception of the test's.
        """
        return Script([one for step in self.steps for one in _as_script(step)])

    # -- playing it -------------------------------------------------------------------------------

    def dial(self, uri: str, number: int) -> None:
        super().dial(uri, number)
        self._whose = Whose(self.plugin, number)

    def enter(self, handshake: Handshake) -> str:
        __tracebackhide__ = True
        with self.lock:
            self._note(Kind.CONNECTED, handshake)
            step = self._next("connect")
            if step is None:
                self.state = State.CLOSED
                raise self._unmocked(f"connect({self.dialled!r})", "connect")
            if step[2] is None:
                self.state = TRANSITIONS[self.state]["connect"]
            else:
                self.state = State.CLOSED
            self._record((self._whose, step, self.dialled, _monotonic()))
        self._finish(step)
        return ""

    def say(self, message: Any) -> None:
        __tracebackhide__ = True
        # This and `hear` are what a mock's speed depends on: the step at the cursor has the name that is called. (What
        # is no method of the class, but an attribute, is called sooner by way of a local name.)
        at = self._at
        if at < len(self._steps) and (step := self._steps[at])[0] == "send":
            self._at = at + 1
        else:
            found = self._next("send")
            if found is None:
                self._note(Kind.RECEIVED, message)
                raise self._unmocked(f"send({printed(message)})", "send")
            step = found
        record = self._record
        record((self._whose, step, message, _monotonic()))
        if self._watchers or step[2] is not None:
            self._finish(step)

    def hear(self) -> Any:
        __tracebackhide__ = True
        at = self._at
        if at < len(self._steps) and (step := self._steps[at])[0] == "recv":
            self._at = at + 1
        else:
            found = self._next("recv")
            if found is None:
                return WAIT
            step = found
        message = step[1]
        record = self._record
        record((self._whose, step, message, _monotonic()))
        if self._watchers or step[2] is not None:
            self._finish(step)
        return message

    def hang_up(self, code: int, reason: str, under_way: BaseException | None = None) -> None:
        __tracebackhide__ = True
        with self.lock:
            was_open = self.state is State.OPEN
            if was_open:
                self._note(Kind.ENDED, Ended(How.CLOSE, code, reason))
            self.state = State.CLOSED
            at = next((at for at in range(self._at, len(self._steps)) if self._steps[at][0] == "close"), None)
            if at is None:
                self._tell()
                if not was_open or isinstance(under_way, Failure):
                    return  # what is closed can be closed again; and after a finding, leaving is no other
                error = self._unmocked(f"close({code if code != 1000 else ''})", "close")
                if under_way is None:
                    raise error
                return
            step = self._steps[at]
            self._skipped += self._steps[self._at : at]
            self._at = at + 1
            self._record((self._whose, step, None, _monotonic()))
        if step[2] is None or under_way is None:
            self._finish(step)

    def overdue(self, call: str, seconds: float) -> BaseException:
        return self._unmocked(call, "recv", waited(seconds))

    def ping(self, ping: Ping) -> None:
        self._note(Kind.RECEIVED, ping)
        self._note(Kind.SENT, Pong(ping.data))

    def pong(self, pong: Pong) -> None:
        self._note(Kind.RECEIVED, pong)

    def end(self, code: int, reason: str) -> None:
        with self.lock:
            if self.state is not State.CLOSED:
                self.state = State.CLOSED
                self._note(Kind.CLOSED, Close(code, reason))
        self._tell()

    @property
    def ready(self) -> bool:
        return self._seek("recv") is not None

    @property
    def transcript(self) -> Transcript:
        said = [
            (one.time, _SAID[one.step.method], one.value)
            for one in map(interaction, tuple(self._timeline.entries))
            if one.whose == self._whose and one.step.method in _SAID and one.value is not None
        ]
        transcript = Transcript(self.number)
        for entry in sorted([*self._notes, *said], key=itemgetter(0)):
            transcript.add(*entry)
        return transcript

    def _note(self, kind: Kind, payload: object) -> None:
        """Write on the transcript what is no message that a step was used for."""
        self._notes.append((_monotonic(), kind, payload))

    def _finish(self, step: tuple[Any, ...]) -> None:
        __tracebackhide__ = True
        self._tell()
        if step[2] is not None:
            raise step[2]

    def _seek(self, method: str) -> int | None:
        """Where the next step of that name is, with none between that has to be used before."""
        for at in range(self._at, len(self._steps)):
            if self._steps[at][0] == method:
                return at
            if self._steps[at][3]:
                return None
        return None

    def _next(self, method: str) -> tuple[Any, ...] | None:
        """Use the next step, where it has that name."""
        at = self._seek(method)
        if at is None:
            return None
        self._skipped += self._steps[self._at : at]
        self._at = at + 1
        return self._steps[at]

    # -- what went wrong --------------------------------------------------------------------------

    def unused(self) -> Unused | None:
        """The required steps that were not used; None where there are none."""
        left = [step for step in map(Step._make, (*self._skipped, *self._steps[self._at :])) if step.required]
        if not left:
            return None
        which = "" if self.dialled is None else f" ({self.dialled})"
        if self.dialled is None:
            why = "nobody connected to the session"
        elif not self._notes:
            why = f"connect() was called, and nobody entered the connection{which}"
        elif self.state is State.CLOSED:
            why = f"the connection was closed before{which}"
        else:
            why = f"the connection was left open, and nobody asked for more{which}"
        return Unused(self._place(), tuple(f"{step}  # {step.where}" for step in left), why)

    def _unmocked(self, call: str, method: str, waited: str = "") -> BaseException:
        rest = [Step._make(step) for step in self._steps[self._at : self._at + 1]]
        paste = returned(method)
        if rest:
            why = f"{waited}the next step is {rest[0]} ({rest[0].where})"
            hint = "A session's steps are used in the order in which they were written."
            if method == "connect":
                hint = "A session begins with:"
                return self.plugin.verifier.violated(Unmocked(self._place(), call, why, hint, (paste,)))
            return self.plugin.verifier.violated(Unmocked(self._place(), call, why, hint))
        why = f"{waited}the session has no step left"
        return self.plugin.verifier.violated(
            Unmocked(self._place(), call, why, "Write behind its last step:", (paste,))
        )

    def _place(self) -> Place:
        return Place(
            connection=self.number,
            transcript=self.transcript,
            far_end=self.plugin.spelling,
        )

    def __str__(self) -> str:
        number = len(self._steps)
        title = f"session of {number:,} step{'' if number == 1 else 's'}"
        return "\n".join([title, *(f"  {at}. {step}" for at, step in enumerate(self.steps, 1))])

    def __repr__(self) -> str:
        return f"<Session, {self.state.value}: {self._at:,} of {len(self._steps):,} steps used>"


def returned(method: str) -> str:
    """The line that scripts a call."""
    return f".expect({method!r}, returns={'…' if method == 'recv' else None})"


def _refuse(method: object, said: tuple[object, ...], unknown: Mapping[str, object]) -> NoReturn:
    """Raise for what a step is not told (what the near end says is for the assertion), and for names that are none."""
    __tracebackhide__ = True
    told = [*said, *(unknown[name] for name in ("message", "uri") if name in unknown)]
    if not told:
        raise misnamed("expect", unknown, Session.expect)
    if method == "recv":
        raise WrongType(
            f"expect('recv') takes what the near end receives as returns=: write returns={printed(told[0])}"
        )
    name = "uri" if method == "connect" else "message"
    raise WrongType(
        f"expect({method!r}) is not told what the near end says: write {returned(str(method))}, and behind the block "
        f"assert_{method}({'' if method == 'close' else f'{name}={printed(told[0])}'})"
    )


def _checked(method: object, returns: Any, raises: object, required: object) -> Any:
    """What the step gives back, if all of it can be meant."""
    __tracebackhide__ = True
    if not isinstance(method, str) or method not in RETURNS:
        near = hint(str(method), METHODS)
        raise InvalidArguments(f"{printed(method)} is no step: write 'connect', 'send', 'recv' or 'close'{near}")
    if returns is UNSET:
        raise WrongType(
            f"expect({method!r}) needs returns=: write {returned(method)}, also where the step raises"
            if method != "recv"
            else "expect('recv') needs returns=, the text or the bytes that the near end receives; None where it raises"
        )
    if raises is not None and not isinstance(raises, BaseException):
        wanted = f"raises={raises.__name__}(…)" if isinstance(raises, type) else "raises=ConnectionResetError()"
        raise WrongType(f"raises= takes an exception, not {printed(raises)}; write {wanted}")
    if not isinstance(required, bool):
        raise WrongType(f"required= takes True or False, not {printed(required)}")
    if method != "recv":
        if returns is not None:
            raise WrongType(f"{method}() gives nothing back: write returns=None, not {printed(returns)}")
        return None
    if isinstance(returns, bytearray | memoryview):
        return bytes(returns)
    if isinstance(returns, bytes):
        return bytes(returns)
    if isinstance(returns, str):
        return str.__str__(returns)
    if returns is None and raises is not None:
        return None
    raise WrongType(
        f"recv gives text or bytes, not {printed(returns)}"
        + ("; for JSON, write returns=json.dumps(…)" if isinstance(returns, dict | list | int | float) else "")
    )


def _as_script(step: Step) -> Iterator[object]:
    """The step of a session as steps of a script."""
    if step.raises is not None:
        if step.method == "recv":
            close = getattr(step.raises, "rcvd", None)
            yield Abort() if close is None else Close(close.code, close.reason)
            return
        raise InvalidArguments(
            f"{step} raises {described(step.raises)} in the client's own call, which no far end can do on a wire"
        )
    whole = Script()
    if step.method == "connect":
        whole.expect_handshake()
    elif step.method == "send":
        whole.expect(anything()) if step.required else whole.optional(Script().expect(anything()))
    elif step.method == "recv":
        whole.send(step.returns)
    else:
        whole.expect_close() if step.required else whole.optional(Script().expect_close())
    yield from whole
