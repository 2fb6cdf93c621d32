"""May this transaction enter the mempool? All that can be known without executing it.

Admission protects the mempool and tells clients early. It is no part of consensus: what slips
through is refused in its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medquorum.transaction import Transaction
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import AdmissionError, TxError
from node.ledger.identities import signer_of_key
from node.ledger.params import TX_WINDOW, param
from node.ledger.registry import Registry

__all__ = ["AdmissionError", "Standing", "check_form", "check_state", "check_window"]

_BODY_CODES: Final = {Code.TYPE: "unknown_type", Code.SIZE: "too_large"}


@dataclass(frozen=True, slots=True)
class Standing:
    """On whose account the transaction runs: the organisation of its first signer."""

    org: bytes


def check_form(tx: Transaction, chain_id: bytes, registry: Registry) -> None:
    """What needs no state: the chain, the types, the shape of the bodies.

    Raises AdmissionError: wrong_chain, unknown_type, too_large or schema_violation.
    """
    if tx.body.chain_id != chain_id:
        raise AdmissionError("wrong_chain", "the transaction is for another chain")
    for number, operation in enumerate(tx.body.operations):
        try:
            registry.decode_body(operation)
        except TxError as error:
            code = _BODY_CODES.get(error.code, "schema_violation")
            raise AdmissionError(code, f"operation {number}: {error.detail}") from None


def check_state(tx: Transaction, view: View, next_height: int) -> Standing:
    """What the committed state says: the window of heights, and who the signers are.

    Raises AdmissionError: expired, not_yet_valid, unknown_key or key_revoked.
    """
    check_window(tx, view, next_height)
    orgs: list[bytes] = []
    for key in tx.body.signers:
        try:
            orgs.append(signer_of_key(view, key, next_height).org)
        except TxError as error:
            revoked = error.code is Code.KEY_REVOKED
            code = "key_revoked" if revoked else "unknown_key"
            raise AdmissionError(code, error.detail) from None
    return Standing(orgs[0])


def check_window(tx: Transaction, view: View, next_height: int) -> None:
    """Whether `next_height` may hold the transaction.

    Raises AdmissionError: expired or not_yet_valid.
    """
    valid_until = tx.body.valid_until
    if valid_until < next_height:
        raise AdmissionError("expired", f"valid until height {valid_until}, next is {next_height}")
    last = next_height - 1 + param(view, TX_WINDOW)
    if valid_until > last:
        raise AdmissionError("not_yet_valid", f"valid_until is at most {last} for now")
