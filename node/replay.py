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

    `window` is the greatest window (in heights) under which anything committed so far was admitted.
    Until `absorb` has brought what was committed within it before the start (or the chain is that
    much higher), every question goes to the index.
    """

    def __init__(self, tip: int, window: int, indexed: Callable[[bytes], bool]) -> None:
        self._forget_start_at = tip + window
        self._complete = tip == 0
        self._tip = tip
        self._indexed = indexed
        self._marks: set[int] = set()
        self._by_expiry: dict[int, list[int]] = {}

    def __len__(self) -> int:
        """How many are remembered: what was committed and has not expired, since the start."""
        return len(self._marks)

    def seen(self, tx_id: bytes) -> bool:
        """Whether a transaction that is valid at the next height is committed already."""
        if self._complete and _mark(tx_id) not in self._marks:
            return False
        return self._indexed(tx_id)

    def absorb(self, tx_ids: Iterable[bytes]) -> None:
        """`tx_ids` are all that were committed within the window before the start. Any thread may
        gather them, but only the event loop may call this.
        """
        marks = [_mark(tx_id) for tx_id in tx_ids]
        self._marks.update(marks)
        self._by_expiry.setdefault(self._forget_start_at, []).extend(marks)
        self._complete = True

    def advance(self, height: int, transactions: Iterable[Transaction]) -> None:
        """`transactions` were committed at `height`; what expired by then is forgotten."""
        self._tip = height
        self._complete = self._complete or height >= self._forget_start_at
        for tx in transactions:
            mark = _mark(tx.id)
            self._marks.add(mark)
            self._by_expiry.setdefault(tx.body.valid_until, []).append(mark)
        for expiry in [expiry for expiry in self._by_expiry if expiry <= height]:
            self._marks.difference_update(self._by_expiry.pop(expiry))


def _mark(tx_id: bytes) -> int:
    return int.from_bytes(tx_id[:8], "big")
