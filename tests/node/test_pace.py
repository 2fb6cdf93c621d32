"""How large blocks get and how much may wait, on a network whose blocks take a known time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from medquorum.transaction import Transaction
from node.ledger.txtype import Traffic
from node.limits import MEMPOOL_TXS_MAX, ROOM_MS, ROOM_TXS_MIN
from node.mempool import Mempool, PoolTx, Refusal
from node.pace import BLOCK_MS, BLOCK_TXS_MIN, LIGHT_TXS, QUICK_HOLD_MS, Pace

FLOODS, SUFFERS, NEW = (bytes([n]) * 32 for n in range(3))


class Chain:
    """Commits blocks that take `height_ms`, and `tx_us` for each transaction."""

    def __init__(self, *, height_ms: float, tx_us: float) -> None:
        self.now_ms, self.height_ms, self.tx_us = 1_000.0, height_ms, tx_us
        self.pool = Mempool()
        self.pace = Pace(self.pool, lambda: int(self.now_ms))
        self.took_ms = 0.0
        self._serial = 0

    def offer(self, org: bytes, count: int) -> None:
        """These wait now."""
        for _ in range(count):
            self._serial += 1
            assert self.pool.add(PoolTx(self._tx(), org, Traffic.CLINICAL, local=False)) is None

    def commit(self, round_: int = 0) -> int:
        """A block of what the pace allows; how many transactions it has."""
        self.pace.began()
        chosen = self.pool.candidates(
            txs_max=self.pace.block_txs(), bytes_max=10**9, operations_max=10**9
        )
        self.took_ms = self.height_ms + len(chosen) * self.tx_us / 1_000
        self.now_ms += self.took_ms
        tx_ids = tuple(tx.id for tx in chosen)
        block: Any = SimpleNamespace(tx_ids=tx_ids, certificate=SimpleNamespace(round=round_))
        self.pace.committed(block)
        self.pool.remove(tx_ids)
        return len(chosen)

    def _tx(self) -> Transaction:
        # Unsigned: who is asked for room has not looked at signatures either.
        tx: Any = SimpleNamespace(
            id=self._serial.to_bytes(32, "big"),
            raw=bytes(200),
            body=SimpleNamespace(valid_until=10**6, operations=(None,)),
        )
        found: Transaction = tx
        return found


def flooded(chain: Chain, blocks: int) -> None:
    """Blocks with more waiting than any of them takes."""
    for _ in range(blocks):
        chain.offer(FLOODS, 4_000 - chain.pool.waiting().get(FLOODS, 0))
        chain.commit()


@pytest.mark.parametrize(("height_ms", "tx_us"), [(20.0, 300.0), (50.0, 1_000.0), (5.0, 2_500.0)])
def test_a_block_of_a_backlog_takes_no_longer_than_it_may(height_ms: float, tx_us: float) -> None:
    chain = Chain(height_ms=height_ms, tx_us=tx_us)
    flooded(chain, 12)
    assert chain.took_ms == pytest.approx(BLOCK_MS, rel=0.05)


def test_while_somebody_floods_beside_others_blocks_are_quick_and_later_large_again() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    for _ in range(8):
        chain.offer(SUFFERS, 1)
        chain.commit()
    flooded(chain, 6)
    for _ in range(12):
        chain.offer(SUFFERS, 2)
        flooded(chain, 1)
    # As long as one with next to nothing in it, but for the fewest that a block is made for.
    assert chain.took_ms == pytest.approx(50.0 + BLOCK_TXS_MIN * 0.5)
    chain.now_ms += QUICK_HOLD_MS
    flooded(chain, 6)
    assert chain.took_ms == pytest.approx(BLOCK_MS, rel=0.05)


def test_who_starts_in_the_midst_of_a_flood_makes_quick_blocks_too() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    for _ in range(20):
        chain.offer(SUFFERS, 2)
        flooded(chain, 1)
    assert chain.took_ms == pytest.approx(50.0 + BLOCK_TXS_MIN * 0.5)


def test_who_sends_little_now_and_then_finds_a_quick_block_each_time() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    for _ in range(8):
        chain.offer(SUFFERS, 1)
        chain.commit()
    for _ in range(3):
        flooded(chain, 8)
        assert chain.took_ms == pytest.approx(BLOCK_MS, rel=0.05)
        chain.offer(SUFFERS, 1)
        flooded(chain, 1)
        # The block before was begun when nobody knew of a flood, and says nothing of this one.
        chain.offer(SUFFERS, 1)
        flooded(chain, 1)
        assert chain.took_ms == pytest.approx(50.0 + BLOCK_TXS_MIN * 0.5)
        chain.now_ms += QUICK_HOLD_MS


def test_who_sends_much_together_with_others_who_do_is_not_held_back() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    chain.offer(SUFFERS, 1)
    chain.commit()
    for _ in range(8):
        chain.offer(SUFFERS, 20 * LIGHT_TXS)
        flooded(chain, 1)
    assert chain.took_ms == pytest.approx(BLOCK_MS, rel=0.05)


def test_equals_of_whom_one_was_just_served_are_no_flood() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    chain.offer(SUFFERS, 1)
    chain.commit()
    for _ in range(8):
        chain.offer(SUFFERS, LIGHT_TXS - chain.pool.waiting().get(SUFFERS, 0))
        chain.offer(FLOODS, 15 * LIGHT_TXS - chain.pool.waiting().get(FLOODS, 0))
        chain.commit()
    assert chain.pace.block_txs() > 10 * LIGHT_TXS


def test_a_small_block_that_was_held_up_does_not_make_the_blocks_of_a_flood_long() -> None:
    chain = Chain(height_ms=20.0, tx_us=100.0)
    for number in range(40):
        chain.height_ms = 200.0 if number % 8 == 7 else 20.0
        chain.offer(SUFFERS, 1)
        chain.commit()
    chain.height_ms = 20.0
    for _ in range(40):
        chain.offer(SUFFERS, 2)
        flooded(chain, 1)
    # A mean of the small blocks would be 42 ms.
    assert chain.took_ms <= 33.0


def test_a_block_is_never_smaller_than_is_worth_its_votes() -> None:
    chain = Chain(height_ms=10.0, tx_us=10.0 * BLOCK_MS * 1_000)
    flooded(chain, 20)
    assert chain.commit() == BLOCK_TXS_MIN


def test_small_blocks_say_nothing_about_how_much_may_wait() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    for _ in range(20):
        chain.offer(SUFFERS, 3)
        chain.commit()
    chain.offer(FLOODS, MEMPOOL_TXS_MAX // 2 - 1)
    assert chain.pool.crowded(FLOODS) is None


def test_what_may_wait_is_what_is_committed_in_a_given_time() -> None:
    chain = Chain(height_ms=20.0, tx_us=250.0)
    flooded(chain, 24)
    per_ms = chain.commit() / chain.took_ms
    room = ROOM_MS * per_ms / 2
    chain.offer(FLOODS, int(room * 0.9) - chain.pool.waiting().get(FLOODS, 0))
    assert chain.pool.crowded(FLOODS) is None
    chain.offer(FLOODS, int(room * 0.2))
    assert chain.pool.crowded(FLOODS) is Refusal.ORG_SHARE


def test_a_part_of_the_room_stays_free_for_whoever_comes_next() -> None:
    pool = Mempool()
    pool.give_room(ROOM_TXS_MIN)
    chain = Chain(height_ms=1.0, tx_us=1.0)
    chain.pool = pool
    chain.offer(FLOODS, 2 * ROOM_TXS_MIN)
    assert pool.crowded(FLOODS) is Refusal.ORG_SHARE
    assert pool.crowded(SUFFERS) is None
    assert pool.crowded(SUFFERS, coming=ROOM_TXS_MIN // 3) is Refusal.ORG_SHARE
    chain.offer(SUFFERS, ROOM_TXS_MIN // 3)
    assert pool.crowded(SUFFERS) is Refusal.ORG_SHARE
    assert pool.crowded(NEW) is None


def test_a_clock_that_is_set_back_neither_raises_nor_holds_blocks_small_for_long() -> None:
    chain = Chain(height_ms=50.0, tx_us=500.0)
    chain.offer(SUFFERS, 1)
    flooded(chain, 3)
    chain.pace.began()
    chain.now_ms -= 10_000_000
    flooded(chain, 10)
    assert chain.took_ms == pytest.approx(BLOCK_MS, rel=0.05)
