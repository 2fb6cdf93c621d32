"""The operations of the payments module, as they travel.

Amounts are minor units of the consortium's one credit unit. There is no exchange rate and no other
currency, so no operation names one. Nothing here can carry text: reasons come from closed sets.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from medquorum.codec import INT_MAX, U53, Bytes32, Hash, TimeMs, Wire

Amount = Annotated[int, Meta(ge=1, le=INT_MAX)]
"""Money that moves: never nothing, never negative."""

OptionalId = Annotated[tuple[Bytes32, ...], Meta(max_length=1)]
"""One id, or none."""


class AccountKind(StrEnum):
    """Whose money an account holds. Credit enters and leaves circulation at authority accounts."""

    PATIENT = "patient"
    HOSPITAL = "hospital"
    INSURER = "insurer"
    AUTHORITY = "authority"


class FreezeReason(StrEnum):
    """Why an account is frozen."""

    COURT_ORDER = "court_order"
    FRAUD_SUSPECTED = "fraud_suspected"
    KEY_LOST = "key_lost"
    HOLDER_DECEASED = "holder_deceased"


class Memo(StrEnum):
    """What a transfer is for, coarsely: a finer code beside a pseudonym would be a diagnosis."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    SETTLEMENT = "settlement"
    DEVICE_LOAN = "device_loan"
    STIPEND = "stipend"
    OTHER = "other"


class RefundReason(StrEnum):
    """Why money goes back."""

    OVERCHARGED = "overcharged"
    SERVICE_CANCELLED = "service_cancelled"
    DUPLICATE_PAYMENT = "duplicate_payment"
    COVERAGE_CORRECTED = "coverage_corrected"


class AccountOpen(Wire, frozen=True):
    """pay.acct.open: `holder` is the actor who may spend from a patient account, else nobody."""

    acct: Bytes32
    kind: AccountKind
    org: Bytes32
    holder: OptionalId
    kyc_hash: OptionalId
    daily_limit: U53


class AccountFreeze(Wire, frozen=True):
    """pay.acct.freeze: until `until_ms` the account may receive refunds and nothing else."""

    acct: Bytes32
    reason: FreezeReason
    until_ms: TimeMs


class AccountUnfreeze(Wire, frozen=True):
    """pay.acct.unfreeze: lift a freeze before it ends by itself."""

    acct: Bytes32


class AccountClose(Wire, frozen=True):
    """pay.acct.close: for good; the id is never used again."""

    acct: Bytes32


class ReserveAttest(Wire, frozen=True):
    """pay.reserve.attest: what the reserve holds, as `org` found and documented it."""

    org: Bytes32
    attest_hash: Hash
    amount: U53
    valid_until_ms: TimeMs


class Mint(Wire, frozen=True):
    """pay.mint: bring credit into circulation against the attested reserve. `ref` is used once."""

    acct: Bytes32
    amount: Amount
    reserve_attest_hash: Hash
    ref: Bytes32


class Burn(Wire, frozen=True):
    """pay.burn: take credit out of circulation, before it is paid out. `ref` is used once."""

    acct: Bytes32
    amount: Amount
    ref: Bytes32


class Transfer(Wire, frozen=True):
    """pay.transfer: move credit between two accounts."""

    source: Bytes32
    target: Bytes32
    amount: Amount
    memo: Memo


class InvoiceIssue(Wire, frozen=True):
    """pay.invoice.issue: `lines_root` commits to the lines, which stay at the hospital."""

    inv: Bytes32
    payee: Bytes32
    payer: Bytes32
    insurer: OptionalId
    lines_root: Hash
    total: Amount
    payer_share: U53
    insurer_share: U53
    due_ms: TimeMs


class InvoiceCancel(Wire, frozen=True):
    """pay.invoice.cancel: only while nothing is paid."""

    inv: Bytes32


class InvoicePay(Wire, frozen=True):
    """pay.invoice.pay: pay all or a part. The insurer's account pays the insurer's share."""

    inv: Bytes32
    source: Bytes32
    amount: Amount


class Refund(Wire, frozen=True):
    """pay.refund: back to the accounts that paid, in proportion to what each of them paid."""

    inv: Bytes32
    amount: Amount
    reason: RefundReason
