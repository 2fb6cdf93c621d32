"""What became of a transaction, and waiting for it.

The last outcomes are kept in memory, because whoever submits asks within seconds; older ones are
read from the store on a reader thread. Every wait is bounded in time by its caller, and in number
here.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from medquorum.block import TxOutcome
from medquorum.transaction import Transaction
from node.chain import Chain
from node.errors import RefusedError
from node.ledger.codes import OK
from node.limits import WAITERS_MAX
from node.mempool import Mempool
from node.threads import Readers
from storage.chain import ChainStore, CommittedBlock

OUTCOMES_KEPT: Final = 50_000
"""Outcomes in memory: about twenty of the largest blocks."""
BRIEF_IDS_MAX: Final = 16
"""Ids that are looked up among short reads; more of them are a long one."""
SUBMISSIONS_KEPT: Final = 50_000
"""Times of submission that are remembered, to measure how long a commit took."""


class TxState(StrEnum):
    """Where a transaction stands. The last three are final: nothing changes them on this chain."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    COMMITTED = "committed"
    REJECTED = "rejected"
    EXPIRED = "expired"


class TxStatus(msgspec.Struct, frozen=True, gc=False):
    """`height`, `index`, `code` and `operation` are those of the outcome if there is one, else 0
    and empty.
    """

    tx_id: bytes
    state: TxState
    height: int = 0
    index: int = 0
    code: str = ""
    operation: int = 0

    @property
    def executed(self) -> bool:
        """Whether it stands in a block."""
        return self.state in (TxState.COMMITTED, TxState.REJECTED)

    @property
    def final(self) -> bool:
        """Whether it can never change again."""
        return self.executed or self.state is TxState.EXPIRED


class Tracker:
    """Lives on the event loop. Give `on_commit` to the chain, once.

    It expects the pool to have dropped a block's transactions before `on_commit` is called with it,
    without an await between the two: then no transaction is ever in neither place.
    """

    def __init__(
        self,
        chain: Chain,
        pool: Mempool,
        readers: Readers,
        *,
        waiters_max: int = WAITERS_MAX,
        committed: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`committed` is told how long each transaction took that `submitted` named, in seconds."""
        self._chain = chain
        self._pool = pool
        self._readers = readers
        self._waiters_max = waiters_max
        self._committed = committed
        # With their heights. Most are never asked for, so none is put into words before.
        self._recent: OrderedDict[bytes, tuple[int, TxOutcome]] = OrderedDict()
        self._submitted: OrderedDict[bytes, float] = OrderedDict()
        self._waiting: dict[bytes, set[asyncio.Future[TxStatus]]] = {}
        # Those that are waited for, by the last height at which they may be committed.
        self._expiries: dict[int, set[bytes]] = {}
        self._heights: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._serial = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._count

    def on_commit(self, block: CommittedBlock) -> None:
        """Tell everyone who waits for something in this block, for its height, or for an expiry."""
        height = block.header.height
        now = asyncio.get_running_loop().time()
        recent, submitted, waiting = self._recent, self._submitted, self._waiting
        for outcome in block.outcomes:
            tx_id = outcome.tx_id
            recent[tx_id] = (height, outcome)
            started = submitted.pop(tx_id, None)
            if started is not None:
                self._committed(now - started)
            if tx_id in waiting:
                self._wake(tx_id, _status(height, outcome))
        while len(self._recent) > OUTCOMES_KEPT:
            self._recent.popitem(last=False)
        for tx_id in self._expiries.pop(height, ()):
            if self._pool.has_expired(tx_id):
                self._wake(tx_id, TxStatus(tx_id, TxState.EXPIRED))
        while self._heights and self._heights[0][0] <= height:
            _, _, reached = heapq.heappop(self._heights)
            if not reached.done():
                reached.set_result(None)

    def submitted(self, tx_ids: Iterable[bytes]) -> None:
        """Measure from now on how long these take."""
        now = asyncio.get_running_loop().time()
        for tx_id in tx_ids:
            self._submitted.setdefault(tx_id, now)
        while len(self._submitted) > SUBMISSIONS_KEPT:
            self._submitted.popitem(last=False)

    async def status(self, tx_id: bytes) -> TxStatus:
        """Where the transaction stands now."""
        return (await self.statuses([tx_id]))[0]

    async def statuses(self, tx_ids: Sequence[bytes]) -> list[TxStatus]:
        """Where each of them stands now, in order. At most one visit to a reader thread."""
        at_hand = [status for tx_id in tx_ids if (status := self._at_hand(tx_id)) is not None]
        if len(at_hand) == len(tx_ids):
            return at_hand
        missing = [tx_id for tx_id in tx_ids if self._at_hand(tx_id) is None]
        read = self._readers.brief if len(missing) <= BRIEF_IDS_MAX else self._readers.run
        stored = await read(_stored, self._chain.blocks, missing)
        # What was missing may have arrived or been committed while the thread was reading.
        return [self._at_hand(tx_id) or stored.get(tx_id) or self._gone(tx_id) for tx_id in tx_ids]

    async def wait(self, tx_id: bytes, timeout_s: float) -> TxStatus:
        """The final state, or the state when the time is over. Waits for an unknown one as well.

        Raises RefusedError `rate_limited` if too many wait already.
        """
        status = await self.status(tx_id)
        if status.final or timeout_s <= 0:
            return status
        self._admit_waiter()
        done: asyncio.Future[TxStatus] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tx_id, set()).add(done)
        pending = self._pool.get(tx_id)
        if pending is not None:
            self._expiries.setdefault(pending.body.valid_until, set()).add(tx_id)
        try:
            async with asyncio.timeout(timeout_s):
                # The look above may have let a commit pass that nobody waited for yet.
                status = await self.status(tx_id)
                return status if status.final else await done
        except TimeoutError:
            return await self.status(tx_id)
        finally:
            self._count -= 1
            self._leave(tx_id, done, pending)

    async def wait_height(self, height: int, timeout_s: float) -> bool:
        """Whether the height was committed here before the time was over.

        Raises RefusedError `rate_limited` if too many wait already.
        """
        if self._chain.tip.height >= height:
            return True
        if timeout_s <= 0:
            return False
        self._admit_waiter()
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serial += 1
        entry = (height, self._serial, reached)
        heapq.heappush(self._heights, entry)
        try:
            async with asyncio.timeout(timeout_s):
                await reached
        except TimeoutError:
            return self._chain.tip.height >= height
        finally:
            self._count -= 1
            # A commit may have taken it out after its time was over, before it could act on that.
            if entry in self._heights:
                self._heights.remove(entry)
                heapq.heapify(self._heights)
        return True

    def _leave(
        self, tx_id: bytes, done: asyncio.Future[TxStatus], pending: Transaction | None
    ) -> None:
        """Forget a waiter; with the last one, that somebody waits for the expiry."""
        waiters = self._waiting.get(tx_id, set())
        waiters.discard(done)
        if waiters:
            return
        self._waiting.pop(tx_id, None)
        if pending is not None:
            expiring = self._expiries.get(pending.body.valid_until, set())
            expiring.discard(tx_id)
            if not expiring:
                self._expiries.pop(pending.body.valid_until, None)

    def _admit_waiter(self) -> None:
        if self._count >= self._waiters_max:
            raise RefusedError("rate_limited", "too many requests wait here", retry_after_ms=1_000)
        self._count += 1

    def _at_hand(self, tx_id: bytes) -> TxStatus | None:
        recent = self._recent.get(tx_id)
        if recent is not None:
            return _status(*recent)
        return TxStatus(tx_id, TxState.PENDING) if tx_id in self._pool else None

    def _gone(self, tx_id: bytes) -> TxStatus:
        expired = self._pool.has_expired(tx_id)
        return TxStatus(tx_id, TxState.EXPIRED if expired else TxState.UNKNOWN)

    def _wake(self, tx_id: bytes, status: TxStatus) -> None:
        for done in self._waiting.pop(tx_id, ()):
            if not done.done():
                done.set_result(status)


def _status(height: int, outcome: TxOutcome) -> TxStatus:
    state = TxState.COMMITTED if outcome.code == OK else TxState.REJECTED
    return TxStatus(outcome.tx_id, state, height, outcome.index, outcome.code, outcome.operation)


def _stored(blocks: ChainStore, tx_ids: Sequence[bytes]) -> dict[bytes, TxStatus]:
    places: dict[int, list[tuple[bytes, int]]] = {}
    for tx_id in tx_ids:
        place = blocks.locate(tx_id)
        if place is not None:
            places.setdefault(place[0], []).append((tx_id, place[1]))
    found: dict[bytes, TxStatus] = {}
    for height, wanted in places.items():
        # Of a whole block, however few are asked about.
        outcomes = blocks.outcomes(height)
        found |= {tx_id: _status(height, outcomes[index]) for tx_id, index in wanted}
    return found
