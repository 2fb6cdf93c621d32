"""A crash between any two effects of any validator costs time, never a contradiction."""

from __future__ import annotations

import pytest

from tests.support.engine_world import REAL
from tests.support.engines import Cluster

HEIGHTS = 3


def boundaries_of_a_healthy_run(n: int) -> int:
    cluster = Cluster(seed=5, n=n)
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= HEIGHTS, limit_ms=1_000)
    return max(host.boundaries for host in cluster.hosts)


def goes_on(cluster: Cluster) -> bool:
    return cluster.run(lambda: min(cluster.heights()) > HEIGHTS, limit_ms=20_000)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_crash_at_any_boundary_is_survived(n: int) -> None:
    """Rule L1."""
    count = boundaries_of_a_healthy_run(n)
    assert count > 10
    for index in range(n):
        for boundary in range(1, count + 1):
            cluster = Cluster(seed=5, n=n)
            cluster.hosts[index].faults.crash_at = boundary
            cluster.boot()
            assert goes_on(cluster), f"v{index} crashed at boundary {boundary}: {cluster.heights()}"


def test_everybody_crashing_at_once_is_survived() -> None:
    for boundary in range(1, boundaries_of_a_healthy_run(4) + 1):
        cluster = Cluster(seed=6, n=4)
        for host in cluster.hosts:
            host.faults.crash_at = boundary
        cluster.boot()
        assert goes_on(cluster)


def test_real_keys_sign_and_verify_what_pretended_ones_do() -> None:
    cluster = Cluster(seed=9, n=4, keys=REAL)
    cluster.network.recode = True
    cluster.network.loss = 0.1
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= 3, limit_ms=60_000)
