"""The use cases that are part of every node: one folder each, and one tuple that names them all."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import Module
from node.ledger.types.governance import MODULE as GOVERNANCE
from node.ledger.types.identity import MODULE as IDENTITY
from node.ledger.types.payments import MODULE as PAYMENTS
from node.ledger.types.records import MODULE as RECORDS
from node.ledger.types.resources import MODULE as RESOURCES
from node.ledger.types.trials import MODULE as TRIALS

BUILT_IN: Final[tuple[Module, ...]] = (
    IDENTITY,
    GOVERNANCE,
    RECORDS,
    PAYMENTS,
    RESOURCES,
    TRIALS,
)
"""Active from the first height on. Adding a use case means adding its folder, and its name here."""
