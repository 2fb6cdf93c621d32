"""Payments: closed-loop hospital credit, backed one to one by an attested reserve."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import EventType, Module, TxType
from node.ledger.types.payments import accounts, bodies, invoices, money, supply, transfers
from node.ledger.types.payments.queries import QUERIES
from node.ledger.types.payments.rows import NAMESPACE, TABLES

_TYPES: Final = (
    TxType("pay.acct.open", 1, bodies.AccountOpen, accounts.open_account, "Open an account"),
    TxType(
        "pay.acct.freeze", 1, bodies.AccountFreeze, accounts.freeze, "Freeze an account for a time"
    ),
    TxType(
        "pay.acct.unfreeze", 1, bodies.AccountUnfreeze, accounts.unfreeze, "Lift a freeze early"
    ),
    TxType("pay.acct.close", 1, bodies.AccountClose, accounts.close, "Close an empty account"),
    TxType(
        "pay.reserve.attest", 1, bodies.ReserveAttest, supply.attest_reserve, "Attest the reserve"
    ),
    TxType("pay.mint", 1, bodies.Mint, supply.mint, "Bring credit into circulation"),
    TxType("pay.burn", 1, bodies.Burn, supply.burn, "Take credit out of circulation"),
    TxType("pay.transfer", 1, bodies.Transfer, transfers.transfer, "Move credit between accounts"),
    TxType("pay.invoice.issue", 1, bodies.InvoiceIssue, invoices.issue, "Issue an invoice"),
    TxType(
        "pay.invoice.cancel", 1, bodies.InvoiceCancel, invoices.cancel, "Cancel an unpaid invoice"
    ),
    TxType("pay.invoice.pay", 1, bodies.InvoicePay, invoices.pay, "Pay an invoice or a part of it"),
    TxType("pay.refund", 1, bodies.Refund, invoices.refund, "Refund to those who paid"),
)

_EVENTS: Final = (
    EventType("pay.account_opened", ("acct", "kind", "org"), "An account was opened"),
    EventType("pay.account_frozen", ("acct", "reason", "until_ms"), "An account was frozen"),
    EventType("pay.account_unfrozen", ("acct",), "A freeze was lifted or ran out"),
    EventType("pay.account_closed", ("acct",), "An account was closed"),
    EventType(
        "pay.reserve_attested",
        ("attest_hash", "amount", "valid_until_ms"),
        "The reserve was attested",
    ),
    EventType("pay.minted", ("acct", "amount", "ref"), "Credit entered circulation"),
    EventType("pay.burned", ("acct", "amount", "ref"), "Credit left circulation"),
    EventType("pay.transferred", ("source", "target", "amount", "memo"), "Credit moved"),
    EventType("pay.invoice_issued", ("inv", "payee", "payer", "total"), "An invoice was issued"),
    EventType("pay.invoice_cancelled", ("inv",), "An invoice was cancelled"),
    EventType(
        "pay.invoice_paid", ("inv", "source", "amount"), "An invoice was paid in part or whole"
    ),
    EventType("pay.invoice_balanced", ("inv",), "Nothing is outstanding any more"),
    EventType("pay.invoice_overdue", ("inv",), "An invoice passed its due time unpaid"),
    EventType("pay.refund_issued", ("inv", "target", "amount", "reason"), "Money went back"),
)

MODULE: Final = Module(
    name=NAMESPACE,
    types=_TYPES,
    tables=TABLES,
    events=_EVENTS,
    queries=QUERIES,
    params=(
        accounts.FREEZE_DAYS_MAX,
        invoices.INVOICE_DAYS_MAX,
        invoices.REFUND_ONE_PERSON_MAX,
        money.SPEND_DAILY_MAX,
        supply.MINT_DAILY_MAX,
        supply.RESERVE_DAYS_MAX,
        transfers.PATIENT_TRANSFERS,
    ),
    due={
        accounts.DUE_FREEZE_END: accounts.freeze_ended,
        invoices.DUE_INVOICE: invoices.fell_due,
    },
)
