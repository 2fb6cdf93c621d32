"""The queue of engine events between the parts of the node and the consensus loop."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from consensus.engine import Event, Received
from node.limits import INBOX_PEER_BYTES_MAX, INBOX_PEER_EVENTS_MAX


@dataclass(slots=True)
class _Share:
    """What waits of one validator."""

    events: int = 0
    size_bytes: int = 0


class Inbox:
    """Lives on the event loop. Each validator has a share of its own, so one that floods shuts out
    nobody else's votes; what exceeds it is dropped. The node's own answers never are: they are few,
    each answers one request of the engine.
    """

    def __init__(
        self,
        *,
        peer_events_max: int = INBOX_PEER_EVENTS_MAX,
        peer_bytes_max: int = INBOX_PEER_BYTES_MAX,
    ) -> None:
        self._peer_events_max = peer_events_max
        self._peer_bytes_max = peer_bytes_max
        self._shares: dict[bytes, _Share] = {}
        self._events: deque[Event] = deque()
        self._waiting = asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    def post(self, event: Event) -> None:
        """Queue an answer or a timer of this node."""
        self._events.append(event)
        self._waiting.set()

    def post_received(self, event: Received, size_bytes: int) -> bool:
        """Queue a peer's message of this size. False if the peer's share is used up."""
        share = self._shares.setdefault(event.peer, _Share())
        if (
            share.events >= self._peer_events_max
            or share.size_bytes + size_bytes > self._peer_bytes_max
        ):
            return False
        share.events += 1
        share.size_bytes += size_bytes
        self.post(event)
        return True

    async def drain(self) -> list[Event]:
        """All waiting events, in order; waits for at least one."""
        await self._waiting.wait()
        self._waiting.clear()
        events = list(self._events)
        self._events.clear()
        self._shares.clear()
        return events
