"""A run is a function of its seed: in another process, under another hash seed (R8)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def play(seed: int, engine: str, hash_seed: str) -> str:
    """What the command line prints for a seed: its options, its trace hash, its summary."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "sdk" / "python")))
    done = subprocess.run(
        [sys.executable, "-m", "devnet.sim", "--engine", engine, "--seed", str(seed), "--trace"],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
        text=True,
        timeout=100,
    )
    return done.stdout


@pytest.mark.parametrize(("seed", "engine"), [(5, "pbft"), (15, "pbft"), (17, "pbft"), (6, "raft")])
def test_a_seed_gives_the_same_trace_in_every_process(seed: int, engine: str) -> None:
    first, *others = (play(seed, engine, hash_seed) for hash_seed in ("0", "1", "4242"))
    assert "trace " in first
    assert all(other == first for other in others)
