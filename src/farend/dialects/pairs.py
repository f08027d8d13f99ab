"""Scripts as pairs: what the client says, and what it is answered. The notation of seed 000.

    communication = [
        ("hello", "there"),           # the client says "hello", and is answered "there"
        ("list", ["one", "two"]),     # answered with two messages
        ("quit", None),               # not answered
        (None, "bye"),                # the far end speaks unprompted
    ]

`assert_communication` plays pairs and checks them, `respond_with` answers and checks nothing. Pairs
that a real server has played can be written down, and read back: see `written.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Final, TypeAlias, Unpack

from farend.core import arguments
from farend.core.commands import Send
from farend.core.findings import (
    Candidate,
    EndedEarly,
    Finding,
    Mismatch,
    NobodyConnected,
    NotPlayed,
    Place,
    TimedOut,
    Unexpected,
    UnexpectedConnection,
)
from farend.core.matchers import Matcher, anything
from farend.core.messages import Payload, printed
from farend.core.script import Script
from farend.core.steps import UNSET, Expect, Step, forever
from farend.errors import Failure, InvalidArguments, WrongType
from farend.stage.servers import WebSocketOptions, WebSocketServer

Pair: TypeAlias = tuple[Any, Payload | Iterable[Payload] | None]
"""What the client says (None for nothing), and what it is answered (None for nothing, a list for several)."""

MOST_PAIRS: Final = 20
"""Pairs that an exception's text lists."""
MOST_CHARACTERS: Final = 2_000
"""Characters, or bytes, of a message that an exception's text quotes."""


def assert_communication(
    port: int = 0, communication: Iterable[Pair] = UNSET, **options: Unpack[WebSocketOptions]
) -> PairsServer:
    """A WebSocket server on `port` that plays the pairs with one client, and fails if the client does not.

    >>> from farend import assert_communication
    >>> from websockets.sync.client import connect
    >>> with assert_communication(port=0, communication=[("hello", "there")]) as server:
    ...     with connect(f"ws://localhost:{server.port}") as client:
    ...         client.send("hello")
    ...         client.recv()
    'there'

    Use it with `async with` in an `async` test, and with `with` in a plain one; its value is the server,
    whose `port` and `url` say where it listens. `port` 0 lets the system choose.

    `communication` is any iterable of pairs, one for each message of the client's, in order. The first
    of a pair is what the client is to say: text, bytes, or whatever `Script.expect` takes (`json(…)`,
    `regex(…)`, a function, a dirty-equals type); None is nothing, and the far end speaks unprompted. The
    second is the answer: text, bytes, a list of these, or None for no answer. With no pairs at all,
    nobody needs to connect, and nobody may say anything.

    All other keywords are those of `WebSocketServer`: `deadline` (how long each wait may last, in
    seconds), `host`, `tls`, `subprotocols`, `name` and so on.

    Leaving the `with` waits for what is left, and raises `Failure`, which is an `AssertionError`, if the
    client said something else, or less, or more, or if a second client came. A message that differs ends
    the connection at once, so that a client that waits for its answer does not hang; the exception that
    it raises then becomes the cause of the `Failure`. Any other exception comes through unchanged. The
    text is the short one of seed 000; the whole failure screen stands beside it as a note.

    Raises `WrongType` or `InvalidArguments` for what are no pairs, and `AddressError` on entering, if
    the port is taken.
    """
    return PairsServer(communication, port=port, **options)


def respond_with(
    port: int = 0, responses: Iterable[Payload] = UNSET, **options: Unpack[WebSocketOptions]
) -> RespondingServer:
    """A WebSocket server on `port` that answers every message with all the responses, in order.

    >>> from farend import respond_with
    >>> from websockets.sync.client import connect
    >>> with respond_with(port=0, responses=["General", "Kenobi"]) as server:
    ...     with connect(server.url) as client:
    ...         client.send("Hello there")
    ...         client.recv(), client.recv()
    ('General', 'Kenobi')

    What clients say, how many come, and when they leave, is not checked, and nobody needs to come. Used
    as `assert_communication` is, with the same other keywords. Raises `WrongType` for what cannot be
    said. Leaving the `with` raises `Failure` only where a client broke the WebSocket protocol, or did
    not read its answers within the deadline.
    """
    return RespondingServer(responses, port=port, **options)


class PairsServer(WebSocketServer):
    """What `assert_communication` gives: a `WebSocketServer` whose failures have the texts of seed 000."""

    def __init__(self, communication: Iterable[Pair], *, port: int = 0, **options: Unpack[WebSocketOptions]) -> None:
        self._pairs = list(_pairs(communication))
        self._script = _script(self._pairs)
        super().__init__([self._script], port=port, **options)

    def _failure(self, findings: Sequence[Finding]) -> Failure:
        from farend.report.text import screen

        failure = Failure(self._told_in_short(findings[0]), findings)
        failure.add_note("\n" + screen(findings))
        return failure

    def _told_in_short(self, finding: Finding) -> str:
        """The text of the exception; seed 000 and its released tool have the first three."""
        place = finding.place
        match finding:
            case Mismatch(candidates=(Candidate(step=Expect(what=expected)), *_)):
                return _wrong_message(self._expects(place), _quoted(expected), finding.got)
            case NobodyConnected() | EndedEarly() | TimedOut() | NotPlayed() if self._awaits(place):
                if not _has_spoken(place):
                    return "Did not receive any messages."
                return f"No more input messages. Expecting more: {_listed(self._rest(place))}"
            case Unexpected():
                return _wrong_message(self._expects(place) + 1, "nothing more", finding.got)
            case UnexpectedConnection():
                return "Another client connected: a communication is with one client, over one connection."
        return finding.sentence

    def _expects(self, place: Place) -> int:
        """How many messages of the client's the steps up to this place take."""
        return sum(isinstance(step, Expect) for step in self._script.steps[: place.number])

    def _awaits(self, place: Place) -> bool:
        return any(isinstance(step, Expect) for step in place.left)

    def _rest(self, place: Place) -> list[Pair]:
        """The pairs that were not begun."""
        rest: list[Pair] = []
        at = 0
        for pair in self._pairs:
            if at >= place.number - 1:
                rest.append(pair)
            at += len(_steps(pair))
        return rest


class RespondingServer(WebSocketServer):
    """What `respond_with` gives: a `WebSocketServer` that nobody needs to talk to."""

    def __init__(self, responses: Iterable[Payload], *, port: int = 0, **options: Unpack[WebSocketOptions]) -> None:
        sends = [Send(payload) for payload in _responses(responses)]
        # A client may take all the time it likes for its next message.
        answering = Script().repeat(forever, Expect(anything(), within=forever), *sends)
        super().__init__(answering, port=port, **options)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What went wrong so far; a client that leaves, or never comes, is free to."""
        return tuple(finding for finding in super().findings if not isinstance(finding, _FREE_TO))

    async def _leave(self, wait: bool, asked: bool = False) -> list[Finding]:
        return await super()._leave(wait=False)


_FREE_TO = (NobodyConnected, EndedEarly, NotPlayed)


def script_from_pairs(communication: Iterable[Pair]) -> Script:
    """The script that pairs stand for, to be played anywhere.

    >>> print(script_from_pairs([("hello", "there"), ("list", ["one", "two"]), (None, "bye")]))
    Script of 6 steps
      1. expect 'hello'
      2. send 'there'
      3. expect 'list'
      4. send 'one'
      5. send 'two'
      6. send 'bye'

    Raises `WrongType` or `InvalidArguments` for what are no pairs; see `assert_communication`.
    """
    return _script(_pairs(communication))


# -- pairs into steps -----------------------------------------------------------------------------


def _script(pairs: Iterable[Pair]) -> Script:
    return Script([step for pair in pairs for step in _steps(pair)])


def _steps(pair: Pair) -> list[Step]:
    expected, answer = pair
    steps: list[Step] = [] if expected is None else [Expect(expected)]
    return steps + [Send(payload) for payload in _payloads(answer)]


def _payloads(answer: Any) -> Sequence[Payload]:
    return () if answer is None else answer if isinstance(answer, tuple | list) else (answer,)


def _pairs(communication: object) -> Iterator[Pair]:
    """The pairs, checked and copied: what the test changes afterwards changes nothing here."""
    if communication is UNSET:
        raise WrongType("communication= is missing; write communication=[('hello', 'there')]")
    if isinstance(communication, str | bytes | Mapping | Script) or not isinstance(communication, Iterable):
        raise WrongType(
            f"communication= takes pairs such as [('hello', 'there')], not {printed(communication)}"
            + _meant(communication)
        )
    for number, pair in enumerate(communication, 1):
        if not isinstance(pair, tuple | list):
            raise WrongType(
                f"communication= takes pairs such as [('hello', 'there')], and item {number} of it is {printed(pair)}"
            )
        if len(pair) != 2:
            raise InvalidArguments(
                f"pair {number} has {len(pair)} values: {printed(pair)}. A pair is what the client says and what it "
                "is answered; for several answers, write ('hello', ['one', 'two']), for none ('hello', None)"
            )
        yield _pair(number, *pair)


def _meant(communication: object) -> str:
    if isinstance(communication, Mapping):
        return "; write list(communication.items()) if that is its order"
    if isinstance(communication, Script):
        return "; a Script is played by WebSocketServer(script)"
    return ""


def _pair(number: int, expected: object, reply: object) -> Pair:
    answer = _answer(reply, f"pair {number} answers")
    if expected is None and not _payloads(answer):
        raise InvalidArguments(f"pair {number} is empty: it expects nothing, and says nothing. Leave it out")
    try:
        return None if expected is None else arguments.expected(expected), answer
    except WrongType:
        raise WrongType(
            f"pair {number} expects {printed(expected)}, and no message is equal to that; expect text, bytes, or a "
            "matcher such as farend.json(…) or farend.regex(…)"
        ) from None


def _answer(reply: object, who: str) -> Payload | Sequence[Payload] | None:
    if reply is None:
        return None
    if not _is_several(reply):
        return _payload(reply, who)
    payloads = [_payload(one, who) for one in reply]  # type: ignore[attr-defined]
    return tuple(payloads) if isinstance(reply, tuple) else payloads


def _responses(responses: object) -> list[Payload]:
    if responses is UNSET:
        raise WrongType("responses= is missing; write responses=['General', 'Kenobi']")
    if not _is_several(responses):
        raise WrongType(f"responses= takes a list of messages such as ['General', 'Kenobi'], not {printed(responses)}")
    return [_payload(one, "responses= holds") for one in responses]  # type: ignore[attr-defined]


def _is_several(value: object) -> bool:
    """Whether this is a row of messages, and not one. What has no order, or holds more than messages, is none."""
    return isinstance(value, Iterable) and not isinstance(
        value, str | bytes | bytearray | memoryview | Mapping | Set | Script
    )


def _payload(value: object, who: str) -> Payload:
    try:
        return arguments.payload(value, "an answer")
    except WrongType:
        raise WrongType(
            f"{who} {printed(value)}, which cannot be said; an answer is text, bytes, a list of these, or None. "
            "For JSON, write json.dumps(…)"
        ) from None


# -- the texts ------------------------------------------------------------------------------------


def ordinal(number: int) -> str:
    """A number as English counts with it.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 113)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '113th']
    """
    teen = 10 < number % 100 < 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _wrong_message(number: int, expected: str, got: object) -> str:
    return f"Failed {ordinal(number)} step:\nExpected: {expected}\nGot: {_quoted(got)}"


def _quoted(value: object) -> str:
    """A message in double quotes, as seed 000 writes it; a matcher is none, and has no quotes."""
    if isinstance(value, Matcher):
        return value.describe()
    if isinstance(value, str | bytes) and len(value) > MOST_CHARACTERS:
        return printed(value)
    return f'"{value}"' if isinstance(value, str) else f'"{value!r}"'


def _listed(pairs: Sequence[Pair]) -> str:
    more = [f"… and {len(pairs) - MOST_PAIRS:,} more"] if len(pairs) > MOST_PAIRS else []
    return f"[{', '.join([*map(printed, pairs[:MOST_PAIRS]), *more])}]"


def _has_spoken(place: Place) -> bool:
    """Whether a message came. Pings and pongs are none."""
    return place.transcript is not None and any(isinstance(one, str | bytes) for one in place.transcript.received)
