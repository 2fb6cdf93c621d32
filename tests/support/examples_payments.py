"""Good examples of the payments module's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from medquorum.codec import Wire
from node.ledger.types.payments.bodies import (
    AccountClose,
    AccountFreeze,
    AccountKind,
    AccountOpen,
    AccountUnfreeze,
    Burn,
    FreezeReason,
    InvoiceCancel,
    InvoicePay,
    Memo,
    Mint,
    Refund,
    RefundReason,
    ReserveAttest,
    Transfer,
)
from tests.support.examples import Example
from tests.support.ledger import By, Ledger, some_id
from tests.support.payments import ATTEST, DAY_MS, Economy

Made = tuple[Wire, Sequence[By]]


def _open(eco: Economy) -> Made:
    patient = eco.patients[0]
    body = AccountOpen(
        some_id("one-time"), AccountKind.PATIENT, eco.hospital_org.id, (patient.id,), (), 0
    )
    return body, [eco.clerk, patient]


def _freeze(eco: Economy) -> Made:
    until_ms = eco.ledger.time_ms + DAY_MS
    return AccountFreeze(eco.wallets[0], FreezeReason.KEY_LOST, until_ms), eco.officers


def _unfreeze(eco: Economy) -> Made:
    eco.ledger.accept(eco.ledger.op("pay.acct.freeze", _freeze(eco)[0]), by=eco.officers)
    return AccountUnfreeze(eco.wallets[0]), eco.officers


def _close(eco: Economy) -> Made:
    return AccountClose(eco.wallets[0]), [eco.patients[0]]


def _attest(eco: Economy) -> Made:
    until_ms = eco.ledger.time_ms + DAY_MS
    return ReserveAttest(eco.authority_org.id, some_id("report"), 5, until_ms), [eco.auditor]


def _mint(eco: Economy) -> Made:
    return Mint(eco.authority, 5, ATTEST, some_id("mint")), eco.minters


def _burn(eco: Economy) -> Made:
    eco.mint(5)
    return Burn(eco.authority, 5, some_id("burn")), eco.minters


def _transfer(eco: Economy) -> Made:
    eco.fund(eco.wallets[0], 5)
    return Transfer(eco.wallets[0], eco.hospital, 5, Memo.DEPOSIT), [eco.patients[0]]


def _issue(eco: Economy) -> Made:
    return eco.invoice_body(some_id("inv"), 3, 4), [eco.clerk]


def _cancel(eco: Economy) -> Made:
    return InvoiceCancel(eco.invoice(5)), [eco.clerk]


def _pay(eco: Economy) -> Made:
    eco.fund(eco.wallets[0], 5)
    return InvoicePay(eco.invoice(5), eco.wallets[0], 5), [eco.patients[0]]


def _refund(eco: Economy) -> Made:
    """Large enough to need two people."""
    eco.fund(eco.wallets[0], 200_000)
    inv = eco.invoice(200_000)
    eco.pay(inv, 200_000)
    body = Refund(inv, 150_000, RefundReason.OVERCHARGED)
    return body, [eco.clerk, eco.second_clerk]


_MAKERS: Final[Mapping[str, Callable[[Economy], Made]]] = {
    "pay.acct.open": _open,
    "pay.acct.freeze": _freeze,
    "pay.acct.unfreeze": _unfreeze,
    "pay.acct.close": _close,
    "pay.reserve.attest": _attest,
    "pay.mint": _mint,
    "pay.burn": _burn,
    "pay.transfer": _transfer,
    "pay.invoice.issue": _issue,
    "pay.invoice.cancel": _cancel,
    "pay.invoice.pay": _pay,
    "pay.refund": _refund,
}


def _example(name: str, maker: Callable[[Economy], Made]) -> Callable[[Ledger], Example]:
    def build(ledger: Ledger) -> Example:
        body, by = maker(Economy(ledger=ledger))
        return Example(ledger.op(name, body), by)

    return build


EXAMPLES: Final = {name: _example(name, maker) for name, maker in _MAKERS.items()}
