"""What validators do when nothing goes wrong."""

from __future__ import annotations

import pytest

from consensus.messages import Commit, Prepare, Proposal
from tests.support.engines import Cluster


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 10, 13])
def test_every_height_is_decided_in_round_0_by_one_round_of_votes(n: int) -> None:
    cluster = Cluster(seed=n, n=n)
    votes = {Proposal: 0, Prepare: 0, Commit: 0}
    others = []

    def watch(_sender: bytes, send: object) -> None:
        message = getattr(send, "message", None)
        if isinstance(message, Proposal | Prepare | Commit):
            votes[type(message)] += 1
        else:
            others.append(message)

    cluster.watchers.append(watch)
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= 6, limit_ms=600)
    heights = max(cluster.heights())
    assert all(
        decided.certificate.round == 0 for host in cluster.correct for _, decided in host.chain
    )
    assert votes[Proposal] <= heights + 1
    assert votes[Prepare] <= n * (heights + 1)
    assert votes[Commit] <= n * (heights + 1)
    assert len(others) <= n, "a healthy height needs votes only"
