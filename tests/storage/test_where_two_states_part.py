"""Walking two trees at once names the key that a dumb comparison of all values names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.statetree import key_path
from storage import layout, statediff
from storage.kv import Batch
from storage.memory import MemoryKV
from storage.state import StateStore
from storage.stateaudit import read_state_at
from storage.statebuild import StateBuilder
from storage.statediff import StateDifference, first_difference
from tests.support.state_keys import CLOSE_KEYS

KEYS = [bytes([first, second]) for first in range(6) for second in range(8)] + list(CLOSE_KEYS)
VALUES = st.none() | st.sampled_from([b"", b"1", b"two"])
Changes = dict[str, dict[bytes, bytes | None]]
CHANGES: st.SearchStrategy[Changes] = st.dictionaries(
    st.sampled_from(["a", "bb"]), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=24)
)


def grown(heights: list[Changes]) -> MemoryKV:
    kv = MemoryKV()
    state = StateStore(kv, keep_versions=9)
    for height, changes in enumerate(heights):
        batch = Batch()
        update = state.prepare(height, changes)
        update.stage(batch)
        kv.write(batch, sync=True)
        state.committed(update)
    return kv


def dumb(left: MemoryKV, right: MemoryKV, height: int) -> StateDifference | None:
    entries = [set(read_state_at(kv, height)) for kv in (left, right)]
    places = sorted((namespace, key) for namespace, key, _ in entries[0] ^ entries[1])
    return StateDifference(*places[0]) if places else None


@settings(max_examples=80, deadline=None)
@given(
    st.lists(CHANGES, min_size=1, max_size=4),
    st.lists(st.tuples(CHANGES, CHANGES), max_size=3),
    st.lists(CHANGES, max_size=2),
    st.integers(0, 3),
)
def test_the_first_difference_is_the_one_of_a_dumb_comparison_at_every_height(
    common: list[Changes], parted: list[tuple[Changes, Changes]], after: list[Changes], held: int
) -> None:
    left = grown(common + [one for one, _ in parted] + after)
    right = grown(common + [other for _, other in parted] + after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statediff, "DIFFERENT_PATHS_HELD_MAX", held)
        for height in range(len(common) + len(parted) + len(after)):
            found = first_difference(left, right, height)
            assert found == dumb(left, right, height)
            assert found == first_difference(right, left, height)


def test_pages_that_were_cut_otherwise_are_not_taken_for_another_state(tmp_path: Path) -> None:
    pairs: dict[bytes, bytes | None] = {b"key%d" % i: b"1" for i in range(400)}
    gone = {key: None for key in pairs if key_path(key)[0] >> 4 in range(8) and key != b"key7"}
    shrunk = grown([{"a": pairs}, {"a": dict(gone)}, {}])
    built = MemoryKV()
    builder = StateBuilder(built, 2, tmp_path)
    for key in sorted(pairs.keys() - gone.keys()):
        builder.add("a", key, b"1")
    batch = Batch()
    builder.finish(batch)
    built.write(batch, sync=True)
    assert first_difference(shrunk, built, 2) is None
    other = grown([{"a": pairs}, {"a": dict(gone)}, {"a": {b"key7": b"2"}}])
    assert first_difference(other, built, 2) == StateDifference("a", b"key7")


def test_a_leaf_without_a_key_is_told_by_its_namespace() -> None:
    left, right = grown([{"a": {b"x": b"1", b"y": b"1"}}]), grown([{"a": {b"y": b"1"}}])
    batch = Batch()
    batch.delete(layout.STATE + layout.pack_namespace("a") + b"x")
    left.write(batch, sync=True)
    assert first_difference(left, right, 0) == StateDifference("a", b"")
