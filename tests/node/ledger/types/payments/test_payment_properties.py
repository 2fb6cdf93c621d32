"""Whatever is done with money, none appears and none vanishes. And what is malformed stays out."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.codec import INT_MAX
from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.types.payments.bodies import (
    Burn,
    InvoicePay,
    Memo,
    Mint,
    Refund,
    RefundReason,
    Transfer,
)
from tests.support.ledger import some_id
from tests.support.payments import ATTEST, Economy

STEP = st.tuples(
    st.sampled_from(["mint", "burn", "transfer", "invoice", "pay", "refund"]),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(1, 700_000),
)


def _operation(
    economy: Economy, invoices: list[bytes], step: tuple[str, int, int, int]
) -> Operation:
    kind, one, other, amount = step
    op = economy.ledger.op
    accounts = [economy.authority, economy.hospital, economy.insurer, *economy.wallets]
    inv = invoices[one % len(invoices)]
    match kind:
        case "mint":
            ref = economy.ledger.fresh_id()
            return op("pay.mint", Mint(economy.authority, amount, ATTEST, ref))
        case "burn":
            return op("pay.burn", Burn(economy.authority, amount, economy.ledger.fresh_id()))
        case "transfer":
            body = Transfer(accounts[one], accounts[other], amount, Memo.OTHER)
            return op("pay.transfer", body)
        case "invoice":
            invoices.append(economy.ledger.fresh_id())
            shares = (amount, amount // 3)
            return op("pay.invoice.issue", economy.invoice_body(invoices[-1], *shares))
        case "pay":
            return op("pay.invoice.pay", InvoicePay(inv, accounts[other], amount))
        case _:
            return op("pay.refund", Refund(inv, amount, RefundReason.OVERCHARGED))


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=40))
def test_money_is_conserved_by_every_sequence(steps: list[tuple[str, int, int, int]]) -> None:
    economy = Economy()
    economy.fund(economy.wallets[0], 300_000)
    economy.fund(economy.insurer, 300_000)
    invoices = [economy.invoice(90_000, 10_000)]
    everybody = [
        *economy.minters,
        economy.clerk,
        economy.second_clerk,
        economy.adjuster,
        *economy.patients,
    ]
    for step in steps:
        tx = economy.ledger.tx(_operation(economy, invoices, step), by=everybody)
        economy.ledger.block(tx)
        assert economy.conserved()


def test_the_conservation_check_sees_a_single_missing_unit() -> None:
    economy = Economy()
    economy.fund(economy.wallets[0], 10)
    space = economy.ledger.state.spaces["payments"]
    key = b"a" + economy.wallets[0]
    fields = msgpack.unpackb(space[key])
    assert fields[4] == 10
    fields[4] = 9
    space[key] = msgpack.packb(fields)
    assert not economy.conserved()


@pytest.mark.parametrize(
    "amount", [0, -1, 1.0, 1e3, INT_MAX + 1, 2**63, 2**64 - 1, "10", None, True, b"\x01"]
)
def test_amounts_that_are_no_amounts_are_refused(amount: object) -> None:
    economy = Economy()
    economy.fund(economy.wallets[0], 10)
    body = msgpack.packb([economy.wallets[0], economy.hospital, amount, "other"])
    op = Operation("pay.transfer", 1, body)
    economy.ledger.refuse(Code.SCHEMA, op, by=economy.patients[0])


@pytest.mark.parametrize(
    "memo", ["", "HIV consultation", "13812345678", "Other", "salary", "other\n", "其他"]
)
def test_text_cannot_be_smuggled_into_a_memo(memo: str) -> None:
    economy = Economy()
    body = msgpack.packb([economy.wallets[0], economy.hospital, 1, memo])
    op = Operation("pay.transfer", 1, body)
    economy.ledger.refuse(Code.SCHEMA, op, by=economy.patients[0])


@pytest.mark.parametrize("acct", [b"", b"110101199003078888", bytes(31), bytes(33), "a" * 32])
def test_account_ids_have_one_form(acct: object) -> None:
    economy = Economy()
    body = msgpack.packb([acct, economy.hospital, 1, "other"])
    op = Operation("pay.transfer", 1, body)
    economy.ledger.refuse(Code.SCHEMA, op, by=economy.patients[0])


def test_missing_and_extra_fields_are_refused() -> None:
    economy = Economy()
    for fields in ([some_id("a"), some_id("b"), 1], [some_id("a"), some_id("b"), 1, "other", 0]):
        op = Operation("pay.transfer", 1, msgpack.packb(fields))
        economy.ledger.refuse(Code.SCHEMA, op, by=economy.patients[0])
