"""Shared resources: devices that hospitals lend each other."""

from __future__ import annotations

from typing import Final

from node.ledger.txtype import EventType, Module, TxType
from node.ledger.types.resources import bodies, devices, loans, reservations
from node.ledger.types.resources.queries import QUERIES
from node.ledger.types.resources.rows import NAMESPACE, TABLES

_TYPES: Final = (
    TxType("dev.register", 1, bodies.DeviceRegister, devices.register, "Register a device"),
    TxType(
        "dev.maint.log",
        1,
        bodies.MaintenanceLog,
        devices.log_maintenance,
        "Record maintenance or calibration and how long it is valid",
    ),
    TxType(
        "dev.avail.set",
        1,
        bodies.AvailabilitySet,
        devices.set_availability,
        "Set the state of a device and the windows in which it is offered",
    ),
    TxType("dev.reserve", 1, bodies.Reserve, reservations.reserve, "Ask for a device"),
    TxType("dev.confirm", 1, bodies.ReservationRef, reservations.confirm, "Grant a reservation"),
    TxType("dev.decline", 1, bodies.ReservationRef, reservations.decline, "Refuse a reservation"),
    TxType("dev.cancel", 1, bodies.ReservationRef, reservations.cancel, "Call a reservation off"),
    TxType("dev.checkout", 1, bodies.Handover, loans.check_out, "Hand a device over"),
    TxType(
        "dev.checkout.ack", 1, bodies.Handover, loans.acknowledge_checkout, "Take a device over"
    ),
    TxType("dev.return", 1, bodies.Return, loans.return_, "Bring a device back"),
    TxType("dev.return.ack", 1, bodies.ReturnAck, loans.acknowledge_return, "Take a device back"),
)

_EVENTS: Final = (
    EventType("dev.registered", ("dev_id", "owner", "device_class"), "A device was registered"),
    EventType(
        "dev.maintained",
        ("dev_id", "kind", "valid_until_ms", "report_hash"),
        "Maintenance or calibration was recorded",
    ),
    EventType(
        "dev.availability_set", ("dev_id", "state", "windows"), "An offer was made or taken back"
    ),
    EventType(
        "dev.reserved", ("resv_id", "dev_id", "borrower", "urgency"), "A device was asked for"
    ),
    EventType("dev.confirmed", ("resv_id", "dev_id"), "A reservation was granted"),
    EventType("dev.declined", ("resv_id", "dev_id"), "A reservation was refused"),
    EventType("dev.cancelled", ("resv_id", "dev_id"), "A reservation was called off"),
    EventType(
        "dev.reservation_expired", ("resv_id", "dev_id"), "A deadline of a reservation passed"
    ),
    EventType("dev.checkout_offered", ("resv_id", "dev_id"), "The owner hands a device over"),
    EventType("dev.custody_moved", ("dev_id", "custodian"), "Somebody else has the device now"),
    EventType(
        "dev.return_offered", ("resv_id", "dev_id", "damage"), "The borrower brings a device back"
    ),
    EventType("dev.returned", ("resv_id", "dev_id", "damage"), "A loan is over"),
    EventType(
        "dev.loan_overdue", ("resv_id", "dev_id", "borrower", "to_ms"), "A device should be back"
    ),
)

MODULE: Final = Module(
    name=NAMESPACE,
    types=_TYPES,
    tables=TABLES,
    events=_EVENTS,
    queries=QUERIES,
    params=(
        devices.HORIZON_DAYS,
        devices.MAINTENANCE_DAYS_MAX,
        reservations.LOAN_DAYS_MAX,
        reservations.CONFIRM_HOURS,
        reservations.BOOKINGS_MAX,
    ),
    due={
        reservations.DUE_CONFIRM: reservations.confirmation_lapsed,
        reservations.DUE_HANDOVER: reservations.handover_lapsed,
        loans.DUE_RETURN: loans.overdue,
    },
)
