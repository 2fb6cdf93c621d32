"""The named limits of records and consent.

What a consortium may tune is a parameter instead (parameters.py).
"""

from __future__ import annotations

from typing import Final

EXCEPTIONS_PER_GRANT_MAX: Final = 8
PURPOSES_PER_SCOPE_MAX: Final = 16
RECORDS_PER_RELEASE_MAX: Final = 256
"""Records that one access log entry may name."""

ACTIVE_GRANTS_PER_PATIENT_MAX: Final = 64
"""Every release reads all active grants of its patient, so this bounds the cost of a decision."""

SIZE_BUCKET_MAX: Final = 40
"""A size bucket is the exponent of the power of two that the ciphertext fits into: at most 1 TiB.
"""
