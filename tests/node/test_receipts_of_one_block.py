"""What receipts of one block share is worked out once, and they are the same bytes as without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medquorum.receipt import verify_receipt
from node import receipts
from node.errors import RefusedError
from node.receipts import ReceiptBlocks, receipt_file
from storage.chain import ChainStore
from tests.support.archives import narrow
from tests.support.pruning import Pruned, prune_now, pruned_chain

BLOCKS = 14


@pytest.fixture
def pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pruned]:
    """A chain whose first blocks can be given up."""
    narrow(monkeypatch)
    with pruned_chain(tmp_path / "chain", blocks=BLOCKS) as chain:
        yield chain


def test_a_block_is_read_once_for_all_its_receipts(
    pruned: Pruned, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, genesis = pruned.member.chain.blocks, pruned.member.genesis
    tx_ids = list(blocks.recent_tx_ids(1))
    plain = [receipt_file(blocks, tx_id) for tx_id in tx_ids]
    proven: list[int] = []
    prove = receipts._prove

    def counted(store: ChainStore, height: int) -> receipts._Proven:
        proven.append(height)
        return prove(store, height)

    monkeypatch.setattr(receipts, "_prove", counted)
    kept = ReceiptBlocks()
    for _ in range(2):
        assert [receipt_file(blocks, tx_id, kept) for tx_id in tx_ids] == plain
    assert len(proven) == len(set(proven)) == len(kept) > 1
    for tx_id, receipt in zip(tx_ids, plain, strict=True):
        assert receipt is not None
        assert verify_receipt(receipt, genesis).tx_id == tx_id


def test_what_was_given_up_is_not_shown_from_memory(pruned: Pruned) -> None:
    blocks = pruned.member.chain.blocks
    first = next(iter(blocks.recent_tx_ids(1)))
    kept = ReceiptBlocks()
    assert receipt_file(blocks, first, kept) is not None
    assert prune_now(pruned.pruner()) > 0
    with pytest.raises(RefusedError, match="the oldest is"):
        receipt_file(blocks, first, kept)


def test_few_blocks_are_kept(pruned: Pruned) -> None:
    blocks = pruned.member.chain.blocks
    places = {blocks.locate(tx_id): tx_id for tx_id in blocks.recent_tx_ids(1)}
    by_height = {place[0]: tx_id for place, tx_id in places.items() if place is not None}
    by_number, by_size = ReceiptBlocks(blocks_max=2), ReceiptBlocks(txs_max=1)
    for tx_id in by_height.values():
        receipt_file(blocks, tx_id, by_number)
        receipt_file(blocks, tx_id, by_size)
    last = list(by_height)[-2:]
    assert [height for height in by_height if by_number.get(height) is not None] == last
    # The last one stays, whatever its size; one of a single transaction leaves room for no other.
    assert by_size.get(last[-1]) is not None
    assert len(by_size) == 1
