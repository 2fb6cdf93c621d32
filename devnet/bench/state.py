"""What changing the ledger state costs by how many keys it has: the figures of docs/spec/state.md
section 6.

A state is made in bulk; then batches of random keys are changed, each as a height of its own, as a
node does it: the values that execution looked up are handed over, what history no longer needs is
pruned after every height. Processor time of the calling thread, so that other programs disturb it
little; that of all threads, LevelDB's own among them, is told beside it.
"""

from __future__ import annotations

import random
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from medquorum.codec import encode
from medquorum.statetree import verify_state
from storage import layout
from storage.kv import Batch, prefix_end
from storage.leveldb import LevelDB
from storage.state import StateStore
from storage.statebuild import StateBuilder

NAMESPACE: Final = "records"
VALUE_BYTES: Final = 120
KEEP_VERSIONS: Final = 4
BATCH_KEYS: Final = 2_500
ROUNDS: Final = 10
WARM_ROUNDS: Final = 5
"""Heights before the measured ones, so that pruning has something to do in each of these."""
PROOFS: Final = 500
HASHES: Final = 5_000
PRUNE_ALL: Final = 10**9


class Cost(msgspec.Struct, kw_only=True):
    """Microseconds for one changed key."""

    prepare_us: float = 0.0
    """The tree: new pages and the root."""
    write_us: float = 0.0
    """The synced batch."""
    committed_us: float = 0.0
    """The cache of pages."""
    prune_us: float = 0.0
    thread_us: float = 0.0
    """All of these."""
    process_us: float = 0.0
    """All of these in all threads."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    keys: int
    batch_keys: int
    hash_us: float
    """SHA-256 of 65 bytes, as each inner node of the tree needs one, in the same run."""
    cost: Cost
    written_bytes: int
    """Keys and values put into the store for one changed key."""
    proof_bytes: int
    """Of one key, as it is sent, on average."""
    proof_us: float
    verify_us: float
    disk_bytes: int
    """After the last height was pruned."""
    compacted_bytes: int | None
    """After a compaction of everything, if one was asked for."""


def bench(folder: Path, keys: int, *, compact: bool = False) -> Figures:
    """Make a state of so many keys in `folder`, which is empty, and measure it."""
    store = folder / "state"
    fill(store, keys)
    return measure_state(store, keys, compact=compact)


def fill(directory: Path, keys: int) -> None:
    """Make a store with a state of so many keys at height 0."""
    rng = random.Random(1)
    kv = LevelDB(directory)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        builder = StateBuilder(kv, 0, Path(scratch))
        for index in range(keys):
            builder.add(NAMESPACE, _key(index), rng.randbytes(VALUE_BYTES))
        batch = Batch()
        builder.finish(batch)
        kv.write(batch, sync=True)
    kv.close()


def measure_state(directory: Path, keys: int, *, compact: bool = False) -> Figures:
    """Measure the store that `fill` made."""
    kv = LevelDB(directory)
    try:
        return _Bench(kv, keys).run(compact=compact)
    finally:
        kv.close()


class _Bench:
    def __init__(self, kv: LevelDB, keys: int) -> None:
        self._kv = kv
        self._keys = keys
        self._store = StateStore(kv, keep_versions=KEEP_VERSIONS)
        self._rng = random.Random(2)
        self._batch_keys = min(BATCH_KEYS, keys)

    def run(self, *, compact: bool) -> Figures:
        for _ in range(WARM_ROUNDS):
            self._height(Cost())
        cost, written = Cost(), 0
        for _ in range(ROUNDS):
            written += self._height(cost)
        changed = ROUNDS * self._batch_keys
        for name in Cost.__struct_fields__:
            setattr(cost, name, round(1e6 * getattr(cost, name) / changed, 1))
        proof_bytes, proof_us, verify_us = self._proofs()
        disk_bytes = self._kv.bytes_on_disk()
        if compact:
            self._kv.compact(layout.BLOCKS_OLDEST, prefix_end(layout.STATE_OLDEST))
        return Figures(
            keys=self._keys,
            batch_keys=self._batch_keys,
            hash_us=_hash_us(),
            cost=cost,
            written_bytes=written // changed,
            proof_bytes=proof_bytes,
            proof_us=proof_us,
            verify_us=verify_us,
            disk_bytes=disk_bytes,
            compacted_bytes=self._kv.bytes_on_disk() if compact else None,
        )

    def _height(self, cost: Cost) -> int:
        """Change some keys, and add up what it took, in seconds; the bytes written."""
        chosen = [_key(index) for index in self._rng.sample(range(self._keys), self._batch_keys)]
        known: dict[bytes, bytes | None] = {key: self._store.get(NAMESPACE, key) for key in chosen}
        pairs = {key: self._rng.randbytes(VALUE_BYTES) for key in chosen}
        began = time.process_time()
        marks = [time.thread_time()]
        height = self._store.height() + 1
        update = self._store.prepare(height, {NAMESPACE: pairs}, {NAMESPACE: known})
        marks.append(time.thread_time())
        batch = Batch()
        update.stage(batch)
        self._kv.write(batch, sync=True)
        marks.append(time.thread_time())
        self._store.committed(update)
        marks.append(time.thread_time())
        while self._store.prune(PRUNE_ALL) > 0:
            continue
        marks.append(time.thread_time())
        cost.prepare_us += marks[1] - marks[0]
        cost.write_us += marks[2] - marks[1]
        cost.committed_us += marks[3] - marks[2]
        cost.prune_us += marks[4] - marks[3]
        cost.thread_us += marks[4] - marks[0]
        cost.process_us += time.process_time() - began
        return sum(len(key) + len(value or b"") for key, value in batch.operations)

    def _proofs(self) -> tuple[int, float, float]:
        """Bytes of a proof, microseconds to make one and to verify one."""
        indexes = self._rng.sample(range(self._keys), min(PROOFS, self._keys))
        size, root = 0, self._store.root()
        made = verified = 0.0
        for index in indexes:
            key = _key(index)
            marks = [time.thread_time()]
            value, proof = self._store.proof(NAMESPACE, key)
            marks.append(time.thread_time())
            verify_state(root, NAMESPACE, key, value, proof)
            marks.append(time.thread_time())
            made += marks[1] - marks[0]
            verified += marks[2] - marks[1]
            size += len(encode(proof))
        count = len(indexes)
        return size // count, round(1e6 * made / count, 1), round(1e6 * verified / count, 1)


def _key(index: int) -> bytes:
    return b"entity/" + index.to_bytes(8, "big")


def _hash_us() -> float:
    data = bytes(65)
    began = time.thread_time()
    for _ in range(HASHES):
        sha256(data).digest()
    return round(1e6 * (time.thread_time() - began) / HASHES, 2)
