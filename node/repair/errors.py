"""The exceptions of repair.

RepairError
└── UnrepairableError    it cannot be done with what is here; nothing was changed by the attempt
"""

from __future__ import annotations


class RepairError(Exception):
    """Base of what repair raises. Never raised itself."""


class UnrepairableError(RepairError):
    """It cannot be done with what is here. `detail` says why, and what to do instead."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
