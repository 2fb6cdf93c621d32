"""Catching up under lies: claims that are not true, answers that nobody asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from medquorum.codec import encode
from node.limits import PEERS_HEARD_MAX
from node.sync import SyncStatus
from node.wire import Blocks, FrameKind, GetBlocks, Tip
from tests.support.cluster import Cluster, running_cluster
from tests.support.played_peers import play_peers


async def claims(cluster: Cluster, *heights: int) -> SyncStatus | None:
    """What node 0 says of itself once validators 1, 2, ... have claimed these heights."""
    sync = cluster.node(0).sync
    for validator, height in zip(cluster.genesis.validators[1:], heights, strict=False):
        await sync.on_tip(validator.node_key, encode(Tip(1, height)))
    return sync.status()


@pytest.mark.parametrize(
    ("heights", "target"),
    [
        ((10**9,), None),
        ((10**9, 0, 0), None),
        ((10**9, 7, 0), 7),
        ((7, 7, 7), 7),
        ((1, 1, 1), None),
    ],
)
async def test_one_liar_does_not_make_a_node_look_as_if_it_were_behind(
    tmp_path: Path, heights: tuple[int, ...], target: int | None
) -> None:
    async with running_cluster(tmp_path, 4, start=[0]) as cluster:
        status = await claims(cluster, *heights)
        assert status == (None if target is None else SyncStatus(0, target))


async def test_where_nobody_may_lie_one_claim_is_enough(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 4, start=[0], engine="raft") as cluster:
        assert await claims(cluster, 7, 0, 0) == SyncStatus(0, 7)


async def test_announcements_count_once_in_their_interval_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 4, start=[0]) as cluster:
        sync = cluster.node(0).sync
        peer, other = (validator.node_key for validator in cluster.genesis.validators[1:3])
        assert await sync.on_tip(peer, encode(Tip(1, 1)))
        assert not any([await sync.on_tip(peer, encode(Tip(1, 1))) for _ in range(5)])
        assert await sync.on_tip(other, encode(Tip(1, 1)))
        sync.lost(peer)
        assert await sync.on_tip(peer, encode(Tip(1, 1)))
        monkeypatch.setattr("node.sync.TIP_BEAT_S", 0.0)
        assert await sync.on_tip(peer, encode(Tip(1, 1)))


async def test_blocks_that_nobody_asked_for_are_not_even_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 4, start=[0]) as cluster:
        node = cluster.node(0)
        reasons: list[str] = []
        monkeypatch.setattr(node.network, "dropped", reasons.append)
        await node.sync.on_blocks(cluster.genesis.validators[1].node_key, b"not even decoded")
        assert reasons == ["blocks_not_asked"]


async def test_committed_transactions_of_few_heights_are_found_within_the_size_of_an_answer(
    tmp_path: Path,
) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        transactions = [cluster.transaction() for _ in range(6)]
        for tx in transactions:
            await cluster.submit(0, tx)
            await cluster.committed([tx])
        stored = cluster.node(0)._stored
        ids = [bytes(32), *(tx.id for tx in transactions)]
        assert await stored(ids, 10**6) == [tx.raw for tx in reversed(transactions[2:])]
        assert await stored(ids, len(transactions[0].raw)) == [transactions[5].raw]


async def test_waiting_leaves_nothing_behind_until_the_expiry(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx])
        assert cluster.node(0).tracker._expiries == {}


async def test_one_who_hands_out_blocks_slowly_does_not_keep_a_node_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path / "a", 4) as source:
        for _ in range(6):
            tx = source.transaction()
            await source.submit(0, tx)
            await source.committed([tx])
        blocks = source.node(0).sync._load(1, 6)
    async with running_cluster(tmp_path / "b", 4, start=[0]) as cluster:
        slow, quick = (v.node_key for v in cluster.genesis.validators[1:3])
        asked: list[bytes] = []

        async def give(peer: bytes, question: GetBlocks) -> Blocks:
            asked.append(peer)
            if peer == slow:
                await asyncio.sleep(0.1)
            return Blocks(question.first, (blocks[question.first - 1],))

        play_peers(cluster.node(0), monkeypatch, {slow: give, quick: give})
        sync = cluster.node(0).sync
        sync.claim(quick, 6)
        sync.claim(slow, 5)
        assert await cluster.node(0).tracker.wait_height(6, 20)
    assert asked.count(slow) == 1


async def test_the_last_block_of_a_chain_at_rest_is_fetched_when_nobody_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 4, start=[0]) as cluster:
        sync = cluster.node(0).sync
        peer = cluster.genesis.validators[1].node_key
        asked: asyncio.Queue[int] = asyncio.Queue()

        async def give(_peer: bytes, question: GetBlocks) -> None:
            asked.put_nowait(question.first)

        play_peers(cluster.node(0), monkeypatch, {peer: give})
        await sync.on_tip(peer, encode(Tip(1, 1)))
        assert not sync._wake.is_set()
        await sync.on_tip(peer, encode(Tip(1, 1)))
        assert await asyncio.wait_for(asked.get(), 20) == 1


async def test_what_peers_say_of_their_height_is_remembered_within_bounds(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx])
        sync = cluster.node(0).sync
        keys = [b"\x01" + number.to_bytes(32, "big") for number in range(PEERS_HEARD_MAX + 1)]
        assert sync.heard(keys[0]) is None
        await sync.on_tip(keys[0], encode(Tip(1, 0)))
        said = sync.heard(keys[0])
        assert said is not None
        assert (said.behind, said.height, said.ago_s < 5) == (1, 0, True)
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx])
        later = sync.heard(keys[0])
        assert later is not None
        assert (later.behind, later.height) == (1, 0)
        # A peer that is gone was there once: that is not forgotten with its claim.
        sync.lost(keys[0])
        assert sync.heard(keys[0]) is not None
        for key in keys[1:]:
            await sync.on_tip(key, encode(Tip(1, 0)))
        assert sync.heard(keys[0]) is None
        assert sync.heard(keys[-1]) is not None


async def test_peers_tell_their_height_as_soon_as_they_are_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync.TIP_INTERVAL_S", 3_600.0)
    async with running_cluster(tmp_path, 2, start=[0]) as cluster:
        told: asyncio.Queue[bytes] = asyncio.Queue()

        async def hear(peer: bytes, _payload: bytes) -> None:
            told.put_nowait(peer)

        cluster.node(0).network.handle(FrameKind.TIP, hear)
        await cluster.start(1)
        peer = await asyncio.wait_for(told.get(), 20)
        assert peer == cluster.genesis.validators[1].node_key
