"""Half-open intervals in key order, and the questions about them that one read answers.

The intervals of a device never overlap, so their ends are ordered as their starts are. Of all
intervals that start before some time, only the last can reach beyond it, and one step of a
reverse scan finds it: O(log n), however full the calendar is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from medquorum.codec import decode
from medquorum.invariants import require
from node.ledger.tables import VALUE_BYTES_MAX, ReadableState, Table, WritableState
from node.ledger.types.resources.rows import CALENDAR, WINDOWS, Booking, Window

_START_BYTES: Final = 8
IntervalT = TypeVar("IntervalT", Window, Booking)


def conflict(state: ReadableState, dev_id: bytes, from_ms: int, to_ms: int) -> Booking | None:
    """The last booking of the device that overlaps [from_ms, to_ms), or None."""
    found = _last_before(state, CALENDAR, dev_id, to_ms)
    return found[1] if found is not None and found[1].to_ms > from_ms else None


def is_offered(state: ReadableState, dev_id: bytes, from_ms: int, to_ms: int) -> bool:
    """Whether one offered window of the device holds all of [from_ms, to_ms)."""
    found = _last_before(state, WINDOWS, dev_id, from_ms + 1)
    return found is not None and found[1].to_ms >= to_ms


def book(state: WritableState, dev_id: bytes, from_ms: int, booking: Booking) -> None:
    """Enter a booking. The caller has asked `conflict`; entering an overlap is our own fault."""
    overlapping = conflict(state, dev_id, from_ms, booking.to_ms)
    require(overlapping is None, "two bookings of one device overlap")
    CALENDAR.put(state, booking, dev_id, from_ms)


def intervals(
    state: ReadableState, table: Table[IntervalT], dev_id: bytes
) -> Iterator[tuple[int, IntervalT]]:
    """The intervals of the device as (start, row), in order."""
    for rest, row in table.rows(state, dev_id):
        yield int.from_bytes(rest, "big"), row


def _last_before(
    state: ReadableState, table: Table[IntervalT], dev_id: bytes, time_ms: int
) -> tuple[int, IntervalT] | None:
    """The interval with the latest start < time_ms, as (start, row)."""
    start, stop = table.key(dev_id), table.key(dev_id, time_ms)
    for key, data in state.scan(start, stop, reverse=True):
        row = decode(table.value, data, size_max=VALUE_BYTES_MAX)
        return int.from_bytes(key[-_START_BYTES:], "big"), row
    return None
