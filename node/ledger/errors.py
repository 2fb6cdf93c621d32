"""The exceptions of the ledger.

LedgerError
├── TxError            an operation is refused; its transaction leaves its code and no more
└── RegistryError      the modules of this build contradict each other; found at start
"""

from __future__ import annotations

from node.ledger.codes import Code


class LedgerError(Exception):
    """Base of the ledger's exceptions. Never raised itself."""


class TxError(LedgerError):
    """An operation is refused, and every write of its transaction is rolled back.

    `detail` explains it to a person and carries no identifying data; receipts hold the code only.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class RegistryError(LedgerError):
    """The modules of this build contradict each other."""


def refuse_unless(condition: bool, code: Code, detail: str) -> None:
    """Raise TxError unless `condition` holds: one rule of a transaction type, one line."""
    if not condition:
        raise TxError(code, detail)
