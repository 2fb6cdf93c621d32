"""What a commit costs on each kind of database: the figures of docs/spec/storage.md section 9.

    python -m tests.support.bench_databases KEYS DIRECTORY

DIRECTORY must be empty; it is left as the run left it. All kinds take turns, commit by commit, so
that they meet the same machine. On a machine that is busy with others, trust the CPU time; times of
the clock have the sync in them.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from statistics import median

from storage.kv import KV, Batch
from storage.state import StateStore
from tests.support.databases import DURABLE, open_kind

COMMITS = 60
COMMIT_KEYS = 250
"""Values changed by a commit: about a hundred transactions."""
FILL_KEYS = 50_000
READS = 5_000
VALUE_BYTES = 120
PRUNE_ALL = 10**9


def _key(index: int) -> bytes:
    return b"entity/" + index.to_bytes(8, "big")


class Measured:
    """A state in one kind of database, and how long its commits took."""

    def __init__(self, kind: str, kv: KV) -> None:
        self.kind = kind
        self.kv = kv
        self.store = StateStore(kv, keep_versions=4)
        self.seconds: list[float] = []
        self.cpu = 0.0
        self.pruning_cpu = 0.0

    def commit(self, pairs: dict[bytes, bytes | None], *, measured: bool) -> None:
        """One height: the tree is not in the time, the batch with its sync is."""
        update = self.store.prepare(self.store.height() + 1, {"records": pairs})
        batch = Batch()
        update.stage(batch)
        began_s, began_cpu = time.monotonic(), time.process_time()
        self.kv.write(batch, sync=True)
        if measured:
            self.seconds.append(time.monotonic() - began_s)
            self.cpu += time.process_time() - began_cpu
        self.store.committed(update)
        began_cpu = time.process_time()
        self.store.prune(PRUNE_ALL)
        if measured:
            self.pruning_cpu += time.process_time() - began_cpu

    def line(self, indexes: list[int]) -> str:
        """What there is to say."""
        began_cpu = time.process_time()
        for index in indexes:
            assert self.store.get("records", _key(index)) is not None
        read_us = 1e6 * (time.process_time() - began_cpu) / len(indexes)
        return (
            f"{self.kind}: commit {1e3 * self.cpu / COMMITS:.2f} ms of CPU,"
            f" {1e3 * min(self.seconds):.2f} ms at least, {1e3 * median(self.seconds):.2f} ms half"
            f" of the time; prune {1e3 * self.pruning_cpu / COMMITS:.2f} ms of CPU a commit;"
            f" get {read_us:.1f} us; {self.kv.bytes_on_disk() / 2**20:.0f} MiB"
        )


def run(keys: int, directory: Path) -> str:
    """Fill every kind with `keys` keys and commit changes to them by turns."""
    rng = random.Random(1)
    all_kinds = [Measured(kind, open_kind(kind, directory / kind)) for kind in DURABLE]
    for first in range(0, keys, FILL_KEYS):
        some = range(first, min(first + FILL_KEYS, keys))
        pairs: dict[bytes, bytes | None] = {_key(i): rng.randbytes(VALUE_BYTES) for i in some}
        for measured in all_kinds:
            measured.commit(pairs, measured=False)
    for _ in range(COMMITS):
        chosen = rng.sample(range(keys), COMMIT_KEYS)
        pairs = {_key(i): rng.randbytes(VALUE_BYTES) for i in chosen}
        for measured in all_kinds:
            measured.commit(pairs, measured=True)
    indexes = rng.sample(range(keys), min(READS, keys))
    lines = [measured.line(indexes) for measured in all_kinds]
    for measured in all_kinds:
        measured.kv.close()
    return "\n".join([f"{keys} keys, {COMMITS} commits of {COMMIT_KEYS} values", *lines])


if __name__ == "__main__":
    sys.stdout.write(run(int(sys.argv[1]), Path(sys.argv[2])) + "\n")
