"""The stable codes of receipts: what became of a transaction, for programs.

A code never changes its meaning and is never reused. The details that a person reads are beside it,
in TxError and in docs/errors.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

OK: Final = "ok"


class Code(StrEnum):
    """Why an operation was refused."""

    SCHEMA = "E_SCHEMA"
    SIZE = "E_SIZE"
    CHAIN = "E_CHAIN"
    SIG = "E_SIG"
    KEY_REVOKED = "E_KEY_REVOKED"
    NONCE = "E_NONCE"
    TTL = "E_TTL"
    TYPE = "E_TYPE"
    ROLE = "E_ROLE"
    ORG = "E_ORG"
    NOT_FOUND = "E_NOTFOUND"
    DUPLICATE = "E_DUP"
    STATE = "E_STATE"
    VERSION = "E_VERSION"
    CONSENT = "E_CONSENT"
    SCOPE = "E_SCOPE"
    EXPIRED = "E_EXPIRED"
    QUORUM = "E_QUORUM"
    LIMIT = "E_LIMIT"
    BALANCE = "E_BALANCE"
    CONFLICT = "E_CONFLICT"
    CHECK_DIGIT = "E_CHECKDIGIT"
    RECALLED = "E_RECALLED"
    RETENTION = "E_RETENTION"
    BLIND = "E_BLIND"
    COMMITMENT = "E_COMMIT"
    DEADLINE = "E_DEADLINE"
    K_ANONYMITY = "E_KANON"
    FROZEN = "E_FROZEN"
    PAUSED = "E_PAUSED"
    QUOTA = "E_QUOTA"
