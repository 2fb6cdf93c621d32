"""Readers in threads see a whole height while others are prepared, committed and pruned."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from medquorum.invariants import InvariantBroken
from medquorum.statetree import verify_state
from storage.errors import PrunedError
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.memory import MemoryKV
from storage.pagecache import PageCache
from storage.state import NO_HEIGHT, StateStore
from storage.tree import PageLayer

HEIGHTS = 40


def test_every_proof_read_meanwhile_verifies_under_its_heights_root(tmp_path: Path) -> None:
    kv = LevelDB(tmp_path / "db")
    store = StateStore(kv, keep_versions=2)
    keys = [b"key%d" % i for i in range(500)]
    roots: dict[int, bytes] = {}
    done = Event()

    def read(seed: int) -> int:
        rng, proofs = random.Random(seed), 0
        while not done.is_set():
            height = store.height()
            if height == NO_HEIGHT:
                continue
            key = rng.choice(keys)
            try:
                value, proof = store.proof("records", key, height)
            except PrunedError:
                continue
            verify_state(roots[height], "records", key, value, proof)
            proofs += 1
        return proofs

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, seed) for seed in range(2)]
        rng = random.Random(9)
        try:
            for height in range(HEIGHTS):
                pairs = dict.fromkeys(rng.sample(keys, 100), b"%d" % height)
                update = pool.submit(store.prepare, height, {"records": pairs}).result()
                batch = Batch()
                update.stage(batch)
                kv.write(batch, sync=False)
                roots[height] = update.root
                store.committed(update)
                store.prune(50)
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)
    kv.close()


def test_t3_a_height_is_prepared_only_on_the_one_before_it() -> None:
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=1)
    first, second = store.prepare(0, {"a": {b"k": b"1"}}), store.prepare(0, {"a": {b"k": b"2"}})
    batch = Batch()
    second.stage(batch)
    kv.write(batch, sync=True)
    store.committed(second)
    with pytest.raises(InvariantBroken):
        store.committed(first)
    for height in (0, 2):
        with pytest.raises(InvariantBroken):
            store.prepare(height, {})
    assert store.get("a", b"k") == b"2"


def test_a_write_of_the_value_that_stands_is_no_change() -> None:
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=1)
    for height in range(2):
        update = store.prepare(height, {"a": {b"k": b"1", b"gone": None}})
        batch = Batch()
        update.stage(batch)
        kv.write(batch, sync=True)
        store.committed(update)
    assert len(batch) == 2, "the head of the height, and the stale head of the one before"


def test_the_page_cache_keeps_to_its_limit_and_gives_up_deep_pages_first() -> None:
    room = PageCache()
    room.move_on([PageLayer(0, [b"0"], [b"page"])], [])
    cache = PageCache(bytes_max=4 * room.bytes_held)
    for name, depth in enumerate([0, 1, 9, 2, 30, 2]):
        cache.move_on([PageLayer(depth, [b"%d" % name], [b"page"])], [])
    assert cache.bytes_held == 4 * room.bytes_held
    assert cache.get_many([b"2"], 9) == cache.get_many([b"4"], 30) == [None]
    assert cache.get_many([b"0"], 0) == cache.get_many([b"1"], 1) == [b"page"]
    assert cache.get_many([b"3", b"5"], 2) == [b"page", b"page"]
    cache.move_on([PageLayer(2, [b"6"], [b"page"])], [(1, [b"1", b"never here"])])
    assert cache.get_many([b"1"], 1) == [None]
    cache.move_on([PageLayer(2, [b"7"], [b"page"])], [])
    found = cache.get_many([b"3", b"7"], 2)
    assert found == [None, b"page"], "of the deepest layer, the page written longest ago"


def test_t2_preparing_writes_nothing() -> None:
    kv = MemoryKV()
    store = StateStore(kv, keep_versions=1)
    store.prepare(0, {"a": {b"k": b"1"}})
    assert kv.bytes_on_disk() == 0
    assert (store.height(), store.oldest()) == (NO_HEIGHT, NO_HEIGHT)
