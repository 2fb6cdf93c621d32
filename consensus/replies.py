"""How often a peer is answered (rule H4 of both engines). Counted: there is no clock."""

from __future__ import annotations

from consensus.limits import REPLIES_PER_PEER_MAX, REPLY_PEERS_MAX


class ReplyBudget:
    """So many answers of a kind to a peer, until the RESEND timer fires again."""

    __slots__ = ("_spent",)

    def __init__(self) -> None:
        self._spent: dict[bytes, dict[str, int]] = {}

    def take(self, peer: bytes, kind: str) -> bool:
        """Whether one more answer of this kind may go to `peer`."""
        spent = self._spent.get(peer)
        if spent is None:
            if len(self._spent) >= REPLY_PEERS_MAX:
                return False
            spent = self._spent[peer] = {}
        count = spent.get(kind, 0)
        spent[kind] = count + 1
        return count < REPLIES_PER_PEER_MAX

    def refill(self) -> None:
        """A new interval begins."""
        self._spent.clear()
