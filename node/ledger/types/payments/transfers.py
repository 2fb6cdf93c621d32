"""Transfers between two accounts."""

from __future__ import annotations

from typing import Final

from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.params import param
from node.ledger.txtype import Param
from node.ledger.types.payments.bodies import AccountKind, Transfer
from node.ledger.types.payments.money import (
    credited,
    load_account,
    refuse_frozen,
    require_spender,
    spent,
)
from node.ledger.types.payments.rows import ACCOUNTS

PATIENT_TRANSFERS: Final = Param(
    "pay.patient_transfers",
    default=0,
    minimum=0,
    maximum=1,
    summary="Whether patients may transfer credit to each other (1) or not (0)",
)


def transfer(body: Transfer, ctx: Context) -> None:
    """pay.transfer. By whoever may spend from the source."""
    refuse_unless(body.source != body.target, Code.SCHEMA, "source and target are the same account")
    source = load_account(ctx.state, body.source)
    target = load_account(ctx.state, body.target)
    require_spender(ctx, source)
    if source.kind is AccountKind.PATIENT and target.kind is AccountKind.PATIENT:
        allowed = param(ctx, PATIENT_TRANSFERS.name) == 1
        refuse_unless(allowed, Code.SCOPE, "patients do not transfer to each other on this chain")
    refuse_frozen(target, ctx.time_ms)
    after = spent(ctx, source, body.amount)
    increased = credited(target, body.amount)
    ACCOUNTS.put(ctx.state, after, body.source)
    ACCOUNTS.put(ctx.state, increased, body.target)
    ctx.emit(
        "pay.transferred",
        source=body.source,
        target=body.target,
        amount=body.amount,
        memo=body.memo,
    )
