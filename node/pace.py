"""How large the next block may be, and how much may wait for one: learned from how long blocks
took.

A block that holds everything that waits keeps whoever comes a moment later waiting until all of it
is executed, so what one sends in bulk would be paid by everybody in latency. Therefore a block
takes no longer than `BLOCK_MS`. That is long enough for what a height costs in any case, its
messages and its waits for the disk, to be a small part of it. While somebody floods beside others
who send little, that is still too long for these: then a block takes no longer than a height with
next to nothing in it. Whoever comes into a chain at rest waits for one of these; beside a flood,
for the rest of one and a whole one, which is less than twice as much, and leaves something for the
flood's other work. It is whoever floods that pays for it.

What may wait is what is committed within `ROOM_MS`, so that whoever is not refused is served soon.
Nothing of this is consensus: each proposer keeps to its own measure, and what peers pass on is
bounded by the mempool alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from node.ledger.limits import BLOCK_TXS_MAX
from node.limits import ROOM_MS, ROOM_TXS_MIN
from node.mempool import Mempool
from storage.chain import CommittedBlock

BLOCK_MS: Final = 500.0
QUICK_HOLD_MS: Final = 2_000
"""For so long after both were seen, somebody still floods beside others."""
BLOCK_TXS_FIRST: Final = 1_000
"""Of a block, before any was measured."""
BLOCK_TXS_MIN: Final = 16
"""A smaller block is hardly quicker."""
SMALL_TXS: Final = 8
"""A block of at most so many tells what a height takes with next to nothing in it. No block of a
flood is as small.
"""
LIGHT_TXS: Final = 32
"""An organisation that waits for no more than so many sends little."""
FLOOD_FACTOR: Final = 16
"""Another one floods that waits for so many times as many, and for at least twice `LIGHT_TXS`. Less
may be chance: among equals one may just have been served.
"""
_LEARN: Final = 0.125
_LEARN_LONGER: Final = 0.02
"""A small block may have taken longer for what else the machine had to do."""
_STEP: Final = 2.0


@dataclass(slots=True)
class _Size:
    """How many transactions a block may have to take `target_ms`: found by trying."""

    txs: float = float(BLOCK_TXS_FIRST)

    def learn(self, txs: int, took_ms: float, target_ms: float) -> bool:
        """Whether the block was large enough to tell something."""
        if txs < self.txs / 2:
            return False
        factor = min(_STEP, max(1 / _STEP, target_ms / took_ms))
        self.txs = min(float(BLOCK_TXS_MAX), max(float(BLOCK_TXS_MIN), txs * factor))
        return True


class Pace:
    """Lives on the event loop. `now_ms` is the clock, which may be set."""

    def __init__(self, pool: Mempool, now_ms: Callable[[], int]) -> None:
        self._pool = pool
        self._now_ms = now_ms
        self._usual = _Size()
        self._quick = _Size(float(BLOCK_TXS_MIN))
        self._alone_ms: float | None = None
        self._rested = False
        self._txs_per_ms: float | None = None
        self._since_ms: int | None = None
        self._quick_until_ms: int | None = None

    def began(self) -> None:
        """The height that is under way has work to do."""
        if self._since_ms is None:
            self._since_ms = self._now_ms()

    def committed(self, block: CommittedBlock) -> None:
        """A height ended; the pool still holds what the block does."""
        now_ms = self._now_ms()
        since_ms, self._since_ms = self._since_ms, None
        # It is measured as what it was begun as: the first one beside a flood is still a large one.
        quick = since_ms is not None and self._is_quick(since_ms)
        self._look_for_floods(now_ms, self._pool.waiting())
        if since_ms is None or now_ms < since_ms:
            return
        took_ms, txs = float(max(1, now_ms - since_ms)), len(block.tx_ids)
        if block.certificate.round == 0:
            self._learn_alone(txs, took_ms)
        if not quick:
            told = self._usual.learn(txs, took_ms, BLOCK_MS)
        elif self._alone_ms is not None:
            told = self._quick.learn(txs, took_ms, min(BLOCK_MS, self._alone_ms))
        else:
            told = False
        if told:
            self._txs_per_ms = _closer(self._txs_per_ms, txs / took_ms)
            self._pool.give_room(max(ROOM_TXS_MIN, int(ROOM_MS * self._txs_per_ms)))

    def block_txs(self) -> int:
        """The most transactions that the next block should have."""
        return int(self._quick.txs if self._is_quick(self._now_ms()) else self._usual.txs)

    def _learn_alone(self, txs: int, took_ms: float) -> None:
        """How long a height takes with next to nothing in it. Who starts in the midst of a flood
        takes it from the flood's smallest blocks until there is one of a chain at rest.
        """
        if txs <= SMALL_TXS and not self._rested:
            self._rested, self._alone_ms = True, None
        if txs <= (SMALL_TXS if self._rested else BLOCK_TXS_MIN):
            longer = self._alone_ms is not None and took_ms > self._alone_ms
            self._alone_ms = _closer(self._alone_ms, took_ms, _LEARN_LONGER if longer else _LEARN)

    def _is_quick(self, now_ms: int) -> bool:
        until_ms = self._quick_until_ms
        # Also over if the clock was set back.
        return until_ms is not None and until_ms - QUICK_HOLD_MS <= now_ms < until_ms

    def _look_for_floods(self, now_ms: int, waited: Mapping[bytes, int]) -> None:
        least = min(waited.values(), default=LIGHT_TXS + 1)
        if least <= LIGHT_TXS and max(waited.values()) > max(2 * LIGHT_TXS, FLOOD_FACTOR * least):
            self._quick_until_ms = now_ms + QUICK_HOLD_MS


def _closer(mean: float | None, sample: float, share: float = _LEARN) -> float:
    return sample if mean is None else mean + share * (sample - mean)
