"""Peers that hand out a snapshot drop by drop cannot keep a member from its chain (P13)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from medquorum.codec import decode
from node.app import Node
from node.snapshots.limits import PATIENCE_S
from node.snapshots.making import load_head
from node.wire import FrameKind, GetChunk
from tests.support.cluster import WAIT_S, Cluster
from tests.support.state_sync import (
    HEIGHT,
    INTERVAL,
    LATE,
    begun,
    reasons,
    small_chunks,
    three_with_snapshots,
    until,
)

Handler = Callable[[bytes, bytes], Awaitable[None]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of many chunks."""
    small_chunks(monkeypatch)


@dataclass
class Drops:
    """What three nodes hand out together: so many chunks, and then no more until `given` is 0."""

    most: int
    given: int = 0
    chunks: list[bytes] = field(default_factory=list)

    def dam(self, node: Node) -> None:
        """Have a node answer no more questions than that."""
        serve: Handler = node.network._handlers[FrameKind.GET_CHUNK]

        async def answer(peer: bytes, payload: bytes) -> None:
            if self.given < self.most:
                self.given += 1
                self.chunks.append(decode(GetChunk, payload, size_max=64).hash)
                await serve(peer, payload)

        node.network.handle(FrameKind.GET_CHUNK, answer)


def counted(
    node: Node, monkeypatch: pytest.MonkeyPatch, slow: Callable[[], None] = lambda: None
) -> list[str]:
    """What the node counts, from now on; `slow` is called for each peer that was too slow."""
    found: list[str] = []
    dropped = node.network.dropped

    def noted(reason: str) -> None:
        found.append(reason)
        dropped(reason)
        if reason == "snapshot_slow":
            slow()

    monkeypatch.setattr(node.network, "dropped", noted)
    return found


def chunks_of(cluster: Cluster) -> int:
    """How many different ones the snapshot has that all offer."""
    files = cluster.node(0).stores.snapshots
    head = load_head(files, files.names()[-1])
    assert head is not None
    return len({ref.hash for ref in head.manifest.chunks()})


async def test_if_all_drip_blocks_are_fetched_and_nobody_is_punished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.snapshots.patience.PATIENCE_S", 0.3)
    async with three_with_snapshots(tmp_path) as cluster:
        drops = Drops(1)
        for index in (0, 1, 2):
            drops.dam(cluster.node(index))
        await cluster.start(LATE)
        late = cluster.node(LATE)
        punished = reasons(late, monkeypatch)

        def once_more() -> None:
            """Each fetch brings another chunk: progress, and yet hardly any."""
            drops.given = 0

        found = counted(late, monkeypatch, once_more)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert late.chain.blocks.oldest_block() == 1
        assert punished == []
        assert "snapshot_slow" in found
        assert 1 < len(drops.chunks) < chunks_of(cluster)
        assert late.snapshots.fetching.status() is None


async def test_what_a_slow_fetch_brought_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        total = chunks_of(cluster)
        half = total // 2
        drops = Drops(half)
        for index in (0, 1, 2):
            drops.dam(cluster.node(index))
        await cluster.start(LATE)
        late = cluster.node(LATE)

        found = counted(late, monkeypatch)
        fetching, here = late.snapshots.fetching, late.stores.snapshots.chunks
        await until(lambda: len(list(here.ids())) == half)
        # No end of them: questions of the first fetch that are still on their way are answered too,
        # and nobody waits for that any more.
        drops.most = 3 * total
        # As if nothing had come for so long that an answer which is on its way changes nothing.
        fetching._tries.patience.waited(2 * PATIENCE_S)
        fetching._moved.set()
        node = await begun(cluster)
        assert node.chain.blocks.oldest_block() == INTERVAL + 1
        assert "snapshot_slow" in found
        first, then = set(drops.chunks[:half]), set(drops.chunks[half:])
        assert first.isdisjoint(then)
        assert len(first) == half
        assert len(first | then) == total
