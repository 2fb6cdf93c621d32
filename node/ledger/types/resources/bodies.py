"""The operations of the resources module, as they travel.

Times are block times in milliseconds; an interval holds its start and not its end. Prices are minor
units of the consortium's credit for 24 hours. What is said about a device comes from closed sets.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from medquorum.codec import U53, Bytes32, Hash, TimeMs, Wire
from node.ledger.types.resources.limits import WINDOWS_MAX

UdiDi = Annotated[str, Meta(min_length=14, max_length=14, pattern=r"^[0-9]{14}(?![\s\S])")]
"""The device identifier of a UDI: a GTIN-14, fourteen digits; the last one checks the others."""


class DeviceClass(StrEnum):
    """What kind of device it is, as coarsely as borrowing needs."""

    VENTILATOR = "ventilator"
    INFUSION_PUMP = "infusion_pump"
    PATIENT_MONITOR = "patient_monitor"
    DIALYSIS = "dialysis"
    ULTRASOUND = "ultrasound"
    XRAY_MOBILE = "xray_mobile"
    DEFIBRILLATOR = "defibrillator"
    ECMO = "ecmo"
    INCUBATOR = "incubator"
    ENDOSCOPY = "endoscopy"
    SURGICAL_ROBOT = "surgical_robot"
    LABORATORY = "laboratory"
    OTHER = "other"


class Risk(StrEnum):
    """The regulatory risk class, low to high."""

    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"


class Urgency(StrEnum):
    """How badly the borrower needs it: for the owner's decision. It takes nothing from anybody."""

    ROUTINE = "routine"
    URGENT = "urgent"
    EMERGENCY = "emergency"


class Availability(StrEnum):
    """What an owner can say about a device that is in its own hands."""

    IDLE = "idle"
    IN_USE = "in_use"
    OFFLINE = "offline"


class MaintenanceKind(StrEnum):
    """Maintenance with a validity that the ledger checks."""

    PREVENTIVE = "preventive"
    CALIBRATION = "calibration"


class Damage(StrEnum):
    """What the borrower says about the state of a device that comes back."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"


class OfferedWindow(Wire, frozen=True):
    """A time in which the device may be reserved."""

    from_ms: TimeMs
    to_ms: TimeMs


class DeviceRegister(Wire, frozen=True):
    """dev.register: `serial_hash` is a salted hash; with the identifier it is unique."""

    dev_id: Bytes32
    owner: Bytes32
    udi_di: UdiDi
    serial_hash: Hash
    device_class: DeviceClass
    risk: Risk


class MaintenanceLog(Wire, frozen=True):
    """dev.maint.log: the work that `report_hash` documents is good until `valid_until_ms`."""

    dev_id: Bytes32
    kind: MaintenanceKind
    valid_until_ms: TimeMs
    report_hash: Hash


class AvailabilitySet(Wire, frozen=True):
    """dev.avail.set: the state of the device, and all its windows from now on."""

    dev_id: Bytes32
    state: Availability
    windows: Annotated[tuple[OfferedWindow, ...], Meta(max_length=WINDOWS_MAX)]
    price_per_day: U53
    terms_hash: Hash
    region: Bytes32


class Reserve(Wire, frozen=True):
    """dev.reserve: ask for the device from `from_ms` until before `to_ms`."""

    resv_id: Bytes32
    dev_id: Bytes32
    borrower: Bytes32
    from_ms: TimeMs
    to_ms: TimeMs
    urgency: Urgency


class ReservationRef(Wire, frozen=True):
    """dev.confirm, dev.decline, dev.cancel: which reservation is meant."""

    resv_id: Bytes32


class Handover(Wire, frozen=True):
    """dev.checkout, dev.checkout.ack: the condition and the meter that one side states."""

    resv_id: Bytes32
    condition_hash: Hash
    meter: U53


class Return(Wire, frozen=True):
    """dev.return: the borrower brings the device back in this condition."""

    resv_id: Bytes32
    condition_hash: Hash
    meter: U53
    damage: Damage


class ReturnAck(Wire, frozen=True):
    """dev.return.ack: the owner takes it back and agrees with every word of the return."""

    resv_id: Bytes32
    condition_hash: Hash
    meter: U53
    damage: Damage
