"""While a node catches up it syncs once for several heights, and nobody relies on them before
(docs/spec/recovery.md, V8).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.engine import Event, HeightStarted
from medquorum.transaction import Transaction
from node.chain import Chain
from node.limits import SYNC_GROUP_BLOCKS_MAX
from node.wire import GetBlocks
from storage.kv import Batch
from storage.memory import MemoryKV
from tests.support.played_peers import HEIGHTS, behind, catch_up, play_peers
from tests.support.signed_chain import REGISTRY, SignedChain


def follow(source: SignedChain, kv: MemoryKV) -> Chain:
    """The genesis of a chain, in another store."""
    return Chain(kv, source.genesis, REGISTRY, keep_versions=10)


def copy(source: SignedChain, chain: Chain, height: int, *, sync: bool) -> None:
    """Commit a height of the source, too."""
    block = source.chain.blocks.block(height)
    assert block is not None
    executed = chain.execute(block.header, [Transaction.decode(raw) for raw in block.transactions])
    chain.advance(executed, chain.write(executed, block.certificate, sync=sync))


def test_a_power_cut_takes_whole_heights_down_to_the_last_sync(tmp_path: Path) -> None:
    source = SignedChain(tmp_path)
    source.grow(6)
    kv = MemoryKV()
    chain = follow(source, kv)
    copy(source, chain, 1, sync=True)
    copy(source, chain, 2, sync=False)
    copy(source, chain, 3, sync=False)
    chain.sync()
    copy(source, chain, 4, sync=False)
    copy(source, chain, 5, sync=False)
    kv.crash()
    again = follow(source, kv)
    assert again.tip.height == 3
    for height in (4, 5, 6):
        copy(source, again, height, sync=height == 6)
    assert again.state.root() == source.chain.state.root()
    source.close()


async def test_nobody_is_told_of_a_height_that_is_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(tmp_path) as (node, library, peers):
        unsynced, syncs, largest = 0, 0, 0
        write, post = node.stores.kv.write, node.inbox.post
        begun: list[int] = []

        def watch(_kv: object, batch: Batch, *, sync: bool) -> None:
            nonlocal unsynced, syncs, largest
            write(batch, sync=sync)
            syncs += sync
            unsynced = 0 if sync else unsynced + 1
            largest = max(largest, unsynced)
            # What peers are told and given ends where the last sync was.
            assert len(node.sync._load(1, HEIGHTS)) <= node.sync._tip().height
            assert unsynced == 0 or node.sync._tip().height < node.chain.blocks.tip()

        def hear(event: Event) -> None:
            if isinstance(event, HeightStarted):
                assert unsynced == 0
                assert event.height == node.work.durable + 1
                begun.append(event.height)
            post(event)

        monkeypatch.setattr(type(node.stores.kv), "write", watch)
        monkeypatch.setattr(node.inbox, "post", hear)
        play_peers(node, monkeypatch, dict.fromkeys(peers, library.honest))
        await catch_up(node, library, peers)
        async with node.work.lock:
            await node.work.settle()
        assert node.work.durable == HEIGHTS
        assert begun[-1] == HEIGHTS + 1
        assert syncs <= HEIGHTS / 4
        assert 1 < largest < SYNC_GROUP_BLOCKS_MAX
        assert len(node.sync._load(1, HEIGHTS)) == HEIGHTS


async def test_the_journal_keeps_what_is_committed_but_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(tmp_path) as (node, library, _):
        monkeypatch.setattr(node.inbox, "post", lambda _event: None)
        first, second = library.blocks(GetBlocks(1, 2))
        pending = [Transaction.decode(block.transactions[0]) for block in (first, second)]
        await node.intake.submit([tx.raw for tx in pending], local=True)
        [checked, following] = await node.sync._fetcher._checker.check(
            [first, second], 1, node.chain.tip.validators
        )
        await node.sync._fetcher._apply(checked, more=True)
        assert (node.chain.tip.height, node.work.durable) == (1, 0)
        assert set(node.stores.pending._positions) == {tx.id for tx in pending}
        await node.sync._fetcher._apply(following, more=False)
        assert (node.chain.tip.height, node.work.durable) == (2, 2)
        assert set(node.stores.pending._positions) == set()
