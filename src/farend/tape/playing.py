"""A tape as a script: what one side said is sent, once the other has said what it had said before it on the tape.

The steps are read when they are needed, and let go once they are played: a tape may be larger than memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, overload

from farend.core.arguments import EXTERNAL_CLOSE_CODES
from farend.core.commands import Abort, Close, Send
from farend.core.faults import Ability
from farend.core.framing import Exactly, Framing, FramingError, UntilPattern
from farend.core.matchers import Change, Equal, Matcher
from farend.core.messages import Fragments, Payload, Ping
from farend.core.script import Script
from farend.core.steps import Expect, ExpectClose, ExpectHandshake, Optional, Reply, Step
from farend.errors import ScriptError, WrongState
from farend.tape.format import Kind, Line, Side
from farend.tape.ids import Ids, as_text, has_token, redacted
from farend.tape.index import Index, Taped
from farend.tape.matching import Rules, expected

NotedByNumber: TypeAlias = Callable[[int, Sequence[Change]], None]
KEPT: Final = 10_000
"""Entries of its transcript that a tape being replayed keeps, of the last ones."""
LOST: Final = 1006
"""The close code of a WebSocket that ended without a close frame (RFC 6455, 7.1.5)."""
BEHIND: Final = 128
"""Steps that were played and are kept, for reports to tell of."""
AHEAD: Final = 20
"""Steps that a report is given of what was not played."""


class TapeScript(Script):
    """The script of one connection of a tape, for one side of it; it can be played once.

    `ours` is the side that farend plays. `noted`, where given, is told what differs in a message that came, by the
    number that the message has on its connection; that is no failure then.
    """

    keeps = KEPT

    def __init__(
        self, tape: Index, connection: Taped, rules: Rules, *, ours: Side = "server", noted: NotedByNumber | None = None
    ) -> None:
        several = f", connection {connection.number}" if len(tape.connections) > 1 else ""
        super().__init__(name=f"{tape.path.name}{several}")
        self.in_turn = rules.strict  # type: ignore[misc]  # a class of scripts has it, or a single one

        def steps() -> Iterator[Step]:
            return _Translation(tape, connection, rules, ours, noted).steps()

        self.steps: Any = TapeSteps(steps)

    def check_for_stream(self) -> None:
        """A tape's wire says itself on what it was recorded."""

    def check_faults(self, ability: Ability, where: str) -> None:
        """There are none on a tape."""

    def check_without_wire(self, where: str) -> None:
        """No tape has steps that only a wire can carry."""

    def check_for_client(self) -> None:
        """No tape answers a handshake."""

    def _append(self, step: Step) -> Script:
        raise WrongState("a tape's script is read while it is played: to add to it, take a copy: script.copy()")


class Rest(Sequence[Step]):
    """The steps that are left: how many, and the first of them."""

    __slots__ = ("_first", "_length")

    def __init__(self, first: Sequence[Step], length: int) -> None:
        self._first = tuple(first)
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, index: int | slice) -> Step | tuple[Step, ...]:
        return self._first[index]


class TapeSteps(Sequence[Step]):
    """The steps, read in order by who plays them; the ones that were played long ago are gone.

    `translated` begins to read them; it is called twice, for their number has to be known from the first step on.
    """

    def __init__(self, translated: Callable[[], Iterator[Step]]) -> None:
        self._length = sum(1 for _ in translated())
        self._steps = translated()
        self._window: deque[Step] = deque()
        self._first = 0

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Rest: ...
    def __getitem__(self, index: int | slice) -> Step | Rest:
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._length)
            return Rest([self[at] for at in range(start, min(stop, start + AHEAD))], max(stop - start, 0))
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(index)
        while index >= self._first + len(self._window):
            self._window.append(self._read())
            if len(self._window) > BEHIND + AHEAD:
                self._window.popleft()
                self._first += 1
        if index < self._first:
            raise WrongState(f"step {index + 1:,} of the tape was played, and let go")
        return self._window[index - self._first]

    def _read(self) -> Step:
        try:
            return next(self._steps)
        except StopIteration:
            raise WrongState("the tape has become shorter while it was replayed") from None


_Body: TypeAlias = list[Step]


class _Translation:
    """The lines of one connection on their way to be steps."""

    def __init__(self, tape: Index, connection: Taped, rules: Rules, ours: Side, noted: NotedByNumber | None) -> None:
        self._tape = tape
        self._connection = connection
        self._rules = rules
        self._ours = ours
        self._noted = noted
        self._ids = Ids(rules.correlate)
        self._stream = tape.header.wire == "tcp"
        self._cutter = _Cutter(rules.framing) if self._stream and rules.framing is not None else None
        self._ended = self._theirs_ended = False
        self._is_left_out = False
        self._heard = 0

    def steps(self) -> Iterator[Step]:
        """The steps; one that may be left out has those in it that the far end says then."""
        left_out: _Body = []
        end: ExpectClose | None = None
        for step in self._plain_steps():
            if end is not None:
                yield end  # the far end had still something to say: it waits until the other side is done
                end = None
            if isinstance(step, ExpectClose):
                if left_out:
                    yield Optional(tuple(left_out))
                    left_out = []
                end = step
                continue
            if isinstance(step, Expect):
                if left_out:
                    yield Optional(tuple(left_out))
                    left_out = []
                if self._is_left_out:
                    left_out = [step]
                    continue
            elif left_out:
                left_out.append(step)
                continue
            yield step
        if left_out:
            yield Optional(tuple(left_out))
        if end is not None and self._rules.strict:
            yield end
        elif end is not None and not self._stream and end.code != LOST:
            # Who still holds its connection when the test is over has said all the same.
            yield Optional((end,))

    def _plain_steps(self) -> Iterator[Step]:
        if not self._stream and self._ours == "server":
            yield self._handshake()
        for line in self._tape.lines(self._connection):
            translate = _LINES.get(line.kind)
            if translate is not None and not (self._ended and line.kind in _AFTER_THE_END):
                yield from translate(self, line)
        yield from self._rest_of_stream()

    def _handshake(self) -> ExpectHandshake:
        taped = self._connection
        parts = self._rules.handshake
        ids = Ids(self._rules.correlate)
        named = {part: taped.header(part) for part in parts if part not in ("path", "query", "subprotocols", "origin")}
        return ExpectHandshake(
            path=_loosely(taped.path, ids) if "path" in parts else None,
            query={key: _loosely(value, ids) for key, value in taped.query.items()} if "query" in parts else None,
            headers={name: _loosely(value, ids) for name, value in named.items() if value is not None},
            origin=taped.header("origin") if "origin" in parts else None,
            subprotocols=taped.subprotocols if "subprotocols" in parts else None,
        )

    # -- what the lines say -----------------------------------------------------------------------

    def _message(self, line: Line) -> Iterator[Step]:
        if line.payload is None:
            return
        if line.sender == self._ours:
            yield self._said_later(line) if self._is_left_out else Send(self._said(line))
            return
        messages: Sequence[str | bytes] = [line.payload]
        framing: Framing | None = None
        if self._cutter is not None:
            assert isinstance(line.payload, bytes)
            messages, framing = self._cutter.cut(line.payload), self._rules.framing
        for message in messages:
            self._is_left_out = self._rules.allows_unplayed(message)
            self._heard += 1
            noted = partial(self._noted, self._heard) if self._noted is not None else None
            what = expected(message, self._rules, self._ids, noted)
            own = framing
            if self._stream and framing is None and isinstance(what, Matcher):
                secret = redacted(as_text(message))
                # As many bytes as there were: an id has the length of another. What was redacted may have any.
                own = Exactly(len(message)) if secret is None else UntilPattern(secret)
            yield Expect(what, own)

    def _said(self, line: Line) -> Payload:
        payload: str | bytes = self._ids.put_back(line.payload)
        if line.fragments and sum(line.fragments) == len(payload if isinstance(payload, bytes) else payload.encode()):
            parts = _parts(payload, line.fragments)
            if parts is not None:
                return Fragments(parts)
        return payload

    def _said_later(self, line: Line) -> Reply:
        """A message that is said only if another one comes: the ids in it are known then, and not yet."""

        def tape(_: object) -> Payload:
            return self._said(line)

        return Reply(tape)

    def _ping(self, line: Line) -> Iterator[Step]:
        if line.sender == self._ours:  # the other side's libraries answer them, and say theirs when they like
            yield Send(Ping(_as_bytes(line.payload)))

    def _close(self, line: Line) -> Iterator[Step]:
        self._ended = True
        if line.sender == self._ours:
            yield Close(line.code if _can_be_sent(line.code) else None, line.reason)
        else:
            yield ExpectClose(line.code or 1005)

    def _end(self, line: Line) -> Iterator[Step]:
        if line.sender == self._ours:
            if not self._theirs_ended:  # a connection that both sides have ended is closed anyhow
                yield Close() if self._stream else Abort()
            self._ended = True
        elif self._stream:
            self._theirs_ended = True
            yield from self._rest_of_stream()
            yield ExpectClose()
        else:
            self._ended = True
            yield ExpectClose(LOST)

    def _abort(self, line: Line) -> Iterator[Step]:
        self._ended = True
        if line.sender == self._ours:
            yield Abort()
        else:
            yield ExpectClose(reset=True) if self._stream else ExpectClose(LOST)

    def _raw(self, line: Line) -> Iterator[Step]:
        raise ScriptError(
            f"{self._tape.path}: on connection {line.connection}, the {line.sender} broke the WebSocket protocol, "
            "and what is no message cannot be replayed: play those bytes with a script of your own"
        )
        yield

    def _rest_of_stream(self) -> Iterator[Step]:
        rest = self._cutter.rest() if self._cutter is not None else b""
        if rest:
            yield Expect(rest, Exactly(len(rest)))


_Translate: TypeAlias = Callable[[_Translation, Line], Iterator[Step]]
_LINES: Final[dict[Kind, _Translate]] = {
    Kind.MESSAGE: _Translation._message,
    Kind.PING: _Translation._ping,
    Kind.CLOSE: _Translation._close,
    Kind.END: _Translation._end,
    Kind.ABORT: _Translation._abort,
    Kind.RAW: _Translation._raw,
}
"""What has no row is no step: the handshake, pongs (the wire answers pings itself), notes."""
_AFTER_THE_END: Final = (Kind.MESSAGE, Kind.PING, Kind.CLOSE, Kind.END, Kind.ABORT)


class _Cutter:
    """Cuts the bytes of one direction into the messages that a framing makes of them."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._data = bytearray()

    def cut(self, data: bytes) -> list[bytes]:
        self._data += data
        messages = []
        try:
            while self._data and (cut := self._framing.cut(self._data, quiet=False)) is not None:
                messages.append(cut.message)
                del self._data[: cut.end]
        except FramingError as error:
            raise ScriptError(f"{self._framing!r} does not cut what is on the tape: {error}") from None
        return messages

    def rest(self) -> bytes:
        rest = bytes(self._data)
        self._data.clear()
        return rest


class _Loose(Matcher):
    """A part of a handshake, but for ids and for what was redacted."""

    __slots__ = ("ids", "taped")

    def __init__(self, taped: str, ids: Ids) -> None:
        self.taped = taped
        self.ids = ids

    def difference(self, got: object) -> Any:
        if isinstance(got, str) and self.ids.same(self.taped, got) is not None:
            return None
        return Equal(self.taped).difference(got)

    def describe(self) -> str:
        return repr(self.taped)


def _loosely(value: str, ids: Ids) -> object:
    return _Loose(value, ids) if has_token(value) else value


def _parts(payload: str | bytes, sizes: Sequence[int]) -> Any:
    """The message in its fragments; None where a fragment would end inside of a character."""
    raw = payload if isinstance(payload, bytes) else payload.encode()
    parts: list[Any] = []
    at = 0
    for size in sizes:
        parts.append(raw[at : at + size])
        at += size
    if isinstance(payload, bytes):
        return tuple(parts)
    try:
        return tuple(part.decode() for part in parts)
    except UnicodeDecodeError:
        return None


def _as_bytes(payload: str | bytes | None) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload or b""


def _can_be_sent(code: int | None) -> bool:
    return code is not None and (code in EXTERNAL_CLOSE_CODES or 3000 <= code <= 4999)
