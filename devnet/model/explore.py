"""All interleavings within a scope: which states are reached, and whether a promise breaks.

The network is a set of everything that was ever said. A member of it may arrive at any time, in any
order, again, or never, so losses, delays and repetitions need no events of their own. Three
reductions keep the states few; docs/simulator.md says why nothing is lost by them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from devnet.model.automaton import CRASH, EXECUTED, WORK, Move, bits_of
from devnet.model.forking import fork
from devnet.model.healing import Healer
from devnet.model.promises import Choice, Violation, check_agreement, choice_of
from devnet.model.scope import Scope

BUNDLE_MAX: Final = 4
"""Votes that arrive together: a quorum without ourselves, and a block."""


class State(NamedTuple):
    """Where everybody is, and what was said so far."""

    locals: tuple[int, ...]
    said: int
    crashes: int


class Step(NamedTuple):
    """What one validator does at once: some arrivals, the last of which has a visible effect."""

    events: tuple[int, ...]
    local: int
    sent: int


@dataclass(slots=True)
class Findings:
    """How far a search went."""

    name: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    local_states: int = 0
    engine_steps: int = 0
    quiescent: int = 0
    """States in which nothing but timers leads on."""

    healed: int = 0
    """Those from which timers were followed until everybody had decided."""

    decided: set[Choice] = field(default_factory=set)
    complete: bool = False
    violation: str = ""
    trace: tuple[str, ...] = ()


class Search:
    """A breadth-first search of one scope."""

    def __init__(self, scope: Scope, healer: Healer | None = None) -> None:
        self.scope = scope
        self.automaton = scope.automaton
        self.players = scope.players
        self.healer = Healer(scope.automaton) if healer is None else healer
        self.findings = Findings(scope.name)
        self._came: dict[State, tuple[State, int, Step] | None] = {}
        self._steps: dict[tuple[int, int], tuple[Step, ...]] = {}
        self._outlines: dict[int, Hashable] = {}
        self._merged: dict[tuple[int, Hashable], int] = {}
        self._agreed: dict[int, frozenset[Choice]] = {}
        self._looked: set[tuple[int, int]] = set()

    def run(
        self, states_max: int, heals_max: int, stop: Callable[[], bool] = lambda: False
    ) -> Findings:
        """Search until all is seen, a promise breaks, or a limit is reached."""
        found = self.findings
        state: State | None = None
        try:
            state = self._first()
            found.complete = self._search(state, states_max, heals_max, stop)
        except Violation as broken:
            found.violation = str(broken)
            found.trace = self._trace()
        found.states = len(self._came)
        found.local_states = len(self.automaton.locals)
        found.engine_steps = self.automaton.steps
        return found

    def _first(self) -> State:
        moves = [self.automaton.boot(number) for number in self.players]
        said = 0
        for move in moves:
            said |= self.scope.keep(move.sent)
        return State(tuple(move.local for move in moves), said, 0)

    def _search(
        self, first: State, states_max: int, heals_max: int, stop: Callable[[], bool]
    ) -> bool:
        found = self.findings
        self._came[first] = None
        waiting = deque([(first, 0)])
        while len(waiting) > 0:
            if len(self._came) >= states_max or stop():
                return False
            self._at, found.depth = waiting.popleft()
            self._doing = ""
            quiet = True
            for player, step in self._moves(self._at):
                found.transitions += 1
                after = self._after(self._at, player, step)
                quiet = quiet and (step.events[-1] < 0 or after == self._at)
                if after not in self._came:
                    self._came[after] = (self._at, player, step)
                    self._check(after)
                    waiting.append((after, found.depth + 1))
            if quiet:
                found.quiescent += 1
                if found.healed < heals_max:
                    self._doing = "and then only timers"
                    self.healer.heal(self._at.locals)
                    found.healed += 1
        return True

    def _moves(self, state: State) -> Iterator[tuple[int, Step]]:
        said = state.said | self.scope.offers(state.said)
        for player, local in enumerate(state.locals):
            self._doing = f"validator {self.players[player]} acts"
            for step in self._steps_of(local, self._inbox(player, said)):
                yield player, step
            if state.crashes < self.scope.crashes:
                move = self.automaton.move(local, CRASH)
                yield player, self._step((CRASH,), move)

    def _after(self, state: State, player: int, step: Step) -> State:
        locals_ = list(state.locals)
        locals_[player] = step.local
        crashes = state.crashes + (step.events == (CRASH,))
        return State(tuple(locals_), state.said | step.sent, crashes)

    def _inbox(self, player: int, said: int) -> int:
        """What may arrive at a player. Nobody is told what it said itself."""
        number, inbox = self.players[player], 0
        for place in bits_of(said):
            parcel = self.automaton.parcels[place]
            if parcel.sender != number and parcel.to in (None, number):
                inbox |= 1 << place
        return inbox

    def _steps_of(self, local: int, inbox: int) -> tuple[Step, ...]:
        place = (local, inbox)
        known = self._steps.get(place)
        if known is None:
            known = self._steps[place] = tuple(self._bundles(local, inbox).values())
        return known

    def _bundles(self, local: int, inbox: int) -> dict[Hashable, Step]:
        """One step for each visible change: votes arrive just when they complete something."""
        before = self._outline(local)
        found: dict[Hashable, Step] = {}
        for event in self.scope.spontaneous(self.automaton.locals[local]):
            move = self.automaton.move(local, event)
            found.setdefault(self._outline(move.local), self._step((event,), move))
        groups: dict[str, list[int]] = {}
        for number in bits_of(inbox):
            group = self.scope.group(self.automaton.parcels[number].message)
            if group != "":
                groups.setdefault(group, []).append(number)
        for arrivals in groups.values():
            level: dict[int, tuple[int, ...]] = {local: ()}
            seen = {local}
            for _ in range(BUNDLE_MAX):
                level = self._arrive(level, arrivals, before, seen, found)
        found.pop(before, None)
        return found

    def _arrive(
        self,
        level: dict[int, tuple[int, ...]],
        arrivals: list[int],
        before: Hashable,
        seen: set[int],
        found: dict[Hashable, Step],
    ) -> dict[int, tuple[int, ...]]:
        """One more arrival in each state of `level`; those that still look as before."""
        following: dict[int, tuple[int, ...]] = {}
        for local, events in level.items():
            heard = {self._speaker(event) for event in events}
            for event in arrivals:
                if self._speaker(event) in heard:
                    continue
                move = self.automaton.move(local, event)
                answer = self.scope.keep(move.sent)
                if move.local == local and answer != 0:
                    found.setdefault((before, answer), self._step((*events, event), move))
                if move.local in seen:
                    continue
                outline = self._outline(move.local)
                if outline == before:
                    seen.add(move.local)
                    following[move.local] = (*events, event)
                else:
                    found.setdefault(outline, self._step((*events, event), move))
        return following

    def _speaker(self, event: int) -> tuple[int, type]:
        """One of a kind and sender is enough: of two, one would be passed over."""
        sender, _, message = self.automaton.parcels[event]
        return sender, type(message)

    def _step(self, events: tuple[int, ...], move: Move) -> Step:
        return Step(events, self._merge(move.local), self.scope.keep(move.sent))

    def _merge(self, local: int) -> int:
        """What stands for all local states with this outline: one that forgot what it could."""
        place = (self.automaton.locals[local].number, self._outline(local))
        known = self._merged.get(place)
        if known is None:
            forgetful = fork(self.automaton.locals[local])
            self.scope.forget(forgetful)
            known = self._merged[place] = self.automaton.number_of_local(forgetful)
            self._outlines[known] = place[1]
        return known

    def _outline(self, local: int) -> Hashable:
        known = self._outlines.get(local)
        if known is None:
            known = self._outlines[local] = self.scope.outline(self.automaton.locals[local])
        return known

    def _check(self, state: State) -> None:
        """Agreement on what could be certified, and on what is handed out as decided."""
        choices = self._agreed.get(state.said)
        if choices is None:
            self._doing = "these votes were said"
            choices = self._agreement(state.said)
            self._agreed[state.said] = choices
            self.findings.decided |= choices
        if not any(choice_of(parcel.message) for parcel in self.automaton.parcels_in(state.said)):
            return
        votes = state.said | self.scope.offers(state.said)
        votes = sum(
            1 << number
            for number in bits_of(votes)
            if choice_of(self.automaton.parcels[number].message) is not None
        )
        for player, local in enumerate(state.locals):
            if (local, votes) not in self._looked:
                self._looked.add((local, votes))
                self._look(local, self._inbox(player, votes), choices)

    def _agreement(self, said: int) -> frozenset[Choice]:
        keys = self.automaton.setting.keys
        votes = [
            (keys[parcel.sender], parcel.message) for parcel in self.automaton.parcels_in(said)
        ]
        return check_agreement(votes, self.scope.needed)

    def _look(self, local: int, votes: int, choices: frozenset[Choice]) -> None:
        """What a validator decides when these votes arrive, in either order."""
        outcomes = {choice[1:] for choice in choices}
        numbers = tuple(bits_of(votes))
        for order in (numbers, numbers[::-1]):
            now = local
            for number in order:
                self._doing = f"validator {self.automaton.locals[local].number} hears the votes"
                now = self.automaton.move(now, number).local
            decided = self.automaton.locals[now].decided
            if decided != (b"", b"") and decided not in outcomes:
                raise Violation("something is decided that nobody could have certified")

    def _trace(self) -> tuple[str, ...]:
        """How the state was reached in which a promise broke."""
        if not self._came:
            return ()
        lines = [self._doing]
        state: State | None = self._at
        while state is not None:
            came = self._came[state]
            if came is None:
                break
            state, player, step = came
            what = "; ".join(self._word(event) for event in step.events)
            lines.append(f"validator {self.players[player]}: {what}")
        return tuple(reversed(lines))

    def _word(self, event: int) -> str:
        names = {WORK: "has work", EXECUTED: "execution ends", CRASH: "crashes and comes back"}
        if event < 0:
            return names.get(event, "timer")
        sender, _, message = self.automaton.parcels[event]
        round_ = getattr(message, "round", getattr(message, "term", ""))
        return f"{type(message).__name__} {round_} of {sender}"
