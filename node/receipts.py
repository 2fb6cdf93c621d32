"""Builds receipts and validator histories from the committed chain. Reads much: for a reader
thread.

What is built here is not trusted by anybody: who receives it verifies it against the genesis.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from medquorum.codec import encode
from medquorum.history import Certified, SetChange
from medquorum.invariants import InvariantBroken
from medquorum.limits import HISTORY_CHANGES_MAX
from medquorum.receipt import BlockProofs
from medquorum.transaction import TX_BYTES_MAX, Transaction
from node.errors import GoneError
from node.limits import RECEIPT_BLOCKS_KEPT, RECEIPT_TXS_KEPT, SIGNED_HEIGHTS_KEPT
from storage.chain import ChainStore


@dataclass(frozen=True, slots=True)
class _Proven:
    """A block of which receipts were asked for: nothing of it ever changes."""

    transactions: tuple[bytes, ...]
    proofs: BlockProofs
    history: tuple[SetChange, ...]


class ReceiptBlocks:
    """The blocks whose receipts were asked for last. Threads may share it.

    To read a large block and to hash it takes a hundred times as long as one path in it, and who
    fetches a receipt often wants more of the same block.
    """

    def __init__(
        self, txs_max: int = RECEIPT_TXS_KEPT, blocks_max: int = RECEIPT_BLOCKS_KEPT
    ) -> None:
        self._txs_max = txs_max
        self._blocks_max = blocks_max
        self._txs = 0
        self._kept: OrderedDict[int, _Proven] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def get(self, height: int) -> _Proven | None:
        """What is kept of a height."""
        with self._lock:
            found = self._kept.get(height)
            if found is not None:
                self._kept.move_to_end(height)
            return found

    def put(self, height: int, proven: _Proven) -> None:
        """Keep it, and forget what was not asked for since longest."""
        with self._lock:
            if height in self._kept:
                return  # another thread was first, with the same
            self._kept[height] = proven
            self._txs += len(proven.transactions)
            while len(self._kept) > 1 and (
                self._txs > self._txs_max or len(self._kept) > self._blocks_max
            ):
                _, gone = self._kept.popitem(last=False)
                self._txs -= len(gone.transactions)


@dataclass(frozen=True, slots=True)
class Signed:
    """What the validators of a height signed, and who they are: canonical bytes."""

    header: bytes
    result: bytes
    certificate: bytes
    validators: bytes


class SignedHeights:
    """Of the heights that were asked about last, what was signed: it is most of what a proof of an
    entry holds, and the same in all proofs of a height. Threads may share it.
    """

    def __init__(self, heights_max: int = SIGNED_HEIGHTS_KEPT) -> None:
        self._heights_max = heights_max
        self._kept: OrderedDict[int, Signed] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def at(self, blocks: ChainStore, height: int) -> Signed:
        """What was signed at a height up to the tip. Raises GoneError if it is not here."""
        with self._lock:
            found = self._kept.get(height)
        if found is not None:
            return found
        certified = certified_at(blocks, height)
        if certified is None:
            raise GoneError("the header", height, blocks.oldest_block())
        found = Signed(
            encode(certified.header),
            encode(certified.result),
            encode(certified.certificate),
            encode(blocks.validators(height)),
        )
        with self._lock:
            self._kept[height] = found
            while len(self._kept) > self._heights_max:
                self._kept.popitem(last=False)
        return found


def receipt_file(
    blocks: ChainStore, tx_id: bytes, kept: ReceiptBlocks | None = None
) -> bytes | None:
    """The receipt of a committed transaction as a file, or None if it stands in no block. `kept`
    saves work for those that follow.

    Raises GoneError if its block is not here (any more).
    """
    place = blocks.locate(tx_id)
    if place is None:
        return None
    height, index = place
    proven = None if kept is None else kept.get(height)
    if proven is None:
        proven = _prove(blocks, height)
        if kept is not None:
            kept.put(height, proven)
    else:
        require_kept(blocks, height)
    transaction = Transaction.decode(proven.transactions[index])
    return proven.proofs.receipt(transaction, index, proven.history).dump()


def _prove(blocks: ChainStore, height: int) -> _Proven:
    block = blocks.block(height)
    # Afterwards: it may go while it is read, and then only its line tells.
    require_kept(blocks, height)
    if block is None:
        raise InvariantBroken(f"height {height} is indexed and not stored")
    proofs = BlockProofs(
        outcomes=block.outcomes,
        tx_ids=block.tx_ids,
        block=Certified(block.header, block.result, block.certificate),
        events=block.events,
    )
    return _Proven(block.transactions, proofs, history_before(blocks, height))


def raw_transaction(blocks: ChainStore, tx_id: bytes) -> bytes | None:
    """The committed transaction as it was signed, or None if it stands in no block.

    Raises GoneError if its block is not here (any more).
    """
    found = next(iter(raw_transactions(blocks, [tx_id])), None)
    place = blocks.locate(tx_id)
    if found is None and place is not None:
        require_kept(blocks, place[0])
    return found


def raw_transactions(
    blocks: ChainStore,
    tx_ids: Sequence[bytes],
    *,
    heights_max: int = 1,
    bytes_max: int = TX_BYTES_MAX,
) -> list[bytes]:
    """Those whose blocks are here, as they were signed: of at most `heights_max` blocks, the latest
    ones, and `bytes_max` together. Opens each block once.
    """
    places: dict[int, list[int]] = {}
    oldest = blocks.oldest_block()
    for tx_id in dict.fromkeys(tx_ids):
        place = blocks.locate(tx_id)
        if place is not None and place[0] >= oldest:
            places.setdefault(place[0], []).append(place[1])
    raws: list[bytes] = []
    for height in sorted(places, reverse=True)[:heights_max]:
        transactions = blocks.transactions(height)
        if not transactions:
            continue  # given up meanwhile
        for index in places[height]:
            bytes_max -= len(transactions[index])
            if bytes_max < 0:
                return raws
            raws.append(transactions[index])
    return raws


def require_kept(blocks: ChainStore, height: int) -> None:
    """Raise GoneError if the block of this height is not here, or not any more."""
    oldest = blocks.oldest_block()
    if height < oldest:
        raise GoneError("the block", height, oldest)


def certified_at(blocks: ChainStore, height: int) -> Certified | None:
    """What a height's validators signed, or None if it is not here."""
    header, result, certificate = (
        blocks.header(height), blocks.result(height), blocks.certificate(height),
    )  # fmt: skip
    if header is None or result is None or certificate is None:
        return None
    return Certified(header, result, certificate)


def history_before(blocks: ChainStore, height: int) -> tuple[SetChange, ...]:
    """Every change of the validator set below `height`, from the genesis on."""
    changes: list[SetChange] = []
    for changed, validators, recovery in islice(blocks.set_changes(height), HISTORY_CHANGES_MAX):
        certified = certified_at(blocks, changed)
        if certified is None:
            raise InvariantBroken(f"height {changed} changed the validators and is not stored")
        changes.append(SetChange(certified, validators, recovery))
    return tuple(changes)
