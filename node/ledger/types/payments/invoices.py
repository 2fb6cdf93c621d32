"""Invoices: issued with shares, paid in parts up to what is outstanding, refunded to who paid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec.structs import replace

from medquorum.codec import INT_MAX
from node.ledger.access import signer_with_role, signers_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.txtype import Param
from node.ledger.types.payments.bodies import (
    AccountKind,
    InvoiceCancel,
    InvoiceIssue,
    InvoicePay,
    Refund,
)
from node.ledger.types.payments.limits import (
    DAY_MS,
    REFUND_SIGNERS_ABOVE_THRESHOLD,
    SOURCES_PER_INVOICE_MAX,
)
from node.ledger.types.payments.money import (
    credited,
    debited,
    load_account,
    refuse_frozen,
    require_spender,
    spent,
)
from node.ledger.types.payments.rows import (
    ACCOUNTS,
    INVOICES,
    INVOICES_OF,
    PAYMENTS,
    Account,
    Invoice,
    InvoiceState,
    Listed,
    Payment,
)

INVOICE_DAYS_MAX: Final = Param(
    "pay.invoice_days_max",
    default=366,
    minimum=1,
    maximum=3660,
    summary="Days until an invoice is due at the latest",
)
REFUND_ONE_PERSON_MAX: Final = Param(
    "pay.refund_one_person_max",
    default=100_000,
    minimum=0,
    maximum=INT_MAX,
    summary="Minor units of one invoice up to which one person of billing refunds alone",
)
DUE_INVOICE: Final = "pay.invoice_due"
_OPEN: Final = (InvoiceState.ISSUED, InvoiceState.PART_PAID)


def issue(body: InvoiceIssue, ctx: Context) -> None:
    """pay.invoice.issue. By billing staff of the payee's organisation."""
    refuse_unless(
        body.payer_share + body.insurer_share == body.total, Code.SCHEMA, "shares sum to the total"
    )
    refuse_unless(
        (len(body.insurer) == 1) == (body.insurer_share > 0),
        Code.SCHEMA,
        "an insurer is named if and only if it has a share",
    )
    refuse_unless(body.payee != body.payer, Code.SCHEMA, "payee and payer are the same account")
    refuse_unless(not INVOICES.has(ctx.state, body.inv), Code.DUPLICATE, "the invoice id is used")
    payee = load_account(ctx.state, body.payee)
    refuse_unless(payee.kind is AccountKind.HOSPITAL, Code.STATE, "a hospital issues invoices")
    signer_with_role(ctx, Role.BILLING, payee.org)
    payer = load_account(ctx.state, body.payer)
    refuse_unless(
        payer.kind in (AccountKind.PATIENT, AccountKind.HOSPITAL),
        Code.STATE,
        "not a payer's account",
    )
    if body.insurer != ():
        insurer = load_account(ctx.state, body.insurer[0])
        refuse_unless(insurer.kind is AccountKind.INSURER, Code.STATE, "not an insurer's account")
    latest_ms = ctx.time_ms + param(ctx, INVOICE_DAYS_MAX.name) * DAY_MS
    refuse_unless(ctx.time_ms < body.due_ms <= latest_ms, Code.TTL, "the due time is out of range")
    invoice = Invoice(
        payee=body.payee,
        payer=body.payer,
        insurer=body.insurer,
        lines_root=body.lines_root,
        total=body.total,
        payer_share=body.payer_share,
        insurer_share=body.insurer_share,
        payer_paid=0,
        insurer_paid=0,
        refunded=0,
        sources=0,
        due_ms=body.due_ms,
        issued=ctx.height,
        state=InvoiceState.ISSUED,
    )
    INVOICES.put(ctx.state, invoice, body.inv)
    INVOICES_OF.put(ctx.state, Listed(), body.payee, body.inv)
    ctx.schedule(body.due_ms, DUE_INVOICE, body.inv)
    ctx.emit(
        "pay.invoice_issued", inv=body.inv, payee=body.payee, payer=body.payer, total=body.total
    )


def cancel(body: InvoiceCancel, ctx: Context) -> None:
    """pay.invoice.cancel. By billing staff of the payee, while nothing is paid."""
    invoice = load_invoice(ctx.state, body.inv)
    payee = load_account(ctx.state, invoice.payee)
    signer_with_role(ctx, Role.BILLING, payee.org)
    refuse_unless(invoice.state is InvoiceState.ISSUED, Code.STATE, "paid or cancelled already")
    INVOICES.put(ctx.state, replace(invoice, state=InvoiceState.CANCELLED), body.inv)
    ctx.cancel(invoice.due_ms, DUE_INVOICE, body.inv)
    ctx.emit("pay.invoice_cancelled", inv=body.inv)


def pay(body: InvoicePay, ctx: Context) -> None:
    """pay.invoice.pay. By whoever may spend from the source; it need not be the payer's."""
    invoice = load_invoice(ctx.state, body.inv)
    refuse_unless(invoice.state in _OPEN, Code.STATE, "balanced or cancelled already")
    refuse_unless(body.source != invoice.payee, Code.SCHEMA, "the payee does not pay itself")
    source = load_account(ctx.state, body.source)
    require_spender(ctx, source)
    payee = load_account(ctx.state, invoice.payee)
    refuse_frozen(payee, ctx.time_ms)
    paid = _with_payment(invoice, body)
    payment = PAYMENTS.get(ctx.state, body.inv, body.source)
    if payment is None:
        refuse_unless(
            invoice.sources < SOURCES_PER_INVOICE_MAX, Code.LIMIT, "paid from too many accounts"
        )
        paid = replace(paid, sources=invoice.sources + 1)
        payment = Payment(0, 0)
    after = spent(ctx, source, body.amount)
    increased = credited(payee, body.amount)
    ACCOUNTS.put(ctx.state, after, body.source)
    ACCOUNTS.put(ctx.state, increased, invoice.payee)
    PAYMENTS.put(
        ctx.state, replace(payment, paid=payment.paid + body.amount), body.inv, body.source
    )
    INVOICES.put(ctx.state, paid, body.inv)
    ctx.emit("pay.invoice_paid", inv=body.inv, source=body.source, amount=body.amount)
    if paid.state is InvoiceState.BALANCED:
        ctx.cancel(invoice.due_ms, DUE_INVOICE, body.inv)
        ctx.emit("pay.invoice_balanced", inv=body.inv)


def refund(body: Refund, ctx: Context) -> None:
    """pay.refund. By billing staff of the payee, two of them above the threshold.

    What is refunded is not outstanding again: a corrected service gets an invoice of its own.
    """
    invoice = load_invoice(ctx.state, body.inv)
    payee = load_account(ctx.state, invoice.payee)
    # Summed over the invoice, or one person would refund a large sum in small ones.
    alone = invoice.refunded + body.amount <= param(ctx, REFUND_ONE_PERSON_MAX.name)
    persons = 1 if alone else REFUND_SIGNERS_ABOVE_THRESHOLD
    signers_with_role(ctx, Role.BILLING, persons, payee.org)
    refuse_frozen(payee, ctx.time_ms)
    refundable = invoice.payer_paid + invoice.insurer_paid - invoice.refunded
    refuse_unless(body.amount <= refundable, Code.LIMIT, "more than was paid and not yet refunded")
    payments = [(source, row) for source, row in PAYMENTS.rows(ctx.state, body.inv)]
    parts = pro_rata(body.amount, [row.paid - row.refunded for _, row in payments])
    lessened = debited(payee, body.amount)
    increased: list[tuple[bytes, Payment, Account, int]] = []
    for (source, row), part in zip(payments, parts, strict=True):
        if part > 0:
            account = credited(load_account(ctx.state, source), part)
            increased.append((source, replace(row, refunded=row.refunded + part), account, part))
    ACCOUNTS.put(ctx.state, lessened, invoice.payee)
    for source, row, account, part in increased:
        ACCOUNTS.put(ctx.state, account, source)
        PAYMENTS.put(ctx.state, row, body.inv, source)
        ctx.emit("pay.refund_issued", inv=body.inv, target=source, amount=part, reason=body.reason)
    INVOICES.put(ctx.state, replace(invoice, refunded=invoice.refunded + body.amount), body.inv)


def fell_due(reference: bytes, ctx: Context) -> None:
    """Due work: the invoice is overdue unless it was balanced or cancelled."""
    invoice = INVOICES.get(ctx.state, reference)
    if invoice is not None and invoice.state in _OPEN:
        ctx.emit("pay.invoice_overdue", inv=reference)


def load_invoice(state: ReadableState, inv: bytes) -> Invoice:
    """The invoice (E_NOTFOUND)."""
    invoice = INVOICES.get(state, inv)
    if invoice is None:
        raise TxError(Code.NOT_FOUND, "no such invoice")
    return invoice


def pro_rata(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` in proportion to `weights`, in whole units that sum to it exactly.

    Each part is the step of the rounded-down running share, so it is less than a whole unit off its
    exact share. If `amount` is at most the sum of the weights, no part exceeds its weight.
    """
    total = sum(weights)
    if total == 0:
        return [0 for _ in weights]
    running = [amount * upto // total for upto in accumulate(weights)]
    return [upto - before for before, upto in zip([0, *running], running, strict=False)]


def _with_payment(invoice: Invoice, body: InvoicePay) -> Invoice:
    """The invoice after the payment. An insurer pays its own share, all others the rest."""
    if body.source in invoice.insurer:
        outstanding = invoice.insurer_share - invoice.insurer_paid
        paid = replace(invoice, insurer_paid=invoice.insurer_paid + body.amount)
    else:
        outstanding = invoice.payer_share - invoice.payer_paid
        paid = replace(invoice, payer_paid=invoice.payer_paid + body.amount)
    refuse_unless(body.amount <= outstanding, Code.LIMIT, "more than is outstanding")
    balanced = paid.payer_paid + paid.insurer_paid == invoice.total
    return replace(paid, state=InvoiceState.BALANCED if balanced else InvoiceState.PART_PAID)
