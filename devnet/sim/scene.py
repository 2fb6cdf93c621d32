"""What an adversary knows of a height, and how it keeps its memory short."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

from consensus.messages import Justification, PreparedCertificate, RoundChangeEntry
from consensus.pbft.members import Members
from consensus.pbft.turns import Turns
from devnet.sim.simnode import SimNode
from node.chain import Tip

KEPT: Final = 64
"""Blocks, rounds and votes that the adversary remembers of each kind."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Scene:
    """A height that is being decided, as somebody sees who has committed the one before."""

    node: SimNode
    tip: Tip
    members: Members
    turns: Turns

    @property
    def height(self) -> int:
        """The height in question."""
        return self.tip.height + 1


def justification(
    members: Members, entries: list[RoundChangeEntry], certificate: tuple[PreparedCertificate, ...]
) -> Justification:
    ordered = sorted(entries, key=lambda entry: members.position[entry.signer])
    return Justification(tuple(ordered), certificate)


def kept(memory: OrderedDict[K, V], key: K, value: V) -> V:
    """The value at `key`, which is `value` if there was none; the oldest are forgotten."""
    known = memory.setdefault(key, value)
    while len(memory) > KEPT:
        memory.popitem(last=False)
    return known
