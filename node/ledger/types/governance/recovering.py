"""What the first block after a disaster records: docs/spec/disaster-recovery.md, section 3."""

from __future__ import annotations

from typing import Final

import msgspec

from medquorum.recovery import Recovery
from node.ledger.codes import Code
from node.ledger.context import Context, View
from node.ledger.errors import refuse_unless
from node.ledger.membership import NAMESPACE, OBSERVERS, VALIDATORS, file_keys, validator_set
from node.ledger.recoveries import RECOVERIES, Recovered, require_recoverable, signing_orgs
from node.ledger.txtype import Query


class RecoveriesParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of a query that needs none."""


class RecoveryAnswer(msgspec.Struct, kw_only=True):
    """A recovery: `kept` is the last height before it, `recorded` the first one after it."""

    counter: int
    statement: bytes
    kept: int
    recorded: int
    reason: str
    orgs: tuple[bytes, ...]


class RecoveriesAnswer(msgspec.Struct, kw_only=True):
    """All of them, the oldest first. There are few: each is a disaster."""

    items: tuple[RecoveryAnswer, ...]


def _recoveries(_params: RecoveriesParams, view: View) -> RecoveriesAnswer:
    return RecoveriesAnswer(
        items=tuple(
            RecoveryAnswer(
                counter=int.from_bytes(key, "big"),
                statement=row.statement,
                kept=row.kept,
                recorded=row.recorded,
                reason=row.reason,
                orgs=row.orgs,
            )
            for key, row in RECOVERIES.rows(view.read(NAMESPACE))
        )
    )


RECOVERIES_QUERY: Final = Query(
    "gov.recoveries", RecoveriesParams, _recoveries, "When organisations named the validators."
)


def recover(body: Recovery, ctx: Context) -> None:
    """gov.recover

    The voters of a block are those of the state in every block but one: the first after a recovery.
    Nodes vote for that one, and accept it, only if its first transaction is the recovery that named
    them, and verified (recoveries.recovery_refusal). So nothing is left to verify here, and in
    every other place the operation is refused.
    """
    refuse_unless(
        any(signer.actor == b"" for signer in ctx.signers), Code.ROLE, "a root key hands it in"
    )
    statement = body.statement
    after = statement.validator_set()
    before = validator_set(ctx)
    named = ctx.voters_hash == after.hash() and before.hash() != ctx.voters_hash
    refuse_unless(named, Code.STATE, "no block but the first after a recovery records it")
    require_recoverable(ctx, statement)
    VALIDATORS.put(ctx.state, after)
    for validator in after.validators:
        file_keys(ctx.state, validator)
        OBSERVERS.delete(ctx.state, validator.node_key)
    row = Recovered(
        statement.id(), statement.height, ctx.height, statement.reason, signing_orgs(body)
    )
    RECOVERIES.put(ctx.state, row, statement.counter)
    ctx.emit(
        "gov.recovered",
        counter=statement.counter, statement=row.statement, kept=row.kept, reason=row.reason,
    )  # fmt: skip
    ctx.emit("gov.validators_changed", count=len(after.validators))
