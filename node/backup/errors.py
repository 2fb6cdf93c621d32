"""The exceptions of backups.

BackupError
├── UnmakeableBackupError  there can be no backup here; nothing is wrong with the chain
└── FalseBackupError       a backup does not hold what its manifest or the validators say
"""

from __future__ import annotations


class BackupError(Exception):
    """Base of the exceptions of backups. Never raised itself."""


class UnmakeableBackupError(BackupError):
    """There can be no backup here, and `code` of the catalogue says whether there may be later."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class FalseBackupError(BackupError):
    """`part` of a backup (a file of it, or what it holds of the chain) is not what it should be."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(f"{part}: {detail}")
        self.part = part
        self.detail = detail
