"""Credit enters circulation against an attested reserve, and leaves it. Two persons sign."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from medquorum.codec import INT_MAX
from node.ledger.access import require_org_active, signer_with_role, signers_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import OrgKind, Role
from node.ledger.txtype import Param
from node.ledger.types.payments.bodies import AccountKind, Burn, Mint, ReserveAttest
from node.ledger.types.payments.limits import DAY_MS, MINT_SIGNERS
from node.ledger.types.payments.money import (
    credited,
    debited,
    load_account,
    load_supply,
    refuse_frozen,
)
from node.ledger.types.payments.rows import (
    ACCOUNTS,
    REFERENCES,
    RESERVE,
    SUPPLY,
    Account,
    Reference,
    Reserve,
)

MINT_DAILY_MAX: Final = Param(
    "pay.mint_daily_max",
    default=1_000_000_000_000,
    minimum=0,
    maximum=INT_MAX,
    summary="Minor units that may be minted on one UTC day",
)
RESERVE_DAYS_MAX: Final = Param(
    "pay.reserve_days_max",
    default=31,
    minimum=1,
    maximum=366,
    summary="Days for which one attestation of the reserve counts",
)
_ATTESTING: Final = (OrgKind.AUTHORITY, OrgKind.REGULATOR)


def attest_reserve(body: ReserveAttest, ctx: Context) -> None:
    """pay.reserve.attest. By an auditor of an authority or a regulator.

    Every hospital has auditors of its own, and none of them speaks about the reserve.
    """
    org = require_org_active(ctx, body.org)
    refuse_unless(org.kind in _ATTESTING, Code.ORG, "this organisation attests no reserve")
    signer = signer_with_role(ctx, Role.AUDITOR, body.org)
    latest_ms = ctx.time_ms + param(ctx, RESERVE_DAYS_MAX.name) * DAY_MS
    refuse_unless(body.valid_until_ms > ctx.time_ms, Code.TTL, "the attestation is over already")
    refuse_unless(
        body.valid_until_ms <= latest_ms, Code.TTL, "an attestation may not last that long"
    )
    reserve = Reserve(body.attest_hash, body.amount, body.valid_until_ms, signer.actor)
    RESERVE.put(ctx.state, reserve)
    ctx.emit(
        "pay.reserve_attested",
        attest_hash=body.attest_hash,
        amount=body.amount,
        valid_until_ms=body.valid_until_ms,
    )


def mint(body: Mint, ctx: Context) -> None:
    """pay.mint. By two minters, neither of whom attested the reserve; never above it."""
    account = _authority_account(ctx, body.acct)
    minters = signers_with_role(ctx, Role.MINT_AUTHORITY, MINT_SIGNERS, account.org)
    _refuse_used(ctx, body.ref)
    reserve = RESERVE.get(ctx.state)
    if reserve is None or reserve.attest_hash != body.reserve_attest_hash:
        raise TxError(Code.NOT_FOUND, "not the reserve's latest attestation")
    refuse_unless(reserve.valid_until_ms > ctx.time_ms, Code.EXPIRED, "the attestation has expired")
    refuse_unless(
        all(minter.actor != reserve.auditor for minter in minters),
        Code.ROLE,
        "who attested the reserve does not mint against it",
    )
    supply = load_supply(ctx.state)
    outstanding = supply.minted - supply.burned
    refuse_unless(outstanding + body.amount <= reserve.amount, Code.LIMIT, "more than the reserve")
    refuse_unless(supply.minted <= INT_MAX - body.amount, Code.LIMIT, "the supply would overflow")
    today = ctx.time_ms // DAY_MS
    minted_today = body.amount + (supply.minted_today if supply.day == today else 0)
    refuse_unless(
        minted_today <= param(ctx, MINT_DAILY_MAX.name), Code.LIMIT, "the daily limit of minting"
    )
    minted = replace(
        supply, minted=supply.minted + body.amount, day=today, minted_today=minted_today
    )
    ACCOUNTS.put(ctx.state, credited(account, body.amount), body.acct)
    SUPPLY.put(ctx.state, minted)
    REFERENCES.put(ctx.state, Reference(ctx.height), body.ref)
    ctx.emit("pay.minted", acct=body.acct, amount=body.amount, ref=body.ref)


def burn(body: Burn, ctx: Context) -> None:
    """pay.burn. By two minters, from an authority account."""
    account = _authority_account(ctx, body.acct)
    signers_with_role(ctx, Role.MINT_AUTHORITY, MINT_SIGNERS, account.org)
    _refuse_used(ctx, body.ref)
    lessened = debited(account, body.amount)
    supply = load_supply(ctx.state)
    ACCOUNTS.put(ctx.state, lessened, body.acct)
    SUPPLY.put(ctx.state, replace(supply, burned=supply.burned + body.amount))
    REFERENCES.put(ctx.state, Reference(ctx.height), body.ref)
    ctx.emit("pay.burned", acct=body.acct, amount=body.amount, ref=body.ref)


def _authority_account(ctx: Context, acct: bytes) -> Account:
    account = load_account(ctx.state, acct)
    refuse_unless(account.kind is AccountKind.AUTHORITY, Code.STATE, "not an authority account")
    refuse_frozen(account, ctx.time_ms)
    return account


def _refuse_used(ctx: Context, ref: bytes) -> None:
    refuse_unless(not REFERENCES.has(ctx.state, ref), Code.DUPLICATE, "the reference is used")
