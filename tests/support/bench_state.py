"""What an update of the state costs: the figures of docs/spec/state.md section 6.

    python -m tests.support.bench_state KEYS DIRECTORY

DIRECTORY must be empty; it is left as the run left it. CPU time of the calling thread.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.state import StateStore

BATCH_KEYS = 2_500
FILL_KEYS = 20_000
ROUNDS = 10
VALUE_BYTES = 120
PRUNE_ALL = 10**9


def _key(index: int) -> bytes:
    return b"entity/" + index.to_bytes(8, "big")


def run(keys: int, directory: Path) -> str:
    """Fill a store with `keys` keys, change some in rounds, and say what a changed key cost."""
    rng = random.Random(1)
    kv = LevelDB(directory)
    store = StateStore(kv, keep_versions=4)
    spent = {"prepare": 0.0, "write": 0.0, "committed": 0.0, "prune": 0.0}
    written = 0

    def height(indexes: list[int], *, measured: bool) -> None:
        nonlocal written
        pairs = {_key(index): rng.randbytes(VALUE_BYTES) for index in indexes}
        marks = [time.thread_time()]
        update = store.prepare(store.height() + 1, {"records": pairs})
        marks.append(time.thread_time())
        batch = Batch()
        update.stage(batch)
        kv.write(batch, sync=measured)
        marks.append(time.thread_time())
        store.committed(update)
        marks.append(time.thread_time())
        store.prune(PRUNE_ALL)
        marks.append(time.thread_time())
        if measured:
            written += sum(len(key) + len(value or b"") for key, value in batch.operations)
            for name, start, stop in zip(spent, marks[:-1], marks[1:], strict=True):
                spent[name] += stop - start

    for first in range(0, keys, FILL_KEYS):
        height(list(range(first, min(first + FILL_KEYS, keys))), measured=False)
    for _ in range(ROUNDS):
        height(rng.sample(range(keys), BATCH_KEYS), measured=True)
    changed = ROUNDS * BATCH_KEYS
    costs = "  ".join(f"{name} {1e6 * seconds / changed:.1f}" for name, seconds in spent.items())
    line = f"{keys} keys: {costs} us and {written // changed} bytes a changed key"
    kv.close()
    return line


if __name__ == "__main__":
    sys.stdout.write(run(int(sys.argv[1]), Path(sys.argv[2])) + "\n")
