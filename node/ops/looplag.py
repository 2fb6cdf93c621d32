"""How late the event loop is: the first thing to look at when a node is slow."""

from __future__ import annotations

import asyncio
from typing import Final

from node.ops.metrics import Metrics

INTERVAL_SECONDS: Final = 0.5


async def watch_loop(metrics: Metrics, *, interval_s: float = INTERVAL_SECONDS) -> None:
    """Measure until cancelled: how much later than asked the loop wakes this up."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        metrics.loop_lag(max(0.0, loop.time() - asked))
