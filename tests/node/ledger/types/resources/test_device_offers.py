"""Devices are registered once, kept in order and offered in windows."""

from __future__ import annotations

import msgpack
import pytest

from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.roles import Role
from node.ledger.types.resources.bodies import (
    Availability,
    DeviceClass,
    MaintenanceKind,
    MaintenanceLog,
)
from node.ledger.types.resources.limits import WINDOWS_MAX
from node.ledger.types.resources.queries import CalendarAnswer, SearchAnswer
from tests.support.ledger import HOUR_MS, some_id
from tests.support.resources import DAY_MS, REGION, Ward


@pytest.fixture
def ward() -> Ward:
    return Ward()


def test_a_wrong_check_digit_is_refused(ward: Ward) -> None:
    op = ward.registration(some_id("d"), some_id("s"), "00300020800019")
    ward.ledger.refuse(Code.CHECK_DIGIT, op, by=ward.owner)


@pytest.mark.parametrize(
    "udi", ["", "0030002080001", "003000208000188", "0030002080001a", "\u0660" * 14]
)
def test_a_device_identifier_is_fourteen_digits(ward: Ward, udi: str) -> None:
    fields = [some_id("d"), ward.owner_org.id, udi, some_id("s"), "ventilator", "high"]
    ward.ledger.refuse(
        Code.SCHEMA, Operation("dev.register", 1, msgpack.packb(fields)), by=ward.owner
    )


def test_a_device_is_registered_once(ward: Ward) -> None:
    same_serial = ward.registration(some_id("other"), some_id("serial"))
    ward.ledger.refuse(Code.DUPLICATE, same_serial, by=ward.owner)
    same_id = ward.registration(ward.dev_id, some_id("other serial"))
    ward.ledger.refuse(Code.DUPLICATE, same_id, by=ward.owner)
    ward.ledger.accept(ward.registration(some_id("other"), some_id("other serial")), by=ward.owner)


def test_only_the_owners_biomedical_engineers_register_and_offer(ward: Ward) -> None:
    nurse = ward.ledger.person(ward.owner_org, Role.NURSE)
    register = ward.registration(some_id("other"), some_id("other serial"))
    offer = ward.offering((ward.end_ms, ward.end_ms + DAY_MS))
    for op in (register, offer):
        for by in (ward.borrower, nurse, ward.owner_org):
            ward.ledger.refuse(Code.ROLE, op, by=by)


def test_windows_are_ordered_disjoint_and_in_the_future(ward: Ward) -> None:
    now, later = ward.ledger.time_ms, ward.ledger.time_ms + DAY_MS
    cases: list[tuple[Code, list[tuple[int, int]]]] = [
        (Code.SCHEMA, [(later, later)]),
        (Code.SCHEMA, [(later + 1, later)]),
        (Code.TTL, [(now, later)]),
        (Code.TTL, [(later, later + 400 * DAY_MS)]),
        (Code.CONFLICT, [(later, later + 10), (later + 9, later + 20)]),
        (Code.CONFLICT, [(later + 10, later + 20), (later, later + 10)]),
    ]
    for code, windows in cases:
        ward.ledger.refuse(code, ward.offering(*windows), by=ward.owner)
    touching = ward.offering((later, later + 10), (later + 10, later + 20))
    ward.ledger.accept(touching, by=ward.owner)


def test_the_number_of_windows_is_bounded(ward: Ward) -> None:
    start = ward.ledger.time_ms + DAY_MS
    many = [(start + n * 10, start + n * 10 + 5) for n in range(WINDOWS_MAX + 1)]
    ward.ledger.refuse(Code.SCHEMA, ward.offering(*many), by=ward.owner)
    ward.ledger.accept(ward.offering(*many[:-1]), by=ward.owner)


def test_a_device_that_is_offline_or_out_of_maintenance_is_not_offered(ward: Ward) -> None:
    window = (ward.start_ms, ward.end_ms)
    offline = ward.offering(window, state=Availability.OFFLINE)
    ward.ledger.refuse(Code.SCHEMA, offline, by=ward.owner)
    ward.maintain(MaintenanceKind.PREVENTIVE, 1)
    ward.ledger.pass_time(days=2)
    start = ward.ledger.time_ms + DAY_MS
    ward.ledger.refuse(Code.EXPIRED, ward.offering((start, start + 10)), by=ward.owner)
    ward.ledger.accept(ward.offering(state=Availability.OFFLINE), by=ward.owner)


@pytest.mark.parametrize("days", [0, 1101])
def test_maintenance_is_valid_for_a_bounded_time(ward: Ward, days: int) -> None:
    until_ms = ward.ledger.time_ms + days * DAY_MS
    body = MaintenanceLog(ward.dev_id, MaintenanceKind.CALIBRATION, until_ms, some_id("report"))
    ward.ledger.refuse(Code.TTL, ward.ledger.op("dev.maint.log", body), by=ward.owner)


def test_new_windows_replace_old_ones_and_leave_reservations_alone(ward: Ward) -> None:
    resv_id = ward.reserve(0, DAY_MS)
    window = (ward.end_ms, ward.end_ms + DAY_MS)
    ward.ledger.accept(ward.offering(window), by=ward.owner)
    answer = ward.ledger.query("dev.calendar", dev_id=ward.dev_id)
    assert isinstance(answer, CalendarAnswer)
    assert [(row.from_ms, row.to_ms) for row in answer.offered] == [window]
    assert [row.resv_id for row in answer.booked] == [resv_id]


def test_a_search_finds_what_is_offered_and_free(ward: Ward) -> None:
    def found(from_ms: int, to_ms: int) -> list[bytes]:
        answer = ward.ledger.query(
            "dev.search",
            device_class=DeviceClass.VENTILATOR,
            region=REGION,
            from_ms=ward.start_ms + from_ms,
            to_ms=ward.start_ms + to_ms,
        )
        assert isinstance(answer, SearchAnswer)
        return [item.dev_id for item in answer.items]

    assert found(0, DAY_MS) == [ward.dev_id]
    ward.reserve(DAY_MS, 2 * DAY_MS)
    assert found(0, DAY_MS) == [ward.dev_id]
    assert found(HOUR_MS, DAY_MS + 1) == []
    assert found(9 * DAY_MS, 11 * DAY_MS) == []
    ward.ledger.accept(ward.offering(state=Availability.IN_USE), by=ward.owner)
    assert found(0, DAY_MS) == []
