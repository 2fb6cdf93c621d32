"""The mempool: transactions that are admitted and not yet in a block.

Bounded in number and bytes, and fair twice over. Between classes: governance first, then clinical
and bulk traffic in a fixed proportion, so that an import of old records cannot starve a consent.
Between organisations: within a class they take turns, and none may hold more than its share of the
pool. Everything in it has correct signatures; a transaction enters once and leaves committed or
expired.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import islice
from typing import Final

import msgspec

from medquorum.codec import INT_MAX
from medquorum.invariants import require
from medquorum.transaction import Transaction
from node.ledger.txtype import Traffic
from node.limits import EXPIRED_IDS_MAX, MEMPOOL_BYTES_MAX, MEMPOOL_ORG_SHARE, MEMPOOL_TXS_MAX

TURNS: Final[tuple[tuple[Traffic, int], ...]] = (
    (Traffic.GOVERNANCE, 8),
    (Traffic.CLINICAL, 6),
    (Traffic.BULK, 2),
)
"""How many transactions each class contributes per turn, in this order, while it has any."""


class Refusal(Enum):
    """Why the pool does not take a transaction. The values are codes of the error catalogue."""

    FULL = "mempool_full"
    ORG_SHARE = "rate_limited"


class PoolTx(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An admitted transaction.

    `local`: it came from a client of this node, which therefore offers it to its peers.
    """

    tx: Transaction
    org: bytes
    traffic: Traffic
    local: bool


class Mempool:
    """Not thread-safe: it lives on the event loop."""

    def __init__(
        self,
        *,
        txs_max: int = MEMPOOL_TXS_MAX,
        bytes_max: int = MEMPOOL_BYTES_MAX,
        org_share: float = MEMPOOL_ORG_SHARE,
    ) -> None:
        self._txs_max = txs_max
        self._bytes_max = bytes_max
        self._org_txs_max = max(1, int(txs_max * org_share))
        self._entries: dict[bytes, PoolTx] = {}
        self._local: dict[bytes, PoolTx] = {}
        self._unwritten: set[bytes] = set()
        self._bytes = 0
        self._org_counts: dict[bytes, int] = {}
        self._room_txs = txs_max
        # Per class and organisation, ids in order of arrival. Removed ids stay until they reach the
        # head.
        self._lanes: dict[Traffic, OrderedDict[bytes, deque[bytes]]] = {
            traffic: OrderedDict() for traffic in Traffic
        }
        self._expiries: list[tuple[int, bytes]] = []
        self._expired: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._entries

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes of all transactions in the pool."""
        return self._bytes

    @property
    def has_written(self) -> bool:
        """Whether it holds anything that may go into a block: not only what is being written."""
        return len(self._entries) > len(self._unwritten)

    def get(self, tx_id: bytes) -> Transaction | None:
        """The transaction, or None."""
        entry = self._entries.get(tx_id)
        return None if entry is None else entry.tx

    def add(self, entry: PoolTx, *, written: bool = True) -> Refusal | None:
        """Take a transaction whose signatures are checked, or say why not.

        Adding it twice changes nothing. What is not `written` yet is neither proposed nor offered
        to peers before `mark_written`: the write may fail, and its submitter is refused then.
        """
        tx = entry.tx
        if tx.id in self._entries:
            return None
        if len(self._entries) >= self._txs_max or self._bytes + len(tx.raw) > self._bytes_max:
            return Refusal.FULL
        held = self._org_counts.get(entry.org, 0)
        if held >= self._org_txs_max:
            return Refusal.ORG_SHARE
        self._entries[tx.id] = entry
        if not written:
            self._unwritten.add(tx.id)
        if entry.local:
            self._local[tx.id] = entry
        self._bytes += len(tx.raw)
        self._org_counts[entry.org] = held + 1
        self._lanes[entry.traffic].setdefault(entry.org, deque()).append(tx.id)
        heapq.heappush(self._expiries, (tx.body.valid_until, tx.id))
        if len(self._expiries) > 2 * self._txs_max:
            self._expiries = [(e.tx.body.valid_until, tx_id) for tx_id, e in self._entries.items()]
            heapq.heapify(self._expiries)
        return None

    def give_room(self, txs: int) -> None:
        """From now on so many may wait before clients are told to come back."""
        self._room_txs = min(txs, self._txs_max)

    def crowded(self, org: bytes, coming: int = 0) -> Refusal | None:
        """Why a client of this organisation should come back later, if it should: asked before
        anything is spent on what it sent. `coming` of its transactions are on their way in.

        The room is divided into as many parts as there are organisations that wait, and one more,
        which is kept free for whoever comes next. What peers pass on takes no heed of it.
        """
        held = self._org_counts.get(org, 0)
        parts = len(self._org_counts) + (2 if held == 0 else 1)
        return Refusal.ORG_SHARE if held + coming >= self._room_txs // parts else None

    def waiting(self) -> dict[bytes, int]:
        """How many wait, by organisation."""
        return dict(self._org_counts)

    def mark_written(self, tx_ids: Iterable[bytes]) -> None:
        """These are on the disk now, and may go out."""
        self._unwritten.difference_update(tx_ids)

    def candidates(
        self, *, txs_max: int, bytes_max: int, operations_max: int, valid_until_max: int = INT_MAX
    ) -> list[Transaction]:
        """The next transactions for a block, in fair order, within the limits.

        They stay in the pool until removed. Those that are valid beyond `valid_until_max` are
        passed over: governance may have shortened the window after they came.
        """
        chosen: list[Transaction] = []
        size = operations = 0
        walks = {
            traffic: _Walk(lanes, self._proposable(valid_until_max))
            for traffic, lanes in self._lanes.items()
        }
        while True:
            progressed = False
            for traffic, turns in TURNS:
                for _ in range(turns):
                    entry = walks[traffic].peek()
                    if entry is None:
                        break
                    size += len(entry.tx.raw)
                    operations += len(entry.tx.body.operations)
                    if len(chosen) == txs_max or (
                        len(chosen) > 0 and (size > bytes_max or operations > operations_max)
                    ):
                        return chosen
                    walks[traffic].advance()
                    chosen.append(entry.tx)
                    progressed = True
            if not progressed:
                return chosen

    def _proposable(self, valid_until_max: int) -> Callable[[bytes], PoolTx | None]:
        def entry_of(tx_id: bytes) -> PoolTx | None:
            entry = self._entries.get(tx_id)
            if entry is None or entry.tx.body.valid_until > valid_until_max:
                return None
            return None if tx_id in self._unwritten else entry

        return entry_of

    def remove(self, tx_ids: Iterable[bytes]) -> None:
        """Take out what was committed."""
        for tx_id in tx_ids:
            entry = self._entries.pop(tx_id, None)
            if entry is None:
                continue
            self._local.pop(tx_id, None)
            self._unwritten.discard(tx_id)
            self._bytes -= len(entry.tx.raw)
            left = self._org_counts[entry.org] - 1
            if left == 0:
                del self._org_counts[entry.org]
            else:
                self._org_counts[entry.org] = left
        for lanes in self._lanes.values():
            _drop_heads(lanes, self._entries)

    def expire(self, height: int) -> list[bytes]:
        """Take out what can no longer be committed because `height` is, and return the ids."""
        late: list[bytes] = []
        while self._expiries and self._expiries[0][0] <= height:
            valid_until, tx_id = heapq.heappop(self._expiries)
            if tx_id in self._entries:
                late.append(tx_id)
                self._expired[tx_id] = valid_until
        while len(self._expired) > EXPIRED_IDS_MAX:
            self._expired.popitem(last=False)
        self.remove(late)
        return late

    def has_expired(self, tx_id: bytes) -> bool:
        """Whether this pool held the transaction until it expired.

        Forgotten after EXPIRED_IDS_MAX others.
        """
        return tx_id in self._expired

    def local(self, limit: int) -> list[bytes]:
        """The raw bytes of up to `limit` transactions that came from this node's own clients,
        oldest first.
        """
        written = (e.tx.raw for e in self._local.values() if e.tx.id not in self._unwritten)
        return list(islice(written, limit))

    def from_peers(self) -> list[bytes]:
        """The ids of what peers passed on, oldest first."""
        return [tx_id for tx_id, entry in self._entries.items() if not entry.local]

    def counts(self) -> dict[str, int]:
        """Transactions per class, for metrics."""
        totals = dict.fromkeys((traffic.value for traffic in Traffic), 0)
        for entry in self._entries.values():
            totals[entry.traffic.value] += 1
        return totals

    def check_invariants(self) -> None:
        """Raise InvariantBroken if the counters and the entries disagree."""
        require(
            self._bytes == sum(len(e.tx.raw) for e in self._entries.values()),
            "the pool's bytes are miscounted",
        )
        require(
            list(self._local) == [tx_id for tx_id, e in self._entries.items() if e.local],
            "the pool has lost sight of its own clients' transactions",
        )
        require(
            self._unwritten <= self._entries.keys(),
            "the pool waits for writes of what it does not hold",
        )
        require(
            sum(self._org_counts.values()) == len(self._entries),
            "the pool's organisations are miscounted",
        )


class _Walk:
    """Reads one class's lanes without changing them: one of each organisation in turn."""

    def __init__(
        self,
        lanes: OrderedDict[bytes, deque[bytes]],
        proposable: Callable[[bytes], PoolTx | None],
    ) -> None:
        self._proposable = proposable
        self._turns: deque[deque[bytes]] = deque(deque(lane) for lane in lanes.values())

    def peek(self) -> PoolTx | None:
        while self._turns:
            lane = self._turns[0]
            while lane:
                entry = self._proposable(lane[0])
                if entry is not None:
                    return entry
                lane.popleft()
            self._turns.popleft()
        return None

    def advance(self) -> None:
        lane = self._turns.popleft()
        lane.popleft()
        self._turns.append(lane)


def _drop_heads(lanes: OrderedDict[bytes, deque[bytes]], entries: dict[bytes, PoolTx]) -> None:
    """Forget removed ids at the heads, and organisations that have nothing left; the first goes to
    the back of the queue.

    Moving it on each commit is what makes the turns between organisations continue from block to
    block.
    """
    for org in list(lanes):
        lane = lanes[org]
        while lane and lane[0] not in entries:
            lane.popleft()
        if not lane:
            del lanes[org]
    if len(lanes) > 1:
        lanes.move_to_end(next(iter(lanes)))
