"""Every bound of the trials module that a consortium does not tune."""

from __future__ import annotations

from typing import Final

SUBJECTS_MAX: Final = 5_000
"""Subjects of one study. Locking hashes the chain of each of them within one operation."""

STRATA_MAX: Final = 64
ARMS_MAX: Final = 16
ETHICS_SIGNERS_MAX: Final = 7

DAY_MS: Final = 24 * 60 * 60 * 1000
