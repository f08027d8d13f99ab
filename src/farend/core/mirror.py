"""The other side's script: what is expected here is sent there, and the other way about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farend.core.arguments import as_json, payload
from farend.core.commands import Abort, Close, Impair, Send
from farend.core.framing import Framing, Lines
from farend.core.matchers import Equal, Json
from farend.core.messages import Fragments, OnWire, Payload, Ping, Pong
from farend.core.steps import (
    UNSET,
    AnswerHandshake,
    AnyOrder,
    Expect,
    ExpectClose,
    ExpectHandshake,
    ExpectReply,
    Optional,
    Pause,
    Repeat,
    Reply,
    Step,
    acts_first,
    check_sequence,
    check_successor,
    forever,
    title,
)
from farend.errors import ScriptError, WrongType


def mirrored(steps: Iterable[Step], framing: Framing | None = None) -> Iterator[Step]:
    """The mirror of each step, in order; `framing` is the script's.

    Raises `ScriptError` where an `example=` is needed.
    """
    for step in steps:
        yield from _mirror(step, framing)


def _mirror(step: Step, framing: Framing | None) -> Iterable[Step]:
    match step:
        case Expect():
            # On a stream that no framing cuts, JSON is awaited as a line.
            as_line = isinstance(step.what, Json) and step.framing is None and framing is None
            return (Send(_example(step), Lines() if as_line else step.framing),)
        case ExpectHandshake():
            return ()
        case ExpectClose():
            return (_mirror_expect_close(step),)
        case ExpectReply():
            return (Reply(step.function, step.framing),)
        case AnswerHandshake() | Send(OnWire()):
            raise ScriptError(f"'{title(step)}' cannot be mirrored: no program says it, so none can be made to")
        case Send():
            said = step.payload
            return (Expect(said.joined() if isinstance(said, Fragments) else said, step.framing),)
        case Reply():
            return (ExpectReply(step.function, step.framing),)
        case Close():
            return (ExpectClose(step.code, step.reason or None),)
        case Abort():
            return (ExpectClose(reset=True),)
        case Impair():
            return _mirror_impair(step)
        case Pause():
            return (step,)
        case AnyOrder():
            branches = tuple(body for branch in step.branches if (body := _mirror_body(branch, framing)))
            return (AnyOrder(branches),) if branches else ()
        case Optional():
            return mirrored(step.steps, framing)
        case _:
            return _mirror_repeat(step, framing)


def _mirror_impair(step: Impair) -> tuple[Step, ...]:
    """Nothing: what is done to the bytes on their way is the same message at the other end, where they all arrive."""
    for fault in step.faults:
        if not fault.harmless:
            raise ScriptError(f"'{title(step)}' cannot be mirrored: the other side cannot know what will arrive")
    return ()


def _mirror_expect_close(step: ExpectClose) -> Close | Abort:
    if step.reset or step.code == 1006:
        return Abort()
    if step.code == 1005:
        raise ScriptError(f"'{title(step)}' cannot be mirrored: a script closes with a code")
    return Close(step.code, step.reason if isinstance(step.reason, str) else "")


def _mirror_body(steps: Iterable[Step], framing: Framing | None) -> tuple[Step, ...]:
    body = tuple(mirrored(steps, framing))
    if body:
        check_sequence(body)
    return body


def _mirror_repeat(step: Repeat, framing: Framing | None) -> Iterable[Step]:
    body = _mirror_body(step.steps, framing)
    if not body:
        return ()
    speaks_first = acts_first(next((one for one in step.steps if not isinstance(one, Pause)), step.steps[0]))
    if step.times == forever and not speaks_first:
        return body  # the other side begins each round, and once is enough
    if step.times > 1:
        check_successor(body[-1], body[0])
    return (Repeat(step.times, body),)


def _example(step: Expect) -> Payload:
    if step.example is not UNSET:
        return payload(step.example, "example=")
    what = step.what.value if isinstance(step.what, Equal) else step.what
    if isinstance(what, Json):
        try:
            return as_json(what.value)
        except WrongType as error:
            raise ScriptError(
                f"'{title(step)}' cannot be mirrored: say what to send with expect(…, example=…)"
            ) from error
    if isinstance(what, str | bytes | Ping | Pong):
        return what
    raise ScriptError(f"'{title(step)}' cannot be mirrored: say what to send with expect(…, example=…)")
