"""Which connection of a tape is replayed on which connection that comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farend.core.messages import Handshake, counted
from farend.core.routes import Routes, TurnedAway
from farend.core.script import Script
from farend.tape.ids import Ids
from farend.tape.index import Index, Taped
from farend.tape.matching import Rules
from farend.tape.playing import TapeScript


class TapeRoutes(Routes):
    """The connections of a tape, each played once: of those with the path asked for, the next in the tape's order.

    With `again`, each begins anew once all with its path were played: for a server that goes on. `strict` rules
    want the connections in the tape's order, whatever their paths.
    """

    def __init__(self, tape: Index, rules: Rules, *, again: bool = False) -> None:
        self._hold({})
        self.tape = tape
        self._rules = rules
        self._again = again
        self._waiting = list(tape.playable)
        self._made = {one.number: self._script(one) for one in self._waiting}
        self._begun: list[Taped] = []

    def _script(self, taped: Taped) -> Script:
        return TapeScript(self.tape, taped, self._rules)

    def scripts(self) -> Iterator[Script]:
        yield from self._made.values()

    @property
    def empty(self) -> bool:
        return False

    def next_script(self, handshake: Handshake | None) -> Script | TurnedAway:
        taped = self._next(handshake)
        if taped is None and self._again:
            self._waiting += self._begun
            self._begun = []
            taped = self._next(handshake)
        if taped is None:
            return self._turned_away(handshake)
        self._waiting.remove(taped)
        self._begun.append(taped)
        made = self._made.pop(taped.number, None)
        return made if made is not None else self._script(taped)

    def _next(self, handshake: Handshake | None) -> Taped | None:
        if handshake is None or self._rules.strict or not self._by_path:
            return self._waiting[0] if self._waiting else None
        same = _of_path(self._waiting, handshake)
        if same:
            return same[0]
        # The only one there is will tell what is wrong with the path.
        known = len(self.tape.playable) == 1
        return self._waiting[0] if known and self._waiting else None

    @property
    def _by_path(self) -> bool:
        return "path" in self._rules.handshake

    def _turned_away(self, handshake: Handshake | None) -> TurnedAway:
        playable, name = self.tape.playable, self.tape.path.name
        same = playable if handshake is None or not self._by_path else _of_path(playable, handshake)
        if handshake is not None and not same:
            there = ", ".join(dict.fromkeys(one.path for one in playable))
            return TurnedAway(f"The near end connected to {handshake.path!r}, and {name} holds only {there}.", 404)
        which = "" if len(same) == len(playable) else f" with the path {same[0].path!r}"
        holds = counted(len(same), "connection") + which
        return TurnedAway(f"A connection came that is not on the tape: {name} holds {holds}, all replayed.", 503)

    def met(self, path: str | None) -> tuple[int, int]:
        return len(self._begun), len(self.tape.playable)

    def number(self, path: str | None, script: Script, behind: int) -> int:
        return next((number for number, one in self._made.items() if one is script), 0)

    def unmet(self) -> list[tuple[str | None, Script]]:
        if self._again:
            return []
        return [(None, self._made[one.number]) for one in self._waiting if not self._may_be_left_out(one)]

    def _may_be_left_out(self, taped: Taped) -> bool:
        return not len(self._made[taped.number]) or self._rules.allows_unplayed(taped.path)


def _of_path(connections: Sequence[Taped], handshake: Handshake) -> Sequence[Taped]:
    """Those with the path that is asked for, but for ids in it."""
    return [one for one in connections if Ids().same(one.path, handshake.path) is not None]
