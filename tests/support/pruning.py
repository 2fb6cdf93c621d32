"""A chain that grows, and what prunes it in the background, without a node around both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from node.ops.metrics import Metrics
from node.pruning.background import Policy, Pruner
from node.threads import Threads
from storage.kv import KV
from tests.support.signed_chain import SignedChain


@dataclass
class FakeNeeds:
    """What else needs old blocks: nothing, until a test says so."""

    oldest_snapshot: int | None = None
    lowest_peer: int = 10**9

    def snapshot(self) -> int | None:
        return self.oldest_snapshot

    def peer(self) -> int:
        return self.lowest_peer


@dataclass
class Pruned:
    """A member of a chain with its pruner. `policy` keeps five heights, two a range."""

    member: SignedChain
    threads: Threads
    policy: Policy = field(
        default_factory=lambda: Policy(keep_heights=5, keep_days=0, range_heights=2, archive=None)
    )
    needs: FakeNeeds = field(default_factory=FakeNeeds)
    metrics: Metrics = field(default_factory=lambda: Metrics(version="test"))
    kv: KV | None = None

    def pruner(self) -> Pruner:
        """A new one, as after a start."""
        return Pruner(
            self.member.chain,
            self.member.kv if self.kv is None else self.kv,
            self.policy,
            needs=self.needs,
            paused=lambda: False,
            worker=self.threads.pruning,
            writer=self.threads.writer,
            counts=self.metrics,
            log=structlog.wrap_logger(
                structlog.testing.ReturnLogger(),
                processors=[],
                wrapper_class=structlog.make_filtering_bound_logger(0),
            ),
        )

    def oldest(self) -> int:
        """The oldest whole block."""
        return self.member.chain.blocks.oldest_block()

    def counted(self, name: str) -> float:
        """A counter of the metrics."""
        return self.metrics.registry.get_sample_value(f"medquorum_pruning_{name}_total") or 0.0


@contextmanager
def pruned_chain(path: Path, *, blocks: int, txs: int = 2) -> Iterator[Pruned]:
    """A chain of so many blocks."""
    member, threads = SignedChain(path), Threads(verifiers=1)
    try:
        member.grow(blocks, txs=txs)
        yield Pruned(member, threads)
    finally:
        threads.close()
        member.close()


async def prune_all(pruner: Pruner) -> int:
    """Give up what may go now; how many ranges."""
    count = 0
    await pruner.finish_last()
    while await pruner.step():
        count += 1
    return count


def prune_now(pruner: Pruner) -> int:
    """The same, from a test that is no coroutine."""
    return asyncio.run(prune_all(pruner))
