"""Virtual time: one heap of things to do, one source of chance, one trace."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from devnet.sim.dice import Dice

US_PER_MS: Final = 1_000
US_PER_S: Final = 1_000_000
TRACE_LINES_KEPT: Final = 400
"""The end of a trace that a failed run shows; `--trace` shows all of it as it happens."""

Call = Callable[[], None]


class Violation(Exception):  # noqa: N818 - what a checker found, not an error of the checker
    """A promise is broken."""


class World:
    """Time in microseconds from the start of the run. Nothing here reads a real clock."""

    def __init__(self, seed: int, show: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.rng = Dice(seed)
        self.now_us = 0
        self.events = 0
        self.recent: deque[str] = deque(maxlen=TRACE_LINES_KEPT)
        self.violation: Violation | None = None
        self._show = show
        self._heap: list[tuple[int, int, Call]] = []
        self._count = 0
        self._digest = sha256()

    def at(self, time_us: int, call: Call) -> None:
        """Call a function at a time; what is due at the same time runs in the order of asking."""
        self._count += 1
        due_us = time_us if time_us > self.now_us else self.now_us
        heapq.heappush(self._heap, (due_us, self._count, call))

    def later(self, delay_us: int, call: Call) -> None:
        """Call a function after a while."""
        self.at(self.now_us + delay_us, call)

    def later_ms(self, delay_ms: float, call: Call) -> None:
        """The same in milliseconds."""
        self.at(self.now_us + int(delay_ms * US_PER_MS), call)

    def every_ms(self, interval_ms: float, call: Call) -> None:
        """Call a function again and again, the first time after one interval."""

        def tick() -> None:
            call()
            self.later_ms(interval_ms, tick)

        self.later_ms(interval_ms, tick)

    def run(self, limit_us: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass until a condition holds; False if it did not within the limit.

        The condition is asked for once a virtual millisecond, not after every event.
        """
        end, heap, ask_us = self.now_us + limit_us, self._heap, self.now_us
        while True:
            if until is not None and self.now_us >= ask_us:
                if until():
                    return True
                ask_us = self.now_us + US_PER_MS
            if len(heap) == 0 or heap[0][0] > end:
                self.now_us = end
                return until is not None and until()
            self.now_us, _, call = heapq.heappop(heap)
            self.events += 1
            call()
            if self.violation is not None:
                raise self.violation

    def fail(self, text: str, cause: BaseException | None = None) -> None:
        """A checker has found something: the run ends after the event that is being carried out."""
        if self.violation is None:
            self.note(f"VIOLATION {text}")
            self.violation = Violation(text)
            self.violation.__cause__ = cause

    def mix(self, data: bytes) -> None:
        """Make the trace hash depend on this, at this time."""
        self._digest.update(self.now_us.to_bytes(8, "big") + data)

    def note(self, line: str) -> None:
        """Something a reader of the trace wants to see; part of the trace hash too."""
        self.mix(line.encode())
        stamped = f"{self.now_us / US_PER_MS:12.3f} ms  {line}"
        self.recent.append(stamped)
        if self._show is not None:
            self._show(stamped)

    @property
    def is_shown(self) -> bool:
        """Whether somebody reads along, so that it is worth saying more."""
        return self._show is not None

    def tell(self, line: str) -> None:
        """Something for readers only: no part of the trace hash."""
        if self._show is not None:
            self._show(f"{self.now_us / US_PER_MS:12.3f} ms      {line}")

    def trace_hash(self) -> str:
        """A hash of all that happened: equal for equal runs."""
        return self._digest.hexdigest()
