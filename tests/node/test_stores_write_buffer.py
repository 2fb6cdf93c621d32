"""Nodes of one chain do not all write out their buffers in the same second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.stores import staggered_bytes
from storage.limits import LEVELDB_WRITE_BUFFER_BYTES_MAX

STARTS = 64


@given(size=st.integers(1, LEVELDB_WRITE_BUFFER_BYTES_MAX))
def test_a_write_buffer_keeps_to_three_quarters_at_least_of_what_is_configured(size: int) -> None:
    assert size * 3 / 4 <= staggered_bytes(size) <= size


def test_two_starts_hardly_take_the_same_write_buffer() -> None:
    drawn = {staggered_bytes(LEVELDB_WRITE_BUFFER_BYTES_MAX) for _ in range(STARTS)}
    assert len(drawn) > STARTS / 2
    spread = max(drawn) - min(drawn)
    assert spread > LEVELDB_WRITE_BUFFER_BYTES_MAX / 8
