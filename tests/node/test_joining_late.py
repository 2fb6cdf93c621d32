"""A node that starts from the genesis when none of its founders is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from medquorum.quorum import EngineName
from node.ledger.codes import OK
from node.ledger.proposals import ObserverAdd, ProposalKind, ValidatorReplace
from node.wire import FrameKind
from p2p.model import Frame, Lane
from tests.support.cluster import Cluster, key_of, running_cluster

FOUNDER, SUCCESSOR, LATE = 0, 1, 2


@pytest.fixture(params=["pbft", "raft"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Both engines keep these promises."""
    name: EngineName = request.param
    return name


def observer(cluster: Cluster, index: int) -> ObserverAdd:
    return ObserverAdd(key_of(f"node{index}").public, cluster.genesis.organisations[0].org)


async def decide(
    cluster: Cluster, at: int, kind: ProposalKind, content: ObserverAdd | ValidatorReplace
) -> None:
    tx = cluster.decision(kind, content)
    await cluster.submit(at, tx)
    status = await cluster.node(at).tracker.wait(tx.id, 30)
    assert status.code == OK


async def replace_the_founder(cluster: Cluster) -> None:
    """The only founder hands over to a node that followed as an observer, and is gone."""
    org = cluster.genesis.organisations[0].org
    await decide(cluster, FOUNDER, ProposalKind.OBSERVER_ADD, observer(cluster, SUCCESSOR))
    await cluster.start(SUCCESSOR)
    tip = cluster.node(FOUNDER).chain.tip.height
    assert await cluster.node(SUCCESSOR).tracker.wait_height(tip, 30)
    content = ValidatorReplace(
        key_of(f"vote{FOUNDER}").public,
        key_of(f"vote{SUCCESSOR}").public,
        key_of(f"node{SUCCESSOR}").public,
        cluster.possession(SUCCESSOR, org),
    )
    await decide(cluster, FOUNDER, ProposalKind.VALIDATOR_REPLACE, content)
    handed_over = cluster.node(FOUNDER).chain.tip.height
    assert await cluster.node(SUCCESSOR).tracker.wait_height(handed_over, 30)
    await cluster.stop(FOUNDER)
    await decide(cluster, SUCCESSOR, ProposalKind.OBSERVER_ADD, observer(cluster, LATE))


async def test_it_joins_through_a_peer_that_its_operator_named_and_again_after_it_was_wiped(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 1, engine=engine, later=2) as cluster:
        await replace_the_founder(cluster)
        cluster.peers[LATE] = [SUCCESSOR]
        for _ in range(2):
            await cluster.start(LATE)
            # Through the new node, so that it must have become one that others listen to.
            tx = cluster.transaction()
            await cluster.submit(LATE, tx)
            await cluster.committed([tx], nodes=[SUCCESSOR, LATE])
            assert cluster.node(LATE).roster.is_member(key_of(f"node{SUCCESSOR}").public)
            await cluster.stop(LATE)
            for path in sorted(cluster.home(LATE).chain.iterdir()):
                path.unlink()


async def test_who_has_no_vote_is_told_of_every_block_and_need_not_wait_for_an_announcement(
    tmp_path: Path, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync.TIP_INTERVAL_S", 3_600.0)
    async with running_cluster(tmp_path, 1, engine=engine, later=1) as cluster:
        await decide(cluster, FOUNDER, ProposalKind.OBSERVER_ADD, observer(cluster, SUCCESSOR))
        await cluster.start(SUCCESSOR)
        for _ in range(3):
            tx = cluster.transaction()
            await cluster.submit(SUCCESSOR, tx)
            await cluster.committed([tx])


async def test_a_stranger_speaks_of_heights_and_blocks_and_is_told_nothing(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1, later=2) as cluster:
        await replace_the_founder(cluster)
        await cluster.stop(SUCCESSOR)
        cluster.peers[LATE] = [SUCCESSOR]
        await cluster.start(LATE)
        node, stranger = cluster.node(LATE), key_of(f"node{SUCCESSOR}").public
        assert node.roster.may_connect(stranger)
        heard: list[int] = []

        async def hear(_peer: bytes, _payload: bytes) -> None:
            heard.append(kind)

        for kind in FrameKind:
            node.network.handle(kind, hear)
            lane = Lane.CONSENSUS if kind is FrameKind.CONSENSUS else Lane.BULK
            await node.network.on_frame(Frame(stranger, lane, kind, b""))
        answers = [FrameKind.SNAPSHOTS, FrameKind.SNAPSHOT, FrameKind.CHUNK]
        assert sorted(heard) == sorted([FrameKind.BLOCKS, FrameKind.TIP, *answers])


async def test_a_node_that_hears_strangers_only_knows_that_it_is_behind(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1, later=2) as cluster:
        cluster.peers[LATE] = [SUCCESSOR]
        await cluster.start(LATE)
        sync = cluster.node(LATE).sync
        assert sync.status() is None
        sync.claim(key_of(f"node{SUCCESSOR}").public, 1_000)
        found = sync.status()
        assert found is not None
        assert found.target == 1_000
