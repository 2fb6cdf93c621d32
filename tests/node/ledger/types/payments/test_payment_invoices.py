"""Invoices, payments, refunds and transfers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.types.payments.bodies import (
    AccountFreeze,
    AccountKind,
    FreezeReason,
    InvoiceCancel,
    InvoicePay,
    Memo,
    Refund,
    RefundReason,
    Transfer,
)
from node.ledger.types.payments.invoices import pro_rata
from node.ledger.types.payments.limits import SOURCES_PER_INVOICE_MAX
from node.ledger.types.payments.queries import InvoiceAnswer, InvoicesAnswer
from node.ledger.types.payments.rows import InvoiceState
from tests.support.ledger import some_id
from tests.support.payments import DAY_MS, Economy


@pytest.fixture
def economy() -> Economy:
    return Economy()


def paying(economy: Economy, inv: bytes, source: bytes, amount: int) -> Operation:
    return economy.ledger.op("pay.invoice.pay", InvoicePay(inv, source, amount))


def refunding(economy: Economy, inv: bytes, amount: int) -> Operation:
    return economy.ledger.op("pay.refund", Refund(inv, amount, RefundReason.OVERCHARGED))


def transfer(economy: Economy, source: bytes, target: bytes, amount: int) -> Operation:
    return economy.ledger.op("pay.transfer", Transfer(source, target, amount, Memo.OTHER))


def test_an_invoice_is_paid_in_parts_by_patient_and_insurer(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 100)
    economy.fund(economy.insurer, 100)
    inv = economy.invoice(40, 60)
    economy.pay(inv, 15)
    assert economy.invoice_row(inv).state is InvoiceState.PART_PAID
    economy.ledger.accept(paying(economy, inv, economy.insurer, 60), by=economy.adjuster)
    over = paying(economy, inv, economy.insurer, 1)
    economy.ledger.refuse(Code.LIMIT, over, by=economy.adjuster)
    economy.ledger.refuse(
        Code.LIMIT, paying(economy, inv, economy.wallets[0], 26), by=economy.patients[0]
    )
    economy.pay(inv, 25)
    assert "pay.invoice_balanced" in economy.ledger.event_types()
    economy.ledger.refuse(
        Code.STATE, paying(economy, inv, economy.wallets[0], 1), by=economy.patients[0]
    )
    assert economy.balance(economy.hospital) == 100
    assert economy.ledger.pass_time(days=40) == ()


def test_shares_sum_to_the_total_and_an_insurer_has_a_share(economy: Economy) -> None:
    good = economy.invoice_body(some_id("inv"), 40, 60)
    bad = [
        replace(good, total=101),
        replace(good, insurer=()),
        replace(economy.invoice_body(some_id("inv"), 40), insurer=(economy.insurer,)),
        replace(good, payer=economy.hospital),
    ]
    for body in bad:
        op = economy.ledger.op("pay.invoice.issue", body)
        economy.ledger.refuse(Code.SCHEMA, op, by=economy.clerk)


def test_an_invoice_is_cancelled_only_while_nothing_is_paid(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    paid, unpaid = economy.invoice(10), economy.invoice(10)
    economy.pay(paid, 1)
    op = economy.ledger.op("pay.invoice.cancel", InvoiceCancel(paid))
    economy.ledger.refuse(Code.STATE, op, by=economy.clerk)
    cancel = economy.ledger.op("pay.invoice.cancel", InvoiceCancel(unpaid))
    economy.ledger.refuse(Code.ROLE, cancel, by=economy.patients[0])
    economy.ledger.accept(cancel, by=economy.clerk)
    economy.ledger.refuse(
        Code.STATE, paying(economy, unpaid, economy.wallets[0], 1), by=economy.patients[0]
    )


def test_an_unpaid_invoice_is_reported_when_it_is_overdue(economy: Economy) -> None:
    economy.invoice(10)
    assert [event.type for event in economy.ledger.pass_time(days=29)] == []
    assert [event.type for event in economy.ledger.pass_time(days=1)] == ["pay.invoice_overdue"]


def test_a_refund_goes_back_to_who_paid_in_proportion(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 30)
    economy.fund(economy.wallets[1], 10)
    inv = economy.invoice(40)
    economy.pay(inv, 30, patient=0)
    economy.pay(inv, 10, patient=1)
    economy.ledger.accept(refunding(economy, inv, 20), by=economy.clerk)
    assert [economy.balance(wallet) for wallet in economy.wallets] == [15, 5]
    economy.ledger.refuse(Code.LIMIT, refunding(economy, inv, 21), by=economy.clerk)
    economy.ledger.accept(refunding(economy, inv, 20), by=economy.clerk)
    assert [economy.balance(wallet) for wallet in economy.wallets] == [30, 10]
    assert economy.conserved()


def test_a_large_refund_needs_two_people_even_if_it_is_split() -> None:
    economy = Economy(params={"pay.refund_one_person_max": 10})
    economy.fund(economy.wallets[0], 100)
    inv = economy.invoice(100)
    economy.pay(inv, 100)
    economy.ledger.accept(refunding(economy, inv, 10), by=economy.clerk)
    op = refunding(economy, inv, 1)
    economy.ledger.refuse(Code.ROLE, op, by=economy.clerk)
    second_key = economy.ledger.second_key(economy.clerk)
    economy.ledger.refuse(Code.ROLE, op, by=[economy.clerk, second_key])
    economy.ledger.accept(op, by=[economy.clerk, economy.second_clerk])


def test_a_frozen_account_still_receives_its_refund(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    inv = economy.invoice(10)
    economy.pay(inv, 10)
    until_ms = economy.ledger.time_ms + DAY_MS
    body = AccountFreeze(economy.wallets[0], FreezeReason.KEY_LOST, until_ms)
    economy.ledger.accept(economy.ledger.op("pay.acct.freeze", body), by=economy.officers)
    economy.ledger.accept(refunding(economy, inv, 10), by=economy.clerk)
    assert economy.balance(economy.wallets[0]) == 10


def test_a_frozen_hospital_is_not_paid(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    inv = economy.invoice(10)
    until_ms = economy.ledger.time_ms + DAY_MS
    body = AccountFreeze(economy.hospital, FreezeReason.COURT_ORDER, until_ms)
    economy.ledger.accept(economy.ledger.op("pay.acct.freeze", body), by=economy.officers)
    op = paying(economy, inv, economy.wallets[0], 1)
    economy.ledger.refuse(Code.FROZEN, op, by=economy.patients[0])


def test_an_invoice_is_paid_from_a_bounded_number_of_accounts(economy: Economy) -> None:
    inv = economy.invoice(100)
    for number in range(SOURCES_PER_INVOICE_MAX + 1):
        person = economy.ledger.patient(economy.hospital_org)
        wallet = economy.open(AccountKind.PATIENT, economy.hospital_org, person)
        economy.fund(wallet, 1)
        op = paying(economy, inv, wallet, 1)
        if number < SOURCES_PER_INVOICE_MAX:
            economy.ledger.accept(op, by=person)
        else:
            economy.ledger.refuse(Code.LIMIT, op, by=person)


def test_transfers_need_two_accounts_and_enough_money(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    wallet, patient = economy.wallets[0], economy.patients[0]
    to_self = transfer(economy, wallet, wallet, 1)
    economy.ledger.refuse(Code.SCHEMA, to_self, by=patient)
    too_much = transfer(economy, wallet, economy.hospital, 11)
    economy.ledger.refuse(Code.BALANCE, too_much, by=patient)
    nowhere = transfer(economy, wallet, some_id("nobody"), 1)
    economy.ledger.refuse(Code.NOT_FOUND, nowhere, by=patient)


@pytest.mark.parametrize("allowed", [0, 1])
def test_patients_transfer_to_each_other_only_where_it_is_allowed(allowed: int) -> None:
    economy = Economy(params={"pay.patient_transfers": allowed})
    economy.fund(economy.wallets[0], 10)
    op = transfer(economy, economy.wallets[0], economy.wallets[1], 10)
    if allowed:
        economy.ledger.accept(op, by=economy.patients[0])
    else:
        economy.ledger.refuse(Code.SCOPE, op, by=economy.patients[0])


def test_daily_limits_count_transfers_and_payments_together() -> None:
    economy = Economy(params={"pay.spend_daily_max": 50})
    economy.fund(economy.wallets[0], 200)
    inv = economy.invoice(100)
    economy.pay(inv, 30)
    op = transfer(economy, economy.wallets[0], economy.hospital, 21)
    economy.ledger.refuse(Code.LIMIT, op, by=economy.patients[0])
    rest = transfer(economy, economy.wallets[0], economy.hospital, 20)
    economy.ledger.accept(rest, by=economy.patients[0])
    economy.ledger.pass_time(days=1)
    economy.pay(inv, 50)


def test_an_accounts_own_limit_is_tighter(economy: Economy) -> None:
    patient = economy.patients[0]
    wallet = economy.open(AccountKind.PATIENT, economy.hospital_org, patient, daily_limit=5)
    economy.fund(wallet, 10)
    op = transfer(economy, wallet, economy.hospital, 6)
    economy.ledger.refuse(Code.LIMIT, op, by=patient)


def test_paying_is_all_or_nothing_across_operations(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    inv = economy.invoice(10)
    first = paying(economy, inv, economy.wallets[0], 6)
    second = paying(economy, inv, economy.wallets[0], 5)
    economy.ledger.refuse(Code.LIMIT, first, second, by=economy.patients[0])
    assert economy.balance(economy.wallets[0]) == 10


def test_two_payments_in_one_block_do_not_spend_the_same_money(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    op = transfer(economy, economy.wallets[0], economy.hospital, 6)
    txs = [economy.ledger.tx(op, by=economy.patients[0]) for _ in range(2)]
    codes = [outcome.code for outcome in economy.ledger.block(*txs)]
    assert codes == ["ok", Code.BALANCE]


def test_invoices_are_listed_page_by_page(economy: Economy) -> None:
    expected = sorted(economy.invoice(10) for _ in range(5))
    seen: list[bytes] = []
    cursor = b""
    while True:
        page = economy.ledger.query("pay.invoices", payee=economy.hospital, limit=2, cursor=cursor)
        assert isinstance(page, InvoicesAnswer)
        seen.extend(item.inv for item in page.items)
        cursor = page.next_cursor
        if cursor == b"":
            break
    assert seen == expected


def test_an_invoice_shows_what_is_outstanding_and_who_paid(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 10)
    inv = economy.invoice(40, 60)
    economy.pay(inv, 10)
    answer = economy.ledger.query("pay.invoice", inv=inv)
    assert isinstance(answer, InvoiceAnswer)
    assert (answer.outstanding, answer.state) == (90, "part_paid")
    assert [(part.source, part.paid) for part in answer.payments] == [(economy.wallets[0], 10)]


@given(st.lists(st.integers(0, 10**15), max_size=8), st.data())
def test_pro_rata_parts_are_exact_and_fair(weights: list[int], data: st.DataObject) -> None:
    total = sum(weights)
    amount = data.draw(st.integers(0, total))
    parts = pro_rata(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert 0 <= part <= weight
        if total:
            assert abs(part * total - amount * weight) < total
