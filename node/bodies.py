"""Where the transactions of a proposal come from: the mempool, or the peers that vouch for the
proposal. What the chain must record next after a disaster is here, even if the pool has no room.

A proposal names transactions by id. What is missing is asked of its holders one after another; an
answer counts only if it hashes to an id that was asked for and its signatures hold, so a peer
cannot fill our memory with what nobody wanted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from medquorum import merkle
from medquorum.block import Header
from medquorum.codec import decode
from medquorum.errors import DecodeError
from medquorum.transaction import Transaction
from node.limits import (
    FETCH_ATTEMPT_MS,
    FETCH_TXS_MAX,
    FETCHED_TXS_KEPT,
    INLINE_BODY_BYTES_MAX,
)
from node.mempool import Mempool
from node.network import Network
from node.threads import Worker
from node.verifier import signatures_hold
from node.wire import TXS_BYTES_MAX, FrameKind, GetTxs, TxBatch, decode_body


@dataclass(slots=True)
class _Want:
    """A transaction that somebody waits for, and how many do."""

    future: asyncio.Future[Transaction]
    waiters: int = 0


class Bodies:
    """Lives on the event loop. `stored` finds committed transactions, so many bytes at most; `due`
    is the one that the next block must begin with, its signatures checked, if there is one.
    """

    def __init__(
        self,
        pool: Mempool,
        network: Network,
        verifiers: Worker,
        stored: Callable[[Sequence[bytes], int], Awaitable[list[bytes]]],
        due: Callable[[], Transaction | None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._network = network
        self._verifiers = verifiers
        self._stored = stored
        self._due = due
        self._fetched: OrderedDict[bytes, Transaction] = OrderedDict()
        self._wanted: dict[bytes, _Want] = {}

    def find(self, tx_id: bytes) -> Transaction | None:
        """The transaction if it is here, with its signatures checked."""
        found = self._pool.get(tx_id) or self._fetched.get(tx_id)
        if found is None and (due := self._due()) is not None and due.id == tx_id:
            return due
        return found

    def arrived(self, transaction: Transaction) -> None:
        """The mempool took a transaction: somebody may wait for it."""
        want = self._wanted.get(transaction.id)
        if want is not None and not want.future.done():
            want.future.set_result(transaction)

    def forget(self, tx_ids: Sequence[bytes]) -> None:
        """They are committed."""
        for tx_id in tx_ids:
            self._fetched.pop(tx_id, None)

    def __len__(self) -> int:
        """How many fetched transactions are kept."""
        return len(self._fetched)

    async def gather(self, tx_ids: Sequence[bytes], holders: Sequence[bytes]) -> list[Transaction]:
        """All transactions in order. Waits until the last has arrived: the caller cancels it when
        nobody needs it any more.

        `holders` are node keys, asked in turn; every member that is connected is asked after them.
        """
        found = {
            tx_id: transaction for tx_id in tx_ids if (transaction := self.find(tx_id)) is not None
        }
        missing = [tx_id for tx_id in tx_ids if tx_id not in found]
        if missing:
            found.update(await self._fetch(missing, holders))
        return [found[tx_id] for tx_id in tx_ids]

    async def _fetch(
        self, missing: Sequence[bytes], holders: Sequence[bytes]
    ) -> dict[bytes, Transaction]:
        wanted = {tx_id: self._want(tx_id) for tx_id in missing}
        try:
            for turn in cycle(range(len(holders) + 1)):
                absent = [tx_id for tx_id, want in wanted.items() if not want.future.done()]
                if not absent:
                    break
                peers = [holders[turn]] if turn < len(holders) else list(self._network.members())
                self._ask(peers, absent)
                await asyncio.wait(
                    [wanted[tx_id].future for tx_id in absent], timeout=FETCH_ATTEMPT_MS / 1000
                )
            return {tx_id: want.future.result() for tx_id, want in wanted.items()}
        finally:
            for tx_id in wanted:
                self._unwant(tx_id)

    def _ask(self, peers: Sequence[bytes], tx_ids: Sequence[bytes]) -> None:
        for peer in peers:
            for start in range(0, len(tx_ids), FETCH_TXS_MAX):
                ids = tuple(tx_ids[start : start + FETCH_TXS_MAX])
                self._network.send(peer, FrameKind.GET_TXS, GetTxs(ids))

    def _want(self, tx_id: bytes) -> _Want:
        want = self._wanted.get(tx_id)
        if want is None:
            want = self._wanted[tx_id] = _Want(asyncio.get_running_loop().create_future())
        want.waiters += 1
        return want

    def _unwant(self, tx_id: bytes) -> None:
        want = self._wanted[tx_id]
        want.waiters -= 1
        if want.waiters == 0:
            want.future.cancel()
            del self._wanted[tx_id]

    async def on_get_txs(self, peer: bytes, payload: bytes) -> None:
        """A peer asks for transactions: answer with those that are here, pending or committed."""
        request = decode(GetTxs, payload, size_max=len(payload))
        raws: list[bytes] = []
        absent: list[bytes] = []
        room = TXS_BYTES_MAX // 2
        for tx_id in dict.fromkeys(request.ids):
            transaction = self.find(tx_id)
            if transaction is None:
                absent.append(tx_id)
            elif len(transaction.raw) <= room:
                raws.append(transaction.raw)
                room -= len(transaction.raw)
        if absent:
            raws += await self._stored(absent, room)
        if raws:
            self._network.send(peer, FrameKind.TXS, TxBatch(tuple(raws)))

    async def on_txs(self, peer: bytes, payload: bytes) -> None:
        """Transactions that we asked for, from the peer's word only: check them.

        Late answers are nobody's fault, but not worth decoding either.
        """
        if not self._wanted:
            self._network.dropped("txs_not_asked")
            return
        batch = decode(TxBatch, payload, size_max=len(payload))
        candidates: list[Transaction] = []
        for raw in batch.transactions:
            try:
                transaction = Transaction.decode(raw)
            except DecodeError:
                self._network.punish(peer, "bad_fetched_transaction")
                return
            if transaction.id in self._wanted and self.find(transaction.id) is None:
                candidates.append(transaction)
        holding = await signatures_hold(self._verifiers, candidates)
        for transaction, holds in zip(candidates, holding, strict=True):
            if not holds:
                self._network.punish(peer, "bad_fetched_signature")
                continue
            self._fetched[transaction.id] = transaction
            while len(self._fetched) > FETCHED_TXS_KEPT:
                self._fetched.popitem(last=False)
            self.arrived(transaction)


async def read_ids(worker: Worker, header: Header, body: bytes) -> tuple[bytes, ...] | None:
    """See `listed_ids`. The way to a thread and back takes longer than a few hashes."""
    if len(body) <= INLINE_BODY_BYTES_MAX:
        return listed_ids(header, body)
    return await worker.run(listed_ids, header, body)


def listed_ids(header: Header, body: bytes) -> tuple[bytes, ...] | None:
    """The ids in a body if it is the one that the header was made with. Nothing is fetched for any
    other: a false body would have us look for transactions that do not exist.
    """
    try:
        tx_ids = decode_body(body).tx_ids
    except DecodeError:
        return None
    if len(tx_ids) != header.tx_count or merkle.root(tx_ids) != header.txs_root:
        return None
    return tx_ids
