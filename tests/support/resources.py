"""Two hospitals and a device for tests of shared resources."""

from __future__ import annotations

from medquorum.transaction import Operation
from node.ledger.roles import Role
from node.ledger.types.resources import MODULE
from node.ledger.types.resources.bodies import (
    Availability,
    AvailabilitySet,
    Damage,
    DeviceClass,
    DeviceRegister,
    Handover,
    MaintenanceKind,
    MaintenanceLog,
    OfferedWindow,
    ReservationRef,
    Reserve,
    Return,
    ReturnAck,
    Risk,
    Urgency,
)
from node.ledger.types.resources.rows import (
    DEVICES,
    NAMESPACE,
    RESERVATIONS,
    Device,
    Reservation,
    ReservationState,
)
from tests.support.ledger import HOUR_MS, Ledger, Person, some_id

DAY_MS = 24 * HOUR_MS
UDI = "00300020800018"
REGION = some_id("region")
CONDITION = some_id("condition")


class Ward:
    """A registered device that its owner offers for ten days, from an hour after `start_ms`."""

    def __init__(self, params: dict[str, int] | None = None, ledger: Ledger | None = None) -> None:
        self.ledger = ledger = ledger or Ledger(MODULE, params=params)
        self.owner_org, self.borrower_org = ledger.org(), ledger.org()
        self.owner = ledger.person(self.owner_org, Role.BIOMED)
        self.borrower = ledger.person(self.borrower_org, Role.BIOMED)
        self.dev_id = self.register(some_id("serial"))
        self.maintain(MaintenanceKind.PREVENTIVE, 400)
        self.maintain(MaintenanceKind.CALIBRATION, 400)
        self.start_ms = ledger.time_ms + HOUR_MS
        self.end_ms = self.start_ms + 10 * DAY_MS
        self.ledger.accept(self.offering((self.start_ms, self.end_ms)), by=self.owner)

    def registration(self, dev_id: bytes, serial: bytes, udi: str = UDI) -> Operation:
        body = DeviceRegister(
            dev_id, self.owner_org.id, udi, serial, DeviceClass.VENTILATOR, Risk.HIGH
        )
        return self.ledger.op("dev.register", body)

    def register(self, serial: bytes) -> bytes:
        dev_id = self.ledger.fresh_id("dev")
        self.ledger.accept(self.registration(dev_id, serial), by=self.owner)
        return dev_id

    def maintain(self, kind: MaintenanceKind, days: int) -> None:
        until_ms = self.ledger.time_ms + days * DAY_MS
        body = MaintenanceLog(self.dev_id, kind, until_ms, some_id("report"))
        self.ledger.accept(self.ledger.op("dev.maint.log", body), by=self.owner)

    def offering(
        self, *windows: tuple[int, int], state: Availability = Availability.IDLE
    ) -> Operation:
        offered = tuple(OfferedWindow(from_ms, to_ms) for from_ms, to_ms in windows)
        body = AvailabilitySet(self.dev_id, state, offered, 500, some_id("terms"), REGION)
        return self.ledger.op("dev.avail.set", body)

    def reserving(
        self, from_ms: int, to_ms: int, *, resv_id: bytes | None = None, by: Person | None = None
    ) -> Operation:
        """Times count from `start_ms`."""
        body = Reserve(
            resv_id or self.ledger.fresh_id("resv"),
            self.dev_id,
            (by or self.borrower).org.id,
            self.start_ms + from_ms,
            self.start_ms + to_ms,
            Urgency.ROUTINE,
        )
        return self.ledger.op("dev.reserve", body)

    def reserve(self, from_ms: int, to_ms: int) -> bytes:
        resv_id = self.ledger.fresh_id("resv")
        op = self.reserving(from_ms, to_ms, resv_id=resv_id)
        self.ledger.accept(op, by=self.borrower)
        return resv_id

    def refer(self, name: str, resv_id: bytes) -> Operation:
        return self.ledger.op(name, ReservationRef(resv_id))

    def handover(
        self, name: str, resv_id: bytes, meter: int = 0, condition: bytes = CONDITION
    ) -> Operation:
        return self.ledger.op(name, Handover(resv_id, condition, meter))

    def returning(self, resv_id: bytes, meter: int = 0, damage: Damage = Damage.NONE) -> Operation:
        return self.ledger.op("dev.return", Return(resv_id, CONDITION, meter, damage))

    def return_ack(self, resv_id: bytes, meter: int = 0, damage: Damage = Damage.NONE) -> Operation:
        return self.ledger.op("dev.return.ack", ReturnAck(resv_id, CONDITION, meter, damage))

    def confirmed(self, from_ms: int = 0, to_ms: int = DAY_MS) -> bytes:
        resv_id = self.reserve(from_ms, to_ms)
        self.ledger.accept(self.refer("dev.confirm", resv_id), by=self.owner)
        return resv_id

    def lent(self, meter: int = 0) -> bytes:
        """A reservation of the first day, with the device at the borrower's from its start on."""
        resv_id = self.confirmed()
        self.wait_until(self.start_ms)
        self.ledger.accept(self.handover("dev.checkout", resv_id, meter), by=self.owner)
        self.ledger.accept(self.handover("dev.checkout.ack", resv_id, meter), by=self.borrower)
        return resv_id

    def wait_until(self, time_ms: int) -> None:
        self.ledger.pass_time(ms=time_ms - self.ledger.time_ms)

    def device(self) -> Device:
        row = DEVICES.get(self.ledger.space(NAMESPACE), self.dev_id)
        assert row is not None
        return row

    def reservation(self, resv_id: bytes) -> Reservation:
        row = RESERVATIONS.get(self.ledger.space(NAMESPACE), resv_id)
        assert row is not None
        return row

    def state_of(self, resv_id: bytes) -> ReservationState:
        return self.reservation(resv_id).state
