"""Accounts: who opens, freezes and closes them."""

from __future__ import annotations

import pytest

from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.roles import OrgKind, Role
from node.ledger.types.payments.bodies import (
    AccountClose,
    AccountFreeze,
    AccountKind,
    AccountOpen,
    AccountUnfreeze,
    FreezeReason,
    Memo,
    Transfer,
)
from tests.support.ledger import By, some_id
from tests.support.payments import DAY_MS, Economy


@pytest.fixture
def economy() -> Economy:
    return Economy()


def freeze(economy: Economy, acct: bytes, days: int = 1) -> Operation:
    until_ms = economy.ledger.time_ms + days * DAY_MS
    body = AccountFreeze(acct, FreezeReason.FRAUD_SUSPECTED, until_ms)
    return economy.ledger.op("pay.acct.freeze", body)


def opening(economy: Economy, acct: bytes, holder: tuple[bytes, ...]) -> Operation:
    body = AccountOpen(acct, AccountKind.PATIENT, economy.hospital_org.id, holder, (), 0)
    return economy.ledger.op("pay.acct.open", body)


def transfer(economy: Economy, source: bytes, target: bytes, amount: int) -> Operation:
    body = Transfer(source, target, amount, Memo.OTHER)
    return economy.ledger.op("pay.transfer", body)


def test_a_patient_account_needs_its_holder_and_billing(economy: Economy) -> None:
    patient = economy.patients[0]
    op = opening(economy, some_id("new"), (patient.id,))
    economy.ledger.refuse(Code.ROLE, op, by=economy.clerk)
    economy.ledger.refuse(Code.ROLE, op, by=patient)
    economy.ledger.refuse(Code.ROLE, op, by=[economy.clerk, economy.patients[1]])
    economy.ledger.accept(op, by=[economy.clerk, patient])
    economy.ledger.refuse(Code.DUPLICATE, op, by=[economy.clerk, patient])


def test_an_account_id_is_never_the_pseudonym_of_a_person(economy: Economy) -> None:
    patient = economy.patients[0]
    op = opening(economy, patient.id, (patient.id,))
    economy.ledger.refuse(Code.SCHEMA, op, by=[economy.clerk, patient])


def test_only_patient_accounts_have_a_holder(economy: Economy) -> None:
    economy.ledger.refuse(Code.SCHEMA, opening(economy, some_id("x"), ()), by=economy.clerk)


def test_an_organisation_opens_accounts_of_its_own_kind_only(economy: Economy) -> None:
    body = AccountOpen(some_id("x"), AccountKind.AUTHORITY, economy.hospital_org.id, (), (), 0)
    op = economy.ledger.op("pay.acct.open", body)
    economy.ledger.refuse(Code.ORG, op, by=economy.hospital_org)


def test_two_people_freeze_and_not_one_with_two_keys(economy: Economy) -> None:
    first, second = economy.officers
    op = freeze(economy, economy.wallets[0])
    economy.ledger.refuse(Code.ROLE, op, by=first)
    other_key = economy.ledger.second_key(first)
    economy.ledger.refuse(Code.ROLE, op, by=[first, other_key])
    economy.ledger.accept(op, by=[first, second])


def test_a_frozen_account_neither_pays_nor_is_paid(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 100)
    economy.ledger.accept(freeze(economy, economy.wallets[0]), by=economy.officers)
    out = transfer(economy, economy.wallets[0], economy.hospital, 1)
    economy.ledger.refuse(Code.FROZEN, out, by=economy.patients[0])
    economy.mint(10)
    into = transfer(economy, economy.authority, economy.wallets[0], 1)
    economy.ledger.refuse(Code.FROZEN, into, by=economy.minters)


def test_a_freeze_ends_by_itself_at_its_exact_time(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 100)
    op = freeze(economy, economy.wallets[0])
    until_ms = economy.ledger.time_ms + DAY_MS
    economy.ledger.accept(op, by=economy.officers)
    out = transfer(economy, economy.wallets[0], economy.hospital, 1)
    before = economy.ledger.tx(out, by=economy.patients[0])
    one_early = until_ms - economy.ledger.time_ms - 1
    assert economy.ledger.block(before, after_ms=one_early)[0].code == Code.FROZEN
    at = economy.ledger.tx(out, by=economy.patients[0])
    assert economy.ledger.block(at, after_ms=1)[0].code == "ok"
    assert "pay.account_unfrozen" in economy.ledger.event_types()
    assert economy.account(economy.wallets[0]).frozen_until_ms == 0


def test_a_lifted_freeze_leaves_no_deadline_behind(economy: Economy) -> None:
    economy.ledger.accept(freeze(economy, economy.wallets[0]), by=economy.officers)
    lift = economy.ledger.op("pay.acct.unfreeze", AccountUnfreeze(economy.wallets[0]))
    economy.ledger.accept(lift, by=economy.officers)
    assert economy.ledger.state.spaces["due"] == {}
    assert economy.ledger.pass_time(days=2) == ()


@pytest.mark.parametrize("days", [0, 91])
def test_a_freeze_is_bounded(economy: Economy, days: int) -> None:
    economy.ledger.refuse(Code.TTL, freeze(economy, economy.wallets[0], days), by=economy.officers)


def test_only_an_empty_account_is_closed_and_then_it_stays_closed(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 5)
    close = economy.ledger.op("pay.acct.close", AccountClose(economy.wallets[0]))
    economy.ledger.refuse(Code.BALANCE, close, by=economy.patients[0])
    economy.ledger.accept(
        transfer(economy, economy.wallets[0], economy.hospital, 5), by=economy.patients[0]
    )
    economy.ledger.accept(close, by=economy.patients[0])
    economy.ledger.refuse(Code.STATE, close, by=economy.patients[0])
    reopen = opening(economy, economy.wallets[0], (economy.patients[0].id,))
    economy.ledger.refuse(Code.DUPLICATE, reopen, by=[economy.clerk, economy.patients[0]])


def test_nobody_but_the_spender_spends(economy: Economy) -> None:
    for acct in (economy.wallets[0], economy.hospital, economy.insurer):
        economy.fund(acct, 10)
    economy.mint(10)
    ledger = economy.ledger
    stranger = ledger.person(None, Role.BILLING)
    other_insurer = ledger.person(ledger.org(OrgKind.INSURER), Role.INSURER)
    attempts: list[tuple[bytes, By | list[By]]] = [
        (economy.wallets[0], economy.patients[1]),
        (economy.wallets[0], economy.clerk),
        (economy.hospital, stranger),
        (economy.hospital, economy.hospital_org),
        (economy.insurer, other_insurer),
        (economy.authority, economy.minters[0]),
    ]
    for source, by in attempts:
        op = transfer(economy, source, economy.wallets[1], 1)
        ledger.refuse(Code.ROLE, op, by=by)
