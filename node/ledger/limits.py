"""The named limits of the ledger.

Those that a consortium may tune are parameters instead (params.py).
"""

from __future__ import annotations

from typing import Final

BLOCK_TXS_MAX: Final = 10_000
BLOCK_BYTES_MAX: Final = 8 * 1024 * 1024
"""The sum of the sizes of a block's transactions."""
BLOCK_OPERATIONS_MAX: Final = 20_000
"""A block may carry thousands of small transactions or a few large ones: execution time counts."""

DUE_PER_BLOCK_MAX: Final = 1_000
"""Deadlines handled at the end of one block. What is left is handled by the blocks that follow."""

EVENTS_PER_TX_MAX: Final = 1_024
HOLDS_PER_ROLE_MAX: Final = 16
"""Credentials that one actor may hold for one role, unexpired, at the same time."""

OBSERVERS_MAX: Final = 1_024
EVIDENCE_HEIGHTS_MAX: Final = 10_000_000
"""For how long evidence can be held against a validator: months. What nobody minded for so long is
no reason any more to change who votes.
"""
PROPOSALS_OPEN_MAX: Final = 16
"""Open proposals of one organisation, so that one member cannot keep the others from proposing."""
PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000
"""Rows of one page of a query."""
