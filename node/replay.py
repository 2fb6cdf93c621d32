"""Which transactions are committed and could still be committed again, if nobody looked.

The index in the database knows every committed id, but asking it once for each new transaction
costs more than checking a signature does. A replay is only possible up to a transaction's
`valid_until`, so it is enough to remember those that are still valid: in memory, by the height at
which they may be forgotten, eight bytes of each id. A hit is confirmed by the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from medquorum.transaction import Transaction


class ReplayWindow:
    """Follows the chain from the height at which the node started.

    `window` is the greatest window (in heights) under which anything committed so far was admitted:
    until the chain is that much higher, what was committed before the start could be valid too,
    and every question goes to the index.
    """

    def __init__(self, tip: int, window: int, indexed: Callable[[bytes], bool]) -> None:
        self._complete_from = tip + window
        self._tip = tip
        self._indexed = indexed
        self._marks: set[int] = set()
        self._by_expiry: dict[int, list[int]] = {}

    def __len__(self) -> int:
        """How many are remembered: what was committed and has not expired, since the start."""
        return len(self._marks)

    def seen(self, tx_id: bytes) -> bool:
        """Whether a transaction that is valid at the next height is committed already."""
        if self._tip >= self._complete_from and _mark(tx_id) not in self._marks:
            return False
        return self._indexed(tx_id)

    def advance(self, height: int, transactions: Iterable[Transaction]) -> None:
        """`transactions` were committed at `height`; what expired by then is forgotten."""
        self._tip = height
        for tx in transactions:
            mark = _mark(tx.id)
            self._marks.add(mark)
            self._by_expiry.setdefault(tx.body.valid_until, []).append(mark)
        for expiry in [expiry for expiry in self._by_expiry if expiry <= height]:
            self._marks.difference_update(self._by_expiry.pop(expiry))


def _mark(tx_id: bytes) -> int:
    return int.from_bytes(tx_id[:8], "big")
