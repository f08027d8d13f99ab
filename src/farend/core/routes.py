"""What each connection meets: which script is played on it, what else a plan has for it, or why it is turned away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from farend.core.messages import Handshake, counted, printed
from farend.core.outcomes import Grounds, Outcome, Played, Refused, TlsProblem
from farend.core.plan import Plan
from farend.core.script import Script
from farend.core.steps import forever
from farend.errors import InvalidArguments, PlanError, WrongType

Scripts: TypeAlias = Script | Plan | Sequence[Script] | Mapping[str, Script | Plan | Sequence[Script]] | None


class TurnedAway(NamedTuple):
    """No script is left for this connection; `why` says it in a sentence, `status` in HTTP."""

    why: str
    status: int


class Missing(NamedTuple):
    """Attempts that a plan provides for and that nobody made: what the next would have met, and how many came."""

    route: str | None
    outcome: Outcome
    came: int
    planned: int


class Routes:
    """The scripts of one far end.

    A single script is played on every connection, each from its start. A list of scripts is played
    in turn, one on each connection, and one connection more is turned away. A plan says it attempt by attempt.
    A mapping has one of them for each path, or for each address, as clients name it in their `Host`:
    "ws://chat.example" with all its paths, or "ws://chat.example/feed"; the more exact one goes first. None
    gives each connection an open-ended script of its own.
    """

    def __init__(self, scripts: Scripts) -> None:
        __tracebackhide__ = True
        if isinstance(scripts, Script | Plan) or not isinstance(scripts, Mapping):
            self._hold({None: _turns(scripts)})
            return
        if not scripts:
            raise InvalidArguments("an empty mapping of paths: no connection could be served")
        routes: dict[str | None, _Turns | _Planned] = {}
        for path, what in scripts.items():  # no comprehension: its frame would be shown with an error
            routes[_path(path)] = _turns(what)
        self._hold(routes)

    def _hold(self, routes: dict[str | None, _Turns | _Planned]) -> None:
        self._routes = routes
        self.planned = any(isinstance(turns, _Planned) for turns in routes.values())
        """Whether a plan says what attempts meet."""
        door = routes.get(None)
        self._door = door if isinstance(door, _Planned) else None
        """The plan that needs no path to be known."""

    def check(self, grounds: Grounds, where: str) -> None:
        """Raise `ScriptError`, or `PlanError`, for what cannot be done there; `where` is what the text calls it."""
        __tracebackhide__ = True
        if grounds.stream:
            for script in self.scripts():
                script.check_for_stream()
        for path, turns in self._routes.items():
            if isinstance(turns, _Planned):
                turns.plan.check(grounds._replace(by_path=path is not None), where)

    def scripts(self) -> Iterator[Script]:
        """Every script there is."""
        for turns in self._routes.values():
            yield from turns.scripts

    @property
    def empty(self) -> bool:
        """Whether there is no script, so that all is up to the test."""
        return not self.planned and not any(True for _ in self.scripts())

    @property
    def tls_faults(self) -> set[TlsProblem]:
        """The ways in which TLS goes wrong."""
        return set() if self._door is None else self._door.plan.tls_faults

    @property
    def refuses(self) -> bool:
        """Whether attempts are still to be refused."""
        return self._door is not None and self._door.refuses

    @property
    def refuses_all(self) -> bool:
        """Whether all attempts are refused from now on."""
        return self._door is not None and self._door.refuses_all

    @property
    def decides_at_the_door(self) -> bool:
        """Whether it is said what an attempt meets before anything came from it."""
        return self._door is not None

    def next_at_the_door(self) -> Outcome | TurnedAway:
        """What the attempt meets that is being made."""
        assert self._door is not None
        return self._door.next()

    def next_outcome(self, handshake: Handshake | None) -> Outcome | TurnedAway:
        """What the connection meets that just came."""
        turns = self._route(handshake)
        if isinstance(turns, _Planned):
            return turns.next()
        script = self.next_script(handshake)
        return script if isinstance(script, TurnedAway) else Played(script)

    def missing(self) -> list[Missing]:
        """What plans provide for, and nobody came for."""
        return [
            Missing(path, outcome, turns.begun, turns.least)
            for path, turns in self._routes.items()
            if isinstance(turns, _Planned) and (outcome := turns.missing) is not None
        ]

    def next_script(self, handshake: Handshake | None) -> Script | TurnedAway:
        """The script for the connection that just came."""
        turns = self._route(handshake)
        if turns is None:
            served = ", ".join(str(path) for path in self._routes)
            path = handshake.path if handshake else None
            return TurnedAway(f"The near end connected to {path!r}, and no script is there (there is {served}).", 404)
        assert isinstance(turns, _Turns)
        return turns.next()

    def _route(self, handshake: Handshake | None) -> _Turns | _Planned | None:
        """Whose turn it is: the address's with its path, else the address's, else the path's, else everybody's."""
        if handshake is not None and len(self._routes) + (None not in self._routes) > 1:
            host, path = handshake.host, handshake.path
            for key in (host + path, host, path):
                if key in self._routes:
                    return self._routes[key]
        return self._routes.get(None)

    def met(self, path: str | None) -> tuple[int, int]:
        """How many connections came for the scripts of this route, and for how many there are scripts."""
        turns = self._routes[path]
        return turns.begun, len(turns.scripts)

    def number(self, path: str | None, script: Script, behind: int) -> int:
        """The number of a script in its list, from 1, where it is behind so many."""
        return next(at for at, one in enumerate(self._routes[path].scripts[behind:], behind + 1) if one is script)

    def unmet(self) -> list[tuple[str | None, Script]]:
        """The scripts that have steps and that nobody came for, with their path."""
        return [
            (path, script)
            for path, turns in self._routes.items()
            if isinstance(turns, _Turns)
            for script in turns.scripts[turns.begun :]
            if script.steps
        ]


class _Turns:
    """The scripts of one route."""

    def __init__(self, scripts: Script | Sequence[Script] | None) -> None:
        __tracebackhide__ = True
        self.begun = 0
        self.everyone = scripts is None or isinstance(scripts, Script)
        self.fresh = scripts is None
        if isinstance(scripts, Script):
            self.scripts: list[Script] = [scripts]
        else:
            self.scripts = [] if scripts is None else _checked(scripts)

    def next(self) -> Script | TurnedAway:
        self.begun += 1
        if self.fresh:
            return Script(open_ended=True)
        if self.everyone:
            return self.scripts[0]
        if self.begun > len(self.scripts):
            number = len(self.scripts)
            provided = "is a script for 1 connection" if number == 1 else f"are scripts for {number} connections"
            return TurnedAway(f"A connection came that the test does not provide for: there {provided}.", 503)
        return self.scripts[self.begun - 1]


class _Planned:
    """The plan of one route, and how far it has come."""

    def __init__(self, plan: Plan) -> None:
        __tracebackhide__ = True
        if not plan.steps:
            raise PlanError("an empty plan: no attempt could be answered; write Plan().play(script)")
        self.plan = plan.copy()
        self.scripts = list(plan.scripts())
        self.begun = 0
        self._at = 0
        self._met = 0.0

    @property
    def least(self) -> int:
        """How many attempts there have to be: of a step for ever none, or one where it plays a script."""
        return sum(int(times) if times != forever else _has_steps(outcome) for outcome, times in self.plan)

    @property
    def missing(self) -> Outcome | None:
        """What the next attempt would meet, where there has to be one."""
        return self.plan.steps[self._at].outcome if self.begun < self.least else None

    @property
    def refuses(self) -> bool:
        return any(isinstance(outcome, Refused) for outcome, _ in self.plan.steps[self._at :])

    @property
    def refuses_all(self) -> bool:
        step = self.plan.steps[self._at] if self._at < len(self.plan.steps) else None
        return step is not None and isinstance(step.outcome, Refused) and step.times == forever

    def next(self) -> Outcome | TurnedAway:
        self.begun += 1
        if self._at == len(self.plan.steps):
            provided = counted(int(self.plan.attempts), "attempt")
            return TurnedAway(
                f"An attempt to connect came that the plan does not provide for: it is for {provided}. "
                "If the last step may come again, write times=forever there.",
                503,
            )
        outcome, times = self.plan.steps[self._at]
        self._met += 1
        if self._met == times:
            self._at, self._met = self._at + 1, 0.0
        return outcome


def _has_steps(outcome: Outcome) -> bool:
    return isinstance(outcome, Played) and outcome.script is not None and len(outcome.script) > 0


def _turns(what: Script | Plan | Sequence[Script] | None) -> _Turns | _Planned:
    __tracebackhide__ = True
    return _Planned(what) if isinstance(what, Plan) else _Turns(what)


def _checked(scripts: Sequence[Script]) -> list[Script]:
    __tracebackhide__ = True
    if isinstance(scripts, str | bytes) or not isinstance(scripts, Sequence):
        raise WrongType(
            f"a far end takes a Script, a list of them, or a mapping of paths; or a Plan, not {printed(scripts)}"
        )
    for script in scripts:
        if isinstance(script, Plan):
            raise WrongType("a list of scripts has a Plan in it: a plan stands alone, or for a path")
        if not isinstance(script, Script):
            raise WrongType(
                f"a list of scripts, one for each connection, has {printed(script)} in it; is a Script meant?"
            )
    return list(scripts)


def _path(path: object) -> str:
    """A path, or an address as clients write it into the `Host` of their handshake, with its path if it has one."""
    __tracebackhide__ = True
    if not isinstance(path, str):
        raise WrongType(f"a mapping of paths has {printed(path)} for a path; write '/feed'")
    if "://" in path:
        return _address(path)
    if not path.startswith("/"):
        raise InvalidArguments(f"the path {path!r} needs a '/' in front: write {'/' + path!r}")
    return path


def _address(url: str) -> str:
    __tracebackhide__ = True
    parts = urlsplit(url)
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.hostname or parts.query:
        raise InvalidArguments(f"{url!r} is no address of a WebSocket: write 'ws://chat.example', or with a path")
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(f":{port}")
    return host + ("" if parts.path == "/" else parts.path)


_DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
