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

    def recover(self) -> list[bytes]:
        """The raw transactions that were pending when the node last ran, in the order they came.

        Whoever takes them back must `release` those that are final by now.
        """
        raws: list[bytes] = []
        useless: list[int] = []
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
        """Write those that are not here yet; with `sync`, all of them are on the disk on return.

        Raises JournalFullError or a DiskError: then those that were not here before are not kept.
        """
        new = [tx for tx in transactions if tx.id not in self._positions]
        positions = self._journal.append([tx.raw for tx in new])
        self._positions.update(zip((tx.id for tx in new), positions, strict=True))
        if sync:
            self._journal.sync()

    def release(self, tx_ids: Iterable[bytes]) -> None:
        """They are committed, expired or refused: forget them."""
        known = (self._positions.pop(tx_id, None) for tx_id in tx_ids)
        self._journal.release([position for position in known if position is not None])
