"""Twins (Bano et al., arXiv 2004.10617): one key, two processes, all partitions and leaders.

Four validators, the first of which runs twice, in a few rounds. A scenario says for each round who
may propose in it and which of the five processes hear each other meanwhile; when it is over, all
hear each other and progress is due. Two processes with one key that obey the rules each for itself
equivocate, vote twice and forget, which covers what Byzantine validators commonly do.

Scenarios with a common beginning share it; of those that differ in names only, one is played; and
one in which all who obey the rules have decided is not continued. So a quarter of a million of them
cost what some twenty thousand would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations, product
from typing import Final, NamedTuple

from consensus.engine import TimerKind
from devnet.model.automaton import TIMERS, Automaton, Setting, bits_of
from devnet.model.healing import UNDECIDED, Healer
from devnet.model.promises import Choice, Violation
from devnet.model.shame import shameless
from devnet.model.world import key_of

N: Final = 4
QUORUM: Final = 3
PLAYERS: Final = ((0, 0), (0, 1), (1, 0), (2, 0), (3, 0))
"""(validator, copy): validator 0 is there twice."""

PARTITIONS: Final = tuple((1, *bits) for bits in product((0, 1), repeat=len(PLAYERS) - 1))
"""All ways to split five processes into one or two groups: 16."""


class Phase(NamedTuple):
    """What happens during one round."""

    leader: int
    groups: tuple[int, ...]
    """By player: who is in the same group hears each other."""


PHASES: Final = tuple(Phase(leader, groups) for leader in range(N) for groups in PARTITIONS)
"""All of them: 64."""

Locals = tuple[int, ...]
Scenario = tuple[Phase, ...]

RENAMINGS: Final = tuple(
    ((0, *others), copies) for others in permutations((1, 2, 3)) for copies in ((0, 1), (1, 0))
)
"""Validators other than the first, and its two copies, are alike: 12 ways to rename them."""


def renamed(phase: Phase, names: tuple[int, ...], copies: tuple[int, ...]) -> Phase:
    """The same phase with other names; the first process is always in group 1."""
    groups = [0] * len(PLAYERS)
    for player, (validator, _) in enumerate(PLAYERS):
        place = copies[player] if validator == 0 else names[validator] + 1
        groups[place] = phase.groups[player]
    return Phase(names[phase.leader], tuple(int(group == groups[0]) for group in groups))


@cache
def _renamed(phase: Phase) -> Scenario:
    return tuple(renamed(phase, names, copies) for names, copies in RENAMINGS)


def orbit(scenario: Scenario) -> int:
    """How many scenarios are this one with other names."""
    return len(set(zip(*(_renamed(phase) for phase in scenario), strict=True)))


def is_first(scenario: Scenario) -> bool:
    """Whether it is the first of its orbit. So is every beginning of it."""
    return min(zip(*(_renamed(phase) for phase in scenario), strict=True)) == scenario


def beginnings(rounds: int) -> Iterator[Scenario]:
    """The first ones of all orbits of so many rounds."""
    for scenario in product(PHASES, repeat=rounds):
        if is_first(scenario):
            yield scenario


def describe(scenario: Scenario) -> str:
    """A scenario in words: leader and groups of each round."""
    names = ("0", "0'", "1", "2", "3")
    words = []
    for phase in scenario:
        sides = [
            ",".join(name for name, group in zip(names, phase.groups, strict=True) if group == side)
            for side in (1, 0)
        ]
        words.append(f"{phase.leader} leads {'|'.join(side for side in sides if side)}")
    return "; ".join(words)


@dataclass(slots=True)
class Tally:
    """What was played."""

    scenarios: int = 0
    played: int = 0
    """Phases that were really played."""

    ends: int = 0
    """States from which everybody was brought together."""

    decided_early: int = 0
    """Scenarios in which somebody had decided before all heard each other."""

    healed_ms_max: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Both together."""
        self.scenarios += other.scenarios
        self.played += other.played
        self.ends += other.ends
        self.decided_early += other.decided_early
        self.healed_ms_max = max(self.healed_ms_max, other.healed_ms_max)
        self.violations += other.violations


class Twins:
    """Plays scenarios. `newest_first`: what was said last arrives first."""

    def __init__(self, *, newest_first: bool = False) -> None:
        keys = tuple(key_of(number) for number in range(N))
        self.automaton = Automaton(Setting("pbft", keys, byzantine=frozenset({0})))
        self.healer = Healer(self.automaton)
        self.newest_first = newest_first
        self.tally = Tally()
        self._playing: Scenario = ()

    def play(self, rounds: int, prefix: Scenario) -> Tally:
        """All scenarios of so many rounds that begin like this, one of each orbit."""
        with shameless({key_of(0)}):
            try:
                self._explore(rounds, prefix, self._replay(prefix))
            except Violation as broken:
                self.tally.violations.append(f"{broken}: {describe(self._playing)}")
        return self.tally

    def play_one(self, scenario: Scenario) -> Tally:
        """Just this one."""
        with shameless({key_of(0)}):
            try:
                self._end(self._replay(scenario), 1)
            except Violation as broken:
                self.tally.violations.append(f"{broken}: {describe(self._playing)}")
        return self.tally

    def _replay(self, scenario: Scenario) -> Locals:
        self._playing = scenario[:1]
        locals_ = self._begin(scenario[0])
        for length in range(2, len(scenario) + 1):
            locals_ = self._go_on(locals_, scenario[:length])
        return locals_

    def _explore(self, rounds: int, scenario: Scenario, locals_: Locals) -> None:
        if len(scenario) == rounds or self._is_over(locals_):
            self._end(locals_, orbit(scenario) * len(PHASES) ** (rounds - len(scenario)))
            return
        for phase in PHASES:
            longer = (*scenario, phase)
            if is_first(longer):
                self._explore(rounds, longer, self._go_on(locals_, longer))

    def _is_over(self, locals_: Locals) -> bool:
        """Whether nothing can come of it any more: all who obey the rules have decided."""
        known = self.automaton.locals
        return all(known[local].decided != UNDECIDED for local in locals_[2:])

    def _begin(self, phase: Phase) -> Locals:
        moves = [self.automaton.boot(*player, (phase.leader,)) for player in PLAYERS]
        heard = [
            (player, number) for player, move in enumerate(moves) for number in bits_of(move.sent)
        ]
        return self._play([move.local for move in moves], heard, phase)

    def _go_on(self, before: Locals, scenario: Scenario) -> Locals:
        """Its last round: timers fire, and everybody says again what it last said."""
        self._playing = scenario
        order = tuple(phase.leader for phase in scenario)
        locals_ = [self.automaton.appoint(local, order) for local in before]
        heard: list[tuple[int, int]] = []
        for kind in (TimerKind.ROUND, TimerKind.RESEND):
            for player, local in enumerate(locals_):
                known = self.automaton.locals[local]
                if kind in known.timers and (
                    kind is not TimerKind.ROUND or known.decided == UNDECIDED
                ):
                    move = self.automaton.move(local, TIMERS[kind])
                    locals_[player] = move.local
                    heard += [(player, number) for number in bits_of(move.sent)]
        return self._play(locals_, heard, scenario[-1])

    def _play(self, locals_: list[int], heard: Iterable[tuple[int, int]], phase: Phase) -> Locals:
        """Until nothing is on its way any more within any group."""
        self.tally.played += 1
        waiting = deque(
            (receiver, number)
            for player, number in heard
            for receiver in self._receivers(player, number, phase)
        )
        while len(waiting) > 0:
            player, number = waiting.pop() if self.newest_first else waiting.popleft()
            move = self.automaton.move(locals_[player], number)
            locals_[player] = move.local
            for sent in bits_of(move.sent):
                waiting.extend((one, sent) for one in self._receivers(player, sent, phase))
        self._check(locals_)
        return tuple(locals_)

    def _receivers(self, player: int, number: int, phase: Phase) -> Iterator[int]:
        sender, to, _ = self.automaton.parcels[number]
        for other, (validator, _) in enumerate(PLAYERS):
            same_group = phase.groups[other] == phase.groups[player]
            if same_group and validator != sender and to in (None, validator):
                yield other

    def _check(self, locals_: Sequence[int]) -> None:
        """Agreement on what could be certified with the help of validator 0."""
        stands: dict[Choice, int] = {}
        for local in locals_[2:]:
            for choice in self.automaton.locals[local].ledger.choices:
                stands[choice] = stands.get(choice, 1) + 1
        outcomes = {choice[1:] for choice, count in stands.items() if count >= QUORUM}
        if len(outcomes) > 1:
            raise Violation("two certificates of one height are possible")

    def _end(self, locals_: Locals, times: int) -> None:
        """All hear each other from now on: everybody decides the same."""
        tally = self.tally
        tally.scenarios += times
        tally.ends += 1
        if any(self.automaton.locals[local].decided != UNDECIDED for local in locals_[2:]):
            tally.decided_early += times
        tally.healed_ms_max = max(tally.healed_ms_max, self.healer.heal(locals_))
