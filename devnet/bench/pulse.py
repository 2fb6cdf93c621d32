"""How fast this machine is from minute to minute, told by the same small piece of work.

A virtual machine may be half as fast in one hour as in the next. What a long measurement finds
slower then need not be the network.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from statistics import median
from typing import Final

from medquorum.keys import SigningKey, verify

CHECKS: Final = 50
"""Signatures checked for one beat: 3 to 5 ms of one core."""
REST_S: Final = 1.0
"""Between two beats, so that measuring takes no more than half a percent of a core."""
BEATS_MAX: Final = 3600


def check_us() -> float:
    """Processor time of this thread for one check of a signature, in microseconds."""
    key, message = SigningKey(sha256(b"pulse").digest()), bytes(200)
    signature = key.sign(message)
    began = time.thread_time_ns()
    for _ in range(CHECKS):
        verify(key.public, message, signature)
    return (time.thread_time_ns() - began) / CHECKS / 1000


class Pulse:
    """Measures beside a load, on another thread. Lives on the event loop."""

    def __init__(self, measure: Callable[[], float] = check_us) -> None:
        self._measure = measure
        self._last = measure()
        self._beats: deque[float] = deque(maxlen=BEATS_MAX)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(REST_S)
            await self.beat()

    async def beat(self) -> None:
        """Measure once."""
        self._beats.append(await asyncio.to_thread(self._measure))

    def take(self) -> float:
        """The median since the last call, in microseconds; without a beat since, as it was then."""
        if self._beats:
            self._last = median(self._beats)
            self._beats.clear()
        return round(self._last, 2)
