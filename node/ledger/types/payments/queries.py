"""What can be asked about money."""

from __future__ import annotations

from typing import Final

import msgspec

from node.ledger.context import View
from node.ledger.limits import PAGE_DEFAULT
from node.ledger.paging import PageLimit, take
from node.ledger.txtype import Query
from node.ledger.types.payments.limits import SUM_ACCOUNTS_MAX
from node.ledger.types.payments.money import check_supply, load_supply
from node.ledger.types.payments.rows import (
    ACCOUNTS,
    INVOICES,
    INVOICES_OF,
    NAMESPACE,
    PAYMENTS,
    RESERVE,
    Account,
    Invoice,
)


class AccountParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of pay.account."""

    acct: bytes


class AccountAnswer(msgspec.Struct, kw_only=True):
    """An account as it stands."""

    acct: bytes
    kind: str
    org: bytes
    balance: int
    daily_limit: int
    frozen_until_ms: int
    opened: int
    closed: int


class SupplyParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of pay.supply: none."""


class SupplyAnswer(msgspec.Struct, kw_only=True):
    """Money in circulation. `conserved`: "yes", "no", or "not_checked" if accounts are too many."""

    minted: int
    burned: int
    outstanding: int
    accounts: int
    conserved: str
    reserve: int
    reserve_attest_hash: bytes
    reserve_valid_until_ms: int


class InvoiceParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of pay.invoice."""

    inv: bytes


class PaymentAnswer(msgspec.Struct, kw_only=True):
    """One account's part of an invoice."""

    source: bytes
    paid: int
    refunded: int


class InvoiceAnswer(msgspec.Struct, kw_only=True):
    """An invoice as it stands, with who paid what."""

    inv: bytes
    payee: bytes
    payer: bytes
    insurer: bytes
    lines_root: bytes
    total: int
    payer_share: int
    insurer_share: int
    outstanding: int
    refunded: int
    due_ms: int
    state: str
    payments: tuple[PaymentAnswer, ...]


class InvoicesParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of pay.invoices: those of one payee, paged."""

    payee: bytes
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class InvoicesAnswer(msgspec.Struct, kw_only=True):
    """A page of invoices."""

    items: tuple[InvoiceAnswer, ...]
    next_cursor: bytes


def _account(params: AccountParams, view: View) -> AccountAnswer | None:
    account = ACCOUNTS.get(view.read(NAMESPACE), params.acct)
    return None if account is None else _shown(params.acct, account)


def _shown(acct: bytes, account: Account) -> AccountAnswer:
    return AccountAnswer(
        acct=acct,
        kind=account.kind,
        org=account.org,
        balance=account.balance,
        daily_limit=account.daily_limit,
        frozen_until_ms=account.frozen_until_ms,
        opened=account.opened,
        closed=account.closed,
    )


def _supply(_params: SupplyParams, view: View) -> SupplyAnswer:
    state = view.read(NAMESPACE)
    supply = load_supply(state)
    reserve = RESERVE.get(state)
    conserved = "not_checked"
    if supply.accounts <= SUM_ACCOUNTS_MAX:
        conserved = "yes" if check_supply(view).holds else "no"
    return SupplyAnswer(
        minted=supply.minted,
        burned=supply.burned,
        outstanding=supply.minted - supply.burned,
        accounts=supply.accounts,
        conserved=conserved,
        reserve=0 if reserve is None else reserve.amount,
        reserve_attest_hash=b"" if reserve is None else reserve.attest_hash,
        reserve_valid_until_ms=0 if reserve is None else reserve.valid_until_ms,
    )


def _invoice(params: InvoiceParams, view: View) -> InvoiceAnswer | None:
    invoice = INVOICES.get(view.read(NAMESPACE), params.inv)
    return None if invoice is None else _shown_invoice(params.inv, invoice, view)


def _shown_invoice(inv: bytes, invoice: Invoice, view: View) -> InvoiceAnswer:
    payments = tuple(
        PaymentAnswer(source=source, paid=row.paid, refunded=row.refunded)
        for source, row in PAYMENTS.rows(view.read(NAMESPACE), inv)
    )
    return InvoiceAnswer(
        inv=inv,
        payee=invoice.payee,
        payer=invoice.payer,
        insurer=b"".join(invoice.insurer),
        lines_root=invoice.lines_root,
        total=invoice.total,
        payer_share=invoice.payer_share,
        insurer_share=invoice.insurer_share,
        outstanding=invoice.total - invoice.payer_paid - invoice.insurer_paid,
        refunded=invoice.refunded,
        due_ms=invoice.due_ms,
        state=invoice.state,
        payments=payments,
    )


def _invoices(params: InvoicesParams, view: View) -> InvoicesAnswer:
    state = view.read(NAMESPACE)
    listed, cursor = take(INVOICES_OF.rows(state, params.payee, after=params.cursor), params.limit)
    items = (
        _shown_invoice(inv, invoice, view)
        for inv, _ in listed
        if (invoice := INVOICES.get(state, inv)) is not None
    )
    return InvoicesAnswer(items=tuple(items), next_cursor=cursor)


QUERIES: Final = (
    Query("pay.account", AccountParams, _account, "An account and its balance"),
    Query(
        "pay.supply", SupplyParams, _supply, "Money in circulation, its reserve and invariant S9"
    ),
    Query("pay.invoice", InvoiceParams, _invoice, "An invoice, its state and its payments"),
    Query("pay.invoices", InvoicesParams, _invoices, "The invoices of a payee's account, paged"),
)
