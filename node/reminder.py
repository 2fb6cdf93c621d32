"""Offers transactions again to peers while they wait here for longer than they should.

Gossip is sent once and may be lost: a full queue, a full pool, a crash before the receiver's disk.
A proposer that is replaced every height hides that, for everybody's turn comes. A leader that stays
does not: what it never heard of would wait for ever, whether or not the chain goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.limits import REMINDED_TXS


class Reminder:
    """Lives on the event loop. Peers announce their height about once a second: that is its clock.

    `waiting` gives the oldest transactions of this node's own clients, up to a number.
    """

    def __init__(
        self,
        *,
        waiting: Callable[[int], Sequence[bytes]],
        gossip: Callable[[Sequence[bytes], Sequence[bytes]], None],
    ) -> None:
        self._waiting = waiting
        self._gossip = gossip
        self._waited: dict[bytes, frozenset[bytes]] = {}
        """By peer: what waited when it announced itself last."""

    def on_tip(self, peer: bytes) -> None:
        """A peer is there. Remind it of what waited already when it said so last."""
        waiting = self._waiting(REMINDED_TXS)
        before = self._waited.get(peer, frozenset())
        late = [raw for raw in waiting if raw in before]
        if len(late) > 0:
            self._gossip(late, [peer])
        self._waited[peer] = frozenset(waiting)

    def lost(self, peer: bytes) -> None:
        """The peer is gone."""
        self._waited.pop(peer, None)
