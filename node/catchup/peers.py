"""What is known of the peers that a node could fetch blocks from. No I/O and no clock of its own:
whoever calls tells the time, in seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from node.limits import SYNC_BACKOFF_S, SYNC_BACKOFF_S_MAX, SYNC_SLOW_FACTOR, SYNC_SLOW_S


@dataclass(frozen=True, slots=True)
class Source:
    """A peer to ask, and the heights from `oldest` up to `height` of which it claims to have the
    blocks. A `slow` one is asked for what nobody else has.
    """

    peer: bytes
    height: int
    slow: bool
    oldest: int = 0


@dataclass(slots=True)
class _Stall:
    """How often in a row a peer left a question open, and until when it is not asked."""

    times: int
    until_s: float


class Peers:
    """Claims are hints: a peer that does not live up to its own is passed over for a while."""

    def __init__(self) -> None:
        self._claims: dict[bytes, int] = {}
        # Of the last answer of each: all of it, and for one block.
        self._took_s: dict[bytes, tuple[float, float]] = {}
        self._stalls: dict[bytes, _Stall] = {}
        self._oldest: dict[bytes, int] = {}

    def claims(self) -> dict[bytes, int]:
        """What each peer says of its height. Not to be changed."""
        return self._claims

    def claim(self, peer: bytes, height: int) -> None:
        """A peer says that it has committed `height`."""
        self._claims[peer] = height

    def doubt(self, peer: bytes) -> None:
        """Nothing came of its claim: forget it, until it is made again."""
        self._claims.pop(peer, None)

    def lost(self, peer: bytes) -> None:
        """The peer is gone, and everything about it."""
        self._claims.pop(peer, None)
        self._took_s.pop(peer, None)
        self._stalls.pop(peer, None)
        self._oldest.pop(peer, None)

    def begins(self, peer: bytes, oldest: int) -> None:
        """It says that it has no blocks below `oldest`: it gave them up, or began with a snapshot.
        Who lies about that is asked less, as one that does not answer.
        """
        self._oldest[peer] = oldest

    def stalled(self, peer: bytes, now_s: float) -> None:
        """It left a question open until the time was over. Each time in a row doubles how long it
        is not asked; what it claims meanwhile is heard all the same.
        """
        self.doubt(peer)
        times = self._stalls[peer].times + 1 if peer in self._stalls else 1
        pause_s = min(SYNC_BACKOFF_S * 2 ** min(times - 1, 10), SYNC_BACKOFF_S_MAX)
        self._stalls[peer] = _Stall(times, now_s + pause_s)

    def answered(self, peer: bytes, seconds: float, blocks: int) -> None:
        """It answered a question with so many blocks, after so long."""
        self._took_s[peer] = seconds, seconds / max(blocks, 1)
        if blocks == 0:
            self.doubt(peer)
        else:
            self._stalls.pop(peer, None)

    def passed_over(self, now_s: float) -> tuple[bytes, ...]:
        """Who is not asked at the moment, for leaving questions open."""
        return tuple(peer for peer, stall in self._stalls.items() if now_s < stall.until_s)

    def ahead(self, height: int, connected: Collection[bytes], now_s: float) -> list[Source]:
        """Who claims more than `height` and may be asked: those not tried yet, then the quickest
        first. Of equals the boldest is last: its claim is the likeliest lie.
        """
        found = [
            peer
            for peer, claimed in self._claims.items()
            if claimed > height and peer in connected and not self._pauses(peer, now_s)
        ]
        found.sort(key=lambda peer: (self._pace_s(peer), self._claims[peer]))
        best_s = min((self._pace_s(peer) for peer in found if peer in self._took_s), default=0.0)
        return [
            Source(
                peer,
                self._claims[peer],
                self._is_slow(peer, best_s),
                self._oldest.get(peer, 0),
            )
            for peer in found
        ]

    def _pace_s(self, peer: bytes) -> float:
        """For one block; 0 of those that were not tried yet."""
        return self._took_s.get(peer, (0.0, 0.0))[1]

    def _is_slow(self, peer: bytes, best_s: float) -> bool:
        took_s, pace_s = self._took_s.get(peer, (0.0, 0.0))
        return took_s > SYNC_SLOW_S and pace_s > SYNC_SLOW_FACTOR * best_s

    def _pauses(self, peer: bytes, now_s: float) -> bool:
        stall = self._stalls.get(peer)
        return stall is not None and now_s < stall.until_s
