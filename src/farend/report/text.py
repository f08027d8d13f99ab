"""The failure screen: findings, told in plain text or in the colours of a terminal.

    what went wrong, and where               the first line, which summaries show alone
      expected, got, and what differs
      advice
      lines to paste
    the transcript around it                 once for each connection
    the steps left                           the one in question first
    the attempts to connect                  where a plan says what they meet
    the other findings, shorter

Plain text has no colours, depends on nothing but the findings, and never imports rich.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from farend.core.findings import Finding, Mismatch, Place
from farend.core.journal import Journal
from farend.core.messages import counted, printed
from farend.core.steps import title
from farend.core.transcript import Transcript
from farend.report.body import body, brief
from farend.report.conversation import around, conversation_text
from farend.report.hints import hints
from farend.report.left import left_title, steps_left
from farend.report.line import Line, Look, fitted, indented, visible, wrapped

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["conversation_text", "note", "print_screen", "screen"]

WIDTH: Final = 100
NARROWEST: Final = 60
WIDEST: Final = 140
MOST_FINDINGS: Final = 6
"""Findings that one screen tells."""
MOST_NOTED: Final = 3
"""Findings that a note tells."""
NOTED: Final = 5
"""Entries of a transcript that a note shows, up to the finding."""
COMPARED: Final = 200
"""Findings that a note looks through for those that are the same."""
SHORT: Final = 40
"""Characters of what was expected, and of what came, that the first line has room for."""
SUMMARY: Final = 240
"""Characters of the first line, where the sentence is a long one."""
TAIL: Final = 12
"""Entries of the transcript that lead up to the first finding; half as many for each other connection."""
ATTEMPTS: Final = 8
"""Attempts to connect that a screen shows, the last ones."""

_COLOURS: Final[dict[Look, str]] = {
    "plain": "",
    "head": "bold",
    "expected": "green",
    "got": "red",
    "mark": "bold yellow",
    "advice": "cyan",
    "quiet": "dim",
    "problem": "bold red",
    "code": "cyan",
}


def screen(findings: Sequence[Finding], *, width: int = WIDTH, tail: int = TAIL) -> str:
    """The whole failure screen as plain text, without a line break at its end.

    The first of the findings is the cause, and is told in full; others follow, shorter. The first line
    is a sentence that can stand alone. `width` is in columns; all but the first line keep to it. `tail`
    is how many entries of the transcript lead up to the first finding.
    """
    return "\n".join(line.text for line in _screen(findings, max(width, NARROWEST), tail))


def note(findings: Sequence[Finding], *, width: int = WIDTH) -> str:
    """The findings in some lines, to be put beside an exception that the test raised itself."""
    return "\n".join(line.text for line in _note(findings, max(width, NARROWEST)))


def print_screen(findings: Sequence[Finding], *, console: Console | None = None) -> None:
    """Print the failure screen: coloured on a terminal, and elsewhere just as `screen` gives it.

    `console` is a `rich.console.Console`; without one, standard output is written to.
    """
    from rich.console import Console
    from rich.text import Text

    if console is None:
        console = Console(highlight=False)
    if not console.is_terminal:
        console.out(_encodable(screen(findings), console.encoding), highlight=False)
        return
    for line in _screen(findings, min(max(console.width - 1, NARROWEST), WIDEST)):
        text = Text(_encodable(line.text, console.encoding), style=_COLOURS[line.look])
        console.print(text, soft_wrap=True, highlight=False)


def _encodable(text: str, encoding: str) -> str:
    """The text as a console of this encoding can print it: a report must not fail for want of an arrow."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _screen(findings: Sequence[Finding], width: int, tail: int = TAIL) -> Iterator[Line]:
    first, *rest = _lines(findings, width, tail)
    yield Line(visible(first.text), first.look)
    for line in rest:
        yield Line(_fitted(line, width), line.look)


def _fitted(line: Line, width: int) -> str:
    """The text of a line in `width` columns. What is to be pasted is told whole."""
    return visible(line.text) if line.look == "code" else fitted(line.text.rstrip(), width)


def _lines(findings: Sequence[Finding], width: int, tail: int) -> Iterator[Line]:
    if not findings:
        yield Line("Nothing went wrong.", "head")
        return
    (cause, same), *others = _folded(findings, width)
    yield Line(summary(cause), "head")
    told = _Told(width, tail)
    yield from told.cause(cause, same)
    if others:
        yield Line("")
        yield Line(f"{counted(len(findings) - 1 - len(same), 'more finding')}:", "head")
    for number, (finding, same) in enumerate(others[: MOST_FINDINGS - 1], 2):
        yield Line("")
        yield from told.other(finding, f"{number}. ", same)
    untold = len(findings) - sum(1 + len(same) for _, same in [(cause, same), *others][:MOST_FINDINGS])
    if untold:
        yield Line("")
        yield Line(f"… and {counted(untold, 'more finding')}", "quiet")


def _note(findings: Sequence[Finding], width: int) -> Iterator[Line]:
    told = 0
    transcripts: set[int] = set()
    for finding, others in _folded(findings, width)[:MOST_NOTED]:
        told += 1 + len(others)
        yield Line("farend: " + summary(finding))
        lines = [*brief(finding, width - 2), *wrapped(finding.advice, width - 2)]
        lines += _same(others)
        transcript = finding.place.transcript
        if transcript is not None and len(transcript) and id(transcript) not in transcripts:
            transcripts.add(id(transcript))
            lines += [Line(_transcript_title(transcript)), *indented(around(transcript, finding, NOTED, width - 4))]
        for line in indented([*lines, *_to_paste(finding)]):
            yield Line(_fitted(line, width).rstrip(), line.look)
    if len(findings) > told:
        yield Line(f"farend: … and {counted(len(findings) - told, 'more finding')}")


def _folded(findings: Sequence[Finding], width: int) -> list[tuple[Finding, list[int]]]:
    """The findings, each with the other connections on which it was just the same."""
    folded: list[tuple[Finding, list[int]]] = []
    known: dict[object, tuple[Finding, list[int]]] = {}
    for finding in findings[:COMPARED]:
        place = finding.place
        where = _where(replace(place, connection=0))
        key = (type(finding), finding.sentence, where, tuple(brief(finding, width)))
        first, others = known.get(key, (finding, []))
        if first is not finding and (not place.connection or place.connection not in (first.place.connection, *others)):
            others.append(place.connection)
        else:
            folded.append(known.setdefault(key, (finding, others)) if first is finding else (finding, []))
    return folded


def _same(others: Sequence[int]) -> list[Line]:
    """That a finding was made more than once, on these connections (0 is none)."""
    if not others:
        return []
    where = f": the same on {_connections(others)}" if all(others) else ""
    return [Line(f"… and {len(others):,} more like it{where}.", "quiet")]


def _connections(numbers: Sequence[int]) -> str:
    """`connection 2`, `connections 2 to 11`, `connections 2, 5 and 7`."""
    if len(numbers) == 1:
        return f"connection {numbers[0]:,}"
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"connections {numbers[0]:,} to {numbers[-1]:,}"
    *some, last = (f"{number:,}" for number in numbers)
    return f"connections {', '.join(some)} and {last}"


class _Told:
    """What a screen has said already, so that nothing is said twice."""

    def __init__(self, width: int, tail: int) -> None:
        self.width = width
        self.tail = tail
        self.transcripts: set[int] = set()
        self.advice: set[str] = set()

    def cause(self, finding: Finding, same: Sequence[int] = ()) -> Iterator[Line]:
        facts = [*_rest_of_sentence(finding, self.width - 2), *body(finding, self.width - 2)]
        yield from _section("", [*facts, *self._advice(finding), *_to_paste(finding), *_same(same)])
        yield from self._conversation(finding, self.tail)
        yield from _section(left_title(finding.place), steps_left(finding.place, self.width - 2))
        yield from _section("Attempts to connect:", _attempts(finding.place.journal, self.width - 2))

    def other(self, finding: Finding, number: str, same: Sequence[int] = ()) -> Iterator[Line]:
        yield from wrapped(number + summary(finding), self.width, "head")
        yield from indented(
            [*brief(finding, self.width - 2), *self._advice(finding), *_to_paste(finding), *_same(same)]
        )
        yield from self._conversation(finding, max(self.tail // 2, 1))

    def _advice(self, finding: Finding) -> Iterator[Line]:
        for sentence in (*hints(finding), finding.advice):
            if sentence and sentence not in self.advice:
                self.advice.add(sentence)
                yield from wrapped(sentence, self.width - 2, "advice")

    def _conversation(self, finding: Finding, most: int) -> Iterator[Line]:
        transcript = finding.place.transcript
        if transcript is None or not len(transcript) or id(transcript) in self.transcripts:
            return
        self.transcripts.add(id(transcript))
        yield from _section(_transcript_title(transcript), around(transcript, finding, most, self.width - 2))


def summary(finding: Finding) -> str:
    """What went wrong and where, in one sentence on one line."""
    sentence = _differs(finding) or " ".join(visible(finding.sentence[: 2 * SUMMARY].replace("\n", " ")).split())
    where = _where(finding.place)
    sentence = fitted(sentence, SUMMARY)
    return f"{sentence.removesuffix('.')} ({where})." if where else sentence


def _differs(finding: Finding) -> str:
    """What was expected and what came, where both are short; else nothing."""
    if not isinstance(finding, Mismatch) or len(finding.candidates) != 1:
        return ""
    step, difference = finding.nearest.step, finding.nearest.difference
    if difference.raised:
        return ""
    plain = difference.kind in ("text", "bytes")
    expected = repr(difference.expected) if plain else title(step).removeprefix("expect ")
    got = printed(finding.got)
    if max(len(expected), len(got)) > SHORT or expected == got or not (expected + got).isprintable():
        return ""
    return f"Expected {expected}, got {got}."


def _where(place: Place) -> str:
    """The far end, the script, the connection and the step, as far as they are known."""
    parts = [place.far_end] if place.far_end else []
    if place.script is not None and place.script.name:
        parts.append(f"script {place.script.name!r}")
    if place.connection:
        parts.append(f"connection {place.connection:,}")
    if place.number and place.step is not None:
        inside = place.path.removeprefix(str(place.number))
        parts.append(f"step {place.number:,} of {place.total:,}{inside}")
    elif place.number and place.total:
        parts.append(f"after step {place.number:,} of {place.total:,}")
    return visible(", ".join(parts))


def _rest_of_sentence(finding: Finding, width: int) -> list[Line]:
    """The sentence over several lines, where the first line of the screen cannot hold it."""
    sentence = finding.sentence
    return wrapped(sentence, width, "problem") if len(sentence) > SUMMARY else []


def _to_paste(finding: Finding) -> Iterator[Line]:
    return indented(Line(line, "code") for line in finding.lines)


def _section(title: str, lines: Sequence[Line]) -> Iterator[Line]:
    if lines:
        yield Line("")
        if title:
            yield Line(title, "head")
        yield from indented(lines)


def _transcript_title(transcript: Transcript) -> str:
    return f"Connection {transcript.number:,} (→ said by the near end, ← by the far end):"


def _attempts(journal: Journal | None, room: int) -> list[Line]:
    """The last attempts of a journal, a line each."""
    if journal is None:
        return []
    first = max(len(journal) - ATTEMPTS, 0)
    lines = [Line(f"… {counted(first, 'earlier attempt')}", "quiet")] if first else []
    numbered = islice(enumerate(journal.lines(), 1), first, None)
    return [*lines, *(Line(fitted(f"{number}. {line}", room)) for number, line in numbered)]
