"""What the leader of the next height said before its time (docs/spec/raft.md, rule H2)."""

from __future__ import annotations

from consensus.limits import FUTURE_BYTES_MAX, FUTURE_PEERS_MAX
from consensus.raft.messages import Append, Decision


class EarlyMessages:
    """A small, bounded waiting room: an entry and a decision a peer. The rest is said again."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, int], Append | Decision] = {}

    def add(self, peer: bytes, message: Append | Decision) -> bool:
        """Keep a message instead of an older one of its kind. False if there is no room."""
        place = (peer, int(isinstance(message, Append)))
        known = self._waiting.get(place)
        if known is None and len(self._waiting) >= 2 * FUTURE_PEERS_MAX:
            return False
        kept = sum(
            len(waiting.body)
            for other, waiting in self._waiting.items()
            if isinstance(waiting, Append) and other != place
        )
        if isinstance(message, Append) and kept + len(message.body) > FUTURE_BYTES_MAX:
            return False
        self._waiting[place] = message
        return True

    def take(self, height: int) -> tuple[tuple[bytes, Append | Decision], ...]:
        """Those of `height` with their senders, entries first; the room is empty afterwards."""
        found = sorted(
            (
                (place, message)
                for place, message in self._waiting.items()
                if message.height == height
            ),
            key=lambda item: (-item[0][1], item[0][0]),
        )
        self._waiting.clear()
        return tuple((place[0], message) for place, message in found)
