"""The state of the payments module, by key prefix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from medquorum.codec import U53, Bytes32, Hash, Height, TimeMs, Wire
from node.ledger.tables import Table
from node.ledger.types.payments.bodies import AccountKind, OptionalId

NAMESPACE: Final = "payments"


class InvoiceState(StrEnum):
    """Where an invoice stands. Balanced and cancelled are final."""

    ISSUED = "issued"
    PART_PAID = "part_paid"
    BALANCED = "balanced"
    CANCELLED = "cancelled"


class Account(Wire, frozen=True):
    """One account. `spent` left it on the UTC day number `day`; a limit of 0 is none."""

    kind: AccountKind
    org: Bytes32
    holder: OptionalId
    kyc_hash: OptionalId
    balance: U53
    daily_limit: U53
    day: U53
    spent: U53
    frozen_until_ms: TimeMs
    opened: Height
    closed: Height


class Supply(Wire, frozen=True):
    """What is in circulation: minted - burned. `minted_today` counts for the UTC day `day`."""

    minted: U53
    burned: U53
    day: U53
    minted_today: U53
    accounts: U53


class Reserve(Wire, frozen=True):
    """The latest attestation of the reserve, and who made it."""

    attest_hash: Hash
    amount: U53
    valid_until_ms: TimeMs
    auditor: Bytes32


class Reference(Wire, frozen=True):
    """A reference of minting or burning that is used up."""

    height: Height


class Invoice(Wire, frozen=True):
    """One invoice. Invariants: shares sum to total; paid <= share, each; refunded <= paid."""

    payee: Bytes32
    payer: Bytes32
    insurer: OptionalId
    lines_root: Hash
    total: U53
    payer_share: U53
    insurer_share: U53
    payer_paid: U53
    insurer_paid: U53
    refunded: U53
    sources: U53
    due_ms: TimeMs
    issued: Height
    state: InvoiceState


class Payment(Wire, frozen=True):
    """What one account has paid towards an invoice, and got back of it."""

    paid: U53
    refunded: U53


class Listed(Wire, frozen=True):
    """An index entry: its key says it all."""


ACCOUNTS: Final = Table(b"a", "accounts", key=("acct",), value=Account, meaning="an account")
SUPPLY: Final = Table(b"s", "supply", key=(), value=Supply, meaning="money in circulation")
RESERVE: Final = Table(b"r", "reserve", key=(), value=Reserve, meaning="the attested reserve")
REFERENCES: Final = Table(
    b"u", "references", key=("ref",), value=Reference, meaning="a used mint or burn reference"
)
INVOICES: Final = Table(b"i", "invoices", key=("inv",), value=Invoice, meaning="an invoice")
PAYMENTS: Final = Table(
    b"p",
    "payments",
    key=("inv", "source"),
    value=Payment,
    meaning="one account's part of an invoice",
)
INVOICES_OF: Final = Table(
    b"o", "invoices_of", key=("payee", "inv"), value=Listed, meaning="the invoices of a payee"
)

TABLES: Final = (ACCOUNTS, SUPPLY, RESERVE, REFERENCES, INVOICES, PAYMENTS, INVOICES_OF)
EMPTY_SUPPLY: Final = Supply(0, 0, 0, 0, 0)
