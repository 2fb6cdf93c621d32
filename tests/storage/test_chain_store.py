"""The promises of the chain store (docs/spec/storage.md section 2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from medquorum.invariants import InvariantBroken
from storage import layout
from storage.chain import ChainStore, CommittedBlock
from storage.errors import DamagedStoreError, FormatError
from storage.kv import KV, Batch
from storage.limits import HEIGHT_BYTES_MIN
from storage.memory import MemoryKV
from tests.support.chain_builder import next_block, result_of, stage_genesis, validator_set
from tests.support.databases import KINDS, open_kind


@pytest.fixture(params=KINDS)
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KV]:
    store = open_kind(request.param, tmp_path / "db")
    yield store
    store.close()


FIRST, SECOND, THIRD = validator_set(1, 2), validator_set(1, 2, 3), validator_set(2, 3)


def _genesis(kv: KV) -> ChainStore:
    store = ChainStore(kv)
    batch = Batch()
    stage_genesis(store, batch, FIRST)
    kv.write(batch, sync=True)
    return store


def _commit(kv: KV, store: ChainStore, block: CommittedBlock) -> CommittedBlock:
    batch = Batch()
    store.stage(batch, block)
    kv.write(batch, sync=True)
    return block


def test_a_fresh_store_is_empty(kv: KV) -> None:
    store = ChainStore(kv)
    assert (store.tip(), store.genesis(), store.result(0), store.block(1)) == (0, None, None, None)
    assert (store.transactions(1), store.outcomes(1), store.events(1)) == ((), (), ())
    assert store.locate(bytes(32)) is None
    assert list(store.recent_tx_ids(1)) == []


def test_a_block_without_a_genesis_is_our_own_mistake(kv: KV) -> None:
    block = next_block(_genesis(MemoryKV()), 1)
    with pytest.raises(InvariantBroken):
        ChainStore(kv).stage(Batch(), block)


def test_a_committed_block_is_read_back_whole(kv: KV) -> None:
    store = _genesis(kv)
    blocks = [_commit(kv, store, next_block(store, count)) for count in (3, 0, 2)]
    again = ChainStore(kv)
    assert again.tip() == 3
    for height, block in enumerate(blocks, start=1):
        assert again.block(height) == block
        assert again.header(height) == block.header
        assert again.header_by_hash(block.header.hash()) == block.header
        assert again.result(height) == block.result
        assert again.certificate(height) == block.certificate
        assert again.transactions(height) == block.transactions
        assert again.outcomes(height) == block.outcomes
        assert again.events(height) == block.events
        for index, tx_id in enumerate(block.tx_ids):
            assert again.locate(tx_id) == (height, index)
    assert again.block(4) is None
    assert again.header_by_hash(bytes(32)) is None
    assert again.result(0) == result_of(0, FIRST)


def test_c1_nothing_of_a_height_is_visible_before_its_batch_is_written(kv: KV) -> None:
    store = _genesis(kv)
    block = next_block(store, 2)
    store.stage(Batch(), block)
    assert (store.tip(), store.block(1), store.locate(block.tx_ids[0])) == (0, None, None)


def test_c2_heights_follow_each_other(kv: KV) -> None:
    store = _genesis(kv)
    first = next_block(store, 1)
    _commit(kv, store, first)
    second = next_block(store, 1)
    _commit(kv, store, second)
    for stale in (first, second):
        with pytest.raises(InvariantBroken, match="does not follow"):
            store.stage(Batch(), stale)
    with pytest.raises(InvariantBroken):
        stage_genesis(store, Batch(), FIRST)


def test_validators_change_at_the_height_after_the_result_that_names_them(kv: KV) -> None:
    store = _genesis(kv)
    for following in (None, SECOND, None, THIRD, FIRST):
        _commit(kv, store, next_block(store, 0, next_validators=following))
    expected = [FIRST, FIRST, SECOND, SECOND, THIRD, FIRST]
    assert [store.validators(height) for height in range(1, 7)] == expected
    assert [height for height, _, _ in store.set_changes(10)] == [2, 4, 5]
    assert [height for height, _, _ in store.set_changes(5)] == [2, 4]
    assert [after for _, after, _ in store.set_changes(5)] == [
        store.validators(3), store.validators(5),
    ]  # fmt: skip
    assert list(store.set_changes(2)) == list(store.set_changes(0)) == []
    for unknown in (0, 7):
        with pytest.raises(InvariantBroken):
            store.validators(unknown)


def test_changes_of_the_validators_are_read_no_further_than_they_are_asked_for(kv: KV) -> None:
    store = _genesis(kv)
    for following in (SECOND, THIRD, FIRST, SECOND):
        _commit(kv, store, next_block(store, 0, next_validators=following))
    batch = Batch()
    batch.put(layout.at_height(layout.VALIDATORS, 5), b"damage")
    kv.write(batch, sync=True)
    changes = store.set_changes(10)
    assert [next(changes)[0] for _ in range(2)] == [1, 2]
    with pytest.raises(DamagedStoreError):
        list(changes)


def test_the_smallest_height_fills_what_a_start_counts_it_for(kv: KV) -> None:
    store, alone = ChainStore(kv), validator_set(1)
    batch = Batch()
    stage_genesis(store, batch, alone)
    kv.write(batch, sync=True)
    batch = Batch()
    store.stage(batch, next_block(store, 0))
    assert sum(len(key) + len(value or b"") for key, value in batch.operations) > HEIGHT_BYTES_MIN


def test_recent_transaction_ids_come_in_order_from_a_height_on(kv: KV) -> None:
    store = _genesis(kv)
    blocks = [_commit(kv, store, next_block(store, 2)) for _ in range(4)]
    expected = [tx_id for block in blocks[2:] for tx_id in block.tx_ids]
    assert list(store.recent_tx_ids(3)) == expected
    assert list(store.recent_tx_ids(5)) == []


def test_parts_that_do_not_belong_together_are_our_own_mistake(kv: KV) -> None:
    store = _genesis(kv)
    block = next_block(store, 2)
    other = result_of(9, SECOND)
    for change in (
        {"result": other},
        {"transactions": block.transactions[:1]},
        {"tx_ids": block.tx_ids[::-1]},
        {"next_validators": SECOND},
    ):
        with pytest.raises(InvariantBroken):
            store.stage(Batch(), dataclasses.replace(block, **change))


def test_a_database_of_a_later_format_is_refused(kv: KV) -> None:
    _genesis(kv)
    batch = Batch()
    batch.put(layout.FORMAT, layout.pack_height(layout.FORMAT_VERSION + 1))
    kv.write(batch, sync=True)
    with pytest.raises(FormatError):
        ChainStore(kv)


def test_damage_that_the_checksums_missed_has_a_name(kv: KV) -> None:
    store = _genesis(kv)
    _commit(kv, store, next_block(store, 1))
    batch = Batch()
    batch.put(layout.at_height(layout.HEADER, 1), b"\xc1")
    kv.write(batch, sync=True)
    with pytest.raises(DamagedStoreError):
        store.header(1)


def test_every_prefix_of_the_layout_is_in_its_table_and_used_once() -> None:
    prefixes = {
        name: value
        for name, value in vars(layout).items()
        if name.isupper() and isinstance(value, bytes)
    }
    assert len(set(prefixes.values())) == len(prefixes) > 15
    for prefix in prefixes.values():
        assert f"\n  {prefix.decode()} " in (layout.__doc__ or "")
