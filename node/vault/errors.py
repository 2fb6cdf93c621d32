"""Refusals of the gateway.

NodeError
├── RefusedError
│   └── DeniedError    the requester may not see the records; the ledger has the denial
└── ConfigError
    └── AnotherVaultError    a copy is of a vault on another chain
"""

from __future__ import annotations

from pathlib import Path

from node.errors import ConfigError, RefusedError


class DeniedError(RefusedError):
    """The requester may not see the records. `rule` says which rule decided; `tx_id` is the logged
    decision, empty if it could not be logged.
    """

    def __init__(self, code: str, detail: str, *, rule: str, tx_id: bytes) -> None:
        super().__init__(code, detail, tx_id=tx_id)
        self.rule = rule


class AnotherVaultError(ConfigError):
    """The copy in `directory` is of a vault on another chain."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} holds the copy of a vault on another chain")
        self.directory = directory
