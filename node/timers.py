"""The engine's timers on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consensus.engine import SetTimer, Timer, TimerKind


class Timers:
    """At most one running timer of each kind: only the newest height and round matter."""

    def __init__(self, fired: Callable[[Timer], None]) -> None:
        self._fired = fired
        self._running: dict[TimerKind, asyncio.TimerHandle] = {}

    def set(self, request: SetTimer) -> None:
        """Fire `request.timer` after its delay, instead of an older timer of its kind."""
        kind = request.timer.kind
        if kind in self._running:
            self._running[kind].cancel()
        loop = asyncio.get_running_loop()
        self._running[kind] = loop.call_later(request.delay_ms / 1000, self._fired, request.timer)

    def cancel_all(self) -> None:
        """On shutdown."""
        for handle in self._running.values():
            handle.cancel()
        self._running.clear()
