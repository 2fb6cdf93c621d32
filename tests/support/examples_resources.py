"""Good examples of the resources module's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from medquorum.transaction import Operation
from node.ledger.types.resources.bodies import MaintenanceKind, MaintenanceLog
from tests.support.examples import Example
from tests.support.ledger import Ledger, Person, some_id
from tests.support.resources import DAY_MS, Ward

Made = tuple[Operation, Person]


def _register(ward: Ward) -> Made:
    return ward.registration(some_id("new device"), some_id("new serial")), ward.owner


def _maintain(ward: Ward) -> Made:
    until_ms = ward.ledger.time_ms + DAY_MS
    body = MaintenanceLog(ward.dev_id, MaintenanceKind.CALIBRATION, until_ms, some_id("report"))
    return ward.ledger.op("dev.maint.log", body), ward.owner


def _offer(ward: Ward) -> Made:
    return ward.offering((ward.end_ms, ward.end_ms + DAY_MS)), ward.owner


def _reserve(ward: Ward) -> Made:
    return ward.reserving(0, DAY_MS), ward.borrower


def _confirm(ward: Ward) -> Made:
    return ward.refer("dev.confirm", ward.reserve(0, DAY_MS)), ward.owner


def _decline(ward: Ward) -> Made:
    return ward.refer("dev.decline", ward.reserve(0, DAY_MS)), ward.owner


def _cancel(ward: Ward) -> Made:
    return ward.refer("dev.cancel", ward.confirmed()), ward.borrower


def _checkout(ward: Ward) -> Made:
    resv_id = ward.confirmed()
    ward.wait_until(ward.start_ms)
    return ward.handover("dev.checkout", resv_id), ward.owner


def _checkout_ack(ward: Ward) -> Made:
    resv_id = ward.confirmed()
    ward.wait_until(ward.start_ms)
    ward.ledger.accept(ward.handover("dev.checkout", resv_id), by=ward.owner)
    return ward.handover("dev.checkout.ack", resv_id), ward.borrower


def _return(ward: Ward) -> Made:
    return ward.returning(ward.lent()), ward.borrower


def _return_ack(ward: Ward) -> Made:
    resv_id = ward.lent()
    ward.ledger.accept(ward.returning(resv_id), by=ward.borrower)
    return ward.return_ack(resv_id), ward.owner


_MAKERS: Final[Mapping[str, Callable[[Ward], Made]]] = {
    "dev.register": _register,
    "dev.maint.log": _maintain,
    "dev.avail.set": _offer,
    "dev.reserve": _reserve,
    "dev.confirm": _confirm,
    "dev.decline": _decline,
    "dev.cancel": _cancel,
    "dev.checkout": _checkout,
    "dev.checkout.ack": _checkout_ack,
    "dev.return": _return,
    "dev.return.ack": _return_ack,
}


def _example(maker: Callable[[Ward], Made]) -> Callable[[Ledger], Example]:
    def build(ledger: Ledger) -> Example:
        operation, by = maker(Ward(ledger=ledger))
        return Example(operation, [by])

    return build


EXAMPLES: Final = {name: _example(maker) for name, maker in _MAKERS.items()}
