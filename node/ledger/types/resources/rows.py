"""The state of the resources module, by key prefix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from medquorum.codec import U53, Bytes32, Hash, Height, TimeMs, Wire
from node.ledger.tables import Table
from node.ledger.types.resources.bodies import (
    Availability,
    Damage,
    DeviceClass,
    Risk,
    UdiDi,
    Urgency,
)

NAMESPACE: Final = "resources"


class ReservationState(StrEnum):
    """Where a reservation stands. Declined, cancelled, expired and returned are final.

    requested -> confirmed -> handing_over -> on_loan -> returning -> returned
        |            |             |
        +------------+-------------+--> declined | cancelled | expired
    """

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    HANDING_OVER = "handing_over"
    ON_LOAN = "on_loan"
    RETURNING = "returning"
    RETURNED = "returned"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Device(Wire, frozen=True):
    """One device. `custodian` is who has it: the owner, or the borrower of the reservation `loan`.

    `booked` counts the rows of the calendar; `meter` is the last reading that both sides agreed on.
    """

    owner: Bytes32
    custodian: Bytes32
    udi_di: UdiDi
    serial_hash: Hash
    device_class: DeviceClass
    risk: Risk
    availability: Availability
    region: Bytes32
    price_per_day: U53
    terms_hash: Hash
    maintained_until_ms: TimeMs
    calibrated_until_ms: TimeMs
    meter: U53
    booked: U53
    loan: tuple[Bytes32, ...]


class DeviceRef(Wire, frozen=True):
    """Which device it is."""

    dev_id: Bytes32


class Window(Wire, frozen=True):
    """The end of an offered window; its start is in the key."""

    to_ms: TimeMs


class Booking(Wire, frozen=True):
    """The end of a booked interval, and the reservation it belongs to; its start is in the key."""

    to_ms: TimeMs
    resv_id: Bytes32


class Reservation(Wire, frozen=True):
    """One reservation, from request to return.

    `due_ms` is when the running deadline ends: of the confirmation, then of the handover, then the
    next report of an overdue loan. `condition_hash`, `meter` and `damage` are what was stated last.
    """

    dev_id: Bytes32
    borrower: Bytes32
    from_ms: TimeMs
    to_ms: TimeMs
    urgency: Urgency
    state: ReservationState
    due_ms: TimeMs
    condition_hash: tuple[Hash, ...]
    meter: U53
    damage: Damage
    requested: Height


class Listed(Wire, frozen=True):
    """An index entry: its key says it all."""


DEVICES: Final = Table(b"d", "devices", key=("dev_id",), value=Device, meaning="a device")
SERIALS: Final = Table(
    b"u",
    "serials",
    key=("udi_di", "serial_hash"),
    value=DeviceRef,
    meaning="the device with this identifier and serial number",
)
WINDOWS: Final = Table(
    b"w", "windows", key=("dev_id", "from_ms"), value=Window, meaning="when a device is offered"
)
CALENDAR: Final = Table(
    b"c",
    "calendar",
    key=("dev_id", "from_ms"),
    value=Booking,
    meaning="when a device is booked; the intervals of one device never overlap",
)
RESERVATIONS: Final = Table(
    b"r", "reservations", key=("resv_id",), value=Reservation, meaning="a reservation"
)
OFFERED: Final = Table(
    b"o",
    "offered",
    key=("device_class", "region", "dev_id"),
    value=Listed,
    meaning="devices with offered windows, to search",
)
LOANS: Final = Table(
    b"l",
    "loans",
    key=("to_ms", "resv_id"),
    value=Listed,
    meaning="open loans by the time at which the device is to be back",
)

TABLES: Final = (DEVICES, SERIALS, WINDOWS, CALENDAR, RESERVATIONS, OFFERED, LOANS)
