"""A network in which three founders have a chain and a snapshot of it, and one has nothing yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from medquorum.quorum import EngineName
from node.app import Node
from node.config.schema import Snapshots, Sync
from tests.support.cluster import WAIT_S, Cluster, running_cluster

INTERVAL = 20
HEIGHT = 25
LATE = 3


def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks so small that even these snapshots have many."""
    monkeypatch.setattr("node.snapshots.cutting.CHUNK_BYTES_MAX", 2_000)
    monkeypatch.setattr("node.snapshots.cutting.CHUNK_BYTES_MIN", 500)
    monkeypatch.setattr("node.snapshots.cutting.CHUNK_CUT", 2)


async def grow(cluster: Cluster, blocks: int) -> None:
    """Commit so many blocks, one transaction each."""
    for _ in range(blocks):
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx], nodes=[0])


async def until(condition: Callable[[], bool]) -> None:
    """Look until it holds. What is waited for is on a disk, and nobody tells of it."""
    async with asyncio.timeout(WAIT_S):
        met = condition()
        while not met:
            await asyncio.sleep(0.01)
            met = condition()


async def have_snapshots(cluster: Cluster) -> None:
    """Until each of the three has the one of the interval."""
    stores = [cluster.node(index).stores for index in (0, 1, 2)]
    await until(lambda: all(store.snapshots.names() for store in stores))


@asynccontextmanager
async def three_with_snapshots(
    tmp_path: Path, engine: EngineName = "pbft"
) -> AsyncIterator[Cluster]:
    """Four founders of whom three have a chain and a snapshot, and one has nothing yet."""
    async with running_cluster(tmp_path, 4, start=[], engine=engine) as cluster:
        cluster.snapshots = Snapshots(interval_heights=INTERVAL)
        cluster.sync = Sync(mode="auto")
        await cluster.start(0, 1, 2)
        await grow(cluster, HEIGHT)
        for index in (1, 2):
            assert await cluster.node(index).tracker.wait_height(HEIGHT, WAIT_S)
        await have_snapshots(cluster)
        yield cluster


async def begun(cluster: Cluster) -> Node:
    """The late one, once it has begun with a snapshot and runs on it."""
    async with asyncio.timeout(WAIT_S):
        await cluster.running[LATE].replaced.wait()
    await cluster.stop(LATE)
    await cluster.start(LATE)
    return cluster.node(LATE)


def reasons(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """For what the node punishes its peers, from now on."""
    found: list[str] = []
    punish = node.network.punish

    def noted(peer: bytes, reason: str) -> None:
        found.append(reason)
        punish(peer, reason)

    monkeypatch.setattr(node.network, "punish", noted)
    return found
