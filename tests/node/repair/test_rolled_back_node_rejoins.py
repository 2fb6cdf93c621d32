"""A validator whose last heights were taken back fetches them again and goes on as before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from medquorum.quorum import EngineName
from node.repair.rollback import Rollback
from storage.leveldb import LevelDB
from storage.signstate import SignState
from tests.support.cluster import running_cluster

MEMBERS, BACK, TAKEN = 4, 3, 3


@pytest.mark.parametrize("engine", ["pbft", "raft"])
async def test_it_has_the_same_chain_as_before_and_goes_on_with_the_others(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, MEMBERS, engine=engine) as cluster:
        for _ in range(TAKEN + 1):
            tx = cluster.transaction()
            await cluster.submit(0, tx)
            await cluster.committed([tx])
        tip = cluster.node(BACK).chain.tip
        await cluster.stop(BACK)
        home = cluster.home(BACK)
        signed = SignState.open(home.sign_state).last
        with closing(LevelDB(home.chain)) as kv:
            assert list(Rollback(kv, home.chain).run(TAKEN))[-1] == tip.height - TAKEN
        assert SignState.open(home.sign_state).last == signed
        await cluster.start(BACK)
        assert cluster.node(BACK).chain.tip.height == tip.height - TAKEN
        tx = cluster.transaction()
        await cluster.submit(BACK, tx)
        await cluster.committed([tx])
        header = cluster.node(BACK).chain.blocks.header(tip.height)
        assert header is not None
        assert header.hash() == tip.block_hash
        assert len(cluster.roots(tip.height + 1)) == 1
