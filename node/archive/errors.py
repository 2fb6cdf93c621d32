"""The exceptions of archives.

ArchiveError
└── UnarchivableError    it cannot be done with what is here; nothing was changed by the attempt

What a file does not hold is a VerificationError, as in all that is proven.
"""

from __future__ import annotations


class ArchiveError(Exception):
    """Base of what archives raise. Never raised itself."""


class UnarchivableError(ArchiveError):
    """It cannot be done with what is here. `detail` says why, and what to do instead."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
