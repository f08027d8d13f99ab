"""What was done, in the order in which it was done, and which of it an assertion has spoken of.

A cursor stands at the first interaction that was not asserted. Where the order is relaxed, an assertion may
speak of a later one: that is remembered, and the cursor passes over it when it comes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from farend.core.findings import Place
from farend.core.matchers import Difference, difference_between, matcher
from farend.core.messages import printed
from farend.core.steps import UNSET
from farend.errors import AssertionInsideSandboxError, InteractionMismatchError, MissingAssertionFieldsError, WrongType
from farend.intercept.findings import WrongAssertion
from farend.intercept.session import Interaction, Row, interaction
from farend.report.hints import about_matcher
from farend.stage.verdict import story

if TYPE_CHECKING:
    from farend.intercept.plugins import WebSocketPlugin

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "connect": ("uri",),
    "send": ("message",),
    "recv": ("message",),
    "close": (),
}
"""What an assertion has to say of each interaction."""
LONGEST: Final = 2_000
"""Characters of a message that is written out in a line to paste."""


class Timeline:
    """All interactions of one test, over all sessions and libraries."""

    def __init__(self, open: int = 0) -> None:
        self.entries: list[Row] = []
        self.cursor = 0
        self.open = open
        self.relaxed = 0
        self.strict = not open
        """Whether the next assertion has to speak of the entry at the cursor, and may be made at all."""
        self._ahead: set[int] = set()

    def enter_block(self, by: int = 1) -> None:
        """A block that intercepts was entered; with -1, it was left."""
        self.open = max(self.open + by, 0)
        self._look()

    def relax(self, by: int = 1) -> None:
        """A block in which the order does not matter was entered; with -1, it was left."""
        self.relaxed += by
        self._look()

    def _look(self) -> None:
        self.strict = not (self.relaxed or self.open or self._ahead)

    def unasserted(self) -> Iterator[Interaction]:
        """What no assertion has spoken of, in order."""
        left = range(self.cursor, len(self.entries))
        return (interaction(self.entries[at]) for at in left if at not in self._ahead)

    def check(self, plugin: WebSocketPlugin, method: str, fields: dict[str, Any]) -> None:
        """Assert one interaction, or raise what is wrong with the assertion."""
        __tracebackhide__ = True
        if self._is_plainly_next(plugin, method, fields):
            self.cursor += 1
            return
        told = f"{plugin.spelling}.assert_{method}({', '.join(f'{name}={_written(fields[name])}' for name in fields)})"
        self._check_meaning(plugin, method, fields, told)
        first: tuple[int, Interaction] | None = None
        for at in range(self.cursor, len(self.entries)):
            if at in self._ahead:
                continue
            entry = interaction(self.entries[at])
            first = first or (at, entry)
            if not _differs(plugin, method, fields, entry):
                self._ahead.add(at)
                break
            if not self.relaxed:
                raise self._mismatch(plugin, method, fields, told, entry)
        else:
            raise self._mismatch(plugin, method, fields, told, first and first[1])
        while self.cursor in self._ahead:
            self._ahead.remove(self.cursor)
            self.cursor += 1
        self._look()

    def _is_plainly_next(self, plugin: WebSocketPlugin, method: str, fields: dict[str, Any]) -> bool:
        """Whether the next interaction is this one, by comparing nothing but a plain value."""
        if not self.strict or self.cursor >= len(self.entries):
            return False
        whose, step, value, _ = self.entries[self.cursor]
        if step[0] != method or step[2] is not None or whose[0] is not plugin:
            return False
        if not FIELDS[method]:
            return not fields
        expected = fields.get(FIELDS[method][0], UNSET)
        return len(fields) == 1 and type(expected) is type(value) and expected == value

    def _check_meaning(self, plugin: WebSocketPlugin, method: str, fields: dict[str, Any], told: str) -> None:
        __tracebackhide__ = True
        if self.open:
            raise AssertionInsideSandboxError(
                f"{told} stands inside the block that intercepts: write it behind the block, where all has happened"
            )
        allowed = (*FIELDS[method], "raises")
        for name in fields:
            if name not in allowed:
                right = ", ".join(f"{field}=…" for field in FIELDS[method])
                raise WrongType(f"assert_{method}() has no field {name!r}; write assert_{method}({right})")
        entry = next(self.unasserted(), None)
        raised = "raises" in fields or (entry is not None and entry.step.raises is not None)
        missing = [name for name in FIELDS[method] if name not in fields and not (raised and method == "recv")]
        if missing:
            named = " and ".join(f"{name}=" for name in missing)
            line = assertion(entry) if entry is not None and entry.step.method == method else ""
            raise MissingAssertionFieldsError(
                f"assert_{method}() leaves out {named}; write "
                + (line or f"assert_{method}({', '.join(f'{name}=…' for name in FIELDS[method])})")
            )

    def _mismatch(
        self, plugin: WebSocketPlugin, method: str, fields: dict[str, Any], told: str, entry: Interaction | None
    ) -> Exception:
        if entry is None:
            why = "nothing happened" if not self.entries else "all that happened has been asserted"
            if not self.entries and plugin.verifier.played:
                why = "what play() answers is asserted by its script, and no session was scripted call by call"
            return _wrong(WrongAssertion(Place(far_end=plugin.spelling), told, why))
        if entry.step.raises is not None and "raises" not in fields and entry.step.method == method:
            return MissingAssertionFieldsError(
                f"assert_{method}() leaves out raises=: {method}() raised; write {assertion(entry)}"
            )
        place = Place(connection=entry.whose.number, transcript=entry.session.transcript)
        why = _differs(plugin, method, fields, entry)
        if self.relaxed:
            left = tuple(assertion(one) for one in self.unasserted())
            return _wrong(
                WrongAssertion(place, told, f"no interaction that is left is so; the first: {why}", left[:10])
            )
        return _wrong(WrongAssertion(place, told, why, (assertion(entry),), _hint(method, fields, entry)))


def _wrong(finding: WrongAssertion) -> InteractionMismatchError:
    return InteractionMismatchError(story([finding]), [finding])


def _differs(plugin: WebSocketPlugin, method: str, fields: dict[str, Any], entry: Interaction) -> str:
    """Why the interaction is not what the assertion says; empty where it is."""
    step = entry.step
    if step.method != method or entry.whose.plugin is not plugin:
        whose = "" if entry.whose.plugin is plugin else f" on {entry.whose.plugin.spelling}"
        value = "" if step.method == "close" or step.raises is not None else f" {printed(entry.value)}"
        return f"the next interaction is {step.method}{value}{whose}"
    raised = step.raises
    if (raised is None) is ("raises" in fields):
        return f"the {method} raised {printed(raised)}" if raised is not None else f"the {method} raised nothing"
    if raised is not None and not _is_that(fields["raises"], raised):
        return f"the {method} raised {printed(raised)}"
    for name in FIELDS[method]:
        if name in fields and (raised is None or method != "recv"):
            expected = fields[name]
            difference = difference_between(matcher(expected), entry.value)
            if difference is not None:
                return f"the {name} was {printed(entry.value)}" + _failed(difference)
    return ""


def _failed(difference: Difference) -> str:
    """That the comparison itself raised, which is no answer."""
    if not difference.raised:
        return ""
    failed = next((part for part in difference.parts if part.raised), difference)
    return f", and {failed.expected} cannot say: {failed.detail}"


def _hint(method: str, fields: dict[str, Any], entry: Interaction) -> str:
    """What is often meant otherwise by those who write such a matcher."""
    if entry.step.method != method or entry.step.raises is not None:
        return ""
    expected = [fields[name] for name in FIELDS[method] if name in fields]
    return " ".join(hint for one in expected for hint in about_matcher(matcher(one), entry.value))


def _is_that(expected: Any, raised: BaseException) -> bool:
    """Whether an exception is the one that is expected: a class, an exception like it, or a matcher."""
    if isinstance(expected, BaseException):
        return expected is raised or (type(expected) is type(raised) and expected.args == raised.args)
    if isinstance(expected, type) and issubclass(expected, BaseException):
        return isinstance(raised, expected)
    return difference_between(matcher(expected), raised) is None


def assertion(entry: Interaction) -> str:
    """The line that asserts an interaction, to be pasted."""
    method, raised = entry.step.method, entry.step.raises
    fields = [f"{name}={_written(entry.value)}" for name in FIELDS[method] if raised is None or method != "recv"]
    if raised is not None:
        fields.append(f"raises={type(raised).__name__}")
    return f"{entry.whose.plugin.spelling}.assert_{method}({', '.join(fields)})"


def _written(value: Any) -> str:
    """A value as it stands in a line to paste."""
    if value is UNSET:
        return "…"
    if isinstance(value, type) and issubclass(value, BaseException):
        return value.__name__
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= LONGEST else f"farend.where(lambda message: len(message) == {len(value)})"
    return printed(value)
