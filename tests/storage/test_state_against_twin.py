"""The state store against a dumb twin: a dict for every height and a recursive root."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from medquorum import statetree
from medquorum.errors import VerificationError
from storage import layout
from storage.errors import HeightAheadError, PrunedError
from storage.kv import KV, Batch, prefix_end
from storage.memory import MemoryKV
from storage.state import StateStore, StateUpdate
from tests.support import dumb_state_tree
from tests.support.databases import DURABLE, open_kind
from tests.support.state_keys import CLOSE_KEYS

Changes = dict[str, dict[bytes, bytes | None]]
State = dict[str, dict[bytes, bytes]]

KEYS = [b"key%d" % i for i in range(24)] + list(CLOSE_KEYS)
NAMESPACES = ["drugs", "records"]


def commit(kv: KV, store: StateStore, update: StateUpdate) -> None:
    batch = Batch()
    update.stage(batch)
    kv.write(batch, sync=False)
    store.committed(update)


def changed(state: State, changes: Changes) -> State:
    """A copy of `state` with `changes` made."""
    after = {namespace: dict(pairs) for namespace, pairs in state.items()}
    for namespace, pairs in changes.items():
        table = after.setdefault(namespace, {})
        for key, value in pairs.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return after


def asked_for(state: State, changes: Changes) -> Changes:
    """What every other of the changed keys has."""
    return {
        namespace: {key: state.get(namespace, {}).get(key) for key in list(pairs)[::2]}
        for namespace, pairs in changes.items()
    }


def check_everything(store: StateStore, state: State, height: int) -> None:
    """Every value and proof of `height` is the twin's, and no proof shows anything else."""
    root = dumb_state_tree.root(state)
    for namespace in NAMESPACES:
        for key in KEYS:
            expected = state.get(namespace, {}).get(key)
            value, proof = store.proof(namespace, key, height)
            assert value == expected == store.get_at(namespace, key, height)
            statetree.verify_state(root, namespace, key, expected, proof)
            with pytest.raises(VerificationError):
                wrong = b"another" if expected is not None else b"present"
                statetree.verify_state(root, namespace, key, wrong, proof)
            if expected is not None:
                with pytest.raises(VerificationError):
                    statetree.verify_state(root, namespace, key, None, proof)


_PAIRS = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=20)
_CHANGES: st.SearchStrategy[Changes] = st.dictionaries(st.sampled_from(NAMESPACES), _PAIRS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_CHANGES, _CHANGES, st.booleans()), min_size=1, max_size=7))
def test_every_height_has_the_twins_roots_values_and_proofs(
    steps: list[tuple[Changes, Changes, bool]],
) -> None:
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=2)
    states: list[State] = []
    for height, (changes, rejected, restart) in enumerate(steps):
        base: State = states[-1] if states else {}
        other = store.prepare(height, rejected)
        update = store.prepare(height, changes, asked_for(base, changes) if restart else {})
        assert other.root == dumb_state_tree.root(changed(base, rejected))
        states.append(changed(base, changes))
        assert update.root == dumb_state_tree.root(states[-1])
        assert [s.namespace for s in update.sub_roots] == sorted(
            n for n in states[-1] if states[-1][n]
        )
        commit(kv, store, update)
        while store.prune(3) > 0:
            pass
        if restart:
            store = StateStore(kv, keep_versions=2)
        assert (store.height(), store.root()) == (height, update.root)
        assert store.sub_roots() == update.sub_roots
    tip = len(steps) - 1
    for height, state in enumerate(states):
        if height >= tip - 2:
            check_everything(store, state, height)
        else:
            with pytest.raises(PrunedError):
                store.proof("records", KEYS[0], height)
    with pytest.raises(HeightAheadError):
        store.get_at("records", KEYS[0], tip + 1)
    for namespace in NAMESPACES:
        assert dict(store.scan(namespace, b"", None)) == states[-1].get(namespace, {})


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.dictionaries(st.sampled_from(KEYS), st.binary(max_size=3), min_size=1),
    extra=st.sets(st.sampled_from(KEYS)),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    seed=st.integers(0, 1000),
)
def test_the_root_depends_on_the_pairs_alone(
    pairs: dict[bytes, bytes], extra: set[bytes], cuts: list[int], seed: int
) -> None:
    order = sorted(pairs)
    random.Random(seed).shuffle(order)
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=1)
    doomed = {key: b"gone" for key in sorted(extra) if key not in pairs}
    commit(kv, store, store.prepare(0, {"records": doomed, "drugs": {b"x": b"gone"}}))
    bounds = [0, *sorted(min(cut, len(order)) for cut in cuts), len(order)]
    for height, (start, stop) in enumerate(pairwise(bounds), start=1):
        part = {key: pairs[key] for key in order[start:stop]}
        commit(kv, store, store.prepare(height, {"records": part}))
    gone = dict.fromkeys(doomed)
    update = store.prepare(store.height() + 1, {"records": gone, "drugs": {b"x": None}})
    assert update.root == dumb_state_tree.root({"records": pairs})


@pytest.fixture(params=DURABLE)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KV]:
    kv = open_kind(request.param, tmp_path / "db")
    yield kv
    kv.close()


def test_a_large_state_agrees_with_the_twin_through_growth_change_and_shrinking(
    database: KV,
) -> None:
    rng = random.Random(7)
    store = StateStore(database, keep_versions=3)
    state: State = {}
    keys = [b"entity/%d" % i for i in range(6000)]
    for height in range(12):
        chosen = rng.sample(keys, 1500)
        share = 0.1 if height < 6 else 0.8
        pairs = {k: None if rng.random() < share else rng.randbytes(9) for k in chosen}
        state = changed(state, {"records": pairs})
        update = store.prepare(height, {"records": pairs})
        assert update.root == dumb_state_tree.root(state)
        commit(database, store, update)
        store.prune(10_000)
        if height % 4 == 3:
            store = StateStore(database, keep_versions=3)
        for key in rng.sample(keys, 20):
            value, proof = store.proof("records", key)
            assert value == state["records"].get(key)
            statetree.verify_state(update.root, "records", key, value, proof)
    last = {"records": dict.fromkeys(state["records"])}
    update = store.prepare(12, last)
    assert update.root == statetree.state_root([])
    assert update.sub_roots == ()


class WatchedKV(MemoryKV):
    """Remembers which keys were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[bytes] = []

    @override
    def get(self, key: bytes) -> bytes | None:
        self.read.append(key)
        return super().get(key)


def test_values_that_are_known_are_not_read_again() -> None:
    kv = WatchedKV()
    store = StateStore(kv, keep_versions=1)
    commit(kv, store, store.prepare(0, {"records": {b"a": b"1", b"b": b"1"}}))
    kv.read.clear()
    changes: Changes = {"records": {b"a": b"2", b"b": None, b"c": b"1"}}
    update = store.prepare(1, changes, {"records": {b"a": b"1", b"c": None}})
    assert kv.read == [layout.STATE + layout.pack_namespace("records") + b"b"]
    commit(kv, store, update)
    assert store.get_at("records", b"a", 0) == b"1"
    assert store.get_at("records", b"c", 0) is None


def test_pruning_leaves_nothing_behind_of_an_emptied_state() -> None:
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=1)
    pairs = {b"key%d" % i: b"value" for i in range(300)}
    commit(kv, store, store.prepare(0, {"records": pairs}))
    commit(kv, store, store.prepare(1, {"records": dict.fromkeys(pairs)}))
    commit(kv, store, store.prepare(2, {}))
    assert sum(1 for _ in kv.scan(layout.PAGE, prefix_end(layout.PAGE))) > 10
    before = kv.bytes_on_disk()
    assert store.prune(10_000) > 300
    assert store.prune(10_000) == 0
    assert kv.bytes_on_disk() < before / 20
    for prefix in (layout.STATE, layout.HISTORY, layout.PAGE):
        assert list(kv.scan(prefix, prefix_end(prefix))) == []
    assert store.oldest() == 1
    assert store.get_at("records", b"key1", 1) is None
    with pytest.raises(PrunedError) as caught:
        store.get_at("records", b"key1", 0)
    assert (caught.value.height, caught.value.oldest) == (0, 1)
