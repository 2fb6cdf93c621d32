"""Whose turn it is to propose (docs/spec/pbft.md, rules W1 to W5).

A function of committed headers and nothing else: whoever knows the chain knows the turns, whatever
it saw of earlier heights itself, and whenever it joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.engine import HeightStarted
from medquorum.invariants import require
from medquorum.quorum import quorum


@dataclass(frozen=True, slots=True)
class Turns:
    """Who proposes in which round of one height."""

    order: tuple[bytes, ...]
    """All validators, each once: number `r mod n` proposes in round `r`."""

    passed_over: tuple[bytes, ...]
    """The last ones of `order`: they missed a turn in this rota. The earliest miss comes first."""

    def proposer(self, round_: int) -> bytes:
        """Whose turn it is in a round."""
        return self.order[round_ % len(self.order)]


def turns_of(started: HeightStarted) -> Turns:
    """The turns of the height that starts (rules W1 to W5).

    Plays the rota up to here: in time linear in its length, which a chain parameter bounds.
    """
    keys = tuple(validator.key for validator in started.validators.validators)
    n, height = len(keys), started.height
    require(n > 0, "a height has validators")
    if started.rota_cycles == 0:
        return Turns(_rotated(keys, height), ())
    place = height % (started.rota_cycles * n)
    known = started.recent_proposers[-(started.rota_cycles * n + place) :]
    split = max(0, len(known) - place)
    waiting = _by_patience(_rotated(keys, height - len(known)), known[:split])
    passed_over: list[bytes] = []
    for proposer in known[split:]:
        leader = next(key for key in waiting if key not in passed_over)
        if proposer != leader:
            passed_over.append(leader)
            del passed_over[: max(0, len(passed_over) - (n - quorum("pbft", n)))]
        if proposer in waiting:
            waiting.remove(proposer)
            waiting.append(proposer)
    present = tuple(key for key in waiting if key not in passed_over)
    return Turns(present + tuple(passed_over), tuple(passed_over))


def _rotated(keys: tuple[bytes, ...], by: int) -> tuple[bytes, ...]:
    first = by % len(keys)
    return keys[first:] + keys[:first]


def _by_patience(keys: tuple[bytes, ...], proposers: Sequence[bytes]) -> list[bytes]:
    """Whoever has gone longest without making a block comes first (rule W2)."""
    last = {proposer: place for place, proposer in enumerate(proposers)}
    return sorted(keys, key=lambda key: last.get(key, -1))
