"""Accounts: opened under one-time ids, frozen by two persons, closed when empty."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from node.ledger.access import (
    require_org_active,
    signer_of_actor,
    signer_with_role,
    signers_with_role,
)
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.identities import actor_of
from node.ledger.params import param
from node.ledger.roles import OrgKind, Role
from node.ledger.txtype import Param
from node.ledger.types.payments.bodies import (
    AccountClose,
    AccountFreeze,
    AccountKind,
    AccountOpen,
    AccountUnfreeze,
)
from node.ledger.types.payments.limits import COMPLIANCE_SIGNERS, DAY_MS
from node.ledger.types.payments.money import (
    load_account,
    load_supply,
    refuse_frozen,
    require_spender,
)
from node.ledger.types.payments.rows import ACCOUNTS, SUPPLY, Account

FREEZE_DAYS_MAX: Final = Param(
    "pay.freeze_days_max",
    default=90,
    minimum=1,
    maximum=366,
    summary="Days that one freeze of an account may last",
)
DUE_FREEZE_END: Final = "pay.freeze_end"

_ORG_KIND: Final = {
    AccountKind.PATIENT: OrgKind.HOSPITAL,
    AccountKind.HOSPITAL: OrgKind.HOSPITAL,
    AccountKind.INSURER: OrgKind.INSURER,
    AccountKind.AUTHORITY: OrgKind.AUTHORITY,
}


def open_account(body: AccountOpen, ctx: Context) -> None:
    """pay.acct.open. A patient account is opened by billing staff together with its holder."""
    is_patient = body.kind is AccountKind.PATIENT
    refuse_unless(
        (len(body.holder) == 1) == is_patient,
        Code.SCHEMA,
        "a patient account, and no other, has a holder",
    )
    org = require_org_active(ctx, body.org)
    refuse_unless(
        org.kind == _ORG_KIND[body.kind], Code.ORG, "not an account for this organisation"
    )
    # Whoever sees an account id must not be able to look a person up by it.
    refuse_unless(actor_of(ctx, body.acct) is None, Code.SCHEMA, "an account id is no actor's id")
    refuse_unless(not ACCOUNTS.has(ctx.state, body.acct), Code.DUPLICATE, "the account id is used")
    if is_patient:
        signer_with_role(ctx, Role.BILLING, body.org)
        signer_of_actor(ctx, body.holder[0])
    else:
        signer_with_role(ctx, Role.ORG_ADMIN, body.org)
    supply = load_supply(ctx.state)
    account = Account(
        kind=body.kind,
        org=body.org,
        holder=body.holder,
        kyc_hash=body.kyc_hash,
        balance=0,
        daily_limit=body.daily_limit,
        day=0,
        spent=0,
        frozen_until_ms=0,
        opened=ctx.height,
        closed=0,
    )
    ACCOUNTS.put(ctx.state, account, body.acct)
    SUPPLY.put(ctx.state, replace(supply, accounts=supply.accounts + 1))
    ctx.emit("pay.account_opened", acct=body.acct, kind=body.kind, org=body.org)


def freeze(body: AccountFreeze, ctx: Context) -> None:
    """pay.acct.freeze. By two compliance officers, for a stated reason and time."""
    account = load_account(ctx.state, body.acct)
    refuse_frozen(account, ctx.time_ms)
    signers_with_role(ctx, Role.COMPLIANCE, COMPLIANCE_SIGNERS)
    latest_ms = ctx.time_ms + param(ctx, FREEZE_DAYS_MAX.name) * DAY_MS
    refuse_unless(body.until_ms > ctx.time_ms, Code.TTL, "a freeze ends in the future")
    refuse_unless(body.until_ms <= latest_ms, Code.TTL, "a freeze may not last that long")
    ACCOUNTS.put(ctx.state, replace(account, frozen_until_ms=body.until_ms), body.acct)
    ctx.schedule(body.until_ms, DUE_FREEZE_END, body.acct)
    ctx.emit("pay.account_frozen", acct=body.acct, reason=body.reason, until_ms=body.until_ms)


def unfreeze(body: AccountUnfreeze, ctx: Context) -> None:
    """pay.acct.unfreeze. By two compliance officers."""
    account = load_account(ctx.state, body.acct)
    refuse_unless(account.frozen_until_ms > ctx.time_ms, Code.STATE, "the account is not frozen")
    signers_with_role(ctx, Role.COMPLIANCE, COMPLIANCE_SIGNERS)
    ctx.cancel(account.frozen_until_ms, DUE_FREEZE_END, body.acct)
    ACCOUNTS.put(ctx.state, replace(account, frozen_until_ms=0), body.acct)
    ctx.emit("pay.account_unfrozen", acct=body.acct)


def freeze_ended(reference: bytes, ctx: Context) -> None:
    """Due work: the freeze ran out. It had no effect any more; this tells so."""
    account = ACCOUNTS.get(ctx.state, reference)
    if account is None or not 0 < account.frozen_until_ms <= ctx.time_ms:
        return
    ACCOUNTS.put(ctx.state, replace(account, frozen_until_ms=0), reference)
    ctx.emit("pay.account_unfrozen", acct=reference)


def close(body: AccountClose, ctx: Context) -> None:
    """pay.acct.close. By whoever may spend from it. The row stays: ids are used once."""
    account = load_account(ctx.state, body.acct)
    require_spender(ctx, account)
    refuse_frozen(account, ctx.time_ms)
    refuse_unless(account.balance == 0, Code.BALANCE, "an account is closed when it is empty")
    ACCOUNTS.put(ctx.state, replace(account, closed=ctx.height), body.acct)
    ctx.emit("pay.account_closed", acct=body.acct)
