"""Organisations, actors, their keys and credentials."""

from __future__ import annotations

from typing import Final

from node.ledger.identities import TABLES
from node.ledger.txtype import Module
from node.ledger.types.identity.founding import found

MODULE: Final = Module(name="identity", types=(), tables=TABLES, genesis=found)
