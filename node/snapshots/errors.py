"""The exceptions of snapshots.

SnapshotError
├── UnmakeableError     there can be no snapshot here of this height
└── FalseSnapshotError  what a snapshot holds is not what the validators certified
"""

from __future__ import annotations


class SnapshotError(Exception):
    """Base of the exceptions of snapshots. Never raised itself."""


class UnmakeableError(SnapshotError):
    """There can be no snapshot of this height here; nothing is wrong with the chain."""


class FalseSnapshotError(SnapshotError):
    """What a snapshot holds is not what the validators certified. `reason` says how, by a name."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
