"""Whatever two hospitals do, a device has one custodian and no two bookings at a time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.transaction import Operation
from node.ledger.types.resources.calendar import intervals
from node.ledger.types.resources.rows import (
    CALENDAR,
    LOANS,
    NAMESPACE,
    RESERVATIONS,
    ReservationState,
)
from tests.support.ledger import HOUR_MS
from tests.support.resources import DAY_MS, Ward

OVER = {
    ReservationState.RETURNED,
    ReservationState.DECLINED,
    ReservationState.CANCELLED,
    ReservationState.EXPIRED,
}
LENT = {ReservationState.ON_LOAN, ReservationState.RETURNING}
KINDS = [
    "reserve",
    "dev.confirm",
    "dev.decline",
    "dev.cancel",
    "dev.checkout",
    "dev.checkout.ack",
    "return",
    "return_ack",
    "wait",
]
STEP = st.tuples(st.sampled_from(KINDS), st.integers(0, 4), st.integers(0, 60), st.integers(1, 36))


def _operation(ward: Ward, known: list[bytes], step: tuple[str, int, int, int]) -> Operation:
    kind, which, start_h, length_h = step
    resv_id = known[which % len(known)]
    match kind:
        case "reserve":
            known.append(ward.ledger.fresh_id("resv"))
            from_ms = start_h * HOUR_MS
            to_ms = from_ms + length_h * HOUR_MS
            return ward.reserving(from_ms, to_ms, resv_id=known[-1])
        case "dev.checkout" | "dev.checkout.ack":
            return ward.handover(kind, resv_id, meter=start_h)
        case "return":
            return ward.returning(resv_id, meter=start_h)
        case "return_ack":
            return ward.return_ack(resv_id, meter=start_h)
        case _:
            return ward.refer(kind, resv_id)


def _check(ward: Ward, known: list[bytes]) -> None:
    space = ward.ledger.space(NAMESPACE)
    rows = {resv_id: RESERVATIONS.get(space, resv_id) for resv_id in known}
    booked = list(intervals(space, CALENDAR, ward.dev_id))
    for (_, earlier), (later_from_ms, _) in pairwise(booked):
        assert earlier.to_ms <= later_from_ms
    live = {resv_id for resv_id, row in rows.items() if row and row.state not in OVER}
    assert {row.resv_id for _, row in booked} == live
    device = ward.device()
    assert device.booked == len(booked)
    lent = [resv_id for resv_id, row in rows.items() if row and row.state in LENT]
    assert len(lent) <= 1
    assert list(device.loan) == lent
    assert device.custodian == (ward.borrower_org.id if lent else ward.owner_org.id)
    assert [key[8:] for key, _ in LOANS.rows(space)] == lent


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=50))
def test_one_custodian_and_no_overlap_after_every_sequence(
    steps: list[tuple[str, int, int, int]],
) -> None:
    ward = Ward()
    known = [ward.lent(), ward.confirmed(2 * DAY_MS, 3 * DAY_MS)]
    meter = 0
    for step in steps:
        if step[0] == "wait":
            ward.ledger.pass_time(hours=step[3])
        else:
            tx = ward.ledger.tx(_operation(ward, known, step), by=[ward.owner, ward.borrower])
            ward.ledger.block(tx)
        _check(ward, known)
        assert ward.device().meter >= meter
        meter = ward.device().meter
