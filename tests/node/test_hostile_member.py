"""A validator with real keys lies in every kind of message, and the other three go on (S7)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.limits import FETCHED_TXS_KEPT
from tests.support.cluster import Cluster, key_of, running_cluster
from tests.support.hostile import HostileMember, hostile_member

HONEST = (0, 1, 2)
CONVICTING = {
    "proposal",
    "false body",
    "false wish",
    "round proof",
    "decided",
    "junk",
    "mutated",
    "gossip",
    "slander",
}
"""No correct validator says these: they cost the connection. The rest could be late or early."""


async def keep_lying(member: HostileMember, lies: list[str], told: dict[str, int]) -> None:
    """One after another, whenever a connection stands."""
    while True:
        for lie in lies:
            told[lie] = told.get(lie, 0) + member.tell(lie)
            await asyncio.sleep(0.002)


def assert_sound(cluster: Cluster) -> None:
    """Nobody halted, nothing has grown, and the histories are one."""
    for index in HONEST:
        node = cluster.node(index)
        assert node.halt_reason() is None
        assert len(node.bodies._fetched) <= FETCHED_TXS_KEPT
        assert len(node.work._begun) < 20
        assert node.sync.status() is None
        accused = {accusation.validator for accusation, _ in node.exchange.book.items()}
        assert accused <= {key_of("vote3").public}
        node.pool.check_invariants()
    lowest = min(cluster.node(index).chain.tip.height for index in HONEST)
    assert all(len(cluster.roots(height)) == 1 for height in range(1, lowest + 1))


@pytest.mark.parametrize("convicting", [True, False])
async def test_three_honest_validators_commit_while_the_fourth_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, convicting: bool
) -> None:
    async with running_cluster(tmp_path, 4, start=HONEST) as cluster:
        punished: list[str] = []
        for index in HONEST:
            network = cluster.node(index).network
            monkeypatch.setattr(network, "punish", lambda _peer, reason: punished.append(reason))
        async with hostile_member(cluster, 3) as member, asyncio.TaskGroup() as group:
            told: dict[str, int] = {}
            lies = sorted(lie for lie in member.lies if (lie in CONVICTING) == convicting)
            liar = group.create_task(keep_lying(member, lies, told))
            for index in HONEST:
                tx = cluster.transaction(index)
                await cluster.submit(index, tx)
                await cluster.committed([tx], nodes=HONEST)
                assert_sound(cluster)
            liar.cancel()
        assert min(told[lie] for lie in lies) > 0
        assert bool(punished) == convicting, set(punished)


async def test_a_member_that_is_caught_lying_is_disconnected(tmp_path: Path) -> None:
    async with (
        running_cluster(tmp_path, 4, start=HONEST) as cluster,
        hostile_member(cluster, 3) as member,
        asyncio.TaskGroup() as group,
    ):
        liar = group.create_task(keep_lying(member, ["junk"], {}))
        for index in HONEST:
            tx = cluster.transaction(index)
            await cluster.submit(index, tx)
            await cluster.committed([tx], nodes=HONEST)
        liar.cancel()
        key = cluster.genesis.validators[3].node_key
        assert all(key not in cluster.node(i).network.connected() for i in HONEST)
