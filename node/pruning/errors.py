"""The exceptions of pruning.

PruningError
└── UnprunableError    blocks up to there may not be given up; `code` of the catalogue says why
"""

from __future__ import annotations


class PruningError(Exception):
    """Base of what pruning raises. Never raised itself."""


class UnprunableError(PruningError):
    """Blocks up to there may not be given up. Nothing was changed."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
