"""What many runs came to: counted as they end, so that there is a sum whenever somebody stops."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from devnet.sim.run import Outcome

QUIET_S: Final = 30.0
"""How often a long series says how far it is, if that is all it says."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run as it is shown. `outcome` None: it failed, and `problem` says of what."""

    seed: int
    outcome: Outcome | None
    problem: str
    options: str
    tail: tuple[str, ...]
    cpu_s: float


@dataclass(slots=True)
class Tally:
    """The sums of a series of `planned` runs."""

    planned: int
    played: int = 0
    failed: list[int] = field(default_factory=list)
    heights: int = 0
    votes: int = 0
    frames: int = 0
    events: int = 0
    stops: int = 0
    evidence: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    healing: list[float] = field(default_factory=list)
    """How long everybody took to decide anew after the faults, in longest rounds."""
    _started: float = field(default_factory=time.monotonic)
    _shown: float = field(default_factory=time.monotonic)

    def add(self, report: Report) -> None:
        """Count a run."""
        self.played += 1
        self.cpu_s += report.cpu_s
        outcome = report.outcome
        if outcome is None:
            self.failed.append(report.seed)
            return
        self.heights += outcome.heights
        self.votes += outcome.votes
        self.frames += outcome.frames
        self.events += outcome.events
        self.stops += outcome.stops
        self.evidence += outcome.evidence
        self.virtual_s += outcome.virtual_s
        self.healing.append(outcome.healed_ms / outcome.options.round_ms_max)

    def is_due(self) -> bool:
        """Whether it is time to say how far it is. True once per QUIET_S."""
        now = time.monotonic()
        due = now - self._shown >= QUIET_S
        if due:
            self._shown = now
        return due

    def progress(self) -> str:
        """One line while it goes on."""
        return (
            f"{self.played} of {self.planned} seeds, {len(self.failed)} violations,"
            f" {self.heights} heights, {time.monotonic() - self._started:.0f} s"
        )

    def summary(self) -> str:
        """What it came to."""
        cpu_s = max(self.cpu_s, 0.001)
        spent = (
            f"{self.virtual_s / 60:.1f} virtual minutes in {self.cpu_s:.0f} CPU seconds"
            f" ({self.cpu_s / max(1, self.played):.2f} a seed, {self.heights / cpu_s * 60:.0f}"
            f" heights a minute), {time.monotonic() - self._started:.0f} s by the clock"
        )
        lines = [self._counted(), spent]
        if len(self.healing) > 0:
            p50, p90, p99 = (quantile(self.healing, part) for part in (0.5, 0.9, 0.99))
            lines.append(
                "from the end of the faults until everybody has decided anew, in longest rounds:"
                f" p50 {p50:.2f}, p90 {p90:.2f}, p99 {p99:.2f}, most {max(self.healing):.2f}"
            )
        if len(self.failed) > 0:
            lines.append("failed: " + " ".join(map(str, self.failed)))
        return "\n".join(lines)

    def _counted(self) -> str:
        return (
            f"{self.played} of {self.planned} seeds, {len(self.failed)} violations,"
            f" {self.heights} heights, {self.votes} votes, {self.frames} messages,"
            f" {self.events} events, {self.stops} stops, {self.evidence} pieces of evidence"
        )


def quantile(values: list[float], part: float) -> float:
    """The value that so great a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
