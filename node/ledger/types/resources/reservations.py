"""Reservations: the first that is committed wins, and nobody waits for an answer for ever."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from node.ledger.access import require_org_active, signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.params import param
from node.ledger.roles import Role
from node.ledger.tables import ReadableState
from node.ledger.txtype import Param
from node.ledger.types.resources.bodies import Damage, ReservationRef, Reserve
from node.ledger.types.resources.calendar import book, conflict, is_offered
from node.ledger.types.resources.devices import load_device
from node.ledger.types.resources.limits import DAY_MS, HOUR_MS
from node.ledger.types.resources.rows import (
    CALENDAR,
    DEVICES,
    RESERVATIONS,
    Booking,
    Reservation,
    ReservationState,
)

LOAN_DAYS_MAX: Final = Param(
    "dev.loan_days_max",
    default=90,
    minimum=1,
    maximum=366,
    summary="Days for which a device may be reserved at once",
)
CONFIRM_HOURS: Final = Param(
    "dev.confirm_hours",
    default=24,
    minimum=1,
    maximum=720,
    summary="Hours in which an owner confirms a reservation, or it expires",
)
BOOKINGS_MAX: Final = Param(
    "dev.bookings_max",
    default=64,
    minimum=1,
    maximum=1000,
    summary="Reservations that may stand in the calendar of one device",
)
DUE_CONFIRM: Final = "dev.confirm_by"
DUE_HANDOVER: Final = "dev.handover_by"

_BEFORE_LOAN: Final = (
    ReservationState.REQUESTED,
    ReservationState.CONFIRMED,
    ReservationState.HANDING_OVER,
)


def load_reservation(state: ReadableState, resv_id: bytes) -> Reservation:
    """The reservation (E_NOTFOUND)."""
    reservation = RESERVATIONS.get(state, resv_id)
    if reservation is None:
        raise TxError(Code.NOT_FOUND, "no such reservation")
    return reservation


def reserve(body: Reserve, ctx: Context) -> None:
    """dev.reserve. By a biomedical engineer of the borrower.

    The interval is taken at once, so that the owner's answer cannot come to nothing.
    """
    refuse_unless(body.from_ms < body.to_ms, Code.SCHEMA, "a reservation ends after it starts")
    refuse_unless(body.from_ms > ctx.time_ms, Code.TTL, "a reservation starts in the future")
    days = param(ctx, LOAN_DAYS_MAX.name)
    refuse_unless(
        body.to_ms - body.from_ms <= days * DAY_MS, Code.LIMIT, "the reservation is too long"
    )
    refuse_unless(
        not RESERVATIONS.has(ctx.state, body.resv_id), Code.DUPLICATE, "the reservation id is used"
    )
    device = load_device(ctx.state, body.dev_id)
    refuse_unless(
        body.borrower != device.owner, Code.ORG, "an owner does not borrow its own device"
    )
    require_org_active(ctx, body.borrower)
    require_org_active(ctx, device.owner)
    signer_with_role(ctx, Role.BIOMED, body.borrower)
    refuse_unless(
        device.booked < param(ctx, BOOKINGS_MAX.name), Code.LIMIT, "the device's calendar is full"
    )
    refuse_unless(
        is_offered(ctx.state, body.dev_id, body.from_ms, body.to_ms),
        Code.STATE,
        "the device is not offered for all of that time",
    )
    refuse_unless(
        conflict(ctx.state, body.dev_id, body.from_ms, body.to_ms) is None,
        Code.CONFLICT,
        "the device is reserved in that time",
    )
    due_ms = min(ctx.time_ms + param(ctx, CONFIRM_HOURS.name) * HOUR_MS, body.from_ms)
    reservation = Reservation(
        dev_id=body.dev_id,
        borrower=body.borrower,
        from_ms=body.from_ms,
        to_ms=body.to_ms,
        urgency=body.urgency,
        state=ReservationState.REQUESTED,
        due_ms=due_ms,
        condition_hash=(),
        meter=0,
        damage=Damage.NONE,
        requested=ctx.height,
    )
    RESERVATIONS.put(ctx.state, reservation, body.resv_id)
    book(ctx.state, body.dev_id, body.from_ms, Booking(body.to_ms, body.resv_id))
    DEVICES.put(ctx.state, replace(device, booked=device.booked + 1), body.dev_id)
    ctx.schedule(due_ms, DUE_CONFIRM, body.resv_id)
    ctx.emit(
        "dev.reserved",
        resv_id=body.resv_id,
        dev_id=body.dev_id,
        borrower=body.borrower,
        urgency=body.urgency,
    )


def confirm(body: ReservationRef, ctx: Context) -> None:
    """dev.confirm. By the owner's biomedical engineer, before the deadline."""
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    signer_with_role(ctx, Role.BIOMED, device.owner)
    _require_state(reservation, ReservationState.REQUESTED)
    refuse_unless(ctx.time_ms < reservation.due_ms, Code.DEADLINE, "the time to confirm is over")
    ctx.cancel(reservation.due_ms, DUE_CONFIRM, body.resv_id)
    ctx.schedule(reservation.to_ms, DUE_HANDOVER, body.resv_id)
    confirmed = replace(reservation, state=ReservationState.CONFIRMED, due_ms=reservation.to_ms)
    RESERVATIONS.put(ctx.state, confirmed, body.resv_id)
    ctx.emit("dev.confirmed", resv_id=body.resv_id, dev_id=reservation.dev_id)


def decline(body: ReservationRef, ctx: Context) -> None:
    """dev.decline. By the owner's biomedical engineer, instead of confirming."""
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    signer_with_role(ctx, Role.BIOMED, device.owner)
    _require_state(reservation, ReservationState.REQUESTED)
    _end(ctx, body.resv_id, reservation, ReservationState.DECLINED)
    ctx.emit("dev.declined", resv_id=body.resv_id, dev_id=reservation.dev_id)


def cancel(body: ReservationRef, ctx: Context) -> None:
    """dev.cancel. By a biomedical engineer of the owner or of the borrower, until custody moves."""
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    try:
        signer_with_role(ctx, Role.BIOMED, reservation.borrower)
    except TxError:
        signer_with_role(ctx, Role.BIOMED, device.owner)
    refuse_unless(
        reservation.state in _BEFORE_LOAN, Code.STATE, "too late: the device is lent, or it is over"
    )
    _end(ctx, body.resv_id, reservation, ReservationState.CANCELLED)
    ctx.emit("dev.cancelled", resv_id=body.resv_id, dev_id=reservation.dev_id)


def confirmation_lapsed(reference: bytes, ctx: Context) -> None:
    """Due work: nobody confirmed the reservation in time."""
    _lapse(reference, ctx, (ReservationState.REQUESTED,))


def handover_lapsed(reference: bytes, ctx: Context) -> None:
    """Due work: the reserved time is over and the device was never handed over."""
    _lapse(reference, ctx, (ReservationState.CONFIRMED, ReservationState.HANDING_OVER))


def release(ctx: Context, reservation: Reservation) -> None:
    """Take the booking out of the calendar and out of the device's count."""
    device = load_device(ctx.state, reservation.dev_id)
    CALENDAR.delete(ctx.state, reservation.dev_id, reservation.from_ms)
    DEVICES.put(ctx.state, replace(device, booked=device.booked - 1), reservation.dev_id)


def _lapse(reference: bytes, ctx: Context, states: tuple[ReservationState, ...]) -> None:
    reservation = RESERVATIONS.get(ctx.state, reference)
    if reservation is None or reservation.state not in states:
        return
    _end(ctx, reference, reservation, ReservationState.EXPIRED)
    ctx.emit("dev.reservation_expired", resv_id=reference, dev_id=reservation.dev_id)


def _end(ctx: Context, resv_id: bytes, reservation: Reservation, state: ReservationState) -> None:
    kind = DUE_CONFIRM if reservation.state is ReservationState.REQUESTED else DUE_HANDOVER
    ctx.cancel(reservation.due_ms, kind, resv_id)
    release(ctx, reservation)
    RESERVATIONS.put(ctx.state, replace(reservation, state=state, due_ms=0), resv_id)


def _require_state(reservation: Reservation, state: ReservationState) -> None:
    refuse_unless(reservation.state is state, Code.STATE, f"the reservation is {reservation.state}")
