"""What the far end does: a visible list of a few kinds of step, written fluently.

Script().expect("hello").send("there").close()
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Never

from farend.core import arguments
from farend.core.commands import Abort, Close, Impair, Send
from farend.core.faults import Ability, Fault, check_able, checked
from farend.core.framing import Framing, Lines
from farend.core.matchers import Expected, Json, OfType
from farend.core.messages import CONTROL, Fragments, OnWire, Raw, Sayable, counted, printed
from farend.core.mirror import mirrored
from farend.core.names import Hinting, misnamed, nearest, refusing
from farend.core.steps import (
    GROUPS,
    RECEIVING,
    UNSET,
    AnswerHandshake,
    AnyOrder,
    Expect,
    ExpectClose,
    ExpectHandshake,
    Optional,
    Pause,
    Repeat,
    Reply,
    Step,
    acts_first,
    check_end,
    check_sequence,
    check_successor,
    ending,
    forever,
    listing,
    title,
    waits,
    walk,
)
from farend.errors import ScriptError, WrongState, WrongType

if TYPE_CHECKING:
    from farend.core.malformed import Case


class Script(Hinting):
    r"""What the far end does in one conversation.

    `steps` may be other steps to begin with, also as pairs of a name and a value. `framing` is how a
    byte stream is cut into messages where a step says nothing else; with none, an expected value of
    n bytes takes exactly n. With `open_ended`, a message that no step awaits is kept for a step still
    to come, and is a finding only at the end; without, it ends the conversation at once. `name` is
    what reports call the script.

    Every method adds one step and gives the script back. A script can be added to while it is played.

    >>> print(Script().expect("hello").send("there").close())
    Script of 3 steps
      1. expect 'hello'
      2. send 'there'
      3. close

    Raises `ScriptError` or `WrongType` at the line that writes what cannot be played.
    """

    __slots__ = ("_ending", "_listeners", "framing", "name", "open_ended", "steps")
    in_turn: ClassVar[bool] = False
    """Whether the near end has to wait for what the far end says, before it says what comes behind that."""
    keeps: ClassVar[int | None] = None
    """Entries that a transcript keeps of the script being played, of the last ones; None for all."""
    _synonyms: ClassVar[Mapping[str, str]] = {
        "receive": "expect",
        "recv": "expect",
        "read": "expect",
        "await_message": "expect",
        "wait": "pause",
        "sleep": "pause",
        "delay": "pause",
        "respond": "reply",
        "answer": "reply",
        "write": "send",
        "say": "send",
        "disconnect": "close",
        "reset": "abort",
        "raw": "send",
        "frame": "send",
        "send_raw": "send",
        "send_frame": "send",
    }

    @refusing
    def __init__(
        self,
        steps: Iterable[object] = (),
        *,
        framing: Framing | None = None,
        open_ended: bool = False,
        name: str = "",
        **unknown: Never,
    ) -> None:
        __tracebackhide__ = True
        if unknown:
            raise misnamed("Script", unknown, Script)
        self.steps: list[Step] = []
        self.framing = arguments.framing(framing)
        self.open_ended = open_ended
        self.name = name
        self._ending: Close | Abort | None = None
        self._listeners: list[Callable[[], None]] = []
        if isinstance(steps, str | bytes) or not isinstance(steps, Iterable):
            raise WrongType(f"Script() takes a list of steps, not {printed(steps)}; write .expect(…) or .send(…)")
        for step in steps:
            self.add(step)

    # -- the steps --------------------------------------------------------------------------------

    @refusing
    def expect(
        self,
        what: Expected = UNSET,
        *,
        json: object = UNSET,
        framing: Framing | None = None,
        within: float | None = None,
        example: Any = UNSET,
        **unknown: Never,
    ) -> Script:
        """The near end says `what`: a value, a type, a regular expression, a function, a matcher.

        `json=` expects a JSON message that holds the value (an object may have more members).
        `within` is this step's deadline in seconds. `example` is what a mirrored script sends here,
        where `what` does not say it.

        >>> print(Script().expect(json={"op": "subscribe"}))
        Script of 1 step
          1. expect json {'op': 'subscribe'}
        """
        __tracebackhide__ = True
        if unknown:
            raise misnamed("expect", unknown, Script.expect)
        if (what is UNSET) is (json is UNSET):
            raise ScriptError(
                "expect() takes one thing: a message, a matcher, or json=…; write expect(anything()) for any"
            )
        expected = Json(json) if what is UNSET else arguments.expected(what)
        self._check_line(expected, framing, "expect")
        return self._append(Expect(expected, arguments.framing(framing), arguments.seconds(within, "within"), example))

    @refusing
    def expect_handshake(
        self,
        path: object = None,
        *,
        query: dict[str, object] | None = None,
        headers: dict[str, object] | None = None,
        origin: object = None,
        subprotocols: object = None,
        **unknown: Never,
    ) -> Script:
        """The near end opens its WebSocket with this path, query, headers, origin, subprotocols.

        Each may be a value or a matcher; what is not given may be anything, and more query values
        and headers than named are welcome. It can only be a script's first step. A handshake that
        differs is answered with HTTP 400 and is a finding.
        """
        __tracebackhide__ = True
        if unknown:
            raise misnamed("expect_handshake", unknown, Script.expect_handshake)
        return self._append(
            ExpectHandshake(
                arguments.path(path),
                arguments.fields(query, "query"),
                arguments.fields(headers, "headers"),
                origin,
                arguments.subprotocols(subprotocols),
            )
        )

    @refusing
    def expect_close(
        self,
        code: int | None = None,
        reason: object = None,
        *,
        reset: bool = False,
        within: float | None = None,
        **unknown: Never,
    ) -> Script:
        """The near end ends the connection: in order, or with a reset where `reset` is True.

        `code` and `reason` are those of a WebSocket's close frame; None means that any will do.
        """
        __tracebackhide__ = True
        if unknown:
            raise misnamed("expect_close", unknown, Script.expect_close)
        return self._append(ExpectClose(arguments.close_code(code), reason, reset, arguments.seconds(within, "within")))

    @refusing
    def send(
        self,
        payload: Sayable = UNSET,
        *,
        json: object = UNSET,
        framing: Framing | None = None,
        **unknown: Never,
    ) -> Script:
        """Say `payload`: text, bytes, `Ping`, `Pong`, `Fragments`, `Frame`, `Raw`; `json=` says a value as JSON."""
        __tracebackhide__ = True
        if unknown:
            raise misnamed("send", unknown, Script.send)
        if (payload is UNSET) is (json is UNSET):
            raise ScriptError("send() takes one thing: a message, or json=…")
        said = arguments.as_json(json) if payload is UNSET else arguments.payload(payload, "send")
        self._check_line(said, framing, "send")
        return self._append(Send(said, arguments.framing(framing)))

    def send_fragments(self, *parts: str | bytes) -> Script:
        """Say one WebSocket message as several frames, one for each part (RFC 6455, 5.4)."""
        __tracebackhide__ = True
        return self._append(Send(arguments.fragments(parts)))

    def malformed(self, which: str | Case) -> Script:
        """Say what RFC 6455 forbids, or what is rare: a case of `farend.malformed`, or the name of one.

        A case that spoils the handshake's answer can only be the first step, or right behind `expect_handshake`.
        All else on the wire goes on as usual: pings are answered, and so is a close. For frames of your own, see
        `farend.Frame` and `farend.Raw`. Raises `InvalidArguments` for a name that there is not.

        >>> print(Script().malformed("close-1-byte").expect_close(1002))
        Script of 2 steps
          1. malformed close-1-byte (RFC 6455, 5.5.1, 10.7): a close frame has a payload of one byte
          2. expect close 1002
        """
        __tracebackhide__ = True
        from farend.core.malformed import case_of

        case = case_of(which)
        if case.answer is None:
            return self._append(Send(case))
        self._append(AnswerHandshake(case))
        for frame in case.frames:
            self._append(Send(frame))
        return self

    def reply(self, function: Callable[[Any], Any], *, framing: Framing | None = None) -> Script:
        """Say what `function` makes of the last message that came.

        It gives text, bytes, a list of them, or None for nothing. An exception in it is a finding.
        """
        __tracebackhide__ = True
        if not callable(function):
            raise WrongType(
                f"reply() takes a function of the last message, not {printed(function)}; to say a value, write send()"
            )
        if inspect.iscoroutinefunction(function):
            raise WrongType(
                "reply() takes a plain function: a script never waits for anything but the near end. "
                "To await something between steps, take the connection in hand: peer = await server.connection()"
            )
        return self._append(Reply(function, arguments.framing(framing)))

    def close(self, code: int | None = None, reason: str = "") -> Script:
        """End the connection in order. `code` and `reason` go into a WebSocket's close frame (default 1000)."""
        __tracebackhide__ = True
        if not isinstance(reason, str):
            raise WrongType(f"close() takes the reason as text, not {printed(reason)}")
        reason = str(arguments.payload(reason, "close"))
        size = len(reason.encode())
        if size > 123:
            raise ScriptError(f"close(): a reason has at most 123 bytes of UTF-8 (RFC 6455, 5.5), this one {size}")
        return self._append(Close(arguments.sent_close_code(code), reason))

    def abort(self) -> Script:
        """Cut the connection with a reset: nothing is flushed, and no close frame is sent."""
        __tracebackhide__ = True
        return self._append(Abort())

    def fault(self, *faults: Fault | None) -> Script:
        """From here on, do these faults to the connection, each in place of one that does the same; None ends them all.

        They last until another takes their place, over all steps that follow. See `docs/faults.md` for what
        there is, and which stage can do which.

        >>> from farend import Latency
        >>> print(Script().expect("a").fault(Latency(0.05)).send("b").fault(None).send("c"))
        Script of 5 steps
          1. expect 'a'
          2. fault: latency 0.05 s
          3. send 'b'
          4. no fault
          5. send 'c'

        Raises `FaultError` where two of them contradict each other.
        """
        __tracebackhide__ = True
        if faults == (None,):
            return self._append(Impair())
        if not faults:
            raise ScriptError("fault() takes faults such as Latency(0.05); to end those that there are, fault(None)")
        return self._append(Impair(checked(faults, "fault()")))

    def pause(self, seconds: float) -> Script:
        """Say and hear nothing for `seconds`; what comes meanwhile waits for the next step."""
        __tracebackhide__ = True
        value = arguments.seconds(seconds, "pause")
        if value is None:
            raise WrongType("pause() takes a number of seconds")
        return self._append(Pause(value))

    def any_order(self, *branches: object) -> Script:
        """Branches that go on at their own pace; a message goes to the first that expects it.

        A branch is a script, or a list of steps; the group is over when every branch is.
        """
        __tracebackhide__ = True
        if not branches:
            raise ScriptError(
                "any_order() takes at least one branch, such as any_order(Script().expect('a'), Script().expect('b'))"
            )
        if len(branches) == 1 and _are_scripts(branches[0]):
            raise ScriptError(
                "any_order([…]) is one branch, whose steps are in order; for a branch each, write any_order(*[…])"
            )
        return self._append(_any_order(tuple(_body((branch,), "any_order") for branch in branches)))

    def repeat(self, times: float, *steps: object) -> Script:
        """Play the steps (a script, or steps) `times` over.

        `repeat(forever, …)` goes on until a message comes that the step behind it expects, or until
        the near end ends the connection.
        """
        __tracebackhide__ = True
        if times != forever and (not isinstance(times, int) or isinstance(times, bool)):
            raise WrongType(f"repeat() takes a number of times, or farend.forever, not {printed(times)}")
        if times < 1:
            raise ScriptError(f"repeat({times}): steps are played at least once")
        body = _body(steps, "repeat")
        if times == forever and not any(waits(step) for step in body):
            raise ScriptError("repeat(forever, …) needs an expect or a pause in it: it would flood the near end")
        if times > 1:
            check_successor(body[-1], body[0])
            check_end(ending(*body), body)
        return self._append(Repeat(times, body))

    def optional(self, *steps: object) -> Script:
        """The steps (a script, or steps), if the near end begins them, and nothing otherwise."""
        __tracebackhide__ = True
        body = _body(steps, "optional")
        if acts_first(body[0]):
            raise ScriptError("optional() begins with what the near end may say: put an expect first")
        return self._append(Optional(body))

    def add(self, step: object) -> Script:
        """Add a step made elsewhere, a whole script, or a pair such as `("expect", "hello")`."""
        __tracebackhide__ = True
        for one in _steps(step, "add"):
            self._append(one)
        return self

    # -- as a whole -------------------------------------------------------------------------------

    def mirrored(self) -> Script:
        """The other side's script: what this one expects is sent, and what it sends is expected.

        A script played against its mirror always ends clean (`farend.rehearse` does that), as long as
        one message decides each of its choices. Groups that the near end may leave out are played
        once. Raises `ScriptError` where an `expect` needs an `example=` to say what to send.
        """
        return Script(
            mirrored(self.steps, self.framing),
            framing=self.framing,
            open_ended=self.open_ended,
            name=self.name and f"mirror of {self.name}",
        )

    def copy(self) -> Script:
        """A script with the same steps, which can be added to without changing this one."""
        twin = Script(framing=self.framing, open_ended=self.open_ended, name=self.name)
        twin.steps = list(self.steps)
        twin._ending = self._ending
        return twin

    def check_for_stream(self) -> None:
        """Raise `ScriptError` for what only a WebSocket has: pings, fragments, handshakes, close codes."""
        __tracebackhide__ = True
        for step in walk(self.steps):
            find = _STREAM_PROBLEMS.get(type(step))
            if find is not None and (problem := find(step, self.framing)):
                raise ScriptError(f"'{title(step)}' cannot be played on a byte stream: {problem}")

    def check_faults(self, ability: Ability, where: str) -> None:
        """Raise `FaultError` for a fault that cannot be done there; `where` is what the text calls it."""
        __tracebackhide__ = True
        for step in walk(self.steps):
            if isinstance(step, Impair):
                check_able(ability, step.faults, where)

    def check_without_wire(self, where: str) -> None:
        """Raise `ScriptError` for what only a wire can carry: raw bytes, malformed frames; `where` names the stage."""
        __tracebackhide__ = True
        for step in walk(self.steps):
            if isinstance(step, AnswerHandshake) or (isinstance(step, Send) and isinstance(step.payload, OnWire)):
                raise ScriptError(f"'{title(step)}' cannot be played {where}: no bytes go over a wire there")

    def check_for_client(self) -> None:
        """Raise `ScriptError` for what only a server says: an answer to the handshake."""
        __tracebackhide__ = True
        for step in walk(self.steps):
            if isinstance(step, AnswerHandshake):
                raise ScriptError(f"'{title(step)}' cannot be played by a client: it is the server that answers")

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each step that is added; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _check_line(self, said: object, framing: Framing | None, verb: str) -> None:
        """Refuse the line ending that the framing puts behind a line itself, and that no line that came has."""
        if isinstance(framing or self.framing, Lines) and isinstance(said, str | bytes):
            bare = said.rstrip("\r\n") if isinstance(said, str) else said.rstrip(b"\r\n")
            if said[len(bare) :] not in ("", b"", "\r", b"\r"):
                raise ScriptError(f"lines() adds the line ending itself: write {verb}({printed(bare)})")

    def _append(self, step: Step) -> Script:
        __tracebackhide__ = True
        if self._listeners and isinstance(step, AnswerHandshake):
            raise WrongState(f"'{title(step)}' comes too late: the script is being played, and the handshake is over")
        # Until the far end has ended the connection, what is said and what comes may follow in any order.
        if type(step) not in _PLAIN or self._ending or (self.steps and type(self.steps[-1]) not in _PLAIN):
            self._check(step)
        self.steps.append(step)
        for listener in tuple(self._listeners):
            listener()
        return self

    def _check(self, step: Step) -> None:
        __tracebackhide__ = True
        if self.steps:
            check_successor(self.steps[-1], step)
            check_end(self._ending, (step,))
        self._ending = self._ending or ending(step)

    def __add__(self, other: Script) -> Script:
        if not isinstance(other, Script):
            return NotImplemented
        return self.copy().add(other)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Script) and (self.steps, self.framing) == (other.steps, other.framing)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Script{f' {self.name!r}' if self.name else ''}: {counted(len(self.steps), 'step')}>"

    def __str__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        framing = f", framed by {self.framing!r}" if self.framing else ""
        head = f"Script{name} of {counted(len(self.steps), 'step')}{framing}"
        return "\n".join([head, *listing(self.steps)])


def _expect_problem(step: Expect, framing: Framing | None) -> str | None:
    if isinstance(step.what, CONTROL):
        return "it has no pings and pongs"
    if isinstance(step.what, OfType) and issubclass(step.what.type, str):
        return "on TCP a message is bytes; write expect(bytes)"
    if framing is None and step.framing is None and isinstance(step.what, str | bytes) and not step.what:
        return "nothing cannot be seen to arrive; give the script a framing"
    return None


def _send_problem(step: Send, framing: Framing | None) -> str | None:
    if isinstance(step.payload, CONTROL):
        return "it has no pings and pongs"
    if isinstance(step.payload, OnWire) and not isinstance(step.payload, Raw):
        return "it has no frames; raw bytes can be sent there: send(Raw(…))"
    return "it has no fragments" if isinstance(step.payload, Fragments) else None


def _close_problem(step: Close | ExpectClose, framing: Framing | None) -> str | None:
    if step.code is not None:
        return "it has no close codes"
    return "it has no close reasons" if step.reason not in (None, "") else None


_PLAIN = frozenset({Expect, Send})
_STREAM_PROBLEMS: dict[type, Callable[[Any, Framing | None], str | None]] = {
    ExpectHandshake: lambda step, framing: "it has no handshake",
    AnswerHandshake: lambda step, framing: "it has no handshake",
    Expect: _expect_problem,
    Send: _send_problem,
    Close: _close_problem,
    ExpectClose: _close_problem,
}


def _any_order(branches: tuple[tuple[Step, ...], ...]) -> AnyOrder:
    for branch in branches:
        end = ending(*branch)
        for other in branches:
            if other is not branch:
                check_end(end, other)
    return AnyOrder(branches)


def _are_scripts(branch: object) -> bool:
    """Whether somebody gave a list of branches for one."""
    return isinstance(branch, list | tuple) and len(branch) > 1 and all(isinstance(one, Script) for one in branch)


def _body(steps: tuple[object, ...], name: str) -> tuple[Step, ...]:
    body = tuple(one for step in steps for one in _steps(step, name))
    if not body:
        raise ScriptError(f"{name}() has no steps: give it a script, or steps")
    check_sequence(body)
    return body


_VERBS: dict[str, Callable[..., Script]] = {
    "expect_handshake": Script.expect_handshake,
    "expect": Script.expect,
    "send": Script.send,
    "send_fragments": Script.send_fragments,
    "malformed": Script.malformed,
    "reply": Script.reply,
    "close": Script.close,
    "abort": Script.abort,
    "fault": Script.fault,
    "pause": Script.pause,
    "expect_close": Script.expect_close,
}


def _steps(step: object, name: str) -> tuple[Step, ...]:
    """The steps in what a user gave for steps: a script, a step, a `(name, value)` pair, a list."""
    if isinstance(step, Script):
        return tuple(step.steps)
    if isinstance(step, (*RECEIVING, *GROUPS, Send, Close, Abort, Impair, Reply, Pause, AnswerHandshake)):
        return (step,)
    if isinstance(step, tuple) and step and isinstance(step[0], str):
        return _named_step(*step)
    if isinstance(step, list | tuple):
        return tuple(one for inner in step for one in _steps(inner, name))
    raise WrongType(f"{name} takes steps, scripts, or pairs such as ('expect', 'hello'), not {printed(step)}")


def _named_step(verb: str, *values: object) -> tuple[Step, ...]:
    if verb not in _VERBS:
        near = nearest(verb, _VERBS)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(_VERBS)}"
        raise ScriptError(f"there is no step called {verb!r}; {hint}")
    try:
        return tuple(_VERBS[verb](Script(), *values).steps)
    except TypeError as error:
        if isinstance(error, WrongType):
            raise
        raise ScriptError(f"the step ({verb!r}, …) takes other values: {error}") from None
