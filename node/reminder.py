"""Offers transactions again to peers while the chain stands still although some wait here.

Gossip is sent once and may be lost: a full queue, a crash before the receiver's disk. A proposer
that is replaced every height hides that, a leader that stays does not: what it never heard of would
wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.limits import REMINDED_TXS


class Reminder:
    """Lives on the event loop. Peers announce their height now and then: that is its clock.

    `waiting` gives the oldest transactions of this node's own clients, up to a number.
    """

    def __init__(
        self,
        *,
        height: Callable[[], int],
        waiting: Callable[[int], Sequence[bytes]],
        gossip: Callable[[Sequence[bytes], Sequence[bytes]], None],
    ) -> None:
        self._height = height
        self._waiting = waiting
        self._gossip = gossip
        self._seen: dict[bytes, int] = {}

    def on_tip(self, peer: bytes) -> None:
        """A peer is there. If our height has not grown since it said so last, remind it."""
        height = self._height()
        if self._seen.get(peer) == height:
            waiting = self._waiting(REMINDED_TXS)
            if len(waiting) > 0:
                self._gossip(waiting, [peer])
        self._seen[peer] = height

    def lost(self, peer: bytes) -> None:
        """The peer is gone."""
        self._seen.pop(peer, None)
