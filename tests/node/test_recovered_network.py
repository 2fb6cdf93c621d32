"""Nodes over real links after a disaster: who was told, who was not, and old ones that return."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest

from medquorum.quorum import EngineName
from medquorum.recovery import recovery_in
from node.ledger.proposals import ObserverAdd, ProposalKind
from node.ledger.recoveries import recoveries_so_far
from node.logs import configure
from node.mempool import Mempool, PoolTx, Refusal
from tests.support.cluster import WAIT_S, Cluster, key_of, running_cluster
from tests.support.recovered import recovery_of

FOUNDERS, NEW, OBSERVER = (0, 1, 2, 3), (4, 5), 6


@pytest.fixture(params=["pbft", "raft"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Both engines keep these promises."""
    name: EngineName = request.param
    return name


async def strike(cluster: Cluster) -> int:
    """An observer follows; then all founders are gone, and two others are named. The height that
    is kept.
    """
    org = cluster.genesis.organisations[0].org
    admitted = cluster.decision(
        ProposalKind.OBSERVER_ADD, ObserverAdd(key_of(f"node{OBSERVER}").public, org)
    )
    await cluster.submit(0, admitted)
    await cluster.committed([admitted])
    await cluster.start(OBSERVER)
    kept = max(cluster.node(index).chain.tip.height for index in FOUNDERS)
    for index in cluster.running:
        assert await cluster.node(index).tracker.wait_height(kept, WAIT_S)
    file = recovery_of(cluster.node(OBSERVER).chain, numbers=NEW)
    await cluster.stop(*FOUNDERS, OBSERVER)
    for index in NEW:
        path = cluster.home(index).recovery_file
        path.parent.mkdir(parents=True)
        path.write_bytes(file.dump())
        # From a backup: who has not heard of the recovery hands no blocks to strangers.
        shutil.copytree(cluster.home(0).chain, cluster.home(index).chain)
        cluster.peers[index] = [OBSERVER, *(other for other in NEW if other != index)]
    cluster.peers[OBSERVER] = [*FOUNDERS, *NEW]
    return kept


async def test_new_nodes_go_on_from_a_copy_of_the_chain_and_an_observer_follows_untold(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, engine=engine, later=3) as cluster:
        kept = await strike(cluster)
        await cluster.start(OBSERVER, *NEW)
        tx = cluster.transaction()
        await cluster.submit(OBSERVER, tx)
        await cluster.committed([tx])
        for index in (OBSERVER, *NEW):
            chain = cluster.node(index).chain
            assert recoveries_so_far(chain.view()) == 1
            recorded = chain.blocks.recovery(kept + 1)
            assert recorded is not None
            assert chain.tip.validators == recorded.statement.validator_set()
        assert len(cluster.roots(kept + 1)) == 1
        await cluster.stop(OBSERVER)
        await cluster.start(OBSERVER)
        later = cluster.transaction()
        await cluster.submit(NEW[0], later)
        await cluster.committed([later])


async def test_the_recovery_is_recorded_though_no_mempool_has_room_for_it(
    tmp_path: Path, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What survivors took while nothing was decided any more may fill their pools for good."""
    real = Mempool.add

    def add(self: Mempool, entry: PoolTx, *, written: bool = True) -> Refusal | None:
        full = recovery_in(entry.tx.body.operations) is not None
        return Refusal.FULL if full else real(self, entry, written=written)

    async with running_cluster(tmp_path, 4, engine=engine, later=3) as cluster:
        kept = await strike(cluster)
        monkeypatch.setattr(Mempool, "add", add)
        log = io.StringIO()
        monkeypatch.setattr(
            "tests.support.cluster.configure",
            lambda level, form, name, _stream: configure(level, form, name, log),
        )
        await cluster.start(OBSERVER, *NEW)
        for index in (OBSERVER, *NEW):
            assert await cluster.node(index).tracker.wait_height(kept + 1, WAIT_S)
        told = [line for line in log.getvalue().splitlines() if "recovery_not_offered" in line]
        assert len(told) == len(NEW)
        assert all("mempool_full" in line for line in told)


async def test_a_quorum_of_the_old_validators_that_returns_takes_nobody_back(
    tmp_path: Path, engine: EngineName
) -> None:
    """What a recovery cannot exclude: they decide another block of the height among themselves."""
    async with running_cluster(tmp_path, 4, engine=engine, later=3) as cluster:
        kept = await strike(cluster)
        await cluster.start(OBSERVER, *NEW)
        assert await cluster.node(OBSERVER).tracker.wait_height(kept + 1, WAIT_S)
        await cluster.start(*FOUNDERS[:3])
        old = cluster.transaction()
        await cluster.submit(0, old)
        await cluster.committed([old], FOUNDERS[:3])
        new = cluster.transaction()
        await cluster.submit(OBSERVER, new)
        await cluster.committed([new], (OBSERVER, *NEW))
        assert len(cluster.roots(kept + 1)) == 2, "two branches, as the specification says"
        for index in (OBSERVER, *NEW):
            chain = cluster.node(index).chain
            assert chain.blocks.locate(old.id) is None
            assert chain.blocks.recovery(kept + 1) is not None
        for index in FOUNDERS[:3]:
            chain = cluster.node(index).chain
            assert chain.blocks.locate(new.id) is None
            assert chain.blocks.recovery(kept + 1) is None
