"""The exceptions of the ledger.

LedgerError
├── TxError            an operation is refused; its transaction leaves its code and no more
├── AdmissionError     a transaction may not enter the mempool; for the client
├── RegistryError      the modules of this build contradict each other; found at start
└── UnservedCodeError  the members agreed to run code that this node does not have: it stops
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


class AdmissionError(LedgerError):
    """The transaction may not enter the mempool.

    `code` names the problem in the error catalogue; `detail` is for a person.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class UnservedCodeError(LedgerError):
    """The members agreed to run, at this height, code that this node does not have."""

    def __init__(self, *, name: str, version: int, height: int, reason: str) -> None:
        super().__init__(f"height {height} needs {name} version {version}: {reason}")
        self.name = name
        self.version = version
        self.height = height
        self.reason = reason


def refuse_unless(condition: bool, code: Code, detail: str) -> None:
    """Raise TxError unless `condition` holds: one rule of a transaction type, one line."""
    if not condition:
        raise TxError(code, detail)
