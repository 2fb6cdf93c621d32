"""Pending transactions on the disk: the mempool journal, by transaction id.

A transaction is written once, however often it is kept, and its room is given back when it is
committed or can never be. Everything here runs on the writer thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medquorum.errors import DecodeError
from medquorum.transaction import Transaction
from storage.journal import MempoolJournal


class PendingLog:
    """Wraps a journal that nobody else uses."""

    def __init__(self, journal: MempoolJournal) -> None:
        self._journal = journal
        self._positions: dict[bytes, int] = {}
        self._unsynced: set[bytes] = set()

    def recover(self) -> list[bytes]:
        """The raw transactions that were pending when the node last ran, and those that were kept
        since it started, each once, in the order they came.

        Whoever takes them back must `release` those that are final by now.
        """
        raws: list[bytes] = []
        useless: list[int] = []
        # Of two copies the first one stays, also if this process wrote the second before it read.
        self._positions = {}
        for position, raw in self._journal.replay():
            try:
                tx_id = Transaction.decode(raw).id
            except DecodeError:
                # Written by a version with other rules: it could never be committed now.
                useless.append(position)
                continue
            if tx_id in self._positions:
                useless.append(position)
                continue
            self._positions[tx_id] = position
            raws.append(raw)
        self._journal.release(useless)
        return raws

    def keep(self, transactions: Sequence[Transaction], *, sync: bool) -> None:
        """Write those that are not here yet; with `sync`, all of them are on the disk on return,
        also those that were kept before without it.

        Raises JournalFullError or DiskFullError: then those that were not here before are not kept.
        Raises DiskFailedError, which no journal survives: then nobody knows.
        """
        new = {tx.id: tx.raw for tx in transactions if tx.id not in self._positions}
        if new:
            positions = self._journal.append(tuple(new.values()))
            self._positions.update(zip(new, positions, strict=True))
            self._unsynced.update(new)
        if not sync or self._unsynced.isdisjoint(tx.id for tx in transactions):
            return
        self._journal.sync()
        self._unsynced.clear()

    def release(self, tx_ids: Iterable[bytes]) -> None:
        """They are committed, expired or refused: forget them."""
        positions: list[int] = []
        for tx_id in tx_ids:
            self._unsynced.discard(tx_id)
            position = self._positions.pop(tx_id, None)
            if position is not None:
                positions.append(position)
        self._journal.release(positions)
