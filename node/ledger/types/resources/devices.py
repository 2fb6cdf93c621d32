"""Devices: registered once, kept in order, and offered in windows."""

from __future__ import annotations

from itertools import pairwise
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
from node.ledger.types.resources.bodies import (
    Availability,
    AvailabilitySet,
    DeviceRegister,
    MaintenanceKind,
    MaintenanceLog,
)
from node.ledger.types.resources.calendar import intervals
from node.ledger.types.resources.gtin import check_digit_holds
from node.ledger.types.resources.limits import DAY_MS
from node.ledger.types.resources.rows import (
    DEVICES,
    OFFERED,
    SERIALS,
    WINDOWS,
    Device,
    DeviceRef,
    Listed,
    Window,
)

HORIZON_DAYS: Final = Param(
    "dev.horizon_days",
    default=366,
    minimum=1,
    maximum=3660,
    summary="Days ahead up to which a device may be offered",
)
MAINTENANCE_DAYS_MAX: Final = Param(
    "dev.maintenance_days_max",
    default=1100,
    minimum=1,
    maximum=3660,
    summary="Days for which one maintenance or calibration may count",
)
_NOWHERE: Final = bytes(32)


def load_device(state: ReadableState, dev_id: bytes) -> Device:
    """The device (E_NOTFOUND)."""
    device = DEVICES.get(state, dev_id)
    if device is None:
        raise TxError(Code.NOT_FOUND, "no such device")
    return device


def register(body: DeviceRegister, ctx: Context) -> None:
    """dev.register. By the owner's biomedical engineer. A new device is offline at first."""
    refuse_unless(
        check_digit_holds(body.udi_di), Code.CHECK_DIGIT, "the UDI's check digit is wrong"
    )
    require_org_active(ctx, body.owner)
    signer_with_role(ctx, Role.BIOMED, body.owner)
    refuse_unless(not DEVICES.has(ctx.state, body.dev_id), Code.DUPLICATE, "the device id is used")
    refuse_unless(
        not SERIALS.has(ctx.state, body.udi_di, body.serial_hash),
        Code.DUPLICATE,
        "a device with this identifier and serial number is registered",
    )
    device = Device(
        owner=body.owner,
        custodian=body.owner,
        udi_di=body.udi_di,
        serial_hash=body.serial_hash,
        device_class=body.device_class,
        risk=body.risk,
        availability=Availability.OFFLINE,
        region=_NOWHERE,
        price_per_day=0,
        terms_hash=_NOWHERE,
        maintained_until_ms=0,
        calibrated_until_ms=0,
        meter=0,
        booked=0,
        loan=(),
    )
    DEVICES.put(ctx.state, device, body.dev_id)
    SERIALS.put(ctx.state, DeviceRef(body.dev_id), body.udi_di, body.serial_hash)
    ctx.emit("dev.registered", dev_id=body.dev_id, owner=body.owner, device_class=body.device_class)


def log_maintenance(body: MaintenanceLog, ctx: Context) -> None:
    """dev.maint.log. By the owner's biomedical engineer. The latest entry of a kind counts."""
    device = load_device(ctx.state, body.dev_id)
    signer_with_role(ctx, Role.BIOMED, device.owner)
    latest_ms = ctx.time_ms + param(ctx, MAINTENANCE_DAYS_MAX.name) * DAY_MS
    refuse_unless(body.valid_until_ms > ctx.time_ms, Code.TTL, "the validity is over already")
    refuse_unless(body.valid_until_ms <= latest_ms, Code.TTL, "the validity is too long")
    match body.kind:
        case MaintenanceKind.PREVENTIVE:
            device = replace(device, maintained_until_ms=body.valid_until_ms)
        case MaintenanceKind.CALIBRATION:
            device = replace(device, calibrated_until_ms=body.valid_until_ms)
    DEVICES.put(ctx.state, device, body.dev_id)
    ctx.emit(
        "dev.maintained",
        dev_id=body.dev_id,
        kind=body.kind,
        valid_until_ms=body.valid_until_ms,
        report_hash=body.report_hash,
    )


def set_availability(body: AvailabilitySet, ctx: Context) -> None:
    """dev.avail.set. By the owner's biomedical engineer, while the owner has the device.

    Replaces all windows. Reservations that were accepted stay, whatever the new windows are.
    """
    device = load_device(ctx.state, body.dev_id)
    signer_with_role(ctx, Role.BIOMED, device.owner)
    refuse_unless(device.loan == (), Code.STATE, "the device is on loan")
    _check_windows(body, ctx)
    offered = len(body.windows) > 0
    if body.state is Availability.OFFLINE:
        refuse_unless(not offered, Code.SCHEMA, "a device that is offline is not offered")
    elif offered or body.state is Availability.IDLE:
        refuse_unless(
            device.maintained_until_ms > ctx.time_ms, Code.EXPIRED, "its maintenance is not valid"
        )
    for from_ms, _ in list(intervals(ctx.state, WINDOWS, body.dev_id)):
        WINDOWS.delete(ctx.state, body.dev_id, from_ms)
    OFFERED.delete(ctx.state, device.device_class, device.region, body.dev_id)
    for window in body.windows:
        WINDOWS.put(ctx.state, Window(window.to_ms), body.dev_id, window.from_ms)
    if offered:
        OFFERED.put(ctx.state, Listed(), device.device_class, body.region, body.dev_id)
    changed = replace(
        device,
        availability=body.state,
        region=body.region,
        price_per_day=body.price_per_day,
        terms_hash=body.terms_hash,
    )
    DEVICES.put(ctx.state, changed, body.dev_id)
    ctx.emit(
        "dev.availability_set", dev_id=body.dev_id, state=body.state, windows=len(body.windows)
    )


def _check_windows(body: AvailabilitySet, ctx: Context) -> None:
    latest_ms = ctx.time_ms + param(ctx, HORIZON_DAYS.name) * DAY_MS
    for window in body.windows:
        refuse_unless(window.from_ms < window.to_ms, Code.SCHEMA, "a window ends after it starts")
        refuse_unless(window.from_ms >= ctx.time_ms, Code.TTL, "a window starts in the future")
        refuse_unless(window.to_ms <= latest_ms, Code.TTL, "a window is too far ahead")
    for earlier, later in pairwise(body.windows):
        refuse_unless(
            earlier.to_ms <= later.from_ms, Code.CONFLICT, "windows overlap or are out of order"
        )
