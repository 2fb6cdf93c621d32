"""Writes down what peers passed on, once it has waited for long.

A transaction is durable at the node that its client sent it to before the client hears of it, and
at every validator before that one votes for a block with it. What a peer passed on is in nobody's
promise until then, and nearly always in a block before a write of it would have been worth
anything. But where the chain stands still for want of a quorum, and one daemon after another is
started again meanwhile, it must not be the first one's disk alone that remembers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from node.limits import INTAKE_CHUNK_TXS
from node.mempool import Mempool
from node.pending import PendingLog
from node.threads import Worker
from storage.errors import DiskFullError, JournalFullError


class Lingering:
    """Lives on the event loop. What waits at two looks in a row is kept after the second."""

    def __init__(
        self, pool: Mempool, pending: PendingLog, writer: Worker, *, every_s: float
    ) -> None:
        self._pool = pool
        self._pending = pending
        self._writer = writer
        self._every_s = every_s
        self._seen: set[bytes] = set()
        self._kept: set[bytes] = set()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Keep what was here at the last look already. It survives the end of the process then;
        where there is no room for it, a later look tries again.
        """
        here = self._pool.from_peers()
        seen: set[bytes] = set()
        kept: set[bytes] = set()
        room = True
        for start in range(0, len(here), INTAKE_CHUNK_TXS):
            chunk = here[start : start + INTAKE_CHUNK_TXS]
            late = [tx_id for tx_id in chunk if tx_id in self._seen and tx_id not in self._kept]
            if late and room:
                room = await self._keep(late)
                self._kept.update(late if room else ())
            else:
                # To look at a full pool in one go would hold the event loop up for 25 ms.
                await asyncio.sleep(0)
            seen.update(chunk)
            kept.update(self._kept.intersection(chunk))
        self._seen, self._kept = seen, kept

    async def _keep(self, tx_ids: Sequence[bytes]) -> bool:
        """Whether there was room. A chunk at a time: between two of them the writer is free for
        votes and blocks.
        """
        waiting = [tx for tx_id in tx_ids if (tx := self._pool.get(tx_id)) is not None]
        try:
            await self._writer.run(self._pending.keep, waiting, sync=False)
        except (JournalFullError, DiskFullError):
            # It was promised to nobody: whoever it is promised to is told by their own write.
            return False
        gone = [tx.id for tx in waiting if tx.id not in self._pool]
        if gone:
            # A commit has overtaken the write: its own release found nothing.
            await self._writer.run(self._pending.release, gone)
        return True
