"""Disaster recoveries as the ledger knows them (docs/spec/disaster-recovery.md, section 3).

That a recovery is signed by enough organisations, for the right height, is verified by
medquorum.recovery, from certified facts alone. Here is what only the state can tell, and what the
first block of the new validators must be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from medquorum.block import Header, Result, ValidatorSet
from medquorum.codec import Bytes32, Hash, Height, Name, Wire, decode
from medquorum.errors import VerificationError
from medquorum.recovery import (
    SIGNATURES_MAX,
    KeyRow,
    Recovery,
    RecoveryStatement,
    recovery_in,
    verify_recovery,
)
from medquorum.transaction import Transaction
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.identities import org_of, signer_of_key
from node.ledger.keyrules import require_fresh_key
from node.ledger.membership import DAEMON_KEYS, NAMESPACE, NODE_USE
from node.ledger.tables import Table


class Recovered(Wire, frozen=True):
    """A recovery that happened: what the first block after it recorded, and at which height."""

    statement: Hash
    kept: Height
    recorded: Height
    reason: Name
    orgs: Annotated[tuple[Bytes32, ...], Meta(max_length=SIGNATURES_MAX)]


RECOVERIES = Table(
    b"r",
    "recoveries",
    key=("counter",),
    value=Recovered,
    meaning="when organisations named the validators because too many were lost",
)


@dataclass(frozen=True, slots=True)
class RecoveryDue:
    """A recovery that the next block must record: the height that it continues, the set that it
    replaces, and its number.
    """

    statement: bytes
    header: Header
    result: Result
    replaced: ValidatorSet
    counter: int


def recoveries_so_far(view: View) -> int:
    """How many recoveries this chain has recorded."""
    for key, _ in RECOVERIES.rows(view.read(NAMESPACE), reverse=True):
        return int.from_bytes(key, "big")
    return 0


def require_recoverable(view: View, statement: RecoveryStatement) -> None:
    """Raise TxError unless the state allows the new set (rule Z7)."""
    expected = recoveries_so_far(view) + 1
    refuse_unless(
        statement.counter == expected, Code.STATE, f"the next recovery has number {expected}"
    )
    for validator in statement.validators:
        org = org_of(view, validator.org)
        if org is None:
            raise TxError(Code.NOT_FOUND, "no such organisation")
        active = not org.suspended(statement.height + 1)
        refuse_unless(active, Code.ORG, "the organisation is suspended")
        require_fresh_key(view, validator.key)
        known = DAEMON_KEYS.get(view.read(NAMESPACE), validator.node_key)
        if known is None:
            require_fresh_key(view, validator.node_key)
            continue
        own = known.org == validator.org and known.use == NODE_USE
        refuse_unless(own, Code.DUPLICATE, "the node key was used before for something else")


def signing_orgs(recovery: Recovery) -> tuple[bytes, ...]:
    """The organisations whose root keys signed, in the order of the signatures."""
    rows = (signed.authority.row for signed in recovery.signatures)
    return tuple(decode(KeyRow, row, size_max=len(row)).org for row in rows)


def recovery_refusal(
    due: RecoveryDue, transactions: Sequence[Transaction], view: View
) -> str | None:
    """Why a block does not record the recovery as it must, first of all: Z9."""
    recovery = recovery_in(transactions[0].body.operations) if transactions else None
    if recovery is None:
        return "recovery_missing"
    if recovery.statement.id() != due.statement:
        return "recovery_other"
    try:
        verify_recovery(
            recovery,
            header=due.header,
            result=due.result,
            validators=due.replaced,
            counter=due.counter,
        )
        by = [
            signer_of_key(view, key, due.header.height + 1) for key in transactions[0].body.signers
        ]
    except VerificationError as error:
        return error.reason
    except TxError:
        return "recovery_signer"
    return None if any(signer.actor == b"" for signer in by) else "recovery_signer"
