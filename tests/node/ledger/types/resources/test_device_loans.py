"""Reservations and loans: one winner, one custodian, and deadlines that are kept."""

from __future__ import annotations

import pytest

from node.ledger.codes import Code
from node.ledger.roles import Role
from node.ledger.types.resources.bodies import Availability, Damage, MaintenanceKind
from node.ledger.types.resources.queries import OverdueAnswer
from node.ledger.types.resources.rows import ReservationState
from tests.support.ledger import HOUR_MS, Person, some_id
from tests.support.resources import DAY_MS, Ward

CONCURRENT = 1_000


@pytest.fixture
def ward() -> Ward:
    return Ward()


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "code"),
    [
        (0, 10, Code.CONFLICT),
        (5, 6, Code.CONFLICT),
        (9, 20, Code.CONFLICT),
        (0, 11, Code.CONFLICT),
        (10, 10, Code.SCHEMA),
        (11, 10, Code.SCHEMA),
        (-1, 0, Code.STATE),
        (10 * DAY_MS - 5, 10 * DAY_MS + 1, Code.STATE),
        (-HOUR_MS, 5, Code.TTL),
    ],
)
def test_intervals_that_do_not_fit_are_refused(
    ward: Ward, from_ms: int, to_ms: int, code: Code
) -> None:
    ward.reserve(0, 10)
    ward.ledger.refuse(code, ward.reserving(from_ms, to_ms), by=ward.borrower)


def test_intervals_that_touch_do_not_overlap(ward: Ward) -> None:
    ward.reserve(10, 20)
    ward.reserve(0, 10)
    ward.reserve(20, 30)


def test_of_a_thousand_reserves_in_blocks_exactly_one_wins(ward: Ward) -> None:
    borrowers = [ward.ledger.person(None, Role.BIOMED) for _ in range(10)]
    txs = [
        ward.ledger.tx(ward.reserving(n % 7, DAY_MS - n % 5, by=who), by=who)
        for n in range(CONCURRENT)
        for who in [borrowers[n % len(borrowers)]]
    ]
    codes = [
        outcome.code
        for start in range(0, CONCURRENT, 250)
        for outcome in ward.ledger.block(*txs[start : start + 250])
    ]
    assert codes == ["ok"] + [Code.CONFLICT.value] * (CONCURRENT - 1)
    assert ward.device().booked == 1


def test_only_the_borrowers_engineer_reserves(ward: Ward) -> None:
    op = ward.reserving(0, 10)
    ward.ledger.refuse(Code.ROLE, op, by=ward.owner)
    ward.ledger.refuse(Code.ROLE, op, by=ward.ledger.patient(ward.borrower_org))
    own = ward.reserving(0, 10, by=ward.owner)
    ward.ledger.refuse(Code.ORG, own, by=ward.owner)


def test_a_suspended_owner_lends_nothing(ward: Ward) -> None:
    ward.ledger.suspend(ward.owner_org)
    ward.ledger.refuse(Code.ORG, ward.reserving(0, 10), by=ward.borrower)


def test_reservations_are_bounded_in_length_and_number() -> None:
    ward = Ward(params={"dev.loan_days_max": 2, "dev.bookings_max": 2})
    ward.ledger.refuse(Code.LIMIT, ward.reserving(0, 2 * DAY_MS + 1), by=ward.borrower)
    ward.reserve(0, 10)
    resv_id = ward.reserve(10, 20)
    ward.ledger.refuse(Code.LIMIT, ward.reserving(20, 30), by=ward.borrower)
    ward.ledger.accept(ward.refer("dev.cancel", resv_id), by=ward.borrower)
    ward.reserve(20, 30)


def test_an_unconfirmed_reservation_expires_and_frees_the_time() -> None:
    ward = Ward(params={"dev.confirm_hours": 2})
    resv_id = ward.reserve(DAY_MS, 2 * DAY_MS)
    ward.ledger.pass_time(ms=2 * HOUR_MS - 1)
    assert ward.state_of(resv_id) is ReservationState.REQUESTED
    late = ward.ledger.tx(ward.refer("dev.confirm", resv_id), by=ward.owner)
    assert ward.ledger.block(late, after_ms=1)[0].code == Code.DEADLINE
    assert ward.state_of(resv_id) is ReservationState.EXPIRED
    assert ward.ledger.event_types() == ["dev.reservation_expired"]
    ward.reserve(DAY_MS, 2 * DAY_MS)


def test_confirming_is_the_owners_and_happens_once(ward: Ward) -> None:
    resv_id = ward.reserve(0, DAY_MS)
    op = ward.refer("dev.confirm", resv_id)
    ward.ledger.refuse(Code.ROLE, op, by=ward.borrower)
    ward.ledger.accept(op, by=ward.owner)
    ward.ledger.refuse(Code.STATE, op, by=ward.owner)
    ward.ledger.refuse(Code.STATE, ward.refer("dev.decline", resv_id), by=ward.owner)


@pytest.mark.parametrize("name", ["dev.decline", "dev.cancel"])
def test_a_reservation_that_ends_early_frees_the_time(ward: Ward, name: str) -> None:
    resv_id = ward.reserve(0, DAY_MS)
    ward.ledger.refuse(Code.ROLE, ward.refer(name, resv_id), by=ward.ledger.person())
    ward.ledger.accept(ward.refer(name, resv_id), by=ward.owner)
    ward.reserve(0, DAY_MS)
    assert ward.device().booked == 1


def test_a_confirmed_device_that_nobody_fetches_is_free_again(ward: Ward) -> None:
    resv_id = ward.confirmed()
    ward.wait_until(ward.start_ms + DAY_MS)
    assert ward.state_of(resv_id) is ReservationState.EXPIRED
    assert ward.device().booked == 0


def test_custody_moves_with_the_second_signature_only(ward: Ward) -> None:
    resv_id = ward.confirmed()
    checkout = ward.handover("dev.checkout", resv_id, 7)
    ack = ward.handover("dev.checkout.ack", resv_id, 7)
    ward.ledger.refuse(Code.STATE, checkout, by=ward.owner)
    ward.wait_until(ward.start_ms)
    ward.ledger.refuse(Code.ROLE, checkout, by=ward.borrower)
    ward.ledger.refuse(Code.STATE, ack, by=ward.borrower)
    ward.ledger.accept(checkout, by=ward.owner)
    assert ward.device().custodian == ward.owner_org.id
    ward.ledger.refuse(Code.ROLE, ack, by=ward.owner)
    other_meter = ward.handover("dev.checkout.ack", resv_id, 8)
    ward.ledger.refuse(Code.COMMITMENT, other_meter, by=ward.borrower)
    other_state = ward.handover("dev.checkout.ack", resv_id, 7, some_id("scratched"))
    ward.ledger.refuse(Code.COMMITMENT, other_state, by=ward.borrower)
    ward.ledger.accept(ack, by=ward.borrower)
    assert ward.device().custodian == ward.borrower_org.id
    ward.ledger.refuse(Code.STATE, ward.refer("dev.cancel", resv_id), by=ward.borrower)


def test_a_lapsed_calibration_stops_the_checkout(ward: Ward) -> None:
    ward.maintain(MaintenanceKind.CALIBRATION, 1)
    resv_id = ward.confirmed(0, 5 * DAY_MS)
    ward.wait_until(ward.start_ms + 2 * DAY_MS)
    op = ward.handover("dev.checkout", resv_id)
    ward.ledger.refuse(Code.EXPIRED, op, by=ward.owner)
    ward.maintain(MaintenanceKind.CALIBRATION, 1)
    ward.ledger.accept(op, by=ward.owner)


def test_a_device_is_handed_over_in_its_time_and_while_it_is_idle(ward: Ward) -> None:
    resv_id = ward.confirmed()
    checkout = ward.handover("dev.checkout", resv_id)
    ward.ledger.accept(ward.offering(state=Availability.IN_USE), by=ward.owner)
    ward.wait_until(ward.start_ms)
    ward.ledger.refuse(Code.STATE, checkout, by=ward.owner)
    ward.ledger.accept(ward.offering(state=Availability.IDLE), by=ward.owner)
    remaining = ward.start_ms + DAY_MS - ward.ledger.time_ms
    at_end = ward.ledger.tx(checkout, by=ward.owner)
    assert ward.ledger.block(at_end, after_ms=remaining)[0].code == Code.DEADLINE


def test_the_meter_of_the_next_loan_starts_where_the_last_one_ended(ward: Ward) -> None:
    first = ward.lent(meter=7)
    ward.ledger.accept(ward.returning(first, 9), by=ward.borrower)
    ward.ledger.accept(ward.return_ack(first, 9), by=ward.owner)
    second = ward.confirmed(DAY_MS, 2 * DAY_MS)
    ward.wait_until(ward.start_ms + DAY_MS)
    backwards = ward.handover("dev.checkout", second, 8)
    ward.ledger.refuse(Code.VERSION, backwards, by=ward.owner)
    ward.ledger.accept(ward.handover("dev.checkout", second, 9), by=ward.owner)


def test_a_loan_leaves_one_deadline_and_its_end_none(ward: Ward) -> None:
    resv_id = ward.lent()
    assert len(ward.ledger.state.spaces["due"]) == 1
    ward.ledger.accept(ward.returning(resv_id), by=ward.borrower)
    ward.ledger.accept(ward.return_ack(resv_id), by=ward.owner)
    assert ward.ledger.state.spaces["due"] == {}


def test_a_return_needs_both_sides_and_the_meter_never_runs_back(ward: Ward) -> None:
    resv_id = ward.lent(meter=7)
    ward.ledger.refuse(Code.VERSION, ward.returning(resv_id, 6), by=ward.borrower)
    ward.ledger.refuse(Code.STATE, ward.return_ack(resv_id, 9), by=ward.owner)
    ward.ledger.accept(ward.returning(resv_id, 9), by=ward.borrower)
    ward.ledger.refuse(Code.COMMITMENT, ward.return_ack(resv_id, 8), by=ward.owner)
    damaged = ward.return_ack(resv_id, 9, Damage.MAJOR)
    ward.ledger.refuse(Code.COMMITMENT, damaged, by=ward.owner)
    assert ward.device().custodian == ward.borrower_org.id
    ward.ledger.accept(ward.return_ack(resv_id, 9), by=ward.owner)
    device = ward.device()
    assert (device.custodian, device.loan, device.meter) == (ward.owner_org.id, (), 9)
    assert (device.availability, device.booked) == (Availability.IDLE, 0)
    ward.ledger.refuse(Code.STATE, ward.returning(resv_id, 10), by=ward.borrower)


def test_a_borrower_may_correct_the_return_until_the_owner_agrees(ward: Ward) -> None:
    resv_id = ward.lent()
    ward.ledger.accept(ward.returning(resv_id), by=ward.borrower)
    ward.ledger.accept(ward.returning(resv_id, damage=Damage.MINOR), by=ward.borrower)
    ward.ledger.accept(ward.return_ack(resv_id, damage=Damage.MINOR), by=ward.owner)
    assert ward.device().availability is Availability.OFFLINE


def test_a_lent_device_is_not_offered_anew(ward: Ward) -> None:
    ward.lent()
    window = (ward.end_ms, ward.end_ms + 1)
    ward.ledger.refuse(Code.STATE, ward.offering(window), by=ward.owner)


def test_the_next_borrower_waits_for_a_device_that_is_late(ward: Ward) -> None:
    first = ward.lent()
    second = ward.confirmed(DAY_MS, 3 * DAY_MS)
    ward.wait_until(ward.start_ms + DAY_MS + HOUR_MS)
    checkout = ward.handover("dev.checkout", second)
    ward.ledger.refuse(Code.STATE, checkout, by=ward.owner)
    ward.ledger.accept(ward.returning(first), by=ward.borrower)
    ward.ledger.accept(ward.return_ack(first), by=ward.owner)
    ward.ledger.accept(checkout, by=ward.owner)


def test_an_overdue_loan_is_reported_daily_until_the_device_is_back(ward: Ward) -> None:
    resv_id = ward.lent()
    ward.wait_until(ward.start_ms + DAY_MS - 1)
    assert ward.ledger.event_types() == []
    ward.ledger.pass_time(ms=1)
    assert ward.ledger.event_types() == ["dev.loan_overdue"]
    answer = ward.ledger.query("dev.overdue")
    assert isinstance(answer, OverdueAnswer)
    assert [item.resv_id for item in answer.items] == [resv_id]
    ward.ledger.pass_time(days=1)
    assert ward.ledger.event_types() == ["dev.loan_overdue"]
    ward.ledger.accept(ward.returning(resv_id), by=ward.borrower)
    ward.ledger.accept(ward.return_ack(resv_id), by=ward.owner)
    assert ward.ledger.pass_time(days=3) == ()
    assert ward.ledger.query("dev.overdue") == OverdueAnswer(items=(), next_cursor=b"")


def test_strangers_touch_no_reservation(ward: Ward) -> None:
    resv_id = ward.lent()
    strangers: list[Person] = [
        ward.ledger.person(None, Role.BIOMED),
        ward.ledger.person(ward.owner_org, Role.NURSE),
    ]
    ops = [
        ward.refer("dev.confirm", resv_id),
        ward.refer("dev.decline", resv_id),
        ward.refer("dev.cancel", resv_id),
        ward.handover("dev.checkout", resv_id),
        ward.handover("dev.checkout.ack", resv_id),
        ward.returning(resv_id),
        ward.return_ack(resv_id),
    ]
    for stranger in strangers:
        for op in ops:
            ward.ledger.refuse(Code.ROLE, op, by=stranger)
