"""From a state in which nothing is on its way, timers alone must lead to a decision everywhere."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.engine import SetTimer, Timer, TimerKind
from devnet.model.automaton import EXECUTED, TIMERS, TIMING, Automaton, bits_of
from devnet.model.promises import Violation

DELAY_MS: Final = 1
LIMIT_MS: Final = 12 * TIMING.round_ms_max
UNDECIDED: Final = (b"", b"")


@dataclass(slots=True)
class Healer:
    """Plays on from states: what is said arrives at everybody, and liars are silent."""

    automaton: Automaton
    _known: dict[tuple[int, ...], int] = field(default_factory=dict)

    def heal(self, locals_: Sequence[int]) -> int:
        """The virtual milliseconds until everybody has decided. Raises Violation if never."""
        start = tuple(locals_)
        known = self._known.get(start)
        if known is None:
            known = self._known[start] = _Play(self.automaton, list(start)).run()
        return known


@dataclass(slots=True)
class _Play:
    """One run in virtual time."""

    automaton: Automaton
    locals: list[int]
    now: int = 0
    queue: list[tuple[int, int, int, int, Timer | None]] = field(default_factory=list)
    """(when, a number for the order, player, event, the timer if it is one)"""

    armed: dict[tuple[int, TimerKind], tuple[int, Timer]] = field(default_factory=dict)
    count: int = 0

    def run(self) -> int:
        table = self.automaton.locals
        for player, local in enumerate(self.locals):
            for wanted in table[local].timers.values():
                self._arm(player, wanted)
            if len(table[local].running) > 0:
                self._put(DELAY_MS, player, EXECUTED, None)
        liars = self.automaton.setting.byzantine
        honest = [p for p, local in enumerate(self.locals) if table[local].number not in liars]
        while any(table[self.locals[player]].decided == UNDECIDED for player in honest):
            if len(self.queue) == 0 or self.now > LIMIT_MS:
                raise Violation("timers do not lead to a decision")
            self.now, count, player, event, timer = heapq.heappop(self.queue)
            if timer is None or self.armed.get((player, timer.kind)) == (count, timer):
                self._do(player, event)
        outcomes = {table[self.locals[player]].decided for player in honest}
        if len(outcomes) > 1:
            raise Violation("two decisions of one height")
        return self.now

    def _do(self, player: int, event: int) -> None:
        local = self.automaton.locals[self.locals[player]]
        if event == EXECUTED and len(local.running) == 0:
            return
        running = local.running
        move = self.automaton.move(self.locals[player], event)
        self.locals[player] = move.local
        for wanted in move.armed:
            self._arm(player, wanted)
        if self.automaton.locals[move.local].running not in ((), running):
            self._put(DELAY_MS, player, EXECUTED, None)
        for number in bits_of(move.sent):
            self._deliver(number)

    def _deliver(self, number: int) -> None:
        sender, to, _ = self.automaton.parcels[number]
        for player, local in enumerate(self.locals):
            receiver = self.automaton.locals[local].number
            if receiver != sender and to in (None, receiver):
                self._put(DELAY_MS, player, number, None)

    def _arm(self, player: int, wanted: SetTimer) -> None:
        self._put(wanted.delay_ms, player, TIMERS[wanted.timer.kind], wanted.timer)
        self.armed[player, wanted.timer.kind] = (self.count, wanted.timer)

    def _put(self, delay_ms: int, player: int, event: int, timer: Timer | None) -> None:
        self.count += 1
        heapq.heappush(self.queue, (self.now + delay_ms, self.count, player, event, timer))
