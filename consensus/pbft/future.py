"""Votes of the next height that came before its time (docs/spec/pbft.md, rule H2)."""

from __future__ import annotations

from consensus.limits import FUTURE_BYTES_MAX, FUTURE_MESSAGES_PER_PEER_MAX, FUTURE_PEERS_MAX
from consensus.messages import Proposal, Vote


class FutureVotes:
    """A small, bounded waiting room. Whoever does not fit says it again later."""

    __slots__ = ("_body_bytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[Vote]] = {}
        self._body_bytes = 0

    def add(self, vote: Vote) -> bool:
        """Keep a vote that its own signer sent. False if there is no room, or it is there."""
        waiting = self._waiting.get(vote.signer, [])
        if len(waiting) >= FUTURE_MESSAGES_PER_PEER_MAX or vote in waiting:
            return False
        if len(waiting) == 0 and len(self._waiting) >= FUTURE_PEERS_MAX:
            return False
        if isinstance(vote, Proposal):
            if self._body_bytes + len(vote.body) > FUTURE_BYTES_MAX:
                return False
            self._body_bytes += len(vote.body)
        self._waiting.setdefault(vote.signer, []).append(vote)
        return True

    def take(self, height: int) -> tuple[Vote, ...]:
        """Those of `height`, by signer in the order of arrival; the room is empty afterwards."""
        votes = tuple(vote for waiting in self._waiting.values() for vote in waiting)
        self._waiting.clear()
        self._body_bytes = 0
        return tuple(vote for vote in votes if vote.height == height)
