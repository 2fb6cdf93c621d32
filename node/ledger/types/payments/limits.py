"""Every bound of the payments module."""

from __future__ import annotations

from typing import Final

SOURCES_PER_INVOICE_MAX: Final = 8
"""Accounts that may have paid parts of one invoice. A refund touches each of them."""

SUM_ACCOUNTS_MAX: Final = 10_000
"""Accounts up to which the query pay.supply adds up all balances itself."""

MINT_SIGNERS: Final = 2
COMPLIANCE_SIGNERS: Final = 2
REFUND_SIGNERS_ABOVE_THRESHOLD: Final = 2

DAY_MS: Final = 24 * 60 * 60 * 1000
