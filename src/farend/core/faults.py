"""What can go wrong on a connection on purpose, as data. How each is done stands in `impairment.py`.

Script().expect("a").fault(Latency(0.05)).send("b").fault(None)

A fault acts on one direction of a connection: `to="near"`, on what the near end hears, which is the program under
test, and for a proxy the client; `to="far"`, on what it says; `to="both"`. What is counted, in bytes or in messages,
is counted from the moment at which the fault begins. What is random comes from the seed alone: the same seed does the
same to the same bytes, in every run and on every connection, however the bytes are cut into segments.
"""

# ruff: noqa: RUF009 - what `_argument` makes is a field, and never shared

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, get_args

from farend.core.messages import counted, printed
from farend.errors import FaultError, WrongType

Direction: TypeAlias = Literal["near", "far"]
Towards: TypeAlias = Literal["near", "far", "both"]
How: TypeAlias = Literal["reset", "end"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
Needs: TypeAlias = Literal["bytes", "messages", "close frames", "reading"]


# -- arguments, checked ---------------------------------------------------------------------------

Check: TypeAlias = Callable[[str, object], None]


def _number(where: str, value: object, unit: str) -> float:
    __tracebackhide__ = True
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{where} takes a number of {unit}, not {printed(value)}")
    return value


def _seconds(where: str, value: object) -> None:
    __tracebackhide__ = True
    if not 0 <= _number(where, value, "seconds") < float("inf"):
        raise FaultError(f"{where} is {value!r}: a number of seconds is 0 or more, and has an end")


def _some_seconds(where: str, value: object) -> None:
    __tracebackhide__ = True
    _seconds(where, value)
    if not value:
        raise FaultError(f"{where} is 0: write how many seconds")


def _rate(where: str, value: object) -> None:
    __tracebackhide__ = True
    if not 0 < _number(where, value, "bytes per second") < float("inf"):
        raise FaultError(f"{where} is {value!r}: a rate is more than 0; where nothing is to pass, write Silence()")


def _reading_rate(where: str, value: object) -> None:
    __tracebackhide__ = True
    if not 0 <= _number(where, value, "bytes per second") < float("inf"):
        raise FaultError(f"{where} is {value!r}: a rate is 0 or more; at 0, nothing is read at all")


def _at_least(least: int, unit: str) -> Check:
    def check(where: str, value: object) -> None:
        __tracebackhide__ = True
        if not isinstance(value, int) or isinstance(value, bool):
            raise WrongType(f"{where} takes a whole number of {unit}, not {printed(value)}")
        if value < least:
            raise FaultError(f"{where} is {value}: it is at least {least}")

    return check


def _maybe(check: Check) -> Check:
    def check_or_none(where: str, value: object) -> None:
        __tracebackhide__ = True
        if value is not None:
            check(where, value)

    return check_or_none


def _one_or_more(least: int, unit: str) -> Check:
    check_one = _at_least(least, unit)

    def check(where: str, value: object) -> None:
        __tracebackhide__ = True
        if not isinstance(value, tuple | list):
            check_one(where, value)
            return
        if not value:
            raise FaultError(f"{where} is empty: give one number of {unit} at least")
        for one in value:
            check_one(where, one)

    return check


def _seed(where: str, value: object) -> None:
    __tracebackhide__ = True
    if not isinstance(value, int) or isinstance(value, bool):
        because = ": without one, every run would be another" if value is None else ""
        raise WrongType(f"{where} takes a whole number, not {printed(value)}{because}")


def _some_bytes(where: str, value: object) -> None:
    __tracebackhide__ = True
    if not isinstance(value, bytes):
        raise WrongType(f"{where} takes bytes, not {printed(value)}")
    if not value:
        raise FaultError(f"{where} is empty: nothing would be wrong")


def _choice(*choices: str) -> Check:
    def check(where: str, value: object) -> None:
        __tracebackhide__ = True
        if value not in choices:
            error = FaultError if isinstance(value, str) else WrongType
            raise error(f"{where} is one of {', '.join(map(repr, choices))}, not {printed(value)}")

    return check


def _argument(check: Check, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"check": check})


_towards: Final = _choice("near", "far", "both")
_one_way: Final = _choice(*DIRECTIONS)
_how: Final = _choice(*get_args(How))


def _made(cls: type[Fault], options: dict[str, Any]) -> Fault:
    return cls(**options)


# -- the faults -----------------------------------------------------------------------------------


class Fault:
    """The base of all faults. Raises `WrongType` or `FaultError` at the line that writes what cannot be."""

    name: ClassVar[str]
    """What it is called in texts, and on the command line."""
    slot: ClassVar[str]
    """What there can be one of in each direction."""
    needs: ClassVar[Needs] = "bytes"
    """What a stage has to have for it."""
    harmless: ClassVar[bool] = False
    """Whether all that is said arrives nevertheless, and in order."""
    to: Towards
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *args: object, **options: object) -> Fault:
        # Here, and not behind the initialiser, which would stand between the error and the caller's line.
        __tracebackhide__ = True
        given = dict(zip(cls.__match_args__, args, strict=False)) | options
        for one in fields(cls):  # type: ignore[arg-type]
            if one.name in given and "check" in one.metadata:
                one.metadata["check"](f"{cls.__name__}({one.name}=…)", given[one.name])
        cls._check(given)
        return object.__new__(cls)

    @classmethod
    def _check(cls, given: dict[str, Any]) -> None:
        """Raise `FaultError` for arguments that do not go together."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), {one.name: getattr(self, one.name) for one in fields(self)})  # type: ignore[arg-type]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it acts on."""
        return DIRECTIONS if self.to == "both" else (self.to,)

    @property
    def details(self) -> str:
        """Its arguments, as texts have them behind the name."""
        return ""

    def __str__(self) -> str:
        usual = getattr(type(self), "to", "near")
        towards = "" if self.to == usual else " in both directions" if self.to == "both" else f" to the {self.to} end"
        return " ".join(filter(None, (self.name, self.details))) + towards


@dataclass(frozen=True)
class Latency(Fault):
    """All arrives so many `seconds` later; with `jitter`, up to so many seconds more or less, from the `seed`.

    Nothing overtakes what was said before it. A round trip takes the sum of both directions: `to="both"` delays
    it by twice the `seconds`.
    """

    name, slot, harmless = "latency", "latency", True
    seconds: float = _argument(_seconds)
    jitter: float = _argument(_seconds, 0.0)
    _: KW_ONLY
    seed: int = _argument(_seed, 0)
    to: Towards = _argument(_towards, "near")

    @classmethod
    def _check(cls, given: dict[str, Any]) -> None:
        __tracebackhide__ = True
        if given.get("jitter", 0.0) > given.get("seconds", float("inf")):
            raise FaultError(
                f"Latency({given['seconds']:g}, jitter={given['jitter']:g}): a jitter larger than the latency would "
                "have words arrive before they are said"
            )

    @property
    def details(self) -> str:
        jitter = f" ± {self.jitter:g} s (seed {self.seed})" if self.jitter else ""
        return f"{self.seconds:g} s{jitter}"


@dataclass(frozen=True)
class Bandwidth(Fault):
    """No more than so many `bytes_per_second` pass, evenly."""

    name, slot, harmless = "bandwidth", "bandwidth", True
    bytes_per_second: float = _argument(_rate)
    _: KW_ONLY
    to: Towards = _argument(_towards, "near")

    @property
    def details(self) -> str:
        return f"{self.bytes_per_second:g} bytes/s"


@dataclass(frozen=True)
class Segments(Fault):
    """Bytes arrive in segments of this size, or of these `sizes` over and over, `gap` seconds apart.

    With no gap, they are written one in each turn of the event loop or two, which lets a client on the same loop
    read each by itself. A client in another thread or process may be slower, and read several at once.
    """

    name, slot, harmless = "segments", "segmentation", True
    sizes: int | Sequence[int] = _argument(_one_or_more(1, "bytes"))
    gap: float = _argument(_seconds, 0.0)
    _: KW_ONLY
    to: Towards = _argument(_towards, "near")

    def __post_init__(self) -> None:
        if isinstance(self.sizes, list):
            object.__setattr__(self, "sizes", tuple(self.sizes))

    @property
    def cycle(self) -> tuple[int, ...]:
        """The sizes, one after the other."""
        return (self.sizes,) if isinstance(self.sizes, int) else tuple(self.sizes)

    @property
    def details(self) -> str:
        gap = f", {self.gap:g} s apart" if self.gap else ""
        sizes = counted(self.cycle[0], "byte") if len(self.cycle) == 1 else f"{', '.join(map(str, self.cycle))} bytes"
        return f"of {sizes}{gap}"


@dataclass(frozen=True)
class ByteAtATime(Fault):
    """Every byte arrives in a segment of its own, `gap` seconds apart: `Segments(1)`."""

    name, slot, harmless = "byte at a time", "segmentation", True
    gap: float = _argument(_seconds, 0.0)
    _: KW_ONLY
    to: Towards = _argument(_towards, "near")
    cycle: ClassVar[tuple[int, ...]] = (1,)

    @property
    def details(self) -> str:
        return f"{self.gap:g} s apart" if self.gap else ""


@dataclass(frozen=True)
class Coalesce(Fault):
    """What is said within so many `seconds` arrives in one piece; sooner where that has `size` bytes."""

    name, slot, harmless = "coalesce", "segmentation", True
    seconds: float = _argument(_some_seconds)
    size: int | None = _argument(_maybe(_at_least(1, "bytes")), None)
    _: KW_ONLY
    to: Towards = _argument(_towards, "near")

    @property
    def details(self) -> str:
        return f"{self.seconds:g} s" + (f", or {counted(self.size, 'byte')}" if self.size else "")


@dataclass(frozen=True)
class CutAfter(Fault):
    """After `count` bytes the connection ends: with a "reset" (RST), or with the "end" of the stream.

    Bytes are those of the wire, a WebSocket's frame heads included, so that it can end in the middle of a message.
    """

    name, slot = "cut after", "end"
    count: int = _argument(_at_least(0, "bytes"))
    how: How = _argument(_how, "reset")
    _: KW_ONLY
    to: Direction = _argument(_one_way, "near")

    @property
    def details(self) -> str:
        end = "a reset" if self.how == "reset" else "the end of the stream"
        return f"{counted(self.count, 'byte')}, with {end}"


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is cut with a reset (RST), at once or `after` so many seconds: nothing is flushed."""

    name, slot = "reset", "end"
    after: float = _argument(_seconds, 0.0)
    how: ClassVar[How] = "reset"
    to: ClassVar[Towards] = "both"  # type: ignore[misc]

    @property
    def details(self) -> str:
        return f"after {self.after:g} s" if self.after else ""


@dataclass(frozen=True)
class EndOfStream(Fault):
    """The stream ends, at once or `after` so many seconds, wherever in a message that is.

    On a WebSocket no close frame is sent: the near end sees 1006 (RFC 6455, 7.1.5).
    """

    name, slot = "end of stream", "end"
    after: float = _argument(_seconds, 0.0)
    _: KW_ONLY
    to: Direction = _argument(_one_way, "near")
    how: ClassVar[How] = "end"

    @property
    def details(self) -> str:
        return f"after {self.after:g} s" if self.after else ""


def _one_of(cls: type, given: dict[str, Any], one: str, other: str) -> None:
    __tracebackhide__ = True
    if (given.get(one) is None) is (given.get(other) is None):
        raise FaultError(f"{cls.__name__}() takes one of {one}= and {other}=")


@dataclass(frozen=True)
class Corrupt(Fault):
    """Bytes arrive as others: one in `every` so many, which one comes from the `seed`; or those `at` these places.

    Places are counted from 0. What a byte becomes, which is never itself, comes from the `seed` as well.
    """

    name, slot = "corrupt", "corruption"
    every: int | None = _argument(_maybe(_at_least(1, "bytes")), None)
    at: int | Sequence[int] | None = _argument(_maybe(_one_or_more(0, "bytes")), None)
    _: KW_ONLY
    seed: int = _argument(_seed, 0)
    to: Towards = _argument(_towards, "near")

    @classmethod
    def _check(cls, given: dict[str, Any]) -> None:
        __tracebackhide__ = True
        _one_of(cls, given, "every", "at")

    def __post_init__(self) -> None:
        if isinstance(self.at, int | list):
            object.__setattr__(self, "at", (self.at,) if isinstance(self.at, int) else tuple(self.at))

    @property
    def details(self) -> str:
        where = f"one byte in {self.every}" if self.every else f"byte {_listed(self.at)}"
        return f"{where} (seed {self.seed})"


@dataclass(frozen=True)
class Garbage(Fault):
    """Bytes arrive that nobody said: `data`, or `size` bytes from the `seed`; once, behind the first `at` bytes."""

    name, slot = "garbage", ""
    data: bytes | None = _argument(_maybe(_some_bytes), None)
    size: int | None = _argument(_maybe(_at_least(1, "bytes")), None)
    at: int = _argument(_at_least(0, "bytes"), 0)
    _: KW_ONLY
    seed: int = _argument(_seed, 0)
    to: Direction = _argument(_one_way, "near")

    @classmethod
    def _check(cls, given: dict[str, Any]) -> None:
        __tracebackhide__ = True
        _one_of(cls, given, "data", "size")

    @property
    def details(self) -> str:
        what = printed(self.data) if self.data else f"of {counted(self.size or 0, 'byte')} (seed {self.seed})"
        return what + (f" behind {counted(self.at, 'byte')}" if self.at else "")


@dataclass(frozen=True)
class Duplicate(Fault):
    """Messages arrive twice: each one, or one in `every` so many, or those with the numbers `at`, from 1."""

    name, slot, needs = "duplicate", "duplication", "messages"
    every: int | None = _argument(_maybe(_at_least(1, "messages")), None)
    at: int | Sequence[int] | None = _argument(_maybe(_one_or_more(1, "messages")), None)
    _: KW_ONLY
    to: Towards = _argument(_towards, "near")

    @classmethod
    def _check(cls, given: dict[str, Any]) -> None:
        __tracebackhide__ = True
        if given.get("every") is not None and given.get("at") is not None:
            _one_of(cls, given, "every", "at")

    def __post_init__(self) -> None:
        if isinstance(self.at, int | list):
            object.__setattr__(self, "at", (self.at,) if isinstance(self.at, int) else tuple(self.at))

    @property
    def details(self) -> str:
        if self.at:
            return f"message {_listed(self.at)}"
        return f"one message in {self.every}" if self.every else "every message"


@dataclass(frozen=True)
class Reorder(Fault):
    """Of every `window` messages in a row, none stays where it was unless it has to; the order comes from the `seed`.

    Messages wait until a window is full. What came of one that does not fill goes on as it is after `hold` seconds.
    """

    name, slot, needs = "reorder", "order", "messages"
    window: int = _argument(_at_least(2, "messages"), 2)
    hold: float = _argument(_some_seconds, 1.0)
    _: KW_ONLY
    seed: int = _argument(_seed, 0)
    to: Towards = _argument(_towards, "near")

    @property
    def details(self) -> str:
        return f"every {self.window} messages (seed {self.seed})"


@dataclass(frozen=True)
class SlowReader(Fault):
    """What is said is read at so many `bytes_per_second`, or not at all, so that the sender's buffers fill."""

    name, slot, needs, harmless = "slow reader", "reading", "reading", True
    bytes_per_second: float = _argument(_reading_rate, 0)
    _: KW_ONLY
    to: Towards = _argument(_towards, "far")

    @property
    def details(self) -> str:
        return f"of {self.bytes_per_second:g} bytes/s" if self.bytes_per_second else "that stands still"


@dataclass(frozen=True)
class Silence(Fault):
    """Half-open silence: nothing is read, nothing is answered, and the connection stays, as when a cable was pulled.

    What is said meanwhile is kept, and arrives when the silence ends.
    """

    name, slot = "silence", "reading"
    _: KW_ONLY
    to: Towards = _argument(_towards, "both")


@dataclass(frozen=True)
class NoCloseFrame(Fault):
    """A WebSocket's close frame is not sent on: the stream just ends, which is 1006 (RFC 6455, 7.1.5)."""

    name, slot, needs = "no close frame", "close", "close frames"
    _: KW_ONLY
    to: Towards = _argument(_towards, "near")


FAULTS: Final[tuple[type[Fault], ...]] = (
    Latency,
    Bandwidth,
    Segments,
    ByteAtATime,
    Coalesce,
    SlowReader,
    Silence,
    CutAfter,
    Reset,
    EndOfStream,
    NoCloseFrame,
    Corrupt,
    Garbage,
    Duplicate,
    Reorder,
)
"""All of them, in the order in which the docs tell them."""


def _listed(numbers: object) -> str:
    return ", ".join(map(str, numbers)) if isinstance(numbers, tuple) else str(numbers)


# -- faults together, and where they can be done --------------------------------------------------


class Ability(NamedTuple):
    """What a stage can do: in which directions it has messages, has close frames, and decides how fast it reads."""

    stage: str
    messages: tuple[Direction, ...] = ()
    close_frames: tuple[Direction, ...] = ()
    reading: tuple[Direction, ...] = ()
    bytes: tuple[Direction, ...] = DIRECTIONS


TCP_FAR_END: Final = Ability("a TCP far end", messages=("near",), reading=("far",))
WEBSOCKET_FAR_END: Final = Ability("a WebSocket far end", DIRECTIONS, ("near",), ("far",))
TCP_PROXY: Final = Ability("a proxy for TCP", reading=DIRECTIONS)
WEBSOCKET_PROXY: Final = Ability("a proxy for WebSockets", DIRECTIONS, DIRECTIONS, DIRECTIONS)
NO_WIRE: Final = Ability("what has no wire", bytes=())
STAGES: Final = (TCP_FAR_END, WEBSOCKET_FAR_END, TCP_PROXY, WEBSOCKET_PROXY)


def able(ability: Ability, fault: Fault) -> bool:
    """Whether the stage can do the fault."""
    can: tuple[Direction, ...] = getattr(ability, fault.needs.replace(" ", "_"))
    return all(direction in can for direction in fault.directions)


def check_able(ability: Ability, faults: Iterable[Fault], where: str = "") -> None:
    """Raise `FaultError` for a fault that the stage cannot do; the text says which can."""
    __tracebackhide__ = True
    for fault in faults:
        if problem := unable(ability, fault):
            raise FaultError(f"'{fault}' cannot be done by {where or ability.stage}: {problem}")


def unable(ability: Ability, fault: Fault) -> str | None:
    """Why the stage cannot do it, and which can; None where it can."""
    if able(ability, fault):
        return None
    return f"{_why(fault)}; {_can([other.stage for other in STAGES if able(other, fault)])}"


def _why(fault: Fault) -> str:
    return {
        "messages": "it does not know there where a message begins and ends",
        "close frames": "it sends no close frames that way",
        "reading": "the near end reads that itself, as fast as it likes",
        "bytes": "there are no bytes on a wire",
    }[fault.needs]


def _can(stages: Sequence[str]) -> str:
    *others, last = stages
    return f"{', '.join(others)} and {last} can" if others else f"{last} can"


def checked(faults: object, name: str = "faults=") -> tuple[Fault, ...]:
    """Faults that begin together.

    Raises `WrongType` for what is none, and `FaultError` where two of them contradict each other.
    """
    __tracebackhide__ = True
    if isinstance(faults, Fault):
        faults = (faults,)
    if isinstance(faults, str | bytes) or not isinstance(faults, Iterable):
        raise WrongType(f"{name} takes faults such as Latency(0.05), not {printed(faults)}")
    taken: list[Fault] = []
    for fault in faults:
        if isinstance(fault, type) and issubclass(fault, Fault):
            raise WrongType(f"{name} takes faults, and {fault.__name__} is the name of one: write {fault.__name__}(…)")
        if not isinstance(fault, Fault):
            raise WrongType(f"{name} takes faults such as Latency(0.05), not {printed(fault)}")
        for other in clashes(fault, taken):
            raise FaultError(
                f"{name.rstrip('=')}: '{other}' and '{fault}' contradict each other; only one of them can be"
            )
        taken.append(fault)
    return tuple(taken)


def clashes(fault: Fault, others: Iterable[Fault]) -> Iterator[Fault]:
    """Those that cannot be together with the fault: they do the same thing in the same direction, otherwise."""
    for other in others:
        if set(fault.directions) & set(other.directions) and (
            (fault.slot and fault.slot == other.slot) or {type(fault), type(other)} in _EXCLUSIVE
        ):
            yield other


_EXCLUSIVE: Final = ({Silence, CutAfter}, {Silence, Bandwidth}, {SlowReader, Bandwidth})
"""What would never come to its turn, or be decided twice, beside the other."""
