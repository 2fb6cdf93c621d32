"""How much a node that wants to begin with a snapshot bears before it fetches blocks (P9, P13)."""

from __future__ import annotations

from node.snapshots.limits import (
    PATIENCE_S,
    RATE_BYTES_MIN,
    SEARCHES_MAX,
    SLOW_FETCHES_MAX,
    UNFINISHED_MAX,
)


class Patience:
    """Seconds for which peers may owe chunks and deliver nothing. What they deliver gives back the
    time that it takes at the least rate, up to the whole.
    """

    def __init__(self) -> None:
        self.left_s = PATIENCE_S

    @property
    def is_over(self) -> bool:
        """Whether less than the least rate has come, for longer than is borne."""
        return self.left_s <= 0.0

    def waited(self, seconds: float) -> None:
        """Somebody owed a chunk for so long."""
        self.left_s -= seconds

    def came(self, size: int) -> None:
        """So many bytes were delivered."""
        self.left_s = min(PATIENCE_S, self.left_s + size / RATE_BYTES_MIN)


class Tries:
    """The fetches that came to nothing. Every kind of them has an end."""

    def __init__(self) -> None:
        self.patience = Patience()
        self.unfinished = 0
        self._fruitless = 0
        self._slow = 0

    @property
    def is_over(self) -> bool:
        """Whether it is time to fetch blocks instead."""
        return (
            self._fruitless >= SEARCHES_MAX
            or self._slow >= SLOW_FETCHES_MAX
            or self.unfinished >= UNFINISHED_MAX
        )

    def failed(self, fetched: int) -> None:
        """One more, which brought so many chunks.

        What was fetched stays: as long as there is some, a lost peer is no reason to give up. What
        was used up of the patience stays used up, or ever new fetches could waste all but its end.
        """
        self.unfinished += 1
        self._fruitless = 0 if fetched > 0 else self._fruitless + 1
        if self.patience.is_over:
            self._slow += 1
            self.patience = Patience()
