"""A state that is built at once is the state that grew height by height."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.statetree import verify_state
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.memory import MemoryKV
from storage.state import StateStore
from storage.statebuild import StateBuilder, read_state

HEIGHT = 7

STATES = st.dictionaries(
    st.sampled_from(["a", "gov", "rec", "due.x"]),
    st.dictionaries(st.binary(min_size=1, max_size=3), st.binary(max_size=4), min_size=1),
)


def built(state: dict[str, dict[bytes, bytes]], scratch: Path, *, held: int = 1 << 20) -> MemoryKV:
    """A store with this state, built at once."""
    kv = MemoryKV()
    builder = StateBuilder(kv, HEIGHT, scratch, held_bytes_max=held)
    for namespace, key, value in read_state(grown(state)[1]):
        builder.add(namespace, key, value)
    batch = Batch()
    builder.finish(batch)
    kv.write(batch, sync=True)
    return kv


def grown(state: dict[str, dict[bytes, bytes]]) -> tuple[StateStore, MemoryKV]:
    """The same, by the way that every block takes, and where it lies."""
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=1)
    update = store.prepare(HEIGHT, state)
    batch = Batch()
    update.stage(batch)
    kv.write(batch, sync=True)
    store.committed(update)
    return store, kv


@given(state=STATES)
@settings(max_examples=60, deadline=None)
def test_a_built_state_has_the_roots_of_the_one_that_grew(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, dict[bytes, bytes]]
) -> None:
    store = StateStore(built(state, tmp_path_factory.mktemp("scratch"), held=128), keep_versions=1)
    twin, _ = grown(state)
    assert (store.height(), store.root()) == (HEIGHT, twin.root())
    assert store.sub_roots() == twin.sub_roots()


def test_many_values_that_do_not_fit_in_memory_grow_on_with_equal_roots(tmp_path: Path) -> None:
    state = {"rec": {i.to_bytes(4, "big"): b"v%d" % i for i in range(30_000)}}
    kv = built(state, tmp_path, held=64_000)
    assert list(tmp_path.iterdir()) == []
    store, twin = StateStore(kv, keep_versions=1), grown(state)[0]
    changes: dict[str, dict[bytes, bytes | None]] = {
        "rec": {i.to_bytes(4, "big"): None if i % 3 else b"new" for i in range(0, 30_000, 7)}
    }
    assert store.root() == twin.root()
    assert store.prepare(HEIGHT + 1, changes).root == twin.prepare(HEIGHT + 1, changes).root


def test_a_built_state_is_proven_and_survives_its_process(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    kv = LevelDB(tmp_path / "kv")
    builder = StateBuilder(kv, HEIGHT, tmp_path / "scratch")
    builder.add("rec", b"k", b"v")
    batch = Batch()
    root = builder.finish(batch)
    kv.write(batch, sync=True)
    kv.close()
    store = StateStore(LevelDB(tmp_path / "kv"), keep_versions=1)
    for key, expected in ((b"k", b"v"), (b"x", None)):
        value, proof = store.proof("rec", key)
        assert value == expected
        verify_state(root, "rec", key, value, proof)
    assert store.oldest() == HEIGHT


@pytest.mark.parametrize(
    "entries",
    [
        [("a", b"k"), ("a", b"k")],
        [("a", b"l"), ("a", b"k")],
        [("b", b"k"), ("a", b"k")],
        [("a", b"")],
        [("a", b"k" * 513)],
    ],
)
def test_values_out_of_order_are_refused(tmp_path: Path, entries: list[tuple[str, bytes]]) -> None:
    builder = StateBuilder(MemoryKV(), HEIGHT, tmp_path)
    with pytest.raises(ValueError, match="ascend"):
        for namespace, key in entries:
            builder.add(namespace, key, b"v")
