"""How fast a node catches up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from node.limits import SYNC_RATE_S

MARKS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Speed:
    """Of the last seconds."""

    blocks_per_second: float
    txs_per_second: float


class Progress:
    """Blocks that were fetched and applied, by the caller's clock, in seconds."""

    def __init__(self) -> None:
        # When, and how many blocks and transactions had been applied by then.
        self._marks: deque[tuple[float, int, int]] = deque()
        self.blocks = 0
        """Applied since the start of the node."""
        self.txs = 0
        """Their transactions."""

    def begin(self, now_s: float) -> None:
        """Catching up begins, after a time in which there was nothing to do."""
        self._marks.clear()
        self._marks.append((now_s, self.blocks, self.txs))

    def applied(self, txs: int, now_s: float) -> None:
        """One more block."""
        self.blocks += 1
        self.txs += txs
        # A few marks a second are enough, however many blocks there are.
        if not self._marks or now_s >= self._marks[-1][0] + SYNC_RATE_S / MARKS_MAX:
            self._marks.append((now_s, self.blocks, self.txs))
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - SYNC_RATE_S:
            self._marks.popleft()

    def speed(self, now_s: float) -> Speed:
        """From the oldest mark that counts until now."""
        if not self._marks:
            return Speed(0.0, 0.0)
        at, blocks, txs = self._marks[0]
        seconds = max(now_s - at, 0.001)
        return Speed((self.blocks - blocks) / seconds, (self.txs - txs) / seconds)
