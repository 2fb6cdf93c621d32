"""Whole Raft nodes: reads that see everything, and leadership that is handed over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consensus.engine import EngineStatus, Received
from medquorum.block import Validator, ValidatorSet
from node.errors import RefusedError
from node.leadership import Handed, Leadership
from tests.support.cluster import WAIT_S, Cluster, key_of, make_genesis, running_cluster


def voter(index: int) -> bytes:
    """The validator key of a node."""
    return key_of(f"vote{index}").public


async def led(cluster: Cluster) -> int:
    """Have something committed, and wait until all follow one leader; its index."""
    tx = cluster.transaction()
    await cluster.submit(min(cluster.running), tx)
    await cluster.committed([tx])
    await asyncio.gather(
        *(running.node.reads.height(WAIT_S) for running in cluster.running.values())
    )
    [leader] = [i for i, running in cluster.running.items() if running.node.leadership.leads]
    return leader


async def refusal(cluster: Cluster, index: int, to: bytes, timeout_s: float = WAIT_S) -> str:
    """The code with which a transfer is refused."""
    with pytest.raises(RefusedError) as refused:
        await cluster.node(index).leadership.transfer(to, timeout_s)
    return refused.value.code


def deafen(cluster: Cluster, index: int) -> None:
    """Have a node hear nothing of consensus any more."""

    def nothing(event: Received, size_bytes: int) -> bool:
        del event, size_bytes
        return False

    cluster.node(index).inbox.post_received = nothing  # type: ignore[method-assign]  # deaf


async def test_every_node_reads_what_any_node_saw_committed(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        for turn in range(6):
            tx = cluster.transaction()
            await cluster.submit(turn % 3, tx)
            status = await cluster.node(turn % 3).tracker.wait(tx.id, WAIT_S)
            found = [await cluster.node(i).reads.height(WAIT_S) for i in range(3)]
            assert min(found) >= status.height


async def test_a_read_needs_a_majority_that_still_follows(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        deafen(cluster, leader)
        with pytest.raises(RefusedError) as refused:
            await cluster.node(leader).reads.height(0.5)
        assert refused.value.code == "no_leader"


async def test_leadership_goes_to_whom_the_operator_names(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        for to in ((leader + 1) % 3, (leader + 2) % 3):
            handed = await cluster.node(leader).leadership.transfer(voter(to)[:8], WAIT_S)
            assert handed == Handed(voter(leader), voter(to))
            assert await led(cluster) == to
            leader = to


async def test_leadership_goes_to_whoever_keeps_up_if_nobody_is_named(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        handed = await cluster.node(leader).leadership.transfer(b"", WAIT_S)
        assert handed.leader in {voter(other) for other in range(3) if other != leader}
        assert voter(await led(cluster)) == handed.leader


async def test_a_transfer_that_cannot_be_says_why_and_changes_nothing(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        follower, last = (leader + 1) % 3, (leader + 2) % 3
        assert await refusal(cluster, follower, voter(last)) == "not_leader"
        for to in (voter(leader), bytes(33), voter(last)[:3]):
            assert await refusal(cluster, leader, to) == "transfer_target_unknown"
        await cluster.stop(last)
        assert await refusal(cluster, leader, voter(last)) == "transfer_target_behind"
        # The wish is taken back: this node leads on, and blocks are made.
        assert await led(cluster) == leader


async def test_a_transfer_to_somebody_who_does_not_take_over_ends(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        deaf = (leader + 1) % 3
        deafen(cluster, deaf)
        code = await refusal(cluster, leader, voter(deaf), 0.5)
        assert code in {"transfer_target_behind", "transfer_timed_out"}
        tx = cluster.transaction()
        await cluster.submit(leader, tx)
        await cluster.committed([tx], nodes=[leader])
        assert cluster.node(leader).leadership.leads


async def test_a_leader_that_stops_hands_over_first(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        handed = await cluster.node(leader).leadership.hand_over()
        assert handed is not None
        assert handed.leader != voter(leader)
        follower = next(i for i in range(3) if i != leader)
        assert (
            await cluster.node(follower).leadership.hand_over() is None
            or voter(follower) == handed.leader
        )


async def test_the_last_one_stops_without_looking_for_a_successor(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, engine="raft") as cluster:
        leader = await led(cluster)
        await cluster.stop(*(other for other in range(3) if other != leader))
        async with asyncio.timeout(1.5):
            assert await cluster.node(leader).leadership.hand_over(WAIT_S) is None


async def test_a_wish_that_the_engine_has_not_heard_in_time_is_taken_back() -> None:
    asked: list[bytes] = []
    me, other = key_of("a").public, key_of("b").public
    genesis = make_genesis(2, "raft")
    leadership = Leadership(
        "raft",
        me,
        status=lambda: leading(me),
        ask=lambda wish: asked.append(wish.to),
        validators=lambda: ValidatorSet(
            tuple(
                Validator(key, known.node_key, known.org)
                for key, known in zip((me, other), genesis.validators, strict=True)
            )
        ),
        connected=lambda: tuple(known.node_key for known in genesis.validators),
    )
    with pytest.raises(RefusedError):
        await leadership.transfer(other, 0.01)
    assert asked == [other, b""]


def leading(me: bytes) -> EngineStatus:
    """The status of a leader that does nothing."""
    return EngineStatus(
        height=1,
        round=0,
        phase="leading",
        proposer=me,
        round_timeout_ms=1_000,
        prepared_by=(),
        committed_by=(),
        round_change_by=(),
        divergent=False,
        halted="",
    )


async def test_an_engine_without_leaders_says_that_it_has_none(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        assert await refusal(cluster, 0, b"") == "not_offered"
        assert not cluster.node(0).leadership.leads
        assert await cluster.node(0).leadership.hand_over() is None
