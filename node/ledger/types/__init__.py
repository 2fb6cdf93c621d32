"""The use cases that are part of every node: one folder each, and one tuple that names them all."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import Module
from node.ledger.types.identity import MODULE as IDENTITY

BUILT_IN: Final[tuple[Module, ...]] = (IDENTITY,)
"""Active from the first height on. Adding a use case means adding its folder, and its name here."""
