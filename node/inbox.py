"""The queue of engine events between the parts of the node and the consensus loop."""

from __future__ import annotations

import asyncio
from collections import deque

from consensus.engine import Event, Received
from node.limits import INBOX_EVENTS_MAX


class Inbox:
    """Lives on the event loop. Peers' messages are dropped when it is full; the node's own answers
    never are.

    Own answers are few: each answers one request of the engine.
    """

    def __init__(self, limit: int = INBOX_EVENTS_MAX) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._waiting = asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    def post(self, event: Event) -> bool:
        """Queue an event. False if it was a peer's message and the queue is full."""
        if isinstance(event, Received) and len(self._events) >= self._limit:
            return False
        self._events.append(event)
        self._waiting.set()
        return True

    async def drain(self) -> list[Event]:
        """All waiting events, in order; waits for at least one."""
        await self._waiting.wait()
        self._waiting.clear()
        events = list(self._events)
        self._events.clear()
        return events
