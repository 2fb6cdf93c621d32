"""What is wrong with the data of a node: what, where, and how it shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from node.checking.limits import FINDINGS_MAX

Part = Literal[
    "blob",
    "certificate",
    "chain",
    "database",
    "envelope",
    "events",
    "execution",
    "header",
    "index",
    "log",
    "outcomes",
    "page",
    "result",
    "sign_state",
    "state",
    "transactions",
    "validators",
    "value",
]
"""The kinds of things that can be damaged."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Damage. `height` is 0 where it belongs to none; `key` names the entry, file or blob, or is
    empty. Never holds a value of the ledger.
    """

    part: Part
    height: int
    key: str
    detail: str

    def line(self) -> str:
        """For a person."""
        at = f" of height {self.height}" if self.height else ""
        key = f" {self.key}" if self.key else ""
        return f"{self.part}{at}{key}: {self.detail}"


@dataclass(slots=True)
class Report:
    """What a check looked at and what it found. Of much damage, the first part is told."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    damaged: int = 0

    def add(self, *findings: Finding) -> None:
        """Something is wrong."""
        self.damaged += len(findings)
        self.findings.extend(findings[: max(0, FINDINGS_MAX - len(self.findings))])

    def looked_at(self, what: str, count: int = 1) -> None:
        """Count what was checked."""
        self.counts[what] += count
