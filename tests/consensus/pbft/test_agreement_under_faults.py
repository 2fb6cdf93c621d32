"""Whole clusters under loss, crashes and liars: they never disagree, and they go on once healed.

A seed fixes everything: `run_campaign(seed, n)` plays a failed run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from consensus.engine import Decided, Timing
from tests.support.engine_campaign import run_campaign, run_unsure
from tests.support.engines import Cluster

ROOT = Path(__file__).resolve().parents[3]
SEEDS = 40
SIZES = (1, 2, 3, 4, 5, 6, 7, 10)


@pytest.mark.parametrize("n", SIZES)
def test_validators_agree_whatever_happens_and_go_on_once_it_stops(n: int) -> None:
    rounds = [run_campaign(seed, n).rounds for seed in range(1000 * n, 1000 * n + SEEDS)]
    assert max(rounds) > 0, "no run was disturbed enough to need a second round"


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_validators_that_compute_at_random_stop_rather_than_fork(n: int) -> None:
    for seed in range(20):
        run_unsure(seed, n)


def test_the_same_seed_gives_the_same_run() -> None:
    def decisions() -> list[Decided]:
        cluster = Cluster(seed=7, n=4)
        cluster.network.loss = 0.2
        for host in cluster.hosts:
            host.faults.crash = 0.005
        cluster.boot()
        cluster.run_for(2_000)
        return [decided for host in cluster.hosts for _, decided in host.chain]

    assert decisions() == decisions()
    assert len(decisions()) > 4


RUN_AND_TELL = """
from hashlib import sha256
from tests.support.engine_campaign import draw_cluster
cluster, _ = draw_cluster(1234, 7)
seen = []
cluster.effect_watchers.append(lambda host, effects: seen.append(repr((host.name, effects))))
cluster.boot()
cluster.run_for(700)
print(len(seen), sha256("".join(seen).encode()).hexdigest())
"""


def test_the_same_seed_has_the_same_effects_in_every_process_under_three_hash_seeds() -> None:
    def run(hash_seed: str) -> str:
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-c", RUN_AND_TELL]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    told = run("0")
    assert int(told.split()[0]) > 100
    assert [run(hash_seed) for hash_seed in ("1", "4242")] == [told, told]


def test_more_than_f_silent_validators_stop_the_height_without_running_through_rounds() -> None:
    cluster = Cluster(seed=1, n=4, timing=Timing(100, 1_600, resend_ms=1_000))
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= 2, limit_ms=1_000)
    for host in cluster.hosts[:2]:
        host.restart_ms = 1e12
        host.crash()
    cluster.run_for(3_600_000)
    waiting = cluster.hosts[2].engine
    assert waiting is not None
    assert waiting.status().round <= 1
    reached = max(cluster.heights())
    for host in cluster.hosts[:2]:
        host.boot()
    healed_at = cluster.now
    assert cluster.run(lambda: min(cluster.heights()) > reached, limit_ms=10_000)
    assert cluster.now - healed_at <= 2 * (cluster.timing.round_ms_max + cluster.timing.resend_ms)
