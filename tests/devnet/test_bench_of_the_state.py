"""The bench of the state measures a state that verifies, and counts what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from devnet.bench import state
from storage.leveldb import LevelDB
from storage.state import StateStore


def test_the_bench_changes_what_it_says_and_every_cost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "BATCH_KEYS", 50)
    found = state.bench(tmp_path, 300, compact=True)
    assert (found.keys, found.batch_keys) == (300, 50)
    assert found.cost.prepare_us > 0
    assert found.cost.write_us > 0
    parts = found.cost.prepare_us + found.cost.write_us + found.cost.committed_us
    assert found.cost.thread_us == pytest.approx(parts + found.cost.prune_us, abs=0.5)
    assert found.written_bytes > 2 * state.VALUE_BYTES, "a value and what was there before"
    assert found.proof_bytes > 32 * 5
    assert found.hash_us > 0
    assert found.compacted_bytes is not None
    assert found.compacted_bytes < found.disk_bytes
    kv = LevelDB(tmp_path / "state")
    store = StateStore(kv, keep_versions=state.KEEP_VERSIONS)
    assert store.height() == state.WARM_ROUNDS + state.ROUNDS
    assert store.oldest() == store.height() - state.KEEP_VERSIONS
    kv.close()
