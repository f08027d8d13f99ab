"""What each connection attempt meets in turn, written fluently, as data.

Plan().refuse(2).reject(503).play(script, then_abort(after=3)).play(script)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from farend.core import arguments
from farend.core.commands import Abort, Close, Drop, Stall
from farend.core.faults import Fault, checked
from farend.core.messages import counted, printed
from farend.core.outcomes import (
    BadTls,
    Ending,
    Grounds,
    LetDown,
    Outcome,
    Played,
    Point,
    Refused,
    Rejected,
    TlsProblem,
    WrongAccept,
)
from farend.core.script import Script
from farend.core.steps import forever
from farend.errors import PlanError, WrongType


class PlanStep(NamedTuple):
    """An outcome, for so many attempts in a row; `forever` for all that come."""

    outcome: Outcome
    times: float


class Plan:
    """What each attempt to connect to a server meets, one after the other.

    Every method adds a step and gives the plan back; `times` is how many attempts meet it, 1 unless you say, and
    `forever` for each that comes from then on. One attempt more than the plan has is turned away, and is a
    finding; so is one that nobody made. A step for ever may be met by nobody, unless it plays a script. A server
    takes a plan wherever it takes a script, and in a mapping of paths; what it has by then is what it plays.

    >>> print(Plan().refuse(2).reject(503).play(Script().expect("hello").send("there")))
    Plan of 4 attempts
      1-2. refuse
      3.   reject 503
      4.   play (2 steps)

    Raises `PlanError` or `WrongType` at the line that writes what cannot be.
    """

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[PlanStep] = []

    # -- before there is a conversation -----------------------------------------------------------

    def refuse(self, times: float = 1) -> Plan:
        """Nobody listens: the client gets `ECONNREFUSED`.

        So it is for clients in the test's own process, whose attempts are seen, and counted, before they are
        made. One from another process is let in and reset at once, since the system tells nobody whom it
        has refused; but where a plan begins with `refuse(forever)`, nobody listens for any of them.
        """
        __tracebackhide__ = True
        return self._add(Refused(), times)

    def reject(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: str | bytes = "",
        *,
        times: float = 1,
    ) -> Plan:
        """Answer the upgrade with this HTTP status, from 200 to 599, in place of the 101 (RFC 6455, 4.2.2).

        The answer says `Connection: close`, and the length of the `body`, unless the `headers` do.

        >>> print(Plan().reject(429, {"Retry-After": "2"}, "slower, please"))
        Plan of 1 attempt
          1. reject 429
        """
        __tracebackhide__ = True
        if not isinstance(status, int) or isinstance(status, bool):
            raise WrongType(f"reject() takes an HTTP status such as 503, not {printed(status)}")
        if not 200 <= status <= 599:
            raise PlanError(f"reject({status}): an answer that turns away has a status from 200 to 599")
        if not isinstance(body, str | bytes):
            raise WrongType(f"reject() takes the body as text or bytes, not {printed(body)}")
        return self._add(Rejected(status, _headers(headers), body), times)

    def stall(self, after: Point = "connect", *, times: float = 1) -> Plan:
        """Half-open silence: from then on the far end reads nothing and answers nothing, and keeps the connection.

        `after` "connect" it never says a word, of TLS neither; "request" has read the request to open a
        WebSocket; "handshake" has answered it.
        """
        __tracebackhide__ = True
        return self._add(LetDown(Stall(), _point(after, "stall")), times)

    def reset(self, after: Point = "connect", *, times: float = 1) -> Plan:
        """Cut the connection with a reset (RST); `after` is as for `stall`."""
        __tracebackhide__ = True
        return self._add(LetDown(Abort(), _point(after, "reset")), times)

    def drop(self, after: Point = "connect", *, times: float = 1) -> Plan:
        """End the connection without a word, a close frame neither (1006); `after` is as for `stall`."""
        __tracebackhide__ = True
        return self._add(LetDown(Drop(), _point(after, "drop")), times)

    def wrong_accept(self, *, times: float = 1) -> Plan:
        """Answer the upgrade with a wrong `Sec-WebSocket-Accept`: a client has to fail (RFC 6455, 4.1)."""
        __tracebackhide__ = True
        return self._add(WrongAccept(), times)

    def tls(self, fault: TlsProblem, *, times: float = 1) -> Plan:
        """Let TLS go wrong: the certificate is "expired", another name's ("wrong name") or "untrusted"; or a "cut".

        "cut" is a reset when the client has said its first words. A client that goes on with a bad certificate is
        a finding.
        """
        __tracebackhide__ = True
        if fault not in get_args(TlsProblem):
            raise (PlanError if isinstance(fault, str) else WrongType)(
                f"tls({printed(fault)}): there are {', '.join(map(repr, get_args(TlsProblem)))}"
            )
        return self._add(BadTls(fault), times)

    # -- a conversation ---------------------------------------------------------------------------

    def play(
        self,
        script: Script | None = None,
        ending: Ending | None = None,
        *,
        faults: Iterable[Fault] | Fault = (),
        times: float = 1,
    ) -> Plan:
        """Play the script, to its end or to an `ending`: `then_abort`, `then_drop`, `then_stall`, `then_close`.

        None leaves the connection to the test (`await server.connection()`). `faults` are done to this connection,
        from the answer to its handshake on: `faults=[Latency(0.05)]` (`docs/faults.md`).

        >>> from farend import then_abort
        >>> print(Plan().play(Script().expect("subscribe").send("1").send("2"), then_abort(after=2)))
        Plan of 1 attempt
          1. play (3 steps), then_abort after 2 messages
        """
        __tracebackhide__ = True
        if ending is not None and not isinstance(ending, Ending):
            raise WrongType(
                f"play() takes an ending such as then_abort(after=3) behind the script, not {printed(ending)}"
            )
        _check_script(script, "play")
        if script is not None and ending is not None and (most := ending.surplus(script)) is not None:
            raise PlanError(f"{ending.title}: the script has no more than {counted(most, 'message')} of that kind")
        return self._add(Played(script, ending, faults=checked(faults)), times)

    def slow_handshake(self, seconds: float, script: Script | None = None, *, times: float = 1) -> Plan:
        """Answer the upgrade after so many `seconds`, and play the script then."""
        __tracebackhide__ = True
        _check_script(script, "slow_handshake")
        delay = arguments.seconds(seconds, "slow_handshake(seconds)", PlanError)
        if delay is None:
            raise WrongType("slow_handshake() takes a number of seconds")
        return self._add(Played(script, None, delay), times)

    # -- as a whole -------------------------------------------------------------------------------

    def scripts(self) -> Iterator[Script]:
        """Every script in it."""
        for outcome, _ in self.steps:
            if isinstance(outcome, Played) and outcome.script is not None:
                yield outcome.script

    @property
    def tls_faults(self) -> set[TlsProblem]:
        """The ways in which it lets TLS go wrong."""
        return {outcome.fault for outcome, _ in self.steps if isinstance(outcome, BadTls)}

    def check(self, grounds: Grounds, where: str) -> None:
        """Raise `PlanError` for a step that cannot be had there; `where` is what the text calls it."""
        __tracebackhide__ = True
        for outcome, _ in self.steps:
            if problem := outcome.problem(grounds):
                raise PlanError(f"'{outcome.title}' cannot be done by {where}: {problem}")

    def copy(self) -> Plan:
        """A plan with the same steps, which can be added to without changing this one."""
        twin = Plan()
        twin.steps = list(self.steps)
        return twin

    def _add(self, outcome: Outcome, times: float) -> Plan:
        __tracebackhide__ = True
        if times != forever and (not isinstance(times, int) or isinstance(times, bool)):
            raise WrongType(f"times= takes a number of attempts, or farend.forever, not {printed(times)}")
        if times < 1:
            raise PlanError(f"times={times}: a step is for one attempt at least; leave the step out for none")
        if self.steps and self.steps[-1].times == forever:
            raise PlanError(
                f"'{outcome.title}' cannot follow '{self.steps[-1].outcome.title}' for ever: no attempt gets that far"
            )
        self.steps.append(PlanStep(outcome, times))
        return self

    if not TYPE_CHECKING:  # a type checker would take every misspelt step for something of type Any

        def __getattr__(self, name: str) -> object:
            near = _SYNONYMS.get(name)
            if near is None and not name.startswith("_"):
                names = [one for one in dir(type(self)) if one[0] != "_"]
                near = next(iter(difflib.get_close_matches(name, names, 1)), None)
            hint = f"; did you mean {near!r}?" if near else ""
            raise AttributeError(f"a Plan has no {name!r}{hint}", name=name, obj=None)

    def __iter__(self) -> Iterator[PlanStep]:
        return iter(self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.steps == other.steps

    __hash__ = None  # type: ignore[assignment]

    @property
    def attempts(self) -> float:
        """How many attempts it provides for; `forever` where there is no end."""
        return sum(times for _, times in self.steps)

    def __repr__(self) -> str:
        return f"<Plan: {_counted(self.attempts)}>"

    def __str__(self) -> str:
        lines = []
        first = 1.0
        for outcome, times in self.steps:
            last = first + times - 1
            number = (
                f"{first:.0f}-" if times == forever else f"{first:.0f}-{last:.0f}." if times > 1 else f"{first:.0f}."
            )
            lines.append((number, outcome.title))
            first = last + 1
        width = max((len(number) for number, _ in lines), default=0)
        return "\n".join(
            [f"Plan of {_counted(self.attempts)}", *(f"  {number:<{width}} {title}" for number, title in lines)]
        )


def _counted(attempts: float) -> str:
    return "attempts without end" if attempts == forever else counted(int(attempts), "attempt")


# -- endings ----------------------------------------------------------------------------------------


def then_abort(after: int | None = None, *, sent: int | None = None, received: int | None = None) -> Ending:
    """End a script of a plan with a reset (RST), once so many messages were said.

    `after` counts those of both sides, `sent` the far end's, `received` the near end's; with none of them, the
    script's end is where it happens. So it is where a script is over before, and the steps that are left then
    are nobody's mistake.

    >>> then_abort(after=3).title
    'then_abort after 3 messages'
    """
    __tracebackhide__ = True
    return _ending(Abort(), after, sent, received)


def then_drop(after: int | None = None, *, sent: int | None = None, received: int | None = None) -> Ending:
    """`then_abort`, with an end of the stream in place of a reset: on a WebSocket, without a close frame (1006)."""
    __tracebackhide__ = True
    return _ending(Drop(), after, sent, received)


def then_stall(after: int | None = None, *, sent: int | None = None, received: int | None = None) -> Ending:
    """`then_abort`, with half-open silence in place of a reset: nothing more is read, answered or said."""
    __tracebackhide__ = True
    return _ending(Stall(), after, sent, received)


def then_close(
    code: int | None = None,
    reason: str = "",
    *,
    after: int | None = None,
    sent: int | None = None,
    received: int | None = None,
) -> Ending:
    """`then_abort`, with an end in order: on a WebSocket, a close frame with this code (1000) and reason."""
    __tracebackhide__ = True
    close = Script().close(code, reason).steps[0]
    assert isinstance(close, Close)
    return _ending(close, after, sent, received)


def _ending(command: Abort | Drop | Stall | Close, after: Any, sent: Any, received: Any) -> Ending:
    __tracebackhide__ = True
    given = {"after": after, "sent": sent, "received": received}
    counts = [(name, count) for name, count in given.items() if count is not None]
    if not counts:
        return Ending(command)
    name, count = counts[0]
    if len(counts) > 1:
        raise PlanError(f"an ending counts one thing: {' or '.join(f'{name}=' for name, _ in counts)}")
    if not isinstance(count, int) or isinstance(count, bool):
        raise WrongType(f"{name}= takes a number of messages, not {printed(count)}")
    if count < 1:
        raise PlanError(f"{name}={count}: it takes one message at least; for none, write .reset(), .drop() or .stall()")
    return Ending(command, count, _BY[name])


_BY: Final[dict[str, Any]] = {"after": "either", "sent": "far end", "received": "near end"}
_SYNONYMS: Final = {
    "abort": "reset",
    "rst": "reset",
    "deny": "reject",
    "accept": "play",
    "hang": "stall",
    "close": "drop",
    "script": "play",
    "send": "play",
    "expect": "play",
    "expired": "tls",
    "untrusted": "tls",
}


# -- what users write, checked ----------------------------------------------------------------------


def _check_script(script: object, name: str) -> None:
    __tracebackhide__ = True
    if isinstance(script, list | tuple):
        raise WrongType(f"{name}() takes one script; write .{name}(…) for each of the {len(script)}")
    if script is not None and not isinstance(script, Script):
        raise WrongType(f"{name}() takes a Script, not {printed(script)}")


def _point(after: object, name: str) -> Point:
    __tracebackhide__ = True
    for point in get_args(Point):
        if after == point:
            return point  # type: ignore[no-any-return]
    raise (PlanError if isinstance(after, str) else WrongType)(
        f"{name}(after={printed(after)}): there are {', '.join(map(repr, get_args(Point)))}"
    )


def _headers(headers: object) -> tuple[tuple[str, str], ...]:
    __tracebackhide__ = True
    pairs = []
    for name, value in (arguments.fields(headers, "headers") or {}).items():
        if not isinstance(value, str):
            raise WrongType(f"headers={{{name!r}: {printed(value)}}}: a header that is sent is text")
        if not (name + value).isprintable() or not (name + value).isascii() or ":" in name or not name.strip():
            raise PlanError(f"headers={{{name!r}: {printed(value)}}}: that is no header field (RFC 9110, 5)")
        pairs.append((name, value))
    return tuple(pairs)
