"""Whole Raft clusters under loss, crashes and partitions: they agree, and go on once healed.

A seed fixes everything: `run_campaign(seed, n)` plays a failed run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from consensus.raft.messages import HeartbeatReply, RaftVote
from tests.support.engine_world import REAL
from tests.support.engines import Cluster
from tests.support.raft_campaign import Outcome, run_campaign, run_unsure
from tests.support.raft_directed import DIRECTED_RUNS

ROOT = Path(__file__).resolve().parents[3]
SEEDS = 40
SIZES = (1, 2, 3, 4, 5, 6, 7)


def outcomes(n: int) -> list[Outcome]:
    return [run_campaign(seed, n) for seed in range(1000 * n, 1000 * n + SEEDS)]


@pytest.mark.parametrize("n", SIZES)
def test_validators_agree_whatever_crashes_and_go_on_once_it_stops(n: int) -> None:
    runs = outcomes(n)
    assert sum(run.reads for run in runs) > SEEDS, "too few reads were answered to tell anything"
    if n > 1:
        assert max(run.terms for run in runs) > 1, "no run was disturbed enough"
        assert max(run.changes for run in runs) > 1, "no run changed its validators"


@pytest.mark.parametrize("n", [2, 3, 5])
def test_validators_that_compute_at_random_stop_rather_than_fork(n: int) -> None:
    for seed in range(20):
        run_unsure(seed, n)


@pytest.mark.parametrize("run", DIRECTED_RUNS, ids=lambda run: run.__name__)
@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_each_rule_of_elections_holds_in_the_run_made_for_it(n: int, run: object) -> None:
    """Rules V1, V7, L5, D1."""
    assert callable(run)
    for seed in range(5):
        run(seed, n)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 10, 13])
def test_a_healthy_height_costs_one_entry_and_one_ack_a_follower(n: int) -> None:
    cluster = Cluster(seed=n, n=n, engine="raft")
    said: list[str] = []

    def watch(key: bytes, send: object) -> None:
        message, to = getattr(send, "message", None), getattr(send, "to", None)
        if to != key and isinstance(message, RaftVote | HeartbeatReply):
            said.append(type(message).__name__)

    cluster.watchers.append(watch)
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= 6, limit_ms=400)
    heights = max(cluster.heights())
    terms = [step.certificate.round for host in cluster.hosts for _, step in host.chain[1:]]
    assert set(terms) == {0}
    assert said.count("Append") <= heights + 1
    assert said.count("Ack") <= (n - 1) * (heights + 1)
    assert said.count("VoteRequest") == 1, "after a start, and never again"
    assert said.count("Grant") == n - 1


def is_at(cluster: Cluster, height: int) -> bool:
    return min(cluster.heights()) >= height


def test_a_crash_at_any_boundary_is_survived() -> None:
    """Rule F1."""
    for n in (1, 2, 3):
        healthy = Cluster(seed=5, n=n, engine="raft")
        healthy.boot()
        assert healthy.run(partial(is_at, healthy, 3), limit_ms=1_000)
        count = max(host.boundaries for host in healthy.hosts)
        assert count > 10
        for index in range(n):
            for boundary in range(1, count + 1):
                cluster = Cluster(seed=5, n=n, engine="raft")
                cluster.hosts[index].faults.crash_at = boundary
                cluster.boot()
                assert cluster.run(partial(is_at, cluster, 4), limit_ms=20_000)


def test_real_keys_sign_and_verify_what_pretended_ones_do() -> None:
    cluster = Cluster(seed=9, n=3, keys=REAL, engine="raft")
    cluster.network.recode = True
    cluster.network.loss = 0.1
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= 3, limit_ms=60_000)


RUN_AND_TELL = """
from hashlib import sha256
from tests.support.raft_campaign import draw_cluster
cluster, partition = draw_cluster(1234, 7)
seen = []
cluster.effect_watchers.append(lambda host, effects: seen.append(repr((host.name, effects))))
cluster.boot()
partition.shuffle()
cluster.run_for(700)
print(len(seen), sha256("".join(seen).encode()).hexdigest())
"""


def test_the_same_seed_has_the_same_effects_in_every_process_under_three_hash_seeds() -> None:
    def run(hash_seed: str) -> str:
        path = os.pathsep.join(sys.path)
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        command = [sys.executable, "-c", RUN_AND_TELL]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    told = run("0")
    assert int(told.split()[0]) > 100
    assert [run(hash_seed) for hash_seed in ("1", "4242")] == [told, told]
