"""Loans: custody moves when both sides state the same condition and meter, and at no other time."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from node.ledger.access import signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.roles import Role
from node.ledger.types.resources.bodies import Availability, Damage, Handover, Return, ReturnAck
from node.ledger.types.resources.devices import load_device
from node.ledger.types.resources.limits import OVERDUE_EVERY_MS
from node.ledger.types.resources.reservations import DUE_HANDOVER, load_reservation, release
from node.ledger.types.resources.rows import (
    DEVICES,
    LOANS,
    RESERVATIONS,
    Device,
    Listed,
    Reservation,
    ReservationState,
)

DUE_RETURN: Final = "dev.return_by"
_LENT: Final = (ReservationState.ON_LOAN, ReservationState.RETURNING)


def check_out(body: Handover, ctx: Context) -> None:
    """dev.checkout. By the owner, who hands the device over in this condition."""
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    signer_with_role(ctx, Role.BIOMED, device.owner)
    refuse_unless(
        reservation.state in (ReservationState.CONFIRMED, ReservationState.HANDING_OVER),
        Code.STATE,
        f"the reservation is {reservation.state}",
    )
    _require_ready(reservation, device, ctx)
    refuse_unless(body.meter >= device.meter, Code.VERSION, "the meter runs backwards")
    offered = replace(
        reservation,
        state=ReservationState.HANDING_OVER,
        condition_hash=(body.condition_hash,),
        meter=body.meter,
    )
    RESERVATIONS.put(ctx.state, offered, body.resv_id)
    ctx.emit("dev.checkout_offered", resv_id=body.resv_id, dev_id=reservation.dev_id)


def acknowledge_checkout(body: Handover, ctx: Context) -> None:
    """dev.checkout.ack. By the borrower, with the same statement: now it has custody."""
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    signer_with_role(ctx, Role.BIOMED, reservation.borrower)
    refuse_unless(
        reservation.state is ReservationState.HANDING_OVER, Code.STATE, "nothing is handed over"
    )
    _require_ready(reservation, device, ctx)
    agreed = (body.condition_hash,) == reservation.condition_hash and (
        body.meter == reservation.meter
    )
    refuse_unless(agreed, Code.COMMITMENT, "the two sides state different things")
    lent = replace(device, custodian=reservation.borrower, meter=body.meter, loan=(body.resv_id,))
    DEVICES.put(ctx.state, lent, reservation.dev_id)
    LOANS.put(ctx.state, Listed(), reservation.to_ms, body.resv_id)
    ctx.cancel(reservation.due_ms, DUE_HANDOVER, body.resv_id)
    ctx.schedule(reservation.to_ms, DUE_RETURN, body.resv_id)
    on_loan = replace(reservation, state=ReservationState.ON_LOAN, due_ms=reservation.to_ms)
    RESERVATIONS.put(ctx.state, on_loan, body.resv_id)
    ctx.emit("dev.custody_moved", dev_id=reservation.dev_id, custodian=reservation.borrower)


def return_(body: Return, ctx: Context) -> None:
    """dev.return. By the borrower, who may state it anew while the owner does not agree."""
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    signer_with_role(ctx, Role.BIOMED, reservation.borrower)
    refuse_unless(reservation.state in _LENT, Code.STATE, "the device is not on this loan")
    refuse_unless(body.meter >= device.meter, Code.VERSION, "the meter runs backwards")
    returning = replace(
        reservation,
        state=ReservationState.RETURNING,
        condition_hash=(body.condition_hash,),
        meter=body.meter,
        damage=body.damage,
    )
    RESERVATIONS.put(ctx.state, returning, body.resv_id)
    ctx.emit(
        "dev.return_offered",
        resv_id=body.resv_id,
        dev_id=reservation.dev_id,
        damage=body.damage,
    )


def acknowledge_return(body: ReturnAck, ctx: Context) -> None:
    """dev.return.ack. By the owner, with the same statement: now the owner is the custodian again.

    A damaged device goes offline until it is set available again.
    """
    reservation = load_reservation(ctx.state, body.resv_id)
    device = load_device(ctx.state, reservation.dev_id)
    signer_with_role(ctx, Role.BIOMED, device.owner)
    refuse_unless(
        reservation.state is ReservationState.RETURNING, Code.STATE, "nothing is being returned"
    )
    agreed = (
        (body.condition_hash,) == reservation.condition_hash
        and body.meter == reservation.meter
        and body.damage is reservation.damage
    )
    refuse_unless(agreed, Code.COMMITMENT, "the two sides state different things")
    intact = body.damage is Damage.NONE
    back = replace(
        device,
        custodian=device.owner,
        meter=body.meter,
        loan=(),
        availability=Availability.IDLE if intact else Availability.OFFLINE,
    )
    DEVICES.put(ctx.state, back, reservation.dev_id)
    release(ctx, reservation)
    LOANS.delete(ctx.state, reservation.to_ms, body.resv_id)
    ctx.cancel(reservation.due_ms, DUE_RETURN, body.resv_id)
    returned = replace(reservation, state=ReservationState.RETURNED, due_ms=0)
    RESERVATIONS.put(ctx.state, returned, body.resv_id)
    ctx.emit("dev.custody_moved", dev_id=reservation.dev_id, custodian=device.owner)
    ctx.emit("dev.returned", resv_id=body.resv_id, dev_id=reservation.dev_id, damage=body.damage)


def overdue(reference: bytes, ctx: Context) -> None:
    """Due work: the device should be back. Said once a day until it is."""
    reservation = RESERVATIONS.get(ctx.state, reference)
    if reservation is None or reservation.state not in _LENT:
        return
    next_ms = ctx.time_ms + OVERDUE_EVERY_MS
    RESERVATIONS.put(ctx.state, replace(reservation, due_ms=next_ms), reference)
    ctx.schedule(next_ms, DUE_RETURN, reference)
    ctx.emit(
        "dev.loan_overdue",
        resv_id=reference,
        dev_id=reservation.dev_id,
        borrower=reservation.borrower,
        to_ms=reservation.to_ms,
    )


def _require_ready(reservation: Reservation, device: Device, ctx: Context) -> None:
    refuse_unless(ctx.time_ms >= reservation.from_ms, Code.STATE, "the reserved time is not yet")
    refuse_unless(ctx.time_ms < reservation.to_ms, Code.DEADLINE, "the reserved time is over")
    refuse_unless(device.loan == (), Code.STATE, "the device is not back from the loan before")
    refuse_unless(device.availability is Availability.IDLE, Code.STATE, "the device is not idle")
    refuse_unless(
        device.calibrated_until_ms > ctx.time_ms, Code.EXPIRED, "its calibration is not valid"
    )
