"""A transaction type as the registry files it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from node.ledger.txtype import Module, TxType

FIRST_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction type and the module that it belongs to.

    `built_in` modules run from genesis on.
    """

    module: Module
    type: TxType[Any]
    built_in: bool

    @property
    def from_genesis(self) -> bool:
        """Whether the type needs no activation."""
        return self.built_in and self.type.version == FIRST_VERSION
