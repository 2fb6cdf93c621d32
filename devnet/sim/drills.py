"""What Raft promises of leadership, tried on a chain at rest (docs/spec/raft.md, T1 to V9 and L5).

Storms show what is decided, and hardly who leads: any leader will do. So when all is over, one
validator is cut off for a while, and everybody is asked who leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devnet.sim.machine import Machine
from devnet.sim.network import Net
from devnet.sim.trapnames import DEAF, LEADERLESS
from devnet.sim.world import US_PER_MS, Violation, World

# In election timeouts.
SETTLED_MAX: Final = 40
QUIET: Final = 2
AWAY_FOR: Final = 4
RETURN: Final = 3
STEPS_DOWN: Final = 3
ELECTED_MAX: Final = 15


@dataclass(frozen=True, slots=True)
class Lead:
    """Who leads, as everybody says."""

    leader: bytes
    height: int
    term: int


@dataclass(frozen=True, slots=True)
class Drill:
    """`voters` are up and vote, of `n` validators; at most one of them is cut off."""

    world: World
    net: Net[Machine]
    voters: list[Machine]
    n: int
    round_ms: int

    @property
    def is_possible(self) -> bool:
        """Whether a majority is left without any one of them."""
        return 2 * (len(self.voters) - 1) > self.n

    def play(self, kind: str) -> None:
        """Raises Violation."""
        before = self._settled()
        self.world.note(f"drill: {kind}")
        leading = [m for m in self.voters if key_of(m) == before.leader]
        others = [m for m in self.voters if m not in leading]
        if kind == LEADERLESS:
            if len(leading) == 1:
                self._without_leader(leading[0], others)
            return
        alone = self.world.rng.choice(others)
        self._cut_off(alone, hears=False, is_heard=kind == DEAF)
        self._wait(AWAY_FOR)
        self.net.lose = None
        self._wait(RETURN)
        after = self._common(self.voters)
        if after is None or after.leader != before.leader or self._grew(before, after):
            raise Violation(f"L4: {alone.name} was {kind}, and cost the leader its place")

    def _without_leader(self, old: Machine, others: list[Machine]) -> None:
        """The others elect one, and the old one does not go on."""
        self._cut_off(old, hears=False, is_heard=False)
        self._wait(STEPS_DOWN)
        if leader_of(old) == key_of(old):
            raise Violation(f"L4: {old.name} goes on leading although nobody answers")
        for _ in range(ELECTED_MAX):
            found = self._common(others)
            if found is not None and found.leader != key_of(old):
                break
            self._wait(1)
        else:
            raise Violation("L4: a majority without its leader elects none")
        self.net.lose = None
        self._wait(RETURN)
        after = self._common(self.voters)
        if after is None or after.leader != found.leader:
            raise Violation(f"L4: {old.name} came back, and they do not agree on who leads")

    def _settled(self) -> Lead:
        """Who has led for a while."""
        known, quiet = self._common(self.voters), 0
        for _ in range(4 * SETTLED_MAX):
            self._wait(0.25)
            now = self._common(self.voters)
            quiet = quiet + 1 if now is not None and now == known else 0
            known = now
            if known is not None and quiet >= 4 * QUIET:
                return known
        raise Violation("L4: leadership does not come to rest, though nothing goes wrong")

    def _common(self, machines: list[Machine]) -> Lead | None:
        """What all of them say; None if they differ, or know of no leader."""
        said = set()
        for machine in machines:
            if machine.node is None:
                return None
            status = machine.node.driver.engine.status()
            said.add(Lead(status.proposer, status.height, status.round))
        if len(said) != 1:
            return None
        [lead] = said
        return None if lead.leader == b"" else lead

    def _grew(self, before: Lead, after: Lead) -> bool:
        return before.height == after.height and before.term != after.term

    def _cut_off(self, alone: Machine, *, hears: bool, is_heard: bool) -> None:
        def lose(sender: int, receiver: int, _kind: int, _payload: bytes) -> bool:
            return (sender == alone.place and not is_heard) or (
                receiver == alone.place and not hears
            )

        self.net.lose = lose

    def _wait(self, timeouts: float) -> None:
        self.world.run(int(timeouts * self.round_ms * US_PER_MS))


def key_of(machine: Machine) -> bytes:
    """The vote key of a machine; empty if it has none."""
    return b"" if machine.validator is None else machine.validator.public


def leader_of(machine: Machine) -> bytes:
    """Whom it takes for the leader."""
    return b"" if machine.node is None else machine.node.driver.engine.status().proposer


def votes(machine: Machine) -> bool:
    """Whether it is up and takes part."""
    return machine.node is not None and machine.node.driver.engine.status().phase != "observing"
