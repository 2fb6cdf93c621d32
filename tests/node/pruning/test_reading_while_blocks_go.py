"""A block may go while it is read. The reader is told so, and never gets half of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from node.errors import GoneError, RefusedError
from node.events import Cursor, read_page
from node.pruning.removing import BODIES, draw_line, remove
from node.receipts import raw_transaction, raw_transactions, receipt_file
from storage.chain import ChainStore
from storage.kv import KV
from storage.memory import MemoryKV
from tests.support.signed_chain import SignedChain

LINE = 4


class Racing(MemoryKV):
    """A store in which blocks below the line go when the first body of one is about to be read."""

    racing = False

    @override
    def get(self, key: bytes) -> bytes | None:
        if self.racing and key[:1] in BODIES:
            self.racing = False
            draw_line(self, LINE)
            remove(self, 1, LINE, sync=True)
        return super().get(key)


@pytest.fixture
def racing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Racing, bytes]]:
    """Such a store with a chain, and an id of its second block."""
    kv = Racing()

    def opened(_path: Path) -> KV:
        return kv

    monkeypatch.setattr("tests.support.signed_chain.open_leveldb", opened)
    member = SignedChain(tmp_path)
    member.grow(6)
    tx_id = member.chain.blocks.outcomes(2)[1].tx_id
    kv.racing = True
    yield kv, tx_id
    member.close()


@pytest.mark.parametrize("read", [receipt_file, raw_transaction])
def test_receipts_and_transactions_are_refused(
    racing: tuple[Racing, bytes], read: Callable[[ChainStore, bytes], bytes | None]
) -> None:
    kv, tx_id = racing
    with pytest.raises(GoneError) as caught:
        read(ChainStore(kv), tx_id)
    assert (caught.value.height, caught.value.oldest) == (2, LINE)


def test_a_block_is_absent_and_a_peer_gets_what_is_left(racing: tuple[Racing, bytes]) -> None:
    kv, tx_id = racing
    blocks = ChainStore(kv)
    assert blocks.block(2) is None
    assert raw_transactions(blocks, [tx_id], heights_max=4) == []


def test_events_are_refused_rather_than_missed(racing: tuple[Racing, bytes]) -> None:
    kv, _ = racing
    with pytest.raises(RefusedError, match="cursor_pruned"):
        read_page(ChainStore(kv), Cursor(0, 0, 0), types=(), limit=10, tip=6, heights_max=10)
