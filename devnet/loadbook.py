"""What load sent, what is known about each transaction, and the report at the end."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from devnet.loadclient import Answered, Fate
from devnet.signing import Signed

FINAL: Final = ("committed", "rejected", "expired")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a load. Times in milliseconds; latencies of what was seen to commit."""

    rate: float
    seconds: float
    sent: int
    accepted: int
    refused: dict[str, int]
    """By code, at the door: the client knows, and may send again."""
    unanswered: int
    """No node answered. Whether these were taken is not known, and nothing was promised."""
    committed: int
    rejected: int
    expired: int
    stranded: int
    """Accepted by a node that has been down since. They are safe there; a client that cannot wait
    for it sends them again to another one, as was done here, so they count as committed as well.
    """
    lost: list[str]
    """Accepted, and yet without a final state at the end. Must be empty."""
    committed_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    longest_gap_ms: float
    """The longest time without a block while something accepted was waiting for one."""
    failovers: int
    first_height: int
    last_height: int


@dataclass(slots=True)
class Sent:
    """A transaction that was submitted. `by` is the node that accepted it, `seen` is 0 until it
    was seen in a block.
    """

    tx: Signed
    due: float
    by: int | None = None
    seen: float = 0.0


class Book:
    """Who was sent when, and what is known about it. Times are those of time.monotonic."""

    def __init__(self) -> None:
        self.entries: dict[str, Sent] = {}
        self.refused: Counter[str] = Counter()
        self.unanswered = 0
        self.last_height = 0
        self.longest_gap_s = 0.0
        self.failovers = 0
        self.settled = asyncio.Event()
        """Set while everything accepted so far was seen in a block."""
        self.settled.set()
        self._moved = asyncio.Event()
        """Set when the next block is seen, and replaced then."""
        self._open = 0
        self._waiting_since = 0.0

    def sent(self, tx: Signed, due: float) -> None:
        """It is about to be submitted."""
        self.entries[tx.tx_id.hex()] = Sent(tx, due)

    def answered(self, batch: Sequence[Signed], answer: Answered | None) -> None:
        """What the node said about a batch."""
        if answer is None:
            self.unanswered += len(batch)
            return
        for tx, fate in zip(batch, answer.fates, strict=True):
            entry = self.entries[tx.tx_id.hex()]
            if fate.problem is not None:
                self.refused[fate.problem.code] += 1
                continue
            entry.by = answer.node
            if entry.seen == 0.0:
                self._wait_begins()

    def block(self, height: int, tx_ids: Sequence[str]) -> None:
        """A certified block was seen. Several followers may show the same one."""
        now = time.monotonic()
        if height > self.last_height:
            self.last_height = height
            if self._open:
                self.longest_gap_s = max(self.longest_gap_s, now - self._waiting_since)
            self._waiting_since = now
        for tx_id in tx_ids:
            entry = self.entries.get(tx_id)
            if entry is not None and entry.seen == 0.0:
                entry.seen = now
                self._open -= entry.by is not None
                if self._open == 0:
                    self.settled.set()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _wait_begins(self) -> None:
        if self._open == 0:
            self._waiting_since = time.monotonic()
            self.settled.clear()
        self._open += 1

    async def wait_seen(self, batch: Sequence[Signed], timeout_s: float) -> None:
        """Until what was accepted of a batch was seen in blocks, or the time is over."""
        waited = [self.entries[tx.tx_id.hex()] for tx in batch]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                while any(e.by is not None and e.seen == 0.0 for e in waited):
                    await self._moved.wait()

    def seen_between(self, start: float, end: float) -> int:
        """How many were seen in blocks in that time."""
        return sum(start <= entry.seen < end for entry in self.entries.values())

    def accepted(self) -> list[Sent]:
        """What nodes took."""
        return [entry for entry in self.entries.values() if entry.by is not None]


def make_report(
    book: Book,
    fates: Mapping[str, Fate],
    *,
    rate: float,
    seconds: float,
    first_height: int,
    stranded: int,
) -> Report:
    """The report. `fates` is what a node says about everything accepted, in the end."""
    accepted = book.accepted()
    states = Counter(state_of(fates.get(entry.tx.tx_id.hex())) for entry in accepted)
    lost = [
        tx_id
        for entry in accepted
        if state_of(fates.get(tx_id := entry.tx.tx_id.hex())) not in FINAL
    ]
    latencies = sorted(1000 * (entry.seen - entry.due) for entry in accepted if entry.seen)
    last = max((entry.seen for entry in accepted), default=0.0)
    first = min((entry.due for entry in accepted), default=0.0)
    return Report(
        rate=rate,
        seconds=round(seconds, 3),
        sent=len(book.entries),
        accepted=len(accepted),
        refused=dict(book.refused),
        unanswered=book.unanswered,
        committed=states["committed"],
        rejected=states["rejected"],
        expired=states["expired"],
        stranded=stranded,
        lost=lost,
        committed_per_second=round(len(latencies) / (last - first), 1) if last > first else 0.0,
        p50_ms=percentile(latencies, 50),
        p95_ms=percentile(latencies, 95),
        p99_ms=percentile(latencies, 99),
        max_ms=percentile(latencies, 100),
        longest_gap_ms=round(1000 * book.longest_gap_s, 1),
        failovers=book.failovers,
        first_height=first_height + 1,
        last_height=book.last_height,
    )


def state_of(fate: Fate | None) -> str:
    """The state by the node's word. What it had to take in again was lost before."""
    if fate is None:
        return "unknown"
    if fate.problem is not None:
        return "expired" if fate.problem.code == "expired" else "unknown"
    return fate.state if fate.duplicate else "unknown"


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of an ordered sample, 0 for an empty one."""
    if not ordered:
        return 0.0
    rank = max(1, math.ceil(percent / 100 * len(ordered)))
    return round(ordered[rank - 1], 2)
