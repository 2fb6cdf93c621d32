"""What can be asked about devices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from medquorum.codec import INT_MAX
from node.ledger.context import View
from node.ledger.limits import PAGE_DEFAULT
from node.ledger.paging import PageLimit, take
from node.ledger.txtype import Query
from node.ledger.types.resources.bodies import Availability, DeviceClass
from node.ledger.types.resources.calendar import conflict, intervals, is_offered
from node.ledger.types.resources.limits import SEARCH_ROWS_MAX
from node.ledger.types.resources.rows import (
    CALENDAR,
    DEVICES,
    LOANS,
    NAMESPACE,
    OFFERED,
    RESERVATIONS,
    WINDOWS,
    Device,
    Listed,
    Reservation,
)

_TIME_BYTES: Final = 8
QueryTime = Annotated[int, Meta(ge=0, le=INT_MAX)]


class DeviceParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of dev.device and dev.calendar."""

    dev_id: bytes


class DeviceAnswer(msgspec.Struct, kw_only=True):
    """A device as it stands. `loan` is its open reservation, or empty."""

    dev_id: bytes
    owner: bytes
    custodian: bytes
    udi_di: str
    device_class: str
    risk: str
    availability: str
    region: bytes
    price_per_day: int
    terms_hash: bytes
    maintained_until_ms: int
    calibrated_until_ms: int
    meter: int
    loan: bytes


class IntervalAnswer(msgspec.Struct, kw_only=True):
    """A half-open interval; `resv_id` is empty for an offered window."""

    from_ms: int
    to_ms: int
    resv_id: bytes


class CalendarAnswer(msgspec.Struct, kw_only=True):
    """When a device is offered and booked. Rules of the ledger bound both lists."""

    offered: tuple[IntervalAnswer, ...]
    booked: tuple[IntervalAnswer, ...]


class ReservationParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of dev.reservation."""

    resv_id: bytes


class ReservationAnswer(msgspec.Struct, kw_only=True):
    """A reservation as it stands. `due_ms` is its running deadline, or 0."""

    resv_id: bytes
    dev_id: bytes
    borrower: bytes
    from_ms: int
    to_ms: int
    urgency: str
    state: str
    due_ms: int


class SearchParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of dev.search."""

    device_class: DeviceClass
    region: bytes
    from_ms: QueryTime
    to_ms: QueryTime
    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class SearchAnswer(msgspec.Struct, kw_only=True):
    """Devices that are free. A page may be empty and still have a next one."""

    items: tuple[DeviceAnswer, ...]
    next_cursor: bytes


class OverdueParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of dev.overdue."""

    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class OverdueAnswer(msgspec.Struct, kw_only=True):
    """A page of loans that should be over."""

    items: tuple[ReservationAnswer, ...]
    next_cursor: bytes


def _device(params: DeviceParams, view: View) -> DeviceAnswer | None:
    device = DEVICES.get(view.read(NAMESPACE), params.dev_id)
    return None if device is None else _shown(params.dev_id, device)


def _shown(dev_id: bytes, device: Device) -> DeviceAnswer:
    return DeviceAnswer(
        dev_id=dev_id,
        owner=device.owner,
        custodian=device.custodian,
        udi_di=device.udi_di,
        device_class=device.device_class,
        risk=device.risk,
        availability=device.availability,
        region=device.region,
        price_per_day=device.price_per_day,
        terms_hash=device.terms_hash,
        maintained_until_ms=device.maintained_until_ms,
        calibrated_until_ms=device.calibrated_until_ms,
        meter=device.meter,
        loan=b"".join(device.loan),
    )


def _calendar(params: DeviceParams, view: View) -> CalendarAnswer:
    state = view.read(NAMESPACE)
    return CalendarAnswer(
        offered=tuple(
            IntervalAnswer(from_ms=start, to_ms=row.to_ms, resv_id=b"")
            for start, row in intervals(state, WINDOWS, params.dev_id)
        ),
        booked=tuple(
            IntervalAnswer(from_ms=start, to_ms=row.to_ms, resv_id=row.resv_id)
            for start, row in intervals(state, CALENDAR, params.dev_id)
        ),
    )


def _reservation(params: ReservationParams, view: View) -> ReservationAnswer | None:
    reservation = RESERVATIONS.get(view.read(NAMESPACE), params.resv_id)
    return None if reservation is None else _shown_reservation(params.resv_id, reservation)


def _shown_reservation(resv_id: bytes, reservation: Reservation) -> ReservationAnswer:
    return ReservationAnswer(
        resv_id=resv_id,
        dev_id=reservation.dev_id,
        borrower=reservation.borrower,
        from_ms=reservation.from_ms,
        to_ms=reservation.to_ms,
        urgency=reservation.urgency,
        state=reservation.state,
        due_ms=reservation.due_ms,
    )


def _search(params: SearchParams, view: View) -> SearchAnswer:
    state = view.read(NAMESPACE)
    rows = OFFERED.rows(state, params.device_class, params.region, after=params.cursor)
    items: list[DeviceAnswer] = []
    for looked_at, (dev_id, _) in enumerate(islice(rows, SEARCH_ROWS_MAX), start=1):
        device = DEVICES.get(state, dev_id)
        if device is not None and _is_free(view, dev_id, device, params):
            items.append(_shown(dev_id, device))
        if len(items) == params.limit or looked_at == SEARCH_ROWS_MAX:
            return SearchAnswer(items=tuple(items), next_cursor=dev_id)
    return SearchAnswer(items=tuple(items), next_cursor=b"")


def _is_free(view: View, dev_id: bytes, device: Device, params: SearchParams) -> bool:
    state = view.read(NAMESPACE)
    return (
        device.availability is not Availability.OFFLINE
        and is_offered(state, dev_id, params.from_ms, params.to_ms)
        and conflict(state, dev_id, params.from_ms, params.to_ms) is None
    )


def _overdue(params: OverdueParams, view: View) -> OverdueAnswer:
    state = view.read(NAMESPACE)
    listed, cursor = take(_overdue_rows(view, params.cursor), params.limit)
    items = (
        _shown_reservation(key[_TIME_BYTES:], reservation)
        for key, _ in listed
        if (reservation := RESERVATIONS.get(state, key[_TIME_BYTES:])) is not None
    )
    return OverdueAnswer(items=tuple(items), next_cursor=cursor)


def _overdue_rows(view: View, after: bytes) -> Iterator[tuple[bytes, Listed]]:
    for key, row in LOANS.rows(view.read(NAMESPACE), after=after):
        if int.from_bytes(key[:_TIME_BYTES], "big") > view.time_ms:
            return
        yield key, row


QUERIES: Final = (
    Query("dev.device", DeviceParams, _device, "A device, its custodian and its validity"),
    Query("dev.calendar", DeviceParams, _calendar, "When a device is offered and booked"),
    Query("dev.reservation", ReservationParams, _reservation, "A reservation and its state"),
    Query("dev.search", SearchParams, _search, "Devices of a class free in a region and time"),
    Query("dev.overdue", OverdueParams, _overdue, "Loans that should be over, paged"),
)
