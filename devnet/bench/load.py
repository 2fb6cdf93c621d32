"""Transactions signed before the measurement, and load that keeps a fixed number on their way."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from devnet.errors import StateError
from devnet.limits import BATCH_TXS
from devnet.loadbook import Book
from devnet.loadclient import Sender
from devnet.signing import Recipe, Signed, make


class Stock:
    """Signed transactions, all of them made."""

    def __init__(self, transactions: Sequence[Signed]) -> None:
        self._transactions = transactions
        self._taken = 0

    @property
    def left(self) -> int:
        """How many there still are."""
        return len(self._transactions) - self._taken

    async def take(self, count: int, height: int) -> list[Signed]:
        """The next ones. Raises StateError if there are too few."""
        del height
        if self.left < count:
            raise StateError("the stock of signed transactions is used up")
        self._taken += count
        return list(self._transactions[self._taken - count : self._taken])


async def prepare(
    pool: ProcessPoolExecutor, workers: int, recipe: Recipe, count: int, valid_until: int
) -> Stock:
    """Sign `count` transactions with all workers, and wait until that is done."""
    loop = asyncio.get_running_loop()
    share = math.ceil(count / workers)
    parts = await asyncio.gather(
        *(loop.run_in_executor(pool, make, recipe, share, valid_until) for _ in range(workers))
    )
    return Stock([tx for part in parts for tx in part])


async def keep_under_way(
    sender: Sender, stock: Stock, book: Book, *, window: int, seconds: float
) -> None:
    """Keep `window` transactions under way for so long, or until the stock is used up."""
    until = time.monotonic() + seconds
    size = max(1, min(BATCH_TXS, window // (2 * len(sender.urls))))

    async def keep_one_batch(node: int) -> None:
        while time.monotonic() < until and stock.left:
            batch = await stock.take(min(size, stock.left), 0)
            for tx in batch:
                book.sent(tx, time.monotonic())
            book.answered(batch, await sender.send(batch, node))
            # The next one goes when this one is in blocks, not already when it is accepted.
            await book.wait_seen(batch, until - time.monotonic())

    async with asyncio.TaskGroup() as group:
        for number in range(max(1, window // size)):
            group.create_task(keep_one_batch(number % len(sender.urls)))
