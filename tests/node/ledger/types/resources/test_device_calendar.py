"""The calendar answers by one read what a dumb twin answers by looking at everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medquorum.codec import Wire
from medquorum.invariants import InvariantBroken
from node.ledger.tables import RowName
from node.ledger.types.resources.calendar import book, conflict, is_offered
from node.ledger.types.resources.gtin import check_digit, check_digit_holds
from node.ledger.types.resources.rows import WINDOWS, Booking, Window
from tests.support.ledger import some_id

DEVICE, NEIGHBOURS = b"\x02" * 32, (b"\x01" * 32, b"\x03" * 32)
INTERVAL = st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda p: (p[0], p[0] + p[1]))


class CountingState:
    """An ordered key space that counts how many rows its scans hand out."""

    def __init__(self) -> None:
        self._held: dict[bytes, bytes] = {}
        self.rows: dict[RowName, Wire | None] = {}
        self.handed_out = 0

    def get(self, key: bytes) -> bytes | None:
        return self._held.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._held[key] = value

    def delete(self, key: bytes) -> None:
        self._held.pop(key, None)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted((k for k in self._held if start <= k < stop), reverse=reverse):
            self.handed_out += 1
            yield key, self._held[key]


def overlaps(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


@given(st.lists(INTERVAL, max_size=25))
def test_bookings_are_accepted_exactly_when_the_twin_sees_no_overlap(
    wanted: list[tuple[int, int]],
) -> None:
    state, twin = CountingState(), list[tuple[int, int]]()
    for device in NEIGHBOURS:
        book(state, device, 0, Booking(100, some_id("neighbour")))
    for from_ms, to_ms in wanted:
        found = conflict(state, DEVICE, from_ms, to_ms)
        expected = [old for old in twin if overlaps(old, (from_ms, to_ms))]
        assert (found is not None) == bool(expected)
        if found is None:
            book(state, DEVICE, from_ms, Booking(to_ms, some_id("resv")))
            twin.append((from_ms, to_ms))
        else:
            assert found.to_ms == max(expected)[1]


@given(st.lists(INTERVAL, max_size=12), INTERVAL)
def test_a_time_is_offered_exactly_when_one_window_of_the_twin_holds_all_of_it(
    offered: list[tuple[int, int]], wanted: tuple[int, int]
) -> None:
    state, twin = CountingState(), list[tuple[int, int]]()
    for window in offered:
        if not any(overlaps(window, old) for old in twin):
            twin.append(window)
            WINDOWS.put(state, Window(window[1]), DEVICE, window[0])
    expected = any(old[0] <= wanted[0] and wanted[1] <= old[1] for old in twin)
    assert is_offered(state, DEVICE, *wanted) == expected


def test_a_question_reads_one_row_however_full_the_calendar_is() -> None:
    state = CountingState()
    for number in range(500):
        book(state, DEVICE, number * 10, Booking(number * 10 + 5, some_id("resv")))
    state.handed_out = 0
    assert conflict(state, DEVICE, 2_505, 2_510) is None
    assert conflict(state, DEVICE, 2_504, 2_510) is not None
    assert state.handed_out == 2


def test_the_calendar_itself_refuses_an_overlap() -> None:
    state = CountingState()
    book(state, DEVICE, 0, Booking(10, some_id("a")))
    with pytest.raises(InvariantBroken):
        book(state, DEVICE, 9, Booking(11, some_id("b")))


@pytest.mark.parametrize("gtin", ["00300020800018", "00300010123455", "04006381333931"])
def test_published_gtins_have_the_right_check_digit(gtin: str) -> None:
    assert check_digit_holds(gtin)


@given(st.text("0123456789", min_size=13, max_size=13), st.integers(0, 12), st.integers(1, 9))
def test_any_single_wrong_digit_is_found(digits: str, place: int, shift: int) -> None:
    gtin = digits + str(check_digit(digits))
    wrong = str((int(gtin[place]) + shift) % 10)
    assert check_digit_holds(gtin)
    assert not check_digit_holds(gtin[:place] + wrong + gtin[place + 1 :])
