"""Peers that offer a snapshot, behind one link, on made-up time, and a node that asks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from random import Random

from node.snapshots.format import ChunkRef
from node.snapshots.patience import Patience
from node.snapshots.supply import Ask, Supply

EVER_S = 10 * 24 * 3_600.0


@dataclass(frozen=True)
class Peer:
    """Sends so many bytes a second, one chunk after the other, and none before `delay_s`."""

    rate: float = inf
    delay_s: float = 0.02


SILENT = Peer(delay_s=inf)


@dataclass
class _Sending:
    ask: Ask
    from_s: float
    left: float


def some_chunks(count: int, random: Random, *, size: int | None = None) -> list[ChunkRef]:
    """Chunks as the state of a chain has them, or all of one size."""
    sizes = [size or random.randint(256 * 1024, 1024 * 1024) for _ in range(count)]
    return [ChunkRef(sha256(b"%d" % at).digest(), size) for at, size in enumerate(sizes)]


@dataclass
class Joining:
    """A node that fetches; `link` is what it can receive, in bytes a second, shared evenly."""

    chunks: list[ChunkRef]
    peers: Mapping[bytes, Peer]
    link: float = inf
    patience: Patience = field(default_factory=Patience)
    now_s: float = 0.0
    given_up: list[tuple[bytes, str]] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)
    came: int = 0

    def run(self) -> bool:
        """Fetch until all is here or it is of no use; which of the two."""
        supply = Supply(self.chunks, list(self.peers), self.patience, self.now_s)
        sending: dict[bytes, list[_Sending]] = {peer: [] for peer in self.peers}
        while supply.goes_on:
            asks = supply.plan(self.now_s)
            supply.check_invariants()
            self.asked += asks
            for ask in asks:
                at_s = self.now_s + self.peers[ask.peer].delay_s
                sending[ask.peer].append(_Sending(ask, at_s, ask.ref.size))
            due = supply.deadline(self.now_s)
            assert due is not None
            for ask in self._pass(sending, max(due, self.now_s + 0.001)):
                self.came += ask.ref.size
                if supply.answered(ask, self.now_s):
                    supply.written(ask)
            for peer, reason in supply.give_up(self.now_s):
                self.given_up.append((peer, reason))
                sending[peer].clear()
            supply.check_invariants()
            assert self.now_s < EVER_S
        return supply.is_done

    def _pass(self, sending: Mapping[bytes, list[_Sending]], until_s: float) -> list[Ask]:
        """Let time pass until something is whole, or until then; what has come."""
        while self.now_s < until_s:
            heads = [queue[0] for queue in sending.values() if queue]
            active = [head for head in heads if head.from_s <= self.now_s]
            share = self.link / max(1, len(active))
            rates = [min(share, self.peers[head.ask.peer].rate) for head in active]
            ends = [
                self.now_s + (0.0 if rate == inf else head.left / rate)
                for head, rate in zip(active, rates, strict=True)
            ]
            begins = [head.from_s for head in heads if head.from_s > self.now_s]
            next_s = min([until_s, *ends, *begins])
            for head, rate, end in zip(active, rates, ends, strict=True):
                head.left = 0.0 if end <= next_s else head.left - rate * (next_s - self.now_s)
            self.now_s = next_s
            whole = [head.ask for head in active if head.left <= 0.0]
            if whole:
                for ask in whole:
                    sending[ask.peer].pop(0)
                return whole
        return []
