"""Minting and burning: two people, against an attested reserve."""

from __future__ import annotations

import pytest

from medquorum.codec import INT_MAX
from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.roles import Role
from node.ledger.types.payments.bodies import Burn, Mint, ReserveAttest
from node.ledger.types.payments.queries import SupplyAnswer
from tests.support.ledger import By, OrgHandle, some_id
from tests.support.payments import ATTEST, DAY_MS, RESERVE, Economy


@pytest.fixture
def economy() -> Economy:
    return Economy()


def minting(economy: Economy, amount: int, ref: str = "ref", attest: bytes = ATTEST) -> Operation:
    return economy.ledger.op("pay.mint", Mint(economy.authority, amount, attest, some_id(ref)))


def test_two_people_mint_and_not_one_with_two_keys(economy: Economy) -> None:
    first, second = economy.minters
    op = minting(economy, 10)
    economy.ledger.refuse(Code.ROLE, op, by=first)
    economy.ledger.refuse(Code.ROLE, op, by=[first, economy.ledger.second_key(first)])
    economy.ledger.refuse(Code.ROLE, op, by=[first, economy.clerk])
    economy.ledger.accept(op, by=[first, second])


def test_the_supply_never_exceeds_the_attested_reserve(economy: Economy) -> None:
    economy.ledger.accept(minting(economy, RESERVE - 1, "a"), by=economy.minters)
    economy.ledger.refuse(Code.LIMIT, minting(economy, 2, "b"), by=economy.minters)
    economy.ledger.accept(minting(economy, 1, "c"), by=economy.minters)
    economy.ledger.refuse(Code.LIMIT, minting(economy, 1, "d"), by=economy.minters)


def test_burning_makes_room_to_mint_again(economy: Economy) -> None:
    economy.mint(RESERVE)
    burn = economy.ledger.op("pay.burn", Burn(economy.authority, 400, some_id("burn")))
    economy.ledger.refuse(Code.ROLE, burn, by=economy.minters[0])
    economy.ledger.accept(burn, by=economy.minters)
    economy.ledger.refuse(Code.DUPLICATE, burn, by=economy.minters)
    economy.mint(400)
    assert economy.balance(economy.authority) == RESERVE
    assert economy.conserved()


def test_more_than_there_is_cannot_be_burned(economy: Economy) -> None:
    economy.mint(5)
    burn = economy.ledger.op("pay.burn", Burn(economy.authority, 6, some_id("burn")))
    economy.ledger.refuse(Code.BALANCE, burn, by=economy.minters)


def test_a_reference_is_used_once(economy: Economy) -> None:
    economy.ledger.accept(minting(economy, 1), by=economy.minters)
    economy.ledger.refuse(Code.DUPLICATE, minting(economy, 2), by=economy.minters)


def test_minting_needs_the_latest_attestation_while_it_is_valid(economy: Economy) -> None:
    economy.attest(RESERVE, some_id("newer report"))
    economy.ledger.refuse(Code.NOT_FOUND, minting(economy, 1), by=economy.minters)
    newer = minting(economy, 1, attest=some_id("newer report"))
    economy.ledger.accept(newer, by=economy.minters)
    economy.ledger.pass_time(days=31)
    late = minting(economy, 1, "late", some_id("newer report"))
    economy.ledger.refuse(Code.EXPIRED, late, by=economy.minters)


def test_who_attests_the_reserve_does_not_mint_against_it(economy: Economy) -> None:
    economy.ledger.grant(economy.auditor, Role.MINT_AUTHORITY)
    op = minting(economy, 1)
    economy.ledger.refuse(Code.ROLE, op, by=[economy.minters[0], economy.auditor])


@pytest.mark.parametrize("days", [0, 32])
def test_an_attestation_is_bounded_in_time(economy: Economy, days: int) -> None:
    valid_until_ms = economy.ledger.time_ms + days * DAY_MS + (1_001 if days else 0)
    body = ReserveAttest(economy.authority_org.id, some_id("r"), 1, valid_until_ms)
    economy.ledger.refuse(
        Code.TTL, economy.ledger.op("pay.reserve.attest", body), by=economy.auditor
    )


def test_only_an_auditor_of_an_authority_attests(economy: Economy) -> None:
    def attesting(org: OrgHandle) -> Operation:
        body = ReserveAttest(org.id, some_id("r"), 1, economy.ledger.time_ms + DAY_MS)
        return economy.ledger.op("pay.reserve.attest", body)

    hospital_auditor = economy.ledger.person(economy.hospital_org, Role.AUDITOR)
    unfit: list[By] = [*economy.minters, economy.authority_org, hospital_auditor]
    for by in unfit:
        economy.ledger.refuse(Code.ROLE, attesting(economy.authority_org), by=by)
    own = attesting(economy.hospital_org)
    economy.ledger.refuse(Code.ORG, own, by=hospital_auditor)


def test_the_daily_limit_of_minting_starts_anew_each_day() -> None:
    economy = Economy(params={"pay.mint_daily_max": 100})
    economy.ledger.accept(minting(economy, 100, "a"), by=economy.minters)
    economy.ledger.refuse(Code.LIMIT, minting(economy, 1, "b"), by=economy.minters)
    economy.ledger.pass_time(days=1)
    economy.ledger.accept(minting(economy, 100, "c"), by=economy.minters)


def test_numbers_do_not_overflow() -> None:
    economy = Economy(params={"pay.mint_daily_max": INT_MAX})
    economy.attest(INT_MAX)
    economy.ledger.accept(minting(economy, INT_MAX, "a"), by=economy.minters)
    economy.ledger.refuse(Code.LIMIT, minting(economy, 1, "b"), by=economy.minters)
    burn = economy.ledger.op("pay.burn", Burn(economy.authority, INT_MAX, some_id("burn")))
    economy.ledger.accept(burn, by=economy.minters)
    economy.ledger.pass_time(days=1)
    economy.ledger.refuse(Code.LIMIT, minting(economy, 1, "c"), by=economy.minters)
    assert economy.conserved()


def test_the_supply_query_adds_up_what_there_is(economy: Economy) -> None:
    economy.fund(economy.wallets[0], 70)
    answer = economy.ledger.query("pay.supply")
    assert isinstance(answer, SupplyAnswer)
    assert (answer.minted, answer.burned, answer.outstanding) == (70, 0, 70)
    assert (answer.accounts, answer.conserved, answer.reserve) == (5, "yes", RESERVE)
